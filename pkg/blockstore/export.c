/*
 * Snapshots for others: the state at the final block, out of one LMDB snapshot.
 *
 * LMDB has the state at the head. Where blocks above the final one are not final yet, their undo records say
 * what the keys that they changed had at the final block; that is laid over the objects as they are walked.
 * So a node under load exports at any time, and whoever imports gets a state that is never rewound.
 */
#include "blockstore/blockstore_internal.h"
#include "blockstore/bytes.h"
#include "blockstore/lmdb_key.h"
#include "blockstore/snapshot.h"

#include "base/mem.h"
#include "chain/bytemap.h"
#include "state/record.h"

#include <string.h>

#define OVERLAY_MAX (256u << 20)

/* A key that blocks above the final one changed, as it was there. */
struct laid {
    uint8_t key[LMDB_KEY_MAX];
    size_t key_len;
    char *record; /* NULL: it was not there */
    size_t len;
};

/* Where a chunk begins. */
struct start {
    uint8_t key[LMDB_KEY_MAX];
    size_t key_len;
};

struct blockstore_export {
    struct blockstore *store;
    struct state_snapshot *snapshot;
    struct lmdb_head head;
    uint64_t final;
    struct snapshot_manifest manifest;
    size_t id_cap;        /* of manifest.ids */
    struct start *starts; /* of manifest.chunks */
    struct laid **laid;   /* ordered by key once all are there */
    size_t laid_count, laid_cap, laid_bytes;
    struct bytemap laid_map;
};

/* That of the snapshot's block. */
static const struct block_header *newest_header(const struct blockstore_export *export)
{
    return &export->manifest.headers[export->manifest.header_count - 1];
}

static int header_at(struct blockstore_export *export, uint64_t height, struct block_header *out,
                     struct err *err)
{
    struct lmdb_block block;
    int rc = lmdb_block_get(export->store, export->snapshot->txn, height, &block, err);
    return rc ? rc : block_header_decode(out, block.header, sizeof(block.header), err);
}

/* ---- what is laid over ---- */

static int lay(struct blockstore_export *export, const struct state_change *change, struct err *err)
{
    uint8_t key[LMDB_KEY_MAX];
    size_t key_len = lmdb_key_of(key, &change->object.key);
    uint32_t at = bytemap_get(&export->laid_map, key, key_len);
    if (at == BYTEMAP_NONE) {
        if (export->laid_count == export->laid_cap) {
            export->laid_cap = export->laid_cap ? 2 * export->laid_cap : 64;
            export->laid = mem_reallocarray(export->laid, export->laid_cap, sizeof(*export->laid));
        }
        struct laid *fresh = mem_zalloc(sizeof(*fresh));
        memcpy(fresh->key, key, key_len);
        fresh->key_len = key_len;
        at = (uint32_t) export->laid_count++;
        export->laid[at] = fresh;
        bytemap_set(&export->laid_map, fresh->key, key_len, at);
    }
    struct laid *laid = export->laid[at];
    export->laid_bytes -= laid->len;
    free(laid->record);
    laid->record = NULL;
    laid->len = 0;
    if (change->type != STATE_DELETED) {
        struct buf record = BUF_INIT;
        state_record_encode(&record, &change->object);
        laid->len = record.len;
        laid->record = buf_steal(&record);
    }
    export->laid_bytes += laid->len;
    if (export->laid_bytes > OVERLAY_MAX)
        return err_set(err, ERR_UNAVAILABLE, "too much of the chain is not final yet for a snapshot");
    return 0;
}

/* Lays what one block changed back, and takes hash to the state below it. */
static int lay_block(struct blockstore_export *export, uint64_t height, struct lthash *hash, struct err *err)
{
    uint8_t height_be[8];
    struct state_undo *undo;
    bytes_put64_be(height_be, height);
    MDB_val key = lmdb_val(height_be, 8), value;
    int rc = mdb_get(export->snapshot->txn, export->store->dbs.rollback, &key, &value);
    if (rc)
        return lmdb_error(err, rc, "read an undo record");
    rc = state_undo_decode(&undo, value.mv_data, value.mv_size, hash, err);
    if (rc < 0)
        return rc;
    const struct state_update *update = state_undo_update(undo);
    for (size_t i = 0; !rc && i < update->change_count; i++)
        rc = lay(export, &update->changes[i], err);
    *hash = *update->hash;
    state_undo_free(undo);
    return rc;
}

static int key_order(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
    int order = memcmp(a, b, a_len < b_len ? a_len : b_len);
    return order ? order : (a_len > b_len) - (a_len < b_len);
}

