/* See load.h: the HTTP side. */
#include "load.h"

#include "base/mem.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

void load_fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

int load_connect(const struct target *target)
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

void http_open(struct http_connection *c, const struct target *target)
{
    *c = (struct http_connection){.fd = load_connect(target)};
    gnutls_certificate_allocate_credentials(&c->credentials);
    if (gnutls_certificate_set_x509_trust_file(c->credentials, target->ca, GNUTLS_X509_FMT_PEM) < 0 ||
        gnutls_certificate_set_x509_key_file(c->credentials, target->cert, target->key, GNUTLS_X509_FMT_PEM) <
            0)
        load_fail("cannot read the client certificate");
    gnutls_init(&c->session, GNUTLS_CLIENT);
    gnutls_set_default_priority(c->session);
    gnutls_credentials_set(c->session, GNUTLS_CRD_CERTIFICATE, c->credentials);
    gnutls_transport_set_int(c->session, c->fd);
    int rc = gnutls_handshake(c->session);
    if (rc < 0)
        load_fail("TLS handshake: %s", gnutls_strerror(rc));
}

void http_close(struct http_connection *c)
{
    gnutls_deinit(c->session);
    gnutls_certificate_free_credentials(c->credentials);
    close(c->fd);
    free(c->buffer);
}

static void send_all(struct http_connection *c, const void *data, size_t len)
{
    for (size_t sent = 0; sent < len;) {
        ssize_t n = gnutls_record_send(c->session, (const char *)data + sent, len - sent);
        if (n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED)
            continue;
        if (n <= 0)
            load_fail("send: %s", gnutls_strerror((int)n));
        sent += (size_t)n;
    }
}

bool http_read_more(struct http_connection *c)
{
    if (c->capacity - c->length < 16384) {
        c->capacity = c->capacity ? c->capacity * 2 : 65536;
        c->buffer = mem_realloc(c->buffer, c->capacity + 1);
    }
    for (;;) {
        ssize_t n = gnutls_record_recv(c->session, c->buffer + c->length, c->capacity - c->length);
        if (n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED)
            continue;
        if (n <= 0)
            return false;
        c->length += (size_t)n;
        c->buffer[c->length] = '\0';
        return true;
    }
}

void http_send_get(struct http_connection *c, const char *path)
{
    char head[1024];
    int n = snprintf(head, sizeof(head),
                     "GET %s HTTP/1.1\r\nHost: katena\r\nAccept: application/json\r\n\r\n", path);
    send_all(c, head, (size_t)n);
}

/* The length of a chunked body that is whole in the text, moved together in place; -1 when more is to come.
 */
static ssize_t join_chunks(char *text, size_t len)
{
    /* First look whether the last chunk is there, then move. */
    size_t at = 0;
    for (;;) {
        char *line = memmem(text + at, len - at, "\r\n", 2);
        if (!line)
            return -1;
        size_t size = strtoul(text + at, NULL, 16);
        at = (size_t)(line - text) + 2 + size + 2;
        if (at > len)
            return -1;
        if (!size)
            break;
    }
    size_t out = 0;
    for (at = 0;;) {
        size_t size = strtoul(text + at, NULL, 16);
        if (!size)
            return (ssize_t)out;
        at = (size_t)((char *)memmem(text + at, len - at, "\r\n", 2) - text) + 2;
        memmove(text + out, text + at, size);
        out += size;
        at += size + 2;
    }
}

static int read_answer(struct http_connection *c, size_t *answer, size_t *answer_len)
{
    char *end = NULL;
    c->length = 0;
    while (!end) {
        if (!http_read_more(c))
            load_fail("the server closed the connection");
        end = memmem(c->buffer, c->length, "\r\n\r\n", 4);
    }
    int status = atoi(c->buffer + 9);
    *answer = (size_t)(end - c->buffer) + 4;
    char *length = strcasestr(c->buffer, "\r\ncontent-length:");
    if (length && length < end) {
        *answer_len = strtoul(length + 17, NULL, 10);
        while (c->length < *answer + *answer_len)
            if (!http_read_more(c))
                load_fail("the answer is cut");
        return status;
    }
    for (ssize_t n;
         (n = join_chunks(c->buffer + *answer, c->length - *answer)) < 0 || (*answer_len = (size_t)n, 0);)
        if (!http_read_more(c))
            load_fail("the answer is cut");
    return status;
}

int http_call(struct http_connection *c, const char *method, const char *path, const char *content_type,
              const void *body, size_t body_len, size_t *answer, size_t *answer_len)
{
    char request[8192];
    int n = snprintf(request, sizeof(request),
                     "%s %s HTTP/1.1\r\nHost: katena\r\nAccept: application/json\r\nContent-Type: %s\r\n"
                     "Content-Length: %zu\r\n\r\n",
                     method, path, content_type, body_len);
    if ((size_t)n + body_len > sizeof(request))
        load_fail("the request is too long");
    if (body_len)
        memcpy(request + n, body, body_len);
    send_all(c, request, (size_t)n + body_len);
    return read_answer(c, answer, answer_len);
}
