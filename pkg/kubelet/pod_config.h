/*
 * The CRI messages for a pod's sandbox and its containers, made from the pod object. Every member is
 * allocated, so cri_free frees the whole.
 */
#ifndef KATENA_KUBELET_POD_CONFIG_H
#define KATENA_KUBELET_POD_CONFIG_H

#include "cri/runtime.h"

#include <jansson.h>
#include <stdint.h>

struct pod_config_context {
    const json_t *pod;
    const char *log_directory;
    int64_t node_memory_bytes;
};

/* One mount to be made in a container. */
struct pod_mount {
    char *host_path;
    char *container_path;
    bool read_only;
    int propagation; /* Cri__MountPropagation */
};
struct pod_mounts {
    struct pod_mount *items;
    size_t count;
};
void pod_mounts_add(struct pod_mounts *mounts, const char *host_path, const char *container_path,
                    bool read_only);
void pod_mounts_free(struct pod_mounts *mounts);

Cri__PodSandboxConfig *pod_config_sandbox(const struct pod_config_context *context, uint32_t attempt);

struct pod_config_container {
    const json_t *spec;
    const json_t *env; /* object of strings */
    const struct pod_mounts *mounts;
    uint32_t attempt;
    int restarts;
    const char *log_path;    /* relative to the log directory */
    const uint8_t *seal_key; /* NULL: nothing is sealed */
};
Cri__ContainerConfig *pod_config_container(const struct pod_config_context *context,
                                           const struct pod_config_container *container);

/* Whether a container takes variables from Secrets; and whether any of a pod does. */
bool pod_config_takes_secrets(const json_t *container);
bool pod_config_any_takes_secrets(const json_t *pod);

/* What decides whether a running container is still the one the specification wants. */
void pod_config_hash(char out[17], const json_t *container);

/* The user of a container: from its securityContext, else the pod's; -1: the image's. */
int64_t pod_config_user(const json_t *pod, const json_t *container);
bool pod_config_non_root(const json_t *pod, const json_t *container);

/* oom_score_adj by quality of service: the less a pod's memory was promised, the sooner it goes. */
int pod_config_oom_score(const json_t *pod, const json_t *container, int64_t node_memory_bytes);

#endif
