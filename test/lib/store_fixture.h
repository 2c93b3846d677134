/* Blocks on a block store for tests, without a consensus manager: transactions that need no validation. */
#ifndef KATENA_TEST_STORE_FIXTURE_H
#define KATENA_TEST_STORE_FIXTURE_H

#include "base/hex.h"
#include "base/mem.h"
#include "blockstore/blockstore.h"
#include "tx_fixture.h"

#include <stdio.h>
#include <string.h>

/* A block on the store's head of these transactions (taken over), with the update that it makes. */
struct made_block {
    struct block *block;
    struct state_snapshot *snapshot;
    struct state_view *view;
    struct state_update update;
};

static inline void made_block_free(struct made_block *made)
{
    state_view_free(made->view);
    blockstore_ops()->snapshot_end(made->snapshot);
    block_free(made->block);
}

static inline void store_fixture_make(struct made_block *out, struct tx_fixture *f, struct blockstore *store,
                                      struct tx **txs, size_t count)
{
    struct blockstore_head head;
    struct err err;
    int rc = blockstore_head(store, &head, &err);
    assert(!rc);
    f->now_us += 1000;
    out->snapshot = blockstore_ops()->snapshot_begin(store);
    out->view = state_view_new(blockstore_ops(), out->snapshot, &head.state_hash);
    state_view_begin(out->view, f->now_us);
    struct tx **own = mem_calloc(count + 1, sizeof(*own));
    for (size_t i = 0; i < count; i++) {
        own[i] = txs[i];
        rc = state_view_apply(out->view, own[i], &err);
        if (rc)
            fprintf(stderr, "%s\n", err.message);
        assert(!rc);
    }
    out->block = block_new(own, count);
    out->block->header.height = head.header.height + 1;
    out->block->header.time_us = f->now_us;
    memcpy(out->block->header.parent, head.header.hash, HASH_SIZE);
    state_view_digest(out->view, out->block->header.state_digest);
    block_seal(out->block, f->secret_key);
    state_view_update(out->view, &out->block->header, &out->update);
    (void)rc;
}

static inline int store_fixture_commit(struct tx_fixture *f, struct blockstore *store, struct tx **txs,
                                       size_t count, bool tentative, struct err *err)
{
    struct made_block made;
    store_fixture_make(&made, f, store, txs, count);
    int rc = tentative ? blockstore_commit_tentative(store, made.block, &made.update, err)
                       : blockstore_commit(store, made.block, &made.update, err);
    made_block_free(&made);
    return rc;
}

static inline int store_fixture_genesis(struct tx_fixture *f, struct blockstore *store, struct err *err)
{
    struct lthash empty;
    lthash_init(&empty);
    struct state_update update = {.head_rv = block_head_rv(&f->genesis->header), .hash = &empty};
    memcpy(update.block_hash, f->genesis->header.hash, HASH_SIZE);
    return blockstore_commit(store, f->genesis, &update, err);
}

/* A put (value given) or a delete of the pod `name`, on what the store has of it now. It claims as many
 * milli-CPUs of its node as its value says. */
static inline struct tx *store_fixture_pod(struct tx_fixture *f, struct blockstore *store, const char *name,
                                           const char *value, const uint8_t *original)
{
    struct resource_key key = tx_fixture_key_of("pods", "default", name);
    struct state_snapshot *snapshot = blockstore_ops()->snapshot_begin(store);
    struct state_object old;
    bool exists = !blockstore_ops()->get(snapshot, &key, &old, NULL);
    struct tx *tx = tx_fixture_new(f, !value ? "delete" : exists ? "update" : "create");
    if (original)
        memcpy(tx->original, original, TX_ID_SIZE);
    if (exists)
        tx_fixture_input(tx, TX_INPUT_DIRECT, key, old.tx_id);
    blockstore_ops()->snapshot_end(snapshot);
    struct tx_index_term term = {"owner", "uid-of-owner"};
    struct tx_output output = {.op = value ? TX_OUTPUT_PUT : TX_OUTPUT_DELETE, .key = key, .uid = "uid-1"};
    if (value) {
        output.encoding = TX_CONTENT_PLAIN;
        output.content = (const uint8_t *)value;
        output.content_len = strlen(value);
        output.terms = &term;
        output.term_count = 1;
        output.claim = (struct tx_claim){"node-1", atoi(value), 1, 1};
    }
    tx_add_output(tx, &output);
    tx_fixture_sign(f, tx);
    return tx;
}

static inline void store_fixture_objects(struct buf *out, struct state_iter *iter)
{
    struct state_object object;
    while (blockstore_ops()->iter_next(iter, &object)) {
        char id[2 * TX_ID_SIZE + 1];
        hex_encode(id, object.tx_id, TX_ID_SIZE);
        buf_printf(out, "%s %llu %.16s %.*s\n", object.key.name, (unsigned long long)object.rv, id,
                   (int)object.content_len, object.content);
    }
    blockstore_ops()->iter_end(iter);
}

/* All that a store shows of its state, as one text; the state hash is checked. */
static inline void store_fixture_dump(struct buf *out, struct blockstore *store)
{
    const struct state_store_ops *ops = blockstore_ops();
    struct blockstore_head head;
    struct err err;
    uint8_t digest[HASH_SIZE];
    int rc = blockstore_head(store, &head, &err);
    assert(!rc);
    (void)rc;
    lthash_digest(digest, &head.state_hash);
    assert(!memcmp(digest, head.header.state_digest, HASH_SIZE));
    struct state_snapshot *snapshot = ops->snapshot_begin(store);
    struct tx_claim claim;
    ops->claimed(snapshot, "node-1", &claim, NULL);
    buf_clear(out);
    buf_printf(out, "%llu %llu claimed %lld/%lld\n", (unsigned long long)head.header.height,
               (unsigned long long)ops->snapshot_rv(snapshot), (long long)claim.cpu_milli,
               (long long)claim.pods);
    store_fixture_objects(out, ops->iter_begin(snapshot, "", 0, NULL, 0));
    store_fixture_objects(out, ops->iter_index(snapshot, "owner", "uid-of-owner"));
    ops->snapshot_end(snapshot);
}

#endif
