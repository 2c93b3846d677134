/* Containers: their names, images, ports, environment, mounts, probes and resources. */
#include "object/validate_internal.h"

#include "base/mem.h"
#include "codec/json.h"
#include "object/quantity.h"

#include <stdio.h>
#include <string.h>

static const char *const protocols[] = {"SCTP", "TCP", "UDP", NULL};

struct container {
    const json_t *json;
    const json_t *pod; /* the spec */
    bool init;         /* runs to its end before the others start */
    bool ephemeral;
};

/* ---- Ports ---- */

static void check_ports(struct field_errors *errors, const struct where *at, const json_t *ports)
{
    json_auto_t *names = json_object();
    size_t i;
    json_t *port;
    json_array_foreach(ports, i, port)
    {
        const struct where *here = AT_INDEX(at, i);
        const char *name = text_at(port, "name");
        if (*name && check_name(errors, AT(here, "name"), name, name_check_port_name)) {
            if (json_object_get(names, name))
                error_duplicate_text(errors, AT(here, "name"), name);
            json_object_set_new(names, name, json_true());
        }
        if (!int_at(port, "containerPort"))
            error_required(errors, AT(here, "containerPort"), "");
        else
            check_port(errors, AT(here, "containerPort"), int_at(port, "containerPort"));
        if (int_at(port, "hostPort"))
            check_port(errors, AT(here, "hostPort"), int_at(port, "hostPort"));
        check_enum(errors, AT(here, "protocol"), text_at(port, "protocol"), protocols);
    }
}

/* Host ports are held by one port of one container. seen keeps "TCP/address/80". */
static void check_host_port_conflicts(struct field_errors *errors, const struct where *at,
                                      const json_t *container, json_t *seen)
{
    const struct where *ports = AT(at, "ports");
    size_t i;
    json_t *port;
    json_array_foreach(json_object_get(container, "ports"), i, port)
    {
        const struct where *here = AT_INDEX(ports, i);
        int64_t number = int_at(port, "hostPort");
        if (!number)
            continue;
        mem_auto char *key =
            mem_printf("%s/%s/%lld", text_at(port, "protocol"), text_at(port, "hostIP"), (long long)number);
        if (json_object_get(seen, key))
            error_duplicate_text(errors, AT(here, "hostPort"), key);
        json_object_set_new(seen, key, json_true());
    }
}

void check_host_ports(struct field_errors *errors, const struct where *at, const json_t *spec, bool is_pod)
{
    if (!json_bool_at(spec, "hostNetwork"))
        return;
    const struct where *containers = AT(at, "containers");
    size_t i;
    json_t *container;
    json_array_foreach(json_object_get(spec, "containers"), i, container)
    {
        const struct where *here = AT_INDEX(containers, i);
        const struct where *ports = AT(here, "ports");
        size_t n;
        json_t *port;
        json_array_foreach(json_object_get(container, "ports"), n, port)
        {
            const struct where *port_at = AT_INDEX(ports, n);
            int64_t host = int_at(port, "hostPort");
            if ((is_pod || host) && host != int_at(port, "containerPort"))
                error_invalid_int(errors, AT(port_at, "hostPort"), host,
                                  "must match `containerPort` when `hostNetwork` is true");
        }
    }
}

/* ---- Environment ---- */

static bool has_prefix(const char *text, const char *prefix)
{
    return !strncmp(text, prefix, strlen(prefix));
}

void check_field_ref(struct field_errors *errors, const struct where *at, const json_t *ref, bool in_volume)
{
    static const char *const in_env[] = {
        "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
        "status.hostIP", "status.hostIPs",     "status.podIP", "status.podIPs", NULL};
    static const char *const in_file[] = {"metadata.annotations", "metadata.labels", "metadata.name",
                                          "metadata.namespace",   "metadata.uid",    NULL};
    const char *const *allowed = in_volume ? in_file : in_env;
    const char *version = text_at(ref, "apiVersion");
    const char *path = text_at(ref, "fieldPath");
    const char *bracket = strchr(path, '[');
    if (!*version) {
        error_required(errors, AT(at, "apiVersion"), "");
    } else if (!*path) {
        error_required(errors, AT(at, "fieldPath"), "");
    } else if (bracket && strlen(bracket) > 4 && bracket[1] == '\'' && has_prefix(path, "metadata.")) {
        mem_auto char *key = mem_strndup(bracket + 2, strlen(bracket) - 4);
        bool labels = has_prefix(path, "metadata.labels[");
        if (!labels && !has_prefix(path, "metadata.annotations["))
            error_invalid_text(errors, at, path, "does not support subscript");
        else if (labels)
            check_name(errors, at, key, name_check_label_key);
    } else if (!is_one_of(path, allowed)) {
        error_not_supported(errors, AT(at, "fieldPath"), path, allowed);
    }
}

