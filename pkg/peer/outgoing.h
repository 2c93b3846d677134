/*
 * Frames on their way out of one connection: a bounded queue for each channel. A lower channel goes first, so
 * that heartbeats and blocks do not wait behind a snapshot; within a channel frames keep their order, and a
 * frame that has begun is finished. Not locked: the owner does that.
 */
#ifndef KATENA_PEER_OUTGOING_H
#define KATENA_PEER_OUTGOING_H

#include "peer/frame.h"
#include "peer/peer.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OUTGOING_MAX (64u << 20)  /* bytes that may wait */
#define OUTGOING_FRAMES_MAX 65536 /* frames that may wait on a channel */
#define OUTGOING_CHANNELS (PEER_CHANNEL_SYNC + 1)

/* A frame with its header; shared by the connections that it is for. */
struct parcel {
    atomic_uint references;
    uint8_t channel;
    size_t len;
    uint8_t bytes[];
};

struct parcel *parcel_make(uint8_t channel, const void *payload,
                           size_t len); /* one reference, the caller's */
void parcel_release(struct parcel *parcel);

struct outgoing_channel {
    struct parcel **ring;
    size_t cap, first, count;
};

struct outgoing {
    struct outgoing_channel channels[OUTGOING_CHANNELS];
    size_t waiting;         /* bytes, with what is left of the current frame */
    struct parcel *current; /* begun and not finished */
    size_t at;              /* how much of it is out */
};

/* Takes a reference of its own; false, and no change, when the queue is full. A control frame always fits. */
bool outgoing_push(struct outgoing *out, struct parcel *parcel);

/* Fills bytes with what is to be sent next, up to size; *frames grows by the frames that this finishes. */
size_t outgoing_fill(struct outgoing *out, uint8_t *bytes, size_t size, uint64_t *frames);

static inline bool outgoing_empty(const struct outgoing *out)
{
    return out->waiting == 0;
}

/* Lets go of what has not begun. */
void outgoing_drop(struct outgoing *out);
void outgoing_free(struct outgoing *out);

#endif
