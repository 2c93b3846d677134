/* Shared by the three kinds of patches. */
#ifndef KATENA_OBJECT_PATCH_INTERNAL_H
#define KATENA_OBJECT_PATCH_INTERNAL_H

#include <jansson.h>

/* "object", "array", "string", "number", "bool": how Go's decoder calls a JSON value. */
const char *json_kind_name(const json_t *value);

#endif
