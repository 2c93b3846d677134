/* Transactions: one encoding each, ids that never drift, bodies that can be pruned. */
#include "unit.h"

#include "base/hex.h"
#include "chain/tx_batch.h"
#include "chain/wire.h"

#include <sodium.h>

/* Known answers: when one of these changes, the chain format has changed. */
#define KNOWN_ID "299d753f6fb298ef1a5070743c06809fdef1d237c35cbc3f02cd5d78d368b1bd"
#define KNOWN_LEAF "d283795868dcae3f87987a5ff9dbe8da7dd5ff65bf9b35bdb2c30f376f4f06d4"

static uint8_t public_key[TX_KEY_SIZE], secret_key[64];
static uint8_t user_public[TX_KEY_SIZE], user_secret[64];

static int setup_keys(void **state)
{
    (void)state;
    uint8_t seed[32];
    assert_true(sodium_init() >= 0);
    memset(seed, 1, sizeof(seed));
    crypto_sign_seed_keypair(public_key, secret_key, seed);
    memset(seed, 2, sizeof(seed));
    crypto_sign_seed_keypair(user_public, user_secret, seed);
    return 0;
}

/* A transaction with every field in use. */
static struct tx *tx_full(void)
{
    struct tx *tx = tx_new();
    memset(tx->chain_id, 0xc1, sizeof(tx->chain_id));
    tx->time_us = 1700000000123456;
    memset(tx->nonce, 0x5a, sizeof(tx->nonce));
    memset(tx->original, 0x0f, sizeof(tx->original));
    tx->strict = true;
    const char *groups[] = {"system:authenticated", "dev"};
    tx_set_user(tx, "jane", groups, 2);
    tx_set_verb(tx, "patch", "status");
    tx_set_intent(tx, "{\"patch\":1}", 11);
    struct tx_input direct = {.kind = TX_INPUT_DIRECT,
                              .key = {"apps", "deployments", "default", "web"},
                              .unlock = (const uint8_t *)"\x01x",
                              .unlock_len = 2};
    memset(direct.tx_id, 0x11, TX_ID_SIZE);
    tx_add_input(tx, &direct);
    struct tx_input indirect = {.kind = TX_INPUT_INDIRECT, .key = {"", "namespaces", "", "default"}};
    memset(indirect.tx_id, 0x22, TX_ID_SIZE);
    tx_add_input(tx, &indirect);
    struct tx_index_term terms[] = {{"owner", "uid-0"}, {"node", "n1"}};
    const char *content = "{\"metadata\":{\"resourceVersion\":\"" TX_RV_PLACEHOLDER "\"}}";
    struct tx_output put = {
        .op = TX_OUTPUT_PUT,
        .key = {"apps", "deployments", "default", "web"},
        .uid = "uid-1",
        .encoding = TX_CONTENT_PLAIN,
        .content = (const uint8_t *)content,
        .content_len = strlen(content),
        .rv_offset = 32,
        .lock = (const uint8_t *)"\x12",
        .lock_len = 1,
        .terms = terms,
        .term_count = 2,
        .claim = {"n1", 250, 64 << 20, 1},
    };
    tx_add_output(tx, &put);
    struct tx_output drop = {.op = TX_OUTPUT_DELETE, .key = {"", "pods", "default", "old"}, .uid = "uid-2"};
    tx_add_output(tx, &drop);
    tx->has_user_signature = true;
    memcpy(tx->user_key, user_public, TX_KEY_SIZE);
    tx_prepare(tx, public_key);
    uint8_t message[TX_SIGNED_SIZE];
    tx_signed_bytes(tx, message);
    crypto_sign_detached(tx->user_signature, NULL, message, sizeof(message), user_secret);
    struct err err;
    assert_int_equal(tx_sign(tx, secret_key, &err), 0);
    return tx;
}

static void check_hex(const uint8_t *bytes, size_t len, const char *expected)
{
    char text[2 * TX_ID_SIZE + 1];
    assert_true(len <= TX_ID_SIZE);
    hex_encode(text, bytes, len);
    assert_string_equal(text, expected);
}

static void test_known_answer(void **state)
{
    (void)state;
    struct tx *tx = tx_full();
    uint8_t leaf[32];
    tx_leaf_hash(tx, leaf);
    check_hex(tx->id, TX_ID_SIZE, KNOWN_ID);
    check_hex(leaf, sizeof(leaf), KNOWN_LEAF);
    tx_free(tx);
}

