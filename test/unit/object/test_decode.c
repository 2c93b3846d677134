/* decode_json: checks and their wording, unknown fields, and the form in which objects are shown. */
#include "unit.h"

#include "base/mem.h"
#include "codec/json.h"
#include "object/decode.h"
#include "object/registry.h"

static const struct schema_message *message(const char *short_name)
{
    mem_auto char *name = mem_printf("io.k8s.api.%s", short_name);
    const struct schema_message *found = registry_message(name);
    assert_non_null(found);
    return found;
}

static json_t *parse(const char *text)
{
    struct err err = {0};
    json_t *value = json_parse(text, strlen(text), &err);
    if (!value)
        fail_msg("%s", err.message);
    return value;
}

static void expect(const char *name, const char *text, const char *shown)
{
    struct err err = {0};
    json_auto_t *value = parse(text);
    json_auto_t *out = NULL;
    if (decode_json(message(name), value, &out, NULL, &err) < 0)
        fail_msg("%s", err.message);
    buf_auto struct buf dumped = BUF_INIT;
    json_dump_buf(&dumped, out);
    assert_string_equal(buf_str(&dumped), shown);
}

static void expect_error(const char *name, const char *text, const char *error)
{
    struct err err = {0};
    json_auto_t *value = parse(text);
    json_t *out = NULL;
    assert_int_equal(decode_json(message(name), value, &out, NULL, &err), ERR_BAD_REQUEST);
    assert_null(out);
    assert_string_equal(err.message, error);
}

static void test_orders_and_completes(void **state)
{
    (void)state;
    expect("core.v1.Namespace",
           "{\"metadata\":{\"name\":\"a\"},\"apiVersion\":\"v1\",\"kind\":\"Namespace\"}",
           "{\"kind\":\"Namespace\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"a\"},\"spec\":{},"
           "\"status\":{}}");
    expect("core.v1.ConfigMap", "{\"data\":{\"b\":\"2\",\"a\":\"1\"},\"metadata\":null}",
           "{\"metadata\":{},\"data\":{\"a\":\"1\",\"b\":\"2\"}}");
    expect("core.v1.ContainerStatus", "{\"name\":\"c\",\"restartCount\":0}",
           "{\"name\":\"c\",\"state\":{},\"lastState\":{},\"ready\":false,\"restartCount\":0,\"image\":\"\","
           "\"imageID\":\"\"}");
}

static void test_leaves_out_what_omitempty_omits(void **state)
{
    (void)state;
    expect("core.v1.PodSpec",
           "{\"hostNetwork\":false,\"nodeName\":\"\",\"volumes\":[],\"nodeSelector\":{},\"priority\":0,"
           "\"securityContext\":{},\"containers\":[]}",
           "{\"containers\":[],\"securityContext\":{},\"priority\":0}");
    expect("apps.v1.DeploymentSpec", "{\"replicas\":0,\"template\":null}",
           "{\"replicas\":0,\"template\":{\"metadata\":{},\"spec\":{}},\"strategy\":{}}");
}

static void test_inlined_members_belong_to_the_parent(void **state)
{
    (void)state;
    expect("core.v1.Volume", "{\"emptyDir\":{},\"name\":\"v\"}", "{\"name\":\"v\",\"emptyDir\":{}}");
    expect("core.v1.Probe", "{\"periodSeconds\":5,\"httpGet\":{\"port\":\"web\"}}",
           "{\"httpGet\":{\"port\":\"web\"},\"periodSeconds\":5}");
}

static void test_canonical_scalars(void **state)
{
    (void)state;
    expect("core.v1.ResourceRequirements", "{\"limits\":{\"memory\":\"1024Mi\",\"cpu\":0.5,\"pods\":3}}",
           "{\"limits\":{\"cpu\":\"500m\",\"memory\":\"1Gi\",\"pods\":\"3\"}}");
    expect("core.v1.PodStatus", "{\"startTime\":\"2026-11-23T06:00:00.25+01:00\"}",
           "{\"startTime\":\"2026-11-23T05:00:00Z\"}");
    expect("coordination.v1.LeaseSpec", "{\"renewTime\":\"2026-11-23T05:00:00.25Z\"}",
           "{\"renewTime\":\"2026-11-23T05:00:00.250000Z\"}");
    expect("core.v1.Secret", "{\"data\":{\"k\":\"YWJj\\nZGVm\"}}",
           "{\"metadata\":{},\"data\":{\"k\":\"YWJjZGVm\"}}");
    expect("core.v1.ServicePort", "{\"port\":8e1}", "{\"port\":80,\"targetPort\":0}");
}

