/* See stream.h: what to speak with the client, and the way to the runtime. */
#include "stream/stream_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

/* In the order of preference; each table ends with NULL. */
#define HANG_UP_MS 3000
static const char *const spdy_exec[] = {"v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io",
                                        "channel.k8s.io", NULL};
static const char *const spdy_forward[] = {"portforward.k8s.io", NULL};
static const char *const websocket_exec[] = {"v5.channel.k8s.io", "v4.channel.k8s.io",
                                             "v4.base64.channel.k8s.io", "v3.channel.k8s.io", NULL};
static const char *const websocket_forward[] = {"SPDY/3.1+portforward.k8s.io", NULL};

static bool offered(const char *offer, const char *protocol)
{
    size_t len = strlen(protocol);
    for (const char *p = offer; *p;) {
        p += strspn(p, ", \t");
        size_t n = strcspn(p, ", \t");
        if (n == len && strncasecmp(p, protocol, n) == 0)
            return true;
        p += n;
    }
    return false;
}

const char *stream_negotiate(enum stream_protocol protocol, const char *offer, bool port_forward)
{
    const char *const *table = protocol == STREAM_SPDY ? (port_forward ? spdy_forward : spdy_exec)
                                                       : (port_forward ? websocket_forward : websocket_exec);
    for (; *table; table++)
        if (offered(offer, *table))
            return *table;
    return NULL;
}

/* Splits "http://host:port/path". */
static bool parse_url(const char *url, char host[256], char port[8], const char **path)
{
    if (strncmp(url, "http://", 7) != 0)
        return false;
    url += 7;
    size_t n = strcspn(url, "/");
    const char *colon = memrchr(url, ':', n);
    *path = url[n] ? url + n : "/";
    size_t host_len = colon ? (size_t)(colon - url) : n;
    size_t port_len = colon ? n - host_len - 1 : 0;
    if (host_len == 0 || host_len >= 256 || port_len >= 8)
        return false;
    memcpy(host, url, host_len);
    host[host_len] = '\0';
    if (host[0] == '[' && host[host_len - 1] == ']') {
        memmove(host, host + 1, host_len - 2);
        host[host_len - 2] = '\0';
    }
    snprintf(port, 8, "%.*s", port_len ? (int)port_len : 2, port_len ? colon + 1 : "80");
    return true;
}