static void check_same(const struct tx *a, const struct tx *b)
{
    assert_memory_equal(a->id, b->id, TX_ID_SIZE);
    assert_memory_equal(a->chain_id, b->chain_id, TX_ID_SIZE);
    assert_memory_equal(a->original, b->original, TX_ID_SIZE);
    assert_true(a->time_us == b->time_us && a->strict == b->strict);
    assert_string_equal(a->user, b->user);
    assert_int_equal(a->group_count, b->group_count);
    for (size_t i = 0; i < a->group_count; i++)
        assert_string_equal(a->groups[i], b->groups[i]);
    assert_string_equal(a->verb, b->verb);
    assert_string_equal(a->subresource, b->subresource);
    assert_int_equal(a->input_count, b->input_count);
    for (size_t i = 0; i < a->input_count; i++) {
        assert_int_equal(a->inputs[i].kind, b->inputs[i].kind);
        assert_int_equal(key_compare(&a->inputs[i].key, &b->inputs[i].key), 0);
        assert_memory_equal(a->inputs[i].tx_id, b->inputs[i].tx_id, TX_ID_SIZE);
        assert_int_equal(a->inputs[i].unlock_len, b->inputs[i].unlock_len);
    }
    assert_int_equal(a->output_count, b->output_count);
}

static void test_round_trip(void **state)
{
    (void)state;
    struct tx *tx = tx_full();
    struct tx *back;
    struct err err;
    assert_int_equal(tx_decode(&back, tx->encoded, tx->encoded_len, &err), 0);
    check_same(tx, back);
    const struct tx_output *o = &back->outputs[0];
    assert_int_equal(o->op, TX_OUTPUT_PUT);
    assert_string_equal(o->uid, "uid-1");
    assert_string_equal(o->key.name, "web");
    assert_memory_equal(o->content + o->rv_offset, TX_RV_PLACEHOLDER, TX_RV_DIGITS);
    assert_int_equal(o->term_count, 2);
    assert_string_equal(o->terms[1].name, "node");
    assert_string_equal(o->terms[1].value, "n1");
    assert_string_equal(o->claim.node, "n1");
    assert_int_equal(o->claim.memory_bytes, 64 << 20);
    assert_int_equal(back->outputs[1].op, TX_OUTPUT_DELETE);
    assert_null(back->outputs[1].claim.node);
    assert_memory_equal(back->intent, "{\"patch\":1}", 11);
    assert_false(back->trusted);
    assert_int_equal(tx_verify_signatures(back, NULL, &err), 0);
    tx_free(back);
    tx_free(tx);
}

static void test_pruned(void **state)
{
    (void)state;
    struct tx *tx = tx_full();
    struct tx *pruned;
    struct err err;
    assert_int_equal(tx_decode_pruned(&pruned, tx->encoded, tx->prefix_len, &err), 0);
    check_same(tx, pruned);
    assert_true(pruned->pruned);
    assert_null(pruned->outputs[0].content);
    assert_null(pruned->intent);
    assert_int_equal(pruned->outputs[0].content_len, tx->outputs[0].content_len);
    assert_memory_equal(pruned->outputs[0].content_hash, tx->outputs[0].content_hash, 32);
    assert_int_equal(tx_verify_signatures(pruned, NULL, &err), 0);
    uint8_t a[32], b[32];
    tx_leaf_hash(tx, a);
    tx_leaf_hash(pruned, b);
    assert_memory_equal(a, b, 32);
    tx_free(pruned);
    assert_int_equal(tx_decode_pruned(&pruned, tx->encoded, tx->encoded_len, &err), ERR_CORRUPT);
    tx_free(tx);
}

/* Every flipped bit is noticed: by the grammar, by a content hash, or by a signature. */
static void test_every_bit_counts(void **state)
{
    (void)state;
    struct tx *tx = tx_full();
    uint8_t *bytes = malloc(tx->encoded_len);
    for (size_t i = 0; i < tx->encoded_len; i++) {
        memcpy(bytes, tx->encoded, tx->encoded_len);
        bytes[i] ^= (uint8_t)(1u << (i % 8));
        struct tx *back;
        struct err err;
        if (tx_decode(&back, bytes, tx->encoded_len, &err))
            continue;
        /* Unlocking data is the one thing that the signatures do not cover: the Merkle leaf does. */
        uint8_t a[32], b[32];
        tx_leaf_hash(tx, a);
        tx_leaf_hash(back, b);
        assert_memory_not_equal(a, b, 32);
        if (memcmp(back->id, tx->id, TX_ID_SIZE) != 0)
            assert_int_equal(tx_verify_signatures(back, NULL, &err), ERR_FORBIDDEN);
        tx_free(back);
    }
    free(bytes);
    tx_free(tx);
}

