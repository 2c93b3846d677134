/*
 * The bytes of objects: the canonical text that goes into the chain, the resourceVersion that is put into it
 * when it is read, and the sealing of Secrets.
 *
 * The writer is our own, since every write and every event passes through it and jansson's callback per token
 * costs several times as much.
 */
#include "api/verbs_internal.h"

#include "codec/json_plain.h"

#include <assert.h>
#include <inttypes.h>
#include <sodium.h>

static void write_escaped(struct buf *out, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    switch (c) {
    case '"':
        buf_append(out, "\\\"", 2);
        return;
    case '\\':
        buf_append(out, "\\\\", 2);
        return;
    case '\n':
        buf_append(out, "\\n", 2);
        return;
    case '\r':
        buf_append(out, "\\r", 2);
        return;
    case '\t':
        buf_append(out, "\\t", 2);
        return;
    default: {
        char text[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
        buf_append(out, text, sizeof(text));
    }
    }
}

static void write_string(struct buf *out, const char *s, size_t len)
{
    buf_reserve(out, len + 2);
    out->data[out->len++] = '"';
    for (size_t at = 0; at < len;) {
        size_t plain = json_plain_len(s + at, len - at, 0);
        buf_append(out, s + at, plain);
        at += plain;
        if (at < len)
            write_escaped(out, (unsigned char)s[at++]);
    }
    buf_putc(out, '"');
}

static void write_integer(struct buf *out, int64_t value)
{
    char text[24];
    char *p = text + sizeof(text);
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do
        *--p = (char)('0' + rest % 10);
    while (rest /= 10);
    if (value < 0)
        *--p = '-';
    buf_append(out, p, (size_t)(text + sizeof(text) - p));
}

static void write_member(struct buf *out, const char *key, const json_t *value, bool *first)
{
    if (!*first)
        buf_putc(out, ',');
    *first = false;
    write_string(out, key, strlen(key));
    buf_putc(out, ':');
    object_write_value(out, value);
}

static void write_object(struct buf *out, const json_t *object)
{
    bool first = true;
    const char *key;
    json_t *value;
    buf_putc(out, '{');
    json_object_foreach((json_t *)object, key, value) write_member(out, key, value, &first);
    buf_putc(out, '}');
}

void object_write_value(struct buf *out, const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        write_object(out, value);
        return;
    case JSON_ARRAY:
        buf_putc(out, '[');
        for (size_t i = 0; i < json_array_size(value); i++) {
            if (i > 0)
                buf_putc(out, ',');
            object_write_value(out, json_array_get(value, i));
        }
        buf_putc(out, ']');
        return;
    case JSON_STRING:
        write_string(out, json_string_value(value), json_string_length(value));
        return;
    case JSON_INTEGER:
        write_integer(out, json_integer_value(value));
        return;
    case JSON_REAL:
        json_dump_buf(out, value);
        return;
    case JSON_TRUE:
        buf_append(out, "true", 4);
        return;
    case JSON_FALSE:
        buf_append(out, "false", 5);
        return;
    case JSON_NULL:
        buf_append(out, "null", 4);
        return;
    }
}

/* Members of metadata in the order of meta/v1's ObjectMeta; anything else follows. */
static const char *const metadata_order[] = {
    "name",
    "generateName",
    "namespace",
    "selfLink",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "labels",
    "annotations",
    "ownerReferences",
    "finalizers",
    "managedFields",
};
#define METADATA_ORDER (sizeof(metadata_order) / sizeof(*metadata_order))
#define RESOURCE_VERSION 5 /* its place */

/* The place of a member in that order; METADATA_ORDER: it has none. Members mostly follow one another as they
 * should, so the search goes on from the last one's place. */
static size_t metadata_place(const char *name, size_t from)
{
    for (size_t n = 0; n < METADATA_ORDER; n++) {
        size_t i = (from + n) % METADATA_ORDER;
        if (!strcmp(metadata_order[i], name))
            return i;
    }
    return METADATA_ORDER;
}

static void write_placeholder(struct buf *out, bool *first, uint32_t *rv_offset)
{
    buf_puts(out, *first ? "\"resourceVersion\":\"" : ",\"resourceVersion\":\"");
    *first = false;
    *rv_offset = (uint32_t)out->len;
    buf_puts(out, TX_RV_PLACEHOLDER "\"");
}

