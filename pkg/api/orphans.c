/* See orphans.h: the thread, and who does what when. */
#include "api/orphans_internal.h"

#include "api/node_events.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "blockstore/blockstore.h"
#include "validator/registry.h"

#include <errno.h>
#include <time.h>

#define BATCH_MAX 256        /* submitted together */
#define LOOK_US 100000       /* while something is put off */
#define LOOK_LATE_US 2000000 /* when the chain does not know this node, or the disk fails */
#define TAKE_OVER_US 2000000 /* the signer of an orphan does not answer */
#define JOIN_US 60000000     /* tried for so long */
#define ALIASES_MAX 4096

/* An orphan that is not done. */
struct waiting {
    uint64_t number;
    uint8_t id[TX_ID_SIZE];
    uint8_t signer[TX_KEY_SIZE];
    bool own;
    bool merged;      /* a rebased form is in the chain: only what it lost may have to be told */
    int64_t since_us; /* clock_mono_us */
};

/* One that is tried at the moment. */
struct trial {
    struct batch *batch;
    uint64_t number;
    struct tx *tx; /* NULL: nothing is to be done */
    int code;      /* of the transaction as it is; 0 also when a rebased form is in the chain */
    bool skip_as_is;
    bool lets_go; /* nobody replays what is left of it */
    bool tells;   /* what is lost of it is told */
    bool indexed; /* it was in the chain already when it was looked at again */
    bool merged;  /* see struct waiting */
    bool joins;   /* a node that was admitted on that branch: it may have to wait for others */
};

struct batch {
    pthread_mutex_t lock;
    pthread_cond_t done;
    size_t open; /* in the ledger's hands */
};

struct api_orphans {
    struct api_server *server;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool wake, stopping;

    /* The thread's own. */
    uint64_t newest; /* the newest number that was looked at */
    struct waiting *waiting;
    size_t waiting_count;
    struct orphan_aliases aliases;
    struct orphan_conflicts *conflicts;
    bool unreadable; /* the store did not give an orphan: it is asked again later */
    uint64_t *told;  /* orphans that are done once the conflicts are written */
    size_t told_count;
};

static bool stopping(struct api_orphans *o)
{
    pthread_mutex_lock(&o->lock);
    bool stop = o->stopping;
    pthread_mutex_unlock(&o->lock);
    return stop;
}

static void finish(struct api_orphans *o, uint64_t number)
{
    struct err err = {0};
    int rc = ledger_orphan_done(o->server->ledger, number, &err);
    if (rc && rc != ERR_NOT_FOUND)
        log_warn("replay", "an orphan is not put away: %s", err.message);
}

static void finish_told(struct api_orphans *o, uint64_t number)
{
    o->told = mem_reallocarray(o->told, o->told_count + 1, sizeof(*o->told));
    o->told[o->told_count++] = number;
}

static void tell(struct api_orphans *o)
{
    if (!orphan_conflicts_write(o->conflicts))
        return;
    for (size_t i = 0; i < o->told_count; i++)
        finish(o, o->told[i]);
    o->told_count = 0;
}

/* ---- what is put off ---- */

static void put_off(struct api_orphans *o, const struct trial *trial, int64_t since_us)
{
    struct waiting item = {.number = trial->number, .merged = trial->merged, .since_us = since_us};
    memcpy(item.id, trial->tx->id, TX_ID_SIZE);
    memcpy(item.signer, trial->tx->node_key, TX_KEY_SIZE);
    item.own = !memcmp(item.signer, ledger_node_public(o->server->ledger), TX_KEY_SIZE);
    o->waiting = mem_reallocarray(o->waiting, o->waiting_count + 1, sizeof(*o->waiting));
    o->waiting[o->waiting_count++] = item;
}

/* Whether it is built on something that is put off, and not in the chain. */
static bool depends(const struct api_orphans *o, const struct tx *tx)
{
    for (size_t i = 0; i < tx->input_count; i++)
        for (size_t k = 0; k < o->waiting_count; k++)
            if (!o->waiting[k].merged && !memcmp(tx->inputs[i].tx_id, o->waiting[k].id, TX_ID_SIZE))
                return true;
    return false;
}

