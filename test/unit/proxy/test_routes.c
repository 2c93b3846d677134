/* The routes to the pods of other nodes: that the kernel has those that the Nodes ask for, and no others. */
#include "fake_client.h"
#include "net_fixture.h"

#include "proxy/routes.h"

#define METRIC 70000

static struct fake_client *api;

static void put_node(const char *name, const char *cidr, const char *ip)
{
    struct err err = {0};
    json_auto_t *node =
        json_pack("{s:s, s:s, s:{s:s, s:s}, s:{s:s}, s:{s:[{s:s, s:s}]}}", "apiVersion", "v1", "kind", "Node",
                  "metadata", "name", name, "creationTimestamp", "2026-01-01T00:00:00Z", "spec", "podCIDR",
                  cidr, "status", "addresses", "type", "InternalIP", "address", ip);
    int rc = client_create(&api->base, &kube_nodes, NULL, node, NULL, &err);
    if (rc == ERR_EXISTS)
        rc = client_update(&api->base, &kube_nodes, NULL, node, NULL, &err);
    if (rc)
        fail_msg("%s", err.message);
}

static void remove_node(const char *name)
{
    assert_int_equal(client_delete(&api->base, &kube_nodes, NULL, name, NULL, NULL), 0);
}

/* All routes with the metric, as "NETWORK/BITS>GATEWAY" in any order. */
static bool routes_are(size_t wanted, const char *const *texts)
{
    struct err err = {0};
    struct route *routes = NULL;
    size_t count, found = 0;
    if (routes_netlink_list(METRIC, &routes, &count, &err))
        fail_msg("%s", err.message);
    for (size_t i = 0; i < count; i++) {
        char text[64], a[INET_ADDRSTRLEN], b[INET_ADDRSTRLEN];
        struct in_addr network = {htonl(routes[i].network)}, gateway = {htonl(routes[i].gateway)};
        snprintf(text, sizeof(text), "%s/%d>%s", inet_ntop(AF_INET, &network, a, sizeof(a)), routes[i].bits,
                 inet_ntop(AF_INET, &gateway, b, sizeof(b)));
        for (size_t k = 0; k < wanted; k++)
            found += !strcmp(text, texts[k]);
    }
    free(routes);
    return count == wanted && found == wanted;
}

#define become(...)                                                 \
    do {                                                            \
        const char *const texts_[] = {__VA_ARGS__, NULL};           \
        size_t n_ = sizeof(texts_) / sizeof(texts_[0]) - 1, i_ = 0; \
        while (n_ && !texts_[n_ - 1])                               \
            n_--;                                                   \
        for (; !routes_are(n_, texts_); i_++) {                     \
            if (i_ == 4000)                                         \
                net_run("ip route show; false");                    \
            usleep(5000);                                           \
        }                                                           \
    } while (0)

static struct routes *start(void)
{
    struct err err = {0};
    struct routes *routes;
    struct routes_options options = {
        .client = &api->base, .node_name = "me", .cluster_cidr = "10.42.0.0/16", .metric = METRIC};
    if (routes_start(&routes, &options, &err))
        fail_msg("%s", err.message);
    return routes;
}

static void test_routes_follow_nodes(void **state)
{
    (void)state;
    if (!net_isolate())
        skip();
    net_run("ip addr add 192.0.2.1/24 dev pods && ip route add 10.42.9.0/24 via 192.0.2.99 metric 5");
    api = fake_client_new();
    put_node("me", "10.42.0.0/24", "192.0.2.1");
    put_node("a", "10.42.1.0/24", "192.0.2.11");
    put_node("neighbour", "10.42.2.0/24", "192.0.2.1"); /* on this host */
    put_node("loop", "10.42.3.0/24", "127.0.0.2");      /* as well */
    put_node("evil", "0.0.0.0/0", "192.0.2.66");        /* not the cluster's to give */
    put_node("wide", "10.0.0.0/8", "192.0.2.67");
    put_node("bad", "10.42.4.0/24; x", "192.0.2.68");
    put_node("young", "", "192.0.2.69");
    struct routes *routes = start();
    become("10.42.1.0/24>192.0.2.11");

    put_node("b", "10.42.5.0/24", "192.0.2.12");
    become("10.42.1.0/24>192.0.2.11", "10.42.5.0/24>192.0.2.12");
    put_node("b", "10.42.5.0/24", "192.0.2.13"); /* it moved */
    remove_node("a");
    become("10.42.5.0/24>192.0.2.13");

    /* They outlive us, and what changed meanwhile is noticed. */
    routes_stop(routes);
    become("10.42.5.0/24>192.0.2.13");
    remove_node("b");
    put_node("c", "10.42.6.0/24", "192.0.2.14");
    routes = start();
    become("10.42.6.0/24>192.0.2.14");

    /* A node that is no neighbour cannot be reached; the others still can. */
    net_run("ip route del default");
    put_node("far", "10.42.7.0/24", "198.51.100.1");
    put_node("d", "10.42.8.0/24", "192.0.2.15");
    become("10.42.6.0/24>192.0.2.14", "10.42.8.0/24>192.0.2.15");
    routes_stop(routes);

    struct err err = {0};
    assert_int_equal(routes_cleanup(METRIC, &err), 0);
    assert_int_equal(routes_cleanup(METRIC, &err), 0);
    become(NULL);
    net_run("ip route show 10.42.9.0/24 | grep -q 192.0.2.99"); /* not ours */
    fake_client_free(api);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_routes_follow_nodes),
};
UNIT_MAIN(tests)
