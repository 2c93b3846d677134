/*
 * Watch history, which is the chain itself: the blocks behind a position give the changes, and the direct
 * inputs of their transactions lead to what each change replaced.
 */
#include "ledger/ledger_internal.h"

#include "base/mem.h"
#include "state/entry.h"
#include "state/record.h"

#include <string.h>

/* A few decoded blocks, since neighbouring changes replace versions of the same few. */
#define BLOCKS_KEPT 8

struct history {
    struct ledger *ledger;
    struct block *kept[BLOCKS_KEPT];
    unsigned turn;
    struct buf undo; /* the record that the change at hand replaced, when the log may not have it */
};

static void history_free(struct history *history)
{
    for (size_t i = 0; i < BLOCKS_KEPT; i++)
        block_free(history->kept[i]);
    buf_free(&history->undo);
}

static int load_block(struct history *history, uint64_t height, const struct block **out, struct err *err)
{
    for (size_t i = 0; i < BLOCKS_KEPT; i++)
        if (history->kept[i] && history->kept[i]->header.height == height) {
            *out = history->kept[i];
            return 0;
        }
    struct block *block;
    int rc = blockstore_block_at(history->ledger->store, height, &block, err);
    if (rc == ERR_GONE)
        return err_set(err, ERR_EXPIRED, "the history behind this resourceVersion was pruned");
    if (rc < 0)
        return rc;
    unsigned slot = history->turn++ % BLOCKS_KEPT;
    block_free(history->kept[slot]);
    history->kept[slot] = block;
    *out = block;
    return 0;
}

/* The place among the outputs of a block where a transaction's begin. */
static uint32_t first_output(const struct block *block, uint32_t tx_index)
{
    uint32_t place = 0;
    for (uint32_t i = 0; i < tx_index; i++)
        place += (uint32_t)block->txs[i]->output_count;
    return place;
}

/* The version of key that a transaction made. */
static int version_of(struct history *history, const uint8_t tx_id[TX_ID_SIZE],
                      const struct resource_key *key, struct state_object *out, struct err *err)
{
    uint64_t height;
    uint32_t tx_index;
    const struct block *block = NULL;
    int rc = blockstore_height_of_tx(history->ledger->store, tx_id, &height, &tx_index, err);
    if (!rc)
        rc = load_block(history, height, &block, err);
    if (rc)
        return rc;
    if (tx_index >= block->header.tx_count)
        return err_set(err, ERR_CORRUPT, "the transaction index names no transaction of block %llu",
                       (unsigned long long)height);
    const struct tx *tx = block->txs[tx_index];
    for (size_t i = tx->output_count; i-- > 0;)
        if (!key_compare(&tx->outputs[i].key, key)) {
            uint32_t place = first_output(block, tx_index) + (uint32_t)i;
            state_object_of_output(out, tx, i, block_rv(block->header.time_us, place));
            return 0;
        }
    return err_set(err, ERR_CORRUPT, "an input names a transaction that does not have the object");
}

static const struct tx_input *direct_input(const struct tx *tx, const struct resource_key *key)
{
    for (size_t i = 0; i < tx->input_count; i++)
        if (tx->inputs[i].kind == TX_INPUT_DIRECT && !key_compare(&tx->inputs[i].key, key))
            return &tx->inputs[i];
    return NULL;
}

/* What a change at rv replaced: kept beside the state where the log may have lost it. */
static int replaced_by(struct history *history, const struct tx_input *input, uint64_t rv,
                       struct state_object *out, struct err *err)
{
    int rc = blockstore_undo_at(history->ledger->store, rv, &history->undo, err);
    if (rc == ERR_NOT_FOUND)
        return version_of(history, input->tx_id, &input->key, out, err);
    if (!rc && !state_record_decode(out, history->undo.data, history->undo.len))
        rc = err_set(err, ERR_CORRUPT, "a replaced version is damaged in the state store");
    return rc;
}

/* As state_view_apply makes it, for an output of a block in the log. */
static int change_of_output(struct history *history, const struct tx *tx, size_t index, uint64_t rv,
                            struct state_change *out, struct err *err)
{
    memset(out, 0, sizeof(*out));
    const struct tx_output *o = &tx->outputs[index];
    const struct tx_input *input = direct_input(tx, &o->key);
    state_object_of_output(&out->object, tx, index, rv);
    if (input) {
        int rc = replaced_by(history, input, rv, &out->old, err);
        if (rc < 0)
            return rc;
        out->has_old = true;
    }
    out->type = o->op == TX_OUTPUT_DELETE ? STATE_DELETED : input ? STATE_MODIFIED : STATE_ADDED;
    if (out->type != STATE_DELETED || !out->has_old)
        return 0;
    if (o->content_len) {
        out->object.claim = out->old.claim;
        out->object.terms = out->old.terms;
        out->object.terms_len = out->old.terms_len;
    } else {
        out->object = out->old;
        out->object.rv = rv;
        memcpy(out->object.tx_id, tx->id, TX_ID_SIZE);
    }
    return 0;
}

