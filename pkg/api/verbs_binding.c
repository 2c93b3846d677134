/* Binding a pod to a node, evicting a pod, finalizing a namespace: subresources that act. */
#include "api/verbs_internal.h"

#include "base/timefmt.h"
#include "object/registry.h"

#include <stdio.h>

static json_t *success(int code)
{
    return json_pack("{s:s, s:s, s:{}, s:s, s:i}", "kind", "Status", "apiVersion", "v1", "metadata", "status",
                     "Success", "code", code);
}

static void set_scheduled(struct api_call *call, json_t *pod)
{
    char now[TIMEFMT_MAX];
    timefmt_seconds(now, call->now_us / 1000000);
    json_t *conditions = json_array_ensure(json_object_ensure(pod, "status"), "conditions");
    json_t *condition = NULL;
    for (size_t i = 0; i < json_array_size(conditions) && !condition; i++)
        if (!strcmp(json_str_or_empty(json_array_get(conditions, i), "type"), "PodScheduled"))
            condition = json_array_get(conditions, i);
    if (!condition) {
        condition = json_pack("{s:s}", "type", "PodScheduled");
        json_array_append_new(conditions, condition);
    }
    json_set_str(condition, "status", "True");
    json_object_set_new(condition, "lastProbeTime", json_null());
    json_set_str(condition, "lastTransitionTime", now);
    json_object_del(condition, "reason");
    json_object_del(condition, "message");
}

static int refuse_binding(struct api_call *call, const char *format, const char *name, const char *node)
{
    char why[600];
    /* The formats are the two literals below. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(why, sizeof(why), format, name, node);
#pragma GCC diagnostic pop
    return err_set(&call->err, ERR_CONFLICT, "Operation cannot be fulfilled on pods/binding \"%s\": %s", name,
                   why);
}

static int check_binding(struct api_call *call, const json_t *binding)
{
    const char *name = json_str_or_empty(call->live, "metadata", "name");
    const char *node = json_str_or_empty(call->live, "spec", "nodeName");
    const char *uid = json_str_or_empty(binding, "metadata", "uid");
    const char *target_kind = json_str_or_empty(binding, "target", "kind");
    if (*target_kind && strcmp(target_kind, "Node") != 0)
        return call_invalid_field(call, name, "FieldValueNotSupported", "target.kind",
                                  "Unsupported value: \"%.64s\": supported values: \"Node\", \"<empty>\"",
                                  target_kind);
    if (!*json_str_or_empty(binding, "target", "name"))
        return call_invalid_field(call, name, "FieldValueRequired", "target.name", "Required value");
    if (*uid && strcmp(uid, json_str_or_empty(call->live, "metadata", "uid")) != 0)
        return refuse_binding(call, "pod %s has another UID than the binding's %s", name, uid);
    if (json_at(call->live, "metadata", "deletionTimestamp"))
        return refuse_binding(call, "pod %s is being deleted, cannot be assigned to a host%s", name, "");
    if (*node)
        return refuse_binding(call, "pod %s is already assigned to node \"%s\"", name, node);
    return 0;
}

/* "bindings" names its pod in the body; everything after that is the pod's own subresource. */
static int find_pod(struct api_call *call, const json_t *binding)
{
    if (kind_is(call->kind, "", "pods"))
        return call_live(call);
    const struct schema_kind *pods = registry_by_resource("", "v1", "pods");
    const char *name = json_str_or_empty(binding, "metadata", "name");
    call->kind = pods;
    int rc = call_find(call, pods, call->request->namespace, name, &call->live_state);
    if (rc == ERR_NOT_FOUND)
        return call_not_found(call, pods, name);
    if (rc)
        return rc;
    call->live = object_parse(call->server, &call->live_state, &call->err);
    call->has_live = call->live != NULL;
    return call->live ? 0 : call->err.code;
}

int verbs_binding(struct api_call *call)
{
    json_auto_t *binding = NULL;
    int rc = call_decode_message(call, "io.k8s.api.core.v1.Binding", "", "v1", "Binding", &binding);
    if (!rc)
        rc = find_pod(call, binding);
    if (!rc)
        rc = check_binding(call, binding);
    if (rc)
        return rc;
    json_auto_t *pod = json_deep_copy(call->live);
    json_object_set(json_object_ensure(pod, "spec"), "nodeName", json_at(binding, "target", "name"));
    json_t *annotations = json_at(binding, "metadata", "annotations");
    if (json_object_size(annotations) > 0)
        json_object_update(json_object_ensure(json_object_get(pod, "metadata"), "annotations"), annotations);
    set_scheduled(call, pod);
    meta_track(call, pod, "binding");
    struct call_write write = {
        .verb = "create", .subresource = "binding", .object = pod, .status = 201, .reply = success(201)};
    return call_commit(call, &write);
}

int verbs_eviction(struct api_call *call)
{
    json_auto_t *eviction = NULL;
    int rc =
        call_decode_message(call, "io.k8s.api.policy.v1.Eviction", "policy", "v1", "Eviction", &eviction);
    if (!rc)
        rc = call_live(call);
    if (rc)
        return rc;
    const json_t *sent = json_object_get(eviction, "deleteOptions");
    struct delete_options options = {.grace_s = json_int_or(-1, sent, "gracePeriodSeconds"),
                                     .policy = json_str_or_empty(sent, "propagationPolicy"),
                                     .uid = json_str(sent, "preconditions", "uid"),
                                     .resource_version = json_str(sent, "preconditions", "resourceVersion")};
    if (json_array_size(json_object_get(sent, "dryRun")) > 0)
        call->dry_run = true;
    return delete_live(call, &options, "create", "eviction", success(201));
}

/* Takes spec.finalizers alone from the body; the last one gone, the namespace goes. */
int verbs_namespace_finalize(struct api_call *call)
{
    json_auto_t *sent = NULL;
    int rc = call_decode_object(call, call->kind, &sent);
    if (!rc)
        rc = call_check_identity(call, sent, false);
    if (!rc)
        rc = call_live(call);
    struct call_write write = {.verb = "update", .subresource = "finalize", .status = 200};
    if (!rc)
        rc = call_check_version(call, sent, &write.strict);
    if (rc)
        return rc;
    json_auto_t *object = json_deep_copy(call->live);
    json_t *finalizers = json_at(sent, "spec", "finalizers");
    json_object_set_new(json_object_ensure(object, "spec"), "finalizers",
                        finalizers ? json_incref(finalizers) : json_array());
    if (!json_array_size(json_at(object, "spec", "finalizers")))
        json_object_del(json_object_get(object, "spec"), "finalizers");
    meta_track(call, object, "finalize");
    write.object = object;
    write.remove = json_at(object, "metadata", "deletionTimestamp") &&
                   !json_array_size(json_at(object, "spec", "finalizers")) &&
                   !json_array_size(json_at(object, "metadata", "finalizers"));
    return call_commit(call, &write);
}
