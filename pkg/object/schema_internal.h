/* The tables that cmake/compile_schemas.py makes from api/, for registry.c. */
#ifndef KATENA_OBJECT_SCHEMA_INTERNAL_H
#define KATENA_OBJECT_SCHEMA_INTERNAL_H

#include "object/schema.h"

extern const struct schema_message *const schema__messages[]; /* sorted by name */
extern const size_t schema__message_count;
extern const struct schema_kind schema__kinds[]; /* sorted by group, version, plural */
extern const size_t schema__kind_count;
extern const char schema__hash[]; /* of all the tables, in hexadecimal */

#endif
