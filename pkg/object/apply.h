/*
 * Field ownership and server-side apply (KEP-555), over the FieldsV1 sets of metadata.managedFields. Pure.
 */
#ifndef KATENA_OBJECT_APPLY_H
#define KATENA_OBJECT_APPLY_H

#include "base/err.h"
#include "object/schema.h"

#include <jansson.h>

struct apply_manager {
    const char *name;        /* fieldManager */
    const char *api_version; /* of the request */
    const char *subresource; /* "" for none */
    const char *time;        /* RFC 3339, by the second */
};

/* One conflict per line of the message: `Apply failed with 1 conflict: conflict with "kubectl" using apps/v1:
 * .spec.replicas`; causes is a json array of {reason, message, field} for the Status. */
/* Applies `config` (what the client sent) to live (NULL: create). *out is a new object with managedFields.
 * Returns ERR_CONFLICT with *causes set (caller owns) when fields of others would change and force is off. */
int apply_server_side(const struct schema_kind *kind, const json_t *live, const json_t *config,
                      const struct apply_manager *manager, bool force, json_t **out, json_t **causes,
                      struct err *err);

/* After any other write: records in object's managedFields that manager (operation Update) now owns what
 * changed between live (NULL: create) and object, and takes it from the others. Changes object in place. */
void apply_track_update(const struct schema_kind *kind, const json_t *live, json_t *object,
                        const struct apply_manager *manager);

#endif
