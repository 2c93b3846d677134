/* The Deployment controller: carries out what deployment_plan.h decides. Keys: see adopter.h. */
#include "controller/adopter.h"

#include "base/clock.h"
#include "base/mem.h"
#include "codec/json.h"
#include "controller/deployment_plan.h"

#include <string.h>

/* Recreate waits for the last old pod to go. The name of a set is its deployment's with the hash behind. */
static void pod_gone(struct controller *self, const json_t *pod)
{
    const json_t *ref = kube_controller(pod);
    const char *set = json_str_or_empty(ref, "name");
    const char *dash = strrchr(set, '-');
    char key[KUBE_KEY_MAX];
    if (!dash || !kube_label(pod, "pod-template-hash"))
        return;
    snprintf(key, sizeof(key), "%s/%.*s", kube_namespace(pod), (int)(dash - set), set);
    controller_add(self, key);
}

static void deployment_event(struct controller *self, const struct watched *kind, enum client_event event,
                             const json_t *object)
{
    if (kind->id == KIND_DEPLOYMENT && event != CLIENT_DELETED)
        controller_add_object(self, object);
    else if (kind->id == KIND_REPLICASET)
        adopter_event(self, "Deployment", event, object);
    else if (kind->id == KIND_POD && event == CLIENT_DELETED)
        pod_gone(self, object);
}

static void deployment_again(struct controller *self, const struct watched *kind, const json_t *object)
{
    if (kind->id == KIND_DEPLOYMENT)
        controller_add_object(self, object);
}

/* Whether a pod of a set with another template has not ended. */
static int find_old_pods(struct controller *self, const json_t *deployment, const json_t *sets, bool *found,
                         struct err *err)
{
    size_t i, j;
    json_t *rs, *pod;
    json_array_foreach(sets, i, rs)
    {
        json_auto_t *pods = NULL;
        if (deployment_template_equal(deployment, rs))
            continue;
        int rc = kube_list_owned(self->client, &kube_pods, kube_namespace(rs), kube_uid(rs), &pods, err);
        if (rc)
            return rc;
        json_array_foreach(pods, j, pod) *found |= !kube_pod_terminal(pod);
    }
    return 0;
}

static void record_scaled(struct controller *self, const json_t *deployment, const json_t *rs, int64_t from)
{
    int64_t to = json_int_or(0, rs, "spec", "replicas");
    if (from != to)
        event_record_kind(self->events, "apps/v1", "Deployment", deployment, EVENT_NORMAL,
                          "ScalingReplicaSet", "Scaled %s replica set %s from %lld to %lld",
                          from < to ? "up" : "down", kube_name(rs), (long long)from, (long long)to);
}

/* The name is taken: by a set of another template or owner, else this was a race that the next try sees. */
static int resolve_collision(struct controller *self, json_t *deployment, const json_t *wanted,
                             struct err *err)
{
    json_auto_t *rs = NULL;
    struct err found = {0};
    int rc =
        client_get(self->client, &kube_replicasets, kube_namespace(wanted), kube_name(wanted), &rs, &found);
    if (rc || (kube_controlled_by(rs, kube_uid(deployment)) && deployment_template_equal(deployment, rs)))
        return ERR_EXISTS;
    json_t *status = json_object_ensure(deployment, "status");
    json_set_int(status, "collisionCount", json_int_or(0, status, "collisionCount") + 1);
    rc = client_update(self->client, &kube_deployments, "status", deployment, NULL, err);
    return rc ? rc : ERR_EXISTS;
}

/* Tells why the new set cannot be made, as a condition too where the deployment has a deadline. */
static int report_create_failure(struct controller *self, json_t *deployment, const char *name,
                                 struct err *err)
{
    event_record_kind(self->events, "apps/v1", "Deployment", deployment, EVENT_WARNING,
                      "ReplicaSetCreateError", "Failed to create new replica set \"%s\": %s", name,
                      err->message);
    json_auto_t *status = deployment_failed_status(deployment, name, err->message, clock_wall_us());
    if (status && !kube_equal(json_at(deployment, "status"), status)) {
        json_object_set(deployment, "status", status);
        client_update(self->client, &kube_deployments, "status", deployment, NULL, NULL);
    }
    return err->code;
}

