/*
 * What the API does with an object before it becomes a transaction: defaulting, validation, preparation of
 * updates. Pure: the time and random names are arguments of the caller.
 */
#ifndef KATENA_OBJECT_SEMANTICS_H
#define KATENA_OBJECT_SEMANTICS_H

#include "base/err.h"
#include "object/schema.h"

#include <jansson.h>

/* Fills defaults in place: those of the schema first, then those that depend on other fields (a Service's
 * targetPort, a Deployment's selector-dependent ones, resource requests from limits, …). */
void defaults_apply(const struct schema_kind *kind, json_t *object);

/* One finding, worded as Kubernetes words it. */
struct field_error {
    const char *reason; /* "FieldValueRequired", "FieldValueInvalid", "FieldValueNotSupported", … */
    char *field;        /* "spec.containers[0].name" */
    char *message;      /* without the field: `Required value`, `Invalid value: -1: must be …` */
};

struct field_errors {
    struct field_error *items;
    size_t count;
};
void field_errors_add(struct field_errors *errors, const char *reason, const char *field, const char *format,
                      ...) __attribute__((format(printf, 4, 5)));
void field_errors_free(struct field_errors *errors);

/* Checks a new object, or an update of old (NULL on create). Nothing found: errors->count stays 0. */
void validate_object(const struct schema_kind *kind, const json_t *object, const json_t *old,
                     struct field_errors *errors);

/* As above for an update of a subresource ("status", "scale", "binding", …): only what it may change. */
void validate_subresource(const struct schema_kind *kind, const char *subresource, const json_t *object,
                          const json_t *old, struct field_errors *errors);

/* `Deployment.apps "x" is invalid: [a: …, b: …]`, the whole message of the Status. The caller frees it. */
char *field_errors_message(const struct field_errors *errors, const struct schema_kind *kind,
                           const char *name);

#endif
