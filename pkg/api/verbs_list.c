/*
 * Lists: objects in key order out of one state, one by one.
 *
 * A snapshot keeps the store from reusing pages, so none is held for long: a reader that is slower than
 * LIST_HOLD_US, like a page that continues an earlier one, goes on in the newest snapshot with the changes
 * since the list's position undone (list_past.h). So a list shows one state, whatever its size and its
 * reader.
 */
#include "api/list_past.h"
#include "api/verbs_internal.h"
#include "api/verbs_rv.h"

#include "base/clock.h"
#include "base/mem.h"
#include "object/selector.h"

#include <assert.h>
#include <sodium.h>
#include <stdio.h>

#define LIST_HOLD_US (5 * 1000 * 1000)

struct item {
    struct resource_key key;
    bool from_past;
    size_t past_index;
};

struct api_list {
    struct api_server *server;
    const struct schema_kind *kind;
    struct state_snapshot *snapshot;
    struct state_iter *iter;
    char *namespace; /* "" for all */
    char *only_name; /* from a selector on metadata.name; NULL for all */
    struct selector *labels, *fields;
    struct list_past past;
    size_t past_at;
    bool indexed; /* the iterator walks an index, over kinds and namespaces */
    struct buf start;
    uint64_t rv;
    int64_t limit, returned;
    int64_t snapshot_us; /* when the snapshot was begun */
    int64_t hold_us;
    struct buf prefix;         /* of the keys that are walked */
    struct buf last;           /* key bytes of the item returned last */
    struct state_object ahead; /* read but not used yet */
    bool has_ahead, ended;
    char *next; /* continue token at the end */
    int64_t remaining;
};

/* ---- where the items come from ---- */

static bool read_ahead(struct api_list *list)
{
    if (!list->has_ahead && !list->ended) {
        const struct state_store_ops *ops = ledger_store_ops(list->server->ledger);
        list->has_ahead = ops->iter_next(list->iter, &list->ahead);
        list->ended = !list->has_ahead;
    }
    return list->has_ahead;
}

static int compare_bytes(const struct buf *a, const struct buf *b)
{
    int order = memcmp(a->data, b->data, a->len < b->len ? a->len : b->len);
    return order ? order : (a->len > b->len) - (a->len < b->len);
}

/* The next of snapshot and past in key order; an object of the past replaces that of the snapshot. */
static bool source_next(struct api_list *list, struct item *item)
{
    for (;;) {
        bool live = read_ahead(list);
        struct list_past_entry *past =
            list->past_at < list->past.count ? &list->past.entries[list->past_at] : NULL;
        if (!live && !past)
            return false;
        int order = live ? -1 : 1;
        if (live && past) {
            buf_auto struct buf key = BUF_INIT;
            key_encode(&key, &list->ahead.key);
            order = compare_bytes(&key, &past->key);
        }
        if (order < 0) {
            *item = (struct item){.key = list->ahead.key};
            return true;
        }
        if (order == 0)
            list->has_ahead = false;
        size_t index = list->past_at++;
        if (!past->present)
            continue;
        *item = (struct item){.from_past = true, .past_index = index};
        bool ok = key_decode(&item->key, past->key.data, past->key.len);
        assert(ok);
        return true;
    }
}

/* An item of the snapshot was only looked at until it is consumed. */
static void source_consume(struct api_list *list, const struct item *item)
{
    if (!item->from_past)
        list->has_ahead = false;
}

static bool item_open(struct api_list *list, const struct item *item, struct buf *out)
{
    buf_clear(out);
    if (item->from_past) {
        const struct buf *text = &list->past.entries[item->past_index].text;
        buf_append(out, text->data, text->len);
        return true;
    }
    return object_open(list->server, &list->ahead, out, NULL) == 0;
}

static bool key_matches(const struct api_list *list, const struct resource_key *key)
{
    if (list->indexed &&
        (strcmp(key->resource, list->kind->plural) != 0 || strcmp(key->group, list->kind->group) != 0))
        return false;
    if (*list->namespace && strcmp(key->namespace, list->namespace) != 0)
        return false;
    return !list->only_name || !strcmp(key->name, list->only_name);
}

static bool text_matches(const struct api_list *list, const struct buf *text)
{
    if (selector_empty(list->labels) && selector_empty(list->fields))
        return true;
    if (selector_empty(list->fields)) {
        json_auto_t *labels = object_labels(text);
        return selector_matches_labels(list->labels, labels);
    }
    json_auto_t *object = json_parse_stored(buf_str(text), text->len, NULL);
    return selector_matches_labels(list->labels, json_at(object, "metadata", "labels")) &&
           selector_matches_fields(list->fields, object);
}

