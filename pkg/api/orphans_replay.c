/*
 * Replays one orphan: each of its outputs against what stands there now, all in one new transaction that
 * names the original. The state may change meanwhile; then all of it is decided again.
 */
#include "api/orphans_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/timefmt.h"

#include <assert.h>
#include <stdio.h>
#include <unistd.h>

#define TRIES_MAX 12
#define PAUSE_US 5000 /* after the first try; a little more after each */

static const char unreadable[] = "its content cannot be read on this node";

/* What came of one part. */
struct outcome {
    struct orphan_part part;
    struct replay_decision decision;
    json_t *current; /* NULL: gone */
    bool tell;
    char *reason; /* why nothing was kept; NULL: something was, or there was nothing to do */
};

struct attempt {
    struct api_server *server;
    struct orphan_aliases *aliases;
    const struct tx *original;
    struct tx *tx; /* what takes its place; NULL until there is something to put in */
    struct api_call call;
    struct api_request request;
    const char *note;         /* for what is told; NULL: none */
    struct outcome *outcomes; /* one for each output of the original */
    size_t count;
};

static void lost(struct outcome *o, const char *reason)
{
    free(o->reason);
    o->reason = mem_strdup(reason);
}

static void outcome_clear(struct outcome *o)
{
    orphan_part_close(&o->part);
    replay_decision_free(&o->decision);
    json_decref(o->current);
    free(o->reason);
    *o = (struct outcome){0};
}

/* ---- who the change is made for ---- */

static void read_manager(struct attempt *a)
{
    json_auto_t *intent = json_loadb((const char *)a->original->intent, a->original->intent_len, 0, NULL);
    const char *manager = json_str_or_empty(intent, "fieldManager");
    snprintf(a->call.manager, sizeof(a->call.manager), "%s", *manager ? manager : "unknown");
}

static void attempt_begin(struct attempt *a)
{
    const struct tx *tx = a->original;
    a->request = (struct api_request){
        .user = {.name = tx->user, .uid = "", .groups = tx->groups, .group_count = tx->group_count},
        .verb = API_UPDATE,
        .subresource = tx->subresource,
        .namespace = "",
        .name = "",
        .grace_period_s = -1,
    };
    a->call = (struct api_call){.server = a->server, .request = &a->request, .now_us = clock_wall_us()};
    read_manager(a);
    a->outcomes = mem_calloc(tx->output_count + 1, sizeof(*a->outcomes));
    a->count = tx->output_count;
}

static void attempt_end(struct attempt *a)
{
    tx_free(a->tx);
    call_snapshot_end(&a->call);
    buf_free(&a->call.text);
    json_decref(a->call.live);
    json_decref(a->call.causes);
    allocate_release(a->server, a->call.reserved);
    for (size_t i = 0; i < a->count; i++)
        outcome_clear(&a->outcomes[i]);
    free(a->outcomes);
}

/* ---- an object that was made twice ---- */

static void follow_alias(const struct attempt *a, struct orphan_part *part)
{
    const char *to = orphan_alias_of(a->aliases, part->output->uid);
    if (!to || part->verb != REPLAY_CHANGE)
        return;
    if (part->base)
        json_set_str(json_object_get(part->base, "metadata"), "uid", to);
    json_set_str(json_object_get(part->orphan, "metadata"), "uid", to);
}

/* ---- deciding ---- */

static void read_current(struct attempt *a, struct outcome *o)
{
    struct api_call *call = &a->call;
    call->kind = o->part.kind;
    json_decref(call->live);
    call->live = NULL;
    call->has_live = false;
    const struct resource_key *key = &o->part.output->key;
    if (call_find(call, call->kind, key->namespace, key->name, &call->live_state))
        return;
    call->live = object_parse(a->server, &call->live_state, &call->err);
    call->has_live = call->live != NULL;
    o->current = json_incref(call->live);
}

static json_t *scheduled_condition(const json_t *pod)
{
    size_t i;
    json_t *condition;
    json_array_foreach(json_at(pod, "status", "conditions"), i, condition)
    {
        if (!strcmp(json_str_or_empty(condition, "type"), "PodScheduled"))
            return condition;
    }
    return NULL;
}

