/* Taints by conditions, eviction by taints, and the status of nodes and namespaces that go. */
#include "json_text.h"

#include "client/kube.h"
#include "codec/json.h"
#include "controller/namespace_plan.h"
#include "controller/node_plan.h"

#define NOW 1000000000000LL /* 1970-01-12T13:46:40Z */

static json_t *node_of(const char *ready, const char *taints)
{
    return jq("{'metadata':{'name':'n1'},'spec':{'taints':%s},'status':{'conditions':[{'type':'Ready','"
              "status':'%s'}]}}",
              taints, ready);
}

static void test_unreachable_node_is_tainted(void **state)
{
    (void)state;
    json_auto_t *node = node_of("Unknown", "[{'key':'own','effect':'NoSchedule'}]");
    json_auto_t *taints = node_taints(node, NOW);
    json_auto_t *expected = jq("[{'key':'own','effect':'NoSchedule'},"
                               "{'key':'node.kubernetes.io/unreachable','effect':'NoSchedule',"
                               "'timeAdded':'1970-01-12T13:46:40Z'},"
                               "{'key':'node.kubernetes.io/unreachable','effect':'NoExecute',"
                               "'timeAdded':'1970-01-12T13:46:40Z'}]");
    assert_true(json_equal(taints, expected));
    /* Later the times stay, and a node that is well again loses what was managed. */
    json_object_set(json_object_get(node, "spec"), "taints", taints);
    json_auto_t *later = node_taints(node, NOW + 60000000);
    assert_true(json_equal(later, expected));
    json_auto_t *well = node_of("True", "[]");
    json_object_set(json_object_get(well, "spec"), "taints", taints);
    json_auto_t *left = node_taints(well, NOW);
    assert_int_equal(json_array_size(left), 1);
}

static void test_cordon_taints(void **state)
{
    (void)state;
    json_auto_t *node = node_of("True", "[]");
    json_object_set_new(json_object_get(node, "spec"), "unschedulable", json_true());
    json_auto_t *taints = node_taints(node, NOW);
    assert_int_equal(json_array_size(taints), 1);
    assert_string_equal(json_str(json_array_get(taints, 0), "key"), "node.kubernetes.io/unschedulable");
}

static void test_lost_node(void **state)
{
    (void)state;
    json_auto_t *node = node_of("True", "[]");
    json_auto_t *status = node_lost_status(node, NOW);
    json_object_set(node, "status", status);
    assert_string_equal(kube_condition_status(node, "Ready"), "Unknown");
    assert_string_equal(json_str(kube_condition(node, "Ready"), "reason"), "NodeStatusUnknown");
    assert_string_equal(json_str(kube_condition(node, "DiskPressure"), "reason"), "NodeStatusNeverUpdated");
    json_auto_t *again = node_lost_status(node, NOW + 60000000);
    assert_true(json_equal(again, status));
}

static int64_t eviction(const char *tolerations)
{
    json_auto_t *taints = jq("[{'key':'node.kubernetes.io/unreachable','effect':'NoExecute',"
                             "'timeAdded':'1970-01-12T13:46:40Z'},{'key':'x','effect':'NoSchedule'}]");
    json_auto_t *pod = jq("{'spec':{'tolerations':%s}}", tolerations);
    return taint_eviction_us(taints, pod, NOW + 1000000);
}

static void test_eviction_time(void **state)
{
    (void)state;
    assert_int_equal(eviction("[]"), 0);
    assert_int_equal(eviction("[{'operator':'Exists'}]"), INT64_MAX);
    assert_int_equal(
        eviction("[{'key':'node.kubernetes.io/unreachable','operator':'Exists','effect':'NoExecute',"
                 "'tolerationSeconds':300}]"),
        NOW + 300000000);
    assert_int_equal(eviction("[{'operator':'Exists','tolerationSeconds':300},{'operator':'Exists',"
                              "'tolerationSeconds':5}]"),
                     NOW + 5000000);
    assert_int_equal(eviction("[{'key':'node.kubernetes.io/not-ready','operator':'Exists'}]"), 0);
}

static void test_toleration_rules(void **state)
{
    (void)state;
    static const struct {
        const char *toleration;
        bool tolerated;
    } cases[] = {
        {"{'key':'a','operator':'Equal','value':'1','effect':'NoSchedule'}", true},
        {"{'key':'a','value':'1'}", true},
        {"{'key':'a','value':'2'}", false},
        {"{'key':'a','operator':'Exists'}", true},
        {"{'key':'a','operator':'Exists','effect':'NoExecute'}", false},
        {"{'key':'b','operator':'Exists'}", false},
        {"{'operator':'Exists'}", true},
    };
    json_auto_t *taint = jq("{'key':'a','value':'1','effect':'NoSchedule'}");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        json_auto_t *toleration = jq("%s", cases[i].toleration);
        assert_int_equal(kube_tolerates(toleration, taint), cases[i].tolerated);
    }
}

static void test_namespace_conditions(void **state)
{
    (void)state;
    json_auto_t *namespace = jq("{'metadata':{'name':'x'},'status':{'phase':'Active'}}");
    json_auto_t *remaining = jq("{'pods.':2,'deployments.apps':1}");
    json_auto_t *finalizers = jq("{'example.com/hold':1}");
    json_auto_t *failures = json_array();
    json_auto_t *status = namespace_status(namespace, remaining, finalizers, failures, NOW);
    json_object_set(namespace, "status", status);
    assert_string_equal(json_str(status, "phase"), "Terminating");
    assert_string_equal(
        json_str(kube_condition(namespace, "NamespaceContentRemaining"), "message"),
        "Some resources are remaining: deployments.apps has 1 resource instances, pods. has 2 "
        "resource instances");
    assert_string_equal(
        json_str(kube_condition(namespace, "NamespaceFinalizersRemaining"), "message"),
        "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource "
        "instances");
    assert_string_equal(kube_condition_status(namespace, "NamespaceDeletionContentFailure"), "False");
    json_auto_t *none = json_object();
    json_auto_t *done = namespace_status(namespace, none, none, failures, NOW + 5000000);
    json_object_set(namespace, "status", done);
    assert_string_equal(kube_condition_status(namespace, "NamespaceContentRemaining"), "False");
    assert_string_equal(
        json_str(kube_condition(namespace, "NamespaceContentRemaining"), "lastTransitionTime"),
        "1970-01-12T13:46:45Z");
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_unreachable_node_is_tainted),
    cmocka_unit_test(test_cordon_taints),
    cmocka_unit_test(test_lost_node),
    cmocka_unit_test(test_eviction_time),
    cmocka_unit_test(test_toleration_rules),
    cmocka_unit_test(test_namespace_conditions),
};
UNIT_MAIN(tests)
