/* Lookups of blocks, transactions and what changes replaced. */
#include "blockstore/blockstore_internal.h"
#include "blockstore/bytes.h"

#include "base/hex.h"
#include "base/mem.h"

#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

static int state_hash_get(struct blockstore *store, MDB_txn *txn, struct lthash *out, struct err *err)
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
        rc = state_hash_get(store, snapshot->txn, &out->state_hash, err);
    lmdb_snapshot_end(snapshot);
    return rc;
}

static int lookup_block(struct blockstore *store, uint64_t height, struct lmdb_block *out, struct err *err)
{
    struct state_snapshot *snapshot = lmdb_snapshot_begin(store);
    int rc = lmdb_block_get(store, snapshot->txn, height, out, err);
    lmdb_snapshot_end(snapshot);
    return rc;
}

int blockstore_header_at(struct blockstore *store, uint64_t height, struct block_header *out, struct err *err)
{
    struct lmdb_block block;
    int rc = lookup_block(store, height, &block, err);
    return rc < 0 ? rc : block_header_decode(out, block.header, sizeof(block.header), err);
}

int blockstore_block_at(struct blockstore *store, uint64_t height, struct block **out, struct err *err)
{
    struct lmdb_block place;
    buf_auto struct buf bytes = BUF_INIT;
    int rc = lookup_block(store, height, &place, err);
    if (!rc)
        rc = blocklog_read(store->log, place.pos, height, &bytes, err);
    if (!rc)
        rc = block_decode(out, (const uint8_t *)bytes.data, bytes.len, err);
    if (!rc && memcmp((*out)->header.hash, place.hash, HASH_SIZE) != 0) {
        block_free(*out);
        rc = err_set(err, ERR_CORRUPT, "block %llu in the log is not the one that the index names",
                     (unsigned long long)height);
    }
    return rc;
}

/* Reads a value of up to 12 bytes by a key. */
static int lookup(struct blockstore *store, MDB_dbi dbi, const uint8_t *bytes, size_t len, uint8_t out[12],
                  size_t out_len, struct err *err)
{
    struct state_snapshot *snapshot = lmdb_snapshot_begin(store);
    MDB_val key = lmdb_val(bytes, len), value;
    int rc = mdb_get(snapshot->txn, dbi, &key, &value);
    if (!rc && value.mv_size != out_len)
        rc = MDB_CORRUPTED;
    if (!rc)
        memcpy(out, value.mv_data, out_len);
    lmdb_snapshot_end(snapshot);
    if (rc == MDB_NOTFOUND)
        return err_set(err, ERR_NOT_FOUND, "the chain has no such id");
    return rc ? lmdb_error(err, rc, "look up an id") : 0;
}

/* Whether an id begins with so many hexadecimal digits of prefix. */
static bool begins_with(const uint8_t *id, const uint8_t *prefix, size_t digits)
{
    return !memcmp(id, prefix, digits / 2) &&
           (digits % 2 == 0 || id[digits / 2] >> 4 == prefix[digits / 2] >> 4);
}

/* Block hashes have no index: each entry would cost a commit three pages, and they are looked up by hand
 * only. Counts the blocks, newest first, whose hash begins with so many digits; *height is that of the
 * newest. */
