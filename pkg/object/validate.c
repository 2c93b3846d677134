/*
 * Validation of objects: metadata, the kind's own rules, what must not change, and for the rest what the
 * schema says: values of enumerated fields. A new kind without a function here is checked by its schema
 * alone.
 */
#include "object/validate_internal.h"

#include "base/mem.h"
#include "codec/json.h"

#include <string.h>

struct rules {
    const char *group;
    const char *kind;
    name_check *name;
    validate_kind *validate; /* NULL: by the schema alone */
    validate_kind *status;   /* of the status subresource; NULL: metadata alone */
    bool complete;           /* the function checks the enumerated fields too */
};

#define RBAC "rbac.authorization.k8s.io"

static const struct rules all_rules[] = {
    {"", "Pod", name_check_dns_subdomain, validate_pod, validate_pod_status, false},
    {"", "Service", name_check_dns1035_label, validate_service, NULL, false},
    {"", "Endpoints", name_check_dns_subdomain, validate_endpoints, NULL, false},
    {"", "ConfigMap", name_check_dns_subdomain, validate_config_map, NULL, false},
    {"", "Secret", name_check_dns_subdomain, validate_secret, NULL, false},
    {"", "Namespace", name_check_dns_label, validate_namespace, NULL, false},
    {"", "Node", name_check_dns_subdomain, validate_node, NULL, true},
    {"", "Event", name_check_dns_subdomain, validate_event, NULL, false},
    {"", "Binding", NULL, validate_binding, NULL, false},
    {"apps", "Deployment", name_check_dns_subdomain, validate_deployment, validate_deployment_status, false},
    {"apps", "ReplicaSet", name_check_dns_subdomain, validate_replica_set, validate_replica_set_status,
     false},
    {"apps", "ControllerRevision", name_check_dns_subdomain, validate_controller_revision, NULL, false},
    {"coordination.k8s.io", "Lease", name_check_dns_subdomain, validate_lease, NULL, false},
    {"discovery.k8s.io", "EndpointSlice", name_check_dns_subdomain, validate_endpoint_slice, NULL, false},
    {RBAC, "Role", name_check_path_segment, validate_role, NULL, false},
    {RBAC, "ClusterRole", name_check_path_segment, validate_cluster_role, NULL, false},
    {RBAC, "RoleBinding", name_check_path_segment, validate_role_binding, NULL, false},
    {RBAC, "ClusterRoleBinding", name_check_path_segment, validate_cluster_role_binding, NULL, false},
};

static const struct rules schema_rules = {"", "", name_check_dns_subdomain, NULL, NULL, false};

static const struct rules *rules_of(const struct schema_kind *kind)
{
    for (size_t i = 0; i < sizeof(all_rules) / sizeof(all_rules[0]); i++)
        if (!strcmp(all_rules[i].kind, kind->kind) && !strcmp(all_rules[i].group, kind->group))
            return &all_rules[i];
    return &schema_rules;
}

/* ---- By the schema ---- */

static void check_by_schema(struct field_errors *errors, const struct where *at,
                            const struct schema_message *message, const json_t *object);

static void check_field(struct field_errors *errors, const struct where *at, const struct schema_field *field,
                        const json_t *value)
{
    size_t i;
    const char *key;
    json_t *item;
    if (field->shape == SCHEMA_LIST) {
        json_array_foreach(value, i, item) if (field->type == SCHEMA_MESSAGE)
            check_by_schema(errors, AT_INDEX(at, i), field->message, item);
    } else if (field->shape == SCHEMA_MAP) {
        json_object_foreach((json_t *)value, key, item) if (field->type == SCHEMA_MESSAGE)
            check_by_schema(errors, AT_KEY(at, key), field->message, item);
    } else if (field->type == SCHEMA_MESSAGE) {
        check_by_schema(errors, at, field->message, value);
    } else if (field->enum_values && *json_or_empty_(value) &&
               !is_one_of(json_string_value(value), field->enum_values)) {
        error_not_supported(errors, at, json_string_value(value), field->enum_values);
    }
}

static void check_by_schema(struct field_errors *errors, const struct where *at,
                            const struct schema_message *message, const json_t *object)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)object, name, value)
    {
        const struct schema_member *member = schema_member_find(message, name, strlen(name));
        if (member && (member->field->type == SCHEMA_MESSAGE || member->field->enum_values))
            check_field(errors, AT(at, member->name), member->field, value);
    }
}

/* Drops what the schema found at a field that the kind's own rules had found something about before. */
static void drop_repeated(struct field_errors *errors, size_t from)
{
    size_t kept = from;
    for (size_t i = from; i < errors->count; i++) {
        bool said = false;
        for (size_t j = 0; j < from && !said; j++)
            said = !strcmp(errors->items[j].field, errors->items[i].field);
        if (said) {
            free(errors->items[i].field);
            free(errors->items[i].message);
        } else {
            errors->items[kept++] = errors->items[i];
        }
    }
    errors->count = kept;
}

/* ---- What must not change ---- */

/* path is "spec.selector" */
static void check_unchanged(struct field_errors *errors, const char *path, const json_t *object,
                            const json_t *old)
{
    mem_auto char *names = mem_strdup(path);
    struct where steps[8];
    const struct where *at = NULL;
    size_t depth = 0;
    char *save = NULL;
    for (char *name = strtok_r(names, ".", &save); name && depth < 8; name = strtok_r(NULL, ".", &save)) {
        steps[depth] = (struct where){at, name, 0, NULL};
        at = &steps[depth++];
        object = json_object_get(object, name);
        old = json_object_get(old, name);
    }
    size_t before = errors->count;
    check_immutable(errors, at, object, old, "field is immutable");
    drop_repeated(errors, before);
}

void validate_object(const struct schema_kind *kind, const json_t *object, const json_t *old,
                     struct field_errors *errors)
{
    const struct rules *rules = rules_of(kind);
    if (old)
        check_metadata_update(errors, object, old);
    else if (rules->name)
        check_metadata(errors, kind, object, rules->name);
    if (rules->validate)
        rules->validate(errors, object, old);
    for (const char *const *path = kind->immutable; old && path && *path; path++)
        check_unchanged(errors, *path, object, old);
    if (rules->complete)
        return;
    size_t before = errors->count;
    check_by_schema(errors, NULL, kind->message, object);
    drop_repeated(errors, before);
}

static void validate_scale(struct field_errors *errors, const json_t *scale)
{
    const struct where *spec = AT(NULL, "spec");
    check_not_negative(errors, AT(spec, "replicas"), json_at(scale, "spec", "replicas"));
}

void validate_subresource(const struct schema_kind *kind, const char *subresource, const json_t *object,
                          const json_t *old, struct field_errors *errors)
{
    const struct rules *rules = rules_of(kind);
    if (!strcmp(subresource, "scale")) {
        validate_scale(errors, object);
    } else if (!strcmp(subresource, "binding")) {
        validate_binding(errors, object, NULL);
    } else if (old) {
        check_metadata_update(errors, object, old);
        if (!strcmp(subresource, "status") && rules->status)
            rules->status(errors, object, old);
    }
}
