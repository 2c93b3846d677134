/* One call: what it reads, how it fails, how it answers. */
#include "api/verbs_internal.h"

#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct state_snapshot *call_snapshot(struct api_call *call)
{
    if (!call->snapshot) {
        struct ledger *ledger = call->server->ledger;
        ledger_await_switch(ledger);
        call->snapshot = ledger_store_ops(ledger)->snapshot_begin(ledger_store(ledger));
    }
    return call->snapshot;
}

void call_snapshot_end(struct api_call *call)
{
    if (call->snapshot)
        ledger_store_ops(call->server->ledger)->snapshot_end(call->snapshot);
    call->snapshot = NULL;
    call->parent = NULL;
}

int call_find(struct api_call *call, const struct schema_kind *kind, const char *namespace, const char *name,
              struct state_object *out)
{
    struct resource_key key = {kind->group, kind->plural, kind->namespaced ? namespace : "", name};
    return ledger_store_ops(call->server->ledger)->get(call_snapshot(call), &key, out, &call->err);
}

int call_find_parent(struct api_call *call)
{
    struct resource_key key = {"", "namespaces", "", call->request->namespace};
    if (call->parent)
        return 0;
    int rc = ledger_store_ops(call->server->ledger)
                 ->get(call_snapshot(call), &key, &call->parent_state, &call->err);
    call->parent = rc ? NULL : &call->parent_state;
    return rc;
}

int call_live(struct api_call *call)
{
    const struct api_request *request = call->request;
    int rc = call_find(call, call->kind, request->namespace, request->name, &call->live_state);
    if (rc == ERR_NOT_FOUND)
        return call_not_found(call, call->kind, request->name);
    if (rc)
        return rc;
    call->live = object_parse(call->server, &call->live_state, &call->err);
    call->has_live = call->live != NULL;
    return call->live ? 0 : call->err.code;
}

void kind_group_resource(char *out, size_t size, const struct schema_kind *kind)
{
    snprintf(out, size, *kind->group ? "%s.%s" : "%s", kind->plural, kind->group);
}

bool kind_is(const struct schema_kind *kind, const char *group, const char *plural)
{
    return !strcmp(kind->plural, plural) && !strcmp(kind->group, group);
}

bool kind_has_subresource(const struct schema_kind *kind, const char *name)
{
    for (size_t i = 0; i < kind->subresource_count; i++)
        if (!strcmp(kind->subresources[i].name, name))
            return true;
    return false;
}

int call_not_found(struct api_call *call, const struct schema_kind *kind, const char *name)
{
    char resource[256];
    kind_group_resource(resource, sizeof(resource), kind);
    return err_set(&call->err, ERR_NOT_FOUND, "%s \"%s\" not found", resource, name);
}

int call_exists(struct api_call *call, const char *name)
{
    char resource[256];
    kind_group_resource(resource, sizeof(resource), call->kind);
    return err_set(&call->err, ERR_EXISTS, "%s \"%s\" already exists", resource, name);
}

int call_conflict(struct api_call *call, const char *name, const char *why)
{
    char resource[256];
    kind_group_resource(resource, sizeof(resource), call->kind);
    return err_set(
        &call->err, ERR_CONFLICT, "Operation cannot be fulfilled on %s \"%s\": %s", resource, name,
        why ? why
            : "the object has been modified; please apply your changes to the latest version and try "
              "again");
}

