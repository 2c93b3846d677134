/*
 * One pod's turn: bring what is known up to date, ask pod_plan, tell the API, act, and again until there is
 * nothing to do but wait.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "client/kube.h"
#include "codec/json.h"
#include "kubelet/kubelet_internal.h"
#include "kubelet/pod_config.h"
#include "kubelet/pod_status.h"
#include "kubelet/volume.h"

#include <sodium.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define ROUNDS_MAX 16
#define SECOND INT64_C(1000000)
/* So long a failed pull is shown as ErrImagePull before it becomes ImagePullBackOff. */
#define PULL_ERROR_SHOWN_US (2 * SECOND)
#define ATTACH_US 300000

/* What one turn works with. */
struct turn {
    struct kubelet_pod *pod;
    json_t *object;
    bool gone;
    int64_t wake_us; /* wall clock */
};

static void wake(struct turn *turn, int64_t at_us)
{
    if (at_us < turn->wake_us)
        turn->wake_us = at_us;
}

const json_t *pod_container_spec(const json_t *object, const struct kubelet_container *c)
{
    const char *list = c->kind == POD_CONTAINER_APP ? "containers" : "initContainers";
    return json_array_get(json_at(object, "spec", list), c->index);
}

struct kubelet_container *pod_container_find(struct kubelet_pod *pod, const char *name)
{
    for (size_t i = 0; i < pod->container_count; i++)
        if (strcmp(pod->containers[i].name, name) == 0)
            return &pod->containers[i];
    return NULL;
}

static void init_container(struct kubelet_pod *pod, struct kubelet_container *c, const json_t *spec,
                           enum pod_container_kind kind, size_t index)
{
    c->pod = pod;
    c->kind = kind;
    c->index = index;
    c->name = mem_strdup(json_str_or_empty(spec, "name"));
    task_init(&c->kill_task, pod_kill_task, NULL);
    for (int k = 0; k < PROBE_KINDS; k++) {
        c->probes[k].container = c;
        c->probes[k].kind = (enum probe_kind)k;
        task_init(&c->probes[k].task, probe_task, NULL);
    }
}

void pod_containers_init(struct kubelet_pod *pod, const json_t *object)
{
    json_t *init = json_at(object, "spec", "initContainers"), *apps = json_at(object, "spec", "containers");
    size_t count = json_array_size(init) + json_array_size(apps), n = 0, i;
    struct kubelet_container *containers = mem_calloc(count ? count : 1, sizeof(*containers));
    json_t *spec;
    json_array_foreach(init, i, spec)
    {
        bool sidecar = strcmp(json_str_or_empty(spec, "restartPolicy"), "Always") == 0;
        init_container(pod, &containers[n++], spec, sidecar ? POD_CONTAINER_SIDECAR : POD_CONTAINER_INIT, i);
    }
    json_array_foreach(apps, i, spec) init_container(pod, &containers[n++], spec, POD_CONTAINER_APP, i);
    pthread_mutex_lock(&pod->kubelet->lock);
    pod->containers = containers;
    pod->container_count = count;
    pthread_mutex_unlock(&pod->kubelet->lock);
}

/* The first turn with an object: its containers, and what of them runs already. */
static void first_turn(struct turn *turn)
{
    struct kubelet_pod *pod = turn->pod;
    const char *start = json_str(turn->object, "status", "startTime");
    const char *phase = json_str_or_empty(turn->object, "status", "phase");
    pod->start_us = start ? kube_time(start) : clock_wall_us();
    pod_containers_init(pod, turn->object);
    kubelet_adopt_states(pod, turn->object);
    pod->ended = strcmp(phase, "Succeeded") == 0 || strcmp(phase, "Failed") == 0;
    if (pod->sandbox_id)
        pod->sandbox_dirty = true;
}

static bool uses_configs(const json_t *object)
{
    size_t i;
    json_t *volume;
    json_array_foreach(json_at(object, "spec", "volumes"), i, volume)
    {
        if (json_object_get(volume, "configMap") || json_object_get(volume, "secret") ||
            json_object_get(volume, "projected"))
            return true;
    }
    return false;
}

