/* What the files of the block store share. See blockstore.h for the whole. */
#ifndef KATENA_BLOCKSTORE_INTERNAL_H
#define KATENA_BLOCKSTORE_INTERNAL_H

#include "blockstore/blocklog.h"
#include "blockstore/blockstore.h"
#include "blockstore/checkpoint.h"
#include "blockstore/hash_filter.h"
#include "blockstore/log_record.h"
#include "blockstore/overlay.h"
#include "blockstore/recent.h"
#include "state/undo.h"

#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>

#define BLOCKSTORE_FORMAT 4

/* The databases of the environment. Integers are little-endian in values, big-endian in keys. */
struct lmdb_dbs {
    MDB_dbi meta;    /* "format", "head" (struct below), "indexed" (height up to which txs goes), "state0" and
                        "state1" (the state hash in halves), "base" (in a store made of a snapshot: height u64
                        and time i64 of its block, height u64 of its oldest header) */
    MDB_dbi blocks;  /* height -> place in the log, hash, header */
    MDB_dbi txs;     /* id -> height u64, index and kind u32 (recent.h); the newest ones are in `recent` */
    MDB_dbi objects; /* key bytes -> record (state/record.h) */
    MDB_dbi terms;   /* index term, value -> key bytes, sorted duplicates */
    MDB_dbi claims;  /* node name -> 3 x i64 */
    MDB_dbi undo;    /* rv of a change -> record that it replaced */
    MDB_dbi
        segments; /* log segment -> where the chain stood when it was begun: height of the next block, time */
    MDB_dbi rollback;  /* height of a block that is not final -> its undo record (state/undo.h) */
    MDB_dbi sides;     /* hash of a side block -> place in the log, height, parent's hash */
    MDB_dbi orphans;   /* number -> transaction id */
    MDB_dbi abandoned; /* id of a transaction in a side block, or an orphan's of another store -> place in the
                          log, index u32, number u64; 0 when it was taken care of */
};

/* The value of "head". Integers in this order. */
struct lmdb_head {
    uint64_t height;
    struct blocklog_pos newest; /* record of the log that is in here; nowhere: none yet */
    struct blocklog_pos end;    /* behind it */
    uint64_t next_seq;          /* of the record behind it */
    uint64_t final;             /* blocks up to here are final */
    uint64_t unhashed;          /* blocks behind this one have their hashes in txs */
    uint64_t transactions;      /* in the chain */
    uint64_t orphan;            /* number of the newest orphan */
    struct blocklog_pos note;   /* the consensus manager's record; nowhere: none */
};
#define LMDB_HEAD_SIZE 72

/* lmdb_batch.c: the thread that brings blocks from the log into LMDB. */
struct lmdb_batch {
    pthread_t thread;
    bool started; /* else each block goes into LMDB with its commit */
    pthread_mutex_t lock;
    pthread_cond_t wake, done;
    struct late_block **queue; /* committed, and not in LMDB yet */
    size_t count, cap, bytes;
    int64_t oldest_us, newest_us; /* monotonic: since when they wait */
    int64_t tried_us;             /* the last attempt */
    uint64_t added, written;      /* blocks ever */
    uint64_t wanted;              /* somebody waits until so many are written */
    uint64_t failures;            /* attempts ever */
    bool stopping;
    int rc; /* of the last attempt */
    struct err err;
};

struct blockstore {
    struct blockstore_options options;
    char *dir;
    int dir_fd;
    int lock_fd; /* -1 when read only */
    MDB_env *env;
    struct lmdb_dbs dbs;
    struct blocklog *log;
    struct recent *recent; /* transactions that `txs` does not have yet */

    struct lmdb_head head; /* of what is in LMDB; under commit_lock, as the next */
    uint64_t trimmed;      /* side blocks were looked at when this height was final */

