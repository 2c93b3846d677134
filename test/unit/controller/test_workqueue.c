/* The work queue: what comes when, once, and never twice at the same time. */
#include "unit.h"

#include "controller/workqueue.h"

static int64_t next;

/* Takes a key and expects it; the item stays taken. */
static struct work_item *take(struct workqueue *q, int64_t now, const char *key)
{
    struct work_item *item = workqueue_take(q, now, &next);
    if (!key) {
        assert_null(item);
        return NULL;
    }
    assert_non_null(item);
    assert_string_equal(item->key, key);
    return item;
}

static void test_equal_keys_fold(void **state)
{
    (void)state;
    struct workqueue *q = workqueue_new();
    workqueue_add(q, 0, "a", 0);
    workqueue_add(q, 0, "b", 0);
    workqueue_add(q, 0, "a", 0);
    workqueue_add(q, 1, "a", 0);
    struct work_item *a = take(q, 10, "a"), *b = take(q, 10, "b"), *other = take(q, 10, "a");
    assert_int_equal(a->owner, 0);
    assert_int_equal(other->owner, 1);
    take(q, 10, NULL);
    assert_int_equal(next, INT64_MAX);
    assert_false(workqueue_idle(q, 10));
    workqueue_done(q, a, false, 0, 10);
    workqueue_done(q, b, false, 0, 10);
    workqueue_done(q, other, false, 0, 10);
    assert_true(workqueue_idle(q, 10));
    assert_int_equal(workqueue_count(q), 0);
    workqueue_free(q);
}

static void test_added_while_worked_on_comes_again(void **state)
{
    (void)state;
    struct workqueue *q = workqueue_new();
    workqueue_add(q, 0, "a", 0);
    struct work_item *a = take(q, 10, "a");
    workqueue_add(q, 0, "a", 11);
    take(q, 20, NULL);
    workqueue_done(q, a, false, 0, 20);
    a = take(q, 20, "a");
    workqueue_done(q, a, false, 0, 20);
    take(q, 1000, NULL);
    workqueue_free(q);
}

static void test_earliest_time_counts(void **state)
{
    (void)state;
    struct workqueue *q = workqueue_new();
    workqueue_add(q, 0, "a", 100);
    workqueue_add(q, 0, "b", 60);
    workqueue_add(q, 0, "a", 50);
    workqueue_add(q, 0, "a", 200);
    take(q, 49, NULL);
    assert_int_equal(next, 50);
    workqueue_done(q, take(q, 50, "a"), false, 80, 50);
    workqueue_done(q, take(q, 60, "b"), false, 0, 60);
    take(q, 79, NULL);
    workqueue_done(q, take(q, 80, "a"), false, 0, 80);
    take(q, 1000, NULL);
    workqueue_free(q);
}

static void test_failures_back_off(void **state)
{
    (void)state;
    struct workqueue *q = workqueue_new();
    workqueue_add(q, 0, "a", 0);
    int64_t now = 0, delay = WORKQUEUE_BACKOFF_MIN_US;
    for (int i = 0; i < 30; i++) {
        workqueue_done(q, take(q, now, "a"), true, 0, now);
        take(q, now, NULL);
        assert_int_equal(next - now, delay);
        delay = delay * 2 < WORKQUEUE_BACKOFF_MAX_US ? delay * 2 : WORKQUEUE_BACKOFF_MAX_US;
        now = next;
    }
    assert_int_equal(delay, WORKQUEUE_BACKOFF_MAX_US);
    /* A change does not wait for the back-off, and success forgets it. */
    workqueue_done(q, take(q, now, "a"), true, 0, now);
    workqueue_add(q, 0, "a", now);
    workqueue_done(q, take(q, now, "a"), false, 0, now);
    workqueue_add(q, 0, "a", now);
    workqueue_done(q, take(q, now, "a"), true, 0, now);
    take(q, now, NULL);
    assert_int_equal(next - now, WORKQUEUE_BACKOFF_MIN_US);
    workqueue_free(q);
}

/* Many keys, with times drawn from a fixed sequence, come in the order of their times. */
static void test_many_keys_in_order(void **state)
{
    (void)state;
    struct workqueue *q = workqueue_new();
    uint32_t random = 1;
    char key[16];
    for (int i = 0; i < 5000; i++) {
        random = random * 1664525 + 1013904223;
        snprintf(key, sizeof(key), "%d", i);
        workqueue_add(q, i & 3, key, random >> 16);
    }
    int64_t last = 0;
    for (int i = 0; i < 5000; i++) {
        workqueue_take(q, -1, &next);
        assert_true(next >= last);
        last = next;
        struct work_item *item = workqueue_take(q, next, &next);
        assert_non_null(item);
        workqueue_done(q, item, false, 0, last);
    }
    assert_int_equal(workqueue_count(q), 0);
    workqueue_free(q);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_equal_keys_fold),      cmocka_unit_test(test_added_while_worked_on_comes_again),
    cmocka_unit_test(test_earliest_time_counts), cmocka_unit_test(test_failures_back_off),
    cmocka_unit_test(test_many_keys_in_order),
};
UNIT_MAIN(tests)
