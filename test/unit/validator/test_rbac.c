/* RBAC: Kubernetes' semantics on compiled policies, and how policies follow their objects. */
#include "unit.h"

#include "validator/rbac_policy.h"

#define G "rbac.authorization.k8s.io"

static struct rbac_change change(const char *resource, const char *ns, const char *name, const char *json)
{
    return (struct rbac_change){{G, resource, ns, name}, json, json ? strlen(json) : 0};
}

static struct rbac_policy *policy_make(void)
{
    struct rbac_change changes[] = {
        change(
            "clusterroles", "", "view",
            "{\"rules\":[{\"verbs\":[\"get\",\"list\"],\"apiGroups\":[\"\",\"apps\"],\"resources\":[\"pods\","
            "\"pods/log\",\"deployments\"]},{\"verbs\":[\"get\"],\"nonResourceURLs\":[\"/healthz\",\"/apis/"
            "*\"]}]}"),
        change("clusterroles", "", "scaler",
               "{\"rules\":[{\"verbs\":[\"*\"],\"apiGroups\":[\"*\"],\"resources\":[\"*/scale\"]}]}"),
        change("clusterroles", "", "all",
               "{\"rules\":[{\"verbs\":[\"*\"],\"apiGroups\":[\"*\"],\"resources\":[\"*\"]}]}"),
        change("roles", "dev", "one-config",
               "{\"rules\":[{\"verbs\":[\"update\"],\"apiGroups\":[\"\"],\"resources\":[\"configmaps\"],"
               "\"resourceNames\":[\"settings\"]}]}"),
        change("clusterrolebindings", "", "viewers",
               "{\"roleRef\":{\"kind\":\"ClusterRole\",\"name\":\"view\"},\"subjects\":[{\"kind\":\"Group\","
               "\"name\":"
               "\"staff\"},{\"kind\":\"ServiceAccount\",\"name\":\"bot\",\"namespace\":\"ci\"}]}"),
        change("rolebindings", "dev", "dev-all",
               "{\"roleRef\":{\"kind\":\"ClusterRole\",\"name\":\"all\"},\"subjects\":[{\"kind\":\"User\","
               "\"name\":"
               "\"jane\"}]}"),
        change("rolebindings", "dev", "config",
               "{\"roleRef\":{\"kind\":\"Role\",\"name\":\"one-config\"},\"subjects\":[{\"kind\":\"User\","
               "\"name\":"
               "\"bob\"},{\"kind\":\"ServiceAccount\",\"name\":\"here\"}]}"),
        change("clusterrolebindings", "", "scalers",
               "{\"roleRef\":{\"kind\":\"ClusterRole\",\"name\":\"scaler\"},\"subjects\":[{\"kind\":\"User\","
               "\"name\":"
               "\"bob\"}]}"),
        change("clusterrolebindings", "", "dangling",
               "{\"roleRef\":{\"kind\":\"ClusterRole\",\"name\":\"nobody-made-it\"},\"subjects\":[{\"kind\":"
               "\"User\","
               "\"name\":\"bob\"}]}"),
    };
    return rbac_policy_change(NULL, changes, sizeof(changes) / sizeof(changes[0]));
}

static struct rbac_policy *policy;

static int setup(void **state)
{
    (void)state;
    policy = policy_make();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rbac_policy_release(policy);
    return 0;
}

static bool allows(const char *user, const char *group_of_user, const char *verb, const char *group,
                   const char *resource, const char *sub, const char *ns, const char *name)
{
    struct rbac_attributes a = {
        user, &group_of_user, group_of_user ? 1 : 0, verb, group, resource, sub, ns, name, NULL};
    return rbac_allows(policy, &a, NULL);
}

static bool allows_path(const char *user, const char *group_of_user, const char *path)
{
    struct rbac_attributes a = {user, &group_of_user, group_of_user ? 1 : 0, "get", "", "", "", "", "", path};
    return rbac_allows(policy, &a, NULL);
}

