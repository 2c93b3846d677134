/* Counts and conditions of a Deployment; see deployment_plan.h. */
#include "controller/deployment_internal.h"

#include "base/mem.h"
#include "base/timefmt.h"
#include "client/kube.h"
#include "codec/json.h"

#include <string.h>

bool deployment_has_deadline(const json_t *deployment)
{
    int64_t seconds = json_int_or(INT32_MAX, deployment, "spec", "progressDeadlineSeconds");
    return seconds != INT32_MAX;
}

static json_t *condition_of(const json_t *status, const char *type)
{
    size_t i;
    json_t *condition;
    json_array_foreach(json_object_get(status, "conditions"), i, condition)
    {
        if (!strcmp(json_str_or_empty(condition, "type"), type))
            return condition;
    }
    return NULL;
}

static void condition_remove(json_t *status, const char *type)
{
    json_t *conditions = json_object_get(status, "conditions");
    for (size_t i = json_array_size(conditions); i-- > 0;) {
        if (!strcmp(json_str_or_empty(json_array_get(conditions, i), "type"), type))
            json_array_remove(conditions, i);
    }
}

/* Replaces a condition unless status and reason are as before; force: also then, with a new update time. */
static void condition_set(json_t *status, const char *type, const char *value, const char *reason,
                          const char *message, bool force, int64_t now_us)
{
    json_t *old = condition_of(status, type);
    bool same_status = old && !strcmp(json_str_or_empty(old, "status"), value);
    if (!force && same_status && !strcmp(json_str_or_empty(old, "reason"), reason))
        return;
    char now[TIMEFMT_MAX];
    timefmt_seconds(now, now_us / 1000000);
    const char *since = same_status ? json_str_or_empty(old, "lastTransitionTime") : now;
    json_t *condition = json_pack("{ss ss ss ss ss ss}", "type", type, "status", value, "lastUpdateTime", now,
                                  "lastTransitionTime", since, "reason", reason, "message", message);
    condition_remove(status, type);
    json_array_append_new(json_array_ensure(status, "conditions"), condition);
}

static int64_t sum_status(const struct deployment_plan *plan, const char *field)
{
    int64_t sum = 0;
    for (size_t i = 0; i < plan->count; i++)
        sum += json_int_or(0, plan->sets[i].rs, "status", field);
    return sum;
}

static void set_count(json_t *status, const char *name, int64_t value)
{
    if (value > 0)
        json_set_int(status, name, value);
}

static json_t *count_status(const json_t *deployment, const struct deployment_plan *plan)
{
    int64_t available = sum_status(plan, "availableReplicas");
    int64_t wanted = 0;
    for (size_t i = 0; i < plan->count; i++)
        wanted += set_replicas(plan->sets[i].rs);
    json_t *status = json_pack("{sI}", "observedGeneration",
                               (json_int_t)json_int_or(0, deployment, "metadata", "generation"));
    set_count(status, "replicas", sum_status(plan, "replicas"));
    if (plan->new_index >= 0)
        set_count(status, "updatedReplicas",
                  json_int_or(0, plan->sets[plan->new_index].rs, "status", "replicas"));
    set_count(status, "readyReplicas", sum_status(plan, "readyReplicas"));
    set_count(status, "availableReplicas", available);
    set_count(status, "unavailableReplicas", wanted - available);
    json_set_int(status, "terminatingReplicas", sum_status(plan, "terminatingReplicas"));
    json_t *conditions = json_copy(json_at(deployment, "status", "conditions"));
    json_object_set_new(status, "conditions", conditions ? conditions : json_array());
    json_t *collisions = json_at(deployment, "status", "collisionCount");
    if (collisions)
        json_object_set(status, "collisionCount", collisions);
    return status;
}

bool deployment_complete(const json_t *deployment, const json_t *status)
{
    int64_t want = deployment_replicas(deployment);
    return json_int_or(0, status, "updatedReplicas") == want && json_int_or(0, status, "replicas") == want &&
           json_int_or(0, status, "availableReplicas") == want &&
           json_int_or(0, status, "observedGeneration") >=
               json_int_or(0, deployment, "metadata", "generation");
}

static bool progressing(const json_t *old, const json_t *status)
{
    int64_t updated = json_int_or(0, status, "updatedReplicas");
    int64_t updated_old = json_int_or(0, old, "updatedReplicas");
    return updated > updated_old ||
           json_int_or(0, status, "replicas") - updated < json_int_or(0, old, "replicas") - updated_old ||
           json_int_or(0, status, "readyReplicas") > json_int_or(0, old, "readyReplicas") ||
           json_int_or(0, status, "availableReplicas") > json_int_or(0, old, "availableReplicas");
}

/* When the deadline of a rollout that does not get on passes; 0: it has no such time. */
static int64_t deadline_us(const json_t *deployment, const json_t *condition)
{
    const char *reason = json_str_or_empty(condition, "reason");
    if (!condition || !strcmp(reason, "NewReplicaSetAvailable") ||
        !strcmp(reason, "ProgressDeadlineExceeded"))
        return 0;
    return kube_time(json_str(condition, "lastUpdateTime")) +
           json_int_or(0, deployment, "spec", "progressDeadlineSeconds") * 1000000;
}

