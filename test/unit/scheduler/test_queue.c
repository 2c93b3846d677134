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

static void test_left_to_another_node(void **state)
{
    (void)state;
    struct queue q = {0};
    set(&q, "a", 0, "1", "", 0);
    take(&q, 0, "d/a");
    queue_leave(&q, "d/a");
    take(&q, 100000000, NULL);
    assert_int_equal(next, INT64_MAX);
    queue_wake(&q, 100000000); /* it was never tried, so there is no back-off */
    take(&q, 100000000, "d/a");
    queue_wake(&q, 100000001); /* whose it is changes while it is being asked */
    queue_leave(&q, "d/a");
    take(&q, 100000001, "d/a");
    queue_leave(&q, "d/gone");
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

static uint64_t group(const char *name, const char *controller)
{
    struct queue q = {0};
    json_auto_t *pod =
        jq("{'metadata':{'name':'%s','namespace':'d','uid':'%s'%s},'spec':{}}", name, name, controller);
    queue_set(&q, pod, 0);
    uint64_t found = queue_group(&q, name[0] == 'a' ? "d/a" : "d/b");
    assert_int_equal(queue_group(&q, "d/c"), 0);
    queue_free(&q);
    return found;
}

static void test_pods_of_a_controller_belong_together(void **state)
{
    (void)state;
    const char one[] = ",'ownerReferences':[{'uid':'x','controller':true}]";
    const char other[] = ",'ownerReferences':[{'uid':'y','controller':true}]";
    const char owned[] = ",'ownerReferences':[{'uid':'x'}]";
    assert_true(group("a", one) == group("b", one));
    assert_true(group("a", one) != group("b", other));
    assert_true(group("a", "") != group("b", ""));
    assert_true(group("a", owned) != group("b", owned));
}

/* Adopted while it waits, it may have become ours to place: all nodes have to see it so. */
static void test_an_adopted_pod_changes_its_group(void **state)
{
    (void)state;
    struct queue q = {0};
    json_auto_t *alone = jq("{'metadata':{'name':'a','namespace':'d','uid':'1'},'spec':{}}");
    json_auto_t *adopted = jq("{'metadata':{'name':'a','namespace':'d','uid':'1','ownerReferences':"
                              "[{'uid':'x','controller':true}]},'spec':{}}");
    queue_set(&q, alone, 0);
    uint64_t before = queue_group(&q, "d/a");
    take(&q, 0, "d/a");
    queue_leave(&q, "d/a");
    queue_set(&q, alone, 1);
    take(&q, 1, NULL);
    queue_set(&q, adopted, 2);
    assert_true(queue_group(&q, "d/a") != before);
    take(&q, 2, "d/a");
    queue_free(&q);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_priority_then_age),
    cmocka_unit_test(test_parked_pods_wait_for_a_reason),
    cmocka_unit_test(test_failure_comes_again),
    cmocka_unit_test(test_pods_of_a_controller_belong_together),
    cmocka_unit_test(test_an_adopted_pod_changes_its_group),
    cmocka_unit_test(test_left_to_another_node),
    cmocka_unit_test(test_another_pod_of_the_name),
};
UNIT_MAIN(tests)
