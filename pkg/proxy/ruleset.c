/* See ruleset.h. */
#include "proxy/ruleset.h"

#include "base/mem.h"
#include "codec/json.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* The parts of the text that grow with each service port. */
struct parts {
    struct buf service_ips; /* elements of maps and sets */
    struct buf node_ports;
    struct buf dead_services;
    struct buf dead_node_ports;
    struct buf hairpin;
    struct buf chains;
    json_t *hairpin_ips;
};

static int compare_texts(const void *x, const void *y)
{
    return strcmp(*(const char *const *)x, *(const char *const *)y);
}

/* The names of an object, sorted. The caller frees the array, not the names. */
static const char **sorted_names(const json_t *object, size_t *count)
{
    const char **names = mem_calloc(json_object_size(object), sizeof(*names));
    *count = 0;
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)object, name, value) names[(*count)++] = name;
    qsort(names, *count, sizeof(*names), compare_texts);
    return names;
}

/* The port number behind a service's port in a slice; 0: none. */
static int64_t slice_port(const json_t *slice, const json_t *service_port)
{
    size_t i;
    json_t *port;
    json_array_foreach(json_object_get(slice, "ports"), i, port)
    {
        if (!strcmp(json_str_or_empty(port, "name"), json_str_or_empty(service_port, "name")) &&
            !strcmp(json_str_or_empty(port, "protocol"), json_str_or_empty(service_port, "protocol")))
            return json_int_or(0, port, "port");
    }
    return 0;
}

static void add_targets(json_t *targets, const json_t *slice, int64_t port, const char *condition)
{
    size_t i;
    json_t *endpoint;
    json_array_foreach(json_object_get(slice, "endpoints"), i, endpoint)
    {
        if (!json_bool_at(endpoint, condition))
            continue;
        mem_auto char *text = mem_printf("%s . %" PRId64, json_str_or_empty(endpoint, "ip"), port);
        json_object_set(targets, text, json_object_get(endpoint, "ip"));
    }
}

/* "ip . port" to ip of every endpoint to use: the ready ones, else those that still serve while they end. */
static json_t *targets_of(const struct proxy_model *m, const char *service, const json_t *service_port)
{
    json_t *targets = json_object();
    for (int pass = 0; pass < 2 && json_object_size(targets) == 0; pass++) {
        const char *key;
        json_t *slice;
        json_object_foreach(m->slices, key, slice)
        {
            int64_t port = slice_port(slice, service_port);
            if (port && !strcmp(json_str_or_empty(slice, "service"), service))
                add_targets(targets, slice, port, pass == 0 ? "ready" : "serving");
        }
    }
    return targets;
}

static void chain_name(char out[32], const char *service, const json_t *port)
{
    uint64_t h = 14695981039346656037ULL;
    mem_auto char *text =
        mem_printf("%s:%s/%s", service, json_str_or_empty(port, "name"), json_str_or_empty(port, "protocol"));
    for (const char *p = text; *p; p++)
        h = (h ^ (uint8_t)*p) * 1099511628211ULL;
    snprintf(out, 32, "svc-%016" PRIx64, h);
}

static void add_element(struct buf *elements, const char *text)
{
    buf_printf(elements, "%s%s", elements->len ? ",\n            " : "", text);
}

/* Whose chain it is, for people. Only letters that cannot end a comment get in. */
static void put_comment(struct buf *out, const char *service, const char *port)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789-./";
    mem_auto char *text = mem_printf("%.200s %.63s", service, port);
    for (char *p = text; *p; p++)
        *p = strchr(allowed, *p) ? *p : *p == ' ' ? ' ' : '?';
    buf_printf(out, "    # %s\n", text);
}

static void add_chain(struct parts *parts, const char *chain, const char *service, const json_t *port,
                      bool affinity, const json_t *targets, const struct ruleset_options *options)
{
    size_t n;
    mem_auto const char **names = sorted_names(targets, &n);
    struct buf *out = &parts->chains;
    put_comment(out, service, json_str_or_empty(port, "name"));
    buf_printf(out, "    chain %s {\n", chain);
    buf_printf(out, "        ip saddr != %s meta mark set meta mark or " RULESET_MARK "\n",
               options->cluster_cidr);
    buf_printf(out, "        meta l4proto %s dnat ip to ", json_str_or_empty(port, "protocol"));
    if (n == 1) {
        const char *ip = json_string_value(json_object_get(targets, names[0]));
        buf_printf(out, "%s:%s\n    }\n", ip, strrchr(names[0], ' ') + 1);
    } else {
        /* With a seed of its own each table would send a client elsewhere. */
        buf_printf(out,
                   affinity ? "jhash ip saddr mod %zu seed 0x6b617465 map {" : "numgen random mod %zu map {",
                   n);
        for (size_t i = 0; i < n; i++)
            buf_printf(out, "%s %zu : %s", i ? "," : "", i, names[i]);
        buf_puts(out, " }\n    }\n");
    }
    for (size_t i = 0; i < n; i++) {
        const char *ip = json_string_value(json_object_get(targets, names[i]));
        if (json_object_get(parts->hairpin_ips, ip))
            continue;
        json_object_set_new(parts->hairpin_ips, ip, json_true());
        mem_auto char *pair = mem_printf("%s . %s", ip, ip);
        add_element(&parts->hairpin, pair);
    }
}

