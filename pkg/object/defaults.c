/*
 * Defaults. Those that are constants stand in the schema (the +default markers and api/defaults.json); what
 * depends on other fields is a function here, called for each value of the message that it is listed under.
 * Source of the values: pkg/apis/<group>/v1/defaults.go of Kubernetes.
 */
#include "object/semantics.h"

#include "base/mem.h"
#include "codec/json.h"
#include "object/arrange.h"
#include "object/quantity.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define RBAC_GROUP "rbac.authorization.k8s.io"
#define CLIENT_IP_TIMEOUT_S 10800

static bool has_text(const json_t *object, const char *name)
{
    return *json_str_or_empty(object, name);
}

static void default_text(json_t *object, const char *name, const char *value)
{
    if (!has_text(object, name))
        json_set_str(object, name, value);
}

/* The tag of an image reference: "latest" when it names neither a tag nor a digest. */
static bool image_is_latest(const char *image)
{
    const char *digest = strchr(image, '@');
    size_t len = digest ? (size_t)(digest - image) : strlen(image);
    if (!len)
        return false;
    const char *name = memrchr(image, '/', len);
    name = name ? name + 1 : image;
    const char *tag = memchr(name, ':', len - (size_t)(name - image));
    if (!tag)
        return !digest;
    tag++;
    return len - (size_t)(tag - image) == 6 && !memcmp(tag, "latest", 6);
}

static void default_pull_policy(json_t *object, const char *policy, const char *image)
{
    default_text(object, policy,
                 image_is_latest(json_str_or_empty(object, image)) ? "Always" : "IfNotPresent");
}

/* Whether a canonical quantity is finer than a thousandth. */
static bool is_fine(const char *quantity)
{
    size_t len = strlen(quantity);
    return len && (strchr("nu", quantity[len - 1]) || strstr(quantity, "e-6") || strstr(quantity, "e-9"));
}

/* Amounts of resources are kept in thousandths at the finest, rounded up. */
static void round_resources(json_t *list)
{
    const char *name;
    json_t *value;
    void *next;
    json_object_foreach_safe(list, next, name, value)
    {
        int64_t milli;
        if (!is_fine(json_or_empty_(value)) || !quantity_milli(json_string_value(value), &milli))
            continue;
        char in_milli[32];
        char canonical[64];
        snprintf(in_milli, sizeof(in_milli), "%lldm", (long long)milli);
        quantity_canonical(canonical, sizeof(canonical), in_milli);
        json_set_str(list, name, canonical);
    }
}

static void container_defaults(json_t *container)
{
    default_pull_policy(container, "imagePullPolicy", "image");
    round_resources(json_at(container, "resources", "limits"));
    round_resources(json_at(container, "resources", "requests"));
}

static void volume_defaults(json_t *volume)
{
    if (json_object_size(volume) <= (json_object_get(volume, "name") ? 1u : 0u))
        json_object_set_new(volume, "emptyDir", json_object());
    json_t *image = json_object_get(volume, "image");
    if (json_is_object(image))
        default_pull_policy(image, "pullPolicy", "reference");
}

/* serviceAccount is the old name of serviceAccountName; both are shown. */
static void pod_spec_defaults(json_t *spec)
{
    if (has_text(spec, "serviceAccountName"))
        json_set_str(spec, "serviceAccount", json_str(spec, "serviceAccountName"));
    else if (has_text(spec, "serviceAccount"))
        json_set_str(spec, "serviceAccountName", json_str(spec, "serviceAccount"));
}

static void requests_from_limits(json_t *container)
{
    json_t *limits = json_at(container, "resources", "limits");
    if (!json_object_size(limits))
        return;
    json_t *requests = json_object_ensure(json_object_get(container, "resources"), "requests");
    json_object_update_missing(requests, limits);
}

static void host_ports(json_t *container)
{
    size_t i;
    json_t *port;
    json_array_foreach(json_object_get(container, "ports"), i,
                       port) if (!json_int_or(0, port, "hostPort") && json_object_get(port, "containerPort"))
        json_object_set(port, "hostPort", json_object_get(port, "containerPort"));
}

/* What is set in Pods but not in the templates of others. */
static void pod_defaults(json_t *pod)
{
    json_t *spec = json_object_ensure(pod, "spec");
    static const char *const lists[] = {"initContainers", "containers"};
    for (size_t n = 0; n < 2; n++) {
        size_t i;
        json_t *container;
        json_array_foreach(json_object_get(spec, lists[n]), i, container)
        {
            requests_from_limits(container);
            if (json_bool_at(spec, "hostNetwork"))
                host_ports(container);
        }
    }
    if (!json_object_get(spec, "enableServiceLinks"))
        json_object_set_new(spec, "enableServiceLinks", json_true());
}

static void service_affinity(json_t *spec)
{
    if (!strcmp(json_str_or_empty(spec, "sessionAffinity"), "None"))
        json_object_del(spec, "sessionAffinityConfig");
    else if (!strcmp(json_str_or_empty(spec, "sessionAffinity"), "ClientIP") &&
             !json_at(spec, "sessionAffinityConfig", "clientIP", "timeoutSeconds"))
        json_object_set_new(spec, "sessionAffinityConfig",
                            json_pack("{s:{s:i}}", "clientIP", "timeoutSeconds", CLIENT_IP_TIMEOUT_S));
}

