/*
 * The columns of pods. READY, STATUS and RESTARTS come from one pass over the container statuses, with
 * Kubernetes' precedence: the phase, then what the init containers are doing, then the containers from the
 * last to the first, then deletion.
 */
#include "object/table_internal.h"

#include "base/timefmt.h"
#include "codec/json.h"

#include <stdio.h>
#include <string.h>

#define REASON_MAX 192

struct pod_summary {
    int total;
    int ready;
    int64_t restarts;
    const json_t *last_restart; /* the time of the newest restart; NULL: none known */
    bool initializing;
    bool running;            /* a container is ready and running */
    char reason[REASON_MAX]; /* the STATUS column */
    char failure[REASON_MAX];
};

static void set_reason(char reason[REASON_MAX], const char *prefix, const char *text)
{
    snprintf(reason, REASON_MAX, "%s%s", prefix, text);
}

static bool is_restartable(const json_t *init_container)
{
    return strcmp(json_str_or_empty(init_container, "restartPolicy"), "Always") == 0;
}

static const json_t *named(const json_t *list, const char *name)
{
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        if (strcmp(json_str_or_empty(item, "name"), name) == 0)
            return item;
    }
    return NULL;
}

static bool is_later(const json_t *time, const json_t *than)
{
    int64_t a, b;
    if (!json_is_string(time) || !timefmt_parse(json_string_value(time), &a))
        return false;
    return !than || !timefmt_parse(json_string_value(than), &b) || a > b;
}

static void count_restarts(const json_t *status, int64_t *restarts, const json_t **last)
{
    *restarts += json_int_or(0, status, "restartCount");
    const json_t *finished = json_at(status, "lastState", "terminated", "finishedAt");
    if (is_later(finished, *last))
        *last = finished;
}

/* "Completed", "Signal:9" or "ExitCode:1" of a terminated state, behind prefix. */
static void terminated_reason(char reason[REASON_MAX], const char *prefix, const json_t *terminated)
{
    const char *text = json_str_or_empty(terminated, "reason");
    int64_t signal = json_int_or(0, terminated, "signal");
    if (*text)
        set_reason(reason, prefix, text);
    else if (signal)
        snprintf(reason, REASON_MAX, "%sSignal:%lld", prefix, (long long)signal);
    else
        snprintf(reason, REASON_MAX, "%sExitCode:%lld", prefix,
                 (long long)json_int_or(0, terminated, "exitCode"));
}

/* Returns true when this init container is what the pod waits for. */
static bool init_container_blocks(struct pod_summary *sum, const json_t *status, bool restartable,
                                  size_t index, size_t count)
{
    const json_t *terminated = json_at(status, "state", "terminated");
    const char *waiting = json_str_or_empty(status, "state", "waiting", "reason");
    if (terminated && json_int_or(0, terminated, "exitCode") == 0)
        return false;
    if (restartable && json_bool_at(status, "started")) {
        sum->ready += json_bool_at(status, "ready");
        return false;
    }
    if (terminated)
        terminated_reason(sum->reason, "Init:", terminated);
    else if (*waiting && strcmp(waiting, "PodInitializing") != 0)
        set_reason(sum->reason, "Init:", waiting);
    else
        snprintf(sum->reason, REASON_MAX, "Init:%zu/%zu", index, count);
    return true;
}

/* Leaves in sidecar_* what restartable init containers contribute once the pod is initialized. */
static void summarize_init(struct pod_summary *sum, const json_t *pod, int64_t *sidecar_restarts,
                           const json_t **sidecar_last)
{
    const json_t *specs = json_at(pod, "spec", "initContainers");
    size_t i;
    json_t *item;
    json_array_foreach(specs, i, item) sum->total += is_restartable(item);
    json_array_foreach(json_at(pod, "status", "initContainerStatuses"), i, item)
    {
        bool restartable = is_restartable(named(specs, json_str_or_empty(item, "name")));
        count_restarts(item, &sum->restarts, &sum->last_restart);
        if (restartable)
            count_restarts(item, sidecar_restarts, sidecar_last);
        if (init_container_blocks(sum, item, restartable, i, json_array_size(specs))) {
            sum->initializing = true;
            break;
        }
    }
}

static void summarize_container(struct pod_summary *sum, const json_t *status)
{
    const char *waiting = json_str_or_empty(status, "state", "waiting", "reason");
    const json_t *terminated = json_at(status, "state", "terminated");
    count_restarts(status, &sum->restarts, &sum->last_restart);
    if (*waiting) {
        set_reason(sum->reason, "", waiting);
    } else if (terminated) {
        terminated_reason(sum->reason, "", terminated);
        if (json_int_or(0, terminated, "exitCode") != 0)
            memcpy(sum->failure, sum->reason, sizeof(sum->failure));
    } else if (json_bool_at(status, "ready") && json_at(status, "state", "running")) {
        sum->running = true;
        sum->ready++;
    }
}

