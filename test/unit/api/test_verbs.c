/* Create, get, update, patch: what is kept, what is refused, in which words. */
#include "api_fixture.h"

static void test_create_get(void **state)
{
    (void)state;
    struct api_fixture f;
    api_fixture_open(&f);
    json_t *made = api_ok(&f, 201, API_CREATE, "configmaps", "default", "",
                          "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"a\"},"
                          "\"data\":{\"k\":\"v \\u00e4 \\\"quoted\\\"\\n\"}}");
    assert_string_equal(json_str(made, "kind"), "ConfigMap");
    assert_string_equal(json_str(made, "metadata", "namespace"), "default");
    assert_int_equal(strlen(json_str(made, "metadata", "uid")), 36);
    assert_int_equal(strlen(json_str(made, "metadata", "resourceVersion")), 19);
    assert_string_equal(json_str(json_array_get(json_at(made, "metadata", "managedFields"), 0), "manager"),
                        "unit");
    json_t *got = api_ok(&f, 200, API_GET, "configmaps", "default", "a", NULL);
    assert_true(json_equal(made, got));
    assert_string_equal(json_str(got, "data", "k"), "v \xc3\xa4 \"quoted\"\n");
    json_decref(made);
    json_decref(got);
    api_fails(&f, 404, "configmaps \"b\" not found", API_GET, "configmaps", "default", "b", NULL);
    api_fails(&f, 409, "configmaps \"a\" already exists", API_CREATE, "configmaps", "default", "",
              "{\"metadata\":{\"name\":\"a\"}}");
    api_fails(&f, 404, "namespaces \"nowhere\" not found", API_CREATE, "configmaps", "nowhere", "",
              "{\"metadata\":{\"name\":\"a\"}}");
    api_fixture_close(&f);
}

static void test_create_checks_body(void **state)
{
    (void)state;
    struct api_fixture f;
    api_fixture_open(&f);
    api_fails(
        &f, 400, "the namespace of the provided object does not match the namespace sent on the request",
        API_CREATE, "configmaps", "default", "", "{\"metadata\":{\"name\":\"a\",\"namespace\":\"other\"}}");
    api_fails(&f, 400,
              "Deployment in version \"v1\" cannot be handled as a ConfigMap: converting (v1.Deployment) to "
              "(core.ConfigMap): unknown conversion",
              API_CREATE, "configmaps", "default", "",
              "{\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\",\"metadata\":{\"name\":\"a\"}}");
    f.extra.content_type = "text/html";
    api_fails(
        &f, 415,
        "the body of the request was in an unknown format - accepted media types include: application/json, "
        "application/yaml, application/vnd.kubernetes.protobuf",
        API_CREATE, "configmaps", "default", "", "<p>");
    f.extra.field_validation = API_FIELDS_STRICT;
    api_fails(
        &f, 400,
        "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: unknown field "
        "\"foo\"",
        API_CREATE, "configmaps", "default", "", "{\"metadata\":{\"name\":\"a\"},\"foo\":1}");
    api_do(&f, 201, API_CREATE, "configmaps", "default", "", "{\"metadata\":{\"name\":\"a\"},\"foo\":1}");
    assert_string_equal(json_string_value(json_array_get(f.warnings, 0)), "unknown field \"foo\"");
    f.extra.field_validation = API_FIELDS_STRICT;
    api_fails(&f, 400,
              "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: "
              "duplicate field "
              "\"data.k\"",
              API_CREATE, "configmaps", "default", "",
              "{\"metadata\":{\"name\":\"d\"},\"data\":{\"k\":\"1\",\"k\":\"2\"}}");
    api_do(&f, 201, API_CREATE, "configmaps", "default", "",
           "{\"metadata\":{\"name\":\"d\"},\"data\":{\"k\":\"1\",\"k\":\"2\"}}");
    assert_string_equal(json_string_value(json_array_get(f.warnings, 0)), "duplicate field \"data.k\"");
    api_fails(&f, 500, "resourceVersion should not be set on objects to be created", API_CREATE, "configmaps",
              "default", "", "{\"metadata\":{\"name\":\"b\",\"resourceVersion\":\"5\"}}");
    f.extra.content_type = "application/yaml";
    api_do(&f, 201, API_CREATE, "configmaps", "default", "", "metadata:\n  name: yam\ndata:\n  k: \"1\"\n");
    api_fixture_close(&f);
}

