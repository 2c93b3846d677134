/* The decisions of a pod's life, step by step. */
#include "unit.h"

#include "kubelet/pod_plan.h"

#define S INT64_C(1000000)
#define CASE(...)                 \
    (struct pod_plan_container[]) \
    {                             \
        __VA_ARGS__               \
    }

static struct pod_plan plan;

/* Decides for containers in a ready sandbox at 1000 s, with what the rest of the view says. */
static void decide(struct pod_plan_view view, const struct pod_plan_container *containers, size_t count)
{
    view.containers = containers;
    view.container_count = count;
    view.now_us = 1000 * S;
    pod_plan(&plan, &view);
}

static void expect(const char *text)
{
    static const char *const names[] = {"sandbox", "start", "kill", "stop", "remove", "finish"};
    char got[512] = "";
    for (size_t i = 0; i < plan.action_count; i++) {
        const struct pod_action *a = &plan.actions[i];
        size_t n = strlen(got);
        if (a->type == POD_ACTION_START || a->type == POD_ACTION_KILL)
            snprintf(got + n, sizeof(got) - n, "%s%s %zu", n ? ", " : "", names[a->type], a->index);
        else
            snprintf(got + n, sizeof(got) - n, "%s%s", n ? ", " : "", names[a->type]);
    }
    assert_string_equal(got, text);
}

#define INIT_NONE                  \
    {                              \
        .kind = POD_CONTAINER_INIT \
    }
#define INIT_DONE                                             \
    {                                                         \
        .kind = POD_CONTAINER_INIT, .state = POD_STATE_EXITED \
    }
#define INIT_BAD                                                                                      \
    {                                                                                                 \
        .kind = POD_CONTAINER_INIT, .state = POD_STATE_EXITED, .exit_code = 1, .finished_us = 990 * S \
    }
#define SIDECAR                                                                    \
    {                                                                              \
        .kind = POD_CONTAINER_SIDECAR, .state = POD_STATE_RUNNING, .started = true \
    }
#define APP_NONE                  \
    {                             \
        .kind = POD_CONTAINER_APP \
    }
#define APP_RUN                                                                \
    {                                                                          \
        .kind = POD_CONTAINER_APP, .state = POD_STATE_RUNNING, .started = true \
    }
#define APP_EXIT(code, n)                                                                                \
    {                                                                                                    \
        .kind = POD_CONTAINER_APP, .state = POD_STATE_EXITED, .exit_code = code, .finished_us = 995 * S, \
        .crashes = n                                                                                     \
    }

static const struct pod_plan_view ready = {.sandbox = POD_SANDBOX_READY};

static void test_start_order(void **state)
{
    (void)state;
    struct pod_plan_view none = {0};
    decide(none, CASE(INIT_NONE, APP_NONE), 2);
    expect("sandbox");
    decide(ready, CASE(INIT_NONE, INIT_NONE, APP_NONE), 3);
    expect("start 0");
    decide(ready, CASE(INIT_DONE, INIT_NONE, APP_NONE), 3);
    expect("start 1");
    decide(ready, CASE(INIT_DONE, INIT_DONE, APP_NONE, APP_NONE), 4);
    expect("start 2, start 3");
    assert_true(plan.initialized);
}

static void test_sidecar_holds_back_until_started(void **state)
{
    (void)state;
    struct pod_plan_container c[] = {SIDECAR, APP_NONE};
    c[0].started = false;
    decide(ready, c, 2);
    expect("");
    c[0].started = true;
    decide(ready, c, 2);
    expect("start 1");
    c[0].state = POD_STATE_EXITED; /* also with exit code 0 */
    c[1] = (struct pod_plan_container)APP_RUN;
    decide(ready, c, 2);
    expect("start 0");
}

static void test_init_failure(void **state)
{
    (void)state;
    struct pod_plan_view view = ready;
    struct pod_plan_container c[] = {SIDECAR, INIT_BAD, APP_NONE};
    c[1].crashes = 2; /* 20 s */
    decide(view, c, 3);
    expect("");
    assert_int_equal(plan.wake_us, 1010 * S);
    view.restart = POD_RESTART_NEVER;
    decide(view, c, 3);
    expect("kill 0");
    assert_true(plan.over);
}

