/* Who may do what; Secrets at rest; reviews; tokens. */
#include "api_fixture.h"

#include <sys/stat.h>

static const char *const authenticated[] = {"system:authenticated"};

static void become(struct api_fixture *f, const char *user)
{
    f->user = (struct api_user){.name = user, .uid = "", .groups = authenticated, .group_count = 1};
}

static void become_admin(struct api_fixture *f)
{
    f->user = (struct api_user){.name = "admin", .uid = "", .groups = api_masters, .group_count = 2};
}

static void test_forbidden_texts(void **state)
{
    (void)state;
    struct api_fixture f;
    api_fixture_open(&f);
    become(&f, "jane");
    api_fails(
        &f, 403,
        "pods is forbidden: User \"jane\" cannot list resource \"pods\" in API group \"\" in the namespace "
        "\"default\"",
        API_LIST, "pods", "default", "", NULL);
    api_fails(&f, 403,
              "deployments.apps is forbidden: User \"jane\" cannot list resource \"deployments\" in API "
              "group \"apps\" "
              "at the cluster scope",
              API_LIST, "deployments", "", "", NULL);
    api_fails(&f, 403,
              "pods \"a\" is forbidden: User \"jane\" cannot get resource \"pods\" in API group \"\" in the "
              "namespace "
              "\"default\"",
              API_GET, "pods", "default", "a", NULL);
    api_fails(&f, 403,
              "pods \"a\" is forbidden: User \"jane\" cannot create resource \"pods/eviction\" in API group "
              "\"\" in "
              "the namespace \"default\"",
              API_CREATE, "pods/eviction", "default", "a", "{}");
    api_fails(&f, 403,
              "namespaces \"x\" is forbidden: User \"jane\" cannot get resource \"namespaces\" in API group "
              "\"\" in the "
              "namespace \"x\"",
              API_GET, "namespaces", "", "x", NULL);
    api_fixture_close(&f);
}

static void test_role_binding_grants(void **state)
{
    (void)state;
    struct api_fixture f;
    api_fixture_open(&f);
    api_do(
        &f, 201, API_CREATE, "rolebindings", "default", "",
        "{\"metadata\":{\"name\":\"b\"},\"roleRef\":{\"apiGroup\":\"rbac.authorization.k8s.io\",\"kind\":"
        "\"ClusterRole\",\"name\":\"edit\"},\"subjects\":[{\"kind\":\"User\",\"name\":\"jane\",\"apiGroup\":"
        "\"rbac.authorization.k8s.io\"}]}");
    become(&f, "jane");
    api_do(&f, 201, API_CREATE, "configmaps", "default", "", "{\"metadata\":{\"name\":\"a\"}}");
    api_do(&f, 200, API_LIST, "pods", "default", "", NULL);
    api_do(&f, 403, API_CREATE, "configmaps", "kube-system", "", "{\"metadata\":{\"name\":\"a\"}}");
    api_do(&f, 403, API_CREATE, "rolebindings", "default", "",
           "{\"metadata\":{\"name\":\"c\"},\"roleRef\":{\"apiGroup\":\"rbac.authorization.k8s.io\",\"kind\":"
           "\"ClusterRole\",\"name\":\"cluster-admin\"}}");
    api_fixture_close(&f);
}

static void test_no_escalation(void **state)
{
    (void)state;
    struct api_fixture f;
    api_fixture_open(&f);
    api_do(&f, 201, API_CREATE, "clusterroles", "", "",
           "{\"metadata\":{\"name\":\"author\"},\"rules\":[{\"apiGroups\":[\"rbac.authorization.k8s.io\"],"
           "\"resources\":[\"roles\",\"rolebindings\"],\"verbs\":[\"create\"]},{\"apiGroups\":[\"\"],"
           "\"resources\":["
           "\"pods\"],\"verbs\":[\"get\"]}]}");
    api_do(&f, 201, API_CREATE, "clusterrolebindings", "", "",
           "{\"metadata\":{\"name\":\"author\"},\"roleRef\":{\"apiGroup\":\"rbac.authorization.k8s.io\","
           "\"kind\":"
           "\"ClusterRole\",\"name\":\"author\"},\"subjects\":[{\"kind\":\"User\",\"name\":\"jane\","
           "\"apiGroup\":"
           "\"rbac.authorization.k8s.io\"}]}");
    become(&f, "jane");
    api_do(&f, 201, API_CREATE, "roles", "default", "",
           "{\"metadata\":{\"name\":\"mine\"},\"rules\":[{\"apiGroups\":[\"\"],\"resources\":[\"pods\"],"
           "\"verbs\":["
           "\"get\"]}]}");
    api_fails(
        &f, 403,
        "roles.rbac.authorization.k8s.io \"more\" is forbidden: user \"jane\" "
        "(groups=[\"system:authenticated\"]) "
        "is attempting to grant RBAC permissions not currently held:\n"
        "{APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\"]}",
        API_CREATE, "roles", "default", "",
        "{\"metadata\":{\"name\":\"more\"},\"rules\":[{\"apiGroups\":[\"\"],\"resources\":[\"secrets\"],"
        "\"verbs\":[\"get\"]}]}");
    api_fixture_close(&f);
}

static const char needle[] = "cGx1dG9uaXVtLXBhc3N3b3Jk"; /* base64 of a password */
static int needle_hits;

static int search_file(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)ftw;
    if (type != FTW_F)
        return 0;
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    char *bytes = mem_alloc((size_t)st->st_size + 1);
    size_t len = fread(bytes, 1, (size_t)st->st_size, file);
    fclose(file);
    needle_hits += memmem(bytes, len, needle, sizeof(needle) - 1) != NULL;
    free(bytes);
    return 0;
}

