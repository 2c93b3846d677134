/* See hash.h. */
#include "chain/hash.h"

#include <nettle/sha2.h>
#include <sodium.h>

void hash_sha256(uint8_t out[HASH_SIZE], const void *data, size_t len)
{
    hash_sha256_parts(out, data, len, NULL, 0, NULL, 0);
}

/* Nettle's, since it uses the processor's own instructions for SHA-256 where there are any. */
void hash_sha256_parts(uint8_t out[HASH_SIZE], const void *a, size_t a_len, const void *b, size_t b_len,
                       const void *c, size_t c_len)
{
    struct sha256_ctx state;
    sha256_init(&state);
    sha256_update(&state, a_len, a);
    sha256_update(&state, b_len, b);
    sha256_update(&state, c_len, c);
    sha256_digest(&state, HASH_SIZE, out);
}

void hash_content(uint8_t out[HASH_SIZE], const void *data, size_t len)
{
    crypto_generichash(out, HASH_SIZE, data, len, NULL, 0);
}
