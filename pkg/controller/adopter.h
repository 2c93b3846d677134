/*
 * A controller that adopts: the Deployment controller does so with ReplicaSets, the ReplicaSet controller
 * with pods. Keys: "ns/name" of an owner, and "?ns/name" of an object without a controller, for which owners
 * are looked for.
 */
#ifndef KATENA_CONTROLLER_ADOPTER_H
#define KATENA_CONTROLLER_ADOPTER_H

#include "controller/manager_internal.h"
#include "controller/ownership.h"

struct adopter {
    struct controller base;
    struct orphans orphans;
};

void adopter_start(struct controller *self);
void adopter_stop(struct controller *self);

/* A change of an object that an owner of this kind may control: asks for its owner, and for its own key when
 * it is a new orphan. */
void adopter_event(struct controller *self, const char *owner_kind, enum client_event event,
                   const json_t *object);

/* Whether key is that of an orphan. Every node works on those: what they lead to is keys of owners, and each
 * of these is some node's. */
bool adopter_key_is_orphan(const char *key);

/* The same; *namespace and *name then point into *copy, which the caller frees. */
bool adopter_key_split(const char *key, char **copy, const char **namespace, const char **name);

/* Asks for every owner whose selector matches the orphan's labels. */
int adopter_find_owners(struct controller *self, const struct client_resource *owned,
                        const struct client_resource *owners, const char *namespace, const char *name,
                        struct err *err);

#endif
