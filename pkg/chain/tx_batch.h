/*
 * Signatures that transactions share.
 *
 * A node signs all that it accepts at a moment with one signature: over the root of a Merkle tree whose
 * leaves are the ids (merkle.h). Each transaction carries the signature and its own path to the root, so it
 * stands for itself wherever it goes: in a block, as an orphan, in a proof. Making and checking a signature
 * is by far the most expensive thing about a small transaction; so both cost less the more is going on.
 */
#ifndef KATENA_CHAIN_TX_BATCH_H
#define KATENA_CHAIN_TX_BATCH_H

#include "chain/tx.h"

/* Which signature a transaction has, of whom, over what. */
struct tx_batch {
    uint8_t root[32]; /* of a transaction that was signed alone: its id */
    uint8_t key[TX_KEY_SIZE];
    uint8_t signature[TX_SIGNATURE_SIZE];
};

/* Follows the path of a signed or decoded transaction to the root. */
void tx_batch_of(struct tx_batch *out, const struct tx *tx);

/* Batches whose signatures were found right lately, a few: what comes together was mostly signed together.
 * Starts as zeros; with known, further ones need no check, either. */
#define TX_BATCHES_SEEN 8
struct tx_batches {
    struct tx_batch seen[TX_BATCHES_SEEN];
    size_t count; /* ever; the newest take the places of the oldest */
    bool (*known)(void *arg, const struct tx_batch *batch);
    void *arg;
};

/* Signs encoded transactions (tx_encode, with the public part of this key) of one node, 1 to TX_BATCH_MAX of
 * them. secret_key is libsodium's 64-byte Ed25519 secret key. */
void tx_sign_batch(struct tx *const *txs, size_t count, const uint8_t secret_key[64]);

/* Checks the node's and, where there is one, the user's signature. seen: batches that need not be checked
 * again, to which this one is added; or NULL. The node's part is skipped for a trusted transaction. */
int tx_verify_signatures(const struct tx *tx, struct tx_batches *seen, struct err *err);

#endif
