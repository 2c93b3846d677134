/* See pod_plan.h. */
#include "kubelet/pod_plan.h"

#include <assert.h>

static void add(struct pod_plan *out, enum pod_action_type type, size_t index, enum pod_kill_reason reason)
{
    if (out->action_count < POD_PLAN_ACTIONS_MAX)
        out->actions[out->action_count++] = (struct pod_action){type, index, reason};
}

static void wake(struct pod_plan *out, int64_t at_us)
{
    if (at_us < out->wake_us)
        out->wake_us = at_us;
}

int64_t pod_backoff_us(int crashes)
{
    if (crashes <= 0)
        return 0;
    int64_t delay = POD_BACKOFF_MIN_US;
    for (int i = 1; i < crashes && delay < POD_BACKOFF_MAX_US; i++)
        delay *= 2;
    return delay < POD_BACKOFF_MAX_US ? delay : POD_BACKOFF_MAX_US;
}

bool pod_restarts(enum pod_restart restart, const struct pod_plan_container *container)
{
    if (container->kind == POD_CONTAINER_SIDECAR)
        return true;
    if (container->kind == POD_CONTAINER_INIT)
        return container->exit_code != 0 && restart != POD_RESTART_NEVER;
    return restart == POD_RESTART_ALWAYS || (restart == POD_RESTART_ON_FAILURE && container->exit_code != 0);
}

static bool alive(const struct pod_plan_container *c)
{
    return c->state == POD_STATE_RUNNING || c->state == POD_STATE_CREATED;
}

static void start_or_wait(struct pod_plan *out, const struct pod_plan_view *view, size_t index)
{
    const struct pod_plan_container *c = &view->containers[index];
    int64_t at = c->retry_us;
    if (c->state == POD_STATE_EXITED && !c->changed) {
        int64_t backoff_end = c->finished_us + pod_backoff_us(c->crashes);
        at = backoff_end > at ? backoff_end : at;
    }
    if (at > view->now_us)
        wake(out, at);
    else
        add(out, POD_ACTION_START, index, POD_KILL_OVER);
}

/* A running container that has to go before its next instance starts. */
static bool kill_if_wrong(struct pod_plan *out, const struct pod_plan_view *view, size_t index)
{
    const struct pod_plan_container *c = &view->containers[index];
    if (c->killing)
        return true;
    if (c->changed)
        add(out, POD_ACTION_KILL, index, POD_KILL_CHANGED);
    else if (c->unhealthy)
        add(out, POD_ACTION_KILL, index, POD_KILL_UNHEALTHY);
    else
        return false;
    return true;
}

enum init_result { INIT_GOING, INIT_DONE, INIT_FAILED };

static bool any_app_started(const struct pod_plan_view *view)
{
    for (size_t i = 0; i < view->container_count; i++)
        if (view->containers[i].kind == POD_CONTAINER_APP && view->containers[i].state != POD_STATE_NONE)
            return true;
    return false;
}

/* Goes through the init containers in order; later, only the sidecars are still looked after. */
static enum init_result plan_init(struct pod_plan *out, const struct pod_plan_view *view, bool apps_started)
{
    for (size_t i = 0; i < view->container_count; i++) {
        const struct pod_plan_container *c = &view->containers[i];
        if (c->kind == POD_CONTAINER_APP)
            break;
        if (c->kind == POD_CONTAINER_INIT) {
            if (apps_started || (c->state == POD_STATE_EXITED && c->exit_code == 0))
                continue;
            if (c->state == POD_STATE_EXITED && !pod_restarts(view->restart, c))
                return INIT_FAILED;
            if (!alive(c))
                start_or_wait(out, view, i);
            else
                kill_if_wrong(out, view, i);
            return INIT_GOING;
        }
        if (!alive(c))
            start_or_wait(out, view, i);
        else
            kill_if_wrong(out, view, i);
        if (!apps_started && !(c->state == POD_STATE_RUNNING && c->started))
            return INIT_GOING;
    }
    return INIT_DONE;
}

