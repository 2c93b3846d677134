/* Side blocks, and orphans: what a rewind leaves, within LMDB transactions. Nearly always there are none, so
 * each way through here begins with a look at how many there are. */
#include "blockstore/blockstore_internal.h"
#include "blockstore/bytes.h"

#include "base/mem.h"

#include <string.h>

#define SIDE_SIZE (8 + 8 + HASH_SIZE)
#define ABANDONED_SIZE (8 + 4 + 8)

static size_t entries(MDB_txn *txn, MDB_dbi dbi)
{
    MDB_stat stat;
    return mdb_stat(txn, dbi, &stat) ? 0 : stat.ms_entries;
}

int lmdb_abandon_block(struct blockstore *store, MDB_txn *txn, const struct block_header *header,
                       struct blocklog_pos pos)
{
    uint8_t side[SIDE_SIZE];
    bytes_put32(side, pos.segment);
    bytes_put32(side + 4, pos.offset);
    bytes_put64(side + 8, header->height);
    memcpy(side + 16, header->parent, HASH_SIZE);
    MDB_val key = lmdb_val(header->hash, HASH_SIZE), value = lmdb_val(side, sizeof(side));
    return mdb_put(txn, store->dbs.sides, &key, &value, 0);
}

static int drop_orphan(struct blockstore *store, MDB_txn *txn, uint64_t number)
{
    uint8_t number_be[8];
    bytes_put64_be(number_be, number);
    MDB_val key = lmdb_val(number_be, 8);
    int rc = mdb_del(txn, store->dbs.orphans, &key, NULL);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

int lmdb_abandon_tx(struct blockstore *store, MDB_txn *txn, const struct abandoned *abandoned,
                    uint64_t number)
{
    uint8_t place[ABANDONED_SIZE], number_be[8];
    MDB_val id = lmdb_val(abandoned->id, TX_ID_SIZE), value;
    int rc = mdb_get(txn, store->dbs.abandoned, &id, &value);
    uint64_t before =
        !rc && value.mv_size == ABANDONED_SIZE ? bytes_get64((const uint8_t *)value.mv_data + 12) : 0;
    if (!rc && before)
        rc = drop_orphan(store, txn, before);
    if (rc && rc != MDB_NOTFOUND)
        return rc;
    bytes_put32(place, abandoned->pos.segment);
    bytes_put32(place + 4, abandoned->pos.offset);
    bytes_put32(place + 8, abandoned->index);
    bytes_put64(place + 12, number);
    value = lmdb_val(place, sizeof(place));
    rc = mdb_put(txn, store->dbs.abandoned, &id, &value, 0);
    if (rc || !number)
        return rc;
    bytes_put64_be(number_be, number);
    MDB_val key = lmdb_val(number_be, 8);
    return mdb_put(txn, store->dbs.orphans, &key, &id, MDB_APPEND);
}

/* An orphan that needs nobody's care any more; where its body is stays known. */
static int settle(struct blockstore *store, MDB_txn *txn, const uint8_t id[TX_ID_SIZE])
{
    MDB_val key = lmdb_val(id, TX_ID_SIZE), value;
    int rc = mdb_get(txn, store->dbs.abandoned, &key, &value);
    if (rc)
        return rc == MDB_NOTFOUND ? 0 : rc;
    if (value.mv_size != ABANDONED_SIZE)
        return MDB_CORRUPTED;
    uint8_t place[ABANDONED_SIZE];
    memcpy(place, value.mv_data, sizeof(place));
    uint64_t number = bytes_get64(place + 12);
    if (!number)
        return 0;
    bytes_put64(place + 12, 0);
    value = lmdb_val(place, sizeof(place));
    rc = mdb_put(txn, store->dbs.abandoned, &key, &value, 0);
    return rc ? rc : drop_orphan(store, txn, number);
}

int lmdb_adopt_block(struct blockstore *store, MDB_txn *txn, const struct block *block)
{
    int rc = 0;
    if (entries(txn, store->dbs.sides)) {
        MDB_val key = lmdb_val(block->header.hash, HASH_SIZE);
        rc = mdb_del(txn, store->dbs.sides, &key, NULL);
        rc = rc == MDB_NOTFOUND ? 0 : rc;
    }
    if (rc || !entries(txn, store->dbs.orphans))
        return rc;
    /* What came in a rebased form may have lost something: it stays until that is told. */
    for (uint32_t i = 0; !rc && i < block->header.tx_count; i++)
        rc = settle(store, txn, block->txs[i]->id);
    return rc;
}

/* ---- which side blocks are ruled out ---- */

struct side {
    uint64_t height;
    uint8_t hash[HASH_SIZE], parent[HASH_SIZE];
};

static int by_height(const void *a, const void *b)
{
    const struct side *x = a, *y = b;
    return (x->height > y->height) - (x->height < y->height);
}

static int list_sides(struct blockstore *store, MDB_txn *txn, struct side *sides, size_t count)
{
    MDB_cursor *cursor = NULL;
    MDB_val key, value;
    int rc = mdb_cursor_open(txn, store->dbs.sides, &cursor);
    for (size_t i = 0; !rc && i < count; i++) {
        rc = mdb_cursor_get(cursor, &key, &value, i ? MDB_NEXT : MDB_FIRST);
        if (!rc && (key.mv_size != HASH_SIZE || value.mv_size != SIDE_SIZE))
            rc = MDB_CORRUPTED;
        if (rc)
            break;
        const uint8_t *p = value.mv_data;
        sides[i].height = bytes_get64(p + 8);
        memcpy(sides[i].hash, key.mv_data, HASH_SIZE);
        memcpy(sides[i].parent, p + 16, HASH_SIZE);
    }
    if (cursor)
        mdb_cursor_close(cursor);
    return rc;
}

/* Whether its parent is a side block that stays, or on the chain and not below the final block. */
static bool stands(struct blockstore *store, MDB_txn *txn, const struct side *side, uint64_t final)
{
    struct lmdb_block parent;
    if (side->height <= final)
        return false;
    MDB_val key = lmdb_val(side->parent, HASH_SIZE), value;
    if (!mdb_get(txn, store->dbs.sides, &key, &value))
        return true;
    return !lmdb_block_get(store, txn, side->height - 1, &parent, NULL) &&
           !memcmp(parent.hash, side->parent, HASH_SIZE);
}

int lmdb_trim_sides(struct blockstore *store, MDB_txn *txn, uint64_t final)
{
    size_t count = entries(txn, store->dbs.sides);
    if (count) {
        mem_auto struct side *sides = mem_calloc(count, sizeof(*sides));
        int rc = list_sides(store, txn, sides, count);
        if (rc)
            return rc;
        /* Parents first, so that whoever stands on one that goes is seen to stand on nothing. */
        qsort(sides, count, sizeof(*sides), by_height);
        for (size_t i = 0; i < count; i++) {
            if (stands(store, txn, &sides[i], final))
                continue;
            MDB_val key = lmdb_val(sides[i].hash, HASH_SIZE);
            rc = mdb_del(txn, store->dbs.sides, &key, NULL);
            if (rc)
                return rc;
        }
    }
    if (entries(txn, store->dbs.sides) || entries(txn, store->dbs.orphans) ||
        !entries(txn, store->dbs.abandoned))
        return 0;
    return mdb_drop(txn, store->dbs.abandoned, 0);
}

/* ---- what pruning has to leave ---- */

static void need(uint32_t *oldest, uint32_t segment)
{
    if (segment && segment < *oldest)
        *oldest = segment;
}

uint32_t lmdb_oldest_needed(struct blockstore *store, MDB_txn *txn)
{
    uint32_t oldest = UINT32_MAX;
    struct lmdb_head head;
    struct lmdb_block block;
    MDB_cursor *cursor;
    MDB_val key, value;
    if (lmdb_head_get(store, txn, &head, NULL) < 0)
        return 0;
    need(&oldest, head.newest.segment);
    need(&oldest, head.note.segment);
    if (head.final < head.height && !lmdb_block_get(store, txn, head.final + 1, &block, NULL))
        need(&oldest, block.pos.segment);
    if (entries(txn, store->dbs.sides) && !mdb_cursor_open(txn, store->dbs.sides, &cursor)) {
        while (!mdb_cursor_get(cursor, &key, &value, MDB_NEXT))
            need(&oldest, bytes_get32(value.mv_data));
        mdb_cursor_close(cursor);
    }
    if (entries(txn, store->dbs.orphans) && !mdb_cursor_open(txn, store->dbs.orphans, &cursor)) {
        MDB_val id;
        while (!mdb_cursor_get(cursor, &key, &id, MDB_NEXT))
            if (!mdb_get(txn, store->dbs.abandoned, &id, &value))
                need(&oldest, bytes_get32(value.mv_data));
        mdb_cursor_close(cursor);
    }
    return oldest;
}

/* ---- for others to see ---- */

static struct blocklog_pos pos_of(const void *bytes)
{
    const uint8_t *p = bytes;
    return (struct blocklog_pos){bytes_get32(p), bytes_get32(p + 4)};
}

int blockstore_side_block(struct blockstore *store, const uint8_t hash[HASH_SIZE], struct block **out,
                          struct err *err)
{
    struct state_snapshot *snapshot = lmdb_snapshot_begin(store);
    MDB_val key = lmdb_val(hash, HASH_SIZE), value;
    struct blocklog_pos pos = {0, 0};
    int rc = mdb_get(snapshot->txn, store->dbs.sides, &key, &value);
    if (!rc && value.mv_size == SIDE_SIZE)
        pos = pos_of(value.mv_data);
    lmdb_snapshot_end(snapshot);
    if (rc == MDB_NOTFOUND)
        return err_set(err, ERR_NOT_FOUND, "there is no such side block");
    return rc ? lmdb_error(err, rc, "look up a side block") : lmdb_body_get(store, pos, hash, out, err);
}

/* An orphan that was saved from another store stands in the log by itself; 1: there is a block at pos. */
static int lone_tx(struct blockstore *store, struct blocklog_pos pos, struct tx **out, struct err *err)
{
    buf_auto struct buf bytes = BUF_INIT;
    struct blocklog_record found;
    struct log_record record = {0};
    int rc = blocklog_read(store->log, pos, &found, &bytes, err);
    if (!rc)
        rc = log_record_decode(&record, &found, err);
    if (!rc && record.type != LOG_RECORD_ORPHAN)
        return 1;
    return rc < 0 ? rc : tx_decode(out, record.bytes, record.len, err);
}

/* A copy of a transaction of an abandoned block. Orphans are asked for in their order, so the block that was
 * decoded for the last one is kept. side_lock is held. */
static int block_tx(struct blockstore *store, struct blocklog_pos pos, uint32_t index, struct tx **out,
                    struct err *err)
{
    bool kept =
        store->side_block && store->side_pos.segment == pos.segment && store->side_pos.offset == pos.offset;
    if (!kept) {
        int rc = lone_tx(store, pos, out, err);
        if (rc <= 0)
            return rc;
        block_free(store->side_block);
        rc = lmdb_body_get(store, pos, NULL, &store->side_block, err);
        store->side_pos = pos;
        if (rc < 0)
            return rc;
    }
    if (index >= store->side_block->header.tx_count)
        return err_set(err, ERR_CORRUPT,
                       "an abandoned block does not have the transaction that the index names");
    const struct tx *tx = store->side_block->txs[index];
    return tx_decode(out, tx->encoded, tx->encoded_len, err);
}

static int side_tx(struct blockstore *store, const struct abandoned *from, struct tx **out, struct err *err)
{
    pthread_mutex_lock(&store->side_lock);
    int rc = block_tx(store, from->pos, from->index, out, err);
    pthread_mutex_unlock(&store->side_lock);
    if (rc < 0 || !memcmp((*out)->id, from->id, TX_ID_SIZE))
        return rc;
    tx_free(*out);
    return err_set(err, ERR_CORRUPT, "an orphan's place in the block log has another transaction");
}

static void forget_side_block(struct blockstore *store)
{
    pthread_mutex_lock(&store->side_lock);
    block_free(store->side_block);
    store->side_block = NULL;
    pthread_mutex_unlock(&store->side_lock);
}

static int abandoned_get(struct blockstore *store, MDB_txn *txn, struct abandoned *out)
{
    MDB_val key = lmdb_val(out->id, TX_ID_SIZE), value;
    int rc = mdb_get(txn, store->dbs.abandoned, &key, &value);
    if (rc || value.mv_size != ABANDONED_SIZE)
        return rc ? rc : MDB_CORRUPTED;
    out->pos = pos_of(value.mv_data);
    out->index = bytes_get32((const uint8_t *)value.mv_data + 8);
    return 0;
}

static int next_orphan(struct blockstore *store, MDB_txn *txn, uint64_t after, uint64_t *number,
                       struct abandoned *out)
{
    MDB_cursor *cursor;
    uint8_t number_be[8];
    bytes_put64_be(number_be, after + 1);
    MDB_val key = lmdb_val(number_be, 8), value;
    int rc = mdb_cursor_open(txn, store->dbs.orphans, &cursor);
    if (rc)
        return rc;
    rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
    if (!rc && (key.mv_size != 8 || value.mv_size != TX_ID_SIZE))
        rc = MDB_CORRUPTED;
    if (!rc) {
        *number = bytes_get64_be(key.mv_data);
        memcpy(out->id, value.mv_data, TX_ID_SIZE);
    }
    mdb_cursor_close(cursor);
    if (rc)
        return rc;
    rc = abandoned_get(store, txn, out);
    return rc == MDB_NOTFOUND ? MDB_CORRUPTED : rc;
}

int blockstore_orphan_next(struct blockstore *store, uint64_t after, uint64_t *number, struct tx **out,
                           struct err *err)
{
    struct abandoned found = {0};
    struct state_snapshot *snapshot = lmdb_snapshot_begin(store);
    int rc = next_orphan(store, snapshot->txn, after, number, &found);
    lmdb_snapshot_end(snapshot);
    if (rc == MDB_NOTFOUND) {
        forget_side_block(store);
        return err_set(err, ERR_NOT_FOUND, "there are no more orphans");
    }
    return rc ? lmdb_error(err, rc, "read an orphan") : side_tx(store, &found, out, err);
}

uint64_t blockstore_orphan_count(struct blockstore *store)
{
    struct state_snapshot *snapshot = lmdb_snapshot_begin(store);
    uint64_t count = entries(snapshot->txn, store->dbs.orphans);
    lmdb_snapshot_end(snapshot);
    return count;
}

int blockstore_orphan_done(struct blockstore *store, uint64_t number, struct err *err)
{
    MDB_txn *txn;
    uint8_t number_be[8], id[TX_ID_SIZE];
    bytes_put64_be(number_be, number);
    pthread_mutex_lock(&store->commit_lock);
    int rc = lmdb_writable(store, err);
    if (rc < 0) {
        pthread_mutex_unlock(&store->commit_lock);
        return rc;
    }
    rc = mdb_txn_begin(store->env, NULL, 0, &txn);
    if (!rc) {
        MDB_val key = lmdb_val(number_be, 8), value;
        rc = mdb_get(txn, store->dbs.orphans, &key, &value);
        if (!rc && value.mv_size == TX_ID_SIZE) {
            memcpy(id, value.mv_data, TX_ID_SIZE);
            rc = settle(store, txn, id);
        }
        if (!rc)
            rc = mdb_txn_commit(txn);
        else
            mdb_txn_abort(txn);
    }
    pthread_mutex_unlock(&store->commit_lock);
    if (rc == MDB_NOTFOUND)
        return 0; /* it came to be on the chain */
    if (rc)
        return lmdb_error(err, rc, "write to the state store");
    keeper_note_commit(store, 0);
    return 0;
}

static int chain_tx(struct blockstore *store, uint64_t height, uint32_t index, const uint8_t id[TX_ID_SIZE],
                    struct tx **out, struct err *err)
{
    struct block *block;
    int rc = blockstore_block_at(store, height, &block, err);
    if (rc < 0)
        return rc;
    if (index >= block->header.tx_count || memcmp(block->txs[index]->id, id, TX_ID_SIZE) != 0)
        rc = err_set(err, ERR_CORRUPT, "the transaction index names another transaction of block %llu",
                     (unsigned long long)height);
    else
        rc = tx_decode(out, block->txs[index]->encoded, block->txs[index]->encoded_len, err);
    block_free(block);
    return rc;
}

int blockstore_tx(struct blockstore *store, const uint8_t id[TX_ID_SIZE], struct tx **out, struct err *err)
{
    uint64_t height;
    uint32_t index;
    int rc = blockstore_height_of_tx(store, id, &height, &index, err);
    if (!rc)
        rc = chain_tx(store, height, index, id, out, err);
    if (rc != ERR_NOT_FOUND && rc != ERR_CORRUPT)
        return rc;
    /* Not on the chain, or not any more since it was looked up. */
    struct abandoned found = {0};
    memcpy(found.id, id, TX_ID_SIZE);
    struct state_snapshot *snapshot = lmdb_snapshot_begin(store);
    int lmdb_rc = abandoned_get(store, snapshot->txn, &found);
    lmdb_snapshot_end(snapshot);
    if (lmdb_rc == MDB_NOTFOUND)
        return rc;
    return lmdb_rc ? lmdb_error(err, lmdb_rc, "look up a transaction") : side_tx(store, &found, out, err);
}
