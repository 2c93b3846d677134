/*
 * The keeper: a thread beside the commits that makes checkpoints, prepares log segments and prunes. It sleeps
 * without a timer while nothing changes, so an idle node writes nothing and wakes nobody.
 *
 * Locks, in this order: checkpoint_lock, commit_lock, keeper_lock.
 */
#include "blockstore/blockstore_internal.h"
#include "blockstore/bytes.h"

#include "base/clock.h"
#include "base/log.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#define GROWTH_MAX (16u << 20)
#define WRITE_OUT_PIECE (128 << 10)
#define WRITE_OUT_PASSES 8
#define WRITE_OUT_LITTLE_US 10000
#define RETRY_US 5000000 /* after a failure, such as a full disk */

/* Starts the pin of a new checkpoint and copies what the file needs. No commit is going on. */
static int capture(struct blockstore *store, struct checkpoint *checkpoint, MDB_txn **pin, struct err *err)
{
    MDB_stat stat;
    mdb_env_stat(store->env, &stat);
    store->page_size = stat.ms_psize;
    int rc = mdb_txn_begin(store->env, NULL, MDB_RDONLY, pin);
    if (rc)
        return lmdb_error(err, rc, "begin a checkpoint");
    struct lmdb_head head = {0};
    rc = lmdb_head_get(store, *pin, &head, err);
    if (rc == ERR_NOT_FOUND)
        rc = 0; /* before the genesis */
    if (!rc)
        rc = checkpoint_capture(checkpoint, store->dir_fd, stat.ms_psize, err);
    if (rc < 0) {
        mdb_txn_abort(*pin);
        return rc;
    }
    checkpoint->txn_id = mdb_txn_id(*pin);
    checkpoint->height = head.height;
    checkpoint->log_segment = head.end.segment;
    checkpoint->log_offset = head.end.offset;
    return 0;
}

