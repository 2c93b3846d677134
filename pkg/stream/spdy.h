/*
 * The part of SPDY/3.1 that Kubernetes' streams need, on the side that opens streams: SYN_STREAM with
 * headers, data in both directions, half-close, and answers to PING. The peers (Go's spdystream) use no flow
 * control, so WINDOW_UPDATE and SETTINGS are passed over. What a SYN_REPLY says is not needed either. Pure.
 */
#ifndef KATENA_STREAM_SPDY_H
#define KATENA_STREAM_SPDY_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <zlib.h>

/* The largest frame that is accepted; its length has 24 bits. */
#define SPDY_FRAME_MAX (1u << 24)

enum spdy_event {
    SPDY_NONE,    /* more bytes must come */
    SPDY_DATA,    /* data on a stream, perhaps its last */
    SPDY_RESET,   /* a stream was refused or broken off */
    SPDY_GOAWAY,  /* the peer opens and takes no more */
    SPDY_IGNORED, /* a frame that asks for nothing */
    SPDY_ERROR,   /* not SPDY/3 */
};

struct spdy {
    struct buf in;
    struct buf out; /* to be sent; the caller consumes it */
    uint32_t next_stream;
    z_stream deflate;
    size_t consumed; /* of in, by the last event */
};

struct spdy_frame {
    uint32_t stream;
    bool fin;
    const char *data;
    size_t len;
};

/* The 1423 bytes with which both sides prime the compression of headers (SPDY/3, 2.6.10.1). */
#define SPDY_DICTIONARY_MAX 1500
size_t spdy_dictionary(uint8_t out[SPDY_DICTIONARY_MAX]);

void spdy_init(struct spdy *spdy);
void spdy_free(struct spdy *spdy);

/* Opens a stream with one header beside none; returns its id. */
uint32_t spdy_open(struct spdy *spdy, const char *header, const char *value);
void spdy_send(struct spdy *spdy, uint32_t stream, const void *data, size_t len, bool fin);

void spdy_feed(struct spdy *spdy, const void *data, size_t len);
/* The next event; *frame is set for SPDY_DATA and SPDY_RESET and borrowed until the next call. */
enum spdy_event spdy_next(struct spdy *spdy, struct spdy_frame *frame);

#endif
