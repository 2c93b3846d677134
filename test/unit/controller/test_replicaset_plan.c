/* What a ReplicaSet needs. */
#include "json_text.h"

#include "client/kube.h"
#include "codec/json.h"
#include "controller/replicaset_plan.h"

#define NOW 1000000000000LL /* 1970-01-12T13:46:40Z in microseconds */

static json_t *set_of(int replicas)
{
    return jq(
        "{'metadata':{'name':'web','namespace':'default','uid':'u1','generation':3},'spec':{'replicas':%d,"
        "'minReadySeconds':10,'template':{'metadata':{'labels':{'app':'web'}},'spec':{'containers':[]}}}}",
        replicas);
}

/* A pod: on node n (may be empty), of a phase, ready since a time (NULL: not ready). */
static void add_pod(json_t *pods, const char *name, const char *node, const char *phase,
                    const char *ready_since)
{
    json_t *pod =
        jq("{'metadata':{'name':'%s','labels':{'app':'web'},'creationTimestamp':'1970-01-12T13:00:00Z'},"
           "'spec':{'nodeName':'%s'},'status':{'phase':'%s'}}",
           name, node, phase);
    if (ready_since)
        json_object_set_new(json_object_get(pod, "status"), "conditions",
                            jq("[{'type':'Ready','status':'True','lastTransitionTime':'%s'}]", ready_since));
    json_array_append_new(pods, pod);
}

static void test_counts_what_is_missing(void **state)
{
    (void)state;
    json_auto_t *rs = set_of(5);
    json_auto_t *pods = json_array();
    add_pod(pods, "a", "n1", "Running", NULL);
    add_pod(pods, "b", "n1", "Failed", NULL); /* ended: does not count */
    struct replicaset_plan plan;
    replicaset_plan(&plan, rs, pods, NOW);
    assert_int_equal(plan.create, 4);
    assert_null(plan.remove);
    json_object_set_new(json_object_get(rs, "metadata"), "deletionTimestamp",
                        json_string("1970-01-01T00:00:00Z"));
    replicaset_plan(&plan, rs, pods, NOW);
    assert_int_equal(plan.create, 0);
}

static void test_removes_the_least_useful_first(void **state)
{
    (void)state;
    json_auto_t *rs = set_of(1);
    json_auto_t *pods = json_array();
    add_pod(pods, "ready", "n1", "Running", "1970-01-12T13:00:00Z");
    add_pod(pods, "fresh", "n2", "Running", "1970-01-12T13:46:39Z");
    add_pod(pods, "not-ready", "n3", "Running", NULL);
    add_pod(pods, "pending", "n3", "Pending", NULL);
    add_pod(pods, "unassigned", "", "Pending", NULL);
    struct replicaset_plan plan;
    replicaset_plan(&plan, rs, pods, NOW);
    static const char *const expected[] = {"unassigned", "pending", "not-ready", "fresh"};
    assert_int_equal(json_array_size(plan.remove), 4);
    for (size_t i = 0; i < 4; i++)
        assert_string_equal(kube_name(json_array_get(plan.remove, i)), expected[i]);
    json_decref(plan.remove);
}

static void test_deletion_cost_comes_before_age(void **state)
{
    (void)state;
    json_auto_t *rs = set_of(1);
    json_auto_t *pods = json_array();
    add_pod(pods, "a", "n1", "Running", "1970-01-12T13:46:39Z");
    add_pod(pods, "b", "n2", "Running", "1970-01-12T13:00:00Z");
    json_object_set_new(json_object_get(json_array_get(pods, 1), "metadata"), "annotations",
                        jq("{'controller.kubernetes.io/pod-deletion-cost':'-5'}"));
    struct replicaset_plan plan;
    replicaset_plan(&plan, rs, pods, NOW);
    assert_int_equal(json_array_size(plan.remove), 1);
    assert_string_equal(kube_name(json_array_get(plan.remove, 0)), "b");
    json_decref(plan.remove);
}

static void test_status_counts(void **state)
{
    (void)state;
    json_auto_t *rs = set_of(3);
    json_auto_t *pods = json_array();
    add_pod(pods, "old", "n1", "Running", "1970-01-12T13:00:00Z");
    add_pod(pods, "fresh", "n1", "Running", "1970-01-12T13:46:35Z"); /* available in five seconds */
    add_pod(pods, "going", "n1", "Running", "1970-01-12T13:00:00Z");
    json_object_set_new(json_object_get(json_array_get(pods, 2), "metadata"), "deletionTimestamp",
                        json_string("1970-01-12T13:46:00Z"));
    int64_t due;
    json_auto_t *status = replicaset_status(rs, pods, NULL, NULL, NOW, &due);
    json_auto_t *expected =
        jq("{'replicas':2,'fullyLabeledReplicas':2,'readyReplicas':2,'availableReplicas':1,"
           "'terminatingReplicas':1,'observedGeneration':3}");
    assert_true(json_equal(status, expected));
    assert_int_equal(due, NOW + 5000000);
}

static void test_failure_condition_comes_and_goes(void **state)
{
    (void)state;
    json_auto_t *rs = set_of(3);
    json_auto_t *pods = json_array();
    int64_t due;
    json_auto_t *status = replicaset_status(rs, pods, "FailedCreate", "quota", NOW, &due);
    json_object_set(rs, "status", status);
    const json_t *condition = kube_condition(rs, "ReplicaFailure");
    assert_string_equal(json_str(condition, "message"), "quota");
    assert_string_equal(json_str(condition, "lastTransitionTime"), "1970-01-12T13:46:40Z");
    /* The same failure later is not news. */
    json_auto_t *again = replicaset_status(rs, pods, "FailedCreate", "quota, still", NOW + 9000000, &due);
    assert_true(json_equal(again, status));
    json_auto_t *better = replicaset_status(rs, pods, NULL, NULL, NOW, &due);
    assert_null(json_object_get(better, "conditions"));
}

static void test_pod_from_template(void **state)
{
    (void)state;
    json_auto_t *rs = set_of(3);
    json_auto_t *pod = replicaset_pod(rs);
    assert_string_equal(json_str(pod, "metadata", "generateName"), "web-");
    assert_string_equal(json_str(pod, "metadata", "labels", "app"), "web");
    assert_true(kube_controlled_by(pod, "u1"));
}

static void test_batches_double(void **state)
{
    (void)state;
    int batch = 0, left = 10;
    static const int expected[] = {1, 2, 4, 3};
    for (size_t i = 0; i < 4; i++) {
        batch = replicaset_next_batch(batch, left);
        assert_int_equal(batch, expected[i]);
        left -= batch;
    }
    assert_int_equal(left, 0);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_counts_what_is_missing),
    cmocka_unit_test(test_removes_the_least_useful_first),
    cmocka_unit_test(test_deletion_cost_comes_before_age),
    cmocka_unit_test(test_status_counts),
    cmocka_unit_test(test_failure_condition_comes_and_goes),
    cmocka_unit_test(test_pod_from_template),
    cmocka_unit_test(test_batches_double),
};
UNIT_MAIN(tests)
