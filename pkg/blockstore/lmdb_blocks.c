/* Lookups of blocks, transactions and what changes replaced. */
#include "blockstore/blockstore_internal.h"
#include "blockstore/bytes.h"

#include "base/hex.h"
#include "base/mem.h"

#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

int lmdb_hash_get(struct blockstore *store, MDB_txn *txn, struct lthash *out, struct err *err)
{
    uint8_t bytes[LTHASH_SIZE];
    for (int half = 0; half < 2; half++) {
        MDB_val key = lmdb_val(half ? "state1" : "state0", 6), value;
        int rc = mdb_get(txn, store->dbs.meta, &key, &value);
        if (rc || value.mv_size != LTHASH_SIZE / 2)
            return lmdb_error(err, rc ? rc : MDB_CORRUPTED, "read the state hash");
        memcpy(bytes + half * (LTHASH_SIZE / 2), value.mv_data, LTHASH_SIZE / 2);
    }
    lthash_decode(out, bytes);
    return 0;
}

int blockstore_head(struct blockstore *store, struct blockstore_head *out, struct err *err)
{
    struct state_snapshot *snapshot = lmdb_snapshot_begin(store);
    const struct late_block *late = overlay_newest(snapshot->overlay);
    if (late) {
        *out = (struct blockstore_head){late->header, late->hash};
        lmdb_snapshot_end(snapshot);
        return 0;
    }
    struct lmdb_head head;
    struct lmdb_block block;
    int rc = lmdb_head_get(store, snapshot->txn, &head, err);
    if (rc == ERR_NOT_FOUND)
        err_set(err, rc, "there is no chain in %s yet", store->dir);
    if (!rc)
        rc = lmdb_block_get(store, snapshot->txn, head.height, &block, err);
    if (!rc)
        rc = block_header_decode(&out->header, block.header, sizeof(block.header), err);
    if (!rc)
        rc = lmdb_hash_get(store, snapshot->txn, &out->state_hash, err);
    lmdb_snapshot_end(snapshot);
    return rc;
}

/* What stands of a block in LMDB, or will. */
static int block_get(struct state_snapshot *snapshot, uint64_t height, struct lmdb_block *out,
                     struct err *err)
{
    const struct late_block *late = overlay_at(snapshot->overlay, height);
    if (!late)
        return lmdb_block_get(snapshot->store, snapshot->txn, height, out, err);
    out->pos = late->place.pos;
    memcpy(out->hash, late->header.hash, HASH_SIZE);
    block_header_encode(out->header, &late->header);
    return 0;
}

static int lookup_block(struct blockstore *store, uint64_t height, struct lmdb_block *out, struct err *err)
{
    struct state_snapshot *snapshot = lmdb_snapshot_begin(store);
    int rc = block_get(snapshot, height, out, err);
    lmdb_snapshot_end(snapshot);
    return rc;
}

int blockstore_header_at(struct blockstore *store, uint64_t height, struct block_header *out, struct err *err)
{
    struct lmdb_block block;
    int rc = lookup_block(store, height, &block, err);
    return rc < 0 ? rc : block_header_decode(out, block.header, sizeof(block.header), err);
}

int lmdb_body_get(struct blockstore *store, struct blocklog_pos pos, const uint8_t hash[HASH_SIZE],
                  struct block **out, struct err *err)
{
    buf_auto struct buf bytes = BUF_INIT;
    struct blocklog_record found;
    struct log_record record;
    int rc = blocklog_read(store->log, pos, &found, &bytes, err);
    if (!rc)
        rc = log_record_decode(&record, &found, err);
    if (!rc && record.type != LOG_RECORD_BLOCK && record.type != LOG_RECORD_TENTATIVE)
        rc = err_set(err, ERR_CORRUPT, "record %llu of the block log is no block",
                     (unsigned long long)found.seq);
    if (!rc)
        rc = block_decode(out, record.bytes, record.len, err);
    if (!rc && hash && memcmp((*out)->header.hash, hash, HASH_SIZE) != 0) {
        block_free(*out);
        rc = err_set(err, ERR_CORRUPT, "record %llu of the block log is another block than the index names",
                     (unsigned long long)found.seq);
    }
    if (rc < 0)
        *out = NULL;
    return rc;
}

