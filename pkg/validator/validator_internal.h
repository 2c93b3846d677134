/* What the sources of the validator share. */
#ifndef KATENA_VALIDATOR_INTERNAL_H
#define KATENA_VALIDATOR_INTERNAL_H

#include "chain/bytemap.h"
#include "validator/rbac_policy.h"
#include "validator/validator.h"

struct validator {
    const struct validator_chain *chain;
    struct state_view *view;
    struct rbac_policy *base_policy; /* at the parent block */
    struct rbac_policy *policy;      /* with the changes applied so far but those noted in changes */
    struct rbac_change *changes;
    size_t change_count, change_cap;
    struct bytemap applied; /* ids of the block's transactions so far, and what they are rebased forms of */
    bool registry_changed;  /* by one of them */
    bool checks_block;      /* somebody's block is checked, not what may go into one */
};

bool validator_is_registered(const struct validator_chain *chain, const uint8_t key[TX_KEY_SIZE]);

/* The rules of the objects in the group REGISTRY_GROUP; any other transaction holds. */
int validator_check_registry(struct validator *v, const struct tx *tx, struct err *err);
int validator_check_seed(struct validator *v, const struct tx *tx, const struct tx_output *output,
                         struct err *err);

#endif
