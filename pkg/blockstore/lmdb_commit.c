/* One block and what it does to the state, in one LMDB transaction. */
#include "blockstore/blockstore_internal.h"
#include "blockstore/bytes.h"
#include "blockstore/lmdb_key.h"

#include "base/mem.h"
#include "state/record.h"

#include <string.h>

static int put_block(struct blockstore *store, MDB_txn *txn, const struct block *block,
                     struct blocklog_pos pos)
{
    uint8_t height_be[8], height[8], place[LMDB_BLOCK_SIZE];
    bytes_put64_be(height_be, block->header.height);
    bytes_put64(height, block->header.height);
    bytes_put32(place, pos.segment);
    bytes_put32(place + 4, pos.offset);
    memcpy(place + 8, block->header.hash, HASH_SIZE);
    block_header_encode(place + 8 + HASH_SIZE, &block->header);
    MDB_val key = lmdb_val(height_be, 8), value = lmdb_val(place, sizeof(place));
    int rc = mdb_put(txn, store->dbs.blocks, &key, &value, MDB_APPEND);
    if (rc || pos.offset != BLOCKLOG_HEADER_SIZE)
        return rc;
    uint8_t segment_be[8];
    bytes_put64_be(segment_be, pos.segment);
    key = lmdb_val(segment_be, 8);
    value = lmdb_val(height, 8);
    return mdb_put(txn, store->dbs.segments, &key, &value, 0);
}

/* Puts or removes the index terms of an object. */
static int change_terms(struct blockstore *store, MDB_txn *txn, const struct state_object *object, bool add)
{
    uint8_t key_bytes[LMDB_KEY_MAX], term_bytes[LMDB_KEY_MAX];
    size_t key_len = lmdb_key_of(key_bytes, &object->key);
    struct tx_index_term term;
    int rc = 0;
    for (size_t at = 0; !rc && state_term_next(object, &at, &term);) {
        MDB_val key = lmdb_val(term_bytes, lmdb_term_key(term_bytes, term.name, term.value));
        MDB_val value = lmdb_val(key_bytes, key_len);
        if (add)
            rc = mdb_put(txn, store->dbs.terms, &key, &value, MDB_NODUPDATA);
        else
            rc = mdb_del(txn, store->dbs.terms, &key, &value);
        if (rc == MDB_KEYEXIST || rc == MDB_NOTFOUND)
            rc = 0; /* the same term twice on one object */
    }
    return rc;
}

static bool same_terms(const struct state_object *a, const struct state_object *b)
{
    return a->terms_len == b->terms_len && (!a->terms_len || !memcmp(a->terms, b->terms, a->terms_len));
}

/* Keeps what a change replaced when the log may lose it while the change is still history (see prune in
 * keeper.c: a body is there for twice the retention). */
static int keep_undo(struct blockstore *store, MDB_txn *txn, const struct state_change *change,
                     int64_t time_us)
{
    if (!change->has_old ||
        block_time_of_rv(change->old.rv) >= time_us - (int64_t)store->options.retention_us)
        return 0;
    uint8_t rv_be[8];
    buf_auto struct buf record = BUF_INIT;
    bytes_put64_be(rv_be, change->object.rv);
    state_record_encode(&record, &change->old);
    MDB_val key = lmdb_val(rv_be, 8), value = lmdb_val(record.data, record.len);
    return mdb_put(txn, store->dbs.undo, &key, &value, 0);
}

static int put_change(struct blockstore *store, MDB_txn *txn, const struct state_change *change,
                      struct buf *record)
{
    uint8_t key_bytes[LMDB_KEY_MAX];
    MDB_val key = lmdb_val(key_bytes, lmdb_key_of(key_bytes, &change->object.key));
    bool keeps = change->type != STATE_DELETED;
    bool same = keeps && change->has_old && same_terms(&change->old, &change->object);
    int rc = 0;
    if (change->has_old && !same)
        rc = change_terms(store, txn, &change->old, false);
    if (rc)
        return rc;
    if (!keeps) {
        rc = mdb_del(txn, store->dbs.objects, &key, NULL);
        return rc == MDB_NOTFOUND ? 0 : rc;
    }
    buf_clear(record);
    state_record_encode(record, &change->object);
    MDB_val value = lmdb_val(record->data, record->len);
    rc = mdb_put(txn, store->dbs.objects, &key, &value, 0);
    return rc || same ? rc : change_terms(store, txn, &change->object, true);
}

