/* Reading a watch: initial objects, then what the chain has since, then what comes. See hub_internal.h. */
#include "api/hub_internal.h"

#include "api/verbs_rv.h"
#include "base/clock.h"
#include "base/mem.h"
#include "object/registry.h"
#include "object/selector.h"

#include <stdio.h>

#define PAST_EVENTS_MAX 64 /* read from the chain at a time */
#define PAST_BYTES_MAX (128u << 10)

/* ---- selecting ---- */

static bool value_matches(const struct api_watch *watch, const json_t *value)
{
    return value && selector_matches_labels(watch->labels, json_at(value, "metadata", "labels")) &&
           selector_matches_fields(watch->fields, value);
}

static bool matches_now(const struct api_watch *watch, struct hub_event *event)
{
    bool matches = value_matches(watch, hub_event_value(event));
    hub_event_return(event);
    return matches;
}

static bool matched_before(const struct api_watch *watch, struct hub_event *event)
{
    bool matches = value_matches(watch, hub_event_old_value(event));
    hub_event_return(event);
    return matches;
}

static bool key_matches(const struct api_watch *watch, const char *namespace, const char *name)
{
    return (!*watch->namespace || !strcmp(watch->namespace, namespace)) &&
           (!watch->only_name || !strcmp(watch->only_name, name));
}

static void give(struct api_watch *watch, struct api_watch_event *out, const char *type, bool shared)
{
    const struct buf *text = shared ? &watch->current->text : &watch->text;
    watch->current_shared = shared;
    *out = (struct api_watch_event){.type = type, .json = buf_str(text), .json_len = text->len};
}

/* An object that no longer matches is gone for this watch: its old version, at the new position. */
static void give_left(struct api_watch *watch, struct api_watch_event *out)
{
    const struct hub_event *event = watch->current;
    buf_clear(&watch->text);
    buf_append(&watch->text, event->old.data, event->old.len);
    if (event->old_rv_offset)
        object_splice(&watch->text, event->old_rv_offset, event->rv);
    give(watch, out, "DELETED", false);
}

/* Whether the current event is one of this watch, and as what. */
static bool give_current(struct api_watch *watch, struct api_watch_event *out)
{
    static const char *const types[] = {
        [STATE_ADDED] = "ADDED", [STATE_MODIFIED] = "MODIFIED", [STATE_DELETED] = "DELETED"};
    struct hub_event *event = watch->current;
    if (!key_matches(watch, event->namespace, event->name))
        return false;
    if (!watch->selects) {
        give(watch, out, types[event->type], true);
        return true;
    }
    bool gone = event->type == STATE_DELETED;
    bool now = !gone && matches_now(watch, event);
    bool before = event->has_old ? matched_before(watch, event) : gone && matches_now(watch, event);
    if (now)
        give(watch, out, before ? "MODIFIED" : "ADDED", true);
    else if (before && gone)
        give(watch, out, "DELETED", true);
    else if (before)
        give_left(watch, out);
    return now || before;
}

/* ---- events that are no changes ---- */

static void give_bookmark(struct api_watch *watch, struct api_watch_event *out,
                          const struct schema_kind *kind, bool initial_end)
{
    char api_version[256];
    registry_api_version(api_version, sizeof(api_version), kind);
    buf_clear(&watch->text);
    buf_printf(&watch->text,
               "{\"kind\":\"%s\",\"apiVersion\":\"%s\",\"metadata\":{\"resourceVersion\":\"%llu\","
               "\"creationTimestamp\":null%s}}",
               kind->kind, api_version, (unsigned long long)watch->position.rv,
               initial_end ? ",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}" : "");
    give(watch, out, "BOOKMARK", false);
    out->initial_end = initial_end;
}

static void give_expired(struct api_watch *watch, struct api_watch_event *out, const struct err *err)
{
    char message[128];
    if (err->code == ERR_EXPIRED)
        snprintf(message, sizeof(message), "too old resource version: %llu (%llu)",
                 (unsigned long long)watch->position.rv,
                 (unsigned long long)watch->channel->complete_since.rv);
    else
        snprintf(message, sizeof(message), "%.100s", err->message);
    buf_clear(&watch->text);
    api_status_text(&watch->text, err_http_status(err->code), message, NULL);
    watch->ended = true;
    give(watch, out, "ERROR", false);
}

/* ---- the initial objects ---- */