static void progress_set(const json_t *deployment, const struct deployment_plan *plan, const char *value,
                         const char *reason, const char *words, bool force, int64_t now_us)
{
    const json_t *set = plan->new_index < 0 ? NULL : plan->sets[plan->new_index].rs;
    mem_auto char *message = mem_printf("%s \"%s\" %s", set ? "ReplicaSet" : "Deployment",
                                        kube_name(set ? set : deployment), words);
    condition_set(plan->status, "Progressing", value, reason, message, force, now_us);
}

/* That the new set was made, or found where the deployment did not know of it. */
static void note_new_set(const json_t *deployment, struct deployment_plan *plan, int64_t now_us)
{
    if (plan->new_index < 0)
        return;
    const char *name = kube_name(plan->sets[plan->new_index].rs);
    if (plan->create) {
        mem_auto char *message = mem_printf("Created new replica set \"%s\"", name);
        condition_set(plan->status, "Progressing", "True", "NewReplicaSetCreated", message, false, now_us);
    } else if (!kube_condition(deployment, "Progressing")) {
        mem_auto char *message = mem_printf("Found new replica set \"%s\"", name);
        condition_set(plan->status, "Progressing", "True", "FoundNewReplicaSet", message, false, now_us);
    }
}

static void rollout_progress(const json_t *deployment, struct deployment_plan *plan, int64_t now_us)
{
    json_t *status = plan->status;
    const json_t *current = condition_of(status, "Progressing");
    bool settled = json_int_or(0, status, "replicas") == json_int_or(0, status, "updatedReplicas") &&
                   current && !strcmp(json_str_or_empty(current, "reason"), "NewReplicaSetAvailable");
    if (settled)
        return;
    int64_t deadline = deadline_us(deployment, current);
    if (deployment_complete(deployment, status))
        progress_set(deployment, plan, "True", "NewReplicaSetAvailable", "has successfully progressed.",
                     false, now_us);
    else if (progressing(json_at(deployment, "status"), status))
        progress_set(deployment, plan, "True", "ReplicaSetUpdated", "is progressing.", true, now_us);
    else if (deadline && deadline < now_us)
        progress_set(deployment, plan, "False", "ProgressDeadlineExceeded", "has timed out progressing.",
                     false, now_us);
    if (!deployment_complete(deployment, status)) {
        deadline = deadline_us(deployment, condition_of(status, "Progressing"));
        plan->due_us = deadline ? deadline + 1000000 : 0;
    }
}

/* The failure to make pods, of the new set first, as the deployment's own condition. */
static void copy_failure(const struct deployment_plan *plan)
{
    const json_t *failure = NULL;
    if (plan->new_index >= 0)
        failure = kube_condition(plan->sets[plan->new_index].rs, "ReplicaFailure");
    for (size_t i = 0; !failure && i < plan->count; i++)
        failure = kube_condition(plan->sets[i].rs, "ReplicaFailure");
    if (!failure) {
        condition_remove(plan->status, "ReplicaFailure");
        return;
    }
    condition_set(plan->status, "ReplicaFailure", json_str_or_empty(failure, "status"),
                  json_str_or_empty(failure, "reason"), json_str_or_empty(failure, "message"), false,
                  kube_time(json_str(failure, "lastTransitionTime")));
}

/* Pausing stops the clock of the deadline; resuming starts it anew. */
static void note_pause(const json_t *deployment, struct deployment_plan *plan, int64_t now_us)
{
    const char *reason = json_str_or_empty(condition_of(plan->status, "Progressing"), "reason");
    bool paused = json_bool_at(deployment, "spec", "paused");
    bool noted = !strcmp(reason, "DeploymentPaused");
    if (!strcmp(reason, "ProgressDeadlineExceeded"))
        return;
    if (paused && !noted)
        condition_set(plan->status, "Progressing", "Unknown", "DeploymentPaused", "Deployment is paused",
                      false, now_us);
    else if (!paused && noted)
        condition_set(plan->status, "Progressing", "Unknown", "DeploymentResumed", "Deployment is resumed",
                      false, now_us);
}

void deployment_status(const json_t *deployment, struct deployment_plan *plan, bool rollout, int64_t now_us)
{
    plan->status = count_status(deployment, plan);
    bool deadline = deployment_has_deadline(deployment);
    if (deadline && !kube_deleting(deployment))
        note_pause(deployment, plan, now_us);
    if (deadline && rollout)
        note_new_set(deployment, plan, now_us);
    int64_t available = json_int_or(0, plan->status, "availableReplicas");
    bool enough = available >= deployment_replicas(deployment) - deployment_max_unavailable(deployment);
    if (enough)
        condition_set(plan->status, "Available", "True", "MinimumReplicasAvailable",
                      "Deployment has minimum availability.", false, now_us);
    else
        condition_set(plan->status, "Available", "False", "MinimumReplicasUnavailable",
                      "Deployment does not have minimum availability.", false, now_us);
    if (!rollout)
        return;
    if (!deadline)
        condition_remove(plan->status, "Progressing");
    else if (!plan->create)
        rollout_progress(deployment, plan, now_us);
    copy_failure(plan);
}

json_t *deployment_failed_status(const json_t *deployment, const char *set_name, const char *why,
                                 int64_t now_us)
{
    if (!deployment_has_deadline(deployment))
        return NULL;
    json_t *status = json_deep_copy(json_at(deployment, "status"));
    if (!status)
        status = json_object();
    mem_auto char *message = mem_printf("Failed to create new replica set \"%s\": %s", set_name, why);
    condition_set(status, "Progressing", "False", "ReplicaSetCreateError", message, false, now_us);
    return status;
}
