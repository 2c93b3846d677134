/* The cells of `kubectl get` against what Kubernetes 1.35 prints for the same objects. */
#include "unit.h"

#include "base/mem.h"
#include "base/timefmt.h"
#include "codec/json.h"
#include "object/registry.h"
#include "object/table.h"

#define NOW "2026-11-23T06:00:00Z"

static json_t *parse(const char *text)
{
    struct err err = {0};
    json_t *value = json_parse(text, strlen(text), &err);
    if (!value)
        fail_msg("%s: %s", err.message, text);
    return value;
}

static void expect(const char *kind, const char *text, const char *cells)
{
    const struct schema_kind *found = NULL;
    for (size_t i = 0; i < registry_count(); i++)
        if (strcmp(registry_at(i)->kind, kind) == 0)
            found = registry_at(i);
    assert_non_null(found);
    int64_t now_us = 0;
    assert_true(timefmt_parse(NOW, &now_us));
    json_auto_t *object = parse(text);
    json_auto_t *row = table_cells(found, object, now_us);
    buf_auto struct buf out = BUF_INIT;
    json_dump_buf(&out, row);
    assert_string_equal(buf_str(&out), cells);
}

/* The READY, STATUS and RESTARTS cells of a pod with two containers. */
static void expect_pod(const char *rest, const char *cells)
{
    mem_auto char *text = mem_printf("{\"metadata\":{\"name\":\"p\"%s}", rest);
    mem_auto char *row =
        mem_printf("[\"p\",%s,\"<unknown>\",\"<none>\",\"<none>\",\"<none>\",\"<none>\"]", cells);
    expect("Pod", text, row);
}

#define SPEC                                                                                             \
    "\"spec\":{\"containers\":[{\"name\":\"a\"},{\"name\":\"b\"}],\"initContainers\":[{\"name\":\"i\"}," \
    "{\"name\":\"s\",\"restartPolicy\":\"Always\"}]}"

static void test_pod_phases(void **state)
{
    (void)state;
    expect_pod("}," SPEC ",\"status\":{\"phase\":\"Pending\"}", "\"0/3\",\"Pending\",\"0\"");
    expect_pod("}," SPEC ",\"status\":{\"phase\":\"Failed\",\"reason\":\"Evicted\"}",
               "\"0/3\",\"Evicted\",\"0\"");
    expect_pod(",\"deletionTimestamp\":\"" NOW "\"}," SPEC ",\"status\":{\"phase\":\"Running\"}",
               "\"0/3\",\"Terminating\",\"0\"");
    expect_pod(",\"deletionTimestamp\":\"" NOW "\"}," SPEC ",\"status\":{\"phase\":\"Succeeded\"}",
               "\"0/3\",\"Succeeded\",\"0\"");
    expect_pod(",\"deletionTimestamp\":\"" NOW "\"}," SPEC
               ",\"status\":{\"phase\":\"Running\",\"reason\":\"NodeLost\"}",
               "\"0/3\",\"Unknown\",\"0\"");
    expect_pod("}," SPEC ",\"status\":{\"phase\":\"Pending\",\"conditions\":[{\"type\":\"PodScheduled\","
               "\"status\":\"False\",\"reason\":\"SchedulingGated\"}]}",
               "\"0/3\",\"SchedulingGated\",\"0\"");
}

