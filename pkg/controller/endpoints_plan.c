/* See endpoints_plan.h. */
#include "controller/endpoints_plan.h"

#include "base/mem.h"
#include "client/kube.h"
#include "codec/json.h"

#include <stdlib.h>
#include <string.h>

#define LABEL_HEADLESS "service.kubernetes.io/headless"
#define LABEL_MANAGED_BY "endpoints.kubernetes.io/managed-by"

bool endpoints_wanted(const json_t *service)
{
    return strcmp(json_str_or_empty(service, "spec", "type"), "ExternalName") != 0 &&
           json_object_size(json_at(service, "spec", "selector")) > 0 && !kube_deleting(service);
}

bool endpoints_has_pod(const json_t *pod, bool include_terminating)
{
    if (kube_pod_terminal(pod) || !*json_str_or_empty(pod, "status", "podIP"))
        return false;
    return include_terminating || !kube_deleting(pod);
}

const char *endpoints_hostname(const json_t *service, const json_t *pod)
{
    const char *hostname = json_str_or_empty(pod, "spec", "hostname");
    bool own = *hostname && !strcmp(json_str_or_empty(pod, "spec", "subdomain"), kube_name(service));
    return own ? hostname : NULL;
}

json_t *endpoints_target(const json_t *pod)
{
    return json_pack("{ss ss ss ss}", "kind", "Pod", "namespace", kube_namespace(pod), "name", kube_name(pod),
                     "uid", kube_uid(pod));
}

json_t *endpoints_labels(const json_t *service)
{
    json_t *labels = json_deep_copy(json_at(service, "metadata", "labels"));
    if (!labels)
        labels = json_object();
    const char *ip = json_str_or_empty(service, "spec", "clusterIP");
    if (!*ip || !strcmp(ip, "None"))
        json_set_str(labels, LABEL_HEADLESS, "");
    else
        json_object_del(labels, LABEL_HEADLESS);
    return labels;
}

static int64_t named_port(const json_t *containers, const char *name, const char *protocol,
                          bool sidecars_only)
{
    size_t i, j;
    json_t *container, *port;
    json_array_foreach(containers, i, container)
    {
        if (sidecars_only && strcmp(json_str_or_empty(container, "restartPolicy"), "Always") != 0)
            continue;
        json_array_foreach(json_object_get(container, "ports"), j, port)
        {
            const char *p = json_str_or_empty(port, "protocol");
            if (!strcmp(json_str_or_empty(port, "name"), name) && !strcmp(*p ? p : "TCP", protocol))
                return json_int_or(0, port, "containerPort");
        }
    }
    return 0;
}

/* The number behind a service's port at a pod; 0: the pod has none of that name. */
static int64_t target_port(const json_t *service_port, const json_t *pod)
{
    const json_t *target = json_object_get(service_port, "targetPort");
    if (json_is_integer(target) && json_integer_value(target) > 0)
        return json_integer_value(target);
    const char *name = json_string_value(target);
    if (!name || !*name)
        return json_int_or(0, service_port, "port");
    const char *protocol = json_str_or_empty(service_port, "protocol");
    protocol = *protocol ? protocol : "TCP";
    int64_t port = named_port(json_at(pod, "spec", "containers"), name, protocol, false);
    return port ? port : named_port(json_at(pod, "spec", "initContainers"), name, protocol, true);
}

json_t *endpoints_ports(const json_t *service, const json_t *pod)
{
    json_t *ports = json_array();
    size_t i;
    json_t *service_port;
    json_array_foreach(json_at(service, "spec", "ports"), i, service_port)
    {
        int64_t number = target_port(service_port, pod);
        if (!number)
            continue;
        const char *protocol = json_str_or_empty(service_port, "protocol");
        json_t *port = json_pack("{ss sI ss}", "name", json_str_or_empty(service_port, "name"), "port",
                                 (json_int_t)number, "protocol", *protocol ? protocol : "TCP");
        const char *app = json_str(service_port, "appProtocol");
        if (app)
            json_set_str(port, "appProtocol", app);
        json_array_append_new(ports, port);
    }
    return ports;
}

