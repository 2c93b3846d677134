/* What says where a Pod may run: tolerations, affinity, spread. */
#include "object/validate_internal.h"

#include "codec/json.h"

#include <string.h>

void check_taint_effect(struct field_errors *errors, const struct where *at, const char *effect,
                        bool may_be_empty)
{
    static const char *const effects[] = {"NoSchedule", "PreferNoSchedule", "NoExecute", NULL};
    if (!*effect && !may_be_empty)
        error_required(errors, at, "");
    else if (*effect && !is_one_of(effect, effects))
        error_not_supported(errors, at, effect, effects);
}

static void check_toleration(struct field_errors *errors, const struct where *at, const json_t *toleration)
{
    static const char *const operators[] = {"Equal", "Exists", NULL};
    const char *key = text_at(toleration, "key");
    const char *op = text_at(toleration, "operator");
    const char *value = text_at(toleration, "value");
    const char *effect = text_at(toleration, "effect");
    const struct where *operator_at = AT(at, "operator");
    if (*key)
        check_name(errors, AT(at, "key"), key, name_check_label_key);
    else if (strcmp(op, "Exists") != 0)
        error_invalid_text(
            errors, operator_at, op,
            "operator must be Exists when `key` is empty, which means \"match all values and all keys\"");
    if (json_object_get(toleration, "tolerationSeconds") && strcmp(effect, "NoExecute") != 0)
        error_invalid_text(errors, AT(at, "effect"), effect,
                           "effect must be 'NoExecute' when `tolerationSeconds` is set");
    struct name_faults faults = {0};
    if (!*op || !strcmp(op, "Equal")) {
        if (!name_check_label_value(&faults, value)) {
            struct buf detail buf_auto = BUF_INIT;
            name_faults_join(&detail, &faults, ";");
            error_invalid_text(errors, operator_at, value, buf_str(&detail));
        }
    } else if (strcmp(op, "Exists") != 0) {
        error_not_supported(errors, operator_at, op, operators);
    } else if (*value) {
        error_invalid_text(errors, operator_at, value, "value must be empty when `operator` is 'Exists'");
    }
    check_taint_effect(errors, AT(at, "effect"), effect, true);
}

void check_tolerations(struct field_errors *errors, const struct where *at, const json_t *tolerations)
{
    size_t i;
    json_t *toleration;
    json_array_foreach(tolerations, i, toleration) check_toleration(errors, AT_INDEX(at, i), toleration);
}

static void check_weight(struct field_errors *errors, const struct where *at, const json_t *term)
{
    int64_t weight = int_at(term, "weight");
    if (weight <= 0 || weight > 100)
        error_invalid_int(errors, AT(at, "weight"), weight, "must be in the range 1-100");
}

static void check_pod_term(struct field_errors *errors, const struct where *at, const json_t *term)
{
    size_t i;
    json_t *namespace;
    check_label_selector(errors, AT(at, "labelSelector"), json_object_get(term, "labelSelector"));
    check_label_selector(errors, AT(at, "namespaceSelector"), json_object_get(term, "namespaceSelector"));
    json_array_foreach(json_object_get(term, "namespaces"), i, namespace)
        check_name(errors, AT(at, "namespace"), json_or_empty_(namespace), name_check_dns_label);
    const char *key = text_at(term, "topologyKey");
    if (!*key)
        error_required(errors, AT(at, "topologyKey"), "can not be empty");
    check_name(errors, AT(at, "topologyKey"), key, name_check_label_key);
}

#define REQUIRED "requiredDuringSchedulingIgnoredDuringExecution"
#define PREFERRED "preferredDuringSchedulingIgnoredDuringExecution"

static void check_pod_affinity(struct field_errors *errors, const struct where *at, const json_t *affinity)
{
    const struct where *required = AT(at, REQUIRED);
    const struct where *preferred = AT(at, PREFERRED);
    size_t i;
    json_t *term;
    json_array_foreach(json_object_get(affinity, REQUIRED), i, term)
        check_pod_term(errors, AT_INDEX(required, i), term);
    json_array_foreach(json_object_get(affinity, PREFERRED), i, term)
    {
        const struct where *here = AT_INDEX(preferred, i);
        check_weight(errors, here, term);
        check_pod_term(errors, AT(here, "podAffinityTerm"), json_object_get(term, "podAffinityTerm"));
    }
}

static void check_node_affinity(struct field_errors *errors, const struct where *at, const json_t *affinity)
{
    const json_t *required = json_object_get(affinity, REQUIRED);
    const struct where *preferred = AT(at, PREFERRED);
    if (required)
        check_node_selector(errors, AT(at, REQUIRED), required);
    size_t i;
    json_t *term;
    json_array_foreach(json_object_get(affinity, PREFERRED), i, term)
    {
        const struct where *here = AT_INDEX(preferred, i);
        check_weight(errors, here, term);
        check_node_selector_term(errors, AT(here, "preference"), json_object_get(term, "preference"), true);
    }
}

void check_affinity(struct field_errors *errors, const struct where *at, const json_t *affinity)
{
    check_node_affinity(errors, AT(at, "nodeAffinity"), json_object_get(affinity, "nodeAffinity"));
    check_pod_affinity(errors, AT(at, "podAffinity"), json_object_get(affinity, "podAffinity"));
    check_pod_affinity(errors, AT(at, "podAntiAffinity"), json_object_get(affinity, "podAntiAffinity"));
}

static bool is_repeated(const json_t *constraints, size_t index)
{
    const json_t *constraint = json_array_get(constraints, index);
    for (size_t i = index + 1; i < json_array_size(constraints); i++) {
        const json_t *other = json_array_get(constraints, i);
        if (!strcmp(text_at(constraint, "topologyKey"), text_at(other, "topologyKey")) &&
            !strcmp(text_at(constraint, "whenUnsatisfiable"), text_at(other, "whenUnsatisfiable")))
            return true;
    }
    return false;
}

void check_spread(struct field_errors *errors, const struct where *at, const json_t *constraints)
{
    static const char *const actions[] = {"DoNotSchedule", "ScheduleAnyway", NULL};
    size_t i;
    json_t *constraint;
    json_array_foreach(constraints, i, constraint)
    {
        const struct where *here = AT_INDEX(at, i);
        const char *key = text_at(constraint, "topologyKey");
        if (int_at(constraint, "maxSkew") <= 0)
            error_invalid_int(errors, AT(here, "maxSkew"), int_at(constraint, "maxSkew"),
                              "must be greater than zero");
        if (!*key)
            error_required(errors, AT(here, "topologyKey"), "can not be empty");
        const char *action = text_at(constraint, "whenUnsatisfiable");
        if (!is_one_of(action, actions))
            error_not_supported(errors, AT(here, "whenUnsatisfiable"), action, actions);
        if (is_repeated(constraints, i)) {
            struct buf pair buf_auto = BUF_INIT;
            buf_printf(&pair, "{%s, %s}", key, action);
            error_duplicate_text(errors, AT(here, "{topologyKey, whenUnsatisfiable}"), buf_str(&pair));
        }
        check_label_selector(errors, AT(here, "labelSelector"), json_object_get(constraint, "labelSelector"));
    }
}