static void test_groups_and_resources(void **state)
{
    (void)state;
    assert_true(allows("x", "staff", "get", "", "pods", "", "any", "p"));
    assert_true(allows("x", "staff", "list", "apps", "deployments", "", "", ""));
    assert_true(allows("x", "staff", "get", "", "pods", "log", "any", "p"));
    assert_false(allows("x", "staff", "get", "", "pods", "exec", "any", "p"));
    assert_false(allows("x", "staff", "delete", "", "pods", "", "any", "p"));
    assert_false(allows("x", "staff", "get", "batch", "pods", "", "any", "p"));
    assert_false(allows("x", NULL, "get", "", "pods", "", "any", "p"));
    assert_false(allows("staff", NULL, "get", "", "pods", "", "any", "p")); /* a user is no group */
}

static void test_masters(void **state)
{
    (void)state;
    assert_true(allows("x", "system:masters", "delete", "any", "thing", "", "", ""));
    assert_true(allows_path("x", "system:masters", "/anything"));
}

static void test_namespaced_bindings(void **state)
{
    (void)state;
    assert_true(allows("jane", NULL, "delete", "apps", "deployments", "", "dev", "d"));
    assert_false(allows("jane", NULL, "delete", "apps", "deployments", "", "prod", "d"));
    assert_false(allows("jane", NULL, "list", "", "nodes", "", "", ""));
    assert_false(allows_path("jane", NULL, "/healthz"));
}

static void test_resource_names(void **state)
{
    (void)state;
    assert_true(allows("bob", NULL, "update", "", "configmaps", "", "dev", "settings"));
    assert_false(allows("bob", NULL, "update", "", "configmaps", "", "dev", "other"));
    assert_false(allows("bob", NULL, "update", "", "configmaps", "", "dev", ""));
}

static void test_subresource_of_any(void **state)
{
    (void)state;
    assert_true(allows("bob", NULL, "update", "apps", "deployments", "scale", "x", "d"));
    assert_false(allows("bob", NULL, "update", "apps", "deployments", "", "x", "d"));
    assert_false(allows("bob", NULL, "update", "apps", "deployments", "status", "x", "d"));
}

static void test_service_accounts(void **state)
{
    (void)state;
    assert_true(allows("system:serviceaccount:ci:bot", NULL, "get", "", "pods", "", "any", "p"));
    assert_false(allows("system:serviceaccount:other:bot", NULL, "get", "", "pods", "", "any", "p"));
    /* Without a namespace the subject is of the binding's. */
    assert_true(
        allows("system:serviceaccount:dev:here", NULL, "update", "", "configmaps", "", "dev", "settings"));
}

static void test_paths(void **state)
{
    (void)state;
    assert_true(allows_path("x", "staff", "/healthz"));
    assert_true(allows_path("x", "staff", "/apis/apps"));
    assert_false(allows_path("x", "staff", "/apis"));
    assert_false(allows_path("x", "staff", "/healthz/more"));
}

static void check_reason(const char *user, const char *group_of_user, const char *ns, const char *expected)
{
    struct rbac_attributes a = {user, &group_of_user, group_of_user ? 1 : 0, "get", "", "pods", "", ns, "p",
                                NULL};
    buf_auto struct buf reason = BUF_INIT;
    assert_true(rbac_allows(policy, &a, &reason));
    assert_string_equal(buf_str(&reason), expected);
}

static void test_reasons(void **state)
{
    (void)state;
    check_reason(
        "x", "staff", "any",
        "RBAC: allowed by ClusterRoleBinding \"viewers\" of ClusterRole \"view\" to Group \"staff\"");
    check_reason("jane", NULL, "dev",
                 "RBAC: allowed by RoleBinding \"dev-all/dev\" of ClusterRole \"all\" to User \"jane\"");
    check_reason("system:serviceaccount:ci:bot", NULL, "any",
                 "RBAC: allowed by ClusterRoleBinding \"viewers\" of ClusterRole \"view\" to ServiceAccount "
                 "\"bot/ci\"");
}

