/*
 * Who has the core, and what it is given.
 *
 * One thread at a time has the core: the ledger's own thread, which takes all that is queued, makes one block
 * of it, commits it, answers, and looks again; or a thread that brings something and finds the core free,
 * which does one such round and saves itself two hand-offs between threads. Whatever comes while a round is
 * going on waits in the queue, so submissions share the next block's commit.
 *
 * A peer's thread leaves a round to the ledger's where something is to be written and messages go with it: it
 * is the one that sends them, and should do so while the disk writes.
 *
 * The ledger's thread also keeps the time: it sleeps until the core, a hold of changes, or somebody who waits
 * for a final block wants to be looked at. A node that is alone and idle wants nothing.
 */
#include "ledger/ledger_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "validator/rbac_policy.h"
#include "validator/registry.h"

#include <assert.h>
#include <string.h>

#define SLEEP_MIN_US 1000
#define SWITCH_WAIT_US (200 * 1000)

/* This thread has the core of some ledger, so it must not wait for one. */
static _Thread_local bool has_core;

/* ---- one event ---- */

/* Steps the core; an error is of the store, and there is nobody but the log to tell. */
static void step(struct ledger *ledger, struct consensus_event *event, struct consensus_update *update)
{
    struct err err = {0};
    event->now_us = clock_wall_us();
    if (consensus_step(ledger->core, event, update, &err) < 0)
        log_error("ledger", "%s", err.message);
    ledger->core_wake_us = update->wake_us;
}

static void publish_policy(struct ledger *ledger)
{
    struct rbac_policy *policy = consensus_policy(ledger->core);
    if (policy == ledger->policy)
        return;
    rbac_policy_retain(policy);
    pthread_mutex_lock(&ledger->lock);
    struct rbac_policy *old = ledger->policy;
    ledger->policy = policy;
    pthread_mutex_unlock(&ledger->lock);
    rbac_policy_release(old);
}

static void end_switch(struct ledger *ledger)
{
    pthread_mutex_lock(&ledger->lock);
    atomic_store(&ledger->switching, false);
    pthread_cond_broadcast(&ledger->switched);
    pthread_mutex_unlock(&ledger->lock);
}

/* What others look at, before they are called. */
static void publish(struct ledger *ledger)
{
    if (atomic_load_explicit(&ledger->switching, memory_order_relaxed) &&
        !consensus_is_switching(ledger->core))
        end_switch(ledger);
    publish_policy(ledger);
    uint64_t final_height = consensus_final_height(ledger->core);
    if (final_height != atomic_load_explicit(&ledger->final_height, memory_order_relaxed))
        ledger_write_final(ledger, final_height);
    if (ledger->members_changed) {
        ledger->members_changed = false;
        ledger_members_refresh(ledger);
        ledger_emit(ledger, LEDGER_EVENT_MEMBERS);
    }
}

static void send_all(struct ledger *ledger, const struct consensus_update *update)
{
    if (!update->send_count && !update->blame_count)
        return;
    pthread_rwlock_rdlock(&ledger->ops_lock);
    const struct ledger_peer_ops *ops = ledger->ops;
    for (size_t i = 0; ops && i < update->send_count; i++)
        ops->send(ops->arg, update->sends[i].to, update->sends[i].bytes, update->sends[i].len);
    if (ops && ops->flush)
        ops->flush(ops->arg);
    for (size_t i = 0; ops && ops->blame && i < update->blame_count; i++)
        ops->blame(ops->arg, update->blames[i].peer, update->blames[i].proof, update->blames[i].reason);
    pthread_rwlock_unlock(&ledger->ops_lock);
}

/* What an update asks for but its messages. False: nothing had to be written, so nothing follows; otherwise
 * *update is the next one. */
static bool write_and_answer(struct ledger *ledger, struct consensus_update *update)
{
    /* What persist names stays valid until it is reported as written; the rest does not. */
    const struct consensus_persist *persist = update->persist;
    bool written = persist && ledger_write(ledger, persist);
    for (size_t i = 0; i < update->answer_count; i++)
        ledger_answer(ledger, &update->answers[i]);
    if (!persist)
        return false;
    struct consensus_event report = {.type = written ? CONSENSUS_PERSISTED : CONSENSUS_PERSIST_FAILED};
    step(ledger, &report, update);
    return true;
}

/* Does what an update asks for, and what follows from that. False: there was nothing to write and nobody to
 * answer, or the rest was handed over. */
