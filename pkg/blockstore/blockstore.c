/* Opening with recovery, and closing. See blockstore.h. */
#include "blockstore/blockstore_internal.h"

#include "base/log.h"
#include "base/mem.h"
#include "blockstore/blocklog_segment.h"
#include "blockstore/dir.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define RETENTION_US (24ull * 3600 * 1000000)
#define CHECKPOINT_US 5000000ull
#define CHECKPOINT_BYTES (64ull << 20)

struct blockstore *blockstore_new(const struct blockstore_options *options)
{
    struct blockstore *store = mem_zalloc(sizeof(*store));
    store->options = *options;
    if (!store->options.retention_us)
        store->options.retention_us = RETENTION_US;
    if (!store->options.checkpoint_us)
        store->options.checkpoint_us = CHECKPOINT_US;
    if (!store->options.checkpoint_bytes)
        store->options.checkpoint_bytes = CHECKPOINT_BYTES;
    store->dir = mem_strdup(options->dir);
    store->options.dir = store->dir;
    store->dir_fd = store->lock_fd = -1;
    store->head_time_us = store->base_time_us = INT64_MIN;
    store->recent = recent_new();
    lmdb_batch_init(&store->batch);
    pthread_mutex_init(&store->pool_lock, NULL);
    pthread_mutex_init(&store->side_lock, NULL);
    pthread_mutex_init(&store->filter_lock, NULL);
    pthread_cond_init(&store->pool_changed, NULL);
    pthread_mutex_init(&store->commit_lock, NULL);
    pthread_mutex_init(&store->keeper_lock, NULL);
    pthread_mutex_init(&store->checkpoint_lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&store->keeper_wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return store;
}

void blockstore_free(struct blockstore *store)
{
    lmdb_batch_stop(store);
    keeper_stop(store);
    struct err err;
    if (!store->options.read_only && store->pin && blockstore_checkpoint(store, &err) < 0)
        log_warn("blockstore", "no checkpoint at the end: %s; the next start replays the block log",
                 err.message);
    if (store->pin)
        mdb_txn_abort(store->pin);
    lmdb_pool_drain(store);
    overlay_release(store->overlay);
    lmdb_close(store);
    blocklog_close(store->log);
    recent_free(store->recent);
    block_free(store->side_block);
    hash_filter_free(&store->filter);
    if (store->lock_fd >= 0)
        close(store->lock_fd);
    if (store->dir_fd >= 0)
        close(store->dir_fd);
    pthread_mutex_destroy(&store->pool_lock);
    pthread_mutex_destroy(&store->side_lock);
    pthread_mutex_destroy(&store->filter_lock);
    pthread_cond_destroy(&store->pool_changed);
    pthread_mutex_destroy(&store->commit_lock);
    pthread_mutex_destroy(&store->keeper_lock);
    pthread_mutex_destroy(&store->checkpoint_lock);
    pthread_cond_destroy(&store->keeper_wake);
    free(store->dir);
    free(store);
}

void blockstore_close(struct blockstore *store)
{
    if (store)
        blockstore_free(store);
}

enum trust {
    TRUST_AS_IS,      /* all that LMDB wrote is in data.mdb */
    TRUST_CHECKPOINT, /* only what the checkpoint names */
    TRUST_NOTHING,    /* made again from the log */
};

/* Judges data.mdb by its checkpoint, which the caller frees unless nothing is to be trusted. */
static int judge(struct blockstore *store, struct checkpoint *checkpoint, enum trust *trust, struct err *err)
{
    *trust = TRUST_NOTHING;
    if (faccessat(store->dir_fd, "data.mdb", F_OK, 0) < 0)
        return 0;
    int rc = checkpoint_load(checkpoint, store->dir_fd, err);
    if (rc == ERR_NOT_FOUND)
        return 0; /* killed before the first checkpoint */
    if (rc == ERR_CORRUPT) {
        log_warn("blockstore", "%s: the state is made again from the block log",
                 err ? err->message : "damage");
        return 0;
    }
    if (rc < 0)
        return rc;
    struct stat st;
    if (fstatat(store->dir_fd, "data.mdb", &st, 0) < 0 || (uint64_t)st.st_size < checkpoint->size) {
        /* LMDB would only notice by a signal, when it reads what is not there. */
        log_warn("blockstore", "data.mdb is cut off: the state is made again from the block log");
        return 0;
    }
    *trust = checkpoint_is_current_boot(checkpoint, store->dir_fd) ? TRUST_AS_IS : TRUST_CHECKPOINT;
    return 0;
}

/* Whether the log begins with the chain. *empty: it has no records. */
static bool log_has_all(struct blockstore *store, bool *empty)
{
    struct blocklog_options options = {.dir = store->dir, .read_only = true};
    struct blocklog *log;
    struct blocklog_record found;
    struct log_record record;
    struct block_header header;
    buf_auto struct buf bytes = BUF_INIT;
    *empty = true;
    if (blocklog_open(&log, &options, NULL) < 0)
        return false;
    *empty = blocklog_oldest(log) <= 1;
    int rc = blocklog_read(log, (struct blocklog_pos){1, BLOCKLOG_HEADER_SIZE}, &found, &bytes, NULL);
    blocklog_close(log);
    if (rc < 0 || log_record_decode(&record, &found, NULL) < 0)
        return false;
    *empty = false;
    return record.type == LOG_RECORD_BLOCK && !block_header_decode(&header, record.bytes, record.len, NULL) &&
           header.height == 0;
}

/* Makes way for a state that is made again from the log, when the log has all of it. */
static int remove_env(struct blockstore *store, bool new, struct err *err)
{
    bool empty;
    if (!log_has_all(store, &empty) && !(new &&empty))
        return err_set(err, ERR_CORRUPT,
                       "the state store in %s is damaged, and the block log does not go back to the chain's "
                       "beginning: restore this data directory from a backup, or let the node join anew",
                       store->dir);
    unlinkat(store->dir_fd, "data.mdb", 0);
    unlinkat(store->dir_fd, "lock.mdb", 0);
    unlinkat(store->dir_fd, CHECKPOINT_NAME, 0);
    return 0;
}

/* Brings data.mdb into a state that LMDB can open. *saved_txn: the transaction that the checkpoint on disk is
 * of and under this boot, 0 when it has to be written anew. */
static int prepare_env(struct blockstore *store, uint64_t *saved_txn, struct err *err)
{
    struct checkpoint checkpoint = {0};
    enum trust trust;
    *saved_txn = 0;
    int rc = judge(store, &checkpoint, &trust, err);
    if (rc < 0)
        return rc;
    bool has_state = faccessat(store->dir_fd, "data.mdb", F_OK, 0) == 0;
    bool has_checkpoint = faccessat(store->dir_fd, CHECKPOINT_NAME, F_OK, 0) == 0;
    if (trust == TRUST_NOTHING && has_state) {
        rc = remove_env(store, !has_checkpoint, err);
    } else if (trust == TRUST_NOTHING) {
        unlinkat(store->dir_fd, "lock.mdb", 0);
    } else if (trust == TRUST_CHECKPOINT) {
        rc = checkpoint_restore(&checkpoint, store->dir_fd, err);
    } else {
        *saved_txn = checkpoint.txn_id;
    }
    checkpoint_free(&checkpoint);
    return rc;
}

/* Pins the state that LMDB opened with, before anything is written. */
static int pin_opened(struct blockstore *store, uint64_t saved_txn, struct err *err)
{
    MDB_envinfo info;
    mdb_env_info(store->env, &info);
    return keeper_pin_first(store, saved_txn && info.me_last_txnid == saved_txn, err);
}

/* Reads the head; *found: there is one. */
static int load_head(struct blockstore *store, bool *found, struct err *err)
{
    struct state_snapshot *snapshot = lmdb_snapshot_begin(store);
    int rc = lmdb_head_get(store, snapshot->txn, &store->head, err);
    *found = !rc;
    int lmdb_rc = lmdb_base_get(store, snapshot->txn);
    lmdb_snapshot_end(snapshot);
    if (lmdb_rc)
        return lmdb_error(err, lmdb_rc, "read the base");
    if (!*found)
        return rc == ERR_NOT_FOUND ? 0 : rc;
    store->final_height = store->head.final;
    struct block_header header;
    rc = blockstore_header_at(store, store->head.height, &header, err);
    if (!rc)
        blockstore_note_head(store, &header);
    return rc;
}

/* A record that LMDB knows of has to be whole in the log: otherwise files were lost or mixed. */
static int check_record(struct blockstore *store, struct blocklog_pos pos, uint64_t seq, struct err *err)
{
    buf_auto struct buf bytes = BUF_INIT;
    struct blocklog_record found;
    if (!pos.segment)
        return 0;
    int rc = blocklog_read(store->log, pos, &found, &bytes, err);
    if (!rc && seq != UINT64_MAX && found.seq != seq)
        rc = ERR_CORRUPT;
    if (rc == ERR_GONE || rc == ERR_CORRUPT)
        rc =
            err_set(err, ERR_CORRUPT,
                    "the block log in %s is older than the state beside it: the record of block %llu is "
                    "missing or damaged (segment %u, offset %u); restore the data directory from a backup as "
                    "a whole, or let the node join anew",
                    store->dir, (unsigned long long)store->head.height, pos.segment, pos.offset);
    return rc;
}

/* Reads the blocks whose transactions are not in LMDB's index yet. */
static int load_recent(struct blockstore *store, struct err *err)
{
    struct lmdb_head head = {0};
    struct state_snapshot *snapshot = lmdb_snapshot_begin(store);
    int rc = lmdb_head_get(store, snapshot->txn, &head, err);
    uint64_t height = lmdb_indexed_get(store, snapshot->txn) + 1;
    lmdb_snapshot_end(snapshot);
    if (rc < 0)
        return rc == ERR_NOT_FOUND ? 0 : rc;
    for (; !rc && height <= head.height; height++) {
        struct block *block;
        rc = blockstore_block_at(store, height, &block, err);
        if (rc < 0)
            break;
        bool tentative = height > head.unhashed;
        recent_add(store->recent, block, tentative);
        block_free(block);
    }
    return rc;
}

static int open_log(struct blockstore *store, struct err *err)
{
    bool found;
    int rc = load_head(store, &found, err);
    if (rc < 0)
        return rc;
    struct blocklog_options options = {.dir = store->dir,
                                       .read_only = store->options.read_only,
                                       .existing = found,
                                       .first_segment = store->options.first_segment};
    rc = blocklog_open(&store->log, &options, err);
    if (!rc && found && !store->options.read_only) {
        rc = check_record(store, store->head.newest, store->head.next_seq - 1, err);
        if (!rc)
            rc = check_record(store, store->head.note, UINT64_MAX, err);
    }
    if (!rc)
        rc = load_recent(store, err);
    if (rc < 0 || store->options.read_only)
        return rc;
    struct blocklog_pos from = {0, 0};
    if (found)
        from = store->head.end;
    return blocklog_recover(store->log, from, store->head.next_seq, blockstore_replay, store, err);
}

/* Files of another format are reported before anything is touched. */
static int check_log_format(struct blockstore *store, struct err *err)
{
    uint32_t lowest, highest;
    struct segment segment;
    int rc = segment_range(store->dir_fd, &lowest, &highest, err);
    if (rc < 0 || !lowest)
        return rc;
    rc = segment_open(&segment, store->dir_fd, lowest, false, err);
    if (!rc)
        segment_close(&segment);
    return rc;
}

/* Opens LMDB; a state that cannot be read, or is of another format, is made again where the log is whole. */
static int open_env(struct blockstore *store, uint64_t *saved_txn, struct err *err)
{
    int rc = lmdb_open(store, err);
    if (rc != ERR_CORRUPT)
        return rc;
    char why[256] = "damage";
    if (err)
        snprintf(why, sizeof(why), "%.255s", err->message);
    lmdb_close(store);
    rc = remove_env(store, false, err);
    if (rc < 0)
        return rc;
    log_warn("blockstore", "%s: the state is made again from the block log", why);
    *saved_txn = 0;
    return lmdb_open(store, err);
}

static int open_writable(struct blockstore *store, struct err *err)
{
    uint64_t saved_txn;
    int rc = dir_lock(store->dir_fd, store->dir, &store->lock_fd, err);
    if (!rc)
        rc = import_complete(store->dir_fd, err);
    if (!rc)
        rc = check_log_format(store, err);
    if (!rc)
        rc = prepare_env(store, &saved_txn, err);
    if (!rc)
        rc = open_env(store, &saved_txn, err);
    if (!rc)
        rc = pin_opened(store, saved_txn, err);
    if (!rc)
        rc = open_log(store, err);
    if (!rc)
        rc = set_aside_adopt(store, err);
    if (!rc)
        rc = lmdb_batch_start(store, err);
    return rc < 0 ? rc : keeper_start(store, err);
}

/* Whether reading needs a recovery first: nobody writes, and LMDB's pages may be mixed. */
static bool needs_recovery(struct blockstore *store)
{
    int fd = openat(store->dir_fd, "lock", O_RDONLY | O_CLOEXEC);
    bool running = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0;
    if (fd >= 0)
        close(fd);
    struct checkpoint checkpoint = {0};
    enum trust trust;
    if (running || judge(store, &checkpoint, &trust, NULL) < 0)
        return false;
    bool needed = trust != TRUST_AS_IS;
    if (trust == TRUST_CHECKPOINT) {
        struct checkpoint now = {0};
        if (!checkpoint_capture(&now, store->dir_fd, checkpoint.page_size, NULL))
            needed = memcmp(now.metas.data, checkpoint.metas.data, now.metas.len) != 0;
        checkpoint_free(&now);
    }
    checkpoint_free(&checkpoint);
    return needed;
}

/* Recovers as a node would, and lets go again. */
static int recover_first(struct blockstore *store, struct err *err)
{
    struct blockstore *recovered = NULL;
    struct blockstore_options options = store->options;
    options.read_only = false;
    int rc = blockstore_open(&recovered, &options, err);
    blockstore_close(recovered);
    return rc;
}

static int open_readable(struct blockstore *store, struct err *err)
{
    if (faccessat(store->dir_fd, "data.mdb", F_OK, 0) < 0 &&
        faccessat(store->dir_fd, "log-00000001.seg", F_OK, 0) < 0)
        return err_set(err, ERR_NOT_FOUND, "there is no chain in %s", store->dir);
    int rc = needs_recovery(store) ? recover_first(store, err) : 0;
    if (!rc)
        rc = lmdb_open(store, err);
    if (rc == ERR_CORRUPT) {
        lmdb_close(store);
        rc = recover_first(store, err);
        if (!rc)
            rc = lmdb_open(store, err);
    }
    if (!rc)
        rc = open_log(store, err);
    struct blockstore_head head;
    return rc ? rc : blockstore_head(store, &head, err);
}

bool blockstore_exists(const char *dir)
{
    static const char *const names[] = {"data.mdb", "ready", "log-00000001.seg"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        mem_auto char *path = mem_printf("%s/%s", dir, names[i]);
        if (access(path, F_OK) == 0)
            return true;
    }
    return false;
}

int blockstore_open(struct blockstore **out, const struct blockstore_options *options, struct err *err)
{
    /* Without it libsodium hashes by its portable code, several times slower. */
    if (sodium_init() < 0)
        return err_set(err, ERR_INTERNAL, "libsodium cannot be used on this machine");
    if (!options->read_only && dir_make(options->dir, err) < 0)
        return ERR_IO;
    struct blockstore *store = blockstore_new(options);
    int rc;
    store->dir_fd = open(options->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (store->dir_fd < 0 && errno == ENOENT)
        rc = err_set(err, ERR_NOT_FOUND, "there is no chain in %s", options->dir);
    else if (store->dir_fd < 0)
        rc = err_set_errno(err, "cannot open %s", options->dir);
    else
        rc = options->read_only ? open_readable(store, err) : open_writable(store, err);
    if (rc < 0) {
        blockstore_free(store);
        return rc;
    }
    *out = store;
    return 0;
}