static void service_spec_defaults(json_t *spec)
{
    service_affinity(spec);
    const char *type = json_str_or_empty(spec, "type");
    size_t i;
    json_t *port;
    json_array_foreach(json_object_get(spec, "ports"), i, port)
    {
        const json_t *target = json_object_get(port, "targetPort");
        if ((!json_is_integer(target) || !json_integer_value(target)) && !*json_or_empty_(target))
            json_set_int(port, "targetPort", json_int_or(0, port, "port"));
    }
    bool balanced = !strcmp(type, "LoadBalancer");
    bool on_nodes = balanced || !strcmp(type, "NodePort");
    bool in_cluster = !strcmp(type, "ClusterIP");
    if (on_nodes || (in_cluster && json_array_size(json_object_get(spec, "externalIPs"))))
        default_text(spec, "externalTrafficPolicy", "Cluster");
    if ((on_nodes || in_cluster) && !json_object_get(spec, "internalTrafficPolicy"))
        json_set_str(spec, "internalTrafficPolicy", "Cluster");
    if (balanced && !json_object_get(spec, "allocateLoadBalancerNodePorts"))
        json_object_set_new(spec, "allocateLoadBalancerNodePorts", json_true());
}

static void service_defaults(json_t *service)
{
    if (strcmp(json_str_or_empty(service, "spec", "type"), "LoadBalancer") != 0)
        return;
    size_t i;
    json_t *ingress;
    json_array_foreach(json_at(service, "status", "loadBalancer", "ingress"), i,
                       ingress) if (has_text(ingress, "ip")) default_text(ingress, "ipMode", "VIP");
}

static void deployment_strategy_defaults(json_t *strategy)
{
    if (strcmp(json_str_or_empty(strategy, "type"), "RollingUpdate") != 0)
        return;
    json_t *rolling = json_object_ensure(strategy, "rollingUpdate");
    if (!json_object_get(rolling, "maxUnavailable"))
        json_set_str(rolling, "maxUnavailable", "25%");
    if (!json_object_get(rolling, "maxSurge"))
        json_set_str(rolling, "maxSurge", "25%");
}

static void namespace_defaults(json_t *namespace)
{
    const char *name = json_str_or_empty(namespace, "metadata", "name");
    if (!*name)
        return;
    json_t *labels = json_object_ensure(json_object_ensure(namespace, "metadata"), "labels");
    json_set_str(labels, "kubernetes.io/metadata.name", name);
}

static void node_status_defaults(json_t *status)
{
    const json_t *capacity = json_object_get(status, "capacity");
    if (json_object_size(capacity) && !json_object_get(status, "allocatable"))
        json_object_set_new(status, "allocatable", json_copy((json_t *)capacity));
}

static void subject_defaults(json_t *subject)
{
    const char *kind = json_str_or_empty(subject, "kind");
    if (!strcmp(kind, "User") || !strcmp(kind, "Group"))
        default_text(subject, "apiGroup", RBAC_GROUP);
}

static void slice_port_defaults(json_t *port)
{
    if (!json_object_get(port, "name"))
        json_set_str(port, "name", "");
}

static const struct {
    const char *message;
    void (*apply)(json_t *value);
} dependent[] = {
    {"core.v1.Container", container_defaults},
    {"core.v1.EphemeralContainer", container_defaults},
    {"core.v1.Volume", volume_defaults},
    {"core.v1.PodSpec", pod_spec_defaults},
    {"core.v1.Pod", pod_defaults},
    {"core.v1.ServiceSpec", service_spec_defaults},
    {"core.v1.Service", service_defaults},
    {"core.v1.Namespace", namespace_defaults},
    {"core.v1.NodeStatus", node_status_defaults},
    {"apps.v1.DeploymentStrategy", deployment_strategy_defaults},
    {"rbac.v1.Subject", subject_defaults},
    {"discovery.v1.EndpointPort", slice_port_defaults},
};

#define API_PREFIX "io.k8s.api."

static void message_defaults(const struct schema_message *message, json_t *object);

static void value_defaults(const struct schema_field *field, json_t *value)
{
    size_t i;
    const char *key;
    json_t *item;
    if (field->type != SCHEMA_MESSAGE || !value)
        return;
    if (field->shape == SCHEMA_SINGLE) {
        message_defaults(field->message, value);
        return;
    }
    json_array_foreach(value, i, item) message_defaults(field->message, item);
    json_object_foreach(value, key, item) message_defaults(field->message, item);
}

/* Without presence, a zero value counts as absent. */
static bool is_unset(const struct schema_field *field, const json_t *value)
{
    if (!value)
        return true;
    if (field->pointer || field->shape != SCHEMA_SINGLE)
        return false;
    return (json_is_string(value) && !json_string_length(value)) ||
           (json_is_integer(value) && !json_integer_value(value) && field->type != SCHEMA_INT_OR_STRING);
}

static void message_defaults(const struct schema_message *message, json_t *object)
{
    if (!json_is_object(object))
        return;
    for (size_t i = 0; i < message->member_count; i++) {
        const struct schema_field *field = message->members[i].field;
        if (!field->default_json && field->type != SCHEMA_MESSAGE)
            continue;
        json_t *value = json_object_get(object, message->members[i].name);
        if (field->default_json && is_unset(field, value)) {
            value = json_loads(field->default_json, JSON_DECODE_ANY, NULL);
            assert(value);
            json_object_set_new(object, message->members[i].name, value);
        }
        value_defaults(field, value);
    }
    if (strncmp(message->name, API_PREFIX, sizeof(API_PREFIX) - 1) != 0)
        return;
    const char *name = message->name + sizeof(API_PREFIX) - 1;
    for (size_t i = 0; i < sizeof(dependent) / sizeof(dependent[0]); i++)
        if (!strcmp(dependent[i].message, name))
            dependent[i].apply(object);
}

void defaults_apply(const struct schema_kind *kind, json_t *object)
{
    message_defaults(kind->message, object);
    arrange_members(kind->message, object);
}
