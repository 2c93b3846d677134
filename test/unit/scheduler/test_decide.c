/* Where pods go, and the words when they go nowhere. */
#include "json_text.h"

#include "codec/json.h"
#include "scheduler/decide.h"

static void add_node(struct sched_model *m, const char *name, const char *spec, const char *labels)
{
    json_auto_t *node =
        jq("{'metadata':{'name':'%s','labels':%s},'spec':%s,'status':{'allocatable':{'cpu':'4',"
           "'memory':'8Gi','pods':'110','ephemeral-storage':'100Gi'}}}",
           name, labels, spec);
    assert_true(sched_model_set_node(m, node));
    assert_false(sched_model_set_node(m, node));
}

/* A pod with this spec (its first container's resources apart), on a node or none. */
static json_t *pod_of(const char *name, const char *node, const char *cpu, const char *labels,
                      const char *extra)
{
    return jq(
        "{'metadata':{'name':'%s','namespace':'default','uid':'%s','labels':%s},'spec':{%s'nodeName':'%s',"
        "'containers':[{'name':'c','resources':{'requests':{'cpu':'%s'}}}]}}",
        name, name, labels, extra, node, cpu);
}

static void place(struct sched_model *m, const char *name, const char *node, const char *cpu,
                  const char *labels, const char *extra)
{
    json_auto_t *pod = pod_of(name, node, cpu, labels, extra);
    sched_model_set_pod(m, pod);
}

/* The node for a pod, or the message. The caller frees it. */
static char *decide(const struct sched_model *m, const json_t *pod)
{
    struct sched_decision decision;
    sched_decide(&decision, m, pod);
    return decision.node ? strdup(decision.node->name) : decision.message;
}

#define assert_decides(model, expected, cpu, labels, extra)        \
    do {                                                           \
        json_auto_t *pod_ = pod_of("new", "", cpu, labels, extra); \
        char *got_ = decide(model, pod_);                          \
        assert_string_equal(got_, expected);                       \
        free(got_);                                                \
    } while (0)

static void test_no_nodes(void **state)
{
    (void)state;
    struct sched_model m;
    sched_model_init(&m);
    assert_decides(&m, "no nodes available to schedule pods", "1", "{}", "");
    sched_model_free(&m);
}

static void test_resources(void **state)
{
    (void)state;
    struct sched_model m;
    sched_model_init(&m);
    add_node(&m, "n1", "{}", "{}");
    assert_decides(&m, "n1", "4", "{}", "");
    assert_decides(&m,
                   "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: "
                   "0/1 nodes are available: 1 Preemption is "
                   "not helpful for scheduling.",
                   "5", "{}", "");
    place(&m, "a", "n1", "3", "{}", "");
    assert_decides(&m,
                   "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: "
                   "0/1 nodes are available: 1 No preemption "
                   "victims found for incoming pod.",
                   "2", "{}", "");
    assert_decides(&m, "n1", "1", "{}", "");
    assert_true(sched_model_remove_pod(&m, "default/a"));
    assert_decides(&m, "n1", "2", "{}", "");
    assert_false(sched_model_remove_pod(&m, "default/a"));
    sched_model_free(&m);
}

static void test_init_containers_and_extended_resources(void **state)
{
    (void)state;
    struct sched_model m;
    sched_model_init(&m);
    add_node(&m, "n1", "{}", "{}");
    json_auto_t *pod =
        jq("{'metadata':{'name':'p','namespace':'default'},'spec':{'initContainers':["
           "{'resources':{'requests':{'cpu':'2'}}},"
           "{'restartPolicy':'Always','resources':{'requests':{'cpu':'500m'}}},"
           "{'resources':{'requests':{'cpu':'3'}}}],"
           "'containers':[{'resources':{'requests':{'cpu':'1','memory':'1Gi','example.com/gpu':'2'}}}],"
           "'overhead':{'cpu':'100m'}}}");
    struct sched_resources r;
    int64_t cpu, memory;
    sched_requests(pod, &r, &cpu, &memory);
    assert_int_equal(r.cpu_milli, 3600); /* the last init container beside the sidecar, and the overhead */
    assert_int_equal(r.memory, 1LL << 30);
    assert_int_equal(json_int_or(0, r.extended, "example.com/gpu"), 2);
    sched_resources_free(&r);
    char *message = decide(&m, pod);
    assert_string_equal(message, "0/1 nodes are available: 1 Insufficient example.com/gpu. no new claims to "
                                 "deallocate, preemption: 0/1 nodes are "
                                 "available: 1 Preemption is not helpful for scheduling.");
    free(message);
    sched_model_free(&m);
}