static int by_key(const void *a, const void *b)
{
    const struct laid *x = *(struct laid *const *)a, *y = *(struct laid *const *)b;
    return key_order(x->key, x->key_len, y->key, y->key_len);
}

static int lay_all(struct blockstore_export *export, struct err *err)
{
    struct lthash hash;
    uint8_t digest[HASH_SIZE];
    int rc = lmdb_hash_get(export->store, export->snapshot->txn, &hash, err);
    for (uint64_t height = export->head.height; !rc && height > export->final; height--)
        rc = lay_block(export, height, &hash, err);
    lthash_digest(digest, &hash);
    if (!rc && memcmp(digest, newest_header(export)->state_digest, HASH_SIZE) != 0)
        rc = err_set(err, ERR_CORRUPT, "the state does not have the hash that block %llu names",
                     (unsigned long long)export->final);
    if (!rc && export->laid_count)
        qsort(export->laid, export->laid_count, sizeof(*export->laid), by_key);
    return rc;
}

/* ---- walking ---- */

struct walk {
    struct blockstore_export *export;
    MDB_cursor *cursor;
    MDB_val key, value;
    int rc;    /* of the cursor */
    size_t at; /* in what is laid over */
};

static void walk_begin(struct walk *walk, struct blockstore_export *export, const struct start *start)
{
    *walk = (struct walk){.export = export};
    walk->rc = mdb_cursor_open(export->snapshot->txn, export->store->dbs.objects, &walk->cursor);
    walk->key = lmdb_val(start->key, start->key_len);
    if (!walk->rc)
        walk->rc = mdb_cursor_get(walk->cursor, &walk->key, &walk->value,
                                  start->key_len ? MDB_SET_RANGE : MDB_FIRST);
    size_t low = 0, high = export->laid_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct laid *laid = export->laid[middle];
        if (key_order(laid->key, laid->key_len, start->key, start->key_len) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    walk->at = low;
}

static void walk_end(struct walk *walk)
{
    if (walk->cursor)
        mdb_cursor_close(walk->cursor);
}

/* The next record, in the order of keys: 0, MDB_NOTFOUND at the end, or another code. */
static int walk_next(struct walk *walk, MDB_val *key, MDB_val *record)
{
    for (;;) {
        const struct blockstore_export *export = walk->export;
        const struct laid *laid = walk->at < export->laid_count ? export->laid[walk->at] : NULL;
        if (walk->rc && (walk->rc != MDB_NOTFOUND || !laid))
            return walk->rc;
        int order = !laid      ? -1
                    : walk->rc ? 1
                               : key_order(walk->key.mv_data, walk->key.mv_size, laid->key, laid->key_len);
        if (order < 0) {
            *key = walk->key;
            *record = walk->value;
        }
        if (order <= 0)
            walk->rc = mdb_cursor_get(walk->cursor, &walk->key, &walk->value, MDB_NEXT);
        if (order < 0)
            return 0;
        walk->at++;
        if (laid->record) {
            *key = lmdb_val(laid->key, laid->key_len);
            *record = lmdb_val(laid->record, laid->len);
            return 0;
        }
    }
}

/* Fills one chunk. MDB_NOTFOUND: it is the last, or there is none; *start is that of the next one. */
static int fill_chunk(struct walk *walk, struct buf *out)
{
    MDB_val key, record;
    int rc;
    buf_clear(out);
    while (!(rc = walk_next(walk, &key, &record)))
        if (snapshot_chunk_add(out, key.mv_data, key.mv_size, record.mv_data, record.mv_size))
            break;
    return rc;
}

/* Where the walk stands now. */
static bool walk_place(const struct walk *walk, struct start *out)
{
    const struct blockstore_export *export = walk->export;
    const struct laid *laid = walk->at < export->laid_count ? export->laid[walk->at] : NULL;
    if (walk->rc && !laid)
        return false;
    bool by_laid =
        walk->rc || (laid && key_order(laid->key, laid->key_len, walk->key.mv_data, walk->key.mv_size) < 0);
    out->key_len = by_laid ? laid->key_len : walk->key.mv_size;
    memcpy(out->key, by_laid ? laid->key : walk->key.mv_data, out->key_len);
    return true;
}

/* Walks over everything once, for the chunks' hashes. */
static int find_chunks(struct blockstore_export *export, struct err *err)
{
    struct snapshot_manifest *m = &export->manifest;
    struct walk walk;
    struct start start = {.key_len = 0};
    size_t cap = 0;
    buf_auto struct buf chunk = BUF_INIT;
    walk_begin(&walk, export, &start);
    int rc = walk.rc == MDB_NOTFOUND ? 0 : walk.rc;
    while (!rc && walk_place(&walk, &start)) {
        rc = fill_chunk(&walk, &chunk);
        if ((rc && rc != MDB_NOTFOUND) || !chunk.len)
            break;
        if (m->chunk_count == cap) {
            cap = cap ? 2 * cap : 16;
            m->chunks = mem_reallocarray(m->chunks, cap, sizeof(*m->chunks));
            export->starts = mem_reallocarray(export->starts, cap, sizeof(*export->starts));
        }
        export->starts[m->chunk_count] = start;
        m->chunks[m->chunk_count].len = (uint32_t)chunk.len;
        hash_content(m->chunks[m->chunk_count++].hash, chunk.data, chunk.len);
    }
    walk_end(&walk);
    return rc && rc != MDB_NOTFOUND ? lmdb_error(err, rc, "read the state for a snapshot") : 0;
}

/* ---- the manifest ---- */

static int add_headers(struct blockstore_export *export, struct err *err)
{
    struct snapshot_manifest *m = &export->manifest;
    int rc = header_at(export, 0, &m->genesis, err);
    uint64_t height =
        export->final > BLOCKSTORE_SNAPSHOT_HEADERS ? export->final - BLOCKSTORE_SNAPSHOT_HEADERS : 0;
    /* In a store that was itself made of a snapshot, there are none between the genesis and that one's. */
    if (height < export->store->base_first)
        height = export->store->base_first;
    m->headers = mem_calloc(export->final - height + 1, sizeof(*m->headers));
    for (; !rc && height <= export->final; height++)
        rc = header_at(export, height, &m->headers[m->header_count++], err);
    return rc;
}

static bool is_needed(const struct blockstore_export *export, uint64_t height)
{
    return height + BLOCKSTORE_SNAPSHOT_REPEATS > export->final;
}

/* The oldest block whose transactions are named. It follows from the headers, so that nodes with the same
 * chain give the same manifest; of what is from before a snapshot of its own, a node names all that it has.
 */
static int find_oldest_named(struct blockstore_export *export, uint64_t *oldest, struct err *err)
{
    const struct blockstore *store = export->store;
    int64_t since = newest_header(export)->time_us - SNAPSHOT_IDS_US;
    size_t count = 0;
    for (*oldest = export->final + 1; *oldest > 1; --*oldest) {
        uint64_t height = *oldest - 1;
        struct block_header header = {0};
        if (height <= store->base_height) {
            if (is_needed(export, height) || store->base_time_us >= since)
                *oldest = 1;
            return 0;
        }
        int rc = header_at(export, height, &header, err);
        if (rc)
            return rc;
        count += header.tx_count;
        if (!is_needed(export, height) && (header.time_us < since || count > SNAPSHOT_IDS_WANTED))
            return 0;
    }
    return 0;
}

static int add_id(struct blockstore_export *export, const uint8_t id[HASH_SIZE], uint64_t height,
                  uint32_t index, struct err *err)
{
    static const uint8_t none[HASH_SIZE];
    struct snapshot_manifest *m = &export->manifest;
    if (!memcmp(id, none, HASH_SIZE))
        return 0;
    if (m->id_count == SNAPSHOT_IDS_MAX)
        return err_set(err, ERR_INTERNAL, "too many transactions for a snapshot");
    if (m->id_count == export->id_cap) {
        export->id_cap = export->id_cap ? 2 * export->id_cap : 1024;
        m->ids = mem_reallocarray(m->ids, export->id_cap, sizeof(*m->ids));
    }
    struct snapshot_id *out = &m->ids[m->id_count++];
    *out = (struct snapshot_id){.below = export->final - height, .index = index};
    memcpy(out->id, id, HASH_SIZE);
    return 0;
}

/* Those of the blocks from oldest to newest, whose bodies are not here any more, or never were. */
static int add_indexed_ids(struct blockstore_export *export, uint64_t oldest, uint64_t newest,
                           struct err *err)
{
    MDB_cursor *cursor;
    MDB_val key, value;
    int rc = mdb_cursor_open(export->snapshot->txn, export->store->dbs.txs, &cursor);
    if (rc)
        return lmdb_error(err, rc, "read the index of transactions");
    while (!(rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT))) {
        const uint8_t *p = value.mv_data;
        if (key.mv_size != HASH_SIZE || value.mv_size != LMDB_ID_SIZE)
            continue;
        uint64_t height = bytes_get64(p);
        uint32_t index = bytes_get32(p + 8);
        bool is_block = (index & RECENT_KIND) == (uint32_t)RECENT_BLOCK;
        bool is_extra = !is_needed(export, height) && export->manifest.id_count >= SNAPSHOT_IDS_WANTED;
        if (height < oldest || height > newest || is_block || is_extra)
            continue;
        int failed = add_id(export, key.mv_data, height, index, err);
        if (failed) {
            mdb_cursor_close(cursor);
            return failed;
        }
    }
    mdb_cursor_close(cursor);
    return rc == MDB_NOTFOUND ? 0 : lmdb_error(err, rc, "read the index of transactions");
}