static void test_pod_init_containers(void **state)
{
    (void)state;
#define INIT(state)                                                                            \
    "}," SPEC ",\"status\":{\"phase\":\"Pending\",\"initContainerStatuses\":[{\"name\":\"i\"," \
    "\"restartCount\":2,\"state\":{" state "}}]}"
    expect_pod(INIT("\"running\":{}"), "\"0/3\",\"Init:0/2\",\"2\"");
    expect_pod(INIT("\"waiting\":{\"reason\":\"PodInitializing\"}"), "\"0/3\",\"Init:0/2\",\"2\"");
    expect_pod(INIT("\"waiting\":{\"reason\":\"CrashLoopBackOff\"}"),
               "\"0/3\",\"Init:CrashLoopBackOff\",\"2\"");
    expect_pod(INIT("\"terminated\":{\"exitCode\":3}"), "\"0/3\",\"Init:ExitCode:3\",\"2\"");
    expect_pod(INIT("\"terminated\":{\"exitCode\":3,\"signal\":9}"), "\"0/3\",\"Init:Signal:9\",\"2\"");
    expect_pod(INIT("\"terminated\":{\"exitCode\":3,\"reason\":\"Error\"}"), "\"0/3\",\"Init:Error\",\"2\"");
    /* Once it is done, its restarts no longer count. */
    expect_pod(INIT("\"terminated\":{\"exitCode\":0}"), "\"0/3\",\"Pending\",\"0\"");
#undef INIT
}

static void test_pod_sidecars_count_as_containers(void **state)
{
    (void)state;
    expect_pod(
        "}," SPEC ",\"status\":{\"phase\":\"Running\",\"initContainerStatuses\":["
        "{\"name\":\"i\",\"state\":{\"terminated\":{\"exitCode\":0}}},"
        "{\"name\":\"s\",\"restartCount\":4,\"started\":true,\"ready\":true,\"state\":{\"running\":{}}}],"
        "\"containerStatuses\":[{\"name\":\"a\",\"ready\":true,\"restartCount\":1,"
        "\"state\":{\"running\":{}}}]}",
        "\"2/3\",\"Running\",\"5\"");
}

#define STATUSES(phase, conditions, a, b)                                                                    \
    "}," SPEC ",\"status\":{\"phase\":\"" phase "\",\"conditions\":[" conditions "],\"containerStatuses\":[" \
    "{\"name\":\"a\"," a "},{\"name\":\"b\"," b "}]}"

static void test_pod_containers(void **state)
{
    (void)state;
    expect_pod(STATUSES("Pending", "", "\"state\":{\"waiting\":{\"reason\":\"ContainerCreating\"}}",
                        "\"state\":{\"waiting\":{\"reason\":\"ImagePullBackOff\"}}"),
               "\"0/3\",\"ContainerCreating\",\"0\"");
    expect_pod(
        STATUSES("Running", "", "\"ready\":true,\"state\":{\"running\":{}}",
                 "\"restartCount\":2,\"lastState\":{\"terminated\":{\"finishedAt\":"
                 "\"2026-11-23T05:55:00Z\"}},\"state\":{\"waiting\":{\"reason\":\"CrashLoopBackOff\"}}"),
        "\"1/3\",\"CrashLoopBackOff\",\"2 (5m ago)\"");
    expect_pod(STATUSES("Succeeded", "",
                        "\"state\":{\"terminated\":{\"exitCode\":0,\"reason\":\"Completed\"}}",
                        "\"state\":{\"terminated\":{\"exitCode\":0,\"reason\":\"Completed\"}}"),
               "\"0/3\",\"Completed\",\"0\"");
    expect_pod(STATUSES("Failed", "", "\"state\":{\"terminated\":{\"exitCode\":0,\"reason\":\"Completed\"}}",
                        "\"state\":{\"terminated\":{\"exitCode\":1,\"reason\":\"Error\"}}"),
               "\"0/3\",\"Error\",\"0\"");
    expect_pod(STATUSES("Running", "{\"type\":\"Ready\",\"status\":\"False\"}",
                        "\"state\":{\"terminated\":{\"exitCode\":0,\"reason\":\"Completed\"}}",
                        "\"ready\":true,\"state\":{\"running\":{}}"),
               "\"1/3\",\"NotReady\",\"0\"");
    expect_pod(STATUSES("Running", "{\"type\":\"Ready\",\"status\":\"True\"}",
                        "\"state\":{\"terminated\":{\"exitCode\":0,\"reason\":\"Completed\"}}",
                        "\"ready\":true,\"state\":{\"running\":{}}"),
               "\"1/3\",\"Running\",\"0\"");
}

