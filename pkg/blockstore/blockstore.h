/*
 * The blocks store of a node: the block log (blocklog.h), which is what makes a block durable, and an LMDB
 * environment with the current state and all indexes, which can always be brought up to the log again.
 *
 *   DIR/log-*.seg     blocks and what else is durable (log_record.h), one fdatasync each
 *   DIR/data.mdb      LMDB without syncs: state, headers, indexes
 *   DIR/checkpoint    how data.mdb looked when it was last synced (checkpoint.h)
 *   DIR/lock          held by the process that writes
 *
 * A commit is: block to the log, fdatasync, and what it changes is laid over LMDB for readers (overlay.h).
 * Some milliseconds later several blocks go into LMDB in one transaction. A process that is killed leaves
 * LMDB whole, some blocks behind the log. A machine that loses power can leave LMDB's pages written in any
 * order; then the checkpoint is restored and the log behind it replayed. docs/storage.md argues each case.
 *
 * Threads: commits, rewinds, records and finalize, and open and close, by one thread at a time; snapshots and
 * block reads, and what concerns orphans, by any.
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
 * read_only, what the writing process has in LMDB is seen, now and in later snapshots. ERR_CONFLICT when
 * another process writes to it, ERR_NOT_FOUND when there is nothing to read. */
int blockstore_open(struct blockstore **out, const struct blockstore_options *options, struct err *err);
void blockstore_close(struct blockstore *store); /* takes NULL; writes a checkpoint when one is due */

/* Whether a chain was begun in this directory, or came whole: opening a store elsewhere begins one. */
bool blockstore_exists(const char *dir);

struct blockstore_head {
    struct block_header header;
    struct lthash state_hash;
};

/* Moves the files of a store that blockstore_open calls damaged (ERR_CORRUPT) to DIR.damaged-N, whose name
 * goes to path, so that a snapshot can be imported in its place. What is not the store's (node.key) stays.
 * Its orphans and the consensus manager's record are saved, where they can be read: whatever store is opened
 * in DIR next has them. */
int blockstore_set_aside(const char *dir, char *path, size_t path_size, struct err *err);

/* The newest block; ERR_NOT_FOUND in a store without a genesis. */
int blockstore_head(struct blockstore *store, struct blockstore_head *out, struct err *err);

/* Makes a block and its state durable. The genesis comes with an update without changes. On failure nothing
 * has changed: ERR_UNAVAILABLE when the disk is full, so that it may be tried again. When there is room for
 * the log but not for LMDB, the next commits tell it. */
int blockstore_commit(struct blockstore *store, const struct block *block, const struct state_update *update,
                      struct err *err);

/* ---- with several validators: a chain that can go back ---- */

/* As blockstore_commit; a block that is not final keeps what undoes it (state/undo.h). */
int blockstore_commit_tentative(struct blockstore *store, const struct block *block,
                                const struct state_update *update, struct err *err);

/* Makes the block of that height the newest again, durably: one record in the log, then the undo records of
 * the blocks above in one LMDB transaction. The blocks above become side blocks, and each of their
 * transactions an orphan. ERR_GONE: a block above is final. On failure nothing has changed. */
int blockstore_rewind(struct blockstore *store, uint64_t height, struct err *err);

/* Calls fn with what a rewind undid, newest change first, before it is durable: for telling watchers. */
typedef void (*blockstore_undone_fn)(void *arg, const struct state_change *change);
void blockstore_on_undone(struct blockstore *store, blockstore_undone_fn fn, void *arg);

/* Blocks up to that height will never be rewound: what undoes them may go, and side blocks that do not stand
 * on the block at that height. Becomes durable with the next commit. */
int blockstore_finalize(struct blockstore *store, uint64_t height, struct err *err);
uint64_t blockstore_final_height(struct blockstore *store); /* any thread */

/* A few KiB that are replaced as a whole, durably, through the log: the consensus manager's lock and votes.
 * Written by the thread that commits. ERR_NOT_FOUND: there never was one. */
int blockstore_put_record(struct blockstore *store, const void *record, size_t len, struct err *err);
int blockstore_get_record(struct blockstore *store, struct buf *record, struct err *err);

/* A block that was rewound and whose branch is not ruled out yet. */
int blockstore_side_block(struct blockstore *store, const uint8_t hash[HASH_SIZE], struct block **out,
                          struct err *err);

/* Orphans: transactions of rewound blocks that nobody has taken care of yet, in the order of their blocks.
 * They survive restarts. A block that has one as it is takes care of it; one that has a rebased form of it
 * does not. after 0 gives the first one; each has a number of its own. ERR_NOT_FOUND: no more. */
int blockstore_orphan_next(struct blockstore *store, uint64_t after, uint64_t *number, struct tx **out,
                           struct err *err);
int blockstore_orphan_done(struct blockstore *store, uint64_t number, struct err *err);
uint64_t blockstore_orphan_count(struct blockstore *store);

