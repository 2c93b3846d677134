/* Accept headers, as kubectl and client libraries send them, and as they might. */
#include "unit.h"

#include "api/negotiate.h"

#define OBJECTS (NEGOTIATE_JSON | NEGOTIATE_YAML | NEGOTIATE_PROTOBUF)
#define FORMS (NEGOTIATE_OBJECT | NEGOTIATE_TABLE | NEGOTIATE_PARTIAL)

static void check(const char *accept, enum negotiate_media media, enum negotiate_as as)
{
    struct negotiate_result result;
    assert_true(negotiate(accept, OBJECTS, FORMS, &result));
    assert_int_equal(result.media, media);
    assert_int_equal(result.as, as);
}

static void test_plain_types(void **state)
{
    (void)state;
    check(NULL, NEGOTIATE_JSON, NEGOTIATE_OBJECT);
    check("", NEGOTIATE_JSON, NEGOTIATE_OBJECT);
    check("*/*", NEGOTIATE_JSON, NEGOTIATE_OBJECT);
    check("application/*", NEGOTIATE_JSON, NEGOTIATE_OBJECT);
    check("application/json", NEGOTIATE_JSON, NEGOTIATE_OBJECT);
    check("Application/JSON ; charset=utf-8", NEGOTIATE_JSON, NEGOTIATE_OBJECT);
    check("application/yaml", NEGOTIATE_YAML, NEGOTIATE_OBJECT);
    check("application/vnd.kubernetes.protobuf", NEGOTIATE_PROTOBUF, NEGOTIATE_OBJECT);
    check("application/vnd.kubernetes.protobuf,application/json", NEGOTIATE_PROTOBUF, NEGOTIATE_OBJECT);
    check("application/vnd.kubernetes.protobuf;stream=watch", NEGOTIATE_PROTOBUF, NEGOTIATE_OBJECT);
}

static void test_quality(void **state)
{
    (void)state;
    check("application/yaml;q=0.5, application/json", NEGOTIATE_JSON, NEGOTIATE_OBJECT);
    check("application/json;q=0.8, application/yaml;q=0.9", NEGOTIATE_YAML, NEGOTIATE_OBJECT);
    check("application/yaml;q=0.123,application/json;q=0.12", NEGOTIATE_YAML, NEGOTIATE_OBJECT);
    check("text/html, application/yaml;q=0.1", NEGOTIATE_YAML, NEGOTIATE_OBJECT);
    check("application/json;q=0, application/yaml", NEGOTIATE_YAML, NEGOTIATE_OBJECT);
    struct negotiate_result result;
    assert_false(negotiate("application/json;q=0", OBJECTS, FORMS, &result));
    assert_false(negotiate("application/json;q=0.0", OBJECTS, FORMS, &result));
}

static void test_forms(void **state)
{
    (void)state;
    check("application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,"
          "application/json",
          NEGOTIATE_JSON, NEGOTIATE_TABLE);
    check("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1", NEGOTIATE_JSON, NEGOTIATE_PARTIAL);
    check("application/json;as=Other;g=meta.k8s.io;v=v1,application/json", NEGOTIATE_JSON, NEGOTIATE_OBJECT);
    check("application/json;as=Table;v=v2;g=meta.k8s.io,application/json", NEGOTIATE_JSON, NEGOTIATE_OBJECT);
    check("application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io,application/json", NEGOTIATE_JSON,
          NEGOTIATE_OBJECT);
    check("application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
          NEGOTIATE_PROTOBUF, NEGOTIATE_PARTIAL);
    struct negotiate_result result;
    assert_false(
        negotiate("application/json;as=Table;v=v1;g=meta.k8s.io", OBJECTS, NEGOTIATE_OBJECT, &result));
    assert_true(negotiate("application/json;as=Table;v=v1beta1;g=meta.k8s.io", OBJECTS, FORMS, &result));
    assert_true(result.v1beta1);
}

static void test_discovery_forms(void **state)
{
    (void)state;
    struct negotiate_result result;
    const unsigned as = NEGOTIATE_OBJECT | NEGOTIATE_DISCOVERY_V2 | NEGOTIATE_DISCOVERY_V2BETA1;
    assert_true(negotiate("application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
                          "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,"
                          "application/json",
                          NEGOTIATE_JSON, as, &result));
    assert_int_equal(result.as, NEGOTIATE_DISCOVERY_V2);
    assert_true(negotiate("application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
                          NEGOTIATE_JSON, as, &result));
    assert_int_equal(result.as, NEGOTIATE_DISCOVERY_V2BETA1);
}

static void test_nothing_acceptable(void **state)
{
    (void)state;
    struct negotiate_result result;
    static const char *const headers[] = {"text/html", "application/cbor",      ",",          ";;;",
                                          "=",         "application/json;as=X", "application"};
    for (size_t i = 0; i < sizeof(headers) / sizeof(*headers); i++)
        assert_false(negotiate(headers[i], OBJECTS, FORMS, &result));
    char offers[128];
    negotiate_offers(offers, sizeof(offers), OBJECTS);
    assert_string_equal(offers, "application/json, application/yaml, application/vnd.kubernetes.protobuf");
}

static void test_a_long_clause_is_passed_over(void **state)
{
    (void)state;
    char accept[4096];
    memset(accept, 'a', sizeof(accept));
    strcpy(accept + 3000, ",application/yaml");
    check(accept, NEGOTIATE_YAML, NEGOTIATE_OBJECT);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_plain_types),
    cmocka_unit_test(test_quality),
    cmocka_unit_test(test_forms),
    cmocka_unit_test(test_discovery_forms),
    cmocka_unit_test(test_nothing_acceptable),
    cmocka_unit_test(test_a_long_clause_is_passed_over),
};

UNIT_MAIN(tests)
