/*
 * A store made of a snapshot.
 *
 *   DIR/import/HASH.chunk   chunks, named by their hash: what is whole there need not be fetched again, for
 *                           whatever manifest
 *   DIR/import/new/         the store, while it is made
 *   DIR/ready/              the store, whole: its files only have to be moved to DIR, which blockstore_open
 *                           does as well
 */
#include "blockstore/blockstore_internal.h"
#include "blockstore/blocklog_segment.h"
#include "blockstore/bytes.h"
#include "blockstore/dir.h"
#include "blockstore/lmdb_key.h"
#include "blockstore/snapshot.h"

#include "base/hex.h"
#include "base/mem.h"
#include "chain/bytemap.h"
#include "state/record.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READY "ready"
#define CHUNK_NAME_MAX (2 * HASH_SIZE + 8)

struct blockstore_import {
    char *dir;
    int dir_fd, lock_fd, import_fd;
    struct snapshot_manifest manifest;
    bool *has; /* of each chunk */
};

/* ---- chunks ---- */

static void chunk_name(char out[CHUNK_NAME_MAX], const struct snapshot_chunk *chunk)
{
    hex_encode(out, chunk->hash, HASH_SIZE);
    memcpy(out + 2 * HASH_SIZE, ".chunk", 7);
}

static bool is_chunk(const struct snapshot_chunk *chunk, const void *bytes, size_t len)
{
    uint8_t hash[HASH_SIZE];
    hash_content(hash, bytes, len);
    return len == chunk->len && !memcmp(hash, chunk->hash, HASH_SIZE);
}

/* ERR_NOT_FOUND when it is not there, or not whole. */
static int chunk_load(struct blockstore_import *import, size_t index, struct buf *out, struct err *err)
{
    const struct snapshot_chunk *chunk = &import->manifest.chunks[index];
    char name[CHUNK_NAME_MAX];
    chunk_name(name, chunk);
    buf_clear(out);
    int fd = openat(import->import_fd, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno != ENOENT)
        return err_set_errno(err, "cannot open a chunk of the snapshot");
    bool whole = false;
    if (fd >= 0) {
        buf_reserve(out, chunk->len + 1);
        whole = segment_read_all(fd, out->data, chunk->len, 0);
        out->len = chunk->len;
        close(fd);
    }
    if (whole && is_chunk(chunk, out->data, out->len))
        return 0;
    unlinkat(import->import_fd, name, 0);
    import->has[index] = false;
    return err_set(err, ERR_NOT_FOUND, "chunk %zu of the snapshot is not there", index);
}