static bool carry_out(struct ledger *ledger, struct consensus_update *update)
{
    bool progress = false;
    for (;;) {
        publish(ledger);
        send_all(ledger, update);
        if (update->evaluate)
            vdf_worker_start(ledger->vdf, update->evaluate->seed, update->evaluate->difficulty);
        if (ledger->hands_over && update->persist && update->send_count) {
            ledger->handed = *update;
            ledger->has_handed = true;
            return false;
        }
        progress |= update->persist || update->answer_count;
        if (!write_and_answer(ledger, update))
            return progress;
    }
}

static bool handle(struct ledger *ledger, struct consensus_event *event)
{
    struct consensus_update update;
    step(ledger, event, &update);
    return carry_out(ledger, &update);
}

/* Goes on with what a peer's thread has begun; its messages are sent. */
static void take_handed(struct ledger *ledger)
{
    if (!ledger->has_handed)
        return;
    struct consensus_update update = ledger->handed;
    ledger->has_handed = false;
    if (write_and_answer(ledger, &update))
        carry_out(ledger, &update);
}

static void submission_begin(struct ledger *ledger, struct work *work)
{
    static const uint8_t none[TX_ID_SIZE];
    work->replay = memcmp(work->tx->original, none, TX_ID_SIZE) != 0;
    work->older = ledger->unanswered;
    if (work->older)
        work->older->newer = work;
    ledger->unanswered = work;
    tx_memory_put(ledger->memory, work->tx->id, TX_MEMORY_PENDING, NULL);
}

static void do_work(struct ledger *ledger, struct work *work)
{
    struct consensus_event event = {.peer = work->peer};
    switch (work->type) {
    case WORK_SUBMIT:
        if (atomic_load(&ledger->needs_snapshot)) {
            ledger_refuse_outdated(work);
            return;
        }
        submission_begin(ledger, work);
        event.type = CONSENSUS_SUBMIT;
        event.tx = work->tx;
        event.token = work;
        event.more = work->next && work->next->type == WORK_SUBMIT;
        handle(ledger, &event);
        return; /* it lives until it is answered */
    case WORK_PEER_UP:
    case WORK_PEER_DOWN:
        event.type = work->type == WORK_PEER_UP ? CONSENSUS_PEER_UP : CONSENSUS_PEER_DOWN;
        ledger->members_changed = true;
        handle(ledger, &event);
        break;
    case WORK_MESSAGE:
        ledger_note_lack(ledger, work->message);
        event.type = CONSENSUS_MESSAGE;
        event.message = work->message;
        handle(ledger, &event);
        free(work->message);
        break;
    case WORK_EVALUATED:
        event.type = CONSENSUS_EVALUATED;
        event.proof = work->proof;
        handle(ledger, &event);
        free(work->proof);
        break;
    case WORK_CALL:
        work->call(ledger, work->arg);
        return; /* the caller's */
    }
    free(work);
}

/* ---- one round ---- */

/* Makes and commits blocks until the core has nothing pending, or not the turn. */
static void make_blocks(struct ledger *ledger)
{
    bool progress = true;
    while (progress && (consensus_pending(ledger->core) || ledger->core_wake_us <= clock_wall_us())) {
        struct consensus_event tick = {.type = CONSENSUS_TICK};
        progress = handle(ledger, &tick);
    }
}

/* When the ledger's thread has to look again, on the monotonic clock. */
static int64_t next_deadline(struct ledger *ledger)
{
    int64_t now = clock_mono_us();
    int64_t deadline = ledger_hold_check(ledger, now, false);
    if (atomic_load(&ledger->final_count) && atomic_load(&ledger->final_deadline_us) <= now)
        ledger_finals_check(ledger, now);
    if (ledger->core_wake_us != INT64_MAX) {
        int64_t wait = ledger->core_wake_us - clock_wall_us();
        int64_t at = now + (wait > SLEEP_MIN_US ? wait : SLEEP_MIN_US);
        deadline = at < deadline ? at : deadline;
    }
    return deadline;
}

/* What was submitted at the same time is signed at once. */
static void sign_submitted(struct ledger *ledger, struct work *list)
{
    struct tx *txs[TX_BATCH_MAX];
    size_t count = 0;
    for (struct work *work = list; work; work = work->next) {
        if (work->type == WORK_SUBMIT && !work->tx->batch.count)
            txs[count++] = work->tx;
        if (!count || (work->next && count < TX_BATCH_MAX))
            continue;
        tx_sign_batch(txs, count, ledger->secret_key);
        if (ledger->has_peers) {
            struct tx_batch batch;
            tx_batch_of(&batch, txs[0]);
            known_batches_note(ledger->known_batches, &batch);
        }
        count = 0;
    }
}

