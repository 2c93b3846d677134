/* The ReplicaSet controller: keeps as many pods as a set asks for. Keys: see adopter.h. */
#include "controller/adopter.h"

#include "codec/json.h"
#include "controller/replicaset_plan.h"
#include "base/mem.h"

#include <string.h>

static void replicaset_event(struct controller *self, const struct watched *kind, enum client_event event,
                             const json_t *object)
{
    if (kind->id == KIND_REPLICASET)
        controller_add_object(self, object);
    else if (kind->id == KIND_POD)
        adopter_event(self, "ReplicaSet", event, object);
}

static void replicaset_again(struct controller *self, const struct watched *kind, const json_t *object)
{
    if (kind->id == KIND_REPLICASET)
        controller_add_object(self, object);
}

static int create_pod(struct controller *self, const json_t *rs, const json_t *pod, json_t *pods,
                      struct err *err)
{
    json_t *created = NULL;
    int rc = client_create(self->client, &kube_pods, kube_namespace(rs), pod, &created, err);
    if (rc && kube_namespace_terminating(err))
        return rc;
    if (rc) {
        event_record_kind(self->events, "apps/v1", "ReplicaSet", rs, EVENT_WARNING, "FailedCreate",
                          "Error creating: %s", err->message);
        return rc;
    }
    event_record_kind(self->events, "apps/v1", "ReplicaSet", rs, EVENT_NORMAL, "SuccessfulCreate",
                      "Created pod: %s", kube_name(created));
    json_array_append_new(pods, created);
    return 0;
}

/* Batches grow from one pod, so that a set whose pods are refused costs few requests. */
static int create_pods(struct controller *self, const json_t *rs, int count, json_t *pods, struct err *err)
{
    json_auto_t *pod = replicaset_pod(rs);
    for (int batch = 0; count > 0;) {
        batch = replicaset_next_batch(batch, count);
        for (int i = 0; i < batch; i++) {
            int rc = create_pod(self, rs, pod, pods, err);
            if (rc)
                return rc;
        }
        count -= batch;
    }
    return 0;
}

static int remove_pods(struct controller *self, const json_t *rs, const json_t *chosen, struct err *err)
{
    size_t i;
    json_t *pod;
    json_array_foreach(chosen, i, pod)
    {
        json_auto_t *options = json_pack("{s{ss}}", "preconditions", "uid", kube_uid(pod));
        int rc = client_delete(self->client, &kube_pods, kube_namespace(pod), kube_name(pod), options, err);
        if (rc && rc != ERR_NOT_FOUND) {
            event_record_kind(self->events, "apps/v1", "ReplicaSet", rs, EVENT_WARNING, "FailedDelete",
                              "Error deleting: %s", err->message);
            return rc;
        }
        if (!rc)
            event_record_kind(self->events, "apps/v1", "ReplicaSet", rs, EVENT_NORMAL, "SuccessfulDelete",
                              "Deleted pod: %s", kube_name(pod));
    }
    return 0;
}

static int write_status(struct controller *self, json_t *rs, json_t *status, struct err *err)
{
    if (kube_equal(json_at(rs, "status"), status))
        return 0;
    json_object_set(rs, "status", status);
    return client_update(self->client, &kube_replicasets, "status", rs, NULL, err);
}

static int sync_set(struct adopter *self, const char *namespace, const char *name, int64_t now_us,
                    int64_t *again_us, struct err *err)
{
    struct controller *base = &self->base;
    json_auto_t *rs = NULL;
    json_auto_t *pods = NULL;
    int rc = client_get(base->client, &kube_replicasets, namespace, name, &rs, err);
    if (rc)
        return rc == ERR_NOT_FOUND ? 0 : rc;
    struct ownership ownership = {base->client, &kube_pods, &self->orphans, "apps/v1", "ReplicaSet", rs};
    rc = ownership_claim(&ownership, &pods, err);
    if (rc)
        return rc;
    struct replicaset_plan plan;
    replicaset_plan(&plan, rs, pods, now_us);
    json_auto_t *remove = plan.remove;
    const char *failure = NULL;
    int manage_rc = 0;
    if (plan.create && (manage_rc = create_pods(base, rs, plan.create, pods, err)))
        failure = kube_namespace_terminating(err) ? NULL : "FailedCreate";
    else if (remove && (manage_rc = remove_pods(base, rs, remove, err)))
        failure = "FailedDelete";
    mem_auto char *message = mem_strdup(err->message);

    /* Pods that were removed just now still count: their own change brings the set back here. */
    int64_t due_us = 0;
    json_auto_t *status = replicaset_status(rs, pods, failure, message, now_us, &due_us);
    if (due_us)
        *again_us = due_us - now_us;
    struct err status_err = {0};
    rc = write_status(base, rs, status, &status_err);
    if (manage_rc)
        return manage_rc;
    if (rc)
        *err = status_err;
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

static int replicaset_sync(struct controller *self, const struct sync_in *in, int64_t *again_us,
                           struct err *err)
{
    mem_auto char *key = NULL;
    const char *namespace, *name;
    if (adopter_key_split(in->key, &key, &namespace, &name))
        return adopter_find_owners(self, &kube_pods, &kube_replicasets, namespace, name, err);
    return sync_set((struct adopter *)self, namespace, name, in->now_us, again_us, err);
}

const struct controller_type replicaset_controller = {
    .name = "replicaset",
    .component = "replicaset-controller",
    .size = sizeof(struct adopter),
    .start = adopter_start,
    .stop = adopter_stop,
    .event = replicaset_event,
    .again = replicaset_again,
    .shared = adopter_key_is_orphan,
    .sync = replicaset_sync,
};
