/*
 * Shared by the validations: where in an object we stand, how findings are worded, and the checks that many
 * kinds share. Each finding is worded as apimachinery's field.Error words it.
 */
#ifndef KATENA_OBJECT_VALIDATE_INTERNAL_H
#define KATENA_OBJECT_VALIDATE_INTERNAL_H

#include "object/names.h"
#include "object/semantics.h"

#include <stdint.h>

/* A place in an object, as a list that starts at the innermost member. It becomes a text only in a finding.
 */
struct where {
    const struct where *parent;
    const char *name; /* a member; NULL for an index or a key */
    size_t index;
    const char *key; /* of a map; NULL for an index */
};
#define AT(parent, name) (&(struct where){(parent), (name), 0, NULL})
#define AT_INDEX(parent, index) (&(struct where){(parent), NULL, (index), NULL})
#define AT_KEY(parent, key) (&(struct where){(parent), NULL, 0, (key)})

void where_append(struct buf *out, const struct where *at);

/* One finding each; detail may be "". Values are shown as Go's %q (texts) or as JSON. */
void error_required(struct field_errors *errors, const struct where *at, const char *detail);
void error_forbidden(struct field_errors *errors, const struct where *at, const char *detail);
void error_invalid(struct field_errors *errors, const struct where *at, const json_t *value,
                   const char *detail);
void error_invalid_text(struct field_errors *errors, const struct where *at, const char *value,
                        const char *detail);
void error_invalid_int(struct field_errors *errors, const struct where *at, int64_t value,
                       const char *detail);
void error_duplicate(struct field_errors *errors, const struct where *at, const json_t *value);
void error_duplicate_text(struct field_errors *errors, const struct where *at, const char *value);
void error_not_found(struct field_errors *errors, const struct where *at, const char *value);
void error_too_long(struct field_errors *errors, const struct where *at, int max);
/* supported is NULL-terminated. */
void error_not_supported(struct field_errors *errors, const struct where *at, const char *value,
                         const char *const *supported);

/* Checks of one value. The value may be NULL or of another type: then it counts as absent or zero. */
bool check_name(struct field_errors *errors, const struct where *at, const char *value, name_check *check);
void check_required_name(struct field_errors *errors, const struct where *at, const char *value,
                         name_check *check);
void check_not_negative(struct field_errors *errors, const struct where *at, const json_t *value);
void check_range(struct field_errors *errors, const struct where *at, int64_t value, int64_t low,
                 int64_t high);
void check_port(struct field_errors *errors, const struct where *at, int64_t port);
void check_port_or_name(struct field_errors *errors, const struct where *at, const json_t *port);
/* An absent value is required, one that is not supported is named. */
void check_enum(struct field_errors *errors, const struct where *at, const char *value,
                const char *const *supported);
void check_immutable(struct field_errors *errors, const struct where *at, const json_t *value,
                     const json_t *old, const char *detail);
void check_ip(struct field_errors *errors, const struct where *at, const char *value);
bool is_ip(const char *text);
bool is_one_of(const char *value, const char *const *list);
/* The member as texts, never NULL; as a number, 0 when absent. */
const char *text_at(const json_t *object, const char *name);
int64_t int_at(const json_t *object, const char *name);

/* Labels, label selectors and metadata. */
void check_labels(struct field_errors *errors, const struct where *at, const json_t *labels);
void check_label_selector(struct field_errors *errors, const struct where *at, const json_t *selector);
void check_node_selector(struct field_errors *errors, const struct where *at, const json_t *selector);
void check_node_selector_term(struct field_errors *errors, const struct where *at, const json_t *term,
                              bool lax_values);
void check_metadata(struct field_errors *errors, const struct schema_kind *kind, const json_t *object,
                    name_check *name);
void check_metadata_update(struct field_errors *errors, const json_t *object, const json_t *old);
void check_template_metadata(struct field_errors *errors, const struct where *at, const json_t *metadata);

/* Pods, and the templates of pods in other kinds. */
void check_pod_spec(struct field_errors *errors, const struct where *at, const json_t *spec, bool is_pod);
void check_pod_template(struct field_errors *errors, const struct where *at, const json_t *template);
void check_volumes(struct field_errors *errors, const struct where *at, const json_t *volumes);
void check_containers(struct field_errors *errors, const struct where *at, const json_t *spec);
void check_host_ports(struct field_errors *errors, const struct where *at, const json_t *spec, bool is_pod);
void check_field_ref(struct field_errors *errors, const struct where *at, const json_t *ref, bool in_volume);
void check_resource_field_ref(struct field_errors *errors, const struct where *at, const json_t *ref,
                              bool in_volume);
void check_resources(struct field_errors *errors, const struct where *at, const json_t *resources);
void check_affinity(struct field_errors *errors, const struct where *at, const json_t *affinity);
void check_spread(struct field_errors *errors, const struct where *at, const json_t *constraints);
void check_tolerations(struct field_errors *errors, const struct where *at, const json_t *tolerations);
void check_taint_effect(struct field_errors *errors, const struct where *at, const char *effect,
                        bool may_be_empty);
void check_relative_path(struct field_errors *errors, const struct where *at, const char *path);

/* One function per kind; old is NULL on create. */
typedef void validate_kind(struct field_errors *errors, const json_t *object, const json_t *old);
validate_kind validate_pod;
validate_kind validate_binding;
validate_kind validate_deployment;
validate_kind validate_replica_set;
validate_kind validate_controller_revision;
validate_kind validate_service;
validate_kind validate_endpoints;
validate_kind validate_endpoint_slice;
validate_kind validate_config_map;
validate_kind validate_secret;
validate_kind validate_namespace;
validate_kind validate_node;
validate_kind validate_lease;
validate_kind validate_event;
validate_kind validate_role;
validate_kind validate_cluster_role;
validate_kind validate_role_binding;
validate_kind validate_cluster_role_binding;

/* Of the status subresource. */
validate_kind validate_deployment_status;
validate_kind validate_replica_set_status;
validate_kind validate_pod_status;

#endif
