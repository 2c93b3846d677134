/*
 * What the core asks to persist, and who is told of it.
 *
 * A block's changes go to the subscribers as soon as it is durable. When blocks are exchanged for others,
 * they are held: a pod that both branches have would else disappear and come back before the eyes of a
 * kubelet. While it holds, every change is folded (fold.h), and answers wait, since whoever is answered may
 * expect to see the change in a watch; but not for long. The hold ends when the new branch is whole and
 * nothing is left of the orphans: what is told then is the difference that is left.
 */
#include "ledger/ledger_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "validator/registry.h"

#include <assert.h>
#include <string.h>

#define ORPHANS_US (8 * 1000 * 1000) /* after a switch, for orphans to come back */
#define ANSWERS_US (300 * 1000)      /* for answers: clients wait for them */
#define SWITCH_US (5 * 1000 * 1000)  /* a switch that takes longer is told in parts */
#define HOLD_US (15 * 1000 * 1000)   /* one switch after the other */
#define FOLD_BYTES_MAX (64u << 20)
#define ORPHANS_AWAITED_MAX 16384

/* ---- telling ---- */

void ledger_emit(struct ledger *ledger, enum ledger_event event)
{
    pthread_rwlock_rdlock(&ledger->subscribers_lock);
    for (const struct event_subscriber *s = ledger->event_subscribers; s; s = s->next)
        s->fn(s->arg, event);
    pthread_rwlock_unlock(&ledger->subscribers_lock);
}

static void notify(struct ledger *ledger, uint64_t height, uint64_t head_rv,
                   const struct state_change *changes, size_t count)
{
    pthread_rwlock_rdlock(&ledger->subscribers_lock);
    for (const struct subscriber *s = ledger->subscribers; s; s = s->next)
        s->fn(s->arg, height, head_rv, changes, count);
    pthread_rwlock_unlock(&ledger->subscribers_lock);
    ledger->told_rv = head_rv;
}

struct delivery {
    struct ledger *ledger;
    uint64_t height, head_rv;
};

static void on_difference(void *arg, const struct state_change *changes, size_t count)
{
    const struct delivery *d = arg;
    notify(d->ledger, d->height, d->head_rv, changes, count);
}

/* ---- holding ---- */

static uint32_t orphan_place(const struct hold *hold, const uint8_t id[TX_ID_SIZE])
{
    return hold->orphan_count ? bytemap_get(&hold->orphan_map, id, TX_ID_SIZE) : BYTEMAP_NONE;
}

void ledger_orphan_settled(struct ledger *ledger, const uint8_t id[TX_ID_SIZE])
{
    struct hold *hold = &ledger->hold;
    uint32_t place = orphan_place(hold, id);
    if (place == BYTEMAP_NONE || hold->settled[place])
        return;
    hold->settled[place] = true;
    hold->unsettled--;
}

static void hold_add_orphan(struct hold *hold, const uint8_t id[TX_ID_SIZE])
{
    uint32_t known = orphan_place(hold, id);
    if (known != BYTEMAP_NONE) {
        /* It had come back, in a branch that was given up in turn. */
        hold->unsettled += hold->settled[known];
        hold->settled[known] = false;
        return;
    }
    if (hold->orphan_count == ORPHANS_AWAITED_MAX)
        return;
    if (!hold->orphans) {
        hold->orphans = mem_calloc(ORPHANS_AWAITED_MAX, TX_ID_SIZE);
        hold->settled = mem_calloc(ORPHANS_AWAITED_MAX, sizeof(*hold->settled));
    }
    size_t place = hold->orphan_count++;
    memcpy(hold->orphans[place], id, TX_ID_SIZE);
    bytemap_set(&hold->orphan_map, hold->orphans[place], TX_ID_SIZE, (uint32_t)place);
    hold->unsettled++;
}

static void hold_until(struct hold *hold, int64_t latest_us)
{
    int64_t at_most = hold->begun_us + HOLD_US;
    hold->latest_us = latest_us < at_most ? latest_us : at_most;
}

static void hold_begin(struct ledger *ledger)
{
    struct hold *hold = &ledger->hold;
    uint64_t branch = atomic_load(&ledger->branch);
    int64_t now = clock_mono_us();
    if (!hold->fold) {
        *hold = (struct hold){.fold = fold_new(), .begun_us = now, .answers_us = now + ANSWERS_US};
        hold->last = &hold->first;
        branch--; /* even to odd; from odd to odd otherwise */
    }
    hold->switched = false;
    hold_until(hold, now + SWITCH_US);
    atomic_store(&ledger->branch, branch + 2);
}

static void give_held_answers(struct held_answer *list)
{
    while (list) {
        struct held_answer *held = list;
        list = held->next;
        held->submission->done(held->submission->arg, &held->result);
        free(held->submission);
        free(held->message);
        free(held);
    }
}