/* As it is, or in a rebased form. */
static bool is_included(struct api_orphans *o, const uint8_t id[TX_ID_SIZE])
{
    struct blockstore *store = ledger_store(o->server->ledger);
    uint64_t height;
    uint32_t index;
    return !blockstore_height_of_tx(store, id, &height, &index, NULL) ||
           !blockstore_height_of_rebased(store, id, &height, &index, NULL);
}

/* ---- as it is ---- */

static void on_done(void *arg, const struct ledger_result *result)
{
    struct trial *trial = arg;
    struct batch *batch = trial->batch;
    pthread_mutex_lock(&batch->lock);
    trial->code = result->code;
    if (--batch->open == 0)
        pthread_cond_signal(&batch->done);
    pthread_mutex_unlock(&batch->lock);
}

/* What the policy of all its parts comes to. */
static void sort_out(struct api_orphans *o, struct trial *trial)
{
    bool drop = true;
    trial->lets_go = true;
    for (size_t i = 0; i < trial->tx->output_count; i++) {
        struct orphan_part part;
        orphan_part_open(o->server, &part, trial->tx, i);
        trial->joins |= !strcmp(part.output->key.resource, REGISTRY_VALIDATORS) &&
                        !strcmp(part.output->key.group, REGISTRY_GROUP) && !strcmp(trial->tx->verb, "create");
        drop &= part.policy == ORPHAN_DROP;
        trial->tells |= part.policy == ORPHAN_MERGE;
        trial->lets_go &=
            part.policy == ORPHAN_DROP || (part.policy == ORPHAN_AS_IS && !orphan_is_conflict(&part));
        if (part.kind && kind_is(part.kind, "", "services") && part.verb != REPLAY_DELETE)
            trial->skip_as_is |= orphan_service_taken(o->server, part.orphan);
        orphan_part_close(&part);
    }
    if (drop) {
        log_debug("replay", "%s of %s by %s is out of date", trial->tx->verb,
                  trial->tx->outputs[0].key.resource, trial->tx->user);
        finish(o, trial->number);
        tx_free(trial->tx);
        trial->tx = NULL;
    }
}

static void submit_all(struct api_orphans *o, struct trial *trials, size_t count)
{
    struct batch batch = {.lock = PTHREAD_MUTEX_INITIALIZER, .done = PTHREAD_COND_INITIALIZER, .open = 1};
    for (size_t i = 0; i < count; i++) {
        struct trial *trial = &trials[i];
        struct tx *copy;
        trial->batch = &batch;
        trial->code = ERR_STALE;
        if (!trial->tx || trial->skip_as_is || trial->tx->pruned ||
            tx_decode(&copy, trial->tx->encoded, trial->tx->encoded_len, NULL))
            continue;
        pthread_mutex_lock(&batch.lock);
        batch.open++;
        pthread_mutex_unlock(&batch.lock);
        ledger_submit(o->server->ledger, copy, on_done, trial);
    }
    pthread_mutex_lock(&batch.lock);
    batch.open--;
    while (batch.open > 0)
        pthread_cond_wait(&batch.done, &batch.lock);
    pthread_mutex_unlock(&batch.lock);
    for (size_t i = 0; i < count; i++)
        trials[i].batch = NULL;
    pthread_mutex_destroy(&batch.lock);
    pthread_cond_destroy(&batch.done);
}

/* ---- whose turn it is ---- */

struct members {
    struct ledger_validator *list;
    size_t count;
};

static void members_read(struct api_orphans *o, struct members *members)
{
    members->list = mem_calloc(REGISTRY_MAX, sizeof(*members->list));
    members->count = ledger_validators(o->server->ledger, members->list, REGISTRY_MAX);
    if (members->count > REGISTRY_MAX)
        members->count = REGISTRY_MAX;
}

static const struct ledger_validator *member_find(const struct members *members,
                                                  const uint8_t key[TX_KEY_SIZE])
{
    for (size_t i = 0; i < members->count; i++)
        if (!memcmp(members->list[i].key, key, TX_KEY_SIZE))
            return &members->list[i];
    return NULL;
}

enum turn { TURN_LATER, TURN_NOW, TURN_DONE };

