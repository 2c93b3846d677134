/* See replicaset_plan.h. The order of removal is that of k8s.io/kubernetes/pkg/controller/controller_utils.go
 * (ActivePodsWithRanks), with ages compared on a logarithmic scale. */
#include "controller/replicaset_plan.h"

#include "base/mem.h"
#include "base/timefmt.h"
#include "client/kube.h"
#include "codec/json.h"

#include <string.h>

struct ranked {
    json_t *pod;
    int phase; /* Pending < Unknown < Running */
    bool assigned, ready;
    int64_t cost;     /* controller.kubernetes.io/pod-deletion-cost */
    int neighbours;   /* active pods of the set on the same node */
    int ready_scale;  /* log2 of the time since it became ready */
    int64_t restarts; /* of its most restarted container */
    int age_scale;
    const char *name;
};

static int log_scale(int64_t from_us, int64_t now_us)
{
    int64_t seconds = from_us ? (now_us - from_us) / 1000000 : 0;
    int scale = 0;
    for (; seconds > 0; seconds >>= 1)
        scale++;
    return scale;
}

static int phase_rank(const json_t *pod)
{
    const char *phase = json_str_or_empty(pod, "status", "phase");
    return !strcmp(phase, "Running") ? 2 : !strcmp(phase, "Unknown") ? 1 : 0;
}

static int64_t most_restarts(const json_t *pod)
{
    int64_t most = 0;
    size_t i;
    json_t *status;
    json_array_foreach(json_at(pod, "status", "containerStatuses"), i, status)
    {
        int64_t count = json_int_or(0, status, "restartCount");
        if (count > most)
            most = count;
    }
    return most;
}

static int count_neighbours(const json_t *pods, const char *node)
{
    int count = 0;
    size_t i;
    json_t *pod;
    json_array_foreach(pods, i, pod)
    {
        if (*node && kube_pod_active(pod) && !strcmp(json_str_or_empty(pod, "spec", "nodeName"), node))
            count++;
    }
    return count;
}

static struct ranked rank_pod(json_t *pod, const json_t *pods, int64_t now_us)
{
    const char *node = json_str_or_empty(pod, "spec", "nodeName");
    const char *cost = kube_annotation(pod, "controller.kubernetes.io/pod-deletion-cost");
    bool ready = kube_pod_ready(pod);
    int64_t ready_at = kube_time(json_str(kube_condition(pod, "Ready"), "lastTransitionTime"));
    return (struct ranked){
        .pod = pod,
        .phase = phase_rank(pod),
        .assigned = *node,
        .ready = ready,
        .cost = cost ? strtoll(cost, NULL, 10) : 0,
        .neighbours = count_neighbours(pods, node),
        .ready_scale = ready ? log_scale(ready_at, now_us) : 0,
        .restarts = most_restarts(pod),
        .age_scale = log_scale(kube_created(pod), now_us),
        .name = kube_name(pod),
    };
}

#define PREFER_LESS(field)    \
    if (a->field != b->field) \
    return a->field < b->field ? -1 : 1
#define PREFER_MORE(field)    \
    if (a->field != b->field) \
    return a->field > b->field ? -1 : 1

static int compare_ranked(const void *x, const void *y)
{
    const struct ranked *a = x, *b = y;
    PREFER_LESS(assigned);
    PREFER_LESS(phase);
    PREFER_LESS(ready);
    PREFER_LESS(cost);
    PREFER_MORE(neighbours);
    PREFER_LESS(ready_scale);
    PREFER_MORE(restarts);
    PREFER_LESS(age_scale);
    return strcmp(a->name, b->name);
}

static json_t *choose_removals(const json_t *pods, int count, int64_t now_us)
{
    struct ranked *ranked = mem_calloc(json_array_size(pods), sizeof(*ranked));
    size_t n = 0, i;
    json_t *pod;
    json_array_foreach(pods, i, pod)
    {
        if (kube_pod_active(pod))
            ranked[n++] = rank_pod(pod, pods, now_us);
    }
    qsort(ranked, n, sizeof(*ranked), compare_ranked);
    json_t *chosen = json_array();
    for (i = 0; i < n && i < (size_t)count; i++)
        json_array_append(chosen, ranked[i].pod);
    free(ranked);
    return chosen;
}

void replicaset_plan(struct replicaset_plan *out, const json_t *rs, const json_t *pods, int64_t now_us)
{
    *out = (struct replicaset_plan){0};
    if (kube_deleting(rs))
        return;
    int64_t want = json_int_or(1, rs, "spec", "replicas");
    int64_t have = 0;
    size_t i;
    json_t *pod;
    json_array_foreach(pods, i, pod) have += kube_pod_active(pod);
    int64_t diff = want - have;
    if (diff > REPLICASET_BURST)
        diff = REPLICASET_BURST;
    if (diff < -REPLICASET_BURST)
        diff = -REPLICASET_BURST;
    if (diff > 0)
        out->create = (int)diff;
    else if (diff < 0)
        out->remove = choose_removals(pods, (int)-diff, now_us);
}

