/*
 * A whole API server on a free port of the loopback, and a small HTTPS client to talk to it byte by byte:
 * what a library would refuse to send, this one sends.
 */
#ifndef KATENA_TEST_HTTP_FIXTURE_H
#define KATENA_TEST_HTTP_FIXTURE_H

#include "scratch.h"
#include "unit.h"

#include "api/server.h"
#include "base/mem.h"
#include "codec/json.h"

#include <arpa/inet.h>
#include <gnutls/gnutls.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

struct http_fixture {
    struct scratch scratch;
    struct pki *pki;
    struct ledger *ledger;
    struct api_server *server;
    int port;
    gnutls_certificate_credentials_t admin;     /* a client of system:masters */
    gnutls_certificate_credentials_t stranger;  /* of no group */
    gnutls_certificate_credentials_t anonymous; /* without a certificate */
};

static inline int http_free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    close(fd);
    return ntohs(address.sin_port);
}

static inline gnutls_certificate_credentials_t http_credentials(struct pki *pki, const char *user,
                                                                const char *const *groups, size_t count)
{
    gnutls_certificate_credentials_t credentials;
    assert_int_equal(gnutls_certificate_allocate_credentials(&credentials), 0);
    gnutls_datum_t ca = {(unsigned char *)pki_ca_cert(pki), (unsigned)strlen(pki_ca_cert(pki))};
    assert_true(gnutls_certificate_set_x509_trust_mem(credentials, &ca, GNUTLS_X509_FMT_PEM) > 0);
    if (!user)
        return credentials;
    char *cert;
    char *key;
    assert_int_equal(pki_issue_client(pki, user, groups, count, 3600, &cert, &key, NULL), 0);
    gnutls_datum_t c = {(unsigned char *)cert, (unsigned)strlen(cert)};
    gnutls_datum_t k = {(unsigned char *)key, (unsigned)strlen(key)};
    assert_int_equal(gnutls_certificate_set_x509_key_mem(credentials, &c, &k, GNUTLS_X509_FMT_PEM), 0);
    free(cert);
    free(key);
    return credentials;
}

/* What all nodes of a cluster have in common. */
static inline void http_share_pki(const char *data_dir, const struct pki *pki)
{
    struct pki_shared shared;
    struct err err = {0};
    if (pki_shared_load(&shared, pki, &err) || pki_shared_store(&shared, data_dir, &err))
        fail_msg("%s", err.message);
    pki_shared_free(&shared);
}

/* A server with a chain of its own; with the CA of another one, unless that is NULL. */
static inline void http_fixture_open_as(struct http_fixture *f, const char *node, const struct pki *other)
{
    static const char *const masters[] = {"system:masters"};
    struct err err = {0};
    *f = (struct http_fixture){0};
    signal(SIGPIPE, SIG_IGN);
    scratch_make(&f->scratch);
    if (other)
        http_share_pki(f->scratch.path, other);
    f->port = http_free_port();
    const char *const addresses[] = {node, NULL};
    struct pki_options pki_options = {.data_dir = f->scratch.path, .node_name = node, .addresses = addresses};
    struct ledger_options ledger_options = {.data_dir = f->scratch.path};
    struct api_options options = {.data_dir = f->scratch.path,
                                  .node_name = node,
                                  .bind_address = "127.0.0.1",
                                  .port = f->port,
                                  .service_cidr = "10.43.0.0/16",
                                  .advertise_address = "192.0.2.1"};
    if (pki_open(&f->pki, &pki_options, &err) || ledger_open(&f->ledger, &ledger_options, &err))
        fail_msg("%s", err.message);
    options.pki = f->pki;
    options.ledger = f->ledger;
    if (api_server_start(&f->server, &options, &err))
        fail_msg("%s", err.message);
    f->admin = http_credentials(f->pki, "system:admin", masters, 1);
    f->stranger = http_credentials(f->pki, "stranger", NULL, 0);
    f->anonymous = http_credentials(f->pki, NULL, NULL, 0);
}

static inline void http_fixture_open(struct http_fixture *f)
{
    http_fixture_open_as(f, "node", NULL);
}

static inline void http_fixture_close(struct http_fixture *f)
{
    api_server_stop(f->server);
    ledger_close(f->ledger);
    pki_close(f->pki);
    gnutls_certificate_free_credentials(f->admin);
    gnutls_certificate_free_credentials(f->stranger);
    gnutls_certificate_free_credentials(f->anonymous);
    scratch_remove(&f->scratch);
}

/* ---- the client ---- */

struct http_client {
    int fd;
    gnutls_session_t session;
    struct buf in; /* received and not yet read */
    bool ended;    /* nothing more comes */
    int status;    /* of the last answer … */
    struct buf headers;
    struct buf body;
};

static inline void http_connect_tcp(struct http_client *c, const struct http_fixture *f)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                  .sin_port = htons((uint16_t)f->port)};
    const struct timeval patience = {.tv_sec = 20};
    *c = (struct http_client){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    assert_int_equal(connect(c->fd, (struct sockaddr *)&address, sizeof(address)), 0);
}

/* The result of the handshake. */
static inline int http_connect_with(struct http_client *c, const struct http_fixture *f,
                                    gnutls_certificate_credentials_t credentials, const char *priorities)
{
    http_connect_tcp(c, f);
    assert_int_equal(gnutls_init(&c->session, GNUTLS_CLIENT), 0);
    assert_int_equal(gnutls_priority_set_direct(c->session, priorities, NULL), 0);
    gnutls_credentials_set(c->session, GNUTLS_CRD_CERTIFICATE, credentials);
    gnutls_session_set_verify_cert(c->session, "localhost", 0);
    gnutls_transport_set_int(c->session, c->fd);
    int rc;
    do
        rc = gnutls_handshake(c->session);
    while (rc == GNUTLS_E_AGAIN || rc == GNUTLS_E_INTERRUPTED);
    return rc;
}

