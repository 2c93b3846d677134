/*
 * Making room for a new store where one is damaged.
 *
 *   DIR/orphans.saved   the consensus manager's record and the orphans of the damaged store: u8 type (as in
 *                       log_record.h) | u32 length | bytes, one after the other; its last 32 bytes are a
 *                       BLAKE2b-256 of all before
 */
#include "blockstore/blockstore_internal.h"
#include "blockstore/blocklog_segment.h"
#include "blockstore/bytes.h"
#include "blockstore/dir.h"

#include "base/log.h"
#include "base/mem.h"
#include "chain/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SAVED "orphans.saved"

/* ---- orphans ---- */

/* The file's transactions: 0, ERR_NOT_FOUND without one, ERR_CORRUPT when it is damaged. */
static int saved_load(int dir_fd, struct buf *out, struct err *err)
{
    uint8_t sum[HASH_SIZE];
    struct stat st;
    buf_clear(out);
    int fd = openat(dir_fd, SAVED, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? ERR_NOT_FOUND : err_set_errno(err, "cannot open %s", SAVED);
    int rc = 0;
    if (fstat(fd, &st) < 0 || st.st_size < HASH_SIZE) {
        rc = err_set(err, ERR_CORRUPT, "%s is damaged", SAVED);
    } else {
        buf_reserve(out, (size_t)st.st_size + 1);
        out->len = (size_t)st.st_size - HASH_SIZE;
        if (!segment_read_all(fd, out->data, (size_t)st.st_size, 0))
            rc = err_set_errno(err, "cannot read %s", SAVED);
    }
    close(fd);
    if (rc < 0)
        return rc;
    hash_content(sum, out->data, out->len);
    return memcmp(sum, out->data + out->len, HASH_SIZE) != 0
               ? err_set(err, ERR_CORRUPT, "%s is damaged", SAVED)
               : 0;
}

static int saved_store(int dir_fd, struct buf *txs, struct err *err)
{
    static const char temporary[] = SAVED ".tmp";
    uint8_t sum[HASH_SIZE];
    hash_content(sum, txs->data, txs->len);
    buf_append(txs, sum, sizeof(sum));
    int fd = openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set_errno(err, "cannot write %s", SAVED);
    int rc = 0;
    if (!segment_write_all(fd, txs->data, txs->len, 0) || fsync(fd) < 0)
        rc = err_set_errno(err, "cannot write %s", SAVED);
    close(fd);
    if (!rc && (renameat(dir_fd, temporary, dir_fd, SAVED) < 0 || fsync(dir_fd) < 0))
        rc = err_set_errno(err, "cannot write %s", SAVED);
    return rc;
}

static void save(struct buf *out, enum log_record_type type, const void *bytes, size_t len)
{
    wire_put_u8(out, (uint8_t)type);
    wire_put_u32(out, (uint32_t)len);
    buf_append(out, bytes, len);
}

/* Opens LMDB for reading where its pages are as it wrote them, without a recovery. */
static bool open_state(struct blockstore *store)
{
    struct checkpoint checkpoint = {0};
    struct stat st;
    struct err err;
    if (checkpoint_load(&checkpoint, store->dir_fd, &err) < 0)
        return false;
    bool is_whole = checkpoint_is_current_boot(&checkpoint, store->dir_fd) &&
                    fstatat(store->dir_fd, "data.mdb", &st, 0) == 0 &&
                    (uint64_t)st.st_size >= checkpoint.size;
    checkpoint_free(&checkpoint);
    return is_whole && lmdb_open(store, &err) == 0;
}

/* Whatever fails is left out. */
static void read_orphans(struct blockstore *store, struct buf *out)
{
    struct err err;
    struct tx *tx;
    uint64_t number = 0, next = 0;
    int rc;
    while ((rc = blockstore_orphan_next(store, number, &next, &tx, &err)) != ERR_NOT_FOUND && next > number) {
        number = next;
        if (rc < 0)
            continue;
        save(out, LOG_RECORD_ORPHAN, tx->encoded, tx->encoded_len);
        tx_free(tx);
    }
}

static int keep_note(void *arg, const struct blocklog_record *found, struct err *err)
{
    struct log_record record;
    struct buf *note = arg;
    if (found->type != LOG_RECORD_NOTE || log_record_decode(&record, found, err) < 0)
        return 0;
    buf_clear(note);
    save(note, LOG_RECORD_NOTE, record.bytes, record.len);
    return 0;
}

/* The newest that can be read; where LMDB does not tell its place, the log is read up to its damage. */
static void read_note(struct blockstore *store, bool has_state, struct buf *out)
{
    struct err err;
    buf_auto struct buf note = BUF_INIT, record = BUF_INIT;
    if (has_state && blockstore_get_record(store, &record, &err) == 0)
        save(&note, LOG_RECORD_NOTE, buf_str(&record), record.len);
    else
        blocklog_recover(store->log, (struct blocklog_pos){0, 0}, 0, keep_note, &note, &err);
    buf_append(out, buf_str(&note), note.len);
}

static int save_orphans(const char *dir, int dir_fd, struct err *err)
{
    buf_auto struct buf saved = BUF_INIT;
    struct blockstore_options options = {.dir = dir, .read_only = true};
    struct blocklog_options log = {.dir = dir, .read_only = true, .existing = true};
    if (saved_load(dir_fd, &saved, NULL) < 0) /* of a store before, that no other took the place of */
        buf_clear(&saved);
    size_t before = saved.len;
    struct blockstore *store = blockstore_new(&options);
    store->dir_fd = fcntl(dir_fd, F_DUPFD_CLOEXEC, 0);
    if (blocklog_open(&store->log, &log, NULL) == 0) {
        bool has_state = open_state(store);
        read_note(store, has_state, &saved);
        if (has_state)
            read_orphans(store, &saved);
    }
    blockstore_free(store);
    return saved.len > before ? saved_store(dir_fd, &saved, err) : 0;
}

static int adopt_orphan(struct blockstore *store, const uint8_t *chain_id, const uint8_t *bytes, size_t len,
                        struct err *err)
{
    struct tx *tx;
    if (tx_decode(&tx, bytes, len, err) < 0)
        return ERR_CORRUPT;
    struct state_snapshot *snapshot = lmdb_snapshot_begin(store);
    uint64_t height;
    bool has = blockstore_ops()->find_tx(snapshot, tx->id, &height);
    lmdb_snapshot_end(snapshot);
    bool ours = !memcmp(tx->chain_id, chain_id, HASH_SIZE);
    int rc = has || !ours ? 0 : blockstore_put_orphan(store, tx, err);
    tx_free(tx);
    return rc;
}

static int adopt_all(struct blockstore *store, const struct buf *saved, struct err *err)
{
    struct block_header genesis;
    const uint8_t *note = NULL;
    uint32_t note_len = 0;
    struct wire_reader in = wire_reader(saved->data, saved->len);
    int rc = blockstore_header_at(store, 0, &genesis, err);
    while (!rc && wire_left(&in)) {
        uint8_t type = wire_get_u8(&in);
        uint32_t len = wire_get_u32(&in);
        const uint8_t *bytes = wire_get_raw(&in, len);
        if (in.bad)
            return err_set(err, ERR_CORRUPT, "%s is malformed", SAVED);
        if (type == LOG_RECORD_ORPHAN) {
            rc = adopt_orphan(store, genesis.hash, bytes, len, err);
        } else {
            note = bytes;
            note_len = len;
        }
    }
    /* The last is the newest; one that the store has itself is newer. */
    if (!rc && note && !store->head.note.segment)
        rc = blockstore_put_record(store, note, note_len, err);
    return rc;
}

int set_aside_adopt(struct blockstore *store, struct err *err)
{
    buf_auto struct buf saved = BUF_INIT;
    if (store->head_time_us == INT64_MIN)
        return 0; /* no chain yet */
    int rc = saved_load(store->dir_fd, &saved, err);
    if (rc == ERR_NOT_FOUND)
        return 0;
    if (!rc)
        rc = adopt_all(store, &saved, err);
    if (rc == ERR_CORRUPT) {
        log_warn("blockstore", "%s: what it held of a damaged store is lost", err ? err->message : SAVED);
        rc = 0;
    }
    if (!rc && (unlinkat(store->dir_fd, SAVED, 0) < 0 || fsync(store->dir_fd) < 0))
        rc = err_set_errno(err, "cannot remove %s", SAVED);
    return rc;
}

/* ---- moving ---- */

static int move(int from, int to, const char *name, struct err *err)
{
    if (renameat(from, name, to, name) == 0 || errno == ENOENT)
        return 0;
    return err_set_errno(err, "cannot move %s aside", name);
}

/* In an order that leaves a store that is seen to be damaged, wherever it ends. */
static int move_all(int from, int to, struct err *err)
{
    static const char *const rest[] = {"log-next.tmp",           "import",   "ready",   CHECKPOINT_NAME,
                                       (CHECKPOINT_NAME ".tmp"), "lock.mdb", "data.mdb"};
    uint32_t lowest, highest;
    int rc = segment_range(from, &lowest, &highest, err);
    for (uint64_t number = lowest; !rc && lowest && number <= highest; number++) {
        char name[SEGMENT_NAME_MAX];
        snprintf(name, sizeof(name), "log-%08u.seg", (unsigned)number);
        rc = move(from, to, name, err);
    }
    for (size_t i = 0; !rc && i < sizeof(rest) / sizeof(rest[0]); i++)
        rc = move(from, to, rest[i], err);
    if (!rc && (fsync(to) < 0 || fsync(from) < 0))
        rc = err_set_errno(err, "cannot make the move durable");
    return rc;
}

int blockstore_set_aside(const char *dir, char *path, size_t path_size, struct err *err)
{
    int lock_fd = -1, to = -1;
    int from = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (from < 0)
        return err_set_errno(err, "cannot open %s", dir);
    int rc = dir_lock(from, dir, &lock_fd, err);
    if (!rc)
        rc = save_orphans(dir, from, err);
    if (!rc)
        rc = dir_make_beside(dir, "damaged", path, path_size, err);
    if (!rc && (to = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
        rc = err_set_errno(err, "cannot open %s", path);
    if (!rc)
        rc = move_all(from, to, err);
    if (to >= 0)
        close(to);
    if (lock_fd >= 0)
        close(lock_fd);
    close(from);
    return rc;
}
