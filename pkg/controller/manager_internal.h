/* What the controllers share with their manager. */
#ifndef KATENA_CONTROLLER_MANAGER_INTERNAL_H
#define KATENA_CONTROLLER_MANAGER_INTERNAL_H

#include "client/event.h"
#include "client/kube.h"
#include "controller/manager.h"
#include "object/registry.h"

#include <pthread.h>

/* The kinds that controllers treat specially. */
enum kind_id {
    KIND_OTHER,
    KIND_POD,
    KIND_NODE,
    KIND_SERVICE,
    KIND_ENDPOINTS,
    KIND_ENDPOINTSLICE,
    KIND_NAMESPACE,
    KIND_CONFIGMAP,
    KIND_SERVICEACCOUNT,
    KIND_EVENT,
    KIND_LEASE,
    KIND_DEPLOYMENT,
    KIND_REPLICASET,
    KIND_CLUSTERROLE,
};

/* A kind that the manager watches. */
struct watched {
    struct manager *manager;
    const struct schema_kind *kind;
    enum kind_id id;
    struct client_resource resource;
    struct client_watch *watch;
    bool synced;
};

/* What every controller begins with. */
struct controller {
    const struct controller_type *type;
    struct manager *manager;
    struct client *client;
    const struct manager_options *options;
    int id;
    struct event_recorder *events; /* NULL when the type has no component name */
};

struct sync_in {
    const char *key;
    int64_t now_us; /* wall clock */
};

struct controller_type {
    const char *name;      /* "deployment" */
    const char *component; /* of its events, "deployment-controller"; NULL: it records none */
    size_t size;           /* of its struct, which begins with a struct controller */
    void (*start)(struct controller *self);
    void (*stop)(struct controller *self);
    /* A change, on the dispatcher's thread: queues keys, must not block or call the client. */
    void (*event)(struct controller *self, const struct watched *kind, enum client_event event,
                  const json_t *object);
    /* Reconciles a key, on a worker's thread; never two of the same key at once. *again_us: come back after
     * so long (0: not unless something changes). An error makes it come back after a back-off. */
    int (*sync)(struct controller *self, const struct sync_in *in, int64_t *again_us, struct err *err);
    /* An object that exists, told once more since the nodes that share the work are others now: queues the
     * keys of whatever may still have to be done about it. What event learned stays true. On the
     * dispatcher's thread. NULL: event does just that when it is told of it as CLIENT_ADDED. */
    void (*again)(struct controller *self, const struct watched *kind, const json_t *object);
    /* Whether every node works on this key, since it leads to nothing but other keys. NULL: none is such. */
    bool (*shared)(const char *key);
    /* A key that is another node's was left out, on a worker's thread; NULL: nothing to do. */
    void (*left_out)(struct controller *self, const char *key);
};

/* Asks for a key now, or after a delay. Any thread. */
void controller_add(struct controller *self, const char *key);
void controller_add_after(struct controller *self, const char *key, int64_t delay_us);
/* Asks for the key of an object. */
void controller_add_object(struct controller *self, const json_t *object);

/* The one place where work is divided over nodes. */
bool manager_owns(const struct controller *controller, const char *key);

/* The kinds that are watched, in the registry's order. */
size_t manager_watched_count(const struct manager *manager);
const struct watched *manager_watched_at(const struct manager *manager, size_t index);

extern const struct controller_type deployment_controller, replicaset_controller, garbage_controller,
    namespace_controller, endpoints_controller, serviceaccount_controller, root_ca_controller,
    node_controller, taint_controller, pod_gc_controller, event_ttl_controller, role_controller,
    mirror_controller;

#endif
