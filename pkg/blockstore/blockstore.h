/*
 * The blocks store of a node: the block log (blocklog.h), which is what makes a block durable, and an LMDB
 * environment with the current state and all indexes, which can always be brought up to the log again.
 *
 *   DIR/log-*.seg     blocks, one fdatasync each
 *   DIR/data.mdb      LMDB without syncs: state, headers, indexes
 *   DIR/checkpoint    how data.mdb looked when it was last synced (checkpoint.h)
 *   DIR/lock          held by the process that writes
 *
 * A commit is: block to the log, fdatasync, one LMDB transaction. A process that is killed leaves LMDB whole,
 * at most one block behind the log. A machine that loses power can leave LMDB's pages written in any order;
 * then the checkpoint is restored and the log behind it replayed. docs/storage.md argues each case.
 *
 * Threads: commit, and open and close, by one thread at a time; snapshots and block reads by any.
 */
#ifndef KATENA_BLOCKSTORE_BLOCKSTORE_H
#define KATENA_BLOCKSTORE_BLOCKSTORE_H

#include "base/err.h"
#include "chain/block.h"
#include "chain/lthash.h"
#include "state/state.h"
#include "state/state_store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct blockstore;

struct blockstore_options {
    const char *dir;
    bool read_only;            /* reads beside the process that writes, or a stopped node's data */
    uint64_t retention_us;     /* of block bodies; 0: a day */
    uint64_t checkpoint_us;    /* a checkpoint follows the first change after that time; 0: 5 s */
    uint64_t checkpoint_bytes; /* or after so much log; 0: 64 MiB */
    uint32_t first_segment;    /* see blocklog.h */
};

/* Opens the store and recovers: afterwards the state is that of the last whole block in the log. With
 * read_only, what the writing process has committed is seen, now and in later snapshots. ERR_CONFLICT when
 * another process writes to it, ERR_NOT_FOUND when there is nothing to read. */
int blockstore_open(struct blockstore **out, const struct blockstore_options *options, struct err *err);
void blockstore_close(struct blockstore *store); /* takes NULL; writes a checkpoint when one is due */

struct blockstore_head {
    struct block_header header;
    struct lthash state_hash;
};

/* The newest block; ERR_NOT_FOUND in a store without a genesis. */
int blockstore_head(struct blockstore *store, struct blockstore_head *out, struct err *err);

/* Makes a block and its state durable. The genesis comes with an update without changes. On failure nothing
 * has changed: ERR_UNAVAILABLE when the disk is full, so that it may be tried again. */
int blockstore_commit(struct blockstore *store, const struct block *block, const struct state_update *update,
                      struct err *err);

/* The operations of state_store.h; the handle is the struct blockstore. */
const struct state_store_ops *blockstore_ops(void);

/* Lookups at the newest head. ERR_NOT_FOUND when there is none; ERR_GONE for a body that was pruned. */
int blockstore_header_at(struct blockstore *store, uint64_t height, struct block_header *out,
                         struct err *err);
int blockstore_block_at(struct blockstore *store, uint64_t height, struct block **out, struct err *err);
int blockstore_height_of_hash(struct blockstore *store, const uint8_t hash[HASH_SIZE], uint64_t *height,
                              struct err *err);
int blockstore_height_of_tx(struct blockstore *store, const uint8_t id[TX_ID_SIZE], uint64_t *height,
                            uint32_t *index, struct err *err);

/* The one transaction or block whose id begins with these hexadecimal digits. ERR_BAD_REQUEST: no digits, or
 * several ids. */
int blockstore_find_id(struct blockstore *store, const char *text, uint8_t out[HASH_SIZE], bool *is_block,
                       struct err *err);

/* The first block whose time is at or after time_us: the head's height + 1 when there is none. */
int blockstore_height_at_time(struct blockstore *store, int64_t time_us, uint64_t *height, struct err *err);

/* What a change at this rv replaced, where the object's previous body may be pruned: a record as of
 * state/record.h. ERR_NOT_FOUND: the body is still in the log. */
int blockstore_undo_at(struct blockstore *store, uint64_t rv, struct buf *record, struct err *err);

/* History is kept back to this time. */
int64_t blockstore_horizon_us(struct blockstore *store);

/* Writes a checkpoint now when anything changed since the last. */
int blockstore_checkpoint(struct blockstore *store, struct err *err);

struct blockstore_stats {
    uint64_t objects;
    uint64_t transactions;
    uint64_t log_bytes;   /* of all segments */
    uint64_t state_bytes; /* of LMDB's pages in use */
    uint64_t checkpoint_height;
    uint64_t oldest_body; /* height of the oldest block whose body is there */
};
int blockstore_stats(struct blockstore *store, struct blockstore_stats *out, struct err *err);

#endif
