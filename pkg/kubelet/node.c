/*
 * The Node object of this host. It is written at the start, and again only when something in it changes: the
 * peers' liveness is no matter of the API, so there is neither a Lease nor a periodic heartbeat, and an idle
 * node writes nothing. Others that cannot reach the node for a while write that it is lost; when it sees
 * that, it writes that it is not.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "client/kube.h"
#include "codec/json.h"
#include "kubelet/kubelet_internal.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>

#define KUBELET_VERSION "v1.35.0+katena-" KATENA_VERSION
#define PODS_MAX "110"
#define ANNOTATION_API "katena.io/api-endpoint"
#define RETRY_US INT64_C(5000000)

static char *read_line(const char *path)
{
    char line[256] = "";
    FILE *file = fopen(path, "re");
    if (file) {
        if (fgets(line, sizeof(line), file))
            line[strcspn(line, "\n")] = '\0';
        fclose(file);
    }
    return mem_strdup(line);
}

static char *os_image(void)
{
    char line[256], name[200] = "Linux";
    FILE *file = fopen("/etc/os-release", "re");
    while (file && fgets(line, sizeof(line), file))
        if (sscanf(line, "PRETTY_NAME=\"%199[^\"]\"", name) == 1)
            break;
    if (file)
        fclose(file);
    return mem_strdup(name);
}

static const char *architecture(const struct utsname *host)
{
    return strcmp(host->machine, "x86_64") == 0    ? "amd64"
           : strcmp(host->machine, "aarch64") == 0 ? "arm64"
                                                   : host->machine;
}

static json_t *node_info(struct kubelet *k, const struct utsname *host, struct err *err)
{
    Cri__VersionResponse *version = NULL;
    if (k->rt->ops->version(k->rt, &version, err))
        return NULL;
    json_t *info = json_object();
    char *machine mem_auto = read_line("/etc/machine-id");
    char *system mem_auto = read_line("/sys/class/dmi/id/product_uuid");
    char *boot mem_auto = read_line("/proc/sys/kernel/random/boot_id");
    char *image mem_auto = os_image();
    json_set_str(info, "machineID", machine);
    json_set_str(info, "systemUUID", *system ? system : machine);
    json_set_str(info, "bootID", boot);
    json_set_str(info, "kernelVersion", host->release);
    json_set_str(info, "osImage", image);
    json_object_set_new(info, "containerRuntimeVersion",
                        json_sprintf("%s://%s", version->runtime_name,
                                     version->runtime_version + (*version->runtime_version == 'v')));
    json_set_str(info, "kubeletVersion", KUBELET_VERSION);
    json_set_str(info, "kubeProxyVersion", "");
    json_set_str(info, "operatingSystem", "linux");
    json_set_str(info, "architecture", architecture(host));
    cri_free(version);
    return info;
}

static json_t *capacity(struct kubelet *k)
{
    struct statvfs fs = {0};
    statvfs(k->data_dir, &fs);
    json_t *out = json_object();
    json_object_set_new(out, "cpu", json_sprintf("%d", k->cpus));
    json_object_set_new(out, "ephemeral-storage",
                        json_sprintf("%lluKi", (unsigned long long)fs.f_blocks * fs.f_frsize / 1024));
    json_object_set_new(out, "memory", json_sprintf("%lldKi", (long long)k->memory_bytes / 1024));
    json_set_str(out, "pods", PODS_MAX);
    return out;
}

static void add_condition(json_t *list, const json_t *node, const char *type, const char *status,
                          const char *reason, const char *message)
{
    char now[TIMEFMT_MAX];
    timefmt_seconds(now, clock_wall_us() / 1000000);
    const json_t *old = kube_condition(node, type);
    const char *since = json_str(old, "lastTransitionTime"), *seen = json_str(old, "lastHeartbeatTime");
    bool same = strcmp(kube_condition_status(node, type), status) == 0;
    json_array_append_new(list,
                          json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "type", type, "status", status,
                                    "lastHeartbeatTime", same && seen ? seen : now, "lastTransitionTime",
                                    same && since ? since : now, "reason", reason, "message", message));
}

static json_t *node_conditions(const json_t *node)
{
    json_t *list = json_array();
    add_condition(list, node, "MemoryPressure", "False", "KubeletHasSufficientMemory",
                  "kubelet has sufficient memory available");
    add_condition(list, node, "DiskPressure", "False", "KubeletHasNoDiskPressure",
                  "kubelet has no disk pressure");
    add_condition(list, node, "PIDPressure", "False", "KubeletHasSufficientPID",
                  "kubelet has sufficient PID available");
    add_condition(list, node, "Ready", "True", "KubeletReady", "kubelet is posting ready status");
    return list;
}

static json_t *node_status(struct kubelet *k, const json_t *node, const struct utsname *host, struct err *err)
{
    json_t *info = node_info(k, host, err);
    if (!info)
        return NULL;
    json_t *status = json_object();
    json_object_set_new(status, "capacity", capacity(k));
    json_object_set_new(status, "allocatable", capacity(k));
    json_object_set_new(status, "conditions", node_conditions(node));
    json_object_set_new(status, "addresses",
                        json_pack("[{s:s, s:s}, {s:s, s:s}]", "type", "InternalIP", "address",
                                  k->node_address, "type", "Hostname", "address", k->node_name));
    const char *colon = k->api_endpoint ? strrchr(k->api_endpoint, ':') : NULL;
    if (colon)
        json_object_set_new(status, "daemonEndpoints",
                            json_pack("{s:{s:i}}", "kubeletEndpoint", "Port", atoi(colon + 1)));
    json_object_set_new(status, "nodeInfo", info);
    return status;
}

static json_t *node_labels(struct kubelet *k, const struct utsname *host)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "beta.kubernetes.io/arch", architecture(host),
                     "beta.kubernetes.io/os", "linux", "kubernetes.io/arch", architecture(host),
                     "kubernetes.io/hostname", k->node_name, "kubernetes.io/os", "linux",
                     "node-role.kubernetes.io/control-plane", "");
}

/* What of `wanted` the object's map does not have, or has otherwise. */
static json_t *missing_of(json_t *wanted, const json_t *have)
{
    json_t *missing = json_object();
    const char *key;
    json_t *value;
    json_object_foreach(wanted, key, value)
    {
        if (!json_equal(json_object_get(have, key), value))
            json_object_set(missing, key, value);
    }
    return missing;
}

