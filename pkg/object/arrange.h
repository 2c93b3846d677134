/* The order of members: objects keep that of their schema, also when members were added later. Pure. */
#ifndef KATENA_OBJECT_ARRANGE_H
#define KATENA_OBJECT_ARRANGE_H

#include "object/schema.h"

#include <jansson.h>

/* Puts the members of object, and of all objects within it, into the schema's order. */
void arrange_members(const struct schema_message *message, json_t *object);

#endif
