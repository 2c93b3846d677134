/* Pods: what is not of their containers, volumes or placement, and what an update may change. */
#include "object/validate_internal.h"

#include "codec/json.h"

#include <string.h>

static void check_dns_config(struct field_errors *errors, const struct where *at, const json_t *spec)
{
    const json_t *config = json_object_get(spec, "dnsConfig");
    const json_t *servers = json_object_get(config, "nameservers");
    const struct where *servers_at = AT(at, "nameservers");
    if (!strcmp(text_at(spec, "dnsPolicy"), "None") && !json_array_size(servers))
        error_required(errors, config ? servers_at : at,
                       config ? "must provide at least one DNS nameserver when `dnsPolicy` is None"
                              : "must provide `dnsConfig` when `dnsPolicy` is None");
    size_t i;
    json_t *server;
    json_array_foreach(servers, i, server) check_ip(errors, AT_INDEX(servers_at, i), json_or_empty_(server));
    if (json_array_size(servers) > 3)
        error_invalid(errors, servers_at, servers, "must not have more than 3 nameservers");
}

static void check_host_aliases(struct field_errors *errors, const struct where *at, const json_t *aliases)
{
    size_t i;
    json_t *alias;
    json_array_foreach(aliases, i, alias)
    {
        const struct where *here = AT_INDEX(at, i);
        const struct where *names = AT(here, "hostnames");
        check_ip(errors, AT(here, "ip"), text_at(alias, "ip"));
        size_t n;
        json_t *name;
        json_array_foreach(json_object_get(alias, "hostnames"), n, name)
            check_name(errors, AT_INDEX(names, n), json_or_empty_(name), name_check_dns_subdomain);
    }
}

static void check_gates(struct field_errors *errors, const struct where *at, const json_t *spec)
{
    const struct where *scheduling = AT(at, "schedulingGates");
    const struct where *readiness = AT(at, "readinessGates");
    json_auto_t *seen = json_object();
    size_t i;
    json_t *gate;
    json_array_foreach(json_object_get(spec, "schedulingGates"), i, gate)
    {
        const char *name = text_at(gate, "name");
        check_name(errors, AT_INDEX(scheduling, i), name, name_check_label_key);
        if (json_object_get(seen, name))
            error_duplicate_text(errors, AT_INDEX(scheduling, i), name);
        json_object_set_new(seen, name, json_true());
    }
    json_array_foreach(json_object_get(spec, "readinessGates"), i, gate)
    {
        const struct where *here = AT_INDEX(readiness, i);
        check_name(errors, AT(here, "conditionType"), text_at(gate, "conditionType"), name_check_label_key);
    }
}

static void check_security(struct field_errors *errors, const struct where *at, const json_t *spec)
{
    static const char *const ids[] = {"runAsUser", "runAsGroup", "fsGroup"};
    const json_t *context = json_object_get(spec, "securityContext");
    const struct where *here = AT(at, "securityContext");
    for (size_t i = 0; i < 3; i++)
        if (json_object_get(context, ids[i]))
            check_range(errors, AT(here, ids[i]), int_at(context, ids[i]), 0, INT32_MAX);
    const struct where *groups = AT(here, "supplementalGroups");
    size_t i;
    json_t *group;
    json_array_foreach(json_object_get(context, "supplementalGroups"), i, group)
        check_range(errors, AT_INDEX(groups, i), json_integer_value(group), 0, INT32_MAX);
    if (json_bool_at(spec, "shareProcessNamespace") && json_bool_at(spec, "hostPID"))
        error_invalid(errors, AT(at, "shareProcessNamespace"), json_object_get(spec, "shareProcessNamespace"),
                      "ShareProcessNamespace and HostPID cannot both be enabled");
}

static const struct {
    const char *name;
    name_check *check;
} named_members[] = {
    {"serviceAccountName", name_check_dns_subdomain},
    {"nodeName", name_check_dns_subdomain},
    {"hostname", name_check_dns_label},
    {"subdomain", name_check_dns_label},
    {"priorityClassName", name_check_dns_subdomain},
    {"runtimeClassName", name_check_dns_subdomain},
};

