/* The rules that a model makes, and that the kernel takes them and they lead where they should. */
#include "net_fixture.h"

#include "codec/json.h"
#include "proxy/nft.h"
#include "proxy/proxy.h"
#include "proxy/ruleset.h"

static json_t *parse(const char *text)
{
    json_error_t error;
    json_t *value = json_loads(text, 0, &error);
    if (!value)
        fail_msg("%s: %s", error.text, text);
    return value;
}

static bool set_service(struct proxy_model *m, const char *text)
{
    json_auto_t *service = parse(text);
    return proxy_model_set_service(m, service);
}

static bool set_slice(struct proxy_model *m, const char *text)
{
    json_auto_t *slice = parse(text);
    return proxy_model_set_slice(m, slice);
}

#define WEB                                                                                        \
    "{\"metadata\":{\"namespace\":\"default\",\"name\":\"web\"},\"spec\":{\"type\":\"NodePort\","  \
    "\"clusterIP\":\"10.43.0.10\",\"ports\":[{\"name\":\"http\",\"protocol\":\"TCP\",\"port\":80," \
    "\"nodePort\":30080}]}}"
#define SLICE(endpoints)                                                                               \
    "{\"metadata\":{\"namespace\":\"default\",\"name\":\"web-abc\",\"labels\":{"                       \
    "\"kubernetes.io/service-name\":\"web\"}},\"addressType\":\"IPv4\",\"ports\":[{\"name\":\"http\"," \
    "\"protocol\":\"TCP\",\"port\":8080}],\"endpoints\":[" endpoints "]}"
#define READY(ip) "{\"addresses\":[\"" ip "\"],\"conditions\":{\"ready\":true,\"serving\":true}}"
#define ENDING(ip) \
    "{\"addresses\":[\"" ip "\"],\"conditions\":{\"ready\":false,\"serving\":true,\"terminating\":true}}"
#define DEAD(ip) "{\"addresses\":[\"" ip "\"],\"conditions\":{\"ready\":false,\"serving\":false}}"

static const struct ruleset_options options = {
    .table = "katena-test", .cluster_cidr = "10.42.0.0/16", .service_cidr = "10.43.0.0/16"};

static char *render(const struct proxy_model *m)
{
    struct buf text = BUF_INIT;
    ruleset_render(&text, m, &options);
    return buf_steal(&text);
}

#define assert_has(text, part)                         \
    do {                                               \
        if (!strstr(text, part))                       \
            fail_msg("no \"%s\" in:\n%s", part, text); \
    } while (0)
#define assert_has_not(text, part)                  \
    do {                                            \
        if (strstr(text, part))                     \
            fail_msg("\"%s\" in:\n%s", part, text); \
    } while (0)

static void test_endpoints_share(void **state)
{
    (void)state;
    struct proxy_model m;
    proxy_model_init(&m);
    assert_true(set_service(&m, WEB));
    assert_true(set_slice(&m, SLICE(READY("10.42.0.3") "," READY("10.42.0.2") "," DEAD("10.42.0.4"))));
    char *text = render(&m);
    assert_has(text, "10.43.0.10 . tcp . 80 : goto svc-");
    assert_has(text, "tcp . 30080 : goto svc-");
    assert_has(text, "numgen random mod 2 map { 0 : 10.42.0.2 . 8080, 1 : 10.42.0.3 . 8080 }");
    assert_has(text, "10.42.0.2 . 10.42.0.2");
    assert_has(text, "ip saddr != 10.42.0.0/16 meta mark set meta mark or 0x00004000");
    assert_has_not(text, "10.42.0.4");
    free(text);
    proxy_model_free(&m);
}

static void test_ending_endpoints_serve_last(void **state)
{
    (void)state;
    struct proxy_model m;
    proxy_model_init(&m);
    set_service(&m, WEB);
    set_slice(&m, SLICE(ENDING("10.42.0.9") "," READY("10.42.0.2")));
    char *text = render(&m);
    assert_has_not(text, "10.42.0.9");
    assert_has(text, "dnat ip to 10.42.0.2:8080");
    free(text);
    set_slice(&m, SLICE(ENDING("10.42.0.9")));
    text = render(&m);
    assert_has(text, "dnat ip to 10.42.0.9:8080");
    free(text);
    proxy_model_free(&m);
}

static void test_no_endpoint_refuses(void **state)
{
    (void)state;
    struct proxy_model m;
    proxy_model_init(&m);
    set_service(&m, WEB);
    char *text = render(&m);
    assert_has_not(text, "goto");
    assert_has(text, "set dead_services {\n        type ipv4_addr . inet_proto . inet_service\n"
                     "        elements = {\n            10.43.0.10 . tcp . 80\n");
    assert_has(text, "            tcp . 30080\n");
    free(text);
    proxy_model_free(&m);
}

static void test_change_is_noticed_once(void **state)
{
    (void)state;
    struct proxy_model m;
    proxy_model_init(&m);
    assert_true(set_service(&m, WEB));
    assert_false(set_service(&m, WEB));
    assert_true(set_slice(&m, SLICE(READY("10.42.0.2"))));
    assert_false(set_slice(&m, SLICE(READY("10.42.0.2"))));
    assert_true(set_slice(&m, SLICE(ENDING("10.42.0.2"))));
    assert_true(set_service(&m, "{\"metadata\":{\"namespace\":\"default\",\"name\":\"web\"},"
                                "\"spec\":{\"clusterIP\":\"None\"}}"));
    assert_int_equal(json_object_size(m.services), 0);
    proxy_model_free(&m);
}

