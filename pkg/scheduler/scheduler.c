/*
 * See scheduler.h. The watches' callbacks keep the model and the pending pods under one lock; the thread
 * takes a pod, reads it, decides under the lock, and binds without it. A pod counts on its node from the
 * moment the binding was accepted, whenever the watch shows it.
 */
#include "scheduler/scheduler.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "client/event.h"
#include "client/kube.h"
#include "codec/json.h"
#include "scheduler/decide.h"
#include "scheduler/queue.h"

#include <inttypes.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#define SCHEDULER_NAME "default-scheduler"
#define THREAD_STACK (512 * 1024)

#define RETURNED_AGE_US 2000000 /* beyond the whole seconds of a timestamp, and clocks that differ */
#define RETURNED_WAIT_US 2000000

struct scheduler {
    struct client *client;
    struct event_recorder *events;
    struct client_watch *pod_watch, *node_watch;
    pthread_t thread;
    pthread_mutex_t lock; /* everything below */
    pthread_cond_t wake;
    struct sched_model model;
    struct queue pending;
    bool pods_synced, nodes_synced;
    atomic_bool stopping;
};

static void wake(struct scheduler *s)
{
    pthread_cond_signal(&s->wake);
}

static void node_event(void *arg, enum client_event event, const json_t *node)
{
    struct scheduler *s = arg;
    pthread_mutex_lock(&s->lock);
    bool helps = false;
    if (event == CLIENT_SYNCED)
        helps = s->nodes_synced = true;
    else if (event == CLIENT_DELETED)
        sched_model_remove_node(&s->model, kube_name(node));
    else
        helps = sched_model_set_node(&s->model, node);
    if (helps) {
        queue_wake(&s->pending, clock_mono_us());
        wake(s);
    }
    pthread_mutex_unlock(&s->lock);
}

static bool waits_for_us(const json_t *pod)
{
    const char *name = json_str_or_empty(pod, "spec", "schedulerName");
    return (!*name || !strcmp(name, SCHEDULER_NAME)) && kube_pod_active(pod) &&
           json_array_size(json_at(pod, "spec", "schedulingGates")) == 0;
}

/* A pod that the model has on a node stays there, though an older state of it comes along. */
static bool already_bound(const struct scheduler *s, const char *key, const json_t *pod)
{
    const struct sched_pod *known = sched_model_pod(&s->model, key);
    return known && !strcmp(known->uid, kube_uid(pod));
}

/* A pod that appears without a node long after it was made comes back from a part of the network that had
 * been cut off, and so does its binding, if it had one: placing it anew would win against that and restart
 * it. */
static bool comes_back(const struct scheduler *s, enum client_event event, const json_t *pod)
{
    return s->pods_synced && event == CLIENT_ADDED && clock_wall_us() - kube_created(pod) > RETURNED_AGE_US;
}

/* The lock is held. */
static void pod_changed(struct scheduler *s, enum client_event event, const json_t *pod)
{
    char key[KUBE_KEY_MAX];
    kube_key(key, pod);
    bool bound = *json_str_or_empty(pod, "spec", "nodeName");
    bool gone = event == CLIENT_DELETED || kube_pod_terminal(pod);
    int64_t now = clock_mono_us();
    if (gone) {
        queue_remove(&s->pending, key, NULL);
        if (sched_model_remove_pod(&s->model, key))
            queue_wake(&s->pending, now);
    } else if (bound) {
        queue_remove(&s->pending, key, NULL);
        bool news = !already_bound(s, key, pod);
        sched_model_set_pod(&s->model, pod);
        if (news)
            queue_wake(&s->pending, now);
    } else if (!waits_for_us(pod)) {
        queue_remove(&s->pending, key, NULL);
    } else if (!already_bound(s, key, pod)) {
        queue_set(&s->pending, pod, comes_back(s, event, pod) ? now + RETURNED_WAIT_US : now);
    }
}

static void pod_event(void *arg, enum client_event event, const json_t *pod)
{
    struct scheduler *s = arg;
    pthread_mutex_lock(&s->lock);
    if (event == CLIENT_SYNCED)
        s->pods_synced = true;
    else
        pod_changed(s, event, pod);
    wake(s);
    pthread_mutex_unlock(&s->lock);
}

