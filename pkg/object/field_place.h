/*
 * A position in a schema, as ownership of fields sees it: something that is owned as one, or something whose
 * parts are owned on their own. Shared by the walks over values. Pure.
 */
#ifndef KATENA_OBJECT_FIELD_PLACE_H
#define KATENA_OBJECT_FIELD_PLACE_H

#include "base/buf.h"
#include "object/field_set.h"
#include "object/schema.h"

#include <jansson.h>

enum field_shape {
    FIELD_LEAF,
    FIELD_STRUCT,
    FIELD_MAP,
    FIELD_LIST_BY_KEY,
    FIELD_LIST_BY_VALUE, /* a set */
};

struct field_place {
    enum field_shape shape;
    const struct schema_message *message; /* of a struct, or of the items of a map or a list by key */
    const struct schema_field *field;     /* NULL for the root and for items */
};

struct field_place field_place_of_message(const struct schema_message *message);
struct field_place field_place_of(const struct schema_field *field);
/* The place of a member of a struct or map. False: the schema has no such field. */
bool field_place_member(struct field_place place, const char *name, struct field_place *out);
struct field_place field_place_item(struct field_place place);
bool field_place_is_map(struct field_place place);
bool field_place_is_list(struct field_place place);

/* Puts the path element of a list's item into out; false when it has none. */
bool field_place_element(struct field_place place, const json_t *item, struct buf *out);

/* A path one element longer; element keeps its text. */
struct field_path field_path_member(const struct field_path *parent, struct buf *element, const char *name);
struct field_path field_path_item(const struct field_path *parent, const struct buf *element);

/* Whether a value is an object or a list with something in it. */
bool field_value_has_parts(const json_t *value);

#endif
