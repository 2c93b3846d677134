/* state_store_ops over LMDB: snapshots are read transactions (lmdb_pool.c). */
#include "blockstore/blockstore_internal.h"
#include "blockstore/bytes.h"
#include "blockstore/lmdb_key.h"

#include "base/mem.h"
#include "state/record.h"

#include <assert.h>
#include <string.h>

/* Merges what LMDB has, in the order of keys, with what is laid over it. */
struct state_iter {
    struct state_snapshot *snapshot;
    MDB_cursor *cursor;
    bool started;
    bool loaded; /* key and value are of LMDB's next object */
    bool ended;  /* LMDB has no more */
    MDB_val key, value;
    size_t at; /* the overlay's next entry */
    /* By prefix. */
    uint8_t prefix[LMDB_KEY_MAX];
    size_t prefix_len;
    uint8_t start[LMDB_KEY_MAX + 1];
    size_t start_len;
    /* By index term; NULL otherwise. */
    char *term;
    char *value_text;
};

static uint64_t snapshot_rv(struct state_snapshot *snapshot)
{
    struct lmdb_head head;
    struct lmdb_block block;
    struct block_header header;
    struct blockstore *store = snapshot->store;
    const struct late_block *newest = overlay_newest(snapshot->overlay);
    if (newest)
        return block_head_rv(&newest->header);
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
    const struct state_change *change = overlay_find(snapshot->overlay, k.mv_data, k.mv_size);
    if (change && change->type == STATE_DELETED)
        return ERR_NOT_FOUND;
    if (change) {
        *out = change->object;
        return 0;
    }
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
    if (!key.mv_size || overlay_claimed(snapshot->overlay, node, out))
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

static bool snapshot_find_tx(struct state_snapshot *snapshot, const uint8_t tx_id[TX_ID_SIZE],
                             uint64_t *height)
{
    uint32_t index;
    struct recent *recent = snapshot->store->recent;
    if (recent_find(recent, tx_id, RECENT_TX, height, &index) ||
        recent_find(recent, tx_id, RECENT_ORIGINAL, height, &index))
        return true;
    /* What is not there any more is in what LMDB shows from now on, and may be newer than this snapshot. */
    struct state_snapshot *newest = lmdb_snapshot_begin(snapshot->store);
    MDB_val key = lmdb_val(tx_id, TX_ID_SIZE), value;
    bool found =
        !mdb_get(newest->txn, snapshot->store->dbs.txs, &key, &value) && value.mv_size == LMDB_ID_SIZE;
    if (found)
        *height = bytes_get64(value.mv_data);
    lmdb_snapshot_end(newest);
    return found;
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
    iter->at = overlay_lower_bound(snapshot->overlay, iter->start, iter->start_len);
    return iter;
}

static struct state_iter *iter_index(struct state_snapshot *snapshot, const char *term, const char *value)
{
    struct state_iter *iter = iter_new(snapshot, snapshot->store->dbs.terms);
    iter->term = mem_strdup(term);
    iter->value_text = mem_strdup(value);
    return iter;
}

static bool has_prefix(const struct state_iter *iter, const void *key, size_t len)
{
    return len >= iter->prefix_len && !memcmp(key, iter->prefix, iter->prefix_len);
}

/* LMDB's next object whose key begins with the prefix. */
static int load_by_prefix(struct state_iter *iter)
{
    int rc;
    if (iter->started)
        rc = mdb_cursor_get(iter->cursor, &iter->key, &iter->value, MDB_NEXT);
    else if (iter->start_len > LMDB_KEY_MAX || !iter->start_len) {
        /* No key is as long as that: the place is that of its first bytes. */
        iter->key = lmdb_val(iter->start, iter->start_len ? LMDB_KEY_MAX : 0);
        rc = mdb_cursor_get(iter->cursor, &iter->key, &iter->value,
                            iter->start_len ? MDB_SET_RANGE : MDB_FIRST);
    } else {
        iter->key = lmdb_val(iter->start, iter->start_len);
        rc = mdb_cursor_get(iter->cursor, &iter->key, &iter->value, MDB_SET_RANGE);
    }
    return !rc && !has_prefix(iter, iter->key.mv_data, iter->key.mv_size) ? MDB_NOTFOUND : rc;
}

/* LMDB's next object with the term; an object that is gone by now has none in LMDB. */
static int load_by_term(struct state_iter *iter)
{
    uint8_t bytes[LMDB_KEY_MAX];
    MDB_val term = lmdb_val(bytes, lmdb_term_key(bytes, iter->term, iter->value_text));
    int rc = mdb_cursor_get(iter->cursor, &term, &iter->key, iter->started ? MDB_NEXT_DUP : MDB_SET);
    return rc ? rc
              : mdb_get(iter->snapshot->txn, iter->snapshot->store->dbs.objects, &iter->key, &iter->value);
}

static void load(struct state_iter *iter)
{
    if (iter->loaded || iter->ended)
        return;
    iter->ended = (iter->term ? load_by_term(iter) : load_by_prefix(iter)) != 0;
    iter->loaded = !iter->ended;
    iter->started = true;
}

static bool has_term(const struct state_iter *iter, const struct state_object *object)
{
    struct tx_index_term term;
    for (size_t at = 0; state_term_next(object, &at, &term);)
        if (!strcmp(term.name, iter->term) && !strcmp(term.value, iter->value_text))
            return true;
    return false;
}

/* The overlay's next entry that this walk could meet; NULL: no more. */
static const struct overlay_entry *next_entry(const struct state_iter *iter)
{
    const struct overlay *overlay = iter->snapshot->overlay;
    if (!overlay || iter->at == overlay->count)
        return NULL;
    const struct overlay_entry *entry = &overlay->entries[iter->at];
    return iter->term || has_prefix(iter, entry->key, entry->key_len) ? entry : NULL;
}

static bool iter_next(struct state_iter *iter, struct state_object *out)
{
    for (;;) {
        load(iter);
        const struct overlay_entry *entry = next_entry(iter);
        if (!entry && !iter->loaded)
            return false;
        int order = !entry ? -1
                    : !iter->loaded
                        ? 1
                        : overlay_compare(iter->key.mv_data, iter->key.mv_size, entry->key, entry->key_len);
        if (order <= 0)
            iter->loaded = false;
        if (order >= 0) {
            iter->at++;
            if (entry->change->type == STATE_DELETED)
                continue;
            *out = entry->change->object;
        } else if (record_of(out, &iter->value, NULL) < 0) {
            return false;
        }
        if (!iter->term || has_term(iter, out))
            return true;
    }
}

static void iter_end(struct state_iter *iter)
{
    if (!iter)
        return;
    mdb_cursor_close(iter->cursor);
    free(iter->term);
    free(iter->value_text);
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
        .find_tx = snapshot_find_tx,
    };
    return &ops;
}
