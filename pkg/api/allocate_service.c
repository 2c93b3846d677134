/* What a Service gets from the cluster: cluster IP, node ports, IP family. */
#include "api/allocate.h"
#include "api/verbs_internal.h"

#include "base/rand.h"

#include <stdio.h>

#define ALLOCATE_TRIES 512

static bool type_is(const json_t *service, const char *type)
{
    const char *own = json_str_or_empty(service, "spec", "type");
    return !strcmp(*own ? own : "ClusterIP", type);
}

static const char *own_uid(const struct api_call *call)
{
    return json_str_or_empty(call->live, "metadata", "uid");
}

static void set_addresses(json_t *spec, const char *ip)
{
    json_set_str(spec, "clusterIP", ip);
    json_object_set_new(spec, "clusterIPs", json_pack("[s]", json_str_or_empty(spec, "clusterIP")));
}

static int choose_ip(struct api_call *call, json_t *service, json_t *spec)
{
    struct api_allocator *allocator = call->server->verbs->allocator;
    uint32_t size = allocator_size(allocator);
    /* The low end is left to addresses that people choose (KEP-3070). */
    uint32_t low = size / 16 < 16 ? size / 16 : size / 16 > 256 ? 256 : size / 16;
    for (int i = 0; i < ALLOCATE_TRIES; i++) {
        char ip[16];
        allocator_address(allocator, 1 + low + rand_below(size - low), ip);
        if (allocate_reserve(call->server, &call->reserved, "clusterIP", ip, own_uid(call))) {
            set_addresses(spec, ip);
            return 0;
        }
    }
    return err_set(&call->err, ERR_INTERNAL, "failed to allocate a serviceIP: range is full (%s)",
                   json_str_or_empty(service, "metadata", "name"));
}

static int take_ip(struct api_call *call, const json_t *service, json_t *spec, const char *ip)
{
    struct api_allocator *allocator = call->server->verbs->allocator;
    const char *name = json_str_or_empty(service, "metadata", "name");
    if (!allocator_contains(allocator, ip))
        return call_invalid_field(
            call, name, "FieldValueInvalid", "spec.clusterIPs",
            "Invalid value: [\"%s\"]: failed to allocate IP %s: the provided IP is not in the "
            "valid range. The range of valid IPs is %s",
            ip, ip, allocator_cidr(allocator));
    if (!allocate_reserve(call->server, &call->reserved, "clusterIP", ip, own_uid(call)))
        return call_invalid_field(
            call, name, "FieldValueInvalid", "spec.clusterIPs",
            "Invalid value: [\"%s\"]: failed to allocate IP %s: provided IP is already allocated", ip, ip);
    char copy[48];
    snprintf(copy, sizeof(copy), "%s", ip);
    set_addresses(spec, copy);
    return 0;
}

static void set_family(json_t *spec)
{
    if (!json_array_size(json_object_get(spec, "ipFamilies")))
        json_object_set_new(spec, "ipFamilies", json_pack("[s]", "IPv4"));
    if (!*json_str_or_empty(spec, "ipFamilyPolicy"))
        json_set_str(spec, "ipFamilyPolicy", "SingleStack");
}

