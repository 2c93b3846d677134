/*
 * The API as components of the node see it: the requests of Kubernetes' REST API as calls, without HTTP.
 * The scheduler, the controllers, the kubelet and the service proxy use nothing else. `api` implements it
 * in process with the full pipeline (authorization, defaulting, admission, validation, the chain).
 *
 * Ownership: a json_t passed in is borrowed; one passed out is the caller's (json_decref).
 * Threads: any thread; calls block until the change is included in a block. Watch callbacks run on the
 * client's one dispatcher thread, in order, and must not block or make calls: they queue keys.
 */
#ifndef KATENA_CLIENT_CLIENT_H
#define KATENA_CLIENT_CLIENT_H

#include "base/err.h"

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct client;

enum client_verb {
    CLIENT_GET,
    CLIENT_LIST,
    CLIENT_CREATE,
    CLIENT_UPDATE,
    CLIENT_PATCH,
    CLIENT_DELETE,
    CLIENT_DELETE_COLLECTION,
};

enum client_patch { CLIENT_PATCH_JSON, CLIENT_PATCH_MERGE, CLIENT_PATCH_STRATEGIC, CLIENT_PATCH_APPLY };

/* A resource of the API: group "" is core. */
struct client_resource {
    const char *group;
    const char *version;
    const char *resource; /* plural */
};

struct client_request {
    enum client_verb verb;
    struct client_resource resource;
    const char *subresource; /* NULL: none */
    const char *namespace;   /* NULL: cluster scope, or all namespaces in a list */
    const char *name;
    const json_t *body; /* object, patch or delete options */
    enum client_patch patch;
    const char *field_manager; /* NULL: the client's user name */
    bool force;                /* server-side apply: take over conflicting fields */
    bool dry_run;
    const char *label_selector; /* list, deletecollection; NULL: all */
    const char *field_selector;
    const char *owner_uid; /* list: only objects with this owner (an index, not part of REST) */
};

/* One request. *out (may be NULL) is the object, or for a list the whole List object. err->code says why not.
 */
int client_do(struct client *client, const struct client_request *request, json_t **out, struct err *err);

int client_get(struct client *client, const struct client_resource *resource, const char *namespace,
               const char *name, json_t **out, struct err *err);
/* *items is the array of a list. */
int client_list(struct client *client, const struct client_resource *resource, const char *namespace,
                const char *label_selector, const char *field_selector, json_t **items, struct err *err);
int client_create(struct client *client, const struct client_resource *resource, const char *namespace,
                  const json_t *object, json_t **out, struct err *err);
/* The object's metadata names it; a resourceVersion in it is a precondition. subresource may be NULL. */
int client_update(struct client *client, const struct client_resource *resource, const char *subresource,
                  const json_t *object, json_t **out, struct err *err);
int client_patch(struct client *client, const struct client_resource *resource, const char *subresource,
                 const char *namespace, const char *name, enum client_patch type, const json_t *patch,
                 json_t **out, struct err *err);
/* options is a meta/v1 DeleteOptions, or NULL. */
int client_delete(struct client *client, const struct client_resource *resource, const char *namespace,
                  const char *name, const json_t *options, struct err *err);

enum client_event { CLIENT_ADDED, CLIENT_MODIFIED, CLIENT_DELETED, CLIENT_SYNCED };

/* object is borrowed for the call (json_incref to keep it; never change it) and NULL for CLIENT_SYNCED. */
typedef void (*client_watch_fn)(void *arg, enum client_event event, const json_t *object);

struct client_watch;

/* List and watch: every existing object as CLIENT_ADDED, then CLIENT_SYNCED once, then all changes, with no
 * gap, until stopped. namespace and field_selector may be NULL. After client_watch_stop returns, fn is not
 * called again. */
struct client_watch *client_watch_start(struct client *client, const struct client_resource *resource,
                                        const char *namespace, const char *field_selector, client_watch_fn fn,
                                        void *arg);
/* The same over all namespaces for who looks only at kind, apiVersion and metadata, and not at managedFields:
 * the objects may lack the rest, and while changes keep coming they may be told some 20 ms late. */
struct client_watch *client_watch_start_metadata(struct client *client,
                                                 const struct client_resource *resource, client_watch_fn fn,
                                                 void *arg);
void client_watch_stop(struct client_watch *watch);

/* ---- with other nodes ----
 *
 * Work that one node does for all is divided by names: each name belongs to one live node (rendezvous
 * hashing), so a node that goes or comes moves only the work that was or becomes its own. Two nodes may both
 * own a name for a moment; the chain orders what they do. A client without other nodes owns everything. */

/* Whether work under this name is this node's. Cheap; any thread. */
bool client_owns(struct client *client, const void *work, size_t len);

enum client_liveness {
    CLIENT_LIVENESS_UNKNOWN, /* it takes no part in the chain, so nothing is known here */
    CLIENT_LIVE,
    CLIENT_DOWN, /* it takes part, and cannot be reached from here */
};
enum client_liveness client_liveness(struct client *client, const char *node);

/* fn is called after each change of what the two functions above answer. It must only wake somebody. At most
 * one per client; NULL ends it, and returns when no call is under way. Any thread. */
typedef void (*client_members_fn)(void *arg);
void client_on_members(struct client *client, client_members_fn fn, void *arg);

/* Whether what is read now is what stays. False while this node changes over to another history, until the
 * changes that were undone by that are back: who acts on what is missing for that moment does too much.
 * Bounded: after some seconds it is true in any case. client_await_settled waits, and looks at *stop (which
 * may be NULL) meanwhile. */
bool client_settled(struct client *client);
void client_await_settled(struct client *client, const atomic_bool *stop);

/* What an implementation provides; the functions above are made of these. */
struct client_ops {
    int (*request)(struct client *client, const struct client_request *request, json_t **out,
                   struct err *err);
    struct client_watch *(*watch_start)(struct client *client, const struct client_resource *resource,
                                        const char *namespace, const char *field_selector, client_watch_fn fn,
                                        void *arg);
    /* NULL: watch_start does. */
    struct client_watch *(*watch_start_metadata)(struct client *client,
                                                 const struct client_resource *resource, client_watch_fn fn,
                                                 void *arg);
    void (*watch_stop)(struct client_watch *watch);
    /* NULL, all four: there are no other nodes. */
    bool (*owns)(struct client *client, const void *work, size_t len);
    enum client_liveness (*liveness)(struct client *client, const char *node);
    void (*on_members)(struct client *client, client_members_fn fn, void *arg);
    bool (*settled)(struct client *client);
};

/* The first member of every implementation's client; a watch begins with its client pointer. */
struct client {
    const struct client_ops *ops;
    const char *user; /* "system:kube-controller-manager", … */
};
struct client_watch {
    struct client *client;
};

#endif
