/* See join_secret.h. */
#include "pki/join_secret.h"

#include "base/mem.h"
#include "base/timefmt.h"
#include "codec/json.h"

#include <sodium.h>
#include <string.h>

json_t *join_secret_make(const struct join_token *token, int64_t expires_s, bool single_use,
                         const char *description)
{
    char digest[2 * JOIN_TOKEN_HASH_SIZE + 1], expiration[TIMEFMT_MAX];
    json_t *secret = json_object(), *metadata = json_object_ensure(secret, "metadata");
    json_t *data = json_object_ensure(secret, "stringData");
    join_token_digest(digest, token);
    json_set_str(secret, "apiVersion", "v1");
    json_set_str(secret, "kind", "Secret");
    json_set_str(secret, "type", JOIN_TOKEN_SECRET_TYPE);
    json_object_set_new(metadata, "name", json_sprintf(JOIN_TOKEN_NAME_PREFIX "%s", token->id));
    json_set_str(metadata, "namespace", JOIN_TOKEN_NAMESPACE);
    json_set_str(data, "token-id", token->id);
    json_set_str(data, JOIN_TOKEN_DIGEST, digest);
    json_set_str(data, JOIN_TOKEN_USAGE, "true");
    if (single_use)
        json_set_str(data, JOIN_TOKEN_SINGLE_USE, "true");
    if (description)
        json_set_str(data, "description", description);
    if (expires_s) {
        timefmt_seconds(expiration, expires_s);
        json_set_str(data, "expiration", expiration);
    }
    return secret;
}

char *join_secret_field(const json_t *secret, const char *name)
{
    const char *base64 = json_str_or_empty(secret, "data", name);
    size_t len = strlen(base64), out_len = 0;
    char *text = mem_zalloc(len + 1);
    if (sodium_base642bin((uint8_t *)text, len, base64, len, NULL, &out_len, NULL,
                          sodium_base64_VARIANT_ORIGINAL) != 0)
        out_len = 0;
    text[out_len] = '\0';
    return text;
}

void join_secret_set_field(json_t *secret, const char *name, const char *text)
{
    size_t size = sodium_base64_encoded_len(strlen(text), sodium_base64_VARIANT_ORIGINAL);
    mem_auto char *base64 = mem_alloc(size);
    sodium_bin2base64(base64, size, (const uint8_t *)text, strlen(text), sodium_base64_VARIANT_ORIGINAL);
    json_set_str(json_object_ensure(secret, "data"), name, base64);
}

bool join_secret_expired(const json_t *secret, int64_t now_us, char **until)
{
    int64_t until_us = 0;
    *until = join_secret_field(secret, "expiration");
    return **until && (!timefmt_parse(*until, &until_us) || until_us <= now_us);
}
