/* DefaultTolerationSeconds, Priority, and the class of service that a pod's resources give it. */
#include "api/verbs_internal.h"

#include "object/quantity.h"

#define TOLERATION_SECONDS 300

static bool tolerates(const json_t *spec, const char *taint)
{
    size_t i;
    const json_t *toleration;
    json_array_foreach(json_object_get(spec, "tolerations"), i, toleration)
    {
        const char *key = json_str_or_empty(toleration, "key");
        const char *effect = json_str_or_empty(toleration, "effect");
        if ((!*key || !strcmp(key, taint)) && (!*effect || !strcmp(effect, "NoExecute")))
            return true;
    }
    return false;
}

static void add_tolerations(json_t *spec)
{
    static const char *const taints[] = {"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"};
    for (size_t i = 0; i < sizeof(taints) / sizeof(*taints); i++)
        if (!tolerates(spec, taints[i]))
            json_array_append_new(json_array_ensure(spec, "tolerations"),
                                  json_pack("{s:s, s:s, s:s, s:i}", "key", taints[i], "operator", "Exists",
                                            "effect", "NoExecute", "tolerationSeconds", TOLERATION_SECONDS));
}

static int set_priority(struct api_call *call, json_t *pod, json_t *spec)
{
    static const struct {
        const char *name;
        int64_t priority;
    } classes[] = {{"", 0}, {"system-cluster-critical", 2000000000}, {"system-node-critical", 2000001000}};
    const char *pod_name = json_str_or_empty(pod, "metadata", "name");
    const char *name = json_str_or_empty(spec, "priorityClassName");
    for (size_t i = 0; i < sizeof(classes) / sizeof(*classes); i++) {
        if (strcmp(classes[i].name, name) != 0)
            continue;
        const json_t *given = json_object_get(spec, "priority");
        if (json_is_integer(given) && json_integer_value(given) != classes[i].priority)
            return call_forbidden(
                call, pod_name,
                "the integer value of priority (%lld) must not be provided in pod spec; priority "
                "admission controller computed %lld from the given PriorityClass name",
                (long long)json_integer_value(given), (long long)classes[i].priority);
        json_set_int(spec, "priority", classes[i].priority);
        if (!json_object_get(spec, "preemptionPolicy"))
            json_set_str(spec, "preemptionPolicy", "PreemptLowerPriority");
        return 0;
    }
    return call_forbidden(call, pod_name, "no PriorityClass with name %s was found", name);
}

int admission_pod(struct api_call *call, json_t *pod)
{
    json_t *spec = json_object_ensure(pod, "spec");
    add_tolerations(spec);
    return set_priority(call, pod, spec);
}

struct qos {
    bool any;        /* some request or limit */
    bool guaranteed; /* all containers limit cpu and memory, and request just that */
};

static void weigh(const json_t *container, struct qos *qos)
{
    static const char *const resources[] = {"cpu", "memory"};
    for (size_t i = 0; i < sizeof(resources) / sizeof(*resources); i++) {
        const char *request = json_str(container, "resources", "requests", resources[i]);
        const char *limit = json_str(container, "resources", "limits", resources[i]);
        int64_t requested = 0, limited = 0;
        if (request)
            quantity_milli(request, &requested);
        if (limit)
            quantity_milli(limit, &limited);
        qos->any |= requested > 0 || limited > 0;
        if (!limited || (request && requested != limited))
            qos->guaranteed = false;
    }
}

/* Kubernetes' "Pod Quality of Service Classes". */
const char *pod_qos_class(const json_t *pod)
{
    static const char *const lists[] = {"containers", "initContainers"};
    struct qos qos = {.guaranteed = true};
    for (size_t l = 0; l < sizeof(lists) / sizeof(*lists); l++) {
        size_t i;
        const json_t *container;
        json_array_foreach(json_at(pod, "spec", lists[l]), i, container) weigh(container, &qos);
    }
    return !qos.any ? "BestEffort" : qos.guaranteed ? "Guaranteed" : "Burstable";
}
