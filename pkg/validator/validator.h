/*
 * The consensus rules of transactions and blocks (docs/chain-format.md lists them): the same answer on every
 * node, from the chain alone.
 *
 * A struct validator checks the transactions of one block, in order, each at its place: against the state
 * with the block's earlier transactions applied (state/state.h), and against the RBAC policy as it is
 * there. The factory uses it to build a block, block checking to check one.
 *
 *     validator_check(v, tx) == 0  ->  validator_apply(v, tx)  ->  next transaction
 */
#ifndef KATENA_VALIDATOR_VALIDATOR_H
#define KATENA_VALIDATOR_VALIDATOR_H

#include "chain/block.h"
#include "state/state.h"
#include "validator/rbac.h"
#include "validator/registry.h"

/* What the rules know of the chain as a whole. */
struct validator_chain {
    uint8_t id[TX_ID_SIZE];
    uint8_t producer[TX_KEY_SIZE]; /* of the genesis: the one validator while the registry is empty */
    bool byzantine;                /* BLOCK_BYZANTINE in the genesis */
    /* The registry at the parent, ascending by key: these produce blocks and sign transactions. */
    const struct registry_validator *registry;
    size_t registry_count;
    uint64_t height; /* of the parent */
    /* Where a block stands on the chain up to the parent; false: it is not on it. NULL: none is known. */
    bool (*find_block)(void *arg, const uint8_t hash[HASH_SIZE], uint64_t *height, int64_t *time_us);
    void *arg;
};

/* A certificate speaks of one of that many blocks before the parent. */
#define VALIDATOR_CERTIFICATE_DEPTH 2048

/* A block repeats no transaction of so many blocks before it: as many as every node knows, also one that came
 * with a snapshot. Further back each node refuses to include what it knows itself, but no block is refused
 * for it. */
#define VALIDATOR_REPEAT_DEPTH 256

struct validator;

/* A validator for one block over view, on which state_view_begin has been called. chain and view are
 * borrowed, policy (at the parent) is retained. */
struct validator *validator_new(const struct validator_chain *chain, struct state_view *view,
                                struct rbac_policy *policy);
void validator_free(struct validator *v);

/* Whether a transaction holds at this place. 0, or why not:
 *   ERR_FORBIDDEN  another chain, a wrong signature, a locking script, RBAC
 *   ERR_STALE      a direct input names a version that is no longer the newest (ERR_CONFLICT when strict)
 *   ERR_EXISTS     it creates what is there
 *   ERR_NOT_FOUND  it changes what is not there, or its parent is not alive
 *   ERR_CONFLICT   a claim does not fit its node
 *   ERR_INVALID    its parts do not belong together
 *   ERR_INCLUDED   it, or the one that it is a rebased form of, is in the chain already
 *   ERR_IO, …      the store failed: no verdict */
int validator_check(struct validator *v, const struct tx *tx, struct err *err);

/* Applies a checked transaction to the view and the policy. The transaction must outlive the validator. */
int validator_apply(struct validator *v, const struct tx *tx, struct err *err);

/* Back to the parent: nothing is applied. The view is rolled back. */
void validator_restart(struct validator *v);

/* The policy at this place; borrowed. */
struct rbac_policy *validator_policy(struct validator *v);

/* Whether a verdict means that the transaction is refused (as against that nothing could be found out). */
bool validator_is_verdict(int code);

/* All rules of a block on its parent. On success everything is applied to the validator's view (which was
 * begun with the block's time). ERR_CORRUPT or ERR_FORBIDDEN: the block is refused, err says why. */
int validator_check_block(struct validator *v, const struct block_header *parent, const struct block *block,
                          struct err *err);

#endif