int blockstore_block_at(struct blockstore *store, uint64_t height, struct block **out, struct err *err)
{
    struct lmdb_block place;
    int rc = lookup_block(store, height, &place, err);
    if (!rc)
        rc = lmdb_body_get(store, place.pos, place.hash, out, err);
    if (rc == ERR_CORRUPT)
        err_wrap(err, "block %llu", (unsigned long long)height);
    return rc;
}

/* Whether an id begins with so many hexadecimal digits of prefix. */
static bool begins_with(const uint8_t *id, const uint8_t *prefix, size_t digits)
{
    return !memcmp(id, prefix, digits / 2) &&
           (digits % 2 == 0 || id[digits / 2] >> 4 == prefix[digits / 2] >> 4);
}

/* Hashes of blocks that were final at once have no index: each entry would cost a commit three pages, and
 * they are looked up by hand only. Counts the blocks, from a height downwards, whose hash begins with so many
 * digits; *height is that of the newest. */
static int find_block(struct blockstore *store, MDB_txn *txn, uint64_t from, const uint8_t *prefix,
                      size_t digits, uint64_t *height, uint8_t hash[HASH_SIZE], int *matches)
{
    MDB_cursor *cursor;
    uint8_t from_be[8];
    bytes_put64_be(from_be, from);
    MDB_val key = lmdb_val(from_be, 8), value;
    int rc = mdb_cursor_open(txn, store->dbs.blocks, &cursor);
    if (rc)
        return rc;
    rc = mdb_cursor_get(cursor, &key, &value, from == UINT64_MAX ? MDB_LAST : MDB_SET);
    while (!rc && *matches < 2) {
        const uint8_t *found = (const uint8_t *)value.mv_data + 8;
        if (value.mv_size == LMDB_BLOCK_SIZE && begins_with(found, prefix, digits)) {
            memcpy(hash, found, HASH_SIZE);
            *height = bytes_get64_be(key.mv_data);
            ++*matches;
        }
        rc = mdb_cursor_get(cursor, &key, &value, MDB_PREV);
    }
    mdb_cursor_close(cursor);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

/* An id of that kind, in the index. */
static int find_indexed(struct blockstore *store, MDB_txn *txn, const uint8_t id[HASH_SIZE],
                        enum recent_kind kind, uint64_t *height, uint32_t *index)
{
    MDB_val key = lmdb_val(id, HASH_SIZE), value;
    int rc = mdb_get(txn, store->dbs.txs, &key, &value);
    if (rc || value.mv_size != LMDB_ID_SIZE)
        return rc ? rc : MDB_CORRUPTED;
    uint32_t found = bytes_get32((const uint8_t *)value.mv_data + 8);
    if ((found & RECENT_KIND) != (uint32_t)kind)
        return MDB_NOTFOUND;
    *height = bytes_get64(value.mv_data);
    *index = found & ~RECENT_KIND;
    return 0;
}

/* Adds the blocks from filter_end to `last` to the filter; filter_lock is held. */
static int extend_filter(struct blockstore *store, MDB_txn *txn, uint64_t last)
{
    MDB_cursor *cursor;
    uint8_t from_be[8];
    if (store->filter.count + (last - store->filter_end) >= store->filter.capacity) {
        hash_filter_reset(&store->filter, 2 * (size_t)last);
        store->filter_end = 0;
    }
    bytes_put64_be(from_be, store->filter_end);
    MDB_val key = lmdb_val(from_be, 8), value;
    int rc = mdb_cursor_open(txn, store->dbs.blocks, &cursor);
    if (rc)
        return rc;
    rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
    while (!rc && bytes_get64_be(key.mv_data) <= last) {
        if (value.mv_size == LMDB_BLOCK_SIZE)
            hash_filter_add(&store->filter, (const uint8_t *)value.mv_data + 8);
        rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    mdb_cursor_close(cursor);
    store->filter_end = last + 1;
    return rc == MDB_NOTFOUND ? 0 : rc;
}

/* Whether a block up to `last`, which are all final, may have that hash. */
static bool may_have(struct blockstore *store, MDB_txn *txn, const uint8_t hash[HASH_SIZE], uint64_t last)
{
    pthread_mutex_lock(&store->filter_lock);
    int rc = store->filter_end <= last ? extend_filter(store, txn, last) : 0;
    bool may = rc || hash_filter_may_have(&store->filter, hash);
    pthread_mutex_unlock(&store->filter_lock);
    return may;
}

int blockstore_height_of_hash(struct blockstore *store, const uint8_t hash[HASH_SIZE], uint64_t *height,
                              struct err *err)
{
    uint8_t found[HASH_SIZE];
    uint32_t index;
    int matches = 0;
    struct lmdb_head head = {0};
    if (recent_find(store->recent, hash, RECENT_BLOCK, height, &index))
        return 0;
    struct state_snapshot *snapshot = lmdb_snapshot_begin(store);
    const struct late_block *late = overlay_by_hash(snapshot->overlay, hash);
    int rc = late ? 0 : find_indexed(store, snapshot->txn, hash, RECENT_BLOCK, height, &index);
    if (late)
        *height = late->header.height;
    if (!rc)
        matches = 1;
    else if (rc == MDB_NOTFOUND && lmdb_head_get(store, snapshot->txn, &head, NULL) == 0 &&
             may_have(store, snapshot->txn, hash, head.unhashed))
        rc = find_block(store, snapshot->txn, head.unhashed, hash, 2 * HASH_SIZE, height, found, &matches);
    lmdb_snapshot_end(snapshot);
    if (rc && rc != MDB_NOTFOUND)
        return lmdb_error(err, rc, "look up a block");
    return matches ? 0 : err_set(err, ERR_NOT_FOUND, "the chain has no such block");
}

static int height_of_id(struct blockstore *store, const uint8_t id[TX_ID_SIZE], enum recent_kind kind,
                        uint64_t *height, uint32_t *index, struct err *err)
{
    /* In this order: what is not here any more is in what LMDB shows from now on. */
    if (recent_find(store->recent, id, kind, height, index))
        return 0;
    struct state_snapshot *snapshot = lmdb_snapshot_begin(store);
    int rc = find_indexed(store, snapshot->txn, id, kind, height, index);
    lmdb_snapshot_end(snapshot);
    if (rc == MDB_NOTFOUND)
        return err_set(err, ERR_NOT_FOUND, "the chain has no such id");
    return rc ? lmdb_error(err, rc, "look up an id") : 0;
}

int blockstore_height_of_tx(struct blockstore *store, const uint8_t id[TX_ID_SIZE], uint64_t *height,
                            uint32_t *index, struct err *err)
{
    return height_of_id(store, id, RECENT_TX, height, index, err);
}

int blockstore_height_of_rebased(struct blockstore *store, const uint8_t original[TX_ID_SIZE],
                                 uint64_t *height, uint32_t *index, struct err *err)
{
    return height_of_id(store, original, RECENT_ORIGINAL, height, index, err);
}

int blockstore_height_at_time(struct blockstore *store, int64_t time_us, uint64_t *height, struct err *err)
{
    struct state_snapshot *snapshot = lmdb_snapshot_begin(store);
    struct lmdb_head head;
    int rc = lmdb_head_get(store, snapshot->txn, &head, err);
    if (rc == ERR_NOT_FOUND)
        err_set(err, rc, "there is no chain in %s yet", store->dir);
    /* Times increase along the chain, so the answer is found by halving. */
    const struct late_block *late = overlay_newest(snapshot->overlay);
    uint64_t low = 0, high = rc ? 0 : (late ? late->header.height : head.height) + 1;
    while (!rc && low < high) {
        uint64_t middle = low + (high - low) / 2;
        struct lmdb_block block;
        struct block_header header;
        rc = block_get(snapshot, middle, &block, err);
        bool gap = rc == ERR_NOT_FOUND; /* between the genesis and what a snapshot came with */
        rc = gap ? 0 : rc ? rc : block_header_decode(&header, block.header, sizeof(block.header), err);
        if (!rc && (gap || header.time_us < time_us))
            low = middle + 1;
        else
            high = middle;
    }
    lmdb_snapshot_end(snapshot);
    *height = low;
    return rc;
}

int blockstore_undo_at(struct blockstore *store, uint64_t rv, struct buf *record, struct err *err)
{
    lmdb_batch_settle(store, NULL);
    struct state_snapshot *snapshot = lmdb_snapshot_begin(store);
    uint8_t rv_be[8];
    bytes_put64_be(rv_be, rv);
    MDB_val key = lmdb_val(rv_be, 8), value;
    int rc = mdb_get(snapshot->txn, store->dbs.undo, &key, &value);
    buf_clear(record);
    if (!rc)
        buf_append(record, value.mv_data, value.mv_size);
    lmdb_snapshot_end(snapshot);
    if (rc == MDB_NOTFOUND)
        return ERR_NOT_FOUND;
    return rc ? lmdb_error(err, rc, "read a replaced version") : 0;
}

int64_t blockstore_horizon_us(struct blockstore *store)
{
    return store->head_time_us - (int64_t)store->options.retention_us;
}

static uint64_t log_bytes(const char *path)
{
    uint64_t total = 0;
    DIR *dir = opendir(path);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        struct stat st;
        if (!strncmp(entry->d_name, "log-", 4) && fstatat(dirfd(dir), entry->d_name, &st, 0) == 0)
            total += (uint64_t)st.st_size;
    }
    if (dir)
        closedir(dir);
    return total;
}

/* Pages that a database's tree has, without the free ones. */
static uint64_t tree_pages(MDB_txn *txn, MDB_dbi dbi)
{
    MDB_stat stat;
    return mdb_stat(txn, dbi, &stat) ? 0 : stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages;
}

/* The first block on the chain whose body stands in that segment or a later one. Places increase with
 * heights, so it is found by halving. */
static uint64_t oldest_body(struct blockstore *store, MDB_txn *txn, uint64_t head, uint32_t segment)
{
    uint64_t low = 0, high = head + 1;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        struct lmdb_block block = {0};
        if (lmdb_block_get(store, txn, middle, &block, NULL) < 0 || block.pos.segment < segment ||
            !block.pos.segment)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static size_t count_of(MDB_txn *txn, MDB_dbi dbi)
{
    MDB_stat stat;
    return mdb_stat(txn, dbi, &stat) ? 0 : stat.ms_entries;
}

int blockstore_stats(struct blockstore *store, struct blockstore_stats *out, struct err *err)
{
    memset(out, 0, sizeof(*out));
    lmdb_batch_settle(store, NULL);
    struct lmdb_head head = {0};
    struct state_snapshot *snapshot = lmdb_snapshot_begin(store);
    const MDB_dbi *all = (const MDB_dbi *)&store->dbs;
    MDB_stat stat;
    int rc = mdb_stat(snapshot->txn, store->dbs.objects, &stat);
    out->objects = stat.ms_entries;
    uint64_t pages = 2;
    for (size_t i = 0; i < sizeof(store->dbs) / sizeof(MDB_dbi); i++)
        pages += tree_pages(snapshot->txn, all[i]);
    out->state_bytes = pages * stat.ms_psize;
    if (!rc && lmdb_head_get(store, snapshot->txn, &head, NULL) == 0)
        out->oldest_body = oldest_body(store, snapshot->txn, head.height, blocklog_oldest(store->log));
    out->transactions = head.transactions;
    out->final_height = head.final > store->final_height ? head.final : store->final_height;
    out->orphans = count_of(snapshot->txn, store->dbs.orphans);
    out->side_blocks = count_of(snapshot->txn, store->dbs.sides);
    out->base_height = store->base_height;
    out->first_header = store->base_first > 1 ? store->base_first : 1;
    lmdb_snapshot_end(snapshot);
    out->log_bytes = log_bytes(store->dir);
    struct checkpoint checkpoint;
    if (!checkpoint_load(&checkpoint, store->dir_fd, NULL)) {
        out->checkpoint_height = checkpoint.height;
        checkpoint_free(&checkpoint);
    }
    return rc ? lmdb_error(err, rc, "read the state store") : 0;
}

static int find_in(MDB_txn *txn, MDB_dbi dbi, const uint8_t *prefix, size_t digits, uint8_t out[HASH_SIZE],
                   int *matches)
{
    MDB_cursor *cursor;
    MDB_val key = lmdb_val(prefix, (digits + 1) / 2), value;
    int rc = mdb_cursor_open(txn, dbi, &cursor);
    if (rc)
        return rc;
    rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
    while (!rc && *matches < 2 && key.mv_size == HASH_SIZE && begins_with(key.mv_data, prefix, digits)) {
        uint32_t index = value.mv_size == 12 ? bytes_get32((const uint8_t *)value.mv_data + 8) : RECENT_KIND;
        if ((index & RECENT_KIND) == RECENT_TX) {
            memcpy(out, key.mv_data, HASH_SIZE);
            ++*matches;
        }
        rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    mdb_cursor_close(cursor);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

/* The same among the transactions that are not in LMDB's index yet. */
static void find_recent(struct blockstore *store, const uint8_t *prefix, size_t digits,
                        uint8_t out[HASH_SIZE], int *matches)
{
    size_t count;
    mem_auto struct recent_entry *entries = recent_sorted(store->recent, &count);
    for (size_t i = 0; i < count && *matches < 2; i++) {
        bool is_new = !*matches || memcmp(out, entries[i].id, HASH_SIZE) != 0; /* not found in LMDB already */
        is_new &= (entries[i].index & RECENT_KIND) == RECENT_TX;
        if (is_new && begins_with(entries[i].id, prefix, digits)) {
            memcpy(out, entries[i].id, HASH_SIZE);
            ++*matches;
        }
    }
}

int blockstore_find_id(struct blockstore *store, const char *text, uint8_t out[HASH_SIZE], bool *is_block,
                       struct err *err)
{
    size_t digits = strlen(text);
    char padded[2 * HASH_SIZE + 1];
    uint8_t prefix[HASH_SIZE];
    memset(padded, '0', sizeof(padded) - 1);
    padded[sizeof(padded) - 1] = '\0';
    memcpy(padded, text, digits < sizeof(padded) - 1 ? digits : sizeof(padded) - 1);
    if (digits < 4 || digits > 2 * HASH_SIZE || !hex_decode(prefix, HASH_SIZE, padded))
        return err_set(err, ERR_BAD_REQUEST, "\"%s\" is no id: ids are 4 to 64 hexadecimal digits", text);
    lmdb_batch_settle(store, NULL);
    struct state_snapshot *snapshot = lmdb_snapshot_begin(store);
    int matches = 0;
    uint64_t height;
    int rc = find_in(snapshot->txn, store->dbs.txs, prefix, digits, out, &matches);
    if (!rc)
        find_recent(store, prefix, digits, out, &matches);
    int txs = matches;
    if (!rc)
        rc = find_block(store, snapshot->txn, UINT64_MAX, prefix, digits, &height, out, &matches);
    lmdb_snapshot_end(snapshot);
    *is_block = !txs;
    if (rc)
        return lmdb_error(err, rc, "look up an id");
    if (!matches)
        return err_set(err, ERR_NOT_FOUND, "the chain has no transaction or block %s", text);
    return matches > 1 ? err_set(err, ERR_BAD_REQUEST, "%s is short for several ids: give more digits", text)
                       : 0;
}
