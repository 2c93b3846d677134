/* A snapshot's manifest, and a chunk, from any bytes: the first byte says which. */
#include "blockstore/snapshot.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was accepted has one encoding. */
static void try_manifest(const uint8_t *data, size_t size)
{
    struct snapshot_manifest manifest;
    struct err err;
    if (snapshot_manifest_decode(&manifest, data, size, &err) < 0)
        return;
    buf_auto struct buf again = BUF_INIT;
    snapshot_manifest_encode(&again, &manifest);
    assert(again.len == size && !memcmp(again.data, data, size));
    snapshot_manifest_check(&manifest, manifest.genesis.hash, &err);
    snapshot_manifest_free(&manifest);
}

static void try_chunk(const uint8_t *data, size_t size)
{
    struct snapshot_reader reader = {data, data + size};
    struct state_object object;
    struct err err;
    size_t count = 0;
    while (snapshot_chunk_next(&reader, &object, &err) > 0) {
        assert(reader.next <= data + size && strlen(object.key.name) && strlen(object.uid) < size);
        count++;
    }
    assert(count <= size / 4);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    if (data[0] % 2)
        try_chunk(data + 1, size - 1);
    else
        try_manifest(data + 1, size - 1);
    return 0;
}