static int add_ids_of(struct blockstore_export *export, const struct block *block, struct err *err)
{
    int rc = 0;
    uint64_t height = block->header.height;
    for (uint32_t i = 0; !rc && i < block->header.tx_count; i++) {
        rc = add_id(export, block->txs[i]->id, height, i | RECENT_TX, err);
        if (!rc)
            rc = add_id(export, block->txs[i]->original, height, i | (uint32_t)RECENT_ORIGINAL, err);
    }
    return rc;
}

static int newest_first(const void *a, const void *b)
{
    const struct snapshot_id *x = a, *y = b;
    if (x->below != y->below)
        return x->below < y->below ? -1 : 1;
    return memcmp(x->id, y->id, HASH_SIZE);
}

static int add_ids(struct blockstore_export *export, struct err *err)
{
    struct snapshot_manifest *m = &export->manifest;
    uint64_t oldest, height = export->final;
    int rc = find_oldest_named(export, &oldest, err);
    while (!rc && height >= oldest && height > export->store->base_height) {
        struct lmdb_block place;
        struct block *block;
        rc = lmdb_block_get(export->store, export->snapshot->txn, height, &place, err);
        if (!rc)
            rc = lmdb_body_get(export->store, place.pos, place.hash, &block, err);
        if (rc)
            break;
        rc = add_ids_of(export, block, err);
        block_free(block);
        height--;
    }
    if ((!rc || rc == ERR_GONE) && height >= oldest && height > 0)
        rc = add_indexed_ids(export, oldest, height, err);
    if (!rc && m->id_count)
        qsort(m->ids, m->id_count, sizeof(*m->ids), newest_first);
    return rc;
}

