/* Which network each node's pods get. */
#include "fake_client.h"
#include "unit.h"

#include "kubelet/pod_network.h"

static struct fake_client *api;

static int open_api(void **state)
{
    (void)state;
    api = fake_client_new();
    return 0;
}

static int close_api(void **state)
{
    (void)state;
    fake_client_free(api);
    return 0;
}

static void claims(const char *node, const char *cluster, const char *wanted)
{
    char network[POD_NETWORK_MAX];
    struct err err = {0};
    if (pod_network_claim(network, &api->base, node, cluster, &err))
        fail_msg("%s", err.message);
    assert_string_equal(network, wanted);
    json_auto_t *object = NULL;
    assert_int_equal(client_get(&api->base, &kube_nodes, NULL, node, &object, &err), 0);
    assert_string_equal(json_str_or_empty(object, "spec", "podCIDR"), wanted);
}

static json_t *lease_of(const char *name)
{
    json_t *lease = NULL;
    client_get(&api->base, &kube_leases, "kube-node-lease", name, &lease, NULL);
    return lease;
}

static void put(const struct client_resource *resource, const char *namespace, json_t *object)
{
    struct err err = {0};
    if (client_create(&api->base, resource, namespace, object, NULL, &err))
        fail_msg("%s", err.message);
    json_decref(object);
}

static void put_node(const char *name, const char *network)
{
    put(&kube_nodes, NULL,
        json_pack("{s:{s:s}, s:{s:s}}", "metadata", "name", name, "spec", "podCIDR", network));
}

static void test_each_has_its_own(void **state)
{
    (void)state;
    claims("a", "10.42.0.0/16", "10.42.0.0/24");
    claims("b", "10.42.0.0/16", "10.42.1.0/24");
    int version = api->version;
    claims("a", "10.42.0.0/16", "10.42.0.0/24"); /* its next start */
    claims("b", "10.42.0.0/16", "10.42.1.0/24");
    assert_int_equal(api->version, version); /* wrote nothing */
    json_auto_t *lease = lease_of("pods-10.42.1.0-24");
    assert_string_equal(json_str_or_empty(lease, "spec", "holderIdentity"), "b");
    const json_t *owner = json_array_get(json_at(lease, "metadata", "ownerReferences"), 0);
    json_auto_t *node = NULL;
    assert_int_equal(client_get(&api->base, &kube_nodes, NULL, "b", &node, NULL), 0);
    assert_string_equal(json_str_or_empty(owner, "uid"), kube_uid(node));
}

/* A node from before there were Leases keeps what it has, also when others come first. */
static void test_older_nodes_keep_theirs(void **state)
{
    (void)state;
    put_node("old", "10.42.0.0/24");
    claims("new", "10.42.0.0/16", "10.42.1.0/24");
    assert_null(lease_of("pods-10.42.0.0-24"));
    claims("old", "10.42.0.0/16", "10.42.0.0/24");
    json_auto_t *lease = lease_of("pods-10.42.0.0-24");
    assert_string_equal(json_str_or_empty(lease, "spec", "holderIdentity"), "old");
}

static void test_what_is_left_over_is_taken(void **state)
{
    (void)state;
    claims("a", "10.42.0.0/16", "10.42.0.0/24");
    claims("b", "10.42.0.0/16", "10.42.1.0/24");
    assert_int_equal(client_delete(&api->base, &kube_nodes, NULL, "a", NULL, NULL), 0);
    claims("c", "10.42.0.0/16", "10.42.0.0/24");
    json_auto_t *lease = lease_of("pods-10.42.0.0-24");
    assert_string_equal(json_str_or_empty(lease, "spec", "holderIdentity"), "c");
    claims("a", "10.42.0.0/16", "10.42.2.0/24"); /* it comes back */
    /* A start that ended between the Lease and the Node takes up its own Lease. */
    assert_int_equal(client_delete(&api->base, &kube_nodes, NULL, "b", NULL, NULL), 0);
    claims("b", "10.42.0.0/16", "10.42.1.0/24");
}

/* Two parts of a cluster gave 10.42.0.0/24 away; after the merge it is b's. */
static void test_a_network_that_became_anothers(void **state)
{
    (void)state;
    claims("b", "10.42.0.0/16", "10.42.0.0/24");
    put_node("a", "10.42.0.0/24");
    put(&kube_pods, "d", json_pack("{s:{s:s}, s:{s:s}}", "metadata", "name", "p", "spec", "nodeName", "a"));
    claims("a", "10.42.0.0/16", "10.42.0.0/24"); /* its pods would lose their addresses */
    json_decref(fake_take_out(api, "pods", "d", "p"));
    claims("a", "10.42.0.0/16", "10.42.1.0/24");
    claims("b", "10.42.0.0/16", "10.42.0.0/24");
}

static void test_no_network_is_left(void **state)
{
    (void)state;
    char network[POD_NETWORK_MAX];
    struct err err = {0};
    claims("a", "10.42.6.0/23", "10.42.6.0/24");
    claims("b", "10.42.6.0/23", "10.42.7.0/24");
    assert_int_equal(pod_network_claim(network, &api->base, "c", "10.42.6.0/23", &err), ERR_UNAVAILABLE);
    assert_string_equal(err.message,
                        "find a network for the pods of node c: no network is left for the pods of "
                        "node c");
    static const char *const bad[] = {"10.42.0.0/25", "10.42.0.0", "x", "10.42.0.0/16x", "300.0.0.0/8"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(pod_network_claim(network, &api->base, "c", bad[i], &err), ERR_INVALID);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(test_each_has_its_own, open_api, close_api),
    cmocka_unit_test_setup_teardown(test_older_nodes_keep_theirs, open_api, close_api),
    cmocka_unit_test_setup_teardown(test_what_is_left_over_is_taken, open_api, close_api),
    cmocka_unit_test_setup_teardown(test_a_network_that_became_anothers, open_api, close_api),
    cmocka_unit_test_setup_teardown(test_no_network_is_left, open_api, close_api),
};
UNIT_MAIN(tests)