/* Makes the volumes or refreshes them; false: not possible now. */
static bool prepare_volumes(struct turn *turn)
{
    struct kubelet_pod *pod = turn->pod;
    struct kubelet *k = pod->kubelet;
    struct err err;
    const char *failed = "";
    char *dir mem_auto = kubelet_pod_dir(pod);
    struct fields_context fields = {.pod = turn->object,
                                    .pod_ip = pod->ip,
                                    .host_ip = k->node_address,
                                    .node_cpu_milli = k->cpus * INT64_C(1000),
                                    .node_memory_bytes = k->memory_bytes};
    struct volume_context context = {.client = k->client,
                                     .fields = &fields,
                                     .pod_dir = dir,
                                     .now_us = clock_wall_us(),
                                     .due_us = &pod->volumes_due_us};
    if (uses_configs(turn->object))
        kubelet_watch_configs(k);
    if (volume_setup_all(&context, &failed, &err) == 0) {
        pod->volumes_ready = true;
        pod->volume_failures = 0;
        return true;
    }
    int64_t delay = SECOND / 10;
    for (int i = 0; i < pod->volume_failures && delay < 120 * SECOND; i++)
        delay *= 2;
    if (pod->volume_failures++ == 2 || pod->volume_failures % 8 == 0)
        event_record(k->events, turn->object, EVENT_WARNING, "FailedMount",
                     "MountVolume.SetUp failed for volume \"%s\" : %s", failed, err.message);
    wake(turn, clock_wall_us() + delay);
    return false;
}

static void refresh(struct turn *turn)
{
    struct kubelet_pod *pod = turn->pod;
    pthread_mutex_lock(&pod->lock);
    bool sandbox = pod->sandbox_dirty, volumes = pod->volumes_dirty;
    pod->sandbox_dirty = pod->volumes_dirty = false;
    pthread_mutex_unlock(&pod->lock);
    if (sandbox && pod->sandbox_id && pod_sandbox_refresh(pod)) {
        pod->sandbox_dirty = true;
        wake(turn, clock_wall_us() + SECOND);
    }
    for (size_t i = 0; i < pod->container_count; i++) {
        struct kubelet_container *c = &pod->containers[i];
        pthread_mutex_lock(&pod->lock);
        bool dirty = c->dirty;
        c->dirty = false;
        pthread_mutex_unlock(&pod->lock);
        int again_ms = dirty && c->now.id && c->now.state != POD_STATE_EXITED ? instance_refresh(c) : 0;
        if (again_ms) {
            c->dirty = true;
            wake(turn, clock_wall_us() + again_ms * INT64_C(1000));
        }
    }
    bool due = pod->volumes_due_us && clock_wall_us() >= pod->volumes_due_us;
    if (pod->sandbox == POD_SANDBOX_READY && turn->object && !turn->gone &&
        (volumes || due || !pod->volumes_ready))
        prepare_volumes(turn);
}

static bool deleting(const struct turn *turn)
{
    return turn->gone || kube_deleting(turn->object);
}

static bool image_changed(const struct kubelet_container *c, const json_t *object)
{
    char hash[17];
    if (c->kind == POD_CONTAINER_INIT || !c->now.hash)
        return false;
    pod_config_hash(hash, pod_container_spec(object, c));
    return strcmp(hash, c->now.hash) != 0;
}

static void view_container(struct pod_plan_container *out, struct kubelet_container *c, const json_t *object)
{
    *out = (struct pod_plan_container){.kind = c->kind,
                                       .state = c->now.state,
                                       .exit_code = c->now.exit_code,
                                       .started_us = c->now.started_us,
                                       .finished_us = c->now.finished_us,
                                       .crashes = c->crashes,
                                       .changed = image_changed(c, object),
                                       .retry_us = c->retry_us};
    pthread_mutex_lock(&c->pod->lock);
    out->started = c->started;
    out->unhealthy = c->unhealthy;
    out->killing = c->killing;
    pthread_mutex_unlock(&c->pod->lock);
}

