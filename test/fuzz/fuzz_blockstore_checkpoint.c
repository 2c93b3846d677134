/* The checkpoint file: whatever is decoded encodes to the same bytes. */
#include "blockstore/checkpoint.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_bytes(const void *bytes, size_t size)
{
    struct checkpoint checkpoint;
    struct err err;
    if (checkpoint_decode(&checkpoint, bytes, size, &err) < 0)
        return;
    buf_auto struct buf again = BUF_INIT;
    checkpoint_encode(&again, &checkpoint);
    assert(again.len == size && !memcmp(again.data, bytes, size));
    checkpoint_free(&checkpoint);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_bytes(data, size);
    if (size < 32)
        return 0;
    /* Past the checksum too. */
    uint8_t *fixed = malloc(size);
    memcpy(fixed, data, size);
    crypto_generichash(fixed + size - 32, 32, fixed, size - 32, NULL, 0);
    try_bytes(fixed, size);
    free(fixed);
    return 0;
}
