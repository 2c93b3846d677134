/*
 * The volumes of a pod on the host: <data-dir>/pods/<uid>/volumes/<type>/<name>. Contents that come from the
 * API (config maps, secrets, projections, the downward API) are written so that a reader sees all of one
 * version: the files lie in a directory of their own, and the link "..data" is moved to it
 * (volume_payload.c).
 */
#ifndef KATENA_KUBELET_VOLUME_H
#define KATENA_KUBELET_VOLUME_H

#include "client/client.h"
#include "kubelet/fields.h"
#include "kubelet/pod_config.h"

struct volume_context {
    struct client *client;
    const struct fields_context *fields;
    const char *pod_dir;
    int64_t now_us;  /* wall clock */
    int64_t *due_us; /* out: when a token in them should be made anew; 0: never */
};

/* Makes all volumes of the pod, or brings their contents up to date. Returns at the first that fails, its
 * name in *failed (borrowed from the pod). */
int volume_setup_all(const struct volume_context *context, const char **failed, struct err *err);

/* Unmounts and removes all below pod_dir. Succeeds when there is nothing. */
int volume_teardown_all(const char *pod_dir, struct err *err);

/* Adds a container's volumeMounts, in their order. env serves subPathExpr. */
int volume_mounts(struct pod_mounts *mounts, const json_t *pod, const json_t *container, const char *pod_dir,
                  const json_t *env, struct err *err);

/* Whether the pod has a volume (or one of a projection) from this config map or secret. */
bool volume_uses(const json_t *pod, bool secret, const char *name);

/* Creates a directory and those above it. */
int volume_make_dirs(const char *path, unsigned mode, struct err *err);

#endif
