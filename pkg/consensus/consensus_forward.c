/*
 * How transactions come to the producer, and its rejections back. See consensus_internal.h; docs/consensus.md
 * tells why it is so.
 */
#include "consensus/consensus_internal.h"

#include "base/mem.h"

#include <string.h>

#define NOT_REGISTERED "this node is no validator of the chain any more"

/* ---- what was passed on ---- */

/* Whom transactions were passed on to may have gone down before it had them, or have yielded its slot: their
 * nodes believed in this one first, and would wait. They are asked for, and not kept, so that nothing comes
 * back that its submitter was told to be refused. */
void passed_recall(struct consensus *c)
{
    for (uint32_t node = 0; c->passed_count && node < c->node_count; node++) {
        uint8_t ids[PASSED_MAX][TX_ID_SIZE];
        struct message message = {.type = MESSAGE_AGAIN, .hashes = ids};
        for (size_t i = 0; i < c->passed_count; i++)
            if (c->passed[i].origin == node)
                memcpy(ids[message.hash_count++], c->passed[i].tx_id, TX_ID_SIZE);
        if (message.hash_count)
            out_send(c, node, &message);
    }
    c->passed_count = c->passed_next = 0;
}

static void passed_note(struct consensus *c, uint32_t origin, const uint8_t tx_id[TX_ID_SIZE])
{
    struct passed *passed = &c->passed[c->passed_next];
    passed->origin = origin;
    memcpy(passed->tx_id, tx_id, TX_ID_SIZE);
    c->passed_next = (c->passed_next + 1) % PASSED_MAX;
    if (c->passed_count < PASSED_MAX)
        c->passed_count++;
}

/* ---- handing over ---- */

static bool is_forwarded(const struct consensus *c)
{
    return c->producer != c->self && c->producer != NO_NODE;
}

static void send_txs(struct consensus *c, uint32_t to, struct tx **txs, size_t count)
{
    struct message message = {.type = MESSAGE_TXS, .txs = txs, .tx_count = count};
    if (count)
        out_send(c, to, &message);
}

/* Marks it as sent; false: the producer has it. */
static bool forward_item(struct consensus *c, struct pending_item *item)
{
    if (item->sent_to == c->producer + 1 || item->from == c->producer + 1)
        return false;
    item->sent_to = c->producer + 1;
    return true;
}

/* What came just now goes at once; all that waits, when the producer is another one. */
static void forward_new(struct consensus *c, const uint8_t tx_id[TX_ID_SIZE])
{
    producer_update(c);
    struct pending_item *item = is_forwarded(c) ? pending_find(c->pending, tx_id) : NULL;
    if (item && forward_item(c, item))
        send_txs(c, c->producer, &item->tx, 1);
}

/* What came from others only the producer keeps: their nodes hand it over again when the producer changes.
 * Kept elsewhere, it could come back after its submitter was told that it was refused. */
static bool is_handed_on(void *arg, const struct pending_item *item)
{
    const struct consensus *c = arg;
    return item->from && item->from != c->self + 1;
}

void forward_pending(struct consensus *c)
{
    if (!c->forward_due)
        return;
    c->forward_due = false;
    if (!is_forwarded(c))
        return;
    struct tx *txs[MESSAGE_TXS_MAX];
    size_t place = 0, bytes = 0, count = 0;
    struct pending_item *item;
    while ((item = pending_next(c->pending, &place))) {
        if (!forward_item(c, item))
            continue;
        txs[count++] = item->tx;
        bytes += item->tx->encoded_len;
        if (bytes > FORWARD_BYTES_MAX || count == MESSAGE_TXS_MAX) {
            send_txs(c, c->producer, txs, count);
            c->forward_due = true;
            return;
        }
    }
    send_txs(c, c->producer, txs, count);
    pending_drop(c->pending, is_handed_on, c);
}

/* ---- taking ---- */

int step_submit(struct consensus *c, const struct consensus_event *event)
{
    struct err err;
    if (!c->alone && answer_if_in_chain(c, event->token, event->tx->id)) {
        tx_free(event->tx);
        return 0;
    }
    struct pending_item *same = pending_find(c->pending, event->tx->id);
    if (same && same->from == 0 && c->alias_count < PENDING_COUNT_MAX) {
        answer_alias(c, event->token, event->tx->id);
        tx_free(event->tx);
        return 0;
    }
    if (same) { /* another node had handed it over */
        same->from = 0;
        same->token = event->token;
        tx_free(event->tx);
        return 0;
    }
    struct pending_item item = {.tx = event->tx, .token = event->token, .since_us = c->now_us};
    int rc = c->waiting_count >= PENDING_COUNT_MAX
                 ? err_set(&err, ERR_TOO_MANY, "too many transactions are waiting for another node")
                 : pending_add_item(c->pending, &item, &err);
    if (rc) {
        answer_rejected(c, event->token, event->tx->id, rc, err.message);
        tx_free(event->tx);
    } else if (!c->alone) {
        c->forward_due |= event->more;
        if (!c->forward_due)
            forward_new(c, event->tx->id);
    }
    return 0;
}

void reject_send(struct consensus *c, uint32_t to, const uint8_t tx_id[TX_ID_SIZE], int code,
                 const char *text)
{
    struct message message = {
        .type = MESSAGE_REJECT, .height = c->head.height, .code = code, .text = (char *)text};
    memcpy(message.hash, c->head.hash, HASH_SIZE);
    memcpy(message.tx_id, tx_id, TX_ID_SIZE);
    out_send(c, to, &message);
}

