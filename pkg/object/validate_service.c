/* Services, Endpoints and EndpointSlices. */
#include "object/validate_internal.h"

#include "base/mem.h"
#include "codec/json.h"

#include <arpa/inet.h>
#include <string.h>

#define AFFINITY_TIMEOUT_MAX 86400
#define SLICE_ENDPOINTS_MAX 1000
#define SLICE_ADDRESSES_MAX 100
#define SLICE_PORTS_MAX 20000

static const char *const protocols[] = {"SCTP", "TCP", "UDP", NULL};

static bool is_type(const json_t *spec, const char *type)
{
    return !strcmp(text_at(spec, "type"), type);
}

static bool is_headless(const json_t *spec)
{
    const json_t *ips = json_object_get(spec, "clusterIPs");
    return !strcmp(text_at(spec, "clusterIP"), "None") ||
           (json_array_size(ips) == 1 && !strcmp(json_or_empty_(json_array_get(ips, 0)), "None"));
}

/* Whether an earlier item of the list has the same two members. */
static bool occurs_before(const json_t *list, size_t index, const char *first, const char *second)
{
    const json_t *item = json_array_get(list, index);
    for (size_t i = 0; i < index; i++) {
        const json_t *other = json_array_get(list, i);
        if (json_equal(json_object_get(item, first), json_object_get(other, first)) &&
            (!second || json_equal(json_object_get(item, second), json_object_get(other, second))))
            return true;
    }
    return false;
}

static void check_service_port(struct field_errors *errors, const struct where *at, const json_t *ports,
                               size_t index)
{
    const json_t *port = json_array_get(ports, index);
    const char *name = text_at(port, "name");
    if (!*name && json_array_size(ports) > 1) {
        error_required(errors, AT(at, "name"), "");
    } else if (*name) {
        check_name(errors, AT(at, "name"), name, name_check_dns_label);
        if (occurs_before(ports, index, "name", NULL))
            error_duplicate_text(errors, AT(at, "name"), name);
    }
    check_port(errors, AT(at, "port"), int_at(port, "port"));
    check_enum(errors, AT(at, "protocol"), text_at(port, "protocol"), protocols);
    check_port_or_name(errors, AT(at, "targetPort"), json_object_get(port, "targetPort"));
    if (json_object_get(port, "appProtocol"))
        check_name(errors, AT(at, "appProtocol"), text_at(port, "appProtocol"), name_check_label_key);
}

/* How Go shows the internal type that a duplicate is found with. */
static void report_same_port(struct field_errors *errors, const struct where *at, const json_t *port)
{
    json_auto_t *value =
        json_pack("{s:s,s:O,s:n,s:O,s:i,s:i}", "Name", "", "Protocol", json_object_get(port, "protocol"),
                  "AppProtocol", "Port", json_object_get(port, "port"), "TargetPort", 0, "NodePort", 0);
    struct buf text buf_auto = BUF_INIT;
    struct buf field buf_auto = BUF_INIT;
    if (value)
        json_dump_buf(&text, value);
    where_append(&field, at);
    field_errors_add(errors, "FieldValueDuplicate", buf_str(&field), "Duplicate value: %s", buf_str(&text));
}

static void check_service_ports(struct field_errors *errors, const struct where *at, const json_t *spec)
{
    const struct where *ports_at = AT(at, "ports");
    const json_t *ports = json_object_get(spec, "ports");
    size_t i;
    json_t *port;
    json_array_foreach(ports, i, port) check_service_port(errors, AT_INDEX(ports_at, i), ports, i);
    json_array_foreach(ports, i, port)
    {
        const struct where *here = AT_INDEX(ports_at, i);
        const struct where *node_port = AT(here, "nodePort");
        if (!int_at(port, "nodePort"))
            continue;
        if (is_type(spec, "ClusterIP"))
            error_forbidden(errors, node_port, "may not be used when `type` is 'ClusterIP'");
        if (occurs_before(ports, i, "nodePort", "protocol"))
            error_duplicate(errors, node_port, json_object_get(port, "nodePort"));
    }
    json_array_foreach(ports, i, port) if (occurs_before(ports, i, "port", "protocol"))
        report_same_port(errors, AT_INDEX(ports_at, i), port);
}

