/* See model.h. */
#include "proxy/model.h"

#include "client/kube.h"
#include "codec/json.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

void proxy_model_init(struct proxy_model *m)
{
    m->services = json_object();
    m->slices = json_object();
}

void proxy_model_free(struct proxy_model *m)
{
    json_decref(m->services);
    json_decref(m->slices);
}

/* Only what is an IPv4 address for certain gets into rules, whatever an object says. */
static bool is_ipv4(const char *text)
{
    struct in_addr address;
    return text && inet_pton(AF_INET, text, &address) == 1;
}

static void add_ip(json_t *ips, const char *text)
{
    if (is_ipv4(text))
        json_array_append_new(ips, json_string(text));
}

/* "tcp", "udp" or "sctp"; NULL for anything else. */
static const char *protocol_of(const json_t *port)
{
    const char *protocol = json_str_or_empty(port, "protocol");
    return !*protocol || !strcmp(protocol, "TCP") ? "tcp"
           : !strcmp(protocol, "UDP")             ? "udp"
           : !strcmp(protocol, "SCTP")            ? "sctp"
                                                  : NULL;
}

static json_t *ports_of(const json_t *ports)
{
    json_t *out = json_array();
    size_t i;
    json_t *port;
    json_array_foreach(ports, i, port)
    {
        const char *protocol = protocol_of(port);
        int64_t number = json_int_or(0, port, "port"), node = json_int_or(0, port, "nodePort");
        if (!protocol || number < 1 || number > 65535 || node < 0 || node > 65535)
            continue;
        json_array_append_new(out,
                              json_pack("{ss ss sI sI}", "name", json_str_or_empty(port, "name"), "protocol",
                                        protocol, "port", (json_int_t)number, "nodePort", (json_int_t)node));
    }
    return out;
}

/* All addresses that a service answers at; an empty array when it needs no rules. */
static json_t *ips_of(const json_t *service)
{
    json_t *ips = json_array();
    if (!strcmp(json_str_or_empty(service, "spec", "type"), "ExternalName"))
        return ips;
    size_t i;
    json_t *value;
    add_ip(ips, json_str(service, "spec", "clusterIP"));
    if (json_array_size(ips) == 0)
        return ips;
    json_array_foreach(json_at(service, "spec", "externalIPs"), i, value)
        add_ip(ips, json_string_value(value));
    json_array_foreach(json_at(service, "status", "loadBalancer", "ingress"), i, value)
        add_ip(ips, json_str(value, "ip"));
    return ips;
}

/* Takes `value` over; NULL removes. */
static bool store(json_t *map, const char *key, json_t *value)
{
    json_t *old = json_object_get(map, key);
    bool changed = value ? !json_equal(old, value) : old != NULL;
    if (!changed)
        json_decref(value);
    else if (value)
        json_object_set_new(map, key, value);
    else
        json_object_del(map, key);
    return changed;
}

bool proxy_model_remove_service(struct proxy_model *m, const json_t *service)
{
    char key[KUBE_KEY_MAX];
    kube_key(key, service);
    return store(m->services, key, NULL);
}

bool proxy_model_set_service(struct proxy_model *m, const json_t *service)
{
    json_t *ips = ips_of(service);
    if (json_array_size(ips) == 0) {
        json_decref(ips);
        return proxy_model_remove_service(m, service);
    }
    char key[KUBE_KEY_MAX];
    kube_key(key, service);
    bool affinity = !strcmp(json_str_or_empty(service, "spec", "sessionAffinity"), "ClientIP");
    return store(m->services, key,
                 json_pack("{so sb so}", "ips", ips, "affinity", affinity, "ports",
                           ports_of(json_at(service, "spec", "ports"))));
}

bool proxy_model_remove_slice(struct proxy_model *m, const json_t *slice)
{
    char key[KUBE_KEY_MAX];
    kube_key(key, slice);
    return store(m->slices, key, NULL);
}

static json_t *endpoints_of(const json_t *slice)
{
    json_t *out = json_array();
    size_t i;
    json_t *endpoint;
    json_array_foreach(json_object_get(slice, "endpoints"), i, endpoint)
    {
        /* All addresses of an endpoint are the same endpoint: the first one is used. */
        const char *ip = json_string_value(json_array_get(json_object_get(endpoint, "addresses"), 0));
        const json_t *ready = json_at(endpoint, "conditions", "ready");
        const json_t *serving = json_at(endpoint, "conditions", "serving");
        bool is_ready = !json_is_false(ready); /* unknown counts as ready */
        bool is_serving = serving ? json_is_true(serving) : is_ready;
        if (is_ipv4(ip) && (is_ready || is_serving))
            json_array_append_new(
                out, json_pack("{ss sb sb}", "ip", ip, "ready", is_ready, "serving", is_serving));
    }
    return out;
}

bool proxy_model_set_slice(struct proxy_model *m, const json_t *slice)
{
    const char *service = kube_label(slice, "kubernetes.io/service-name");
    if (!service || strcmp(json_str_or_empty(slice, "addressType"), "IPv4") != 0)
        return proxy_model_remove_slice(m, slice);
    char key[KUBE_KEY_MAX], service_key[KUBE_KEY_MAX];
    kube_key(key, slice);
    snprintf(service_key, sizeof(service_key), "%s/%s", kube_namespace(slice), service);
    return store(m->slices, key,
                 json_pack("{ss so so}", "service", service_key, "ports",
                           ports_of(json_object_get(slice, "ports")), "endpoints", endpoints_of(slice)));
}
