/* A signature that transactions share holds for each of them alone, and for no other. */
#include "unit.h"

#include "base/mem.h"
#include "chain/tx_batch.h"

#include <sodium.h>

#define BATCH_MAX 40

static uint8_t public_key[32], secret_key[64];

static int setup(void **state)
{
    (void)state;
    uint8_t seed[32] = {9};
    return crypto_sign_seed_keypair(public_key, secret_key, seed);
}

static struct tx *tx_unsigned(unsigned i)
{
    struct tx *tx = tx_new();
    struct err err;
    char name[16];
    snprintf(name, sizeof(name), "n%u", i);
    tx->time_us = (int64_t)i + 1;
    tx_set_user(tx, "alice", NULL, 0);
    tx_set_verb(tx, "create", "");
    struct tx_input input = {.kind = TX_INPUT_INDIRECT, .key = {"", "namespaces", "", "default"}};
    tx_add_input(tx, &input);
    struct tx_output output = {.op = TX_OUTPUT_PUT,
                               .key = {"", "configmaps", "default", name},
                               .uid = "u",
                               .encoding = TX_CONTENT_PLAIN,
                               .content = (const uint8_t *)"{\"data\":1}",
                               .content_len = 10};
    tx_add_output(tx, &output);
    assert_int_equal(tx_encode(tx, public_key, &err), 0);
    return tx;
}

static void make_batch(struct tx **txs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        txs[i] = tx_unsigned((unsigned)i);
    tx_sign_batch(txs, count, secret_key);
}

static void free_batch(struct tx **txs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        tx_free(txs[i]);
}

static struct tx *again(const struct tx *tx)
{
    struct tx *back;
    struct err err;
    if (tx_decode(&back, tx->encoded, tx->encoded_len, &err))
        fail_msg("%s", err.message);
    return back;
}

/* As it stands in the chain, also without its body. */
static void check_alone(const struct tx *tx)
{
    struct err err;
    struct tx *back = again(tx), *pruned;
    assert_false(back->trusted);
    assert_memory_equal(back->id, tx->id, TX_ID_SIZE);
    assert_int_equal(back->batch.count, tx->batch.count);
    assert_int_equal(back->batch.index, tx->batch.index);
    assert_int_equal(tx_verify_signatures(back, NULL, &err), 0);
    assert_int_equal(tx_decode_pruned(&pruned, tx->encoded, tx->prefix_len, &err), 0);
    assert_int_equal(tx_verify_signatures(pruned, NULL, &err), 0);
    assert_string_equal(back->outputs[0].key.name, tx->outputs[0].key.name);
    assert_memory_equal(back->outputs[0].content, "{\"data\":1}", 10);
    tx_free(pruned);
    tx_free(back);
}

static void test_each_stands_for_itself(void **state)
{
    (void)state;
    for (size_t count = 1; count <= BATCH_MAX; count++) {
        struct tx *txs[BATCH_MAX];
        make_batch(txs, count);
        for (size_t i = 0; i < count; i++) {
            assert_true(txs[i]->trusted);
            assert_memory_equal(txs[i]->node_signature, txs[0]->node_signature, TX_SIGNATURE_SIZE);
            check_alone(txs[i]);
        }
        free_batch(txs, count);
    }
}

static void test_the_largest(void **state)
{
    (void)state;
    static struct tx *txs[TX_BATCH_MAX];
    make_batch(txs, TX_BATCH_MAX);
    check_alone(txs[0]);
    check_alone(txs[TX_BATCH_MAX - 1]);
    free_batch(txs, TX_BATCH_MAX);
}

/* The id does not depend on who is signed beside, so it can be told before. */
static void test_the_id_is_known_before(void **state)
{
    (void)state;
    struct tx *before = tx_unsigned(2), *txs[3];
    make_batch(txs, 3);
    assert_memory_equal(before->id, txs[2]->id, TX_ID_SIZE);
    struct err err;
    assert_int_equal(tx_sign(before, secret_key, &err), 0);
    assert_memory_equal(before->id, txs[2]->id, TX_ID_SIZE);
    assert_int_equal(before->batch.count, 1);
    tx_free(before);
    free_batch(txs, 3);
}

/* No bit of the witness can change: index, path and signature all count. */
static void test_forgeries(void **state)
{
    (void)state;
    struct tx *txs[5];
    make_batch(txs, 5);
    const struct tx *tx = txs[2];
    size_t header_len = tx->encoded[0] | (size_t)tx->encoded[1] << 8;
    uint8_t *bytes = mem_dup(tx->encoded, tx->encoded_len);
    for (size_t at = 8 + header_len; at < tx->prefix_len - 1; at++) {
        struct tx *back;
        struct err err;
        bytes[at] ^= 1;
        if (tx_decode(&back, bytes, tx->encoded_len, &err) == 0) {
            assert_int_equal(tx_verify_signatures(back, NULL, &err), ERR_FORBIDDEN);
            tx_free(back);
        }
        bytes[at] ^= 1;
    }
    free(bytes);
    free_batch(txs, 5);
}

