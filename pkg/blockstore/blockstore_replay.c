/* Recovery: what the block log has beyond LMDB. See blockstore.h. */
#include "blockstore/blockstore_internal.h"

#include <string.h>

void blockstore_note_head(struct blockstore *store, const struct block_header *header)
{
    store->head_header = *header;
    store->head_height = header->height;
    store->head_time_us = header->time_us;
}

int blockstore_commit_to_lmdb(struct blockstore *store, const struct block *block,
                              const struct log_place *place, const struct state_update *update,
                              bool tentative, struct err *err)
{
    pthread_mutex_lock(&store->commit_lock);
    int rc = lmdb_commit(store, block, place, update, tentative, err);
    uint64_t final = store->head.final;
    pthread_mutex_unlock(&store->commit_lock);
    if (rc < 0)
        return rc;
    blockstore_note_head(store, &block->header);
    if (final > store->final_height)
        store->final_height = final;
    return 0;
}

int blockstore_rewind_in_lmdb(struct blockstore *store, uint64_t height, const struct log_place *place,
                              struct err *err)
{
    pthread_mutex_lock(&store->commit_lock);
    int rc = lmdb_rewind(store, height, place, err);
    pthread_mutex_unlock(&store->commit_lock);
    return rc;
}

static int replay_genesis(struct blockstore *store, const struct block *block, const struct log_place *place,
                          struct err *err)
{
    struct lthash empty;
    lthash_init(&empty);
    struct state_update update = {.head_rv = block_head_rv(&block->header), .hash = &empty};
    memcpy(update.block_hash, block->header.hash, HASH_SIZE);
    return blockstore_commit_to_lmdb(store, block, place, &update, false, err);
}

static int replay_on_head(struct blockstore *store, const struct block *block,
                          const struct blockstore_head *head, const struct log_place *place, bool tentative,
                          struct err *err)
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
        rc = blockstore_commit_to_lmdb(store, block, place, &update, tentative, err);
    }
    state_view_free(view);
    lmdb_snapshot_end(snapshot);
    return rc;
}

static int replay_block(struct blockstore *store, const struct log_record *record,
                        const struct blockstore_head *head, const struct log_place *place, struct err *err)
{
    struct block *block;
    int rc = block_decode(&block, record->bytes, record->len, err);
    if (rc < 0)
        return err_wrap(err, "record %llu of the block log", (unsigned long long)place->next_seq - 1);
    bool tentative = record->type == LOG_RECORD_TENTATIVE;
    if (head)
        rc = replay_on_head(store, block, head, place, tentative, err);
    else if (block->header.height)
        rc = err_set(err, ERR_CORRUPT,
                     "the state store is lost, and the block log begins at block %llu, since earlier ones "
                     "were pruned: "
                     "restore this data directory from a backup, or let the node join anew",
                     (unsigned long long)block->header.height);
    else
        rc = replay_genesis(store, block, place, err);
    block_free(block);
    return rc;
}

static int replay_rewind(struct blockstore *store, const struct log_record *record,
                         const struct blockstore_head *head, const struct log_place *place, struct err *err)
{
    struct block_header header;
    if (record->height >= head->header.height || record->height < store->head.final)
        return err_set(err, ERR_CORRUPT, "the log goes back from block %llu to block %llu",
                       (unsigned long long)head->header.height, (unsigned long long)record->height);
    int rc = blockstore_header_at(store, record->height, &header, err);
    if (!rc && memcmp(header.hash, record->hash, HASH_SIZE) != 0)
        rc = err_set(err, ERR_CORRUPT, "the log goes back to another block %llu than there is",
                     (unsigned long long)record->height);
    return rc ? rc : blockstore_rewind_in_lmdb(store, record->height, place, err);
}

static int replay_note(struct blockstore *store, const struct log_place *place, struct err *err)
{
    pthread_mutex_lock(&store->commit_lock);
    int rc = lmdb_commit_note(store, place, err);
    pthread_mutex_unlock(&store->commit_lock);
    return rc;
}

static int replay_base(struct blockstore *store, const struct log_record *record,
                       const struct blockstore_head *head, const struct log_place *place, struct err *err)
{
    if (record->height != head->header.height || memcmp(record->hash, head->header.hash, HASH_SIZE) != 0)
        return err_set(err, ERR_CORRUPT, "the log begins behind another block %llu than there is",
                       (unsigned long long)record->height);
    pthread_mutex_lock(&store->commit_lock);
    int rc = lmdb_commit_base(store, place, err);
    pthread_mutex_unlock(&store->commit_lock);
    return rc;
}

static int replay_orphan(struct blockstore *store, const struct log_record *record,
                         const struct log_place *place, struct err *err)
{
    struct tx *tx;
    int rc = tx_decode(&tx, record->bytes, record->len, err);
    if (rc < 0)
        return err_wrap(err, "record %llu of the block log", (unsigned long long)place->next_seq - 1);
    pthread_mutex_lock(&store->commit_lock);
    rc = lmdb_commit_orphan(store, place, tx->id, err);
    pthread_mutex_unlock(&store->commit_lock);
    tx_free(tx);
    return rc;
}

static struct log_place place_of(const struct blocklog_record *found, const struct log_record *record)
{
    return (struct log_place){.pos = found->pos,
                              .end = blocklog_behind(found->pos, found->len),
                              .next_seq = found->seq + 1,
                              .final = record->final};
}

int blockstore_replay(void *arg, const struct blocklog_record *found, struct err *err)
{
    struct blockstore *store = arg;
    struct log_record record;
    struct blockstore_head head;
    int rc = log_record_decode(&record, found, err);
    if (rc < 0)
        return rc;
    struct log_place place = place_of(found, &record);
    rc = blockstore_head(store, &head, err);
    bool first = rc == ERR_NOT_FOUND;
    if (rc && !first)
        return rc;
    bool is_block = record.type == LOG_RECORD_BLOCK || record.type == LOG_RECORD_TENTATIVE;
    if (first && !is_block)
        rc = err_set(
            err, ERR_CORRUPT,
            "the state store is lost, and the block log begins behind a block with whose state the store "
            "was made: restore this data directory from a backup, or let the node join anew");
    else if (!first && record.final > head.header.height)
        rc = err_set(err, ERR_CORRUPT,
                     "record %llu of the block log says that block %llu is final, which is not there",
                     (unsigned long long)found->seq, (unsigned long long)record.final);
    else if (is_block)
        rc = replay_block(store, &record, first ? NULL : &head, &place, err);
    else if (record.type == LOG_RECORD_REWIND)
        rc = replay_rewind(store, &record, &head, &place, err);
    else if (record.type == LOG_RECORD_ORPHAN)
        rc = replay_orphan(store, &record, &place, err);
    else if (record.type == LOG_RECORD_BASE)
        rc = replay_base(store, &record, &head, &place, err);
    else
        rc = replay_note(store, &place, err);
    if (!rc) {
        store->final_height = store->head.final;
        keeper_note_commit(store, found->len);
    }
    return rc;
}