static void decide(struct turn *turn, struct pod_plan *plan)
{
    struct kubelet_pod *pod = turn->pod;
    struct pod_plan_container *containers mem_auto =
        mem_calloc(pod->container_count ? pod->container_count : 1, sizeof(*containers));
    for (size_t i = 0; i < pod->container_count; i++)
        view_container(&containers[i], &pod->containers[i], turn->object);
    const char *policy = json_str_or_empty(turn->object, "spec", "restartPolicy");
    int64_t deadline_s = json_int_or(0, turn->object, "spec", "activeDeadlineSeconds");
    struct pod_plan_view view = {.restart = strcmp(policy, "Never") == 0       ? POD_RESTART_NEVER
                                            : strcmp(policy, "OnFailure") == 0 ? POD_RESTART_ON_FAILURE
                                                                               : POD_RESTART_ALWAYS,
                                 .deleting = deleting(turn),
                                 .ended = pod->ended,
                                 .deadline_us = deadline_s > 0 ? pod->start_us + deadline_s * SECOND : 0,
                                 .sandbox = pod->sandbox,
                                 .sandbox_retry_us = pod->sandbox_retry_us,
                                 .removed = pod->removed,
                                 .containers = containers,
                                 .container_count = pod->container_count,
                                 .now_us = clock_wall_us()};
    pod_plan(plan, &view);
    pod->initialized = plan->initialized || (plan->over && pod->initialized);
    if (plan->deadline_exceeded && !pod->end_reason) {
        pod->end_reason = mem_strdup("DeadlineExceeded");
        pod->end_message = mem_strdup("Pod was active on the node longer than the specified deadline");
        event_record(pod->kubelet->events, turn->object, EVENT_NORMAL, "DeadlineExceeded", "%s",
                     pod->end_message);
    }
    if (plan->over && !view.deleting)
        pod->ended = true;
    if (plan->wake_us != INT64_MAX)
        wake(turn, plan->wake_us);
}

/* Shows waiting containers as Kubernetes does: a failed pull turns into a back-off, a crash loop is told. */
static void report_waiting(struct turn *turn, const struct pod_plan *plan)
{
    struct kubelet_pod *pod = turn->pod;
    int64_t now = clock_wall_us();
    for (size_t i = 0; i < pod->container_count; i++) {
        struct kubelet_container *c = &pod->containers[i];
        if (c->wait_reason && strcmp(c->wait_reason, "ErrImagePull") == 0) {
            if (now < c->pull_failed_us + PULL_ERROR_SHOWN_US) {
                wake(turn, c->pull_failed_us + PULL_ERROR_SHOWN_US);
                continue;
            }
            const char *image = json_str_or_empty(pod_container_spec(turn->object, c), "image");
            char *message mem_auto =
                mem_printf("Back-off pulling image \"%s\": ErrImagePull: %s", image, c->wait_message);
            container_set_wait(c, "ImagePullBackOff", message);
            container_event(c, turn->object, EVENT_NORMAL, "BackOff", "Back-off pulling image \"%s\"", image);
            container_event(c, turn->object, EVENT_WARNING, "Failed", "Error: ImagePullBackOff");
        }
        if (!plan->over && c->now.state == POD_STATE_EXITED && c->crashes > 0 && !c->backoff_reported &&
            now < c->now.finished_us + pod_backoff_us(c->crashes) && c->kind != POD_CONTAINER_INIT) {
            c->backoff_reported = true;
            container_event(c, turn->object, EVENT_WARNING, "BackOff",
                            "Back-off restarting failed container %s in pod %s_%s(%s)", c->name, pod->name,
                            pod->namespace, pod->uid);
        }
    }
}

static void hash_status(uint8_t out[32], const json_t *status)
{
    struct buf text buf_auto = BUF_INIT;
    json_dump_buf(&text, status);
    crypto_generichash(out, 32, (const unsigned char *)text.data, text.len, NULL, 0);
}

/* When a pod that just came up may be told of: kubectl run attaches to a container with stdinOnce as soon as
 * it runs, and would miss what a short command has written by then. One that has ended meanwhile is told of
 * as ended, so that its log is read instead. 0: now. */
