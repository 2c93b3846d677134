/*
 * A Bloom filter over block hashes: says of nearly every hash that is not among them that it is not. Block
 * hashes that have no index are found by walking over the headers; a peer on another branch asks for many
 * that nobody here has.
 *
 * One thread at a time.
 */
#ifndef KATENA_BLOCKSTORE_HASH_FILTER_H
#define KATENA_BLOCKSTORE_HASH_FILTER_H

#include "chain/hash.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hash_filter {
    uint64_t *bits; /* NULL: empty */
    uint64_t mask;  /* number of bits - 1 */
    size_t capacity, count;
};

/* An empty filter with room for so many hashes at least. */
void hash_filter_reset(struct hash_filter *filter, size_t capacity);
void hash_filter_free(struct hash_filter *filter);
void hash_filter_add(struct hash_filter *filter, const uint8_t hash[HASH_SIZE]);
bool hash_filter_may_have(const struct hash_filter *filter, const uint8_t hash[HASH_SIZE]);

#endif
