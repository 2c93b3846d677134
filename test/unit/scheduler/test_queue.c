/* The order of waiting pods, and when they are tried again. */
#include "json_text.h"

#include "scheduler/queue.h"

static int64_t next;

static void set(struct queue *q, const char *name, int priority, const char *uid, const char *spec,
                int64_t now)
{
    json_auto_t *pod = jq("{'metadata':{'name':'%s','namespace':'d','uid':'%s','creationTimestamp':"
                          "'2026-01-01T00:00:0%dZ'},'spec':{'priority':%d,'nodeSelector':{'a':'%s'}}}",
                          name, uid, name[0] - 'a', priority, spec);
    queue_set(q, pod, now);
}

static void take(struct queue *q, int64_t now, const char *expected)
{
    char *key = queue_take(q, now, &next);
    if (expected)
        assert_string_equal(key, expected);
    else
        assert_null(key);
    free(key);
}

static void test_priority_then_age(void **state)
{
    (void)state;
    struct queue q = {0};
    set(&q, "b", 0, "1", "", 0);
    set(&q, "a", 0, "2", "", 0);
    set(&q, "c", 9, "3", "", 0);
    take(&q, 0, "d/c");
    take(&q, 0, "d/a");
    take(&q, 0, "d/b");
    take(&q, 0, NULL);
    assert_int_equal(next, INT64_MAX);
    queue_free(&q);
}

static void test_parked_pods_wait_for_a_reason(void **state)
{
    (void)state;
    struct queue q = {0};
    set(&q, "a", 0, "1", "", 0);
    take(&q, 0, "d/a");
    queue_park(&q, "d/a", false, 0);
    set(&q, "a", 0, "1", "", 100000000); /* nothing of it changed */
    take(&q, 100000000, NULL);
    queue_wake(&q, 100000000);
    take(&q, 100000000, "d/a");
    queue_wake(&q, 100000001); /* at once again: after the back-off */
    take(&q, 100000001, NULL);
    assert_int_equal(next, 100000000 + 2 * QUEUE_BACKOFF_MIN_US);
    set(&q, "a", 0, "1", "other", 100000002); /* it changed itself */
    take(&q, 100000002, "d/a");
    queue_free(&q);
}

static void test_failure_comes_again(void **state)
{
    (void)state;
    struct queue q = {0};
    set(&q, "a", 0, "1", "", 0);
    for (int i = 0; i < 10; i++) {
        char *key = queue_take(&q, next, &next);
        assert_non_null(key);
        queue_park(&q, key, true, next == INT64_MAX ? 0 : next);
        free(key);
        take(&q, 0, NULL);
        assert_true(next != INT64_MAX);
    }
    queue_free(&q);
}

static void test_another_pod_of_the_name(void **state)
{
    (void)state;
    struct queue q = {0};
    set(&q, "a", 0, "1", "", 0);
    take(&q, 0, "d/a");
    set(&q, "a", 0, "2", "", 5);
    queue_remove(&q, "d/a", "1"); /* the end of the first one's binding */
    take(&q, 5, "d/a");
    queue_remove(&q, "d/a", NULL);
    assert_int_equal(q.count, 0);
    queue_free(&q);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_priority_then_age),
    cmocka_unit_test(test_parked_pods_wait_for_a_reason),
    cmocka_unit_test(test_failure_comes_again),
    cmocka_unit_test(test_another_pod_of_the_name),
};
UNIT_MAIN(tests)