void check_pod_spec(struct field_errors *errors, const struct where *at, const json_t *spec, bool is_pod)
{
    static const char *const restarts[] = {"Always", "OnFailure", "Never", NULL};
    static const char *const dns[] = {"ClusterFirstWithHostNet", "ClusterFirst", "Default", "None", NULL};
    if (!json_object_get(spec, "terminationGracePeriodSeconds"))
        error_required(errors, AT(at, "terminationGracePeriodSeconds"), "");
    check_volumes(errors, AT(at, "volumes"), json_object_get(spec, "volumes"));
    check_containers(errors, at, spec);
    check_host_ports(errors, at, spec, is_pod);
    check_enum(errors, AT(at, "restartPolicy"), text_at(spec, "restartPolicy"), restarts);
    check_enum(errors, AT(at, "dnsPolicy"), text_at(spec, "dnsPolicy"), dns);
    static const char *const preemption[] = {"PreemptLowerPriority", "Never", NULL};
    if (json_object_get(spec, "preemptionPolicy"))
        check_enum(errors, AT(at, "preemptionPolicy"), text_at(spec, "preemptionPolicy"), preemption);
    check_labels(errors, AT(at, "nodeSelector"), json_object_get(spec, "nodeSelector"));
    check_security(errors, at, spec);
    check_affinity(errors, AT(at, "affinity"), json_object_get(spec, "affinity"));
    check_dns_config(errors, AT(at, "dnsConfig"), spec);
    check_gates(errors, at, spec);
    check_spread(errors, AT(at, "topologySpreadConstraints"),
                 json_object_get(spec, "topologySpreadConstraints"));
    for (size_t i = 0; i < sizeof(named_members) / sizeof(named_members[0]); i++)
        if (*text_at(spec, named_members[i].name))
            check_name(errors, AT(at, named_members[i].name), text_at(spec, named_members[i].name),
                       named_members[i].check);
    if (json_object_get(spec, "activeDeadlineSeconds"))
        check_range(errors, AT(at, "activeDeadlineSeconds"), int_at(spec, "activeDeadlineSeconds"), 1,
                    INT32_MAX);
    check_tolerations(errors, AT(at, "tolerations"), json_object_get(spec, "tolerations"));
    check_host_aliases(errors, AT(at, "hostAliases"), json_object_get(spec, "hostAliases"));
}

void check_pod_template(struct field_errors *errors, const struct where *at, const json_t *template)
{
    const json_t *spec = json_object_get(template, "spec");
    const struct where *spec_at = AT(at, "spec");
    check_template_metadata(errors, at, json_object_get(template, "metadata"));
    check_pod_spec(errors, spec_at, spec, false);
    if (json_array_size(json_object_get(spec, "ephemeralContainers")))
        error_forbidden(errors, AT(spec_at, "ephemeralContainers"),
                        "ephemeral containers not allowed in pod template");
}

/* ---- Updates ---- */

static const char changed_text[] =
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n";

/* False when there is no use in looking further. */
static bool check_images(struct field_errors *errors, const struct where *at, const json_t *now,
                         const json_t *before)
{
    if (json_array_size(now) != json_array_size(before)) {
        error_forbidden(errors, at, "pod updates may not add or remove containers");
        return false;
    }
    return true;
}

static void check_image_text(struct field_errors *errors, const struct where *at, const json_t *containers)
{
    size_t i;
    json_t *container;
    json_array_foreach(containers, i, container)
    {
        const struct where *here = AT_INDEX(at, i);
        const char *image = text_at(container, "image");
        size_t len = strlen(image);
        if (len && (strchr(" \t\r\n", image[0]) || strchr(" \t\r\n", image[len - 1])))
            error_invalid_text(errors, AT(here, "image"), image,
                               "must not have leading or trailing whitespace");
    }
}

static void check_deadline(struct field_errors *errors, const struct where *at, const json_t *now,
                           const json_t *before)
{
    if (!now && before)
        error_invalid(errors, at, NULL, "must not update from a positive integer to nil value");
    else if (now && before && json_integer_value(now) > json_integer_value(before))
        error_invalid(errors, at, now, "must be less than or equal to previous value");
}

/* Tolerations may be added, and of those that are there only the seconds may change. */
static bool tolerations_kept(const json_t *now, const json_t *before)
{
    size_t i;
    json_t *old;
    json_array_foreach(before, i, old)
    {
        bool found = false;
        for (size_t n = 0; n < json_array_size(now) && !found; n++) {
            json_auto_t *a = json_copy(json_array_get(now, n));
            json_auto_t *b = json_copy(old);
            json_object_del(a, "tolerationSeconds");
            json_object_del(b, "tolerationSeconds");
            found = json_equal(a, b);
        }
        if (!found)
            return false;
    }
    return true;
}

static bool has_gate(const json_t *gates, const char *name)
{
    size_t i;
    json_t *gate;
    json_array_foreach(gates, i, gate) if (!strcmp(text_at(gate, "name"), name)) return true;
    return false;
}

static void check_gates_update(struct field_errors *errors, const struct where *at, const json_t *now,
                               const json_t *before)
{
    size_t i;
    json_t *gate;
    json_array_foreach(now, i, gate)
    {
        const struct where *here = AT_INDEX(at, i);
        if (has_gate(before, text_at(gate, "name")))
            continue;
        struct buf detail buf_auto = BUF_INIT;
        buf_printf(&detail, "only deletion is allowed, but found new scheduling gate '%s'",
                   text_at(gate, "name"));
        error_forbidden(errors, AT(here, "name"), buf_str(&detail));
    }
}

