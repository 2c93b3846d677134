/* Tables as `kubectl get` asks for them (meta.k8s.io/v1 Table), with Kubernetes' own columns. Pure. */
#ifndef KATENA_OBJECT_TABLE_H
#define KATENA_OBJECT_TABLE_H

#include "object/schema.h"

#include <jansson.h>

/* The columnDefinitions of a kind. */
json_t *table_columns(const struct schema_kind *kind);

/* Stands for the kind where the Scale of an object is shown. */
extern const struct schema_kind table_scale_kind;

/* The cells of one object's row; now_us is for ages. */
json_t *table_cells(const struct schema_kind *kind, const json_t *object, int64_t now_us);

#endif
