/* Metadata, labels and selectors: what every kind has. Source: apimachinery's pkg/api/validation. */
#include "object/validate_internal.h"

#include "base/mem.h"
#include "codec/json.h"
#include "object/quote.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define ANNOTATIONS_SIZE_MAX (256 * 1024)
#define FIELD_MANAGER_MAX 128

void check_labels(struct field_errors *errors, const struct where *at, const json_t *labels)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)labels, key, value)
    {
        check_name(errors, at, key, name_check_label_key);
        check_name(errors, at, json_or_empty_(value), name_check_label_value);
    }
}

static void check_annotations(struct field_errors *errors, const struct where *at, const json_t *annotations)
{
    size_t size = 0;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)annotations, key, value)
    {
        /* The rule is that of label keys, but for case. */
        mem_auto char *lower = mem_strdup(key);
        for (char *p = lower; *p; p++)
            *p = (char)(*p >= 'A' && *p <= 'Z' ? *p + 32 : *p);
        struct name_faults faults = {0};
        if (!name_check_label_key(&faults, lower))
            for (size_t i = 0; i < faults.count; i++)
                error_invalid_text(errors, at, key, faults.texts[i]);
        size += strlen(key) + json_string_length(value);
    }
    if (size > ANNOTATIONS_SIZE_MAX)
        error_too_long(errors, at, ANNOTATIONS_SIZE_MAX);
}

static void check_owner(struct field_errors *errors, const struct where *at, const json_t *owner)
{
    const char *version = text_at(owner, "apiVersion");
    if (!*version)
        error_invalid_text(errors, AT(at, "apiVersion"), "", "version must not be empty");
    static const char *const required[] = {"kind", "name", "uid"};
    for (size_t i = 0; i < sizeof(required) / sizeof(required[0]); i++)
        if (!*text_at(owner, required[i]))
            error_invalid_text(errors, AT(at, required[i]), "", "must not be empty");
    if (!strcmp(version, "v1") && !strcmp(text_at(owner, "kind"), "Event"))
        error_invalid(errors, at, owner, "/v1, Kind=Event is disallowed from being an owner");
}

static void check_owners(struct field_errors *errors, const struct where *at, const json_t *owners)
{
    const json_t *controller = NULL;
    size_t i;
    json_t *owner;
    json_array_foreach(owners, i, owner)
    {
        check_owner(errors, at, owner);
        if (!json_bool_at(owner, "controller"))
            continue;
        if (controller) {
            mem_auto char *detail = mem_printf(
                "Only one reference can have Controller set to true. Found \"true\" in references for %s/%s "
                "and %s/%s",
                text_at(controller, "kind"), text_at(controller, "name"), text_at(owner, "kind"),
                text_at(owner, "name"));
            error_invalid(errors, at, owners, detail);
        } else {
            controller = owner;
        }
    }
}

static bool has_text(const json_t *list, const char *text)
{
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item) if (!strcmp(json_or_empty_(item), text)) return true;
    return false;
}

static void check_finalizers(struct field_errors *errors, const struct where *at, const json_t *finalizers)
{
    static const char *const unqualified[] = {"orphan", "foregroundDeletion", "kubernetes", NULL};
    size_t i;
    json_t *finalizer;
    json_array_foreach(finalizers, i, finalizer)
    {
        const char *text = json_or_empty_(finalizer);
        check_name(errors, at, text, name_check_label_key);
        if (!strchr(text, '/') && !is_one_of(text, unqualified))
            error_invalid_text(errors, AT_INDEX(at, i), text,
                               "name is neither a standard finalizer name nor is it fully qualified");
    }
    if (has_text(finalizers, "orphan") && has_text(finalizers, "foregroundDeletion"))
        error_invalid(errors, at, finalizers, "finalizer orphan and foregroundDeletion cannot be both set");
}

static void check_managed_fields(struct field_errors *errors, const struct where *at, const json_t *entries)
{
    size_t i;
    json_t *entry;
    json_array_foreach(entries, i, entry)
    {
        const struct where *here = AT_INDEX(at, i);
        const char *operation = text_at(entry, "operation");
        const char *type = text_at(entry, "fieldsType");
        if (strcmp(operation, "Apply") != 0 && strcmp(operation, "Update") != 0)
            error_invalid_text(errors, AT(here, "operation"), operation, "must be `Apply` or `Update`");
        if (*type && strcmp(type, "FieldsV1") != 0)
            error_invalid_text(errors, AT(here, "fieldsType"), type, "must be `FieldsV1`");
        if (strlen(text_at(entry, "manager")) > FIELD_MANAGER_MAX)
            error_too_long(errors, AT(here, "manager"), FIELD_MANAGER_MAX);
    }
}

