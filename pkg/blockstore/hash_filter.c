/* See hash_filter.h. */
#include "blockstore/hash_filter.h"

#include "base/mem.h"
#include "blockstore/bytes.h"

#include <assert.h>

#define BITS_EACH 10 /* with four probes: one in 80 is let through */
#define PROBES 4

void hash_filter_reset(struct hash_filter *filter, size_t capacity)
{
    uint64_t bits = 1024;
    while (bits < (uint64_t)capacity * BITS_EACH)
        bits *= 2;
    free(filter->bits);
    *filter = (struct hash_filter){
        .bits = mem_calloc(bits / 64, 8), .mask = bits - 1, .capacity = (size_t)(bits / BITS_EACH)};
}

void hash_filter_free(struct hash_filter *filter)
{
    free(filter->bits);
    *filter = (struct hash_filter){0};
}

/* Hashes are random, so their parts serve as independent ones. */
static uint64_t probe(const struct hash_filter *filter, const uint8_t hash[HASH_SIZE], int i)
{
    return bytes_get64(hash + (size_t)i * 8) & filter->mask;
}

void hash_filter_add(struct hash_filter *filter, const uint8_t hash[HASH_SIZE])
{
    assert(filter->bits);
    filter->count++;
    for (int i = 0; i < PROBES; i++) {
        uint64_t bit = probe(filter, hash, i);
        filter->bits[bit / 64] |= 1ull << (bit % 64);
    }
}

bool hash_filter_may_have(const struct hash_filter *filter, const uint8_t hash[HASH_SIZE])
{
    for (int i = 0; filter->bits && i < PROBES; i++) {
        uint64_t bit = probe(filter, hash, i);
        if (!(filter->bits[bit / 64] & 1ull << (bit % 64)))
            return false;
    }
    return filter->bits != NULL;
}