static void check_external_name(struct field_errors *errors, const struct where *at, const json_t *spec)
{
    static const char *const unset[] = {"clusterIPs", "ipFamilies", "ipFamilyPolicy"};
    for (size_t i = 0; i < sizeof(unset) / sizeof(unset[0]); i++)
        if (json_object_get(spec, unset[i]))
            error_forbidden(errors, AT(at, unset[i]), "may not be set for ExternalName services");
    mem_auto char *name = mem_strdup(text_at(spec, "externalName"));
    size_t len = strlen(name);
    if (len && name[len - 1] == '.')
        name[len - 1] = '\0';
    check_required_name(errors, AT(at, "externalName"), name, name_check_dns_subdomain);
}

static void check_type(struct field_errors *errors, const struct where *at, const json_t *spec)
{
    static const char *const types[] = {"ClusterIP", "ExternalName", "LoadBalancer", "NodePort", NULL};
    const struct where *ips = AT(at, "clusterIPs");
    const char *type = text_at(spec, "type");
    if (is_type(spec, "ExternalName")) {
        check_external_name(errors, at, spec);
    } else if (is_headless(spec) && (is_type(spec, "LoadBalancer") || is_type(spec, "NodePort"))) {
        mem_auto char *detail = mem_printf("may not be set to 'None' for %s services", type);
        error_invalid_text(errors, AT_INDEX(ips, 0), "None", detail);
    }
    check_enum(errors, AT(at, "type"), type, types);
}

static void check_affinity_config(struct field_errors *errors, const struct where *at, const json_t *spec)
{
    static const char *const affinities[] = {"ClientIP", "None", NULL};
    const char *affinity = text_at(spec, "sessionAffinity");
    const json_t *config = json_object_get(spec, "sessionAffinityConfig");
    const struct where *config_at = AT(at, "sessionAffinityConfig");
    check_enum(errors, AT(at, "sessionAffinity"), affinity, affinities);
    if (!strcmp(affinity, "None") && config)
        error_forbidden(errors, config_at, "must not be set when session affinity is None");
    if (strcmp(affinity, "ClientIP") != 0)
        return;
    const struct where *client = AT(config_at, "clientIP");
    const json_t *timeout = json_at(config, "clientIP", "timeoutSeconds");
    if (!timeout)
        error_required(errors, AT(client, "timeoutSeconds"), "when session affinity type is ClientIP");
    else if (json_integer_value(timeout) <= 0 || json_integer_value(timeout) > AFFINITY_TIMEOUT_MAX)
        error_invalid(errors, AT(client, "timeoutSeconds"), timeout,
                      "must be greater than 0 and less than 86400");
}

static void check_traffic(struct field_errors *errors, const struct where *at, const json_t *spec)
{
    static const char *const policies[] = {"Cluster", "Local", NULL};
    const char *external = text_at(spec, "externalTrafficPolicy");
    bool balanced = is_type(spec, "LoadBalancer");
    bool accessible = balanced || is_type(spec, "NodePort") ||
                      (is_type(spec, "ClusterIP") && json_array_size(json_object_get(spec, "externalIPs")));
    if (accessible)
        check_enum(errors, AT(at, "externalTrafficPolicy"), external, policies);
    else if (*external)
        error_invalid_text(errors, AT(at, "externalTrafficPolicy"), external,
                           "may only be set for externally-accessible services");
    const struct where *health = AT(at, "healthCheckNodePort");
    int64_t port = int_at(spec, "healthCheckNodePort");
    if (port && !(balanced && !strcmp(external, "Local")))
        error_invalid_int(
            errors, health, port,
            "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'");
    else if (port)
        check_port(errors, health, port);
    const char *internal = text_at(spec, "internalTrafficPolicy");
    if (*internal || !is_type(spec, "ExternalName"))
        check_enum(errors, AT(at, "internalTrafficPolicy"), internal, policies);
}

