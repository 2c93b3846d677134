/* Shared by the files of the streams. */
#ifndef KATENA_STREAM_INTERNAL_H
#define KATENA_STREAM_INTERNAL_H

#include "base/buf.h"
#include "base/err.h"
#include "stream/stream.h"

#include <stdbool.h>

/* Connects to the runtime's streaming server and upgrades to SPDY; *rest gets what came behind its answer.
 * Returns the socket, or a negative code. */
int stream__connect(const char *url, const char *subprotocol, struct buf *rest, struct err *err);

/* One side of a relay: a socket and what waits to be sent to it. */
struct stream__end {
    int fd;
    struct buf out;
    bool eof; /* it sends no more */
};

/* Waits until one side can go on, sends what waits, and reads up to room bytes from each side that is allowed
 * to send. Returns the number of bytes read from ends[i] in got[i], in in[i]; false when a side has broken.
 */
#define STREAM_CHUNK 65536
bool stream__step(struct stream__end ends[2], char *in[2], size_t got[2], const bool want[2], int timeout_ms);

/* Bytes unchanged in both directions. */
void stream__relay(const struct stream_request *request, int upstream_fd, const struct buf *rest);

/* SPDY bytes carried in the binary messages of a WebSocket. */
void stream__tunnel(const struct stream_request *request, int upstream_fd, const struct buf *rest);

/* Channels of a WebSocket joined with streams of SPDY. */
void stream__translate(const struct stream_request *request, int upstream_fd, const struct buf *rest);

#endif
