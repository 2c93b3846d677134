/* See http_send.h. */
#include "api/http_send.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define PARTS_MAX 8

static size_t length_of(const giovec_t *parts, int count)
{
    size_t len = 0;
    for (int i = 0; i < count; i++)
        len += parts[i].iov_len;
    return len;
}

static void keep(struct http_sender *sender, const giovec_t *parts, int count)
{
    for (int i = 0; i < count; i++) {
        memcpy(sender->bytes + sender->held, parts[i].iov_base, parts[i].iov_len);
        sender->held += parts[i].iov_len;
    }
}

/* Of what was sent, the held bytes were first. Says how much of the rest went, which the session is told to
 * send again when it was nothing. */
static ssize_t account(struct http_sender *sender, size_t sent)
{
    if (sent <= sender->held && sender->held) {
        memmove(sender->bytes, sender->bytes + sent, sender->held - sent);
        sender->held -= sent;
        errno = EAGAIN;
        return -1;
    }
    sent -= sender->held;
    sender->held = 0;
    return (ssize_t)sent;
}

ssize_t http_send_push(gnutls_transport_ptr_t ptr, const giovec_t *parts, int count)
{
    struct http_sender *sender = ptr;
    bool hold = sender->hold_next && !sender->held;
    sender->hold_next = false;
    if (hold && length_of(parts, count) <= HTTP_SEND_HELD_MAX) {
        keep(sender, parts, count);
        return (ssize_t)sender->held;
    }
    struct iovec all[PARTS_MAX + 1];
    if (count > PARTS_MAX)
        count = PARTS_MAX; /* the session sends the rest again */
    all[0] = (struct iovec){.iov_base = sender->bytes, .iov_len = sender->held};
    for (int i = 0; i < count; i++)
        all[i + 1] = (struct iovec){.iov_base = parts[i].iov_base, .iov_len = parts[i].iov_len};
    bool held = sender->held > 0;
    struct msghdr message = {.msg_iov = held ? all : all + 1, .msg_iovlen = (size_t)count + held};
    ssize_t sent = sendmsg(sender->fd, &message, MSG_NOSIGNAL);
    return sent < 0 ? sent : account(sender, (size_t)sent);
}

void http_send_hold(struct http_sender *sender)
{
    sender->hold_next = true;
}

void http_send_start(struct http_sender *sender, gnutls_session_t session, int fd)
{
    sender->fd = fd;
    sender->hold_next = false;
    sender->held = 0;
    gnutls_transport_ptr_t receive, send;
    gnutls_transport_get_ptr2(session, &receive, &send);
    gnutls_transport_set_ptr2(session, receive, sender);
    gnutls_transport_set_vec_push_function(session, http_send_push);
}
