/* See pod_config.h. Pure. */
#include "kubelet/pod_config.h"

#include "base/buf.h"
#include "base/hex.h"
#include "base/mem.h"
#include "client/kube.h"
#include "codec/json.h"
#include "kubelet/fields.h"
#include "kubelet/kubelet_internal.h"
#include "object/quantity.h"

#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define CPU_PERIOD_US 100000
#define CGROUP_PARENT "/katena"

#define NEW(type, init)                        \
    ({                                         \
        type *new_ = mem_alloc(sizeof(*new_)); \
        *new_ = (type)init;                    \
        new_;                                  \
    })

/* Appends to a repeated field: grows the array by one. */
#define APPEND(array, count, value)                                         \
    do {                                                                    \
        (array) = mem_reallocarray((array), (count) + 1, sizeof(*(array))); \
        (array)[(count)++] = (value);                                       \
    } while (0)

void pod_mounts_add(struct pod_mounts *mounts, const char *host_path, const char *container_path,
                    bool read_only)
{
    struct pod_mount mount = {mem_strdup(host_path), mem_strdup(container_path), read_only, 0};
    APPEND(mounts->items, mounts->count, mount);
}

void pod_mounts_free(struct pod_mounts *mounts)
{
    for (size_t i = 0; i < mounts->count; i++) {
        free(mounts->items[i].host_path);
        free(mounts->items[i].container_path);
    }
    free(mounts->items);
    *mounts = (struct pod_mounts){0};
}

static Cri__Pair *new_pair(const char *key, const char *value)
{
    Cri__Pair *pair = NEW(Cri__Pair, CRI__PAIR__INIT);
    pair->key = mem_strdup(key);
    pair->value = mem_strdup(value);
    return pair;
}

static void append_strings(char ***array, size_t *count, const json_t *list)
{
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
        APPEND(*array, *count, mem_strdup(json_string_value(item) ? json_string_value(item) : ""));
}

static Cri__Int64Value *new_int64(int64_t value)
{
    Cri__Int64Value *out = NEW(Cri__Int64Value, CRI__INT64_VALUE__INIT);
    out->value = value;
    return out;
}

static Cri__NamespaceOption *new_namespaces(const json_t *pod)
{
    Cri__NamespaceOption *option = NEW(Cri__NamespaceOption, CRI__NAMESPACE_OPTION__INIT);
    if (json_bool_at(pod, "spec", "hostNetwork"))
        option->network = CRI__NAMESPACE_MODE__NODE;
    if (json_bool_at(pod, "spec", "hostIPC"))
        option->ipc = CRI__NAMESPACE_MODE__NODE;
    option->pid = CRI__NAMESPACE_MODE__CONTAINER;
    if (json_bool_at(pod, "spec", "hostPID"))
        option->pid = CRI__NAMESPACE_MODE__NODE;
    else if (json_bool_at(pod, "spec", "shareProcessNamespace"))
        option->pid = CRI__NAMESPACE_MODE__POD;
    return option;
}

/* A member of the container's securityContext, else of the pod's. */
static const json_t *security(const json_t *pod, const json_t *container, const char *member)
{
    const json_t *value = json_at(container, "securityContext", member);
    return value ? value : json_at(pod, "spec", "securityContext", member);
}

int64_t pod_config_user(const json_t *pod, const json_t *container)
{
    const json_t *user = security(pod, container, "runAsUser");
    return json_is_integer(user) ? json_integer_value(user) : -1;
}

bool pod_config_non_root(const json_t *pod, const json_t *container)
{
    return json_is_true(security(pod, container, "runAsNonRoot"));
}

static Cri__SecurityProfile *new_seccomp(const json_t *pod, const json_t *container)
{
    Cri__SecurityProfile *profile = NEW(Cri__SecurityProfile, CRI__SECURITY_PROFILE__INIT);
    const json_t *wanted = security(pod, container, "seccompProfile");
    const char *type = json_str_or_empty(wanted, "type");
    profile->profile_type = CRI__SECURITY_PROFILE__PROFILE_TYPE__Unconfined;
    if (strcmp(type, "RuntimeDefault") == 0)
        profile->profile_type = CRI__SECURITY_PROFILE__PROFILE_TYPE__RuntimeDefault;
    else if (strcmp(type, "Localhost") == 0) {
        profile->profile_type = CRI__SECURITY_PROFILE__PROFILE_TYPE__Localhost;
        profile->localhost_ref = mem_strdup(json_str_or_empty(wanted, "localhostProfile"));
    }
    return profile;
}

