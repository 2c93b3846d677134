/* See adopter.h. */
#include "controller/adopter.h"

#include "base/mem.h"
#include "codec/json.h"
#include "object/selector.h"

#include <stdio.h>
#include <string.h>

void adopter_start(struct controller *self)
{
    orphans_init(&((struct adopter *)self)->orphans);
}

void adopter_stop(struct controller *self)
{
    orphans_free(&((struct adopter *)self)->orphans);
}

void adopter_event(struct controller *self, const char *owner_kind, enum client_event event,
                   const json_t *object)
{
    const json_t *ref = kube_controller(object);
    char key[KUBE_KEY_MAX + 1];
    if (ref && strcmp(json_str_or_empty(ref, "kind"), owner_kind) == 0) {
        snprintf(key, sizeof(key), "%s/%s", kube_namespace(object), json_str_or_empty(ref, "name"));
        controller_add(self, key);
    }
    if (orphans_note(&((struct adopter *)self)->orphans, event, object)) {
        key[0] = '?';
        kube_key(key + 1, object);
        controller_add(self, key);
    }
}

bool adopter_key_is_orphan(const char *key)
{
    return key[0] == '?';
}

bool adopter_key_split(const char *key, char **copy, const char **namespace, const char **name)
{
    bool orphan = adopter_key_is_orphan(key);
    *copy = mem_strdup(key + orphan);
    kube_key_split(*copy, namespace, name);
    return orphan;
}

int adopter_find_owners(struct controller *self, const struct client_resource *owned,
                        const struct client_resource *owners, const char *namespace, const char *name,
                        struct err *err)
{
    json_auto_t *orphan = NULL;
    json_auto_t *candidates = NULL;
    int rc = client_get(self->client, owned, namespace, name, &orphan, err);
    if (rc)
        return rc == ERR_NOT_FOUND ? 0 : rc;
    rc = client_list(self->client, owners, namespace, NULL, NULL, &candidates, err);
    if (rc)
        return rc;
    size_t i;
    json_t *owner;
    json_array_foreach(candidates, i, owner)
    {
        struct selector *selector = NULL;
        if (selector_from_object(&selector, json_at(owner, "spec", "selector"), NULL))
            continue;
        if (selector_matches_labels(selector, json_at(orphan, "metadata", "labels")))
            controller_add_object(self, owner);
        selector_free(selector);
    }
    return 0;
}