static void test_reasons_are_counted_and_sorted(void **state)
{
    (void)state;
    struct sched_model m;
    sched_model_init(&m);
    add_node(&m, "n1", "{'unschedulable':true}", "{}");
    add_node(&m, "n2", "{'taints':[{'key':'a','value':'b','effect':'NoSchedule'}]}", "{}");
    add_node(&m, "n3", "{}", "{}");
    add_node(&m, "n4", "{}", "{'disk':'ssd'}");
    place(&m, "a", "n4", "4", "{}", "");
    assert_decides(
        &m,
        "0/4 nodes are available: 1 Insufficient cpu, 1 node(s) didn't match Pod's node affinity/selector, "
        "1 node(s) had untolerated taint(s), 1 node(s) were unschedulable. no new claims to deallocate, "
        "preemption: 0/4 nodes are "
        "available: 1 No preemption victims found for incoming pod, 3 Preemption is not helpful for "
        "scheduling.",
        "1", "{}", "'nodeSelector':{'disk':'ssd'},");
    assert_decides(&m, "n2", "1", "{}",
                   "'tolerations':[{'key':'a','operator':'Exists'}],'affinity':{'nodeAffinity':{"
                   "'requiredDuringSchedulingIgnoredDuringExecution':{'nodeSelectorTerms':[{'matchFields':[{"
                   "'key':'metadata.name','operator':'In','values':['n2']}]}]}}},");
    sched_model_free(&m);
}

static void test_node_affinity_operators(void **state)
{
    (void)state;
    static const struct {
        const char *requirement;
        bool matches;
    } cases[] = {
        {"{'key':'disk','operator':'In','values':['ssd','hdd']}", true},
        {"{'key':'disk','operator':'NotIn','values':['ssd']}", false},
        {"{'key':'none','operator':'NotIn','values':['ssd']}", true},
        {"{'key':'disk','operator':'Exists'}", true},
        {"{'key':'disk','operator':'DoesNotExist'}", false},
        {"{'key':'size','operator':'Gt','values':['9']}", true},
        {"{'key':'size','operator':'Lt','values':['10']}", false},
        {"{'key':'disk','operator':'Gt','values':['9']}", false},
    };
    struct sched_model m;
    sched_model_init(&m);
    add_node(&m, "n1", "{}", "{'disk':'ssd','size':'10'}");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        json_auto_t *term = jq("{'matchExpressions':[%s]}", cases[i].requirement);
        assert_int_equal(sched_term_matches(m.nodes[0], term), cases[i].matches);
    }
    json_auto_t *empty = json_object();
    assert_false(sched_term_matches(m.nodes[0], empty));
    sched_model_free(&m);
}

static void test_host_ports(void **state)
{
    (void)state;
    struct sched_model m;
    sched_model_init(&m);
    add_node(&m, "n1", "{}", "{}");
    json_auto_t *a =
        jq("{'metadata':{'name':'a','namespace':'default'},'spec':{'nodeName':'n1','containers':[{'ports':["
           "{'containerPort':80,'hostPort':80,'hostIP':'127.0.0.1'}]}]}}");
    sched_model_set_pod(&m, a);
    json_auto_t *b = jq("{'metadata':{'name':'b','namespace':'default'},'spec':{'containers':[{'ports':["
                        "{'containerPort':80,'hostPort':80}]}]}}");
    char *message = decide(&m, b);
    assert_string_equal(
        message, "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports. "
                 "no new claims to deallocate, preemption: 0/1 nodes are available: 1 No preemption victims "
                 "found for incoming pod.");
    free(message);
    json_t *port =
        json_array_get(json_object_get(json_array_get(json_at(b, "spec", "containers"), 0), "ports"), 0);
    json_set_str(port, "hostIP", "127.0.0.2");
    message = decide(&m, b);
    assert_string_equal(message, "n1");
    free(message);
    sched_model_free(&m);
}

