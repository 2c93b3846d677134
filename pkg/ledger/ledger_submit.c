/* Submitting, and waiting for what becomes of it. */
#include "ledger/ledger_internal.h"

#include "base/mem.h"

static struct work *submission_new(struct tx *tx, ledger_done_fn done, void *arg)
{
    struct work *work = mem_zalloc(sizeof(*work));
    *work = (struct work){.type = WORK_SUBMIT, .tx = tx, .done = done, .arg = arg};
    return work;
}

void ledger_submit(struct ledger *ledger, struct tx *tx, ledger_done_fn done, void *arg)
{
    ledger_enqueue(ledger, submission_new(tx, done, arg));
}

void ledger_submit_inline(struct ledger *ledger, struct tx *tx, ledger_done_fn done, void *arg)
{
    ledger_give(ledger, submission_new(tx, done, arg));
}

/* ---- waiting ---- */

struct waiter {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool finished;
    struct ledger_result *result;
    struct err *err;
    void (*call)(struct ledger *ledger, void *arg);
    void *arg;
};

static void waiter_init(struct waiter *waiter)
{
    pthread_mutex_init(&waiter->lock, NULL);
    pthread_cond_init(&waiter->cond, NULL);
}

static void waiter_finish(struct waiter *waiter)
{
    waiter->finished = true;
    pthread_cond_signal(&waiter->cond);
    pthread_mutex_unlock(&waiter->lock);
}

static void waiter_wait(struct waiter *waiter)
{
    pthread_mutex_lock(&waiter->lock);
    while (!waiter->finished)
        pthread_cond_wait(&waiter->cond, &waiter->lock);
    pthread_mutex_unlock(&waiter->lock);
    pthread_mutex_destroy(&waiter->lock);
    pthread_cond_destroy(&waiter->cond);
}

static void wait_done(void *arg, const struct ledger_result *result)
{
    struct waiter *waiter = arg;
    pthread_mutex_lock(&waiter->lock);
    *waiter->result = *result;
    waiter->result->message = ""; /* the core's memory; err has the text */
    if (result->code)
        err_set(waiter->err, result->code, "%s", result->message);
    waiter_finish(waiter);
}

int ledger_submit_wait(struct ledger *ledger, struct tx *tx, struct ledger_result *result, struct err *err)
{
    struct ledger_result own;
    struct waiter waiter = {.result = result ? result : &own, .err = err};
    waiter_init(&waiter);
    ledger_submit_inline(ledger, tx, wait_done, &waiter);
    waiter_wait(&waiter);
    return waiter.result->code;
}

static void run_call(struct ledger *ledger, void *arg)
{
    struct waiter *waiter = arg;
    waiter->call(ledger, waiter->arg);
    pthread_mutex_lock(&waiter->lock);
    waiter_finish(waiter);
}

void ledger_call(struct ledger *ledger, void (*call)(struct ledger *ledger, void *arg), void *arg)
{
    struct waiter waiter = {.call = call, .arg = arg};
    waiter_init(&waiter);
    struct work work = {.type = WORK_CALL, .call = run_call, .arg = &waiter};
    ledger_give(ledger, &work);
    waiter_wait(&waiter);
}