/* The subset with these ports, made when there is none. */
static json_t *subset_for(json_t *subsets, json_t *ports)
{
    size_t i;
    json_t *subset;
    json_array_foreach(subsets, i, subset)
    {
        if (kube_equal(json_object_get(subset, "ports"), ports))
            return subset;
    }
    subset = json_object();
    json_array_append_new(subsets, subset);
    if (json_array_size(ports))
        json_object_set(subset, "ports", ports);
    return subset;
}

static int compare_address(const void *x, const void *y)
{
    const json_t *a = *(json_t *const *)x, *b = *(json_t *const *)y;
    int order = strcmp(json_str_or_empty(a, "ip"), json_str_or_empty(b, "ip"));
    return order ? order
                 : strcmp(json_str_or_empty(a, "targetRef", "uid"), json_str_or_empty(b, "targetRef", "uid"));
}

/* Sorts an array of addresses and takes those beyond room off; returns how many are left. */
static size_t sort_addresses(json_t *subset, const char *name, size_t room)
{
    json_t *addresses = json_object_get(subset, name);
    size_t n = json_array_size(addresses);
    if (n == 0)
        return 0;
    mem_auto json_t **sorted = mem_calloc(n, sizeof(json_t *));
    for (size_t i = 0; i < n; i++)
        sorted[i] = json_array_get(addresses, i);
    qsort(sorted, n, sizeof(json_t *), compare_address);
    json_t *out = json_array();
    for (size_t i = 0; i < n && i < room; i++)
        json_array_append(out, sorted[i]);
    json_object_set_new(subset, name, out);
    return json_array_size(out);
}

static json_t *address_of(const json_t *service, const json_t *pod)
{
    json_t *address = json_pack("{ss}", "ip", json_str_or_empty(pod, "status", "podIP"));
    const char *hostname = endpoints_hostname(service, pod);
    if (hostname)
        json_set_str(address, "hostname", hostname);
    const char *node = json_str(pod, "spec", "nodeName");
    if (node)
        json_set_str(address, "nodeName", node);
    json_object_set_new(address, "targetRef", endpoints_target(pod));
    return address;
}

static json_t *subsets_of(const json_t *service, const json_t *pods)
{
    bool publish = json_bool_at(service, "spec", "publishNotReadyAddresses");
    bool headless = !strcmp(json_str_or_empty(service, "spec", "clusterIP"), "None");
    json_t *subsets = json_array();
    size_t i;
    json_t *pod, *subset;
    json_array_foreach(pods, i, pod)
    {
        if (!endpoints_has_pod(pod, publish))
            continue;
        json_auto_t *ports = endpoints_ports(service, pod);
        bool portless = json_array_size(json_at(service, "spec", "ports")) == 0;
        if (json_array_size(ports) == 0 && !(portless && headless))
            continue;
        bool ready = publish || kube_pod_ready(pod);
        subset = subset_for(subsets, ports);
        json_array_append_new(json_array_ensure(subset, ready ? "addresses" : "notReadyAddresses"),
                              address_of(service, pod));
    }
    size_t room = ENDPOINTS_MAX;
    json_array_foreach(subsets, i, subset)
    {
        room -= sort_addresses(subset, "addresses", room);
        room -= sort_addresses(subset, "notReadyAddresses", room);
    }
    return subsets;
}

json_t *endpoints_object(const json_t *service, const json_t *pods, const json_t *old)
{
    json_t *object = old ? json_deep_copy(old) : NULL;
    if (!object)
        object = json_pack("{ss ss s{ss ss}}", "apiVersion", "v1", "kind", "Endpoints", "metadata", "name",
                           kube_name(service), "namespace", kube_namespace(service));
    json_t *labels = endpoints_labels(service);
    json_set_str(labels, LABEL_MANAGED_BY, "endpoint-controller");
    json_object_set_new(json_object_get(object, "metadata"), "labels", labels);
    json_t *subsets = subsets_of(service, pods);
    if (json_array_size(subsets))
        json_object_set(object, "subsets", subsets);
    else
        json_object_del(object, "subsets");
    json_decref(subsets);
    return object;
}
