/* Who owns which fields of what the API makes, and what becomes of fields when a Service changes its type. */
#include "api_fixture.h"

static const json_t *owned_by_first(const json_t *object)
{
    return json_at(json_array_get(json_at(object, "metadata", "managedFields"), 0), "fieldsV1");
}

/* What admission and allocation add belongs to nobody, as in Kubernetes. */
static void test_ownership_is_of_what_was_sent(void **state)
{
    (void)state;
    struct api_fixture f;
    api_fixture_open(&f);
    json_t *pod = api_ok(
        &f, 201, API_CREATE, "pods", "default", "",
        "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"containers\":[{\"name\":\"a\",\"image\":\"b\"}]}}");
    assert_non_null(json_at(pod, "spec", "tolerations"));
    assert_non_null(json_at(owned_by_first(pod), "f:spec", "f:containers"));
    assert_non_null(json_at(owned_by_first(pod), "f:spec", "f:enableServiceLinks"));
    assert_null(json_at(owned_by_first(pod), "f:spec", "f:tolerations"));
    assert_null(json_at(owned_by_first(pod), "f:spec", "f:serviceAccountName"));
    assert_null(json_at(owned_by_first(pod), "f:spec", "f:volumes"));
    json_decref(pod);

    json_t *service = api_ok(&f, 201, API_CREATE, "services", "default", "",
                             "{\"metadata\":{\"name\":\"s\"},\"spec\":{\"ports\":[{\"port\":80}]}}");
    assert_non_null(json_at(service, "spec", "clusterIP"));
    assert_non_null(json_at(owned_by_first(service), "f:spec", "f:ports"));
    assert_null(json_at(owned_by_first(service), "f:spec", "f:clusterIP"));
    json_decref(service);

    json_t *secret = api_ok(&f, 201, API_CREATE, "secrets", "default", "",
                            "{\"metadata\":{\"name\":\"s\"},\"stringData\":{\"k\":\"v\"}}");
    assert_non_null(json_at(owned_by_first(secret), "f:data", "f:k"));
    assert_null(json_at(owned_by_first(secret), "f:stringData"));
    json_decref(secret);
    api_fixture_close(&f);
}

static json_t *patch_service(struct api_fixture *f, const char *patch)
{
    f->extra.content_type = "application/merge-patch+json";
    return api_ok(f, 200, API_PATCH, "services", "default", "s", patch);
}

static void test_service_changes_its_type(void **state)
{
    (void)state;
    struct api_fixture f;
    api_fixture_open(&f);
    json_decref(api_ok(
        &f, 201, API_CREATE, "services", "default", "",
        "{\"metadata\":{\"name\":\"s\"},\"spec\":{\"type\":\"LoadBalancer\",\"ports\":[{\"port\":80}]}}"));
    json_t *service = patch_service(&f, "{\"spec\":{\"type\":\"NodePort\"}}");
    assert_string_equal(json_str(service, "spec", "externalTrafficPolicy"), "Cluster");
    assert_null(json_at(service, "spec", "allocateLoadBalancerNodePorts"));
    json_decref(service);
    service = patch_service(&f, "{\"spec\":{\"type\":\"ClusterIP\"}}");
    assert_null(json_at(service, "spec", "externalTrafficPolicy"));
    assert_null(json_at(json_array_get(json_at(service, "spec", "ports"), 0), "nodePort"));
    json_decref(service);
    service = patch_service(&f, "{\"spec\":{\"type\":\"ExternalName\",\"externalName\":\"a.example\"}}");
    assert_null(json_at(service, "spec", "clusterIP"));
    json_decref(service);

    /* What the client asks for itself is refused rather than dropped. */
    f.extra.content_type = "application/merge-patch+json";
    api_fails(
        &f, 422,
        "Service \"s\" is invalid: spec.externalTrafficPolicy: Invalid value: \"Local\": may only be set for "
        "externally-accessible services",
        API_PATCH, "services", "default", "s",
        "{\"spec\":{\"type\":\"ClusterIP\",\"externalName\":null,\"externalTrafficPolicy\":\"Local\"}}");
    api_fixture_close(&f);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_ownership_is_of_what_was_sent),
    cmocka_unit_test(test_service_changes_its_type),
};

UNIT_MAIN(tests)
