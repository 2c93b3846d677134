/*
 * Acting as somebody else (kubectl --as): each part of the wanted identity is authorized with the verb
 * "impersonate" on users, groups, serviceaccounts, uids and userextras, for the one who asks.
 */
#include "api/authn_internal.h"

#include "base/mem.h"

#include <string.h>

static int authorize_part(struct api_server *server, const struct api_user *user, const char *group,
                          const char *resource, const char *subresource, const char *namespace,
                          const char *name, struct err *err)
{
    struct rbac_attributes attributes = {
        .verb = "impersonate",
        .group = group,
        .resource = resource,
        .subresource = subresource,
        .namespace = namespace,
        .name = name,
    };
    return api_authorize(server, user, &attributes, err);
}

/* "system:serviceaccount:NS:NAME" into its parts; false for any other user name. */
static bool service_account_split(const char *user, char **namespace, const char **name)
{
    static const char prefix[] = "system:serviceaccount:";
    if (strncmp(user, prefix, sizeof(prefix) - 1) != 0)
        return false;
    const char *rest = user + sizeof(prefix) - 1;
    const char *colon = strchr(rest, ':');
    if (!colon || colon == rest || !colon[1] || strchr(colon + 1, ':'))
        return false;
    *namespace = mem_strndup(rest, (size_t)(colon - rest));
    *name = colon + 1;
    return true;
}

static int authorize_user(struct api_server *server, const struct api_user *user, const char *wanted,
                          struct err *err)
{
    mem_auto char *namespace = NULL;
    const char *name;
    if (service_account_split(wanted, &namespace, &name))
        return authorize_part(server, user, "", "serviceaccounts", "", namespace, name, err);
    return authorize_part(server, user, "", "users", "", "", wanted, err);
}

static int authorize_extra(struct api_server *server, const struct api_user *user, json_t *extra,
                           struct err *err)
{
    const char *key;
    json_t *values;
    json_object_foreach(extra, key, values)
    {
        size_t i;
        json_t *value;
        json_array_foreach(values, i, value)
        {
            int code = authorize_part(server, user, "authentication.k8s.io", "userextras", key, "",
                                      json_string_value(value), err);
            if (code)
                return code;
        }
    }
    return 0;
}

/* The groups that come with a name when none are asked for. */
static void add_implied_groups(struct api_identity *identity, bool any_asked)
{
    mem_auto char *namespace = NULL;
    const char *name;
    if (!any_asked && service_account_split(identity->name, &namespace, &name)) {
        mem_auto char *group = mem_printf("system:serviceaccounts:%s", namespace);
        api_identity_add_group(identity, "system:serviceaccounts");
        api_identity_add_group(identity, group);
    }
    api_identity_add_group(identity, strcmp(identity->name, "system:anonymous") == 0
                                         ? "system:unauthenticated"
                                         : "system:authenticated");
}

int authn_impersonate(struct api_server *server, struct api_identity *identity,
                      const struct authn_impersonation *as, struct err *err)
{
    if (!as->user && (as->uid || as->group_count || as->extra))
        return err_set(
            err, ERR_BAD_REQUEST,
            "requested [groups, uid or extra] without impersonating a user: Impersonate-User is missing");
    if (!as->user)
        return 0;
    struct api_user user = api_identity_user(identity);
    int code = authorize_user(server, &user, as->user, err);
    for (size_t i = 0; !code && i < as->group_count; i++)
        code = authorize_part(server, &user, "", "groups", "", "", as->groups[i], err);
    if (!code && as->uid)
        code = authorize_part(server, &user, "authentication.k8s.io", "uids", "", "", as->uid, err);
    if (!code && as->extra)
        code = authorize_extra(server, &user, as->extra, err);
    if (code)
        return code;
    api_identity_free(identity);
    identity->name = mem_strdup(as->user);
    identity->uid = mem_strdup(as->uid ? as->uid : "");
    for (size_t i = 0; i < as->group_count; i++)
        api_identity_add_group(identity, as->groups[i]);
    identity->extra = as->extra ? json_deep_copy(as->extra) : NULL;
    add_implied_groups(identity, as->group_count > 0);
    return 0;
}
