/* See chain_verify.h. */
#include "ledger/chain_verify.h"

#include "chain/order.h"
#include "chain/tx_batch.h"
#include "state/entry.h"
#include "state/state_mem.h"
#include "validator/rbac_policy.h"
#include "validator/validator.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct verify {
    struct blockstore *store;
    struct chain_verify_report *report;
    struct block_header genesis;
    struct block_header parent; /* the block before the one at hand */
    struct state_mem *state;    /* NULL when bodies are pruned */
    struct validator_chain chain;
    struct rbac_policy *policy; /* at the parent */
    struct registry_validator *registry;
};

static int fault(struct err *err, uint64_t height, const char *what)
{
    return err_set(err, ERR_CORRUPT, "block %llu: %s", (unsigned long long)height, what);
}

/* Whatever goes wrong with a block is a fault of the chain, except that nothing could be read. */
static int fault_wrap(struct err *err, int rc, uint64_t height)
{
    if (rc == ERR_IO)
        return rc;
    char prefix[32];
    int n = snprintf(prefix, sizeof(prefix), "block %llu", (unsigned long long)height);
    if (strncmp(err->message, prefix, (size_t)n) != 0)
        err_wrap(err, "%s", prefix);
    err->code = ERR_CORRUPT;
    return ERR_CORRUPT;
}

static int check_genesis(struct verify *v, struct err *err)
{
    struct lthash empty;
    uint8_t digest[HASH_SIZE];
    lthash_init(&empty);
    lthash_digest(digest, &empty);
    const struct block_header *header = &v->genesis;
    static const uint8_t zeros[HASH_SIZE];
    bool has_parent = memcmp(header->parent, zeros, HASH_SIZE) != 0;
    v->report->carried = header->flags & BLOCK_CARRIES;
    if (header->height || header->tx_count || has_parent != v->report->carried)
        return fault(err, 0, "it is no genesis");
    if (!v->report->carried && memcmp(header->state_digest, digest, HASH_SIZE) != 0)
        return fault(err, 0, "its state is not empty");
    return block_verify_signature(header, err) < 0 ? fault_wrap(err, ERR_CORRUPT, 0) : 0;
}

/* The chain in the store reaches beyond the block at hand. */
static bool find_block(void *arg, const uint8_t hash[HASH_SIZE], uint64_t *height, int64_t *time_us)
{
    const struct verify *v = arg;
    struct block_header header;
    if (blockstore_height_of_hash(v->store, hash, height, NULL) != 0 || *height > v->parent.height ||
        blockstore_header_at(v->store, *height, &header, NULL) != 0)
        return false;
    *time_us = header.time_us;
    return true;
}

static void reload_registry(struct verify *v, struct state_snapshot *snapshot)
{
    free(v->registry);
    v->chain.registry_count = registry_load(&v->registry, state_mem_ops(), snapshot);
    v->chain.registry = v->registry;
}

static void start_replay(struct verify *v)
{
    v->state = state_mem_new();
    memcpy(v->chain.id, v->genesis.hash, HASH_SIZE);
    memcpy(v->chain.producer, v->genesis.producer, TX_KEY_SIZE);
    v->chain.byzantine = v->genesis.flags & BLOCK_BYZANTINE;
    v->chain.find_block = find_block;
    v->chain.arg = v;
    struct state_snapshot *snapshot = state_mem_ops()->snapshot_begin(v->state);
    v->policy = rbac_policy_load(state_mem_ops(), snapshot);
    state_mem_ops()->snapshot_end(snapshot);
}

/* All rules of a block, and then its effect. */
static int replay(struct verify *v, const struct block *block, struct err *err)
{
    struct state_snapshot *snapshot = state_mem_ops()->snapshot_begin(v->state);
    struct state_view *view = state_view_new(state_mem_ops(), snapshot, state_mem_hash(v->state));
    state_view_begin(view, block->header.time_us);
    reload_registry(v, snapshot);
    v->chain.height = v->parent.height;
    struct validator *validator = validator_new(&v->chain, view, v->policy);
    int rc = validator_check_block(validator, &v->parent, block, err);
    if (!rc) {
        struct state_update update;
        state_view_update(view, &block->header, &update);
        state_mem_apply(v->state, &update);
        rbac_policy_release(v->policy);
        v->policy = rbac_policy_retain(validator_policy(validator));
    }
    validator_free(validator);
    state_view_free(view);
    state_mem_ops()->snapshot_end(snapshot);
    return rc;
}

static int check_header(struct verify *v, const struct block_header *header, struct err *err)
{
    if (header->height != v->parent.height + 1 || memcmp(header->parent, v->parent.hash, HASH_SIZE) != 0)
        return fault(err, header->height, "it does not stand on its parent");
    if (header->time_us <= v->parent.time_us)
        return fault(err, header->height, "its time is not later than its parent's");
    return block_verify_signature(header, err);
}