#define TERM(app) "[{'topologyKey':'zone','labelSelector':{'matchLabels':{'app':'" app "'}}}]"
#define REQUIRED(kind, app) \
    "'affinity':{'" kind "':{'requiredDuringSchedulingIgnoredDuringExecution':" TERM(app) "}},"

static void three_zones(struct sched_model *m)
{
    sched_model_init(m);
    add_node(m, "n1", "{}", "{'zone':'a'}");
    add_node(m, "n2", "{}", "{'zone':'b'}");
    add_node(m, "n3", "{}", "{}");
}

static void test_pod_affinity(void **state)
{
    (void)state;
    struct sched_model m;
    three_zones(&m);
    place(&m, "db", "n2", "1", "{'app':'db'}", "");
    assert_decides(&m, "n2", "1", "{'app':'web'}", REQUIRED("podAffinity", "db"));
    assert_decides(&m,
                   "0/3 nodes are available: 3 node(s) didn't match pod affinity rules. no new claims to "
                   "deallocate, preemption: 0/3 nodes are "
                   "available: 3 Preemption is not helpful for scheduling.",
                   "1", "{'app':'web'}", REQUIRED("podAffinity", "cache"));
    /* The first of a group that wants to be together may go to any zone. */
    json_auto_t *first = pod_of("new", "", "1", "{'app':'cache'}", REQUIRED("podAffinity", "cache"));
    char *node = decide(&m, first);
    assert_true(!strcmp(node, "n1") || !strcmp(node, "n2"));
    free(node);
    sched_model_free(&m);
}

static void test_pod_anti_affinity(void **state)
{
    (void)state;
    struct sched_model m;
    three_zones(&m);
    add_node(&m, "n4", "{'unschedulable':true}", "{}");
    place(&m, "w1", "n1", "1", "{'app':'web'}", REQUIRED("podAntiAffinity", "web"));
    place(&m, "fill", "n3", "4", "{}", "");
    assert_decides(&m, "n2", "1", "{'app':'web'}", REQUIRED("podAntiAffinity", "web"));
    /* It also holds against a pod that asks for nothing itself. */
    place(&m, "fill2", "n2", "4", "{}", "");
    assert_decides(
        &m,
        "0/4 nodes are available: 1 node(s) didn't satisfy existing pods anti-affinity rules, 1 node(s) were "
        "unschedulable, 2 Insufficient cpu. no new claims to deallocate, preemption: 0/4 nodes are "
        "available: 1 Preemption is not helpful "
        "for scheduling, 3 No preemption victims found for incoming pod.",
        "1", "{'app':'web'}", "");
    sched_model_free(&m);
}

static void test_topology_spread(void **state)
{
    (void)state;
    struct sched_model m;
    three_zones(&m);
    static const char spread[] =
        "'topologySpreadConstraints':[{'maxSkew':1,'topologyKey':'zone','whenUnsatisfiable':"
        "'DoNotSchedule','labelSelector':{'matchLabels':{'app':'web'}}}],";
    place(&m, "w1", "n1", "100m", "{'app':'web'}", "");
    assert_decides(&m, "n2", "100m", "{'app':'web'}", spread);
    place(&m, "fill", "n2", "4", "{}", "");
    assert_decides(
        &m,
        "0/3 nodes are available: 1 Insufficient cpu, 1 node(s) didn't match pod topology spread "
        "constraints, 1 node(s) didn't match pod topology spread constraints (missing required label). "
        "no new claims to deallocate, preemption: 0/3 nodes are available: 1 Preemption is not helpful for "
        "scheduling, 2 No preemption "
        "victims found for incoming pod.",
        "100m", "{'app':'web'}", spread);
    sched_model_free(&m);
}