static int find_block(struct blockstore *store, MDB_txn *txn, const uint8_t *prefix, size_t digits,
                      uint64_t *height, uint8_t hash[HASH_SIZE], int *matches)
{
    MDB_cursor *cursor;
    MDB_val key, value;
    int rc = mdb_cursor_open(txn, store->dbs.blocks, &cursor);
    if (rc)
        return rc;
    rc = mdb_cursor_get(cursor, &key, &value, MDB_LAST);
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

int blockstore_height_of_hash(struct blockstore *store, const uint8_t hash[HASH_SIZE], uint64_t *height,
                              struct err *err)
{
    uint8_t found[HASH_SIZE];
    int matches = 0;
    struct state_snapshot *snapshot = lmdb_snapshot_begin(store);
    int rc = find_block(store, snapshot->txn, hash, 2 * HASH_SIZE, height, found, &matches);
    lmdb_snapshot_end(snapshot);
    if (rc)
        return lmdb_error(err, rc, "look up a block");
    return matches ? 0 : err_set(err, ERR_NOT_FOUND, "the chain has no such block");
}

int blockstore_height_of_tx(struct blockstore *store, const uint8_t id[TX_ID_SIZE], uint64_t *height,
                            uint32_t *index, struct err *err)
{
    /* In this order: what is not here any more is in what LMDB shows from now on. */
    if (recent_find(store->recent, id, height, index))
        return 0;
    uint8_t value[12] = {0};
    int rc = lookup(store, store->dbs.txs, id, TX_ID_SIZE, value, 12, err);
    if (!rc) {
        *height = bytes_get64(value);
        *index = bytes_get32(value + 8);
    }
    return rc;
}

int blockstore_height_at_time(struct blockstore *store, int64_t time_us, uint64_t *height, struct err *err)
{
    struct state_snapshot *snapshot = lmdb_snapshot_begin(store);
    struct lmdb_head head;
    int rc = lmdb_head_get(store, snapshot->txn, &head, err);
    if (rc == ERR_NOT_FOUND)
        err_set(err, rc, "there is no chain in %s yet", store->dir);
    /* Times increase along the chain, so the answer is found by halving. */
    uint64_t low = 0, high = rc ? 0 : head.height + 1;
    while (!rc && low < high) {
        uint64_t middle = low + (high - low) / 2;
        struct lmdb_block block;
        struct block_header header;
        rc = lmdb_block_get(store, snapshot->txn, middle, &block, err);
        if (!rc)
            rc = block_header_decode(&header, block.header, sizeof(block.header), err);
        if (!rc && header.time_us < time_us)
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

int blockstore_stats(struct blockstore *store, struct blockstore_stats *out, struct err *err)
{
    memset(out, 0, sizeof(*out));
    struct state_snapshot *snapshot = lmdb_snapshot_begin(store);
    const MDB_dbi *all = (const MDB_dbi *)&store->dbs;
    MDB_stat stat;
    int rc = mdb_stat(snapshot->txn, store->dbs.objects, &stat);
    out->objects = stat.ms_entries;
    uint64_t pages = 2;
    for (size_t i = 0; i < sizeof(store->dbs) / sizeof(MDB_dbi); i++)
        pages += tree_pages(snapshot->txn, all[i]);
    out->state_bytes = pages * stat.ms_psize;
    if (!rc)
        rc = mdb_stat(snapshot->txn, store->dbs.txs, &stat);
    out->transactions = stat.ms_entries + recent_count(store->recent);
    uint8_t segment_be[8];
    bytes_put64_be(segment_be, blocklog_oldest(store->log));
    MDB_val key = lmdb_val(segment_be, 8), value;
    if (!rc && !mdb_get(snapshot->txn, store->dbs.segments, &key, &value) && value.mv_size == 8)
        out->oldest_body = bytes_get64(value.mv_data);
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
        memcpy(out, key.mv_data, HASH_SIZE);
        ++*matches;
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
    struct state_snapshot *snapshot = lmdb_snapshot_begin(store);
    int matches = 0;
    uint64_t height;
    int rc = find_in(snapshot->txn, store->dbs.txs, prefix, digits, out, &matches);
    if (!rc)
        find_recent(store, prefix, digits, out, &matches);
    int txs = matches;
    if (!rc)
        rc = find_block(store, snapshot->txn, prefix, digits, &height, out, &matches);
    lmdb_snapshot_end(snapshot);
    *is_block = !txs;
    if (rc)
        return lmdb_error(err, rc, "look up an id");
    if (!matches)
        return err_set(err, ERR_NOT_FOUND, "the chain has no transaction or block %s", text);
    return matches > 1 ? err_set(err, ERR_BAD_REQUEST, "%s is short for several ids: give more digits", text)
                       : 0;
}
