/* How far transactions and the chain are, as this node sees it. */
#include "ledger/ledger_internal.h"

#include "base/clock.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

#define FINAL_WAITERS_MAX 4096

/* ---- transactions ---- */

/* Where it is in the chain; of one that was rebased, where the one that took its place is. */
static int find_included(struct ledger *ledger, const uint8_t id[TX_ID_SIZE], struct ledger_tx_status *out)
{
    struct err err;
    uint64_t height;
    uint32_t index;
    struct block *block;
    int rc = ledger_place_of_tx(ledger->store, id, &height, &index, &err);
    if (!rc)
        rc = blockstore_block_at(ledger->store, height, &block, &err);
    if (rc == ERR_GONE) {
        struct block_header header;
        rc = blockstore_header_at(ledger->store, height, &header, &err);
        out->height = height;
        memcpy(out->block, header.hash, TX_ID_SIZE);
        return rc;
    }
    if (rc)
        return rc;
    if (index >= block->header.tx_count) { /* the chain was switched in between */
        block_free(block);
        return ERR_NOT_FOUND;
    }
    uint32_t place = 0;
    for (uint32_t i = 0; i < index; i++)
        place += (uint32_t)block->txs[i]->output_count;
    out->height = height;
    out->rv = block_rv(block->header.time_us, place);
    memcpy(out->block, block->header.hash, TX_ID_SIZE);
    if (memcmp(block->txs[index]->id, id, TX_ID_SIZE) != 0)
        memcpy(out->replayed_by, block->txs[index]->id, TX_ID_SIZE);
    block_free(block);
    return 0;
}

void ledger_tx_status(struct ledger *ledger, const uint8_t id[TX_ID_SIZE], struct ledger_tx_status *out)
{
    *out = (struct ledger_tx_status){0};
    /* Read before the place: a block that is final now was so there, too. */
    uint64_t final_height = atomic_load(&ledger->final_height);
    if (!find_included(ledger, id, out)) {
        out->level = out->height <= final_height ? LEDGER_IRREVERSIBLE : LEDGER_INCLUDED;
        return;
    }
    switch (tx_memory_get(ledger->memory, id, out->reason)) {
    case TX_MEMORY_PENDING:
    case TX_MEMORY_ORPHAN:
        out->level = LEDGER_ACCEPTED;
        break;
    case TX_MEMORY_REJECTED:
        out->level = LEDGER_REJECTED;
        break;
    case TX_MEMORY_NONE:
        /* It may have come into the chain in between. */
        if (!find_included(ledger, id, out))
            out->level = LEDGER_INCLUDED;
    }
}

/* ---- waiting for finality ---- */

static bool is_final(struct ledger *ledger, const uint8_t id[TX_ID_SIZE])
{
    struct err err;
    uint64_t height;
    uint32_t index;
    uint64_t final_height = atomic_load(&ledger->final_height);
    return !ledger_place_of_tx(ledger->store, id, &height, &index, &err) && height <= final_height;
}

static struct final_waiter *finals_take(struct ledger *ledger)
{
    pthread_mutex_lock(&ledger->finals_lock);
    struct final_waiter *list = ledger->finals;
    ledger->finals = NULL;
    pthread_mutex_unlock(&ledger->finals_lock);
    return list;
}

static void final_fire(struct ledger *ledger, struct final_waiter *waiter, int code, const char *message)
{
    atomic_fetch_sub(&ledger->final_count, 1);
    waiter->fn(waiter->arg, code, message);
    free(waiter);
}

static void finals_put_back(struct ledger *ledger, struct final_waiter *list)
{
    if (!list)
        return;
    int64_t earliest = INT64_MAX;
    pthread_mutex_lock(&ledger->finals_lock);
    while (list) {
        struct final_waiter *waiter = list;
        list = waiter->next;
        waiter->next = ledger->finals;
        ledger->finals = waiter;
    }
    for (const struct final_waiter *waiter = ledger->finals; waiter; waiter = waiter->next)
        if (waiter->deadline_us < earliest)
            earliest = waiter->deadline_us;
    atomic_store(&ledger->final_deadline_us, earliest);
    pthread_mutex_unlock(&ledger->finals_lock);
}

void ledger_finals_check(struct ledger *ledger, int64_t now_us)
{
    struct final_waiter *list = finals_take(ledger), *kept = NULL;
    while (list) {
        struct final_waiter *waiter = list;
        list = waiter->next;
        if (is_final(ledger, waiter->id)) {
            final_fire(ledger, waiter, 0, "");
        } else if (waiter->deadline_us <= now_us) {
            final_fire(ledger, waiter, ERR_TIMEOUT, "the transaction is not final yet");
        } else {
            waiter->next = kept;
            kept = waiter;
        }
    }
    finals_put_back(ledger, kept);
}