static void test_pod_wide(void **state)
{
    (void)state;
    expect(
        "Pod",
        "{\"metadata\":{\"name\":\"p\",\"creationTimestamp\":\"2026-11-23T05:57:30Z\"},\"spec\":{"
        "\"nodeName\":"
        "\"n\",\"containers\":[{}],\"readinessGates\":[{\"conditionType\":\"x\"},{\"conditionType\":\"y\"}]},"
        "\"status\":{\"phase\":\"Running\",\"podIPs\":[{\"ip\":\"10.0.0.9\"}],\"nominatedNodeName\":\"m\","
        "\"conditions\":[{\"type\":\"y\",\"status\":\"True\"}]}}",
        "[\"p\",\"0/1\",\"Running\",\"0\",\"2m30s\",\"10.0.0.9\",\"n\",\"m\",\"1/2\"]");
}

static void test_workloads(void **state)
{
    (void)state;
    expect("Deployment",
           "{\"metadata\":{\"name\":\"d\",\"creationTimestamp\":\"2026-11-21T06:00:00Z\"},\"spec\":{"
           "\"replicas\":3,"
           "\"selector\":{\"matchLabels\":{\"b\":\"1\",\"a\":\"2\"},\"matchExpressions\":[{\"key\":\"aa\","
           "\"operator\":\"NotIn\",\"values\":[\"y\",\"x\"]},{\"key\":\"c\",\"operator\":\"DoesNotExist\"}]},"
           "\"template\":{\"spec\":{\"containers\":[{\"name\":\"x\",\"image\":\"i:1\"},{\"name\":\"y\","
           "\"image\":"
           "\"j\"}]}}},\"status\":{\"readyReplicas\":1,\"updatedReplicas\":2}}",
           "[\"d\",\"1/3\",2,0,\"2d\",\"x,y\",\"i:1,j\",\"a=2,aa notin (x,y),b=1,!c\"]");
    expect("ReplicaSet",
           "{\"metadata\":{\"name\":\"r\"},\"spec\":{\"replicas\":2},\"status\":{\"replicas\":2}}",
           "[\"r\",2,2,0,\"<unknown>\",\"\",\"\",\"<none>\"]");
    expect("ControllerRevision",
           "{\"metadata\":{\"name\":\"c\",\"ownerReferences\":[{\"kind\":\"X\"},{\"apiVersion\":\"apps/"
           "v1\",\"kind\":"
           "\"DaemonSet\",\"name\":\"d\",\"controller\":true}]},\"revision\":7}",
           "[\"c\",\"daemonset.apps/d\",7,\"<unknown>\"]");
}

static void test_services(void **state)
{
    (void)state;
    expect("Service",
           "{\"metadata\":{\"name\":\"s\"},\"spec\":{\"type\":\"NodePort\",\"clusterIPs\":[\"10.96.0.7\"],"
           "\"ports\":"
           "[{\"port\":80,\"protocol\":\"TCP\"},{\"port\":53,\"nodePort\":30053,\"protocol\":\"UDP\"}],"
           "\"selector\":{\"app\":\"w\"}}}",
           "[\"s\",\"NodePort\",\"10.96.0.7\",\"<none>\",\"80/TCP,53:30053/UDP\",\"<unknown>\",\"app=w\"]");
    expect(
        "Service",
        "{\"metadata\":{\"name\":\"s\"},\"spec\":{\"type\":\"LoadBalancer\",\"externalIPs\":[\"9.9.9.9\"]},"
        "\"status\":{\"loadBalancer\":{\"ingress\":[{\"ip\":\"2.2.2.2\"},{\"hostname\":\"a.b\"},{\"ip\":"
        "\"2.2.2.2\"}]}}}",
        "[\"s\",\"LoadBalancer\",\"<none>\",\"2.2.2.2,a.b,9.9.9.9\",\"<none>\",\"<unknown>\",\"<none>\"]");
    expect("Service", "{\"metadata\":{\"name\":\"s\"},\"spec\":{\"type\":\"LoadBalancer\"}}",
           "[\"s\",\"LoadBalancer\",\"<none>\",\"<pending>\",\"<none>\",\"<unknown>\",\"<none>\"]");
    expect("Service",
           "{\"metadata\":{\"name\":\"s\"},\"spec\":{\"type\":\"ExternalName\",\"externalName\":\"x.y\"}}",
           "[\"s\",\"ExternalName\",\"<none>\",\"x.y\",\"<none>\",\"<unknown>\",\"<none>\"]");
}

