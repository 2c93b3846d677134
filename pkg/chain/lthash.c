/* See lthash.h. Expansion: 32 blocks of 64 bytes, block i = BLAKE2b-512(element followed by the byte i). */
#include "chain/lthash.h"

#include <sodium.h>
#include <string.h>

#define EXPANSION_BLOCK 64

/* Little-endian lanes of one expansion block. */
static void expand_block(uint16_t lanes[EXPANSION_BLOCK / 2], const uint8_t element[HASH_SIZE], uint8_t index)
{
    uint8_t input[HASH_SIZE + 1];
    memcpy(input, element, HASH_SIZE);
    input[HASH_SIZE] = index;
    uint8_t block[EXPANSION_BLOCK];
    crypto_generichash(block, sizeof(block), input, sizeof(input), NULL, 0);
    for (size_t i = 0; i < EXPANSION_BLOCK / 2; i++)
        lanes[i] = (uint16_t)(block[2 * i] | block[2 * i + 1] << 8);
}

void lthash_init(struct lthash *hash)
{
    memset(hash, 0, sizeof(*hash));
}

void lthash_add(struct lthash *hash, const uint8_t element[HASH_SIZE])
{
    for (unsigned block = 0; block < LTHASH_SIZE / EXPANSION_BLOCK; block++) {
        uint16_t lanes[EXPANSION_BLOCK / 2];
        expand_block(lanes, element, (uint8_t)block);
        uint16_t *at = hash->lanes + block * (EXPANSION_BLOCK / 2);
        for (size_t i = 0; i < EXPANSION_BLOCK / 2; i++)
            at[i] = (uint16_t)(at[i] + lanes[i]);
    }
}

void lthash_remove(struct lthash *hash, const uint8_t element[HASH_SIZE])
{
    for (unsigned block = 0; block < LTHASH_SIZE / EXPANSION_BLOCK; block++) {
        uint16_t lanes[EXPANSION_BLOCK / 2];
        expand_block(lanes, element, (uint8_t)block);
        uint16_t *at = hash->lanes + block * (EXPANSION_BLOCK / 2);
        for (size_t i = 0; i < EXPANSION_BLOCK / 2; i++)
            at[i] = (uint16_t)(at[i] - lanes[i]);
    }
}

void lthash_encode(uint8_t out[LTHASH_SIZE], const struct lthash *hash)
{
    for (size_t i = 0; i < LTHASH_LANES; i++) {
        out[2 * i] = (uint8_t)hash->lanes[i];
        out[2 * i + 1] = (uint8_t)(hash->lanes[i] >> 8);
    }
}

void lthash_decode(struct lthash *hash, const uint8_t bytes[LTHASH_SIZE])
{
    for (size_t i = 0; i < LTHASH_LANES; i++)
        hash->lanes[i] = (uint16_t)(bytes[2 * i] | bytes[2 * i + 1] << 8);
}

void lthash_digest(uint8_t out[HASH_SIZE], const struct lthash *hash)
{
    uint8_t bytes[LTHASH_SIZE];
    lthash_encode(bytes, hash);
    hash_content(out, bytes, sizeof(bytes));
}

bool lthash_equal(const struct lthash *a, const struct lthash *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}
