/* The order within a block: parents and inputs first, then by id, the same from any starting point. */
#include "unit.h"

#include "tx_fixture.h"
#include "chain/order.h"

#define COUNT_MAX 64

static struct tx_fixture fixture;

static int setup(void **state)
{
    (void)state;
    tx_fixture_begin(&fixture);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    tx_fixture_end(&fixture);
    return 0;
}

static void txs_free(struct tx **txs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        tx_free(txs[i]);
}

/* A small generator with a fixed course (xorshift), for shuffling. */
static uint32_t draw(uint32_t *seed, uint32_t bound)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed % bound;
}

static void shuffle(struct tx **txs, size_t count, uint32_t *seed)
{
    for (size_t i = count; i > 1; i--) {
        size_t k = draw(seed, (uint32_t)i);
        struct tx *t = txs[i - 1];
        txs[i - 1] = txs[k];
        txs[k] = t;
    }
}

static size_t position(struct tx *const *txs, size_t count, const struct tx *tx)
{
    for (size_t i = 0; i < count; i++)
        if (txs[i] == tx)
            return i;
    fail();
    return 0;
}

static void test_independent_ones_by_id(void **state)
{
    (void)state;
    struct tx *txs[20];
    for (int i = 0; i < 20; i++) {
        char name[32];
        snprintf(name, sizeof(name), "c%d", i);
        txs[i] = tx_fixture_create(&fixture, tx_fixture_key_of("configmaps", "default", name), "{}");
    }
    order_txs(txs, 20);
    for (int i = 1; i < 20; i++)
        assert_true(memcmp(txs[i - 1]->id, txs[i]->id, TX_ID_SIZE) < 0);
    assert_true(order_is_canonical(txs, 20));
    struct tx *t = txs[3];
    txs[3] = txs[4];
    txs[4] = t;
    assert_false(order_is_canonical(txs, 20));
    txs_free(txs, 20);
}

static void test_chains_of_inputs(void **state)
{
    (void)state;
    struct resource_key key = tx_fixture_key_of("configmaps", "default", "a");
    struct tx *txs[10], *made[10];
    txs[0] = made[0] = tx_fixture_create(&fixture, key, "{}");
    for (int i = 1; i < 10; i++)
        txs[i] = made[i] = tx_fixture_update(&fixture, key, made[i - 1]->id, "{}");
    uint32_t seed = 17;
    shuffle(txs, 10, &seed);
    order_txs(txs, 10);
    assert_memory_equal(txs, made, sizeof(made));
    txs_free(txs, 10);
}

static void test_hierarchy(void **state)
{
    (void)state;
    /* Whatever their ids: the namespace comes before what is in it, and its deletion after. */
    for (int round = 0; round < 20; round++) {
        char name[32];
        snprintf(name, sizeof(name), "ns%d", round);
        struct resource_key ns = tx_fixture_key_of("namespaces", "", name);
        struct tx *txs[3];
        txs[0] = tx_fixture_create(&fixture, tx_fixture_key_of("pods", name, "p"), "{}");
        txs[1] = tx_fixture_create(&fixture, ns, "{}");
        struct tx *pod = txs[0], *create = txs[1];
        order_txs(txs, 2);
        assert_true(position(txs, 2, create) < position(txs, 2, pod));
        txs[0] = pod;
        txs[1] = tx_fixture_delete(&fixture, ns, create->id);
        struct tx *drop = txs[1];
        order_txs(txs, 2);
        assert_true(position(txs, 2, pod) < position(txs, 2, drop));
        tx_free(create);
        txs_free(txs, 2);
    }
}

static void test_same_order_from_any_start(void **state)
{
    (void)state;
    uint32_t seed = 99;
    struct tx *txs[COUNT_MAX], *first[COUNT_MAX];
    for (size_t i = 0; i < COUNT_MAX; i++) {
        char name[32];
        snprintf(name, sizeof(name), "c%zu", i);
        struct resource_key key =
            tx_fixture_key_of(i % 9 ? "configmaps" : "namespaces", i % 9 ? "c0" : "", name);
        struct tx *tx = tx_fixture_new(&fixture, "update");
        if (i)
            tx_fixture_input(tx, TX_INPUT_INDIRECT, key, txs[draw(&seed, (uint32_t)i)]->id);
        tx_fixture_put(tx, key, "{}");
        tx_fixture_sign(&fixture, tx);
        txs[i] = tx;
    }
    order_txs(txs, COUNT_MAX);
    memcpy(first, txs, sizeof(txs));
    for (size_t i = 0; i < COUNT_MAX; i++)
        for (size_t k = 0; k < txs[i]->input_count; k++)
            for (size_t later = i; later < COUNT_MAX; later++)
                assert_memory_not_equal(txs[i]->inputs[k].tx_id, txs[later]->id, TX_ID_SIZE);
    for (int round = 0; round < 30; round++) {
        shuffle(txs, COUNT_MAX, &seed);
        order_txs(txs, COUNT_MAX);
        assert_memory_equal(txs, first, sizeof(first));
    }
    txs_free(txs, COUNT_MAX);
}

static void test_circle_still_ends(void **state)
{
    (void)state;
    /* Each of two namespaces' transactions also has an output inside the other namespace. */
    struct tx *txs[2];
    for (int i = 0; i < 2; i++) {
        txs[i] = tx_fixture_new(&fixture, "create");
        tx_fixture_put(txs[i], tx_fixture_key_of("namespaces", "", i ? "a" : "b"), "{}");
        tx_fixture_put(txs[i], tx_fixture_key_of("pods", i ? "b" : "a", "p"), "{}");
        tx_fixture_sign(&fixture, txs[i]);
    }
    order_txs(txs, 2);
    assert_true(memcmp(txs[0]->id, txs[1]->id, TX_ID_SIZE) < 0);
    order_txs(txs, 0);
    txs_free(txs, 2);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(test_independent_ones_by_id, setup, teardown),
    cmocka_unit_test_setup_teardown(test_chains_of_inputs, setup, teardown),
    cmocka_unit_test_setup_teardown(test_hierarchy, setup, teardown),
    cmocka_unit_test_setup_teardown(test_same_order_from_any_start, setup, teardown),
    cmocka_unit_test_setup_teardown(test_circle_still_ends, setup, teardown),
};

UNIT_MAIN(tests)
