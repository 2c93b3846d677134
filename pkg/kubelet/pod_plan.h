/*
 * What to do next for a pod: a pure decision from what its specification wants, what the runtime has, what
 * the probes say and the time. pod_sync.c carries it out and asks again.
 *
 * Rules (Kubernetes' pod life cycle):
 *   - one sandbox at a time; without a ready one nothing else starts;
 *   - init containers one after the other, each to its success; a restartable one ("sidecar") only until it
 *     has started, and from then on it is kept running;
 *   - then all app containers at once; what ends is restarted by the restart policy, with a back-off of 10 s
 *     that doubles to 5 min, after a first restart without delay;
 *   - a pod that is over (all app containers ended for good, an init container failed for good, its deadline
 *     passed, or it is being deleted) has its app containers stopped, then its sidecars, then its sandbox;
 *     when it is being deleted all is removed too.
 */
#ifndef KATENA_KUBELET_POD_PLAN_H
#define KATENA_KUBELET_POD_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POD_PLAN_ACTIONS_MAX 64
#define POD_BACKOFF_MIN_US (10 * INT64_C(1000000))
#define POD_BACKOFF_MAX_US (300 * INT64_C(1000000))
/* A container that ran for so long starts its back-off anew. */
#define POD_BACKOFF_RESET_US (600 * INT64_C(1000000))

enum pod_restart { POD_RESTART_ALWAYS, POD_RESTART_ON_FAILURE, POD_RESTART_NEVER };
enum pod_container_kind { POD_CONTAINER_INIT, POD_CONTAINER_SIDECAR, POD_CONTAINER_APP };
enum pod_container_state { POD_STATE_NONE, POD_STATE_CREATED, POD_STATE_RUNNING, POD_STATE_EXITED };
enum pod_sandbox_state { POD_SANDBOX_NONE, POD_SANDBOX_READY, POD_SANDBOX_NOT_READY };

/* Times are microseconds of one clock. */
struct pod_plan_container {
    enum pod_container_kind kind;
    enum pod_container_state state; /* of its newest instance */
    int exit_code;
    int64_t started_us;
    int64_t finished_us;
    int crashes;      /* restarts that count for the back-off */
    bool started;     /* running, and its startup probe has succeeded or there is none */
    bool unhealthy;   /* a liveness or startup probe has failed for good */
    bool changed;     /* runs with another image than the specification says */
    bool killing;     /* is being stopped */
    int64_t retry_us; /* the last attempt to start it failed: not before this time; 0: none */
};

struct pod_plan_view {
    enum pod_restart restart;
    bool deleting;       /* deletion requested, or the API object is gone */
    bool ended;          /* recorded as over before: never start anything again */
    int64_t deadline_us; /* activeDeadlineSeconds; 0: none */
    enum pod_sandbox_state sandbox;
    int64_t sandbox_retry_us;
    bool removed;                                /* nothing of it is left in the runtime and on the host */
    const struct pod_plan_container *containers; /* init and sidecars in order, then apps */
    size_t container_count;
    int64_t now_us;
};

enum pod_action_type {
    POD_ACTION_CREATE_SANDBOX,
    POD_ACTION_START, /* container `index`: a new instance */
    POD_ACTION_KILL,  /* container `index` */
    POD_ACTION_STOP_SANDBOX,
    POD_ACTION_REMOVE, /* containers, sandbox, volumes, directories */
    POD_ACTION_FINISH, /* the API object can go */
};

enum pod_kill_reason { POD_KILL_OVER, POD_KILL_UNHEALTHY, POD_KILL_CHANGED, POD_KILL_SANDBOX };

struct pod_action {
    enum pod_action_type type;
    size_t index;
    enum pod_kill_reason reason;
};

struct pod_plan {
    struct pod_action actions[POD_PLAN_ACTIONS_MAX];
    size_t action_count;
    int64_t wake_us; /* when to decide again if nothing happens before; INT64_MAX: never */
    bool over;       /* the pod has ended or is being deleted */
    bool deadline_exceeded;
    bool initialized; /* all init containers are done */
};

void pod_plan(struct pod_plan *out, const struct pod_plan_view *view);

/* The delay before a restart that follows so many counted restarts: 0, 10 s, 20 s, … 5 min. */
int64_t pod_backoff_us(int crashes);

/* Whether an ended container is started again. */
bool pod_restarts(enum pod_restart restart, const struct pod_plan_container *container);

#endif
