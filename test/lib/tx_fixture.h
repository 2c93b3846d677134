/*
 * Transactions for tests: a node's key from a fixed seed, a genesis, and short ways to make transactions. All
 * is deterministic: the same calls give the same ids.
 */
#ifndef KATENA_TEST_TX_FIXTURE_H
#define KATENA_TEST_TX_FIXTURE_H

#include "chain/block.h"
#include "chain/tx.h"

#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define TX_FIXTURE_TIME 1700000000000000 /* of the genesis, in microseconds */

struct tx_fixture {
    uint8_t public_key[TX_KEY_SIZE];
    uint8_t secret_key[64];
    struct block *genesis;
    int64_t now_us;
    uint64_t nonce;
};

static inline void tx_fixture_key(uint8_t public_key[TX_KEY_SIZE], uint8_t secret_key[64], uint8_t seed)
{
    uint8_t bytes[32];
    memset(bytes, seed, sizeof(bytes));
    crypto_sign_seed_keypair(public_key, secret_key, bytes);
}

static inline void tx_fixture_begin(struct tx_fixture *f)
{
    memset(f, 0, sizeof(*f));
    int rc = sodium_init();
    assert(rc >= 0);
    (void)rc;
    tx_fixture_key(f->public_key, f->secret_key, 7);
    f->now_us = TX_FIXTURE_TIME;
    f->genesis = block_genesis(f->now_us, f->secret_key);
}

static inline void tx_fixture_end(struct tx_fixture *f)
{
    block_free(f->genesis);
}

/* An unsigned transaction by an administrator. */
static inline struct tx *tx_fixture_new(struct tx_fixture *f, const char *verb)
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

static inline void tx_fixture_sign(struct tx_fixture *f, struct tx *tx)
{
    struct err err;
    int rc = tx_sign(tx, f->secret_key, &err);
    if (rc)
        fprintf(stderr, "tx_sign: %s\n", err.message);
    assert(rc == 0);
}

static inline void tx_fixture_input(struct tx *tx, enum tx_input_kind kind, struct resource_key key,
                                    const uint8_t *tx_id)
{
    struct tx_input input = {.kind = kind, .key = key};
    if (tx_id)
        memcpy(input.tx_id, tx_id, TX_ID_SIZE);
    tx_add_input(tx, &input);
}

static inline void tx_fixture_put(struct tx *tx, struct resource_key key, const char *content)
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

static inline struct resource_key tx_fixture_key_of(const char *resource, const char *ns, const char *name)
{
    return (struct resource_key){"", resource, ns, name};
}

static inline struct tx *tx_fixture_create(struct tx_fixture *f, struct resource_key key, const char *content)
{
    struct tx *tx = tx_fixture_new(f, "create");
    struct resource_key parent;
    if (key_parent(&parent, &key))
        tx_fixture_input(tx, TX_INPUT_INDIRECT, parent, NULL);
    tx_fixture_put(tx, key, content);
    tx_fixture_sign(f, tx);
    return tx;
}

static inline struct tx *tx_fixture_update(struct tx_fixture *f, struct resource_key key,
                                           const uint8_t *old_id, const char *content)
{
    struct tx *tx = tx_fixture_new(f, "update");
    tx_fixture_input(tx, TX_INPUT_DIRECT, key, old_id);
    tx_fixture_put(tx, key, content);
    tx_fixture_sign(f, tx);
    return tx;
}

static inline struct tx *tx_fixture_delete(struct tx_fixture *f, struct resource_key key,
                                           const uint8_t *old_id)
{
    struct tx *tx = tx_fixture_new(f, "delete");
    tx_fixture_input(tx, TX_INPUT_DIRECT, key, old_id);
    struct tx_output output = {.op = TX_OUTPUT_DELETE, .key = key, .uid = "uid-1"};
    tx_add_output(tx, &output);
    tx_fixture_sign(f, tx);
    return tx;
}

#endif