static int64_t telling_us(const struct turn *turn)
{
    struct kubelet_pod *pod = turn->pod;
    int64_t now = clock_wall_us();
    if (strcmp(json_str_or_empty(turn->object, "status", "phase"), "Running") == 0)
        return 0;
    for (size_t i = 0; i < pod->container_count; i++) {
        const struct kubelet_container *c = &pod->containers[i];
        int64_t until = c->now.started_us + ATTACH_US;
        if (c->now.state == POD_STATE_RUNNING && until > now && until <= now + ATTACH_US &&
            json_bool_at(pod_container_spec(turn->object, c), "stdinOnce"))
            return until;
    }
    return 0;
}

/* Writes the status if it says something new. */
static void write_status(struct turn *turn, const struct pod_plan *plan)
{
    struct kubelet_pod *pod = turn->pod;
    struct err err;
    uint8_t hash[32];
    if (turn->gone)
        return;
    int64_t later_us = telling_us(turn);
    if (later_us) {
        wake(turn, later_us);
        return;
    }
    struct pod_status_context context = {
        .object = turn->object, .over = plan->over, .deleting = deleting(turn), .now_us = clock_wall_us()};
    pthread_mutex_lock(&pod->lock);
    json_t *status = pod_status(pod, &context);
    pthread_mutex_unlock(&pod->lock);
    hash_status(hash, status);
    bool shown = pod_status_covered(json_object_get(turn->object, "status"), status);
    bool written = memcmp(hash, pod->status_hash, sizeof(hash)) == 0;
    /* What was written comes back by the watch. If it does not, another writer or another history won. */
    if (!shown && written && clock_wall_us() < pod->status_until_us)
        wake(turn, pod->status_until_us);
    bool known = shown || (written && clock_wall_us() < pod->status_until_us);
    /* A pod that ended under a former kubelet keeps its status when the runtime has forgotten it. */
    bool forgotten = pod->ended && strcmp(json_str_or_empty(status, "phase"), "Pending") == 0;
    if (known || forgotten) {
        json_decref(status);
        return;
    }
    json_auto_t *patch = json_pack("{s:{s:s}, s:o}", "metadata", "uid", pod->uid, "status", status);
    json_t *answer = NULL;
    int rc = client_patch(pod->kubelet->client, &kube_pods, "status", pod->namespace, pod->name,
                          CLIENT_PATCH_STRATEGIC, patch, &answer, &err);
    if (rc == 0) {
        memcpy(pod->status_hash, hash, sizeof(hash));
        pod->status_until_us = clock_wall_us() + 2 * SECOND;
        pod->write_failures = 0;
        json_decref(turn->object);
        turn->object = answer;
    } else if (rc != ERR_NOT_FOUND && rc != ERR_CONFLICT) {
        log_warn("kubelet", "status of %s/%s: %s", pod->namespace, pod->name, err.message);
        wake(turn, clock_wall_us() + SECOND * (1 + (pod->write_failures++ % 30)));
    }
}

static int64_t kill_grace(const struct turn *turn)
{
    if (turn->gone)
        return 0;
    int64_t grace = json_int_or(30, turn->object, "spec", "terminationGracePeriodSeconds");
    return json_int_or(grace, turn->object, "metadata", "deletionGracePeriodSeconds");
}

static void kill_container(struct turn *turn, const struct pod_action *action)
{
    struct kubelet_container *c = &turn->pod->containers[action->index];
    int64_t grace = kill_grace(turn);
    char message[320];
    const char *init = c->kind == POD_CONTAINER_INIT ? "Init container" : "Container";
    if (action->reason == POD_KILL_UNHEALTHY) {
        enum probe_kind kind = c->started ? PROBE_LIVENESS : PROBE_STARTUP;
        const json_t *spec = pod_container_spec(turn->object, c);
        grace = json_int_or(grace, spec, kind == PROBE_LIVENESS ? "livenessProbe" : "startupProbe",
                            "terminationGracePeriodSeconds");
        snprintf(message, sizeof(message), "%s %s failed %s probe, will be restarted", init, c->name,
                 kind == PROBE_LIVENESS ? "liveness" : "startup");
    } else if (action->reason == POD_KILL_CHANGED) {
        snprintf(message, sizeof(message), "%s %s definition changed, will be restarted", init, c->name);
    } else {
        snprintf(message, sizeof(message), "Stopping container %s", c->name);
    }
    pod_kill_container(turn->pod, turn->object, c, grace, message);
}

