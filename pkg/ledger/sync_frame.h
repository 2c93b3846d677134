/* Frames of PEER_CHANNEL_SYNC, as ledger/sync.h draws them. */
#ifndef KATENA_LEDGER_SYNC_FRAME_H
#define KATENA_LEDGER_SYNC_FRAME_H

#include "base/buf.h"
#include "chain/hash.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sync_frame_type {
    SYNC_GET_MANIFEST = 1,
    SYNC_MANIFEST = 2,
    SYNC_GET_CHUNK = 3,
    SYNC_CHUNK = 4,
    SYNC_LACK = 5,
};

struct sync_frame {
    enum sync_frame_type type;
    uint8_t id[HASH_SIZE]; /* of the snapshot */
    uint32_t index;
    const uint8_t *bytes; /* of a manifest or a chunk; borrowed */
    size_t len;
};

void sync_frame_encode(struct buf *out, const struct sync_frame *frame);

/* False: it is no such frame. */
bool sync_frame_decode(struct sync_frame *out, const void *bytes, size_t len);

/* What names a snapshot: a hash of its manifest. */
void sync_manifest_id(uint8_t out[HASH_SIZE], const void *manifest, size_t len);

#endif