static void add_port(struct parts *parts, const struct proxy_model *m, const char *name,
                     const json_t *service, const json_t *port, const struct ruleset_options *options)
{
    json_auto_t *targets = targets_of(m, name, port);
    bool dead = json_object_size(targets) == 0;
    const char *protocol = json_str_or_empty(port, "protocol");
    long long number = json_int_or(0, port, "port"), node_port = json_int_or(0, port, "nodePort");
    char chain[32], verdict[48] = "";
    chain_name(chain, name, port);
    if (!dead)
        snprintf(verdict, sizeof(verdict), " : goto %s", chain);
    size_t i;
    json_t *ip;
    json_array_foreach(json_object_get(service, "ips"), i, ip)
    {
        mem_auto char *text =
            mem_printf("%s . %s . %lld%s", json_string_value(ip), protocol, number, verdict);
        add_element(dead ? &parts->dead_services : &parts->service_ips, text);
    }
    if (node_port) {
        mem_auto char *text = mem_printf("%s . %lld%s", protocol, node_port, verdict);
        add_element(dead ? &parts->dead_node_ports : &parts->node_ports, text);
    }
    if (!dead)
        add_chain(parts, chain, name, port, json_bool_at(service, "affinity"), targets, options);
}

static void put_set(struct buf *out, const char *what, const char *name, const char *type,
                    const struct buf *elements)
{
    buf_printf(out, "    %s %s {\n        type %s\n", what, name, type);
    if (elements->len)
        buf_printf(out, "        elements = {\n            %s\n        }\n", buf_str(elements));
    buf_puts(out, "    }\n");
}

static void put_nat(struct buf *out, const struct ruleset_options *options)
{
    buf_puts(out, "    chain services {\n"
                  "        ip daddr . meta l4proto . th dport vmap @service_ips\n"
                  "        ip daddr != 127.0.0.0/8 fib daddr type local jump node_ports\n"
                  "    }\n"
                  "    chain node_ports {\n"
                  "        meta l4proto . th dport vmap @service_node_ports\n"
                  "    }\n"
                  "    chain prerouting {\n"
                  "        type nat hook prerouting priority -100; policy accept;\n"
                  "        jump services\n"
                  "    }\n"
                  "    chain output {\n"
                  "        type nat hook output priority -100; policy accept;\n"
                  "        jump services\n"
                  "    }\n"
                  "    chain postrouting {\n"
                  "        type nat hook postrouting priority 100; policy accept;\n"
                  "        ct status dnat ip saddr . ip daddr @hairpin masquerade\n");
    const char *pods = options->pod_cidr ? options->pod_cidr : options->cluster_cidr;
    if (options->bridge_bypasses)
        buf_printf(out, "        ct status dnat ip saddr %s ip daddr %s masquerade\n", pods, pods);
    if (options->pod_cidr)
        buf_printf(out, "        ip saddr %s ip daddr != { %s, 224.0.0.0/4 } masquerade\n", pods,
                   options->cluster_cidr);
    buf_puts(out, "        meta mark and " RULESET_MARK " == 0 return\n"
                  "        meta mark set meta mark xor " RULESET_MARK "\n"
                  "        masquerade fully-random\n"
                  "    }\n");
}

static void put_filter(struct buf *out, const struct ruleset_options *options)
{
    buf_puts(out, "    chain refuse {\n"
                  "        ip daddr . meta l4proto . th dport @dead_services reject\n");
    if (options->service_cidr)
        buf_printf(out, "        ip daddr %s reject\n", options->service_cidr);
    buf_puts(out,
             "    }\n"
             "    chain filter_input {\n"
             "        type filter hook input priority 0; policy accept;\n"
             "        ct state new fib daddr type local meta l4proto . th dport @dead_node_ports reject\n"
             "    }\n"
             "    chain filter_forward {\n"
             "        type filter hook forward priority 0; policy accept;\n"
             "        ct state new jump refuse\n"
             "    }\n"
             "    chain filter_output {\n"
             "        type filter hook output priority 0; policy accept;\n"
             "        ct state new jump refuse\n"
             "    }\n");
}

void ruleset_render(struct buf *out, const struct proxy_model *m, const struct ruleset_options *options)
{
    struct parts parts = {.hairpin_ips = json_object()};
    size_t n, j;
    mem_auto const char **names = sorted_names(m->services, &n);
    for (size_t i = 0; i < n; i++) {
        const json_t *service = json_object_get(m->services, names[i]);
        json_t *port;
        json_array_foreach(json_object_get(service, "ports"), j, port)
            add_port(&parts, m, names[i], service, port, options);
    }
    /* Adding first makes deleting work when there is no table yet; all of it is one transaction. */
    buf_printf(out, "add table ip %s\ndelete table ip %s\ntable ip %s {\n", options->table, options->table,
               options->table);
    buf_puts(out, buf_str(&parts.chains));
    put_set(out, "map", "service_ips", "ipv4_addr . inet_proto . inet_service : verdict", &parts.service_ips);
    put_set(out, "map", "service_node_ports", "inet_proto . inet_service : verdict", &parts.node_ports);
    put_set(out, "set", "dead_services", "ipv4_addr . inet_proto . inet_service", &parts.dead_services);
    put_set(out, "set", "dead_node_ports", "inet_proto . inet_service", &parts.dead_node_ports);
    put_set(out, "set", "hairpin", "ipv4_addr . ipv4_addr", &parts.hairpin);
    put_nat(out, options);
    put_filter(out, options);
    buf_puts(out, "}\n");
    buf_free(&parts.service_ips);
    buf_free(&parts.node_ports);
    buf_free(&parts.dead_services);
    buf_free(&parts.dead_node_ports);
    buf_free(&parts.hairpin);
    buf_free(&parts.chains);
    json_decref(parts.hairpin_ips);
}
