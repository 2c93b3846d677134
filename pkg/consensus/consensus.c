/*
 * See consensus.h. At most one block is on its way to the disk; while it is, transactions gather in the
 * pending changes, and its snapshot, view and batch are kept, for the update points into them. What is done
 * with is freed at the beginning of the next step, since the answers point into it.
 */
#include "consensus/consensus.h"

#include "base/mem.h"
#include "factory/factory.h"
#include "pending/pending.h"
#include "validator/rbac_policy.h"
#include "validator/validator.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* A block from its making until its answers have been given. */
struct flight {
    struct state_snapshot *snapshot;
    struct state_view *view;
    struct validator *validator;
    struct factory_batch batch; /* of an own block; of a received one only the block */
    struct consensus_persist persist;
};

struct consensus {
    struct validator_chain chain;
    uint8_t validator_keys[1][TX_KEY_SIZE];
    struct block_header head;
    struct lthash state_hash;
    struct rbac_policy *policy;
    const struct state_store_ops *ops;
    void *store;
    uint8_t secret_key[64];
    struct pending *pending;
    struct flight *flight;   /* being persisted */
    struct flight *finished; /* freed at the next step */
    struct consensus_answer *answers;
    size_t answer_count, answer_cap;
    char *message; /* of an answer that has no batch; freed at the next step */
};

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

static void flight_free(struct consensus *c, struct flight *f)
{
    if (!f)
        return;
    flight_unload(c, f);
    factory_batch_free(&f->batch);
    free(f);
}

int consensus_new(struct consensus **out, const struct consensus_options *options, struct err *err)
{
    *out = NULL;
    const struct block_header *genesis = options->genesis;
    if (genesis->height != 0 || genesis->tx_count != 0)
        return err_set(err, ERR_CORRUPT, "the chain does not begin with a genesis");
    struct consensus *c = mem_zalloc(sizeof(*c));
    memcpy(c->chain.id, genesis->hash, HASH_SIZE);
    memcpy(c->validator_keys[0], genesis->producer, TX_KEY_SIZE);
    c->chain.keys = (const uint8_t(*)[TX_KEY_SIZE])c->validator_keys;
    c->chain.key_count = 1;
    c->head = *options->head;
    c->state_hash = *options->state_hash;
    c->ops = options->store_ops;
    c->store = options->store;
    memcpy(c->secret_key, options->secret_key, sizeof(c->secret_key));
    c->pending = pending_new();
    struct state_snapshot *snapshot = c->ops->snapshot_begin(c->store);
    c->policy = rbac_policy_load(c->ops, snapshot);
    c->ops->snapshot_end(snapshot);
    uint8_t digest[HASH_SIZE];
    lthash_digest(digest, &c->state_hash);
    if (memcmp(digest, c->head.state_digest, HASH_SIZE) != 0) {
        consensus_free(c);
        return err_set(err, ERR_CORRUPT, "the state hash is not that of the head block");
    }
    *out = c;
    return 0;
}

void consensus_free(struct consensus *c)
{
    if (!c)
        return;
    flight_free(c, c->flight);
    flight_free(c, c->finished);
    pending_free(c->pending);
    rbac_policy_release(c->policy);
    explicit_bzero(c->secret_key, sizeof(c->secret_key));
    free(c->answers);
    free(c->message);
    free(c);
}

static struct consensus_answer *answer_add(struct consensus *c, void *token, const uint8_t tx_id[TX_ID_SIZE])
{
    if (c->answer_count == c->answer_cap) {
        c->answer_cap = c->answer_cap ? 2 * c->answer_cap : 64;
        c->answers = mem_reallocarray(c->answers, c->answer_cap, sizeof(*c->answers));
    }
    struct consensus_answer *answer = &c->answers[c->answer_count++];
    *answer = (struct consensus_answer){.token = token, .message = ""};
    memcpy(answer->tx_id, tx_id, TX_ID_SIZE);
    return answer;
}

static int step_submit(struct consensus *c, const struct consensus_event *event)
{
    struct err err;
    int rc = pending_add(c->pending, event->tx, event->token, &err);
    if (!rc)
        return 0;
    struct consensus_answer *answer = answer_add(c, event->token, event->tx->id);
    answer->code = rc;
    answer->message = c->message = mem_strdup(err.message);
    tx_free(event->tx);
    return 0;
}

static void included_answer(struct consensus_answer *answer, const struct block_header *header,
                            uint32_t first_output)
{
    answer->height = header->height;
    answer->rv = block_rv(header->time_us, first_output);
}

/* The answers of a batch whose block, if it has one, is the durable head. */
static void batch_answer(struct consensus *c, const struct factory_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        const struct factory_item *item = &batch->items[i];
        struct consensus_answer *answer = answer_add(c, item->token, item->tx_id);
        if (item->code) {
            answer->code = item->code;
            answer->message = item->message;
        } else {
            included_answer(answer, &c->head, item->first_output);
        }
    }
}

static struct flight *flight_begin(struct consensus *c, int64_t time_us)
{
    struct flight *f = mem_zalloc(sizeof(*f));
    f->snapshot = c->ops->snapshot_begin(c->store);
    f->view = state_view_new(c->ops, f->snapshot, &c->state_hash);
    state_view_begin(f->view, time_us);
    f->validator = validator_new(&c->chain, f->view, c->policy);
    return f;
}