/* Subscribers are told, then those whose answers waited for it. */
static void hold_end(struct ledger *ledger)
{
    struct err err = {0};
    struct hold hold = ledger->hold;
    const struct state_store_ops *ops = blockstore_ops();
    struct blockstore_head head = {0};
    ledger->hold = (struct hold){0};
    struct state_snapshot *snapshot = ops->snapshot_begin(ledger->store);
    int rc = blockstore_head(ledger->store, &head, &err);
    struct delivery d = {ledger, head.header.height, ops->snapshot_rv(snapshot)};
    atomic_fetch_add(&ledger->branch, 1);
    if (!rc)
        rc = fold_difference(hold.fold, ops, snapshot, ledger->told_rv, on_difference, &d, &err);
    if (rc < 0) {
        log_error("ledger", "cannot tell what a chain switch changed: %s", err.message);
        notify(ledger, d.height, d.head_rv, NULL, 0);
    }
    ops->snapshot_end(snapshot);
    fold_free(hold.fold);
    bytemap_free(&hold.orphan_map);
    free(hold.orphans);
    free(hold.settled);
    give_held_answers(hold.first);
}

int64_t ledger_hold_check(struct ledger *ledger, int64_t now_us, bool always)
{
    struct hold *hold = &ledger->hold;
    bool switching = consensus_is_switching(ledger->core);
    if (ledger->orphans_new && !switching) {
        ledger->orphans_new = false;
        ledger_emit(ledger, LEDGER_EVENT_ORPHANS);
    }
    if (!hold->fold)
        return INT64_MAX;
    if (!switching && !hold->switched) {
        hold->switched = true;
        hold_until(hold, now_us + ORPHANS_US);
    }
    if (always || now_us >= hold->latest_us || (hold->switched && !hold->unsettled)) {
        hold_end(ledger);
        return INT64_MAX;
    }
    if (hold->answers_go)
        return hold->latest_us;
    if (now_us < hold->answers_us)
        return hold->answers_us < hold->latest_us ? hold->answers_us : hold->latest_us;
    struct held_answer *answers = hold->first;
    hold->answers_go = true;
    hold->first = NULL;
    hold->last = &hold->first;
    give_held_answers(answers);
    return hold->latest_us;
}

static void tell(struct ledger *ledger, const struct state_update *update)
{
    if (!ledger->hold.fold) {
        notify(ledger, update->height, update->head_rv, update->changes, update->change_count);
        return;
    }
    for (size_t i = 0; i < update->change_count; i++)
        fold_note(ledger->hold.fold, &update->changes[i]);
    if (fold_bytes(ledger->hold.fold) > FOLD_BYTES_MAX)
        hold_end(ledger);
}

/* ---- answers ---- */

static void unlink_submission(struct ledger *ledger, struct work *work)
{
    if (work->newer)
        work->newer->older = work->older;
    else
        ledger->unanswered = work->older;
    if (work->older)
        work->older->newer = work->newer;
}

static void hold_answer(struct hold *hold, struct work *submission, const struct ledger_result *result)
{
    struct held_answer *held = mem_zalloc(sizeof(*held));
    *held = (struct held_answer){submission, *result, mem_strdup(result->message), NULL};
    held->result.message = held->message ? held->message : "";
    *hold->last = held;
    hold->last = &held->next;
}

/* Who was told once is not told again. */
static void tell_submitter(struct work *submission, const struct ledger_result *result)
{
    if (submission->done)
        submission->done(submission->arg, result);
    submission->done = NULL;
}

void ledger_answer(struct ledger *ledger, const struct consensus_answer *a)
{
    struct work *submission = a->token;
    struct ledger_result result = {.code = a->code, .message = a->message, .height = a->height, .rv = a->rv};
    memcpy(result.tx_id, a->tx_id, TX_ID_SIZE);
    unlink_submission(ledger, submission);
    if (a->code && a->code != ERR_UNAVAILABLE) {
        tx_memory_put(ledger->memory, a->tx_id, TX_MEMORY_REJECTED, a->message);
        ledger_finals_reject(ledger, a->tx_id, a->code, a->message);
    } else {
        tx_memory_drop(ledger->memory, a->tx_id);
    }
    /* What comes back ends the hold, and cannot wait for it. */
    bool orphan = orphan_place(&ledger->hold, a->tx_id) != BYTEMAP_NONE;
    if (orphan && (!a->code || a->code == ERR_INCLUDED))
        ledger_orphan_settled(ledger, a->tx_id);
    if (ledger->hold.fold && !ledger->hold.answers_go && !orphan && !submission->replay && submission->done) {
        hold_answer(&ledger->hold, submission, &result);
        return;
    }
    tell_submitter(submission, &result);
    free(submission);
}

void ledger_answer_stopping(struct ledger *ledger, struct work *submission)
{
    struct ledger_result result = {.code = ERR_UNAVAILABLE, .message = "the node is stopping"};
    unlink_submission(ledger, submission);
    tell_submitter(submission, &result);
    free(submission);
}

static const struct ledger_result outdated = {
    .code = ERR_UNAVAILABLE, .message = "this node was away for too long and has to fetch the state anew"};

void ledger_answer_outdated(struct ledger *ledger)
{
    for (struct work *work = ledger->unanswered; work; work = work->older)
        tell_submitter(work, &outdated);
}

