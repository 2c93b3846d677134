/*
 * Stopping containers, and removing what is left of a pod. A stop waits for the preStop hook and the grace
 * period, so each runs as a task of its own and wakes the pod when it is done.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "client/kube.h"
#include "codec/json.h"
#include "kubelet/kubelet_internal.h"
#include "kubelet/volume.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

void pod_kill_container(struct kubelet_pod *pod, const json_t *object, struct kubelet_container *c,
                        int64_t grace_s, const char *message)
{
    pthread_mutex_lock(&pod->lock);
    c->killing = true;
    free(c->kill_id);
    free(c->kill_message);
    c->kill_id = mem_strdup(c->now.id);
    c->kill_message = mem_strdup(message);
    c->kill_grace_s = grace_s;
    pthread_mutex_unlock(&pod->lock);
    if (object)
        container_event(c, object, EVENT_NORMAL, "Killing", "%s", message);
    pool_schedule(pod->kubelet->pool, &c->kill_task, 0);
}

/* The hook takes its time out of the grace period; the runtime gets what is left, at least 2 s. */
static int64_t run_pre_stop(struct kubelet_container *c, const json_t *object, int64_t grace_s)
{
    const json_t *spec = object ? pod_container_spec(object, c) : NULL;
    const json_t *hook = json_at(spec, "lifecycle", "preStop");
    struct err err;
    if (!hook || grace_s <= 0)
        return grace_s;
    int64_t start = clock_mono_us();
    if (hook_run(c->pod, c, spec, hook, c->kill_id, grace_s, &err))
        container_event(c, object, EVENT_WARNING, "FailedPreStopHook", "PreStopHook failed");
    int64_t left = grace_s - (clock_mono_us() - start) / 1000000;
    return left < 2 ? 2 : left;
}

int64_t pod_kill_task(struct task *task)
{
    struct kubelet_container *c =
        (struct kubelet_container *)((char *)task - offsetof(struct kubelet_container, kill_task));
    struct kubelet *k = c->pod->kubelet;
    struct err err;
    json_t *object = kubelet_pod_object(c->pod);
    int64_t grace_s = run_pre_stop(c, object, c->kill_grace_s);
    json_decref(object);
    int rc = k->rt->ops->stop_container(k->rt, c->kill_id, grace_s, &err);
    if (rc && rc != ERR_NOT_FOUND && !k->stopping) {
        log_warn("kubelet", "cannot stop container %s of %s/%s: %s", c->name, c->pod->namespace, c->pod->name,
                 err.message);
        return clock_mono_us() + 2000000;
    }
    pthread_mutex_lock(&c->pod->lock);
    c->killing = false;
    c->dirty = true;
    pthread_mutex_unlock(&c->pod->lock);
    pool_schedule(k->pool, &c->pod->task, 0);
    return POOL_NEVER;
}

/* Every container and sandbox of the pod in the runtime, whether we know it or not. */
static int remove_from_runtime(struct kubelet_pod *pod, struct err *err)
{
    struct kubelet *k = pod->kubelet;
    Cri__ListPodSandboxResponse *list = NULL;
    int rc = k->rt->ops->list_sandboxes(k->rt, &list, err);
    if (rc)
        return rc;
    for (size_t i = 0; rc == 0 && i < list->n_items; i++) {
        const Cri__PodSandbox *sandbox = list->items[i];
        const char *uid = cri_pair_get(sandbox->labels, sandbox->n_labels, LABEL_POD_UID);
        if (!uid || strcmp(uid, pod->uid) != 0)
            continue;
        rc = k->rt->ops->stop_sandbox(k->rt, sandbox->id, err);
        if (rc == 0)
            rc = k->rt->ops->remove_sandbox(k->rt, sandbox->id, err); /* and the containers in it */
        if (rc == ERR_NOT_FOUND)
            rc = 0;
    }
    cri_free(list);
    return rc;
}

static void remove_logs(struct kubelet_pod *pod)
{
    struct err err;
    char *dir mem_auto = kubelet_pod_log_dir(pod);
    if (volume_teardown_all(dir, &err))
        log_warn("kubelet", "%s", err.message);
}

int pod_remove_all(struct kubelet_pod *pod, const json_t *object)
{
    struct err err;
    char *dir mem_auto = kubelet_pod_dir(pod);
    int rc = remove_from_runtime(pod, &err);
    if (rc == 0)
        rc = volume_teardown_all(dir, &err);
    if (rc && pod->kubelet->stopping)
        return rc;
    if (rc) {
        log_warn("kubelet", "cannot remove pod %s/%s: %s", pod->namespace, pod->name, err.message);
        if (object)
            event_record(pod->kubelet->events, object, EVENT_WARNING, "FailedKillPod",
                         "error killing pod: %s", err.message);
        return rc;
    }
    remove_logs(pod);
    return 0;
}
