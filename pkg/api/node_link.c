/* See node_link.h. */
#include "api/node_link.h"

#include "api/http_internal.h"
#include "base/mem.h"
#include "client/kube.h"
#include "codec/json.h"
#include "object/registry.h"
#include "pki/pki.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANNOTATION_API "katena.io/api-endpoint"
#define PROXY_USER "system:node-proxy"
#define CERTIFICATE_S 600 /* it serves for one handshake */
#define CONNECT_MS 5000
#define HANDSHAKE_MS 10000
#define ANSWER_S 60
#define HEAD_MAX (16 * 1024)
#define BODY_MAX (256 * 1024)

struct node_link {
    int fd;
    gnutls_session_t session;
    gnutls_certificate_credentials_t credentials;
    struct buf in; /* the head of the answer, and what came with it */
    size_t head_len;
    struct buf head;
};

/* ---- the address ---- */

static const char *internal_ip(const json_t *node)
{
    size_t i;
    json_t *address;
    json_array_foreach(json_at(node, "status", "addresses"), i, address)
    {
        if (!strcmp(json_str_or_empty(address, "type"), "InternalIP"))
            return json_str_or_empty(address, "address");
    }
    return "";
}

int node_link_address(char out[NODE_LINK_ADDRESS_MAX], struct api_server *server, const char *node,
                      struct err *err)
{
    buf_auto struct buf text = BUF_INIT;
    int rc = api_read_object(server, registry_by_resource("", "v1", "nodes"), "", node, &text, err);
    if (rc)
        return rc;
    json_auto_t *object = json_parse(text.data, text.len, err);
    if (!object)
        return err->code;
    const char *told = kube_annotation(object, ANNOTATION_API);
    int64_t port = json_int_or(0, object, "status", "daemonEndpoints", "kubeletEndpoint", "Port");
    if (told && strrchr(told, ':'))
        snprintf(out, NODE_LINK_ADDRESS_MAX, "%s", told);
    else if (*internal_ip(object) && port > 0)
        snprintf(out, NODE_LINK_ADDRESS_MAX, "%s:%lld", internal_ip(object), (long long)port);
    else
        return err_set(err, ERR_UNAVAILABLE, "node %s does not say at which address its API is", node);
    return 0;
}

/* ---- the connection ---- */

/* errno as Go prints it. */
static int dial_failed(const char *address, int error, struct err *err)
{
    if (error == ETIMEDOUT)
        return err_set(err, ERR_TIMEOUT, "dial tcp %s: i/o timeout", address);
    char text[128];
    snprintf(text, sizeof(text), "%s", strerror(error));
    *text = (char)tolower((unsigned char)*text);
    return err_set(err, ERR_UNAVAILABLE, "dial tcp %s: connect: %s", address, text);
}

/* Within the time; 0 or an errno. */
static int connect_socket(int fd, const struct addrinfo *to)
{
    if (connect(fd, to->ai_addr, to->ai_addrlen) == 0)
        return 0;
    if (errno != EINPROGRESS)
        return errno;
    struct pollfd wait = {.fd = fd, .events = POLLOUT};
    int error = 0;
    socklen_t len = sizeof(error);
    if (poll(&wait, 1, CONNECT_MS) != 1)
        return ETIMEDOUT;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) ? errno : error;
}

