/*
 * katena chain by a kubeconfig: the node itself runs the command (pkg/api/http_chain.c), and what it prints
 * is printed here.
 */
#include "chain.h"

#include "base/mem.h"
#include "client/kubeconfig.h"
#include "codec/json.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FILES_MAX 16
#define ERROR_MAX (64 * 1024) /* of an error's text */
#define CONNECT_TIMEOUT_S 10L
#define DESCRIPTORS_MAX 3
#define LIMIT_MAX 999999999L

/* ---- which kubeconfig ---- */

static char *default_kubeconfig(void)
{
    const char *home = getenv("HOME");
    return home && *home ? mem_printf("%s/.kube/config", home) : NULL;
}

char *chain_remote_kubeconfig(const struct chain_arguments *a)
{
    const char *named = a->kubeconfig ? a->kubeconfig : getenv("KUBECONFIG");
    if (named && *named)
        return mem_strdup(named);
    char *path = default_kubeconfig();
    if (path && access(path, F_OK) == 0)
        return path;
    free(path);
    return NULL;
}

static int read_file(struct buf *out, const char *path, struct err *err)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return err_set_errno(err, "cannot read %s", path);
    char block[4096];
    for (size_t n; (n = fread(block, 1, sizeof(block), file)) > 0;)
        buf_append(out, block, n);
    int code = ferror(file) ? err_set_errno(err, "cannot read %s", path) : 0;
    fclose(file);
    return code;
}

/* paths are separated by colons, as in KUBECONFIG; of those, some may be missing. */
static int read_kubeconfig(struct kubeconfig *out, const char *paths, bool one, struct err *err)
{
    mem_auto char *copy = mem_strdup(paths);
    struct buf texts[FILES_MAX] = {BUF_INIT};
    struct kubeconfig_source sources[FILES_MAX];
    size_t count = 0;
    int code = 0;
    char *save = NULL;
    *out = (struct kubeconfig){.server = NULL};
    for (char *path = strtok_r(copy, one ? "" : ":", &save); path && count < FILES_MAX && !code;
         path = strtok_r(NULL, one ? "" : ":", &save)) {
        code = read_file(&texts[count], path, err);
        if (code && errno == ENOENT && !one) {
            code = 0;
            continue;
        }
        sources[count] = (struct kubeconfig_source){path, buf_str(&texts[count]), texts[count].len};
        count++;
    }
    if (!code && !count)
        code = err_set(err, ERR_NOT_FOUND, "there is no kubeconfig at %s", paths);
    if (!code)
        code = kubeconfig_read(out, sources, count, err);
    for (size_t i = 0; i < FILES_MAX; i++)
        buf_free(&texts[i]);
    return code;
}

/* ---- the question ---- */

static void add_parameter(CURL *curl, struct buf *url, const char *name, const char *value)
{
    char *escaped = curl_easy_escape(curl, value, (int)strlen(value));
    buf_printf(url, "%c%s=%s", strchr(buf_str(url), '?') ? '&' : '?', name, escaped ? escaped : "");
    curl_free(escaped);
}

/* Only what the subcommand takes: the others' options mean nothing to it here as there. */
static void make_url(CURL *curl, struct buf *url, const char *server, const char *subcommand,
                     const struct chain_arguments *a)
{
    bool log = !strcmp(subcommand, "log"), prove = !strcmp(subcommand, "prove");
    char number[32];
    buf_printf(url, "%s/katena/v1/chain/%s", server, subcommand);
    if (a->namespace && (log || !strcmp(subcommand, "blame")))
        add_parameter(curl, url, "namespace", a->namespace);
    if (log && a->limit > 0) {
        snprintf(number, sizeof(number), "%ld", a->limit < LIMIT_MAX ? a->limit : LIMIT_MAX);
        add_parameter(curl, url, "limit", number);
    }
    if (log && a->oneline)
        add_parameter(curl, url, "oneline", "true");
    if (log && a->user)
        add_parameter(curl, url, "user", a->user);
    if (prove && a->without_content)
        add_parameter(curl, url, "without-content", "true");
    if (prove && a->to_head)
        add_parameter(curl, url, "to-head", "true");
    for (int i = 0; i < a->word_count; i++)
        add_parameter(curl, url, "arg", a->words[i]);
}

/* ---- who asks ---- */

struct question {
    CURL *curl;
    struct curl_slist *headers;
    int descriptors[DESCRIPTORS_MAX]; /* of what libcurl is to read: keys never touch the disk */
    size_t descriptor_count;
};

/* Names data as a file for libcurl, not all of whose TLS libraries take it from memory. */
static int set_data(struct question *q, CURLoption option, const char *data, const char *file,
                    struct err *err)
{
    char path[64];
    if (file)
        curl_easy_setopt(q->curl, option, file);
    if (!data)
        return 0;
    int fd = memfd_create("katena", MFD_CLOEXEC);
    size_t len = strlen(data);
    if (fd < 0 || write(fd, data, len) != (ssize_t)len) {
        int code = err_set_errno(err, "cannot keep the kubeconfig's data");
        if (fd >= 0)
            close(fd);
        return code;
    }
    q->descriptors[q->descriptor_count++] = fd;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    curl_easy_setopt(q->curl, option, path);
    return 0;
}

static void add_header(struct question *q, const char *name, const char *value)
{
    mem_auto char *line = mem_printf("%s%s", name, value);
    q->headers = curl_slist_append(q->headers, line);
}

static int set_token(struct question *q, const struct kubeconfig *config, struct err *err)
{
    buf_auto struct buf text = BUF_INIT;
    if (config->token)
        buf_puts(&text, config->token);
    if (config->token_file && read_file(&text, config->token_file, err))
        return err->code;
    while (text.len && strchr(" \r\n", text.data[text.len - 1]))
        text.data[--text.len] = '\0';
    if (text.len)
        add_header(q, "Authorization: Bearer ", text.data);
    return 0;
}