static bool condition_is_true(const json_t *pod, const char *type)
{
    return strcmp(json_str_or_empty(table__condition(pod, type), "status"), "True") == 0;
}

static void summarize_containers(struct pod_summary *sum, const json_t *pod)
{
    const json_t *statuses = json_at(pod, "status", "containerStatuses");
    for (size_t i = json_array_size(statuses); i-- > 0;)
        summarize_container(sum, json_array_get(statuses, i));
    /* One container has completed, but others may still say what the pod is. */
    if (strcmp(sum->reason, "Completed") != 0)
        return;
    if (sum->running && condition_is_true(pod, "Ready"))
        set_reason(sum->reason, "", "Running");
    else if (sum->failure[0])
        memcpy(sum->reason, sum->failure, sizeof(sum->reason));
    else if (sum->running)
        set_reason(sum->reason, "", "NotReady");
}

static void summarize_deletion(struct pod_summary *sum, const json_t *pod)
{
    const char *phase = json_str_or_empty(pod, "status", "phase");
    if (!json_at(pod, "metadata", "deletionTimestamp"))
        return;
    if (strcmp(json_str_or_empty(pod, "status", "reason"), "NodeLost") == 0)
        set_reason(sum->reason, "", "Unknown");
    else if (strcmp(phase, "Succeeded") != 0 && strcmp(phase, "Failed") != 0)
        set_reason(sum->reason, "", "Terminating");
}

static void summarize(struct pod_summary *sum, const json_t *pod)
{
    memset(sum, 0, sizeof(*sum));
    sum->total = (int)json_array_size(json_at(pod, "spec", "containers"));
    const char *reason = json_str_or_empty(pod, "status", "reason");
    set_reason(sum->reason, "", *reason ? reason : json_str_or_empty(pod, "status", "phase"));
    if (strcmp(json_str_or_empty(table__condition(pod, "PodScheduled"), "reason"), "SchedulingGated") == 0)
        set_reason(sum->reason, "", "SchedulingGated");

    int64_t sidecar_restarts = 0;
    const json_t *sidecar_last = NULL;
    summarize_init(sum, pod, &sidecar_restarts, &sidecar_last);
    if (!sum->initializing || condition_is_true(pod, "Initialized")) {
        sum->restarts = sidecar_restarts;
        sum->last_restart = sidecar_last;
        summarize_containers(sum, pod);
    }
    summarize_deletion(sum, pod);
}

static json_t *cell_ready(const struct table__call *call)
{
    struct pod_summary sum;
    summarize(&sum, call->object);
    return json_sprintf("%d/%d", sum.ready, sum.total);
}

static json_t *cell_status(const struct table__call *call)
{
    struct pod_summary sum;
    summarize(&sum, call->object);
    return json_string(sum.reason);
}

/* "2 (5m ago)" */
static json_t *cell_restarts(const struct table__call *call)
{
    struct pod_summary sum;
    summarize(&sum, call->object);
    buf_auto struct buf out = BUF_INIT;
    buf_printf(&out, "%lld", (long long)sum.restarts);
    if (sum.restarts && sum.last_restart) {
        buf_puts(&out, " (");
        table__put_age(&out, sum.last_restart, call->now_us);
        buf_puts(&out, " ago)");
    }
    return table__text(&out);
}

static json_t *cell_ip(const struct table__call *call)
{
    const json_t *first = json_array_get(json_at(call->object, "status", "podIPs"), 0);
    const char *ip = json_str_or_empty(first, "ip");
    return json_string(*ip ? ip : "<none>");
}

/* "1/2": the conditions named by readiness gates that are true. */
static json_t *cell_readiness_gates(const struct table__call *call)
{
    const json_t *gates = json_at(call->object, "spec", "readinessGates");
    if (json_array_size(gates) == 0)
        return json_string("<none>");
    int met = 0;
    size_t i;
    json_t *gate;
    json_array_foreach(gates, i, gate) met +=
        condition_is_true(call->object, json_str_or_empty(gate, "conditionType"));
    return json_sprintf("%d/%d", met, (int)json_array_size(gates));
}

const struct table__function table__pod_functions[] = {
    {"pod_ready", cell_ready},
    {"pod_status", cell_status},
    {"pod_restarts", cell_restarts},
    {"pod_ip", cell_ip},
    {"pod_readiness_gates", cell_readiness_gates},
    {NULL, NULL},
};