/* A copy of the spec without what an update may change. */
static json_t *fixed_part(const json_t *spec, bool gated, bool any_grace)
{
    json_t *copy = json_deep_copy(spec);
    static const char *const lists[] = {"containers", "initContainers"};
    for (size_t n = 0; n < 2; n++) {
        size_t i;
        json_t *container;
        json_array_foreach(json_object_get(copy, lists[n]), i, container) json_object_del(container, "image");
    }
    json_object_del(copy, "activeDeadlineSeconds");
    json_object_del(copy, "tolerations");
    json_object_del(copy, "schedulingGates");
    json_object_del(copy, "ephemeralContainers");
    if (any_grace)
        json_object_del(copy, "terminationGracePeriodSeconds");
    if (gated) {
        json_object_del(copy, "nodeSelector");
        json_t *affinity = json_object_get(copy, "affinity");
        json_object_del(affinity, "nodeAffinity");
        if (!json_object_size(affinity))
            json_object_del(copy, "affinity");
    }
    return copy;
}

/* The first members that differ, which says more than that something does. */
static void append_difference(struct buf *out, const json_t *now, const json_t *before)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)before, name, value)
    {
        const json_t *other = json_object_get(now, name);
        if (other && json_equal(other, value))
            continue;
        buf_printf(out, "- %s: ", name);
        json_dump_buf(out, value);
        buf_putc(out, '\n');
    }
    json_object_foreach((json_t *)now, name, value)
    {
        const json_t *other = json_object_get(before, name);
        if (other && json_equal(other, value))
            continue;
        buf_printf(out, "+ %s: ", name);
        json_dump_buf(out, value);
        buf_putc(out, '\n');
    }
}

static void check_fixed(struct field_errors *errors, const struct where *at, const json_t *now,
                        const json_t *before)
{
    bool gated = json_array_size(json_object_get(before, "schedulingGates"));
    bool any_grace = int_at(before, "terminationGracePeriodSeconds") < 0 &&
                     int_at(now, "terminationGracePeriodSeconds") == 1;
    json_auto_t *a = fixed_part(now, gated, any_grace);
    json_auto_t *b = fixed_part(before, gated, any_grace);
    if (json_equal(a, b))
        return;
    struct buf detail buf_auto = BUF_INIT;
    buf_puts(&detail, changed_text);
    append_difference(&detail, a, b);
    error_forbidden(errors, at, buf_str(&detail));
}

static void check_update(struct field_errors *errors, const struct where *at, const json_t *now,
                         const json_t *before)
{
    static const char *const lists[] = {"containers", "initContainers"};
    for (size_t i = 0; i < 2; i++)
        if (!check_images(errors, AT(at, lists[i]), json_object_get(now, lists[i]),
                          json_object_get(before, lists[i])))
            return;
    check_deadline(errors, AT(at, "activeDeadlineSeconds"), json_object_get(now, "activeDeadlineSeconds"),
                   json_object_get(before, "activeDeadlineSeconds"));
    if (!tolerations_kept(json_object_get(now, "tolerations"), json_object_get(before, "tolerations")))
        error_forbidden(errors, AT(at, "tolerations"),
                        "existing toleration can not be modified except its tolerationSeconds");
    check_gates_update(errors, AT(at, "schedulingGates"), json_object_get(now, "schedulingGates"),
                       json_object_get(before, "schedulingGates"));
    check_fixed(errors, at, now, before);
}

void validate_pod(struct field_errors *errors, const json_t *object, const json_t *old)
{
    const json_t *spec = json_object_get(object, "spec");
    const struct where *at = AT(NULL, "spec");
    check_pod_spec(errors, at, spec, true);
    check_image_text(errors, AT(at, "containers"), json_object_get(spec, "containers"));
    check_image_text(errors, AT(at, "initContainers"), json_object_get(spec, "initContainers"));
    if (old) {
        check_update(errors, at, spec, json_object_get(old, "spec"));
        return;
    }
    if (json_array_size(json_object_get(spec, "ephemeralContainers")))
        error_forbidden(errors, AT(at, "ephemeralContainers"), "cannot be set on create");
    if (*text_at(spec, "nodeName") && json_array_size(json_object_get(spec, "schedulingGates")))
        error_forbidden(errors, AT(at, "nodeName"),
                        "cannot be set until all schedulingGates have been cleared");
}

void validate_pod_status(struct field_errors *errors, const json_t *object, const json_t *old)
{
    const struct where *at = AT(NULL, "status");
    const struct where *conditions = AT(at, "conditions");
    static const char *const system_conditions[] = {"PodScheduled", "Ready", "Initialized", NULL};
    size_t i;
    json_t *condition;
    json_array_foreach(json_at(object, "status", "conditions"), i, condition)
    {
        const struct where *here = AT_INDEX(conditions, i);
        if (!is_one_of(text_at(condition, "type"), system_conditions))
            check_name(errors, AT(here, "Type"), text_at(condition, "type"), name_check_label_key);
    }
    if (strcmp(json_str_or_empty(object, "spec", "nodeName"), json_str_or_empty(old, "spec", "nodeName")) !=
        0)
        error_forbidden(errors, AT(at, "nodeName"), "may not be changed directly");
}
