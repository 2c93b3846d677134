/*
 * Where the newest transactions and blocks are, by id, until there are enough of them for LMDB's index.
 *
 * Ids are random, so indexing each one with its block would cost every commit a leaf page and the way to it
 * per transaction. Instead a few thousand are kept here and go into LMDB at once, in order. They are found
 * again after a restart by reading the blocks that are not indexed yet.
 *
 * Threads: any; has its own lock.
 */
#ifndef KATENA_BLOCKSTORE_RECENT_H
#define KATENA_BLOCKSTORE_RECENT_H

#include "chain/block.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RECENT_MAX 2048 /* entries after which they are indexed */

struct recent;

/* What an id is of: two bits of its index. */
#define RECENT_KIND (3u << 30)
enum recent_kind {
    RECENT_TX = 0,
    RECENT_ORIGINAL = (int)(1u << 30), /* of a rebased transaction, whose place it is */
    RECENT_BLOCK = (int)(2u << 30),    /* the block's hash; of blocks that are not final at once */
};

struct recent_entry {
    uint8_t id[TX_ID_SIZE];
    uint64_t height;
    uint32_t index; /* with the kind */
};

struct recent *recent_new(void);
void recent_free(struct recent *recent);

/* with_hash: the block's hash, too. */
void recent_add(struct recent *recent, const struct block *block, bool with_hash);

/* Whether it is time to index them: they are many, or the oldest is from before time_us. */
bool recent_is_due(struct recent *recent, int64_t time_us);

/* All entries ordered by id, an array that the caller frees; and forgetting the ones up to a height, when
 * they are indexed. */
struct recent_entry *recent_sorted(struct recent *recent, size_t *count);
void recent_forget(struct recent *recent, uint64_t up_to_height);

/* Forgets the blocks from a height on: they were not committed, or are rewound. */
void recent_drop(struct recent *recent, uint64_t height);

bool recent_find(struct recent *recent, const uint8_t id[TX_ID_SIZE], enum recent_kind kind, uint64_t *height,
                 uint32_t *index);

#endif
