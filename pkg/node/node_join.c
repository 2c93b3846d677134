/* See node_join.h. */
#include "node/node_join.h"

#include "api/join.h"
#include "base/clock.h"
#include "base/hex.h"
#include "base/log.h"
#include "base/mem.h"
#include "blockstore/dir.h"
#include "codec/json.h"
#include "ledger/node_key.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define DEFAULT_PORT "6443"
#define ANSWER_MAX (8 << 20)
#define CONNECT_TIMEOUT_S 5L
#define ANSWER_TIMEOUT_S 60L
#define PATIENCE_US 10000000 /* while nobody answers: nodes that start together wait for each other */
#define AGAIN_US 300000
#define HOST_MAX 254

/* One address of one server, and what was heard there. */
struct server {
    char host[HOST_MAX];
    char port[8];
    char connect_to[128]; /* libcurl's words for this very address */
};

struct joiner {
    const struct node_join_options *options;
    struct join_token token;
    uint8_t secret_key[NODE_KEY_SIZE];
    CURL *curl;
    int ca_fd; /* the CA's certificate, once it is known to be the token's */
    struct buf body;
    struct join_answer answer;
};

/* ---- HTTP ---- */

static size_t on_bytes(char *bytes, size_t size, size_t n, void *arg)
{
    struct buf *body = arg;
    if (body->len + size * n > ANSWER_MAX)
        return 0;
    buf_append(body, bytes, size * n);
    return size * n;
}

static int transport_error(const struct server *server, CURLcode code, const char *detail, struct err *err)
{
    return err_set(err, ERR_UNAVAILABLE, "cannot reach https://%s:%s: %s", server->host, server->port,
                   *detail ? detail : curl_easy_strerror(code));
}

/* The words of a refusal, which are meant for whoever starts this node. */
static int refusal(const struct joiner *joiner, const struct server *server, long status, struct err *err)
{
    json_auto_t *value = json_parse(buf_str(&joiner->body), joiner->body.len, NULL);
    const char *message = json_str_or_empty(value, "message");
    int code = status == 401                   ? ERR_UNAUTHORIZED
               : status == 409                 ? ERR_CONFLICT
               : status >= 400 && status < 500 ? ERR_BAD_REQUEST
                                               : ERR_UNAVAILABLE;
    if (status == 404 || !value)
        return err_set(
            err, ERR_BAD_REQUEST,
            "https://%s:%s answers with status %ld: it is no katena, or one that is too old to be joined",
            server->host, server->port, status);
    return err_set(err, code, "https://%s:%s: %s", server->host, server->port,
                   *message ? message : "refused without a reason");
}

/* A server is known by the CA's signature, not by a name: whatever name or address leads to a node will do,
 * and only nodes have such certificates for serving. */
static int ask(struct joiner *joiner, const struct server *server, const char *path, const struct buf *post,
               struct err *err)
{
    char detail[CURL_ERROR_SIZE] = "", ca_path[64];
    long status = 0;
    CURL *curl = joiner->curl;
    mem_auto char *url = mem_printf("https://%s:%s%s", server->host, server->port, path);
    struct curl_slist *connect_to = curl_slist_append(NULL, server->connect_to);
    curl_easy_reset(curl);
    buf_clear(&joiner->body);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_CONNECT_TO, connect_to);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https");
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, CONNECT_TIMEOUT_S);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, ANSWER_TIMEOUT_S);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, detail);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &joiner->body);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, joiner->ca_fd < 0 ? 0L : 1L);
    if (joiner->ca_fd >= 0) {
        snprintf(ca_path, sizeof(ca_path), "/proc/self/fd/%d", joiner->ca_fd);
        curl_easy_setopt(curl, CURLOPT_CAINFO, ca_path);
        curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
        curl_easy_setopt(curl, CURLOPT_FRESH_CONNECT, post ? 0L : 1L);
    }
    if (post) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, buf_str(post));
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)post->len);
    }
    CURLcode code = curl_easy_perform(curl);
    curl_slist_free_all(connect_to);
    if (code != CURLE_OK)
        return transport_error(server, code, detail, err);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    return status == 200 ? 0 : refusal(joiner, server, status, err);
}

/* ---- the three questions ---- */

static void forget_ca(struct joiner *joiner)
{
    if (joiner->ca_fd >= 0)
        close(joiner->ca_fd);
    joiner->ca_fd = -1;
}

static int pin_ca(struct joiner *joiner, const struct server *server, struct err *err)
{
    uint8_t hash[PKI_HASH_SIZE];
    forget_ca(joiner);
    int code = ask(joiner, server, JOIN_CA_PATH, NULL, err);
    if (code)
        return code;
    if (pki_ca_hash(hash, buf_str(&joiner->body), NULL))
        return err_set(err, ERR_BAD_REQUEST, "https://%s:%s answers, but not with the CA of a katena cluster",
                       server->host, server->port);
    if (memcmp(hash, joiner->token.ca_hash, sizeof(hash)) != 0)
        return err_set(
            err, ERR_CONFLICT,
            "https://%s:%s is not of the cluster that the token is for: its CA is another one. Check the "
            "address; if the cluster was set up anew, make a new token there",
            server->host, server->port);
    joiner->ca_fd = memfd_create("katena-ca", MFD_CLOEXEC);
    if (joiner->ca_fd < 0 ||
        write(joiner->ca_fd, joiner->body.data, joiner->body.len) != (ssize_t)joiner->body.len)
        return err_set_errno(err, "keep the CA's certificate");
    return 0;
}