void ledger_finals_reject(struct ledger *ledger, const uint8_t id[TX_ID_SIZE], int code, const char *message)
{
    if (!atomic_load(&ledger->final_count))
        return;
    struct final_waiter *list = finals_take(ledger), *kept = NULL;
    while (list) {
        struct final_waiter *waiter = list;
        list = waiter->next;
        if (!memcmp(waiter->id, id, TX_ID_SIZE)) {
            final_fire(ledger, waiter, code, message);
        } else {
            waiter->next = kept;
            kept = waiter;
        }
    }
    finals_put_back(ledger, kept);
}

void ledger_finals_end(struct ledger *ledger)
{
    struct final_waiter *list = finals_take(ledger);
    while (list) {
        struct final_waiter *waiter = list;
        list = waiter->next;
        final_fire(ledger, waiter, ERR_TIMEOUT, "the node is stopping");
    }
}

static struct final_waiter *finals_remove(struct ledger *ledger, const struct final_waiter *wanted)
{
    struct final_waiter *found = NULL;
    pthread_mutex_lock(&ledger->finals_lock);
    for (struct final_waiter **at = &ledger->finals; *at; at = &(*at)->next)
        if (*at == wanted) {
            found = *at;
            *at = found->next;
            break;
        }
    pthread_mutex_unlock(&ledger->finals_lock);
    return found;
}

void ledger_on_final(struct ledger *ledger, const uint8_t id[TX_ID_SIZE], int64_t timeout_us,
                     ledger_final_fn fn, void *arg)
{
    if (is_final(ledger, id)) {
        fn(arg, 0, "");
        return;
    }
    if (atomic_fetch_add(&ledger->final_count, 1) >= FINAL_WAITERS_MAX) {
        atomic_fetch_sub(&ledger->final_count, 1);
        fn(arg, ERR_TOO_MANY, "too many requests wait for final blocks");
        return;
    }
    struct final_waiter *waiter = mem_zalloc(sizeof(*waiter));
    *waiter = (struct final_waiter){.deadline_us = clock_mono_us() + timeout_us, .fn = fn, .arg = arg};
    memcpy(waiter->id, id, TX_ID_SIZE);
    pthread_mutex_lock(&ledger->finals_lock);
    if (!ledger->finals || waiter->deadline_us < atomic_load(&ledger->final_deadline_us))
        atomic_store(&ledger->final_deadline_us, waiter->deadline_us);
    waiter->next = ledger->finals;
    ledger->finals = waiter;
    pthread_mutex_unlock(&ledger->finals_lock);
    /* What happened before it was in the list was told to nobody. */
    char reason[TX_MEMORY_REASON];
    bool rejected = tx_memory_get(ledger->memory, id, reason) == TX_MEMORY_REJECTED;
    bool final = is_final(ledger, id);
    if ((rejected || final) && finals_remove(ledger, waiter)) {
        final_fire(ledger, waiter, final ? 0 : ERR_CONFLICT, final ? "" : reason);
        return;
    }
    ledger_nudge(ledger);
}

/* ---- the chain ---- */

void ledger_state(struct ledger *ledger, struct ledger_state *out)
{
    pthread_mutex_lock(&ledger->lock);
    *out = ledger->state;
    out->head_height = ledger->head.height;
    out->head_time_us = ledger->head.time_us;
    memcpy(out->head_hash, ledger->head.hash, TX_ID_SIZE);
    pthread_mutex_unlock(&ledger->lock);
    out->orphans = blockstore_orphan_count(ledger->store);
    out->needs_snapshot = atomic_load(&ledger->needs_snapshot);
    out->final_height = atomic_load(&ledger->final_height);
    if (out->final_height > out->head_height)
        out->final_height = out->head_height;
    struct block_header header;
    struct err err;
    if (blockstore_header_at(ledger->store, out->final_height, &header, &err))
        return;
    out->final_time_us = header.time_us;
    memcpy(out->final_hash, header.hash, TX_ID_SIZE);
}

/* ---- orphans ---- */

int ledger_orphan_next(struct ledger *ledger, uint64_t after, uint64_t *number, struct tx **out,
                       struct err *err)
{
    return blockstore_orphan_next(ledger->store, after, number, out, err);
}

static void orphan_settled(struct ledger *ledger, void *arg)
{
    struct tx *tx = arg;
    tx_memory_drop_orphan(ledger->memory, tx->id);
    ledger_orphan_settled(ledger, tx->id);
}

int ledger_orphan_done(struct ledger *ledger, uint64_t number, struct err *err)
{
    struct tx *tx = NULL;
    uint64_t found = 0;
    struct err none;
    /* Its id, while it is there. */
    if (number && blockstore_orphan_next(ledger->store, number - 1, &found, &tx, &none))
        tx = NULL;
    int rc = blockstore_orphan_done(ledger->store, number, err);
    if (!rc && tx && found == number)
        ledger_call(ledger, orphan_settled, tx);
    tx_free(tx);
    return rc;
}
