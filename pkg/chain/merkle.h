/*
 * Merkle trees over a block's transactions, shaped and separated as in RFC 9162, section 2.1 (SHA-256,
 * leaves prefixed by 0x00, inner nodes by 0x01, split at the largest power of two below the size).
 */
#ifndef KATENA_CHAIN_MERKLE_H
#define KATENA_CHAIN_MERKLE_H

#include "chain/hash.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MERKLE_PROOF_MAX 32 /* nodes of a proof */

/* The leaf hash of some bytes; for transactions see tx_leaf_hash. */
void merkle_leaf(uint8_t out[HASH_SIZE], const void *data, size_t len);

/* The root over leaf hashes; zeros for none. leaves is overwritten. */
void merkle_root(uint8_t out[HASH_SIZE], uint8_t (*leaves)[HASH_SIZE], size_t count);

struct merkle_proof {
    size_t index;
    size_t count; /* leaves in the tree */
    size_t node_count;
    uint8_t nodes[MERKLE_PROOF_MAX][HASH_SIZE]; /* siblings from the leaf up */
};

/* How many nodes the proof of a leaf has. index < count. */
size_t merkle_proof_nodes(size_t index, size_t count);

/* The inclusion proof of one leaf. index < count. */
void merkle_prove(struct merkle_proof *proof, const uint8_t (*leaves)[HASH_SIZE], size_t count, size_t index);

/* A tree that is kept whole, for proofs of many of its leaves. count > 0. */
struct merkle_tree;
struct merkle_tree *merkle_tree_new(const uint8_t (*leaves)[HASH_SIZE], size_t count);
void merkle_tree_free(struct merkle_tree *tree);
const uint8_t *merkle_tree_root(const struct merkle_tree *tree);
void merkle_tree_prove(struct merkle_proof *proof, const struct merkle_tree *tree, size_t index);

/* The root to which a proof leads from a leaf. False: the proof is not one of its index and count. */
bool merkle_follow(uint8_t root[HASH_SIZE], const struct merkle_proof *proof, const uint8_t leaf[HASH_SIZE]);

bool merkle_verify(const struct merkle_proof *proof, const uint8_t leaf[HASH_SIZE],
                   const uint8_t root[HASH_SIZE]);

#endif