static void test_secrets_are_sealed(void **state)
{
    (void)state;
    struct api_fixture f;
    api_fixture_open(&f);
    char body[256];
    snprintf(body, sizeof(body), "{\"metadata\":{\"name\":\"s\"},\"data\":{\"password\":\"%s\"}}", needle);
    api_do(&f, 201, API_CREATE, "secrets", "default", "", body);
    f.extra.content_type = "application/merge-patch+json";
    snprintf(body, sizeof(body), "{\"data\":{\"second\":\"%s\"}}", needle);
    api_do(&f, 200, API_PATCH, "secrets", "default", "s", body);
    api_fixture_stop(&f);
    needle_hits = 0;
    nftw(f.dir, search_file, 16, FTW_PHYS);
    assert_int_equal(needle_hits, 0);
    api_fixture_start(&f);
    json_t *secret = api_ok(&f, 200, API_GET, "secrets", "default", "s", NULL);
    assert_string_equal(json_str(secret, "data", "password"), needle);
    assert_string_equal(json_str(secret, "data", "second"), needle);
    json_decref(secret);
    /* The search does find what is in the clear. */
    snprintf(body, sizeof(body), "{\"metadata\":{\"name\":\"c\"},\"data\":{\"password\":\"%s\"}}", needle);
    api_do(&f, 201, API_CREATE, "configmaps", "default", "", body);
    nftw(f.dir, search_file, 16, FTW_PHYS);
    assert_true(needle_hits > 0);
    api_fixture_close(&f);
}

static void test_access_reviews(void **state)
{
    (void)state;
    struct api_fixture f;
    api_fixture_open(&f);
    json_t *review =
        api_ok(&f, 201, API_CREATE, "subjectaccessreviews", "", "",
               "{\"spec\":{\"user\":\"jane\",\"resourceAttributes\":{\"verb\":\"get\",\"resource\":\"pods\","
               "\"namespace\":\"default\"}}}");
    assert_true(json_is_false(json_at(review, "status", "allowed")));
    json_decref(review);
    review =
        api_ok(&f, 201, API_CREATE, "subjectaccessreviews", "", "",
               "{\"spec\":{\"groups\":[\"system:masters\"],\"user\":\"x\",\"resourceAttributes\":{\"verb\":"
               "\"get\",\"resource\":\"pods\"}}}");
    assert_true(json_is_true(json_at(review, "status", "allowed")));
    json_decref(review);
    become(&f, "jane");
    review = api_ok(&f, 201, API_CREATE, "selfsubjectreviews", "", "", "{}");
    assert_string_equal(json_str(review, "status", "userInfo", "username"), "jane");
    json_decref(review);
    review = api_ok(&f, 201, API_CREATE, "selfsubjectrulesreviews", "", "",
                    "{\"spec\":{\"namespace\":\"default\"}}");
    assert_true(json_array_size(json_at(review, "status", "resourceRules")) > 0);
    assert_true(json_array_size(json_at(review, "status", "nonResourceRules")) > 0);
    json_decref(review);
    review = api_ok(&f, 201, API_CREATE, "selfsubjectaccessreviews", "", "",
                    "{\"spec\":{\"nonResourceAttributes\":{\"verb\":\"get\",\"path\":\"/version\"}}}");
    assert_true(json_is_true(json_at(review, "status", "allowed")));
    json_decref(review);
    api_do(&f, 422, API_CREATE, "selfsubjectaccessreviews", "", "", "{\"spec\":{}}");
    become_admin(&f);
    api_fixture_close(&f);
}

static void test_tokens(void **state)
{
    (void)state;
    struct api_fixture f;
    api_fixture_open(&f);
    api_do(&f, 404, API_CREATE, "serviceaccounts/token", "default", "robot", "{\"spec\":{}}");
    api_do(&f, 201, API_CREATE, "serviceaccounts", "default", "", "{\"metadata\":{\"name\":\"robot\"}}");
    json_t *request = api_ok(&f, 201, API_CREATE, "serviceaccounts/token", "default", "robot",
                             "{\"spec\":{\"expirationSeconds\":1200}}");
    const char *token = json_str(request, "status", "token");
    assert_non_null(token);
    mem_auto char *body = mem_printf("{\"spec\":{\"token\":\"%s\"}}", token);
    json_t *review = api_ok(&f, 201, API_CREATE, "tokenreviews", "", "", body);
    assert_true(json_is_true(json_at(review, "status", "authenticated")));
    assert_string_equal(json_str(review, "status", "user", "username"),
                        "system:serviceaccount:default:robot");
    json_decref(review);
    json_decref(request);
    api_do(&f, 200, API_DELETE, "serviceaccounts", "default", "robot", NULL);
    review = api_ok(&f, 201, API_CREATE, "tokenreviews", "", "", body);
    assert_false(json_is_true(json_at(review, "status", "authenticated")));
    json_decref(review);
    api_do(&f, 201, API_CREATE, "serviceaccounts", "default", "", "{\"metadata\":{\"name\":\"robot\"}}");
    api_do(&f, 422, API_CREATE, "serviceaccounts/token", "default", "robot",
           "{\"spec\":{\"expirationSeconds\":5}}");
    api_fixture_close(&f);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_forbidden_texts), cmocka_unit_test(test_role_binding_grants),
    cmocka_unit_test(test_no_escalation),   cmocka_unit_test(test_secrets_are_sealed),
    cmocka_unit_test(test_access_reviews),  cmocka_unit_test(test_tokens),
};

UNIT_MAIN(tests)
