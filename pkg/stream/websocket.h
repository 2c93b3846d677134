/*
 * The server's side of the WebSocket protocol (RFC 6455): frames in and out. Pure.
 */
#ifndef KATENA_STREAM_WEBSOCKET_H
#define KATENA_STREAM_WEBSOCKET_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The largest message that a client may send; kubectl sends 32 KiB at most. */
#define WEBSOCKET_MESSAGE_MAX (4u << 20)

enum websocket_opcode {
    WEBSOCKET_CONTINUATION = 0,
    WEBSOCKET_TEXT = 1,
    WEBSOCKET_BINARY = 2,
    WEBSOCKET_CLOSE = 8,
    WEBSOCKET_PING = 9,
    WEBSOCKET_PONG = 10,
};

/* Status codes of a close frame (7.4.1). */
#define WEBSOCKET_NORMAL 1000
#define WEBSOCKET_PROTOCOL_ERROR 1002
#define WEBSOCKET_TOO_BIG 1009
#define WEBSOCKET_INTERNAL_ERROR 1011

/* Reads messages out of a stream of client frames. Zero-initialised is ready. */
struct websocket_reader {
    struct buf in;      /* bytes not yet parsed */
    struct buf message; /* the data message that is being put together */
    enum websocket_opcode opcode;
    bool in_message;
    struct buf control; /* the payload of a control frame */
};

void websocket_reader_free(struct websocket_reader *reader);
void websocket_reader_feed(struct websocket_reader *reader, const void *data, size_t len);

/* Takes the next message: returns 1 and sets the rest (borrowed until the next call), 0 when more bytes must
 * come, or minus the status code of the close frame with which the connection must end. */
int websocket_reader_next(struct websocket_reader *reader, enum websocket_opcode *opcode, const char **data,
                          size_t *len);

/* Appends one whole, unmasked frame. */
void websocket_write(struct buf *out, enum websocket_opcode opcode, const void *data, size_t len);
void websocket_write_close(struct buf *out, unsigned status);

#endif
