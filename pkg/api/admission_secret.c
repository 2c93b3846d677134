/* stringData of a Secret is a way to write: it goes into data, encoded, and is never read back. */
#include "api/verbs_internal.h"

#include "base/mem.h"

#include <sodium.h>

static json_t *encode(const json_t *text)
{
    size_t len = json_string_length(text);
    size_t size = sodium_base64_encoded_len(len, sodium_base64_VARIANT_ORIGINAL);
    mem_auto char *encoded = mem_alloc(size);
    sodium_bin2base64(encoded, size, (const unsigned char *)json_string_value(text), len,
                      sodium_base64_VARIANT_ORIGINAL);
    return json_string(encoded);
}

void admission_secret(json_t *secret)
{
    json_t *texts = json_object_get(secret, "stringData");
    const char *key;
    json_t *text;
    json_object_foreach(texts, key, text) if (json_is_string(text))
        json_object_set_new(json_object_ensure(secret, "data"), key, encode(text));
    json_object_del(secret, "stringData");
}