/* Pods that were another node's may be ours now. */
static void members_changed(void *arg)
{
    struct scheduler *s = arg;
    pthread_mutex_lock(&s->lock);
    queue_wake(&s->pending, clock_mono_us());
    wake(s);
    pthread_mutex_unlock(&s->lock);
}

/* The pods of one controller are one node's to place: two that place them at the same time do not see each
 * other's choices, and would spread them unevenly. */
static bool is_ours(const struct scheduler *s, uint64_t group)
{
    if (!s->client->ops->owns)
        return true;
    mem_auto char *work = mem_printf("scheduler %016" PRIx64, group);
    return client_owns(s->client, work, strlen(work));
}

/* Sets the condition PodScheduled to False, unless it says so already. */
static int report_status(struct scheduler *s, const json_t *pod, const char *message, struct err *err)
{
    const json_t *old = kube_condition(pod, "PodScheduled");
    if (old && !strcmp(json_str_or_empty(old, "status"), "False") &&
        !strcmp(json_str_or_empty(old, "message"), message))
        return 0;
    char now[TIMEFMT_MAX];
    timefmt_seconds(now, clock_wall_us() / 1000000);
    bool same = old && !strcmp(json_str_or_empty(old, "status"), "False");
    json_t *conditions = json_array();
    size_t i;
    json_t *condition;
    json_array_foreach(json_at(pod, "status", "conditions"), i, condition)
    {
        if (condition != old)
            json_array_append(conditions, condition);
    }
    json_array_append_new(conditions, json_pack("{ss ss sn ss ss ss}", "type", "PodScheduled", "status",
                                                "False", "lastProbeTime", "lastTransitionTime",
                                                same ? json_str_or_empty(old, "lastTransitionTime") : now,
                                                "reason", "Unschedulable", "message", message));
    json_auto_t *patch =
        json_pack("{s{ss ss*} s{so}}", "metadata", "uid", kube_uid(pod), "resourceVersion",
                  json_str(pod, "metadata", "resourceVersion"), "status", "conditions", conditions);
    return client_patch(s->client, &kube_pods, "status", kube_namespace(pod), kube_name(pod),
                        CLIENT_PATCH_MERGE, patch, NULL, err);
}

static void report_unschedulable(struct scheduler *s, const char *key, const json_t *pod, const char *message)
{
    struct err err = {0};
    event_record_kind(s->events, "v1", "Pod", pod, EVENT_WARNING, "FailedScheduling", "%s", message);
    int rc = report_status(s, pod, message, &err);
    pthread_mutex_lock(&s->lock);
    queue_park(&s->pending, key, rc == ERR_CONFLICT, clock_mono_us());
    pthread_mutex_unlock(&s->lock);
}

static int bind(struct scheduler *s, const json_t *pod, const char *node, struct err *err)
{
    json_auto_t *binding =
        json_pack("{ss ss s{ss ss ss} s{ss ss ss}}", "apiVersion", "v1", "kind", "Binding", "metadata",
                  "name", kube_name(pod), "namespace", kube_namespace(pod), "uid", kube_uid(pod), "target",
                  "apiVersion", "v1", "kind", "Node", "name", node);
    struct client_request request = {.verb = CLIENT_CREATE,
                                     .resource = kube_pods,
                                     .subresource = "binding",
                                     .namespace = kube_namespace(pod),
                                     .name = kube_name(pod),
                                     .body = binding};
    return client_do(s->client, &request, NULL, err);
}

static void bind_and_report(struct scheduler *s, const char *key, const json_t *pod, const char *node)
{
    struct err err = {0};
    int rc = bind(s, pod, node, &err);
    if (!rc)
        event_record_kind(s->events, "v1", "Pod", pod, EVENT_NORMAL, "Scheduled",
                          "Successfully assigned %s/%s to %s", kube_namespace(pod), kube_name(pod), node);
    else if (rc != ERR_NOT_FOUND && rc != ERR_CONFLICT)
        event_record_kind(s->events, "v1", "Pod", pod, EVENT_WARNING, "FailedScheduling",
                          "running Bind plugin: %s", err.message);
    pthread_mutex_lock(&s->lock);
    if (!rc) {
        queue_remove(&s->pending, key, kube_uid(pod));
    } else {
        sched_model_unassume(&s->model, key, kube_uid(pod));
        log_debug("scheduler", "binding %s to %s: %s", key, node, err.message);
        queue_park(&s->pending, key, true, clock_mono_us());
    }
    pthread_mutex_unlock(&s->lock);
}

