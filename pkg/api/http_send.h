/*
 * How a connection's TLS records reach its socket.
 *
 * libmicrohttpd sends the head and the body of an answer as two TLS records with a system call each, and a
 * client that waits wakes up for both. A sender that knows that a body follows at once holds the head's
 * record back, and both leave together. Whatever is sent next takes held bytes with it.
 *
 * A sender belongs to its connection, and is used by whoever has the connection at the moment.
 */
#ifndef KATENA_API_HTTP_SEND_H
#define KATENA_API_HTTP_SEND_H

#include <gnutls/gnutls.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_SEND_HELD_MAX 512 /* a longer head is not held */

struct http_sender {
    int fd;
    bool hold_next;
    size_t held;
    uint8_t bytes[HTTP_SEND_HELD_MAX];
};

/* From here on the session, which is on the socket fd, sends through the sender. */
void http_send_start(struct http_sender *sender, gnutls_session_t session, int fd);

/* The next record is a head whose body follows at once. */
void http_send_hold(struct http_sender *sender);

/* What the session calls: as sendmsg, with errno. For tests. */
ssize_t http_send_push(gnutls_transport_ptr_t sender, const giovec_t *parts, int count);

#endif
