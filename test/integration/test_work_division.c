/*
 * The controllers and schedulers of two nodes over one API: each does its part of the work and no more, and
 * the one that is left does all of it. The chain between the two is left out: both see the same state at
 * once.
 */
#include "api_fixture.h"

#include "base/clock.h"
#include "client/kube.h"
#include "controller/manager.h"
#include "scheduler/scheduler.h"

#include <stdarg.h>
#include <stdatomic.h>

#define NODES 2
#define TIMEOUT_US 20000000LL

/* A client that believes what the test says of the other nodes. */
struct member {
    struct client *client;
    struct client_ops ops;
    const struct client_ops *real;
    client_members_fn fn;
    void *arg;
    int index;
    atomic_int writes, refused;
};

struct nodes {
    struct api_fixture api;
    struct member controller[NODES], scheduler[NODES];
    struct manager *managers[NODES];
    struct scheduler *schedulers[NODES];
    atomic_bool live[NODES];
    atomic_bool merging;
};

static struct nodes n;

/* Until the next call. */
__attribute__((format(printf, 1, 2))) static const char *jtext(const char *format, ...)
{
    static char text[4096];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    for (char *p = text; *p; p++)
        *p = *p == '\'' ? '"' : *p;
    return text;
}

static struct member *member_of(struct client *client)
{
    for (int i = 0; i < NODES; i++) {
        if (n.controller[i].client == client)
            return &n.controller[i];
        if (n.scheduler[i].client == client)
            return &n.scheduler[i];
    }
    fail_msg("no such client");
    return NULL;
}

static int member_request(struct client *client, const struct client_request *request, json_t **out,
                          struct err *err)
{
    struct member *m = member_of(client);
    int rc = m->real->request(client, request, out, err);
    bool event = !strcmp(request->resource.resource, "events");
    if (request->verb != CLIENT_GET && request->verb != CLIENT_LIST && !event) {
        m->writes++;
        m->refused += rc == ERR_EXISTS || rc == ERR_CONFLICT;
    }
    return rc;
}

static bool member_owns(struct client *client, const void *work, size_t len)
{
    struct member *m = member_of(client);
    uint64_t h = 14695981039346656037ULL;
    for (size_t i = 0; i < len; i++)
        h = (h ^ ((const uint8_t *)work)[i]) * 1099511628211ULL;
    int owner = (int)(h >> 32) & 1;
    return m->index == (n.live[owner] ? owner : 1 - owner);
}

static enum client_liveness member_liveness(struct client *client, const char *node)
{
    (void)client;
    if (!strncmp(node, "node-", 5) && node[5] >= '0' && node[5] < '0' + NODES)
        return n.live[node[5] - '0'] ? CLIENT_LIVE : CLIENT_DOWN;
    return CLIENT_LIVENESS_UNKNOWN;
}

static void member_on_members(struct client *client, client_members_fn fn, void *arg)
{
    struct member *m = member_of(client);
    m->fn = fn;
    m->arg = arg;
}

static bool member_settled(struct client *client)
{
    (void)client;
    return !n.merging;
}

static void member_open(struct member *m, int index, const char *user)
{
    m->index = index;
    m->client = api_local_client(n.api.server, user, api_masters, 2);
    m->real = m->client->ops;
    m->ops = *m->real;
    m->ops.request = member_request;
    m->ops.owns = member_owns;
    m->ops.liveness = member_liveness;
    m->ops.on_members = member_on_members;
    m->ops.settled = member_settled;
    m->client->ops = &m->ops;
}

static void tell_members(void)
{
    for (int i = 0; i < NODES; i++) {
        if (n.controller[i].fn)
            n.controller[i].fn(n.controller[i].arg);
        if (n.scheduler[i].fn)
            n.scheduler[i].fn(n.scheduler[i].arg);
    }
}

static void add_node(const char *name)
{
    api_do(&n.api, 201, API_CREATE, "nodes", "", "",
           jtext("{'apiVersion':'v1','kind':'Node','metadata':{'name':'%s'}}", name));
    n.api.extra.content_type = "application/merge-patch+json";
    api_do(&n.api, 200, API_PATCH, "nodes/status", "", name,
           "{\"status\":{\"allocatable\":{\"cpu\":\"4\",\"memory\":\"8Gi\",\"pods\":\"110\"},\"conditions\":"
           "[{\"type\":\"Ready\",\"status\":\"True\",\"reason\":\"KubeletReady\"}]}}");
}

