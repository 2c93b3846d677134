/* What is on its way to the disk, and the head that comes of it. See consensus_internal.h. */
#include "consensus/consensus_internal.h"

#include "base/mem.h"
#include "validator/rbac_policy.h"

#include <assert.h>
#include <string.h>

/* Lets go of everything but the messages of the batch: a node that falls idle keeps neither a block's memory
 * nor a snapshot, which would hold back the store's freeing of pages. */
static void flight_unload(struct consensus *c, struct flight *f)
{
    validator_free(f->validator);
    state_view_free(f->view);
    if (f->snapshot)
        c->ops->snapshot_end(f->snapshot);
    block_free(f->batch.block);
    f->validator = NULL;
    f->view = NULL;
    f->snapshot = NULL;
    f->batch.block = NULL;
}

void flight_free(struct consensus *c, struct flight *f)
{
    if (!f)
        return;
    flight_unload(c, f);
    factory_batch_free(&f->batch);
    buf_free(&f->record);
    free(f);
}

struct flight *flight_begin(struct consensus *c, int64_t time_us)
{
    struct flight *f = mem_zalloc(sizeof(*f));
    f->from = NO_NODE;
    f->snapshot = c->ops->snapshot_begin(c->store);
    f->view = state_view_new(c->ops, f->snapshot, &c->state_hash);
    state_view_begin(f->view, time_us);
    c->chain.height = c->head.height;
    f->validator = validator_new(&c->chain, f->view, c->policy);
    return f;
}

static void flight_depart(struct consensus *c, struct flight *f)
{
    c->flight = f;
    c->record_last = f->persist.type == CONSENSUS_PERSIST_RECORD;
    c->out->persist = &f->persist;
}

/* A block is final at once when its producer was the whole set: nobody else could object. */
static bool is_final_at_once(const struct consensus *c, const struct block *block)
{
    uint32_t sole = set_sole(c, c->head_set);
    return sole != NO_NODE && memcmp(c->nodes[sole].key, block->header.producer, TX_KEY_SIZE) == 0;
}

void flight_depart_block(struct consensus *c, struct flight *f)
{
    f->persist.type = CONSENSUS_PERSIST_BLOCK;
    f->persist.block = f->batch.block;
    f->persist.height = f->batch.block->header.height;
    f->persist.final = is_final_at_once(c, f->batch.block);
    state_view_update(f->view, &f->batch.block->header, &f->persist.state);
    flight_depart(c, f);
}

void flight_depart_record(struct consensus *c)
{
    struct flight *f = mem_zalloc(sizeof(*f));
    f->from = NO_NODE;
    record_encode(c, &f->record);
    f->persist.type = CONSENSUS_PERSIST_RECORD;
    f->persist.record = f->record.data;
    f->persist.record_len = f->record.len;
    c->record_due = false;
    flight_depart(c, f);
}

/* ---- rewinds ---- */

/* Who has not been answered yet waits on: the transaction is pending again. */
static void waiting_reclaim(struct consensus *c, const struct waiting *w)
{
    struct block *block = NULL;
    struct tx *tx = NULL;
    struct err err = {0};
    if (c->chain_ops->block_at(c->store, w->height, &block, &err) == 0)
        for (uint32_t i = 0; i < block->header.tx_count; i++)
            if (memcmp(block->txs[i]->id, w->tx_id, TX_ID_SIZE) == 0 &&
                tx_decode(&tx, block->txs[i]->encoded, block->txs[i]->encoded_len, &err) == 0)
                break;
    block_free(block);
    if (!tx) {
        answer_rejected(c, w->token, w->tx_id, ERR_UNAVAILABLE, err.message);
        return;
    }
    tx->trusted = true;
    struct pending_item item = {.tx = tx, .token = w->token, .since_us = c->now_us};
    if (pending_find(c->pending, tx->id))
        answer_alias(c, w->token, tx->id);
    else if (pending_add_item(c->pending, &item, &err) == 0)
        return;
    else
        answer_rejected(c, w->token, w->tx_id, ERR_UNAVAILABLE, err.message);
    tx_free(tx);
}

void flight_depart_rewind(struct consensus *c, uint64_t height)
{
    size_t kept = 0;
    for (size_t i = 0; i < c->waiting_count; i++) {
        struct waiting w = c->waiting[i];
        if (w.height > height)
            waiting_reclaim(c, &w);
        else
            c->waiting[kept++] = w;
    }
    c->waiting_count = kept;
    c->forward_due = true;
    struct flight *f = mem_zalloc(sizeof(*f));
    f->from = NO_NODE;
    f->persist.type = CONSENSUS_PERSIST_REWIND;
    f->persist.height = height;
    flight_depart(c, f);
}

static int rewound(struct consensus *c, struct err *err)
{
    int rc = c->chain_ops->head(c->store, &c->head, &c->state_hash, err);
    if (rc)
        return rc;
    struct state_snapshot *snapshot = c->ops->snapshot_begin(c->store);
    rbac_policy_release(c->policy);
    c->policy = rbac_policy_load(c->ops, snapshot);
    c->ops->snapshot_end(snapshot);
    registry_reload(c);
    c->head_stale = true;
    sync_rewound(c);
    return 0;
}

/* ---- landing ---- */

