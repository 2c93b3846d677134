/* Validators as objects of the chain. See registry.h. */
#include "validator/registry.h"

#include "base/hex.h"
#include "base/mem.h"
#include "codec/json.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

static const char *const phase_names[] = {"Joining", "Acting", "Leaving"};

static bool name_is_sane(const char *name)
{
    size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789.-");
    return len > 0 && len < REGISTRY_NAME_MAX && name[len] == '\0';
}

static int parse_addresses(struct registry_validator *out, const json_t *array, struct err *err)
{
    if (!json_is_array(array) || json_array_size(array) > REGISTRY_ADDRESSES_MAX)
        return err_set(err, ERR_INVALID, "addresses: at most %d are allowed", REGISTRY_ADDRESSES_MAX);
    out->address_count = json_array_size(array);
    for (size_t i = 0; i < out->address_count; i++) {
        const char *text = json_string_value(json_array_get(array, i));
        if (!text || !strchr(text, ':') || strlen(text) >= REGISTRY_ADDRESS_MAX)
            return err_set(err, ERR_INVALID, "addresses[%zu]: HOST:PORT is needed", i);
        memcpy(out->addresses[i], text, strlen(text) + 1);
    }
    return 0;
}

static int parse_fields(struct registry_validator *out, const json_t *object, struct err *err)
{
    const char *key = json_str(object, "key");
    if (!key || !hex_decode(out->key, TX_KEY_SIZE, key))
        return err_set(err, ERR_INVALID, "key: 64 hexadecimal digits are needed");
    const char *phase = json_str(object, "phase");
    for (out->phase = REGISTRY_JOINING; out->phase <= REGISTRY_LEAVING; out->phase++)
        if (phase && strcmp(phase, phase_names[out->phase]) == 0)
            return parse_addresses(out, json_at(object, "addresses"), err);
    return err_set(err, ERR_INVALID, "phase: Joining, Acting or Leaving is needed");
}

int registry_parse(struct registry_validator *out, const char *name, const void *content, size_t len,
                   struct err *err)
{
    memset(out, 0, sizeof(*out));
    if (!name_is_sane(name))
        return err_set(err, ERR_INVALID, "the name is none of a node");
    memcpy(out->name, name, strlen(name) + 1);
    struct err detail = {0};
    json_auto_t *object = json_parse(content, len, &detail);
    int rc = json_is_object(object) ? parse_fields(out, object, &detail)
                                    : err_set(&detail, ERR_INVALID, "a JSON object is needed");
    return rc ? err_set(err, ERR_INVALID, "validator \"%s\": %s", name, detail.message) : 0;
}

static int compare_keys(const void *a, const void *b)
{
    const struct registry_validator *left = a, *right = b;
    return memcmp(left->key, right->key, TX_KEY_SIZE);
}

size_t registry_load(struct registry_validator **out, const struct state_store_ops *ops,
                     struct state_snapshot *snapshot)
{
    buf_auto struct buf prefix = BUF_INIT;
    key_encode(&prefix, &(struct resource_key){REGISTRY_GROUP, REGISTRY_VALIDATORS, NULL, NULL});
    struct state_iter *iter = ops->iter_begin(snapshot, prefix.data, prefix.len, NULL, 0);
    struct state_object object;
    size_t count = 0;
    *out = NULL;
    while (count < REGISTRY_MAX && ops->iter_next(iter, &object)) {
        *out = mem_reallocarray(*out, count + 1, sizeof(**out));
        struct registry_validator *v = &(*out)[count];
        if (registry_parse(v, object.key.name, object.content, object.content_len, NULL) != 0)
            continue;
        memcpy(v->tx_id, object.tx_id, TX_ID_SIZE);
        v->rv = object.rv;
        count++;
    }
    ops->iter_end(iter);
    if (count)
        qsort(*out, count, sizeof(**out), compare_keys);
    return count;
}

const struct registry_validator *registry_find(const struct registry_validator *validators, size_t count,
                                               const uint8_t key[TX_KEY_SIZE])
{
    for (size_t i = 0; i < count; i++)
        if (memcmp(validators[i].key, key, TX_KEY_SIZE) == 0)
            return &validators[i];
    return NULL;
}

