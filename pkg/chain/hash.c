/* See hash.h. */
#include "chain/hash.h"

#include <sodium.h>

void hash_sha256(uint8_t out[HASH_SIZE], const void *data, size_t len)
{
    crypto_hash_sha256(out, data, len);
}

void hash_sha256_parts(uint8_t out[HASH_SIZE], const void *a, size_t a_len, const void *b, size_t b_len,
                       const void *c, size_t c_len)
{
    crypto_hash_sha256_state state;
    crypto_hash_sha256_init(&state);
    crypto_hash_sha256_update(&state, a, a_len);
    crypto_hash_sha256_update(&state, b, b_len);
    crypto_hash_sha256_update(&state, c, c_len);
    crypto_hash_sha256_final(&state, out);
}

void hash_content(uint8_t out[HASH_SIZE], const void *data, size_t len)
{
    crypto_generichash(out, HASH_SIZE, data, len, NULL, 0);
}
