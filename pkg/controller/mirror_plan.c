/* See mirror_plan.h. */
#include "controller/mirror_plan.h"

#include "base/mem.h"
#include "client/kube.h"
#include "codec/json.h"

#include <string.h>

#define ENDPOINTS_MAX 1000 /* in one slice, as the API allows */

bool mirror_wanted(const json_t *endpoints)
{
    const char *skip = kube_label(endpoints, "endpointslice.kubernetes.io/skip-mirror");
    return !kube_label(endpoints, "endpoints.kubernetes.io/managed-by") && !(skip && !strcmp(skip, "true")) &&
           !kube_annotation(endpoints, "control-plane.alpha.kubernetes.io/leader") &&
           !kube_deleting(endpoints);
}

static void add_endpoints(json_t *out, const json_t *addresses, const char *family, bool ready)
{
    size_t i;
    json_t *address;
    json_array_foreach(addresses, i, address)
    {
        const char *ip = json_str_or_empty(address, "ip");
        if (strcmp(strchr(ip, ':') ? "IPv6" : "IPv4", family) != 0 || json_array_size(out) >= ENDPOINTS_MAX)
            continue;
        json_t *endpoint = json_pack("{s[s] s{sb sb sb}}", "addresses", ip, "conditions", "ready", ready,
                                     "serving", ready, "terminating", 0);
        static const char *const copied[] = {"hostname", "nodeName", "targetRef"};
        for (size_t c = 0; c < sizeof(copied) / sizeof(copied[0]); c++) {
            if (json_object_get(address, copied[c]))
                json_object_set(endpoint, copied[c], json_object_get(address, copied[c]));
        }
        json_array_append_new(out, endpoint);
    }
}

static json_t *make_slice(const json_t *endpoints, size_t index, const json_t *subset, const char *family)
{
    json_t *list = json_array();
    add_endpoints(list, json_object_get(subset, "addresses"), family, true);
    add_endpoints(list, json_object_get(subset, "notReadyAddresses"), family, false);
    if (json_array_size(list) == 0) {
        json_decref(list);
        return NULL;
    }
    json_t *labels = json_deep_copy(json_at(endpoints, "metadata", "labels"));
    if (!labels)
        labels = json_object();
    json_set_str(labels, "kubernetes.io/service-name", kube_name(endpoints));
    json_set_str(labels, "endpointslice.kubernetes.io/managed-by", MIRROR_MANAGER);
    mem_auto char *name =
        mem_printf("%s-mirror%zu-%s", kube_name(endpoints), index, !strcmp(family, "IPv4") ? "v4" : "v6");
    json_t *slice = json_pack(
        "{ss ss s{ss ss so s[o]} ss so}", "apiVersion", "discovery.k8s.io/v1", "kind", "EndpointSlice",
        "metadata", "name", name, "namespace", kube_namespace(endpoints), "labels", labels, "ownerReferences",
        kube_controller_ref("v1", "Endpoints", endpoints), "addressType", family, "endpoints", list);
    json_t *ports = json_object_get(subset, "ports");
    if (json_array_size(ports))
        json_object_set_new(slice, "ports", json_deep_copy(ports));
    size_t i;
    json_t *port;
    json_array_foreach(json_object_get(slice, "ports"), i, port)
    {
        /* A port without a name is the one that has the empty name. */
        if (!json_object_get(port, "name"))
            json_set_str(port, "name", "");
    }
    return slice;
}

json_t *mirror_slices(const json_t *endpoints, const json_t *service)
{
    json_t *slices = json_array();
    if (!service || json_object_size(json_at(service, "spec", "selector")) > 0 || !mirror_wanted(endpoints))
        return slices;
    size_t i;
    json_t *subset;
    json_array_foreach(json_object_get(endpoints, "subsets"), i, subset)
    {
        static const char *const families[] = {"IPv4", "IPv6"};
        for (size_t f = 0; f < 2; f++) {
            json_t *slice = make_slice(endpoints, i, subset, families[f]);
            if (slice)
                json_array_append_new(slices, slice);
        }
    }
    return slices;
}
