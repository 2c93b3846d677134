/* The columns of services, endpoints and endpoint slices. */
#include "object/table_internal.h"

#include "base/mem.h"
#include "codec/json.h"

#include <stdlib.h>
#include <string.h>

#define SHOWN_MAX 3 /* addresses or ports that a cell names; further ones are counted */

static json_t *cell_cluster_ip(const struct table__call *call)
{
    const char *ip = json_string_value(json_array_get(json_at(call->object, "spec", "clusterIPs"), 0));
    return json_string(ip ? ip : "<none>");
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The distinct addresses of the load balancer, sorted. */
static void put_ingress(struct buf *out, const json_t *service)
{
    const json_t *list = json_at(service, "status", "loadBalancer", "ingress");
    mem_auto const char **texts = mem_calloc(json_array_size(list) + 1, sizeof(*texts));
    size_t count = 0, i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        const char *ip = json_str_or_empty(item, "ip");
        texts[count] = *ip ? ip : json_str_or_empty(item, "hostname");
        count += *texts[count] != '\0';
    }
    qsort(texts, count, sizeof(*texts), compare_texts);
    for (i = 0; i < count; i++) {
        if (i && strcmp(texts[i], texts[i - 1]) == 0)
            continue;
        table__put_separator(out, ",");
        buf_puts(out, texts[i]);
    }
}

static json_t *cell_external_ip(const struct table__call *call)
{
    const char *type = json_str_or_empty(call->object, "spec", "type");
    if (strcmp(type, "ExternalName") == 0)
        return json_string(json_str_or_empty(call->object, "spec", "externalName"));
    bool balanced = strcmp(type, "LoadBalancer") == 0;
    if (!balanced && strcmp(type, "ClusterIP") != 0 && strcmp(type, "NodePort") != 0)
        return json_string("<unknown>");
    buf_auto struct buf out = BUF_INIT;
    if (balanced)
        put_ingress(&out, call->object);
    size_t i;
    json_t *ip;
    json_array_foreach(json_at(call->object, "spec", "externalIPs"), i, ip)
    {
        table__put_separator(&out, ",");
        buf_puts(&out, json_or_empty_(ip));
    }
    if (out.len)
        return table__text(&out);
    return json_string(balanced ? "<pending>" : "<none>");
}

/* "80/TCP,443:30443/TCP" */
static json_t *cell_ports(const struct table__call *call)
{
    buf_auto struct buf out = BUF_INIT;
    size_t i;
    json_t *port;
    json_array_foreach(json_at(call->object, "spec", "ports"), i, port)
    {
        table__put_separator(&out, ",");
        buf_printf(&out, "%lld", (long long)json_int_or(0, port, "port"));
        int64_t node_port = json_int_or(0, port, "nodePort");
        if (node_port > 0)
            buf_printf(&out, ":%lld", (long long)node_port);
        buf_printf(&out, "/%s", json_str_or_empty(port, "protocol"));
    }
    return out.len ? table__text(&out) : json_string("<none>");
}

/* A cell that names the first SHOWN_MAX of its items and counts the others. */
struct shown {
    struct buf text;
    size_t count;
};

static void show(struct shown *shown, const char *text)
{
    if (shown->count++ < SHOWN_MAX)
        buf_printf(&shown->text, "%s%s", shown->count > 1 ? "," : "", text);
}

static json_t *shown_cell(struct shown *shown, const char *empty)
{
    if (shown->count > SHOWN_MAX)
        buf_printf(&shown->text, " + %zu more...", shown->count - SHOWN_MAX);
    json_t *cell = shown->text.len ? table__text(&shown->text) : json_string(empty);
    buf_free(&shown->text);
    return cell;
}

static void show_address(struct shown *shown, const char *ip, const json_t *port)
{
    if (!port) {
        show(shown, ip);
        return;
    }
    bool v6 = strchr(ip, ':');
    mem_auto char *text =
        mem_printf("%s%s%s:%lld", v6 ? "[" : "", ip, v6 ? "]" : "", (long long)json_int_or(0, port, "port"));
    show(shown, text);
}

static void show_subset(struct shown *shown, const json_t *subset)
{
    const json_t *addresses = json_object_get(subset, "addresses");
    const json_t *ports = json_object_get(subset, "ports");
    size_t port_count = json_array_size(ports), i;
    json_t *address;
    /* A headless service may have no ports at all. */
    for (size_t p = 0; p < (port_count ? port_count : 1); p++) {
        json_array_foreach(addresses, i, address)
            show_address(shown, json_str_or_empty(address, "ip"), json_array_get(ports, p));
    }
}

static json_t *cell_endpoints(const struct table__call *call)
{
    const json_t *subsets = json_object_get(call->object, "subsets");
    struct shown shown = {BUF_INIT, 0};
    size_t i;
    json_t *subset;
    json_array_foreach(subsets, i, subset) show_subset(&shown, subset);
    return shown_cell(&shown, json_array_size(subsets) ? "" : "<none>");
}

static json_t *cell_slice_ports(const struct table__call *call)
{
    struct shown shown = {BUF_INIT, 0};
    size_t i;
    json_t *port;
    json_array_foreach(json_object_get(call->object, "ports"), i, port)
    {
        const char *name = json_str(port, "name");
        mem_auto char *number = NULL;
        if (json_object_get(port, "port"))
            number = mem_printf("%lld", (long long)json_int_or(0, port, "port"));
        show(&shown, number ? number : name ? name : "*");
    }
    return shown_cell(&shown, "<unset>");
}

static json_t *cell_slice_endpoints(const struct table__call *call)
{
    struct shown shown = {BUF_INIT, 0};
    size_t i, j;
    json_t *endpoint, *address;
    json_array_foreach(json_object_get(call->object, "endpoints"), i, endpoint)
    {
        json_array_foreach(json_object_get(endpoint, "addresses"), j, address)
            show(&shown, json_or_empty_(address));
    }
    return shown_cell(&shown, "<unset>");
}

const struct table__function table__service_functions[] = {
    {"service_cluster_ip", cell_cluster_ip},
    {"service_external_ip", cell_external_ip},
    {"service_ports", cell_ports},
    {"endpoints", cell_endpoints},
    {"slice_ports", cell_slice_ports},
    {"slice_endpoints", cell_slice_endpoints},
    {NULL, NULL},
};
