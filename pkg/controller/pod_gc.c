/*
 * Collection of pods that nobody else ends: those bound to a node that is gone, those deleted before they
 * were bound, and the oldest of too many that have ended. Keys: "node/name", "pod/ns/name", "ended".
 */
#include "controller/manager_internal.h"

#include "base/mem.h"
#include "codec/json.h"

#include <stdlib.h>
#include <string.h>

#define ENDED_MAX 12500
#define NODE_BACK_GRACES 4

struct pod_gc_controller {
    struct controller base;
    pthread_mutex_t lock;
    json_t *nodes; /* set of names */
    json_t *ended; /* set of keys of pods that have ended */
};

static void pod_gc_start(struct controller *self)
{
    struct pod_gc_controller *c = (struct pod_gc_controller *)self;
    pthread_mutex_init(&c->lock, NULL);
    c->nodes = json_object();
    c->ended = json_object();
}

static void pod_gc_stop(struct controller *self)
{
    struct pod_gc_controller *c = (struct pod_gc_controller *)self;
    json_decref(c->nodes);
    json_decref(c->ended);
    pthread_mutex_destroy(&c->lock);
}

static void add_node_key(struct controller *self, const char *node)
{
    mem_auto char *key = mem_printf("node/%s", node);
    /* A node that vanished may come back at once. */
    controller_add_after(self, key, self->options->node_grace_us * NODE_BACK_GRACES);
}

static void add_unbound_key(struct controller *self, const json_t *pod)
{
    char key[KUBE_KEY_MAX];
    kube_key(key, pod);
    mem_auto char *pod_key = mem_printf("pod/%s", key);
    controller_add(self, pod_key);
}

static void node_event(struct pod_gc_controller *c, enum client_event event, const json_t *node)
{
    pthread_mutex_lock(&c->lock);
    if (event == CLIENT_DELETED)
        json_object_del(c->nodes, kube_name(node));
    else
        json_object_set_new(c->nodes, kube_name(node), json_true());
    pthread_mutex_unlock(&c->lock);
    if (event == CLIENT_DELETED)
        add_node_key(&c->base, kube_name(node));
}

static void pod_event(struct pod_gc_controller *c, enum client_event event, const json_t *pod)
{
    char key[KUBE_KEY_MAX];
    kube_key(key, pod);
    const char *node = json_str_or_empty(pod, "spec", "nodeName");
    bool deleted = event == CLIENT_DELETED;
    pthread_mutex_lock(&c->lock);
    if (!deleted && kube_pod_terminal(pod))
        json_object_set_new(c->ended, key, json_true());
    else
        json_object_del(c->ended, key);
    bool too_many = json_object_size(c->ended) > ENDED_MAX;
    bool lost = !deleted && *node && !json_object_get(c->nodes, node);
    pthread_mutex_unlock(&c->lock);
    if (lost)
        add_node_key(&c->base, node);
    if (too_many)
        controller_add_after(&c->base, "ended", 1000000);
    if (!deleted && !*node && kube_deleting(pod))
        add_unbound_key(&c->base, pod);
}

static void pod_gc_event(struct controller *self, const struct watched *kind, enum client_event event,
                         const json_t *object)
{
    struct pod_gc_controller *c = (struct pod_gc_controller *)self;
    if (kind->id == KIND_NODE)
        node_event(c, event, object);
    else if (kind->id == KIND_POD)
        pod_event(c, event, object);
}

static void pod_gc_again(struct controller *self, const struct watched *kind, const json_t *object)
{
    struct pod_gc_controller *c = (struct pod_gc_controller *)self;
    if (kind->id != KIND_POD)
        return;
    const char *node = json_str_or_empty(object, "spec", "nodeName");
    pthread_mutex_lock(&c->lock);
    bool too_many = json_object_size(c->ended) > ENDED_MAX;
    bool lost = *node && !json_object_get(c->nodes, node);
    pthread_mutex_unlock(&c->lock);
    if (lost)
        add_node_key(self, node);
    if (too_many)
        controller_add_after(self, "ended", 1000000);
    if (!*node && kube_deleting(object))
        add_unbound_key(self, object);
}

/* Without grace: there is nobody who would end it gracefully. */
static int delete_pod(struct controller *self, const json_t *pod, struct err *err)
{
    json_auto_t *options =
        json_pack("{si s{ss}}", "gracePeriodSeconds", 0, "preconditions", "uid", kube_uid(pod));
    int rc = client_delete(self->client, &kube_pods, kube_namespace(pod), kube_name(pod), options, err);
    return rc == ERR_NOT_FOUND || rc == ERR_CONFLICT ? 0 : rc;
}

static int sync_node(struct controller *self, const char *name, struct err *err)
{
    json_auto_t *node = NULL;
    int rc = client_get(self->client, &kube_nodes, NULL, name, &node, err);
    if (rc != ERR_NOT_FOUND)
        return rc;
    mem_auto char *selector = mem_printf("spec.nodeName=%s", name);
    json_auto_t *pods = NULL;
    rc = client_list(self->client, &kube_pods, NULL, NULL, selector, &pods, err);
    for (size_t i = 0; !rc && i < json_array_size(pods); i++)
        rc = delete_pod(self, json_array_get(pods, i), err);
    return rc;
}

static int sync_unbound(struct controller *self, char *key, struct err *err)
{
    const char *namespace, *name;
    kube_key_split(key, &namespace, &name);
    json_auto_t *pod = NULL;
    int rc = client_get(self->client, &kube_pods, namespace, name, &pod, err);
    if (rc)
        return rc == ERR_NOT_FOUND ? 0 : rc;
    if (!kube_deleting(pod) || *json_str_or_empty(pod, "spec", "nodeName"))
        return 0;
    return delete_pod(self, pod, err);
}

static int compare_created(const void *x, const void *y)
{
    int64_t a = kube_created(*(json_t *const *)x), b = kube_created(*(json_t *const *)y);
    return a < b ? -1 : a > b;
}

static int sync_ended(struct controller *self, struct err *err)
{
    json_auto_t *pods = NULL;
    int rc = client_list(self->client, &kube_pods, NULL, NULL, NULL, &pods, err);
    if (rc)
        return rc;
    mem_auto json_t **ended = mem_calloc(json_array_size(pods), sizeof(json_t *));
    size_t n = 0, i;
    json_t *pod;
    json_array_foreach(pods, i, pod)
    {
        if (kube_pod_terminal(pod))
            ended[n++] = pod;
    }
    qsort(ended, n, sizeof(json_t *), compare_created);
    for (i = 0; !rc && i + ENDED_MAX < n; i++)
        rc = delete_pod(self, ended[i], err);
    return rc;
}

static int pod_gc_sync(struct controller *self, const struct sync_in *in, int64_t *again_us, struct err *err)
{
    (void)again_us;
    mem_auto char *key = mem_strdup(in->key);
    if (!strncmp(key, "node/", 5))
        return sync_node(self, key + 5, err);
    if (!strncmp(key, "pod/", 4))
        return sync_unbound(self, key + 4, err);
    return sync_ended(self, err);
}

const struct controller_type pod_gc_controller = {
    .name = "pod-gc",
    .size = sizeof(struct pod_gc_controller),
    .start = pod_gc_start,
    .stop = pod_gc_stop,
    .event = pod_gc_event,
    .again = pod_gc_again,
    .sync = pod_gc_sync,
};
