/* See pod_status.h. */
#include "kubelet/pod_status.h"

#include "base/mem.h"
#include "base/timefmt.h"
#include "client/kube.h"
#include "codec/json.h"
#include "kubelet/fields.h"

#include <stdio.h>
#include <string.h>

void pod_duration(char out[32], int64_t seconds)
{
    if (seconds < 60)
        snprintf(out, 32, "%llds", (long long)seconds);
    else if (seconds < 3600)
        snprintf(out, 32, "%lldm%llds", (long long)seconds / 60, (long long)seconds % 60);
    else
        snprintf(out, 32, "%lldh%lldm%llds", (long long)seconds / 3600, (long long)seconds / 60 % 60,
                 (long long)seconds % 60);
}

static void set_time(json_t *object, const char *name, int64_t us)
{
    char text[TIMEFMT_MAX];
    timefmt_seconds(text, us / 1000000);
    json_set_str(object, name, text);
}

static enum pod_restart restart_policy(const json_t *pod)
{
    const char *policy = json_str_or_empty(pod, "spec", "restartPolicy");
    return strcmp(policy, "Never") == 0       ? POD_RESTART_NEVER
           : strcmp(policy, "OnFailure") == 0 ? POD_RESTART_ON_FAILURE
                                              : POD_RESTART_ALWAYS;
}

static json_t *terminated_state(const struct kubelet_instance *instance)
{
    json_t *state = json_object();
    json_set_int(state, "exitCode", instance->exit_code);
    json_set_str(state, "reason",
                 instance->reason           ? instance->reason
                 : instance->exit_code == 0 ? "Completed"
                                            : "Error");
    if (instance->message)
        json_set_str(state, "message", instance->message);
    set_time(state, "startedAt", instance->started_us);
    set_time(state, "finishedAt", instance->finished_us);
    json_object_set_new(state, "containerID", json_sprintf("containerd://%s", instance->id));
    return json_pack("{s:o}", "terminated", state);
}

static bool will_restart(const struct kubelet_container *c, const struct pod_status_context *context)
{
    struct pod_plan_container plan = {.kind = c->kind, .state = c->now.state, .exit_code = c->now.exit_code};
    return !context->over && pod_restarts(restart_policy(context->object), &plan);
}

static json_t *waiting_state(const struct kubelet_container *c, bool pod_has_init)
{
    const struct kubelet_pod *pod = c->pod;
    json_t *state = json_object();
    if (c->wait_reason) {
        json_set_str(state, "reason", c->wait_reason);
        if (c->wait_message)
            json_set_str(state, "message", c->wait_message);
    } else if (c->now.state == POD_STATE_EXITED && c->crashes > 0) {
        char delay[32];
        pod_duration(delay, pod_backoff_us(c->crashes) / 1000000);
        json_set_str(state, "reason", "CrashLoopBackOff");
        json_object_set_new(state, "message",
                            json_sprintf("back-off %s restarting failed container=%s pod=%s_%s(%s)", delay,
                                         c->name, pod->name, pod->namespace, pod->uid));
    } else {
        bool first = c->kind == POD_CONTAINER_APP ? pod_has_init && !pod->initialized : true;
        json_set_str(state, "reason", first ? "PodInitializing" : "ContainerCreating");
    }
    return json_pack("{s:o}", "waiting", state);
}

static json_t *current_state(const struct kubelet_container *c, const struct pod_status_context *context,
                             bool pod_has_init)
{
    if (c->now.state == POD_STATE_RUNNING) {
        json_t *state = json_object();
        set_time(state, "startedAt", c->now.started_us);
        return json_pack("{s:o}", "running", state);
    }
    if (c->now.state == POD_STATE_EXITED && !will_restart(c, context))
        return terminated_state(&c->now);
    return waiting_state(c, pod_has_init);
}

static bool container_ready(const struct kubelet_container *c)
{
    if (c->kind == POD_CONTAINER_INIT)
        return c->now.state == POD_STATE_EXITED && c->now.exit_code == 0;
    return c->now.state == POD_STATE_RUNNING && c->started && c->ready;
}

static json_t *container_status(const struct kubelet_container *c, const struct pod_status_context *context,
                                bool pod_has_init)
{
    const json_t *spec = pod_container_spec(context->object, c);
    json_t *status = json_object();
    json_set_str(status, "name", c->name);
    json_t *state = current_state(c, context, pod_has_init);
    json_t *last = json_object();
    if (c->now.state == POD_STATE_EXITED && json_object_get(state, "waiting")) {
        json_decref(last);
        last = terminated_state(&c->now);
    } else if (c->last.id) {
        json_decref(last);
        last = terminated_state(&c->last);
    }
    json_object_set_new(status, "state", state);
    json_object_set_new(status, "lastState", last);
    json_object_set_new(status, "ready", json_boolean(container_ready(c)));
    json_set_int(status, "restartCount", c->restarts);
    json_set_str(status, "image", c->now.image ? c->now.image : json_str_or_empty(spec, "image"));
    json_set_str(status, "imageID", c->now.image_ref ? c->now.image_ref : "");
    if (c->now.id)
        json_object_set_new(status, "containerID", json_sprintf("containerd://%s", c->now.id));
    json_object_set_new(status, "started", json_boolean(c->now.state == POD_STATE_RUNNING && c->started));
    return status;
}