int call_forbidden(struct api_call *call, const char *name, const char *format, ...)
{
    char resource[256];
    kind_group_resource(resource, sizeof(resource), call->kind);
    char why[ERR_MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(why, sizeof(why), format, args);
    va_end(args);
    if (name && *name)
        return err_set(&call->err, ERR_FORBIDDEN, "%s \"%s\" is forbidden: %s", resource, name, why);
    return err_set(&call->err, ERR_FORBIDDEN, "%s is forbidden: %s", resource, why);
}

void call_add_cause(struct api_call *call, const char *reason, const char *message, const char *field)
{
    if (!call->causes)
        call->causes = json_array();
    json_t *cause = json_object();
    json_set_str(cause, "reason", reason);
    json_set_str(cause, "message", message);
    if (field && *field)
        json_set_str(cause, "field", field);
    json_array_append_new(call->causes, cause);
}

int call_invalid(struct api_call *call, const struct field_errors *errors, const struct schema_kind *kind,
                 const char *name)
{
    for (size_t i = 0; i < errors->count; i++)
        call_add_cause(call, errors->items[i].reason, errors->items[i].message, errors->items[i].field);
    mem_auto char *message = field_errors_message(errors, kind, name);
    return err_set(&call->err, ERR_INVALID, "%s", message);
}

int call_invalid_field(struct api_call *call, const char *name, const char *reason, const char *field,
                       const char *format, ...)
{
    char text[ERR_MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    struct field_errors errors = {0};
    field_errors_add(&errors, reason, field, "%s", text);
    int rc = call_invalid(call, &errors, call->kind, name);
    field_errors_free(&errors);
    return rc;
}

void call_warn(struct api_call *call, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char text[1024];
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (!call->warnings)
        call->warnings = json_array();
    json_array_append_new(call->warnings, json_string(text));
}

void call_free(struct api_call *call)
{
    call_snapshot_end(call);
    allocate_release(call->server, call->reserved);
    json_decref(call->warnings);
    json_decref(call->causes);
    json_decref(call->live);
    json_decref(call->reply);
    buf_free(&call->text);
    free(call->name);
    free(call);
}

/* Ends the call: whatever it held is given back before the answer leaves, since done may begin the next. */
static void call_answer(struct api_call *call, struct api_response *response)
{
    api_done_fn done = call->done;
    void *arg = call->arg;
    response->warnings = call->warnings;
    response->has_tx = call->has_tx;
    response->wait_final = call->wait_final;
    response->height = call->height;
    memcpy(response->tx_id, call->tx_id, TX_ID_SIZE);
    call->warnings = NULL;
    call_free(call);
    done(arg, response);
}

void call_reply_text(struct api_call *call, int status, struct buf *text)
{
    struct api_response *response = mem_zalloc(sizeof(*response));
    response->status = status;
    response->body = *text;
    *text = (struct buf)BUF_INIT;
    call_answer(call, response);
}

void call_reply_stream(struct api_call *call, struct api_list *list, struct api_watch *watch)
{
    struct api_response *response = mem_zalloc(sizeof(*response));
    response->status = 200;
    response->list = list;
    response->watch = watch;
    call_answer(call, response);
}

void call_reply_object(struct api_call *call, int status, json_t *object)
{
    struct buf text = BUF_INIT;
    object_write(&text, object, false, NULL);
    json_decref(object);
    call_reply_text(call, status, &text);
}

void call_reply_success(struct api_call *call, int status, const char *name, const char *uid)
{
    json_auto_t *details = json_object();
    json_set_str(details, "name", name);
    if (*call->kind->group)
        json_set_str(details, "group", call->kind->group);
    json_set_str(details, "kind", call->kind->plural);
    if (uid && *uid)
        json_set_str(details, "uid", uid);
    struct buf text = BUF_INIT;
    api_status_text(&text, status, NULL, details);
    call_reply_text(call, status, &text);
}

void call_reply_error(struct api_call *call)
{
    struct buf text = BUF_INIT;
    const char *name = call->name ? call->name : call->request->name;
    int status = api_status_of(&text, &call->err, call->nameless ? NULL : call->kind,
                               call->nameless ? NULL : name, call->causes);
    call_reply_text(call, status, &text);
}

void call_reply_retry(struct api_call *call)
{
    call->request->tries += !call->more;
    struct api_response *response = mem_zalloc(sizeof(*response));
    response->retry = true;
    call_answer(call, response);
}

void api_response_free(struct api_response *response)
{
    if (!response)
        return;
    buf_free(&response->body);
    if (response->list)
        api_list_free(response->list);
    if (response->watch)
        api_watch_close(response->watch);
    json_decref(response->warnings);
    free(response);
}