static void test_changes_make_new_policies(void **state)
{
    (void)state;
    struct rbac_change without = change("clusterrolebindings", "", "viewers", NULL);
    struct rbac_policy *changed = rbac_policy_change(policy, &without, 1);
    struct rbac_policy *old = policy;
    assert_true(allows("x", "staff", "get", "", "pods", "", "any", "p"));
    policy = changed;
    assert_false(allows("x", "staff", "get", "", "pods", "", "any", "p"));
    assert_true(allows("jane", NULL, "get", "", "pods", "", "dev", "p"));
    rbac_policy_release(old); /* what the two share stays */
    assert_true(allows("jane", NULL, "get", "", "pods", "", "dev", "p"));

    /* The role that a binding was waiting for comes, and of two changes of one key the last counts. */
    struct rbac_change more[] = {
        change("clusterroles", "", "nobody-made-it", "{\"rules\":[]}"),
        change("clusterroles", "", "nobody-made-it",
               "{\"rules\":[{\"verbs\":[\"get\"],\"apiGroups\":[\"\"],\"resources\":[\"secrets\"]}]}"),
        change("clusterroles", "", "aaa", "not json"),
    };
    assert_false(allows("bob", NULL, "get", "", "secrets", "", "any", "s"));
    changed = rbac_policy_change(policy, more, 3);
    rbac_policy_release(policy);
    policy = changed;
    assert_true(allows("bob", NULL, "get", "", "secrets", "", "any", "s"));
}

static void test_odd_objects_grant_nothing(void **state)
{
    (void)state;
    static const char *const odd[] = {"",
                                      "[]",
                                      "{\"rules\":5}",
                                      "{\"rules\":[7,null,{\"verbs\":\"*\"}]}",
                                      "{\"roleRef\":3,\"subjects\":{\"a\":1}}",
                                      "{\"subjects\":[1,{\"kind\":7}]}"};
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        struct rbac_change changes[] = {change("clusterroles", "", "view", odd[i]),
                                        change("clusterrolebindings", "", "viewers", odd[i])};
        struct rbac_policy *changed = rbac_policy_change(policy, changes, 2);
        struct rbac_policy *old = policy;
        policy = changed;
        assert_false(allows("x", "staff", "get", "", "pods", "", "any", "p"));
        policy = old;
        rbac_policy_release(changed);
    }
    struct rbac_policy *none = rbac_policy_change(NULL, NULL, 0);
    struct rbac_attributes a = {"u", NULL, 0, "get", "", "pods", "", "", "", NULL};
    assert_false(rbac_allows(none, &a, NULL));
    rbac_policy_release(none);
}

static void collect(void *arg, const char *rule_json)
{
    buf_puts(arg, rule_json);
    buf_putc(arg, '\n');
}

static void test_rules_for(void **state)
{
    (void)state;
    struct rbac_attributes who = {.user = "bob", .namespace = "dev"};
    buf_auto struct buf rules = BUF_INIT;
    rbac_rules_for(policy, &who, collect, &rules);
    assert_string_equal(buf_str(&rules),
                        "{\"verbs\":[\"*\"],\"apiGroups\":[\"*\"],\"resources\":[\"*/scale\"]}\n"
                        "{\"verbs\":[\"update\"],\"apiGroups\":[\"\"],\"resources\":[\"configmaps\"],"
                        "\"resourceNames\":[\"settings\"]}\n");
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(test_groups_and_resources, setup, teardown),
    cmocka_unit_test_setup_teardown(test_masters, setup, teardown),
    cmocka_unit_test_setup_teardown(test_namespaced_bindings, setup, teardown),
    cmocka_unit_test_setup_teardown(test_resource_names, setup, teardown),
    cmocka_unit_test_setup_teardown(test_subresource_of_any, setup, teardown),
    cmocka_unit_test_setup_teardown(test_service_accounts, setup, teardown),
    cmocka_unit_test_setup_teardown(test_paths, setup, teardown),
    cmocka_unit_test_setup_teardown(test_reasons, setup, teardown),
    cmocka_unit_test_setup_teardown(test_changes_make_new_policies, setup, teardown),
    cmocka_unit_test_setup_teardown(test_odd_objects_grant_nothing, setup, teardown),
    cmocka_unit_test_setup_teardown(test_rules_for, setup, teardown),
};

UNIT_MAIN(tests)
