/*
 * Whose turn it is to make blocks, how a slot is handed over, and the making of a block. See
 * consensus_internal.h; docs/consensus.md tells why it is so.
 */
#include "consensus/consensus_internal.h"

#include <string.h>

/* ---- turns ---- */

static uint64_t slot_now(const struct consensus *c)
{
    return roles_slot(&c->settings.roles, c->now_us);
}

/* Those who make blocks, shuffled for the slot. Who is still joining may be far behind, and comes last: for a
 * part of the network in which there is nobody else. */
static void order_make(struct consensus *c, uint64_t slot)
{
    if (c->order_valid && c->order_slot == slot)
        return;
    uint32_t places[REGISTRY_MAX], order[REGISTRY_MAX], n = 0;
    for (size_t i = 0; i < c->registry_count; i++)
        if (c->registry[i].phase != REGISTRY_JOINING)
            places[n++] = node_find(c, c->registry[i].key);
    if (c->registry_count == 0)
        places[n++] = node_find(c, c->genesis.producer);
    roles_order(order, n, c->seed.seed, slot);
    for (uint32_t i = 0; i < n; i++)
        c->order[i] = places[order[i]];
    for (size_t i = 0; i < c->registry_count; i++)
        if (c->registry[i].phase == REGISTRY_JOINING)
            c->order[n++] = node_find(c, c->registry[i].key);
    c->order_count = n;
    c->order_slot = slot;
    c->order_valid = true;
}

static bool is_ordered(const struct consensus *c, uint32_t node)
{
    for (uint32_t i = 0; i < c->order_count; i++)
        if (c->order[i] == node)
            return true;
    return false;
}

/* Turned about in the middle of a slot, the order could put somebody first who has yielded the slot to
 * another, and each would take the other for the producer. Who is new comes last until the next slot. */
void order_reload(struct consensus *c)
{
    uint32_t kept = 0;
    order_make(c, roles_slot(&c->settings.roles, c->head.time_us));
    registry_reload(c);
    for (uint32_t i = 0; i < c->order_count; i++)
        if (c->order[i] != NO_NODE && node_is_registered(c, c->order[i]))
            c->order[kept++] = c->order[i];
    c->order_count = kept;
    for (size_t i = 0; i < c->registry_count; i++) {
        uint32_t node = node_find(c, c->registry[i].key);
        if (!is_ordered(c, node))
            c->order[c->order_count++] = node;
    }
    c->order_valid = c->order_count > 0;
}

/* The first in the slot's order who is ready; when nobody is, the first who is live. */
uint32_t producer_of(struct consensus *c, uint64_t slot)
{
    if (c->alone)
        return c->self;
    if (c->yielded_slot >= slot && c->yielded_slot > 0 && node_is_ready(c, c->yielded_to))
        return c->yielded_to;
    order_make(c, slot);
    for (uint32_t i = 0; i < c->order_count; i++)
        if (c->order[i] != NO_NODE && node_is_ready(c, c->order[i]))
            return c->order[i];
    for (uint32_t i = 0; i < c->order_count; i++)
        if (c->order[i] != NO_NODE && node_is_live(c, c->order[i]))
            return c->order[i];
    return NO_NODE;
}

/* How many live ones are before this node; NO_NODE when it makes no blocks. */
static uint32_t turn_of_self(struct consensus *c, uint64_t slot)
{
    uint32_t before = 0;
    order_make(c, slot);
    for (uint32_t i = 0; i < c->order_count; i++) {
        if (c->order[i] == c->self)
            return before || producer_of(c, slot) == c->self ? before : 1;
        before += c->order[i] != NO_NODE && node_is_ready(c, c->order[i]);
    }
    return NO_NODE;
}

void producer_update(struct consensus *c)
{
    uint32_t producer = producer_of(c, slot_now(c));
    if (producer == c->producer)
        return;
    c->forward_due = true;
    c->producer = producer;
    if (producer == c->self)
        passed_recall(c);
}

/* ---- hand-over ---- */

static bool handover_is_here(const struct consensus *c)
{
    return c->handover_known && chain_has(c, c->handover_height, c->handover);
}

/* The producer of a slot goes on where the one before stopped, when that one is still at work. */
static int64_t grant_at(struct consensus *c, uint64_t slot)
{
    uint32_t last = node_find(c, c->head.producer);
    if (c->granted_slot == slot)
        return c->now_us;
    bool at_work =
        last != NO_NODE && last != c->self && c->nodes[last].up && c->now_us - c->head.time_us < RECENT_US;
    if (c->taken_slot != slot && at_work) {
        struct message take = {.type = MESSAGE_TAKE, .slot = slot};
        c->taken_slot = slot;
        c->take_until_us = c->now_us + c->settings.turn_us;
        c->handover_known = false;
        out_send(c, last, &take);
    }
    if (at_work && c->now_us < c->take_until_us && !handover_is_here(c))
        return c->take_until_us;
    c->granted_slot = slot;
    return c->now_us;
}

static void handover_answer(struct consensus *c, uint32_t to, uint64_t slot)
{
    struct message message = {.type = MESSAGE_HANDOVER, .slot = slot, .height = c->head.height};
    memcpy(message.hash, c->head.hash, HASH_SIZE);
    out_send(c, to, &message);
}

