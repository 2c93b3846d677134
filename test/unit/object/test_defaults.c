/* Defaults, as a decoded object gets them: expectations are what Kubernetes answers to the same manifest. */
#include "unit.h"

#include "object/decode.h"
#include "object/registry.h"
#include "object/semantics.h"

/* Cases are written with single quotes in place of double ones. */
static json_t *parsed(const char *text)
{
    char *copy = strdup(text);
    for (char *p = copy; *p; p++)
        if (*p == '\'')
            *p = '"';
    json_t *value = json_loads(copy, 0, NULL);
    if (!value)
        fail_msg("not JSON: %s", copy);
    free(copy);
    return value;
}

static json_t *defaulted(const char *group, const char *name, const char *text)
{
    const struct schema_kind *kind = registry_by_kind(group, "v1", name);
    assert_non_null(kind);
    json_t *sent = parsed(text);
    json_t *object = NULL;
    struct err err = {0};
    if (decode_json(kind->message, sent, &object, NULL, &err))
        fail_msg("%s", err.message);
    json_decref(sent);
    defaults_apply(kind, object);
    return object;
}

/* The texts are compared, so that the order of members counts too. */
static void check(const char *group, const char *kind, const char *text, const char *member, const char *want)
{
    json_t *object = defaulted(group, kind, text);
    json_t *expected = parsed(want);
    char *got_text = json_dumps(json_object_get(object, member), JSON_COMPACT);
    char *want_text = json_dumps(expected, JSON_COMPACT);
    assert_string_equal(got_text, want_text);
    free(got_text);
    free(want_text);
    json_decref(expected);

    /* Defaults of a defaulted object change nothing. */
    json_t *before = json_deep_copy(object);
    defaults_apply(registry_by_kind(group, "v1", kind), object);
    assert_true(json_equal(before, object));
    json_decref(before);
    json_decref(object);
}

static void test_defaults_of_a_pod(void **state)
{
    (void)state;
    check(
        "", "Pod",
        "{'spec':{'serviceAccountName':'sa','containers':[{'name':'a','image':'nginx','resources':{'limits':{"
        "'cpu':'1','memory':'1Gi'},"
        "'requests':{'cpu':'100m'}},'ports':[{'containerPort':80}],'livenessProbe':{'httpGet':{'port':80}}}],"
        "'volumes':[{'name':'e'},{'name':'c','configMap':{'name':'cm'}}]}}",
        "spec",
        "{'volumes':[{'name':'e','emptyDir':{}},{'name':'c','configMap':{'name':'cm','defaultMode':420}}],"
        "'containers':[{'name':'a','image':'nginx','ports':[{'containerPort':80,'protocol':'TCP'}],"
        "'resources':{'limits':{'cpu':'1','memory':'1Gi'},'requests':{'cpu':'100m','memory':'1Gi'}},"
        "'livenessProbe':{'httpGet':{'path':'/"
        "','port':80,'scheme':'HTTP'},'timeoutSeconds':1,'periodSeconds':10,"
        "'successThreshold':1,'failureThreshold':3},"
        "'terminationMessagePath':'/dev/termination-log','terminationMessagePolicy':'File',"
        "'imagePullPolicy':'Always'}],"
        "'restartPolicy':'Always','terminationGracePeriodSeconds':30,'dnsPolicy':'ClusterFirst',"
        "'serviceAccountName':'sa','serviceAccount':'sa','securityContext':{},"
        "'schedulerName':'default-scheduler','enableServiceLinks':true}");
}

static const char *pull_policy(const char *image, char *out, size_t size)
{
    char text[256];
    snprintf(text, sizeof(text), "{'spec':{'containers':[{'name':'a','image':'%s'}]}}", image);
    json_t *pod = defaulted("", "Pod", text);
    const json_t *container = json_array_get(json_object_get(json_object_get(pod, "spec"), "containers"), 0);
    snprintf(out, size, "%s", json_string_value(json_object_get(container, "imagePullPolicy")));
    json_decref(pod);
    return out;
}