/* Whether this node is to do what falls to another one, if that is away. All that falls to one node is done
 * by one other: of what was written one after the other the last is told. */
static enum turn turn_for(struct api_orphans *o, const uint8_t key[TX_KEY_SIZE], int64_t age_us,
                          const struct members *members)
{
    if (!memcmp(key, ledger_node_public(o->server->ledger), TX_KEY_SIZE))
        return TURN_NOW;
    if (age_us < TAKE_OVER_US)
        return TURN_LATER;
    /* A node that lives does it, if it has to: it is on its disk as on ours. */
    const struct ledger_validator *other = member_find(members, key);
    if (other && (other->live || other->self))
        return TURN_DONE;
    /* The one that is chosen may not have this orphan. */
    bool chosen = ledger_owns(o->server->ledger, key, TX_KEY_SIZE);
    return chosen || age_us >= 2 * TAKE_OVER_US ? TURN_NOW : TURN_LATER;
}

/* Of what was put off. */
static enum turn turn_of(struct api_orphans *o, const struct waiting *item, const struct members *members,
                         int64_t now_us)
{
    int64_t age_us = now_us - item->since_us;
    if (item->merged)
        return age_us < TAKE_OVER_US ? TURN_LATER : TURN_NOW;
    return is_included(o, item->id) ? TURN_NOW : turn_for(o, item->signer, age_us, members);
}

/* ---- replayed ---- */

static bool is_own(const struct api_orphans *o, const struct tx *tx)
{
    return !memcmp(tx->node_key, ledger_node_public(o->server->ledger), TX_KEY_SIZE);
}

/* Validators come one at a time. */
static bool waits_to_join(const struct trial *trial, int64_t since_us)
{
    return trial->joins && trial->code != ERR_EXISTS && clock_mono_us() - since_us < JOIN_US;
}

/* It is in the chain. Whoever put a rebased form there may have crashed before it told what was lost, and
 * what is told already is not told again; so each node tells what it did itself, and what falls to one that
 * is away. True: done. */
static bool settle(struct api_orphans *o, struct trial *trial, const struct orphan_past *past,
                   int64_t since_us)
{
    struct members members;
    orphan_past_learn(past, trial->tx, &o->aliases);
    if (past->as_is || !trial->tells)
        return true;
    trial->merged = true;
    if (depends(o, trial->tx))
        return false;
    members_read(o, &members);
    const uint8_t *key = past->tx ? past->tx->node_key : trial->tx->node_key;
    enum turn turn = turn_for(o, key, clock_mono_us() - since_us, &members);
    free(members.list);
    if (turn == TURN_NOW)
        orphan_tell_past(o->server, &o->aliases, o->conflicts, trial->tx, past);
    return turn != TURN_LATER;
}

/* The chain has it, and this node cannot find it there: it is behind, or its chain began with a snapshot. */
static bool is_out_of_sight(const struct trial *trial, int64_t since_us)
{
    return trial->code == ERR_INCLUDED && !trial->indexed && clock_mono_us() - since_us >= JOIN_US;
}

/* True: done, but for what orphan_conflicts_untold has. takes: whoever signed it, this node does it. */
static bool take_care(struct api_orphans *o, struct trial *trial, int64_t since_us, bool takes,
                      struct err *err)
{
    if (trial->code == 0 && !trial->tells)
        return true;
    if (trial->code == ERR_UNAVAILABLE || trial->code == ERR_TIMEOUT)
        return false;
    struct orphan_past past;
    int rc = orphan_past_find(o->server, trial->tx, &past, err);
    if (!rc || (rc == ERR_NOT_FOUND && is_out_of_sight(trial, since_us))) {
        bool done = settle(o, trial, &past, since_us);
        orphan_past_close(&past);
        err_clear(err);
        return done;
    }
    if (rc != ERR_NOT_FOUND)
        return false;
    err_clear(err);
    /* It was there when it was submitted: abandoned by now, or this node is behind. */
    if (trial->code == 0 || trial->code == ERR_INCLUDED)
        return false;
    if (depends(o, trial->tx) || waits_to_join(trial, since_us))
        return false;
    if (!takes && !is_own(o, trial->tx))
        return trial->lets_go;
    rc = orphan_replay(o->server, &o->aliases, o->conflicts, trial->tx, err);
    if (rc == ERR_INCLUDED)
        err_clear(err); /* another node was faster */
    return rc == 0;
}