/* Takes a transaction out of a message, or leaves it. True: it is for the producer, who is another one. */
static bool receive_tx(struct consensus *c, uint32_t from, struct tx **taken)
{
    struct tx *tx = *taken;
    uint64_t height;
    uint32_t index;
    struct pending_item *same = pending_find(c->pending, tx->id);
    bool from_origin = memcmp(tx->node_key, c->nodes[from].key, TX_KEY_SIZE) == 0;
    if (same) {
        if (same->from && from_origin)
            same->from = from + 1;
        return false;
    }
    if (c->chain_ops->place_of_tx(c->store, tx->id, &height, &index, NULL) == 0)
        return false;
    uint32_t signer = node_find(c, tx->node_key);
    if (signer == NO_NODE || !node_is_registered(c, signer)) {
        reject_send(c, from, tx->id, ERR_FORBIDDEN,
                    "the transaction is signed by no validator of this chain");
        return false;
    }
    /* Clocks differ, and so do views of who produces; but nothing goes round in circles. */
    if (c->producer != c->self)
        return from_origin && is_forwarded(c) && c->producer != from;
    struct pending_item item = {.tx = tx, .from = from + 1, .since_us = c->now_us};
    if (pending_add_item(c->pending, &item, NULL) == 0)
        *taken = NULL;
    return false;
}

void receive_txs(struct consensus *c, uint32_t from, struct message *message)
{
    struct tx *passed_on[MESSAGE_TXS_MAX];
    size_t count = 0;
    producer_update(c); /* who it was in the step before, which may be long ago, says nothing */
    for (size_t i = 0; i < message->tx_count; i++)
        if (receive_tx(c, from, &message->txs[i])) {
            passed_note(c, from, message->txs[i]->id);
            passed_on[count++] = message->txs[i];
        }
    send_txs(c, c->producer, passed_on, count);
}

void receive_again(struct consensus *c, uint32_t from, const struct message *message)
{
    for (size_t i = 0; i < message->hash_count; i++) {
        struct pending_item *item = pending_find(c->pending, message->hashes[i]);
        if (!item || item->sent_to != from + 1 || is_handed_on(c, item))
            continue;
        item->sent_to = 0;
        c->forward_due = true;
    }
}

/* ---- this node is no validator any more ---- */

static bool is_refused(void *arg, const struct pending_item *item)
{
    struct consensus *c = arg;
    if (item->from == 0 && !answer_if_in_chain(c, item->token, item->tx->id))
        answer_rejected(c, item->token, item->tx->id, ERR_FORBIDDEN, NOT_REGISTERED);
    return true;
}

/* It was one, so it is not on the way to become one: nobody will ever take its transactions. */
static bool is_removed(struct consensus *c)
{
    bool registered = node_is_registered(c, c->self);
    c->was_registered |= registered;
    return c->was_registered && !registered && !c->switching;
}

void pending_refuse(struct consensus *c)
{
    if (is_removed(c) && pending_count(c->pending))
        pending_drop(c->pending, is_refused, c);
}

/* ---- rejections by the producer ---- */

static void reject_now(struct consensus *c, const uint8_t tx_id[TX_ID_SIZE], int code, const char *text)
{
    struct pending_item item;
    if (!pending_remove(c->pending, tx_id, &item))
        return;
    if (item.from == 0) {
        if (!answer_if_in_chain(c, item.token, tx_id))
            answer_rejected(c, item.token, tx_id, code, text);
    } else if (item.from != c->self + 1) {
        reject_send(c, item.from - 1, tx_id, code, text);
    }
    tx_free(item.tx);
}

/* The submitter of what "already exists" can see what exists once the block is here. */
void receive_reject(struct consensus *c, uint32_t from, struct message *message)
{
    struct pending_item *item = pending_find(c->pending, message->tx_id);
    if (!item || item->sent_to != from + 1)
        return;
    if (chain_has(c, message->height, message->hash)) {
        reject_now(c, message->tx_id, message->code, message->text);
        return;
    }
    if (c->held_count == HELD_MAX)
        return;
    c->held = mem_reallocarray(c->held, c->held_count + 1, sizeof(*c->held));
    struct held *held = &c->held[c->held_count++];
    *held = (struct held){.code = message->code, .text = message->text, .height = message->height};
    memcpy(held->tx_id, message->tx_id, TX_ID_SIZE);
    memcpy(held->hash, message->hash, HASH_SIZE);
    message->text = NULL;
}

/* A rejection that belongs to a branch that was given up says nothing: the transaction waits on. */
void held_release(struct consensus *c)
{
    size_t kept = 0;
    for (size_t i = 0; i < c->held_count; i++) {
        struct held held = c->held[i];
        bool here = chain_has(c, held.height, held.hash);
        if (!here && c->head.height < held.height + 16) {
            c->held[kept++] = held;
            continue;
        }
        struct pending_item *item = pending_find(c->pending, held.tx_id);
        if (here)
            reject_now(c, held.tx_id, held.code, held.text);
        else if (item)
            item->sent_to = 0;
        c->forward_due = true;
        free(held.text);
    }
    c->held_count = kept;
}
