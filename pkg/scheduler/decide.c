/* See decide.h. Texts are those of k8s.io/kubernetes/pkg/scheduler/framework, for users search for them. */
#include "scheduler/decide.h"

#include "base/buf.h"
#include "base/mem.h"
#include "client/kube.h"
#include "codec/json.h"

#include <stdlib.h>
#include <string.h>

#define PREEMPT_NONE "No preemption victims found for incoming pod"
#define PREEMPT_USELESS "Preemption is not helpful for scheduling"

/* Why nodes were refused: text to how many nodes; and what could be said of taking pods away from them. */
struct refusals {
    json_t *reasons;
    json_t *preemption;
};

static void count(json_t *histogram, const char *text)
{
    json_set_int(histogram, text, json_int_or(0, histogram, text) + 1);
}

static bool tolerates_all(const json_t *taints, const json_t *pod)
{
    size_t i, j;
    json_t *taint, *toleration;
    json_array_foreach(taints, i, taint)
    {
        const char *effect = json_str_or_empty(taint, "effect");
        if (strcmp(effect, "NoSchedule") != 0 && strcmp(effect, "NoExecute") != 0)
            continue;
        bool tolerated = false;
        json_array_foreach(json_at(pod, "spec", "tolerations"), j, toleration) tolerated |=
            kube_tolerates(toleration, taint);
        if (!tolerated)
            return false;
    }
    return true;
}

/* A cordon is a taint by another name, and can be tolerated as that. */
static bool tolerates_cordon(const json_t *pod)
{
    json_auto_t *taints =
        json_pack("[{ss ss}]", "key", "node.kubernetes.io/unschedulable", "effect", "NoSchedule");
    return tolerates_all(taints, pod);
}

/* The address of any interface conflicts with each address. */
static bool ports_free(const struct sched_node *node, const struct sched_pod *facts)
{
    size_t i;
    json_t *want;
    json_array_foreach(facts->ports, i, want)
    {
        char protocol[16], address[64], used_protocol[16], used_address[64];
        int port, used_port;
        if (sscanf(json_string_value(want), "%15s %63s %d", protocol, address, &port) != 3)
            continue;
        const char *used;
        json_t *users;
        json_object_foreach(node->ports, used, users)
        {
            if (sscanf(used, "%15s %63s %d", used_protocol, used_address, &used_port) != 3)
                continue;
            bool same_address = !strcmp(address, used_address) || !strcmp(address, "0.0.0.0") ||
                                !strcmp(used_address, "0.0.0.0");
            if (port == used_port && same_address && !strcmp(protocol, used_protocol))
                return false;
        }
    }
    return true;
}

/* Notes one resource that is short; without it even an empty node would not do. */
static void short_of(struct refusals *r, const char *name, int64_t want, int64_t used, int64_t have,
                     bool *any, bool *resolvable)
{
    if (want <= 0 || want <= have - used)
        return;
    mem_auto char *text = mem_printf("Insufficient %s", name);
    count(r->reasons, text);
    *any = true;
    if (want > have)
        *resolvable = false;
}

static bool resources_fit(struct refusals *r, const struct sched_node *node, const struct sched_pod *facts,
                          bool *resolvable)
{
    const struct sched_resources *want = &facts->requests, *used = &node->requested,
                                 *have = &node->allocatable;
    bool any = false;
    *resolvable = true;
    if (node->pod_count + 1 > node->allocatable_pods) {
        count(r->reasons, "Too many pods");
        any = true;
    }
    short_of(r, "cpu", want->cpu_milli, used->cpu_milli, have->cpu_milli, &any, resolvable);
    short_of(r, "memory", want->memory, used->memory, have->memory, &any, resolvable);
    short_of(r, "ephemeral-storage", want->ephemeral, used->ephemeral, have->ephemeral, &any, resolvable);
    const char *name;
    json_t *value;
    json_object_foreach(want->extended, name, value)
        short_of(r, name, json_integer_value(value), json_int_or(0, used->extended, name),
                 json_int_or(0, have->extended, name), &any, resolvable);
    return !any;
}

/* The first filter that refuses a node is the one that is told. */
static bool node_fits(struct refusals *r, const struct sched_node *node, const json_t *pod,
                      const struct sched_pod *facts, const struct sched_topology *topology)
{
    const char *reason = NULL;
    bool resolvable = false;
    if (node->unschedulable && !tolerates_cordon(pod))
        reason = "node(s) were unschedulable";
    else if (!tolerates_all(node->taints, pod))
        reason = "node(s) had untolerated taint(s)";
    else if (!sched_node_selected(node, pod))
        reason = "node(s) didn't match Pod's node affinity/selector";
    else if ((resolvable = !ports_free(node, facts)))
        reason = "node(s) didn't have free ports for the requested pod ports";
    else if (resources_fit(r, node, facts, &resolvable)) {
        reason = sched_topology_refuses(topology, node, &resolvable);
        if (!reason)
            return true;
    }
    if (reason)
        count(r->reasons, reason);
    count(r->preemption, resolvable ? PREEMPT_NONE : PREEMPT_USELESS);
    return false;
}

static int compare_texts(const void *x, const void *y)
{
    return strcmp(*(char *const *)x, *(char *const *)y);
}

/* "0/3 nodes are available: 1 Insufficient cpu, 2 …." The reasons are sorted as texts, numbers included. */
static void append_histogram(struct buf *out, const json_t *histogram, size_t nodes)
{
    size_t n = 0;
    mem_auto char **lines = mem_calloc(json_object_size(histogram), sizeof(char *));
    const char *text;
    json_t *value;
    json_object_foreach((json_t *)histogram, text, value) lines[n++] =
        mem_printf("%lld %s", (long long)json_integer_value(value), text);
    qsort(lines, n, sizeof(char *), compare_texts);
    buf_printf(out, "0/%zu nodes are available: ", nodes);
    for (size_t i = 0; i < n; i++) {
        buf_printf(out, "%s%s", i ? ", " : "", lines[i]);
        free(lines[i]);
    }
    buf_putc(out, '.');
}

static char *refusal_message(const struct refusals *r, size_t nodes)
{
    struct buf text = BUF_INIT;
    append_histogram(&text, r->reasons, nodes);
    /* Kubernetes looks for resource claims to take back before pods; there are none here. */
    buf_puts(&text, " no new claims to deallocate, preemption: ");
    append_histogram(&text, r->preemption, nodes);
    return buf_steal(&text);
}

void sched_decide(struct sched_decision *out, const struct sched_model *model, const json_t *pod)
{
    *out = (struct sched_decision){0};
    if (model->node_count == 0) {
        out->message = mem_strdup("no nodes available to schedule pods");
        return;
    }
    struct refusals refusals = {json_object(), json_object()};
    struct sched_pod *facts = sched_pod_new(pod);
    struct sched_topology *topology = sched_topology_new(model, pod);
    mem_auto const struct sched_node **fitting = mem_calloc(model->node_count, sizeof(struct sched_node *));
    size_t n = 0;
    for (size_t i = 0; i < model->node_count; i++) {
        if (node_fits(&refusals, model->nodes[i], pod, facts, topology))
            fitting[n++] = model->nodes[i];
    }
    if (n > 0)
        out->node = sched_best(model, pod, facts, fitting, n);
    else
        out->message = refusal_message(&refusals, model->node_count);
    sched_topology_free(topology);
    sched_pod_free(facts);
    json_decref(refusals.reasons);
    json_decref(refusals.preemption);
}
