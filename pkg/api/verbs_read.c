/* Reading: get, list, watch. A get copies the stored text and parses nothing. */
#include "api/verbs_internal.h"

#include "api/verbs_rv.h"
#include "base/mem.h"

int api_read_object(struct api_server *server, const struct schema_kind *kind, const char *namespace,
                    const char *name, struct buf *out, struct err *err)
{
    const struct state_store_ops *ops = ledger_store_ops(server->ledger);
    struct state_snapshot *snapshot = ops->snapshot_begin(ledger_store(server->ledger));
    struct resource_key key = {kind->group, kind->plural, kind->namespaced ? namespace : "", name};
    struct state_object state;
    int rc = ops->get(snapshot, &key, &state, err);
    if (!rc)
        rc = object_open(server, &state, out, err);
    ops->snapshot_end(snapshot);
    if (rc == ERR_NOT_FOUND) {
        char resource[256];
        kind_group_resource(resource, sizeof(resource), kind);
        err_set(err, ERR_NOT_FOUND, "%s \"%s\" not found", resource, name);
    }
    return rc;
}

/* A read that must not be older than what this node does not have yet. */
static int check_version(struct api_call *call)
{
    const char *version = call->request->resource_version;
    uint64_t wanted = 0;
    if (!version || !*version || (rv_parse(version, &wanted) && !wanted))
        return 0;
    uint64_t head = ledger_store_ops(call->server->ledger)->snapshot_rv(call_snapshot(call));
    if (wanted != head && ledger_position(call->server->ledger, wanted) == LEDGER_POSITION_ABANDONED)
        return err_set(&call->err, ERR_EXPIRED, "The resourceVersion for the provided read is too old.");
    if (wanted <= head)
        return 0;
    call_add_cause(call, "ResourceVersionTooLarge", "Too large resource version", "");
    return err_set(&call->err, ERR_TIMEOUT, "Too large resource version: %llu, current: %llu",
                   (unsigned long long)wanted, (unsigned long long)head);
}

int verbs_get(struct api_call *call)
{
    struct state_object state;
    int rc = check_version(call);
    if (!rc)
        rc = call_find(call, call->kind, call->request->namespace, call->request->name, &state);
    if (rc == ERR_NOT_FOUND)
        return call_not_found(call, call->kind, call->request->name);
    buf_auto struct buf text = BUF_INIT;
    if (!rc)
        rc = object_open(call->server, &state, &text, &call->err);
    if (rc)
        return rc;
    struct buf out = text;
    text = (struct buf)BUF_INIT;
    call_reply_text(call, 200, &out);
    return 0;
}

int verbs_list(struct api_call *call)
{
    struct api_list *list = NULL;
    int rc = list_open(call, &list);
    if (rc)
        return rc;
    call_reply_stream(call, list, NULL);
    return 0;
}

int verbs_watch(struct api_call *call)
{
    struct api_watch *watch = NULL;
    int rc = hub_watch(call, &watch);
    if (rc)
        return rc;
    call_reply_stream(call, NULL, watch);
    return 0;
}