static void test_managers(void **state)
{
    (void)state;
    struct api_fixture f;
    api_fixture_open(&f);
    static const struct {
        const char *agent, *manager;
    } cases[] = {{"kubectl/v1.35.0 (linux)", "kubectl"},
                 {"\xff\xfe"
                  "x\ty",
                  "xy"},
                 {"\xff/1", "unknown"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        f.extra.user_agent = cases[i].agent;
        json_t *made = api_ok(&f, 201, API_CREATE, "configmaps", "default", "",
                              "{\"metadata\":{\"generateName\":\"a-\"},\"data\":{\"k\":\"v\"}}");
        assert_string_equal(
            json_str(json_array_get(json_at(made, "metadata", "managedFields"), 0), "manager"),
            cases[i].manager);
        json_decref(made);
    }
    api_fails(&f, 400, "an empty namespace may not be set during creation", API_CREATE, "configmaps", "", "",
              "{\"metadata\":{\"name\":\"a\"}}");
    api_fixture_close(&f);
}

static void test_generate_name(void **state)
{
    (void)state;
    struct api_fixture f;
    api_fixture_open(&f);
    json_t *made = api_ok(&f, 201, API_CREATE, "configmaps", "default", "",
                          "{\"metadata\":{\"generateName\":\"job-\"}}");
    const char *name = json_str(made, "metadata", "name");
    assert_int_equal(strlen(name), strlen("job-") + 5);
    assert_memory_equal(name, "job-", 4);
    json_decref(made);
    api_fixture_close(&f);
}

static void test_update(void **state)
{
    (void)state;
    struct api_fixture f;
    api_fixture_open(&f);
    json_t *made = api_ok(&f, 201, API_CREATE, "configmaps", "default", "",
                          "{\"metadata\":{\"name\":\"a\"},\"data\":{\"k\":\"1\"}}");
    json_object_set_new(json_object_get(made, "data"), "k", json_string("2"));
    char *body = json_dumps(made, 0);
    json_t *updated = api_ok(&f, 200, API_UPDATE, "configmaps", "default", "a", body);
    assert_string_equal(json_str(updated, "data", "k"), "2");
    assert_string_equal(json_str(updated, "metadata", "uid"), json_str(made, "metadata", "uid"));
    assert_true(strcmp(json_str(updated, "metadata", "resourceVersion"),
                       json_str(made, "metadata", "resourceVersion")) > 0);
    json_decref(updated);
    /* The version that was sent is old now. */
    api_fails(
        &f, 409,
        "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your "
        "changes to the latest version and try again",
        API_UPDATE, "configmaps", "default", "a", body);
    free(body);
    api_fails(&f, 400, "the name of the object (b) does not match the name on the URL (a)", API_UPDATE,
              "configmaps", "default", "a", "{\"metadata\":{\"name\":\"b\"}}");
    api_fails(&f, 404, "configmaps \"c\" not found", API_UPDATE, "configmaps", "default", "c",
              "{\"metadata\":{\"name\":\"c\"}}");
    json_decref(made);
    api_fixture_close(&f);
}

static void test_update_same_writes_nothing(void **state)
{
    (void)state;
    struct api_fixture f;
    api_fixture_open(&f);
    json_t *made = api_ok(&f, 201, API_CREATE, "configmaps", "default", "",
                          "{\"metadata\":{\"name\":\"a\"},\"data\":{\"k\":\"1\"}}");
    json_t *same = api_ok(&f, 200, API_UPDATE, "configmaps", "default", "a",
                          "{\"metadata\":{\"name\":\"a\"},\"data\":{\"k\":\"1\"}}");
    assert_true(json_equal(made, same));
    json_decref(same);
    f.extra.content_type = "application/merge-patch+json";
    same = api_ok(&f, 200, API_PATCH, "configmaps", "default", "a", "{\"data\":{\"k\":\"1\"}}");
    assert_true(json_equal(made, same));
    json_decref(same);
    json_decref(made);
    api_fixture_close(&f);
}

static void test_dry_run(void **state)
{
    (void)state;
    struct api_fixture f;
    api_fixture_open(&f);
    f.extra.dry_run = true;
    json_t *made =
        api_ok(&f, 201, API_CREATE, "configmaps", "default", "", "{\"metadata\":{\"name\":\"a\"}}");
    assert_null(json_at(made, "metadata", "resourceVersion"));
    assert_non_null(json_at(made, "metadata", "uid"));
    json_decref(made);
    api_do(&f, 404, API_GET, "configmaps", "default", "a", NULL);
    api_do(&f, 201, API_CREATE, "configmaps", "default", "", "{\"metadata\":{\"name\":\"a\"}}");
    f.extra.dry_run = true;
    api_do(&f, 200, API_DELETE, "configmaps", "default", "a", NULL);
    api_do(&f, 200, API_GET, "configmaps", "default", "a", NULL);
    api_fixture_close(&f);
}

static void test_patches(void **state)
{
    (void)state;
    struct api_fixture f;
    api_fixture_open(&f);
    api_do(&f, 201, API_CREATE, "configmaps", "default", "",
           "{\"metadata\":{\"name\":\"a\",\"labels\":{\"x\":\"1\"}},\"data\":{\"k\":\"1\"}}");
    f.extra.content_type = "application/merge-patch+json";
    json_t *got =
        api_ok(&f, 200, API_PATCH, "configmaps", "default", "a", "{\"data\":{\"k\":null,\"l\":\"2\"}}");
    assert_null(json_at(got, "data", "k"));
    assert_string_equal(json_str(got, "data", "l"), "2");
    json_decref(got);
    f.extra.content_type = "application/json-patch+json";
    got = api_ok(&f, 200, API_PATCH, "configmaps", "default", "a",
                 "[{\"op\":\"replace\",\"path\":\"/metadata/labels/x\",\"value\":\"2\"}]");
    assert_string_equal(json_str(got, "metadata", "labels", "x"), "2");
    json_decref(got);
    f.extra.content_type = "application/strategic-merge-patch+json";
    got = api_ok(&f, 200, API_PATCH, "configmaps", "default", "a", "{\"data\":{\"m\":\"3\"}}");
    assert_string_equal(json_str(got, "data", "m"), "3");
    json_decref(got);
    f.extra.content_type = "application/json";
    api_do(&f, 415, API_PATCH, "configmaps", "default", "a", "{}");
    f.extra.content_type = "application/merge-patch+json";
    api_do(&f, 409, API_PATCH, "configmaps", "default", "a", "{\"metadata\":{\"resourceVersion\":\"7\"}}");
    f.extra.content_type = "application/merge-patch+json";
    api_fails(&f, 404, "configmaps \"z\" not found", API_PATCH, "configmaps", "default", "z", "{}");
    api_fixture_close(&f);
}

static void put_times(struct buf *out, const char *text, int times)
{
    for (int i = 0; i < times; i++)
        buf_puts(out, text);
}

/* Object and patch are each within the limit of depth; what they would make together is not. */
static void test_patch_keeps_depth(void **state)
{
    (void)state;
    struct api_fixture f;
    api_fixture_open(&f);
    enum { depth = 100 };
    struct buf nested = BUF_INIT, text = BUF_INIT;
    put_times(&nested, "{\"a\":", depth);
    buf_puts(&nested, "{}");
    put_times(&nested, "}", depth);
    buf_printf(&text, "{\"metadata\":{\"name\":\"r\"},\"revision\":1,\"data\":%s}", buf_str(&nested));
    api_do(&f, 201, API_CREATE, "controllerrevisions", "default", "", buf_str(&text));
    buf_clear(&text);
    buf_puts(&text, "[{\"op\":\"add\",\"path\":\"/data");
    put_times(&text, "/a", depth + 1);
    buf_printf(&text, "\",\"value\":%s}]", buf_str(&nested));
    f.extra.content_type = "application/json-patch+json";
    api_fails(&f, 400, "exceeded max depth", API_PATCH, "controllerrevisions", "default", "r",
              buf_str(&text));
    buf_free(&nested);
    buf_free(&text);
    api_fixture_close(&f);
}

static void test_server_side_apply(void **state)
{
    (void)state;
    struct api_fixture f;
    api_fixture_open(&f);
    static const char config[] = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  k: \"1\"\n";
    static const char other[] = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  k: \"2\"\n";
    f.extra.content_type = "application/apply-patch+yaml";
    f.extra.field_manager = "one";
    json_t *made = api_ok(&f, 201, API_PATCH, "configmaps", "default", "a", config);
    assert_string_equal(json_str(json_array_get(json_at(made, "metadata", "managedFields"), 0), "operation"),
                        "Apply");
    f.extra.content_type = "application/apply-patch+yaml";
    f.extra.field_manager = "one";
    json_t *again = api_ok(&f, 200, API_PATCH, "configmaps", "default", "a", config);
    assert_true(json_equal(made, again));
    json_decref(again);
    f.extra.content_type = "application/apply-patch+yaml";
    f.extra.field_manager = "two";
    json_t *conflict = api_ok(&f, 409, API_PATCH, "configmaps", "default", "a", other);
    assert_string_equal(json_str(conflict, "message"),
                        "Apply failed with 1 conflict: conflict with \"one\": .data.k");
    assert_int_equal(json_array_size(json_at(conflict, "details", "causes")), 1);
    json_decref(conflict);
    f.extra.content_type = "application/apply-patch+yaml";
    f.extra.field_manager = "two";
    f.extra.force = true;
    json_t *forced = api_ok(&f, 200, API_PATCH, "configmaps", "default", "a", other);
    assert_string_equal(json_str(forced, "data", "k"), "2");
    json_decref(forced);
    f.extra.content_type = "application/apply-patch+yaml";
    api_fails(
        &f, 422,
        "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch",
        API_PATCH, "configmaps", "default", "a", config);
    json_decref(made);
    api_fixture_close(&f);
}

static void test_status_and_generation(void **state)
{
    (void)state;
    struct api_fixture f;
    api_fixture_open(&f);
    static const char deployment[] =
        "{\"metadata\":{\"name\":\"d\"},\"status\":{\"replicas\":9},\"spec\":{\"replicas\":2,\"selector\":{"
        "\"matchLabels\":{\"app\":\"d\"}},\"template\":{\"metadata\":{\"labels\":{\"app\":\"d\"}},\"spec\":{"
        "\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}}}";
    json_t *made = api_ok(&f, 201, API_CREATE, "deployments", "default", "", deployment);
    assert_int_equal(json_int_or(0, made, "metadata", "generation"), 1);
    assert_null(json_at(made, "status", "replicas"));
    assert_string_equal(json_str(made, "spec", "template", "spec", "restartPolicy"), "Always");
    json_decref(made);
    f.extra.content_type = "application/merge-patch+json";
    json_t *got = api_ok(&f, 200, API_PATCH, "deployments/status", "default", "d",
                         "{\"spec\":{\"replicas\":7},\"status\":{\"replicas\":2,\"observedGeneration\":1}}");
    assert_int_equal(json_int_or(0, got, "spec", "replicas"), 2);
    assert_int_equal(json_int_or(0, got, "status", "replicas"), 2);
    assert_int_equal(json_int_or(0, got, "metadata", "generation"), 1);
    json_decref(got);
    f.extra.content_type = "application/merge-patch+json";
    got = api_ok(&f, 200, API_PATCH, "deployments", "default", "d",
                 "{\"spec\":{\"replicas\":3},\"status\":{\"replicas\":0}}");
    assert_int_equal(json_int_or(0, got, "metadata", "generation"), 2);
    assert_int_equal(json_int_or(0, got, "status", "replicas"), 2);
    json_decref(got);
    got = api_ok(&f, 200, API_GET, "deployments/scale", "default", "d", NULL);
    assert_string_equal(json_str(got, "kind"), "Scale");
    assert_int_equal(json_int_or(0, got, "spec", "replicas"), 3);
    assert_string_equal(json_str(got, "status", "selector"), "app=d");
    json_decref(got);
    f.extra.content_type = "application/merge-patch+json";
    got = api_ok(&f, 200, API_PATCH, "deployments/scale", "default", "d", "{\"spec\":{\"replicas\":5}}");
    assert_int_equal(json_int_or(0, got, "spec", "replicas"), 5);
    json_t *after = api_ok(&f, 200, API_GET, "deployments", "default", "d", NULL);
    assert_int_equal(json_int_or(0, after, "spec", "replicas"), 5);
    assert_int_equal(json_int_or(0, after, "metadata", "generation"), 3);
    assert_string_equal(json_str(after, "metadata", "resourceVersion"),
                        json_str(got, "metadata", "resourceVersion"));
    json_decref(after);
    json_decref(got);
    api_fixture_close(&f);
}

/* An apply that gives up all of a struct that is always there: its defaults come back. */
static void test_apply_gives_up(void **state)
{
    (void)state;
    struct api_fixture f;
    api_fixture_open(&f);
    static const char config[] =
        "{\"apiVersion\":\"apps/"
        "v1\",\"kind\":\"Deployment\",\"metadata\":{\"name\":\"d\"},\"spec\":{%s\"selector\":{"
        "\"matchLabels\":{\"app\":\"d\"}},\"template\":{\"metadata\":{\"labels\":{\"app\":\"d\"}},\"spec\":{"
        "\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}}}";
    char body[600];
    snprintf(body, sizeof(body), config, "\"replicas\":3,\"strategy\":{\"type\":\"Recreate\"},");
    f.extra.content_type = "application/apply-patch+yaml";
    f.extra.field_manager = "one";
    api_do(&f, 201, API_PATCH, "deployments", "default", "d", body);
    snprintf(body, sizeof(body), config, "");
    f.extra.content_type = "application/apply-patch+yaml";
    f.extra.field_manager = "one";
    json_t *got = api_ok(&f, 200, API_PATCH, "deployments", "default", "d", body);
    assert_string_equal(json_str(got, "spec", "strategy", "type"), "RollingUpdate");
    assert_int_equal(json_int_or(0, got, "spec", "replicas"), 1);
    json_decref(got);
    api_fixture_close(&f);
}

static void test_restart_writes_nothing(void **state)
{
    (void)state;
    struct api_fixture f;
    api_fixture_open(&f);
    json_t *before = api_ok(&f, 200, API_LIST, "namespaces", "", "", NULL);
    assert_int_equal(json_array_size(json_object_get(before, "items")), 4);
    json_t *slices = api_ok(&f, 200, API_LIST, "endpointslices", "", "", NULL);
    api_fixture_stop(&f);
    api_fixture_start(&f);
    json_t *slices_after = api_ok(&f, 200, API_LIST, "endpointslices", "", "", NULL);
    assert_true(json_equal(slices, slices_after));
    json_decref(slices);
    json_decref(slices_after);
    json_t *after = api_ok(&f, 200, API_LIST, "namespaces", "", "", NULL);
    assert_true(json_equal(before, after));
    json_decref(before);
    json_decref(after);
    json_t *service = api_ok(&f, 200, API_GET, "services", "default", "kubernetes", NULL);
    assert_string_equal(json_str(service, "spec", "clusterIP"), "10.43.0.1");
    json_decref(service);
    api_fixture_close(&f);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_create_get),
    cmocka_unit_test(test_create_checks_body),
    cmocka_unit_test(test_managers),
    cmocka_unit_test(test_generate_name),
    cmocka_unit_test(test_update),
    cmocka_unit_test(test_update_same_writes_nothing),
    cmocka_unit_test(test_dry_run),
    cmocka_unit_test(test_patches),
    cmocka_unit_test(test_patch_keeps_depth),
    cmocka_unit_test(test_server_side_apply),
    cmocka_unit_test(test_status_and_generation),
    cmocka_unit_test(test_apply_gives_up),
    cmocka_unit_test(test_restart_writes_nothing),
};

UNIT_MAIN(tests)