/* Delivers the changes of one block in (since, until]; *more says whether to go on. */
static int replay_block(struct history *history, uint64_t height, uint64_t since, uint64_t until,
                        ledger_change_fn fn, void *arg, bool *more, struct err *err)
{
    /* Not among the kept ones: it has to outlive what loading its inputs' blocks pushes out. */
    struct block *block;
    int rc = blockstore_block_at(history->ledger->store, height, &block, err);
    if (rc == ERR_GONE)
        return err_set(err, ERR_EXPIRED, "the history behind this resourceVersion was pruned");
    if (rc < 0)
        return rc;
    uint32_t place = 0;
    for (uint32_t t = 0; !rc && *more && t < block->header.tx_count; t++)
        for (size_t i = 0; !rc && *more && i < block->txs[t]->output_count; i++) {
            uint64_t rv = block_rv(block->header.time_us, place++);
            struct state_change change;
            *more = rv <= until;
            if (rv <= since || !*more)
                continue;
            rc = change_of_output(history, block->txs[t], i, rv, &change, err);
            if (!rc)
                *more = fn(arg, &change);
        }
    block_free(block);
    return rc;
}

/* Whether since is a position of this chain, and of its retained part; *height: of its block. */
static int find_position(struct ledger *ledger, uint64_t since, const struct block_header *head,
                         uint64_t *height, struct err *err)
{
    struct block_header header;
    int64_t time_us = block_time_of_rv(since);
    int rc = blockstore_height_at_time(ledger->store, time_us, height, err);
    if (!rc && *height > head->height)
        rc = ERR_NOT_FOUND;
    if (!rc)
        rc = blockstore_header_at(ledger->store, *height, &header, err);
    if (!rc && (header.time_us != time_us || since > block_head_rv(&header)))
        rc = ERR_NOT_FOUND;
    if (rc == ERR_NOT_FOUND)
        return err_set(err, ERR_EXPIRED, "resourceVersion %llu is no position of this chain",
                       (unsigned long long)since);
    if (!rc && *height < head->height && time_us < blockstore_horizon_us(ledger->store))
        return err_set(err, ERR_EXPIRED, "resourceVersion %llu is older than the retained history",
                       (unsigned long long)since);
    /* At the end of a block nothing of it is asked for, and its body may not be here: a store that was made
     * of a snapshot begins behind one. */
    if (!rc && since == block_head_rv(&header))
        ++*height;
    return rc;
}

/* Whether the chain was the same at two moments: from odd to even it is only that subscribers were told. */
static bool same_chain(uint64_t before, uint64_t after)
{
    return before == after || (before % 2 == 1 && after == before + 1);
}

int ledger_history(struct ledger *ledger, uint64_t since, uint64_t until, ledger_change_fn fn, void *arg,
                   struct err *err)
{
    struct blockstore_head head;
    uint64_t height;
    uint64_t branch = ledger_branch(ledger);
    int rc = blockstore_head(ledger->store, &head, err);
    if (!rc)
        rc = find_position(ledger, since, &head.header, &height, err);
    struct history history = {.ledger = ledger};
    bool more = true;
    for (; !rc && more && height <= head.header.height; height++)
        rc = replay_block(&history, height, since, until, fn, arg, &more, err);
    history_free(&history);
    /* What was read may be of two branches, and an error may come from that. */
    if (!same_chain(branch, ledger_branch(ledger)))
        return err_set(err, ERR_EXPIRED, "the chain was exchanged for another branch");
    return rc;
}

/* ---- positions ---- */

void ledger_note_abandoned(struct ledger *ledger, uint64_t after, uint64_t until)
{
    pthread_mutex_lock(&ledger->lock);
    ledger->abandoned[ledger->abandoned_count++ % ABANDONED_MAX] = (struct abandoned){after, until};
    pthread_mutex_unlock(&ledger->lock);
}

static bool is_abandoned(struct ledger *ledger, uint64_t rv)
{
    bool found = false;
    pthread_mutex_lock(&ledger->lock);
    for (size_t i = 0; i < ABANDONED_MAX && i < ledger->abandoned_count; i++)
        found |= rv > ledger->abandoned[i].after && rv <= ledger->abandoned[i].until;
    pthread_mutex_unlock(&ledger->lock);
    return found;
}

enum ledger_position ledger_position(struct ledger *ledger, uint64_t rv)
{
    struct err err;
    struct blockstore_head head;
    uint64_t height;
    if (blockstore_head(ledger->store, &head, &err))
        return LEDGER_POSITION_OLD;
    if (rv > block_head_rv(&head.header))
        return is_abandoned(ledger, rv) ? LEDGER_POSITION_ABANDONED : LEDGER_POSITION_AHEAD;
    if (!find_position(ledger, rv, &head.header, &height, &err))
        return LEDGER_POSITION_KNOWN;
    return block_time_of_rv(rv) < blockstore_horizon_us(ledger->store) ? LEDGER_POSITION_OLD
                                                                       : LEDGER_POSITION_ABANDONED;
}
