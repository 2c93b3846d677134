/* Deletion: at once, with grace, with finalizers, of namespaces and collections. */
#include "api_fixture.h"

#define POD "{\"metadata\":{\"name\":\"p\"%s},\"spec\":{%s\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}"

static void make_pod(struct api_fixture *f, const char *metadata, const char *spec)
{
    mem_auto char *body = NULL;
    assert_true(asprintf(&body, POD, metadata, spec) > 0);
    api_do(f, 201, API_CREATE, "pods", "default", "", body);
}

static void test_status_answer(void **state)
{
    (void)state;
    struct api_fixture f;
    api_fixture_open(&f);
    json_t *made =
        api_ok(&f, 201, API_CREATE, "configmaps", "default", "", "{\"metadata\":{\"name\":\"a\"}}");
    json_t *gone = api_ok(&f, 200, API_DELETE, "configmaps", "default", "a", NULL);
    assert_string_equal(json_str(gone, "status"), "Success");
    assert_string_equal(json_str(gone, "details", "name"), "a");
    assert_string_equal(json_str(gone, "details", "kind"), "configmaps");
    assert_string_equal(json_str(gone, "details", "uid"), json_str(made, "metadata", "uid"));
    json_decref(made);
    json_decref(gone);
    api_fails(&f, 404, "configmaps \"a\" not found", API_DELETE, "configmaps", "default", "a", NULL);
    api_fixture_close(&f);
}

static void test_preconditions(void **state)
{
    (void)state;
    struct api_fixture f;
    api_fixture_open(&f);
    api_do(&f, 201, API_CREATE, "configmaps", "default", "", "{\"metadata\":{\"name\":\"a\"}}");
    api_do(&f, 409, API_DELETE, "configmaps", "default", "a",
           "{\"kind\":\"DeleteOptions\",\"apiVersion\":\"v1\",\"preconditions\":{\"uid\":\"x\"}}");
    api_do(
        &f, 409, API_DELETE, "configmaps", "default", "a",
        "{\"kind\":\"DeleteOptions\",\"apiVersion\":\"v1\",\"preconditions\":{\"resourceVersion\":\"1\"}}");
    api_do(&f, 422, API_DELETE, "configmaps", "default", "a",
           "{\"kind\":\"DeleteOptions\",\"apiVersion\":\"v1\",\"propagationPolicy\":\"Sometimes\"}");
    api_do(&f, 200, API_GET, "configmaps", "default", "a", NULL);
    api_fixture_close(&f);
}

static void test_unscheduled_pod_goes_at_once(void **state)
{
    (void)state;
    struct api_fixture f;
    api_fixture_open(&f);
    make_pod(&f, "", "");
    json_t *gone = api_ok(&f, 200, API_DELETE, "pods", "default", "p", NULL);
    assert_string_equal(json_str(gone, "kind"), "Pod");
    json_decref(gone);
    api_do(&f, 404, API_GET, "pods", "default", "p", NULL);
    api_fixture_close(&f);
}

static void test_bound_pod_gets_grace(void **state)
{
    (void)state;
    struct api_fixture f;
    api_fixture_open(&f);
    make_pod(&f, "", "\"nodeName\":\"n\",");
    json_t *marked = api_ok(&f, 200, API_DELETE, "pods", "default", "p", NULL);
    assert_int_equal(json_int_or(-1, marked, "metadata", "deletionGracePeriodSeconds"), 30);
    assert_non_null(json_at(marked, "metadata", "deletionTimestamp"));
    json_decref(marked);
    /* A longer period does not help it, a shorter one counts. */
    api_do(&f, 200, API_DELETE, "pods", "default", "p", "{\"gracePeriodSeconds\":60}");
    json_t *got = api_ok(&f, 200, API_DELETE, "pods", "default", "p", "{\"gracePeriodSeconds\":5}");
    assert_int_equal(json_int_or(-1, got, "metadata", "deletionGracePeriodSeconds"), 5);
    json_decref(got);
    api_do(&f, 200, API_DELETE, "pods", "default", "p", "{\"gracePeriodSeconds\":0}");
    api_do(&f, 404, API_GET, "pods", "default", "p", NULL);
    api_fixture_close(&f);
}