static void add_groups(int64_t **groups, size_t *count, const json_t *pod)
{
    size_t i;
    json_t *item;
    json_array_foreach(json_at(pod, "spec", "securityContext", "supplementalGroups"), i, item)
        APPEND(*groups, *count, json_integer_value(item));
    const json_t *fs_group = json_at(pod, "spec", "securityContext", "fsGroup");
    if (json_is_integer(fs_group))
        APPEND(*groups, *count, json_integer_value(fs_group));
}

static bool any_privileged(const json_t *pod)
{
    static const char *const lists[] = {"containers", "initContainers"};
    for (size_t l = 0; l < 2; l++) {
        size_t i;
        json_t *container;
        json_array_foreach(json_at(pod, "spec", lists[l]), i, container)
        {
            if (json_bool_at(container, "securityContext", "privileged"))
                return true;
        }
    }
    return false;
}

static Cri__LinuxPodSandboxConfig *new_sandbox_linux(const json_t *pod)
{
    Cri__LinuxPodSandboxConfig *out = NEW(Cri__LinuxPodSandboxConfig, CRI__LINUX_POD_SANDBOX_CONFIG__INIT);
    Cri__LinuxSandboxSecurityContext *context =
        NEW(Cri__LinuxSandboxSecurityContext, CRI__LINUX_SANDBOX_SECURITY_CONTEXT__INIT);
    out->cgroup_parent = mem_strdup(CGROUP_PARENT);
    out->security_context = context;
    context->namespace_options = new_namespaces(pod);
    context->seccomp = new_seccomp(pod, NULL);
    context->privileged = any_privileged(pod);
    int64_t user = pod_config_user(pod, NULL);
    if (user >= 0)
        context->run_as_user = new_int64(user);
    const json_t *group = security(pod, NULL, "runAsGroup");
    if (json_is_integer(group) && user >= 0)
        context->run_as_group = new_int64(json_integer_value(group));
    add_groups(&context->supplemental_groups, &context->n_supplemental_groups, pod);
    size_t i;
    json_t *sysctl;
    json_array_foreach(json_at(pod, "spec", "securityContext", "sysctls"), i, sysctl)
        APPEND(out->sysctls, out->n_sysctls,
               new_pair(json_str_or_empty(sysctl, "name"), json_str_or_empty(sysctl, "value")));
    return out;
}

static void add_ports(Cri__PodSandboxConfig *config, const json_t *pod)
{
    size_t i, j;
    json_t *container, *port;
    if (json_bool_at(pod, "spec", "hostNetwork"))
        return;
    json_array_foreach(json_at(pod, "spec", "containers"), i, container)
    {
        json_array_foreach(json_object_get(container, "ports"), j, port)
        {
            int64_t host = json_int_or(0, port, "hostPort");
            if (host == 0)
                continue;
            Cri__PortMapping *mapping = NEW(Cri__PortMapping, CRI__PORT_MAPPING__INIT);
            const char *protocol = json_str_or_empty(port, "protocol");
            mapping->protocol = strcmp(protocol, "UDP") == 0    ? CRI__PROTOCOL__UDP
                                : strcmp(protocol, "SCTP") == 0 ? CRI__PROTOCOL__SCTP
                                                                : CRI__PROTOCOL__TCP;
            mapping->container_port = (int32_t)json_int_or(0, port, "containerPort");
            mapping->host_port = (int32_t)host;
            mapping->host_ip = mem_strdup(json_str_or_empty(port, "hostIP"));
            APPEND(config->port_mappings, config->n_port_mappings, mapping);
        }
    }
}

/* dnsPolicy: without a DNS service in the cluster, ClusterFirst is the host's resolv.conf, which the runtime
 * uses when no configuration is given. */