static void test_type_errors_in_the_decoders_words(void **state)
{
    (void)state;
    expect_error(
        "apps.v1.Deployment", "{\"spec\":{\"replicas\":\"x\"}}",
        "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32");
    expect_error(
        "apps.v1.Deployment", "{\"spec\":{\"replicas\":1.5}}",
        "json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32");
    expect_error(
        "apps.v1.Deployment", "{\"spec\":{\"replicas\":3000000000}}",
        "json: cannot unmarshal number 3000000000 into Go struct field DeploymentSpec.spec.replicas of "
        "type int32");
    expect_error(
        "core.v1.Pod", "{\"spec\":{\"containers\":[{\"name\":\"a\"},{\"args\":[1]}]}}",
        "json: cannot unmarshal number into Go struct field Container.spec.containers.args of type string");
    expect_error("core.v1.Pod", "{\"spec\":{\"containers\":{}}}",
                 "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type "
                 "[]v1.Container");
    expect_error(
        "core.v1.Pod", "{\"metadata\":{\"labels\":{\"a\":1}}}",
        "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string");
    expect_error("core.v1.Pod", "{\"spec\":[]}",
                 "json: cannot unmarshal array into Go struct field Pod.spec of type v1.PodSpec");
    expect_error("core.v1.Pod", "[]", "json: cannot unmarshal array into Go value of type v1.Pod");
    expect_error("core.v1.PodStatus", "{\"startTime\":\"noon\"}",
                 "parsing time \"noon\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"noon\" as \"2006\"");
    expect_error("core.v1.ResourceRequirements", "{\"limits\":{\"cpu\":\"much\"}}",
                 "quantities must match the regular expression "
                 "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'");
    expect_error("core.v1.ResourceRequirements", "{\"limits\":{\"cpu\":\"5mm\"}}",
                 "unable to parse quantity's suffix");
    expect_error("core.v1.ResourceRequirements", "{\"limits\":{\"cpu\":{}}}",
                 "quantities must match the regular expression "
                 "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'");
    expect_error("core.v1.PodStatus", "{\"startTime\":5}",
                 "json: cannot unmarshal number into Go value of type string");
    expect_error("core.v1.ServicePort", "{\"targetPort\":true}",
                 "json: cannot unmarshal bool into Go value of type int32");
    expect_error("core.v1.ServicePort", "{\"targetPort\":1.5}",
                 "json: cannot unmarshal number 1.5 into Go value of type int32");
    expect_error("core.v1.PodSpec", "{\"hostNetwork\":\"yes\"}",
                 "json: cannot unmarshal string into Go struct field PodSpec.hostNetwork of type bool");
    expect_error("core.v1.Secret", "{\"data\":{\"k\":7}}",
                 "json: cannot unmarshal number into Go struct field Secret.data of type []uint8");
    expect_error("core.v1.Secret", "{\"data\":[]}",
                 "json: cannot unmarshal array into Go struct field Secret.data of type map[string][]uint8");
    expect_error(
        "authorization.v1.SubjectAccessReviewSpec", "{\"extra\":{\"a\":[1]}}",
        "json: cannot unmarshal number into Go struct field SubjectAccessReviewSpec.extra of type string");
    expect_error("core.v1.Secret", "{\"data\":{\"k\":\"a?b=\"}}", "illegal base64 data at input byte 1");
}

static void test_unknown_fields_are_reported_with_their_path(void **state)
{
    (void)state;
    struct err err = {0};
    json_auto_t *value = parse("{\"Metadata\":{},\"spec\":{\"foo\":1,\"containers\":[{\"name\":\"a\"},"
                               "{\"name\":\"b\",\"bar\":{}}]}}");
    json_auto_t *unknown = json_array();
    json_auto_t *out = NULL;
    assert_int_equal(decode_json(message("core.v1.Pod"), value, &out, unknown, &err), 0);
    assert_int_equal(json_array_size(unknown), 3);
    assert_string_equal(json_string_value(json_array_get(unknown, 0)), "unknown field \"Metadata\"");
    assert_string_equal(json_string_value(json_array_get(unknown, 1)), "unknown field \"spec.foo\"");
    assert_string_equal(json_string_value(json_array_get(unknown, 2)),
                        "unknown field \"spec.containers[1].bar\"");
    assert_null(json_at(out, "spec", "foo"));
    assert_null(json_object_get(out, "Metadata"));
}

static void test_as_sent_adds_and_omits_nothing(void **state)
{
    (void)state;
    struct err err = {0};
    json_auto_t *value = parse("{\"spec\":{\"hostNetwork\":false,\"x\":1},\"kind\":\"Pod\"}");
    json_auto_t *out = NULL;
    assert_int_equal(decode_json_as_sent(message("core.v1.Pod"), value, &out, NULL, &err), 0);
    buf_auto struct buf dumped = BUF_INIT;
    json_dump_buf(&dumped, out);
    assert_string_equal(buf_str(&dumped), "{\"kind\":\"Pod\",\"spec\":{\"hostNetwork\":false}}");
}

static void test_decoding_is_idempotent(void **state)
{
    (void)state;
    for (size_t i = 0; i < registry_count(); i++) {
        json_auto_t *empty = json_object();
        json_auto_t *once = NULL, *twice = NULL;
        assert_int_equal(decode_json(registry_at(i)->message, empty, &once, NULL, NULL), 0);
        assert_int_equal(decode_json(registry_at(i)->message, once, &twice, NULL, NULL), 0);
        assert_true(json_equal(once, twice));
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_orders_and_completes),
    cmocka_unit_test(test_leaves_out_what_omitempty_omits),
    cmocka_unit_test(test_inlined_members_belong_to_the_parent),
    cmocka_unit_test(test_canonical_scalars),
    cmocka_unit_test(test_type_errors_in_the_decoders_words),
    cmocka_unit_test(test_unknown_fields_are_reported_with_their_path),
    cmocka_unit_test(test_as_sent_adds_and_omits_nothing),
    cmocka_unit_test(test_decoding_is_idempotent),
};
UNIT_MAIN(tests)