static void resolve(struct api_orphans *o, struct trial *trial, int64_t since_us, bool takes)
{
    struct err err = {0};
    size_t untold = orphan_conflicts_untold(o->conflicts);
    bool done = take_care(o, trial, since_us, takes, &err);
    if (orphan_conflicts_untold(o->conflicts) > untold)
        finish_told(o, trial->number);
    else if (done)
        finish(o, trial->number);
    else
        put_off(o, trial, since_us);
    if (!done && *err.message)
        log_warn("replay", "an orphan is tried again later: %s", err.message);
}

static void run_trials(struct api_orphans *o, struct trial *trials, size_t count, int64_t since_us)
{
    for (size_t i = 0; i < count; i++)
        sort_out(o, &trials[i]);
    submit_all(o, trials, count);
    for (size_t i = 0; i < count; i++) {
        if (trials[i].tx)
            resolve(o, &trials[i], since_us, false);
        tx_free(trials[i].tx);
    }
}

/* The next orphan that was not looked at; false when there is none. */
static bool next_new(struct api_orphans *o, struct trial *trial)
{
    struct err err = {0};
    int rc = ledger_orphan_next(o->server->ledger, o->newest, &trial->number, &trial->tx, &err);
    o->unreadable = rc && rc != ERR_NOT_FOUND;
    if (o->unreadable)
        log_error("replay", "an orphan cannot be read: %s", err.message);
    if (!rc)
        o->newest = trial->number;
    return !rc;
}

/* All orphans that came since the last look. */
static void take_new(struct api_orphans *o)
{
    struct trial *trials = mem_calloc(BATCH_MAX, sizeof(*trials));
    size_t count;
    do {
        count = 0;
        memset(trials, 0, BATCH_MAX * sizeof(*trials));
        while (count < BATCH_MAX && next_new(o, &trials[count]))
            count++;
        if (count)
            log_info("replay", "%zu change%s of an abandoned branch to bring back or replay", count,
                     count == 1 ? "" : "s");
        run_trials(o, trials, count, clock_mono_us());
        tell(o);
    } while (count == BATCH_MAX && !stopping(o));
    free(trials);
}

/* ---- later ---- */

/* Tries one again; it may be put off once more. */
static void try_again(struct api_orphans *o, const struct waiting *item)
{
    struct trial trial = {0};
    struct err err;
    if (ledger_orphan_next(o->server->ledger, item->number - 1, &trial.number, &trial.tx, &err))
        return;
    if (trial.number == item->number) {
        sort_out(o, &trial);
        trial.indexed = is_included(o, item->id);
        trial.code = ERR_INCLUDED;
        if (!trial.indexed)
            submit_all(o, &trial, 1);
        if (trial.tx)
            resolve(o, &trial, item->since_us, true);
    }
    tx_free(trial.tx);
}

/* In their order, since later ones may be built on earlier ones. */
static void look_again(struct api_orphans *o)
{
    struct members members;
    members_read(o, &members);
    struct waiting *list = o->waiting;
    size_t count = o->waiting_count;
    o->waiting = NULL;
    o->waiting_count = 0;
    for (size_t i = 0; i < count; i++) {
        enum turn turn = stopping(o) ? TURN_LATER : turn_of(o, &list[i], &members, clock_mono_us());
        if (turn == TURN_NOW) {
            try_again(o, &list[i]);
        } else if (turn == TURN_DONE) {
            finish(o, list[i].number);
        } else {
            o->waiting = mem_reallocarray(o->waiting, o->waiting_count + 1, sizeof(*o->waiting));
            o->waiting[o->waiting_count++] = list[i];
        }
    }
    free(list);
    free(members.list);
    tell(o);
}

/* A node that the chain does not know (any more) can sign nothing: its registration may be among the orphans
 * of others. */
static bool may_sign(struct api_orphans *o)
{
    struct members members;
    members_read(o, &members);
    bool known = member_find(&members, ledger_node_public(o->server->ledger)) != NULL;
    free(members.list);
    return known;
}

