/* See kube.h. */
#include "client/kube.h"

#include "base/timefmt.h"
#include "codec/json.h"

#include <stdio.h>
#include <string.h>

const struct client_resource kube_pods = {"", "v1", "pods"};
const struct client_resource kube_nodes = {"", "v1", "nodes"};
const struct client_resource kube_services = {"", "v1", "services"};
const struct client_resource kube_endpoints = {"", "v1", "endpoints"};
const struct client_resource kube_namespaces = {"", "v1", "namespaces"};
const struct client_resource kube_configmaps = {"", "v1", "configmaps"};
const struct client_resource kube_secrets = {"", "v1", "secrets"};
const struct client_resource kube_serviceaccounts = {"", "v1", "serviceaccounts"};
const struct client_resource kube_events = {"", "v1", "events"};
const struct client_resource kube_endpointslices = {"discovery.k8s.io", "v1", "endpointslices"};
const struct client_resource kube_deployments = {"apps", "v1", "deployments"};
const struct client_resource kube_replicasets = {"apps", "v1", "replicasets"};
const struct client_resource kube_leases = {"coordination.k8s.io", "v1", "leases"};

const char *kube_name(const json_t *object)
{
    return json_str_or_empty(object, "metadata", "name");
}

const char *kube_namespace(const json_t *object)
{
    return json_str_or_empty(object, "metadata", "namespace");
}

const char *kube_uid(const json_t *object)
{
    return json_str_or_empty(object, "metadata", "uid");
}

bool kube_deleting(const json_t *object)
{
    return json_is_string(json_at(object, "metadata", "deletionTimestamp"));
}

bool kube_has_finalizer(const json_t *object, const char *name)
{
    size_t i;
    json_t *finalizer;
    json_array_foreach(json_at(object, "metadata", "finalizers"), i, finalizer)
    {
        if (!strcmp(json_or_empty_(finalizer), name))
            return true;
    }
    return false;
}

const char *kube_label(const json_t *object, const char *name)
{
    return json_str(object, "metadata", "labels", name);
}

const char *kube_annotation(const json_t *object, const char *name)
{
    return json_str(object, "metadata", "annotations", name);
}

void kube_key(char out[KUBE_KEY_MAX], const json_t *object)
{
    const char *namespace = kube_namespace(object);
    snprintf(out, KUBE_KEY_MAX, "%s%s%s", namespace, *namespace ? "/" : "", kube_name(object));
}

void kube_key_split(char *key, const char **namespace, const char **name)
{
    char *slash = strchr(key, '/');
    *namespace = slash ? key : "";
    *name = slash ? slash + 1 : key;
    if (slash)
        *slash = '\0';
}

int64_t kube_time(const char *text)
{
    int64_t us;
    return text && timefmt_parse(text, &us) ? us : 0;
}

int64_t kube_created(const json_t *object)
{
    return kube_time(json_str(object, "metadata", "creationTimestamp"));
}

const json_t *kube_controller(const json_t *object)
{
    size_t i;
    json_t *ref;
    json_array_foreach(json_at(object, "metadata", "ownerReferences"), i, ref)
    {
        if (json_bool_at(ref, "controller"))
            return ref;
    }
    return NULL;
}

bool kube_controlled_by(const json_t *object, const char *uid)
{
    return !strcmp(json_str_or_empty(kube_controller(object), "uid"), uid);
}

json_t *kube_controller_ref(const char *api_version, const char *kind, const json_t *owner)
{
    return json_pack("{ss ss ss ss sb sb}", "apiVersion", api_version, "kind", kind, "name", kube_name(owner),
                     "uid", kube_uid(owner), "controller", 1, "blockOwnerDeletion", 1);
}

json_t *kube_condition(const json_t *object, const char *type)
{
    size_t i;
    json_t *condition;
    json_array_foreach(json_at(object, "status", "conditions"), i, condition)
    {
        if (!strcmp(json_str_or_empty(condition, "type"), type))
            return condition;
    }
    return NULL;
}