static void write_metadata(struct buf *out, const json_t *metadata, bool placeholder, uint32_t *rv_offset)
{
    const json_t *ordered[METADATA_ORDER] = {NULL};
    bool first = true, others = false;
    const char *key;
    json_t *value;
    size_t place = 0;
    json_object_foreach((json_t *)metadata, key, value)
    {
        size_t found = metadata_place(key, place);
        others |= found == METADATA_ORDER;
        if (found < METADATA_ORDER)
            ordered[place = found] = value;
    }
    buf_putc(out, '{');
    for (size_t i = 0; i < METADATA_ORDER; i++) {
        if (placeholder && i == RESOURCE_VERSION)
            write_placeholder(out, &first, rv_offset);
        else if (ordered[i])
            write_member(out, metadata_order[i], ordered[i], &first);
    }
    json_object_foreach((json_t *)metadata, key,
                        value) if (others && metadata_place(key, 0) == METADATA_ORDER)
        write_member(out, key, value, &first);
    buf_putc(out, '}');
}

void object_write(struct buf *out, const json_t *object, bool placeholder, uint32_t *rv_offset)
{
    bool first = true;
    const json_t *kind = json_object_get(object, "kind");
    const json_t *api_version = json_object_get(object, "apiVersion");
    const json_t *metadata = json_object_get(object, "metadata");
    buf_putc(out, '{');
    if (kind)
        write_member(out, "kind", kind, &first);
    if (api_version)
        write_member(out, "apiVersion", api_version, &first);
    if (metadata) {
        buf_puts(out, first ? "\"metadata\":" : ",\"metadata\":");
        first = false;
        write_metadata(out, metadata, placeholder, rv_offset);
    }
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key,
                        value) if (value != kind && value != api_version && value != metadata)
        write_member(out, key, value, &first);
    buf_putc(out, '}');
}

void object_splice(struct buf *text, size_t offset, uint64_t rv)
{
    assert(offset + TX_RV_DIGITS <= text->len);
    for (size_t i = TX_RV_DIGITS; i-- > 0; rv /= 10)
        text->data[offset + i] = (char)('0' + rv % 10);
    assert(rv == 0);
}

bool object_sealed_kind(const struct resource_key *key)
{
    return !*key->group && !strcmp(key->resource, "secrets");
}

#define SEAL_NONCE crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define SEAL_TAG crypto_aead_xchacha20poly1305_ietf_ABYTES

void object_seal(struct api_server *server, const struct resource_key *key, const void *text, size_t len,
                 struct buf *out)
{
    buf_auto struct buf bound = BUF_INIT;
    key_encode(&bound, key);
    buf_reserve(out, SEAL_NONCE + len + SEAL_TAG);
    unsigned char *nonce = (unsigned char *)out->data + out->len;
    randombytes_buf(nonce, SEAL_NONCE);
    unsigned long long sealed = 0;
    crypto_aead_xchacha20poly1305_ietf_encrypt(nonce + SEAL_NONCE, &sealed, text, len,
                                               (const unsigned char *)bound.data, bound.len, NULL, nonce,
                                               pki_seal_key(server->pki));
    out->len += SEAL_NONCE + sealed;
}

static int unseal(struct api_server *server, const struct state_object *state, struct buf *out,
                  struct err *err)
{
    if (state->content_len < SEAL_NONCE + SEAL_TAG)
        return err_set(err, ERR_CORRUPT, "sealed object %s is too short", state->key.name);
    buf_auto struct buf bound = BUF_INIT;
    key_encode(&bound, &state->key);
    size_t len = state->content_len - SEAL_NONCE - SEAL_TAG;
    buf_reserve(out, len);
    if (crypto_aead_xchacha20poly1305_ietf_decrypt(
            (unsigned char *)out->data + out->len, NULL, NULL, state->content + SEAL_NONCE,
            state->content_len - SEAL_NONCE, (const unsigned char *)bound.data, bound.len, state->content,
            pki_seal_key(server->pki)))
        return err_set(err, ERR_CORRUPT, "sealed object %s does not open with this node's key",
                       state->key.name);
    out->len += len;
    out->data[out->len] = '\0';
    return 0;
}

int object_open(struct api_server *server, const struct state_object *state, struct buf *out, struct err *err)
{
    size_t start = out->len;
    if (state->encoding == TX_CONTENT_SEALED) {
        int rc = unseal(server, state, out, err);
        if (rc)
            return rc;
    } else {
        buf_append(out, state->content, state->content_len);
    }
    if (state->rv_offset && start + state->rv_offset + TX_RV_DIGITS <= out->len)
        object_splice(out, start + state->rv_offset, state->rv);
    return 0;
}

json_t *object_parse(struct api_server *server, const struct state_object *state, struct err *err)
{
    buf_auto struct buf text = BUF_INIT;
    if (object_open(server, state, &text, err))
        return NULL;
    struct err why;
    json_t *object = json_parse_stored(buf_str(&text), text.len, &why);
    if (!object)
        err_set(err, ERR_CORRUPT, "stored object %s is no JSON: %s", state->key.name, why.message);
    return object;
}
