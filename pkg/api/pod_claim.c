/* What a pod takes of a node, and what a node has: the claims that the chain checks a binding by. */
#include "api/pod_claim.h"

#include "codec/json.h"
#include "object/quantity.h"

#include <string.h>

struct amounts {
    int64_t cpu_milli;
    int64_t memory_bytes;
};

static struct amounts read_amounts(const json_t *list)
{
    struct amounts a = {0, 0};
    const char *cpu = json_str(list, "cpu");
    const char *memory = json_str(list, "memory");
    if (cpu)
        quantity_milli(cpu, &a.cpu_milli);
    if (memory)
        quantity_value(memory, &a.memory_bytes);
    return a;
}

static int64_t add_saturating(int64_t a, int64_t b)
{
    int64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

static void add(struct amounts *to, struct amounts more)
{
    to->cpu_milli = add_saturating(to->cpu_milli, more.cpu_milli);
    to->memory_bytes = add_saturating(to->memory_bytes, more.memory_bytes);
}

static void raise_to(struct amounts *to, struct amounts at_least)
{
    if (to->cpu_milli < at_least.cpu_milli)
        to->cpu_milli = at_least.cpu_milli;
    if (to->memory_bytes < at_least.memory_bytes)
        to->memory_bytes = at_least.memory_bytes;
}

/* Containers run beside each other and beside the sidecars (init containers that are always restarted); the
 * other init containers run one after the other, each beside the sidecars started before it (KEP-753). */
static struct amounts pod_amounts(const json_t *spec)
{
    struct amounts running = {0, 0}, peak = {0, 0}, sidecars = {0, 0};
    size_t i;
    const json_t *container;
    json_array_foreach(json_object_get(spec, "containers"), i, container)
        add(&running, read_amounts(json_at(container, "resources", "requests")));
    json_array_foreach(json_object_get(spec, "initContainers"), i, container)
    {
        struct amounts own = read_amounts(json_at(container, "resources", "requests"));
        if (!strcmp(json_str_or_empty(container, "restartPolicy"), "Always")) {
            add(&sidecars, own);
            own = sidecars;
        } else {
            add(&own, sidecars);
        }
        raise_to(&peak, own);
    }
    add(&running, sidecars);
    raise_to(&running, peak);
    const json_t *whole = json_at(spec, "resources", "requests");
    struct amounts pod = read_amounts(whole);
    if (json_object_get(whole, "cpu"))
        running.cpu_milli = pod.cpu_milli;
    if (json_object_get(whole, "memory"))
        running.memory_bytes = pod.memory_bytes;
    add(&running, read_amounts(json_object_get(spec, "overhead")));
    return running;
}

bool pod_claim(const json_t *pod, struct tx_claim *out)
{
    *out = (struct tx_claim){0};
    const char *node = json_str_or_empty(pod, "spec", "nodeName");
    const char *phase = json_str_or_empty(pod, "status", "phase");
    if (!*node || !strcmp(phase, "Succeeded") || !strcmp(phase, "Failed"))
        return false;
    struct amounts a = pod_amounts(json_object_get(pod, "spec"));
    *out =
        (struct tx_claim){.node = node, .cpu_milli = a.cpu_milli, .memory_bytes = a.memory_bytes, .pods = 1};
    return true;
}

bool node_claim(const json_t *node, struct tx_claim *out)
{
    *out = (struct tx_claim){0};
    const json_t *allocatable = json_at(node, "status", "allocatable");
    if (!json_object_size(allocatable))
        return false;
    struct amounts a = read_amounts(allocatable);
    *out = (struct tx_claim){.node = json_str_or_empty(node, "metadata", "name"),
                             .cpu_milli = a.cpu_milli,
                             .memory_bytes = a.memory_bytes};
    const char *pods = json_str(allocatable, "pods");
    if (pods)
        quantity_value(pods, &out->pods);
    return true;
}
