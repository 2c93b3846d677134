/*
 * The node life cycle: a node that is not heard of becomes Unknown and its pods not ready, and taints follow
 * the conditions. Keys: names of nodes.
 *
 * A node that takes part in the chain is heard of as long as its peers reach it (client_liveness): it writes
 * no heartbeats, and there is no timer until one is out of reach. A node that is only an object, as a kubelet
 * of another make would register, is heard of when its Lease is renewed or its status changes; the time that
 * counts is that of this host's clock when it saw the change. The own node lives as long as the process.
 *
 * In a partition each side finds the nodes of the other lost, and is right: it cannot reach them. Whoever
 * comes back says itself that it is ready (kubelet/node.c).
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
    /* Name to {mark: what was observed, live: whether it could be reached, at: when that was seen, in us}. */
    json_t *seen;
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

static void node_again(struct controller *self, const struct watched *kind, const json_t *object)
{
    if (kind->id == KIND_NODE)
        controller_add_object(self, object);
}

/* When the node was last heard of; *first: it was not known before. */
static int64_t last_heard(struct node_controller *c, const char *name, const char *mark, bool live,
                          int64_t now_us, bool *first)
{
    pthread_mutex_lock(&c->lock);
    json_t *seen = json_object_get(c->seen, name);
    *first = !seen;
    if (!seen || live || json_bool_at(seen, "live") || strcmp(json_str_or_empty(seen, "mark"), mark) != 0) {
        seen = json_pack("{ss sb sI}", "mark", mark, "live", live, "at", (json_int_t)now_us);
        json_object_set_new(c->seen, name, seen);
    }
    int64_t at = json_int_or(0, seen, "at");
    pthread_mutex_unlock(&c->lock);
    return at;
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

/* When the node counts as lost unless it is heard of until then; INT64_MAX: never as things are. */
static int lost_due_us(struct node_controller *c, const json_t *node, int64_t now_us, int64_t *due_us,
                       struct err *err)
{
    struct controller *self = &c->base;
    const char *name = kube_name(node);
    bool own = self->options->node_name && !strcmp(self->options->node_name, name);
    bool live = own || client_liveness(self->client, name) == CLIENT_LIVE;
    mem_auto char *mark = NULL;
    int rc = read_mark(self, node, &mark, err);
    if (rc)
        return rc;
    bool first;
    int64_t heard = last_heard(c, name, mark, live, now_us, &first);
    if (first && now_us - kube_created(node) < NEW_US)
        event_record_kind(self->events, "v1", "Node", node, EVENT_NORMAL, "RegisteredNode",
                          "Node %s event: Registered Node %s in Controller", name, name);
    int64_t grace = self->options->node_grace_us;
    *due_us = live ? INT64_MAX : heard + (kube_condition(node, "Ready") ? grace : grace * 3 / 2);
    return 0;
}

static void forget_node(struct node_controller *c, const char *name)
{
    pthread_mutex_lock(&c->lock);
    json_object_del(c->seen, name);
    pthread_mutex_unlock(&c->lock);
}

static int node_sync(struct controller *self, const struct sync_in *in, int64_t *again_us, struct err *err)
{
    struct node_controller *c = (struct node_controller *)self;
    json_auto_t *node = NULL;
    int64_t due;
    int rc = client_get(self->client, &kube_nodes, NULL, in->key, &node, err);
    if (rc == ERR_NOT_FOUND) {
        forget_node(c, in->key);
        return 0;
    }
    if (rc || (rc = lost_due_us(c, node, in->now_us, &due, err)))
        return rc;
    bool lost = due <= in->now_us;
    if (lost && (rc = mark_lost(self, &node, in->now_us, err)))
        return rc;
    /* A lost node is looked at again when something of it changes. */
    if (!lost && due != INT64_MAX)
        *again_us = due - in->now_us;
    return sync_taints(self, node, in->now_us, err);
}

/* What was seen of it is not kept up any more, and must not be taken for news later. */
static void node_left_out(struct controller *self, const char *key)
{
    forget_node((struct node_controller *)self, key);
}

const struct controller_type node_controller = {
    .name = "node",
    .component = "node-controller",
    .size = sizeof(struct node_controller),
    .start = node_start,
    .stop = node_stop,
    .event = node_event,
    .again = node_again,
    .left_out = node_left_out,
    .sync = node_sync,
};
