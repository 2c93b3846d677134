/*
 * A homomorphic hash of a set (LtHash, Bellare and Micciancio's additive construction): 1,024 lanes of 16
 * bits, each element expanded by BLAKE2b and added lane by lane. Adding and removing elements costs the
 * same whatever the set's size, and the result does not depend on the order. The state hash is one.
 */
#ifndef KATENA_CHAIN_LTHASH_H
#define KATENA_CHAIN_LTHASH_H

#include "chain/hash.h"

#include <stdbool.h>
#include <stdint.h>

#define LTHASH_LANES 1024
#define LTHASH_SIZE (2 * LTHASH_LANES) /* bytes of the stored form: lanes in little-endian order */

struct lthash {
    uint16_t lanes[LTHASH_LANES];
};

void lthash_init(struct lthash *hash); /* the empty set */

/* element is a 32-byte hash of the element. An element may be added only when it is absent and removed only
 * when it is present; the caller sees to that. */
void lthash_add(struct lthash *hash, const uint8_t element[HASH_SIZE]);
void lthash_remove(struct lthash *hash, const uint8_t element[HASH_SIZE]);

void lthash_digest(uint8_t out[HASH_SIZE], const struct lthash *hash);

void lthash_encode(uint8_t out[LTHASH_SIZE], const struct lthash *hash);
void lthash_decode(struct lthash *hash, const uint8_t bytes[LTHASH_SIZE]);
bool lthash_equal(const struct lthash *a, const struct lthash *b);

#endif
