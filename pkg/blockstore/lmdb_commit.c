/* Blocks and what they do to the state, in LMDB transactions. */
#include "blockstore/blockstore_internal.h"
#include "blockstore/bytes.h"
#include "blockstore/lmdb_key.h"

#include "base/mem.h"
#include "state/record.h"

#include <string.h>

static void put_pos(uint8_t *at, struct blocklog_pos pos)
{
    bytes_put32(at, pos.segment);
    bytes_put32(at + 4, pos.offset);
}

int lmdb_put_block(struct blockstore *store, MDB_txn *txn, const struct block_header *header,
                   struct blocklog_pos pos)
{
    uint8_t height_be[8], place[LMDB_BLOCK_SIZE];
    bytes_put64_be(height_be, header->height);
    put_pos(place, pos);
    memcpy(place + 8, header->hash, HASH_SIZE);
    block_header_encode(place + 8 + HASH_SIZE, header);
    MDB_val key = lmdb_val(height_be, 8), value = lmdb_val(place, sizeof(place));
    return mdb_put(txn, store->dbs.blocks, &key, &value, MDB_APPEND);
}

/* Where the chain stood when a segment of the log was begun: none of the bodies in older ones is newer. All
 * before that is in LMDB by then (blockstore_write.c). */
int lmdb_put_segment(struct blockstore *store, MDB_txn *txn, const struct log_place *place)
{
    if (place->pos.offset != BLOCKLOG_HEADER_SIZE)
        return 0;
    int64_t time_us = store->head_time_us;
    uint8_t segment_be[8], stood[16];
    bytes_put64_be(segment_be, place->pos.segment);
    bytes_put64(stood, time_us == INT64_MIN ? 0 : store->head.height + 1);
    bytes_put64(stood + 8, (uint64_t)time_us);
    MDB_val key = lmdb_val(segment_be, 8), value = lmdb_val(stood, sizeof(stood));
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

int lmdb_put_terms(struct blockstore *store, MDB_txn *txn, const struct state_object *object)
{
    return change_terms(store, txn, object, true);
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
    if (!change->has_old)
        return 0;
    int64_t old_us = block_time_of_rv(change->old.rv);
    bool in_log = old_us >= time_us - (int64_t)store->options.retention_us && old_us > store->base_time_us;
    if (in_log)
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

int lmdb_put_total(struct blockstore *store, MDB_txn *txn, const struct state_claim_total *total)
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

int lmdb_put_update(struct blockstore *store, MDB_txn *txn, const struct state_update *update)
{
    buf_auto struct buf record = BUF_INIT;
    int rc = 0;
    for (size_t i = 0; !rc && i < update->change_count; i++)
        rc = put_change(store, txn, &update->changes[i], &record);
    for (size_t i = 0; !rc && i < update->total_count; i++)
        rc = lmdb_put_total(store, txn, &update->totals[i]);
    return rc;
}

int lmdb_put_head(struct blockstore *store, MDB_txn *txn, const struct lmdb_head *head)
{
    uint8_t bytes[LMDB_HEAD_SIZE];
    bytes_put64(bytes, head->height);
    put_pos(bytes + 8, head->newest);
    put_pos(bytes + 16, head->end);
    bytes_put64(bytes + 24, head->next_seq);
    bytes_put64(bytes + 32, head->final);
    bytes_put64(bytes + 40, head->unhashed);
    bytes_put64(bytes + 48, head->transactions);
    bytes_put64(bytes + 56, head->orphan);
    put_pos(bytes + 64, head->note);
    MDB_val key = lmdb_val("head", 4), value = lmdb_val(bytes, sizeof(bytes));
    return mdb_put(txn, store->dbs.meta, &key, &value, 0);
}

void lmdb_head_advance(struct lmdb_head *head, const struct log_place *place)
{
    head->newest = place->pos;
    head->end = place->end;
    head->next_seq = place->next_seq;
    if (place->final > head->final)
        head->final = place->final;
}

int lmdb_put_hash(struct blockstore *store, MDB_txn *txn, const struct lthash *hash)
{
    /* In halves, each of which fits in a leaf: as a whole it would take a page of its own per commit. */
    uint8_t bytes[LTHASH_SIZE];
    lthash_encode(bytes, hash);
    int rc = 0;
    for (int half = 0; !rc && half < 2; half++) {
        MDB_val key = lmdb_val(half ? "state1" : "state0", 6);
        MDB_val value = lmdb_val(bytes + half * (LTHASH_SIZE / 2), LTHASH_SIZE / 2);
        rc = mdb_put(txn, store->dbs.meta, &key, &value, 0);
    }
    return rc;
}

int lmdb_put_number(struct blockstore *store, MDB_txn *txn, const char *name, uint64_t number)
{
    uint8_t bytes[8];
    bytes_put64(bytes, number);
    MDB_val key = lmdb_val(name, strlen(name)), value = lmdb_val(bytes, sizeof(bytes));
    return mdb_put(txn, store->dbs.meta, &key, &value, 0);
}

int lmdb_put_id(struct blockstore *store, MDB_txn *txn, const uint8_t id[HASH_SIZE], uint64_t height,
                uint32_t index)
{
    uint8_t where[LMDB_ID_SIZE];
    bytes_put64(where, height);
    bytes_put32(where + 8, index);
    MDB_val key = lmdb_val(id, HASH_SIZE), value = lmdb_val(where, sizeof(where));
    return mdb_put(txn, store->dbs.txs, &key, &value, 0);
}

/* Indexes the newest transactions together, up to the block before this one, when there are enough of them
 * or before their blocks may be pruned. */
static int index_recent(struct blockstore *store, MDB_txn *txn, const struct block_header *header,
                        bool *indexed)
{
    *indexed = recent_is_due(store->recent, header->time_us - (int64_t)store->options.retention_us);
    if (!*indexed)
        return 0;
    size_t count;
    mem_auto struct recent_entry *entries = recent_sorted(store->recent, &count);
    int rc = 0;
    for (size_t i = 0; !rc && i < count; i++)
        if (entries[i].height < header->height)
            rc = lmdb_put_id(store, txn, entries[i].id, entries[i].height, entries[i].index);
    return rc ? rc : lmdb_put_number(store, txn, "indexed", header->height - 1);
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

/* What takes a block back, until it is final. */
static int put_rollback(struct blockstore *store, MDB_txn *txn, const struct state_update *update,
                        const struct block_header *parent)
{
    buf_auto struct buf record = BUF_INIT;
    uint8_t height_be[8];
    state_undo_encode(&record, update, parent);
    bytes_put64_be(height_be, update->height);
    MDB_val key = lmdb_val(height_be, 8), value = lmdb_val(record.data, record.len);
    return mdb_put(txn, store->dbs.rollback, &key, &value, MDB_APPEND);
}

/* Drops what blocks have that are final by now: their undo records, a few per commit, and side blocks. */
static int trim_final(struct blockstore *store, MDB_txn *txn, uint64_t final)
{
    MDB_stat stat;
    MDB_cursor *cursor;
    MDB_val key, value;
    int rc = mdb_stat(txn, store->dbs.rollback, &stat);
    if (!rc && stat.ms_entries && !(rc = mdb_cursor_open(txn, store->dbs.rollback, &cursor))) {
        for (int i = 0; !rc && i < 64; i++) {
            rc = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
            if (rc || key.mv_size != 8 || bytes_get64_be(key.mv_data) > final)
                break;
            rc = mdb_cursor_del(cursor, 0);
        }
        mdb_cursor_close(cursor);
    }
    if ((!rc || rc == MDB_NOTFOUND) && final > store->trimmed)
        rc = lmdb_trim_sides(store, txn, final);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

/* A block and what it does to the state, within the transaction. */
static int put_block(struct blockstore *store, MDB_txn *txn, const struct late_block *block)
{
    int64_t time_us = block->header.time_us;
    const struct state_update *update = &block->update;
    int rc = lmdb_put_block(store, txn, &block->header, block->place.pos);
    for (size_t i = 0; !rc && i < update->change_count; i++)
        rc = keep_undo(store, txn, &update->changes[i], time_us);
    if (!rc)
        rc = lmdb_put_update(store, txn, update);
    return rc || !block->tentative ? rc : put_rollback(store, txn, update, &block->parent);
}

/* What is to be done once for all blocks of a transaction. */
static int put_rest(struct blockstore *store, MDB_txn *txn, const struct late_block *newest, bool *indexed)
{
    int rc = index_recent(store, txn, &newest->header, indexed);
    if (!rc)
        rc = trim_undo(store, txn, newest->header.time_us);
    return rc ? rc : lmdb_put_hash(store, txn, newest->update.hash);
}

/* The head, and LMDB's commit, which nobody sees yet. */
static int commit_concealed(struct blockstore *store, MDB_txn *txn, int rc, const struct lmdb_head *head,
                            struct err *err)
{
    if (!rc)
        rc = trim_final(store, txn, head->final);
    if (!rc)
        rc = lmdb_put_head(store, txn, head);
    if (rc) {
        mdb_txn_abort(txn);
        return lmdb_error(err, rc, "write to the state store");
    }
    lmdb_pool_conceal(store);
    rc = mdb_txn_commit(txn);
    if (!rc)
        return 0;
    lmdb_pool_reveal(store);
    return lmdb_error(err, rc, "write to the state store");
}

static void reveal(struct blockstore *store, const struct lmdb_end *end)
{
    /* Before the rest, so that whoever sees the block finds its transactions. */
    if (end->block)
        recent_add(store->recent, end->block, end->tentative);
    store->head = *end->head;
    store->trimmed = end->head->final;
    lmdb_pool_reveal(store);
}

int lmdb_finish(struct blockstore *store, MDB_txn *txn, int rc, const struct lmdb_end *end, struct err *err)
{
    rc = commit_concealed(store, txn, rc, end->head, err);
    if (rc < 0)
        return rc;
    if (end->place && end->place->pending && (rc = blocklog_finish(store->log, err)) < 0) {
        store->ahead = true; /* and stays concealed */
        return rc;
    }
    reveal(store, end);
    return 0;
}

static void head_take(struct lmdb_head *head, const struct late_block *block)
{
    lmdb_head_advance(head, &block->place);
    head->height = block->header.height;
    head->transactions += block->header.tx_count;
    if (!block->tentative)
        head->unhashed = head->final = head->height;
}

int lmdb_commit(struct blockstore *store, const struct block *block, const struct log_place *place,
                const struct state_update *update, bool tentative, struct err *err)
{
    MDB_txn *txn;
    bool indexed = false;
    struct lmdb_head head = store->head;
    struct lmdb_end end = {&head, place, block, tentative};
    const struct late_block at_once = {.header = block->header,
                                       .parent = store->head_header,
                                       .place = *place,
                                       .tentative = tentative,
                                       .update = *update};
    int rc = mdb_txn_begin(store->env, NULL, 0, &txn);
    if (rc)
        return lmdb_error(err, rc, "write to the state store");
    head_take(&head, &at_once);
    rc = lmdb_put_segment(store, txn, place);
    if (!rc)
        rc = put_block(store, txn, &at_once);
    if (!rc)
        rc = lmdb_adopt_block(store, txn, block);
    if (!rc)
        rc = put_rest(store, txn, &at_once, &indexed);
    rc = lmdb_finish(store, txn, rc, &end, err);
    if (!rc && indexed)
        recent_forget(store->recent, block->header.height - 1);
    return rc;
}

int lmdb_commit_late(struct blockstore *store, struct late_block *const *blocks, size_t count,
                     struct err *err)
{
    MDB_txn *txn;
    bool indexed = false;
    const struct late_block *newest = blocks[count - 1];
    struct lmdb_head head = store->head;
    int rc = mdb_txn_begin(store->env, NULL, 0, &txn);
    if (rc)
        return lmdb_error(err, rc, "write to the state store");
    for (size_t i = 0; !rc && i < count; i++) {
        rc = put_block(store, txn, blocks[i]);
        head_take(&head, blocks[i]);
    }
    if (!rc)
        rc = put_rest(store, txn, newest, &indexed);
    if (!rc)
        rc = trim_final(store, txn, head.final);
    if (!rc)
        rc = lmdb_put_head(store, txn, &head);
    if (rc)
        mdb_txn_abort(txn);
    else
        rc = mdb_txn_commit(txn);
    if (rc)
        return lmdb_error(err, rc, "write to the state store");
    store->head = head;
    store->trimmed = head.final;
    if (indexed)
        recent_forget(store->recent, newest->header.height - 1);
    return 0;
}

bool lmdb_has_abandoned(struct blockstore *store)
{
    MDB_stat sides, abandoned;
    struct state_snapshot *snapshot = lmdb_snapshot_begin(store);
    int rc = mdb_stat(snapshot->txn, store->dbs.sides, &sides);
    if (!rc)
        rc = mdb_stat(snapshot->txn, store->dbs.abandoned, &abandoned);
    lmdb_snapshot_end(snapshot);
    return rc || sides.ms_entries || abandoned.ms_entries;
}

int lmdb_writable(struct blockstore *store, struct err *err)
{
    return store->ahead
               ? err_set(err, ERR_IO,
                         "the block log could not be made durable; check the disk and restart the node")
               : 0;
}

/* A transaction that changes little but the head, and what follows from it: at most, there is an orphan. */
static int commit_head(struct blockstore *store, const struct lmdb_head *head, const struct log_place *place,
                       const struct abandoned *orphan, struct err *err)
{
    MDB_txn *txn;
    struct lmdb_end end = {.head = head, .place = place};
    int rc = lmdb_writable(store, err);
    if (rc < 0)
        return rc;
    rc = mdb_txn_begin(store->env, NULL, 0, &txn);
    if (rc)
        return lmdb_error(err, rc, "write to the state store");
    if (place)
        rc = lmdb_put_segment(store, txn, place);
    if (!rc && orphan)
        rc = lmdb_abandon_tx(store, txn, orphan, head->orphan);
    return lmdb_finish(store, txn, rc, &end, err);
}

int lmdb_commit_note(struct blockstore *store, const struct log_place *place, struct err *err)
{
    struct lmdb_head head = store->head;
    lmdb_head_advance(&head, place);
    head.note = place->pos;
    return commit_head(store, &head, place, NULL, err);
}

int lmdb_commit_orphan(struct blockstore *store, const struct log_place *place, const uint8_t id[TX_ID_SIZE],
                       struct err *err)
{
    struct lmdb_head head = store->head;
    struct abandoned orphan = {.pos = place->pos};
    memcpy(orphan.id, id, TX_ID_SIZE);
    lmdb_head_advance(&head, place);
    head.orphan++;
    return commit_head(store, &head, place, &orphan, err);
}

int lmdb_commit_base(struct blockstore *store, const struct log_place *place, struct err *err)
{
    struct lmdb_head head = store->head;
    lmdb_head_advance(&head, place);
    return commit_head(store, &head, place, NULL, err);
}

int lmdb_commit_final(struct blockstore *store, uint64_t final, struct err *err)
{
    struct lmdb_head head = store->head;
    head.final = final;
    return commit_head(store, &head, NULL, NULL, err);
}