void check_resource_field_ref(struct field_errors *errors, const struct where *at, const json_t *ref,
                              bool in_volume)
{
    static const char *const resources[] = {"limits.cpu",
                                            "limits.ephemeral-storage",
                                            "limits.memory",
                                            "requests.cpu",
                                            "requests.ephemeral-storage",
                                            "requests.memory",
                                            NULL};
    const char *resource = text_at(ref, "resource");
    if (in_volume && !*text_at(ref, "containerName"))
        error_required(errors, AT(at, "containerName"), "");
    else if (!*resource)
        error_required(errors, AT(at, "resource"), "");
    else if (!is_one_of(resource, resources) && !has_prefix(resource, "limits.hugepages-") &&
             !has_prefix(resource, "requests.hugepages-"))
        error_not_supported(errors, AT(at, "resource"), resource, resources);
}

static void check_key_ref(struct field_errors *errors, const struct where *at, const json_t *ref)
{
    check_name(errors, AT(at, "name"), text_at(ref, "name"), name_check_dns_subdomain);
    check_required_name(errors, AT(at, "key"), text_at(ref, "key"), name_check_config_key);
}

static void check_value_from(struct field_errors *errors, const struct where *at, const json_t *from,
                             bool has_value)
{
    const json_t *field = json_object_get(from, "fieldRef");
    const json_t *resource = json_object_get(from, "resourceFieldRef");
    const json_t *map = json_object_get(from, "configMapKeyRef");
    const json_t *secret = json_object_get(from, "secretKeyRef");
    const json_t *file = json_object_get(from, "fileKeyRef");
    if (field)
        check_field_ref(errors, AT(at, "fieldRef"), field, false);
    if (resource)
        check_resource_field_ref(errors, AT(at, "resourceFieldRef"), resource, false);
    if (map)
        check_key_ref(errors, AT(at, "configMapKeyRef"), map);
    if (secret)
        check_key_ref(errors, AT(at, "secretKeyRef"), secret);
    int count = !!field + !!resource + !!map + !!secret + !!file;
    if (!count)
        error_invalid_text(
            errors, at, "",
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or "
            "`fileKeyRef`");
    else if (has_value)
        error_invalid_text(errors, at, "", "may not be specified when `value` is not empty");
    else if (count > 1)
        error_invalid_text(errors, at, "", "may not have more than one field specified at a time");
}

static void check_env(struct field_errors *errors, const struct where *at, const json_t *env)
{
    size_t i;
    json_t *variable;
    json_array_foreach(env, i, variable)
    {
        const struct where *here = AT_INDEX(at, i);
        const json_t *from = json_object_get(variable, "valueFrom");
        check_required_name(errors, AT(here, "name"), text_at(variable, "name"), name_check_env_name);
        if (from)
            check_value_from(errors, AT(here, "valueFrom"), from, *text_at(variable, "value"));
    }
}

static void check_env_from(struct field_errors *errors, const struct where *at, const json_t *sources)
{
    size_t i;
    json_t *source;
    json_array_foreach(sources, i, source)
    {
        const struct where *here = AT_INDEX(at, i);
        const json_t *map = json_object_get(source, "configMapRef");
        const json_t *secret = json_object_get(source, "secretRef");
        if (*text_at(source, "prefix"))
            check_name(errors, AT(here, "prefix"), text_at(source, "prefix"), name_check_env_name);
        const struct where *map_at = AT(here, "configMapRef");
        const struct where *secret_at = AT(here, "secretRef");
        if (map)
            check_required_name(errors, AT(map_at, "name"), text_at(map, "name"), name_check_dns_subdomain);
        if (secret)
            check_required_name(errors, AT(secret_at, "name"), text_at(secret, "name"),
                                name_check_dns_subdomain);
        if (!map && !secret)
            error_invalid_text(errors, at, "", "must specify one of: `configMapRef` or `secretRef`");
        else if (map && secret)
            error_invalid_text(errors, at, "", "may not have more than one field specified at a time");
    }
}

/* ---- Mounts ---- */

static bool has_volume(const json_t *pod, const char *name)
{
    size_t i;
    json_t *volume;
    json_array_foreach(json_object_get(pod, "volumes"), i,
                       volume) if (!strcmp(text_at(volume, "name"), name)) return true;
    return false;
}