    /* Belong to the committing thread. */
    struct block_header head_header;
    bool ahead; /* LMDB has what the log failed to make durable. That is never seen, nothing is written on
                   it, and the next start goes back to the checkpoint. Under commit_lock */
    blockstore_undone_fn undone;
    void *undone_arg;

    _Atomic uint64_t final_height; /* is ahead of head.final until the next commit */
    uint64_t base_height;          /* of the snapshot that the store was made of; 0: none */
    int64_t base_time_us;          /* INT64_MIN: none */
    uint64_t base_first;           /* the oldest header that came with it, but for the genesis */

    pthread_mutex_t side_lock; /* guards the side block that was read last: orphans are read in a row */
    struct block *side_block;
    struct blocklog_pos side_pos;

    pthread_mutex_t filter_lock;
    struct hash_filter filter; /* hashes of the blocks up to filter_end that txs does not have */
    uint64_t filter_end;       /* exclusive */

    struct lmdb_batch batch;

    /* Readers: transactions that wait for their next use (lmdb_pool.c). */
    pthread_mutex_t pool_lock;
    pthread_cond_t pool_changed;
    struct state_snapshot *pool;
    struct overlay *overlay; /* what readers see beyond LMDB */
    bool concealed;          /* LMDB's newest state is not to be seen */
    uint64_t shown;          /* the transaction that readers see meanwhile */

    /* The newest commit, for readers of times and for the keeper. Written by the committing thread. */
    _Atomic int64_t head_time_us; /* INT64_MIN: no genesis yet */
    _Atomic uint64_t head_height;
    pthread_mutex_t commit_lock; /* held in a commit; the keeper takes it to capture a checkpoint */

    /* The keeper: a thread that makes checkpoints, prepares segments and prunes. */
    pthread_t keeper;
    bool keeper_started;
    pthread_mutex_t keeper_lock;
    pthread_cond_t keeper_wake;
    _Atomic bool stopping;
    bool dirty;                 /* something was committed since the last checkpoint */
    int64_t dirty_since_us;     /* monotonic */
    uint64_t dirty_bytes;       /* of log since then */
    bool work;                  /* a segment is wanted or prunable */
    bool urgent;                /* a checkpoint is due at once */
    _Atomic uint64_t pin_pages; /* that data.mdb had at the last checkpoint */
    _Atomic unsigned page_size;
    void *map;    /* where data.mdb is mapped; NULL when that cannot be told */
    MDB_txn *pin; /* holds the pages of the last checkpoint */
    uint64_t pin_height;
    pthread_mutex_t checkpoint_lock; /* one checkpoint at a time */
    _Atomic int64_t prune_at_us;     /* block time from which the oldest segment may go */
};

struct state_snapshot {
    struct blockstore *store;
    MDB_txn *txn;
    uint64_t id;             /* the transaction of which it shows the state; 0: none, it was reset */
    struct overlay *overlay; /* what is laid over it; only while somebody has it */
    struct state_snapshot *next;
};

/* A value of blocks. */
struct lmdb_block {
    struct blocklog_pos pos;
    uint8_t hash[HASH_SIZE];
    uint8_t header[BLOCK_HEADER_SIZE];
};
#define LMDB_BLOCK_SIZE (8 + HASH_SIZE + BLOCK_HEADER_SIZE)
#define LMDB_ID_SIZE (8 + 4) /* of an entry of the index of ids: height, index with the kind */

/* lmdb_env.c */
int lmdb_error(struct err *err, int rc, const char *what);
int lmdb_open(struct blockstore *store, struct err *err);
void lmdb_close(struct blockstore *store);
MDB_val lmdb_val(const void *data, size_t len);
/* Reads the head within a transaction; ERR_NOT_FOUND (err not filled) before the genesis. */
int lmdb_head_get(struct blockstore *store, MDB_txn *txn, struct lmdb_head *out, struct err *err);
uint64_t lmdb_indexed_get(struct blockstore *store, MDB_txn *txn);
int lmdb_block_get(struct blockstore *store, MDB_txn *txn, uint64_t height, struct lmdb_block *out,
                   struct err *err);