/* Deletes the API object, now that nothing of the pod is left. */
static void finish(struct turn *turn)
{
    struct kubelet_pod *pod = turn->pod;
    struct err err;
    if (turn->gone)
        return;
    json_auto_t *options =
        json_pack("{s:i, s:{s:s}}", "gracePeriodSeconds", 0, "preconditions", "uid", pod->uid);
    int rc = client_delete(pod->kubelet->client, &kube_pods, pod->namespace, pod->name, options, &err);
    if (rc && rc != ERR_NOT_FOUND && rc != ERR_CONFLICT) {
        log_warn("kubelet", "delete %s/%s: %s", pod->namespace, pod->name, err.message);
        wake(turn, clock_wall_us() + SECOND);
    }
}

/* Carries one action out; false: the turn ends here. */
static bool act(struct turn *turn, const struct pod_action *action)
{
    struct kubelet_pod *pod = turn->pod;
    struct kubelet *k = pod->kubelet;
    struct err err;
    switch (action->type) {
    case POD_ACTION_CREATE_SANDBOX:
        return prepare_volumes(turn) && pod_create_sandbox(pod, turn->object) == 0;
    case POD_ACTION_START:
        if (!pod->volumes_ready && !prepare_volumes(turn))
            return false;
        pod_start_container(pod, turn->object, &pod->containers[action->index]);
        return true;
    case POD_ACTION_KILL:
        kill_container(turn, action);
        return true;
    case POD_ACTION_STOP_SANDBOX:
        if (k->rt->ops->stop_sandbox(k->rt, pod->sandbox_id, &err) && err.code != ERR_NOT_FOUND) {
            log_warn("kubelet", "stop sandbox of %s/%s: %s", pod->namespace, pod->name, err.message);
            wake(turn, clock_wall_us() + 2 * SECOND);
            return false;
        }
        pod->sandbox = POD_SANDBOX_NOT_READY;
        return true;
    case POD_ACTION_REMOVE:
        pod->removed = pod_remove_all(pod, turn->object) == 0;
        if (!pod->removed)
            wake(turn, clock_wall_us() + 2 * SECOND);
        return pod->removed;
    case POD_ACTION_FINISH:
        finish(turn);
        return false;
    }
    return false;
}

/* The object was deleted at once (grace 0) while a container was being stopped with more patience. */
static void hurry_kills(struct turn *turn)
{
    struct kubelet_pod *pod = turn->pod;
    int64_t grace = kill_grace(turn);
    for (size_t i = 0; i < pod->container_count; i++) {
        struct kubelet_container *c = &pod->containers[i];
        pthread_mutex_lock(&pod->lock);
        bool hurry = c->killing && c->kill_grace_s > grace && grace <= 1;
        if (hurry)
            c->kill_grace_s = grace;
        char *id = hurry ? mem_strdup(c->kill_id) : NULL;
        pthread_mutex_unlock(&pod->lock);
        if (id)
            pod->kubelet->rt->ops->stop_container(pod->kubelet->rt, id, 0, NULL);
        free(id);
    }
}

static void run_rounds(struct turn *turn)
{
    struct kubelet_pod *pod = turn->pod;
    struct pod_plan plan;
    if (deleting(turn))
        hurry_kills(turn);
    for (int round = 0; round < ROUNDS_MAX && !pod->kubelet->stopping; round++) {
        refresh(turn);
        decide(turn, &plan);
        report_waiting(turn, &plan);
        if (!(pod->removed && plan.action_count))
            write_status(turn, &plan);
        bool go_on = plan.action_count > 0;
        for (size_t i = 0; i < plan.action_count && go_on; i++)
            go_on = act(turn, &plan.actions[i]);
        if (!go_on)
            return;
    }
    wake(turn, clock_wall_us());
}

