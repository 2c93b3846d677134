/* The bytes of objects, what pods claim, resourceVersions as text. */
#include "unit.h"

#include "api/pod_claim.h"
#include "api/verbs_internal.h"
#include "api/verbs_rv.h"

static void test_write_escapes(void **state)
{
    (void)state;
    json_t *value =
        json_pack("{s:s, s:[i, b, n, f]}", "a\"\\", "line\n\t\r\x01 \xc3\xa4 \x7f", "list", -12, 1, 0.5);
    struct buf text = BUF_INIT;
    object_write_value(&text, value);
    assert_string_equal(
        buf_str(&text),
        "{\"a\\\"\\\\\":\"line\\n\\t\\r\\u0001 \xc3\xa4 \x7f\",\"list\":[-12,true,null,0.5]}");
    json_t *back = json_loadb(buf_str(&text), text.len, 0, NULL);
    assert_true(json_equal(value, back));
    json_decref(back);
    json_decref(value);
    buf_free(&text);
}

static void test_write_smallest_integer(void **state)
{
    (void)state;
    json_t *value = json_integer(INT64_MIN);
    struct buf text = BUF_INIT;
    object_write_value(&text, value);
    assert_string_equal(buf_str(&text), "-9223372036854775808");
    buf_free(&text);
    json_decref(value);
}

static void test_placeholder(void **state)
{
    (void)state;
    /* The same text elsewhere, before and after, is not taken for it. */
    json_t *object =
        json_pack("{s:{s:{s:s}, s:s}, s:s, s:{s:{s:s}, s:s, s:s}}", "data", "metadata", "resourceVersion",
                  TX_RV_PLACEHOLDER, "x", "y", "kind", "ConfigMap", "metadata", "annotations",
                  "resourceVersion", TX_RV_PLACEHOLDER, "name", "n", "resourceVersion", "7");
    struct buf text = BUF_INIT;
    uint32_t offset = 0;
    object_write(&text, object, true, &offset);
    object_splice(&text, offset, 1838502780101382144u);
    assert_string_equal(
        buf_str(&text),
        "{\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"n\",\"resourceVersion\":"
        "\"1838502780101382144\",\"annotations\":{\"resourceVersion\":\"0000000000000000000\"}},"
        "\"data\":{\"metadata\":{\"resourceVersion\":\"0000000000000000000\"},\"x\":\"y\"}}");
    buf_free(&text);
    json_decref(object);
}

static void check_labels(const char *text, const char *expected)
{
    struct buf buf = BUF_INIT;
    buf_puts(&buf, text);
    json_t *labels = object_labels(&buf);
    char *dumped = labels ? json_dumps(labels, JSON_COMPACT) : NULL;
    if (expected)
        assert_string_equal(dumped, expected);
    else
        assert_null(dumped);
    free(dumped);
    json_decref(labels);
    buf_free(&buf);
}

static void test_labels(void **state)
{
    (void)state;
    check_labels("{\"kind\":\"a\",\"metadata\":{\"name\":\"x\\\"{\",\"n\":[1,{\"labels\":2}],\"labels\":{"
                 "\"a\":\"b}\"}},"
                 "\"z\":1}",
                 "{\"a\":\"b}\"}");
    check_labels("{\"spec\":{\"metadata\":{\"labels\":{\"no\":\"1\"}}},\"metadata\":{\"generation\":12,"
                 "\"labels\":{}}}",
                 "{}");
    check_labels("{\"metadata\":{\"name\":\"x\"},\"labels\":{\"no\":\"1\"}}", NULL);
    check_labels("{}", NULL);
    check_labels("", NULL);
    check_labels("[]", NULL);
    /* Cut anywhere, it finds nothing or what is there, and stays inside. */
    static const char whole[] = "{\"kind\":\"a\",\"metadata\":{\"name\":\"x\",\"labels\":{\"a\":\"b\"}}}";
    for (size_t len = 0; len < sizeof(whole); len++) {
        char *copy = malloc(len + 1);
        memcpy(copy, whole, len);
        copy[len] = '\0';
        struct buf buf = {copy, len, len + 1};
        json_decref(object_labels(&buf));
        free(copy);
    }
}

static void test_pod_claims(void **state)
{
    (void)state;
    json_t *pod =
        json_loads("{\"spec\":{\"nodeName\":\"n\",\"overhead\":{\"cpu\":\"10m\"},"
                   "\"containers\":[{\"resources\":{\"requests\":{\"cpu\":\"100m\",\"memory\":\"1Mi\"}}},"
                   "{\"resources\":{\"requests\":{\"cpu\":\"0.2\"}}}],"
                   "\"initContainers\":[{\"resources\":{\"requests\":{\"memory\":\"5Mi\"}}},"
                   "{\"restartPolicy\":\"Always\",\"resources\":{\"requests\":{\"cpu\":\"50m\"}}},"
                   "{\"resources\":{\"requests\":{\"cpu\":\"1\"}}}]},\"status\":{\"phase\":\"Running\"}}",
                   0, NULL);
    struct tx_claim claim;
    assert_true(pod_claim(pod, &claim));
    assert_string_equal(claim.node, "n");
    assert_int_equal(claim.cpu_milli, 1050 + 10); /* the last init container beside the sidecar */
    assert_int_equal(claim.memory_bytes, 5 << 20);
    assert_int_equal(claim.pods, 1);
    json_object_set_new(json_object_get(pod, "status"), "phase", json_string("Succeeded"));
    assert_false(pod_claim(pod, &claim));
    assert_null(claim.node);
    json_decref(pod);
    json_t *node = json_loads(
        "{\"metadata\":{\"name\":\"n\"},\"status\":{\"allocatable\":{\"cpu\":\"2\",\"memory\":\"1Gi\","
        "\"pods\":\"110\"}}}",
        0, NULL);
    assert_true(node_claim(node, &claim));
    assert_int_equal(claim.cpu_milli, 2000);
    assert_int_equal(claim.memory_bytes, 1 << 30);
    assert_int_equal(claim.pods, 110);
    json_decref(node);
}

static void test_rv_text(void **state)
{
    (void)state;
    uint64_t rv = 1;
    assert_true(rv_parse("18446744073709551615", &rv));
    assert_true(rv == UINT64_MAX);
    assert_false(rv_parse("18446744073709551616", &rv));
    assert_false(rv_parse("", &rv));
    assert_false(rv_parse("-1", &rv));
    assert_false(rv_parse("1x", &rv));
    assert_true(rv_parse("007", &rv));
    assert_int_equal(rv, 7);
}

static void test_allocator_network(void **state)
{
    (void)state;
    struct err err = {0};
    static const char *const bad[] = {"", "10.0.0.0", "10.0.0.0/33", "10.0.0.0/31", "x/16", "10.0.0.0/4"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_null(allocator_new(bad[i], &err));
    struct api_allocator *allocator = allocator_new("10.43.7.0/16", &err);
    char ip[16];
    allocator_address(allocator, 1, ip);
    assert_string_equal(ip, "10.43.0.1");
    allocator_address(allocator, 65534, ip);
    assert_string_equal(ip, "10.43.255.254");
    allocator_free(allocator);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_write_escapes),     cmocka_unit_test(test_write_smallest_integer),
    cmocka_unit_test(test_placeholder),       cmocka_unit_test(test_labels),
    cmocka_unit_test(test_pod_claims),        cmocka_unit_test(test_rv_text),
    cmocka_unit_test(test_allocator_network),
};

UNIT_MAIN(tests)