static void add_dns(Cri__PodSandboxConfig *config, const json_t *pod)
{
    const json_t *wanted = json_at(pod, "spec", "dnsConfig");
    if (!wanted)
        return;
    Cri__DNSConfig *dns = NEW(Cri__DNSConfig, CRI__DNSCONFIG__INIT);
    append_strings(&dns->servers, &dns->n_servers, json_object_get(wanted, "nameservers"));
    append_strings(&dns->searches, &dns->n_searches, json_object_get(wanted, "searches"));
    size_t i;
    json_t *option;
    json_array_foreach(json_object_get(wanted, "options"), i, option)
    {
        const char *value = json_str(option, "value");
        APPEND(dns->options, dns->n_options,
               value ? mem_printf("%s:%s", json_str_or_empty(option, "name"), value)
                     : mem_strdup(json_str_or_empty(option, "name")));
    }
    config->dns_config = dns;
}

#define ADD_LABEL(config, key, value) APPEND((config)->labels, (config)->n_labels, new_pair(key, value))

Cri__PodSandboxConfig *pod_config_sandbox(const struct pod_config_context *context, uint32_t attempt)
{
    const json_t *pod = context->pod;
    Cri__PodSandboxConfig *config = NEW(Cri__PodSandboxConfig, CRI__POD_SANDBOX_CONFIG__INIT);
    Cri__PodSandboxMetadata *metadata = NEW(Cri__PodSandboxMetadata, CRI__POD_SANDBOX_METADATA__INIT);
    metadata->name = mem_strdup(kube_name(pod));
    metadata->namespace_ = mem_strdup(kube_namespace(pod));
    metadata->uid = mem_strdup(kube_uid(pod));
    metadata->attempt = attempt;
    config->metadata = metadata;
    /* With the host's network goes the host's name, which a runtime must not be asked to set. */
    const char *hostname = json_str(pod, "spec", "hostname");
    if (!json_bool_at(pod, "spec", "hostNetwork"))
        config->hostname = mem_strndup(hostname ? hostname : kube_name(pod), 63);
    config->log_directory = mem_strdup(context->log_directory);
    add_dns(config, pod);
    add_ports(config, pod);
    const char *key;
    json_t *value;
    json_object_foreach(json_at(pod, "metadata", "labels"), key, value)
        ADD_LABEL(config, key, json_string_value(value) ? json_string_value(value) : "");
    ADD_LABEL(config, LABEL_POD_NAME, kube_name(pod));
    ADD_LABEL(config, LABEL_POD_NAMESPACE, kube_namespace(pod));
    ADD_LABEL(config, LABEL_POD_UID, kube_uid(pod));
    config->linux_config = new_sandbox_linux(pod);
    return config;
}

static int64_t milli_of(const json_t *container, const char *group, const char *resource)
{
    int64_t milli = 0;
    const char *text = json_str(container, "resources", group, resource);
    return text && quantity_milli(text, &milli) ? milli : 0;
}

int pod_config_oom_score(const json_t *pod, const json_t *container, int64_t node_memory_bytes)
{
    const char *qos = fields_qos(pod);
    if (strcmp(qos, "Guaranteed") == 0)
        return -997;
    if (strcmp(qos, "BestEffort") == 0 || node_memory_bytes <= 0)
        return 1000;
    int64_t request = milli_of(container, "requests", "memory") / 1000;
    int64_t score = 1000 - 1000 * (request / 1024) / (node_memory_bytes / 1024);
    return (int)(score < 3 ? 3 : score > 999 ? 999 : score);
}

static Cri__LinuxContainerResources *new_resources(const struct pod_config_context *context,
                                                   const json_t *container)
{
    Cri__LinuxContainerResources *out =
        NEW(Cri__LinuxContainerResources, CRI__LINUX_CONTAINER_RESOURCES__INIT);
    int64_t cpu_limit = milli_of(container, "limits", "cpu");
    int64_t cpu_request = milli_of(container, "requests", "cpu");
    if (cpu_request == 0 && !json_at(container, "resources", "requests", "cpu"))
        cpu_request = cpu_limit;
    out->cpu_shares = cpu_request * 1024 / 1000;
    if (out->cpu_shares < 2)
        out->cpu_shares = 2;
    out->cpu_period = CPU_PERIOD_US;
    if (cpu_limit > 0) {
        out->cpu_quota = cpu_limit * CPU_PERIOD_US / 1000;
        if (out->cpu_quota < 1000)
            out->cpu_quota = 1000;
    }
    out->memory_limit_in_bytes = milli_of(container, "limits", "memory") / 1000;
    out->oom_score_adj = pod_config_oom_score(context->pod, container, context->node_memory_bytes);
    return out;
}