/* A name that a suffix will follow may end in what no name may end in. */
static void check_generate_name(struct field_errors *errors, const struct where *at, const char *prefix,
                                name_check *check)
{
    size_t len = strlen(prefix);
    mem_auto char *masked = mem_strdup(prefix);
    if (len > 1 && masked[len - 1] == '-' && check != name_check_path_segment) {
        masked[len - 2] = 'a';
        masked[len - 1] = '\0';
    }
    struct name_faults faults = {0};
    if (!check(&faults, masked))
        for (size_t i = 0; i < faults.count; i++)
            error_invalid_text(errors, at, prefix, faults.texts[i]);
}

/* What creating and updating check alike. */
static void check_common(struct field_errors *errors, const struct where *at, const json_t *metadata)
{
    check_labels(errors, AT(at, "labels"), json_object_get(metadata, "labels"));
    check_annotations(errors, AT(at, "annotations"), json_object_get(metadata, "annotations"));
    check_owners(errors, AT(at, "ownerReferences"), json_object_get(metadata, "ownerReferences"));
    check_finalizers(errors, AT(at, "finalizers"), json_object_get(metadata, "finalizers"));
    check_managed_fields(errors, AT(at, "managedFields"), json_object_get(metadata, "managedFields"));
}

void check_metadata(struct field_errors *errors, const struct schema_kind *kind, const json_t *object,
                    name_check *name)
{
    const struct where *at = AT(NULL, "metadata");
    const json_t *metadata = json_object_get(object, "metadata");
    if (*text_at(metadata, "generateName"))
        check_generate_name(errors, AT(at, "generateName"), text_at(metadata, "generateName"), name);
    if (!*text_at(metadata, "name"))
        error_required(errors, AT(at, "name"), "name or generateName is required");
    else
        check_name(errors, AT(at, "name"), text_at(metadata, "name"), name);
    const char *namespace = text_at(metadata, "namespace");
    if (kind->namespaced)
        check_required_name(errors, AT(at, "namespace"), namespace, name_check_dns_label);
    else if (*namespace)
        error_forbidden(errors, AT(at, "namespace"), "not allowed on this type");
    check_not_negative(errors, AT(at, "generation"), json_object_get(metadata, "generation"));
    check_common(errors, at, metadata);
}

static void check_no_new_finalizers(struct field_errors *errors, const struct where *at, const json_t *now,
                                    const json_t *before)
{
    struct buf added buf_auto = BUF_INIT;
    size_t i;
    json_t *finalizer;
    json_array_foreach(now, i, finalizer)
    {
        if (has_text(before, json_or_empty_(finalizer)))
            continue;
        buf_puts(&added, added.len ? ", " : "");
        quote_append(&added, json_or_empty_(finalizer));
    }
    if (!added.len)
        return;
    mem_auto char *detail =
        mem_printf("no new finalizers can be added if the object is being deleted, found new "
                   "finalizers []string{%s}",
                   buf_str(&added));
    error_forbidden(errors, at, detail);
}

void check_metadata_update(struct field_errors *errors, const json_t *object, const json_t *old)
{
    const struct where *at = AT(NULL, "metadata");
    const json_t *now = json_object_get(object, "metadata");
    const json_t *before = json_object_get(old, "metadata");
    if (json_object_get(before, "deletionTimestamp"))
        check_no_new_finalizers(errors, AT(at, "finalizers"), json_object_get(now, "finalizers"),
                                json_object_get(before, "finalizers"));
    if (int_at(now, "generation") < int_at(before, "generation"))
        error_invalid_int(errors, AT(at, "generation"), int_at(now, "generation"), "must not be decremented");
    static const char *const fixed[] = {
        "name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"};
    for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
        check_immutable(errors, AT(at, fixed[i]), json_object_get(now, fixed[i]),
                        json_object_get(before, fixed[i]), "field is immutable");
    check_common(errors, at, now);
}