/* Finds out whether a pod whose object vanished is gone. *again_us: when to look (again); 0: no need to. */
static void look_for_vanished(struct kubelet_pod *pod, int64_t due_us, int64_t *again_us)
{
    *again_us = due_us;
    if (!due_us || clock_mono_us() < due_us)
        return;
    json_t *object = NULL;
    struct err err;
    client_await_settled(pod->kubelet->client, &pod->kubelet->stopping);
    int rc = client_get(pod->kubelet->client, &kube_pods, pod->namespace, pod->name, &object, &err);
    bool there = rc == 0 && strcmp(kube_uid(object), pod->uid) == 0;
    bool gone = !there && (rc == 0 || rc == ERR_NOT_FOUND);
    pthread_mutex_lock(&pod->lock);
    *again_us = gone || there ? 0 : clock_mono_us() + VANISH_US;
    if (pod->vanish_due_us == due_us) { /* else the watch knows better */
        pod->vanish_due_us = *again_us;
        pod->gone = pod->gone || gone;
        if (there) {
            json_decref(pod->object);
            pod->object = json_incref(object);
        }
    }
    pthread_mutex_unlock(&pod->lock);
    json_decref(object);
}

/* A pod that only the runtime knows: its object was deleted while no kubelet watched. */
static int64_t remove_orphan(struct kubelet_pod *pod)
{
    if (pod_remove_all(pod, NULL))
        return clock_mono_us() + 5 * SECOND;
    log_info("kubelet", "removed pod %s/%s, which is no longer in the API", pod->namespace, pod->name);
    kubelet_pod_unlink(pod->kubelet, pod);
    return POOL_RELEASE;
}

int64_t pod_sync(struct task *task)
{
    struct kubelet_pod *pod = (struct kubelet_pod *)((char *)task - offsetof(struct kubelet_pod, task));
    struct turn turn = {.pod = pod, .wake_us = INT64_MAX};
    pthread_mutex_lock(&pod->lock);
    int64_t vanish_due_us = pod->vanish_due_us, look_us;
    pthread_mutex_unlock(&pod->lock);
    look_for_vanished(pod, vanish_due_us, &look_us);
    pthread_mutex_lock(&pod->lock);
    turn.object = json_incref(pod->object);
    turn.gone = pod->gone;
    pthread_mutex_unlock(&pod->lock);
    if (!turn.object)
        return turn.gone ? remove_orphan(pod) : look_us ? look_us : POOL_NEVER;
    if (look_us)
        wake(&turn, clock_wall_us() + look_us - clock_mono_us());
    if (!pod->containers)
        first_turn(&turn);
    run_rounds(&turn);
    bool over = deleting(&turn);
    json_decref(turn.object);
    if (turn.gone && pod->removed) {
        kubelet_pod_unlink(pod->kubelet, pod);
        return POOL_RELEASE;
    }
    if (pod->volumes_due_us && !over)
        wake(&turn, pod->volumes_due_us);
    if (turn.wake_us == INT64_MAX)
        return POOL_NEVER;
    int64_t delay = turn.wake_us - clock_wall_us();
    return clock_mono_us() + (delay > 0 ? delay : 0);
}

void pod_release(struct task *task)
{
    struct kubelet_pod *pod = (struct kubelet_pod *)((char *)task - offsetof(struct kubelet_pod, task));
    for (size_t i = 0; i < pod->container_count; i++) {
        struct kubelet_container *c = &pod->containers[i];
        pool_cancel(pod->kubelet->pool, &c->kill_task);
        for (int k = 0; k < PROBE_KINDS; k++)
            pool_cancel(pod->kubelet->pool, &c->probes[k].task);
        instance_clear(&c->now);
        instance_clear(&c->last);
        free(c->name);
        free(c->wait_reason);
        free(c->wait_message);
        free(c->kill_id);
        free(c->kill_message);
    }
    for (size_t i = 0; i < pod->adopted_count; i++) {
        free(pod->adopted[i].name);
        instance_clear(&pod->adopted[i].instance);
    }
    free(pod->adopted);
    free(pod->containers);
    free(pod->sandbox_id);
    free(pod->ip);
    free(pod->end_reason);
    free(pod->end_message);
    free(pod->uid);
    free(pod->name);
    free(pod->namespace);
    json_decref(pod->object);
    pthread_mutex_destroy(&pod->lock);
    free(pod);
}