/* What can be told of a body without the state before it. */
static int check_body(const struct block *block, struct err *err)
{
    uint8_t root[HASH_SIZE];
    block_tx_root(root, block->txs, block->header.tx_count);
    if (memcmp(root, block->header.tx_root, HASH_SIZE) != 0)
        return fault(err, block->header.height, "its Merkle root is another");
    if (!order_is_canonical(block->txs, block->header.tx_count))
        return fault(err, block->header.height, "its transactions are not in order");
    struct tx_batches batches = {0};
    for (uint32_t i = 0; i < block->header.tx_count; i++) {
        int rc = tx_verify_signatures(block->txs[i], &batches, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static void end_replay(struct verify *v)
{
    rbac_policy_release(v->policy);
    v->policy = NULL;
    free(v->registry);
    v->registry = NULL;
    state_mem_free(v->state);
    v->state = NULL;
}

static int check_contents(struct verify *v, uint64_t height, struct err *err)
{
    struct block *block = NULL;
    int rc = blockstore_block_at(v->store, height, &block, err);
    if (rc == ERR_GONE) {
        /* A running node has pruned it since the check began. */
        end_replay(v);
        v->report->replayed_from = UINT64_MAX;
        return 0;
    }
    if (!rc)
        rc = v->state ? replay(v, block, err) : check_body(block, err);
    if (!rc) {
        v->report->bodies++;
        v->report->transactions += block->header.tx_count;
    }
    block_free(block);
    return rc;
}

static int check_block(struct verify *v, uint64_t height, uint64_t oldest_body, struct err *err)
{
    struct block_header header;
    int rc = blockstore_header_at(v->store, height, &header, err);
    if (!rc)
        rc = check_header(v, &header, err);
    if (!rc && height >= oldest_body)
        rc = check_contents(v, height, err);
    if (rc < 0)
        return fault_wrap(err, rc, height);
    v->report->blocks++;
    v->parent = header;
    return 0;
}

/* The state in the store, object by object, has to have the hash that the head names. */
static int check_state(struct verify *v, struct state_snapshot *snapshot, struct err *err)
{
    const struct state_store_ops *ops = blockstore_ops();
    struct lthash hash;
    lthash_init(&hash);
    struct state_iter *iter = ops->iter_begin(snapshot, "", 0, NULL, 0);
    struct state_object object;
    while (ops->iter_next(iter, &object)) {
        uint8_t entry[HASH_SIZE];
        state_entry_rebuild(entry, &object);
        lthash_add(&hash, entry);
        v->report->objects++;
    }
    ops->iter_end(iter);
    uint8_t digest[HASH_SIZE];
    lthash_digest(digest, &hash);
    if (memcmp(digest, v->report->head.state_digest, HASH_SIZE) != 0)
        return err_set(
            err, ERR_CORRUPT,
            "the state in data.mdb does not have the hash that block %llu names: stop the node and remove "
            "data.mdb and checkpoint, and they are made again from the block log",
            (unsigned long long)v->report->head.height);
    return 0;
}

/* A snapshot and the header of its head, while a running node may be writing. */
static int take_head(struct verify *v, struct state_snapshot **snapshot, struct err *err)
{
    uint64_t height;
    *snapshot = blockstore_ops()->snapshot_begin(v->store);
    uint64_t rv = blockstore_ops()->snapshot_rv(*snapshot);
    int rc = blockstore_height_at_time(v->store, block_time_of_rv(rv), &height, err);
    return rc < 0 ? rc : blockstore_header_at(v->store, height, &v->report->head, err);
}

/* A running node of several may go over to another branch meanwhile: blocks are read one by one. */
static bool branch_changed(struct verify *v)
{
    struct block_header now;
    return blockstore_header_at(v->store, v->parent.height, &now, NULL) < 0 ||
           memcmp(now.hash, v->parent.hash, HASH_SIZE) != 0;
}

/* The block to begin behind: the genesis, or the oldest that a snapshot came with. */
static int take_start(struct verify *v, const struct blockstore_stats *stats, struct err *err)
{
    int rc = blockstore_header_at(v->store, 0, &v->genesis, err);
    if (!rc)
        rc = check_genesis(v, err);
    v->parent = v->genesis;
    v->report->snapshot = stats->base_height;
    if (rc || stats->first_header <= 1)
        return rc;
    rc = blockstore_header_at(v->store, stats->first_header, &v->parent, err);
    if (!rc)
        rc = block_verify_signature(&v->parent, err);
    v->report->blocks++;
    return rc < 0 ? fault_wrap(err, rc, stats->first_header) : 0;
}

int chain_verify(struct blockstore *store, chain_verify_progress_fn progress, void *arg,
                 struct chain_verify_report *report, struct err *err)
{
    *report = (struct chain_verify_report){.blocks = 1, .replayed_from = UINT64_MAX};
    struct verify v = {.store = store, .report = report};
    struct state_snapshot *snapshot = NULL;
    struct blockstore_stats stats;
    int rc = take_head(&v, &snapshot, err);
    if (!rc)
        rc = blockstore_stats(store, &stats, err);
    if (!rc)
        rc = take_start(&v, &stats, err);
    if (!rc && stats.oldest_body == 0) {
        report->replayed_from = 0;
        start_replay(&v);
    }
    for (uint64_t height = v.parent.height + 1; !rc && height <= report->head.height; height++) {
        rc = check_block(&v, height, stats.oldest_body, err);
        if (rc && branch_changed(&v))
            rc = err_set(err, ERR_UNAVAILABLE,
                         "the node went over to another branch while it was checked: check again");
        if (progress && !rc)
            progress(arg, height, report->head.height);
    }
    if (!rc)
        rc = check_state(&v, snapshot, err);
    blockstore_ops()->snapshot_end(snapshot);
    end_replay(&v);
    return rc;
}