static bool next_initial(struct api_watch *watch, struct api_watch_event *out)
{
    if (api_list_next(watch->initial, &watch->text)) {
        give(watch, out, "ADDED", false);
        return true;
    }
    api_list_free(watch->initial);
    watch->initial = NULL;
    if (!watch->initial_end)
        return false;
    watch->initial_end = false;
    give_bookmark(watch, out, watch->kind, true);
    return true;
}

/* ---- from the chain ---- */

struct past_reading {
    struct api_watch *watch;
    size_t bytes;
    bool full;
    uint64_t reached;
};

static bool on_past(void *arg, const struct state_change *change)
{
    struct past_reading *r = arg;
    struct api_watch *watch = r->watch;
    if (watch->past_count >= PAST_EVENTS_MAX || r->bytes >= PAST_BYTES_MAX) {
        r->full = true;
        return false;
    }
    r->reached = change->object.rv;
    const struct resource_key *key = &change->object.key;
    if (strcmp(key->resource, watch->channel->resource) != 0 ||
        strcmp(key->group, watch->channel->group) != 0 || !key_matches(watch, key->namespace, key->name))
        return true;
    struct hub_event *event = hub_event_new(watch->hub->server, change, watch->selects);
    if (!event)
        return true;
    if (watch->past_count == watch->past_cap) {
        watch->past_cap = watch->past_cap ? 2 * watch->past_cap : 16;
        watch->past = mem_reallocarray(watch->past, watch->past_cap, sizeof(struct hub_event *));
    }
    watch->past[watch->past_count++] = event;
    r->bytes += hub_event_size(event);
    return true;
}

static void drop_past(struct api_watch *watch)
{
    while (watch->past_at < watch->past_count)
        hub_event_release(watch->past[watch->past_at++]);
    watch->past_count = watch->past_at = 0;
}

/* Reads the next stretch from position to until of the chain; position moves over what is none of ours. */
static int read_past(struct api_watch *watch, struct hub_position until, struct err *err)
{
    struct past_reading r = {.watch = watch, .reached = watch->position.rv};
    drop_past(watch);
    int rc = ledger_history(watch->hub->server->ledger, watch->position.rv, until.rv, on_past, &r, err);
    /* It may be another chain by now. Then nothing was read, and the window says when to try again. */
    if (ledger_branch(watch->hub->server->ledger) != until.branch) {
        drop_past(watch);
        return 0;
    }
    if (rc)
        return rc;
    watch->past_reached = (struct hub_position){until.branch, r.full ? r.reached : until.rv};
    for (size_t i = 0; i < watch->past_count; i++)
        watch->past[i]->at = (struct hub_position){until.branch, watch->past[i]->rv};
    return 0;
}

static bool next_past(struct api_watch *watch, struct api_watch_event *out)
{
    while (watch->past_at < watch->past_count) {
        watch->current = watch->past[watch->past_at++];
        watch->position = watch->current->at;
        if (give_current(watch, out))
            return true;
        hub_event_release(watch->current);
        watch->current = NULL;
    }
    if (hub_before(watch->position, watch->past_reached))
        watch->position = watch->past_reached;
    return false;
}

/* ---- live ---- */

enum live_result { LIVE_EVENT, LIVE_BEHIND, LIVE_BOOKMARK, LIVE_NOTHING, LIVE_AHEAD, LIVE_LOST };

/* What the watch's position is to the hub; the lock is held. LIVE_EVENT: the window has what follows. */
static enum live_result compare_with_hub(struct api_watch *watch, struct hub_position *until)
{
    const struct api_hub *hub = watch->hub;
    struct hub_position since = watch->selects ? watch->channel->old_since : watch->channel->complete_since;
    bool here = watch->position.branch == hub->branch;
    if (watch->abandoned || (watch->untold && watch->position.branch < hub->branch))
        return LIVE_LOST;
    if (watch->untold && !here)
        return LIVE_NOTHING; /* until the hub is told */
    watch->untold = false;
    if (watch->ahead && !here)
        return LIVE_LOST; /* whatever it is that the client knows, it may be abandoned */
    bool held = ledger_branch(hub->server->ledger) != hub->branch;
    if (watch->ahead)
        return held || watch->position.rv > hub->head_rv ? LIVE_NOTHING : LIVE_AHEAD;
    if (!hub_before(watch->position, since) && !(here && watch->position.rv < hub->switch_rv))
        return LIVE_EVENT;
    if (watch->position.branch % 2)
        return LIVE_LOST; /* between two states: no position of the chain */
    if (held)
        return LIVE_NOTHING;
    *until = (struct hub_position){hub->branch, hub->switch_rv};
    if (since.branch == hub->branch && since.rv > until->rv)
        until->rv = since.rv;
    return LIVE_BEHIND;
}