static void test_finalizer_holds(void **state)
{
    (void)state;
    struct api_fixture f;
    api_fixture_open(&f);
    api_do(&f, 201, API_CREATE, "configmaps", "default", "",
           "{\"metadata\":{\"name\":\"a\",\"finalizers\":[\"example.com/hold\"]}}");
    json_t *marked = api_ok(&f, 200, API_DELETE, "configmaps", "default", "a", NULL);
    assert_non_null(json_at(marked, "metadata", "deletionTimestamp"));
    assert_int_equal(json_int_or(-1, marked, "metadata", "deletionGracePeriodSeconds"), 0);
    json_decref(marked);
    api_do(&f, 200, API_GET, "configmaps", "default", "a", NULL);
    f.extra.content_type = "application/merge-patch+json";
    api_do(&f, 200, API_PATCH, "configmaps", "default", "a", "{\"metadata\":{\"finalizers\":null}}");
    api_do(&f, 404, API_GET, "configmaps", "default", "a", NULL);
    api_fixture_close(&f);
}

static void test_propagation(void **state)
{
    (void)state;
    struct api_fixture f;
    api_fixture_open(&f);
    api_do(&f, 201, API_CREATE, "configmaps", "default", "", "{\"metadata\":{\"name\":\"a\"}}");
    json_t *marked =
        api_ok(&f, 200, API_DELETE, "configmaps", "default", "a", "{\"propagationPolicy\":\"Foreground\"}");
    assert_string_equal(json_string_value(json_array_get(json_at(marked, "metadata", "finalizers"), 0)),
                        "foregroundDeletion");
    json_decref(marked);
    f.extra.propagation_policy = "Orphan";
    marked = api_ok(&f, 200, API_DELETE, "configmaps", "default", "a", NULL);
    assert_string_equal(json_string_value(json_array_get(json_at(marked, "metadata", "finalizers"), 0)),
                        "orphan");
    json_decref(marked);
    f.extra.propagation_policy = "Background";
    api_do(&f, 200, API_DELETE, "configmaps", "default", "a", NULL);
    api_do(&f, 404, API_GET, "configmaps", "default", "a", NULL);
    api_fixture_close(&f);
}

static void test_namespace(void **state)
{
    (void)state;
    struct api_fixture f;
    api_fixture_open(&f);
    api_fails(&f, 403, "namespaces \"default\" is forbidden: this namespace may not be deleted", API_DELETE,
              "namespaces", "", "default", NULL);
    json_t *made = api_ok(&f, 201, API_CREATE, "namespaces", "", "", "{\"metadata\":{\"name\":\"n\"}}");
    assert_string_equal(json_str(made, "status", "phase"), "Active");
    assert_string_equal(json_str(made, "metadata", "labels", "kubernetes.io/metadata.name"), "n");
    json_decref(made);
    json_t *marked = api_ok(&f, 200, API_DELETE, "namespaces", "", "n", NULL);
    assert_string_equal(json_str(marked, "status", "phase"), "Terminating");
    json_t *refused = api_ok(&f, 403, API_CREATE, "configmaps", "n", "", "{\"metadata\":{\"name\":\"a\"}}");
    assert_string_equal(
        json_str(refused, "message"),
        "configmaps \"a\" is forbidden: unable to create new content in namespace n because it is "
        "being terminated");
    assert_string_equal(json_str(json_array_get(json_at(refused, "details", "causes"), 0), "reason"),
                        "NamespaceTerminating");
    json_decref(refused);
    json_object_del(json_object_get(marked, "spec"), "finalizers");
    char *body = json_dumps(marked, 0);
    api_do(&f, 200, API_UPDATE, "namespaces/finalize", "", "n", body);
    free(body);
    json_decref(marked);
    api_do(&f, 404, API_GET, "namespaces", "", "n", NULL);
    api_fixture_close(&f);
}

static void test_collection(void **state)
{
    (void)state;
    struct api_fixture f;
    api_fixture_open(&f);
    for (int i = 0; i < 300; i++) {
        char body[128];
        snprintf(body, sizeof(body), "{\"metadata\":{\"name\":\"a%d\",\"labels\":{\"odd\":\"%d\"}}}", i,
                 i & 1);
        api_do(&f, 201, API_CREATE, "configmaps", "default", "", body);
    }
    f.extra.label_selector = "odd=1";
    api_do(&f, 200, API_DELETE_COLLECTION, "configmaps", "default", "", NULL);
    json_t *left = api_ok(&f, 200, API_LIST, "configmaps", "default", "", NULL);
    assert_int_equal(json_array_size(json_object_get(left, "items")), 150);
    json_decref(left);
    api_do(&f, 200, API_DELETE_COLLECTION, "configmaps", "default", "", NULL);
    left = api_ok(&f, 200, API_LIST, "configmaps", "default", "", NULL);
    assert_int_equal(json_array_size(json_object_get(left, "items")), 0);
    json_decref(left);
    api_fixture_close(&f);
}

