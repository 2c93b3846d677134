/* What is put into the log, and then into LMDB: blocks, rewinds, records. See blockstore.h. */
#include "blockstore/blockstore_internal.h"

#include "base/log.h"
#include "blockstore/bytes.h"

#include <assert.h>

/* Begins with a record in the log, which is made durable before the LMDB transaction ends that does what it
 * says (lmdb_finish). `final` stands before the bytes of all but blocks that are final at once. */
static int begin(struct blockstore *store, enum log_record_type type, const void *bytes, size_t len,
                 struct log_place *place, struct err *err)
{
    assert(!store->options.read_only);
    uint8_t final[LOG_FINAL_SIZE];
    struct iovec parts[2] = {{.iov_base = final, .iov_len = sizeof(final)},
                             {.iov_base = (void *)bytes, .iov_len = len}};
    int skip = type == LOG_RECORD_BLOCK;
    bool is_block = skip || type == LOG_RECORD_TENTATIVE;
    int rc = is_block ? lmdb_batch_make_room(store, err) : lmdb_batch_settle(store, err);
    if (rc < 0)
        return rc;
    *place = (struct log_place){.final = store->final_height, .pending = true};
    bytes_put64(final, place->final);
    rc = blocklog_begin(store->log, (uint8_t)type, parts + skip, 2 - skip, &place->pos, err);
    place->end = blocklog_behind(place->pos, skip ? len : len + sizeof(final));
    place->next_seq = blocklog_next_seq(store->log) + 1;
    return rc;
}

/* Takes the record back when LMDB did not take what it says. */
static int settle(struct blockstore *store, int rc, size_t len)
{
    struct err err;
    if (!rc) {
        keeper_note_commit(store, len);
        return 0;
    }
    if (blocklog_undo(store->log, &err) < 0)
        log_error("blockstore", "%s", err.message);
    if (store->ahead)
        keeper_note_failure(store);
    return rc;
}

/* Writes the consensus manager's record anew when it stands far behind: pruning stops in front of it. */
static void renew_record(struct blockstore *store)
{
    buf_auto struct buf record = BUF_INIT;
    struct err err;
    pthread_mutex_lock(&store->commit_lock);
    uint32_t segment = store->head.note.segment, newest = store->head.newest.segment;
    pthread_mutex_unlock(&store->commit_lock);
    if (!segment || segment + 2 > newest)
        return;
    if (blockstore_get_record(store, &record, &err) < 0 ||
        blockstore_put_record(store, buf_str(&record), record.len, &err) < 0)
        log_warn("blockstore", "%s", err.message);
}

/* With its update in the overlay, and later in LMDB. */
static int commit_late(struct blockstore *store, const struct block *block, const struct log_place *place,
                       const struct state_update *update, bool tentative, struct err *err)
{
    struct late_block *late = late_block_new(&block->header, &store->head_header, update, tentative);
    late->place = *place;
    int rc = blocklog_finish(store->log, err);
    if (rc < 0) {
        late_block_release(late);
        return settle(store, rc, block->encoded_len);
    }
    if (!tentative)
        store->final_height = block->header.height;
    /* Before the rest, so that whoever sees the block finds its transactions. */
    recent_add(store->recent, block, tentative);
    lmdb_batch_add(store, late);
    blockstore_note_head(store, &block->header);
    return 0;
}

static int commit_at_once(struct blockstore *store, const struct block *block, const struct log_place *place,
                          const struct state_update *update, bool tentative, struct err *err)
{
    int rc = settle(store, blockstore_commit_to_lmdb(store, block, place, update, tentative, err),
                    block->encoded_len);
    if (!rc)
        renew_record(store);
    return rc;
}

/* What begins a segment, or may be an orphan, changes more than the state. */
static bool may_be_late(struct blockstore *store, const struct log_place *place)
{
    return store->batch.started && place->pos.offset != BLOCKLOG_HEADER_SIZE && !lmdb_has_abandoned(store);
}

static int commit(struct blockstore *store, const struct block *block, const struct state_update *update,
                  bool tentative, struct err *err)
{
    struct log_place place;
    int rc = begin(store, tentative ? LOG_RECORD_TENTATIVE : LOG_RECORD_BLOCK, block->encoded,
                   block->encoded_len, &place, err);
    if (rc < 0)
        return rc;
    if (block->header.height > 0 && may_be_late(store, &place))
        return commit_late(store, block, &place, update, tentative, err);
    rc = lmdb_batch_settle(store, err);
    if (rc < 0)
        return settle(store, rc, block->encoded_len);
    return commit_at_once(store, block, &place, update, tentative, err);
}

