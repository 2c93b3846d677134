/*
 * Streams between a client (kubectl exec, attach, port-forward) and the container runtime's streaming
 * server: SPDY/3.1 is passed through byte by byte; WebSocket (v5.channel.k8s.io, v4.channel.k8s.io, …) is
 * translated to SPDY, since runtimes speak no v5.
 */
#ifndef KATENA_STREAM_STREAM_H
#define KATENA_STREAM_STREAM_H

#include <stdbool.h>
#include <stddef.h>

enum stream_protocol { STREAM_SPDY, STREAM_WEBSOCKET };

struct stream_request {
    enum stream_protocol protocol;
    const char
        *subprotocol; /* as negotiated with the client, e.g. "v5.channel.k8s.io", "v4.channel.k8s.io" */
    const char *url;  /* of the runtime's streaming server */
    bool port_forward;
    /* What was asked for, as the runtime was asked; WebSocket exec and attach only. */
    bool stdin_, stdout_, stderr_, tty;
    int client_fd;     /* plain bytes after the client's 101; not closed here */
    const void *early; /* bytes that came with the upgrade request */
    size_t early_len;
};

/* The first subprotocol of the comma-separated offer that is supported; NULL when there is none. The result
 * is static. */
const char *stream_negotiate(enum stream_protocol protocol, const char *offer, bool port_forward);

/* The Sec-WebSocket-Accept for a key (RFC 6455, 4.2.2): 28 characters and a NUL. */
void stream_websocket_accept(char out[29], const char *key);

/* Serves one client until either side ends. Blocks; run it on a thread of its own. */
void stream_serve(const struct stream_request *request);

#endif
