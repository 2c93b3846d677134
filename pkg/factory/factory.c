/* See factory.h. */
#include "factory/factory.h"

#include "base/mem.h"
#include "chain/bytemap.h"
#include "chain/order.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct build {
    struct factory_batch *batch;
    struct validator *v;
    struct tx **txs; /* those that still may be included, in order */
    size_t count;
    struct bytemap items; /* id -> index in the batch */
};

static struct factory_item *item_of(const struct build *b, const struct tx *tx)
{
    uint32_t index = bytemap_get(&b->items, tx->id, TX_ID_SIZE);
    assert(index < b->batch->count);
    return &b->batch->items[index];
}

static void build_begin(struct build *b, const struct pending_item *taken, size_t count)
{
    b->batch->items = mem_calloc(count + 1, sizeof(*b->batch->items));
    b->batch->count = count;
    b->txs = mem_calloc(count + 1, sizeof(struct tx *));
    b->count = count;
    for (size_t i = 0; i < count; i++) {
        struct factory_item *item = &b->batch->items[i];
        item->token = taken[i].token;
        item->from = taken[i].from;
        item->tx = b->txs[i] = taken[i].tx;
        memcpy(item->tx_id, item->tx->id, TX_ID_SIZE);
        bytemap_set(&b->items, item->tx_id, TX_ID_SIZE, (uint32_t)i);
    }
}

/* Checks and applies in order; what does not hold is left out. Returns 0 or an error of the store. */
static int pass(struct build *b, bool *some_rejected, struct err *err)
{
    size_t kept = 0;
    uint32_t outputs = 0;
    *some_rejected = false;
    for (size_t i = 0; i < b->count; i++) {
        struct tx *tx = b->txs[i];
        struct err verdict;
        int rc = validator_check(b->v, tx, &verdict);
        struct factory_item *item = item_of(b, tx);
        if (rc && !validator_is_verdict(rc))
            return err_set(err, rc, "%s", verdict.message);
        if (rc) {
            *some_rejected = true;
            item->code = rc;
            item->message = mem_strdup(verdict.message);
            continue;
        }
        rc = validator_apply(b->v, tx, err);
        if (rc)
            return rc;
        item->first_output = outputs;
        outputs += (uint32_t)tx->output_count;
        b->txs[kept++] = tx;
    }
    b->count = kept;
    return 0;
}

/*
 * The order is that of the set in the block. A rejected transaction may have tied others into an order that
 * they do not have without it; then the rest is checked again in its own order. Each round takes at least one
 * out, so the rounds end; nearly always there is one.
 */
static int choose(struct build *b, struct err *err)
{
    order_txs(b->txs, b->count);
    for (;;) {
        bool some_rejected;
        int rc = pass(b, &some_rejected, err);
        if (rc || !some_rejected || order_is_canonical(b->txs, b->count))
            return rc;
        validator_restart(b->v);
        order_txs(b->txs, b->count);
    }
}

static void seal(struct build *b, struct state_view *view, const struct block_header *parent,
                 const struct factory_place *place, const uint8_t secret_key[64])
{
    for (size_t i = 0; i < b->count; i++)
        item_of(b, b->txs[i])->tx = NULL;
    struct block *block = block_new(b->txs, b->count);
    b->txs = NULL;
    block->header.height = parent->height + 1;
    memcpy(block->header.parent, parent->hash, HASH_SIZE);
    block->header.time_us = place->time_us;
    block->header.slot = place->slot;
    block->header.number = place->number;
    state_view_digest(view, block->header.state_digest);
    block_seal(block, secret_key);
    b->batch->block = block;
}

int factory_build(struct factory_batch *batch, struct pending *pending, struct validator *v,
                  struct state_view *view, const struct block_header *parent,
                  const struct factory_place *place, const uint8_t secret_key[64], struct err *err)
{
    *batch = (struct factory_batch){0};
    mem_auto struct pending_item *taken = NULL;
    size_t count = pending_take(pending, BLOCK_OUTPUTS_MAX, FACTORY_BYTES_MAX, &taken);
    struct build b = {.batch = batch, .v = v};
    build_begin(&b, taken, count);
    int rc = choose(&b, err);
    if (rc) {
        pending_put_back(pending, taken, count);
        for (size_t i = 0; i < count; i++)
            batch->items[i].tx = NULL;
        factory_batch_free(batch);
    } else if (b.count) {
        seal(&b, view, parent, place, secret_key);
    }
    free(b.txs);
    bytemap_free(&b.items);
    return rc;
}

void factory_batch_free(struct factory_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        tx_free(batch->items[i].tx);
        free(batch->items[i].message);
    }
    free(batch->items);
    block_free(batch->block);
    *batch = (struct factory_batch){0};
}