/* Moves to the next item that matches and opens it. */
static bool find_next(struct api_list *list, struct item *item, struct buf *out)
{
    while (source_next(list, item)) {
        if (key_matches(list, &item->key) && item_open(list, item, out) && text_matches(list, out))
            return true;
        source_consume(list, item);
    }
    return false;
}

/* ---- the end of a page ---- */

static char *make_token(uint64_t rv, const struct resource_key *key)
{
    char digits[RV_TEXT_MAX];
    rv_format(digits, rv);
    mem_auto char *start = mem_printf("%s/%s", key->namespace, key->name);
    json_auto_t *token = json_pack("{s:s, s:s, s:s}", "v", "meta.k8s.io/v1", "rv", digits, "start", start);
    buf_auto struct buf text = BUF_INIT;
    object_write_value(&text, token);
    size_t size = sodium_base64_encoded_len(text.len, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    char *out = mem_alloc(size);
    sodium_bin2base64(out, size, (const unsigned char *)text.data, text.len,
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    return out;
}

static void end_page(struct api_list *list)
{
    buf_auto struct buf text = BUF_INIT;
    struct item item;
    list->remaining = -1;
    if (!find_next(list, &item, &text))
        return;
    list->next = make_token(list->rv, &item.key);
    if (!selector_empty(list->labels) || !selector_empty(list->fields))
        return;
    list->remaining = 0;
    do {
        list->remaining += key_matches(list, &item.key);
        source_consume(list, &item);
    } while (source_next(list, &item));
}

static void end_snapshot(struct api_list *list)
{
    const struct state_store_ops *ops = ledger_store_ops(list->server->ledger);
    if (list->iter)
        ops->iter_end(list->iter);
    if (list->snapshot)
        ops->snapshot_end(list->snapshot);
    list->iter = NULL;
    list->snapshot = NULL;
    list->has_ahead = false;
    list->ended = true;
}

static bool snapshot_next(struct api_list *list, struct buf *out)
{
    if (!list->snapshot)
        return false;
    struct item item;
    if (list->limit > 0 && list->returned >= list->limit) {
        end_page(list);
        end_snapshot(list);
        return false;
    }
    if (!find_next(list, &item, out)) {
        list->remaining = -1;
        end_snapshot(list);
        return false;
    }
    buf_clear(&list->last);
    key_encode(&list->last, &item.key);
    source_consume(list, &item);
    list->returned++;
    return true;
}

/* Skips what the past has before the start. */
static void skip_past(struct api_list *list)
{
    const struct buf *prefix = &list->prefix;
    for (; list->past_at < list->past.count; list->past_at++) {
        const struct buf *key = &list->past.entries[list->past_at].key;
        bool inside = key->len >= prefix->len && !memcmp(key->data, prefix->data, prefix->len);
        if (inside && (!list->start.len || compare_bytes(key, &list->start) >= 0))
            return;
    }
}

/* Walks the keys with the prefix from the start on. */
static void walk_keys(struct api_list *list)
{
    skip_past(list);
    list->iter = ledger_store_ops(list->server->ledger)
                     ->iter_begin(list->snapshot, list->prefix.data, list->prefix.len,
                                  list->start.len ? list->start.data : NULL, list->start.len);
}

/* Goes on in a new snapshot behind the last item. When the changes since are no longer kept, the old snapshot
 * has to stay. */
static void renew(struct api_list *list)
{
    const struct state_store_ops *ops = ledger_store_ops(list->server->ledger);
    struct state_snapshot *snapshot = ops->snapshot_begin(ledger_store(list->server->ledger));
    struct list_past past;
    list->snapshot_us = clock_mono_us();
    if (list_past_read(list->server, list->kind, list->rv, ops->snapshot_rv(snapshot), &past, NULL)) {
        list_past_free(&past);
        ops->snapshot_end(snapshot);
        return;
    }
    end_snapshot(list);
    list_past_free(&list->past);
    list->snapshot = snapshot;
    list->past = past;
    list->past_at = 0;
    list->ended = false;
    if (list->last.len > 0) {
        buf_clear(&list->start);
        buf_append(&list->start, list->last.data, list->last.len);
        buf_putc(&list->start, '\0'); /* the smallest key behind it */
    }
    walk_keys(list);
}

bool api_list_next(struct api_list *list, struct buf *out)
{
    buf_clear(out);
    if (list->snapshot && !list->indexed && clock_mono_us() - list->snapshot_us > list->hold_us)
        renew(list);
    return snapshot_next(list, out);
}

void list_set_hold(struct api_list *list, int64_t hold_us)
{
    list->hold_us = hold_us;
}

uint64_t api_list_rv(const struct api_list *list)
{
    return list->rv;
}

const char *api_list_continue(const struct api_list *list)
{
    return list->next ? list->next : "";
}

int64_t api_list_remaining(const struct api_list *list)
{
    return list->next ? list->remaining : -1;
}

void api_list_free(struct api_list *list)
{
    if (!list)
        return;
    end_snapshot(list);
    list_past_free(&list->past);
    selector_free(list->labels);
    selector_free(list->fields);
    buf_free(&list->start);
    buf_free(&list->prefix);
    buf_free(&list->last);
    free(list->namespace);
    free(list->only_name);
    free(list->next);
    free(list);
}

/* ---- opening ---- */

static int list_options_invalid(struct api_call *call, const char *field, const char *reason,
                                const char *what)
{
    call_add_cause(call, reason, what, field);
    return err_set(&call->err, ERR_INVALID, "ListOptions.meta.k8s.io \"\" is invalid: %s: %s", field, what);
}

static int bad_token(struct api_call *call)
{
    return err_set(&call->err, ERR_BAD_REQUEST,
                   "continue key is not valid: encoded continue token is malformed");
}

/* Reads a continue token: the position of the first page and where this one starts. */
static int read_token(struct api_call *call, struct api_list *list, uint64_t *rv)
{
    const char *token = call->request->continue_token;
    size_t len = strlen(token);
    mem_auto char *text = mem_alloc(len + 1);
    size_t text_len = 0;
    if (sodium_base642bin((unsigned char *)text, len, token, len, NULL, &text_len, NULL,
                          sodium_base64_VARIANT_URLSAFE_NO_PADDING))
        return bad_token(call);
    json_auto_t *value = json_loadb(text, text_len, 0, NULL);
    const char *start = json_str_or_empty(value, "start");
    const char *slash = strchr(start, '/');
    if (strcmp(json_str_or_empty(value, "v"), "meta.k8s.io/v1") != 0 || !slash ||
        !rv_parse(json_str_or_empty(value, "rv"), rv))
        return bad_token(call);
    mem_auto char *namespace = mem_strndup(start, (size_t)(slash - start));
    struct resource_key key = {list->kind->group, list->kind->plural, namespace, slash + 1};
    key_encode(&list->start, &key);
    return 0;
}

static int expired(struct api_call *call, bool continued)
{
    if (continued)
        return err_set(
            &call->err, ERR_EXPIRED,
            "The provided continue parameter is too old to display a consistent list result. You can "
            "start a new list without the continue parameter.");
    return err_set(&call->err, ERR_EXPIRED, "The resourceVersion for the provided list is too old.");
}

static int too_large(struct api_call *call, uint64_t wanted, uint64_t head)
{
    call_add_cause(call, "ResourceVersionTooLarge", "Too large resource version", "");
    return err_set(&call->err, ERR_TIMEOUT, "Too large resource version: %llu, current: %llu",
                   (unsigned long long)wanted, (unsigned long long)head);
}

/* resourceVersion and resourceVersionMatch (API concepts: "Semantics for get and list"). *exact: the list
 * is of that position; otherwise of the newest one. */
static int choose_version(struct api_call *call, uint64_t *rv, bool *exact)
{
    const char *version = call->request->resource_version ? call->request->resource_version : "";
    const char *match = call->request->resource_version_match ? call->request->resource_version_match : "";
    bool wants_exact = !strcmp(match, "Exact");
    if (*match && !*version)
        return list_options_invalid(
            call, "resourceVersionMatch", "FieldValueForbidden",
            "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided");
    if (*match && !wants_exact && strcmp(match, "NotOlderThan") != 0)
        return list_options_invalid(call, "resourceVersionMatch", "FieldValueNotSupported",
                                    "Unsupported value: supported values: \"Exact\", \"NotOlderThan\"");
    if (*version && !rv_parse(version, rv))
        return err_set(&call->err, ERR_BAD_REQUEST,
                       "resourceVersion: Invalid value: \"%.64s\": must be an unsigned "
                       "integer",
                       version);
    if (wants_exact && !*rv)
        return list_options_invalid(
            call, "resourceVersionMatch", "FieldValueForbidden",
            "Forbidden: resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"");
    /* Without a match, a limited list at a version means exactly that version. */
    *exact = *rv > 0 && (wants_exact || (!*match && call->request->limit > 0));
    return 0;
}

static int choose_position(struct api_call *call, struct api_list *list)
{
    const char *token = call->request->continue_token;
    bool continued = token && *token;
    uint64_t wanted = 0, head = ledger_store_ops(call->server->ledger)->snapshot_rv(list->snapshot);
    bool exact = false;
    int rc;
    if (continued) {
        const char *version = call->request->resource_version;
        if (version && *version && strcmp(version, "0") != 0)
            return err_set(&call->err, ERR_BAD_REQUEST,
                           "specifying resource version is not allowed when using continue");
        rc = read_token(call, list, &wanted);
        exact = true;
    } else {
        rc = choose_version(call, &wanted, &exact);
    }
    if (rc)
        return rc;
    list->rv = exact ? wanted : head;
    /* What was read on a branch that is abandoned cannot be compared with this one. */
    if (wanted && wanted != head &&
        ledger_position(call->server->ledger, wanted) == LEDGER_POSITION_ABANDONED)
        return expired(call, continued);
    if (wanted > head)
        return continued ? expired(call, true) : too_large(call, wanted, head);
    if (!exact)
        return 0;
    rc = list_past_read(call->server, list->kind, wanted, head, &list->past, &call->err);
    return rc == ERR_EXPIRED ? expired(call, continued) : rc;
}

static int parse_selectors(struct api_call *call, struct api_list *list)
{
    const struct api_request *request = call->request;
    int rc = selector_parse_labels(&list->labels, request->label_selector ? request->label_selector : "",
                                   &call->err);
    if (rc) {
        char inner[ERR_MESSAGE_MAX];
        snprintf(inner, sizeof(inner), "%s", call->err.message);
        return err_set(&call->err, ERR_BAD_REQUEST, "%s", inner);
    }
    rc = selector_parse_fields(&list->fields, request->field_selector ? request->field_selector : "",
                               list->kind, &call->err);
    if (rc)
        return rc;
    const char *name = selector_requires(list->fields, "metadata.name");
    const char *namespace = selector_requires(list->fields, "metadata.namespace");
    if (name)
        list->only_name = mem_strdup(name);
    if (namespace && !*list->namespace) {
        free(list->namespace);
        list->namespace = mem_strdup(namespace);
    }
    return 0;
}

static void begin(struct api_call *call, struct api_list *list)
{
    const struct state_store_ops *ops = ledger_store_ops(call->server->ledger);
    const char *node =
        kind_is(list->kind, "", "pods") ? selector_requires(list->fields, "spec.nodeName") : NULL;
    /* An index tells how things stand now; the past and pages need the order of the keys. */
    bool plain = !list->past.count && !list->start.len && !list->limit;
    if (plain && call->request->owner_uid) {
        list->indexed = true;
        list->iter = ops->iter_index(list->snapshot, "owner", call->request->owner_uid);
        return;
    }
    if (plain && node && *node) {
        list->indexed = true;
        list->iter = ops->iter_index(list->snapshot, "node", node);
        return;
    }
    bool one_namespace = list->kind->namespaced && *list->namespace;
    bool one_name = list->only_name && (one_namespace || !list->kind->namespaced);
    struct resource_key prefix = {list->kind->group, list->kind->plural,
                                  one_namespace ? list->namespace
                                  : one_name    ? ""
                                                : NULL,
                                  one_name ? list->only_name : ""};
    key_encode(&list->prefix, &prefix);
    walk_keys(list);
}

int list_open(struct api_call *call, struct api_list **out)
{
    struct api_list *list = mem_zalloc(sizeof(*list));
    list->server = call->server;
    list->kind = call->kind;
    list->namespace = mem_strdup(call->kind->namespaced ? call->request->namespace : "");
    list->limit = call->request->limit > 0 ? call->request->limit : 0;
    list->snapshot_us = clock_mono_us();
    list->hold_us = LIST_HOLD_US;
    list->remaining = -1;
    /* The call's snapshot, if it has one, becomes the list's. */
    list->snapshot = call_snapshot(call);
    call->snapshot = NULL;
    int rc = parse_selectors(call, list);
    if (!rc)
        rc = choose_position(call, list);
    if (rc) {
        api_list_free(list);
        return rc;
    }
    begin(call, list);
    *out = list;
    return 0;
}
