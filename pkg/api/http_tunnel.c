/* Plain bytes on one side, a TLS session on the other, until either ends. */
#include "api/http_internal.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#define TUNNEL_BLOCK 16384 /* one TLS record */

/* One direction: what was read and is not written yet. */
struct flow {
    char bytes[TUNNEL_BLOCK];
    size_t at, len;
    bool ended; /* nothing more will be read */
    bool stuck; /* the writing side takes nothing now */
};

struct tunnel {
    gnutls_session_t session;
    int tls_fd;
    int fd;
    struct flow in;  /* client to stream */
    struct flow out; /* stream to client */
};

static bool tls_later(ssize_t rc)
{
    return rc == GNUTLS_E_AGAIN || rc == GNUTLS_E_INTERRUPTED || rc == GNUTLS_E_WARNING_ALERT_RECEIVED;
}

/* Each step returns whether it moved anything. */
static bool read_client(struct tunnel *t)
{
    if (t->in.len || t->in.ended)
        return false;
    ssize_t n = gnutls_record_recv(t->session, t->in.bytes, TUNNEL_BLOCK);
    if (n > 0) {
        t->in.at = 0;
        t->in.len = (size_t)n;
        return true;
    }
    if (tls_later(n))
        return false;
    t->in.ended = true;
    return true;
}

static bool write_stream(struct tunnel *t)
{
    if (!t->in.len)
        return false;
    ssize_t n = send(t->fd, t->in.bytes + t->in.at, t->in.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    t->in.stuck = n < 0 && (errno == EAGAIN || errno == EINTR);
    if (t->in.stuck)
        return false;
    if (n < 0) { /* the stream wants no more: let the rest go */
        n = (ssize_t)t->in.len;
    }
    t->in.at += (size_t)n;
    t->in.len -= (size_t)n;
    return true;
}

static bool read_stream(struct tunnel *t)
{
    if (t->out.len || t->out.ended)
        return false;
    ssize_t n = recv(t->fd, t->out.bytes, TUNNEL_BLOCK, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    t->out.ended = n <= 0;
    t->out.at = 0;
    t->out.len = n > 0 ? (size_t)n : 0;
    return true;
}

static bool write_client(struct tunnel *t)
{
    if (!t->out.len)
        return false;
    ssize_t n = gnutls_record_send(t->session, t->out.bytes + t->out.at, t->out.len);
    t->out.stuck = n < 0 && tls_later(n);
    if (t->out.stuck)
        return false;
    if (n < 0) { /* the client is gone */
        t->out.len = 0;
        t->out.ended = true;
        return true;
    }
    t->out.at += (size_t)n;
    t->out.len -= (size_t)n;
    return true;
}

/* Until something can be moved again. */
static void wait_for_either(const struct tunnel *t)
{
    struct pollfd fds[2] = {{.fd = t->tls_fd}, {.fd = t->fd}};
    if (!t->in.len && !t->in.ended)
        fds[0].events |= POLLIN;
    if (t->out.len)
        fds[0].events |= POLLOUT;
    if (!t->out.len && !t->out.ended)
        fds[1].events |= POLLIN;
    if (t->in.len)
        fds[1].events |= POLLOUT;
    for (int i = 0; i < 2; i++)
        if (!fds[i].events)
            fds[i].fd = -1; /* a hang-up alone must not wake us over and over */
    poll(fds, 2, -1);
}

void http_tunnel_run(gnutls_session_t session, int tls_fd, int fd)
{
    struct tunnel t = {.session = session, .tls_fd = tls_fd, .fd = fd};
    bool told = false;
    while (!(t.out.ended && !t.out.len)) {
        bool moved = read_client(&t);
        moved |= write_stream(&t);
        moved |= read_stream(&t);
        moved |= write_client(&t);
        if (t.in.ended && !t.in.len && !told) {
            shutdown(fd, SHUT_WR);
            told = true;
        }
        if (!moved)
            wait_for_either(&t);
    }
    gnutls_bye(session, GNUTLS_SHUT_WR);
    shutdown(fd, SHUT_RDWR);
}