static int fill_request(struct joiner *joiner, struct join_request *request, const char *const *addresses,
                        struct err *err)
{
    request->version = JOIN_VERSION;
    request->token = joiner->token;
    snprintf(request->program, sizeof(request->program), "katena/" KATENA_VERSION);
    snprintf(request->name, sizeof(request->name), "%s", joiner->options->name);
    memcpy(request->key, joiner->secret_key + NODE_KEY_SIZE - TX_KEY_SIZE, TX_KEY_SIZE);
    for (; addresses && *addresses && request->address_count < REGISTRY_ADDRESSES_MAX; addresses++)
        snprintf(request->addresses[request->address_count++], REGISTRY_ADDRESS_MAX, "%s", *addresses);
    int code = join_challenge_decode(request->challenge, buf_str(&joiner->body), joiner->body.len, err);
    if (!code)
        join_request_sign(request, joiner->secret_key);
    return code;
}

static int join_at(struct joiner *joiner, const struct server *server, struct err *err)
{
    buf_auto struct buf text = BUF_INIT;
    mem_auto struct join_request *request = mem_zalloc(sizeof(*request));
    int code = pin_ca(joiner, server, err);
    if (!code)
        code = ask(joiner, server, JOIN_PATH, NULL, err);
    if (!code && (code = fill_request(joiner, request, joiner->options->addresses, err)) != 0)
        return err_wrap(err, "https://%s:%s: use the same program on both", server->host, server->port);
    if (code)
        return code;
    join_request_encode(&text, request);
    code = ask(joiner, server, JOIN_PATH, &text, err);
    explicit_bzero(text.data, text.len);
    explicit_bzero(&request->token, sizeof(request->token));
    if (!code &&
        (code = join_answer_decode(&joiner->answer, buf_str(&joiner->body), joiner->body.len, err)) != 0)
        err_wrap(err, "https://%s:%s", server->host, server->port);
    if (joiner->body.data)
        explicit_bzero(joiner->body.data, joiner->body.cap);
    return code;
}

/* ---- which servers ---- */

/* "https://HOST:PORT" or HOST, with [] around IPv6. */
static int parse_server(struct server *out, const char *text, struct err *err)
{
    static const char scheme[] = "https://";
    const char *p = strncmp(text, scheme, sizeof(scheme) - 1) == 0 ? text + sizeof(scheme) - 1 : text;
    size_t len = strcspn(p, "/");
    const char *rest = p + len;
    const char *close = *p == '[' ? memchr(p, ']', len) : NULL;
    const char *colon = close ? close + 1 : memchr(p, ':', len);
    size_t host = colon && colon < rest && *colon == ':' ? (size_t)(colon - p) : len;
    *out = (struct server){.host = ""};
    snprintf(out->port, sizeof(out->port), "%s", DEFAULT_PORT);
    if (host < len)
        snprintf(out->port, sizeof(out->port), "%.*s", (int)(len - host - 1), p + host + 1);
    bool port_fine = *out->port && out->port[strspn(out->port, "0123456789")] == '\0' &&
                     atoi(out->port) > 0 && atoi(out->port) < 65536;
    if (strstr(text, "://") && p == text)
        return err_set(err, ERR_INVALID, "--join takes https://HOST:PORT, not \"%s\"", text);
    if (!host || host >= sizeof(out->host) || !port_fine || strcmp(rest, "/") > 0)
        return err_set(err, ERR_INVALID, "--join takes https://HOST:PORT, several with commas, not \"%s\"",
                       text);
    memcpy(out->host, p, host);
    return 0;
}

static void set_connect_to(struct server *server, const struct addrinfo *info)
{
    char ip[64] = "";
    getnameinfo(info->ai_addr, info->ai_addrlen, ip, sizeof(ip), NULL, 0, NI_NUMERICHOST);
    snprintf(server->connect_to, sizeof(server->connect_to),
             info->ai_family == AF_INET6 ? "::[%s]:%s" : "::%s:%s", ip, server->port);
}

