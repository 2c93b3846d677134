/*
 * A block laid over a snapshot: see state.h.
 *
 * Every object that was looked at has a slot, found by its key bytes; the slot says what is there at this
 * point of the block, be it from the store or from an earlier transaction of the block. So the store is asked
 * at most once for each object of a block, and a parent that a thousand creates name is read once.
 */
#include "state/entry.h"
#include "state/state.h"

#include "base/mem.h"
#include "chain/arena.h"
#include "chain/bytemap.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct slot {
    bool present;
    struct state_object object;
};

struct total {
    const char *node;
    struct tx_claim sum;
    struct tx_claim before;
    bool changed;
};

struct state_view {
    const struct state_store_ops *ops;
    struct state_snapshot *snapshot;
    struct lthash base_hash;
    struct lthash hash;
    int64_t time_us;
    uint32_t outputs;

    struct arena arena; /* slots and their key bytes, totals' names */
    struct bytemap slot_map;
    struct slot **slots;
    size_t slot_count, slot_cap;

    struct bytemap total_map;
    struct total *totals;
    size_t total_count, total_cap;
    struct state_claim_total *changed_totals; /* what state_view_update gives out */

    struct state_change *changes;
    size_t change_cap; /* outputs of them are in use */
};

struct state_view *state_view_new(const struct state_store_ops *ops, struct state_snapshot *snapshot,
                                  const struct lthash *hash)
{
    struct state_view *view = mem_zalloc(sizeof(*view));
    view->ops = ops;
    view->snapshot = snapshot;
    view->base_hash = *hash;
    view->hash = *hash;
    return view;
}

void state_view_free(struct state_view *view)
{
    if (!view)
        return;
    arena_free(&view->arena);
    bytemap_free(&view->slot_map);
    bytemap_free(&view->total_map);
    free(view->slots);
    free(view->totals);
    free(view->changed_totals);
    free(view->changes);
    free(view);
}

void state_view_begin(struct state_view *view, int64_t time_us)
{
    assert(view->outputs == 0 && time_us > 0);
    view->time_us = time_us;
}

void state_view_rollback(struct state_view *view)
{
    bytemap_clear(&view->slot_map);
    bytemap_clear(&view->total_map);
    arena_free(&view->arena);
    view->slot_count = 0;
    view->total_count = 0;
    view->outputs = 0;
    view->hash = view->base_hash;
}

/* The slot of a key, filled from the store when it is new. NULL with err on an error of the store. */
static struct slot *slot_get(struct state_view *view, const struct resource_key *key, struct err *err)
{
    buf_auto struct buf bytes = BUF_INIT;
    key_encode(&bytes, key);
    uint32_t index = bytemap_get(&view->slot_map, bytes.data, bytes.len);
    if (index != BYTEMAP_NONE)
        return view->slots[index];
    struct slot *slot = arena_zalloc(&view->arena, sizeof(*slot));
    int rc = view->ops->get(view->snapshot, key, &slot->object, err);
    if (rc && rc != ERR_NOT_FOUND)
        return NULL;
    slot->present = rc == 0;
    if (view->slot_count == view->slot_cap) {
        view->slot_cap = view->slot_cap ? 2 * view->slot_cap : 64;
        view->slots = mem_reallocarray(view->slots, view->slot_cap, sizeof(struct slot *));
    }
    void *kept = arena_dup(&view->arena, bytes.data, bytes.len);
    bytemap_set(&view->slot_map, kept, bytes.len, (uint32_t)view->slot_count);
    view->slots[view->slot_count++] = slot;
    return slot;
}

int state_view_get(struct state_view *view, const struct resource_key *key, struct state_object *out,
                   struct err *err)
{
    struct slot *slot = slot_get(view, key, err);
    if (!slot)
        return err ? err->code : ERR_INTERNAL;
    if (!slot->present)
        return ERR_NOT_FOUND;
    *out = slot->object;
    return 0;
}

static struct total *total_get(struct state_view *view, const char *node, struct err *err)
{
    size_t len = strlen(node);
    uint32_t index = bytemap_get(&view->total_map, node, len);
    if (index != BYTEMAP_NONE)
        return &view->totals[index];
    struct tx_claim sum = {0};
    if (view->ops->claimed(view->snapshot, node, &sum, err))
        return NULL;
    if (view->total_count == view->total_cap) {
        view->total_cap = view->total_cap ? 2 * view->total_cap : 16;
        view->totals = mem_reallocarray(view->totals, view->total_cap, sizeof(*view->totals));
    }
    struct total *total = &view->totals[view->total_count];
    *total = (struct total){.node = arena_strdup(&view->arena, node), .sum = sum};
    total->sum.node = total->node;
    total->before = total->sum;
    bytemap_set(&view->total_map, total->node, len, (uint32_t)view->total_count++);
    return total;
}

int state_view_claimed(struct state_view *view, const char *node, struct tx_claim *out, struct err *err)
{
    struct total *total = total_get(view, node, err);
    if (!total)
        return err ? err->code : ERR_INTERNAL;
    *out = total->sum;
    return 0;
}

bool state_view_find_tx(struct state_view *view, const uint8_t tx_id[TX_ID_SIZE], uint64_t *height)
{
    return view->ops->find_tx && view->ops->find_tx(view->snapshot, tx_id, height);
}

