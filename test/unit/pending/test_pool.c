/* Pending changes: first in, first out, limited, nothing twice. */
#include "unit.h"

#include "pending/pending.h"
#include "tx_fixture.h"

static struct tx_fixture f;
static struct pending *pending;

static int setup(void **state)
{
    (void)state;
    tx_fixture_begin(&f);
    pending = pending_new();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    pending_free(pending);
    tx_fixture_end(&f);
    return 0;
}

static void *token(size_t n)
{
    return (void *)(uintptr_t)n;
}

static struct tx *tx_at(size_t n)
{
    char name[32];
    snprintf(name, sizeof(name), "c%zu", n);
    return tx_fixture_create(&f, tx_fixture_key_of("configmaps", "default", name), "{}");
}

static void fill(size_t from, size_t count)
{
    for (size_t i = from; i < from + count; i++)
        assert_int_equal(pending_add(pending, tx_at(i), token(i), NULL), 0);
}

/* Takes up to outputs_max and checks that they are from, from + 1, … */
static void take(size_t outputs_max, size_t from, size_t count)
{
    struct pending_item *items;
    assert_int_equal(pending_take(pending, outputs_max, SIZE_MAX, &items), count);
    for (size_t i = 0; i < count; i++) {
        assert_ptr_equal(items[i].token, token(from + i));
        tx_free(items[i].tx);
    }
    free(items);
}

static void test_first_in_first_out(void **state)
{
    (void)state;
    fill(0, 5);
    take(3, 0, 3);
    fill(5, 200); /* the ring grows with its head in the middle */
    take(100, 3, 100);
    take(1000, 103, 102);
    take(10, 0, 0);
    assert_int_equal(pending_count(pending), 0);
    assert_int_equal(pending_bytes(pending), 0);
}

static void test_nothing_twice(void **state)
{
    (void)state;
    struct tx *tx = tx_at(0);
    struct tx *again;
    assert_int_equal(tx_decode(&again, tx->encoded, tx->encoded_len, NULL), 0);
    assert_int_equal(pending_add(pending, tx, NULL, NULL), 0);
    struct err err;
    assert_int_equal(pending_add(pending, again, NULL, &err), ERR_CONFLICT);
    take(10, 0, 1);
    assert_int_equal(pending_add(pending, again, NULL, &err), 0);
}

static void test_limits_of_a_take(void **state)
{
    (void)state;
    fill(0, 4);
    struct pending_item *items;
    size_t one = pending_bytes(pending) / 4;
    assert_int_equal(pending_take(pending, 100, 2 * one + 1, &items), 2);
    pending_put_back(pending, items, 2);
    free(items);
    assert_int_equal(pending_take(pending, 100, 1, &items), 1); /* at least one, however large */
    pending_put_back(pending, items, 1);
    free(items);
    take(100, 0, 4);
}

static void test_put_back_keeps_the_order(void **state)
{
    (void)state;
    fill(0, 10);
    struct pending_item *items;
    assert_int_equal(pending_take(pending, 6, SIZE_MAX, &items), 6);
    fill(10, 100);
    pending_put_back(pending, items, 6);
    free(items);
    take(1000, 0, 110);
}

static void test_remove(void **state)
{
    (void)state;
    fill(0, 3);
    struct tx *middle = tx_at(3);
    uint8_t id[TX_ID_SIZE];
    memcpy(id, middle->id, TX_ID_SIZE);
    assert_int_equal(pending_add(pending, middle, token(77), NULL), 0);
    fill(3, 2);
    struct pending_item item;
    assert_true(pending_remove(pending, id, &item));
    assert_ptr_equal(item.token, token(77));
    tx_free(item.tx);
    assert_false(pending_remove(pending, id, &item));
    assert_int_equal(pending_count(pending), 5);
    take(2, 0, 2);
    take(10, 2, 3);
    fill(0, 1);
    take(10, 0, 1);
}

static void test_count_is_limited(void **state)
{
    (void)state;
    /* One encoding with another nonce each would be slow to sign; ids are all that the pool looks at. */
    struct tx *pattern = tx_at(0);
    struct err err;
    for (uint32_t i = 0; i <= PENDING_COUNT_MAX; i++) {
        struct tx *tx;
        assert_int_equal(tx_decode(&tx, pattern->encoded, pattern->encoded_len, NULL), 0);
        memcpy(tx->id, &i, sizeof(i));
        if (i < PENDING_COUNT_MAX) {
            assert_int_equal(pending_add(pending, tx, NULL, &err), 0);
        } else {
            assert_int_equal(pending_add(pending, tx, NULL, &err), ERR_TOO_MANY);
            tx_free(tx);
        }
    }
    tx_free(pattern);
}

/* On a node that takes nothing itself, one that waits long must not make the ring grow with what comes and
 * goes. */
static void test_holes_are_closed(void **state)
{
    (void)state;
    fill(0, 3);
    for (size_t i = 3; i < 1000; i++) {
        struct tx *tx = tx_at(i);
        uint8_t id[TX_ID_SIZE];
        memcpy(id, tx->id, TX_ID_SIZE);
        assert_int_equal(pending_add(pending, tx, token(i), NULL), 0);
        assert_ptr_equal(pending_find(pending, id)->token, token(i));
        struct pending_item item;
        assert_true(pending_remove(pending, id, &item));
        assert_ptr_equal(item.token, token(i));
        tx_free(item.tx);
        assert_null(pending_find(pending, id));
    }
    size_t place = 0;
    for (size_t i = 0; i < 3; i++)
        assert_ptr_equal(pending_next(pending, &place)->token, token(i));
    assert_null(pending_next(pending, &place));
    assert_true(place < 64);
    take(10, 0, 3);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(test_first_in_first_out, setup, teardown),
    cmocka_unit_test_setup_teardown(test_nothing_twice, setup, teardown),
    cmocka_unit_test_setup_teardown(test_limits_of_a_take, setup, teardown),
    cmocka_unit_test_setup_teardown(test_put_back_keeps_the_order, setup, teardown),
    cmocka_unit_test_setup_teardown(test_remove, setup, teardown),
    cmocka_unit_test_setup_teardown(test_holes_are_closed, setup, teardown),
    cmocka_unit_test_setup_teardown(test_count_is_limited, setup, teardown),
};

UNIT_MAIN(tests)
