/*
 * See ledger.h.
 *
 * One thread at a time has the core: the ledger's own thread, which takes all that is queued, makes one block
 * of it, commits it, answers, and looks again; or a submitter that asked for it and found the core free,
 * which does one such round and saves itself two hand-offs between threads. Whatever is submitted while a
 * round is going on waits in the queue and shares the next block's commit.
 */
#include "ledger/ledger_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rand.h"
#include "blockstore/dir.h"

#include <assert.h>
#include <string.h>

/* ---- one round of the core ---- */

static void answer(const struct consensus_update *update)
{
    for (size_t i = 0; i < update->answer_count; i++) {
        const struct consensus_answer *a = &update->answers[i];
        struct submission *submission = a->token;
        struct ledger_result result = {
            .code = a->code, .message = a->message, .height = a->height, .rv = a->rv};
        memcpy(result.tx_id, a->tx_id, TX_ID_SIZE);
        submission->done(submission->arg, &result);
        free(submission);
    }
}

/* Steps the core; an error is of the store, and there is nobody but the log to tell. */
static void step(struct ledger *ledger, const struct consensus_event *event, struct consensus_update *update)
{
    struct err err = {0};
    if (consensus_step(ledger->core, event, update, &err) < 0)
        log_error("ledger", "%s", err.message);
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

static void notify(struct ledger *ledger, const struct state_update *update)
{
    pthread_rwlock_rdlock(&ledger->subscribers_lock);
    for (const struct subscriber *s = ledger->subscribers; s; s = s->next)
        s->fn(s->arg, update->height, update->head_rv, update->changes, update->change_count);
    pthread_rwlock_unlock(&ledger->subscribers_lock);
}

/* Writes a block and lets everyone know: subscribers first, then those who wait for its transactions. */
static void persist(struct ledger *ledger, const struct consensus_persist *persist)
{
    struct err err = {0};
    struct consensus_update update;
    struct consensus_event event = {.type = CONSENSUS_PERSISTED, .height = persist->state.height};
    if (blockstore_commit(ledger->store, persist->block, &persist->state, &err) < 0) {
        log_error("ledger", "block %llu was not written: %s", (unsigned long long)event.height, err.message);
        event.type = CONSENSUS_PERSIST_FAILED;
    } else {
        notify(ledger, &persist->state);
    }
    event.now_us = clock_wall_us();
    step(ledger, &event, &update);
    publish_policy(ledger);
    answer(&update);
}

/* Makes and commits blocks until the core has nothing pending. */
static void make_blocks(struct ledger *ledger)
{
    while (consensus_pending(ledger->core)) {
        struct consensus_event tick = {.type = CONSENSUS_TICK, .now_us = clock_wall_us()};
        struct consensus_update update;
        step(ledger, &tick, &update);
        /* What persist names stays valid until it is reported as written; the answers do not. */
        const struct consensus_persist *to_write = update.persist;
        bool progress = to_write || update.answer_count;
        answer(&update);
        if (to_write)
            persist(ledger, to_write);
        if (!progress)
            break;
    }
}

/* One round: all of a detached queue into one block, or as many as it takes. The caller has the core. */
static void run_round(struct ledger *ledger, struct submission *list)
{
    while (list) {
        struct submission *submission = list;
        list = submission->next;
        struct consensus_event event = {
            .type = CONSENSUS_SUBMIT, .now_us = clock_wall_us(), .tx = submission->tx, .token = submission};
        struct consensus_update update;
        step(ledger, &event, &update);
        answer(&update);
    }
    make_blocks(ledger);
}

static struct submission *detach_queue(struct ledger *ledger)
{
    struct submission *list = ledger->first;
    ledger->first = NULL;
    ledger->last = &ledger->first;
    return list;
}

static void *ledger_run(void *arg)
{
    struct ledger *ledger = arg;
    pthread_mutex_lock(&ledger->lock);
    for (;;) {
        while (ledger->busy || (!ledger->first && !ledger->stopping))
            pthread_cond_wait(&ledger->wake, &ledger->lock);
        if (!ledger->first)
            break;
        ledger->busy = true;
        while (ledger->first) {
            struct submission *list = detach_queue(ledger);
            pthread_mutex_unlock(&ledger->lock);
            run_round(ledger, list);
            pthread_mutex_lock(&ledger->lock);
        }
        ledger->busy = false;
    }
    pthread_mutex_unlock(&ledger->lock);
    return NULL;
}

/* ---- submitting ---- */

static struct submission *submission_new(struct tx *tx, ledger_done_fn done, void *arg)
{
    struct submission *submission = mem_zalloc(sizeof(*submission));
    *submission = (struct submission){.tx = tx, .done = done, .arg = arg};
    return submission;
}

static void enqueue(struct ledger *ledger, struct submission *submission)
{
    *ledger->last = submission;
    ledger->last = &submission->next;
}

void ledger_submit(struct ledger *ledger, struct tx *tx, ledger_done_fn done, void *arg)
{
    struct submission *submission = submission_new(tx, done, arg);
    pthread_mutex_lock(&ledger->lock);
    assert(!ledger->stopping || ledger->busy);
    bool wake = !ledger->busy && !ledger->first;
    enqueue(ledger, submission);
    pthread_mutex_unlock(&ledger->lock);
    if (wake)
        pthread_cond_signal(&ledger->wake);
}

void ledger_submit_inline(struct ledger *ledger, struct tx *tx, ledger_done_fn done, void *arg)
{
    pthread_mutex_lock(&ledger->lock);
    bool idle = !ledger->busy && !ledger->first && !ledger->stopping;
    if (idle)
        ledger->busy = true;
    pthread_mutex_unlock(&ledger->lock);
    if (!idle) {
        ledger_submit(ledger, tx, done, arg);
        return;
    }
    run_round(ledger, submission_new(tx, done, arg));
    pthread_mutex_lock(&ledger->lock);
    ledger->busy = false;
    bool wake = ledger->first || ledger->stopping;
    pthread_mutex_unlock(&ledger->lock);
    if (wake)
        pthread_cond_signal(&ledger->wake);
}

struct waiter {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool finished;
    struct ledger_result *result;
    struct err *err;
};

static void wait_done(void *arg, const struct ledger_result *result)
{
    struct waiter *waiter = arg;
    pthread_mutex_lock(&waiter->lock);
    *waiter->result = *result;
    waiter->result->message = ""; /* the core's memory; err has the text */
    if (result->code)
        err_set(waiter->err, result->code, "%s", result->message);
    waiter->finished = true;
    pthread_cond_signal(&waiter->cond);
    pthread_mutex_unlock(&waiter->lock);
}

int ledger_submit_wait(struct ledger *ledger, struct tx *tx, struct ledger_result *result, struct err *err)
{
    struct ledger_result own;
    struct waiter waiter = {.result = result ? result : &own, .err = err};
    pthread_mutex_init(&waiter.lock, NULL);
    pthread_cond_init(&waiter.cond, NULL);
    ledger_submit_inline(ledger, tx, wait_done, &waiter);
    pthread_mutex_lock(&waiter.lock);
    while (!waiter.finished)
        pthread_cond_wait(&waiter.cond, &waiter.lock);
    pthread_mutex_unlock(&waiter.lock);
    pthread_mutex_destroy(&waiter.lock);
    pthread_cond_destroy(&waiter.cond);
    return waiter.result->code;
}

/* ---- opening and closing ---- */

/* The first block of a new chain, written like any other. */
static int make_genesis(struct ledger *ledger, struct err *err)
{
    struct block *genesis = block_genesis(clock_wall_us(), ledger->secret_key);
    struct lthash empty;
    lthash_init(&empty);
    struct state_update update = {.head_rv = block_head_rv(&genesis->header), .hash = &empty};
    memcpy(update.block_hash, genesis->header.hash, HASH_SIZE);
    int rc = blockstore_commit(ledger->store, genesis, &update, err);
    block_free(genesis);
    return rc;
}

/* The key and the chain belong together: a new key is made only for a new chain. */
static int open_chain(struct ledger *ledger, const char *dir, struct err *err)
{
    mem_auto char *key_path = mem_printf("%s/node.key", dir);
    struct err missing;
    struct blockstore_head head;
    bool fresh = blockstore_head(ledger->store, &head, err) == ERR_NOT_FOUND;
    int rc = node_key_load(ledger->secret_key, key_path, &missing);
    if (rc == ERR_NOT_FOUND && fresh)
        rc = node_key_make(ledger->secret_key, key_path, err);
    else if (rc == ERR_NOT_FOUND)
        rc = err_set(
            err, rc,
            "%s is missing, and without it this node cannot go on with its chain: restore it from a backup",
            key_path);
    else if (rc < 0)
        rc = err_set(err, rc, "%s", missing.message);
    if (!rc && fresh)
        rc = make_genesis(ledger, err);
    return rc;
}

static int start_core(struct ledger *ledger, struct err *err)
{
    struct block_header genesis;
    struct blockstore_head head;
    int rc = blockstore_header_at(ledger->store, 0, &genesis, err);
    if (!rc)
        rc = blockstore_head(ledger->store, &head, err);
    if (rc < 0)
        return rc;
    memcpy(ledger->chain_id, genesis.hash, TX_ID_SIZE);
    struct consensus_options options = {
        .genesis = &genesis,
        .head = &head.header,
        .state_hash = &head.state_hash,
        .store_ops = blockstore_ops(),
        .store = ledger->store,
    };
    memcpy(options.secret_key, ledger->secret_key, sizeof(options.secret_key));
    rc = consensus_new(&ledger->core, &options, err);
    if (!rc)
        publish_policy(ledger);
    return rc;
}

static int start_thread(struct ledger *ledger, struct err *err)
{
    int rc = pthread_create(&ledger->thread, NULL, ledger_run, ledger);
    if (rc)
        return err_set(err, ERR_INTERNAL, "cannot start a thread: %s", strerror(rc));
    ledger->thread_started = true;
    return 0;
}

int ledger_open(struct ledger **out, const struct ledger_options *options, struct err *err)
{
    struct ledger *ledger = mem_zalloc(sizeof(*ledger));
    ledger->last = &ledger->first;
    pthread_mutex_init(&ledger->lock, NULL);
    pthread_cond_init(&ledger->wake, NULL);
    pthread_rwlock_init(&ledger->subscribers_lock, NULL);
    mem_auto char *dir = mem_printf("%s/chain", options->data_dir);
    struct blockstore_options store_options = {.dir = dir,
                                               .retention_us = options->retention_us,
                                               .checkpoint_us = options->checkpoint_us,
                                               .first_segment = options->first_segment};
    int rc = dir_make(options->data_dir, err);
    if (!rc)
        rc = blockstore_open(&ledger->store, &store_options, err);
    if (!rc)
        rc = open_chain(ledger, dir, err);
    if (!rc)
        rc = start_core(ledger, err);
    if (!rc)
        rc = start_thread(ledger, err);
    if (rc < 0) {
        ledger_close(ledger);
        return rc;
    }
    *out = ledger;
    return 0;
}

void ledger_close(struct ledger *ledger)
{
    if (!ledger)
        return;
    if (ledger->thread_started) {
        pthread_mutex_lock(&ledger->lock);
        ledger->stopping = true;
        pthread_mutex_unlock(&ledger->lock);
        pthread_cond_signal(&ledger->wake);
        pthread_join(ledger->thread, NULL);
    }
    assert(!ledger->first);
    if (ledger->core)
        consensus_free(ledger->core);
    if (ledger->policy)
        rbac_policy_release(ledger->policy);
    blockstore_close(ledger->store);
    ledger_subscribe(ledger, NULL, NULL);
    pthread_mutex_destroy(&ledger->lock);
    pthread_cond_destroy(&ledger->wake);
    pthread_rwlock_destroy(&ledger->subscribers_lock);
    explicit_bzero(ledger->secret_key, sizeof(ledger->secret_key));
    free(ledger);
}

/* ---- small things ---- */

const uint8_t *ledger_chain_id(const struct ledger *ledger)
{
    return ledger->chain_id;
}

const uint8_t *ledger_node_public(const struct ledger *ledger)
{
    return ledger->secret_key + NODE_KEY_SIZE - TX_KEY_SIZE;
}

int ledger_sign(struct ledger *ledger, struct tx *tx, struct err *err)
{
    memcpy(tx->chain_id, ledger->chain_id, TX_ID_SIZE);
    tx->time_us = clock_wall_us();
    rand_bytes(tx->nonce, sizeof(tx->nonce));
    return tx_sign(tx, ledger->secret_key, err);
}

const struct state_store_ops *ledger_store_ops(const struct ledger *ledger)
{
    (void)ledger;
    return blockstore_ops();
}

void *ledger_store(const struct ledger *ledger)
{
    return ledger->store;
}

static void end_subscriptions(struct ledger *ledger)
{
    while (ledger->subscribers) {
        struct subscriber *s = ledger->subscribers;
        ledger->subscribers = s->next;
        free(s);
    }
}

void ledger_subscribe(struct ledger *ledger, ledger_block_fn fn, void *arg)
{
    /* Callbacks run under the reading side of this lock. */
    pthread_rwlock_wrlock(&ledger->subscribers_lock);
    if (fn) {
        struct subscriber *subscriber = mem_zalloc(sizeof(*subscriber));
        *subscriber = (struct subscriber){.fn = fn, .arg = arg};
        struct subscriber **end = &ledger->subscribers;
        while (*end)
            end = &(*end)->next;
        *end = subscriber;
    } else {
        end_subscriptions(ledger);
    }
    pthread_rwlock_unlock(&ledger->subscribers_lock);
}

struct rbac_policy *ledger_policy(struct ledger *ledger)
{
    pthread_mutex_lock(&ledger->lock);
    struct rbac_policy *policy = rbac_policy_retain(ledger->policy);
    pthread_mutex_unlock(&ledger->lock);
    return policy;
}
