/*
 * Frames on the wire: the payloads of a connection's binary WebSocket messages, one after the other, are a
 * stream of frames:
 *
 *   u8 channel | varint length | payload
 *
 * Where a WebSocket message ends means nothing. So small frames that wait for the socket leave in one
 * message, one TLS record and one segment, and a block of 32 MiB goes out in pieces.
 *
 * Pure: no sockets, no clock.
 */
#ifndef KATENA_PEER_FRAME_H
#define KATENA_PEER_FRAME_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_HEADER_MAX 5                /* a channel and a length below 2^28 */
#define FRAME_CONTROL_MAX (64u << 10)     /* a frame of channel 0 */
#define FRAME_UNKNOWN_PEER_MAX (8u << 10) /* of channel 0, while the peer has not proved who it is */

/* Writes a header; returns its length. len is below 2^28. */
size_t frame_header(uint8_t out[FRAME_HEADER_MAX], uint8_t channel, size_t len);

struct frame {
    uint8_t channel;
    const uint8_t *bytes; /* valid until the next call for the same reader */
    size_t len;
};

enum frame_fault {
    FRAME_FINE,
    FRAME_TOO_LARGE,
    FRAME_BAD_CHANNEL,
    FRAME_BAD_LENGTH, /* not in the shortest form */
};

/* Zeroed: at the start of a stream, of a peer that has not proved who it is. */
struct frame_reader {
    bool known; /* all channels and sizes are allowed */
    uint8_t header[FRAME_HEADER_MAX];
    size_t header_len;
    bool in_payload;
    uint8_t channel;
    size_t need;     /* length of the payload */
    struct buf part; /* of a payload that did not come in one piece */
    enum frame_fault fault;
};

/* Takes the next frame out of *bytes, which it advances. False: more bytes are needed, or fault is set, and
 * stays. A frame that lies whole in *bytes is not copied. Memory grows with what has really come. */
bool frame_reader_next(struct frame_reader *reader, const uint8_t **bytes, size_t *len, struct frame *frame);
void frame_reader_free(struct frame_reader *reader);

const char *frame_fault_text(enum frame_fault fault);

#endif