/* The pod that the binding was made for still waits for a node: it gets that node. */
static void decide_binding(struct outcome *o)
{
    const json_t *orphan = o->part.orphan, *current = o->current;
    if (!current || json_at(current, "metadata", "deletionTimestamp") ||
        *json_str_or_empty(current, "spec", "nodeName") ||
        strcmp(json_str_or_empty(current, "metadata", "uid"), o->part.output->uid) != 0)
        return;
    json_t *pod = json_deep_copy(current);
    json_set_str(json_object_ensure(pod, "spec"), "nodeName", json_str_or_empty(orphan, "spec", "nodeName"));
    json_t *conditions = json_array_ensure(json_object_ensure(pod, "status"), "conditions");
    for (size_t i = json_array_size(conditions); i-- > 0;)
        if (!strcmp(json_str_or_empty(json_array_get(conditions, i), "type"), "PodScheduled"))
            json_array_remove(conditions, i);
    json_t *scheduled = scheduled_condition(orphan);
    if (scheduled)
        json_array_append_new(conditions, json_deep_copy(scheduled));
    o->decision = (struct replay_decision){.outcome = REPLAY_PUT, .merged = pod};
}

static struct replay_case case_of(const struct outcome *o)
{
    return (struct replay_case){.kind = o->part.kind,
                                .verb = o->part.verb,
                                .strict = o->part.tx->strict,
                                .base = o->part.base,
                                .orphan = o->part.orphan,
                                .current = o->current};
}

/* Whatever was decided, it cannot be put. */
static void lose(struct outcome *o, const char *reason)
{
    struct replay_case c = case_of(o);
    replay_decision_free(&o->decision);
    if (c.orphan)
        replay_lose(&o->decision, &c, NULL);
    lost(o, reason);
}

static void decide(struct attempt *a, struct outcome *o)
{
    if (o->part.policy == ORPHAN_BIND) {
        decide_binding(o);
        return;
    }
    /* Taking away the last finalizer of what is gone by now. */
    if (!o->current && o->part.output->op == TX_OUTPUT_DELETE)
        return;
    struct replay_case c = case_of(o);
    replay_decide(&o->decision, &c);
    if (o->decision.outcome == REPLAY_LOST)
        lost(o, o->decision.reason);
    if (o->part.verb == REPLAY_CREATE && o->current)
        orphan_alias_add(a->aliases, &o->part.output->key, o->part.output->uid,
                         json_str_or_empty(o->current, "metadata", "uid"));
}

/* ---- the API's own rules ---- */

static bool is_held(const struct schema_kind *kind, const json_t *object)
{
    return json_array_size(json_at(object, "metadata", "finalizers")) > 0 ||
           (kind_is(kind, "", "namespaces") && json_array_size(json_at(object, "spec", "finalizers")) > 0);
}

static bool removal_due(const struct schema_kind *kind, const json_t *object)
{
    return json_at(object, "metadata", "deletionTimestamp") && !is_held(kind, object) &&
           json_int_or(0, object, "metadata", "deletionGracePeriodSeconds") == 0;
}

static bool is_valid(struct attempt *a, struct outcome *o, const json_t *object)
{
    const char *subresource = a->original->subresource;
    struct field_errors errors = {0};
    if (o->part.verb == REPLAY_DELETE || o->part.policy == ORPHAN_BIND)
        return true;
    if (!strcmp(subresource, "status"))
        validate_subresource(o->part.kind, subresource, object, o->current, &errors);
    else
        validate_object(o->part.kind, object, o->current, &errors);
    if (errors.count > 0) {
        mem_auto char *message = field_errors_message(&errors, o->part.kind, o->part.output->key.name);
        lose(o, message);
    }
    bool valid = errors.count == 0;
    field_errors_free(&errors);
    return valid;
}

/* Of what is deleted and still held by finalizers the deletion is a mark. NULL: it is marked already. */
static json_t *marked(const struct attempt *a, const struct outcome *o)
{
    if (json_at(o->current, "metadata", "deletionTimestamp"))
        return NULL;
    json_t *object = json_deep_copy(o->current);
    json_t *metadata = json_object_get(object, "metadata");
    char now[TIMEFMT_MAX];
    timefmt_seconds(now, a->call.now_us / 1000000);
    json_set_str(metadata, "deletionTimestamp", now);
    json_set_int(metadata, "deletionGracePeriodSeconds", 0);
    if (kind_is(o->part.kind, "", "namespaces"))
        json_set_str(json_object_ensure(object, "status"), "phase", "Terminating");
    return object;
}

