/* The table of pods, fed by a watch of those bound to this node; see kubelet.h. */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "client/kube.h"
#include "codec/json.h"
#include "kubelet/kubelet_internal.h"
#include "kubelet/volume.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

char *kubelet_pod_dir(const struct kubelet_pod *pod)
{
    return mem_printf("%s/pods/%s", pod->kubelet->data_dir, pod->uid);
}

char *kubelet_pod_log_dir(const struct kubelet_pod *pod)
{
    return mem_printf("%s/pods-logs/%s_%s_%s", pod->kubelet->data_dir, pod->namespace, pod->name, pod->uid);
}

json_t *kubelet_pod_object(struct kubelet_pod *pod)
{
    pthread_mutex_lock(&pod->lock);
    json_t *object = json_incref(pod->object);
    pthread_mutex_unlock(&pod->lock);
    return object;
}

struct kubelet_pod *kubelet_pod_find(struct kubelet *k, const char *uid)
{
    for (struct kubelet_pod *pod = k->pods; pod; pod = pod->next)
        if (strcmp(pod->uid, uid) == 0)
            return pod;
    return NULL;
}

struct kubelet_pod *kubelet_pod_add(struct kubelet *k, const char *uid, const char *namespace,
                                    const char *name)
{
    struct kubelet_pod *pod = mem_zalloc(sizeof(*pod));
    pod->kubelet = k;
    pod->uid = mem_strdup(uid);
    pod->namespace = mem_strdup(namespace);
    pod->name = mem_strdup(name);
    pthread_mutex_init(&pod->lock, NULL);
    task_init(&pod->task, pod_sync, pod_release);
    pod->next = k->pods;
    k->pods = pod;
    k->pod_count++;
    return pod;
}

void kubelet_pod_unlink(struct kubelet *k, struct kubelet_pod *pod)
{
    pthread_mutex_lock(&k->lock);
    struct kubelet_pod **at = &k->pods;
    while (*at != pod)
        at = &(*at)->next;
    *at = pod->next;
    k->pod_count--;
    pthread_mutex_unlock(&k->lock);
}

/* A volume may show the object's labels and annotations. */
static bool metadata_changed(const json_t *before, const json_t *after)
{
    return before &&
           (!kube_equal(json_at(before, "metadata", "labels"), json_at(after, "metadata", "labels")) ||
            !kube_equal(json_at(before, "metadata", "annotations"),
                        json_at(after, "metadata", "annotations")));
}

/* Under pod->lock. A pod that ends as pods do has a deletionTimestamp. One that vanishes without may have
 * been deleted by force, or be about to come back from the other side of a cut. */
static int64_t note_gone(struct kubelet_pod *pod)
{
    if (pod->gone || (pod->object && kube_deleting(pod->object))) {
        pod->gone = true;
        return 0;
    }
    pod->vanish_due_us = clock_mono_us() + VANISH_US;
    return pod->vanish_due_us;
}

/* Under k->lock. */
static void pod_changed(struct kubelet *k, const json_t *object, bool deleted)
{
    struct kubelet_pod *pod = kubelet_pod_find(k, kube_uid(object));
    if (!pod && deleted)
        return;
    if (!pod)
        pod = kubelet_pod_add(k, kube_uid(object), kube_namespace(object), kube_name(object));
    pthread_mutex_lock(&pod->lock);
    pod->volumes_dirty = pod->volumes_dirty || metadata_changed(pod->object, object);
    json_decref(pod->object);
    pod->object = json_incref((json_t *)(uintptr_t)object);
    int64_t due_us = pod->vanish_due_us = 0;
    if (deleted)
        due_us = note_gone(pod);
    else
        pod->gone = false;
    pthread_mutex_unlock(&pod->lock);
    pool_schedule(k->pool, &pod->task, due_us);
}

/* All pods of the API are known: what else runs has lost its object. */
static void all_known(struct kubelet *k)
{
    k->synced = true;
    for (struct kubelet_pod *pod = k->pods; pod; pod = pod->next) {
        pthread_mutex_lock(&pod->lock);
        bool orphan = !pod->object;
        int64_t due_us = orphan ? note_gone(pod) : 0;
        pthread_mutex_unlock(&pod->lock);
        if (orphan)
            pool_schedule(k->pool, &pod->task, due_us);
    }
}

static void on_pod(void *arg, enum client_event event, const json_t *object)
{
    struct kubelet *k = arg;
    pthread_mutex_lock(&k->lock);
    if (event == CLIENT_SYNCED)
        all_known(k);
    else
        pod_changed(k, object, event == CLIENT_DELETED);
    pthread_mutex_unlock(&k->lock);
}