static int apply_sets(struct controller *self, json_t *deployment, struct deployment_plan *plan,
                      struct err *err)
{
    for (size_t i = 0; i < plan->count; i++) {
        struct deployment_set *set = &plan->sets[i];
        bool create = plan->create && (int)i == plan->new_index;
        int rc = 0;
        if (create)
            rc = client_create(self->client, &kube_replicasets, kube_namespace(set->rs), set->rs, NULL, err);
        else if (set->dirty)
            rc = client_update(self->client, &kube_replicasets, NULL, set->rs, NULL, err);
        if (rc == ERR_EXISTS && create)
            return resolve_collision(self, deployment, set->rs, err);
        if (rc && create)
            return report_create_failure(self, deployment, kube_name(set->rs), err);
        if (rc)
            return rc;
        if (create || set->dirty)
            record_scaled(self, deployment, set->rs, set->from);
    }
    return 0;
}

static int apply_removals(struct controller *self, const json_t *deployment, const json_t *names,
                          struct err *err)
{
    size_t i;
    json_t *name;
    json_array_foreach(names, i, name)
    {
        int rc = client_delete(self->client, &kube_replicasets, kube_namespace(deployment),
                               json_string_value(name), NULL, err);
        if (rc && rc != ERR_NOT_FOUND)
            return rc;
    }
    return 0;
}

/* The revision is written with the status: as an annotation of what is wanted it would be a new generation.
 */
static int apply_status(struct controller *self, json_t *deployment, const struct deployment_plan *plan,
                        struct err *err)
{
    if (!plan->revision && kube_equal(json_at(deployment, "status"), plan->status))
        return 0;
    if (plan->revision) {
        json_t *metadata = json_object_ensure(deployment, "metadata");
        json_set_str(json_object_ensure(metadata, "annotations"), "deployment.kubernetes.io/revision",
                     plan->revision);
    }
    json_object_set(deployment, "status", plan->status);
    return client_update(self->client, &kube_deployments, "status", deployment, NULL, err);
}

static int apply_plan(struct controller *self, json_t *deployment, struct deployment_plan *plan,
                      struct err *err)
{
    int rc = apply_sets(self, deployment, plan, err);
    if (!rc)
        rc = apply_removals(self, deployment, plan->removals, err);
    return rc ? rc : apply_status(self, deployment, plan, err);
}

static int sync_deployment(struct adopter *self, const char *namespace, const char *name, int64_t now_us,
                           int64_t *again_us, struct err *err)
{
    struct controller *base = &self->base;
    json_auto_t *deployment = NULL;
    json_auto_t *sets = NULL;
    int rc = client_get(base->client, &kube_deployments, namespace, name, &deployment, err);
    if (rc)
        return rc == ERR_NOT_FOUND ? 0 : rc;
    struct ownership ownership = {base->client, &kube_replicasets, &self->orphans,
                                  "apps/v1",    "Deployment",      deployment};
    rc = ownership_claim(&ownership, &sets, err);
    bool old_pods = false;
    if (!rc && deployment_is_recreate(deployment))
        rc = find_old_pods(base, deployment, sets, &old_pods, err);
    if (rc)
        return rc;
    struct deployment_plan plan;
    deployment_plan(&plan, deployment, sets, old_pods, now_us);
    if (plan.due_us)
        *again_us = plan.due_us > now_us ? plan.due_us - now_us : 1;
    rc = apply_plan(base, deployment, &plan, err);
    deployment_plan_free(&plan);
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

static int deployment_sync(struct controller *self, const struct sync_in *in, int64_t *again_us,
                           struct err *err)
{
    mem_auto char *key = NULL;
    const char *namespace, *name;
    if (adopter_key_split(in->key, &key, &namespace, &name))
        return adopter_find_owners(self, &kube_replicasets, &kube_deployments, namespace, name, err);
    return sync_deployment((struct adopter *)self, namespace, name, in->now_us, again_us, err);
}

const struct controller_type deployment_controller = {
    .name = "deployment",
    .component = "deployment-controller",
    .size = sizeof(struct adopter),
    .start = adopter_start,
    .stop = adopter_stop,
    .event = deployment_event,
    .again = deployment_again,
    .shared = adopter_key_is_orphan,
    .sync = deployment_sync,
};
