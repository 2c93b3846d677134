/*
 * Values and field sets by the schema: which parts of an object are owned on their own. Maps and structs are
 * owned by member and keyed lists by element, unless the schema calls them atomic.
 * Source: structured-merge-diff's typed package. Pure.
 */
#ifndef KATENA_OBJECT_FIELD_WALK_H
#define KATENA_OBJECT_FIELD_WALK_H

#include "base/err.h"
#include "object/field_set.h"
#include "object/schema.h"

struct field_comparison {
    struct field_set *removed;
    struct field_set *modified;
    struct field_set *added;
};

/* The fields that value has: what a manager owns that applied it. */
struct field_set *field_walk_set(struct field_arena *arena, const struct schema_message *message,
                                 const json_t *value);

/* How a becomes b. */
void field_walk_compare(struct field_arena *arena, const struct schema_message *message, const json_t *a,
                        const json_t *b, struct field_comparison *out);

/* live with the fields of config put over it; lists take the order of config. A new reference. */
json_t *field_walk_merge(const struct schema_message *message, const json_t *live, const json_t *config);

/* value without the members and elements of set. A new reference. */
json_t *field_walk_remove(const struct schema_message *message, const json_t *value,
                          const struct field_set *set);

/* set with every declared field that has members below it as a member itself. */
struct field_set *field_walk_with_parents(struct field_arena *arena, const struct schema_message *message,
                                          const struct field_set *set);

/* Whether config can be applied: its keyed lists have keys and no duplicates. The error is ERR_BAD_REQUEST.
 */
int field_walk_check(const struct schema_message *message, const json_t *config, struct err *err);

#endif
