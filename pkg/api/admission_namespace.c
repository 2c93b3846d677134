/* NamespaceLifecycle: nothing new in a namespace that is not there or is going. */
#include "api/verbs_internal.h"

#include "object/registry.h"

#include <stdio.h>

static int refuse_terminating(struct api_call *call, const json_t *object, const char *namespace)
{
    char message[320];
    snprintf(message, sizeof(message), "namespace %s is being terminated", namespace);
    call_add_cause(call, "NamespaceTerminating", message, "metadata.namespace");
    return call_forbidden(call, json_str_or_empty(object, "metadata", "name"),
                          "unable to create new content in namespace %s because it is being terminated",
                          namespace);
}

int admission_namespace(struct api_call *call, const json_t *object)
{
    const char *namespace = call->request->namespace;
    if (!call->kind->namespaced || !*namespace)
        return 0;
    int rc = call_find_parent(call);
    if (rc == ERR_NOT_FOUND)
        return call_not_found(call, registry_by_resource("", "v1", "namespaces"), namespace);
    if (rc)
        return rc;
    const struct state_object *state = call->parent;
    /* Every create asks this, so the content is parsed only when it can be the answer. */
    static const char mark[] = "\"deletionTimestamp\"";
    if (!memmem(state->content, state->content_len, mark, sizeof(mark) - 1))
        return 0;
    json_auto_t *parsed = object_parse(call->server, state, &call->err);
    if (!parsed)
        return call->err.code;
    return json_at(parsed, "metadata", "deletionTimestamp") ? refuse_terminating(call, object, namespace) : 0;
}
