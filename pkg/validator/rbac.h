/*
 * Role-based access control over a compiled, immutable policy. The same evaluation serves the API's
 * authorizer and the locking script's RBAC check, so it is deterministic and reads no clock.
 * Semantics: Kubernetes' RBAC (rules are purely additive; "*" in verbs, groups, resources; resourceNames;
 * nonResourceURLs with a trailing "*"; aggregated cluster roles are expanded by a controller).
 */
#ifndef KATENA_VALIDATOR_RBAC_H
#define KATENA_VALIDATOR_RBAC_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

struct rbac_policy;

struct rbac_attributes {
    const char *user;
    const char *const *groups;
    size_t group_count;
    const char *verb;
    const char *group; /* API group; "" for core */
    const char *resource;
    const char *subresource; /* "" for none */
    const char *namespace;   /* "" for cluster scope */
    const char *name;        /* "" for none (list, create) */
    const char *path;        /* non-NULL: a non-resource request for this URL path */
};

/* True when some binding grants it; members of system:masters are always allowed. reason (may be NULL)
 * gets Kubernetes' words, e.g. `RBAC: allowed by ClusterRoleBinding "x" of ClusterRole "y" to User "z"`. */
bool rbac_allows(const struct rbac_policy *policy, const struct rbac_attributes *attributes,
                 struct buf *reason);

/* The rules that apply to a user in a namespace, as the `status` of a SelfSubjectRulesReview: calls fn per
 * rule with the rule's JSON text. */
typedef void (*rbac_rule_fn)(void *arg, const char *rule_json);
void rbac_rules_for(const struct rbac_policy *policy, const struct rbac_attributes *who, rbac_rule_fn fn,
                    void *arg);

struct rbac_policy *rbac_policy_retain(struct rbac_policy *policy);
void rbac_policy_release(struct rbac_policy *policy);

#endif
