/* See join_token.h. */
#include "pki/join_token.h"

#include "base/hex.h"
#include "base/rand.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define PREFIX "K1"
#define HASH_DIGITS ((size_t)2 * JOIN_TOKEN_HASH_SIZE)

static bool is_word(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!((text[i] >= 'a' && text[i] <= 'z') || (text[i] >= '0' && text[i] <= '9')))
            return false;
    return true;
}

bool join_token_id_valid(const char *text)
{
    return strlen(text) == JOIN_TOKEN_ID_LEN && is_word(text, JOIN_TOKEN_ID_LEN);
}

static bool read_hash(struct join_token *out, const char *text)
{
    char digits[HASH_DIGITS + 1];
    memcpy(digits, text, HASH_DIGITS);
    digits[HASH_DIGITS] = '\0';
    return hex_decode(out->ca_hash, sizeof(out->ca_hash), digits);
}

int join_token_parse(struct join_token *out, const char *text, struct err *err)
{
    static const char hint[] = "it is the last line that `katena token create` prints";
    const size_t whole = strlen(PREFIX) + HASH_DIGITS + 2 + JOIN_TOKEN_ID_LEN + 1 + JOIN_TOKEN_SECRET_LEN;
    size_t len = strnlen(text, whole + 1);
    *out = (struct join_token){.id = ""};
    if (len == 0)
        return err_set(err, ERR_INVALID, "the token is empty; %s", hint);
    if (strncmp(text, PREFIX, strlen(PREFIX)) != 0)
        return err_set(err, ERR_INVALID, "the token does not begin with " PREFIX "; %s", hint);
    if (len != whole)
        return err_set(err, ERR_INVALID, "the token has %s characters; %s",
                       len < whole ? "too few" : "too many", hint);
    const char *id = text + strlen(PREFIX) + HASH_DIGITS + 2;
    const char *secret = id + JOIN_TOKEN_ID_LEN + 1;
    if (!read_hash(out, text + strlen(PREFIX)) || strncmp(id - 2, "::", 2) != 0 || secret[-1] != '.' ||
        !is_word(id, JOIN_TOKEN_ID_LEN) || !is_word(secret, JOIN_TOKEN_SECRET_LEN))
        return err_set(err, ERR_INVALID, "the token is damaged; %s", hint);
    memcpy(out->id, id, JOIN_TOKEN_ID_LEN);
    memcpy(out->secret, secret, JOIN_TOKEN_SECRET_LEN);
    return 0;
}

void join_token_format(char out[JOIN_TOKEN_MAX], const struct join_token *token)
{
    char hash[HASH_DIGITS + 1];
    hex_encode(hash, token->ca_hash, sizeof(token->ca_hash));
    snprintf(out, JOIN_TOKEN_MAX, PREFIX "%s::%s.%s", hash, token->id, token->secret);
}

void join_token_make(struct join_token *out, const uint8_t ca_hash[JOIN_TOKEN_HASH_SIZE])
{
    memcpy(out->ca_hash, ca_hash, JOIN_TOKEN_HASH_SIZE);
    rand_suffix(out->id, JOIN_TOKEN_ID_LEN);
    rand_suffix(out->secret, JOIN_TOKEN_SECRET_LEN);
}

void join_token_digest(char out[2 * JOIN_TOKEN_HASH_SIZE + 1], const struct join_token *token)
{
    static const char domain[] = "katena join token";
    uint8_t digest[crypto_hash_sha256_BYTES];
    crypto_hash_sha256_state state;
    crypto_hash_sha256_init(&state);
    crypto_hash_sha256_update(&state, (const uint8_t *)domain, sizeof(domain));
    crypto_hash_sha256_update(&state, (const uint8_t *)token->id, JOIN_TOKEN_ID_LEN);
    crypto_hash_sha256_update(&state, (const uint8_t *)token->secret, JOIN_TOKEN_SECRET_LEN);
    crypto_hash_sha256_final(&state, digest);
    hex_encode(out, digest, sizeof(digest));
}

bool join_token_matches(const struct join_token *token, const char *digest)
{
    char own[2 * JOIN_TOKEN_HASH_SIZE + 1];
    join_token_digest(own, token);
    return strlen(digest) == sizeof(own) - 1 && sodium_memcmp(own, digest, sizeof(own) - 1) == 0;
}