int lmdb_base_get(struct blockstore *store, MDB_txn *txn);
int lmdb_hash_get(struct blockstore *store, MDB_txn *txn, struct lthash *out, struct err *err);
/* Reads and decodes the block whose record is at pos. */
int lmdb_body_get(struct blockstore *store, struct blocklog_pos pos, const uint8_t hash[HASH_SIZE],
                  struct block **out, struct err *err);

/* lmdb_commit.c: one block and its update in one transaction; a note; the head alone. Each sets store->head.
 * What undoes a tentative block is kept. No blocks wait in the overlay. */
int lmdb_commit(struct blockstore *store, const struct block *block, const struct log_place *place,
                const struct state_update *update, bool tentative, struct err *err);
int lmdb_commit_note(struct blockstore *store, const struct log_place *place, struct err *err);
int lmdb_commit_orphan(struct blockstore *store, const struct log_place *place, const uint8_t id[TX_ID_SIZE],
                       struct err *err);
int lmdb_commit_base(struct blockstore *store, const struct log_place *place, struct err *err);
int lmdb_commit_final(struct blockstore *store, uint64_t final, struct err *err);
/* ERR_IO when LMDB has to stay as it is until the next start. */
int lmdb_writable(struct blockstore *store, struct err *err);
/* Its parts. They return codes of LMDB. */
int lmdb_put_update(struct blockstore *store, MDB_txn *txn, const struct state_update *update);
int lmdb_put_head(struct blockstore *store, MDB_txn *txn, const struct lmdb_head *head);
int lmdb_put_block(struct blockstore *store, MDB_txn *txn, const struct block_header *header,
                   struct blocklog_pos pos);
int lmdb_put_terms(struct blockstore *store, MDB_txn *txn, const struct state_object *object);
int lmdb_put_total(struct blockstore *store, MDB_txn *txn, const struct state_claim_total *total);
int lmdb_put_id(struct blockstore *store, MDB_txn *txn, const uint8_t id[HASH_SIZE], uint64_t height,
                uint32_t index);
int lmdb_put_hash(struct blockstore *store, MDB_txn *txn, const struct lthash *hash);
int lmdb_put_number(struct blockstore *store, MDB_txn *txn, const char *name, uint64_t number);
int lmdb_put_segment(struct blockstore *store, MDB_txn *txn, const struct log_place *place);
/* Blocks in one transaction, oldest first, under commit_lock. */
int lmdb_commit_late(struct blockstore *store, struct late_block *const *blocks, size_t count,
                     struct err *err);
/* Whether there are side blocks or orphans, which a block may change. */
bool lmdb_has_abandoned(struct blockstore *store);
/* Ends a transaction with the head that it leads to; aborts it when rc, a code of LMDB, is not 0. LMDB's
 * commit goes on while the disk writes the record in the log (NULL: none), and is seen when that is durable.
 * A block's transactions come to be known right before. */
struct lmdb_end {
    const struct lmdb_head *head;
    const struct log_place *place;
    const struct block *block;
    bool tentative;
};
int lmdb_finish(struct blockstore *store, MDB_txn *txn, int rc, const struct lmdb_end *end, struct err *err);
void lmdb_head_advance(struct lmdb_head *head, const struct log_place *place);

/* lmdb_rewind.c: takes the blocks above a height back. */
int lmdb_rewind(struct blockstore *store, uint64_t height, const struct log_place *place, struct err *err);

/* lmdb_orphans.c: side blocks and their transactions, within a transaction. All return codes of LMDB. */
struct abandoned {
    uint8_t id[TX_ID_SIZE];
    struct blocklog_pos pos;
    uint32_t index;
};
int lmdb_abandon_block(struct blockstore *store, MDB_txn *txn, const struct block_header *header,
                       struct blocklog_pos pos);
