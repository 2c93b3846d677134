/*
 * Where the newest transactions are, by id, until there are enough of them for LMDB's index.
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

#define RECENT_MAX 2048 /* transactions after which they are indexed */

struct recent;

struct recent_entry {
    uint8_t id[TX_ID_SIZE];
    uint64_t height;
    uint32_t index;
};

struct recent *recent_new(void);
void recent_free(struct recent *recent);

void recent_add(struct recent *recent, const struct block *block);

/* Whether it is time to index them: they are many, or the oldest is from before time_us. */
bool recent_is_due(struct recent *recent, int64_t time_us);

/* All entries ordered by id, an array that the caller frees; and forgetting the ones up to a height, when
 * they are indexed. */
struct recent_entry *recent_sorted(struct recent *recent, size_t *count);
void recent_forget(struct recent *recent, uint64_t up_to_height);

/* Takes the transactions of the newest block back: it was not committed. */
void recent_drop(struct recent *recent, uint64_t height);

size_t recent_count(struct recent *recent);

bool recent_find(struct recent *recent, const uint8_t id[TX_ID_SIZE], uint64_t *height, uint32_t *index);

#endif
