/*
 * Probes. Each is a task of its own, which runs every periodSeconds while its container runs, and wakes the
 * pod when its verdict changes. Liveness and readiness wait for the startup probe.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "codec/json.h"
#include "kubelet/http_get.h"
#include "kubelet/kubelet_internal.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* For so long after its start a container may fail without consequence, and is asked again soon: Kubernetes,
 * which looks at its containers once a second, would not have asked yet. */
#define EARLY_US 1000000
#define EARLY_RETRY_MIN_US 50000

static const char *const members[PROBE_KINDS] = {"startupProbe", "livenessProbe", "readinessProbe"};
static const char *const titles[PROBE_KINDS] = {"Startup", "Liveness", "Readiness"};

static void wake_pod(struct kubelet_pod *pod)
{
    pool_schedule(pod->kubelet->pool, &pod->task, 0);
}

void probe_container_started(struct kubelet_container *c, const json_t *spec)
{
    struct kubelet_pod *pod = c->pod;
    bool startup = json_object_get(spec, members[PROBE_STARTUP]) != NULL;
    int64_t now = clock_mono_us();
    pthread_mutex_lock(&pod->lock);
    c->started = !startup;
    c->ready = !json_object_get(spec, members[PROBE_READINESS]);
    c->unhealthy = false;
    for (int kind = 0; kind < PROBE_KINDS; kind++) {
        struct kubelet_probe *probe = &c->probes[kind];
        const json_t *definition = json_object_get(spec, members[kind]);
        probe->present = definition != NULL;
        probe->active = probe->present;
        probe->attempt = c->now.attempt;
        probe->successes = probe->failures = 0;
        probe->first_us = now + json_int_or(0, definition, "initialDelaySeconds") * 1000000;
    }
    pthread_mutex_unlock(&pod->lock);
    for (int kind = 0; kind < PROBE_KINDS; kind++)
        if (c->probes[kind].present && (kind == PROBE_STARTUP || !startup))
            pool_schedule(pod->kubelet->pool, &c->probes[kind].task, c->probes[kind].first_us);
}

void probe_container_ended(struct kubelet_container *c)
{
    pthread_mutex_lock(&c->pod->lock);
    c->started = c->ready = c->unhealthy = false;
    for (int kind = 0; kind < PROBE_KINDS; kind++)
        c->probes[kind].active = false;
    pthread_mutex_unlock(&c->pod->lock);
}

static int probe_exec(struct kubelet *k, const json_t *command, const char *id, int64_t timeout_s,
                      struct err *err)
{
    size_t count = json_array_size(command);
    const char **argv mem_auto = mem_calloc(count + 1, sizeof(*argv));
    for (size_t i = 0; i < count; i++)
        argv[i] = json_string_value(json_array_get(command, i));
    Cri__ExecSyncResponse *response = NULL;
    int rc = k->rt->ops->exec_sync(k->rt, id, argv, timeout_s, &response, err);
    if (rc == 0 && response->exit_code != 0) {
        const ProtobufCBinaryData *text = response->stderr.len ? &response->stderr : &response->stdout;
        int len = text->len > 1024 ? 1024 : (int)text->len;
        rc = err_set(err, ERR_INTERNAL, "%.*s", len, text->data ? (const char *)text->data : "");
    } else if (rc == ERR_TIMEOUT) {
        err_set(err, rc, "command timed out: \"%s\" timed out after %llds", count ? argv[0] : "",
                (long long)timeout_s);
    }
    cri_free(response);
    return rc;
}

/* One attempt. A gRPC probe checks only that its port accepts a connection. */
static int probe_once(struct kubelet_probe *probe, const json_t *spec, const char *id, const char *ip,
                      struct err *err)
{
    struct kubelet *k = probe->container->pod->kubelet;
    const json_t *definition = json_object_get(spec, members[probe->kind]);
    int64_t timeout_s = json_int_or(1, definition, "timeoutSeconds");
    const json_t *action = json_object_get(definition, "exec");
    if (timeout_s < 1)
        timeout_s = 1;
    if (action)
        return probe_exec(k, json_object_get(action, "command"), id, timeout_s, err);
    if ((action = json_object_get(definition, "httpGet"))) {
        long status = 0;
        int rc = http_get(action, spec, ip, timeout_s, &status, err);
        if (rc == 0 && (status < 200 || status >= 400))
            rc = err_set(err, ERR_INTERNAL, "HTTP probe failed with statuscode: %ld", status);
        return rc;
    }
    if (!(action = json_object_get(definition, "tcpSocket")))
        action = json_object_get(definition, "grpc");
    return action ? tcp_connect(action, spec, ip, timeout_s, err) : 0;
}

