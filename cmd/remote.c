/* See remote.h. */
#include "remote.h"

#include "base/mem.h"
#include "codec/json.h"
#include "commands.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FILES_MAX 16
#define ANSWER_MAX (64 << 20)
#define CONNECT_TIMEOUT_S 10L

/* ---- which kubeconfig ---- */

static char *default_kubeconfig(void)
{
    const char *home = getenv("HOME");
    return home && *home ? mem_printf("%s/.kube/config", home) : NULL;
}

char *remote_kubeconfig(const char *named)
{
    if (!named)
        named = getenv("KUBECONFIG");
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

/* ---- who asks ---- */

/* Names data as a file for libcurl, not all of whose TLS libraries take it from memory. */
static int set_data(struct remote *q, CURLoption option, const char *data, const char *file, struct err *err)
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

static void add_header(struct remote *q, const char *name, const char *value)
{
    mem_auto char *line = mem_printf("%s%s", name, value);
    q->headers = curl_slist_append(q->headers, line);
}

static int set_token(struct remote *q, const struct kubeconfig *config, struct err *err)
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

static int set_identity(struct remote *q, const struct kubeconfig *config, struct err *err)
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

/* ---- opening ---- */

int remote_open(struct remote *out, const char *paths, bool one, struct err *err)
{
    *out = (struct remote){.curl = NULL};
    int code = read_kubeconfig(&out->config, paths, one, err);
    if (!code) {
        out->curl = curl_easy_init();
        code = set_identity(out, &out->config, err);
    }
    if (code)
        remote_close(out);
    return code;
}

int remote_open_options(struct remote *out, const struct remote_options *options, struct err *err)
{
    mem_auto char *paths = options->data_dir ? NULL : remote_kubeconfig(options->kubeconfig);
    if (paths)
        return remote_open(out, paths, options->kubeconfig != NULL, err);
    const char *data_dir = options->data_dir ? options->data_dir : DEFAULT_DATA_DIR;
    mem_auto char *path = mem_printf("%s/kubeconfig", data_dir);
    int code = remote_open(out, path, true, err);
    if (code && access(path, F_OK) != 0 && errno == ENOENT)
        return err_set(
            err, ERR_NOT_FOUND,
            "there is no node to ask: %s does not exist. Name the node\'s data with --data-dir, or point "
            "KUBECONFIG at a node",
            path);
    return code;
}

void remote_close(struct remote *remote)
{
    for (size_t i = 0; i < remote->descriptor_count; i++)
        close(remote->descriptors[i]);
    curl_slist_free_all(remote->headers);
    if (remote->curl)
        curl_easy_cleanup(remote->curl);
    kubeconfig_free(&remote->config);
    *remote = (struct remote){.curl = NULL};
}

/* ---- asking ---- */

void remote_add_parameter(CURL *curl, struct buf *url, const char *name, const char *value)
{
    char *escaped = curl_easy_escape(curl, value, (int)strlen(value));
    buf_printf(url, "%c%s=%s", strchr(buf_str(url), '?') ? '&' : '?', name, escaped ? escaped : "");
    curl_free(escaped);
}

int remote_transport_error(CURLcode code, const char *detail, const char *server, struct err *err)
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

static size_t on_bytes(char *bytes, size_t size, size_t n, void *arg)
{
    struct buf *text = arg;
    if (text->len + size * n > ANSWER_MAX)
        return 0;
    buf_append(text, bytes, size * n);
    return size * n;
}

static int code_of_status(long status)
{
    static const int codes[] = {ERR_BAD_REQUEST, ERR_UNAUTHORIZED, ERR_FORBIDDEN, ERR_NOT_FOUND,
                                ERR_CONFLICT,    ERR_INVALID,      ERR_TIMEOUT,   ERR_TOO_MANY};
    for (size_t i = 0; i < sizeof(codes) / sizeof(*codes); i++)
        if (err_http_status(codes[i]) == (int)status)
            return codes[i];
    return ERR_UNAVAILABLE;
}

/* The connection's identity stays; everything else is set for each question. */
static void set_question(struct remote *remote, const char *url, const char *method, const struct buf *body,
                         struct curl_slist *headers, long timeout_s)
{
    CURL *curl = remote->curl;
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body->len ? buf_str(body) : NULL);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)body->len);
    if (!body->len)
        curl_easy_setopt(curl, CURLOPT_HTTPGET, 1L);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https");
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "katena/" KATENA_VERSION);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, CONNECT_TIMEOUT_S);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, timeout_s);
    curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
}

int remote_ask(struct remote *remote, const char *method, const char *path, const json_t *body,
               long timeout_s, json_t **out, struct err *err)
{
    buf_auto struct buf text = BUF_INIT, question = BUF_INIT;
    char detail[CURL_ERROR_SIZE] = "";
    long status = 0;
    mem_auto char *url = mem_printf("%s%s", remote->config.server, path);
    if (body)
        json_dump_buf(&question, body);
    struct curl_slist *headers = NULL;
    for (struct curl_slist *h = remote->headers; h; h = h->next)
        headers = curl_slist_append(headers, h->data);
    if (body)
        headers = curl_slist_append(headers, "Content-Type: application/json");
    set_question(remote, url, method, &question, headers, timeout_s);
    curl_easy_setopt(remote->curl, CURLOPT_ERRORBUFFER, detail);
    curl_easy_setopt(remote->curl, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(remote->curl, CURLOPT_WRITEDATA, &text);
    CURLcode rc = curl_easy_perform(remote->curl);
    curl_slist_free_all(headers);
    if (rc != CURLE_OK)
        return remote_transport_error(rc, detail, remote->config.server, err);
    curl_easy_getinfo(remote->curl, CURLINFO_RESPONSE_CODE, &status);
    json_auto_t *value = json_parse(buf_str(&text), text.len, NULL);
    const char *message = json_str_or_empty(value, "message");
    if (status >= 300 && *message)
        return err_set(err, code_of_status(status), "%s", message);
    if (status >= 300 || !value)
        return err_set(err, code_of_status(status), "%s answers with status %ld", remote->config.server,
                       status);
    if (out)
        *out = json_incref(value);
    return 0;
}