/* Addresses that no endpoint outside of its host can have. */
static void check_endpoint_ip(struct field_errors *errors, const struct where *at, const char *text)
{
    unsigned char v4[4];
    unsigned char v6[16];
    static const unsigned char loopback[16] = {[15] = 1};
    static const unsigned char none[16] = {0};
    bool is_v4 = inet_pton(AF_INET, text, v4) == 1;
    bool is_v6 = !is_v4 && inet_pton(AF_INET6, text, v6) == 1;
    if (!is_v4 && !is_v6) {
        error_invalid_text(errors, at, text, "must be a valid IP address");
        return;
    }
    if (is_v4 ? !memcmp(v4, none, 4) : !memcmp(v6, none, 16)) {
        mem_auto char *detail = mem_printf("may not be unspecified (%s)", text);
        error_invalid_text(errors, at, text, detail);
    }
    if (is_v4 ? v4[0] == 127 : !memcmp(v6, loopback, 16))
        error_invalid_text(errors, at, text, "may not be in the loopback range (127.0.0.0/8, ::1/128)");
    if (is_v4 ? v4[0] == 169 && v4[1] == 254 : v6[0] == 0xfe && (v6[1] & 0xc0) == 0x80)
        error_invalid_text(errors, at, text,
                           "may not be in the link-local range (169.254.0.0/16, fe80::/10)");
    if (is_v4 ? v4[0] == 224 && !v4[1] && !v4[2] : v6[0] == 0xff && (v6[1] & 0x0f) == 2)
        error_invalid_text(errors, at, text,
                           "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
}

static void check_legacy_ip(struct field_errors *errors, const struct where *at, const char *text)
{
    if (is_ip(text))
        check_endpoint_ip(errors, at, text);
    else
        check_ip(errors, at, text);
}

/* Findings about a changed address are not said twice. */
static void check_ips(struct field_errors *errors, const struct where *at, const json_t *spec, bool changed)
{
    static const char *const families[] = {"IPv4", "IPv6", NULL};
    const struct where *external = AT(at, "externalIPs");
    const struct where *cluster = AT(at, "clusterIPs");
    const struct where *families_at = AT(at, "ipFamilies");
    size_t i;
    json_t *value;
    json_array_foreach(json_object_get(spec, "externalIPs"), i, value)
        check_legacy_ip(errors, AT_INDEX(external, i), json_or_empty_(value));
    const json_t *ips = json_object_get(spec, "clusterIPs");
    const char *ip = text_at(spec, "clusterIP");
    if (!changed && json_array_size(ips) && strcmp(json_or_empty_(json_array_get(ips, 0)), ip) != 0)
        error_invalid(errors, cluster, ips,
                      *ip ? "first value must match `clusterIP`"
                          : "must be empty when `clusterIP` is not specified");
    if (!json_array_size(ips) && *ip && strcmp(ip, "None") != 0)
        check_ip(errors, AT_INDEX(cluster, 0), ip);
    json_array_foreach(ips, i, value)
    {
        const char *text = json_or_empty_(value);
        if (i || strcmp(text, "None") != 0)
            check_ip(errors, AT_INDEX(cluster, i), text);
        else if (json_array_size(ips) > 1)
            error_invalid(errors, cluster, ips, "'None' must be the first and only value");
    }
    if (json_array_size(ips) > 2)
        error_invalid(errors, cluster, ips, "may only hold up to 2 values");
    json_array_foreach(json_object_get(spec, "ipFamilies"), i,
                       value) if (!is_one_of(json_or_empty_(value), families))
        error_not_supported(errors, AT_INDEX(families_at, i), json_or_empty_(value), families);
}

/* An address that was given stays, but for changes from and to a Service that has none. */
static void check_ips_update(struct field_errors *errors, const struct where *at, const json_t *spec,
                             const json_t *old)
{
    const char *ip = text_at(spec, "clusterIP");
    const char *before = text_at(old, "clusterIP");
    if (is_type(spec, "ExternalName") || is_type(old, "ExternalName") || !*before || !strcmp(ip, before))
        return;
    const json_t *ips = json_object_get(spec, "clusterIPs");
    json_auto_t *shown = *ip ? json_pack("[s]", ip) : json_array();
    if (ips && strcmp(json_or_empty_(json_array_get(ips, 0)), before) != 0) {
        json_decref(shown);
        shown = json_incref((json_t *)ips);
    }
    const struct where *ips_at = AT(at, "clusterIPs");
    error_invalid(errors, AT_INDEX(ips_at, 0), shown,
                  *ip ? "may not change once set" : "primary clusterIP can not be unset");
}

void validate_service(struct field_errors *errors, const json_t *object, const json_t *old)
{
    const struct where *at = AT(NULL, "spec");
    const json_t *spec = json_object_get(object, "spec");
    size_t before = errors->count;
    if (old)
        check_ips_update(errors, at, spec, json_object_get(old, "spec"));
    bool changed = errors->count > before;
    if (!json_array_size(json_object_get(spec, "ports")) && !is_headless(spec) &&
        !is_type(spec, "ExternalName"))
        error_required(errors, AT(at, "ports"), "");
    check_type(errors, at, spec);
    check_service_ports(errors, at, spec);
    check_labels(errors, AT(at, "selector"), json_object_get(spec, "selector"));
    check_affinity_config(errors, at, spec);
    if (!is_type(spec, "ExternalName"))
        check_ips(errors, at, spec, changed);
    if (json_array_size(json_object_get(spec, "loadBalancerSourceRanges")) && !is_type(spec, "LoadBalancer"))
        error_forbidden(errors, AT(at, "LoadBalancerSourceRanges"),
                        "may only be used when `type` is 'LoadBalancer'");
    if (json_object_get(spec, "allocateLoadBalancerNodePorts") && !is_type(spec, "LoadBalancer"))
        error_forbidden(errors, AT(at, "allocateLoadBalancerNodePorts"),
                        "may only be used when `type` is 'LoadBalancer'");
    check_traffic(errors, at, spec);
}

/* ---- Endpoints ---- */

static void check_addresses(struct field_errors *errors, const struct where *at, const json_t *addresses)
{
    size_t i;
    json_t *address;
    json_array_foreach(addresses, i, address)
    {
        const struct where *here = AT_INDEX(at, i);
        check_legacy_ip(errors, AT(here, "ip"), text_at(address, "ip"));
        if (*text_at(address, "hostname"))
            check_name(errors, AT(here, "hostname"), text_at(address, "hostname"), name_check_dns_label);
        if (json_object_get(address, "nodeName"))
            check_name(errors, AT(here, "nodeName"), text_at(address, "nodeName"), name_check_dns_subdomain);
    }
}

static void check_endpoint_ports(struct field_errors *errors, const struct where *at, const json_t *ports)
{
    size_t i;
    json_t *port;
    json_array_foreach(ports, i, port)
    {
        const struct where *here = AT_INDEX(at, i);
        const char *name = text_at(port, "name");
        if (json_array_size(ports) > 1)
            check_required_name(errors, AT(here, "name"), name, name_check_dns_label);
        else if (*name)
            check_name(errors, AT(here, "name"), name, name_check_dns_label);
        check_port(errors, AT(here, "port"), int_at(port, "port"));
        check_enum(errors, AT(here, "protocol"), text_at(port, "protocol"), protocols);
    }
}

void validate_endpoints(struct field_errors *errors, const json_t *object, const json_t *old)
{
    (void)old;
    const struct where *at = AT(NULL, "subsets");
    size_t i;
    json_t *subset;
    json_array_foreach(json_object_get(object, "subsets"), i, subset)
    {
        const struct where *here = AT_INDEX(at, i);
        const json_t *ready = json_object_get(subset, "addresses");
        const json_t *unready = json_object_get(subset, "notReadyAddresses");
        if (!json_array_size(ready) && !json_array_size(unready))
            error_required(errors, here, "must specify `addresses` or `notReadyAddresses`");
        check_addresses(errors, AT(here, "addresses"), ready);
        check_addresses(errors, AT(here, "notReadyAddresses"), unready);
        check_endpoint_ports(errors, AT(here, "ports"), json_object_get(subset, "ports"));
    }
}

/* ---- EndpointSlices ---- */

static void error_too_many(struct field_errors *errors, const struct where *at, size_t count, int max)
{
    struct buf field buf_auto = BUF_INIT;
    where_append(&field, at);
    field_errors_add(errors, "FieldValueTooMany", buf_str(&field),
                     "Too many: %zu: must have at most %d items", count, max);
}

static void check_slice_address(struct field_errors *errors, const struct where *at, const char *type,
                                const char *address, const struct where *list)
{
    bool v6 = !strcmp(type, "IPv6");
    if (!v6 && strcmp(type, "IPv4") != 0) {
        check_name(errors, at, address, name_check_dns_subdomain);
        return;
    }
    if (!is_ip(address)) {
        check_ip(errors, at, address);
        return;
    }
    if ((strchr(address, ':') != NULL) != v6)
        error_invalid_text(errors, list, address, v6 ? "must be an IPv6 address" : "must be an IPv4 address");
    check_endpoint_ip(errors, at, address);
}

static void check_endpoint(struct field_errors *errors, const struct where *at, const char *type,
                           const json_t *endpoint)
{
    const json_t *addresses = json_object_get(endpoint, "addresses");
    const struct where *list = AT(at, "addresses");
    if (!json_array_size(addresses))
        error_required(errors, list, "must contain at least 1 address");
    else if (json_array_size(addresses) > SLICE_ADDRESSES_MAX)
        error_too_many(errors, list, json_array_size(addresses), SLICE_ADDRESSES_MAX);
    size_t i;
    json_t *address;
    json_array_foreach(addresses, i, address)
        check_slice_address(errors, AT_INDEX(list, i), type, json_or_empty_(address), list);
    if (json_object_get(endpoint, "nodeName"))
        check_name(errors, AT(at, "nodeName"), text_at(endpoint, "nodeName"), name_check_dns_subdomain);
    if (json_object_get(endpoint, "hostname"))
        check_name(errors, AT(at, "hostname"), text_at(endpoint, "hostname"), name_check_dns_label);
}

static void check_slice_ports(struct field_errors *errors, const struct where *at, const json_t *ports)
{
    if (json_array_size(ports) > SLICE_PORTS_MAX)
        error_too_many(errors, at, json_array_size(ports), SLICE_PORTS_MAX);
    size_t i;
    json_t *port;
    json_array_foreach(ports, i, port)
    {
        const struct where *here = AT_INDEX(at, i);
        const char *name = text_at(port, "name");
        if (*name)
            check_name(errors, AT(here, "name"), name, name_check_dns_label);
        if (occurs_before(ports, i, "name", NULL))
            error_duplicate_text(errors, AT(here, "name"), name);
        check_enum(errors, AT(here, "protocol"), text_at(port, "protocol"), protocols);
        if (json_object_get(port, "appProtocol"))
            check_name(errors, AT(here, "appProtocol"), text_at(port, "appProtocol"), name_check_label_key);
    }
}

void validate_endpoint_slice(struct field_errors *errors, const json_t *object, const json_t *old)
{
    static const char *const types[] = {"FQDN", "IPv4", "IPv6", NULL};
    const char *type = text_at(object, "addressType");
    check_enum(errors, AT(NULL, "addressType"), type, types);
    check_slice_ports(errors, AT(NULL, "ports"), json_object_get(object, "ports"));
    const struct where *at = AT(NULL, "endpoints");
    const json_t *endpoints = json_object_get(object, "endpoints");
    if (json_array_size(endpoints) > SLICE_ENDPOINTS_MAX) {
        error_too_many(errors, at, json_array_size(endpoints), SLICE_ENDPOINTS_MAX);
    } else {
        size_t i;
        json_t *endpoint;
        json_array_foreach(endpoints, i, endpoint) check_endpoint(errors, AT_INDEX(at, i), type, endpoint);
    }
    if (old)
        check_immutable(errors, AT(NULL, "addressType"), json_object_get(object, "addressType"),
                        json_object_get(old, "addressType"), "field is immutable");
}