/* Returns whether any app container runs or will run again. */
static bool plan_apps(struct pod_plan *out, const struct pod_plan_view *view)
{
    bool going = false;
    for (size_t i = 0; i < view->container_count; i++) {
        const struct pod_plan_container *c = &view->containers[i];
        if (c->kind != POD_CONTAINER_APP)
            continue;
        if (alive(c)) {
            kill_if_wrong(out, view, i);
            going = true;
        } else if (c->state == POD_STATE_NONE || c->changed || pod_restarts(view->restart, c)) {
            start_or_wait(out, view, i);
            going = true;
        }
    }
    return going;
}

/* Stops app containers first, then sidecars; true while anything is alive. */
static bool plan_kill_all(struct pod_plan *out, const struct pod_plan_view *view, enum pod_kill_reason reason)
{
    bool apps = false, any = false;
    for (size_t i = 0; i < view->container_count; i++) {
        const struct pod_plan_container *c = &view->containers[i];
        if (!alive(c))
            continue;
        any = true;
        apps = apps || c->kind != POD_CONTAINER_SIDECAR;
    }
    for (size_t i = 0; i < view->container_count; i++) {
        const struct pod_plan_container *c = &view->containers[i];
        if (alive(c) && !c->killing && (c->kind != POD_CONTAINER_SIDECAR || !apps))
            add(out, POD_ACTION_KILL, i, reason);
    }
    return any;
}

static void plan_over(struct pod_plan *out, const struct pod_plan_view *view)
{
    out->over = true;
    out->action_count = 0;
    out->wake_us = INT64_MAX;
    if (plan_kill_all(out, view, POD_KILL_OVER))
        return;
    if (view->sandbox == POD_SANDBOX_READY)
        add(out, POD_ACTION_STOP_SANDBOX, 0, POD_KILL_OVER);
    else if (view->deleting && !view->removed)
        add(out, POD_ACTION_REMOVE, 0, POD_KILL_OVER);
    else if (view->deleting)
        add(out, POD_ACTION_FINISH, 0, POD_KILL_OVER);
}

/* Without a ready sandbox. What ran in a former one has ended with it; where nothing is to run again, no new
 * sandbox is made. */
static void plan_sandbox(struct pod_plan *out, const struct pod_plan_view *view)
{
    if (plan_kill_all(out, view, POD_KILL_SANDBOX))
        return;
    bool fresh = true, wanted = false;
    for (size_t i = 0; i < view->container_count; i++) {
        const struct pod_plan_container *c = &view->containers[i];
        if (c->state != POD_STATE_NONE)
            fresh = false;
        if (c->kind == POD_CONTAINER_APP && (c->state == POD_STATE_NONE || pod_restarts(view->restart, c)))
            wanted = true;
    }
    if (!fresh && (!wanted || view->restart == POD_RESTART_NEVER))
        plan_over(out, view);
    else if (view->sandbox_retry_us > view->now_us)
        wake(out, view->sandbox_retry_us);
    else
        add(out, POD_ACTION_CREATE_SANDBOX, 0, POD_KILL_OVER);
}

void pod_plan(struct pod_plan *out, const struct pod_plan_view *view)
{
    *out = (struct pod_plan){.wake_us = INT64_MAX};
    bool apps_started = any_app_started(view);
    out->initialized = apps_started;
    if (view->deadline_us && !view->ended && !view->deleting) {
        out->deadline_exceeded = view->now_us >= view->deadline_us;
        if (!out->deadline_exceeded)
            wake(out, view->deadline_us);
    }
    if (view->deleting || view->ended || out->deadline_exceeded) {
        plan_over(out, view);
        return;
    }
    if (view->sandbox != POD_SANDBOX_READY) {
        plan_sandbox(out, view);
        return;
    }
    enum init_result init = plan_init(out, view, apps_started);
    out->initialized = init == INIT_DONE;
    if (init == INIT_FAILED || (init == INIT_DONE && !plan_apps(out, view)))
        plan_over(out, view);
}
