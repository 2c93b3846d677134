/* Resource keys: their bytes, their order, their parents. */
#include "unit.h"

#include "chain/key.h"

static void test_round_trip(void **state)
{
    (void)state;
    struct resource_key key = {"apps", "deployments", "default", "web"};
    buf_auto struct buf bytes = BUF_INIT;
    key_encode(&bytes, &key);
    assert_int_equal(bytes.len, 28);
    assert_memory_equal(bytes.data, "apps\0deployments\0default\0web", 28);
    struct resource_key back;
    assert_true(key_decode(&back, bytes.data, bytes.len));
    assert_int_equal(key_compare(&key, &back), 0);
}

static void test_prefixes(void **state)
{
    (void)state;
    struct resource_key kind = {"", "pods", NULL, ""};
    struct resource_key ns = {"", "pods", "default", ""};
    buf_auto struct buf bytes = BUF_INIT;
    key_encode(&bytes, &kind);
    assert_int_equal(bytes.len, 6);
    assert_memory_equal(bytes.data, "\0pods\0", 6);
    buf_clear(&bytes);
    key_encode(&bytes, &ns);
    assert_memory_equal(bytes.data, "\0pods\0default\0", 14);
    assert_int_equal(bytes.len, 14);
}

static void test_no_keys(void **state)
{
    (void)state;
    struct resource_key key;
    assert_false(key_decode(&key, "", 0));
    assert_false(key_decode(&key, "\0pods\0x", 7));        /* a part is missing */
    assert_false(key_decode(&key, "\0pods\0x\0", 8));      /* no name */
    assert_false(key_decode(&key, "\0\0\0name", 7));       /* no resource */
    assert_false(key_decode(&key, "\0pods\0x\0a\0b", 11)); /* a part too many */
    assert_true(key_decode(&key, "\0pods\0x\0a", 9));
}

static void test_order_is_that_of_the_bytes(void **state)
{
    (void)state;
    struct resource_key a = {"", "pods", "a", "z"};
    struct resource_key b = {"", "pods", "a-b", "a"};
    struct resource_key c = {"", "podsets", "a", "a"};
    assert_true(key_compare(&a, &b) < 0);
    assert_true(key_compare(&b, &c) < 0);
    buf_auto struct buf x = BUF_INIT;
    buf_auto struct buf y = BUF_INIT;
    key_encode(&x, &a);
    key_encode(&y, &b);
    assert_true(memcmp(x.data, y.data, x.len < y.len ? x.len : y.len) < 0);
}

static void test_parent(void **state)
{
    (void)state;
    struct resource_key pod = {"", "pods", "default", "p"};
    struct resource_key parent;
    assert_true(key_parent(&parent, &pod));
    assert_string_equal(parent.resource, "namespaces");
    assert_string_equal(parent.name, "default");
    assert_false(key_parent(&parent, &parent));
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_round_trip), cmocka_unit_test(test_prefixes),
    cmocka_unit_test(test_no_keys),    cmocka_unit_test(test_order_is_that_of_the_bytes),
    cmocka_unit_test(test_parent),
};

UNIT_MAIN(tests)
