/*
 * All kinds that the API serves: built-in ones from api/, later custom ones. Reading is free of locks.
 */
#ifndef KATENA_OBJECT_REGISTRY_H
#define KATENA_OBJECT_REGISTRY_H

#include "object/schema.h"

/* Kinds in a fixed order (by group, version, plural). */
size_t registry_count(void);
const struct schema_kind *registry_at(size_t index);

/* NULL when there is no such kind. version NULL: the preferred one. */
const struct schema_kind *registry_by_resource(const char *group, const char *version, const char *plural);
const struct schema_kind *registry_by_kind(const char *group, const char *version, const char *kind);

/* Any message by its OpenAPI name, e.g. "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions". */
const struct schema_message *registry_message(const char *name);
size_t registry_message_count(void);
size_t registry_message_place(const struct schema_message *message); /* its index, of one of the registry */
const struct schema_message *registry_message_at(size_t index);

/* The message of any kind, also of those that are no resource: ("autoscaling", "v1", "Scale"), (*, "v1",
 * "DeleteOptions"), ("", "v1", "PodList"). The kinds of meta/v1 are known in every group, as Kubernetes has
 * it. */
const struct schema_message *registry_message_by_kind(const char *group, const char *version,
                                                      const char *kind);

/* "apps/v1" or "v1". */
void registry_api_version(char *out, size_t size, const struct schema_kind *kind);

#endif
