/*
 * Which of the nodes that fit is best; see decide.h. Integers only, each score from 0 to 100, with the
 * weights of Kubernetes: fewer untolerated preferences of taints 3, preferred node affinity 2, spreading the
 * pods of one controller 2, least allocated 1, balanced allocation 1. Of equals, a digest of pod and node
 * decides, so that the choice is the same everywhere and yet spreads.
 */
#include "scheduler/decide.h"

#include "base/mem.h"
#include "client/kube.h"
#include "codec/json.h"

#include <string.h>

#define SCORE_MAX 100

static int64_t untolerated_preferences(const struct sched_node *node, const json_t *pod)
{
    int64_t n = 0;
    size_t i, j;
    json_t *taint, *toleration;
    json_array_foreach(node->taints, i, taint)
    {
        if (strcmp(json_str_or_empty(taint, "effect"), "PreferNoSchedule") != 0)
            continue;
        bool tolerated = false;
        json_array_foreach(json_at(pod, "spec", "tolerations"), j, toleration) tolerated |=
            kube_tolerates(toleration, taint);
        n += !tolerated;
    }
    return n;
}

static int64_t preferred_weight(const struct sched_node *node, const json_t *pod)
{
    int64_t sum = 0;
    size_t i;
    json_t *preference;
    json_array_foreach(
        json_at(pod, "spec", "affinity", "nodeAffinity", "preferredDuringSchedulingIgnoredDuringExecution"),
        i, preference)
    {
        if (sched_term_matches(node, json_object_get(preference, "preference")))
            sum += json_int_or(0, preference, "weight");
    }
    return sum;
}

/* Room that is left, of 100. */
static int64_t least_requested(int64_t requested, int64_t capacity)
{
    if (capacity <= 0 || requested > capacity)
        return 0;
    /* Scaled down, so that no product of bytes overflows. */
    while (capacity > INT64_MAX / (2 * SCORE_MAX)) {
        capacity >>= 1;
        requested >>= 1;
    }
    return (capacity - requested) * SCORE_MAX / capacity;
}

static int64_t least_allocated(const struct sched_node *node, const struct sched_pod *facts)
{
    int64_t cpu =
        least_requested(node->score_cpu_milli + facts->score_cpu_milli, node->allocatable.cpu_milli);
    int64_t memory = least_requested(node->score_memory + facts->score_memory, node->allocatable.memory);
    return (cpu + memory) / 2;
}

static int64_t balanced(const struct sched_node *node, const struct sched_pod *facts)
{
    int64_t cpu = SCORE_MAX - least_requested(node->requested.cpu_milli + facts->requests.cpu_milli,
                                              node->allocatable.cpu_milli);
    int64_t memory = SCORE_MAX - least_requested(node->requested.memory + facts->requests.memory,
                                                 node->allocatable.memory);
    return SCORE_MAX - (cpu > memory ? cpu - memory : memory - cpu) / 2;
}

struct siblings {
    const struct sched_node *const *nodes;
    size_t count;
    uint64_t controller;
    int64_t *pods; /* of that controller, by node */
};

static bool count_sibling(void *arg, const struct sched_pod *p)
{
    struct siblings *s = arg;
    if (p->controller != s->controller)
        return true;
    for (size_t i = 0; i < s->count; i++)
        s->pods[i] += !strcmp(s->nodes[i]->name, p->node);
    return true;
}

/* Adds weight * 100 for the highest value down to 0 for none; reverse: for the lowest. */
static void add_normalized(int64_t *scores, const int64_t *values, size_t n, int64_t weight, bool reverse)
{
    int64_t most = 0;
    for (size_t i = 0; i < n; i++)
        most = values[i] > most ? values[i] : most;
    if (most == 0)
        return;
    for (size_t i = 0; i < n; i++) {
        int64_t score = values[i] * SCORE_MAX / most;
        scores[i] += weight * (reverse ? SCORE_MAX - score : score);
    }
}

static uint64_t tie_break(const struct sched_pod *facts, const struct sched_node *node)
{
    mem_auto char *text = mem_printf("%s %s", facts->uid, node->name);
    uint64_t h = sched_digest(text);
    h ^= h >> 33;
    h *= 0xff51afd7ed558ccdULL;
    return h ^ (h >> 33);
}

const struct sched_node *sched_best(const struct sched_model *model, const json_t *pod,
                                    const struct sched_pod *facts, const struct sched_node *const *nodes,
                                    size_t n)
{
    if (n == 1)
        return nodes[0];
    mem_auto int64_t *scores = mem_calloc(n, sizeof(*scores));
    mem_auto int64_t *taints = mem_calloc(n, sizeof(*taints));
    mem_auto int64_t *preferred = mem_calloc(n, sizeof(*preferred));
    struct siblings siblings = {nodes, n, facts->controller, mem_calloc(n, sizeof(int64_t))};
    for (size_t i = 0; i < n; i++) {
        taints[i] = untolerated_preferences(nodes[i], pod);
        preferred[i] = preferred_weight(nodes[i], pod);
        scores[i] = least_allocated(nodes[i], facts) + balanced(nodes[i], facts);
    }
    if (facts->controller)
        sched_model_each_pod(model, count_sibling, &siblings);
    add_normalized(scores, taints, n, 3, true);
    add_normalized(scores, preferred, n, 2, false);
    add_normalized(scores, siblings.pods, n, 2, true);
    free(siblings.pods);
    size_t best = 0;
    for (size_t i = 1; i < n; i++) {
        if (scores[i] > scores[best] ||
            (scores[i] == scores[best] && tie_break(facts, nodes[i]) < tie_break(facts, nodes[best])))
            best = i;
    }
    return nodes[best];
}
