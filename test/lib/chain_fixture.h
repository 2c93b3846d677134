/* A chain for tests: a consensus manager over a store in memory, beside what tx_fixture.h has. */
#ifndef KATENA_TEST_CHAIN_FIXTURE_H
#define KATENA_TEST_CHAIN_FIXTURE_H

#include "base/mem.h"
#include "chain/block.h"
#include "chain/tx.h"
#include "chain_store.h"
#include "tx_fixture.h"

#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

struct chain_fixture {
    struct tx_fixture tx;
    struct chain_store mem;
    struct state_mem *store; /* its state */
    struct consensus *consensus;
};

/* Opens the consensus manager at what the store has, as a node does at its start. */
static inline void chain_fixture_open(struct chain_fixture *f)
{
    struct consensus_options options = {
        .genesis = &f->tx.genesis->header,
        .store_ops = chain_store_state_ops(),
        .chain_ops = chain_store_chain_ops(),
        .store = &f->mem,
        .record = f->mem.record.len ? f->mem.record.data : NULL,
        .record_len = f->mem.record.len,
        .settings = CONSENSUS_SETTINGS_DEFAULT,
        .now_us = f->tx.now_us,
    };
    memcpy(options.secret_key, f->tx.secret_key, sizeof(options.secret_key));
    struct err err;
    int rc = consensus_new(&f->consensus, &options, &err);
    assert(rc == 0);
    (void)rc;
}

/* A new chain on the genesis in f->tx. */
static inline void chain_fixture_start(struct chain_fixture *f)
{
    chain_store_begin(&f->mem, f->tx.genesis);
    f->store = f->mem.state;
    chain_fixture_open(f);
}

static inline void chain_fixture_stop(struct chain_fixture *f)
{
    consensus_free(f->consensus);
    chain_store_end(&f->mem);
}

static inline void chain_fixture_begin(struct chain_fixture *f)
{
    tx_fixture_begin(&f->tx);
    chain_fixture_start(f);
}

static inline void chain_fixture_end(struct chain_fixture *f)
{
    chain_fixture_stop(f);
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
    chain_store_persist(&f->mem, persist);
    struct consensus_event event = {.type = CONSENSUS_PERSISTED, .now_us = f->tx.now_us};
    int rc = consensus_step(f->consensus, &event, update, NULL);
    assert(rc == 0);
    (void)rc;
}

/* A block from a peer, checked as far as its signatures go. */
static inline int chain_fixture_receive(struct chain_fixture *f, const struct block *block,
                                        struct consensus_update *update, struct err *err)
{
    static const uint8_t peer[TX_KEY_SIZE] = {1};
    struct message message = {.type = MESSAGE_BLOCK, .block = chain_store_copy(block), .verified = true};
    struct consensus_event event = {
        .type = CONSENSUS_MESSAGE, .now_us = f->tx.now_us, .peer = peer, .message = &message};
    return consensus_step(f->consensus, &event, update, err);
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