/* What Docker has hidden since its beginning, and the kubelet after it (procMount: Default). */
static const char *const masked_paths[] = {
    "/proc/asound",     "/proc/acpi",        "/proc/kcore",       "/proc/keys", "/proc/latency_stats",
    "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware"};
static const char *const readonly_paths[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                             "/proc/sysrq-trigger"};

static Cri__LinuxContainerSecurityContext *new_container_security(const json_t *pod, const json_t *container)
{
    Cri__LinuxContainerSecurityContext *out =
        NEW(Cri__LinuxContainerSecurityContext, CRI__LINUX_CONTAINER_SECURITY_CONTEXT__INIT);
    out->privileged = json_bool_at(container, "securityContext", "privileged");
    out->readonly_rootfs = json_bool_at(container, "securityContext", "readOnlyRootFilesystem");
    out->no_new_privs = json_is_false(json_at(container, "securityContext", "allowPrivilegeEscalation"));
    out->namespace_options = new_namespaces(pod);
    out->seccomp = new_seccomp(pod, container);
    const json_t *capabilities = json_at(container, "securityContext", "capabilities");
    if (capabilities) {
        Cri__Capability *c = out->capabilities = NEW(Cri__Capability, CRI__CAPABILITY__INIT);
        append_strings(&c->add_capabilities, &c->n_add_capabilities, json_object_get(capabilities, "add"));
        append_strings(&c->drop_capabilities, &c->n_drop_capabilities, json_object_get(capabilities, "drop"));
    }
    int64_t user = pod_config_user(pod, container);
    if (user >= 0)
        out->run_as_user = new_int64(user);
    const json_t *group = security(pod, container, "runAsGroup");
    if (json_is_integer(group))
        out->run_as_group = new_int64(json_integer_value(group));
    if (out->run_as_group && !out->run_as_user)
        out->run_as_user = new_int64(0); /* the runtime takes a group only with a user */
    add_groups(&out->supplemental_groups, &out->n_supplemental_groups, pod);
    if (!out->privileged) {
        for (size_t i = 0; i < sizeof(masked_paths) / sizeof(masked_paths[0]); i++)
            APPEND(out->masked_paths, out->n_masked_paths, mem_strdup(masked_paths[i]));
        for (size_t i = 0; i < sizeof(readonly_paths) / sizeof(readonly_paths[0]); i++)
            APPEND(out->readonly_paths, out->n_readonly_paths, mem_strdup(readonly_paths[i]));
    }
    return out;
}

void pod_config_hash(char out[17], const json_t *container)
{
    uint8_t digest[crypto_generichash_BYTES_MIN];
    struct buf text buf_auto = BUF_INIT;
    buf_printf(&text, "%s\n%s", json_str_or_empty(container, "name"), json_str_or_empty(container, "image"));
    crypto_generichash(digest, sizeof(digest), (const unsigned char *)text.data, text.len, NULL, 0);
    hex_encode(out, digest, 8);
}

bool pod_config_takes_secrets(const json_t *container)
{
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(container, "env"), i, item)
    {
        if (json_at(item, "valueFrom", "secretKeyRef"))
            return true;
    }
    json_array_foreach(json_object_get(container, "envFrom"), i, item)
    {
        if (json_object_get(item, "secretRef"))
            return true;
    }
    return false;
}

bool pod_config_any_takes_secrets(const json_t *pod)
{
    static const char *const lists[] = {"containers", "initContainers"};
    for (size_t l = 0; l < 2; l++) {
        size_t i;
        json_t *container;
        json_array_foreach(json_at(pod, "spec", lists[l]), i, container)
        {
            if (pod_config_takes_secrets(container))
                return true;
        }
    }
    return false;
}

/* The text as the runtime gets it: sealed when there is a key. The caller's. */
static char *runtime_text(const struct buf *text, const uint8_t *seal_key)
{
    struct buf out = BUF_INIT;
    if (seal_key)
        sealed_put(&out, seal_key, buf_str(text), text->len);
    else
        buf_append(&out, text->data, text->len);
    buf_reserve(&out, 1);
    out.data[out.len] = '\0';
    return buf_steal(&out);
}

