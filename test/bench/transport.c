/* See load.h: a connection, over TLS or in clear text. */
#include "load.h"

#include "base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* What has arrived and was not asked for yet: an answer is taken with one system call. */
struct arrived {
    int fd;
    size_t first, len;
    unsigned char bytes[16384];
};

static int connect_to(const struct target *target)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)target->port)};
    inet_pton(AF_INET, target->host, &address.sin_addr);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)))
        load_fail("cannot connect to %s:%d", target->host, target->port);
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}

/* Up to len bytes; waits only when there are none. As recv. */
static ssize_t arrived_take(gnutls_transport_ptr_t ptr, void *out, size_t len)
{
    struct arrived *a = ptr;
    if (!a->len) {
        ssize_t n = recv(a->fd, a->bytes, sizeof(a->bytes), 0);
        if (n <= 0)
            return n;
        a->first = 0;
        a->len = (size_t)n;
    }
    if (len > a->len)
        len = a->len;
    memcpy(out, a->bytes + a->first, len);
    a->first += len;
    a->len -= len;
    return (ssize_t)len;
}

static void shake_hands(struct transport *t, const struct target *target, const char *protocol)
{
    gnutls_certificate_allocate_credentials(&t->credentials);
    if (gnutls_certificate_set_x509_trust_file(t->credentials, target->ca, GNUTLS_X509_FMT_PEM) < 0 ||
        gnutls_certificate_set_x509_key_file(t->credentials, target->cert, target->key, GNUTLS_X509_FMT_PEM) <
            0)
        load_fail("cannot read the client certificate");
    gnutls_init(&t->session, GNUTLS_CLIENT);
    gnutls_set_default_priority(t->session);
    gnutls_credentials_set(t->session, GNUTLS_CRD_CERTIFICATE, t->credentials);
    gnutls_datum_t alpn = {(unsigned char *)protocol, (unsigned)strlen(protocol)};
    gnutls_alpn_set_protocols(t->session, &alpn, 1, 0);
    gnutls_transport_set_ptr2(t->session, t->arrived, (gnutls_transport_ptr_t)(intptr_t)t->arrived->fd);
    gnutls_transport_set_pull_function(t->session, arrived_take);
    int rc = gnutls_handshake(t->session);
    if (rc < 0)
        load_fail("TLS handshake: %s", gnutls_strerror(rc));
}

void transport_open(struct transport *t, const struct target *target, const char *protocol)
{
    *t = (struct transport){.arrived = mem_zalloc(sizeof(*t->arrived))};
    t->arrived->fd = connect_to(target);
    if (*target->ca)
        shake_hands(t, target, protocol);
}

void transport_close(struct transport *t)
{
    if (t->session) {
        gnutls_deinit(t->session);
        gnutls_certificate_free_credentials(t->credentials);
    }
    close(t->arrived->fd);
    free(t->arrived);
}

void transport_send(struct transport *t, const void *data, size_t len)
{
    for (size_t sent = 0; sent < len;) {
        const char *at = (const char *)data + sent;
        ssize_t n = t->session ? gnutls_record_send(t->session, at, len - sent)
                               : send(t->arrived->fd, at, len - sent, MSG_NOSIGNAL);
        if (t->session && (n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED))
            continue;
        if (n <= 0)
            load_fail("send: %s", t->session ? gnutls_strerror((int)n) : strerror(errno));
        sent += (size_t)n;
    }
}

size_t transport_take(struct transport *t, void *out, size_t len)
{
    ssize_t n;
    do
        n = t->session ? gnutls_record_recv(t->session, out, len) : arrived_take(t->arrived, out, len);
    while (t->session && (n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED));
    return n > 0 ? (size_t)n : 0;
}
