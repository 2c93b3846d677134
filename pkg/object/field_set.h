/*
 * Sets of field paths: what metadata.managedFields holds as FieldsV1. A set is a tree; a path of elements
 * leads to a node, and a node that is a member stands for its path (the "." of FieldsV1). Elements are in
 * their serialized form:
 *
 *   f:name                     a member of an object
 *   k:{"name":"x","port":80}   an element of a list, by its key fields, sorted by name
 *   v:"x"                      an element of a set, by its value
 *   i:0                        an element by its index
 *
 * Nodes live in an arena and are never changed once they are part of a result, so sets share nodes freely.
 * Source of the operations: structured-merge-diff's fieldpath.Set. Pure.
 */
#ifndef KATENA_OBJECT_FIELD_SET_H
#define KATENA_OBJECT_FIELD_SET_H

#include "base/buf.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Memory that goes all at once, empty when it is zeroed; with room, the caller's stack is used first. */
struct field_arena {
    struct field_chunk *chunks; /* NULL until something is asked for */
    char *room;
    size_t room_left;
};
#define FIELD_ARENA_ROOM(name, size) _Alignas(16) char name[size]
void *field_arena_alloc(struct field_arena *arena, size_t size); /* zeroed */
void field_arena_free(struct field_arena *arena);
#define field_arena_auto __attribute__((cleanup(field_arena_free)))

struct field_set {
    const char *element; /* NULL for the root */
    uint32_t element_len;
    bool member;
    uint32_t count;
    uint32_t cap;
    struct field_set **children; /* sorted by field_element_compare */
};

/* A path while it is walked: the innermost element first. */
struct field_path {
    const struct field_path *parent; /* NULL: the root, which has no element */
    const char *element;
    uint32_t element_len;
};

struct field_set *field_set_new(struct field_arena *arena);
void field_set_insert(struct field_arena *arena, struct field_set *set, const struct field_path *path);
const struct field_set *field_set_child(const struct field_set *set, const char *element, size_t len);
bool field_set_has(const struct field_set *set, const char *const *elements); /* NULL-terminated */
bool field_set_empty(const struct field_set *set);

struct field_set *field_set_union(struct field_arena *arena, const struct field_set *a,
                                  const struct field_set *b);
struct field_set *field_set_intersection(struct field_arena *arena, const struct field_set *a,
                                         const struct field_set *b);
/* The members of a that are not members of b. With recursive, what lies below a member of b goes too. */
struct field_set *field_set_difference(struct field_arena *arena, const struct field_set *a,
                                       const struct field_set *b, bool recursive);

/* Fields first, then keys, values and indexes; numbers by value. */
int field_element_compare(const char *a, size_t a_len, const char *b, size_t b_len);

/* From and to FieldsV1. What is malformed is left out. */
struct field_set *field_set_from_json(struct field_arena *arena, const json_t *fields);
json_t *field_set_to_json(const struct field_set *set);

/* Calls visit with the readable form of each member's path (`.spec.containers[name="x"].image`), parents' own
 * members before those of their children. */
void field_set_each_path(const struct field_set *set, void (*visit)(void *context, const char *path),
                         void *context);

#endif