static void check_mount(struct field_errors *errors, const struct where *at,
                        const struct container *container, const json_t *mount, json_t *seen)
{
    const char *name = text_at(mount, "name");
    const char *path = text_at(mount, "mountPath");
    const char *sub = text_at(mount, "subPath");
    const char *expression = text_at(mount, "subPathExpr");
    if (!*name)
        error_required(errors, AT(at, "name"), "");
    if (!has_volume(container->pod, name))
        error_not_found(errors, AT(at, "name"), name);
    if (!*path)
        error_required(errors, AT(at, "mountPath"), "");
    if (json_object_get(seen, path))
        error_invalid_text(errors, AT(at, "mountPath"), path, "must be unique");
    json_object_set_new(seen, path, json_true());
    /* Paths within volumes are reported at the list, as upstream does. */
    if (*sub)
        check_relative_path(errors, AT(at->parent, "subPath"), sub);
    if (*expression && *sub)
        error_invalid_text(errors, AT(at, "subPathExpr"), expression,
                           "subPathExpr and subPath are mutually exclusive");
    if (*expression)
        check_relative_path(errors, AT(at->parent, "subPathExpr"), expression);
    bool privileged = json_bool_at(container->json, "securityContext", "privileged");
    if (!strcmp(text_at(mount, "mountPropagation"), "Bidirectional") && !privileged)
        error_forbidden(errors, AT(at->parent, "mountPropagation"),
                        "Bidirectional mount propagation is available only to privileged containers");
}

static void check_mounts(struct field_errors *errors, const struct where *at,
                         const struct container *container)
{
    json_auto_t *seen = json_object();
    size_t i;
    json_t *mount;
    json_array_foreach(json_object_get(container->json, "volumeMounts"), i, mount)
        check_mount(errors, AT_INDEX(at, i), container, mount, seen);
}

/* ---- Probes and lifecycle ---- */

static void check_http(struct field_errors *errors, const struct where *at, const json_t *action)
{
    static const char *const schemes[] = {"HTTP", "HTTPS", NULL};
    if (!*text_at(action, "path"))
        error_required(errors, AT(at, "path"), "");
    check_port_or_name(errors, AT(at, "port"), json_object_get(action, "port"));
    if (!is_one_of(text_at(action, "scheme"), schemes))
        error_not_supported(errors, AT(at, "scheme"), text_at(action, "scheme"), schemes);
    size_t i;
    json_t *header;
    json_array_foreach(json_object_get(action, "httpHeaders"), i, header)
        check_name(errors, AT(at, "httpHeaders"), text_at(header, "name"), name_check_http_header);
}

static void check_sleep(struct field_errors *errors, const struct where *at, const json_t *action,
                        const json_t *pod)
{
    const json_t *grace = json_object_get(pod, "terminationGracePeriodSeconds");
    int64_t seconds = int_at(action, "seconds");
    if (!grace || (seconds >= 0 && seconds <= json_integer_value(grace)))
        return;
    mem_auto char *detail =
        mem_printf("must be non-negative and less than terminationGracePeriodSeconds (%lld)",
                   (long long)json_integer_value(grace));
    error_invalid_int(errors, at, seconds, detail);
}

static void check_handler(struct field_errors *errors, const struct where *at, const json_t *handler,
                          const json_t *pod)
{
    static const char *const types[] = {"exec", "httpGet", "tcpSocket", "grpc", "sleep"};
    size_t count = 0;
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        const json_t *action = json_object_get(handler, types[i]);
        const struct where *here = AT(at, types[i]);
        if (!action)
            continue;
        if (count++)
            error_forbidden(errors, here, "may not specify more than 1 handler type");
        else if (i == 0 && !json_array_size(json_object_get(action, "command")))
            error_required(errors, AT(here, "command"), "");
        else if (i == 1)
            check_http(errors, here, action);
        else if (i == 2 || i == 3)
            check_port_or_name(errors, AT(here, "port"), json_object_get(action, "port"));
        else if (i == 4)
            check_sleep(errors, here, action, pod);
    }
    if (!count)
        error_required(errors, at, "must specify a handler type");
}

static void check_probe(struct field_errors *errors, const struct where *at, const json_t *probe,
                        const json_t *pod, bool readiness)
{
    static const char *const numbers[] = {"initialDelaySeconds", "timeoutSeconds", "periodSeconds",
                                          "successThreshold", "failureThreshold"};
    check_handler(errors, at, probe, pod);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        check_not_negative(errors, AT(at, numbers[i]), json_object_get(probe, numbers[i]));
    const json_t *grace = json_object_get(probe, "terminationGracePeriodSeconds");
    if (grace && json_integer_value(grace) <= 0)
        error_invalid(errors, AT(at, "terminationGracePeriodSeconds"), grace, "must be greater than 0");
    if (grace && readiness)
        error_invalid(errors, AT(at, "terminationGracePeriodSeconds"), grace,
                      "must not be set for readinessProbes");
    if (!readiness && int_at(probe, "successThreshold") != 1)
        error_invalid_int(errors, AT(at, "successThreshold"), int_at(probe, "successThreshold"), "must be 1");
}