/* ---- the thread ---- */

static struct timespec after(int64_t us)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    int64_t ns = t.tv_nsec + us * 1000;
    return (struct timespec){t.tv_sec + ns / 1000000000, ns % 1000000000};
}

/* Sleeps until there are new orphans, or, when that is not 0, for a while. False: it is to end. */
static bool sleep_until_needed(struct api_orphans *o, int64_t at_most_us)
{
    struct timespec until = after(at_most_us);
    int rc = 0;
    pthread_mutex_lock(&o->lock);
    while (!o->wake && !o->stopping && rc != ETIMEDOUT)
        rc = at_most_us ? pthread_cond_timedwait(&o->cond, &o->lock, &until)
                        : pthread_cond_wait(&o->cond, &o->lock);
    o->wake = false;
    bool go_on = !o->stopping;
    pthread_mutex_unlock(&o->lock);
    return go_on;
}

static bool any_orphans(struct api_orphans *o)
{
    struct tx *tx;
    uint64_t number;
    struct err err;
    int rc = ledger_orphan_next(o->server->ledger, o->newest, &number, &tx, &err);
    if (!rc)
        tx_free(tx);
    return rc != ERR_NOT_FOUND;
}

/* One look; returns how long to sleep at most until the next, 0: until there is something new. */
static int64_t look(struct api_orphans *o)
{
    if (!o->waiting_count && !o->told_count && !any_orphans(o))
        return 0;
    if (!may_sign(o))
        return LOOK_LATE_US;
    tell(o); /* what could not be written before */
    if (o->waiting_count)
        look_again(o);
    take_new(o);
    if (!o->waiting_count || o->aliases.count > ALIASES_MAX)
        orphan_aliases_clear(&o->aliases);
    if (o->waiting_count)
        return LOOK_US;
    return o->unreadable || o->told_count ? LOOK_LATE_US : 0;
}

static void *orphans_run(void *arg)
{
    struct api_orphans *o = arg;
    int64_t sleep_us = LOOK_US;
    pthread_setname_np(pthread_self(), "api-orphans");
    while (sleep_until_needed(o, sleep_us))
        sleep_us = look(o);
    return NULL;
}

static void on_event(void *arg, enum ledger_event event)
{
    struct api_orphans *o = arg;
    if (event != LEDGER_EVENT_ORPHANS)
        return;
    pthread_mutex_lock(&o->lock);
    o->wake = true;
    pthread_cond_signal(&o->cond);
    pthread_mutex_unlock(&o->lock);
}

int orphans_start(struct api_server *server, struct err *err)
{
    struct api_orphans *o = mem_zalloc(sizeof(*o));
    pthread_condattr_t attributes;
    o->server = server;
    o->wake = true; /* an earlier run may have left some */
    o->conflicts = orphan_conflicts_new(server);
    pthread_mutex_init(&o->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&o->cond, &attributes);
    pthread_condattr_destroy(&attributes);
    int rc = pthread_create(&o->thread, NULL, orphans_run, o);
    if (rc) {
        orphan_conflicts_free(o->conflicts);
        pthread_mutex_destroy(&o->lock);
        pthread_cond_destroy(&o->cond);
        free(o);
        return err_set(err, ERR_INTERNAL, "cannot start a thread: %s", strerror(rc));
    }
    server->orphans = o;
    api_events_add(server, on_event, o);
    return 0;
}

void orphans_stop(struct api_server *server)
{
    struct api_orphans *o = server->orphans;
    if (!o)
        return;
    api_events_remove(server, on_event, o);
    pthread_mutex_lock(&o->lock);
    o->stopping = true;
    pthread_cond_signal(&o->cond);
    pthread_mutex_unlock(&o->lock);
    pthread_join(o->thread, NULL);
    tell(o);
    orphan_conflicts_free(o->conflicts);
    orphan_aliases_clear(&o->aliases);
    free(o->waiting);
    free(o->told);
    pthread_mutex_destroy(&o->lock);
    pthread_cond_destroy(&o->cond);
    free(o);
    server->orphans = NULL;
}
