/* state_store_ops over LMDB: snapshots are read transactions, reset and renewed rather than made anew. */
#include "blockstore/blockstore_internal.h"
#include "blockstore/bytes.h"
#include "blockstore/lmdb_key.h"

#include "base/mem.h"
#include "state/record.h"

#include <assert.h>
#include <string.h>

struct state_iter {
    struct state_snapshot *snapshot;
    MDB_cursor *cursor;
    bool started;
    /* By prefix. */
    uint8_t prefix[LMDB_KEY_MAX];
    size_t prefix_len;
    uint8_t start[LMDB_KEY_MAX + 1];
    size_t start_len;
    /* By index term; NULL otherwise. */
    char *term;
    char *value;
};

struct state_snapshot *lmdb_snapshot_begin(void *handle)
{
    struct blockstore *store = handle;
    pthread_mutex_lock(&store->pool_lock);
    struct state_snapshot *snapshot = store->pool;
    if (snapshot)
        store->pool = snapshot->next;
    pthread_mutex_unlock(&store->pool_lock);
    if (snapshot) {
        int rc = mdb_txn_renew(snapshot->txn);
        assert(!rc);
        (void)rc;
        return snapshot;
    }
    snapshot = mem_zalloc(sizeof(*snapshot));
    snapshot->store = store;
    int rc = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &snapshot->txn);
    if (!rc)
        return snapshot;
    /* All reader slots are taken: wait for one that comes back. */
    assert(rc == MDB_READERS_FULL);
    free(snapshot);
    pthread_mutex_lock(&store->pool_lock);
    while (!store->pool)
        pthread_cond_wait(&store->pool_returned, &store->pool_lock);
    snapshot = store->pool;
    store->pool = snapshot->next;
    pthread_mutex_unlock(&store->pool_lock);
    rc = mdb_txn_renew(snapshot->txn);
    assert(!rc);
    return snapshot;
}