/* ---- for others to call ---- */

int blockstore_export_begin(struct blockstore *store, struct blockstore_export **out, struct err *err)
{
    struct blockstore_export *export = mem_zalloc(sizeof(*export));
    export->store = store;
    uint64_t final = store->final_height; /* before the snapshot, which then has that block */
    lmdb_batch_settle(store, NULL);
    export->snapshot = lmdb_snapshot_begin(store);
    int rc = lmdb_head_get(store, export->snapshot->txn, &export->head, err);
    if (rc == ERR_NOT_FOUND)
        err_set(err, rc, "there is no chain in %s yet", store->dir);
    export->final = final > export->head.final ? final : export->head.final;
    export->manifest.transactions = export->head.transactions;
    if (!rc)
        rc = add_headers(export, err);
    if (!rc)
        rc = add_ids(export, err);
    if (!rc)
        rc = lay_all(export, err);
    if (!rc)
        rc = find_chunks(export, err);
    for (uint64_t height = export->final + 1; !rc && height <= export->head.height; height++) {
        struct block_header header;
        rc = header_at(export, height, &header, err);
        export->manifest.transactions -= rc ? 0 : header.tx_count;
    }
    if (rc < 0) {
        blockstore_export_end(export);
        return rc;
    }
    *out = export;
    return 0;
}

void blockstore_export_end(struct blockstore_export *export)
{
    if (!export)
        return;
    lmdb_snapshot_end(export->snapshot);
    for (size_t i = 0; i < export->laid_count; i++) {
        free(export->laid[i]->record);
        free(export->laid[i]);
    }
    free(export->laid);
    bytemap_free(&export->laid_map);
    free(export->starts);
    snapshot_manifest_free(&export->manifest);
    free(export);
}

int blockstore_export_manifest(struct blockstore_export *export, struct buf *out, struct err *err)
{
    (void)err;
    buf_clear(out);
    snapshot_manifest_encode(out, &export->manifest);
    return 0;
}

size_t blockstore_export_chunks(const struct blockstore_export *export)
{
    return export->manifest.chunk_count;
}

int blockstore_export_chunk(struct blockstore_export *export, size_t index, struct buf *out, struct err *err)
{
    struct walk walk;
    if (index >= export->manifest.chunk_count)
        return err_set(err, ERR_NOT_FOUND, "the snapshot has %zu chunks, not a chunk %zu",
                       export->manifest.chunk_count, index);
    walk_begin(&walk, export, &export->starts[index]);
    int rc = fill_chunk(&walk, out);
    walk_end(&walk);
    return rc && rc != MDB_NOTFOUND ? lmdb_error(err, rc, "read the state for a snapshot") : 0;
}