static void node_start(int i)
{
    char name[] = "node-0";
    name[5] = (char)('0' + i);
    struct manager_options options = {
        .client = n.controller[i].client, .ca_pem = "CA", .node_name = name, .node_grace_us = 300000};
    struct err err = {0};
    if (manager_start(&n.managers[i], &options, &err) ||
        scheduler_start(&n.schedulers[i], n.scheduler[i].client, &err))
        fail_msg("%s", err.message);
}

/* As kill -9 does; the others do not know of it yet. */
static void node_end(int i)
{
    manager_stop(n.managers[i]);
    scheduler_stop(n.schedulers[i]);
    n.managers[i] = NULL;
    n.schedulers[i] = NULL;
}

static int open_nodes(void **state)
{
    (void)state;
    memset(&n, 0, sizeof(n));
    api_fixture_open(&n.api);
    for (int i = 0; i < NODES; i++) {
        n.live[i] = true;
        member_open(&n.controller[i], i, "system:kube-controller-manager");
        member_open(&n.scheduler[i], i, "system:kube-scheduler");
    }
    add_node("node-0");
    add_node("node-1");
    for (int i = 0; i < NODES; i++)
        node_start(i);
    return 0;
}

static int close_nodes(void **state)
{
    (void)state;
    for (int i = 0; i < NODES; i++) {
        if (n.managers[i])
            node_end(i);
        api_local_client_free(n.controller[i].client);
        api_local_client_free(n.scheduler[i].client);
    }
    api_fixture_close(&n.api);
    return 0;
}

static json_t *items(const char *resource, const char *namespace)
{
    json_t *list = api_ok(&n.api, 200, API_LIST, resource, namespace, "", NULL);
    json_t *array = json_incref(json_at(list, "items"));
    json_decref(list);
    return array;
}

static bool account_exists(void)
{
    json_auto_t *accounts = items("serviceaccounts", "default");
    return json_array_size(accounts) > 0;
}

static size_t bound_pods(void)
{
    json_auto_t *pods = items("pods", "default");
    size_t i, bound = 0;
    json_t *pod;
    json_array_foreach(pods, i, pod) bound += *json_str_or_empty(pod, "spec", "nodeName") != '\0';
    return bound;
}

