/*
 * The pod life-cycle event generator: tells a pod when one of its containers has ended. It listens to the
 * runtime's exit events; after each (re)connection, and once in a while in case an event was lost, it
 * compares lists. A runtime without events is asked every second while there are pods.
 */
#include "base/clock.h"
#include "base/log.h"
#include "kubelet/kubelet_internal.h"

#include <poll.h>
#include <string.h>

#define RELIST_US (60 * INT64_C(1000000))
#define REFRESH_TRIES 12

struct pleg {
    struct kubelet *k;
    int64_t relist_us; /* when to compare next */
};

/* Under k->lock. */
static void mark(struct kubelet_pod *pod, struct kubelet_container *c)
{
    pthread_mutex_lock(&pod->lock);
    if (c) {
        c->dirty = true;
        c->refresh_tries = REFRESH_TRIES;
    } else {
        pod->sandbox_dirty = true;
    }
    pthread_mutex_unlock(&pod->lock);
    pool_schedule(pod->kubelet->pool, &pod->task, 0);
}

static void container_ended(struct kubelet *k, const char *id)
{
    pthread_mutex_lock(&k->lock);
    for (struct kubelet_pod *pod = k->pods; pod; pod = pod->next) {
        if (pod->sandbox_id && strcmp(pod->sandbox_id, id) == 0)
            mark(pod, NULL);
        for (size_t i = 0; i < pod->container_count; i++) {
            struct kubelet_container *c = &pod->containers[i];
            pthread_mutex_lock(&pod->lock);
            bool match = c->now.id && strcmp(c->now.id, id) == 0;
            pthread_mutex_unlock(&pod->lock);
            if (match)
                mark(pod, c);
        }
    }
    pthread_mutex_unlock(&k->lock);
}

static bool listed_running(const Cri__ListContainersResponse *list, const char *id)
{
    for (size_t i = 0; i < list->n_containers; i++)
        if (strcmp(list->containers[i]->id, id) == 0)
            return list->containers[i]->state == CRI__CONTAINER_STATE__CONTAINER_RUNNING;
    return false;
}

static bool listed_ready(const Cri__ListPodSandboxResponse *list, const char *id)
{
    for (size_t i = 0; i < list->n_items; i++)
        if (strcmp(list->items[i]->id, id) == 0)
            return list->items[i]->state == CRI__POD_SANDBOX_STATE__SANDBOX_READY;
    return false;
}

static void compare(struct kubelet *k, const Cri__ListContainersResponse *containers,
                    const Cri__ListPodSandboxResponse *sandboxes)
{
    pthread_mutex_lock(&k->lock);
    for (struct kubelet_pod *pod = k->pods; pod; pod = pod->next) {
        if (pod->sandbox == POD_SANDBOX_READY && pod->sandbox_id && !listed_ready(sandboxes, pod->sandbox_id))
            mark(pod, NULL);
        for (size_t i = 0; i < pod->container_count; i++) {
            struct kubelet_container *c = &pod->containers[i];
            pthread_mutex_lock(&pod->lock);
            bool ended =
                c->now.id && c->now.state == POD_STATE_RUNNING && !listed_running(containers, c->now.id);
            pthread_mutex_unlock(&pod->lock);
            if (ended)
                mark(pod, c);
        }
    }
    pthread_mutex_unlock(&k->lock);
}

static void relist(struct kubelet *k)
{
    struct err err;
    Cri__ListContainersResponse *containers = NULL;
    Cri__ListPodSandboxResponse *sandboxes = NULL;
    pthread_mutex_lock(&k->lock);
    bool empty = k->pod_count == 0;
    pthread_mutex_unlock(&k->lock);
    if (empty)
        return;
    if (k->rt->ops->list_containers(k->rt, NULL, &containers, &err) == 0 &&
        k->rt->ops->list_sandboxes(k->rt, &sandboxes, &err) == 0)
        compare(k, containers, sandboxes);
    cri_free(containers);
    cri_free(sandboxes);
}

static bool on_event(void *arg, const char *id)
{
    struct pleg *pleg = arg;
    if (id) {
        container_ended(pleg->k, id);
    } else if (clock_mono_us() >= pleg->relist_us) {
        pleg->relist_us = clock_mono_us() + RELIST_US;
        relist(pleg->k);
    }
    return !pleg->k->stopping;
}

void *kubelet_pleg(void *arg)
{
    struct pleg pleg = {.k = arg};
    struct err err;
    while (!pleg.k->stopping) {
        pleg.relist_us = 0;
        int rc = pleg.k->rt->ops->watch_exits(pleg.k->rt, on_event, &pleg, &err);
        if (pleg.k->stopping)
            break;
        if (rc == ERR_METHOD)
            relist(pleg.k);
        else
            log_warn("kubelet", "runtime events: %s", err.message);
        for (int i = 0; i < 20 && !pleg.k->stopping; i++)
            poll(NULL, 0, 50);
    }
    return NULL;
}