/* Takes one result in; returns whether the pod has to look. Under pod->lock. */
static bool record(struct kubelet_probe *probe, const json_t *definition, bool success)
{
    struct kubelet_container *c = probe->container;
    int64_t need_success = json_int_or(1, definition, "successThreshold");
    int64_t need_failure = json_int_or(3, definition, "failureThreshold");
    probe->successes = success ? probe->successes + 1 : 0;
    probe->failures = success ? 0 : probe->failures + 1;
    bool up = probe->successes >= need_success, down = probe->failures >= need_failure;
    bool before;
    switch (probe->kind) {
    case PROBE_STARTUP:
        before = c->started || c->unhealthy;
        c->started = c->started || up;
        c->unhealthy = c->unhealthy || down;
        probe->active = !c->started && !c->unhealthy;
        return before != (c->started || c->unhealthy);
    case PROBE_LIVENESS:
        before = c->unhealthy;
        c->unhealthy = c->unhealthy || down;
        probe->active = !c->unhealthy;
        return before != c->unhealthy;
    default:
        before = c->ready;
        c->ready = up ? true : down ? false : c->ready;
        return before != c->ready;
    }
}

/* What a probe needs to know, copied so that no lock is held while it runs. */
struct probe_view {
    json_t *object;
    char *id;
    char *ip;
    uint32_t attempt;
};

static bool view_take(struct probe_view *view, struct kubelet_probe *probe)
{
    struct kubelet_container *c = probe->container;
    struct kubelet_pod *pod = c->pod;
    pthread_mutex_lock(&pod->lock);
    bool wanted = probe->active && pod->object && c->now.id && !c->killing &&
                  probe->attempt == c->now.attempt && (probe->kind == PROBE_STARTUP || c->started);
    if (wanted)
        *view =
            (struct probe_view){json_incref(pod->object), mem_strdup(c->now.id),
                                mem_strdup(pod->ip ? pod->ip : pod->kubelet->node_address), probe->attempt};
    pthread_mutex_unlock(&pod->lock);
    return wanted;
}

static void report_failure(struct kubelet_probe *probe, const json_t *object, const struct err *err)
{
    struct kubelet_container *c = probe->container;
    container_event(c, object, EVENT_WARNING, "Unhealthy", "%s probe failed: %s", titles[probe->kind],
                    err->message);
}

static bool too_early(const struct kubelet_probe *probe, const json_t *definition, int64_t start)
{
    return json_int_or(0, definition, "initialDelaySeconds") == 0 && start - probe->first_us < EARLY_US;
}

static int64_t next_early(const struct kubelet_probe *probe)
{
    int64_t now = clock_mono_us();
    int64_t age = now - probe->first_us;
    return now + (age > EARLY_RETRY_MIN_US ? age : EARLY_RETRY_MIN_US);
}

int64_t probe_task(struct task *task)
{
    struct kubelet_probe *probe =
        (struct kubelet_probe *)((char *)task - offsetof(struct kubelet_probe, task));
    struct kubelet_container *c = probe->container;
    struct probe_view view;
    struct err err = {0};
    int64_t start = clock_mono_us();
    if (start < probe->first_us)
        return probe->first_us;
    if (!view_take(&view, probe))
        return POOL_NEVER;
    const json_t *spec = pod_container_spec(view.object, c);
    const json_t *definition = json_object_get(spec, members[probe->kind]);
    int rc = probe_once(probe, spec, view.id, view.ip, &err);
    bool early = rc && too_early(probe, definition, start);
    bool changed = false, current, active, started;
    pthread_mutex_lock(&c->pod->lock);
    current = probe->active && view.attempt == probe->attempt && !c->killing;
    if (current && !early)
        changed = record(probe, definition, rc == 0);
    active = probe->active;
    started = c->started;
    pthread_mutex_unlock(&c->pod->lock);
    if (current && rc && !early)
        report_failure(probe, view.object, &err);
    if (changed) {
        wake_pod(c->pod);
        if (probe->kind == PROBE_STARTUP && started)
            for (int kind = PROBE_LIVENESS; kind <= PROBE_READINESS; kind++)
                if (c->probes[kind].present)
                    pool_schedule(c->pod->kubelet->pool, &c->probes[kind].task, c->probes[kind].first_us);
    }
    int64_t period_s = json_int_or(10, definition, "periodSeconds");
    json_decref(view.object);
    free(view.id);
    free(view.ip);
    if (early && active)
        return next_early(probe);
    return active ? start + (period_s > 0 ? period_s : 10) * 1000000 : POOL_NEVER;
}
