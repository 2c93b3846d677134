/* membership: one change at a time, and only from final blocks. */
#include "unit.h"

#include "consensus/finality.h"
#include "consensus/membership.h"

static const struct membership_change keep;

static void a_change_acts_once_it_is_proved_final(void **state)
{
    (void)state;
    struct membership m, next;
    struct membership_change add = {MEMBERSHIP_ADD, 3};
    membership_init(&m, 3);
    assert_int_equal(membership_next(&next, &m, 5, &add, 0, NULL), 0);
    assert_false(membership_has(&next, 3));
    m = next;
    assert_int_equal(membership_next(&next, &m, 6, &keep, 4, NULL), 0); /* a proof of an earlier block */
    assert_false(membership_has(&next, 3));
    m = next;
    assert_int_equal(membership_next(&next, &m, 7, &keep, 5, NULL), 0);
    assert_true(membership_has(&next, 3));
    assert_int_equal(next.count, 4);
    m = next;
    struct membership_change remove = {MEMBERSHIP_REMOVE, 0};
    assert_int_equal(membership_next(&next, &m, 8, &remove, 0, NULL), 0);
    assert_true(membership_has(&next, 0));
    m = next;
    /* The block that proves one change may hold the next. */
    assert_int_equal(membership_next(&next, &m, 9, &add, 8, NULL), ERR_INVALID);
    add.validator = 0;
    assert_int_equal(membership_next(&next, &m, 9, &add, 8, NULL), 0);
    assert_false(membership_has(&next, 0));
    assert_int_equal(next.count, 3);
}

static void what_a_block_may_not_hold(void **state)
{
    (void)state;
    struct membership m, next;
    struct err err = {0};
    struct membership_change add = {MEMBERSHIP_ADD, 7}, again = {MEMBERSHIP_ADD, 0};
    struct membership_change absent = {MEMBERSHIP_REMOVE, 8}, none = {MEMBERSHIP_ADD, MEMBERSHIP_MAX};
    struct membership_change last = {MEMBERSHIP_REMOVE, 0};
    membership_init(&m, 2);
    assert_int_equal(membership_next(&next, &m, 1, &again, 0, &err), ERR_INVALID);
    assert_int_equal(membership_next(&next, &m, 1, &absent, 0, &err), ERR_INVALID);
    assert_int_equal(membership_next(&next, &m, 1, &none, 0, &err), ERR_INVALID);
    assert_int_equal(membership_next(&next, &m, 1, &add, 0, &err), 0);
    m = next;
    assert_int_equal(membership_next(&next, &m, 2, &absent, 0, &err), ERR_INVALID);
    assert_string_equal(err.message, "an earlier change of the validator set is not final yet");
    membership_init(&m, 1);
    assert_int_equal(membership_next(&next, &m, 1, &last, 0, &err), ERR_INVALID);
}

/* Quorums of neighbouring sets meet in more validators than may lie in the larger one, or in the smaller. */
static void quorums_of_neighbours_meet(void **state)
{
    (void)state;
    for (uint32_t n = 1; n <= 400; n++) {
        assert_true(finality_quorum(n, false) + finality_quorum(n + 1, false) > n + 1);
        uint32_t liars = n / 3; /* of n + 1 */
        assert_true(finality_quorum(n, true) + finality_quorum(n + 1, true) - (n + 1) > liars);
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_change_acts_once_it_is_proved_final),
    cmocka_unit_test(what_a_block_may_not_hold),
    cmocka_unit_test(quorums_of_neighbours_meet),
};

UNIT_MAIN(tests)
