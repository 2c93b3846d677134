/* Eviction by taints: pods leave a node whose NoExecute taints they do not tolerate, or no longer do. Keys:
 * nodes. */
#include "controller/manager_internal.h"

#include "base/mem.h"
#include "base/timefmt.h"
#include "codec/json.h"
#include "controller/node_plan.h"

#include <string.h>

#define POD_DELAY_US 10000 /* several pods of a node at once are one look */

struct taint_controller {
    struct controller base;
    pthread_mutex_t lock;
    json_t *tainted; /* set of nodes that evict */
};

static void taint_start(struct controller *self)
{
    struct taint_controller *c = (struct taint_controller *)self;
    pthread_mutex_init(&c->lock, NULL);
    c->tainted = json_object();
}

static void taint_stop(struct controller *self)
{
    struct taint_controller *c = (struct taint_controller *)self;
    json_decref(c->tainted);
    pthread_mutex_destroy(&c->lock);
}

static bool node_evicts(const json_t *node)
{
    size_t i;
    json_t *taint;
    json_array_foreach(json_at(node, "spec", "taints"), i, taint)
    {
        if (!strcmp(json_str_or_empty(taint, "effect"), "NoExecute"))
            return true;
    }
    return false;
}

static void taint_event(struct controller *self, const struct watched *kind, enum client_event event,
                        const json_t *object)
{
    struct taint_controller *c = (struct taint_controller *)self;
    if (kind->id != KIND_NODE && kind->id != KIND_POD)
        return;
    const char *node =
        kind->id == KIND_NODE ? kube_name(object) : json_str_or_empty(object, "spec", "nodeName");
    bool evicts;
    pthread_mutex_lock(&c->lock);
    if (kind->id == KIND_NODE && (event == CLIENT_DELETED || !node_evicts(object)))
        json_object_del(c->tainted, node);
    else if (kind->id == KIND_NODE)
        json_object_set_new(c->tainted, node, json_true());
    evicts = json_object_get(c->tainted, node);
    pthread_mutex_unlock(&c->lock);
    if (evicts && kind->id == KIND_NODE)
        controller_add(self, node);
    else if (evicts && event != CLIENT_DELETED && !kube_deleting(object))
        controller_add_after(self, node, POD_DELAY_US);
}

static void taint_again(struct controller *self, const struct watched *kind, const json_t *object)
{
    if (kind->id == KIND_NODE && node_evicts(object))
        controller_add_object(self, object);
}

static int mark_disrupted(struct controller *self, const json_t *pod, int64_t now_us, struct err *err)
{
    char now[TIMEFMT_MAX];
    timefmt_seconds(now, now_us / 1000000);
    json_t *conditions = json_deep_copy(json_at(pod, "status", "conditions"));
    if (!conditions)
        conditions = json_array();
    json_array_append_new(conditions,
                          json_pack("{ss ss ss ss ss}", "type", "DisruptionTarget", "status", "True",
                                    "lastTransitionTime", now, "reason", "DeletionByTaintManager", "message",
                                    "Taint manager: deleting due to NoExecute taint"));
    json_auto_t *patch =
        json_pack("{s{ss} s{so}}", "metadata", "uid", kube_uid(pod), "status", "conditions", conditions);
    return client_patch(self->client, &kube_pods, "status", kube_namespace(pod), kube_name(pod),
                        CLIENT_PATCH_MERGE, patch, NULL, err);
}

static int evict(struct controller *self, const json_t *pod, int64_t now_us, struct err *err)
{
    event_record_kind(self->events, "v1", "Pod", pod, EVENT_NORMAL, "TaintManagerEviction",
                      "Marking for deletion Pod %s/%s", kube_namespace(pod), kube_name(pod));
    int rc = kube_condition(pod, "DisruptionTarget") ? 0 : mark_disrupted(self, pod, now_us, err);
    json_auto_t *options = json_pack("{s{ss}}", "preconditions", "uid", kube_uid(pod));
    if (!rc)
        rc = client_delete(self->client, &kube_pods, kube_namespace(pod), kube_name(pod), options, err);
    return rc == ERR_NOT_FOUND || rc == ERR_CONFLICT ? 0 : rc;
}

static int taint_sync(struct controller *self, const struct sync_in *in, int64_t *again_us, struct err *err)
{
    json_auto_t *node = NULL;
    int rc = client_get(self->client, &kube_nodes, NULL, in->key, &node, err);
    if (rc || !node_evicts(node))
        return rc == ERR_NOT_FOUND ? 0 : rc;
    mem_auto char *selector = mem_printf("spec.nodeName=%s", in->key);
    json_auto_t *pods = NULL;
    rc = client_list(self->client, &kube_pods, NULL, NULL, selector, &pods, err);
    int64_t next = INT64_MAX;
    size_t i;
    json_t *pod;
    json_array_foreach(pods, i, pod)
    {
        if (!kube_pod_active(pod))
            continue;
        int64_t due = taint_eviction_us(json_at(node, "spec", "taints"), pod, in->now_us);
        if (due > in->now_us)
            next = due < next ? due : next;
        else if (!rc)
            rc = evict(self, pod, in->now_us, err);
    }
    if (next != INT64_MAX)
        *again_us = next - in->now_us;
    return rc;
}

const struct controller_type taint_controller = {
    .name = "taint-eviction",
    .component = "taint-eviction-controller",
    .size = sizeof(struct taint_controller),
    .start = taint_start,
    .stop = taint_stop,
    .event = taint_event,
    .again = taint_again,
    .sync = taint_sync,
};
