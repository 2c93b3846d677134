/* The service proxy over the real API: what services and slices say is what connections meet. */
#include "api_fixture.h"
#include "json_text.h"
#include "net_fixture.h"

#include "base/clock.h"
#include "client/kube.h"
#include "proxy/proxy.h"

static struct api_fixture api;
static struct client *client;

static void create(const struct client_resource *resource, json_t *object)
{
    struct err err = {0};
    if (client_create(client, resource, "default", object, NULL, &err))
        fail_msg("%s", err.message);
    json_decref(object);
}

static json_t *slice_of(const char *ip)
{
    return jq(
        "{'apiVersion':'discovery.k8s.io/v1','kind':'EndpointSlice','metadata':{'name':'web-1','namespace':"
        "'default','labels':{'kubernetes.io/"
        "service-name':'web'}},'addressType':'IPv4','ports':[{'name':'http',"
        "'port':8080,'protocol':'TCP'}],'endpoints':[{'addresses':['%s'],'conditions':{'ready':true}}]}",
        ip);
}

#define PATIENCE_US 30000000

/* Waits until connecting to the service gives this error (0: none). */
static bool connects(int expected)
{
    int64_t until = clock_mono_us() + PATIENCE_US;
    while (net_connect("10.43.0.10", 80) != expected) {
        if (clock_mono_us() > until)
            return false;
        usleep(5000);
    }
    return true;
}

/* Waits until connections to the service arrive at the listener. */
static bool reaches(int listener)
{
    int64_t until = clock_mono_us() + PATIENCE_US;
    while (net_connect("10.43.0.10", 80) != 0 || net_accepted(listener) == 0) {
        if (clock_mono_us() > until)
            return false;
        usleep(5000);
    }
    return true;
}

static void test_rules_follow_objects(void **state)
{
    (void)state;
    if (!net_isolate())
        skip();
    api_fixture_open(&api);
    client = api_local_client(api.server, "system:kube-proxy", api_masters, 2);
    int a = net_listen("10.42.0.2", 8080), b = net_listen("10.42.0.3", 8080);
    create(&kube_services,
           jq("{'apiVersion':'v1','kind':'Service','metadata':{'name':'web'},'spec':{'clusterIP':"
              "'10.43.0.10','ports':[{'name':'http','port':80}]}}"));
    struct proxy *proxy = NULL;
    struct proxy_options options = {.client = client,
                                    .node_name = "node",
                                    .data_dir = "/data",
                                    .cluster_cidr = "10.42.0.0/16",
                                    .service_cidr = "10.43.0.0/16"};
    struct err err = {0};
    if (proxy_start(&proxy, &options, &err))
        fail_msg("%s", err.message);

    assert_true(connects(ECONNREFUSED)); /* no endpoint */
    create(&kube_endpointslices, slice_of("10.42.0.2"));
    assert_true(connects(0));
    assert_int_equal(net_accepted(a), 1);

    json_auto_t *moved = slice_of("10.42.0.3");
    if (client_update(client, &kube_endpointslices, NULL, moved, NULL, &err))
        fail_msg("%s", err.message);
    assert_true(reaches(b));
    net_accepted(a); /* those from before the change */
    assert_true(connects(0));
    assert_int_equal(net_accepted(a), 0);
    assert_int_equal(net_accepted(b), 1);

    /* The rules outlive the proxy, and a new one takes them over. */
    proxy_stop(proxy);
    assert_true(connects(0));
    if (proxy_start(&proxy, &options, &err))
        fail_msg("%s", err.message);
    assert_true(connects(0));
    if (client_delete(client, &kube_services, "default", "web", NULL, &err))
        fail_msg("%s", err.message);
    assert_true(connects(ECONNREFUSED));
    proxy_stop(proxy);
    assert_int_equal(proxy_cleanup("/data", &err), 0);
    close(a);
    close(b);
    api_local_client_free(client);
    api_fixture_close(&api);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_rules_follow_objects),
};
UNIT_MAIN(tests)
