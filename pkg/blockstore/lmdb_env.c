/* The LMDB environment: opening, its databases, and how its errors read. */
#include "blockstore/blockstore_internal.h"
#include "blockstore/bytes.h"

#include "base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READERS_MAX 4096
/* Address space only: the file grows as it is used. */
#define MAP_SIZE (sizeof(void *) >= 8 ? (size_t)64 << 30 : (size_t)1 << 30)

MDB_val lmdb_val(const void *data, size_t len)
{
    return (MDB_val){.mv_size = len, .mv_data = (void *)data};
}

int lmdb_error(struct err *err, int rc, const char *what)
{
    switch (rc) {
    case ENOSPC:
    case EDQUOT:
        return err_set(err, ERR_UNAVAILABLE, "the disk is full: cannot %s", what);
    case MDB_MAP_FULL:
        return err_set(err, ERR_UNAVAILABLE, "the state store has reached its largest size: cannot %s", what);
    case MDB_CORRUPTED:
    case MDB_INVALID:
    case MDB_PAGE_NOTFOUND:
    case MDB_VERSION_MISMATCH:
        return err_set(
            err, ERR_CORRUPT,
            "cannot %s: data.mdb is damaged (%s); remove data.mdb and checkpoint beside it, and they are "
            "made again from the block log",
            what, mdb_strerror(rc));
    case EACCES:
    case EROFS:
        return err_set(err, ERR_IO, "cannot %s: %s; run as the user who owns the data directory", what,
                       mdb_strerror(rc));
    default:
        return err_set(err, ERR_IO, "cannot %s: %s", what, mdb_strerror(rc));
    }
}

static int open_dbs(struct blockstore *store, MDB_txn *txn, bool create)
{
    const struct {
        const char *name;
        MDB_dbi *dbi;
        unsigned flags;
    } all[] = {
        {"meta", &store->dbs.meta, 0},
        {"blocks", &store->dbs.blocks, 0},
        {"txs", &store->dbs.txs, 0},
        {"objects", &store->dbs.objects, 0},
        {"terms", &store->dbs.terms, MDB_DUPSORT},
        {"claims", &store->dbs.claims, 0},
        {"undo", &store->dbs.undo, 0},
        {"segments", &store->dbs.segments, 0},
        {"rollback", &store->dbs.rollback, 0},
        {"sides", &store->dbs.sides, 0},
        {"orphans", &store->dbs.orphans, 0},
        {"abandoned", &store->dbs.abandoned, 0},
    };
    int rc = 0;
    for (size_t i = 0; !rc && i < sizeof(all) / sizeof(all[0]); i++)
        rc = mdb_dbi_open(txn, all[i].name, all[i].flags | (create ? MDB_CREATE : 0), all[i].dbi);
    return rc;
}

/* Compares the format that stands in the store with ours. */
static int check_format(struct blockstore *store, MDB_txn *txn, struct err *err)
{
    MDB_val key = lmdb_val("format", 6), value;
    int rc = mdb_get(txn, store->dbs.meta, &key, &value);
    if (rc)
        return lmdb_error(err, rc, "read the state store's format");
    uint32_t format = value.mv_size == 4 ? bytes_get32(value.mv_data) : 0;
    if (format != BLOCKSTORE_FORMAT)
        return err_set(err, ERR_CORRUPT, "the state store has format %u, but this katena keeps format %u",
                       format, BLOCKSTORE_FORMAT);
    return 0;
}

static int open_existing(struct blockstore *store, bool *found, struct err *err)
{
    MDB_txn *txn;
    *found = true;
    int rc = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn);
    if (rc)
        return lmdb_error(err, rc, "read the state store");
    rc = open_dbs(store, txn, false);
    if (rc == MDB_NOTFOUND)
        *found = false;
    else
        rc = rc ? lmdb_error(err, rc, "open the state store") : check_format(store, txn, err);
    /* Handles opened in a read transaction stay when it is committed. */
    if (!rc)
        mdb_txn_commit(txn);
    else
        mdb_txn_abort(txn);
    return *found ? rc : 0;
}

static int create_dbs(struct blockstore *store, struct err *err)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(store->env, NULL, 0, &txn);
    if (rc)
        return lmdb_error(err, rc, "write to the state store");
    uint8_t format[4];
    bytes_put32(format, BLOCKSTORE_FORMAT);
    MDB_val key = lmdb_val("format", 6), value = lmdb_val(format, sizeof(format));
    rc = open_dbs(store, txn, true);
    if (!rc)
        rc = mdb_put(txn, store->dbs.meta, &key, &value, 0);
    if (rc) {
        mdb_txn_abort(txn);
        return lmdb_error(err, rc, "write to the state store");
    }
    rc = mdb_txn_commit(txn);
    return rc ? lmdb_error(err, rc, "write to the state store") : 0;
}

