/* Roles and their bindings. */
#include "object/validate_internal.h"

#include "codec/json.h"

#include <string.h>

#define RBAC "rbac.authorization.k8s.io"

static const char *const rbac_group[] = {RBAC, NULL};

static void check_rule(struct field_errors *errors, const struct where *at, const json_t *rule,
                       bool namespaced)
{
    const json_t *urls = json_object_get(rule, "nonResourceURLs");
    size_t groups = json_array_size(json_object_get(rule, "apiGroups"));
    size_t resources = json_array_size(json_object_get(rule, "resources"));
    if (!json_array_size(json_object_get(rule, "verbs")))
        error_required(errors, AT(at, "verbs"), "verbs must contain at least one value");
    if (json_array_size(urls)) {
        if (namespaced)
            error_invalid(errors, AT(at, "nonResourceURLs"), urls,
                          "namespaced rules cannot apply to non-resource URLs");
        if (groups || resources || json_array_size(json_object_get(rule, "resourceNames")))
            error_invalid(errors, AT(at, "nonResourceURLs"), urls,
                          "rules cannot apply to both regular resources and non-resource URLs");
        return;
    }
    if (!groups)
        error_required(errors, AT(at, "apiGroups"), "resource rules must supply at least one api group");
    if (!resources)
        error_required(errors, AT(at, "resources"), "resource rules must supply at least one resource");
}

static void check_rules(struct field_errors *errors, const json_t *role, bool namespaced)
{
    const struct where *at = AT(NULL, "rules");
    size_t i;
    json_t *rule;
    json_array_foreach(json_object_get(role, "rules"), i, rule)
        check_rule(errors, AT_INDEX(at, i), rule, namespaced);
}

void validate_role(struct field_errors *errors, const json_t *object, const json_t *old)
{
    (void)old;
    check_rules(errors, object, true);
}

void validate_cluster_role(struct field_errors *errors, const json_t *object, const json_t *old)
{
    (void)old;
    check_rules(errors, object, false);
    const json_t *aggregation = json_object_get(object, "aggregationRule");
    if (!aggregation)
        return;
    const struct where *rule = AT(NULL, "aggregationRule");
    const struct where *at = AT(rule, "clusterRoleSelectors");
    const json_t *selectors = json_object_get(aggregation, "clusterRoleSelectors");
    if (!json_array_size(selectors))
        error_required(errors, at, "at least one clusterRoleSelector required if aggregationRule is non-nil");
    size_t i;
    json_t *selector;
    json_array_foreach(selectors, i, selector) check_label_selector(errors, AT_INDEX(at, i), selector);
}

static void check_subject(struct field_errors *errors, const struct where *at, const json_t *subject,
                          bool namespaced)
{
    static const char *const kinds[] = {"ServiceAccount", "User", "Group", NULL};
    static const char *const no_group[] = {"", NULL};
    const char *kind = text_at(subject, "kind");
    const char *name = text_at(subject, "name");
    const char *group = text_at(subject, "apiGroup");
    if (!*name)
        error_required(errors, AT(at, "name"), "");
    if (!strcmp(kind, "ServiceAccount")) {
        if (*name)
            check_name(errors, AT(at, "name"), name, name_check_dns_subdomain);
        if (*group)
            error_not_supported(errors, AT(at, "apiGroup"), group, no_group);
        if (!namespaced && !*text_at(subject, "namespace"))
            error_required(errors, AT(at, "namespace"), "");
    } else if (strcmp(kind, "User") != 0 && strcmp(kind, "Group") != 0) {
        error_not_supported(errors, AT(at, "kind"), kind, kinds);
    } else if (strcmp(group, RBAC) != 0) {
        error_not_supported(errors, AT(at, "apiGroup"), group, rbac_group);
    }
}

static void check_binding(struct field_errors *errors, const json_t *object, const json_t *old,
                          bool namespaced)
{
    static const char *const kinds[] = {"Role", "ClusterRole", NULL};
    const char *const *allowed = namespaced ? kinds : kinds + 1;
    const struct where *at = AT(NULL, "roleRef");
    const json_t *role = json_object_get(object, "roleRef");
    if (strcmp(text_at(role, "apiGroup"), RBAC) != 0)
        error_not_supported(errors, AT(at, "apiGroup"), text_at(role, "apiGroup"), rbac_group);
    if (!is_one_of(text_at(role, "kind"), allowed))
        error_not_supported(errors, AT(at, "kind"), text_at(role, "kind"), allowed);
    check_required_name(errors, AT(at, "name"), text_at(role, "name"), name_check_path_segment);
    const struct where *subjects = AT(NULL, "subjects");
    size_t i;
    json_t *subject;
    json_array_foreach(json_object_get(object, "subjects"), i, subject)
        check_subject(errors, AT_INDEX(subjects, i), subject, namespaced);
    const json_t *before = json_object_get(old, "roleRef");
    if (old && !json_equal(role, before)) {
        json_auto_t *shown = json_pack("{s:s,s:s,s:s}", "APIGroup", text_at(role, "apiGroup"), "Kind",
                                       text_at(role, "kind"), "Name", text_at(role, "name"));
        error_invalid(errors, at, shown, "cannot change roleRef");
    }
}

void validate_role_binding(struct field_errors *errors, const json_t *object, const json_t *old)
{
    check_binding(errors, object, old, true);
}

void validate_cluster_role_binding(struct field_errors *errors, const json_t *object, const json_t *old)
{
    check_binding(errors, object, old, false);
}