static void test_endpoints(void **state)
{
    (void)state;
    expect("Endpoints", "{\"metadata\":{\"name\":\"e\"}}", "[\"e\",\"<none>\",\"<unknown>\"]");
    expect(
        "Endpoints",
        "{\"metadata\":{\"name\":\"e\"},\"subsets\":[{\"addresses\":[{\"ip\":\"10.0.0.1\"},{\"ip\":\"::1\"}],"
        "\"ports\":[{\"port\":80},{\"port\":81}]}]}",
        "[\"e\",\"10.0.0.1:80,[::1]:80,10.0.0.1:81 + 1 more...\",\"<unknown>\"]");
    expect("Endpoints",
           "{\"metadata\":{\"name\":\"e\"},\"subsets\":[{\"addresses\":[{\"ip\":\"10.0.0.1\"}]}]}",
           "[\"e\",\"10.0.0.1\",\"<unknown>\"]");
    expect("EndpointSlice",
           "{\"metadata\":{\"name\":\"e\"},\"addressType\":\"IPv4\",\"ports\":[{\"port\":80},{\"name\":\"\"},"
           "{}],"
           "\"endpoints\":[{\"addresses\":[\"1\",\"2\"]},{\"addresses\":[\"3\",\"4\",\"5\"]}]}",
           "[\"e\",\"IPv4\",\"80,,*\",\"1,2,3 + 2 more...\",\"<unknown>\"]");
    expect("EndpointSlice", "{\"metadata\":{\"name\":\"e\"},\"addressType\":\"IPv4\"}",
           "[\"e\",\"IPv4\",\"<unset>\",\"<unset>\",\"<unknown>\"]");
}

static void test_nodes(void **state)
{
    (void)state;
    expect("Node",
           "{\"metadata\":{\"name\":\"n\",\"labels\":{\"node-role.kubernetes.io/worker\":\"\","
           "\"node-role.kubernetes.io/control-plane\":\"\",\"kubernetes.io/role\":\"worker\"}},\"spec\":"
           "{\"unschedulable\":true},\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}],"
           "\"addresses\":[{\"type\":\"Hostname\",\"address\":\"n\"},{\"type\":\"InternalIP\",\"address\":"
           "\"1.2.3.4\"}],\"nodeInfo\":{\"kubeletVersion\":\"v1\",\"osImage\":\"Debian\"}}}",
           "[\"n\",\"Ready,SchedulingDisabled\",\"control-plane,worker\",\"<unknown>\",\"v1\",\"1.2.3.4\","
           "\"<none>\",\"Debian\",\"<unknown>\",\"<unknown>\"]");
    expect(
        "Node", "{\"metadata\":{\"name\":\"n\"}}",
        "[\"n\",\"Unknown\",\"<none>\",\"<unknown>\",\"\",\"<none>\",\"<none>\",\"<unknown>\",\"<unknown>\","
        "\"<unknown>\"]");
}