void handover_send(struct consensus *c)
{
    if (c->handover_slot)
        handover_answer(c, c->handover_to, c->handover_slot);
    c->handover_slot = 0;
}

void receive_take(struct consensus *c, uint32_t from, const struct message *message)
{
    uint64_t slot = message->slot, now = slot_now(c);
    if (slot < now || slot > now + 2 || slot <= c->yielded_slot)
        return;
    order_make(c, slot);
    uint32_t i = 0;
    while (i < c->order_count && c->order[i] != from &&
           (c->order[i] == NO_NODE || !node_is_ready(c, c->order[i])))
        i++;
    if (i == c->order_count || c->order[i] != from)
        return;
    c->yielded_slot = slot;
    c->yielded_to = from;
    c->handover_to = from;
    c->handover_slot = slot;
    bool own_flight = c->flight && c->flight->from == NO_NODE && c->flight->persist.block;
    if (!own_flight)
        handover_send(c);
    producer_update(c);
}

void receive_handover(struct consensus *c, uint32_t from, const struct message *message)
{
    if (message->slot == c->taken_slot && !c->handover_known) {
        c->handover_known = true;
        c->handover_height = message->height;
        memcpy(c->handover, message->hash, HASH_SIZE);
    }
    sync_note_have(c, from, message->height, message->hash, false);
    answers_release(c);
}

/* ---- making a block ---- */

static int64_t oldest_own_since(struct consensus *c)
{
    size_t place = 0;
    const struct pending_item *item;
    while ((item = pending_next(c->pending, &place)))
        if (item->from == 0)
            return item->since_us;
    return INT64_MAX;
}

/* While the last block is on its way to another disk, transactions gather for the next one: nobody is
 * answered before that anyway, and a block costs every node much the same, however much is in it. */
static int64_t batch_at(const struct consensus *c)
{
    uint32_t last = node_find(c, c->head.producer);
    if (last != c->self || answers_safe_height(c) >= c->head.height)
        return c->now_us;
    int64_t at = c->head.time_us + BATCH_US;
    return at > c->now_us && at <= c->now_us + BATCH_US ? at : c->now_us;
}

int64_t produce_at(struct consensus *c)
{
    if (c->flight || pending_count(c->pending) == 0)
        return INT64_MAX;
    if (c->alone)
        return c->now_us;
    if (c->switching || c->now_us < c->retry_us)
        return c->now_us < c->retry_us ? c->retry_us : INT64_MAX;
    uint64_t slot = slot_now(c);
    uint32_t turn = turn_of_self(c, slot);
    if (turn == NO_NODE)
        return INT64_MAX;
    if (sync_is_behind(c, 0))
        return c->now_us + ASK_LATER_US;
    if (turn == 0) {
        int64_t granted = grant_at(c, slot), batch = batch_at(c);
        return granted > batch ? granted : batch;
    }
    int64_t since = oldest_own_since(c);
    if (since == INT64_MAX)
        return INT64_MAX;
    int64_t at = since + (int64_t)turn * c->settings.turn_us;
    return at > c->now_us ? at : c->now_us;
}

/* A block's time is that of the clock, unless this stands still or has run backwards. Its number is the
 * microsecond in its slot, so that after a restart, too, no two blocks of a producer have the same place. */
static struct factory_place place_next(struct consensus *c)
{
    const struct roles_settings *roles = &c->settings.roles;
    struct factory_place place = {.time_us = c->now_us > c->head.time_us ? c->now_us : c->head.time_us + 1};
    place.slot = roles_slot(roles, place.time_us);
    place.number = (uint32_t)(place.time_us - roles_slot_start_us(roles, place.slot));
    if (place.slot == c->made_slot && place.number <= c->made_number)
        place.number = c->made_number + 1;
    c->made_slot = place.slot;
    c->made_number = place.number;
    return place;
}

/* Whose turn it was, and who let it pass though transactions waited, is passed over for a while, so that it
 * costs a turn once and not in each of its slots. A block of its own brings it back. */
static void silence_note(struct consensus *c)
{
    uint64_t slot = slot_now(c);
    for (uint32_t i = 0; !c->alone && i < c->order_count && c->order[i] != c->self; i++) {
        uint32_t node = c->order[i];
        if (node != NO_NODE && node_is_ready(c, node) && c->yielded_slot < slot)
            c->nodes[node].silent_until_us = c->now_us + SILENT_US;
    }
}

static void block_send(struct consensus *c, struct block *block)
{
    struct message message = {.type = MESSAGE_BLOCK, .block = block};
    out_send(c, NO_NODE, &message);
}

int produce(struct consensus *c, struct err *err)
{
    if (produce_at(c) > c->now_us)
        return 0;
    silence_note(c);
    struct factory_place place = place_next(c);
    struct flight *f = flight_begin(c, place.time_us);
    int rc =
        factory_build(&f->batch, c->pending, f->validator, f->view, &c->head, &place, c->secret_key, err);
    if (rc || !f->batch.block) {
        flight_abandon(c, f);
        return rc;
    }
    block_send(c, f->batch.block);
    flight_depart_block(c, f);
    return 0;
}
