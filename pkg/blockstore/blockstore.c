/* Opening with recovery, closing, and the commit of a block. See blockstore.h. */
#include "blockstore/blockstore_internal.h"

#include "base/log.h"
#include "base/mem.h"
#include "blockstore/dir.h"

#include <assert.h>
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

static struct blockstore *store_new(const struct blockstore_options *options)
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
    store->head_time_us = INT64_MIN;
    store->recent = recent_new();
    pthread_mutex_init(&store->pool_lock, NULL);
    pthread_cond_init(&store->pool_returned, NULL);
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

static void store_free(struct blockstore *store)
{
    keeper_stop(store);
    struct err err;
    if (!store->options.read_only && store->pin && blockstore_checkpoint(store, &err) < 0)
        log_warn("blockstore", "no checkpoint at the end: %s; the next start replays the block log",
                 err.message);
    if (store->pin)
        mdb_txn_abort(store->pin);
    lmdb_pool_drain(store);
    lmdb_close(store);
    blocklog_close(store->log);
    recent_free(store->recent);
    if (store->lock_fd >= 0)
        close(store->lock_fd);
    if (store->dir_fd >= 0)
        close(store->dir_fd);
    pthread_mutex_destroy(&store->pool_lock);
    pthread_cond_destroy(&store->pool_returned);
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
        store_free(store);
}