static void test_scores(void **state)
{
    (void)state;
    struct sched_model m;
    sched_model_init(&m);
    add_node(&m, "busy", "{}", "{}");
    add_node(&m, "free", "{}", "{'disk':'ssd'}");
    place(&m, "a", "busy", "3", "{}", "");
    assert_decides(&m, "free", "500m", "{}", "");
    add_node(&m, "soft", "{'taints':[{'key':'x','effect':'PreferNoSchedule'}]}", "{}");
    place(&m, "b", "free", "1", "{}", "");
    assert_decides(&m, "free", "500m", "{}", ""); /* the emptiest one asks not to be used */
    sched_model_remove_node(&m, "soft");
    place(&m, "c", "free", "1500m", "{}", "");
    place(&m, "a", "busy", "2", "{}", "");
    assert_decides(
        &m, "free", "500m", "{}",
        "'affinity':{'nodeAffinity':{'preferredDuringSchedulingIgnoredDuringExecution':[{'weight':1,"
        "'preference':{'matchExpressions':[{'key':'disk','operator':'Exists'}]}}]}},");
    sched_model_free(&m);
}

/* The pods of one controller spread over equal nodes, and the same question has the same answer. */
static void test_spreads_and_repeats(void **state)
{
    (void)state;
    struct sched_model m;
    sched_model_init(&m);
    add_node(&m, "n1", "{}", "{}");
    add_node(&m, "n2", "{}", "{}");
    add_node(&m, "n3", "{}", "{}");
    int on[3] = {0};
    for (int i = 0; i < 9; i++) {
        json_auto_t *pod =
            jq("{'metadata':{'name':'p%d','namespace':'default','uid':'u%d','ownerReferences':[{"
               "'controller':true,'uid':'rs'}]},'spec':{'containers':[{}]}}",
               i, i);
        char *first = decide(&m, pod), *second = decide(&m, pod);
        assert_string_equal(first, second);
        on[first[1] - '1']++;
        sched_model_assume(&m, pod, first);
        free(first);
        free(second);
    }
    assert_true(on[0] == 3 && on[1] == 3 && on[2] == 3);
    sched_model_unassume(&m, "default/p0", "another uid");
    assert_non_null(sched_model_pod(&m, "default/p0"));
    sched_model_unassume(&m, "default/p0", "u0");
    assert_null(sched_model_pod(&m, "default/p0"));
    sched_model_free(&m);
}

static void test_node_that_comes_later_knows_its_pods(void **state)
{
    (void)state;
    struct sched_model m;
    sched_model_init(&m);
    for (int i = 0; i < 200; i++) {
        char name[16];
        snprintf(name, sizeof(name), "p%d", i);
        place(&m, name, "n1", "10m", "{}", "");
    }
    add_node(&m, "n1", "{}", "{}");
    assert_int_equal(m.nodes[0]->pod_count, 200);
    assert_int_equal(m.nodes[0]->requested.cpu_milli, 2000);
    assert_decides(&m,
                   "0/1 nodes are available: 1 Too many pods. no new claims to deallocate, preemption: 0/1 "
                   "nodes are available: 1 No preemption "
                   "victims found for incoming pod.",
                   "10m", "{}", "");
    sched_model_free(&m);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_no_nodes),
    cmocka_unit_test(test_resources),
    cmocka_unit_test(test_init_containers_and_extended_resources),
    cmocka_unit_test(test_reasons_are_counted_and_sorted),
    cmocka_unit_test(test_node_affinity_operators),
    cmocka_unit_test(test_host_ports),
    cmocka_unit_test(test_pod_affinity),
    cmocka_unit_test(test_pod_anti_affinity),
    cmocka_unit_test(test_topology_spread),
    cmocka_unit_test(test_scores),
    cmocka_unit_test(test_spreads_and_repeats),
    cmocka_unit_test(test_node_that_comes_later_knows_its_pods),
};
UNIT_MAIN(tests)
