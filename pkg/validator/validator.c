/* The life of a validator: applying, restarting, and the policy at its place. See validator.h. */
#include "validator/validator_internal.h"

#include "base/mem.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

struct validator *validator_new(const struct validator_chain *chain, struct state_view *view,
                                struct rbac_policy *policy)
{
    struct validator *v = mem_zalloc(sizeof(*v));
    v->chain = chain;
    v->view = view;
    v->base_policy = rbac_policy_retain(policy);
    v->policy = rbac_policy_retain(policy);
    return v;
}

void validator_free(struct validator *v)
{
    if (!v)
        return;
    rbac_policy_release(v->base_policy);
    rbac_policy_release(v->policy);
    bytemap_free(&v->applied);
    free(v->changes);
    free(v);
}

/* Changes of RBAC objects are collected and compiled when the policy is next asked for, since many of them
 * come in a row when a cluster is set up. */
static void policy_note(struct validator *v, const struct tx_output *output)
{
    if (!rbac_is_policy_key(&output->key))
        return;
    if (v->change_count == v->change_cap) {
        v->change_cap = v->change_cap ? 2 * v->change_cap : 16;
        v->changes = mem_reallocarray(v->changes, v->change_cap, sizeof(*v->changes));
    }
    bool grants = output->op == TX_OUTPUT_PUT && output->encoding == TX_CONTENT_PLAIN;
    v->changes[v->change_count++] =
        (struct rbac_change){output->key, grants ? output->content : NULL, grants ? output->content_len : 0};
}

bool validator_is_registered(const struct validator_chain *chain, const uint8_t key[TX_KEY_SIZE])
{
    if (chain->registry_count == 0)
        return memcmp(chain->producer, key, TX_KEY_SIZE) == 0;
    return registry_find(chain->registry, chain->registry_count, key) != NULL;
}

int validator_apply(struct validator *v, const struct tx *tx, struct err *err)
{
    int rc = state_view_apply(v->view, tx, err);
    if (rc)
        return rc;
    for (size_t i = 0; i < tx->output_count; i++)
        policy_note(v, &tx->outputs[i]);
    for (size_t i = 0; i < tx->output_count; i++)
        v->registry_changed |= registry_is_key(&tx->outputs[i].key);
    bytemap_set(&v->applied, tx->id, TX_ID_SIZE, 0);
    if (!sodium_is_zero(tx->original, TX_ID_SIZE))
        bytemap_set(&v->applied, tx->original, TX_ID_SIZE, 0);
    return 0;
}

void validator_restart(struct validator *v)
{
    state_view_rollback(v->view);
    rbac_policy_release(v->policy);
    v->policy = rbac_policy_retain(v->base_policy);
    v->change_count = 0;
    bytemap_clear(&v->applied);
    v->registry_changed = false;
}

struct rbac_policy *validator_policy(struct validator *v)
{
    if (v->change_count) {
        struct rbac_policy *changed = rbac_policy_change(v->policy, v->changes, v->change_count);
        rbac_policy_release(v->policy);
        v->policy = changed;
        v->change_count = 0;
    }
    return v->policy;
}

bool validator_is_verdict(int code)
{
    switch (code) {
    case ERR_FORBIDDEN:
    case ERR_STALE:
    case ERR_EXISTS:
    case ERR_NOT_FOUND:
    case ERR_CONFLICT:
    case ERR_INVALID:
    case ERR_INCLUDED:
        return true;
    default:
        return false;
    }
}
