/* Authorization: RBAC over the policy of the current head, and the words of a refusal. */
#include "api/verbs_internal.h"

#include <stdio.h>

static int forbid_path(const struct rbac_attributes *a, struct err *err)
{
    return err_set(err, ERR_FORBIDDEN, "forbidden: User \"%s\" cannot %s path \"%s\"", a->user, a->verb,
                   a->path);
}

static int forbid_resource(const struct rbac_attributes *a, struct err *err)
{
    char named[600] = "";
    if (a->name && *a->name)
        snprintf(named, sizeof(named), " \"%s\"", a->name);
    char where[400] = "at the cluster scope";
    if (a->namespace && *a->namespace)
        snprintf(where, sizeof(where), "in the namespace \"%s\"", a->namespace);
    const char *subresource = a->subresource ? a->subresource : "";
    return err_set(err, ERR_FORBIDDEN,
                   "%s%s%s%s is forbidden: User \"%s\" cannot %s resource \"%s%s%s\" in API group \"%s\" %s",
                   a->resource, *a->group ? "." : "", a->group, named, a->user, a->verb, a->resource,
                   *subresource ? "/" : "", subresource, a->group, where);
}

int api_authorize(struct api_server *server, const struct api_user *user,
                  const struct rbac_attributes *attributes, struct err *err)
{
    struct rbac_attributes a = *attributes;
    a.user = user->name;
    a.groups = user->groups;
    a.group_count = user->group_count;
    struct rbac_policy *policy = ledger_policy(server->ledger);
    bool allowed = rbac_allows(policy, &a, NULL);
    rbac_policy_release(policy);
    if (allowed)
        return 0;
    return a.path ? forbid_path(&a, err) : forbid_resource(&a, err);
}
