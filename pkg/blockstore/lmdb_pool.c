/*
 * The read transactions of a store's readers. One that comes back goes on showing its state until the next
 * one who asks needs a newer one: between two commits, nobody begins anything anew. What lies here holds
 * pages only from the last checkpoint on (lmdb_pool_release), which its pin holds anyway. A process that only
 * reads has no checkpoints, and keeps nothing that would hold another's pages.
 *
 * Blocks that are not in LMDB yet are laid over it (overlay.h). What else changes the chain goes into LMDB
 * before it is durable (lmdb_finish). Nobody is to see it before, and LMDB shows its newest state to everyone
 * who asks. So meanwhile readers are given transactions that were begun before, of which there are some in
 * here by then; who comes when all of them are in use waits.
 */
#include "blockstore/blockstore_internal.h"

#include "base/mem.h"

#include <assert.h>

#define CONCEALED_READERS 8

static uint64_t newest(struct blockstore *store)
{
    MDB_envinfo info;
    mdb_env_info(store->env, &info);
    return info.me_last_txnid;
}

static void reset(struct state_snapshot *snapshot)
{
    if (snapshot->id)
        mdb_txn_reset(snapshot->txn);
    snapshot->id = 0;
}

static void renew(struct state_snapshot *snapshot)
{
    reset(snapshot);
    int rc = mdb_txn_renew(snapshot->txn);
    assert(!rc);
    (void)rc;
    snapshot->id = mdb_txn_id(snapshot->txn);
}

/* NULL when all reader slots are taken. */
static struct state_snapshot *make(struct blockstore *store)
{
    struct state_snapshot *snapshot = mem_zalloc(sizeof(*snapshot));
    snapshot->store = store;
    int rc = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &snapshot->txn);
    if (rc) {
        assert(rc == MDB_READERS_FULL);
        free(snapshot);
        return NULL;
    }
    snapshot->id = mdb_txn_id(snapshot->txn);
    return snapshot;
}

static void push(struct blockstore *store, struct state_snapshot *snapshot)
{
    snapshot->next = store->pool;
    store->pool = snapshot;
}

/* One of the newest state that may be seen; NULL when there is none at the moment. */
static struct state_snapshot *take(struct blockstore *store)
{
    struct state_snapshot **at = &store->pool;
    while (store->concealed && *at && (*at)->id != store->shown)
        at = &(*at)->next;
    struct state_snapshot *snapshot = *at;
    if (!snapshot)
        return store->concealed ? NULL : make(store);
    *at = snapshot->next;
    if (!store->concealed && snapshot->id != newest(store))
        renew(snapshot);
    return snapshot;
}

struct state_snapshot *lmdb_snapshot_begin(void *handle)
{
    struct blockstore *store = handle;
    struct state_snapshot *snapshot;
    pthread_mutex_lock(&store->pool_lock);
    while (!(snapshot = take(store)))
        pthread_cond_wait(&store->pool_changed, &store->pool_lock);
    snapshot->overlay = overlay_retain(store->overlay);
    pthread_mutex_unlock(&store->pool_lock);
    return snapshot;
}

void lmdb_snapshot_end(struct state_snapshot *snapshot)
{
    if (!snapshot)
        return;
    struct blockstore *store = snapshot->store;
    overlay_release(snapshot->overlay);
    snapshot->overlay = NULL;
    pthread_mutex_lock(&store->pool_lock);
    if (store->options.read_only || snapshot->id != (store->concealed ? store->shown : newest(store)))
        reset(snapshot);
    push(store, snapshot);
    pthread_cond_signal(&store->pool_changed);
    pthread_mutex_unlock(&store->pool_lock);
}

void lmdb_pool_cover(struct blockstore *store, struct late_block *block)
{
    pthread_mutex_lock(&store->pool_lock);
    struct overlay *before = store->overlay;
    store->overlay = overlay_with(before, block);
    pthread_mutex_unlock(&store->pool_lock);
    overlay_release(before);
}

void lmdb_pool_uncover(struct blockstore *store, uint64_t up_to_height)
{
    pthread_mutex_lock(&store->pool_lock);
    struct overlay *before = store->overlay;
    store->overlay = overlay_without(before, up_to_height);
    pthread_mutex_unlock(&store->pool_lock);
    overlay_release(before);
}

void lmdb_pool_conceal(struct blockstore *store)
{
    pthread_mutex_lock(&store->pool_lock);
    store->shown = newest(store);
    int ready = 0;
    for (struct state_snapshot *s = store->pool; s && ready < CONCEALED_READERS; s = s->next, ready++)
        if (s->id != store->shown)
            renew(s);
    for (struct state_snapshot *s; ready < CONCEALED_READERS && (s = make(store)); ready++)
        push(store, s);
    store->concealed = true;
    pthread_mutex_unlock(&store->pool_lock);
}

void lmdb_pool_reveal(struct blockstore *store)
{
    pthread_mutex_lock(&store->pool_lock);
    store->concealed = false;
    pthread_cond_broadcast(&store->pool_changed);
    pthread_mutex_unlock(&store->pool_lock);
}

void lmdb_pool_release(struct blockstore *store, uint64_t before)
{
    pthread_mutex_lock(&store->pool_lock);
    for (struct state_snapshot *s = store->pool; s; s = s->next)
        if (s->id < before)
            reset(s);
    pthread_mutex_unlock(&store->pool_lock);
}

void lmdb_pool_drain(struct blockstore *store)
{
    while (store->pool) {
        struct state_snapshot *snapshot = store->pool;
        store->pool = snapshot->next;
        mdb_txn_abort(snapshot->txn);
        free(snapshot);
    }
}