static void test_every_cut_is_refused(void **state)
{
    (void)state;
    struct tx *tx = tx_full();
    for (size_t len = 0; len < tx->encoded_len; len++) {
        struct tx *back;
        struct err err;
        assert_int_equal(tx_decode(&back, tx->encoded, len, &err), ERR_CORRUPT);
        assert_null(back);
    }
    uint8_t *longer = malloc(tx->encoded_len + 1);
    memcpy(longer, tx->encoded, tx->encoded_len);
    longer[tx->encoded_len] = 0;
    struct tx *back;
    assert_int_equal(tx_decode(&back, longer, tx->encoded_len + 1, NULL), ERR_CORRUPT);
    free(longer);
    tx_free(tx);
}

static struct tx *tx_with_output(const struct tx_output *output)
{
    struct tx *tx = tx_new();
    tx_set_user(tx, "u", NULL, 0);
    tx_set_verb(tx, "create", "");
    tx_add_output(tx, output);
    return tx;
}

static void check_sign_refuses(const struct tx_output *output, int code)
{
    struct tx *tx = tx_with_output(output);
    struct err err;
    assert_int_equal(tx_sign(tx, secret_key, &err), code);
    tx_free(tx);
}

static void test_limits(void **state)
{
    (void)state;
    const struct tx_output good = {.op = TX_OUTPUT_PUT,
                                   .key = {"", "pods", "d", "p"},
                                   .encoding = TX_CONTENT_PLAIN,
                                   .content = (const uint8_t *)"{}",
                                   .content_len = 2};
    check_sign_refuses(&good, 0);
    struct tx_output o = good;
    o.encoding = TX_CONTENT_NONE; /* but there is content */
    check_sign_refuses(&o, ERR_INVALID);
    o = good;
    o.rv_offset = 1; /* no placeholder fits there */
    check_sign_refuses(&o, ERR_INVALID);
    o = good;
    o.key.name = "";
    check_sign_refuses(&o, ERR_INVALID);
    o = good;
    char name[KEY_BYTES_MAX + 1];
    memset(name, 'a', KEY_BYTES_MAX);
    name[KEY_BYTES_MAX] = 0;
    o.key.name = name;
    check_sign_refuses(&o, ERR_INVALID);
    o = good;
    o.claim = (struct tx_claim){"n", -1, 0, 0};
    check_sign_refuses(&o, ERR_INVALID);
    o = good;
    o.content_len = TX_CONTENT_MAX + 1;
    o.content = calloc(1, o.content_len);
    check_sign_refuses(&o, ERR_TOO_LARGE);
    free((void *)o.content);
    struct tx *empty = tx_new();
    assert_int_equal(tx_sign(empty, secret_key, NULL), ERR_INVALID);
    tx_free(empty);
}

static void test_wrong_signatures(void **state)
{
    (void)state;
    struct tx *tx = tx_full();
    struct err err;
    assert_true(tx->trusted);
    tx->node_signature[0] ^= 1;
    assert_int_equal(tx_verify_signatures(tx, NULL, &err), 0); /* made by this process itself */
    tx->trusted = false;
    assert_int_equal(tx_verify_signatures(tx, NULL, &err), ERR_FORBIDDEN);
    tx->trusted = true;
    tx->user_signature[0] ^= 1;
    assert_int_equal(tx_verify_signatures(tx, NULL, &err), ERR_FORBIDDEN);
    tx_free(tx);
}

static void test_slices(void **state)
{
    (void)state;
    struct tx *tx = tx_full();
    size_t len;
    const uint8_t *slice = tx_output_slice(tx, 0, &len);
    buf_auto struct buf again = BUF_INIT;
    tx_output_encode(&again, &tx->outputs[0]);
    assert_int_equal(again.len, len);
    assert_memory_equal(again.data, slice, len);
    const uint8_t *terms = tx_output_terms(tx, 0, &len);
    assert_int_equal(len, 20);
    assert_memory_equal(terms, "owner\0uid-0\0node\0n1", 20);
    tx_output_terms(tx, 1, &len);
    assert_int_equal(len, 0);
    tx_free(tx);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup(test_known_answer, setup_keys),
    cmocka_unit_test_setup(test_round_trip, setup_keys),
    cmocka_unit_test_setup(test_pruned, setup_keys),
    cmocka_unit_test_setup(test_every_bit_counts, setup_keys),
    cmocka_unit_test_setup(test_every_cut_is_refused, setup_keys),
    cmocka_unit_test_setup(test_limits, setup_keys),
    cmocka_unit_test_setup(test_wrong_signatures, setup_keys),
    cmocka_unit_test_setup(test_slices, setup_keys),
};

UNIT_MAIN(tests)