static const char *const probes[] = {"livenessProbe", "readinessProbe", "startupProbe"};

static void check_probes(struct field_errors *errors, const struct where *at,
                         const struct container *container)
{
    const json_t *lifecycle = json_object_get(container->json, "lifecycle");
    const struct where *lifecycle_at = AT(at, "lifecycle");
    static const char *const hooks[] = {"postStart", "preStop"};
    for (size_t i = 0; i < 2; i++)
        if (json_object_get(lifecycle, hooks[i]))
            check_handler(errors, AT(lifecycle_at, hooks[i]), json_object_get(lifecycle, hooks[i]),
                          container->pod);
    for (size_t i = 0; i < 3; i++)
        if (json_object_get(container->json, probes[i]))
            check_probe(errors, AT(at, probes[i]), json_object_get(container->json, probes[i]),
                        container->pod, i == 1);
}

static void forbid_probes(struct field_errors *errors, const struct where *at, const json_t *container,
                          const char *detail)
{
    if (json_object_get(container, "lifecycle"))
        error_forbidden(errors, AT(at, "lifecycle"), detail);
    for (size_t i = 0; i < 3; i++)
        if (json_object_get(container, probes[i]))
            error_forbidden(errors, AT(at, probes[i]), detail);
}

/* ---- Resources ---- */

static bool is_huge(const char *name)
{
    return has_prefix(name, "hugepages-");
}

/* Only what Kubernetes knows itself may be promised more often than it is there. */
static bool may_overcommit(const char *name)
{
    return (!strchr(name, '/') || strstr(name, "kubernetes.io/")) && !is_huge(name);
}

static void check_resource_name(struct field_errors *errors, const struct where *at, const char *name)
{
    static const char *const standard[] = {"cpu", "memory", "ephemeral-storage", NULL};
    static const char *const known[] = {
        "storage",    "requests.cpu",           "requests.memory",          "requests.ephemeral-storage",
        "limits.cpu", "limits.memory",          "limits.ephemeral-storage", "pods",
        "services",   "replicationcontrollers", "resourcequotas",           "secrets",
        "configmaps", "persistentvolumeclaims", "services.nodeports",       "services.loadbalancers",
        NULL};
    if (!check_name(errors, at, name, name_check_label_key) || strchr(name, '/') || is_huge(name) ||
        is_one_of(name, standard))
        return;
    if (!is_one_of(name, known))
        error_invalid_text(errors, at, name, "must be a standard resource type or fully qualified");
    error_invalid_text(errors, at, name, "must be a standard resource for containers");
}

static void check_amounts(struct field_errors *errors, const struct where *at, const json_t *list)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)list, name, value)
    {
        const struct where *here = AT_KEY(at, name);
        int64_t milli = 0;
        check_resource_name(errors, here, name);
        quantity_milli(json_or_empty_(value), &milli);
        if (milli < 0)
            error_invalid(errors, here, value, "must be greater than or equal to 0");
        if (strchr(name, '/') && !strstr(name, "kubernetes.io/") && milli % 1000)
            error_invalid(errors, here, value, "must be an integer");
    }
}

static void check_request(struct field_errors *errors, const struct where *at, const char *name,
                          const json_t *request, const json_t *limits)
{
    const json_t *limit = json_object_get(limits, name);
    int64_t wanted = 0;
    int64_t most = 0;
    if (!limit) {
        if (!may_overcommit(name))
            error_required(errors, AT(at, "limits"), "Limit must be set for non overcommitable resources");
        return;
    }
    quantity_milli(json_or_empty_(request), &wanted);
    quantity_milli(json_or_empty_(limit), &most);
    bool equal_only = !may_overcommit(name);
    if (equal_only ? wanted == most : wanted <= most)
        return;
    mem_auto char *detail =
        mem_printf("must be %s %s limit of %s", equal_only ? "equal to" : "less than or equal to", name,
                   json_or_empty_(limit));
    error_invalid(errors, AT(at, "requests"), request, detail);
}

