/* Batches whose signature is right are known by all that they consist of. */
#include "unit.h"

#include "ledger/known_batches.h"

#include <string.h>

static struct tx_batch made(uint8_t first, uint8_t second, uint8_t signature)
{
    struct tx_batch batch = {0};
    batch.root[0] = first;
    batch.root[1] = second;
    batch.key[0] = 3;
    batch.signature[0] = signature;
    return batch;
}

static void test_knows_what_was_noted(void **state)
{
    (void)state;
    struct known_batches *known = known_batches_new();
    struct tx_batch one = made(1, 2, 7), forged = made(1, 2, 8), other = made(1, 3, 7), of_another = one;
    of_another.key[0] = 4;
    assert_false(known_batches_has(known, &one));
    known_batches_note(known, &one);
    assert_true(known_batches_has(known, &one));
    assert_false(known_batches_has(known, &forged));
    assert_false(known_batches_has(known, &other));
    assert_false(known_batches_has(known, &of_another));
    known_batches_free(known);
}

static void test_newer_ones_take_the_places(void **state)
{
    (void)state;
    struct known_batches *known = known_batches_new();
    struct tx_batch one = made(1, 2, 7), same_place = one;
    same_place.root[5] = 9;
    known_batches_note(known, &one);
    known_batches_note(known, &same_place);
    assert_false(known_batches_has(known, &one));
    assert_true(known_batches_has(known, &same_place));
    known_batches_free(known);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_knows_what_was_noted),
    cmocka_unit_test(test_newer_ones_take_the_places),
};

UNIT_MAIN(tests)
