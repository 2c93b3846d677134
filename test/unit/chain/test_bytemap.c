/* The map of byte strings, against a plain array. */
#include "unit.h"

#include "chain/bytemap.h"

#define KEYS 500

static void test_against_array(void **state)
{
    (void)state;
    struct bytemap map = BYTEMAP_INIT;
    static char keys[KEYS][24];
    static uint32_t expected[KEYS];
    for (int i = 0; i < KEYS; i++) {
        snprintf(keys[i], sizeof(keys[i]), "%.*skey%d", i % 9, "aaaaaaaaa", i);
        expected[i] = BYTEMAP_NONE;
    }
    uint32_t seed = 1;
    for (uint32_t step = 0; step < 20000; step++) {
        seed = seed * 1664525 + 1013904223;
        uint32_t i = (seed >> 8) % KEYS;
        size_t len = strlen(keys[i]);
        if (seed >> 31) {
            bytemap_set(&map, keys[i], len, step);
            expected[i] = step;
        } else {
            bytemap_remove(&map, keys[i], len);
            expected[i] = BYTEMAP_NONE;
        }
        i = (seed >> 4) % KEYS;
        assert_int_equal(bytemap_get(&map, keys[i], strlen(keys[i])), expected[i]);
    }
    size_t count = 0;
    for (int i = 0; i < KEYS; i++) {
        assert_int_equal(bytemap_get(&map, keys[i], strlen(keys[i])), expected[i]);
        count += expected[i] != BYTEMAP_NONE;
    }
    assert_int_equal(map.count, count);
    bytemap_clear(&map);
    assert_int_equal(bytemap_get(&map, keys[0], strlen(keys[0])), BYTEMAP_NONE);
    bytemap_free(&map);
}

static const struct CMUnitTest tests[] = {cmocka_unit_test(test_against_array)};

UNIT_MAIN(tests)
