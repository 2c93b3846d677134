/*
 * Brings the blocks of the log into LMDB, those of some time in one transaction. Until then readers see them
 * in the overlay, and a process that is killed reads them from the log again.
 *
 * Whatever is put into the log next, and is no such block, waits until they are in LMDB: what LMDB has is
 * always what the log says up to some record.
 */
#include "blockstore/blockstore_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#include <string.h>

#define PAUSE_US 3000              /* blocks wait until none has come for so long */
#define LATE_US 20000              /* at most so long */
#define LATE_COUNT 64              /* or until there are so many */
#define LATE_BYTES (1u << 20)      /* or so much */
#define LATE_BYTES_MAX (16u << 20) /* a commit waits when there is more */
#define RETRY_US 1000000

static bool is_full(const struct lmdb_batch *batch)
{
    return batch->count >= LATE_COUNT || batch->bytes >= LATE_BYTES;
}

/* When what waits is to be written, if nothing happens until then. */
static int64_t due_at(const struct lmdb_batch *batch)
{
    if (batch->rc)
        return batch->tried_us + RETRY_US;
    int64_t pause = batch->newest_us + PAUSE_US, latest = batch->oldest_us + LATE_US;
    return pause < latest ? pause : latest;
}

/* Waits for a reason to write; false: to end. The lock is held. */
static bool await_work(struct lmdb_batch *batch)
{
    for (;;) {
        int64_t now = clock_mono_us(), due = due_at(batch);
        bool hurried = batch->stopping || batch->wanted > batch->written || (is_full(batch) && !batch->rc);
        if (batch->count && (hurried || due <= now))
            return true;
        if (batch->stopping)
            return false;
        if (!batch->count) {
            pthread_cond_wait(&batch->wake, &batch->lock);
        } else {
            struct timespec at = {.tv_sec = due / 1000000, .tv_nsec = due % 1000000 * 1000};
            pthread_cond_clockwait(&batch->wake, &batch->lock, CLOCK_MONOTONIC, &at);
        }
    }
}

static int write_blocks(struct blockstore *store, struct late_block **blocks, size_t count, struct err *err)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += blocks[i]->bytes;
    pthread_mutex_lock(&store->commit_lock);
    int rc = lmdb_commit_late(store, blocks, count, err);
    pthread_mutex_unlock(&store->commit_lock);
    if (rc < 0)
        return rc;
    lmdb_pool_uncover(store, blocks[count - 1]->header.height);
    keeper_note_commit(store, bytes);
    return 0;
}

/* With the lock. */
static void note_written(struct lmdb_batch *batch, struct late_block **blocks, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        batch->bytes -= blocks[i]->bytes;
        late_block_release(blocks[i]);
    }
    batch->count -= count;
    memmove(batch->queue, batch->queue + count, batch->count * sizeof(*batch->queue));
    batch->written += count;
}

/* Whoever waits is told, and may ask again. With the lock. */
static void note_failed(struct lmdb_batch *batch)
{
    log_warn("blockstore", "%s", batch->err.message);
    batch->wanted = 0;
    batch->failures++;
}

/* All that waits, in one transaction. The lock is held, but not meanwhile. */
static void write_queue(struct blockstore *store)
{
    struct lmdb_batch *batch = &store->batch;
    struct err err = {0};
    size_t count = batch->count;
    mem_auto struct late_block **blocks = mem_dup(batch->queue, count * sizeof(*blocks));
    pthread_mutex_unlock(&batch->lock);
    int rc = write_blocks(store, blocks, count, &err);
    pthread_mutex_lock(&batch->lock);
    batch->rc = rc;
    batch->err = err;
    batch->tried_us = batch->oldest_us = clock_mono_us();
    if (rc < 0)
        note_failed(batch);
    else
        note_written(batch, blocks, count);
    pthread_cond_broadcast(&batch->done);
}

static void *run(void *arg)
{
    struct blockstore *store = arg;
    struct lmdb_batch *batch = &store->batch;
    pthread_setname_np(pthread_self(), "store-writer");
    pthread_mutex_lock(&batch->lock);
    while (await_work(batch)) {
        write_queue(store);
        if (batch->rc && batch->stopping)
            break;
    }
    pthread_mutex_unlock(&batch->lock);
    return NULL;
}

void lmdb_batch_add(struct blockstore *store, struct late_block *block)
{
    struct lmdb_batch *batch = &store->batch;
    lmdb_pool_cover(store, block);
    pthread_mutex_lock(&batch->lock);
    if (batch->count == batch->cap) {
        batch->cap = batch->cap ? 2 * batch->cap : 2 * LATE_COUNT;
        batch->queue = mem_reallocarray(batch->queue, batch->cap, sizeof(*batch->queue));
    }
    bool was_full = is_full(batch);
    batch->newest_us = clock_mono_us();
    if (!batch->count)
        batch->oldest_us = batch->newest_us;
    batch->queue[batch->count++] = block;
    batch->bytes += block->bytes;
    batch->added++;
    bool wake = batch->count == 1 || (!was_full && is_full(batch));
    pthread_mutex_unlock(&batch->lock);
    if (wake)
        pthread_cond_signal(&batch->wake);
}

int lmdb_batch_settle(struct blockstore *store, struct err *err)
{
    struct lmdb_batch *batch = &store->batch;
    int rc = 0;
    pthread_mutex_lock(&batch->lock);
    uint64_t until = batch->added, failures = batch->failures;
    if (batch->written < until && batch->wanted < until) {
        batch->wanted = until;
        pthread_cond_signal(&batch->wake);
    }
    while (batch->written < until && batch->failures == failures)
        pthread_cond_wait(&batch->done, &batch->lock);
    if (batch->written < until) {
        rc = batch->rc;
        if (err)
            *err = batch->err;
    }
    pthread_mutex_unlock(&batch->lock);
    return rc;
}

int lmdb_batch_make_room(struct blockstore *store, struct err *err)
{
    struct lmdb_batch *batch = &store->batch;
    pthread_mutex_lock(&batch->lock);
    bool waits = batch->bytes > LATE_BYTES_MAX || batch->rc;
    pthread_mutex_unlock(&batch->lock);
    return waits ? lmdb_batch_settle(store, err) : 0;
}

void lmdb_batch_init(struct lmdb_batch *batch)
{
    pthread_mutex_init(&batch->lock, NULL);
    pthread_cond_init(&batch->wake, NULL);
    pthread_cond_init(&batch->done, NULL);
}

int lmdb_batch_start(struct blockstore *store, struct err *err)
{
    int rc = pthread_create(&store->batch.thread, NULL, run, store);
    if (rc)
        return err_set(err, ERR_INTERNAL, "cannot start a thread: %s", strerror(rc));
    store->batch.started = true;
    return 0;
}

void lmdb_batch_stop(struct blockstore *store)
{
    struct lmdb_batch *batch = &store->batch;
    if (batch->started) {
        pthread_mutex_lock(&batch->lock);
        batch->stopping = true;
        pthread_cond_signal(&batch->wake);
        pthread_mutex_unlock(&batch->lock);
        pthread_join(batch->thread, NULL);
    }
    batch->started = false;
    for (size_t i = 0; i < batch->count; i++)
        late_block_release(batch->queue[i]); /* they are in the log */
    batch->count = 0;
    free(batch->queue);
    batch->queue = NULL;
    pthread_mutex_destroy(&batch->lock);
    pthread_cond_destroy(&batch->wake);
    pthread_cond_destroy(&batch->done);
}