/* An id cannot stand for a root, nor a root for an id. */
static void test_alone_and_together_are_apart(void **state)
{
    (void)state;
    struct tx *txs[2], *forged = tx_unsigned(7);
    struct tx_batch batch;
    struct err err;
    make_batch(txs, 2);
    tx_batch_of(&batch, txs[0]);
    forged->batch.count = 1;
    memcpy(forged->id, batch.root, TX_ID_SIZE);
    memcpy(forged->node_signature, batch.signature, TX_SIGNATURE_SIZE);
    assert_int_equal(tx_verify_signatures(forged, NULL, &err), ERR_FORBIDDEN);
    tx_free(forged);
    free_batch(txs, 2);
}

static bool knows_all(void *arg, const struct tx_batch *batch)
{
    (void)batch;
    ++*(int *)arg;
    return true;
}

/* What was found right once is not checked again; what was not found right is. */
static void test_seen_batches(void **state)
{
    (void)state;
    struct tx *txs[3];
    struct tx_batches seen = {0};
    struct err err;
    make_batch(txs, 3);
    struct tx *first = again(txs[0]), *second = again(txs[1]), *third = again(txs[2]);
    third->node_signature[5] ^= 1;
    assert_int_equal(tx_verify_signatures(third, &seen, &err), ERR_FORBIDDEN);
    assert_int_equal(seen.count, 0);
    assert_int_equal(tx_verify_signatures(first, &seen, &err), 0);
    assert_int_equal(tx_verify_signatures(second, &seen, &err), 0);
    assert_int_equal(seen.count, 1);
    assert_int_equal(tx_verify_signatures(third, &seen, &err), ERR_FORBIDDEN);

    int asked = 0;
    struct tx_batches known = {.known = knows_all, .arg = &asked};
    assert_int_equal(tx_verify_signatures(third, &known, &err), 0); /* it is said to be known */
    assert_int_equal(tx_verify_signatures(first, &known, &err), 0);
    assert_int_equal(tx_verify_signatures(second, &known, &err), 0);
    assert_int_equal(asked, 2);
    tx_free(first);
    tx_free(second);
    tx_free(third);
    free_batch(txs, 3);
}

/* More batches than are kept: the oldest is checked again. */
static void test_seen_are_few(void **state)
{
    (void)state;
    struct tx_batches seen = {0};
    struct err err;
    for (unsigned i = 0; i < 3 * TX_BATCHES_SEEN; i++) {
        struct tx *tx = tx_unsigned(i);
        tx_sign_batch(&tx, 1, secret_key);
        struct tx *back = again(tx);
        assert_int_equal(tx_verify_signatures(back, &seen, &err), 0);
        tx_free(back);
        tx_free(tx);
    }
    assert_int_equal(seen.count, 3 * TX_BATCHES_SEEN);
}

/* One transaction has one encoding: longer forms and batches without anybody are refused. */
static void test_grammar(void **state)
{
    (void)state;
    struct tx *txs[2], *back;
    struct err err;
    make_batch(txs, 2);
    size_t header_len = txs[1]->encoded[0] | (size_t)txs[1]->encoded[1] << 8;
    uint8_t *bytes = mem_dup(txs[1]->encoded, txs[1]->encoded_len);
    uint8_t *witness = bytes + 8 + header_len;
    assert_int_equal(witness[0], 2);
    assert_int_equal(witness[1], 1);
    witness[1] = 2; /* beyond the batch */
    assert_int_equal(tx_decode(&back, bytes, txs[1]->encoded_len, &err), ERR_CORRUPT);
    witness[0] = 0;
    assert_int_equal(tx_decode(&back, bytes, txs[1]->encoded_len, &err), ERR_CORRUPT);
    free(bytes);
    free_batch(txs, 2);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup(test_each_stands_for_itself, setup),
    cmocka_unit_test_setup(test_the_largest, setup),
    cmocka_unit_test_setup(test_the_id_is_known_before, setup),
    cmocka_unit_test_setup(test_forgeries, setup),
    cmocka_unit_test_setup(test_alone_and_together_are_apart, setup),
    cmocka_unit_test_setup(test_seen_batches, setup),
    cmocka_unit_test_setup(test_seen_are_few, setup),
    cmocka_unit_test_setup(test_grammar, setup),
};

UNIT_MAIN(tests)
