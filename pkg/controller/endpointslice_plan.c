/* The EndpointSlices of a Service; see endpoints_plan.h. Endpoints stay in the slice that they are in. */
#include "controller/endpoints_plan.h"

#include "base/mem.h"
#include "client/kube.h"
#include "codec/json.h"

#include <string.h>

static const char *family_of(const json_t *pod)
{
    return strchr(json_str_or_empty(pod, "status", "podIP"), ':') ? "IPv6" : "IPv4";
}

static json_t *endpoint_of(const json_t *service, const json_t *pod)
{
    bool publish = json_bool_at(service, "spec", "publishNotReadyAddresses");
    bool serving = kube_pod_ready(pod);
    bool terminating = kube_deleting(pod);
    json_t *endpoint = json_pack("{s[s] s{sb sb sb}}", "addresses", json_str_or_empty(pod, "status", "podIP"),
                                 "conditions", "ready", publish || (serving && !terminating), "serving",
                                 serving, "terminating", terminating);
    const char *hostname = endpoints_hostname(service, pod);
    if (hostname)
        json_set_str(endpoint, "hostname", hostname);
    json_object_set_new(endpoint, "targetRef", endpoints_target(pod));
    const char *node = json_str(pod, "spec", "nodeName");
    if (node)
        json_set_str(endpoint, "nodeName", node);
    return endpoint;
}

static json_t *slice_labels(const json_t *service)
{
    json_t *labels = endpoints_labels(service);
    json_set_str(labels, "kubernetes.io/service-name", kube_name(service));
    json_set_str(labels, "endpointslice.kubernetes.io/managed-by", ENDPOINTSLICE_MANAGER);
    return labels;
}

static json_t *new_slice(const json_t *service, const char *family, json_t *ports)
{
    mem_auto char *prefix = mem_printf("%s-", kube_name(service));
    json_t *slice =
        json_pack("{ss ss s{ss ss so s[o]} ss s[] }", "apiVersion", "discovery.k8s.io/v1", "kind",
                  "EndpointSlice", "metadata", "generateName", prefix, "namespace", kube_namespace(service),
                  "labels", slice_labels(service), "ownerReferences",
                  kube_controller_ref("v1", "Service", service), "addressType", family, "endpoints");
    if (json_array_size(ports))
        json_object_set(slice, "ports", ports);
    return slice;
}

/* A group: the endpoints that share a family and ports, by the uid of their pod. */
static json_t *group_for(json_t *groups, const char *family, json_t *ports)
{
    size_t i;
    json_t *group;
    json_array_foreach(groups, i, group)
    {
        if (!strcmp(json_str_or_empty(group, "family"), family) &&
            kube_equal(json_object_get(group, "ports"), ports))
            return group;
    }
    group = json_pack("{ss sO s{}}", "family", family, "ports", ports, "endpoints");
    json_array_append_new(groups, group);
    return group;
}

static json_t *make_groups(const json_t *service, const json_t *pods)
{
    json_t *groups = json_array();
    size_t i;
    json_t *pod;
    json_array_foreach(pods, i, pod)
    {
        if (!endpoints_has_pod(pod, true))
            continue;
        json_auto_t *ports = endpoints_ports(service, pod);
        json_t *group = group_for(groups, family_of(pod), ports);
        json_object_set_new(json_object_get(group, "endpoints"), kube_uid(pod), endpoint_of(service, pod));
    }
    if (json_array_size(groups) == 0) {
        /* A service that nothing is behind still shows one slice, empty. */
        const char *family = json_string_value(json_array_get(json_at(service, "spec", "ipFamilies"), 0));
        json_auto_t *none = json_array();
        group_for(groups, family ? family : "IPv4", none);
    }
    return groups;
}

static bool slice_in_group(const json_t *slice, const json_t *group)
{
    return !strcmp(json_str_or_empty(slice, "addressType"), json_str_or_empty(group, "family")) &&
           kube_equal(json_object_get(slice, "ports"), json_object_get(group, "ports"));
}

/* The slice's endpoints as they are now, without those gone; each one placed is taken out of left. */
static json_t *keep_endpoints(const json_t *slice, json_t *left)
{
    json_t *kept = json_array();
    size_t i;
    json_t *old;
    json_array_foreach(json_object_get(slice, "endpoints"), i, old)
    {
        const char *uid = json_str_or_empty(old, "targetRef", "uid");
        json_t *now = json_object_get(left, uid);
        if (!now)
            continue;
        json_array_append(kept, now);
        json_object_del(left, uid);
    }
    return kept;
}

static void fill(json_t *endpoints, json_t *left)
{
    const char *uid;
    json_t *endpoint;
    void *next;
    json_object_foreach_safe(left, next, uid, endpoint)
    {
        if (json_array_size(endpoints) >= ENDPOINTSLICE_MAX)
            return;
        json_array_append(endpoints, endpoint);
        json_object_del(left, uid);
    }
}

static bool slice_changed(const json_t *slice, const json_t *endpoints, const json_t *labels)
{
    return !kube_equal(json_object_get(slice, "endpoints"), endpoints) ||
           !kube_equal(json_at(slice, "metadata", "labels"), labels);
}

static void plan_group(struct endpointslice_plan *out, const json_t *service, const json_t *group,
                       const json_t *slices)
{
    json_auto_t *left = json_copy(json_object_get(group, "endpoints"));
    json_auto_t *kept = json_array(); /* the endpoints of each slice of the group */
    json_auto_t *labels = slice_labels(service);
    size_t i, at = 0;
    json_t *slice;
    json_array_foreach(slices, i, slice)
    {
        if (slice_in_group(slice, group))
            json_array_append_new(kept, keep_endpoints(slice, left));
    }
    bool any = false;
    json_array_foreach(slices, i, slice)
    {
        if (!slice_in_group(slice, group))
            continue;
        json_t *endpoints = json_array_get(kept, at++);
        fill(endpoints, left);
        bool placeholder = !any && at == json_array_size(kept);
        if (json_array_size(endpoints) == 0 && !placeholder) {
            json_array_append(out->remove, slice);
            continue;
        }
        any = true;
        if (!slice_changed(slice, endpoints, labels))
            continue;
        json_t *changed = json_deep_copy(slice);
        json_object_set(changed, "endpoints", endpoints);
        json_object_set_new(json_object_get(changed, "metadata"), "labels", json_deep_copy(labels));
        json_array_append_new(out->update, changed);
    }
    while (json_object_size(left) > 0 || !any) {
        json_t *made =
            new_slice(service, json_str_or_empty(group, "family"), json_object_get(group, "ports"));
        fill(json_object_get(made, "endpoints"), left);
        json_array_append_new(out->create, made);
        any = true;
    }
}

void endpointslice_plan(struct endpointslice_plan *out, const json_t *service, const json_t *pods,
                        const json_t *slices)
{
    *out = (struct endpointslice_plan){json_array(), json_array(), json_array()};
    json_auto_t *groups = make_groups(service, pods);
    size_t i, j;
    json_t *group, *slice;
    json_array_foreach(groups, i, group) plan_group(out, service, group, slices);
    json_array_foreach(slices, i, slice)
    {
        bool used = false;
        json_array_foreach(groups, j, group) used |= slice_in_group(slice, group);
        if (!used)
            json_array_append(out->remove, slice);
    }
}

void endpointslice_plan_free(struct endpointslice_plan *plan)
{
    json_decref(plan->create);
    json_decref(plan->update);
    json_decref(plan->remove);
}
