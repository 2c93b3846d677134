/*
 * Blocks that are durable in the log and not in LMDB yet, and what they made of the state. LMDB takes several
 * of them in one transaction (lmdb_batch.c): each transaction of its own writes some sixteen pages, however
 * little it changes.
 *
 * An overlay never changes. A commit makes another one with its block, a batch another one without its
 * blocks, and a snapshot keeps the one that was the newest when it began. Laid over any state of LMDB from
 * the one before its first block to the one of its last, it shows the state of its last block: what its
 * blocks have changed it knows itself, and the rest they have not changed.
 *
 * NULL is the empty one. Threads: any.
 */
#ifndef KATENA_BLOCKSTORE_OVERLAY_H
#define KATENA_BLOCKSTORE_OVERLAY_H

#include "blockstore/blocklog.h"
#include "chain/arena.h"
#include "chain/block.h"
#include "state/state.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A record that was put into the log. */
struct log_place {
    struct blocklog_pos pos, end;
    uint64_t next_seq;
    uint64_t final;
    bool pending; /* begun, and to be finished before LMDB's commit */
};

/* The newest change of an object. */
struct overlay_entry {
    const uint8_t *key; /* as in LMDB */
    size_t key_len;
    const struct state_change *change;
    uint64_t height;
};

/* A block and its update, in memory of its own. */
struct late_block {
    atomic_uint references;
    struct arena arena;
    struct block_header header, parent;
    struct log_place place;
    bool tentative;
    size_t bytes; /* about what it takes */
    struct state_update update;
    struct lthash hash;
    struct overlay_entry *entries; /* one for each object, in the order of LMDB's keys */
    size_t entry_count;
};

struct overlay {
    atomic_uint references;
    struct late_block **blocks; /* heights without a gap */
    size_t block_count;
    struct overlay_entry *entries; /* one for each object, in the order of LMDB's keys */
    size_t count;
};

/* A copy of an update and what it belongs to. The caller has a reference. */
struct late_block *late_block_new(const struct block_header *header, const struct block_header *parent,
                                  const struct state_update *update, bool tentative);
void late_block_release(struct late_block *block); /* takes NULL */

/* The one with a block more, of which it takes a reference; and without the blocks up to a height. The caller
 * has a reference to the result, and keeps the one to `before`. */
struct overlay *overlay_with(const struct overlay *before, struct late_block *block);
struct overlay *overlay_without(const struct overlay *before, uint64_t up_to_height);

struct overlay *overlay_retain(struct overlay *overlay);
void overlay_release(struct overlay *overlay);

const struct late_block *overlay_newest(const struct overlay *overlay);              /* NULL: empty */
const struct late_block *overlay_at(const struct overlay *overlay, uint64_t height); /* NULL: none */
const struct late_block *overlay_by_hash(const struct overlay *overlay, const uint8_t hash[HASH_SIZE]);

/* The first entry whose key is not before this one; the number of entries: none. */
size_t overlay_lower_bound(const struct overlay *overlay, const void *key, size_t len);
/* The newest change of an object; NULL: none here. */
const struct state_change *overlay_find(const struct overlay *overlay, const void *key, size_t len);
/* The sum of claims on a node; false: none of the blocks says it. */
bool overlay_claimed(const struct overlay *overlay, const char *node, struct tx_claim *out);

/* LMDB's order of keys. */
int overlay_compare(const void *a, size_t a_len, const void *b, size_t b_len);

#endif
