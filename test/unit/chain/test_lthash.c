/* The state hash: a set's hash, whatever the order of additions and removals. */
#include "unit.h"

#include "base/hex.h"
#include "chain/lthash.h"

static void element(uint8_t out[HASH_SIZE], unsigned i)
{
    hash_content(out, &i, sizeof(i));
}

static void test_order_does_not_matter(void **state)
{
    (void)state;
    struct lthash a, b;
    lthash_init(&a);
    lthash_init(&b);
    uint8_t e[HASH_SIZE];
    for (unsigned i = 0; i < 50; i++) {
        element(e, i);
        lthash_add(&a, e);
        element(e, 49 - i);
        lthash_add(&b, e);
    }
    assert_true(lthash_equal(&a, &b));
    element(e, 50);
    lthash_add(&b, e);
    assert_false(lthash_equal(&a, &b));
    lthash_remove(&b, e);
    assert_true(lthash_equal(&a, &b));
}

static void test_empties_again(void **state)
{
    (void)state;
    struct lthash a, empty;
    lthash_init(&a);
    lthash_init(&empty);
    uint8_t e[HASH_SIZE];
    for (unsigned i = 0; i < 10; i++) {
        element(e, i);
        lthash_add(&a, e);
    }
    for (unsigned i = 0; i < 10; i++) {
        element(e, (i * 7) % 10);
        lthash_remove(&a, e);
    }
    assert_true(lthash_equal(&a, &empty));
}

static void test_known_digests(void **state)
{
    (void)state;
    struct lthash a;
    lthash_init(&a);
    uint8_t digest[HASH_SIZE], e[HASH_SIZE];
    char text[2 * HASH_SIZE + 1];
    lthash_digest(digest, &a);
    hex_encode(text, digest, HASH_SIZE);
    assert_string_equal(text, "200823e5158b3774c11b5c61850ada762f8264144a9bebec3ebac5a2adde67b8");
    memset(e, 0x42, sizeof(e));
    lthash_add(&a, e);
    lthash_digest(digest, &a);
    hex_encode(text, digest, HASH_SIZE);
    assert_string_equal(text, "be9e3f799bdc526f7753d8ce5203b2c6b21bd7d41d4bb65d2ccc39ec92976e03");
}

static void test_stored_form(void **state)
{
    (void)state;
    struct lthash a, b;
    lthash_init(&a);
    uint8_t e[HASH_SIZE], bytes[LTHASH_SIZE];
    element(e, 3);
    lthash_add(&a, e);
    lthash_encode(bytes, &a);
    lthash_decode(&b, bytes);
    assert_true(lthash_equal(&a, &b));
    assert_int_equal(bytes[0] | bytes[1] << 8, a.lanes[0]);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_order_does_not_matter),
    cmocka_unit_test(test_empties_again),
    cmocka_unit_test(test_known_digests),
    cmocka_unit_test(test_stored_form),
};

UNIT_MAIN(tests)