/* All of a detached queue into one block, or as many as it takes. The caller has the core. */
static int64_t run_round(struct ledger *ledger, struct work *list)
{
    has_core = true;
    take_handed(ledger);
    sign_submitted(ledger, list);
    while (list) {
        struct work *work = list;
        list = work->next;
        do_work(ledger, work);
    }
    if (!ledger->has_handed)
        make_blocks(ledger);
    int64_t deadline_us = ledger->has_handed ? INT64_MAX : next_deadline(ledger);
    has_core = false;
    return deadline_us;
}

static struct work *detach_queue(struct ledger *ledger)
{
    struct work *list = ledger->first;
    ledger->first = NULL;
    ledger->last = &ledger->first;
    ledger->queued_bytes = 0;
    return list;
}

/* After a round, with the lock held. */
static void publish_state(struct ledger *ledger, int64_t deadline_us)
{
    ledger->deadline_us = deadline_us;
    ledger->head = *consensus_head(ledger->core);
    ledger->state.pending = consensus_pending(ledger->core);
    ledger->state.behind = consensus_behind(ledger->core);
    ledger->state.switching = consensus_is_switching(ledger->core);
}

/* The earliest time at which something is to be done without an event; the lock is held. */
static int64_t deadline(struct ledger *ledger)
{
    int64_t final = atomic_load(&ledger->final_count) ? atomic_load(&ledger->final_deadline_us) : INT64_MAX;
    return ledger->deadline_us < final ? ledger->deadline_us : final;
}

static void sleep_until(struct ledger *ledger, int64_t until_us)
{
    ledger->asleep_until_us = until_us;
    if (until_us == INT64_MAX) {
        pthread_cond_wait(&ledger->wake, &ledger->lock);
    } else {
        struct timespec at = {.tv_sec = until_us / 1000000, .tv_nsec = until_us % 1000000 * 1000};
        pthread_cond_clockwait(&ledger->wake, &ledger->lock, CLOCK_MONOTONIC, &at);
    }
    ledger->asleep_until_us = INT64_MIN;
}

static void *ledger_run(void *arg)
{
    struct ledger *ledger = arg;
    pthread_setname_np(pthread_self(), "ledger");
    pthread_mutex_lock(&ledger->lock);
    for (;;) {
        if (ledger->busy && !ledger->handing) {
            sleep_until(ledger, INT64_MAX);
            continue;
        }
        int64_t until = deadline(ledger);
        bool work = ledger->first || ledger->handing;
        if (!work && ledger->stopping)
            break;
        if (!work && (until == INT64_MAX || until > clock_mono_us())) {
            sleep_until(ledger, until);
            continue;
        }
        ledger->busy = true;
        ledger->handing = ledger->hands_over = false;
        do {
            struct work *list = detach_queue(ledger);
            pthread_mutex_unlock(&ledger->lock);
            int64_t next = run_round(ledger, list);
            pthread_mutex_lock(&ledger->lock);
            publish_state(ledger, next);
        } while (ledger->first);
        ledger->busy = false;
    }
    pthread_mutex_unlock(&ledger->lock);
    return NULL;
}

/* ---- giving ---- */

/* Returns whether the thread has to be woken; the lock is held. */
static bool append(struct ledger *ledger, struct work *work)
{
    ledger->queued_bytes += work->bytes;
    bool wake = !ledger->busy && !ledger->first;
    *ledger->last = work;
    ledger->last = &work->next;
    return wake;
}

void ledger_enqueue(struct ledger *ledger, struct work *work)
{
    pthread_mutex_lock(&ledger->lock);
    assert(!ledger->stopping || ledger->busy);
    bool wake = append(ledger, work);
    pthread_mutex_unlock(&ledger->lock);
    if (wake)
        pthread_cond_signal(&ledger->wake);
}

void ledger_give(struct ledger *ledger, struct work *work)
{
    pthread_mutex_lock(&ledger->lock);
    bool idle = !ledger->busy && !ledger->first && !ledger->stopping;
    if (idle)
        ledger->busy = true;
    pthread_mutex_unlock(&ledger->lock);
    if (!idle) {
        ledger_enqueue(ledger, work);
        return;
    }
    ledger->hands_over = work->type == WORK_MESSAGE;
    int64_t next = run_round(ledger, work);
    pthread_mutex_lock(&ledger->lock);
    publish_state(ledger, next);
    ledger->handing = ledger->has_handed;
    ledger->busy = ledger->handing;
    /* While a round is going on the thread sleeps without a time. */
    bool wake =
        ledger->handing || ledger->first || ledger->stopping || deadline(ledger) < ledger->asleep_until_us;
    pthread_mutex_unlock(&ledger->lock);
    if (wake)
        pthread_cond_signal(&ledger->wake);
}

