/* What the sources of the validator share. */
#ifndef KATENA_VALIDATOR_INTERNAL_H
#define KATENA_VALIDATOR_INTERNAL_H

#include "validator/rbac_policy.h"
#include "validator/validator.h"

struct validator {
    const struct validator_chain *chain;
    struct state_view *view;
    struct rbac_policy *base_policy; /* at the parent block */
    struct rbac_policy *policy;      /* with the changes applied so far but those noted in changes */
    struct rbac_change *changes;
    size_t change_count, change_cap;
};

#endif