/* Tries all addresses of one server, looked up anew. Only a server that said no ends the search. */
static int try_server(struct joiner *joiner, const char *text, bool *refused, struct err *err)
{
    struct server server;
    char name[HOST_MAX];
    int code = parse_server(&server, text, err);
    *refused = code != 0;
    if (code)
        return code;
    bool bracketed = server.host[0] == '[';
    snprintf(name, sizeof(name), "%.*s", (int)(strlen(server.host) - (bracketed ? 2 : 0)),
             server.host + (bracketed ? 1 : 0));
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *info = NULL;
    int rc = getaddrinfo(name, server.port, &hints, &info);
    if (rc)
        return err_set(err, ERR_UNAVAILABLE, "cannot look up %s: %s", name, gai_strerror(rc));
    code = err_set(err, ERR_UNAVAILABLE, "%s has no address", name);
    for (const struct addrinfo *i = info; i && code && !*refused; i = i->ai_next) {
        set_connect_to(&server, i);
        code = join_at(joiner, &server, err);
        *refused = code == ERR_UNAUTHORIZED || code == ERR_BAD_REQUEST || code == ERR_CONFLICT;
    }
    freeaddrinfo(info);
    return code;
}

static int try_all(struct joiner *joiner, bool *refused, struct err *err)
{
    mem_auto char *list = mem_strdup(joiner->options->servers);
    char *save = NULL;
    int code = err_set(err, ERR_INVALID, "--join takes https://HOST:PORT");
    *refused = true;
    for (char *text = strtok_r(list, ", ", &save); text; text = strtok_r(NULL, ", ", &save)) {
        code = try_server(joiner, text, refused, err);
        if (!code)
            break;
        log_warn("join", "%s", err->message);
    }
    return code;
}

static int ask_around(struct joiner *joiner, struct err *err)
{
    int64_t until_us = clock_mono_us() + PATIENCE_US;
    bool refused;
    int code;
    while ((code = try_all(joiner, &refused, err)) != 0 && !refused && clock_mono_us() < until_us)
        usleep(AGAIN_US);
    if (code && !refused) {
        mem_auto char *why = mem_strdup(err->message);
        err_set(err, code, "%s. Is the node running, and does --join name its API (port " DEFAULT_PORT ")?",
                why);
    }
    return code;
}

/* ---- what is kept ---- */

/* A key that was made for an attempt that came to nothing is used again: it may be registered already. */
static int open_key(struct joiner *joiner, struct err *err)
{
    mem_auto char *dir = mem_printf("%s/chain", joiner->options->data_dir);
    mem_auto char *path = mem_printf("%s/node.key", dir);
    int code = dir_make(joiner->options->data_dir, err);
    if (!code)
        code = dir_make(dir, err);
    if (!code)
        code = node_key_load(joiner->secret_key, path, err);
    return code == ERR_NOT_FOUND ? node_key_make(joiner->secret_key, path, err) : code;
}

static int keep_answer(const struct joiner *joiner, struct node_record *record, struct err *err)
{
    const struct join_answer *answer = &joiner->answer;
    int code = pki_shared_store(&answer->shared, joiner->options->data_dir, err);
    if (code)
        return code;
    node_record_free(record);
    *record = (struct node_record){.has_chain = true, .joined = true};
    snprintf(record->name, sizeof(record->name), "%s", joiner->options->name);
    memcpy(record->chain_id, answer->chain_id, sizeof(record->chain_id));
    snprintf(record->servers, sizeof(record->servers), "%s", joiner->options->servers);
    snprintf(record->cluster_cidr, sizeof(record->cluster_cidr), "%s", answer->cluster_cidr);
    snprintf(record->service_cidr, sizeof(record->service_cidr), "%s", answer->service_cidr);
    node_record_set_peers(record, answer->peers, answer->peer_count,
                          joiner->secret_key + NODE_KEY_SIZE - TX_KEY_SIZE);
    return node_record_save(record, joiner->options->data_dir, err);
}

int node_join_check(const char *data_dir, const char *token, struct err *err)
{
    struct join_token parsed;
    uint8_t hash[PKI_HASH_SIZE];
    int code = join_token_parse(&parsed, token, err);
    if (!code)
        code = pki_ca_hash_of(hash, data_dir, err);
    if (!code && memcmp(hash, parsed.ca_hash, sizeof(hash)) != 0)
        code = err_set(
            err, ERR_CONFLICT,
            "the data in %s belongs to another cluster than the token. Name another --data-dir, or remove "
            "that one when nothing in it is needed",
            data_dir);
    explicit_bzero(&parsed, sizeof(parsed));
    return code;
}

int node_join(struct node_record *record, const struct node_join_options *options, struct err *err)
{
    struct joiner joiner = {.options = options, .ca_fd = -1, .body = BUF_INIT};
    int code = node_join_check(options->data_dir, options->token, err);
    if (code && code != ERR_NOT_FOUND)
        return code;
    err_clear(err);
    join_token_parse(&joiner.token, options->token, NULL);
    joiner.curl = curl_easy_init();
    code = open_key(&joiner, err);
    if (!code)
        code = ask_around(&joiner, err);
    if (!code) {
        code = keep_answer(&joiner, record, err);
        join_answer_free(&joiner.answer);
    }
    curl_easy_cleanup(joiner.curl);
    forget_ca(&joiner);
    buf_free(&joiner.body);
    explicit_bzero(&joiner.token, sizeof(joiner.token));
    explicit_bzero(joiner.secret_key, sizeof(joiner.secret_key));
    return code;
}
