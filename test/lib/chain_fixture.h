/* A chain for tests: a consensus manager over a store in memory, beside what tx_fixture.h has. */
#ifndef KATENA_TEST_CHAIN_FIXTURE_H
#define KATENA_TEST_CHAIN_FIXTURE_H

#include "base/mem.h"
#include "chain/block.h"
#include "chain/tx.h"
#include "consensus/consensus.h"
#include "state/state_mem.h"
#include "tx_fixture.h"

#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

struct chain_fixture {
    struct tx_fixture tx;
    struct state_mem *store;
    struct consensus *consensus;
};

/* Opens the consensus manager at what the store has, as a node does at its start. */
static inline void chain_fixture_open(struct chain_fixture *f, const struct block_header *head)
{
    struct consensus_options options = {
        .genesis = &f->tx.genesis->header,
        .head = head,
        .state_hash = state_mem_hash(f->store),
        .store_ops = state_mem_ops(),
        .store = f->store,
    };
    memcpy(options.secret_key, f->tx.secret_key, sizeof(options.secret_key));
    struct err err;
    int rc = consensus_new(&f->consensus, &options, &err);
    assert(rc == 0);
    (void)rc;
}

static inline void chain_fixture_begin(struct chain_fixture *f)
{
    tx_fixture_begin(&f->tx);
    f->store = state_mem_new();
    chain_fixture_open(f, &f->tx.genesis->header);
}

static inline void chain_fixture_end(struct chain_fixture *f)
{
    consensus_free(f->consensus);
    state_mem_free(f->store);
    tx_fixture_end(&f->tx);
}

static inline void chain_fixture_submit(struct chain_fixture *f, struct tx *tx, void *token,
                                        struct consensus_update *update)
{
    struct consensus_event event = {
        .type = CONSENSUS_SUBMIT, .now_us = f->tx.now_us, .tx = tx, .token = token};
    int rc = consensus_step(f->consensus, &event, update, NULL);
    assert(rc == 0);
    (void)rc;
}

/* A tick, one millisecond later. */
static inline int chain_fixture_tick(struct chain_fixture *f, struct consensus_update *update,
                                     struct err *err)
{
    f->tx.now_us += 1000;
    struct consensus_event event = {.type = CONSENSUS_TICK, .now_us = f->tx.now_us};
    return consensus_step(f->consensus, &event, update, err);
}

/* Does what a node does with persist: applies it to the store, and reports it. */
static inline void chain_fixture_persist(struct chain_fixture *f, const struct consensus_persist *persist,
                                         struct consensus_update *update)
{
    state_mem_apply(f->store, &persist->state);
    struct consensus_event event = {
        .type = CONSENSUS_PERSISTED, .now_us = f->tx.now_us, .height = persist->block->header.height};
    int rc = consensus_step(f->consensus, &event, update, NULL);
    assert(rc == 0);
    (void)rc;
}

/* Submits one transaction, makes its block, and returns the answer; the message is copied. */
static inline struct consensus_answer chain_fixture_run(struct chain_fixture *f, struct tx *tx,
                                                        char message[ERR_MESSAGE_MAX])
{
    struct consensus_update update;
    chain_fixture_submit(f, tx, f, &update);
    if (update.answer_count == 0) {
        struct err err;
        int rc = chain_fixture_tick(f, &update, &err);
        assert(rc == 0);
        (void)rc;
    }
    if (update.persist) {
        const struct consensus_persist *persist = update.persist;
        chain_fixture_persist(f, persist, &update);
    }
    assert(update.answer_count == 1 && update.answers[0].token == f);
    struct consensus_answer answer = update.answers[0];
    if (message)
        snprintf(message, ERR_MESSAGE_MAX, "%s", answer.message);
    answer.message = message;
    return answer;
}

#endif