/* All of the window is read; the lock is held. */
static enum live_result end_of_window(struct api_watch *watch)
{
    struct api_hub *hub = watch->hub;
    struct hub_position head = {hub->branch, hub->head_rv};
    bool moved = hub_before(watch->announced, head);
    if (hub_before(watch->position, head))
        watch->position = head;
    enum live_result result = watch->bookmark_due && moved ? LIVE_BOOKMARK : LIVE_NOTHING;
    watch->bookmark_due = false;
    watch->passed = watch->position;
    hub_window_trim(hub, clock_mono_us());
    return result;
}

static enum live_result next_live(struct api_watch *watch, struct hub_position *until)
{
    struct api_hub *hub = watch->hub;
    pthread_mutex_lock(&hub->lock);
    enum live_result result = compare_with_hub(watch, until);
    if (result == LIVE_EVENT && (watch->current = hub_window_after(watch->channel, watch->position))) {
        hub_event_retain(watch->current);
        watch->passed = watch->position;
        watch->position = watch->current->at;
    } else if (result == LIVE_EVENT) {
        result = end_of_window(watch);
    }
    watch->armed = result == LIVE_NOTHING;
    pthread_mutex_unlock(&hub->lock);
    return result;
}

/* What a client named is compared with the chain: when it begins, and when the head has reached it. */
static void check_position(struct api_watch *watch)
{
    enum ledger_position position = ledger_position(watch->hub->server->ledger, watch->position.rv);
    watch->ahead = position == LEDGER_POSITION_AHEAD;
    watch->abandoned = position == LEDGER_POSITION_ABANDONED;
}

static bool give_lost(struct api_watch *watch, struct api_watch_event *out)
{
    struct err err;
    err_set(&err, ERR_EXPIRED, "of an abandoned branch");
    give_expired(watch, out, &err);
    return true;
}

static bool next_change(struct api_watch *watch, struct api_watch_event *out)
{
    for (;;) {
        if (next_past(watch, out))
            return true;
        struct hub_position until;
        struct err err = {0};
        switch (next_live(watch, &until)) {
        case LIVE_NOTHING:
            return false;
        case LIVE_BOOKMARK:
            give_bookmark(watch, out, watch->kind, false);
            return true;
        case LIVE_AHEAD:
            check_position(watch);
            break;
        case LIVE_LOST:
            return give_lost(watch, out);
        case LIVE_BEHIND:
            if (read_past(watch, until, &err)) {
                give_expired(watch, out, &err);
                return true;
            }
            break;
        case LIVE_EVENT:
            if (give_current(watch, out))
                return true;
            hub_event_release(watch->current);
            watch->current = NULL;
        }
    }
}

/* What the last event lent out comes back. */
static void end_event(struct api_watch *watch)
{
    if (watch->borrowed)
        hub_event_return(watch->current);
    watch->borrowed = false;
    json_decref(watch->value);
    watch->value = NULL;
    hub_event_release(watch->current);
    watch->current = NULL;
}

bool api_watch_next(struct api_watch *watch, struct api_watch_event *event)
{
    end_event(watch);
    if (watch->ended || !watch->hub)
        return false;
    bool given = (watch->initial && next_initial(watch, event)) || next_change(watch, event);
    if (given && !watch->initial)
        watch->announced = watch->position;
    return given;
}

const json_t *api_watch_value(struct api_watch *watch, const struct api_watch_event *event)
{
    if (!watch->current || !watch->current_shared) {
        if (!watch->value)
            watch->value = json_parse_stored(event->json, event->json_len, NULL);
        return watch->value;
    }
    if (watch->borrowed)
        hub_event_return(watch->current);
    watch->borrowed = true;
    return hub_event_value(watch->current);
}

const json_t *api_watch_metadata(struct api_watch *watch, const struct api_watch_event *event)
{
    json_decref(watch->value);
    watch->value = json_parse_beginning(event->json, event->json_len, "metadata", "managedFields", NULL);
    return watch->value;
}

void api_watch_close(struct api_watch *watch)
{
    if (!watch)
        return;
    hub_watch_detach(watch);
    end_event(watch);
    drop_past(watch);
    free(watch->past);
    api_list_free(watch->initial);
    selector_free(watch->labels);
    selector_free(watch->fields);
    buf_free(&watch->text);
    free(watch->namespace);
    free(watch->only_name);
    free(watch);
}

/* ---- opening ---- */

static int options_invalid(struct api_call *call, const char *what)
{
    call_add_cause(call, "FieldValueForbidden", what, "resourceVersionMatch");
    return err_set(&call->err, ERR_INVALID,
                   "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: %s", what);
}