static void forget(struct scheduler *s, const char *key)
{
    pthread_mutex_lock(&s->lock);
    queue_remove(&s->pending, key, NULL);
    pthread_mutex_unlock(&s->lock);
}

static void schedule(struct scheduler *s, const char *key)
{
    mem_auto char *parts = mem_strdup(key);
    const char *namespace, *name;
    kube_key_split(parts, &namespace, &name);
    json_auto_t *pod = NULL;
    struct err err = {0};
    int rc = client_get(s->client, &kube_pods, namespace, name, &pod, &err);
    if (rc == ERR_NOT_FOUND || (!rc && (!waits_for_us(pod) || *json_str_or_empty(pod, "spec", "nodeName")))) {
        forget(s, key);
        return;
    }
    pthread_mutex_lock(&s->lock);
    if (rc) {
        queue_park(&s->pending, key, true, clock_mono_us());
        pthread_mutex_unlock(&s->lock);
        return;
    }
    struct sched_decision decision;
    sched_decide(&decision, &s->model, pod);
    mem_auto char *node = decision.node ? mem_strdup(decision.node->name) : NULL;
    mem_auto char *message = decision.message;
    if (node)
        sched_model_assume(&s->model, pod, node);
    pthread_mutex_unlock(&s->lock);
    if (node)
        bind_and_report(s, key, pod, node);
    else
        report_unschedulable(s, key, pod, message);
}

/* The next pod to try; NULL at the end. The lock is held. */
static char *next_key(struct scheduler *s)
{
    while (!s->stopping) {
        int64_t due = INT64_MAX;
        char *key = s->pods_synced && s->nodes_synced ? queue_take(&s->pending, clock_mono_us(), &due) : NULL;
        if (key)
            return key;
        if (due == INT64_MAX) {
            pthread_cond_wait(&s->wake, &s->lock);
        } else {
            struct timespec until = {.tv_sec = due / 1000000, .tv_nsec = due % 1000000 * 1000};
            pthread_cond_timedwait(&s->wake, &s->lock, &until);
        }
    }
    return NULL;
}

static void *scheduler_thread(void *arg)
{
    struct scheduler *s = arg;
    pthread_mutex_lock(&s->lock);
    for (char *key; (key = next_key(s));) {
        uint64_t group = queue_group(&s->pending, key);
        pthread_mutex_unlock(&s->lock);
        client_await_settled(s->client, &s->stopping);
        bool ours = is_ours(s, group);
        if (ours)
            schedule(s, key);
        pthread_mutex_lock(&s->lock);
        if (!ours)
            queue_leave(&s->pending, key);
        free(key);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

static int start_thread(struct scheduler *s, struct err *err)
{
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, THREAD_STACK);
    int rc = pthread_create(&s->thread, &attr, scheduler_thread, s);
    pthread_attr_destroy(&attr);
    return rc ? err_set(err, ERR_INTERNAL, "cannot start the scheduler's thread") : 0;
}

static void scheduler_free(struct scheduler *s)
{
    event_recorder_free(s->events);
    sched_model_free(&s->model);
    queue_free(&s->pending);
    pthread_cond_destroy(&s->wake);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

int scheduler_start(struct scheduler **out, struct client *client, struct err *err)
{
    struct scheduler *s = mem_zalloc(sizeof(*s));
    s->client = client;
    s->events = event_recorder_new(client, SCHEDULER_NAME, NULL);
    sched_model_init(&s->model);
    pthread_mutex_init(&s->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->wake, &attr);
    pthread_condattr_destroy(&attr);
    int rc = start_thread(s, err);
    if (rc) {
        scheduler_free(s);
        return rc;
    }
    s->node_watch = client_watch_start(client, &kube_nodes, NULL, NULL, node_event, s);
    s->pod_watch = client_watch_start(client, &kube_pods, NULL, NULL, pod_event, s);
    client_on_members(client, members_changed, s);
    *out = s;
    return 0;
}

void scheduler_stop(struct scheduler *s)
{
    if (!s)
        return;
    client_on_members(s->client, NULL, NULL);
    client_watch_stop(s->pod_watch);
    client_watch_stop(s->node_watch);
    pthread_mutex_lock(&s->lock);
    s->stopping = true;
    wake(s);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    scheduler_free(s);
}
