/* Patches: JSON patch (RFC 6902), JSON merge patch (RFC 7386), Kubernetes' strategic merge patch. Pure. */
#ifndef KATENA_OBJECT_PATCH_H
#define KATENA_OBJECT_PATCH_H

#include "base/err.h"
#include "object/schema.h"

#include <jansson.h>

/* Each returns a new object in *out and leaves its arguments alone. Errors are worded as the API server
 * words them (ERR_BAD_REQUEST for a malformed patch, ERR_INVALID for one that does not apply). */
int patch_json(const json_t *object, const json_t *patch, json_t **out, struct err *err);
int patch_merge(const json_t *object, const json_t *patch, json_t **out, struct err *err);
int patch_strategic(const struct schema_message *message, const json_t *object, const json_t *patch,
                    json_t **out, struct err *err);

#endif