static void flight_depart(struct consensus *c, struct flight *f, struct consensus_update *out)
{
    f->persist.block = f->batch.block;
    state_view_update(f->view, &f->batch.block->header, &f->persist.state);
    c->flight = f;
    out->persist = &f->persist;
}

/* A block's time is that of the clock, unless this stands still or has run backwards. */
static int64_t time_after(const struct block_header *head, int64_t now_us)
{
    return now_us > head->time_us ? now_us : head->time_us + 1;
}

static int step_tick(struct consensus *c, const struct consensus_event *event, struct consensus_update *out,
                     struct err *err)
{
    if (c->flight || pending_count(c->pending) == 0)
        return 0;
    int64_t time_us = time_after(&c->head, event->now_us);
    struct flight *f = flight_begin(c, time_us);
    int rc =
        factory_build(&f->batch, c->pending, f->validator, f->view, &c->head, time_us, c->secret_key, err);
    if (rc || !f->batch.block) {
        batch_answer(c, &f->batch);
        flight_unload(c, f);
        c->finished = f;
        return rc;
    }
    flight_depart(c, f, out);
    return 0;
}

/* Transactions of a received block that wait here too are included by it. */
static void received_answer(struct consensus *c, const struct block *block)
{
    uint32_t output = 0;
    for (uint32_t i = 0; i < block->header.tx_count; i++) {
        struct pending_item item;
        if (pending_remove(c->pending, block->txs[i]->id, &item)) {
            included_answer(answer_add(c, item.token, item.tx->id), &block->header, output);
            tx_free(item.tx);
        }
        output += (uint32_t)block->txs[i]->output_count;
    }
}

/* Ends the flight of the block that the event is about. NULL with err set when that is not on its way. */
static struct flight *flight_land(struct consensus *c, const struct consensus_event *event, struct err *err)
{
    struct flight *f = c->flight;
    if (!f || f->persist.block->header.height != event->height) {
        err_set(err, ERR_INTERNAL, "block %llu was not being persisted", (unsigned long long)event->height);
        return NULL;
    }
    c->flight = NULL;
    c->finished = f;
    return f;
}

static int step_persisted(struct consensus *c, const struct consensus_event *event, struct err *err)
{
    struct flight *f = flight_land(c, event, err);
    if (!f)
        return ERR_INTERNAL;
    c->head = f->persist.block->header;
    c->state_hash = *f->persist.state.hash;
    struct rbac_policy *policy = rbac_policy_retain(validator_policy(f->validator));
    rbac_policy_release(c->policy);
    c->policy = policy;
    batch_answer(c, &f->batch);
    if (f->batch.count == 0)
        received_answer(c, f->persist.block);
    flight_unload(c, f);
    return 0;
}

/* Nothing of the block came to be, so its rejections, too, were measured against something that is not there.
 */
static int step_persist_failed(struct consensus *c, const struct consensus_event *event, struct err *err)
{
    struct flight *f = flight_land(c, event, err);
    if (!f)
        return ERR_INTERNAL;
    for (size_t i = 0; i < f->batch.count; i++) {
        struct consensus_answer *answer = answer_add(c, f->batch.items[i].token, f->batch.items[i].tx_id);
        answer->code = ERR_UNAVAILABLE;
        answer->message = "the disk is full or failed: nothing was written";
    }
    flight_unload(c, f);
    return 0;
}

static int step_received(struct consensus *c, const struct consensus_event *event,
                         struct consensus_update *out, struct err *err)
{
    const struct block *block = event->block;
    if (c->flight)
        return err_set(err, ERR_UNAVAILABLE, "a block is being persisted");
    struct flight *f = flight_begin(c, block->header.time_us);
    int rc = block_decode(&f->batch.block, block->encoded, block->encoded_len, err);
    if (!rc)
        rc = validator_check_block(f->validator, &c->head, f->batch.block, err);
    if (rc) {
        flight_free(c, f);
        return rc;
    }
    flight_depart(c, f, out);
    return 0;
}

int consensus_step(struct consensus *c, const struct consensus_event *event, struct consensus_update *out,
                   struct err *err)
{
    flight_free(c, c->finished);
    c->finished = NULL;
    free(c->message);
    c->message = NULL;
    c->answer_count = 0;
    *out = (struct consensus_update){0};
    int rc = 0;
    switch (event->type) {
    case CONSENSUS_SUBMIT:
        rc = step_submit(c, event);
        break;
    case CONSENSUS_TICK:
        rc = step_tick(c, event, out, err);
        break;
    case CONSENSUS_PERSISTED:
        rc = step_persisted(c, event, err);
        break;
    case CONSENSUS_PERSIST_FAILED:
        rc = step_persist_failed(c, event, err);
        break;
    case CONSENSUS_RECEIVED:
        rc = step_received(c, event, out, err);
        break;
    }
    out->answers = c->answers;
    out->answer_count = c->answer_count;
    return rc;
}

size_t consensus_pending(const struct consensus *c)
{
    return pending_count(c->pending);
}

bool consensus_is_persisting(const struct consensus *c)
{
    return c->flight != NULL;
}

const struct block_header *consensus_head(const struct consensus *c)
{
    return &c->head;
}

struct rbac_policy *consensus_policy(struct consensus *c)
{
    return c->policy;
}
