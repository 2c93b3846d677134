/*
 * Nobody grants more than they hold: a role may have only rules that its author has, and a binding only a
 * role whose rules the author has, unless they may "escalate" or "bind" (Kubernetes' RBAC: "Privilege
 * escalation prevention and bootstrapping").
 */
#include "api/verbs_internal.h"

#include "object/registry.h"

#include <stdio.h>

#define RBAC_GROUP "rbac.authorization.k8s.io"

struct checking {
    struct api_call *call;
    struct rbac_policy *policy;
    const char *namespace;
};

static bool allows(const struct checking *c, struct rbac_attributes *attributes)
{
    const struct api_user *user = &c->call->request->user;
    attributes->user = user->name;
    attributes->groups = user->groups;
    attributes->group_count = user->group_count;
    if (!attributes->namespace)
        attributes->namespace = c->namespace;
    return rbac_allows(c->policy, attributes, NULL);
}

static const char *text_at(const json_t *array, size_t i)
{
    const char *text = json_string_value(json_array_get(array, i));
    return text ? text : "";
}

/* One verb on one resource ("pods", "pods/log", "*") with each of the names, or with none. */
static bool holds_resource(const struct checking *c, const char *verb, const char *group,
                           const char *resource, const json_t *names)
{
    char plain[256];
    const char *slash = strchr(resource, '/');
    snprintf(plain, sizeof(plain), "%.*s", (int)(slash ? slash - resource : (long)strlen(resource)),
             resource);
    size_t i = 0;
    do {
        struct rbac_attributes attributes = {.verb = verb,
                                             .group = group,
                                             .resource = plain,
                                             .subresource = slash ? slash + 1 : "",
                                             .name = text_at(names, i)};
        if (!allows(c, &attributes))
            return false;
    } while (++i < json_array_size(names));
    return true;
}

static bool holds_verb(const struct checking *c, const json_t *rule, const char *verb)
{
    const json_t *groups = json_object_get(rule, "apiGroups");
    const json_t *resources = json_object_get(rule, "resources");
    const json_t *urls = json_object_get(rule, "nonResourceURLs");
    for (size_t g = 0; g < json_array_size(groups); g++)
        for (size_t r = 0; r < json_array_size(resources); r++)
            if (!holds_resource(c, verb, text_at(groups, g), text_at(resources, r),
                                json_object_get(rule, "resourceNames")))
                return false;
    for (size_t u = 0; u < json_array_size(urls); u++) {
        struct rbac_attributes attributes = {.verb = verb, .path = text_at(urls, u)};
        if (!allows(c, &attributes))
            return false;
    }
    return true;
}

static bool holds_rule(const struct checking *c, const json_t *rule)
{
    const json_t *verbs = json_object_get(rule, "verbs");
    for (size_t v = 0; v < json_array_size(verbs); v++)
        if (!holds_verb(c, rule, text_at(verbs, v)))
            return false;
    return true;
}

static void write_names(struct buf *out, const char *label, const json_t *names)
{
    if (!json_array_size(names))
        return;
    buf_printf(out, "%s%s:[", out->len > 0 && out->data[out->len - 1] != '{' ? ", " : "", label);
    for (size_t i = 0; i < json_array_size(names); i++)
        buf_printf(out, "%s\"%s\"", i ? " " : "", text_at(names, i));
    buf_putc(out, ']');
}

static void write_rule(struct buf *out, const json_t *rule)
{
    buf_auto struct buf text = BUF_INIT;
    buf_putc(&text, '{');
    write_names(&text, "APIGroups", json_object_get(rule, "apiGroups"));
    write_names(&text, "Resources", json_object_get(rule, "resources"));
    write_names(&text, "ResourceNames", json_object_get(rule, "resourceNames"));
    write_names(&text, "NonResourceURLs", json_object_get(rule, "nonResourceURLs"));
    write_names(&text, "Verbs", json_object_get(rule, "verbs"));
    buf_printf(out, "\n%s}", buf_str(&text));
}

static int check_rules(const struct checking *c, const json_t *rules, const char *name)
{
    buf_auto struct buf missing = BUF_INIT;
    size_t i;
    const json_t *rule;
    json_array_foreach(rules, i, rule) if (!holds_rule(c, rule)) write_rule(&missing, rule);
    if (!missing.len)
        return 0;
    const struct api_user *user = &c->call->request->user;
    buf_auto struct buf groups = BUF_INIT;
    for (size_t g = 0; g < user->group_count; g++)
        buf_printf(&groups, "%s\"%s\"", g ? " " : "", user->groups[g]);
    return call_forbidden(
        c->call, name,
        "user \"%s\" (groups=[%s]) is attempting to grant RBAC permissions not currently held:%s", user->name,
        buf_str(&groups), buf_str(&missing));
}

static bool may(const struct checking *c, const char *verb, const char *resource, const char *name)
{
    struct rbac_attributes attributes = {
        .verb = verb, .group = RBAC_GROUP, .resource = resource, .subresource = "", .name = name};
    return allows(c, &attributes);
}

static int check_role(const struct checking *c, const json_t *role)
{
    const char *name = json_str_or_empty(role, "metadata", "name");
    if (may(c, "escalate", c->call->kind->plural, name))
        return 0;
    return check_rules(c, json_object_get(role, "rules"), name);
}

static int check_binding(const struct checking *c, const json_t *binding)
{
    struct api_call *call = c->call;
    const char *name = json_str_or_empty(binding, "roleRef", "name");
    bool cluster = !strcmp(json_str_or_empty(binding, "roleRef", "kind"), "ClusterRole");
    const struct schema_kind *kind =
        registry_by_resource(RBAC_GROUP, "v1", cluster ? "clusterroles" : "roles");
    if (!*name || may(c, "bind", kind->plural, name))
        return 0;
    struct state_object state;
    int rc = call_find(call, kind, c->namespace, name, &state);
    if (rc == ERR_NOT_FOUND)
        return call_not_found(call, kind, name);
    if (rc)
        return rc;
    json_auto_t *role = object_parse(call->server, &state, &call->err);
    if (!role)
        return call->err.code;
    return check_rules(c, json_object_get(role, "rules"), json_str_or_empty(binding, "metadata", "name"));
}

int admission_rbac(struct api_call *call, const json_t *object)
{
    struct checking c = {call, ledger_policy(call->server->ledger), call->request->namespace};
    bool role = kind_is(call->kind, RBAC_GROUP, "roles") || kind_is(call->kind, RBAC_GROUP, "clusterroles");
    int rc = role ? check_role(&c, object) : check_binding(&c, object);
    rbac_policy_release(c.policy);
    return rc;
}
