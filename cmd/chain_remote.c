/*
 * katena chain by a kubeconfig: the node itself runs the command (pkg/api/http_chain.c), and what it prints
 * is printed here.
 */
#include "chain.h"
#include "remote.h"

#include "base/mem.h"
#include "codec/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ERROR_MAX (64 * 1024) /* of an error's text */
#define CONNECT_TIMEOUT_S 10L
#define LIMIT_MAX 999999999L

/* ---- the question ---- */

/* Only what the subcommand takes: the others' options mean nothing to it here as there. */
static void make_url(CURL *curl, struct buf *url, const char *server, const char *subcommand,
                     const struct chain_arguments *a)
{
    bool log = !strcmp(subcommand, "log"), prove = !strcmp(subcommand, "prove");
    bool conflicts = !strcmp(subcommand, "conflicts");
    char number[32];
    buf_printf(url, "%s/katena/v1/chain/%s", server, subcommand);
    if (a->namespace && (log || conflicts || !strcmp(subcommand, "blame")))
        remote_add_parameter(curl, url, "namespace", a->namespace);
    if (conflicts && (a->json || a->output))
        remote_add_parameter(curl, url, "json", "true");
    if (log && a->limit > 0) {
        snprintf(number, sizeof(number), "%ld", a->limit < LIMIT_MAX ? a->limit : LIMIT_MAX);
        remote_add_parameter(curl, url, "limit", number);
    }
    if (log && a->oneline)
        remote_add_parameter(curl, url, "oneline", "true");
    if (log && a->user)
        remote_add_parameter(curl, url, "user", a->user);
    if (prove && a->without_content)
        remote_add_parameter(curl, url, "without-content", "true");
    if (prove && a->to_head)
        remote_add_parameter(curl, url, "to-head", "true");
    for (int i = 0; i < a->word_count; i++)
        remote_add_parameter(curl, url, "arg", a->words[i]);
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

static int perform(struct remote *q, struct answer *answer, const char *server, struct err *err)
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
        return remote_transport_error(code, detail, server, err);
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

static int ask(struct remote *remote, const char *subcommand, const struct chain_arguments *a,
               struct err *err)
{
    buf_auto struct buf url = BUF_INIT;
    struct answer answer = {.curl = remote->curl, .keep = a->output && !strcmp(subcommand, "prove")};
    make_url(remote->curl, &url, remote->config.server, subcommand, a);
    curl_easy_setopt(remote->curl, CURLOPT_URL, buf_str(&url));
    int code = perform(remote, &answer, remote->config.server, err);
    if (!code && answer.keep)
        code = write_file(&answer.text, a->output, err);
    if (fflush(stdout) != 0 && !code)
        code = err_set_errno(err, "cannot write");
    buf_free(&answer.text);
    return code;
}

int chain_remote(const char *subcommand, const char *paths, const struct chain_arguments *a)
{
    struct remote remote;
    struct err err;
    if (!strcmp(subcommand, "conflicts") && a->output && strcmp(a->output, "json") != 0) {
        fputs("katena: chain conflicts -o takes json\n", stderr);
        return 2;
    }
    int code = remote_open(&remote, paths, a->kubeconfig != NULL, &err);
    if (!code)
        code = ask(&remote, subcommand, a, &err);
    remote_close(&remote);
    return code ? chain_fail(&err) : 0;
}
