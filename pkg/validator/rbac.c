/* Evaluating a compiled policy. See rbac.h. */
#include "validator/rbac_internal.h"

#include "codec/json.h"

#include <string.h>

static bool strings_have(const struct rbac_strings *strings, const char *value)
{
    for (size_t i = 0; i < strings->count; i++)
        if (strcmp(strings->items[i], value) == 0)
            return true;
    return false;
}

static bool strings_match(const struct rbac_strings *strings, const char *value)
{
    return strings_have(strings, "*") || strings_have(strings, value);
}

static bool resource_is(const char *item, const struct rbac_attributes *a)
{
    if (strcmp(item, "*") == 0)
        return true;
    if (!*a->subresource)
        return strcmp(item, a->resource) == 0;
    /* "pods/log", or a subresource of any resource: a star, a slash and its name. */
    const char *slash = strchr(item, '/');
    if (!slash || strcmp(slash + 1, a->subresource) != 0)
        return false;
    size_t len = (size_t)(slash - item);
    return (len == 1 && item[0] == '*') ||
           (len == strlen(a->resource) && memcmp(item, a->resource, len) == 0);
}

static bool resources_match(const struct rbac_strings *resources, const struct rbac_attributes *a)
{
    for (size_t i = 0; i < resources->count; i++)
        if (resource_is(resources->items[i], a))
            return true;
    return false;
}

static bool path_matches(const struct rbac_strings *urls, const char *path)
{
    for (size_t i = 0; i < urls->count; i++) {
        const char *url = urls->items[i];
        size_t len = strlen(url);
        if (strcmp(url, path) == 0 || strcmp(url, "*") == 0)
            return true;
        if (len && url[len - 1] == '*' && strncmp(url, path, len - 1) == 0)
            return true;
    }
    return false;
}

static bool rule_allows(const struct rbac_rule *rule, const struct rbac_attributes *a)
{
    if (!strings_match(&rule->verbs, a->verb))
        return false;
    if (a->path)
        return path_matches(&rule->urls, a->path);
    return strings_match(&rule->groups, a->group) && resources_match(&rule->resources, a) &&
           (rule->names.count == 0 || strings_have(&rule->names, a->name));
}

/* A cluster role binding grants everywhere, a role binding in its namespace, and only resources. */
static bool binding_applies(const struct rbac_entry *binding, const struct rbac_attributes *a)
{
    if (!*binding->namespace)
        return true;
    return !a->path && strcmp(binding->namespace, a->namespace) == 0;
}

static void reason_put(struct buf *reason, const struct rbac_grant *grant)
{
    const struct rbac_entry *b = grant->binding;
    static const char *const subject_kinds[] = {"User", "Group", "ServiceAccount"};
    buf_clear(reason);
    if (*b->namespace)
        buf_printf(reason, "RBAC: allowed by RoleBinding \"%s/%s\" of ", b->name, b->namespace);
    else
        buf_printf(reason, "RBAC: allowed by ClusterRoleBinding \"%s\" of ", b->name);
    buf_printf(reason, "%s \"%s\" to %s \"%s", b->role_is_cluster ? "ClusterRole" : "Role", b->role_name,
               subject_kinds[grant->subject->kind], grant->subject->name);
    if (grant->subject->kind == RBAC_SERVICE_ACCOUNT)
        buf_printf(reason, "/%s", grant->subject->namespace);
    buf_putc(reason, '"');
}

static bool grants_allow(const struct rbac_policy *policy, uint32_t first, const struct rbac_attributes *a,
                         struct buf *reason)
{
    for (uint32_t g = first; g != BYTEMAP_NONE; g = policy->grants[g].next) {
        const struct rbac_grant *grant = &policy->grants[g];
        if (!grant->role || !binding_applies(grant->binding, a))
            continue;
        for (size_t r = 0; r < grant->role->rule_count; r++) {
            if (!rule_allows(&grant->role->rules[r], a))
                continue;
            if (reason)
                reason_put(reason, grant);
            return true;
        }
    }
    return false;
}

bool rbac_allows(const struct rbac_policy *policy, const struct rbac_attributes *a, struct buf *reason)
{
    if (reason)
        buf_clear(reason);
    for (size_t i = 0; i < a->group_count; i++)
        if (strcmp(a->groups[i], "system:masters") == 0)
            return true;
    if (grants_allow(policy, rbac__grants_of(policy, 'u', a->user), a, reason))
        return true;
    for (size_t i = 0; i < a->group_count; i++)
        if (grants_allow(policy, rbac__grants_of(policy, 'g', a->groups[i]), a, reason))
            return true;
    return false;
}

static void strings_json(json_t *object, const char *name, const struct rbac_strings *strings)
{
    if (!strings->count)
        return;
    json_t *array = json_array_ensure(object, name);
    for (size_t i = 0; i < strings->count; i++)
        json_array_append_new(array, json_string(strings->items[i]));
}

static void rule_report(const struct rbac_rule *rule, rbac_rule_fn fn, void *arg)
{
    json_auto_t *object = json_object();
    strings_json(object, "verbs", &rule->verbs);
    strings_json(object, "apiGroups", &rule->groups);
    strings_json(object, "resources", &rule->resources);
    strings_json(object, "resourceNames", &rule->names);
    strings_json(object, "nonResourceURLs", &rule->urls);
    buf_auto struct buf text = BUF_INIT;
    json_dump_buf(&text, object);
    fn(arg, buf_str(&text));
}

static void grants_report(const struct rbac_policy *policy, uint32_t first, const struct rbac_attributes *who,
                          rbac_rule_fn fn, void *arg)
{
    for (uint32_t g = first; g != BYTEMAP_NONE; g = policy->grants[g].next) {
        const struct rbac_grant *grant = &policy->grants[g];
        if (!grant->role || !binding_applies(grant->binding, who))
            continue;
        for (size_t r = 0; r < grant->role->rule_count; r++)
            rule_report(&grant->role->rules[r], fn, arg);
    }
}

void rbac_rules_for(const struct rbac_policy *policy, const struct rbac_attributes *who, rbac_rule_fn fn,
                    void *arg)
{
    for (size_t i = 0; i < who->group_count; i++)
        if (strcmp(who->groups[i], "system:masters") == 0) {
            fn(arg, "{\"verbs\":[\"*\"],\"apiGroups\":[\"*\"],\"resources\":[\"*\"]}");
            fn(arg, "{\"verbs\":[\"*\"],\"nonResourceURLs\":[\"*\"]}");
        }
    grants_report(policy, rbac__grants_of(policy, 'u', who->user), who, fn, arg);
    for (size_t i = 0; i < who->group_count; i++)
        grants_report(policy, rbac__grants_of(policy, 'g', who->groups[i]), who, fn, arg);
}