/* The verb must permit what is done: a create that finds its object becomes an apply. */
static const char *verb_of(const struct attempt *a, const struct outcome *o)
{
    bool creates = !strcmp(a->original->verb, "create") && !*a->original->subresource;
    return creates && o->current ? "apply" : a->original->verb;
}

static void add_write(struct attempt *a, struct outcome *o, json_t *object, bool remove)
{
    struct call_write write = {
        .verb = verb_of(a, o), .subresource = a->original->subresource, .remove = remove, .object = object};
    struct tx *tx = a->tx ? a->tx : commit_begin(&a->call, &write);
    if (commit_add(&a->call, &write, tx)) {
        lose(o, a->call.err.message);
        if (!a->tx)
            tx_free(tx);
        return;
    }
    a->tx = tx;
}

static void put(struct attempt *a, struct outcome *o)
{
    const struct schema_kind *kind = o->part.kind;
    json_auto_t *object = json_incref(o->decision.merged);
    bool service = kind_is(kind, "", "services") && o->part.verb != REPLAY_DELETE;
    if (o->current)
        meta_update_generation(kind, a->original->subresource, object, o->current);
    if (service && orphan_service_readdress(&a->call, object, &o->decision)) {
        lose(o, a->call.err.message);
        return;
    }
    if (is_valid(a, o, object))
        add_write(a, o, object, removal_due(kind, object));
}

static void remove_current(struct attempt *a, struct outcome *o)
{
    if (!is_held(o->part.kind, o->current)) {
        add_write(a, o, NULL, true);
        return;
    }
    json_auto_t *object = marked(a, o);
    if (object)
        add_write(a, o, object, false);
}

static void replay_part(struct attempt *a, size_t index)
{
    struct outcome *o = &a->outcomes[index];
    orphan_part_open(a->server, &o->part, a->original, index);
    o->tell = o->part.policy == ORPHAN_MERGE;
    if (o->part.policy == ORPHAN_DROP || o->part.policy == ORPHAN_AS_IS)
        return;
    if (!o->part.orphan && o->part.verb != REPLAY_DELETE) {
        lost(o, unreadable);
        return;
    }
    follow_alias(a, &o->part);
    read_current(a, o);
    if (o->current && a->call.live_state.lock_len) {
        lose(o, "the object is locked, and only who holds the key can change it");
        return;
    }
    decide(a, o);
    if (o->decision.outcome == REPLAY_PUT)
        put(a, o);
    else if (o->decision.outcome == REPLAY_REMOVE)
        remove_current(a, o);
}

/* ---- what came of it ---- */

/* At most one form of an original comes into the chain, however often it was rebased. */
static int submit(struct attempt *a, struct err *err)
{
    static const uint8_t none[TX_ID_SIZE];
    const struct tx *from = a->original;
    bool again = memcmp(from->original, none, TX_ID_SIZE) != 0;
    memcpy(a->tx->original, again ? from->original : from->id, TX_ID_SIZE);
    call_snapshot_end(&a->call);
    struct tx *tx = a->tx;
    a->tx = NULL;
    int rc = ledger_encode(a->server->ledger, tx, err);
    if (rc) {
        tx_free(tx);
        return rc;
    }
    return ledger_submit_wait(a->server->ledger, tx, NULL, err);
}

static void tell(struct attempt *a, struct orphan_conflicts *conflicts)
{
    for (size_t i = 0; i < a->count; i++) {
        struct outcome *o = &a->outcomes[i];
        const struct resource_key *key = &a->original->outputs[i].key;
        if (orphan_is_conflict(&o->part))
            orphan_conflict_again(conflicts, o->part.orphan);
        else if (o->tell && (o->reason || o->decision.loss_count > 0))
            orphan_conflict_tell(conflicts, &o->part, &o->decision, o->current, o->reason, a->note);
        else if (o->reason || (o->part.policy != ORPHAN_MERGE && o->decision.outcome == REPLAY_NOTHING))
            log_write(o->reason || o->part.policy == ORPHAN_BIND ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG, "replay",
                      "%s of %s%s%s %s/%s by %s was let go%s%s", a->original->verb, key->resource,
                      *a->original->subresource ? "/" : "", a->original->subresource, key->namespace,
                      key->name, a->original->user, o->reason ? ": " : "", o->reason ? o->reason : "");
    }
}