static void test_affinity_hashes_client(void **state)
{
    (void)state;
    struct proxy_model m;
    proxy_model_init(&m);
    set_service(
        &m,
        "{\"metadata\":{\"namespace\":\"default\",\"name\":\"web\"},\"spec\":{\"clusterIP\":\"10.43.0.1\","
        "\"sessionAffinity\":\"ClientIP\",\"ports\":[{\"name\":\"http\",\"port\":80}]}}");
    set_slice(&m, SLICE(READY("10.42.0.3") "," READY("10.42.0.2")));
    char *text = render(&m);
    assert_has(text, "jhash ip saddr mod 2 seed");
    free(text);
    proxy_model_free(&m);
}

/* Nothing that an object says can become a command. */
static void test_hostile_text_stays_out(void **state)
{
    (void)state;
    struct proxy_model m;
    proxy_model_init(&m);
    set_service(
        &m, "{\"metadata\":{\"namespace\":\"default\",\"name\":\"web\"},\"spec\":{\"clusterIP\":\"1.2.3.4 } "
            "flush ruleset\",\"ports\":[{\"port\":80}]}}");
    assert_int_equal(json_object_size(m.services), 0);
    set_service(&m, WEB);
    set_slice(&m, SLICE("{\"addresses\":[\"x; flush ruleset\"]}"));
    char *text = render(&m);
    assert_has_not(text, "flush");
    free(text);
    set_service(&m, "{\"metadata\":{\"namespace\":\"default\",\"name\":\"a\\n}flush ruleset\\n{\"},\"spec\":{"
                    "\"clusterIP\":\"10.43.0.7\",\"ports\":[{\"name\":\"http\",\"port\":80}]}}");
    json_auto_t *slice = parse(SLICE(READY("10.42.0.2")));
    json_object_set_new(json_object_get(json_object_get(slice, "metadata"), "labels"),
                        "kubernetes.io/service-name", json_string("a\n}flush ruleset\n{"));
    assert_true(proxy_model_set_slice(&m, slice));
    text = render(&m);
    assert_has(text, "dnat ip to 10.42.0.2:8080");
    assert_has_not(text, "\n}flush");
    free(text);
    proxy_model_free(&m);
}

static void apply_as(const struct proxy_model *m, const char *table)
{
    struct err err = {0};
    struct buf text buf_auto = BUF_INIT;
    struct ruleset_options own = options;
    own.table = table;
    own.pod_cidr = "10.42.0.0/24";
    ruleset_render(&text, m, &own);
    if (nft_run(buf_str(&text), &err))
        fail_msg("%s\n%s", err.message, buf_str(&text));
}

static void apply(const struct proxy_model *m)
{
    apply_as(m, options.table);
}

/* In a network namespace of its own: the kernel takes the rules, and connections arrive. */
static void test_kernel_leads_connections(void **state)
{
    (void)state;
    if (!net_isolate())
        skip();
    int a = net_listen("10.42.0.2", 8080), b = net_listen("10.42.0.3", 8080);
    struct proxy_model m;
    proxy_model_init(&m);
    set_service(&m, WEB);

    apply(&m);
    assert_int_equal(net_connect("10.43.0.10", 80), ECONNREFUSED);
    assert_int_equal(net_connect("10.43.0.99", 80), ECONNREFUSED);

    set_slice(&m, SLICE(READY("10.42.0.2")));
    apply(&m);
    assert_int_equal(net_connect("10.43.0.10", 80), 0);
    assert_int_equal(net_connect("10.42.0.1", 30080), 0);
    assert_int_equal(net_accepted(a), 2);

    set_slice(&m, SLICE(READY("10.42.0.2") "," READY("10.42.0.3")));
    apply(&m);
    for (int i = 0; i < 40; i++)
        assert_int_equal(net_connect("10.43.0.10", 80), 0);
    int at_a = net_accepted(a), at_b = net_accepted(b);
    assert_int_equal(at_a + at_b, 40);
    assert_true(at_a > 0 && at_b > 0);

    /* With affinity one client stays at one endpoint. */
    json_auto_t *sticky = parse(WEB);
    json_object_set_new(json_object_get(sticky, "spec"), "sessionAffinity", json_string("ClientIP"));
    proxy_model_set_service(&m, sticky);
    for (int i = 0; i < 10; i++) {
        apply(&m); /* also when the rules are replaced */
        assert_int_equal(net_connect("10.43.0.10", 80), 0);
    }
    at_a = net_accepted(a), at_b = net_accepted(b);
    assert_true((at_a == 10 && at_b == 0) || (at_a == 0 && at_b == 10));

    /* The rules of another node of this host beside them act once, and stay when ours go. */
    char table[PROXY_TABLE_MAX], command[128];
    proxy_table_name(table, "/data/a");
    apply_as(&m, table);
    assert_int_equal(net_connect("10.43.0.10", 80), 0);
    assert_int_equal(net_accepted(a) + net_accepted(b), 1);
    struct err err = {0};
    assert_int_equal(proxy_cleanup("/data/a", &err), 0);
    assert_int_equal(proxy_cleanup("/data/a", &err), 0); /* also when there is none */
    snprintf(command, sizeof(command), "nft list table ip %s >/dev/null 2>&1", table);
    assert_int_not_equal(system(command), 0);
    assert_int_equal(net_connect("10.43.0.10", 80), 0);
    assert_int_equal(net_accepted(a) + net_accepted(b), 1);
    close(a);
    close(b);
    proxy_model_free(&m);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_endpoints_share),          cmocka_unit_test(test_ending_endpoints_serve_last),
    cmocka_unit_test(test_no_endpoint_refuses),      cmocka_unit_test(test_change_is_noticed_once),
    cmocka_unit_test(test_affinity_hashes_client),   cmocka_unit_test(test_hostile_text_stays_out),
    cmocka_unit_test(test_kernel_leads_connections),
};
UNIT_MAIN(tests)