/* A reference to a variable may bring a Secret into an argument. */
static void add_expanded(char ***array, size_t *count, const json_t *list, const json_t *env,
                         const uint8_t *seal_key)
{
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        struct buf text buf_auto = BUF_INIT;
        const char *raw = json_string_value(item) ? json_string_value(item) : "";
        fields_expand(&text, raw, env);
        APPEND(*array, *count, runtime_text(&text, strstr(raw, "$(") ? seal_key : NULL));
    }
}

static void add_env(Cri__ContainerConfig *config, const json_t *env, const uint8_t *seal_key)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)env, key, value)
    {
        struct buf text buf_auto = BUF_INIT;
        buf_append(&text, json_string_value(value), json_string_length(value));
        char *shown mem_auto = runtime_text(&text, seal_key);
        APPEND(config->envs, config->n_envs, new_pair(key, shown));
    }
}

static void add_container_labels(Cri__ContainerConfig *config, const json_t *pod, const json_t *spec,
                                 int restarts)
{
    char hash[17], count[16];
    pod_config_hash(hash, spec);
    snprintf(count, sizeof(count), "%d", restarts);
    ADD_LABEL(config, LABEL_CONTAINER_NAME, json_str_or_empty(spec, "name"));
    ADD_LABEL(config, LABEL_POD_NAME, kube_name(pod));
    ADD_LABEL(config, LABEL_POD_NAMESPACE, kube_namespace(pod));
    ADD_LABEL(config, LABEL_POD_UID, kube_uid(pod));
    APPEND(config->annotations, config->n_annotations, new_pair(ANNOTATION_HASH, hash));
    APPEND(config->annotations, config->n_annotations, new_pair(ANNOTATION_RESTARTS, count));
}

static void add_mounts(Cri__ContainerConfig *config, const struct pod_mounts *mounts)
{
    for (size_t i = 0; i < mounts->count; i++) {
        Cri__Mount *mount = NEW(Cri__Mount, CRI__MOUNT__INIT);
        mount->host_path = mem_strdup(mounts->items[i].host_path);
        mount->container_path = mem_strdup(mounts->items[i].container_path);
        mount->readonly = mounts->items[i].read_only;
        mount->propagation = (Cri__MountPropagation)mounts->items[i].propagation;
        APPEND(config->mounts, config->n_mounts, mount);
    }
}

Cri__ContainerConfig *pod_config_container(const struct pod_config_context *context,
                                           const struct pod_config_container *container)
{
    const json_t *spec = container->spec;
    Cri__ContainerConfig *config = NEW(Cri__ContainerConfig, CRI__CONTAINER_CONFIG__INIT);
    config->metadata = NEW(Cri__ContainerMetadata, CRI__CONTAINER_METADATA__INIT);
    config->metadata->name = mem_strdup(json_str_or_empty(spec, "name"));
    config->metadata->attempt = container->attempt;
    config->image = NEW(Cri__ImageSpec, CRI__IMAGE_SPEC__INIT);
    config->image->image = mem_strdup(json_str_or_empty(spec, "image"));
    const uint8_t *seal_key = pod_config_takes_secrets(spec) ? container->seal_key : NULL;
    add_expanded(&config->command, &config->n_command, json_object_get(spec, "command"), container->env,
                 seal_key);
    add_expanded(&config->args, &config->n_args, json_object_get(spec, "args"), container->env, seal_key);
    config->working_dir = mem_strdup(json_str_or_empty(spec, "workingDir"));
    config->log_path = mem_strdup(container->log_path);
    config->stdin = json_bool_at(spec, "stdin");
    config->stdin_once = json_bool_at(spec, "stdinOnce");
    config->tty = json_bool_at(spec, "tty");
    add_env(config, container->env, seal_key);
    add_mounts(config, container->mounts);
    add_container_labels(config, context->pod, spec, container->restarts);
    config->linux_config = NEW(Cri__LinuxContainerConfig, CRI__LINUX_CONTAINER_CONFIG__INIT);
    config->linux_config->resources = new_resources(context, spec);
    config->linux_config->security_context = new_container_security(context->pod, spec);
    return config;
}