static void test_eviction_and_binding(void **state)
{
    (void)state;
    struct api_fixture f;
    api_fixture_open(&f);
    api_do(&f, 201, API_CREATE, "nodes", "", "",
           "{\"metadata\":{\"name\":\"n\"},\"status\":{\"allocatable\":{\"cpu\":\"1\",\"memory\":\"1Gi\","
           "\"pods\":\"2\"}}}");
    make_pod(&f, "", "");
    static const char binding[] =
        "{\"metadata\":{\"name\":\"p\"},\"target\":{\"kind\":\"Node\",\"name\":\"n\"}}";
    json_t *bound = api_ok(&f, 201, API_CREATE, "pods/binding", "default", "p", binding);
    assert_string_equal(json_str(bound, "status"), "Success");
    json_decref(bound);
    api_fails(&f, 409,
              "Operation cannot be fulfilled on pods/binding \"p\": pod p is already assigned to node \"n\"",
              API_CREATE, "pods/binding", "default", "p", binding);
    json_t *pod = api_ok(&f, 200, API_GET, "pods", "default", "p", NULL);
    assert_string_equal(json_str(pod, "spec", "nodeName"), "n");
    assert_string_equal(json_str(json_array_get(json_at(pod, "status", "conditions"), 0), "type"),
                        "PodScheduled");
    json_decref(pod);
    api_do(&f, 201, API_CREATE, "pods/eviction", "default", "p", "{\"metadata\":{\"name\":\"p\"}}");
    pod = api_ok(&f, 200, API_GET, "pods", "default", "p", NULL);
    assert_non_null(json_at(pod, "metadata", "deletionTimestamp"));
    json_decref(pod);
    api_fixture_close(&f);
}

static void test_binding_must_fit(void **state)
{
    (void)state;
    struct api_fixture f;
    api_fixture_open(&f);
    api_do(&f, 201, API_CREATE, "nodes", "", "",
           "{\"metadata\":{\"name\":\"n\"},\"status\":{\"allocatable\":{\"cpu\":\"1\",\"memory\":\"1Gi\","
           "\"pods\":\"9\"}}}");
    for (int i = 0; i < 2; i++) {
        char body[400];
        snprintf(body, sizeof(body),
                 "{\"metadata\":{\"name\":\"p%d\"},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\","
                 "\"resources\":{\"requests\":{\"cpu\":\"600m\"}}}]}}",
                 i);
        api_do(&f, 201, API_CREATE, "pods", "default", "", body);
    }
    static const char binding[] =
        "{\"target\":{\"kind\":\"Node\",\"name\":\"n\"},\"metadata\":{\"name\":\"%s\"}}";
    char body[200];
    snprintf(body, sizeof(body), binding, "p0");
    api_do(&f, 201, API_CREATE, "pods/binding", "default", "p0", body);
    snprintf(body, sizeof(body), binding, "p1");
    struct api_response *response = api_ask(&f, API_CREATE, "pods/binding", "default", "p1", body);
    assert_true(response->status >= 400 && response->status < 500);
    api_response_free(response);
    api_do(&f, 200, API_DELETE, "pods", "default", "p0", "{\"gracePeriodSeconds\":0}");
    api_do(&f, 201, API_CREATE, "pods/binding", "default", "p1", body);
    api_fixture_close(&f);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_status_answer),
    cmocka_unit_test(test_preconditions),
    cmocka_unit_test(test_unscheduled_pod_goes_at_once),
    cmocka_unit_test(test_bound_pod_gets_grace),
    cmocka_unit_test(test_finalizer_holds),
    cmocka_unit_test(test_propagation),
    cmocka_unit_test(test_namespace),
    cmocka_unit_test(test_collection),
    cmocka_unit_test(test_eviction_and_binding),
    cmocka_unit_test(test_binding_must_fit),
};

UNIT_MAIN(tests)
