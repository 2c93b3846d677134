/* A validator for tests, on a state in memory that a test fills block by block. */
#ifndef KATENA_TEST_VALIDATOR_FIXTURE_H
#define KATENA_TEST_VALIDATOR_FIXTURE_H

#include "base/mem.h"
#include "state/state_mem.h"
#include "tx_fixture.h"
#include "validator/rbac_policy.h"
#include "validator/validator.h"

struct validator_fixture {
    struct tx_fixture tx;
    struct validator_chain chain;
    struct state_mem *store;
    struct state_snapshot *snapshot;
    struct state_view *view;
    struct validator *v;
    struct block_header head;
    struct tx *kept[64]; /* applied in the open block */
    size_t kept_count;
};

static inline void validator_fixture_open(struct validator_fixture *f)
{
    f->snapshot = state_mem_ops()->snapshot_begin(f->store);
    f->view = state_view_new(state_mem_ops(), f->snapshot, state_mem_hash(f->store));
    state_view_begin(f->view, f->tx.now_us += 1000);
    struct rbac_policy *policy = rbac_policy_load(state_mem_ops(), f->snapshot);
    f->v = validator_new(&f->chain, f->view, policy);
    rbac_policy_release(policy);
}

static inline void validator_fixture_close(struct validator_fixture *f)
{
    validator_free(f->v);
    state_view_free(f->view);
    state_mem_ops()->snapshot_end(f->snapshot);
    for (size_t i = 0; i < f->kept_count; i++)
        tx_free(f->kept[i]);
    f->kept_count = 0;
}

static inline void validator_fixture_begin(struct validator_fixture *f)
{
    memset(f, 0, sizeof(*f));
    tx_fixture_begin(&f->tx);
    memcpy(f->chain.id, f->tx.genesis->header.hash, TX_ID_SIZE);
    memcpy(f->chain.producer, f->tx.public_key, TX_KEY_SIZE);
    f->head = f->tx.genesis->header;
    f->store = state_mem_new();
    validator_fixture_open(f);
}

static inline void validator_fixture_end(struct validator_fixture *f)
{
    validator_fixture_close(f);
    state_mem_free(f->store);
    tx_fixture_end(&f->tx);
}

/* Checks, and applies when it holds. The transaction is the fixture's afterwards, or freed. */
static inline int validator_fixture_run(struct validator_fixture *f, struct tx *tx, struct err *err)
{
    int rc = validator_check(f->v, tx, err);
    if (rc) {
        tx_free(tx);
        return rc;
    }
    assert(f->kept_count < sizeof(f->kept) / sizeof(f->kept[0]));
    f->kept[f->kept_count++] = tx;
    return validator_apply(f->v, tx, err);
}

/* Ends the open block: what was applied goes to the store, and a new block begins. */
static inline void validator_fixture_commit(struct validator_fixture *f)
{
    struct state_update update;
    f->head.height++;
    f->head.time_us = f->tx.now_us;
    f->head.output_count = state_view_outputs(f->view);
    state_view_digest(f->view, f->head.state_digest);
    state_view_update(f->view, &f->head, &update);
    state_mem_apply(f->store, &update);
    validator_fixture_close(f);
    validator_fixture_open(f);
}

#endif
