/*
 * Making compiled RBAC policies (rbac.h) from the objects of the chain.
 *
 * A policy is immutable: a change makes a new one that shares all other roles and bindings with the old, so a
 * change of one object costs little, and readers in other threads keep what they hold. Roles and bindings are
 * kept by key; objects that cannot be read as what they should be grant nothing.
 */
#ifndef KATENA_VALIDATOR_RBAC_POLICY_H
#define KATENA_VALIDATOR_RBAC_POLICY_H

#include "base/err.h"
#include "chain/key.h"
#include "state/state_store.h"
#include "validator/rbac.h"

#include <stdbool.h>
#include <stddef.h>

/* Whether objects under this key are part of the policy. */
bool rbac_is_policy_key(const struct resource_key *key);

/* One object that has changed: its JSON, or NULL when it is gone. */
struct rbac_change {
    struct resource_key key;
    const void *json;
    size_t json_len;
};

/* The policy with the changes made, as a new reference; policy (may be NULL: an empty one) stays the
 * caller's. Of several changes of one key the last counts. */
struct rbac_policy *rbac_policy_change(const struct rbac_policy *policy, const struct rbac_change *changes,
                                       size_t count);

/* The policy of a snapshot. */
struct rbac_policy *rbac_policy_load(const struct state_store_ops *ops, struct state_snapshot *snapshot);

#endif
