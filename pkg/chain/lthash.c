/* See lthash.h. An element's expansion is the key stream that it gives as a ChaCha20 key (RFC 8439). */
#include "chain/lthash.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

/* An element is a hash itself, so it may be a key, and is expanded once only: no nonce is needed. */
static void expand(uint8_t out[LTHASH_SIZE], const uint8_t element[HASH_SIZE])
{
    static const uint8_t nonce[crypto_stream_chacha20_IETF_NONCEBYTES];
    static_assert(HASH_SIZE == crypto_stream_chacha20_IETF_KEYBYTES, "an element is a key");
    crypto_stream_chacha20_ietf(out, LTHASH_SIZE, nonce, element);
}

static uint16_t lane_of(const uint8_t bytes[LTHASH_SIZE], size_t i)
{
    return (uint16_t)(bytes[2 * i] | bytes[2 * i + 1] << 8);
}

void lthash_init(struct lthash *hash)
{
    memset(hash, 0, sizeof(*hash));
}

void lthash_add(struct lthash *hash, const uint8_t element[HASH_SIZE])
{
    uint8_t bytes[LTHASH_SIZE];
    expand(bytes, element);
    for (size_t i = 0; i < LTHASH_LANES; i++)
        hash->lanes[i] = (uint16_t)(hash->lanes[i] + lane_of(bytes, i));
}

void lthash_remove(struct lthash *hash, const uint8_t element[HASH_SIZE])
{
    uint8_t bytes[LTHASH_SIZE];
    expand(bytes, element);
    for (size_t i = 0; i < LTHASH_LANES; i++)
        hash->lanes[i] = (uint16_t)(hash->lanes[i] - lane_of(bytes, i));
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
        hash->lanes[i] = lane_of(bytes, i);
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