static void test_events(void **state)
{
    (void)state;
    expect(
        "Event",
        "{\"metadata\":{\"name\":\"e\"},\"involvedObject\":{\"kind\":\"Pod\",\"name\":\"p\",\"fieldPath\":"
        "\"f\"},"
        "\"type\":\"Normal\",\"reason\":\"Pulled\",\"message\":\" done\\n\",\"count\":3,\"firstTimestamp\":"
        "\"2026-11-23T05:00:00Z\",\"lastTimestamp\":\"2026-11-23T05:59:00Z\",\"source\":{\"component\":"
        "\"kubelet\",\"host\":\"n\"}}",
        "[\"60s\",\"Normal\",\"Pulled\",\"pod/p\",\"f\",\"kubelet, n\",\"done\",\"60m\",3,\"e\"]");
    expect("Event",
           "{\"metadata\":{\"name\":\"e\"},\"involvedObject\":{\"kind\":\"Node\"},\"eventTime\":"
           "\"2026-11-23T05:59:50.000000Z\",\"reportingComponent\":\"katena\"}",
           "[\"10s\",\"\",\"\",\"node\",\"\",\"katena\",\"\",\"10s\",1,\"e\"]");
}

static void test_other_kinds(void **state)
{
    (void)state;
    expect("ConfigMap",
           "{\"metadata\":{\"name\":\"c\"},\"data\":{\"a\":\"\",\"b\":\"\"},\"binaryData\":{\"c\":\"\"}}",
           "[\"c\",3,\"<unknown>\"]");
    expect("Secret", "{\"metadata\":{\"name\":\"s\"},\"type\":\"Opaque\",\"data\":{\"a\":\"\"}}",
           "[\"s\",\"Opaque\",1,\"<unknown>\"]");
    expect("Lease", "{\"metadata\":{\"name\":\"l\"},\"spec\":{\"holderIdentity\":\"h\"}}",
           "[\"l\",\"h\",\"<unknown>\"]");
    expect("Role", "{\"metadata\":{\"name\":\"r\",\"creationTimestamp\":\"" NOW "\"}}",
           "[\"r\",\"" NOW "\"]");
    expect(
        "RoleBinding",
        "{\"metadata\":{\"name\":\"r\"},\"roleRef\":{\"kind\":\"Role\",\"name\":\"x\"},\"subjects\":[{"
        "\"kind\":"
        "\"User\",\"name\":\"a\"},{\"kind\":\"ServiceAccount\",\"namespace\":\"n\",\"name\":\"s\"},{\"kind\":"
        "\"User\",\"name\":\"b\"}]}",
        "[\"r\",\"Role/x\",\"<unknown>\",\"a, b\",\"\",\"n/s\"]");
}

/* Each expression of api/ must be one that table.c understands, whatever the object lacks. */
static void test_every_kind_has_cells_for_its_columns(void **state)
{
    (void)state;
    for (size_t i = 0; i < registry_count(); i++) {
        json_auto_t *empty = json_object();
        json_auto_t *columns = table_columns(registry_at(i));
        json_auto_t *cells = table_cells(registry_at(i), empty, 0);
        assert_true(json_array_size(columns) > 0);
        assert_int_equal(json_array_size(columns), json_array_size(cells));
        size_t j;
        json_t *column;
        json_array_foreach(columns, j, column)
        {
            if (!*json_str_or_empty(column, "description"))
                fail_msg("%s: column %s has no description", registry_at(i)->kind, json_str(column, "name"));
        }
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_pod_phases),
    cmocka_unit_test(test_pod_init_containers),
    cmocka_unit_test(test_pod_sidecars_count_as_containers),
    cmocka_unit_test(test_pod_containers),
    cmocka_unit_test(test_pod_wide),
    cmocka_unit_test(test_workloads),
    cmocka_unit_test(test_services),
    cmocka_unit_test(test_endpoints),
    cmocka_unit_test(test_nodes),
    cmocka_unit_test(test_events),
    cmocka_unit_test(test_other_kinds),
    cmocka_unit_test(test_every_kind_has_cells_for_its_columns),
};
UNIT_MAIN(tests)