bool registry_is_key(const struct resource_key *key)
{
    return strcmp(key->group, REGISTRY_GROUP) == 0 && strcmp(key->resource, REGISTRY_VALIDATORS) == 0;
}

bool registry_is_ruled(const struct resource_key *key)
{
    return strcmp(key->group, REGISTRY_GROUP) == 0 &&
           (strcmp(key->resource, REGISTRY_VALIDATORS) == 0 || strcmp(key->resource, REGISTRY_SEEDS) == 0);
}

static void content_dump(struct buf *out, const struct registry_validator *v)
{
    char key[2 * TX_KEY_SIZE + 1];
    hex_encode(key, v->key, TX_KEY_SIZE);
    json_auto_t *addresses = json_array();
    for (size_t i = 0; i < v->address_count; i++)
        json_array_append_new(addresses, json_string(v->addresses[i]));
    json_auto_t *object = json_object();
    json_object_set(object, "addresses", addresses);
    json_set_str(object, "key", key);
    json_set_str(object, "phase", phase_names[v->phase]);
    json_dump_buf(out, object);
}

static struct tx *begin(const char *verb, const struct resource_key *key, const uint8_t *before)
{
    static const char *const groups[] = {REGISTRY_USER_GROUP};
    struct tx *tx = tx_new();
    tx_set_user(tx, REGISTRY_USER, groups, 1);
    tx_set_verb(tx, verb, "");
    if (before) {
        struct tx_input input = {.kind = TX_INPUT_DIRECT, .key = *key};
        memcpy(input.tx_id, before, TX_ID_SIZE);
        tx_add_input(tx, &input);
    }
    return tx;
}

struct tx *registry_put_tx(const struct registry_validator *validator,
                           const struct registry_validator *before)
{
    struct resource_key key = {REGISTRY_GROUP, REGISTRY_VALIDATORS, "", validator->name};
    struct tx *tx = begin(before ? "update" : "create", &key, before ? before->tx_id : NULL);
    buf_auto struct buf content = BUF_INIT;
    content_dump(&content, validator);
    struct tx_output output = {.op = TX_OUTPUT_PUT,
                               .key = key,
                               .uid = "",
                               .encoding = TX_CONTENT_PLAIN,
                               .content = (const uint8_t *)content.data,
                               .content_len = content.len};
    tx_add_output(tx, &output);
    return tx;
}

struct tx *registry_delete_tx(const struct registry_validator *before)
{
    struct resource_key key = {REGISTRY_GROUP, REGISTRY_VALIDATORS, "", before->name};
    struct tx *tx = begin("delete", &key, before->tx_id);
    tx_add_output(tx, &(struct tx_output){.op = TX_OUTPUT_DELETE, .key = key, .uid = ""});
    return tx;
}

static void intent_set(struct tx *tx, const char *name, const void *bytes, size_t len)
{
    size_t max = sodium_base64_ENCODED_LEN(len, sodium_base64_VARIANT_ORIGINAL);
    mem_auto char *text = mem_alloc(max);
    sodium_bin2base64(text, max, bytes, len, sodium_base64_VARIANT_ORIGINAL);
    buf_auto struct buf intent = BUF_INIT;
    buf_printf(&intent, "{\"%s\":\"%s\"}", name, text);
    tx_set_intent(tx, intent.data, intent.len);
}

void registry_add_certificate(struct tx *tx, const void *certificate, size_t len)
{
    intent_set(tx, "certificate", certificate, len);
}

void registry_add_proof(struct tx *tx, const void *proof, size_t len)
{
    intent_set(tx, "proof", proof, len);
}

bool registry_certificate(const struct tx *tx, struct buf *out)
{
    json_auto_t *intent = tx->intent_len ? json_parse(tx->intent, tx->intent_len, NULL) : NULL;
    const char *text = json_str(intent, "certificate");
    size_t len = text ? strlen(text) : 0, got = 0;
    buf_clear(out);
    buf_reserve(out, len + 1);
    if (!text || sodium_base642bin((unsigned char *)out->data, len, text, len, NULL, &got, NULL,
                                   sodium_base64_VARIANT_ORIGINAL) != 0)
        return false;
    out->len = got;
    return true;
}