static void item_reject(struct consensus *c, const struct factory_item *item)
{
    if (item->from == 0) {
        if (!answer_if_in_chain(c, item->token, item->tx_id))
            answer_rejected(c, item->token, item->tx_id, item->code, item->message);
        return;
    }
    mem_auto char *text = mem_strndup(item->message ? item->message : "", MESSAGE_TEXT_MAX - 1);
    if (item->from != c->self + 1)
        reject_send(c, item->from - 1, item->tx_id, item->code, text);
}

/* The answers of a batch whose block, if it has one, is the durable head. */
static void batch_answer(struct consensus *c, const struct factory_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        const struct factory_item *item = &batch->items[i];
        if (item->code)
            item_reject(c, item);
        else if (item->from == 0)
            answer_included(c, item->token, item->tx_id, c->head.height,
                            block_rv(c->head.time_us, item->first_output));
    }
}

void flight_abandon(struct consensus *c, struct flight *f)
{
    batch_answer(c, &f->batch);
    flight_unload(c, f);
    c->finished = f;
}

static void included_by_other(struct consensus *c, const uint8_t tx_id[TX_ID_SIZE],
                              const struct block_header *header, uint32_t output)
{
    struct pending_item item;
    if (!pending_remove(c->pending, tx_id, &item))
        return;
    if (item.from == 0)
        answer_included(c, item.token, item.tx->id, header->height, block_rv(header->time_us, output));
    tx_free(item.tx);
}

/* Transactions that wait here are included by another's block, be it in a rebased form: nobody would take
 * the original any more, nor say so. */
static void received_answer(struct consensus *c, const struct block *block)
{
    uint32_t output = 0;
    for (uint32_t i = 0; i < block->header.tx_count; i++) {
        included_by_other(c, block->txs[i]->id, &block->header, output);
        included_by_other(c, block->txs[i]->original, &block->header, output);
        output += (uint32_t)block->txs[i]->output_count;
    }
}

/* The tree follows the head; a node that acts alone needs none. */
static void tree_follow(struct consensus *c, bool final_at_once)
{
    if (!final_at_once)
        tree_add_head(c);
    else if (c->tree)
        tree_final_at_once(c);
    c->may_vote |= final_at_once;
    if (!c->tree) {
        c->final_height = c->head.height;
        memcpy(c->final_hash, c->head.hash, HASH_SIZE);
    }
    if (!c->alone)
        tree_ensure(c);
    if (c->tree)
        votes_settle(c);
}

static void block_landed(struct consensus *c, struct flight *f)
{
    const struct block *block = f->persist.block;
    bool was_alone = c->alone;
    c->head = block->header;
    c->state_hash = *f->persist.state.hash;
    struct rbac_policy *policy = rbac_policy_retain(validator_policy(f->validator));
    rbac_policy_release(c->policy);
    c->policy = policy;
    if (block_changes_registry(block))
        order_reload(c);
    else
        c->used_us = c->head.time_us;
    tree_follow(c, f->persist.final);
    if (c->peers_up)
        sync_head_changed(c);
    batch_answer(c, &f->batch);
    if (f->from != NO_NODE)
        received_answer(c, block);
    if (was_alone && c->alone && !c->peers_up)
        return;
    sync_have(c, block);
    held_release(c);
    handover_send(c);
    answers_release(c);
}

/* Ends the flight. NULL with err set when nothing is on its way. */
static struct flight *flight_land(struct consensus *c, struct err *err)
{
    struct flight *f = c->flight;
    if (!f) {
        err_set(err, ERR_INTERNAL, "nothing was being persisted");
        return NULL;
    }
    c->flight = NULL;
    c->finished = f;
    return f;
}

int flight_persisted(struct consensus *c, struct err *err)
{
    struct flight *f = flight_land(c, err);
    if (!f)
        return ERR_INTERNAL;
    int rc = 0;
    switch (f->persist.type) {
    case CONSENSUS_PERSIST_BLOCK:
        block_landed(c, f);
        break;
    case CONSENSUS_PERSIST_REWIND:
        rc = rewound(c, err);
        break;
    case CONSENSUS_PERSIST_RECORD:
        votes_recorded(c);
        break;
    }
    flight_unload(c, f);
    return rc;
}

/* Nothing of an own block came to be, so its rejections, too, were measured against something that is not
 * there. What came from others, their nodes hand over again. */
static void own_block_failed(struct consensus *c, const struct factory_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        if (batch->items[i].from == 0)
            answer_rejected(c, batch->items[i].token, batch->items[i].tx_id, ERR_UNAVAILABLE,
                            "the disk is full or failed: nothing was written");
    handover_send(c);
}

int flight_failed(struct consensus *c, struct err *err)
{
    struct flight *f = flight_land(c, err);
    if (!f)
        return ERR_INTERNAL;
    if (f->persist.type == CONSENSUS_PERSIST_RECORD) {
        c->record_due = true;
        c->retry_us = c->now_us + RETRY_US;
    } else if (f->persist.type == CONSENSUS_PERSIST_REWIND) {
        c->retry_us = c->now_us + RETRY_US;
    } else if (f->from == NO_NODE) {
        own_block_failed(c, &f->batch);
    } else {
        body_put(c, f->batch.block, f->from);
        f->batch.block = NULL;
        c->head_stale = true;
        c->retry_us = c->now_us + RETRY_US;
    }
    flight_unload(c, f);
    return 0;
}
