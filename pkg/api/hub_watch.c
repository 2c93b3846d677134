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
               kind->kind, api_version, (unsigned long long)watch->position,
               initial_end ? ",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}" : "");
    give(watch, out, "BOOKMARK", false);
    out->initial_end = initial_end;
}

static void give_expired(struct api_watch *watch, struct api_watch_event *out, const struct err *err)
{
    char message[128];
    if (err->code == ERR_EXPIRED)
        snprintf(message, sizeof(message), "too old resource version: %llu (%llu)",
                 (unsigned long long)watch->position, (unsigned long long)watch->channel->complete_since);
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

/* Reads the next stretch of (position, until] from the chain; position moves over what is none of ours. */
static int read_past(struct api_watch *watch, uint64_t until, struct err *err)
{
    struct past_reading r = {.watch = watch, .reached = watch->position};
    watch->past_count = watch->past_at = 0;
    int rc = ledger_history(watch->hub->server->ledger, watch->position, until, on_past, &r, err);
    if (rc)
        return rc;
    watch->past_reached = r.full ? r.reached : until;
    return 0;
}

static bool next_past(struct api_watch *watch, struct api_watch_event *out)
{
    while (watch->past_at < watch->past_count) {
        watch->current = watch->past[watch->past_at++];
        watch->position = watch->current->rv;
        if (give_current(watch, out))
            return true;
        hub_event_release(watch->current);
        watch->current = NULL;
    }
    if (watch->past_reached > watch->position)
        watch->position = watch->past_reached;
    return false;
}

/* ---- live ---- */

enum live_result { LIVE_EVENT, LIVE_BEHIND, LIVE_BOOKMARK, LIVE_NOTHING };

static enum live_result next_live(struct api_watch *watch, uint64_t *since)
{
    struct api_hub *hub = watch->hub;
    const struct hub_channel *channel = watch->channel;
    enum live_result result = LIVE_NOTHING;
    pthread_mutex_lock(&hub->lock);
    *since = watch->selects ? channel->old_since : channel->complete_since;
    if (watch->position < *since) {
        result = LIVE_BEHIND;
    } else if ((watch->current = hub_window_after(channel, watch->position))) {
        hub_event_retain(watch->current);
        watch->passed = watch->position;
        watch->position = watch->current->rv;
        result = LIVE_EVENT;
    } else {
        bool moved = watch->announced < hub->head_rv;
        if (watch->position < hub->head_rv)
            watch->position = hub->head_rv;
        if (watch->bookmark_due && moved)
            result = LIVE_BOOKMARK;
        watch->bookmark_due = false;
        watch->armed = result == LIVE_NOTHING;
        watch->passed = watch->position;
        hub_window_trim(hub, clock_mono_us());
    }
    pthread_mutex_unlock(&hub->lock);
    return result;
}

static bool next_change(struct api_watch *watch, struct api_watch_event *out)
{
    for (;;) {
        if (next_past(watch, out))
            return true;
        uint64_t since;
        struct err err = {0};
        switch (next_live(watch, &since)) {
        case LIVE_NOTHING:
            return false;
        case LIVE_BOOKMARK:
            give_bookmark(watch, out, watch->kind, false);
            return true;
        case LIVE_BEHIND:
            if (read_past(watch, since, &err)) {
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

void api_watch_close(struct api_watch *watch)
{
    if (!watch)
        return;
    hub_watch_detach(watch);
    end_event(watch);
    while (watch->past_at < watch->past_count)
        hub_event_release(watch->past[watch->past_at++]);
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
    watch->position = rv;
    return 0;
}

/* Where a watch that wants nothing old begins. */
static uint64_t current_position(struct api_call *call)
{
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
    int rc = list_open(call, &watch->initial);
    call->request = original;
    if (!rc)
        watch->position = api_list_rv(watch->initial);
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
        hub_attach(hub, watch);
        if (initial)
            rc = open_initial(call, watch);
        else if (!watch->position)
            watch->position = current_position(call);
    }
    if (rc) {
        api_watch_close(watch);
        return rc;
    }
    watch->announced = watch->position;
    *out = watch;
    return 0;
}
