/* See sync_frame.h. */
#include "ledger/sync_frame.h"

#include "chain/wire.h"

#include <sodium.h>
#include <string.h>

void sync_frame_encode(struct buf *out, const struct sync_frame *frame)
{
    wire_put_u8(out, (uint8_t)frame->type);
    if (frame->type == SYNC_GET_MANIFEST)
        return;
    buf_append(out, frame->id, HASH_SIZE);
    if (frame->type == SYNC_GET_CHUNK || frame->type == SYNC_CHUNK)
        wire_put_u32(out, frame->index);
    if (frame->type == SYNC_MANIFEST || frame->type == SYNC_CHUNK)
        buf_append(out, frame->bytes, frame->len);
}

bool sync_frame_decode(struct sync_frame *out, const void *bytes, size_t len)
{
    struct wire_reader in = wire_reader(bytes, len);
    *out = (struct sync_frame){.type = wire_get_u8(&in)};
    if (out->type < SYNC_GET_MANIFEST || out->type > SYNC_LACK)
        return false;
    if (out->type != SYNC_GET_MANIFEST)
        wire_get_copy(&in, out->id, HASH_SIZE);
    if (out->type == SYNC_GET_CHUNK || out->type == SYNC_CHUNK)
        out->index = wire_get_u32(&in);
    if (out->type == SYNC_MANIFEST || out->type == SYNC_CHUNK) {
        out->len = wire_left(&in);
        out->bytes = wire_get_raw(&in, out->len);
    }
    return wire_done(&in);
}

void sync_manifest_id(uint8_t out[HASH_SIZE], const void *manifest, size_t len)
{
    crypto_generichash(out, HASH_SIZE, manifest, len, NULL, 0);
}