/* From which position, and whether the state there comes first (API concepts: "Semantics for watch"). */
static int choose_start(struct api_call *call, struct api_watch *watch, bool *initial)
{
    const struct api_request *request = call->request;
    const char *version = request->resource_version ? request->resource_version : "";
    const char *match = request->resource_version_match ? request->resource_version_match : "";
    bool streaming = request->send_initial_events_set && request->send_initial_events;
    uint64_t rv = 0;
    if (*version && !rv_parse(version, &rv))
        return err_set(&call->err, ERR_BAD_REQUEST, "invalid resource version \"%.64s\"", version);
    if (streaming && strcmp(match, "NotOlderThan") != 0)
        return options_invalid(
            call, "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
    if (!request->send_initial_events_set && *match)
        return options_invalid(
            call,
            "Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided");
    *initial = request->send_initial_events_set ? streaming : !rv;
    watch->initial_end = streaming && request->allow_bookmarks;
    watch->position.rv = rv;
    return 0;
}

/* The branch of what is read of the chain now, once subscribers know of it. */
static uint64_t branch_now(const struct api_hub *hub)
{
    return (ledger_branch(hub->server->ledger) + 1) & ~1ull;
}

/* Where a watch that wants nothing old begins. */
static uint64_t current_rv(struct api_call *call)
{
    call_snapshot_end(call); /* it may be of another branch by now */
    return ledger_store_ops(call->server->ledger)->snapshot_rv(call_snapshot(call));
}

static int parse_selectors(struct api_call *call, struct api_watch *watch)
{
    const struct api_request *request = call->request;
    int rc = selector_parse_labels(&watch->labels, request->label_selector ? request->label_selector : "",
                                   &call->err);
    if (!rc)
        rc = selector_parse_fields(&watch->fields, request->field_selector ? request->field_selector : "",
                                   call->kind, &call->err);
    if (rc)
        return rc;
    const char *name = selector_requires(watch->fields, "metadata.name");
    if (name)
        watch->only_name = mem_strdup(name);
    else if (*request->name)
        watch->only_name = mem_strdup(request->name);
    watch->selects = !selector_empty(watch->labels) || !selector_empty(watch->fields);
    return 0;
}

/* The list is opened after the watch is attached: what happens in between is in the window, and what the list
 * shows already is not after its position. */
static int open_initial(struct api_call *call, struct api_watch *watch)
{
    struct api_request request = *call->request;
    request.resource_version = request.resource_version_match = request.continue_token = NULL;
    request.limit = 0;
    struct api_request *original = call->request;
    call->request = &request;
    call_snapshot_end(call);
    int rc = list_open(call, &watch->initial);
    call->request = original;
    if (!rc)
        watch->position.rv = api_list_rv(watch->initial);
    return rc;
}

/* Finds the position to begin at, on one branch. */
static int begin(struct api_call *call, struct api_watch *watch, bool initial)
{
    struct api_hub *hub = watch->hub;
    uint64_t named = watch->position.rv, branch;
    int rc = 0;
    do {
        branch = branch_now(hub);
        api_list_free(watch->initial);
        watch->initial = NULL;
        if (initial)
            rc = open_initial(call, watch);
        else if (!named)
            watch->position.rv = current_rv(call);
        else
            check_position(watch);
    } while (!rc && branch != branch_now(hub));
    watch->position.branch = branch;
    return rc;
}

int hub_watch(struct api_call *call, struct api_watch **out)
{
    struct api_hub *hub = call->server->hub;
    struct api_watch *watch = mem_zalloc(sizeof(*watch));
    bool initial = false;
    watch->kind = call->kind;
    watch->namespace = mem_strdup(call->kind->namespaced ? call->request->namespace : "");
    watch->bookmarks = call->request->allow_bookmarks;
    watch->channel = hub_channel_find(hub, call->kind->group, call->kind->plural);
    int rc = watch->channel ? 0 : err_set(&call->err, ERR_METHOD, "watch is not supported on this resource");
    if (!rc)
        rc = parse_selectors(call, watch);
    if (!rc)
        rc = choose_start(call, watch, &initial);
    if (!rc) {
        watch->hub = hub;
        uint64_t told = hub_attach(hub, watch);
        rc = begin(call, watch, initial);
        watch->untold = watch->position.branch != told;
    }
    if (rc) {
        api_watch_close(watch);
        return rc;
    }
    watch->announced = watch->position;
    *out = watch;
    return 0;
}
