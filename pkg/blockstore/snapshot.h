/*
 * The encoding of a snapshot of the state: a manifest, and chunks. It is no part of the chain; version 1.
 *
 *   manifest: "KATENASN" | u32 version | header of the genesis 256 |
 *             u64 transactions in the chain up to there |
 *             varint count | headers 256 each, oldest first; the last is that of the snapshot's block |
 *             varint count | ids of the transactions of recent blocks, newest first: varint how far its block
 * is below | u32 index and kind (recent.h) | id 32 varint count | chunks: u32 length | BLAKE2b-256 of its
 * bytes chunk:    records, each u32 length | record (state/record.h), in the order of the keys
 *
 * Where a chunk ends depends on the keys in it, so that chunks of neighbouring blocks' states are mostly the
 * same, and what was fetched of one can be used for the next.
 */
#ifndef KATENA_BLOCKSTORE_SNAPSHOT_H
#define KATENA_BLOCKSTORE_SNAPSHOT_H

#include "base/buf.h"
#include "base/err.h"
#include "blockstore/blockstore.h"
#include "state/state_store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SNAPSHOT_VERSION 1
/* Ids are named of the last BLOCKSTORE_SNAPSHOT_REPEATS blocks, however many, each of which has an original
 * at most; and beyond those of so much of the chain, while they are no more than that. */
#define SNAPSHOT_IDS_MAX (BLOCKSTORE_SNAPSHOT_REPEATS * BLOCK_OUTPUTS_MAX * 2)
#define SNAPSHOT_IDS_US (600ll * 1000000)
#define SNAPSHOT_IDS_WANTED 65536
#define SNAPSHOT_CHUNKS_MAX (1u << 20)
#define SNAPSHOT_CHUNK_MAX (32u << 20)

struct snapshot_id {
    uint64_t below; /* height of the snapshot's block minus that of its block */
    uint32_t index; /* with its kind */
    uint8_t id[HASH_SIZE];
};

struct snapshot_chunk {
    uint32_t len;
    uint8_t hash[HASH_SIZE];
};

struct snapshot_manifest {
    struct block_header genesis;
    uint64_t transactions;
    struct block_header *headers;
    size_t header_count;
    struct snapshot_id *ids;
    size_t id_count;
    struct snapshot_chunk *chunks;
    size_t chunk_count;
};

void snapshot_manifest_encode(struct buf *out, const struct snapshot_manifest *manifest);

/* Checks the grammar only; ERR_CORRUPT leaves nothing to free. */
int snapshot_manifest_decode(struct snapshot_manifest *out, const void *bytes, size_t len, struct err *err);
void snapshot_manifest_free(struct snapshot_manifest *manifest);

/* That the headers follow each other, are signed, and belong to the chain. */
int snapshot_manifest_check(const struct snapshot_manifest *manifest, const uint8_t chain_id[HASH_SIZE],
                            struct err *err);

/* Appends a record; true: the chunk ends behind it. */
bool snapshot_chunk_add(struct buf *chunk, const void *key, size_t key_len, const void *record, size_t len);

/* The next record of a chunk: 1, 0 at its end, or ERR_CORRUPT. Of *out, only what the state hash covers is to
 * be relied on: content_hash and entry_hash are made anew, and anything beside is refused. *out points into
 * the bytes. */
struct snapshot_reader {
    const uint8_t *next, *end;
};
int snapshot_chunk_next(struct snapshot_reader *reader, struct state_object *out, struct err *err);

#endif