static inline void http_connect(struct http_client *c, const struct http_fixture *f,
                                gnutls_certificate_credentials_t credentials)
{
    int rc = http_connect_with(c, f, credentials, "NORMAL");
    if (rc)
        fail_msg("handshake: %s", gnutls_strerror(rc));
}

static inline void http_disconnect(struct http_client *c)
{
    if (c->session)
        gnutls_deinit(c->session);
    close(c->fd);
    buf_free(&c->in);
    buf_free(&c->headers);
    buf_free(&c->body);
}

/* False when the server has closed the connection. */
static inline bool http_send(struct http_client *c, const void *bytes, size_t len)
{
    const char *p = bytes;
    while (len > 0) {
        ssize_t n = gnutls_record_send(c->session, p, len);
        if (n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED)
            continue;
        if (n <= 0)
            return false;
        p += n;
        len -= (size_t)n;
    }
    return true;
}

static inline bool http_send_text(struct http_client *c, const char *text)
{
    return http_send(c, text, strlen(text));
}

/* Receives more; false at the end of the connection. */
static inline bool http_more(struct http_client *c)
{
    char bytes[16384];
    ssize_t n;
    do
        n = gnutls_record_recv(c->session, bytes, sizeof(bytes));
    while (n == GNUTLS_E_INTERRUPTED);
    if (n == GNUTLS_E_AGAIN)
        fail_msg("no answer within the time");
    if (n <= 0) {
        c->ended = true;
        return false;
    }
    buf_append(&c->in, bytes, (size_t)n);
    return true;
}

/* A line without its end; false at the end of the connection. */
static inline bool http_line(struct http_client *c, struct buf *line)
{
    for (;;) {
        char *end = c->in.len ? memmem(c->in.data, c->in.len, "\r\n", 2) : NULL;
        if (end) {
            buf_clear(line);
            buf_append(line, c->in.data, (size_t)(end - c->in.data));
            buf_consume(&c->in, (size_t)(end - c->in.data) + 2);
            return true;
        }
        if (!http_more(c))
            return false;
    }
}

static inline bool http_take(struct http_client *c, size_t n, struct buf *out)
{
    while (c->in.len < n)
        if (!http_more(c))
            return false;
    buf_append(out, c->in.data, n);
    buf_consume(&c->in, n);
    return true;
}

/* One chunk of a chunked body into out; false at the last. */
static inline bool http_chunk(struct http_client *c, struct buf *out)
{
    struct buf line = BUF_INIT;
    bool more = false;
    if (http_line(c, &line)) {
        size_t n = strtoul(buf_str(&line), NULL, 16);
        more = n > 0 && http_take(c, n, out);
        http_line(c, &line);
    }
    buf_free(&line);
    return more;
}

/* The status line and headers of the next answer; false when the connection ended first. */
static inline bool http_receive_head(struct http_client *c)
{
    struct buf line = BUF_INIT;
    buf_clear(&c->headers);
    buf_clear(&c->body);
    c->status = 0;
    do {
        if (!http_line(c, &line)) {
            buf_free(&line);
            return false;
        }
        c->status = atoi(buf_str(&line) + strlen("HTTP/1.1 "));
        while (http_line(c, &line) && line.len > 0)
            buf_printf(&c->headers, "%s\n", line.data);
    } while (c->status == 100);
    buf_free(&line);
    return true;
}

/* The next answer, whole. */
static inline bool http_receive(struct http_client *c)
{
    if (!http_receive_head(c))
        return false;
    const char *length = strcasestr(buf_str(&c->headers), "Content-Length:");
    if (length)
        return http_take(c, strtoul(length + 15, NULL, 10), &c->body);
    if (strcasestr(buf_str(&c->headers), "chunked"))
        while (http_chunk(c, &c->body))
            ;
    return true;
}

/* A request and its answer on an open connection. headers end each with CR LF; body may be NULL. */
static inline void http_ask(struct http_client *c, const char *method, const char *path, const char *headers,
                            const char *body)
{
    struct buf text = BUF_INIT;
    buf_printf(&text, "%s %s HTTP/1.1\r\nHost: localhost\r\n%s", method, path, headers ? headers : "");
    if (body)
        buf_printf(&text, "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s", strlen(body),
                   body);
    else
        buf_puts(&text, "\r\n");
    assert_true(http_send(c, text.data, text.len));
    buf_free(&text);
    assert_true(http_receive(c));
}

/* The same on a connection of its own; the answer's body as JSON, which must have this status. The caller
 * owns it. */
static inline json_t *http_json(const struct http_fixture *f, int status, const char *method,
                                const char *path, const char *headers, const char *body)
{
    struct http_client c;
    http_connect(&c, f, f->admin);
    http_ask(&c, method, path, headers, body);
    if (c.status != status)
        fail_msg("%s %s: %d, not %d: %s", method, path, c.status, status, buf_str(&c.body));
    json_t *value = json_loadb(buf_str(&c.body), c.body.len, 0, NULL);
    assert_non_null(value);
    http_disconnect(&c);
    return value;
}

static inline void http_expect_status(json_t *value, const char *reason, const char *message)
{
    assert_string_equal(json_str_or_empty(value, "kind"), "Status");
    assert_string_equal(json_str_or_empty(value, "reason"), reason);
    if (message)
        assert_string_equal(json_str_or_empty(value, "message"), message);
    json_decref(value);
}

#endif