static bool stopped_for_good(const struct kubelet_container *c, const struct pod_status_context *context)
{
    return c->now.state == POD_STATE_EXITED && !will_restart(c, context);
}

static const char *pod_phase(const struct kubelet_pod *pod, const struct pod_status_context *context)
{
    size_t apps = 0, fresh = 0, stopped = 0, failed = 0;
    bool init_failed = false;
    if (pod->end_reason)
        return "Failed";
    for (size_t i = 0; i < pod->container_count; i++) {
        const struct kubelet_container *c = &pod->containers[i];
        bool bad = c->now.state == POD_STATE_EXITED && c->now.exit_code != 0;
        if (c->kind == POD_CONTAINER_INIT && bad && stopped_for_good(c, context))
            init_failed = true;
        if (c->kind != POD_CONTAINER_APP)
            continue;
        apps++;
        fresh += c->now.state == POD_STATE_NONE || c->now.state == POD_STATE_CREATED;
        stopped += stopped_for_good(c, context);
        failed += bad && stopped_for_good(c, context);
    }
    if (init_failed)
        return "Failed";
    if (apps > 0 && stopped == apps)
        return failed ? "Failed" : "Succeeded";
    return fresh > 0 ? "Pending" : "Running";
}

static bool is_final(const char *phase)
{
    return strcmp(phase, "Succeeded") == 0 || strcmp(phase, "Failed") == 0;
}

/* What a pod holds is free once its phase is final, so that waits for the last container to end. */
static const char *shown_phase(const struct kubelet_pod *pod, const struct pod_status_context *context,
                               const char *phase)
{
    const char *before = json_str_or_empty(context->object, "status", "phase");
    bool running = false;
    for (size_t i = 0; i < pod->container_count; i++)
        running |= pod->containers[i].now.state == POD_STATE_RUNNING;
    if (!running || !is_final(phase) || is_final(before))
        return phase;
    return *before ? before : "Pending";
}

/* Adds a condition; its lastTransitionTime is kept while its status stays the same. */
static void add_condition(json_t *conditions, const struct pod_status_context *context, const char *type,
                          bool is_true, const char *reason, const char *message)
{
    json_t *condition = json_object();
    const char *status = is_true ? "True" : "False";
    json_t *old = kube_condition(context->object, type);
    json_set_str(condition, "type", type);
    json_set_str(condition, "status", status);
    json_object_set_new(condition, "lastProbeTime", json_null());
    const char *since = json_str(old, "lastTransitionTime");
    if (old && since && strcmp(json_str_or_empty(old, "status"), status) == 0)
        json_set_str(condition, "lastTransitionTime", since);
    else
        set_time(condition, "lastTransitionTime", context->now_us);
    /* Null removes what a strategic merge would keep. */
    json_object_set_new(condition, "reason", !is_true && reason ? json_string(reason) : json_null());
    json_object_set_new(condition, "message",
                        !is_true && message && *message ? json_string(message) : json_null());
    json_array_append_new(conditions, condition);
}

static void list_names(struct buf *out, const struct kubelet_pod *pod, bool init)
{
    for (size_t i = 0; i < pod->container_count; i++) {
        const struct kubelet_container *c = &pod->containers[i];
        bool sidecar = c->kind == POD_CONTAINER_SIDECAR;
        bool counts = init ? c->kind != POD_CONTAINER_APP : c->kind == POD_CONTAINER_APP || sidecar;
        bool complete =
            init && sidecar ? c->now.state == POD_STATE_RUNNING && c->started : container_ready(c);
        if (counts && !complete)
            buf_printf(out, "%s%s", out->len ? " " : "", c->name);
    }
}

static bool gates_open(struct buf *message, const struct pod_status_context *context)
{
    size_t i;
    json_t *gate;
    json_array_foreach(json_at(context->object, "spec", "readinessGates"), i, gate)
    {
        const char *type = json_str_or_empty(gate, "conditionType");
        const char *status = kube_condition_status(context->object, type);
        if (strcmp(status, "True") == 0)
            continue;
        if (*status)
            buf_printf(message, "%sthe status of pod readiness gate \"%s\" is not \"True\", but %s",
                       message->len ? ", " : "", type, status);
        else
            buf_printf(message, "%scorresponding condition of pod readiness gate \"%s\" does not exist.",
                       message->len ? ", " : "", type);
    }
    return message->len == 0;
}