const char *kube_condition_status(const json_t *object, const char *type)
{
    return json_str_or_empty(kube_condition(object, type), "status");
}

bool kube_pod_terminal(const json_t *pod)
{
    const char *phase = json_str_or_empty(pod, "status", "phase");
    return !strcmp(phase, "Succeeded") || !strcmp(phase, "Failed");
}

bool kube_pod_active(const json_t *pod)
{
    return !kube_pod_terminal(pod) && !kube_deleting(pod);
}

bool kube_pod_ready(const json_t *pod)
{
    return !strcmp(kube_condition_status(pod, "Ready"), "True");
}

bool kube_pod_available(const json_t *pod, int64_t min_ready_us, int64_t now_us, int64_t *due_us)
{
    *due_us = 0;
    if (!kube_pod_ready(pod))
        return false;
    if (min_ready_us <= 0)
        return true;
    int64_t since = kube_time(json_str(kube_condition(pod, "Ready"), "lastTransitionTime"));
    if (!since)
        return false;
    if (since + min_ready_us <= now_us)
        return true;
    *due_us = since + min_ready_us;
    return false;
}

bool kube_tolerates(const json_t *toleration, const json_t *taint)
{
    const char *effect = json_str_or_empty(toleration, "effect");
    if (*effect && strcmp(effect, json_str_or_empty(taint, "effect")) != 0)
        return false;
    const char *key = json_str_or_empty(toleration, "key");
    if (*key && strcmp(key, json_str_or_empty(taint, "key")) != 0)
        return false;
    const char *operator= json_str_or_empty(toleration, "operator");
    if (!strcmp(operator, "Exists"))
        return true;
    return (!*operator|| !strcmp(operator, "Equal")) &&
           !strcmp(json_str_or_empty(toleration, "value"), json_str_or_empty(taint, "value"));
}

static bool kube_empty(const json_t *value)
{
    switch (value ? json_typeof(value) : JSON_NULL) {
    case JSON_OBJECT:
        return json_object_size(value) == 0;
    case JSON_ARRAY:
        return json_array_size(value) == 0;
    case JSON_STRING:
        return json_string_length(value) == 0;
    case JSON_INTEGER:
        return json_integer_value(value) == 0;
    case JSON_REAL:
    case JSON_TRUE:
        return false;
    case JSON_FALSE:
    case JSON_NULL:
        return true;
    }
    return false;
}

static bool objects_equal(const json_t *a, const json_t *b)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)a, name, value)
    {
        if (!kube_equal(value, json_object_get(b, name)))
            return false;
    }
    json_object_foreach((json_t *)b, name, value)
    {
        if (!json_object_get(a, name) && !kube_empty(value))
            return false;
    }
    return true;
}

bool kube_equal(const json_t *a, const json_t *b)
{
    if (kube_empty(a) || kube_empty(b))
        return kube_empty(a) && kube_empty(b);
    if (json_is_object(a) && json_is_object(b))
        return objects_equal(a, b);
    if (!json_is_array(a) || !json_is_array(b))
        return json_equal(a, b);
    if (json_array_size(a) != json_array_size(b))
        return false;
    for (size_t i = 0; i < json_array_size(a); i++) {
        if (!kube_equal(json_array_get(a, i), json_array_get(b, i)))
            return false;
    }
    return true;
}

bool kube_namespace_terminating(const struct err *err)
{
    return err->code == ERR_FORBIDDEN && strstr(err->message, "because it is being terminated");
}

int kube_list_owned(struct client *client, const struct client_resource *resource, const char *namespace,
                    const char *owner_uid, json_t **items, struct err *err)
{
    struct client_request request = {
        .verb = CLIENT_LIST, .resource = *resource, .namespace = namespace, .owner_uid = owner_uid};
    json_t *list = NULL;
    int rc = client_do(client, &request, &list, err);
    if (rc)
        return rc;
    *items = json_incref(json_object_get(list, "items"));
    json_decref(list);
    return 0;
}
