/* roles: time, the shuffle against an independent program, and that it prefers nobody. */
#include "unit.h"

#include "chain/hash.h"
#include "consensus/roles.h"

static void slots_and_epochs(void **state)
{
    (void)state;
    struct roles_settings s = ROLES_SETTINGS_DEFAULT;
    assert_int_equal(roles_slot(&s, 0), 0);
    assert_int_equal(roles_slot(&s, 999999), 0);
    assert_int_equal(roles_slot(&s, 1000000), 1);
    assert_int_equal(roles_slot_start_us(&s, 77), 77000000);
    assert_int_equal(roles_epoch(&s, 31), 0);
    assert_int_equal(roles_epoch(&s, 32), 1);
    s.slot_us = 16000000;
    assert_int_equal(roles_slot(&s, 31999999), 1);
}

/* The expected orders were computed by a program of its own, with its own ChaCha20. */
static void known_answer(void **state)
{
    (void)state;
    uint8_t seed[ROLES_SEED_SIZE];
    for (unsigned i = 0; i < sizeof(seed); i++)
        seed[i] = (uint8_t)i;
    static const uint32_t slot_0[] = {3, 5, 6, 9, 1, 8, 4, 2, 0, 7};
    static const uint32_t slot_7[] = {3, 6, 5, 1, 0, 4, 8, 2, 9, 7};
    static const uint32_t first[] = {362, 75, 95, 583, 797, 486}, last[] = {562, 755, 305};
    uint32_t order[1000];
    roles_order(order, 10, seed, 0);
    assert_memory_equal(order, slot_0, sizeof(slot_0));
    roles_order(order, 10, seed, 7);
    assert_memory_equal(order, slot_7, sizeof(slot_7));
    roles_order(order, 1000, seed, 1);
    assert_memory_equal(order, first, sizeof(first));
    assert_memory_equal(order + 997, last, sizeof(last));
    roles_order(order, 0, seed, 0);
    roles_order(order, 1, seed, 0);
    assert_int_equal(order[0], 0);
}

static void an_order_is_a_permutation(void **state)
{
    (void)state;
    uint8_t seed[ROLES_SEED_SIZE] = {1};
    uint32_t order[300];
    bool found[300] = {false};
    roles_order(order, 300, seed, 5);
    for (unsigned i = 0; i < 300; i++) {
        assert_true(order[i] < 300);
        assert_false(found[order[i]]);
        found[order[i]] = true;
        assert_int_equal(roles_place(order, 300, order[i]), i);
    }
    assert_int_equal(roles_place(order, 300, 300), ROLES_NO_PLACE);
}

/* Each of the 24 orders of 4 validators is as likely: chi-square with 23 degrees of freedom is above 49.7
 * once in a thousand. A shuffle that draws all places from the whole (n^n ways) is far above it. */
static void all_orders_are_as_likely(void **state)
{
    (void)state;
    enum { SLOTS = 24000 };
    unsigned counts[256] = {0}, seen = 0;
    uint8_t seed[ROLES_SEED_SIZE] = "a fixed seed";
    for (uint64_t slot = 0; slot < SLOTS; slot++) {
        uint32_t order[4];
        roles_order(order, 4, seed, slot);
        counts[order[0] | order[1] << 2 | order[2] << 4 | order[3] << 6]++;
    }
    double chi = 0, expected = SLOTS / 24.0;
    for (unsigned i = 0; i < 256; i++) {
        if (counts[i] == 0)
            continue;
        seen++;
        chi += (counts[i] - expected) * (counts[i] - expected) / expected;
    }
    assert_int_equal(seen, 24);
    assert_true(chi < 49.7);
    assert_true(chi > 7.5); /* nor is it too even to be random */
}

/* Each validator is the producer as often as any other, with a new seed for each epoch. */
static void producers_are_as_likely(void **state)
{
    (void)state;
    enum { VALIDATORS = 25, SLOTS = 25000 };
    unsigned counts[VALIDATORS] = {0};
    for (uint64_t slot = 0; slot < SLOTS; slot++) {
        uint32_t order[VALIDATORS];
        uint8_t seed[ROLES_SEED_SIZE];
        uint64_t epoch = slot / 32;
        hash_content(seed, &epoch, sizeof(epoch));
        roles_order(order, VALIDATORS, seed, slot);
        counts[order[0]]++;
    }
    double chi = 0;
    for (unsigned i = 0; i < VALIDATORS; i++)
        chi += (counts[i] - 1000.0) * (counts[i] - 1000.0) / 1000.0;
    assert_true(chi < 51.2); /* 24 degrees of freedom, once in a thousand */
}

static void roles_by_place(void **state)
{
    (void)state;
    struct roles_settings s = {1000000, 32, 2};
    assert_int_equal(roles_at(&s, 0), ROLE_PRODUCER);
    assert_int_equal(roles_at(&s, 1), ROLE_COMMITTEE);
    assert_int_equal(roles_at(&s, 2), ROLE_COMMITTEE);
    assert_int_equal(roles_at(&s, 3), ROLE_VALIDATOR);
}

static bool is_odd(void *arg, uint32_t validator)
{
    (void)arg;
    return validator % 2;
}

static void who_takes_over(void **state)
{
    (void)state;
    static const uint32_t order[] = {4, 1, 2, 5, 3};
    assert_int_equal(roles_turn(order, 5, 1, is_odd, NULL), 0);
    assert_int_equal(roles_turn(order, 5, 5, is_odd, NULL), 1);
    assert_int_equal(roles_turn(order, 5, 3, is_odd, NULL), 2);
    assert_int_equal(roles_turn(order, 5, 7, is_odd, NULL), ROLES_NO_PLACE);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(slots_and_epochs),
    cmocka_unit_test(known_answer),
    cmocka_unit_test(an_order_is_a_permutation),
    cmocka_unit_test(all_orders_are_as_likely),
    cmocka_unit_test(producers_are_as_likely),
    cmocka_unit_test(roles_by_place),
    cmocka_unit_test(who_takes_over),
};

UNIT_MAIN(tests)
