/* The rules of aggregated ClusterRoles. */
#include "json_text.h"

#include "controller/role_plan.h"

static void test_union_by_name_without_repeats(void **state)
{
    (void)state;
    json_auto_t *role =
        jq("{'metadata':{'name':'sum','labels':{'to':'sum'}},'aggregationRule':{'clusterRoleSelectors':["
           "{'matchLabels':{'to':'sum'}},{'matchLabels':{'also':'yes'}}]},'rules':[{'verbs':['own']}]}");
    json_auto_t *roles =
        jq("[{'metadata':{'name':'c','labels':{'also':'yes'}},'rules':[{'verbs':['get']}]},"
           "{'metadata':{'name':'a','labels':{'to':'sum'}},'rules':[{'verbs':['get']},"
           "{'verbs':['list']}]},"
           "{'metadata':{'name':'b','labels':{'to':'other'}},'rules':[{'verbs':['delete']}]}]");
    json_array_append(roles, role); /* it selects itself by its label, which counts for nothing */
    json_auto_t *rules = role_aggregate(role, roles);
    json_auto_t *expected = jq("[{'verbs':['get']},{'verbs':['list']}]");
    assert_true(json_equal(rules, expected));
}

static void test_nothing_selected(void **state)
{
    (void)state;
    json_auto_t *role = jq("{'metadata':{'name':'sum'},'aggregationRule':{'clusterRoleSelectors':[]}}");
    json_auto_t *roles = jq("[{'metadata':{'name':'a'},'rules':[{'verbs':['get']}]}]");
    json_auto_t *rules = role_aggregate(role, roles);
    assert_int_equal(json_array_size(rules), 0);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_union_by_name_without_repeats),
    cmocka_unit_test(test_nothing_selected),
};
UNIT_MAIN(tests)
