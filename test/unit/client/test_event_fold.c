/* What becomes of events that repeat. */
#include "unit.h"

#include "client/event_fold.h"

static struct event_fold_out step(struct event_fold *fold, const char *object, const char *reason,
                                  const char *message, int64_t now_us)
{
    char kind[128], name[128];
    snprintf(kind, sizeof(kind), "%s/%s", object, reason);
    snprintf(name, sizeof(name), "%s.%llx", object, (unsigned long long)now_us);
    struct event_fold_in in = {
        .object = object, .kind = kind, .message = message, .name = name, .now_us = now_us};
    struct event_fold_out out;
    event_fold_step(fold, &in, &out);
    return out;
}

static void test_equal_events_count_up(void **state)
{
    (void)state;
    struct event_fold *fold = event_fold_new();
    struct event_fold_out first = step(fold, "pod", "Pulled", "image", 1000);
    assert_int_equal(first.verdict, EVENT_CREATE);
    struct event_fold_out second = step(fold, "pod", "Pulled", "image", 2000);
    assert_int_equal(second.verdict, EVENT_COUNT);
    assert_int_equal(second.count, 2);
    assert_int_equal(second.first_us, 1000);
    assert_string_equal(second.name, first.name);
    assert_int_equal(step(fold, "pod", "Pulled", "other image", 3000).verdict, EVENT_CREATE);
    event_fold_free(fold);
}

static void test_forgotten_event_is_made_anew(void **state)
{
    (void)state;
    struct event_fold *fold = event_fold_new();
    struct event_fold_out first = step(fold, "pod", "Pulled", "image", 1000);
    event_fold_forget(fold, first.name);
    struct event_fold_out second = step(fold, "pod", "Pulled", "image", 2000);
    assert_int_equal(second.verdict, EVENT_CREATE);
    assert_string_not_equal(second.name, first.name);
    event_fold_free(fold);
}

static void test_similar_events_combine(void **state)
{
    (void)state;
    struct event_fold *fold = event_fold_new();
    char message[32];
    for (int i = 0; i < EVENT_SIMILAR_MAX - 1; i++) {
        snprintf(message, sizeof(message), "try %d", i);
        assert_false(step(fold, "pod", "Failed", message, i).combined);
    }
    assert_true(step(fold, "pod", "Failed", "try 10", 20).combined);
    struct event_fold_out next = step(fold, "pod", "Failed", "try 11", 21);
    assert_true(next.combined);
    assert_int_equal(next.verdict, EVENT_COUNT);
    assert_false(step(fold, "pod", "Failed", "much later", EVENT_SIMILAR_US * 2).combined);
    event_fold_free(fold);
}

static void test_one_object_cannot_flood(void **state)
{
    (void)state;
    struct event_fold *fold = event_fold_new();
    int written = 0;
    for (int i = 0; i < 100; i++)
        written += step(fold, "pod", "Failed", "same", i).verdict != EVENT_DROP;
    assert_int_equal(written, EVENT_BURST);
    assert_int_equal(step(fold, "other", "Failed", "same", 100).verdict, EVENT_CREATE);
    assert_int_equal(step(fold, "pod", "Failed", "same", EVENT_REFILL_US + 100).verdict, EVENT_COUNT);
    assert_int_equal(step(fold, "pod", "Failed", "same", EVENT_REFILL_US + 101).verdict, EVENT_DROP);
    event_fold_free(fold);
}

/* More subjects than are remembered: the newest are still known, and nothing grows. */
static void test_memory_is_bounded(void **state)
{
    (void)state;
    struct event_fold *fold = event_fold_new();
    char object[32];
    for (int i = 0; i < EVENT_FOLD_MAX * 3; i++) {
        snprintf(object, sizeof(object), "pod-%d", i);
        assert_int_equal(step(fold, object, "Pulled", "image", i + 1).verdict, EVENT_CREATE);
    }
    assert_int_equal(step(fold, object, "Pulled", "image", 5000).verdict, EVENT_COUNT);
    assert_int_equal(step(fold, "pod-0", "Pulled", "image", 5001).verdict, EVENT_CREATE);
    event_fold_free(fold);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_equal_events_count_up),  cmocka_unit_test(test_forgotten_event_is_made_anew),
    cmocka_unit_test(test_similar_events_combine), cmocka_unit_test(test_one_object_cannot_flood),
    cmocka_unit_test(test_memory_is_bounded),
};
UNIT_MAIN(tests)
