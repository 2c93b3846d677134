/*
 * The node life cycle: a node that is not heard of becomes Unknown and its pods not ready, and taints follow
 * the conditions. Keys: names of nodes.
 *
 * A node is heard of when its Lease is renewed, its status changes, or node_seen says so; the time that
 * counts is that of this host's clock when it saw the change. The own node lives as long as the process: it
 * needs no timer, and so an idle cluster of one node writes and wakes nothing.
 */
#include "controller/manager_internal.h"

#include "base/mem.h"
#include "base/timefmt.h"
#include "codec/json.h"
#include "controller/node_plan.h"

#include <string.h>

#define NEW_US 60000000LL /* a node younger than this is announced */
#define LEASE_NAMESPACE "kube-node-lease"

struct node_controller {
    struct controller base;
    pthread_mutex_t lock;
    json_t *seen; /* name to {mark: what was observed, at: when, in microseconds} */
};

static void node_start(struct controller *self)
{
    struct node_controller *c = (struct node_controller *)self;
    pthread_mutex_init(&c->lock, NULL);
    c->seen = json_object();
}

static void node_stop(struct controller *self)
{
    struct node_controller *c = (struct node_controller *)self;
    json_decref(c->seen);
    pthread_mutex_destroy(&c->lock);
}

static void node_event(struct controller *self, const struct watched *kind, enum client_event event,
                       const json_t *object)
{
    bool lease =
        kind->id == KIND_LEASE && event != CLIENT_DELETED && !strcmp(kube_namespace(object), LEASE_NAMESPACE);
    if (kind->id == KIND_NODE || lease)
        controller_add(self, kube_name(object));
}

/* When the node was last heard of; *first: it was not known before. */
static int64_t last_heard(struct node_controller *c, const char *name, const char *mark, int64_t now_us,
                          bool *first)
{
    pthread_mutex_lock(&c->lock);
    json_t *seen = json_object_get(c->seen, name);
    *first = !seen;
    if (!seen || strcmp(json_str_or_empty(seen, "mark"), mark) != 0) {
        seen = json_pack("{ss sI}", "mark", mark, "at", (json_int_t)now_us);
        json_object_set_new(c->seen, name, seen);
    }
    int64_t at = json_int_or(0, seen, "at");
    pthread_mutex_unlock(&c->lock);
    const struct manager_options *options = c->base.options;
    int64_t other = options->node_seen ? options->node_seen(options->arg, name) : 0;
    return other > at ? other : at;
}

static int read_mark(struct controller *self, const json_t *node, char **mark, struct err *err)
{
    json_auto_t *lease = NULL;
    int rc = client_get(self->client, &kube_leases, LEASE_NAMESPACE, kube_name(node), &lease, err);
    if (rc && rc != ERR_NOT_FOUND)
        return rc;
    *mark = mem_printf("%s %s", json_str_or_empty(lease, "spec", "renewTime"),
                       json_str_or_empty(kube_condition(node, "Ready"), "lastHeartbeatTime"));
    return 0;
}

static int mark_pod_not_ready(struct controller *self, json_t *pod, int64_t now_us, struct err *err)
{
    json_t *ready = kube_condition(pod, "Ready");
    if (!ready || strcmp(json_str_or_empty(ready, "status"), "True") != 0)
        return 0;
    char now[TIMEFMT_MAX];
    timefmt_seconds(now, now_us / 1000000);
    json_set_str(ready, "status", "False");
    json_set_str(ready, "lastTransitionTime", now);
    int rc = client_update(self->client, &kube_pods, "status", pod, NULL, err);
    if (!rc)
        event_record_kind(self->events, "v1", "Pod", pod, EVENT_WARNING, "NodeNotReady", "Node is not ready");
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

static int mark_pods_not_ready(struct controller *self, const char *node, int64_t now_us, struct err *err)
{
    mem_auto char *selector = mem_printf("spec.nodeName=%s", node);
    json_auto_t *pods = NULL;
    int rc = client_list(self->client, &kube_pods, NULL, NULL, selector, &pods, err);
    for (size_t i = 0; !rc && i < json_array_size(pods); i++)
        rc = mark_pod_not_ready(self, json_array_get(pods, i), now_us, err);
    return rc;
}

/* Writes the status of a node that was lost; *node becomes the new one. */
static int mark_lost(struct controller *self, json_t **node, int64_t now_us, struct err *err)
{
    json_auto_t *status = node_lost_status(*node, now_us);
    if (!kube_equal(status, json_at(*node, "status"))) {
        json_object_set(*node, "status", status);
        json_t *written = NULL;
        int rc = client_update(self->client, &kube_nodes, "status", *node, &written, err);
        if (rc)
            return rc;
        json_decref(*node);
        *node = written;
        event_record_kind(self->events, "v1", "Node", *node, EVENT_NORMAL, "NodeNotReady",
                          "Node %s status is now: NodeNotReady", kube_name(*node));
    }
    return mark_pods_not_ready(self, kube_name(*node), now_us, err);
}

static int sync_taints(struct controller *self, json_t *node, int64_t now_us, struct err *err)
{
    json_auto_t *taints = node_taints(node, now_us);
    if (kube_equal(taints, json_at(node, "spec", "taints")))
        return 0;
    json_auto_t *patch = json_pack("{s{ss ss*} s{sO}}", "metadata", "uid", kube_uid(node), "resourceVersion",
                                   json_str(node, "metadata", "resourceVersion"), "spec", "taints", taints);
    return client_patch(self->client, &kube_nodes, NULL, NULL, kube_name(node), CLIENT_PATCH_MERGE, patch,
                        NULL, err);
}

static int node_sync(struct controller *self, const struct sync_in *in, int64_t *again_us, struct err *err)
{
    struct node_controller *c = (struct node_controller *)self;
    json_auto_t *node = NULL;
    int rc = client_get(self->client, &kube_nodes, NULL, in->key, &node, err);
    if (rc == ERR_NOT_FOUND) {
        pthread_mutex_lock(&c->lock);
        json_object_del(c->seen, in->key);
        pthread_mutex_unlock(&c->lock);
        return 0;
    }
    mem_auto char *mark = NULL;
    if (rc || (rc = read_mark(self, node, &mark, err)))
        return rc;
    bool first;
    int64_t heard = last_heard(c, in->key, mark, in->now_us, &first);
    if (first && in->now_us - kube_created(node) < NEW_US)
        event_record_kind(self->events, "v1", "Node", node, EVENT_NORMAL, "RegisteredNode",
                          "Node %s event: Registered Node %s in Controller", in->key, in->key);
    bool own = self->options->node_name && !strcmp(self->options->node_name, in->key);
    int64_t grace = self->options->node_grace_us;
    int64_t due = heard + (kube_condition(node, "Ready") ? grace : grace * 3 / 2); /* a start takes longer */
    bool lost = !own && due <= in->now_us;
    if (lost && (rc = mark_lost(self, &node, in->now_us, err)))
        return rc;
    /* A lost node is looked at again when something of it changes. */
    if (!own && !lost)
        *again_us = due - in->now_us;
    return sync_taints(self, node, in->now_us, err);
}

const struct controller_type node_controller = {
    .name = "node",
    .component = "node-controller",
    .size = sizeof(struct node_controller),
    .start = node_start,
    .stop = node_stop,
    .event = node_event,
    .sync = node_sync,
};