void ledger_refuse_outdated(struct work *submission)
{
    tell_submitter(submission, &outdated);
    tx_free(submission->tx);
    free(submission);
}

/* ---- writing ---- */

static bool is_registry(const struct state_change *change)
{
    const struct resource_key *key = &change->object.key;
    return *key->group && !strcmp(key->group, REGISTRY_GROUP) && !strcmp(key->resource, REGISTRY_VALIDATORS);
}

/* What transactions of a block mean for those who remember them. */
static void note_included(struct ledger *ledger, const struct block *block)
{
    for (uint32_t i = 0; i < block->header.tx_count; i++) {
        tx_memory_drop(ledger->memory, block->txs[i]->id);
        if (ledger->hold.unsettled) {
            ledger_orphan_settled(ledger, block->txs[i]->id);
            ledger_orphan_settled(ledger, block->txs[i]->original);
        }
    }
}

static int write_block(struct ledger *ledger, const struct consensus_persist *persist, struct err *err)
{
    int rc = persist->final
                 ? blockstore_commit(ledger->store, persist->block, &persist->state, err)
                 : blockstore_commit_tentative(ledger->store, persist->block, &persist->state, err);
    if (rc < 0)
        return err_wrap(err, "block %llu was not written", (unsigned long long)persist->state.height);
    if (persist->final)
        ledger->finalized_height = persist->state.height;
    note_included(ledger, persist->block);
    for (size_t i = 0; i < persist->state.change_count; i++)
        ledger->members_changed |= is_registry(&persist->state.changes[i]);
    tell(ledger, &persist->state);
    return 0;
}

static void on_undone(void *arg, const struct state_change *change)
{
    struct ledger *ledger = arg;
    ledger->members_changed |= is_registry(change);
    fold_note(ledger->hold.fold, change);
}

/* Finds the orphans that were not there before. */
static void note_orphans(struct ledger *ledger, bool awaited)
{
    struct err err = {0};
    struct tx *tx;
    uint64_t number;
    while (!blockstore_orphan_next(ledger->store, ledger->orphan_newest, &number, &tx, &err)) {
        assert(number > ledger->orphan_newest);
        ledger->orphan_newest = number;
        ledger->orphans_new = true;
        tx_memory_put(ledger->memory, tx->id, TX_MEMORY_ORPHAN, NULL);
        if (awaited)
            hold_add_orphan(&ledger->hold, tx->id);
        tx_free(tx);
    }
}

static int write_rewind(struct ledger *ledger, uint64_t height, struct err *err)
{
    struct blockstore_head head;
    struct block_header fork;
    int rc = blockstore_head(ledger->store, &head, err);
    if (!rc)
        rc = blockstore_header_at(ledger->store, height, &fork, err);
    if (rc < 0)
        return rc;
    /* Whoever reads history from here on reads another chain than subscribers know. */
    hold_begin(ledger);
    atomic_store(&ledger->switching, true);
    rc = blockstore_rewind(ledger->store, height, err);
    if (rc < 0)
        return err_wrap(err, "the chain was not rewound to block %llu", (unsigned long long)height);
    ledger_note_abandoned(ledger, block_head_rv(&fork), block_head_rv(&head.header));
    note_orphans(ledger, true);
    return 0;
}

bool ledger_write(struct ledger *ledger, const struct consensus_persist *persist)
{
    struct err err = {0};
    int rc = 0;
    switch (persist->type) {
    case CONSENSUS_PERSIST_BLOCK:
        rc = write_block(ledger, persist, &err);
        break;
    case CONSENSUS_PERSIST_REWIND:
        rc = write_rewind(ledger, persist->height, &err);
        break;
    case CONSENSUS_PERSIST_RECORD:
        rc = blockstore_put_record(ledger->store, persist->record, persist->record_len, &err);
        break;
    }
    if (rc < 0)
        log_error("ledger", "%s", err.message);
    return rc == 0;
}

void ledger_write_final(struct ledger *ledger, uint64_t final_height)
{
    struct err err = {0};
    bool late = final_height != ledger->finalized_height;
    if (late && blockstore_finalize(ledger->store, final_height, &err) < 0)
        log_error("ledger", "cannot note that block %llu is final: %s", (unsigned long long)final_height,
                  err.message);
    ledger->finalized_height = final_height;
    atomic_store(&ledger->final_height, final_height);
    if (atomic_load(&ledger->final_count))
        ledger_finals_check(ledger, clock_mono_us());
    if (late)
        ledger_emit(ledger, LEDGER_EVENT_FINAL);
}

void ledger_write_init(struct ledger *ledger)
{
    const struct state_store_ops *ops = blockstore_ops();
    struct state_snapshot *snapshot = ops->snapshot_begin(ledger->store);
    ledger->told_rv = ops->snapshot_rv(snapshot);
    ops->snapshot_end(snapshot);
    ledger->finalized_height = consensus_final_height(ledger->core);
    atomic_store(&ledger->final_height, ledger->finalized_height);
    blockstore_on_undone(ledger->store, on_undone, ledger);
    note_orphans(ledger, false);
}
