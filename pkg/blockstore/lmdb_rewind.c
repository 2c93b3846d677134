/* Going back: the blocks above a height are undone in one LMDB transaction. */
#include "blockstore/blockstore_internal.h"
#include "blockstore/bytes.h"

#include "base/mem.h"

#include <string.h>

struct rewind {
    struct blockstore *store;
    MDB_txn *txn;
    struct lmdb_head head;      /* at the block at hand, then at the one below it */
    struct block_header header; /* of that block */
    struct lthash hash;         /* the state's there */
    struct abandoned *txs;      /* of the blocks that were undone, newest first */
    size_t count, cap;
};

static int corrupt(struct err *err, uint64_t height, const char *what)
{
    return err_set(err, ERR_CORRUPT, "block %llu cannot be rewound: %s", (unsigned long long)height, what);
}

/* The undo record of a block; copied, since writing moves LMDB's pages. */
static int rollback_get(struct rewind *r, uint64_t height, struct buf *out, struct err *err)
{
    uint8_t height_be[8];
    bytes_put64_be(height_be, height);
    MDB_val key = lmdb_val(height_be, 8), value;
    int rc = mdb_get(r->txn, r->store->dbs.rollback, &key, &value);
    if (rc == MDB_NOTFOUND)
        return corrupt(err, height, "what undoes it is not kept");
    if (rc)
        return lmdb_error(err, rc, "read an undo record");
    buf_append(out, value.mv_data, value.mv_size);
    rc = mdb_del(r->txn, r->store->dbs.rollback, &key, NULL);
    return rc ? lmdb_error(err, rc, "write to the state store") : 0;
}

static int header_get(struct rewind *r, uint64_t height, struct block_header *out, struct err *err)
{
    struct lmdb_block place;
    int rc = lmdb_block_get(r->store, r->txn, height, &place, err);
    return rc < 0 ? rc : block_header_decode(out, place.header, sizeof(place.header), err);
}

static int apply(struct rewind *r, const struct state_update *update, const struct block_header *parent,
                 struct err *err)
{
    uint8_t digest[HASH_SIZE];
    lthash_digest(digest, update->hash);
    if (update->height != parent->height || memcmp(update->block_hash, parent->hash, HASH_SIZE) != 0 ||
        memcmp(digest, parent->state_digest, HASH_SIZE) != 0)
        return corrupt(err, parent->height + 1, "what undoes it does not lead to the state below it");
    if (r->store->undone)
        for (size_t i = 0; i < update->change_count; i++)
            r->store->undone(r->store->undone_arg, &update->changes[i]);
    int rc = lmdb_put_update(r->store, r->txn, update);
    r->hash = *update->hash;
    return rc ? lmdb_error(err, rc, "write to the state store") : 0;
}