static int chunk_save(struct blockstore_import *import, const struct snapshot_chunk *chunk, const void *bytes,
                      struct err *err)
{
    static const char temporary[] = "chunk.tmp";
    char name[CHUNK_NAME_MAX];
    chunk_name(name, chunk);
    int fd = openat(import->import_fd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set_errno(err, "cannot write a chunk of the snapshot");
    int rc = 0;
    if (!segment_write_all(fd, bytes, chunk->len, 0) || close(fd) < 0 ||
        renameat(import->import_fd, temporary, import->import_fd, name) < 0) {
        rc = errno == ENOSPC || errno == EDQUOT
                 ? err_set(err, ERR_UNAVAILABLE, "the disk is full: no room for the snapshot")
                 : err_set_errno(err, "cannot write a chunk of the snapshot");
        unlinkat(import->import_fd, temporary, 0);
    }
    return rc;
}

/* ---- beginning ---- */

static int open_dirs(struct blockstore_import *import, struct err *err)
{
    int rc = dir_make(import->dir, err);
    if (rc < 0)
        return rc;
    import->dir_fd = open(import->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (import->dir_fd < 0)
        return err_set_errno(err, "cannot open %s", import->dir);
    rc = dir_lock(import->dir_fd, import->dir, &import->lock_fd, err);
    uint32_t lowest, highest = 0;
    if (!rc)
        rc = segment_range(import->dir_fd, &lowest, &highest, err);
    if (!rc && (highest || faccessat(import->dir_fd, "data.mdb", F_OK, 0) == 0 ||
                faccessat(import->dir_fd, READY, F_OK, 0) == 0))
        rc = err_set(err, ERR_EXISTS, "there is a chain in %s", import->dir);
    if (!rc && mkdirat(import->dir_fd, "import", 0700) < 0 && errno != EEXIST)
        rc = err_set_errno(err, "cannot make %s/import", import->dir);
    if (rc < 0)
        return rc;
    import->import_fd = openat(import->dir_fd, "import", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return import->import_fd < 0 ? err_set_errno(err, "cannot open %s/import", import->dir) : 0;
}

/* Looks which chunks are there, whole, and removes what the manifest does not name. */
static int find_chunks(struct blockstore_import *import, struct err *err)
{
    struct bytemap known = BYTEMAP_INIT;
    const struct snapshot_manifest *m = &import->manifest;
    for (size_t i = 0; i < m->chunk_count; i++)
        bytemap_set(&known, m->chunks[i].hash, HASH_SIZE, (uint32_t)i);
    int fd = openat(import->dir_fd, "import", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    int rc = dir ? 0 : err_set_errno(err, "cannot list %s/import", import->dir);
    buf_auto struct buf bytes = BUF_INIT;
    for (struct dirent *entry; dir && !rc && (entry = readdir(dir));) {
        uint8_t hash[HASH_SIZE];
        char digits[2 * HASH_SIZE + 1] = "";
        memcpy(digits, entry->d_name, strnlen(entry->d_name, sizeof(digits) - 1));
        if (entry->d_name[0] == '.' || !strcmp(entry->d_name, "new"))
            continue;
        uint32_t at =
            hex_decode(hash, HASH_SIZE, digits) ? bytemap_get(&known, hash, HASH_SIZE) : BYTEMAP_NONE;
        if (at == BYTEMAP_NONE) {
            unlinkat(import->import_fd, entry->d_name, 0);
            continue;
        }
        rc = chunk_load(import, at, &bytes, err);
        import->has[at] = !rc;
        rc = rc == ERR_NOT_FOUND ? 0 : rc;
    }
    if (dir)
        closedir(dir);
    bytemap_free(&known);
    return rc;
}

static void import_free(struct blockstore_import *import)
{
    if (import->import_fd >= 0)
        close(import->import_fd);
    if (import->lock_fd >= 0)
        close(import->lock_fd);
    if (import->dir_fd >= 0)
        close(import->dir_fd);
    snapshot_manifest_free(&import->manifest);
    free(import->has);
    free(import->dir);
    free(import);
}

int blockstore_import_begin(struct blockstore_import **out, const char *dir, const void *manifest, size_t len,
                            const uint8_t chain_id[HASH_SIZE], struct err *err)
{
    struct blockstore_import *import = mem_zalloc(sizeof(*import));
    import->dir = mem_strdup(dir);
    import->dir_fd = import->lock_fd = import->import_fd = -1;
    int rc = snapshot_manifest_decode(&import->manifest, manifest, len, err);
    if (!rc)
        rc = snapshot_manifest_check(&import->manifest, chain_id, err);
    if (!rc)
        rc = open_dirs(import, err);
    import->has = mem_calloc(import->manifest.chunk_count + 1, sizeof(*import->has));
    if (!rc)
        rc = find_chunks(import, err);
    if (rc < 0) {
        import_free(import);
        return rc;
    }
    *out = import;
    return 0;
}

static const struct block_header *newest(const struct blockstore_import *import)
{
    return &import->manifest.headers[import->manifest.header_count - 1];
}

const struct block_header *blockstore_import_header(const struct blockstore_import *import)
{
    return newest(import);
}

size_t blockstore_import_chunks(const struct blockstore_import *import)
{
    return import->manifest.chunk_count;
}

bool blockstore_import_has(const struct blockstore_import *import, size_t index)
{
    return index < import->manifest.chunk_count && import->has[index];
}

int blockstore_import_chunk(struct blockstore_import *import, size_t index, const void *bytes, size_t len,
                            struct err *err)
{
    if (index >= import->manifest.chunk_count)
        return err_set(err, ERR_INVALID, "the snapshot has no chunk %zu", index);
    const struct snapshot_chunk *chunk = &import->manifest.chunks[index];
    if (!is_chunk(chunk, bytes, len))
        return err_set(err, ERR_CORRUPT, "chunk %zu of the snapshot is not the one that the manifest names",
                       index);
    int rc = import->has[index] ? 0 : chunk_save(import, chunk, bytes, err);
    import->has[index] |= !rc;
    return rc;
}

void blockstore_import_abort(struct blockstore_import *import)
{
    if (import)
        import_free(import);
}

/* ---- making the store ---- */

struct making {
    struct blockstore_import *import;
    struct blockstore *store;
    struct lthash hash;
    uint8_t last_key[LMDB_KEY_MAX];
    size_t last_len;
    struct state_claim_total *totals;
    size_t total_count, total_cap;
    struct bytemap total_map;
};

/* What an object takes of its node; a node's own claim says what it has. */
static void add_claim(struct making *making, const struct state_object *object)
{
    const struct tx_claim *claim = &object->claim;
    if (!claim->node || (!strcmp(object->key.resource, "nodes") && !*object->key.group))
        return;
    uint32_t at = bytemap_get(&making->total_map, claim->node, strlen(claim->node));
    if (at == BYTEMAP_NONE) {
        if (making->total_count == making->total_cap) {
            making->total_cap = making->total_cap ? 2 * making->total_cap : 16;
            making->totals = mem_reallocarray(making->totals, making->total_cap, sizeof(*making->totals));
        }
        at = (uint32_t)making->total_count++;
        making->totals[at] = (struct state_claim_total){.node = mem_strdup(claim->node)};
        bytemap_set(&making->total_map, making->totals[at].node, strlen(claim->node), at);
    }
    struct tx_claim *sum = &making->totals[at].sum;
    /* Unsigned, since nothing is checked yet. */
    sum->cpu_milli = (int64_t)((uint64_t)sum->cpu_milli + (uint64_t)claim->cpu_milli);
    sum->memory_bytes = (int64_t)((uint64_t)sum->memory_bytes + (uint64_t)claim->memory_bytes);
    sum->pods = (int64_t)((uint64_t)sum->pods + (uint64_t)claim->pods);
}

static int put_object(struct making *making, MDB_txn *txn, const struct state_object *object, struct err *err)
{
    uint8_t key[LMDB_KEY_MAX];
    size_t len = lmdb_key_of(key, &object->key);
    size_t shorter = len < making->last_len ? len : making->last_len;
    int order = memcmp(making->last_key, key, shorter);
    if (order > 0 || (!order && making->last_len >= len))
        return err_set(err, ERR_CORRUPT, "the snapshot's objects are not in order");
    memcpy(making->last_key, key, len);
    making->last_len = len;
    lthash_add(&making->hash, object->entry_hash);
    add_claim(making, object);
    buf_auto struct buf record = BUF_INIT;
    state_record_encode(&record, object);
    MDB_val k = lmdb_val(key, len), value = lmdb_val(record.data, record.len);
    int rc = mdb_put(txn, making->store->dbs.objects, &k, &value, MDB_APPEND);
    if (!rc)
        rc = lmdb_put_terms(making->store, txn, object);
    return rc ? lmdb_error(err, rc, "write the snapshot") : 0;
}

static int put_chunk(struct making *making, size_t index, struct err *err)
{
    buf_auto struct buf bytes = BUF_INIT;
    MDB_txn *txn;
    int rc = chunk_load(making->import, index, &bytes, err);
    if (rc < 0)
        return rc;
    rc = mdb_txn_begin(making->store->env, NULL, 0, &txn);
    if (rc)
        return lmdb_error(err, rc, "write the snapshot");
    struct snapshot_reader reader = {(const uint8_t *)bytes.data, (const uint8_t *)bytes.data + bytes.len};
    struct state_object object;
    while ((rc = snapshot_chunk_next(&reader, &object, err)) > 0)
        if ((rc = put_object(making, txn, &object, err)) < 0)
            break;
    if (rc < 0) {
        mdb_txn_abort(txn);
        return rc;
    }
    rc = mdb_txn_commit(txn);
    return rc ? lmdb_error(err, rc, "write the snapshot") : 0;
}

static int put_base(struct blockstore *store, MDB_txn *txn, const struct snapshot_manifest *m)
{
    const struct block_header *header = &m->headers[m->header_count - 1];
    uint8_t base[24];
    bytes_put64(base, header->height);
    bytes_put64(base + 8, (uint64_t)header->time_us);
    bytes_put64(base + 16, m->headers[0].height);
    MDB_val key = lmdb_val("base", 4), value = lmdb_val(base, sizeof(base));
    return mdb_put(txn, store->dbs.meta, &key, &value, 0);
}

static int put_rest(struct making *making, MDB_txn *txn)
{
    const struct snapshot_manifest *m = &making->import->manifest;
    struct blockstore *store = making->store;
    uint64_t height = newest(making->import)->height;
    struct blocklog_pos nowhere = {0, 0};
    int rc = m->headers[0].height ? lmdb_put_block(store, txn, &m->genesis, nowhere) : 0;
    for (size_t i = 0; !rc && i < m->header_count; i++)
        rc = lmdb_put_block(store, txn, &m->headers[i], nowhere);
    for (size_t i = 0; !rc && i < m->id_count; i++)
        rc = lmdb_put_id(store, txn, m->ids[i].id, height - m->ids[i].below, m->ids[i].index);
    for (size_t i = 0; !rc && i < making->total_count; i++)
        rc = lmdb_put_total(store, txn, &making->totals[i]);
    struct lmdb_head head = {.height = height,
                             .end = {1, BLOCKLOG_HEADER_SIZE},
                             .final = height,
                             .unhashed = height,
                             .transactions = m->transactions};
    if (!rc)
        rc = lmdb_put_number(store, txn, "indexed", height);
    if (!rc)
        rc = put_base(store, txn, m);
    if (!rc)
        rc = lmdb_put_hash(store, txn, &making->hash);
    return rc ? rc : lmdb_put_head(store, txn, &head);
}

static int put_all(struct making *making, struct err *err)
{
    const struct snapshot_manifest *m = &making->import->manifest;
    MDB_txn *txn;
    uint8_t digest[HASH_SIZE];
    int rc = 0;
    lthash_init(&making->hash);
    for (size_t i = 0; !rc && i < m->chunk_count; i++)
        rc = put_chunk(making, i, err);
    if (rc < 0)
        return rc;
    lthash_digest(digest, &making->hash);
    if (memcmp(digest, newest(making->import)->state_digest, HASH_SIZE) != 0)
        return err_set(err, ERR_CORRUPT, "the snapshot's state does not have the hash that block %llu names",
                       (unsigned long long)newest(making->import)->height);
    rc = mdb_txn_begin(making->store->env, NULL, 0, &txn);
    if (rc)
        return lmdb_error(err, rc, "write the snapshot");
    rc = put_rest(making, txn);
    if (!rc)
        rc = mdb_txn_commit(txn);
    else
        mdb_txn_abort(txn);
    return rc ? lmdb_error(err, rc, "write the snapshot") : 0;
}

/* The log of the store, whose first record says behind which block it begins: were the state lost, it would
 * not be taken for the log of a chain that has not begun. */
static int make_log(struct making *making, const char *dir, struct err *err)
{
    const struct block_header *header = newest(making->import);
    struct blocklog_options options = {.dir = dir};
    struct blocklog_pos pos;
    uint8_t bytes[LOG_FINAL_SIZE + LOG_HEIGHT_SIZE];
    bytes_put64(bytes, header->height);
    log_height_encode(bytes + LOG_FINAL_SIZE, header->height, header->hash);
    struct iovec part = {.iov_base = bytes, .iov_len = sizeof(bytes)};
    int rc = blocklog_open(&making->store->log, &options, err);
    if (!rc)
        rc = blocklog_recover(making->store->log, (struct blocklog_pos){0, 0}, 0, NULL, NULL, err);
    return rc ? rc : blocklog_append(making->store->log, LOG_RECORD_BASE, &part, 1, &pos, err);
}

/* The store in DIR/import/new, synced. */
static int make_store(struct blockstore_import *import, struct err *err)
{
    mem_auto char *dir = mem_printf("%s/import/new", import->dir);
    int rc = dir_remove(import->import_fd, "new", err);
    if (!rc)
        rc = dir_make(dir, err);
    if (rc < 0)
        return rc;
    struct blockstore_options options = {.dir = dir};
    struct making making = {.import = import, .store = blockstore_new(&options)};
    making.store->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (making.store->dir_fd < 0)
        rc = err_set_errno(err, "cannot open %s", dir);
    if (!rc)
        rc = lmdb_open(making.store, err);
    if (!rc)
        rc = put_all(&making, err);
    if (!rc)
        rc = keeper_pin_first(making.store, false, err);
    if (!rc)
        rc = make_log(&making, dir, err);
    for (size_t i = 0; i < making.total_count; i++)
        free((char *)making.totals[i].node);
    free(making.totals);
    bytemap_free(&making.total_map);
    blockstore_free(making.store);
    return rc;
}

int import_complete(int dir_fd, struct err *err)
{
    static const char *const names[] = {CHECKPOINT_NAME, "data.mdb", "log-00000001.seg"};
    int ready = openat(dir_fd, READY, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (ready < 0)
        return errno == ENOENT ? 0 : err_set_errno(err, "cannot open the imported store");
    int rc = 0;
    for (size_t i = 0; !rc && i < sizeof(names) / sizeof(names[0]); i++)
        if (renameat(ready, names[i], dir_fd, names[i]) < 0 && errno != ENOENT)
            rc = err_set_errno(err, "cannot move %s of the imported store", names[i]);
    close(ready);
    if (!rc && fsync(dir_fd) < 0)
        rc = err_set_errno(err, "cannot make the imported store durable");
    if (!rc)
        rc = dir_remove(dir_fd, "import", err);
    return rc ? rc : dir_remove(dir_fd, READY, err);
}

int blockstore_import_finish(struct blockstore_import *import, struct err *err)
{
    int rc = 0;
    for (size_t i = 0; !rc && i < import->manifest.chunk_count; i++)
        if (!import->has[i])
            rc = err_set(err, ERR_NOT_FOUND, "chunk %zu of the snapshot is not there", i);
    if (!rc) {
        rc = make_store(import, err);
        if (rc == ERR_CORRUPT)
            dir_remove(import->dir_fd, "import", NULL); /* it cannot become right */
    }
    if (!rc && (renameat(import->import_fd, "new", import->dir_fd, READY) < 0 || fsync(import->dir_fd) < 0))
        rc = err_set_errno(err, "cannot make the imported store durable");
    if (!rc)
        rc = import_complete(import->dir_fd, err);
    import_free(import);
    return rc;
}