/* Gets the node, or makes it; labels and annotations of ours that are missing are added. */
static int ensure_node(struct kubelet *k, const struct utsname *host, json_t **node, struct err *err)
{
    json_auto_t *labels = node_labels(k, host);
    json_auto_t *annotations = json_pack("{s:s*}", ANNOTATION_API, k->api_endpoint);
    int rc = client_get(k->client, &kube_nodes, NULL, k->node_name, node, err);
    if (rc == ERR_NOT_FOUND) {
        json_auto_t *object =
            json_pack("{s:s, s:s, s:{s:s, s:O, s:O}, s:{s:s, s:[s]}}", "apiVersion", "v1", "kind", "Node",
                      "metadata", "name", k->node_name, "labels", labels, "annotations", annotations, "spec",
                      "podCIDR", k->pod_cidr, "podCIDRs", k->pod_cidr);
        return client_create(k->client, &kube_nodes, NULL, object, node, err);
    }
    if (rc)
        return rc;
    json_auto_t *new_labels = missing_of(labels, json_at(*node, "metadata", "labels"));
    json_auto_t *new_annotations = missing_of(annotations, json_at(*node, "metadata", "annotations"));
    if (json_object_size(new_labels) == 0 && json_object_size(new_annotations) == 0)
        return 0;
    json_auto_t *patch =
        json_pack("{s:{s:O, s:O}}", "metadata", "labels", new_labels, "annotations", new_annotations);
    return client_patch(k->client, &kube_nodes, NULL, NULL, k->node_name, CLIENT_PATCH_MERGE, patch, NULL,
                        err);
}

static bool status_differs(const json_t *node, const json_t *status)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)status, key, value)
    {
        if (!kube_equal(json_at(node, "status", key), value))
            return true;
    }
    return false;
}

int kubelet_register_node(struct kubelet *k, struct err *err)
{
    struct utsname host;
    json_auto_t *node = NULL;
    uname(&host);
    int rc = ensure_node(k, &host, &node, err);
    if (rc)
        return err_wrap(err, "register node %s", k->node_name);
    json_t *status = node_status(k, node, &host, err);
    if (!status)
        return err->code;
    json_auto_t *patch = json_pack("{s:o}", "status", status);
    if (!status_differs(node, status))
        return 0;
    rc = client_patch(k->client, &kube_nodes, "status", NULL, k->node_name, CLIENT_PATCH_STRATEGIC, patch,
                      NULL, err);
    if (rc)
        return err_wrap(err, "status of node %s", k->node_name);
    log_info("kubelet", "node %s is ready", k->node_name);
    return 0;
}

int64_t kubelet_node_task(struct task *task)
{
    struct kubelet *k = (struct kubelet *)((char *)task - offsetof(struct kubelet, node_task));
    struct err err;
    if (k->stopping || !kubelet_register_node(k, &err))
        return POOL_NEVER;
    log_warn("kubelet", "%s", err.message);
    return clock_mono_us() + RETRY_US;
}

static void on_node(void *arg, enum client_event event, const json_t *node)
{
    struct kubelet *k = arg;
    bool there = event == CLIENT_ADDED || event == CLIENT_MODIFIED;
    if (there && !strcmp(kube_name(node), k->node_name) &&
        strcmp(kube_condition_status(node, "Ready"), "True") != 0)
        pool_schedule(k->pool, &k->node_task, 0);
}

void kubelet_watch_node(struct kubelet *k)
{
    char selector[300];
    snprintf(selector, sizeof(selector), "metadata.name=%s", k->node_name);
    k->node_watch = client_watch_start(k->client, &kube_nodes, NULL, selector, on_node, k);
}