void check_template_metadata(struct field_errors *errors, const struct where *at, const json_t *metadata)
{
    check_labels(errors, AT(at, "labels"), json_object_get(metadata, "labels"));
    check_annotations(errors, AT(at, "annotations"), json_object_get(metadata, "annotations"));
}

/* ---- Selectors ---- */

static bool is_set_operator(const char *operator_name)
{
    return !strcmp(operator_name, "In") || !strcmp(operator_name, "NotIn");
}

static bool is_presence_operator(const char *operator_name)
{
    return !strcmp(operator_name, "Exists") || !strcmp(operator_name, "DoesNotExist");
}

static void check_values(struct field_errors *errors, const struct where *at, const json_t *values,
                         name_check *check)
{
    size_t i;
    json_t *value;
    json_array_foreach(values, i, value) check_name(errors, AT_INDEX(at, i), json_or_empty_(value), check);
}

static void check_requirement(struct field_errors *errors, const struct where *at, const json_t *requirement,
                              bool compares, bool lax_values)
{
    const char *op = text_at(requirement, "operator");
    const json_t *values = json_object_get(requirement, "values");
    const struct where *values_at = AT(at, "values");
    if (is_set_operator(op)) {
        if (!json_array_size(values))
            error_required(errors, values_at, "must be specified when `operator` is 'In' or 'NotIn'");
    } else if (is_presence_operator(op)) {
        if (json_array_size(values))
            error_forbidden(errors, values_at,
                            "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
    } else if (compares && (!strcmp(op, "Gt") || !strcmp(op, "Lt"))) {
        if (json_array_size(values) != 1)
            error_required(errors, values_at,
                           "must be specified single value when `operator` is 'Lt' or 'Gt'");
    } else {
        error_invalid_text(errors, AT(at, "operator"), op, "not a valid selector operator");
    }
    check_name(errors, AT(at, "key"), text_at(requirement, "key"), name_check_label_key);
    if (!lax_values)
        check_values(errors, values_at, values, name_check_label_value);
}

void check_label_selector(struct field_errors *errors, const struct where *at, const json_t *selector)
{
    check_labels(errors, AT(at, "matchLabels"), json_object_get(selector, "matchLabels"));
    const struct where *expressions = AT(at, "matchExpressions");
    size_t i;
    json_t *requirement;
    json_array_foreach(json_object_get(selector, "matchExpressions"), i, requirement)
        check_requirement(errors, AT_INDEX(expressions, i), requirement, false, false);
}

static void check_field_requirement(struct field_errors *errors, const struct where *at,
                                    const json_t *requirement)
{
    const char *op = text_at(requirement, "operator");
    const json_t *values = json_object_get(requirement, "values");
    if (!is_set_operator(op))
        error_invalid_text(errors, AT(at, "operator"), op, "not a valid selector operator");
    else if (json_array_size(values) != 1)
        error_required(errors, AT(at, "values"),
                       "must be only one value when `operator` is 'In' or 'NotIn' for node field selector");
    if (strcmp(text_at(requirement, "key"), "metadata.name") != 0)
        error_invalid_text(errors, AT(at, "key"), text_at(requirement, "key"),
                           "not a valid field selector key");
    else
        check_values(errors, AT(at, "values"), values, name_check_dns_subdomain);
}

void check_node_selector_term(struct field_errors *errors, const struct where *at, const json_t *term,
                              bool lax_values)
{
    size_t i;
    json_t *requirement;
    const struct where *expressions = AT(at, "matchExpressions");
    json_array_foreach(json_object_get(term, "matchExpressions"), i, requirement)
        check_requirement(errors, AT_INDEX(expressions, i), requirement, true, lax_values);
    const struct where *fields = AT(at, "matchFields");
    json_array_foreach(json_object_get(term, "matchFields"), i, requirement)
        check_field_requirement(errors, AT_INDEX(fields, i), requirement);
}

void check_node_selector(struct field_errors *errors, const struct where *at, const json_t *selector)
{
    const struct where *terms_at = AT(at, "nodeSelectorTerms");
    const json_t *terms = json_object_get(selector, "nodeSelectorTerms");
    if (!json_array_size(terms))
        error_required(errors, terms_at, "must have at least one node selector term");
    size_t i;
    json_t *term;
    json_array_foreach(terms, i, term) check_node_selector_term(errors, AT_INDEX(terms_at, i), term, false);
}
