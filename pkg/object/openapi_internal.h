/*
 * Parts of the OpenAPI documents. Each part (one definition, one path) is made as a JSON value, written out
 * and freed, so a document of a megabyte never stands in memory as a tree.
 */
#ifndef KATENA_OBJECT_OPENAPI_INTERNAL_H
#define KATENA_OBJECT_OPENAPI_INTERNAL_H

#include "object/openapi.h"
#include "object/schema.h"

enum openapi__dialect { OPENAPI__V2, OPENAPI__V3 };

/* The schema of a message. */
json_t *openapi__message(const struct schema_message *message, enum openapi__dialect dialect);

/* The types that are no messages: Time, Quantity, IntOrString, …; NULL behind the last. */
const char *openapi__special_name(size_t index);
json_t *openapi__special(size_t index, enum openapi__dialect dialect);

/* {"$ref": …} to a definition. */
json_t *openapi__ref(const char *name, enum openapi__dialect dialect);

/* Calls visit for each path of a kind, with its path item (borrowed). */
typedef void openapi__path_visitor(void *arg, const char *path, json_t *item);
void openapi__paths(const struct schema_kind *kind, enum openapi__dialect dialect,
                    openapi__path_visitor *visit, void *arg);

/* Calls visit for each message that the kinds of a group version need, or all kinds when group is NULL. */
typedef void openapi__message_visitor(void *arg, const struct schema_message *message);
void openapi__messages(const char *group, const char *version, openapi__message_visitor *visit, void *arg);

/* A NULL-terminated list of texts as an array. */
json_t *openapi__strings(const char *const *texts);

/* {group, version, kind} */
json_t *openapi__gvk(const char *group, const char *version, const char *kind);

#endif
