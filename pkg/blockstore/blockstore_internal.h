/* What the files of the block store share. See blockstore.h for the whole. */
#ifndef KATENA_BLOCKSTORE_INTERNAL_H
#define KATENA_BLOCKSTORE_INTERNAL_H

#include "blockstore/blocklog.h"
#include "blockstore/blockstore.h"
#include "blockstore/checkpoint.h"
#include "blockstore/recent.h"

#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>

#define BLOCKSTORE_FORMAT 3

/* The databases of the environment. Integers are little-endian in values, big-endian in keys. */
struct lmdb_dbs {
    MDB_dbi meta;    /* "format", "head" (struct below), "indexed" (height up to which txs goes), "state0" and
                        "state1" (the state hash in halves) */
    MDB_dbi blocks;  /* height -> place in the log, hash, header */
    MDB_dbi txs;     /* transaction id -> height u64, index u32; the newest ones are in `recent` */
    MDB_dbi objects; /* key bytes -> record (state/record.h) */
    MDB_dbi terms;   /* index term, value -> key bytes, sorted duplicates */
    MDB_dbi claims;  /* node name -> 3 x i64 */
    MDB_dbi undo;    /* rv of a change -> record that it replaced */
    MDB_dbi segments; /* log segment -> height of its first block */
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

    /* Readers: transactions that wait for their next use. */
    pthread_mutex_t pool_lock;
    pthread_cond_t pool_returned;
    struct state_snapshot *pool;

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
    unsigned page_size;
    void *map;    /* where data.mdb is mapped; NULL when that cannot be told */
    MDB_txn *pin; /* holds the pages of the last checkpoint */
    uint64_t pin_height;
    pthread_mutex_t checkpoint_lock; /* one checkpoint at a time */
    _Atomic int64_t prune_at_us;     /* block time from which the oldest segment may go */
};

struct state_snapshot {
    struct blockstore *store;
    MDB_txn *txn;
    struct state_snapshot *next;
};

/* The value of "head". */
struct lmdb_head {
    uint64_t height;
    struct blocklog_pos end; /* of the log behind that block */
};

/* A value of blocks. */
struct lmdb_block {
    struct blocklog_pos pos;
    uint8_t hash[HASH_SIZE];
    uint8_t header[BLOCK_HEADER_SIZE];
};
#define LMDB_BLOCK_SIZE (8 + HASH_SIZE + BLOCK_HEADER_SIZE)

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

/* lmdb_commit.c: one block and its update in one transaction. */
int lmdb_commit(struct blockstore *store, const struct block *block, struct blocklog_pos pos,
                struct blocklog_pos end, const struct state_update *update, struct err *err);

/* lmdb_snapshot.c */
struct state_snapshot *lmdb_snapshot_begin(void *store);
void lmdb_snapshot_end(struct state_snapshot *snapshot);
void lmdb_pool_drain(struct blockstore *store);

/* keeper.c */
int keeper_start(struct blockstore *store, struct err *err);
void keeper_stop(struct blockstore *store);
void keeper_note_commit(struct blockstore *store, uint64_t log_bytes);
/* Pins what is in LMDB now as a checkpoint, and saves it unless `saved` says that the file is of this state.
 */
int keeper_pin_first(struct blockstore *store, bool saved, struct err *err);

#endif
