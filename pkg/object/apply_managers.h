/*
 * metadata.managedFields as a list of managers, each with the set of fields that it owns. Entries that change
 * keep their JSON. Texts are borrowed from the entries and from the request. Pure.
 */
#ifndef KATENA_OBJECT_APPLY_MANAGERS_H
#define KATENA_OBJECT_APPLY_MANAGERS_H

#include "object/apply.h"
#include "object/field_set.h"

struct managed_entry {
    const char *name;
    const char *api_version;
    const char *subresource; /* "" for none */
    const char *time;        /* "" for none */
    bool applied;            /* operation Apply; else Update */
    const json_t *json;      /* the entry as it was; NULL for a new one */
    const json_t *fields;    /* its FieldsV1; NULL once the set differs */
    struct field_set *set;   /* NULL until it is asked for: managed_entry_set */
};

struct managed {
    struct field_arena *arena; /* borrowed */
    json_t *source;            /* the array that the texts are borrowed from */
    struct managed_entry *entries;
    size_t count;
};

/* Reads an array of entries. One that is malformed makes all of them void, as in Kubernetes. */
void managed_read(struct managed *managed, struct field_arena *arena, json_t *array);
void managed_free(struct managed *managed);

struct field_set *managed_entry_set(struct managed *managed, struct managed_entry *entry);
void managed_entry_put(struct managed_entry *entry, struct field_set *set);

/* The entry of this manager and operation, NULL when there is none. */
struct managed_entry *managed_find(struct managed *managed, const struct apply_manager *manager,
                                   bool applied);
struct managed_entry *managed_add(struct managed *managed, const struct apply_manager *manager, bool applied);

void managed_drop_empty(struct managed *managed);
/* Merges the oldest entries of operation Update until there are at most ten. */
void managed_cap(struct managed *managed);
/* Puts the entries, in Kubernetes' order, into metadata.managedFields of object. */
void managed_write(struct managed *managed, json_t *object);

#endif