static int del_id(struct rewind *r, const uint8_t id[HASH_SIZE])
{
    MDB_val key = lmdb_val(id, HASH_SIZE);
    int rc = mdb_del(r->txn, r->store->dbs.txs, &key, NULL);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static void note_tx(struct rewind *r, const struct tx *tx, struct blocklog_pos pos, uint32_t index)
{
    if (r->count == r->cap) {
        r->cap = r->cap ? 2 * r->cap : 256;
        r->txs = mem_reallocarray(r->txs, r->cap, sizeof(*r->txs));
    }
    struct abandoned *abandoned = &r->txs[r->count++];
    *abandoned = (struct abandoned){.pos = pos, .index = index};
    memcpy(abandoned->id, tx->id, TX_ID_SIZE);
}

/* Drops what the indexes have of the block, and keeps it as a side block. */
static int move_aside(struct rewind *r, const struct block *block, struct blocklog_pos pos)
{
    static const uint8_t none[TX_ID_SIZE];
    uint8_t height_be[8];
    bytes_put64_be(height_be, block->header.height);
    MDB_val key = lmdb_val(height_be, 8);
    int rc = mdb_del(r->txn, r->store->dbs.blocks, &key, NULL);
    if (!rc)
        rc = del_id(r, block->header.hash);
    for (uint32_t i = block->header.tx_count; !rc && i-- > 0;) {
        const struct tx *tx = block->txs[i];
        rc = del_id(r, tx->id);
        if (!rc && memcmp(tx->original, none, TX_ID_SIZE) != 0)
            rc = del_id(r, tx->original);
        note_tx(r, tx, pos, i);
    }
    return rc ? rc : lmdb_abandon_block(r->store, r->txn, &block->header, pos);
}

static int undo_block(struct rewind *r, struct err *err)
{
    uint64_t height = r->head.height;
    buf_auto struct buf record = BUF_INIT;
    struct state_undo *undo = NULL;
    struct block_header parent;
    struct block *block = NULL;
    struct lmdb_block place;
    int rc = lmdb_block_get(r->store, r->txn, height, &place, err);
    if (!rc)
        rc = lmdb_body_get(r->store, place.pos, place.hash, &block, err);
    if (!rc)
        rc = header_get(r, height - 1, &parent, err);
    if (!rc)
        rc = rollback_get(r, height, &record, err);
    if (!rc)
        rc = state_undo_decode(&undo, record.data, record.len, &r->hash, err);
    if (!rc)
        rc = apply(r, state_undo_update(undo), &parent, err);
    if (!rc && (rc = move_aside(r, block, place.pos)) != 0)
        rc = lmdb_error(err, rc, "write to the state store");
    if (!rc) {
        r->head.height = height - 1;
        r->head.transactions -= block->header.tx_count;
        r->header = parent;
    }
    state_undo_free(undo);
    block_free(block);
    return rc;
}

/* The transactions become orphans, oldest first. */
static int put_orphans(struct rewind *r)
{
    int rc = 0;
    for (size_t i = r->count; !rc && i-- > 0;)
        rc = lmdb_abandon_tx(r->store, r->txn, &r->txs[i], ++r->head.orphan);
    return rc;
}

/* What the blocks above kept of versions that they replaced: their resourceVersions may be used again. */
static int drop_replaced(struct rewind *r)
{
    MDB_cursor *cursor;
    MDB_val key, value;
    int rc = mdb_cursor_open(r->txn, r->store->dbs.undo, &cursor);
    if (rc)
        return rc;
    for (;;) {
        rc = mdb_cursor_get(cursor, &key, &value, MDB_LAST);
        if (rc || key.mv_size != 8 || bytes_get64_be(key.mv_data) <= block_head_rv(&r->header))
            break;
        rc = mdb_cursor_del(cursor, 0);
        if (rc)
            break;
    }
    mdb_cursor_close(cursor);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static int put_indexes(struct rewind *r, const struct log_place *place)
{
    int rc = lmdb_put_segment(r->store, r->txn, place);
    if (!rc)
        rc = put_orphans(r);
    if (!rc)
        rc = drop_replaced(r);
    if (!rc && lmdb_indexed_get(r->store, r->txn) > r->head.height)
        rc = lmdb_put_number(r->store, r->txn, "indexed", r->head.height);
    return rc ? rc : lmdb_put_hash(r->store, r->txn, &r->hash);
}

int lmdb_rewind(struct blockstore *store, uint64_t height, const struct log_place *place, struct err *err)
{
    struct rewind r = {.store = store, .head = store->head, .header = store->head_header};
    struct blockstore_head head;
    int rc = blockstore_head(store, &head, err);
    if (rc < 0)
        return rc;
    r.hash = head.state_hash;
    rc = mdb_txn_begin(store->env, NULL, 0, &r.txn);
    if (rc)
        return lmdb_error(err, rc, "write to the state store");
    lmdb_head_advance(&r.head, place);
    while (!rc && r.head.height > height)
        rc = undo_block(&r, err);
    if (rc < 0) {
        mdb_txn_abort(r.txn);
    } else {
        struct lmdb_end end = {.head = &r.head, .place = place};
        rc = lmdb_finish(store, r.txn, put_indexes(&r, place), &end, err);
    }
    free(r.txs);
    if (rc < 0)
        return rc;
    recent_drop(store->recent, height + 1);
    blockstore_note_head(store, &r.header);
    return 0;
}