static int allocate_ip(struct api_call *call, json_t *service, json_t *spec)
{
    if (type_is(service, "ExternalName")) {
        static const char *const none[] = {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"};
        for (size_t i = 0; call->live && i < sizeof(none) / sizeof(*none); i++)
            json_object_del(spec, none[i]);
        return 0;
    }
    set_family(spec);
    const char *ip = json_str_or_empty(spec, "clusterIP");
    const char *first = json_string_value(json_array_get(json_object_get(spec, "clusterIPs"), 0));
    if (!*ip && first)
        ip = first;
    const char *live = json_str_or_empty(call->live, "spec", "clusterIP");
    if (!*ip && *live)
        ip = live;
    char wanted[48];
    snprintf(wanted, sizeof(wanted), "%s", ip);
    if (!strcmp(wanted, "None") || (*live && !strcmp(wanted, live))) {
        set_addresses(spec, wanted);
        return 0;
    }
    /* A change of a set address is for validation to refuse. */
    if (*live && strcmp(live, "None") != 0)
        return 0;
    return *wanted ? take_ip(call, service, spec, wanted) : choose_ip(call, service, spec);
}

static bool same_port(const json_t *a, const json_t *b)
{
    return json_int_or(0, a, "port") == json_int_or(0, b, "port") &&
           !strcmp(json_str_or_empty(a, "protocol"), json_str_or_empty(b, "protocol"));
}

/* The node port that the live Service has for this port. */
static int64_t live_node_port(const struct api_call *call, const json_t *port)
{
    size_t i;
    const json_t *other;
    json_array_foreach(json_at(call->live, "spec", "ports"), i,
                       other) if (same_port(port, other)) return json_int_or(0, other, "nodePort");
    return 0;
}

static bool live_has(const struct api_call *call, int64_t node_port)
{
    size_t i;
    const json_t *other;
    json_array_foreach(json_at(call->live, "spec", "ports"), i,
                       other) if (json_int_or(0, other, "nodePort") == node_port) return true;
    return false;
}

/* Another port of this Service may share the number for another protocol. */
static bool shared_within(const json_t *ports, size_t index, int64_t node_port)
{
    for (size_t i = 0; i < index; i++) {
        const json_t *other = json_array_get(ports, i);
        if (json_int_or(0, other, "nodePort") == node_port &&
            strcmp(json_str_or_empty(other, "protocol"),
                   json_str_or_empty(json_array_get(ports, index), "protocol")) != 0)
            return true;
    }
    return false;
}

static bool reserve_port(struct api_call *call, int64_t node_port)
{
    char value[16];
    snprintf(value, sizeof(value), "%d", (int)node_port);
    return allocate_reserve(call->server, &call->reserved, "nodePort", value, own_uid(call));
}

static int take_port(struct api_call *call, const json_t *service, const json_t *ports, size_t index,
                     int64_t node_port)
{
    char field[64];
    snprintf(field, sizeof(field), "spec.ports[%zu].nodePort", index);
    const char *name = json_str_or_empty(service, "metadata", "name");
    if (node_port < ALLOCATE_PORT_FIRST || node_port > ALLOCATE_PORT_LAST)
        return call_invalid_field(
            call, name, "FieldValueInvalid", field,
            "Invalid value: %lld: provided port is not in the valid range. The range of valid "
            "ports is %d-%d",
            (long long)node_port, ALLOCATE_PORT_FIRST, ALLOCATE_PORT_LAST);
    if (live_has(call, node_port) || shared_within(ports, index, node_port) || reserve_port(call, node_port))
        return 0;
    return call_invalid_field(call, name, "FieldValueInvalid", field,
                              "Invalid value: %lld: provided port is already allocated",
                              (long long)node_port);
}

static int choose_port(struct api_call *call, json_t *port)
{
    for (int i = 0; i < ALLOCATE_TRIES; i++) {
        int64_t number = ALLOCATE_PORT_FIRST + rand_below(ALLOCATE_PORT_LAST - ALLOCATE_PORT_FIRST + 1);
        if (reserve_port(call, number)) {
            json_set_int(port, "nodePort", number);
            return 0;
        }
    }
    return err_set(&call->err, ERR_INTERNAL, "failed to allocate a nodePort: range is full");
}

static int allocate_ports(struct api_call *call, json_t *service, json_t *spec)
{
    bool wanted = type_is(service, "NodePort") || type_is(service, "LoadBalancer");
    json_t *ports = json_object_get(spec, "ports");
    size_t i;
    json_t *port;
    json_array_foreach(ports, i, port)
    {
        if (!wanted) {
            if (call->live)
                json_object_del(port, "nodePort");
            continue;
        }
        int64_t number = json_int_or(0, port, "nodePort");
        int rc = 0;
        if (!number && (number = live_node_port(call, port)))
            json_set_int(port, "nodePort", number);
        else
            rc = number ? take_port(call, service, ports, i, number) : choose_port(call, port);
        if (rc)
            return rc;
    }
    return 0;
}

static bool is_accessible(const json_t *service)
{
    return type_is(service, "NodePort") || type_is(service, "LoadBalancer") ||
           (type_is(service, "ClusterIP") && json_array_size(json_at(service, "spec", "externalIPs")) > 0);
}

/* Forgets what another type got by default, unless the client changed it too: then validation refuses it. */
static void drop_of_other_type(const json_t *live, const json_t *service, json_t *spec)
{
    static const struct {
        const char *name;
        bool balanced; /* only of type LoadBalancer; else of all that are reached from outside */
    } fields[] = {
        {"externalTrafficPolicy", false},
        {"allocateLoadBalancerNodePorts", true},
        {"loadBalancerClass", true},
        {"healthCheckNodePort", true},
    };
    for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
        bool had = fields[i].balanced ? type_is(live, "LoadBalancer") : is_accessible(live);
        bool has = fields[i].balanced ? type_is(service, "LoadBalancer") : is_accessible(service);
        const json_t *value = json_object_get(spec, fields[i].name);
        const json_t *before = json_at(live, "spec", fields[i].name);
        if (had && !has && value && before && json_equal(value, before))
            json_object_del(spec, fields[i].name);
    }
}

int allocate_service(struct api_call *call, json_t *service)
{
    json_t *spec = json_object_ensure(service, "spec");
    if (call->live)
        drop_of_other_type(call->live, service, spec);
    int rc = allocate_ip(call, service, spec);
    return rc ? rc : allocate_ports(call, service, spec);
}
