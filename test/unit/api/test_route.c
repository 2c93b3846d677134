/* Paths and methods of the Kubernetes API. */
#include "unit.h"

#include "api/route.h"

static void check(const char *path, enum route_what what, const char *group, const char *version,
                  const char *namespace, const char *resource, const char *name, const char *subresource)
{
    struct route route;
    route_parse(&route, path);
    assert_int_equal(route.what, what);
    assert_string_equal(route.group, group);
    assert_string_equal(route.version, version);
    assert_string_equal(route.namespace, namespace);
    assert_string_equal(route.resource, resource);
    assert_string_equal(route.name, name);
    assert_string_equal(route.subresource, subresource);
    route_free(&route);
}

static void test_resources(void **state)
{
    (void)state;
    check("/api/v1/pods", ROUTE_RESOURCE, "", "v1", "", "pods", "", "");
    check("/api/v1/nodes/a", ROUTE_RESOURCE, "", "v1", "", "nodes", "a", "");
    check("/api/v1/namespaces/ns/pods", ROUTE_RESOURCE, "", "v1", "ns", "pods", "", "");
    check("/api/v1/namespaces/ns/pods/p/log", ROUTE_RESOURCE, "", "v1", "ns", "pods", "p", "log");
    check("/apis/apps/v1/namespaces/ns/deployments/d/scale", ROUTE_RESOURCE, "apps", "v1", "ns",
          "deployments", "d", "scale");
    check("/apis/apps/v1/namespaces/ns/deployments/", ROUTE_RESOURCE, "apps", "v1", "ns", "deployments", "",
          "");
}

static void test_namespaces_are_resources_too(void **state)
{
    (void)state;
    check("/api/v1/namespaces", ROUTE_RESOURCE, "", "v1", "", "namespaces", "", "");
    check("/api/v1/namespaces/ns", ROUTE_RESOURCE, "", "v1", "", "namespaces", "ns", "");
    check("/api/v1/namespaces/ns/status", ROUTE_RESOURCE, "", "v1", "", "namespaces", "ns", "status");
    check("/api/v1/namespaces/ns/finalize", ROUTE_RESOURCE, "", "v1", "", "namespaces", "ns", "finalize");
    /* A namespace called "status" is one like any other. */
    check("/api/v1/namespaces/status/pods", ROUTE_RESOURCE, "", "v1", "status", "pods", "", "");
}

static void test_discovery_paths(void **state)
{
    (void)state;
    check("/", ROUTE_INDEX, "", "", "", "", "", "");
    check("", ROUTE_INDEX, "", "", "", "", "", "");
    check("/api", ROUTE_API_VERSIONS, "", "", "", "", "", "");
    check("/api/", ROUTE_API_VERSIONS, "", "", "", "", "", "");
    check("/api/v1", ROUTE_GROUP_VERSION, "", "v1", "", "", "", "");
    check("/apis", ROUTE_GROUPS, "", "", "", "", "", "");
    check("/apis/apps", ROUTE_GROUP, "apps", "", "", "", "", "");
    check("/apis/apps/v1", ROUTE_GROUP_VERSION, "apps", "v1", "", "", "", "");
}

static void test_other_paths(void **state)
{
    (void)state;
    check("/version", ROUTE_VERSION, "", "", "", "", "", "");
    check("/metrics", ROUTE_METRICS, "", "", "", "", "", "");
    check("/openapi/v2", ROUTE_OPENAPI_V2, "", "", "", "", "", "");
    check("/openapi/v3", ROUTE_OPENAPI_V3_INDEX, "", "", "", "", "", "");
    check("/openapi/v3/api/v1", ROUTE_OPENAPI_V3, "", "v1", "", "", "", "");
    check("/openapi/v3/apis/apps/v1", ROUTE_OPENAPI_V3, "apps", "v1", "", "", "", "");
    check("/openid/v1/jwks", ROUTE_JWKS, "", "", "", "", "", "");
    check("/.well-known/openid-configuration", ROUTE_OPENID, "", "", "", "", "", "");
    check("/katena/v1/chain", ROUTE_CHAIN, "", "", "", "", "", "");
    check("/katena/v1/chain/log", ROUTE_CHAIN, "", "", "", "", "log", "");
    check("/katena/v1/ca", ROUTE_CA, "", "", "", "", "", "");
    check("/katena/v1/join", ROUTE_JOIN, "", "", "", "", "", "");
    check("/katena/v1/status", ROUTE_STATUS, "", "", "", "", "", "");
    check("/katena/v1/nodes", ROUTE_NODES, "", "", "", "", "", "");
    check("/katena/v1/nodes/a", ROUTE_NODES, "", "", "", "", "a", "");
    check("/katena/v1/tx/00ff", ROUTE_TX, "", "", "", "", "00ff", "");
    static const char *const nothing[] = {"/versions",
                                          "/katena/v1/join/x",
                                          "/katena/v1/nodes/a/b",
                                          "/katena/v2/nodes",
                                          "/version/x",
                                          "/openapi",
                                          "/openapi/v4",
                                          "/openapi/v3/x/v1",
                                          "/openid/v1",
                                          "/healthz/a/b",
                                          "/a",
                                          "/katena/v1",
                                          "/katena/v2/chain",
                                          "/katena/v1/chain/a/b",
                                          "/api/v1/watch",
                                          "/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r"};
    for (size_t i = 0; i < sizeof(nothing) / sizeof(*nothing); i++) {
        struct route route;
        route_parse(&route, nothing[i]);
        assert_int_equal(route.what, ROUTE_NONE);
        route_free(&route);
    }
}