static void test_restart_policy_and_backoff(void **state)
{
    (void)state;
    struct pod_plan_view view = ready;
    decide(view, CASE(APP_EXIT(0, 0)), 1);
    expect("start 0"); /* the first restart is at once */
    decide(view, CASE(APP_EXIT(1, 1)), 1);
    expect("");
    assert_int_equal(plan.wake_us, 1005 * S);
    view.restart = POD_RESTART_ON_FAILURE;
    decide(view, CASE(APP_EXIT(0, 0), APP_EXIT(3, 0)), 2);
    expect("start 1");
    decide(view, CASE(APP_EXIT(0, 0), APP_EXIT(0, 0)), 2);
    expect("stop");
    view.restart = POD_RESTART_NEVER;
    decide(view, CASE(APP_EXIT(1, 0), SIDECAR), 2);
    assert_true(plan.over);
    assert_int_equal(pod_backoff_us(0), 0);
    assert_int_equal(pod_backoff_us(2), 20 * S);
    assert_int_equal(pod_backoff_us(6), 300 * S);
    assert_int_equal(pod_backoff_us(100000), 300 * S);
}

static void test_unhealthy_and_changed(void **state)
{
    (void)state;
    struct pod_plan_container c[] = {APP_RUN, APP_RUN};
    c[0].unhealthy = true;
    c[1].changed = true;
    decide(ready, c, 2);
    expect("kill 0, kill 1");
    assert_int_equal(plan.actions[0].reason, POD_KILL_UNHEALTHY);
    c[0].killing = c[1].killing = true;
    decide(ready, c, 2);
    expect("");
    c[1] = (struct pod_plan_container)APP_EXIT(143, 5);
    c[1].changed = true; /* the new image is tried without back-off */
    decide(ready, c, 2);
    expect("start 1");
}

static void test_deletion(void **state)
{
    (void)state;
    struct pod_plan_view view = ready;
    view.deleting = true;
    struct pod_plan_container c[] = {SIDECAR, APP_RUN};
    decide(view, c, 2);
    expect("kill 1");
    c[1] = (struct pod_plan_container)APP_EXIT(0, 0);
    decide(view, c, 2);
    expect("kill 0");
    c[0].killing = true;
    decide(view, c, 2);
    expect("");
    c[0].state = POD_STATE_EXITED;
    decide(view, c, 2);
    expect("stop");
    view.sandbox = POD_SANDBOX_NOT_READY;
    decide(view, c, 2);
    expect("remove");
    view.removed = true;
    decide(view, c, 2);
    expect("finish");
}

static void test_deadline(void **state)
{
    (void)state;
    struct pod_plan_view view = ready;
    view.deadline_us = 1001 * S;
    decide(view, CASE(APP_RUN), 1);
    expect("");
    assert_int_equal(plan.wake_us, 1001 * S);
    view.deadline_us = 1000 * S;
    decide(view, CASE(APP_RUN), 1);
    expect("kill 0");
    assert_true(plan.deadline_exceeded);
}

static void test_lost_sandbox(void **state)
{
    (void)state;
    struct pod_plan_view view = {.sandbox = POD_SANDBOX_NOT_READY};
    decide(view, CASE(APP_RUN), 1);
    expect("kill 0");
    decide(view, CASE(APP_EXIT(137, 0)), 1);
    expect("sandbox");
    view.restart = POD_RESTART_NEVER;
    decide(view, CASE(APP_EXIT(137, 0)), 1);
    expect("");
    assert_true(plan.over);
}

static void test_failed_start_waits(void **state)
{
    (void)state;
    struct pod_plan_container c[] = {APP_NONE};
    c[0].retry_us = 1007 * S;
    decide(ready, c, 1);
    expect("");
    assert_int_equal(plan.wake_us, 1007 * S);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_start_order),
    cmocka_unit_test(test_sidecar_holds_back_until_started),
    cmocka_unit_test(test_init_failure),
    cmocka_unit_test(test_restart_policy_and_backoff),
    cmocka_unit_test(test_unhealthy_and_changed),
    cmocka_unit_test(test_deletion),
    cmocka_unit_test(test_deadline),
    cmocka_unit_test(test_lost_sandbox),
    cmocka_unit_test(test_failed_start_waits),
};

UNIT_MAIN(tests)