int lmdb_abandon_tx(struct blockstore *store, MDB_txn *txn, const struct abandoned *abandoned,
                    uint64_t number);
/* A block is on the chain: it is no side block, and its transactions no orphans. */
int lmdb_adopt_block(struct blockstore *store, MDB_txn *txn, const struct block *block);
/* Drops the side blocks that do not stand on the final block, and what is remembered of their transactions
 * when none of those waits. */
int lmdb_trim_sides(struct blockstore *store, MDB_txn *txn, uint64_t final);
/* The oldest log segment that side blocks, orphans, blocks that are not final, or the note need. */
uint32_t lmdb_oldest_needed(struct blockstore *store, MDB_txn *txn);

/* blockstore.c: a store without any file opened yet; takes and frees it in any state. */
struct blockstore *blockstore_new(const struct blockstore_options *options);
void blockstore_free(struct blockstore *store);

/* import.c: an import that was whole when the process ended becomes the store. */
int import_complete(int dir_fd, struct err *err);

/* set_aside.c: what was saved of a store that was damaged becomes orphans of this one. */
int set_aside_adopt(struct blockstore *store, struct err *err);
/* blockstore_write.c: one orphan, durably. */
int blockstore_put_orphan(struct blockstore *store, const struct tx *tx, struct err *err);

/* blockstore_replay.c: a record that is in the log and not yet in LMDB; a blocklog_record_fn. */
int blockstore_replay(void *store, const struct blocklog_record *record, struct err *err);
void blockstore_note_head(struct blockstore *store, const struct block_header *header);
/* One block into LMDB, under commit_lock. */
int blockstore_commit_to_lmdb(struct blockstore *store, const struct block *block,
                              const struct log_place *place, const struct state_update *update,
                              bool tentative, struct err *err);
int blockstore_rewind_in_lmdb(struct blockstore *store, uint64_t height, const struct log_place *place,
                              struct err *err);

/* lmdb_pool.c: snapshots of the newest state that may be seen. */
struct state_snapshot *lmdb_snapshot_begin(void *store);
void lmdb_snapshot_end(struct state_snapshot *snapshot);
/* Lays a block over LMDB, and takes those up to a height away again, which are in it. */
void lmdb_pool_cover(struct blockstore *store, struct late_block *block);
void lmdb_pool_uncover(struct blockstore *store, uint64_t up_to_height);
/* From here to there, snapshots show the state as it is now; commits are made by one thread at a time. */
void lmdb_pool_conceal(struct blockstore *store);
void lmdb_pool_reveal(struct blockstore *store);
/* What waits lets go of states before a transaction; and of all. */
void lmdb_pool_release(struct blockstore *store, uint64_t before);
void lmdb_pool_drain(struct blockstore *store);

/* lmdb_batch.c: commits blocks later, several at once. */
void lmdb_batch_init(struct lmdb_batch *batch);
int lmdb_batch_start(struct blockstore *store, struct err *err);
/* Before a block is put into the log: waits while too many wait. Fails when LMDB takes none: ERR_UNAVAILABLE
 * when the disk is full. */
int lmdb_batch_make_room(struct blockstore *store, struct err *err);
/* Shows a block, which is durable in the log, to readers, and takes it (a reference). */
void lmdb_batch_add(struct blockstore *store, struct late_block *block);
/* Waits until all that was committed so far is in LMDB. */
int lmdb_batch_settle(struct blockstore *store, struct err *err);
void lmdb_batch_stop(struct blockstore *store);

/* keeper.c */
int keeper_start(struct blockstore *store, struct err *err);
void keeper_stop(struct blockstore *store);
void keeper_note_commit(struct blockstore *store, uint64_t log_bytes);
void keeper_note_failure(struct blockstore *store);
/* Pins what is in LMDB now as a checkpoint, and saves it unless `saved` says that the file is of this state.
 */
int keeper_pin_first(struct blockstore *store, bool saved, struct err *err);

#endif
