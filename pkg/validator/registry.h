/*
 * Who is a validator, as objects of the chain: so it forks, merges and becomes final like everything else.
 *
 *   katena.io / validators / NAME   {"addresses":["10.0.0.1:6444"],"key":"64 hex digits","phase":"Acting"}
 *   katena.io / seeds / current     {"epoch":N,"proof":"base64","seed":"64 hex digits"}
 *
 * NAME is the node's. A validator's transactions and blocks hold while its object exists, in any phase.
 * Its votes count for finality in the phases Acting and Leaving. One that joins is Joining, and one
 * that is removed Leaving, until a transaction carries a certificate that the block of that change is final;
 * only then does the next phase (Acting, or the object's deletion) come, and only then may the next change
 * begin (membership.h). A certificate stands in the transaction's intent:
 *
 *   {"certificate":"base64 of vote.h's encoding"}
 *
 * Transactions that change these objects are signed by a validator for the user REGISTRY_USER. The validator
 * component enforces the rules (docs/chain-format.md numbers them).
 */
#ifndef KATENA_VALIDATOR_REGISTRY_H
#define KATENA_VALIDATOR_REGISTRY_H

#include "base/err.h"
#include "chain/tx.h"
#include "state/state_store.h"
#include "vdf/vdf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REGISTRY_GROUP "katena.io"
#define REGISTRY_VALIDATORS "validators"
#define REGISTRY_SEEDS "seeds"
#define REGISTRY_SEED_NAME "current"
#define REGISTRY_USER "system:katena"
#define REGISTRY_USER_GROUP "system:masters"
#define REGISTRY_MAX 256 /* validators */
#define REGISTRY_ADDRESSES_MAX 8
#define REGISTRY_ADDRESS_MAX 272 /* HOST:PORT */
#define REGISTRY_NAME_MAX 254

enum registry_phase { REGISTRY_JOINING, REGISTRY_ACTING, REGISTRY_LEAVING };

struct registry_validator {
    char name[REGISTRY_NAME_MAX];
    uint8_t key[TX_KEY_SIZE];
    enum registry_phase phase;
    char addresses[REGISTRY_ADDRESSES_MAX][REGISTRY_ADDRESS_MAX];
    size_t address_count;
    /* Where the object stands in the chain: what a change of it has to name. Set by registry_load. */
    uint8_t tx_id[TX_ID_SIZE];
    uint64_t rv;
};

/* Reads an object's content. ERR_INVALID says what is wrong with it. */
int registry_parse(struct registry_validator *out, const char *name, const void *content, size_t len,
                   struct err *err);

/* All validators of a snapshot, ascending by key: at most REGISTRY_MAX. An empty registry gives 0. The array
 * is the caller's to free. */
size_t registry_load(struct registry_validator **out, const struct state_store_ops *ops,
                     struct state_snapshot *snapshot);

/* Where a key is in such an array; NULL: nowhere. */
const struct registry_validator *registry_find(const struct registry_validator *validators, size_t count,
                                               const uint8_t key[TX_KEY_SIZE]);

/* Whether a key is that of a validator's object; and whether it is that of one or of a seed. */
bool registry_is_key(const struct resource_key *key);
bool registry_is_ruled(const struct resource_key *key);

/* Transactions that make a change. before (NULL: none) is the object as it is. They still have to be signed
 * (chain_id, time and nonce set): see ledger_encode. */
struct tx *registry_put_tx(const struct registry_validator *validator,
                           const struct registry_validator *before);
struct tx *registry_delete_tx(const struct registry_validator *before);

/* Puts a certificate into such a transaction's intent. */
void registry_add_certificate(struct tx *tx, const void *certificate, size_t len);

/* A proof that a validator contradicted itself, for the transaction that makes it leave:
 *   {"proof":"base64 of two votes (vote.h) or two block headers"} */
void registry_add_proof(struct tx *tx, const void *proof, size_t len);

/* ---- seeds ---- */

/* Squarings of a seed's evaluation: some 0.3 s of one core. */
#define REGISTRY_SEED_DIFFICULTY (1u << 18)
#define REGISTRY_SEED_PROOF_SIZE (2 * VDF_ELEMENT_SIZE) /* output, then proof */

struct registry_seed {
    uint64_t epoch;
    uint8_t seed[VDF_SEED_SIZE];
    uint8_t proof[REGISTRY_SEED_PROOF_SIZE];
    uint8_t tx_id[TX_ID_SIZE]; /* of the object; set by registry_load_seed */
};

int registry_parse_seed(struct registry_seed *out, const void *content, size_t len, struct err *err);

/* The current seed; before the first one epoch 0 with the chain id as seed, and false. */
bool registry_load_seed(struct registry_seed *out, const uint8_t chain_id[TX_ID_SIZE],
                        const struct state_store_ops *ops, struct state_snapshot *snapshot);

/* What the delay function is evaluated on: BLAKE2b-256("katena seed" NUL | chain id | u64 epoch | seed
 * before). */
void registry_seed_challenge(uint8_t out[VDF_SEED_SIZE], const uint8_t chain_id[TX_ID_SIZE], uint64_t epoch,
                             const uint8_t before[VDF_SEED_SIZE]);

/* The seed of an epoch from the proof of its evaluation, after an earlier one (has_before: it is an object).
 */
struct tx *registry_seed_tx(uint64_t epoch, const uint8_t proof[REGISTRY_SEED_PROOF_SIZE],
                            const struct registry_seed *before, bool has_before);
void registry_seed_of_proof(uint8_t out[VDF_SEED_SIZE], const uint8_t proof[REGISTRY_SEED_PROOF_SIZE]);

/* The certificate in a transaction's intent; false when there is none. */
bool registry_certificate(const struct tx *tx, struct buf *out);

#endif