/* A transaction by id, wherever it is: on the current chain, in a side block, among the orphans. What a
 * rebase takes an abandoned version from. ERR_GONE where its body was pruned. */
int blockstore_tx(struct blockstore *store, const uint8_t id[TX_ID_SIZE], struct tx **out, struct err *err);

/* ---- snapshots: a state without its history ---- */

#define BLOCKSTORE_CHUNK_BYTES (1u << 20)
#define BLOCKSTORE_SNAPSHOT_HEADERS 2048 /* a certificate may speak of a block so far back */
#define BLOCKSTORE_SNAPSHOT_REPEATS 256  /* no transaction of so many blocks back may be repeated */

/* A copy of the state at the newest final block, for others to fetch in chunks, in whatever order: first the
 * manifest (the header, up to BLOCKSTORE_SNAPSHOT_HEADERS headers before it, the genesis' header, the ids of
 * the transactions in at least BLOCKSTORE_SNAPSHOT_REPEATS blocks, and a hash of each chunk), then chunks of
 * whole records in key order (snapshot.h has the encoding). What blocks above the final one did is left out,
 * so there is no need to wait for them to become final. It reads from one LMDB snapshot of its own, which it
 * holds, so it should not be kept for long; beginning reads the whole state once. Any thread, one at a time.
 * ERR_UNAVAILABLE: more than fits into memory was changed since the final block. */
struct blockstore_export;
int blockstore_export_begin(struct blockstore *store, struct blockstore_export **out, struct err *err);
void blockstore_export_end(struct blockstore_export *export);
int blockstore_export_manifest(struct blockstore_export *export, struct buf *out, struct err *err);
size_t blockstore_export_chunks(const struct blockstore_export *export);
int blockstore_export_chunk(struct blockstore_export *export, size_t index, struct buf *out, struct err *err);

/* Makes a store in a directory without one from what others sent, chunk by chunk in any order. Nothing is
 * trusted but the chain id: headers must be signed and follow each other, each chunk must have its hash, and
 * when all are there the state must have the digest of the header, which the caller has checked against
 * finalized ones. (Only the ids of recent transactions cannot be checked: they say what is refused as
 * included already.) An import that is not finished goes on where it was after a restart, and with the
 * manifest of a later block: chunks that are the same need not be fetched again. ERR_EXISTS: there is a
 * store. */
struct blockstore_import;
int blockstore_import_begin(struct blockstore_import **out, const char *dir, const void *manifest, size_t len,
                            const uint8_t chain_id[HASH_SIZE], struct err *err);
const struct block_header *blockstore_import_header(const struct blockstore_import *import);
size_t blockstore_import_chunks(const struct blockstore_import *import);
bool blockstore_import_has(const struct blockstore_import *import, size_t index);
int blockstore_import_chunk(struct blockstore_import *import, size_t index, const void *bytes, size_t len,
                            struct err *err);
/* Checks the whole and makes the directory a store that blockstore_open takes: its blocks begin behind the
 * snapshot's, and that one is final. Frees import in any case. ERR_CORRUPT: it is not what it claims to be,
 * and what was fetched is gone. */
int blockstore_import_finish(struct blockstore_import *import, struct err *err);
void blockstore_import_abort(struct blockstore_import *import); /* keeps what is there for the next time */

/* ---- another chain with the same state ---- */

struct blockstore_carry {
    const char *dir;                                            /* of the new store; there is none in it */
    bool (*keep)(void *arg, const struct state_object *object); /* NULL: all */
    void *arg;
    int64_t now_us;
    const uint8_t *secret_key; /* of the new chain's first validator: 64 bytes */
};

/* Makes a store of a new chain whose genesis carries the state at the head of `from` over (BLOCK_CARRIES),
 * less the objects that keep refuses. The others stay as they are: content, uid, resourceVersion, index
 * terms, claims. The whole state is checked against the head's hash on the way: ERR_CORRUPT. Nobody may write
 * to `from` meanwhile. */
struct blockstore_carried {
    struct block_header genesis;
    uint64_t objects; /* that were kept */
};
int blockstore_carry_over(struct blockstore *from, const struct blockstore_carry *carry,
                          struct blockstore_carried *out, struct err *err);

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

/* The transaction on the chain that took the place of this one (struct tx's original). */
int blockstore_height_of_rebased(struct blockstore *store, const uint8_t original[TX_ID_SIZE],
                                 uint64_t *height, uint32_t *index, struct err *err);

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
    uint64_t oldest_body; /* height of the oldest block whose body is there; the head's + 1: none */
    uint64_t final_height;
    uint64_t base_height;  /* of the snapshot that the store was made of; 0: it begins with the genesis */
    uint64_t first_header; /* height of the oldest header that it has but for the genesis' */
    uint64_t orphans;
    uint64_t side_blocks;
};
int blockstore_stats(struct blockstore *store, struct blockstore_stats *out, struct err *err);

#endif
