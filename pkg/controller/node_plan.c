/* See node_plan.h. Keys and words are those of k8s.io/kubernetes/pkg/controller/nodelifecycle and
 * tainteviction. */
#include "controller/node_plan.h"

#include "base/timefmt.h"
#include "client/kube.h"
#include "codec/json.h"

#include <string.h>

struct condition_taint {
    const char *type;
    const char *status;
    const char *key;
    bool evicts;
};

static const struct condition_taint condition_taints[] = {
    {"Ready", "False", "node.kubernetes.io/not-ready", true},
    {"Ready", "Unknown", "node.kubernetes.io/unreachable", true},
    {"MemoryPressure", "True", "node.kubernetes.io/memory-pressure", false},
    {"DiskPressure", "True", "node.kubernetes.io/disk-pressure", false},
    {"NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable", false},
    {"PIDPressure", "True", "node.kubernetes.io/pid-pressure", false},
};
#define CONDITION_TAINT_COUNT (sizeof(condition_taints) / sizeof(condition_taints[0]))
#define UNSCHEDULABLE "node.kubernetes.io/unschedulable"

static bool taint_is(const json_t *taint, const char *key, const char *effect)
{
    return !strcmp(json_str_or_empty(taint, "key"), key) &&
           !strcmp(json_str_or_empty(taint, "effect"), effect);
}

static bool taint_is_managed(const json_t *taint)
{
    if (taint_is(taint, UNSCHEDULABLE, "NoSchedule"))
        return true;
    for (size_t i = 0; i < CONDITION_TAINT_COUNT; i++) {
        const struct condition_taint *c = &condition_taints[i];
        if (taint_is(taint, c->key, "NoSchedule") || (c->evicts && taint_is(taint, c->key, "NoExecute")))
            return true;
    }
    return false;
}

/* Adds a taint, with the time that it has already if the node has it. */
static void add_taint(json_t *taints, const json_t *old, const char *key, const char *effect, int64_t now_us)
{
    size_t i;
    json_t *taint;
    json_array_foreach(old, i, taint)
    {
        if (taint_is(taint, key, effect)) {
            json_array_append(taints, taint);
            return;
        }
    }
    char now[TIMEFMT_MAX];
    timefmt_seconds(now, now_us / 1000000);
    json_array_append_new(taints, json_pack("{ss ss ss}", "key", key, "effect", effect, "timeAdded", now));
}

json_t *node_taints(const json_t *node, int64_t now_us)
{
    const json_t *old = json_at(node, "spec", "taints");
    json_t *taints = json_array();
    size_t i;
    json_t *taint;
    json_array_foreach(old, i, taint)
    {
        if (!taint_is_managed(taint))
            json_array_append(taints, taint);
    }
    for (i = 0; i < CONDITION_TAINT_COUNT; i++) {
        const struct condition_taint *c = &condition_taints[i];
        if (strcmp(kube_condition_status(node, c->type), c->status) != 0)
            continue;
        add_taint(taints, old, c->key, "NoSchedule", now_us);
        if (c->evicts)
            add_taint(taints, old, c->key, "NoExecute", now_us);
    }
    if (json_bool_at(node, "spec", "unschedulable"))
        add_taint(taints, old, UNSCHEDULABLE, "NoSchedule", now_us);
    return taints;
}

json_t *node_lost_status(const json_t *node, int64_t now_us)
{
    static const char *const types[] = {"Ready", "MemoryPressure", "DiskPressure", "PIDPressure"};
    char now[TIMEFMT_MAX];
    timefmt_seconds(now, now_us / 1000000);
    json_t *status = json_deep_copy(json_at(node, "status"));
    if (!status)
        status = json_object();
    json_t *conditions = json_array_ensure(status, "conditions");
    for (size_t t = 0; t < sizeof(types) / sizeof(types[0]); t++) {
        json_t *found = NULL;
        size_t i;
        json_t *condition;
        json_array_foreach(conditions, i, condition)
        {
            if (!strcmp(json_str_or_empty(condition, "type"), types[t]))
                found = condition;
        }
        if (found && !strcmp(json_str_or_empty(found, "status"), "Unknown"))
            continue;
        bool never = !found;
        if (never) {
            found = json_pack("{ss}", "type", types[t]);
            json_array_append_new(conditions, found);
        }
        json_set_str(found, "status", "Unknown");
        json_set_str(found, "lastTransitionTime", now);
        json_set_str(found, "reason", never ? "NodeStatusNeverUpdated" : "NodeStatusUnknown");
        json_set_str(found, "message",
                     never ? "Kubelet never posted node status." : "Kubelet stopped posting node status.");
    }
    return status;
}

int64_t taint_eviction_us(const json_t *taints, const json_t *pod, int64_t now_us)
{
    int64_t due_us = INT64_MAX;
    size_t i, j;
    json_t *taint, *toleration;
    json_array_foreach(taints, i, taint)
    {
        if (strcmp(json_str_or_empty(taint, "effect"), "NoExecute") != 0)
            continue;
        bool tolerated = false;
        int64_t since = kube_time(json_str(taint, "timeAdded"));
        json_array_foreach(json_at(pod, "spec", "tolerations"), j, toleration)
        {
            if (!kube_tolerates(toleration, taint))
                continue;
            tolerated = true;
            json_t *seconds = json_object_get(toleration, "tolerationSeconds");
            if (!json_is_integer(seconds))
                continue;
            int64_t left = json_integer_value(seconds) > 0 ? json_integer_value(seconds) : 0;
            int64_t due = (since ? since : now_us) + left * 1000000;
            due_us = due < due_us ? due : due_us;
        }
        if (!tolerated)
            return 0;
    }
    return due_us;
}