/* Takes the lock of the directory, for as long as this process lives. */
static int take_lock(struct blockstore *store, struct err *err)
{
    store->lock_fd = openat(store->dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (store->lock_fd < 0)
        return err_set_errno(err, "cannot open %s/lock", store->dir);
    char pid[24] = "";
    if (flock(store->lock_fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK)
            return err_set_errno(err, "cannot lock %s", store->dir);
        ssize_t n = pread(store->lock_fd, pid, sizeof(pid) - 1, 0);
        pid[n > 0 ? n : 0] = '\0';
        pid[strcspn(pid, "\n")] = '\0';
        return err_set(err, ERR_CONFLICT,
                       "%s is in use by another katena (process %s): stop it, or choose another --data-dir",
                       store->dir, *pid ? pid : "unknown");
    }
    int n = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
    if (ftruncate(store->lock_fd, 0) < 0 || pwrite(store->lock_fd, pid, (size_t)n, 0) != n)
        return err_set_errno(err, "cannot write %s/lock", store->dir);
    return 0;
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
    *trust = checkpoint_is_current_boot(checkpoint, store->dir_fd) ? TRUST_AS_IS : TRUST_CHECKPOINT;
    return 0;
}

static void remove_env(struct blockstore *store)
{
    unlinkat(store->dir_fd, "data.mdb", 0);
    unlinkat(store->dir_fd, "lock.mdb", 0);
    unlinkat(store->dir_fd, CHECKPOINT_NAME, 0);
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
    if (trust == TRUST_NOTHING) {
        remove_env(store);
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

static void note_head(struct blockstore *store, const struct block_header *header)
{
    store->head_height = header->height;
    store->head_time_us = header->time_us;
}

static int commit_to_lmdb(struct blockstore *store, const struct block *block, struct blocklog_pos pos,
                          struct blocklog_pos end, const struct state_update *update, struct err *err)
{
    pthread_mutex_lock(&store->commit_lock);
    int rc = lmdb_commit(store, block, pos, end, update, err);
    pthread_mutex_unlock(&store->commit_lock);
    if (!rc)
        note_head(store, &block->header);
    return rc;
}

/* Where the record of a block in the log ends, which is where the next one is looked for. */
static struct blocklog_pos record_end(struct blocklog_pos pos, size_t len)
{
    pos.offset += (uint32_t)((BLOCKLOG_FRAME_SIZE + len + 7) & ~(size_t)7);
    return pos;
}

static int replay_genesis(struct blockstore *store, const struct block *block, struct blocklog_pos pos,
                          struct err *err)
{
    struct lthash empty;
    lthash_init(&empty);
    struct state_update update = {.head_rv = block_head_rv(&block->header), .hash = &empty};
    memcpy(update.block_hash, block->header.hash, HASH_SIZE);
    return commit_to_lmdb(store, block, pos, record_end(pos, block->encoded_len), &update, err);
}

static int replay_block(struct blockstore *store, const struct block *block,
                        const struct blockstore_head *head, struct blocklog_pos pos, struct err *err)
{
    if (block->header.height != head->header.height + 1 ||
        memcmp(block->header.parent, head->header.hash, HASH_SIZE) != 0)
        return err_set(err, ERR_CORRUPT, "block %llu in the log does not follow block %llu",
                       (unsigned long long)block->header.height, (unsigned long long)head->header.height);
    struct state_snapshot *snapshot = lmdb_snapshot_begin(store);
    struct state_view *view = state_view_new(blockstore_ops(), snapshot, &head->state_hash);
    int rc = state_view_apply_block(view, block, err);
    if (!rc) {
        struct state_update update;
        state_view_update(view, &block->header, &update);
        rc = commit_to_lmdb(store, block, pos, record_end(pos, block->encoded_len), &update, err);
    }
    state_view_free(view);
    lmdb_snapshot_end(snapshot);
    return rc;
}

/* A block that is in the log and not yet in LMDB. */
static int replay(void *arg, uint64_t seq, struct blocklog_pos pos, const uint8_t *bytes, size_t len,
                  struct err *err)
{
    struct blockstore *store = arg;
    struct block *block;
    struct blockstore_head head;
    int rc = block_decode(&block, bytes, len, err);
    if (rc < 0)
        return err_wrap(err, "block %llu in the log", (unsigned long long)seq);
    bool first = blockstore_head(store, &head, err) == ERR_NOT_FOUND;
    if (block->header.height != seq)
        rc = err_set(err, ERR_CORRUPT, "record %llu of the block log has block %llu in it",
                     (unsigned long long)seq, (unsigned long long)block->header.height);
    else if (first && seq)
        rc = err_set(err, ERR_CORRUPT,
                     "the state store is lost, and the block log begins at block %llu, since earlier ones "
                     "were pruned: "
                     "restore this data directory from a backup, or let the node join anew",
                     (unsigned long long)seq);
    else
        rc = first ? replay_genesis(store, block, pos, err) : replay_block(store, block, &head, pos, err);
    block_free(block);
    if (!rc)
        keeper_note_commit(store, len);
    return rc;
}

/* The newest block that LMDB knows has to be whole in the log: otherwise files were lost or mixed. */
static int check_newest(struct blockstore *store, struct lmdb_head *head, bool *found, struct err *err)
{
    struct state_snapshot *snapshot = lmdb_snapshot_begin(store);
    struct lmdb_block block;
    int rc = lmdb_head_get(store, snapshot->txn, head, err);
    *found = !rc;
    if (!rc)
        rc = lmdb_block_get(store, snapshot->txn, head->height, &block, err);
    lmdb_snapshot_end(snapshot);
    if (!*found)
        return rc == ERR_NOT_FOUND ? 0 : rc;
    buf_auto struct buf bytes = BUF_INIT;
    if (!rc)
        rc = blocklog_read(store->log, block.pos, head->height, &bytes, err);
    if (rc == ERR_GONE || rc == ERR_CORRUPT)
        rc = err_set(err, ERR_CORRUPT,
                     "the block log in %s is older than the state beside it: block %llu is missing or "
                     "damaged; restore "
                     "the data directory from a backup as a whole",
                     store->dir, (unsigned long long)head->height);
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
        recent_add(store->recent, block);
        block_free(block);
    }
    return rc;
}

static int open_log(struct blockstore *store, struct err *err)
{
    struct lmdb_head head = {0};
    struct state_snapshot *snapshot = lmdb_snapshot_begin(store);
    bool existing = lmdb_head_get(store, snapshot->txn, &head, NULL) == 0;
    lmdb_snapshot_end(snapshot);
    struct blocklog_options options = {.dir = store->dir,
                                       .read_only = store->options.read_only,
                                       .existing = existing,
                                       .first_segment = store->options.first_segment};
    int rc = blocklog_open(&store->log, &options, err);
    if (rc || store->options.read_only)
        return rc ? rc : load_recent(store, err);
    bool found;
    rc = check_newest(store, &head, &found, err);
    if (rc < 0)
        return rc;
    if (found) {
        struct block_header header;
        rc = blockstore_header_at(store, head.height, &header, err);
        if (rc < 0)
            return rc;
        note_head(store, &header);
        rc = load_recent(store, err);
        return rc < 0 ? rc : blocklog_recover(store->log, head.end, head.height + 1, replay, store, err);
    }
    return blocklog_recover(store->log, (struct blocklog_pos){0, 0}, 0, replay, store, err);
}

/* Opens LMDB; a state that cannot be read, or is of another format, is made again where the log is whole. */
static int open_env(struct blockstore *store, uint64_t *saved_txn, struct err *err)
{
    int rc = lmdb_open(store, err);
    if (rc != ERR_CORRUPT || faccessat(store->dir_fd, "log-00000001.seg", F_OK, 0) < 0)
        return rc;
    log_warn("blockstore", "%s: the state is made again from the block log", err ? err->message : "damage");
    lmdb_close(store);
    remove_env(store);
    *saved_txn = 0;
    return lmdb_open(store, err);
}

static int open_writable(struct blockstore *store, struct err *err)
{
    uint64_t saved_txn;
    int rc = take_lock(store, err);
    if (!rc)
        rc = prepare_env(store, &saved_txn, err);
    if (!rc)
        rc = open_env(store, &saved_txn, err);
    if (!rc)
        rc = pin_opened(store, saved_txn, err);
    if (!rc)
        rc = open_log(store, err);
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
    if (!rc)
        rc = blockstore_head(store, &head, err);
    if (!rc)
        note_head(store, &head.header);
    return rc;
}

int blockstore_open(struct blockstore **out, const struct blockstore_options *options, struct err *err)
{
    /* Without it libsodium hashes by its portable code, several times slower. */
    if (sodium_init() < 0)
        return err_set(err, ERR_INTERNAL, "libsodium cannot be used on this machine");
    if (!options->read_only && dir_make(options->dir, err) < 0)
        return ERR_IO;
    struct blockstore *store = store_new(options);
    int rc;
    store->dir_fd = open(options->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (store->dir_fd < 0 && errno == ENOENT)
        rc = err_set(err, ERR_NOT_FOUND, "there is no chain in %s", options->dir);
    else if (store->dir_fd < 0)
        rc = err_set_errno(err, "cannot open %s", options->dir);
    else
        rc = options->read_only ? open_readable(store, err) : open_writable(store, err);
    if (rc < 0) {
        store_free(store);
        return rc;
    }
    *out = store;
    return 0;
}

int blockstore_commit(struct blockstore *store, const struct block *block, const struct state_update *update,
                      struct err *err)
{
    assert(!store->options.read_only);
    struct blocklog_pos pos;
    int rc = blocklog_append(store->log, block->header.height, block->encoded, block->encoded_len, &pos, err);
    if (rc < 0)
        return rc;
    rc = commit_to_lmdb(store, block, pos, blocklog_end(store->log), update, err);
    if (rc < 0) {
        struct err undo;
        if (blocklog_undo(store->log, &undo) < 0)
            log_error("blockstore", "%s", undo.message);
        return rc;
    }
    keeper_note_commit(store, block->encoded_len);
    return 0;
}