#define eventually(condition)                          \
    do {                                               \
        int64_t until_ = clock_mono_us() + TIMEOUT_US; \
        while (!(condition)) {                         \
            if (clock_mono_us() > until_)              \
                fail_msg("never: %s", #condition);     \
            usleep(5000);                              \
        }                                              \
    } while (0)

static void create_deployments(const char *prefix, int count)
{
    eventually(account_exists());
    for (int i = 0; i < count; i++)
        api_do(
            &n.api, 201, API_CREATE, "deployments", "default", "",
            jtext("{'apiVersion':'apps/v1','kind':'Deployment','metadata':{'name':'%s%d'},'spec':{'replicas':"
                  "2,'selector':{'matchLabels':{'app':'%s%d'}},'template':{'metadata':{'labels':{'app':'%s%d'"
                  "}},'spec':{'containers':[{'name':'c','image':'i'}]}}}}",
                  prefix, i, prefix, i, prefix, i));
}

static void test_each_does_its_part(void **state)
{
    (void)state;
    create_deployments("d", 8);
    eventually(bound_pods() == 16);
    for (int i = 0; i < NODES; i++)
        assert_true(manager_settle(n.managers[i], 20000));
    json_auto_t *pods = items("pods", "default");
    json_auto_t *sets = items("replicasets", "default");
    assert_int_equal(json_array_size(pods), 16);
    assert_int_equal(json_array_size(sets), 8);
    for (int i = 0; i < NODES; i++) {
        assert_true(n.controller[i].writes > 8);
        assert_true(n.scheduler[i].writes > 0);
    }
    /* Nobody did what the other had done: no binding was refused, nothing existed already. */
    assert_int_equal(n.scheduler[0].refused + n.scheduler[1].refused, 0);
    assert_int_equal(n.scheduler[0].writes + n.scheduler[1].writes, 16);
}

static void test_the_one_that_is_left_does_all(void **state)
{
    (void)state;
    eventually(account_exists());
    assert_true(manager_settle(n.managers[0], 20000));
    node_end(1);
    create_deployments("d", 8);
    usleep(300000);
    size_t before = bound_pods();
    assert_true(before < 16); /* the work of the other is left alone while it counts as live */
    n.live[1] = false;
    int64_t started = clock_mono_us();
    tell_members();
    eventually(bound_pods() == 16);
    assert_true(clock_mono_us() - started < 10000000);
}

static void test_one_that_comes_takes_its_part(void **state)
{
    (void)state;
    n.live[1] = false;
    node_end(1);
    tell_members();
    create_deployments("d", 4);
    eventually(bound_pods() == 8);
    node_start(1);
    n.live[1] = true;
    tell_members();
    assert_true(manager_settle(n.managers[0], 20000));
    assert_true(manager_settle(n.managers[1], 20000));
    int writes = n.controller[1].writes;
    create_deployments("e", 8);
    eventually(bound_pods() == 24);
    assert_true(n.controller[1].writes > writes);
    json_auto_t *pods = items("pods", "default");
    assert_int_equal(json_array_size(pods), 24);
}

/* While histories are merged, what is missing may be on its way back: nobody makes it anew. */
static void test_nobody_acts_while_histories_merge(void **state)
{
    (void)state;
    eventually(account_exists());
    for (int i = 0; i < NODES; i++)
        assert_true(manager_settle(n.managers[i], 20000));
    n.merging = true;
    create_deployments("d", 4);
    usleep(200000);
    json_auto_t *sets = items("replicasets", "default");
    assert_int_equal(json_array_size(sets), 0);
    n.merging = false;
    eventually(bound_pods() == 8);
    n.merging = true; /* a stop does not wait for the end of it */
    create_deployments("e", 4);
}

/* Owners that are deleted leave nothing, whichever node collects; and both forget them. */
static void test_garbage_of_both(void **state)
{
    (void)state;
    create_deployments("d", 8);
    eventually(bound_pods() == 16);
    for (int i = 0; i < 8; i++)
        api_do(&n.api, 200, API_DELETE, "deployments", "default", jtext("d%d", i),
               "{\"propagationPolicy\":\"Background\"}");
    json_t *left = NULL;
    eventually((json_decref(left), left = items("replicasets", "default"), json_array_size(left) == 0));
    json_decref(left);
}

static bool node_is(const char *name, const char *ready, bool evicts)
{
    json_auto_t *node = api_ok(&n.api, 200, API_GET, "nodes", "", name, NULL);
    size_t i;
    json_t *taint;
    bool tainted = false;
    json_array_foreach(json_at(node, "spec", "taints"), i, taint) tainted |=
        !strcmp(json_str_or_empty(taint, "key"), "node.kubernetes.io/unreachable") &&
        !strcmp(json_str_or_empty(taint, "effect"), "NoExecute");
    return !strcmp(kube_condition_status(node, "Ready"), ready) && tainted == evicts;
}

static void test_a_node_out_of_reach_is_lost_and_found(void **state)
{
    (void)state;
    usleep(500000); /* longer than the grace: a live node needs no heartbeat */
    assert_true(node_is("node-1", "True", false));
    node_end(1);
    n.live[1] = false;
    tell_members();
    eventually(node_is("node-1", "Unknown", true));
    assert_true(node_is("node-0", "True", false));
    n.live[1] = true;
    node_start(1);
    tell_members();
    n.api.extra.content_type = "application/strategic-merge-patch+json"; /* its kubelet says so */
    api_do(&n.api, 200, API_PATCH, "nodes/status", "", "node-1",
           "{\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}]}}");
    eventually(node_is("node-1", "True", false));
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(test_each_does_its_part, open_nodes, close_nodes),
    cmocka_unit_test_setup_teardown(test_the_one_that_is_left_does_all, open_nodes, close_nodes),
    cmocka_unit_test_setup_teardown(test_one_that_comes_takes_its_part, open_nodes, close_nodes),
    cmocka_unit_test_setup_teardown(test_nobody_acts_while_histories_merge, open_nodes, close_nodes),
    cmocka_unit_test_setup_teardown(test_garbage_of_both, open_nodes, close_nodes),
    cmocka_unit_test_setup_teardown(test_a_node_out_of_reach_is_lost_and_found, open_nodes, close_nodes),
};
UNIT_MAIN(tests)