static void test_defaults_pull_policy_follows_the_tag(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"nginx", "Always"},
        {"nginx:latest", "Always"},
        {"localhost:5000/nginx", "Always"},
        {"localhost:5000/nginx:1.25", "IfNotPresent"},
        {"nginx:1", "IfNotPresent"},
        {"nginx@sha256:0123", "IfNotPresent"},
        {"nginx:latest@sha256:0123", "Always"},
        {"nginx:latest2", "IfNotPresent"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char out[32];
        assert_string_equal(pull_policy(cases[i][0], out, sizeof(out)), cases[i][1]);
    }
}

static void test_defaults_host_network_and_fine_amounts(void **state)
{
    (void)state;
    json_t *pod =
        defaulted("", "Pod",
                  "{'spec':{'hostNetwork':true,'containers':[{'name':'a','ports':[{'containerPort':80}],"
                  "'resources':{'requests':{'cpu':'100u','memory':'1Mi'}}}]}}");
    json_t *container = json_array_get(json_object_get(json_object_get(pod, "spec"), "containers"), 0);
    int port = 0;
    const char *cpu = NULL;
    const char *memory = NULL;
    assert_int_equal(json_unpack(container, "{s:[{s:i}],s:{s:{s:s,s:s}}}", "ports", "hostPort", &port,
                                 "resources", "requests", "cpu", &cpu, "memory", &memory),
                     0);
    assert_int_equal(port, 80);
    assert_string_equal(cpu, "1m");
    assert_string_equal(memory, "1Mi");
    json_decref(pod);
}

static void test_defaults_of_services(void **state)
{
    (void)state;
    check("", "Service",
          "{'spec':{'ports':[{'port':80},{'name':'x','port':81,'targetPort':'http','protocol':'UDP'}]}}",
          "spec",
          "{'ports':[{'protocol':'TCP','port':80,'targetPort':80},{'name':'x','protocol':'UDP','port':81,"
          "'targetPort':'http'}],'type':'ClusterIP','sessionAffinity':'None','internalTrafficPolicy':'"
          "Cluster'}");
    check("", "Service", "{'spec':{'type':'NodePort','sessionAffinity':'ClientIP'}}", "spec",
          "{'type':'NodePort','sessionAffinity':'ClientIP','externalTrafficPolicy':'Cluster',"
          "'sessionAffinityConfig':{'clientIP':{'timeoutSeconds':10800}},'internalTrafficPolicy':'Cluster'}");
    check("", "Service", "{'spec':{'type':'LoadBalancer'}}", "spec",
          "{'type':'LoadBalancer','sessionAffinity':'None','externalTrafficPolicy':'Cluster',"
          "'allocateLoadBalancerNodePorts':true,'internalTrafficPolicy':'Cluster'}");
    check("", "Service", "{'spec':{'type':'ExternalName','externalName':'x.org'}}", "spec",
          "{'type':'ExternalName','sessionAffinity':'None','externalName':'x.org'}");
}