/* A node's own claim says what it has, not what is taken of it. */
static bool claims(const struct state_object *object)
{
    return object->claim.node && !(strcmp(object->key.resource, "nodes") == 0 && !*object->key.group);
}

static int total_change(struct state_view *view, const struct state_object *object, int sign, struct err *err)
{
    if (!claims(object))
        return 0;
    struct total *total = total_get(view, object->claim.node, err);
    if (!total)
        return err ? err->code : ERR_INTERNAL;
    total->sum.cpu_milli += sign * object->claim.cpu_milli;
    total->sum.memory_bytes += sign * object->claim.memory_bytes;
    total->sum.pods += sign * object->claim.pods;
    total->changed = true;
    return 0;
}

/* A deletion shows the last content, with the place of the deletion, to those who watch. */
static void deleted_make(struct state_object *out, const struct state_object *old)
{
    struct state_object made = *out;
    if (made.content_len) {
        out->claim = old->claim;
        out->terms = old->terms;
        out->terms_len = old->terms_len;
        return;
    }
    *out = *old;
    out->rv = made.rv;
    memcpy(out->tx_id, made.tx_id, TX_ID_SIZE);
}

static struct state_change *change_add(struct state_view *view)
{
    if (view->outputs == view->change_cap) {
        view->change_cap = view->change_cap ? 2 * view->change_cap : 64;
        view->changes = mem_reallocarray(view->changes, view->change_cap, sizeof(*view->changes));
    }
    struct state_change *change = &view->changes[view->outputs];
    memset(change, 0, sizeof(*change));
    return change;
}

static int output_apply(struct state_view *view, const struct tx *tx, size_t index, struct err *err)
{
    const struct tx_output *o = &tx->outputs[index];
    struct slot *slot = slot_get(view, &o->key, err);
    if (!slot)
        return err ? err->code : ERR_INTERNAL;
    struct state_change *change = change_add(view);
    change->has_old = slot->present;
    if (slot->present)
        change->old = slot->object;
    state_object_of_output(&change->object, tx, index, block_rv(view->time_us, view->outputs));
    int rc = 0;
    if (slot->present) {
        lthash_remove(&view->hash, slot->object.entry_hash);
        rc = total_change(view, &slot->object, -1, err);
    }
    if (o->op == TX_OUTPUT_DELETE) {
        if (!slot->present)
            return err_set(err, ERR_CORRUPT, "a transaction deletes what is not there");
        change->type = STATE_DELETED;
        deleted_make(&change->object, &slot->object);
        slot->present = false;
    } else {
        size_t len;
        const uint8_t *slice = tx_output_slice(tx, index, &len);
        state_entry_hash(change->object.entry_hash, change->object.rv, tx->id, slice, len);
        lthash_add(&view->hash, change->object.entry_hash);
        rc = rc ? rc : total_change(view, &change->object, 1, err);
        change->type = slot->present ? STATE_MODIFIED : STATE_ADDED;
        slot->present = true;
        slot->object = change->object;
    }
    view->outputs++;
    return rc;
}

int state_view_apply(struct state_view *view, const struct tx *tx, struct err *err)
{
    assert(view->time_us > 0);
    if (view->outputs + tx->output_count > BLOCK_OUTPUTS_MAX)
        return err_set(err, ERR_TOO_LARGE, "more than %d outputs in a block", BLOCK_OUTPUTS_MAX);
    for (size_t i = 0; i < tx->output_count; i++) {
        int rc = output_apply(view, tx, i, err);
        if (rc)
            return rc;
    }
    return 0;
}

uint32_t state_view_outputs(const struct state_view *view)
{
    return view->outputs;
}

void state_view_digest(const struct state_view *view, uint8_t out[HASH_SIZE])
{
    lthash_digest(out, &view->hash);
}

void state_view_update(struct state_view *view, const struct block_header *header, struct state_update *out)
{
    *out = (struct state_update){
        .height = header->height,
        .head_rv = block_head_rv(header),
        .changes = view->changes,
        .change_count = view->outputs,
        .hash = &view->hash,
    };
    memcpy(out->block_hash, header->hash, HASH_SIZE);
    view->changed_totals =
        mem_reallocarray(view->changed_totals, view->total_count + 1, sizeof(*view->changed_totals));
    for (size_t i = 0; i < view->total_count; i++)
        if (view->totals[i].changed)
            view->changed_totals[out->total_count++] =
                (struct state_claim_total){view->totals[i].node, view->totals[i].sum, view->totals[i].before};
    out->totals = view->changed_totals;
}

int state_view_apply_block(struct state_view *view, const struct block *block, struct err *err)
{
    state_view_begin(view, block->header.time_us);
    for (uint32_t i = 0; i < block->header.tx_count; i++) {
        int rc = state_view_apply(view, block->txs[i], err);
        if (rc)
            return rc;
    }
    uint8_t digest[HASH_SIZE];
    state_view_digest(view, digest);
    if (memcmp(digest, block->header.state_digest, HASH_SIZE) != 0)
        return err_set(err, ERR_CORRUPT, "block %llu does not lead to the state that its header names",
                       (unsigned long long)block->header.height);
    return 0;
}