/* Where LMDB has mapped data.mdb; it does not tell. */
static void *find_map(MDB_env *env)
{
    mdb_filehandle_t fd;
    struct stat st;
    FILE *maps = fopen("/proc/self/maps", "r");
    void *found = NULL;
    if (maps && !mdb_env_get_fd(env, &fd) && !fstat(fd, &st)) {
        char line[4500];
        while (!found && fgets(line, sizeof(line), maps)) {
            unsigned long start, end, inode;
            if (sscanf(line, "%lx-%lx %*s %*s %*s %lu", &start, &end, &inode) == 3 && inode == st.st_ino &&
                end - start >= MAP_SIZE)
                found = (void *)start;
        }
    }
    if (maps)
        fclose(maps);
    return found;
}

int lmdb_open(struct blockstore *store, struct err *err)
{
    bool read_only = store->options.read_only;
    int rc = mdb_env_create(&store->env);
    if (rc)
        return lmdb_error(err, rc, "make an environment");
    mdb_env_set_maxdbs(store->env, 16);
    mdb_env_set_maxreaders(store->env, READERS_MAX);
    mdb_env_set_mapsize(store->env, MAP_SIZE);
    rc = mdb_env_open(store->env, store->dir,
                      MDB_NOTLS | MDB_NORDAHEAD | (read_only ? MDB_RDONLY : MDB_NOSYNC), 0600);
    if (rc == EROFS && read_only)
        rc = mdb_env_open(store->env, store->dir, MDB_NOTLS | MDB_RDONLY | MDB_NOLOCK, 0600);
    if (rc == ENOENT)
        return err_set(err, ERR_NOT_FOUND, "there is no chain in %s", store->dir);
    if (rc)
        return lmdb_error(err, rc, "open the state store");
    store->map = find_map(store->env);
    int dead;
    if (!read_only)
        mdb_reader_check(store->env, &dead);
    bool found;
    rc = open_existing(store, &found, err);
    if (!rc && !found)
        rc = read_only ? err_set(err, ERR_NOT_FOUND, "there is no chain in %s yet", store->dir)
                       : create_dbs(store, err);
    return rc;
}

void lmdb_close(struct blockstore *store)
{
    if (store->env)
        mdb_env_close(store->env);
    store->env = NULL;
}

static struct blocklog_pos pos_get(const uint8_t *p)
{
    return (struct blocklog_pos){bytes_get32(p), bytes_get32(p + 4)};
}

int lmdb_head_get(struct blockstore *store, MDB_txn *txn, struct lmdb_head *out, struct err *err)
{
    MDB_val key = lmdb_val("head", 4), value;
    int rc = mdb_get(txn, store->dbs.meta, &key, &value);
    if (rc == MDB_NOTFOUND)
        return ERR_NOT_FOUND;
    if (rc || value.mv_size != LMDB_HEAD_SIZE)
        return lmdb_error(err, rc ? rc : MDB_CORRUPTED, "read the head");
    const uint8_t *p = value.mv_data;
    *out = (struct lmdb_head){.height = bytes_get64(p),
                              .newest = pos_get(p + 8),
                              .end = pos_get(p + 16),
                              .next_seq = bytes_get64(p + 24),
                              .final = bytes_get64(p + 32),
                              .unhashed = bytes_get64(p + 40),
                              .transactions = bytes_get64(p + 48),
                              .orphan = bytes_get64(p + 56),
                              .note = pos_get(p + 64)};
    return 0;
}

int lmdb_base_get(struct blockstore *store, MDB_txn *txn)
{
    MDB_val key = lmdb_val("base", 4), value;
    int rc = mdb_get(txn, store->dbs.meta, &key, &value);
    if (rc || value.mv_size != 24)
        return rc == MDB_NOTFOUND ? 0 : rc ? rc : MDB_CORRUPTED;
    const uint8_t *p = value.mv_data;
    store->base_height = bytes_get64(p);
    store->base_time_us = (int64_t)bytes_get64(p + 8);
    store->base_first = bytes_get64(p + 16);
    return 0;
}

uint64_t lmdb_indexed_get(struct blockstore *store, MDB_txn *txn)
{
    MDB_val key = lmdb_val("indexed", 7), value;
    return mdb_get(txn, store->dbs.meta, &key, &value) || value.mv_size != 8 ? 0 : bytes_get64(value.mv_data);
}

int lmdb_block_get(struct blockstore *store, MDB_txn *txn, uint64_t height, struct lmdb_block *out,
                   struct err *err)
{
    uint8_t height_be[8];
    bytes_put64_be(height_be, height);
    MDB_val key = lmdb_val(height_be, 8), value;
    int rc = mdb_get(txn, store->dbs.blocks, &key, &value);
    if (rc == MDB_NOTFOUND)
        return err_set(err, ERR_NOT_FOUND, "there is no block %llu", (unsigned long long)height);
    if (rc || value.mv_size != LMDB_BLOCK_SIZE)
        return lmdb_error(err, rc ? rc : MDB_CORRUPTED, "read a block's header");
    const uint8_t *p = value.mv_data;
    out->pos = pos_get(p);
    memcpy(out->hash, p + 8, HASH_SIZE);
    memcpy(out->header, p + 8 + HASH_SIZE, BLOCK_HEADER_SIZE);
    return 0;
}