static void test_defaults_of_workloads(void **state)
{
    (void)state;
    static const char pod_spec[] =
        "'restartPolicy':'Always','terminationGracePeriodSeconds':30,'dnsPolicy':'ClusterFirst',"
        "'securityContext':{},'schedulerName':'default-scheduler'";
    char want[1024];
    snprintf(want, sizeof(want),
             "{'replicas':1,'selector':{'matchLabels':{'a':'b'}},'template':{'metadata':{},"
             "'spec':{'containers':[{'name':'a','image':'x:1','resources':{},"
             "'terminationMessagePath':'/dev/termination-log','terminationMessagePolicy':'File',"
             "'imagePullPolicy':'IfNotPresent'}],%s}},'strategy':{'type':'RollingUpdate',"
             "'rollingUpdate':{'maxUnavailable':'25%%','maxSurge':'25%%'}},'revisionHistoryLimit':10,"
             "'progressDeadlineSeconds':600}",
             pod_spec);
    check("apps", "Deployment",
          "{'spec':{'selector':{'matchLabels':{'a':'b'}},'template':{'spec':{'containers':[{'name':'a','"
          "image':'x:1'}]}}}}",
          "spec", want);
    snprintf(want, sizeof(want), "{'replicas':0,'template':{'metadata':{},'spec':{%s}}}", pod_spec);
    check("apps", "ReplicaSet", "{'spec':{'replicas':0}}", "spec", want);
    snprintf(want, sizeof(want),
             "{'replicas':1,'template':{'metadata':{},'spec':{%s}},'strategy':{'type':'Recreate'},"
             "'revisionHistoryLimit':10,'progressDeadlineSeconds':600}",
             pod_spec);
    check("apps", "Deployment", "{'spec':{'strategy':{'type':'Recreate'}}}", "spec", want);
}

static void test_defaults_of_other_kinds(void **state)
{
    (void)state;
    json_t *secret = defaulted("", "Secret", "{}");
    assert_string_equal(json_string_value(json_object_get(secret, "type")), "Opaque");
    json_decref(secret);
    check("", "Namespace", "{'metadata':{'name':'x','labels':{'a':'b'}}}", "metadata",
          "{'name':'x','labels':{'a':'b','kubernetes.io/metadata.name':'x'}}");
    check("", "Namespace", "{'metadata':{'name':'x'}}", "status", "{'phase':'Active'}");
    check("", "Node", "{'status':{'capacity':{'cpu':'4'}}}", "status",
          "{'capacity':{'cpu':'4'},'allocatable':{'cpu':'4'},"
          "'daemonEndpoints':{'kubeletEndpoint':{'Port':0}},'nodeInfo':{'machineID':'','systemUUID':'','"
          "bootID':'',"
          "'kernelVersion':'','osImage':'','containerRuntimeVersion':'','kubeletVersion':'','"
          "kubeProxyVersion':'',"
          "'operatingSystem':'','architecture':''}}");
    check("rbac.authorization.k8s.io", "RoleBinding",
          "{'roleRef':{'kind':'Role','name':'r'},'subjects':[{'kind':'User','name':'u'},"
          "{'kind':'ServiceAccount','name':'s','namespace':'n'}]}",
          "roleRef", "{'apiGroup':'rbac.authorization.k8s.io','kind':'Role','name':'r'}");
    json_t *binding =
        defaulted("rbac.authorization.k8s.io", "ClusterRoleBinding",
                  "{'subjects':[{'kind':'Group','name':'g'},{'kind':'ServiceAccount','name':'s'}]}");
    const json_t *subjects = json_object_get(binding, "subjects");
    assert_string_equal(json_string_value(json_object_get(json_array_get(subjects, 0), "apiGroup")),
                        "rbac.authorization.k8s.io");
    assert_null(json_object_get(json_array_get(subjects, 1), "apiGroup"));
    json_decref(binding);
    json_t *slice = defaulted("discovery.k8s.io", "EndpointSlice", "{'ports':[{'port':80}]}");
    json_t *ports = parsed("{'p':[{'name':'','protocol':'TCP','port':80}]}");
    assert_true(json_equal(json_object_get(slice, "ports"), json_object_get(ports, "p")));
    json_decref(slice);
    json_decref(ports);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_defaults_of_a_pod),
    cmocka_unit_test(test_defaults_pull_policy_follows_the_tag),
    cmocka_unit_test(test_defaults_host_network_and_fine_amounts),
    cmocka_unit_test(test_defaults_of_services),
    cmocka_unit_test(test_defaults_of_workloads),
    cmocka_unit_test(test_defaults_of_other_kinds),
};

UNIT_MAIN(tests)
