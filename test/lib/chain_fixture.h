/*
 * A chain for tests: a node's key from a fixed seed, short ways to make transactions, and a consensus manager
 * over a store in memory. All is deterministic: the same calls give the same ids.
 */
#ifndef KATENA_TEST_CHAIN_FIXTURE_H
#define KATENA_TEST_CHAIN_FIXTURE_H

#include "base/mem.h"
#include "chain/block.h"
#include "chain/tx.h"
#include "consensus/consensus.h"
#include "state/state_mem.h"

#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define CHAIN_FIXTURE_TIME 1700000000000000 /* of the genesis, in microseconds */

struct chain_fixture {
    uint8_t public_key[TX_KEY_SIZE];
    uint8_t secret_key[64];
    struct block *genesis;
    struct state_mem *store;
    struct consensus *consensus;
    int64_t now_us;
    uint64_t nonce;
};

static inline void chain_fixture_key(uint8_t public_key[TX_KEY_SIZE], uint8_t secret_key[64], uint8_t seed)
{
    uint8_t bytes[32];
    memset(bytes, seed, sizeof(bytes));
    crypto_sign_seed_keypair(public_key, secret_key, bytes);
}

/* Opens the consensus manager at what the store has, as a node does at its start. */
static inline void chain_fixture_open(struct chain_fixture *f, const struct block_header *head)
{
    struct consensus_options options = {
        .genesis = &f->genesis->header,
        .head = head,
        .state_hash = state_mem_hash(f->store),
        .store_ops = state_mem_ops(),
        .store = f->store,
    };
    memcpy(options.secret_key, f->secret_key, sizeof(options.secret_key));
    struct err err;
    int rc = consensus_new(&f->consensus, &options, &err);
    assert(rc == 0);
    (void)rc;
}

static inline void chain_fixture_begin(struct chain_fixture *f)
{
    memset(f, 0, sizeof(*f));
    int rc = sodium_init();
    assert(rc >= 0);
    (void)rc;
    chain_fixture_key(f->public_key, f->secret_key, 7);
    f->now_us = CHAIN_FIXTURE_TIME;
    f->genesis = block_genesis(f->now_us, f->secret_key);
    f->store = state_mem_new();
    chain_fixture_open(f, &f->genesis->header);
}

static inline void chain_fixture_end(struct chain_fixture *f)
{
    consensus_free(f->consensus);
    state_mem_free(f->store);
    block_free(f->genesis);
}

/* An unsigned transaction by an administrator. */
static inline struct tx *chain_fixture_tx(struct chain_fixture *f, const char *verb)
{
    struct tx *tx = tx_new();
    static const char *const groups[] = {"system:masters", "system:authenticated"};
    memcpy(tx->chain_id, f->genesis->header.hash, TX_ID_SIZE);
    tx->time_us = f->now_us;
    f->nonce++;
    memcpy(tx->nonce, &f->nonce, sizeof(f->nonce));
    tx_set_user(tx, "admin", groups, 2);
    tx_set_verb(tx, verb, "");
    return tx;
}

static inline void chain_fixture_sign(struct chain_fixture *f, struct tx *tx)
{
    struct err err;
    int rc = tx_sign(tx, f->secret_key, &err);
    if (rc)
        fprintf(stderr, "tx_sign: %s\n", err.message);
    assert(rc == 0);
}

static inline void chain_fixture_input(struct tx *tx, enum tx_input_kind kind, struct resource_key key,
                                       const uint8_t *tx_id)
{
    struct tx_input input = {.kind = kind, .key = key};
    if (tx_id)
        memcpy(input.tx_id, tx_id, TX_ID_SIZE);
    tx_add_input(tx, &input);
}

static inline void chain_fixture_put(struct tx *tx, struct resource_key key, const char *content)
{
    struct tx_output output = {
        .op = TX_OUTPUT_PUT,
        .key = key,
        .uid = "uid-1",
        .encoding = TX_CONTENT_PLAIN,
        .content = (const uint8_t *)content,
        .content_len = strlen(content),
    };
    tx_add_output(tx, &output);
}

static inline struct resource_key chain_fixture_key_of(const char *resource, const char *ns, const char *name)
{
    return (struct resource_key){"", resource, ns, name};
}

static inline struct tx *chain_fixture_create(struct chain_fixture *f, struct resource_key key,
                                              const char *content)
{
    struct tx *tx = chain_fixture_tx(f, "create");
    struct resource_key parent;
    if (key_parent(&parent, &key))
        chain_fixture_input(tx, TX_INPUT_INDIRECT, parent, NULL);
    chain_fixture_put(tx, key, content);
    chain_fixture_sign(f, tx);
    return tx;
}

static inline struct tx *chain_fixture_update(struct chain_fixture *f, struct resource_key key,
                                              const uint8_t *old_id, const char *content)
{
    struct tx *tx = chain_fixture_tx(f, "update");
    chain_fixture_input(tx, TX_INPUT_DIRECT, key, old_id);
    chain_fixture_put(tx, key, content);
    chain_fixture_sign(f, tx);
    return tx;
}

static inline struct tx *chain_fixture_delete(struct chain_fixture *f, struct resource_key key,
                                              const uint8_t *old_id)
{
    struct tx *tx = chain_fixture_tx(f, "delete");
    chain_fixture_input(tx, TX_INPUT_DIRECT, key, old_id);
    struct tx_output output = {.op = TX_OUTPUT_DELETE, .key = key, .uid = "uid-1"};
    tx_add_output(tx, &output);
    chain_fixture_sign(f, tx);
    return tx;
}

static inline void chain_fixture_submit(struct chain_fixture *f, struct tx *tx, void *token,
                                        struct consensus_update *update)
{
    struct consensus_event event = {.type = CONSENSUS_SUBMIT, .now_us = f->now_us, .tx = tx, .token = token};
    int rc = consensus_step(f->consensus, &event, update, NULL);
    assert(rc == 0);
    (void)rc;
}

/* A tick, one millisecond later. */
static inline int chain_fixture_tick(struct chain_fixture *f, struct consensus_update *update,
                                     struct err *err)
{
    f->now_us += 1000;
    struct consensus_event event = {.type = CONSENSUS_TICK, .now_us = f->now_us};
    return consensus_step(f->consensus, &event, update, err);
}

/* Does what a node does with persist: applies it to the store, and reports it. */
static inline void chain_fixture_persist(struct chain_fixture *f, const struct consensus_persist *persist,
                                         struct consensus_update *update)
{
    state_mem_apply(f->store, &persist->state);
    struct consensus_event event = {
        .type = CONSENSUS_PERSISTED, .now_us = f->now_us, .height = persist->block->header.height};
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
