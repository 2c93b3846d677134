/*
 * Who controls an object: adopting those that match a selector and have no controller, releasing those that
 * no longer match. Orphans are remembered as their watch shows them, so that nobody has to look for them.
 */
#ifndef KATENA_CONTROLLER_OWNERSHIP_H
#define KATENA_CONTROLLER_OWNERSHIP_H

#include "client/client.h"

#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>

/* Objects without a controller: "namespace/name" to labels. Any thread. */
struct orphans {
    pthread_mutex_t lock;
    json_t *labels;
};

void orphans_init(struct orphans *o);
void orphans_free(struct orphans *o);
/* Notes an object as it is now; true when it is an orphan that is new or has other labels. */
bool orphans_note(struct orphans *o, enum client_event event, const json_t *object);
/* A new array of the names of orphans in namespace that a metav1.LabelSelector matches. */
json_t *orphans_matching(struct orphans *o, const char *namespace, const json_t *label_selector);

/* What the claims of an owner are about. */
struct ownership {
    struct client *client;
    const struct client_resource *resource; /* of the owned objects */
    struct orphans *orphans;
    const char *api_version; /* of the owner */
    const char *kind;
    const json_t *owner;
};

/* *items: all objects that the owner controls and its spec.selector matches, after adoption and release. */
int ownership_claim(const struct ownership *o, json_t **items, struct err *err);

/* The merge patches that add a reference to object, or remove those to a uid. The caller owns them. */
json_t *ownership_adopt_patch(const json_t *object, json_t *reference);
json_t *ownership_release_patch(const json_t *object, const char *owner_uid);

#endif