void lmdb_snapshot_end(struct state_snapshot *snapshot)
{
    if (!snapshot)
        return;
    struct blockstore *store = snapshot->store;
    mdb_txn_reset(snapshot->txn);
    pthread_mutex_lock(&store->pool_lock);
    snapshot->next = store->pool;
    store->pool = snapshot;
    pthread_cond_signal(&store->pool_returned);
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

static uint64_t snapshot_rv(struct state_snapshot *snapshot)
{
    struct lmdb_head head;
    struct lmdb_block block;
    struct block_header header;
    struct blockstore *store = snapshot->store;
    if (lmdb_head_get(store, snapshot->txn, &head, NULL) < 0 ||
        lmdb_block_get(store, snapshot->txn, head.height, &block, NULL) < 0 ||
        block_header_decode(&header, block.header, sizeof(block.header), NULL) < 0)
        return 0;
    return block_head_rv(&header);
}

static int record_of(struct state_object *out, const MDB_val *value, struct err *err)
{
    if (state_record_decode(out, value->mv_data, value->mv_size))
        return 0;
    return lmdb_error(err, MDB_CORRUPTED, "read an object");
}

static int snapshot_get(struct state_snapshot *snapshot, const struct resource_key *key,
                        struct state_object *out, struct err *err)
{
    uint8_t bytes[LMDB_KEY_MAX];
    MDB_val k = lmdb_val(bytes, lmdb_key_of(bytes, key)), value;
    int rc = mdb_get(snapshot->txn, snapshot->store->dbs.objects, &k, &value);
    if (rc == MDB_NOTFOUND)
        return ERR_NOT_FOUND;
    return rc ? lmdb_error(err, rc, "read an object") : record_of(out, &value, err);
}

static int snapshot_claimed(struct state_snapshot *snapshot, const char *node, struct tx_claim *out,
                            struct err *err)
{
    *out = (struct tx_claim){0};
    MDB_val key = lmdb_val(node, strnlen(node, LMDB_KEY_MAX)), value;
    if (!key.mv_size)
        return 0;
    int rc = mdb_get(snapshot->txn, snapshot->store->dbs.claims, &key, &value);
    if (rc == MDB_NOTFOUND)
        return 0;
    if (rc || value.mv_size != 24)
        return lmdb_error(err, rc ? rc : MDB_CORRUPTED, "read a node's claims");
    const uint8_t *p = value.mv_data;
    out->cpu_milli = (int64_t)bytes_get64(p);
    out->memory_bytes = (int64_t)bytes_get64(p + 8);
    out->pods = (int64_t)bytes_get64(p + 16);
    return 0;
}

static bool snapshot_has_tx(struct state_snapshot *snapshot, const uint8_t tx_id[TX_ID_SIZE])
{
    uint64_t height;
    uint32_t index;
    if (recent_find(snapshot->store->recent, tx_id, &height, &index))
        return true;
    MDB_val key = lmdb_val(tx_id, TX_ID_SIZE), value;
    return mdb_get(snapshot->txn, snapshot->store->dbs.txs, &key, &value) == 0;
}

static struct state_iter *iter_new(struct state_snapshot *snapshot, MDB_dbi dbi)
{
    struct state_iter *iter = mem_zalloc(sizeof(*iter));
    iter->snapshot = snapshot;
    int rc = mdb_cursor_open(snapshot->txn, dbi, &iter->cursor);
    assert(!rc);
    (void)rc;
    return iter;
}

static struct state_iter *iter_begin(struct state_snapshot *snapshot, const void *prefix, size_t prefix_len,
                                     const void *start, size_t start_len)
{
    struct state_iter *iter = iter_new(snapshot, snapshot->store->dbs.objects);
    iter->prefix_len = prefix_len < sizeof(iter->prefix) ? prefix_len : sizeof(iter->prefix);
    if (iter->prefix_len)
        memcpy(iter->prefix, prefix, iter->prefix_len);
    if (!start) {
        start = prefix;
        start_len = prefix_len;
    }
    iter->start_len = start_len < sizeof(iter->start) ? start_len : sizeof(iter->start);
    if (iter->start_len)
        memcpy(iter->start, start, iter->start_len);
    return iter;
}

static struct state_iter *iter_index(struct state_snapshot *snapshot, const char *term, const char *value)
{
    struct state_iter *iter = iter_new(snapshot, snapshot->store->dbs.terms);
    iter->term = mem_strdup(term);
    iter->value = mem_strdup(value);
    return iter;
}

static bool has_prefix(const struct state_iter *iter, const MDB_val *key)
{
    return key->mv_size >= iter->prefix_len && !memcmp(key->mv_data, iter->prefix, iter->prefix_len);
}

static bool next_by_prefix(struct state_iter *iter, struct state_object *out)
{
    MDB_val key, value;
    int rc;
    if (iter->started)
        rc = mdb_cursor_get(iter->cursor, &key, &value, MDB_NEXT);
    else if (iter->start_len > LMDB_KEY_MAX || !iter->start_len) {
        /* No key is as long as that: the place is that of its first bytes. */
        key = lmdb_val(iter->start, iter->start_len ? LMDB_KEY_MAX : 0);
        rc = mdb_cursor_get(iter->cursor, &key, &value, iter->start_len ? MDB_SET_RANGE : MDB_FIRST);
    } else {
        key = lmdb_val(iter->start, iter->start_len);
        rc = mdb_cursor_get(iter->cursor, &key, &value, MDB_SET_RANGE);
    }
    iter->started = true;
    return !rc && has_prefix(iter, &key) && !record_of(out, &value, NULL);
}

static bool has_term(const struct state_iter *iter, const struct state_object *object)
{
    struct tx_index_term term;
    for (size_t at = 0; state_term_next(object, &at, &term);)
        if (!strcmp(term.name, iter->term) && !strcmp(term.value, iter->value))
            return true;
    return false;
}

static bool next_by_term(struct state_iter *iter, struct state_object *out)
{
    uint8_t bytes[LMDB_KEY_MAX];
    for (;;) {
        MDB_val key = lmdb_val(bytes, lmdb_term_key(bytes, iter->term, iter->value)), object_key, value;
        int rc = mdb_cursor_get(iter->cursor, &key, &object_key, iter->started ? MDB_NEXT_DUP : MDB_SET);
        iter->started = true;
        if (!rc)
            rc = mdb_get(iter->snapshot->txn, iter->snapshot->store->dbs.objects, &object_key, &value);
        if (rc || record_of(out, &value, NULL) < 0)
            return false;
        if (has_term(iter, out))
            return true;
    }
}

static bool iter_next(struct state_iter *iter, struct state_object *out)
{
    return iter->term ? next_by_term(iter, out) : next_by_prefix(iter, out);
}

static void iter_end(struct state_iter *iter)
{
    if (!iter)
        return;
    mdb_cursor_close(iter->cursor);
    free(iter->term);
    free(iter->value);
    free(iter);
}

const struct state_store_ops *blockstore_ops(void)
{
    static const struct state_store_ops ops = {
        .snapshot_begin = lmdb_snapshot_begin,
        .snapshot_end = lmdb_snapshot_end,
        .snapshot_rv = snapshot_rv,
        .get = snapshot_get,
        .iter_begin = iter_begin,
        .iter_index = iter_index,
        .iter_next = iter_next,
        .iter_end = iter_end,
        .claimed = snapshot_claimed,
        .has_tx = snapshot_has_tx,
    };
    return &ops;
}