static void on_config(struct kubelet *k, bool secret, enum client_event event, const json_t *object)
{
    if (event == CLIENT_SYNCED)
        return;
    pthread_mutex_lock(&k->lock);
    for (struct kubelet_pod *pod = k->pods; pod; pod = pod->next) {
        if (strcmp(pod->namespace, kube_namespace(object)) != 0)
            continue;
        pthread_mutex_lock(&pod->lock);
        bool uses = pod->object && volume_uses(pod->object, secret, kube_name(object));
        pod->volumes_dirty = pod->volumes_dirty || uses;
        pthread_mutex_unlock(&pod->lock);
        if (uses)
            pool_schedule(k->pool, &pod->task, 0);
    }
    pthread_mutex_unlock(&k->lock);
}

static void on_configmap(void *arg, enum client_event event, const json_t *object)
{
    on_config(arg, false, event, object);
}

static void on_secret(void *arg, enum client_event event, const json_t *object)
{
    on_config(arg, true, event, object);
}

/* Config maps and secrets are watched only once a pod has a volume of them. */
void kubelet_watch_configs(struct kubelet *k)
{
    static pthread_mutex_t once = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&once);
    if (!k->configmap_watch) {
        k->configmap_watch = client_watch_start_metadata(k->client, &kube_configmaps, on_configmap, k);
        k->secret_watch = client_watch_start_metadata(k->client, &kube_secrets, on_secret, k);
    }
    pthread_mutex_unlock(&once);
}

static struct kubelet *kubelet_new(const struct kubelet_options *options)
{
    struct kubelet *k = mem_zalloc(sizeof(*k));
    struct sysinfo info;
    k->client = options->client;
    k->data_dir = mem_strdup(options->data_dir);
    k->node_name = mem_strdup(options->node_name);
    k->node_address = mem_strdup(options->node_address);
    k->pod_cidr = mem_strdup(options->pod_cidr);
    k->api_endpoint = mem_strdup(options->api_endpoint);
    k->seals = options->seal_key != NULL;
    if (k->seals)
        memcpy(k->seal_key, options->seal_key, sizeof(k->seal_key));
    k->rt = cri_connect(options->endpoint);
    k->pool = pool_new();
    k->events = event_recorder_new(options->client, "kubelet", options->node_name);
    k->cpus = (int)sysconf(_SC_NPROCESSORS_ONLN);
    if (sysinfo(&info) == 0)
        k->memory_bytes = (int64_t)info.totalram * info.mem_unit;
    pthread_mutex_init(&k->lock, NULL);
    task_init(&k->rotate_task, kubelet_rotate_logs, NULL);
    task_init(&k->node_task, kubelet_node_task, NULL);
    return k;
}

int kubelet_start(struct kubelet **out, const struct kubelet_options *options, struct err *err)
{
    struct kubelet *k = kubelet_new(options);
    char node_selector[300];
    snprintf(node_selector, sizeof(node_selector), "spec.nodeName=%s", k->node_name);
    int rc = kubelet_adopt(k, err);
    if (rc == 0)
        rc = kubelet_register_node(k, err);
    if (rc == 0) {
        k->pleg_running = pthread_create(&k->pleg_thread, NULL, kubelet_pleg, k) == 0;
        if (!k->pleg_running)
            rc = err_set(err, ERR_INTERNAL, "cannot start a thread");
    }
    if (rc) {
        kubelet_stop(k);
        return rc;
    }
    k->watch = client_watch_start(k->client, &kube_pods, NULL, node_selector, on_pod, k);
    kubelet_watch_node(k);
    pool_schedule(k->pool, &k->rotate_task, 0);
    *out = k;
    return 0;
}

void kubelet_stop(struct kubelet *k)
{
    if (!k)
        return;
    k->stopping = true;
    client_watch_stop(k->watch);
    client_watch_stop(k->configmap_watch);
    client_watch_stop(k->secret_watch);
    client_watch_stop(k->node_watch);
    cri_abort(k->rt); /* a stop that waits for a grace period would hold us up */
    if (k->pleg_running)
        pthread_join(k->pleg_thread, NULL);
    pool_stop(k->pool);
    while (k->log_readers > 0)
        poll(NULL, 0, 10);
    while (k->pods) {
        struct kubelet_pod *pod = k->pods;
        k->pods = pod->next;
        pod_release(&pod->task);
    }
    pool_free(k->pool);
    event_recorder_free(k->events);
    cri_disconnect(k->rt);
    pthread_mutex_destroy(&k->lock);
    free(k->data_dir);
    free(k->node_name);
    free(k->node_address);
    free(k->pod_cidr);
    free(k->api_endpoint);
    free(k);
}