static int set_identity(struct question *q, const struct kubeconfig *config, struct err *err)
{
    long check = config->insecure ? 0L : 1L;
    curl_easy_setopt(q->curl, CURLOPT_SSL_VERIFYPEER, check);
    curl_easy_setopt(q->curl, CURLOPT_SSL_VERIFYHOST, 2 * check);
    int code = set_data(q, CURLOPT_CAINFO, config->ca_data, config->ca_file, err);
    if (!code)
        code = set_data(q, CURLOPT_SSLCERT, config->cert_data, config->cert_file, err);
    if (!code)
        code = set_data(q, CURLOPT_SSLKEY, config->key_data, config->key_file, err);
    if (!code)
        code = set_token(q, config, err);
    if (!code && config->as)
        add_header(q, "Impersonate-User: ", config->as);
    return code;
}

/* ---- the answer ---- */

struct answer {
    CURL *curl;
    bool keep;       /* a proof for a file, which is written when it is whole */
    struct buf text; /* that, or an error's Status */
};

static size_t on_bytes(char *bytes, size_t size, size_t n, void *arg)
{
    struct answer *answer = arg;
    long status = 0;
    n *= size;
    curl_easy_getinfo(answer->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status == 200 && !answer->keep)
        return fwrite(bytes, 1, n, stdout);
    if (status == 200 || answer->text.len < ERROR_MAX)
        buf_append(&answer->text, bytes, n);
    return n;
}

static int refused(const struct answer *answer, const char *server, long status, struct err *err)
{
    json_auto_t *object = json_parse(buf_str(&answer->text), answer->text.len, NULL);
    const char *message = json_str_or_empty(object, "message");
    if (*message)
        return err_set(err, ERR_UNAVAILABLE, "%s", message);
    return err_set(err, ERR_UNAVAILABLE, "%s answers with status %ld", server, status);
}

static int transport_error(CURLcode code, const char *detail, const char *server, struct err *err)
{
    if (!*detail)
        detail = curl_easy_strerror(code);
    if (code == CURLE_PARTIAL_FILE || code == CURLE_RECV_ERROR || code == CURLE_GOT_NOTHING)
        return err_set(err, ERR_UNAVAILABLE, "%s broke its answer off, which is not whole (%s)", server,
                       detail);
    return err_set(
        err, ERR_UNAVAILABLE,
        "cannot ask %s: %s\nIs the node running? On the node itself, --data-dir DIR reads its data "
        "without it.",
        server, detail);
}

static int perform(struct question *q, struct answer *answer, const char *server, struct err *err)
{
    char detail[CURL_ERROR_SIZE] = "";
    long status = 0;
    curl_easy_setopt(q->curl, CURLOPT_HTTPHEADER, q->headers);
    curl_easy_setopt(q->curl, CURLOPT_ERRORBUFFER, detail);
    curl_easy_setopt(q->curl, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(q->curl, CURLOPT_WRITEDATA, answer);
    curl_easy_setopt(q->curl, CURLOPT_PROTOCOLS_STR, "https");
    curl_easy_setopt(q->curl, CURLOPT_USERAGENT, "katena/" KATENA_VERSION);
    curl_easy_setopt(q->curl, CURLOPT_CONNECTTIMEOUT, CONNECT_TIMEOUT_S);
    curl_easy_setopt(q->curl, CURLOPT_TCP_KEEPALIVE, 1L); /* a verification is silent for long */
    CURLcode code = curl_easy_perform(q->curl);
    if (code == CURLE_WRITE_ERROR)
        return err_set(err, ERR_IO, "cannot write: %s", strerror(errno));
    if (code != CURLE_OK)
        return transport_error(code, detail, server, err);
    curl_easy_getinfo(q->curl, CURLINFO_RESPONSE_CODE, &status);
    return status == 200 ? 0 : refused(answer, server, status, err);
}

static int write_file(const struct buf *text, const char *path, struct err *err)
{
    FILE *file = fopen(path, "wbe");
    bool written = file && fwrite(buf_str(text), 1, text->len, file) == text->len;
    if (file)
        written &= fclose(file) == 0;
    return written ? 0 : err_set_errno(err, "cannot write %s", path);
}

static int ask(const struct kubeconfig *config, const char *subcommand, const struct chain_arguments *a,
               struct err *err)
{
    buf_auto struct buf url = BUF_INIT;
    struct question q = {.curl = curl_easy_init()};
    struct answer answer = {.curl = q.curl, .keep = a->output && !strcmp(subcommand, "prove")};
    make_url(q.curl, &url, config->server, subcommand, a);
    curl_easy_setopt(q.curl, CURLOPT_URL, buf_str(&url));
    int code = set_identity(&q, config, err);
    if (!code)
        code = perform(&q, &answer, config->server, err);
    if (!code && answer.keep)
        code = write_file(&answer.text, a->output, err);
    if (fflush(stdout) != 0 && !code)
        code = err_set_errno(err, "cannot write");
    buf_free(&answer.text);
    for (size_t i = 0; i < q.descriptor_count; i++)
        close(q.descriptors[i]);
    curl_slist_free_all(q.headers);
    curl_easy_cleanup(q.curl);
    return code;
}

int chain_remote(const char *subcommand, const char *paths, const struct chain_arguments *a)
{
    struct kubeconfig config;
    struct err err;
    int code = read_kubeconfig(&config, paths, a->kubeconfig != NULL, &err);
    if (!code)
        code = ask(&config, subcommand, a, &err);
    kubeconfig_free(&config);
    return code ? chain_fail(&err) : 0;
}