static void test_health_checks(void **state)
{
    (void)state;
    struct route route;
    route_parse(&route, "/readyz/ping");
    assert_int_equal(route.what, ROUTE_HEALTH);
    assert_string_equal(route.check, "ping");
    route_free(&route);
}

static void test_deeper_paths_are_marked(void **state)
{
    (void)state;
    struct route route;
    route_parse(&route, "/api/v1/namespaces/ns/pods/p/proxy/a/b");
    assert_true(route.deep);
    assert_string_equal(route.subresource, "proxy");
    route_free(&route);
    route_parse(&route, "/api/v1/namespaces/ns/pods/p/log");
    assert_false(route.deep);
    route_free(&route);
}

static void check_verb(const char *method, const char *path, bool watching, enum api_verb expected)
{
    struct route route;
    enum api_verb verb;
    route_parse(&route, path);
    assert_true(route_verb(&route, method, watching, &verb));
    assert_int_equal(verb, expected);
    route_free(&route);
}

static void test_verbs(void **state)
{
    (void)state;
    static const char list[] = "/api/v1/namespaces/ns/pods";
    static const char one[] = "/api/v1/namespaces/ns/pods/p";
    check_verb("GET", list, false, API_LIST);
    check_verb("GET", list, true, API_WATCH);
    check_verb("GET", one, false, API_GET);
    check_verb("HEAD", one, false, API_GET);
    check_verb("GET", one, true, API_WATCH);
    check_verb("GET", "/api/v1/namespaces/ns/pods/p/log", true, API_GET);
    check_verb("GET", "/api/v1/watch/namespaces/ns/pods", false, API_WATCH);
    check_verb("POST", list, false, API_CREATE);
    check_verb("PUT", one, false, API_UPDATE);
    check_verb("PATCH", one, false, API_PATCH);
    check_verb("DELETE", one, false, API_DELETE);
    check_verb("DELETE", list, false, API_DELETE_COLLECTION);
    struct route route;
    enum api_verb verb;
    route_parse(&route, list);
    assert_false(route_verb(&route, "BREW", false, &verb));
    assert_false(route_verb(&route, "get", false, &verb)); /* methods are case-sensitive: RFC 9110, 9.1 */
    route_free(&route);
}

static void test_allowed_verbs(void **state)
{
    (void)state;
    static const char *const verbs[] = {"create", "get", "list", NULL};
    static const char *const status_verbs[] = {"get", "patch", NULL};
    static const struct schema_subresource subresources[] = {{.name = "status", .verbs = status_verbs}};
    struct schema_kind kind = {.verbs = verbs, .subresources = subresources, .subresource_count = 1};
    assert_true(route_allows(&kind, "", API_LIST));
    assert_false(route_allows(&kind, "", API_DELETE));
    assert_true(route_allows(&kind, "status", API_PATCH));
    assert_false(route_allows(&kind, "status", API_CREATE));
    assert_false(route_allows(&kind, "scale", API_GET));
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_resources),       cmocka_unit_test(test_namespaces_are_resources_too),
    cmocka_unit_test(test_discovery_paths), cmocka_unit_test(test_other_paths),
    cmocka_unit_test(test_health_checks),   cmocka_unit_test(test_deeper_paths_are_marked),
    cmocka_unit_test(test_verbs),           cmocka_unit_test(test_allowed_verbs),
};

UNIT_MAIN(tests)
