/* See sealed.h. */
#include "cri/sealed.h"

#include "base/mem.h"
#include "base/rand.h"

#include <sodium.h>
#include <string.h>

#define NONCE_SIZE crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG_SIZE crypto_aead_xchacha20poly1305_ietf_ABYTES

static void derive(uint8_t out[SEALED_KEY_SIZE], const uint8_t key[SEALED_KEY_SIZE])
{
    static const char purpose[] = "katena container configuration";
    crypto_generichash(out, SEALED_KEY_SIZE, (const uint8_t *)purpose, sizeof(purpose), key, SEALED_KEY_SIZE);
}

void sealed_put(struct buf *out, const uint8_t key[SEALED_KEY_SIZE], const char *text, size_t len)
{
    uint8_t own[SEALED_KEY_SIZE];
    size_t size = NONCE_SIZE + len + TAG_SIZE;
    mem_auto uint8_t *bytes = mem_alloc(size);
    derive(own, key);
    rand_bytes(bytes, NONCE_SIZE);
    crypto_aead_xchacha20poly1305_ietf_encrypt(bytes + NONCE_SIZE, NULL, (const uint8_t *)text, len, NULL, 0,
                                               NULL, bytes, own);
    explicit_bzero(own, sizeof(own));
    buf_puts(out, SEALED_PREFIX);
    size_t encoded = sodium_base64_encoded_len(size, sodium_base64_VARIANT_ORIGINAL);
    buf_reserve(out, encoded);
    sodium_bin2base64(out->data + out->len, encoded, bytes, size, sodium_base64_VARIANT_ORIGINAL);
    out->len += encoded - 1;
}

bool sealed_is(const char *text)
{
    return !strncmp(text, SEALED_PREFIX, strlen(SEALED_PREFIX));
}

static int not_sealed(struct err *err)
{
    return err_set(err, ERR_CORRUPT, "a sealed text of a container's configuration cannot be opened");
}

int sealed_open(struct buf *out, const uint8_t key[SEALED_KEY_SIZE], const char *text, struct err *err)
{
    if (!sealed_is(text))
        return not_sealed(err);
    const char *encoded = text + strlen(SEALED_PREFIX);
    size_t max = strlen(encoded), size = 0;
    mem_auto uint8_t *bytes = mem_alloc(max + 1);
    if (sodium_base642bin(bytes, max, encoded, max, NULL, &size, NULL, sodium_base64_VARIANT_ORIGINAL) ||
        size < NONCE_SIZE + TAG_SIZE)
        return not_sealed(err);
    uint8_t own[SEALED_KEY_SIZE];
    size_t len = size - NONCE_SIZE - TAG_SIZE;
    derive(own, key);
    buf_reserve(out, len + 1);
    int rc = crypto_aead_xchacha20poly1305_ietf_decrypt((uint8_t *)out->data + out->len, NULL, NULL,
                                                        bytes + NONCE_SIZE, size - NONCE_SIZE, NULL, 0, bytes,
                                                        own);
    explicit_bzero(own, sizeof(own));
    if (rc)
        return not_sealed(err);
    out->len += len;
    out->data[out->len] = '\0';
    return 0;
}