void check_resources(struct field_errors *errors, const struct where *at, const json_t *resources)
{
    const json_t *limits = json_object_get(resources, "limits");
    const json_t *requests = json_object_get(resources, "requests");
    check_amounts(errors, AT(at, "limits"), limits);
    check_amounts(errors, AT(at, "requests"), requests);
    const char *name;
    json_t *request;
    bool huge = false;
    json_object_foreach((json_t *)requests, name, request)
    {
        check_request(errors, at, name, request, limits);
        huge = huge || is_huge(name);
    }
    bool compute = json_object_get(limits, "cpu") || json_object_get(limits, "memory") ||
                   json_object_get(requests, "cpu") || json_object_get(requests, "memory");
    if (huge && !compute)
        error_forbidden(errors, at, "HugePages require cpu or memory");
}

/* ---- Containers ---- */

static void check_security(struct field_errors *errors, const struct where *at, const json_t *context)
{
    static const char *const ids[] = {"runAsUser", "runAsGroup"};
    for (size_t i = 0; i < 2; i++)
        if (json_object_get(context, ids[i]))
            check_range(errors, AT(at, ids[i]), int_at(context, ids[i]), 0, INT32_MAX);
    if (json_is_false(json_object_get(context, "allowPrivilegeEscalation")) &&
        json_bool_at(context, "privileged"))
        error_invalid(errors, at, context,
                      "cannot set `allowPrivilegeEscalation` to false and `privileged` to true");
}

static void check_common(struct field_errors *errors, const struct where *at,
                         const struct container *container)
{
    static const char *const message_policies[] = {"File", "FallbackToLogsOnError", NULL};
    static const char *const pull_policies[] = {"Always", "IfNotPresent", "Never", NULL};
    const json_t *json = container->json;
    check_required_name(errors, AT(at, "name"), text_at(json, "name"), name_check_dns_label);
    if (!*text_at(json, "image"))
        error_required(errors, AT(at, "image"), "");
    check_enum(errors, AT(at, "terminationMessagePolicy"), text_at(json, "terminationMessagePolicy"),
               message_policies);
    check_ports(errors, AT(at, "ports"), json_object_get(json, "ports"));
    check_env(errors, AT(at, "env"), json_object_get(json, "env"));
    check_env_from(errors, AT(at, "envFrom"), json_object_get(json, "envFrom"));
    check_mounts(errors, AT(at, "volumeMounts"), container);
    check_enum(errors, AT(at, "imagePullPolicy"), text_at(json, "imagePullPolicy"), pull_policies);
    check_resources(errors, AT(at, "resources"), json_object_get(json, "resources"));
    check_security(errors, AT(at, "securityContext"), json_object_get(json, "securityContext"));
}

static void check_init_container(struct field_errors *errors, const struct where *at,
                                 const struct container *container)
{
    static const char *const policies[] = {"Always", "Never", "OnFailure", NULL};
    const char *policy = text_at(container->json, "restartPolicy");
    if (*policy && !is_one_of(policy, policies))
        error_not_supported(errors, AT(at, "restartPolicy"), policy, policies);
    if (!strcmp(policy, "Always"))
        check_probes(errors, at, container);
    else
        forbid_probes(errors, at, container->json,
                      "may not be set for init containers without restartPolicy=Always");
}

static void check_one(struct field_errors *errors, const struct where *at, const struct container *container)
{
    check_common(errors, at, container);
    if (container->ephemeral)
        forbid_probes(errors, at, container->json, "cannot be set for an Ephemeral Container");
    else if (container->init)
        check_init_container(errors, at, container);
    else
        check_probes(errors, at, container);
}

void check_containers(struct field_errors *errors, const struct where *at, const json_t *spec)
{
    static const char *const lists[] = {"containers", "initContainers", "ephemeralContainers"};
    json_auto_t *names = json_object();
    json_auto_t *host_ports = json_object();
    if (!json_array_size(json_object_get(spec, "containers")))
        error_required(errors, AT(at, "containers"), "");
    for (size_t n = 0; n < 3; n++) {
        const struct where *list = AT(at, lists[n]);
        size_t i;
        json_t *json;
        json_array_foreach(json_object_get(spec, lists[n]), i, json)
        {
            const struct where *here = AT_INDEX(list, i);
            struct container container = {json, spec, n == 1, n == 2};
            check_one(errors, here, &container);
            const char *name = text_at(json, "name");
            if (*name && json_object_get(names, name))
                error_duplicate_text(errors, AT(here, "name"), name);
            json_object_set_new(names, name, json_true());
            /* Init containers run one by one, so only their own ports can conflict. */
            if (n == 1)
                json_object_clear(host_ports);
            if (n < 2)
                check_host_port_conflicts(errors, here, json, host_ports);
        }
    }
}
