/* See queue.h. A plain array: it is short unless the cluster is full, and then a pass over it is small
 * beside the decision that it leads to. */
#include "scheduler/queue.h"

#include "base/mem.h"
#include "client/kube.h"
#include "codec/json.h"
#include "scheduler/model.h"

#include <string.h>

static void pod_free(struct queue_pod *p)
{
    free(p->key);
    free(p);
}

void queue_free(struct queue *q)
{
    for (size_t i = 0; i < q->count; i++)
        pod_free(q->pods[i]);
    free(q->pods);
    *q = (struct queue){0};
}

static size_t find(const struct queue *q, const char *key)
{
    size_t i = 0;
    while (i < q->count && strcmp(q->pods[i]->key, key) != 0)
        i++;
    return i;
}

static uint64_t spec_digest(const json_t *pod)
{
    mem_auto char *spec = json_dumps(json_at(pod, "spec"), JSON_COMPACT);
    mem_auto char *labels = json_dumps(json_at(pod, "metadata", "labels"), JSON_COMPACT);
    return sched_digest(spec ? spec : "") * 31 + sched_digest(labels ? labels : "");
}

static uint64_t group_of(const json_t *pod, const char *key)
{
    const char *controller = json_str(kube_controller(pod), "uid");
    return sched_digest(controller ? controller : key);
}

void queue_set(struct queue *q, const json_t *pod, int64_t now_us)
{
    char key[KUBE_KEY_MAX];
    kube_key(key, pod);
    uint64_t spec = spec_digest(pod), group = group_of(pod, key);
    size_t i = find(q, key);
    if (i < q->count && q->pods[i]->uid != sched_digest(kube_uid(pod))) {
        queue_remove(q, key, NULL); /* another pod of that name */
        i = q->count;
    }
    if (i < q->count) {
        struct queue_pod *p = q->pods[i];
        if (p->spec != spec || p->group != group)
            p->due_us = now_us;
        p->spec = spec;
        p->group = group;
        return;
    }
    if (q->count == q->cap) {
        q->cap = q->cap ? q->cap * 2 : 16;
        q->pods = mem_reallocarray(q->pods, q->cap, sizeof(struct queue_pod *));
    }
    struct queue_pod *p = q->pods[q->count++] = mem_zalloc(sizeof(*p));
    p->key = mem_strdup(key);
    p->uid = sched_digest(kube_uid(pod));
    p->spec = spec;
    p->group = group;
    p->created_us = kube_created(pod);
    p->priority = (int)json_int_or(0, pod, "spec", "priority");
    p->due_us = now_us;
}

void queue_remove(struct queue *q, const char *key, const char *uid)
{
    size_t i = find(q, key);
    if (i == q->count || (uid && q->pods[i]->uid != sched_digest(uid)))
        return;
    pod_free(q->pods[i]);
    q->pods[i] = q->pods[--q->count];
}

static bool before(const struct queue_pod *a, const struct queue_pod *b)
{
    if (a->priority != b->priority)
        return a->priority > b->priority;
    if (a->created_us != b->created_us)
        return a->created_us < b->created_us;
    return strcmp(a->key, b->key) < 0;
}

char *queue_take(struct queue *q, int64_t now_us, int64_t *next_us)
{
    struct queue_pod *best = NULL;
    *next_us = INT64_MAX;
    for (size_t i = 0; i < q->count; i++) {
        struct queue_pod *p = q->pods[i];
        if (p->due_us > now_us)
            *next_us = p->due_us < *next_us ? p->due_us : *next_us;
        else if (!best || before(p, best))
            best = p;
    }
    if (!best)
        return NULL;
    best->tried_us = now_us;
    best->due_us = INT64_MAX;
    best->attempts++;
    return mem_strdup(best->key);
}

uint64_t queue_group(const struct queue *q, const char *key)
{
    size_t i = find(q, key);
    return i < q->count ? q->pods[i]->group : 0;
}

static int64_t backoff_us(int attempts)
{
    int64_t delay = QUEUE_BACKOFF_MIN_US;
    while (attempts-- > 1 && delay < QUEUE_BACKOFF_MAX_US)
        delay *= 2;
    return delay < QUEUE_BACKOFF_MAX_US ? delay : QUEUE_BACKOFF_MAX_US;
}

void queue_park(struct queue *q, const char *key, bool again, int64_t now_us)
{
    size_t i = find(q, key);
    /* If it changed, or something was freed, while it was being tried, it stays due. */
    if (i < q->count && again && q->pods[i]->due_us == INT64_MAX)
        q->pods[i]->due_us = now_us + backoff_us(q->pods[i]->attempts);
}

void queue_leave(struct queue *q, const char *key)
{
    size_t i = find(q, key);
    if (i == q->count)
        return;
    struct queue_pod *p = q->pods[i];
    if (p->due_us != INT64_MAX) /* woken meanwhile: whose it is has to be asked again */
        p->due_us = p->tried_us;
    p->attempts = 0;
}

void queue_wake(struct queue *q, int64_t now_us)
{
    for (size_t i = 0; i < q->count; i++) {
        struct queue_pod *p = q->pods[i];
        if (p->due_us != INT64_MAX)
            continue;
        int64_t due = p->attempts ? p->tried_us + backoff_us(p->attempts) : now_us;
        p->due_us = due > now_us ? due : now_us;
    }
}