static int put_total(struct blockstore *store, MDB_txn *txn, const struct state_claim_total *total)
{
    uint8_t sum[24];
    bytes_put64(sum, (uint64_t)total->sum.cpu_milli);
    bytes_put64(sum + 8, (uint64_t)total->sum.memory_bytes);
    bytes_put64(sum + 16, (uint64_t)total->sum.pods);
    MDB_val key = lmdb_val(total->node, strlen(total->node)), value = lmdb_val(sum, sizeof(sum));
    if (total->sum.cpu_milli || total->sum.memory_bytes || total->sum.pods)
        return mdb_put(txn, store->dbs.claims, &key, &value, 0);
    int rc = mdb_del(txn, store->dbs.claims, &key, NULL);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static int put_head(struct blockstore *store, MDB_txn *txn, uint64_t height, struct blocklog_pos end,
                    const struct lthash *hash)
{
    uint8_t head[16];
    bytes_put64(head, height);
    bytes_put32(head + 8, end.segment);
    bytes_put32(head + 12, end.offset);
    MDB_val key = lmdb_val("head", 4), value = lmdb_val(head, sizeof(head));
    int rc = mdb_put(txn, store->dbs.meta, &key, &value, 0);
    /* In halves, each of which fits in a leaf: as a whole it would take a page of its own per commit. */
    uint8_t bytes[LTHASH_SIZE];
    lthash_encode(bytes, hash);
    for (int half = 0; !rc && half < 2; half++) {
        key = lmdb_val(half ? "state1" : "state0", 6);
        value = lmdb_val(bytes + half * (LTHASH_SIZE / 2), LTHASH_SIZE / 2);
        rc = mdb_put(txn, store->dbs.meta, &key, &value, 0);
    }
    return rc;
}

/* Indexes the newest transactions together, up to and with this block's, when there are enough of them or
 * before their blocks may be pruned. */
static int index_recent(struct blockstore *store, MDB_txn *txn, const struct block_header *header,
                        bool *indexed)
{
    *indexed = recent_is_due(store->recent, header->time_us - (int64_t)store->options.retention_us);
    if (!*indexed)
        return 0;
    size_t count;
    mem_auto struct recent_entry *entries = recent_sorted(store->recent, &count);
    int rc = 0;
    for (size_t i = 0; !rc && i < count; i++) {
        uint8_t where[12];
        bytes_put64(where, entries[i].height);
        bytes_put32(where + 8, entries[i].index);
        MDB_val key = lmdb_val(entries[i].id, TX_ID_SIZE), value = lmdb_val(where, sizeof(where));
        rc = mdb_put(txn, store->dbs.txs, &key, &value, 0);
    }
    uint8_t height[8];
    bytes_put64(height, header->height);
    MDB_val key = lmdb_val("indexed", 7), value = lmdb_val(height, sizeof(height));
    return rc ? rc : mdb_put(txn, store->dbs.meta, &key, &value, 0);
}

/* Drops undo records of changes that are no history any more: a few per block, so that no block pays for
 * many. */
static int trim_undo(struct blockstore *store, MDB_txn *txn, int64_t time_us)
{
    MDB_cursor *cursor;
    MDB_val key, value;
    int rc = mdb_cursor_open(txn, store->dbs.undo, &cursor);
    for (int i = 0; !rc && i < 16; i++) {
        rc = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
        if (rc || key.mv_size != 8 ||
            block_time_of_rv(bytes_get64_be(key.mv_data)) >= time_us - (int64_t)store->options.retention_us)
            break;
        rc = mdb_cursor_del(cursor, 0);
    }
    mdb_cursor_close(cursor);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

/* Everything of a block, within the transaction. */
static int put_all(struct blockstore *store, MDB_txn *txn, const struct block *block, struct blocklog_pos pos,
                   struct blocklog_pos end, const struct state_update *update, bool *indexed)
{
    buf_auto struct buf record = BUF_INIT;
    int64_t time_us = block->header.time_us;
    int rc = put_block(store, txn, block, pos);
    for (size_t i = 0; !rc && i < update->change_count; i++) {
        rc = keep_undo(store, txn, &update->changes[i], time_us);
        if (!rc)
            rc = put_change(store, txn, &update->changes[i], &record);
    }
    for (size_t i = 0; !rc && i < update->total_count; i++)
        rc = put_total(store, txn, &update->totals[i]);
    if (!rc)
        rc = index_recent(store, txn, &block->header, indexed);
    if (!rc)
        rc = trim_undo(store, txn, time_us);
    return rc ? rc : put_head(store, txn, block->header.height, end, update->hash);
}

int lmdb_commit(struct blockstore *store, const struct block *block, struct blocklog_pos pos,
                struct blocklog_pos end, const struct state_update *update, struct err *err)
{
    MDB_txn *txn;
    bool indexed = false;
    int rc = mdb_txn_begin(store->env, NULL, 0, &txn);
    if (rc)
        return lmdb_error(err, rc, "write to the state store");
    /* Before the commit, so that whoever sees the block finds its transactions. */
    recent_add(store->recent, block);
    rc = put_all(store, txn, block, pos, end, update, &indexed);
    if (rc)
        mdb_txn_abort(txn);
    else
        rc = mdb_txn_commit(txn);
    if (rc) {
        recent_drop(store->recent, block->header.height);
        return lmdb_error(err, rc, "write to the state store");
    }
    if (indexed)
        recent_forget(store->recent, block->header.height);
    return 0;
}