static bool is_race(int code)
{
    return code == ERR_STALE || code == ERR_EXISTS || code == ERR_NOT_FOUND;
}

/* One try; *again: the state changed under it. */
static int try_once(struct attempt *a, struct orphan_conflicts *conflicts, bool *again, struct err *err)
{
    for (size_t i = 0; i < a->original->output_count; i++)
        replay_part(a, i);
    int rc = a->tx ? submit(a, err) : 0;
    *again = is_race(rc);
    if (*again || rc == ERR_UNAVAILABLE || rc == ERR_TIMEOUT || rc == ERR_INCLUDED)
        return rc;
    for (size_t i = 0; rc && i < a->count; i++)
        if (a->outcomes[i].decision.outcome == REPLAY_PUT || a->outcomes[i].decision.outcome == REPLAY_REMOVE)
            lose(&a->outcomes[i], err->message);
    tell(a, conflicts);
    return 0;
}

int orphan_replay(struct api_server *server, struct orphan_aliases *aliases,
                  struct orphan_conflicts *conflicts, const struct tx *tx, struct err *err)
{
    int rc = 0;
    bool again = true;
    for (int i = 0; again && i < TRIES_MAX; i++) {
        struct attempt a = {.server = server, .aliases = aliases, .original = tx};
        attempt_begin(&a);
        rc = try_once(&a, conflicts, &again, err);
        attempt_end(&a);
        if (again) /* whoever makes the blocks may be ahead of this node */
            usleep((useconds_t)(i + 1) * PAUSE_US);
    }
    return again ? err_set(err, ERR_UNAVAILABLE, "the object changes all the time") : rc;
}

/* ---- what is in the chain already ---- */

/* What the rebased form has is the winner's wherever the orphan lost, and the orphan's everywhere else; so
 * deciding against it finds again what was lost when it was made. */
static void look_back_at(struct attempt *a, struct outcome *o, const struct tx_output *made)
{
    if (o->part.verb == REPLAY_DELETE)
        return;
    o->current = orphan_content(a->server, made);
    if (!o->current) {
        lost(o, "what was made of it cannot be read on this node");
        return;
    }
    struct replay_case c = case_of(o);
    c.strict = false; /* or it would not be in the chain */
    replay_decide(&o->decision, &c);
    if (kind_is(o->part.kind, "", "services") && !strcmp(made->uid, o->part.output->uid) &&
        o->part.verb == REPLAY_CREATE)
        orphan_service_differences(o->part.orphan, o->current, &o->decision);
}

/* There is nothing to look back at but what stands there now. */
static void look_at_now(struct attempt *a, struct outcome *o, const struct orphan_past *past)
{
    read_current(a, o);
    decide(a, o);
    bool marked = o->part.verb == REPLAY_DELETE && json_at(o->current, "metadata", "deletionTimestamp");
    bool missing = o->decision.outcome == REPLAY_PUT || o->decision.outcome == REPLAY_REMOVE;
    if (!missing || marked)
        return;
    lose(o, "it did not hold when the histories were merged");
    if (!past->tx && o->part.verb != REPLAY_DELETE) {
        free(o->reason); /* nobody knows how much of it was kept */
        o->reason = NULL;
    }
}

void orphan_tell_past(struct api_server *server, struct orphan_aliases *aliases,
                      struct orphan_conflicts *conflicts, const struct tx *tx, const struct orphan_past *past)
{
    struct attempt a = {.server = server, .aliases = aliases, .original = tx};
    attempt_begin(&a);
    if (!past->tx)
        a.note =
            "how it was merged is not known any more: this is how it differs from what stood there later";
    for (size_t i = 0; i < a.count; i++) {
        struct outcome *o = &a.outcomes[i];
        const struct tx_output *made = orphan_past_output(past, &tx->outputs[i].key);
        orphan_part_open(server, &o->part, tx, i);
        o->tell = o->part.policy == ORPHAN_MERGE;
        if (!o->tell)
            continue;
        follow_alias(&a, &o->part);
        if (!o->part.orphan && o->part.verb != REPLAY_DELETE)
            lost(o, unreadable);
        else if (made)
            look_back_at(&a, o, made);
        else
            look_at_now(&a, o, past);
    }
    tell(&a, conflicts);
    attempt_end(&a);
}