static int tcp_connect(const char *host, const char *port, struct err *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *list = NULL;
    if (getaddrinfo(host, port, &hints, &list) != 0)
        return err_set(err, ERR_UNAVAILABLE, "no address for %s", host);
    int fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int one = 1;
    int rc = fd < 0 ? -1 : connect(fd, list->ai_addr, list->ai_addrlen);
    freeaddrinfo(list);
    if (rc != 0) {
        err_set_errno(err, "connect to %s:%s", host, port);
        if (fd >= 0)
            close(fd);
        return err->code;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}

/* Reads the head of the answer; what came behind it stays in answer. */
static int read_answer(int fd, struct buf *answer, struct err *err)
{
    char *end;
    while (!answer->data || !(end = strstr(answer->data, "\r\n\r\n"))) {
        buf_reserve(answer, 4096);
        ssize_t n = recv(fd, answer->data + answer->len, 4096, 0);
        if (n <= 0 || answer->len > 64 * 1024)
            return err_set(err, ERR_UNAVAILABLE, "the runtime's streaming server does not answer");
        answer->len += (size_t)n;
        answer->data[answer->len] = '\0';
    }
    int status = 0;
    if (sscanf(answer->data, "HTTP/1.%*d %d", &status) != 1 || status != 101) {
        *end = '\0';
        return err_set(err, ERR_UNAVAILABLE, "the runtime's streaming server refused: %.200s", answer->data);
    }
    buf_consume(answer, (size_t)(end + 4 - answer->data));
    return 0;
}

int stream__connect(const char *url, const char *subprotocol, struct buf *rest, struct err *err)
{
    char host[256], port[8];
    const char *path;
    struct buf request buf_auto = BUF_INIT;
    if (!parse_url(url, host, port, &path))
        return err_set(err, ERR_INVALID, "malformed address of a stream: %s", url);
    int fd = tcp_connect(host, port, err);
    if (fd < 0)
        return fd;
    buf_printf(&request,
               "POST %s HTTP/1.1\r\nHost: %s:%s\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
               "X-Stream-Protocol-Version: %s\r\nContent-Length: 0\r\n\r\n",
               path, host, port, subprotocol);
    int rc = send(fd, request.data, request.len, MSG_NOSIGNAL) == (ssize_t)request.len
                 ? read_answer(fd, rest, err)
                 : err_set_errno(err, "send to %s:%s", host, port);
    if (rc == 0)
        return fd;
    close(fd);
    return rc;
}

static bool flush(struct stream__end *end)
{
    while (end->out.len > 0) {
        ssize_t n = send(end->fd, end->out.data, end->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK;
        buf_consume(&end->out, (size_t)n);
    }
    return true;
}

static bool take(struct stream__end *end, char *in, size_t *got)
{
    ssize_t n = recv(end->fd, in, STREAM_CHUNK, MSG_DONTWAIT);
    if (n < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
    end->eof = n == 0;
    *got = (size_t)n;
    return true;
}

bool stream__step(struct stream__end ends[2], char *in[2], size_t got[2], const bool want[2], int timeout_ms)
{
    struct pollfd fds[2];
    for (int i = 0; i < 2; i++) {
        bool reads = want[i] && !ends[i].eof;
        fds[i] = (struct pollfd){.fd = ends[i].fd,
                                 .events = (short)((reads ? POLLIN : 0) | (ends[i].out.len ? POLLOUT : 0))};
        if (!fds[i].events)
            fds[i].fd = -1; /* else a side that has ended would wake us without end */
        got[i] = 0;
    }
    if (poll(fds, 2, timeout_ms) < 0)
        return errno == EINTR;
    for (int i = 0; i < 2; i++) {
        if ((fds[i].revents & POLLOUT) && !flush(&ends[i]))
            return false;
        if ((fds[i].revents & (POLLIN | POLLHUP | POLLERR)) && want[i] && !ends[i].eof &&
            !take(&ends[i], in[i], &got[i]))
            return false;
    }
    return true;
}

/* A connection that is closed with unread bytes is reset, and a reset may overtake what was sent last. So
 * the client, which ends the connection when it has seen the end of the streams, hangs up first. */
static void await_hang_up(int client_fd)
{
    char bytes[4096];
    int64_t until_us = clock_mono_us() + HANG_UP_MS * 1000;
    for (;;) {
        int64_t left_ms = (until_us - clock_mono_us()) / 1000;
        struct pollfd in = {.fd = client_fd, .events = POLLIN};
        if (left_ms <= 0 || poll(&in, 1, (int)left_ms) <= 0 || recv(client_fd, bytes, sizeof(bytes), 0) <= 0)
            return;
    }
}

void stream_serve(const struct stream_request *request)
{
    struct err err;
    struct buf rest buf_auto = BUF_INIT;
    /* Runtimes speak v4 and less, so a WebSocket client gets v4 translated. */
    const char *upstream = request->protocol == STREAM_SPDY ? request->subprotocol
                           : request->port_forward          ? "portforward.k8s.io"
                                                            : "v4.channel.k8s.io";
    int fd = stream__connect(request->url, upstream, &rest, &err);
    if (fd < 0) {
        log_warn("stream", "%s", err.message);
        return;
    }
    if (request->protocol == STREAM_SPDY)
        stream__relay(request, fd, &rest);
    else if (request->port_forward)
        stream__tunnel(request, fd, &rest);
    else
        stream__translate(request, fd, &rest);
    close(fd);
    await_hang_up(request->client_fd);
}