/* Writes what is dirty by now out, a piece at a time, and returns how long that took. */
static int64_t write_out_pass(struct blockstore *store, int fd)
{
    struct stat st;
    int64_t begun = clock_mono_us();
    if (fstat(fd, &st) < 0)
        return 0;
    for (off_t at = 0; at < st.st_size && !store->stopping; at += WRITE_OUT_PIECE)
        sync_file_range(fd, at, WRITE_OUT_PIECE,
                        SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
    return clock_mono_us() - begun;
}

/* Before the sync, in small pieces, and what becomes dirty meanwhile once more until that is little: all at
 * once it would hold up the log's own syncs behind it in the disk's queue, a quarter of a second for 100 MB,
 * in which no commit ends. With pieces of 1 MiB, one commit in a hundred still took 4 ms instead of 2. */
static void write_out_gently(struct blockstore *store)
{
    mdb_filehandle_t fd;
    if (mdb_env_get_fd(store->env, &fd))
        return;
    for (int pass = 0; pass < WRITE_OUT_PASSES && write_out_pass(store, fd) > WRITE_OUT_LITTLE_US;)
        pass++;
}

/* Takes the file's pages out of this process's memory map; they stay in the kernel's cache, and come back
 * when they are read. Otherwise all that a burst of writes has touched would count as this process's memory.
 */
static void forget_pages(struct blockstore *store)
{
    MDB_envinfo info;
    mdb_env_info(store->env, &info);
    store->pin_pages = info.me_last_pgno;
    if (store->map)
        madvise(store->map, (info.me_last_pgno + 1) * store->page_size, MADV_DONTNEED);
}

static void replace_pin(struct blockstore *store, MDB_txn *pin, uint64_t height)
{
    if (store->pin)
        mdb_txn_abort(store->pin);
    lmdb_pool_release(store, mdb_txn_id(pin));
    store->pin = pin;
    store->pin_height = height;
    forget_pages(store);
}

/* What became final since the last commit. No commit is going on. */
static int save_final(struct blockstore *store, struct err *err)
{
    uint64_t final = store->final_height, here = store->head.height;
    final = final < here ? final : here;
    return final > store->head.final ? lmdb_commit_final(store, final, err) : 0;
}

/* What is captured becomes the checkpoint, and its pin the store's. */
static int complete(struct blockstore *store, const struct checkpoint *checkpoint, MDB_txn *pin,
                    struct err *err)
{
    /* A reader of another process that was killed would hold its pages for ever. */
    int dead;
    mdb_reader_check(store->env, &dead);
    write_out_gently(store);
    int rc = mdb_env_sync(store->env, 1);
    rc = rc ? lmdb_error(err, rc, "sync the state store") : checkpoint_save(checkpoint, store->dir_fd, err);
    if (rc < 0)
        mdb_txn_abort(pin);
    else
        replace_pin(store, pin, checkpoint->height);
    return rc;
}

int blockstore_checkpoint(struct blockstore *store, struct err *err)
{
    struct checkpoint checkpoint = {0};
    MDB_txn *pin;
    pthread_mutex_lock(&store->checkpoint_lock);
    pthread_mutex_lock(&store->commit_lock);
    pthread_mutex_lock(&store->keeper_lock);
    bool due = store->dirty, ahead = store->ahead;
    store->dirty = false;
    store->dirty_bytes = 0;
    store->urgent = false;
    pthread_mutex_unlock(&store->keeper_lock);
    int rc = due && !ahead ? save_final(store, err) : 0;
    if (due && !ahead && !rc)
        rc = capture(store, &checkpoint, &pin, err);
    pthread_mutex_unlock(&store->commit_lock);
    if (due && !rc)
        rc = ahead ? checkpoint_distrust(store->dir_fd, err) : complete(store, &checkpoint, pin, err);
    if (rc < 0) {
        pthread_mutex_lock(&store->keeper_lock);
        store->dirty = true;
        store->dirty_since_us = clock_mono_us();
        pthread_mutex_unlock(&store->keeper_lock);
    }
    pthread_mutex_unlock(&store->checkpoint_lock);
    checkpoint_free(&checkpoint);
    return rc;
}

int keeper_pin_first(struct blockstore *store, bool saved, struct err *err)
{
    struct checkpoint checkpoint = {0};
    MDB_txn *pin;
    int rc = capture(store, &checkpoint, &pin, err);
    if (rc < 0)
        return rc;
    if (!saved) {
        rc = mdb_env_sync(store->env, 1);
        rc = rc ? lmdb_error(err, rc, "sync the state store")
                : checkpoint_save(&checkpoint, store->dir_fd, err);
    }
    if (rc < 0)
        mdb_txn_abort(pin);
    else
        replace_pin(store, pin, checkpoint.height);
    checkpoint_free(&checkpoint);
    return rc;
}

/* The time of the newest block of the chain in a log segment older than the current, or a later time;
 * INT64_MAX when it cannot be told, or when something in it is needed however old it is. */
static int64_t segment_newest_us(struct blockstore *store, uint32_t segment)
{
    struct state_snapshot *snapshot = lmdb_snapshot_begin(store);
    uint8_t segment_be[8];
    bytes_put64_be(segment_be, (uint64_t)segment + 1);
    MDB_val key = lmdb_val(segment_be, 8), value;
    int64_t newest = INT64_MAX;
    if (!mdb_get(snapshot->txn, store->dbs.segments, &key, &value) && value.mv_size == 16 &&
        segment < lmdb_oldest_needed(store, snapshot->txn))
        newest = (int64_t)bytes_get64((const uint8_t *)value.mv_data + 8);
    lmdb_snapshot_end(snapshot);
    return newest;
}

/* Removes segments all of whose bodies are older than twice the retention. Twice, because a change that is
 * still history names what it replaced by the transaction that made it (see keep_undo in lmdb_commit.c). */
static void prune(struct blockstore *store)
{
    int64_t keep_us = 2 * (int64_t)store->options.retention_us;
    for (;;) {
        uint32_t oldest = blocklog_oldest(store->log);
        pthread_mutex_lock(&store->checkpoint_lock);
        struct lmdb_head pinned = {0};
        int rc = lmdb_head_get(store, store->pin, &pinned, NULL);
        pthread_mutex_unlock(&store->checkpoint_lock);
        int64_t newest = INT64_MAX;
        if (!rc && oldest && oldest < pinned.end.segment)
            newest = segment_newest_us(store, oldest);
        struct err err;
        if (newest == INT64_MAX || newest + keep_us >= store->head_time_us ||
            blocklog_remove(store->log, oldest, &err) < 0) {
            /* When it cannot be told yet (the segment is in use, or no checkpoint is past it), look again
             * later. */
            store->prune_at_us =
                newest == INT64_MAX ? store->head_time_us + keep_us / 8 : newest + keep_us + 1;
            return;
        }
        log_info("blockstore", "pruned segment %u of the block log", oldest);
    }
}

/* How much the file has grown since the last checkpoint. Pages that were freed since then cannot be used
 * again before the next one, so under load it is this that bounds the file. */
static uint64_t grown_bytes(struct blockstore *store)
{
    MDB_envinfo info;
    mdb_env_info(store->env, &info);
    uint64_t pages = store->pin_pages;
    return info.me_last_pgno > pages ? (info.me_last_pgno - pages) * store->page_size : 0;
}

void keeper_note_commit(struct blockstore *store, uint64_t log_bytes)
{
    uint64_t grown = grown_bytes(store);
    bool work = blocklog_wants_next(store->log) || store->head_time_us >= store->prune_at_us;
    pthread_mutex_lock(&store->keeper_lock);
    bool wake = !store->dirty;
    if (!store->dirty)
        store->dirty_since_us = clock_mono_us();
    store->dirty = true;
    store->dirty_bytes += log_bytes;
    store->urgent |= store->dirty_bytes >= store->options.checkpoint_bytes || grown >= GROWTH_MAX;
    wake |= store->urgent || (work && !store->work);
    store->work |= work;
    pthread_mutex_unlock(&store->keeper_lock);
    if (wake)
        pthread_cond_signal(&store->keeper_wake);
}

void keeper_note_failure(struct blockstore *store)
{
    pthread_mutex_lock(&store->keeper_lock);
    store->dirty = store->urgent = true;
    pthread_mutex_unlock(&store->keeper_lock);
    pthread_cond_signal(&store->keeper_wake);
}

/* Waits until something may be due: without limit when all is clean. */
static void keeper_sleep(struct blockstore *store, int64_t until_us)
{
    if (until_us == INT64_MAX) {
        pthread_cond_wait(&store->keeper_wake, &store->keeper_lock);
        return;
    }
    struct timespec until = {.tv_sec = until_us / 1000000, .tv_nsec = until_us % 1000000 * 1000};
    pthread_cond_timedwait(&store->keeper_wake, &store->keeper_lock, &until);
}

static void *keeper_run(void *arg)
{
    struct blockstore *store = arg;
    int64_t work_not_before = 0, checkpoint_not_before = 0;
    pthread_setname_np(pthread_self(), "store-keeper");
    pthread_mutex_lock(&store->keeper_lock);
    while (!store->stopping) {
        int64_t now = clock_mono_us();
        struct err err = {0};
        if (store->work && now >= work_not_before) {
            store->work = false;
            pthread_mutex_unlock(&store->keeper_lock);
            if (blocklog_wants_next(store->log) && blocklog_prepare_next(store->log, &err) < 0) {
                log_warn("blockstore", "%s", err.message);
                work_not_before = now + RETRY_US;
            }
            if (store->head_time_us >= store->prune_at_us)
                prune(store);
            pthread_mutex_lock(&store->keeper_lock);
            continue;
        }
        int64_t due = INT64_MAX;
        if (store->dirty) {
            due = store->urgent ? now : store->dirty_since_us + (int64_t)store->options.checkpoint_us;
            due = due > checkpoint_not_before ? due : checkpoint_not_before;
        }
        if (due > now) {
            keeper_sleep(store, due);
            continue;
        }
        pthread_mutex_unlock(&store->keeper_lock);
        if (blockstore_checkpoint(store, &err) < 0) {
            log_warn("blockstore", "no checkpoint: %s", err.message);
            checkpoint_not_before = now + RETRY_US;
        }
        pthread_mutex_lock(&store->keeper_lock);
    }
    pthread_mutex_unlock(&store->keeper_lock);
    return NULL;
}

int keeper_start(struct blockstore *store, struct err *err)
{
    store->prune_at_us = INT64_MIN; /* looked at after the first commit */
    int rc = pthread_create(&store->keeper, NULL, keeper_run, store);
    if (rc)
        return err_set(err, ERR_INTERNAL, "cannot start a thread: %s", strerror(rc));
    store->keeper_started = true;
    return 0;
}

void keeper_stop(struct blockstore *store)
{
    if (!store->keeper_started)
        return;
    pthread_mutex_lock(&store->keeper_lock);
    store->stopping = true;
    pthread_cond_signal(&store->keeper_wake);
    pthread_mutex_unlock(&store->keeper_lock);
    pthread_join(store->keeper, NULL);
    store->keeper_started = false;
}