void ledger_nudge(struct ledger *ledger)
{
    pthread_mutex_lock(&ledger->lock);
    bool wake = !ledger->busy && deadline(ledger) < ledger->asleep_until_us;
    pthread_mutex_unlock(&ledger->lock);
    if (wake)
        pthread_cond_signal(&ledger->wake);
}

void ledger_await_switch(struct ledger *ledger)
{
    if (!atomic_load_explicit(&ledger->switching, memory_order_relaxed) || has_core)
        return;
    int64_t until = clock_mono_us() + SWITCH_WAIT_US;
    struct timespec at = {.tv_sec = until / 1000000, .tv_nsec = until % 1000000 * 1000};
    int rc = 0;
    pthread_mutex_lock(&ledger->lock);
    while (!rc && atomic_load(&ledger->switching))
        rc = pthread_cond_clockwait(&ledger->switched, &ledger->lock, CLOCK_MONOTONIC, &at);
    pthread_mutex_unlock(&ledger->lock);
}

static void on_evaluated(void *arg, const struct vdf_proof *proof)
{
    struct ledger *ledger = arg;
    struct work *work = mem_zalloc(sizeof(*work));
    static_assert(sizeof(*proof) == REGISTRY_SEED_PROOF_SIZE, "output and proof, as the core reads them");
    work->type = WORK_EVALUATED;
    work->proof = mem_dup(proof, sizeof(*proof));
    pthread_mutex_lock(&ledger->lock);
    bool stopping = ledger->stopping;
    bool wake = !stopping && append(ledger, work);
    pthread_mutex_unlock(&ledger->lock);
    if (wake)
        pthread_cond_signal(&ledger->wake);
    if (stopping) {
        free(work->proof);
        free(work);
    }
}

/* ---- starting and stopping ---- */

int ledger_core_start(struct ledger *ledger, struct err *err)
{
    struct block_header genesis;
    buf_auto struct buf record = BUF_INIT;
    int rc = blockstore_header_at(ledger->store, 0, &genesis, err);
    if (!rc)
        rc = blockstore_get_record(ledger->store, &record, err);
    if (rc == ERR_NOT_FOUND)
        rc = 0;
    if (rc < 0)
        return rc;
    struct consensus_options options = {
        .genesis = &genesis,
        .store_ops = blockstore_ops(),
        .chain_ops = ledger_chain_ops(),
        .store = ledger->store,
        .record = record.len ? record.data : NULL,
        .record_len = record.len,
        .settings = CONSENSUS_SETTINGS_DEFAULT,
        .now_us = clock_wall_us(),
    };
    memcpy(options.secret_key, ledger->secret_key, sizeof(options.secret_key));
    rc = consensus_new(&ledger->core, &options, err);
    explicit_bzero(options.secret_key, sizeof(options.secret_key));
    if (rc < 0)
        return rc;
    ledger->vdf = vdf_worker_new(on_evaluated, ledger);
    ledger->core_wake_us = 0; /* the thread begins with a tick */
    ledger_write_init(ledger);
    ledger_members_refresh(ledger);
    publish(ledger);
    publish_state(ledger, clock_mono_us());
    rc = pthread_create(&ledger->thread, NULL, ledger_run, ledger);
    if (rc)
        return err_set(err, ERR_INTERNAL, "cannot start a thread: %s", strerror(rc));
    ledger->thread_started = true;
    return 0;
}

void ledger_core_stop(struct ledger *ledger)
{
    if (ledger->thread_started) {
        pthread_mutex_lock(&ledger->lock);
        ledger->stopping = true;
        pthread_mutex_unlock(&ledger->lock);
        pthread_cond_signal(&ledger->wake);
        pthread_join(ledger->thread, NULL);
        ledger_hold_check(ledger, clock_mono_us(), true);
    }
    vdf_worker_free(ledger->vdf);
    assert(!ledger->first);
    /* They may be included yet, by another node: that is for whoever asks to find out. */
    while (ledger->unanswered)
        ledger_answer_stopping(ledger, ledger->unanswered);
    ledger_finals_end(ledger);
    if (!ledger->core)
        return;
    ledger_leave_behind(ledger);
    consensus_free(ledger->core);
    ledger->core = NULL;
}
