/*
 * Taking over what a former kubelet left running: sandboxes and containers are found by their labels, so
 * that a restart of katena never restarts a pod.
 */
#include "base/log.h"
#include "base/mem.h"
#include "codec/json.h"
#include "kubelet/kubelet_internal.h"

#include <stdlib.h>
#include <string.h>

static struct kubelet_pod *pod_for(struct kubelet *k, Cri__Pair *const *labels, size_t count)
{
    const char *uid = cri_pair_get(labels, count, LABEL_POD_UID);
    const char *name = cri_pair_get(labels, count, LABEL_POD_NAME);
    const char *namespace = cri_pair_get(labels, count, LABEL_POD_NAMESPACE);
    if (!uid || !name || !namespace)
        return NULL;
    struct kubelet_pod *pod = kubelet_pod_find(k, uid);
    return pod ? pod : kubelet_pod_add(k, uid, namespace, name);
}

/* The newest sandbox of each pod counts. */
static int adopt_sandboxes(struct kubelet *k, struct err *err)
{
    Cri__ListPodSandboxResponse *list = NULL;
    int rc = k->rt->ops->list_sandboxes(k->rt, &list, err);
    if (rc)
        return rc;
    for (size_t i = 0; i < list->n_items; i++) {
        const Cri__PodSandbox *sandbox = list->items[i];
        struct kubelet_pod *pod = pod_for(k, sandbox->labels, sandbox->n_labels);
        uint32_t attempt = sandbox->metadata ? sandbox->metadata->attempt : 0;
        if (!pod || (pod->sandbox_id && attempt < pod->sandbox_attempt))
            continue;
        free(pod->sandbox_id);
        pod->sandbox_id = mem_strdup(sandbox->id);
        pod->sandbox_attempt = attempt;
        pod->sandbox = sandbox->state == CRI__POD_SANDBOX_STATE__SANDBOX_READY ? POD_SANDBOX_READY
                                                                               : POD_SANDBOX_NOT_READY;
    }
    cri_free(list);
    return 0;
}

static void adopt_container(struct kubelet *k, const Cri__Container *container)
{
    struct err err;
    struct kubelet_pod *pod = pod_for(k, container->labels, container->n_labels);
    const char *name = cri_pair_get(container->labels, container->n_labels, LABEL_CONTAINER_NAME);
    Cri__ContainerStatusResponse *response = NULL;
    if (!pod || !name || k->rt->ops->container_status(k->rt, container->id, &response, &err))
        return;
    pod->adopted = mem_reallocarray(pod->adopted, pod->adopted_count + 1, sizeof(*pod->adopted));
    struct kubelet_adopted *adopted = &pod->adopted[pod->adopted_count++];
    const char *restarts =
        cri_pair_get(container->annotations, container->n_annotations, ANNOTATION_RESTARTS);
    *adopted = (struct kubelet_adopted){.name = mem_strdup(name), .restarts = restarts ? atoi(restarts) : 0};
    instance_from_status(&adopted->instance, response->status);
    cri_free(response);
}

int kubelet_adopt(struct kubelet *k, struct err *err)
{
    Cri__ListContainersResponse *list = NULL;
    int rc = adopt_sandboxes(k, err);
    if (rc == 0)
        rc = k->rt->ops->list_containers(k->rt, NULL, &list, err);
    if (rc)
        return rc;
    for (size_t i = 0; i < list->n_containers; i++)
        adopt_container(k, list->containers[i]);
    if (k->pod_count > 0)
        log_info("kubelet", "found %zu pods in the container runtime", k->pod_count);
    cri_free(list);
    return 0;
}

/* Readiness as the API last had it, so that a restart of katena takes no pod out of its services. */
static void restore_probe_state(struct kubelet_container *c, const json_t *object)
{
    size_t i;
    json_t *status;
    char *id mem_auto = mem_printf("containerd://%s", c->now.id);
    const char *list = c->kind == POD_CONTAINER_APP ? "containerStatuses" : "initContainerStatuses";
    json_array_foreach(json_at(object, "status", list), i, status)
    {
        if (strcmp(json_str_or_empty(status, "containerID"), id) != 0)
            continue;
        pthread_mutex_lock(&c->pod->lock);
        c->ready = json_bool_at(status, "ready");
        c->started = c->started || json_bool_at(status, "started");
        pthread_mutex_unlock(&c->pod->lock);
    }
}

void kubelet_adopt_states(struct kubelet_pod *pod, const json_t *object)
{
    pthread_mutex_lock(&pod->lock);
    for (size_t i = 0; i < pod->adopted_count; i++) {
        struct kubelet_adopted *adopted = &pod->adopted[i];
        struct kubelet_container *c = pod_container_find(pod, adopted->name);
        if (c && (!c->now.id || adopted->instance.attempt >= c->now.attempt)) {
            instance_clear(&c->last);
            c->last = c->now;
            c->now = adopted->instance;
            c->restarts = c->crashes = adopted->restarts;
        } else if (c && (!c->last.id || adopted->instance.attempt > c->last.attempt)) {
            instance_clear(&c->last);
            c->last = adopted->instance;
        } else {
            instance_clear(&adopted->instance);
        }
        free(adopted->name);
    }
    free(pod->adopted);
    pod->adopted = NULL;
    pod->adopted_count = 0;
    pthread_mutex_unlock(&pod->lock);
    for (size_t i = 0; i < pod->container_count; i++) {
        struct kubelet_container *c = &pod->containers[i];
        if (c->now.state != POD_STATE_RUNNING)
            continue;
        probe_container_started(c, pod_container_spec(object, c));
        restore_probe_state(c, object);
    }
}