int replicaset_next_batch(int batch, int left)
{
    int next = batch ? batch * 2 : 1;
    return next < left ? next : left;
}

json_t *replicaset_pod(const json_t *rs)
{
    const json_t *template = json_at(rs, "spec", "template");
    json_t *meta = json_object();
    static const char *const copied[] = {"labels", "annotations", "finalizers"};
    for (size_t i = 0; i < sizeof(copied) / sizeof(copied[0]); i++) {
        json_t *value = json_at(template, "metadata", copied[i]);
        if (value)
            json_object_set_new(meta, copied[i], json_deep_copy(value));
    }
    mem_auto char *prefix = mem_printf("%s-", kube_name(rs));
    json_set_str(meta, "generateName", prefix);
    json_set_str(meta, "namespace", kube_namespace(rs));
    json_object_set_new(meta, "ownerReferences",
                        json_pack("[o]", kube_controller_ref("apps/v1", "ReplicaSet", rs)));
    return json_pack("{ss ss so so}", "apiVersion", "v1", "kind", "Pod", "metadata", meta, "spec",
                     json_deep_copy(json_at(template, "spec")));
}

struct counts {
    int64_t active, labeled, ready, available, terminating;
};

static bool has_labels(const json_t *object, const json_t *labels)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)labels, name, value)
    {
        const char *have = kube_label(object, name);
        if (!have || strcmp(have, json_string_value(value)) != 0)
            return false;
    }
    return true;
}

static struct counts count_pods(const json_t *rs, const json_t *pods, int64_t now_us, int64_t *due_us)
{
    struct counts n = {0};
    int64_t min_ready_us = json_int_or(0, rs, "spec", "minReadySeconds") * 1000000;
    size_t i;
    json_t *pod;
    json_array_foreach(pods, i, pod)
    {
        if (kube_deleting(pod) && !kube_pod_terminal(pod))
            n.terminating++;
        if (!kube_pod_active(pod))
            continue;
        n.active++;
        n.labeled += has_labels(pod, json_at(rs, "spec", "template", "metadata", "labels"));
        n.ready += kube_pod_ready(pod);
        int64_t due;
        n.available += kube_pod_available(pod, min_ready_us, now_us, &due);
        if (due && (!*due_us || due < *due_us))
            *due_us = due;
    }
    return n;
}

/* The conditions of rs without ReplicaFailure, or with the one that there is if its reason has not changed.
 */
static json_t *status_conditions(const json_t *rs, const char *reason, const char *message, int64_t now_us)
{
    json_t *conditions = json_array();
    json_t *old = NULL;
    size_t i;
    json_t *condition;
    json_array_foreach(json_at(rs, "status", "conditions"), i, condition)
    {
        if (!strcmp(json_str_or_empty(condition, "type"), "ReplicaFailure"))
            old = condition;
        else
            json_array_append(conditions, condition);
    }
    if (!reason)
        return conditions;
    if (old && !strcmp(json_str_or_empty(old, "reason"), reason)) {
        json_array_append(conditions, old);
        return conditions;
    }
    char now[TIMEFMT_MAX];
    timefmt_seconds(now, now_us / 1000000);
    json_array_append_new(conditions,
                          json_pack("{ss ss ss ss ss}", "type", "ReplicaFailure", "status", "True",
                                    "lastTransitionTime", now, "reason", reason, "message", message));
    return conditions;
}

json_t *replicaset_status(const json_t *rs, const json_t *pods, const char *failure_reason,
                          const char *message, int64_t now_us, int64_t *due_us)
{
    *due_us = 0;
    struct counts n = count_pods(rs, pods, now_us, due_us);
    json_t *status = json_pack("{sI}", "replicas", (json_int_t)n.active);
    if (n.labeled)
        json_set_int(status, "fullyLabeledReplicas", n.labeled);
    if (n.ready)
        json_set_int(status, "readyReplicas", n.ready);
    if (n.available)
        json_set_int(status, "availableReplicas", n.available);
    json_set_int(status, "terminatingReplicas", n.terminating);
    json_set_int(status, "observedGeneration", json_int_or(0, rs, "metadata", "generation"));
    json_t *conditions = status_conditions(rs, failure_reason, message, now_us);
    if (json_array_size(conditions))
        json_object_set(status, "conditions", conditions);
    json_decref(conditions);
    return status;
}