static json_t *pod_conditions(const struct kubelet_pod *pod, const struct pod_status_context *context,
                              const char *phase)
{
    json_t *conditions = json_array();
    struct buf incomplete buf_auto = BUF_INIT;
    struct buf unready buf_auto = BUF_INIT;
    struct buf gates buf_auto = BUF_INIT;
    bool succeeded = strcmp(phase, "Succeeded") == 0, failed = strcmp(phase, "Failed") == 0;
    list_names(&incomplete, pod, true);
    list_names(&unready, pod, false);
    bool initialized = pod->initialized || succeeded;
    bool ready = unready.len == 0 && !succeeded && !failed;
    char *init_text mem_auto = mem_printf("containers with incomplete status: [%s]", buf_str(&incomplete));
    char *ready_text mem_auto = mem_printf("containers with unready status: [%s]", buf_str(&unready));
    const char *reason = succeeded ? "PodCompleted" : failed ? "PodFailed" : "ContainersNotReady";
    const char *message = succeeded || failed ? NULL : ready_text;
    add_condition(conditions, context, "PodReadyToStartContainers",
                  pod->sandbox == POD_SANDBOX_READY && pod->ip, NULL, NULL);
    add_condition(conditions, context, "Initialized", initialized, "ContainersNotInitialized", init_text);
    bool open = gates_open(&gates, context);
    if (ready && !open)
        add_condition(conditions, context, "Ready", false, "ReadinessGatesNotReady", gates.data);
    else
        add_condition(conditions, context, "Ready", ready, reason, message);
    add_condition(conditions, context, "ContainersReady", ready, reason, message);
    return conditions;
}

static void add_addresses(json_t *status, const struct kubelet_pod *pod)
{
    const char *host = pod->kubelet->node_address;
    json_set_str(status, "hostIP", host);
    json_object_set_new(status, "hostIPs", json_pack("[{s:s}]", "ip", host));
    if (!pod->ip)
        return;
    json_set_str(status, "podIP", pod->ip);
    json_object_set_new(status, "podIPs", json_pack("[{s:s}]", "ip", pod->ip));
}

json_t *pod_status(const struct kubelet_pod *pod, const struct pod_status_context *context)
{
    json_t *status = json_object();
    json_t *init = json_array(), *apps = json_array();
    const char *phase = pod_phase(pod, context);
    bool has_init = pod->container_count > 0 && pod->containers[0].kind != POD_CONTAINER_APP;
    const char *shown = shown_phase(pod, context, phase);
    json_set_str(status, "phase", shown);
    json_object_set_new(status, "conditions", pod_conditions(pod, context, phase));
    if (pod->end_reason && is_final(shown)) {
        json_set_str(status, "reason", pod->end_reason);
        json_set_str(status, "message", pod->end_message);
    }
    add_addresses(status, pod);
    set_time(status, "startTime", pod->start_us);
    for (size_t i = 0; i < pod->container_count; i++) {
        const struct kubelet_container *c = &pod->containers[i];
        json_array_append_new(c->kind == POD_CONTAINER_APP ? apps : init,
                              container_status(c, context, has_init));
    }
    if (json_array_size(init) > 0)
        json_object_set(status, "initContainerStatuses", init);
    json_object_set_new(status, "containerStatuses", apps);
    json_decref(init);
    json_set_str(status, "qosClass", fields_qos(context->object));
    return status;
}

static bool conditions_covered(const json_t *existing, const json_t *wanted)
{
    size_t i, j;
    json_t *want, *have;
    json_array_foreach(wanted, i, want)
    {
        bool found = false;
        json_array_foreach(existing, j, have)
        {
            found = found ||
                    (strcmp(json_str_or_empty(have, "type"), json_str_or_empty(want, "type")) == 0 &&
                     strcmp(json_str_or_empty(have, "status"), json_str_or_empty(want, "status")) == 0 &&
                     strcmp(json_str_or_empty(have, "reason"), json_str_or_empty(want, "reason")) == 0 &&
                     strcmp(json_str_or_empty(have, "message"), json_str_or_empty(want, "message")) == 0);
        }
        if (!found)
            return false;
    }
    return true;
}

bool pod_status_covered(const json_t *existing, const json_t *wanted)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)wanted, key, value)
    {
        const json_t *have = json_object_get(existing, key);
        bool same =
            strcmp(key, "conditions") == 0 ? conditions_covered(have, value) : kube_equal(have, value);
        if (!same)
            return false;
    }
    return true;
}