static int dial(const char *address, int *fd, struct err *err)
{
    mem_auto char *host = mem_strdup(address);
    char *colon = strrchr(host, ':');
    if (!colon)
        return err_set(err, ERR_UNAVAILABLE, "dial tcp %s: missing port in address", address);
    *colon = '\0';
    char *name = host;
    if (*name == '[' && colon > name + 1 && colon[-1] == ']') {
        colon[-1] = '\0';
        name++;
    }
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int rc = getaddrinfo(name, colon + 1, &hints, &found);
    if (rc)
        return err_set(err, ERR_UNAVAILABLE, "dial tcp: lookup %s: %s", name, gai_strerror(rc));
    int error = EHOSTUNREACH;
    for (const struct addrinfo *to = found; to && error; to = to->ai_next) {
        *fd = socket(to->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        error = *fd < 0 ? errno : connect_socket(*fd, to);
        if (error && *fd >= 0)
            close(*fd);
    }
    freeaddrinfo(found);
    return error ? dial_failed(address, error, err) : 0;
}

/* Our certificate, and the CA that the other's must be of. */
static int load_credentials(struct node_link *link, struct api_server *server, struct err *err)
{
    static const char *const groups[] = {"system:masters"};
    mem_auto char *cert = NULL;
    mem_auto char *key = NULL;
    int rc = pki_issue_client(server->pki, PROXY_USER, groups, 1, CERTIFICATE_S, &cert, &key, err);
    if (rc)
        return rc;
    gnutls_datum_t ca = {.data = (unsigned char *)(uintptr_t)pki_ca_cert(server->pki)};
    gnutls_datum_t c = {(unsigned char *)cert, (unsigned)strlen(cert)};
    gnutls_datum_t k = {(unsigned char *)key, (unsigned)strlen(key)};
    ca.size = (unsigned)strlen((const char *)ca.data);
    if (gnutls_certificate_allocate_credentials(&link->credentials) < 0 ||
        gnutls_certificate_set_x509_trust_mem(link->credentials, &ca, GNUTLS_X509_FMT_PEM) <= 0 ||
        gnutls_certificate_set_x509_key_mem(link->credentials, &c, &k, GNUTLS_X509_FMT_PEM) < 0)
        return err_set(err, ERR_INTERNAL, "cannot use the certificate of %s", PROXY_USER);
    return 0;
}

static int wait_for(const struct node_link *link, int timeout_ms)
{
    struct pollfd wait = {.fd = link->fd,
                          .events = gnutls_record_get_direction(link->session) ? POLLOUT : POLLIN};
    return poll(&wait, 1, timeout_ms);
}

static int shake_hands(struct node_link *link, const char *node, const char *address, struct err *err)
{
    int rc = gnutls_init(&link->session, GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL);
    if (rc >= 0)
        rc = gnutls_set_default_priority(link->session);
    if (rc >= 0)
        rc = gnutls_credentials_set(link->session, GNUTLS_CRD_CERTIFICATE, link->credentials);
    if (rc < 0)
        return err_set(err, ERR_INTERNAL, "TLS: %s", gnutls_strerror(rc));
    gnutls_session_set_verify_cert(link->session, node, 0);
    gnutls_transport_set_int(link->session, link->fd);
    while ((rc = gnutls_handshake(link->session)) < 0 && !gnutls_error_is_fatal(rc)) {
        if (wait_for(link, HANDSHAKE_MS) != 1)
            return err_set(err, ERR_TIMEOUT, "dial tcp %s: TLS handshake timeout", address);
    }
    if (rc == GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR)
        return err_set(err, ERR_UNAVAILABLE, "tls: what answers at %s has no certificate of node %s", address,
                       node);
    return rc < 0 ? err_set(err, ERR_UNAVAILABLE, "tls: %s: %s", address, gnutls_strerror(rc)) : 0;
}

int node_link_open(struct node_link **out, struct api_server *server, const char *node, const char *address,
                   struct err *err)
{
    struct node_link *link = mem_zalloc(sizeof(*link));
    link->fd = -1;
    int rc = dial(address, &link->fd, err);
    if (rc)
        link->fd = -1;
    if (!rc)
        rc = load_credentials(link, server, err);
    if (!rc)
        rc = shake_hands(link, node, address, err);
    if (rc) {
        node_link_free(link);
        return rc;
    }
    *out = link;
    return 0;
}

void node_link_free(struct node_link *link)
{
    if (!link)
        return;
    if (link->session)
        gnutls_deinit(link->session);
    if (link->credentials)
        gnutls_certificate_free_credentials(link->credentials);
    if (link->fd >= 0)
        close(link->fd);
    buf_free(&link->in);
    buf_free(&link->head);
    free(link);
}

/* ---- a request and the beginning of its answer ---- */

static int send_all(struct node_link *link, const struct buf *bytes, struct err *err)
{
    for (size_t sent = 0; sent < bytes->len;) {
        ssize_t n = gnutls_record_send(link->session, bytes->data + sent, bytes->len - sent);
        if (n > 0)
            sent += (size_t)n;
        else if (gnutls_error_is_fatal((int)n))
            return err_set(err, ERR_UNAVAILABLE, "write: %s", gnutls_strerror((int)n));
        else if (wait_for(link, ANSWER_S * 1000) != 1)
            return err_set(err, ERR_TIMEOUT, "write: i/o timeout");
    }
    return 0;
}

/* Adds what comes next; *ended: nothing more. */
static int receive(struct node_link *link, struct buf *in, bool *ended, struct err *err)
{
    char block[8192];
    *ended = false;
    for (;;) {
        ssize_t n = gnutls_record_recv(link->session, block, sizeof(block));
        if (n > 0) {
            buf_append(in, block, (size_t)n);
            return 0;
        }
        /* The end without TLS' own farewell counts as one where HTTP says how long the answer is. */
        if (n == 0 || n == GNUTLS_E_PREMATURE_TERMINATION) {
            *ended = true;
            return 0;
        }
        if (gnutls_error_is_fatal((int)n))
            return err_set(err, ERR_UNAVAILABLE, "read: %s", gnutls_strerror((int)n));
        if (!gnutls_record_check_pending(link->session) && wait_for(link, ANSWER_S * 1000) != 1)
            return err_set(err, ERR_TIMEOUT, "read: i/o timeout");
    }
}

int node_link_ask(struct node_link *link, const struct buf *request, int *status, struct err *err)
{
    int rc = send_all(link, request, err);
    const char *end = NULL;
    bool ended = false;
    while (!rc && !end && !ended) {
        if (link->in.len > HEAD_MAX)
            return err_set(err, ERR_UNAVAILABLE, "the head of the answer is too long");
        rc = receive(link, &link->in, &ended, err);
        end = memmem(link->in.data, link->in.len, "\r\n\r\n", 4);
    }
    if (rc)
        return rc;
    if (!end || sscanf(buf_str(&link->in), "HTTP/1.%*1[01] %3d", status) != 1)
        return err_set(err, ERR_UNAVAILABLE, "read: unexpected EOF");
    link->head_len = (size_t)(end - link->in.data) + 4;
    buf_append(&link->head, link->in.data, link->head_len);
    return 0;
}

const struct buf *node_link_head(const struct node_link *link)
{
    return &link->head;
}

static size_t content_length(const struct node_link *link)
{
    static const char name[] = "\r\nContent-Length:";
    for (const char *p = buf_str(&link->head); (p = strstr(p, "\r\n")); p += 2) {
        if (strncasecmp(p, name, sizeof(name) - 1) == 0)
            return strtoul(p + sizeof(name) - 1, NULL, 10);
    }
    return SIZE_MAX;
}

int node_link_read_body(struct node_link *link, struct buf *out, struct err *err)
{
    size_t wanted = content_length(link);
    bool ended = false;
    int rc = 0;
    buf_append(out, link->in.data + link->head_len, link->in.len - link->head_len);
    while (!rc && !ended && out->len < wanted && out->len < BODY_MAX)
        rc = receive(link, out, &ended, err);
    return rc;
}

void node_link_run(struct node_link *link, int fd)
{
    const char *rest = link->in.data + link->head_len;
    size_t left = link->in.len - link->head_len;
    while (left > 0) {
        ssize_t n = send(fd, rest, left, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR)
            return;
        if (n > 0) {
            rest += n;
            left -= (size_t)n;
        }
    }
    http_tunnel_run(link->session, link->fd, fd);
}