int blockstore_commit(struct blockstore *store, const struct block *block, const struct state_update *update,
                      struct err *err)
{
    return commit(store, block, update, false, err);
}

int blockstore_commit_tentative(struct blockstore *store, const struct block *block,
                                const struct state_update *update, struct err *err)
{
    assert(block->header.height > 0);
    return commit(store, block, update, true, err);
}

int blockstore_rewind(struct blockstore *store, uint64_t height, struct err *err)
{
    struct block_header header;
    struct log_place place;
    uint8_t bytes[LOG_HEIGHT_SIZE];
    if (height == store->head_height)
        return 0;
    if (height < store->final_height)
        return err_set(err, ERR_GONE, "block %llu is final: the chain cannot go back to block %llu",
                       (unsigned long long)store->final_height, (unsigned long long)height);
    if (height > store->head_height)
        return err_set(err, ERR_NOT_FOUND, "there is no block %llu to go back to",
                       (unsigned long long)height);
    int rc = blockstore_header_at(store, height, &header, err);
    if (rc < 0)
        return rc;
    log_height_encode(bytes, height, header.hash);
    rc = begin(store, LOG_RECORD_REWIND, bytes, sizeof(bytes), &place, err);
    if (rc < 0)
        return rc;
    rc = blockstore_rewind_in_lmdb(store, height, &place, err);
    return settle(store, rc, sizeof(bytes));
}

void blockstore_on_undone(struct blockstore *store, blockstore_undone_fn fn, void *arg)
{
    store->undone = fn;
    store->undone_arg = arg;
}

int blockstore_finalize(struct blockstore *store, uint64_t height, struct err *err)
{
    if (height > store->head_height)
        return err_set(err, ERR_NOT_FOUND, "there is no block %llu to be final", (unsigned long long)height);
    if (height <= store->final_height)
        return 0;
    store->final_height = height;
    keeper_note_commit(store, 0);
    return 0;
}

uint64_t blockstore_final_height(struct blockstore *store)
{
    return store->final_height;
}

int blockstore_put_record(struct blockstore *store, const void *record, size_t len, struct err *err)
{
    struct log_place place;
    if (len > LOG_NOTE_MAX)
        return err_set(err, ERR_TOO_LARGE, "a record of %zu bytes is larger than %u", len, LOG_NOTE_MAX);
    int rc = begin(store, LOG_RECORD_NOTE, record, len, &place, err);
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&store->commit_lock);
    rc = lmdb_commit_note(store, &place, err);
    pthread_mutex_unlock(&store->commit_lock);
    return settle(store, rc, len);
}

int blockstore_put_orphan(struct blockstore *store, const struct tx *tx, struct err *err)
{
    struct log_place place;
    int rc = begin(store, LOG_RECORD_ORPHAN, tx->encoded, tx->encoded_len, &place, err);
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&store->commit_lock);
    rc = lmdb_commit_orphan(store, &place, tx->id, err);
    pthread_mutex_unlock(&store->commit_lock);
    return settle(store, rc, tx->encoded_len);
}

int blockstore_get_record(struct blockstore *store, struct buf *record, struct err *err)
{
    buf_auto struct buf bytes = BUF_INIT;
    struct lmdb_head head = {0};
    struct blocklog_record found;
    struct log_record note;
    struct state_snapshot *snapshot = lmdb_snapshot_begin(store);
    int rc = lmdb_head_get(store, snapshot->txn, &head, err);
    lmdb_snapshot_end(snapshot);
    if (rc == ERR_NOT_FOUND || (!rc && !head.note.segment))
        return err_set(err, ERR_NOT_FOUND, "there is no record");
    if (!rc)
        rc = blocklog_read(store->log, head.note, &found, &bytes, err);
    if (!rc)
        rc = log_record_decode(&note, &found, err);
    if (!rc && note.type != LOG_RECORD_NOTE)
        rc = err_set(err, ERR_CORRUPT, "the consensus manager's record is not where the index says");
    buf_clear(record);
    if (!rc)
        buf_append(record, note.bytes, note.len);
    return rc;
}
