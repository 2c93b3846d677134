/* What becomes of changes whose blocks were abandoned. */
#include "replay_sides.h"

/* ---- changes of users ---- */

static void test_what_still_holds_comes_back_as_it_is(void **state)
{
    (void)state;
    cut(make_config);
    patch(&s.loser, "configmaps", "c", "{'data':{'a':'2'}}");
    patch(&s.loser, "configmaps", "c", "{'data':{'b':'2'}}");
    create(&s.loser, "configmaps", "{'metadata':{'name':'n'}}");
    bring();
    assert_int_equal(s.as_is, 3);
    json_auto_t *c = get("configmaps", "c");
    assert_text("2", c, "data", "a");
    assert_text("2", c, "data", "b");
    bring(); /* and only once */
    assert_int_equal(s.as_is, 3);
    assert_conflicts(0);
    end();
}

static void test_disjoint_fields_are_merged(void **state)
{
    (void)state;
    cut(make_config);
    patch(&s.winner, "configmaps", "c", "{'data':{'a':'w'}}");
    patch(&s.loser, "configmaps", "c", "{'data':{'b':'l'}}");
    patch(&s.loser, "configmaps", "c", "{'metadata':{'labels':{'later':'yes'}}}");
    bring();
    assert_int_equal(s.replayed, 2);
    json_auto_t *c = get("configmaps", "c");
    assert_text("w", c, "data", "a");
    assert_text("l", c, "data", "b");
    assert_string_equal(json_str_or_empty(c, "metadata", "labels", "later"), "yes");
    assert_conflicts(0);
    json_auto_t *before = get("configmaps", "c");
    bring();
    json_auto_t *after = get("configmaps", "c");
    assert_true(json_equal(before, after));
    end();
}

static void test_the_same_field_is_a_conflict(void **state)
{
    (void)state;
    cut(make_config);
    patch(&s.winner, "configmaps", "c", "{'data':{'a':'w'}}");
    patch(&s.loser, "configmaps", "c", "{'data':{'a':'l','b':'l'}}");
    bring();
    json_auto_t *c = get("configmaps", "c");
    assert_text("w", c, "data", "a");
    assert_text("l", c, "data", "b");
    json_auto_t *list = conflicts();
    assert_int_equal(json_array_size(list), 1);
    const json_t *conflict = json_array_get(list, 0);
    assert_text("c", conflict, "object", "name");
    assert_text("ConfigMap", conflict, "object", "kind");
    assert_string_equal(json_str_or_empty(conflict, "user"), "admin");
    assert_string_equal(json_str_or_empty(conflict, "outcome"), "Merged");
    assert_string_equal(json_str_or_empty(conflict, "metadata", "namespace"), "default");
    json_auto_t *expected = jq("[{'path':'.data.a','winner':'\\'w\\'','loser':'\\'l\\''}]");
    assert_true(json_equal(json_object_get(conflict, "losses"), expected));
    orphan_conflicts_free(s.conflicts); /* writes what is queued */
    s.conflicts = NULL;
    json_auto_t *events = api_ok(&s.winner, 200, API_LIST, "events", "default", "", NULL);
    const json_t *event = json_array_get(json_object_get(events, "items"), 0);
    assert_string_equal(json_str_or_empty(event, "reason"), "ReplayConflict");
    assert_string_equal(json_str_or_empty(event, "type"), "Warning");
    assert_text("c", event, "involvedObject", "name");
    assert_non_null(strstr(json_str_or_empty(event, "message"), ".data.a stays \"w\" and not \"l\""));
    end();
}

static void test_conflicts_are_told_once(void **state)
{
    (void)state;
    cut(make_config);
    patch(&s.winner, "configmaps", "c", "{'data':{'a':'w'}}");
    patch(&s.loser, "configmaps", "c", "{'data':{'a':'l'}}");
    bring();
    bring();
    assert_conflicts(1);
    orphan_conflicts_free(s.conflicts);
    s.conflicts = NULL;
    json_auto_t *events = api_ok(&s.winner, 200, API_LIST, "events", "default", "", NULL);
    assert_int_equal(json_array_size(json_object_get(events, "items")), 1);
    assert_int_equal(json_int_or(0, json_array_get(json_object_get(events, "items"), 0), "count"), 1);
    end();
}

static void test_what_was_replaced_on_its_own_side(void **state)
{
    (void)state;
    cut(make_config);
    patch(&s.winner, "configmaps", "c", "{'data':{'a':'w','b':'w'}}");
    patch(&s.loser, "configmaps", "c", "{'data':{'a':'l1'}}");
    patch(&s.loser, "configmaps", "c", "{'data':{'a':'l2','b':'l2'}}");
    patch(&s.loser, "configmaps", "c", "{'data':{'a':'l3'}}");
    heal();
    json_auto_t *list = await_conflicts(2);
    char *text = json_dumps(list, 0);
    assert_null(strstr(text, "l1"));
    assert_non_null(strstr(text, "{\"path\": \".data.a\", \"winner\": \"\\\"w\\\"\", \"loser\": "
                                 "\"\\\"l3\\\"\"}"));
    assert_non_null(strstr(text, "{\"path\": \".data.b\", \"winner\": \"\\\"w\\\"\", \"loser\": "
                                 "\"\\\"l2\\\"\"}"));
    free(text);
    end();
}

static void test_a_create_of_what_exists_is_an_apply(void **state)
{
    (void)state;
    cut(NULL);
    create(&s.winner, "configmaps", "{'metadata':{'name':'n'},'data':{'a':'w','w':'w'}}");
    create(&s.loser, "configmaps", "{'metadata':{'name':'n'},'data':{'a':'l','l':'l'}}");
    patch(&s.loser, "configmaps", "n", "{'data':{'later':'l'}}");
    json_auto_t *won = get("configmaps", "n");
    bring();
    json_auto_t *n = get("configmaps", "n");
    json_auto_t *expected = jq("{'a':'w','w':'w','l':'l','later':'l'}");
    assert_true(json_equal(json_object_get(n, "data"), expected));
    assert_string_equal(json_str_or_empty(n, "metadata", "uid"), json_str_or_empty(won, "metadata", "uid"));
    assert_conflicts(1);
    end();
}

static void test_what_was_deleted_stays_deleted(void **state)
{
    (void)state;
    cut(make_config);
    api_do(&s.winner, 200, API_DELETE, "configmaps", "default", "c", NULL);
    patch(&s.loser, "configmaps", "c", "{'data':{'a':'l'}}");
    bring();
    api_do(&s.winner, 404, API_GET, "configmaps", "default", "c", NULL);
    json_auto_t *list = conflicts();
    assert_int_equal(json_array_size(list), 1);
    assert_string_equal(json_str_or_empty(json_array_get(list, 0), "outcome"), "Lost");
    assert_string_equal(json_str_or_empty(json_array_get(list, 0), "reason"), "the object was deleted");
    end();
}

static void test_a_deletion_wins_over_a_change(void **state)
{
    (void)state;
    cut(make_config);
    patch(&s.winner, "configmaps", "c", "{'data':{'a':'w'}}");
    api_do(&s.loser, 200, API_DELETE, "configmaps", "default", "c", NULL);
    bring();
    api_do(&s.winner, 404, API_GET, "configmaps", "default", "c", NULL);
    assert_conflicts(0);
    end();
}

static void test_a_deletion_waits_for_new_finalizers(void **state)
{
    (void)state;
    cut(make_config);
    patch(&s.winner, "configmaps", "c", "{'metadata':{'finalizers':['x/y']}}");
    api_do(&s.loser, 200, API_DELETE, "configmaps", "default", "c", NULL);
    bring();
    json_auto_t *c = get("configmaps", "c");
    assert_non_null(json_at(c, "metadata", "deletionTimestamp"));
    patch(&s.winner, "configmaps", "c", "{'metadata':{'finalizers':null}}");
    api_do(&s.winner, 404, API_GET, "configmaps", "default", "c", NULL);
    end();
}

static void test_an_explicit_version_stays_strict(void **state)
{
    (void)state;
    cut(make_config);
    json_auto_t *c = get("configmaps", "c");
    json_set_str(json_object_get(c, "data"), "b", "l");
    char *body = json_dumps(c, 0);
    api_do(&s.loser, 200, API_UPDATE, "configmaps", "default", "c", body);
    free(body);
    patch(&s.winner, "configmaps", "c", "{'data':{'a':'w'}}");
    bring();
    json_auto_t *after = get("configmaps", "c");
    assert_text("1", after, "data", "b");
    json_auto_t *list = conflicts();
    assert_int_equal(json_array_size(list), 1);
    assert_string_equal(json_str_or_empty(json_array_get(list, 0), "losses") ?: "", "");
    assert_string_equal(json_str_or_empty(json_array_get(list, 0), "outcome"), "Lost");
    end();
}

static void test_a_namespace_that_is_gone(void **state)
{
    (void)state;
    cut(NULL);
    api_do(&s.loser, 201, API_CREATE, "namespaces", "", "", "{\"metadata\":{\"name\":\"ns\"}}");
    api_do(&s.winner, 201, API_CREATE, "namespaces", "", "", "{\"metadata\":{\"name\":\"ns\"}}");
    api_do(&s.loser, 201, API_CREATE, "configmaps", "ns", "", "{\"metadata\":{\"name\":\"n\"}}");
    bring();
    api_do(&s.winner, 200, API_GET, "configmaps", "ns", "n", NULL);
    assert_conflicts(0);
    end();
}

/* What was told on the side that lost is told on the other one, too. */
static void test_a_conflict_whose_namespace_is_gone(void **state)
{
    (void)state;
    cut(NULL);
    api_do(&s.loser, 201, API_CREATE, "namespaces", "", "", "{\"metadata\":{\"name\":\"ns\"}}");
    api_do(&s.loser, 201, API_CREATE, "conflicts", "ns", "",
           "{\"metadata\":{\"name\":\"told\"},\"user\":\"u\",\"outcome\":\"Lost\",\"losses\":[]}");
    s.fork++; /* the namespace itself does not come back */
    bring();
    assert_int_equal(s.replayed, 1);
    json_auto_t *list = await_conflicts(1);
    assert_text("told", json_array_get(list, 0), "metadata", "name");
    assert_text("kube-system", json_array_get(list, 0), "metadata", "namespace");
    bring();
    assert_conflicts(1);
    end();
}

static void test_rights_that_were_taken(void **state)
{
    (void)state;
    cut(make_config);
    static const char *const groups[] = {"system:authenticated"};
    const char *role =
        "{\"metadata\":{\"name\":\"r\"},\"roleRef\":{\"apiGroup\":\"rbac.authorization.k8s.io\","
        "\"kind\":\"ClusterRole\",\"name\":\"cluster-admin\"},\"subjects\":[{\"kind\":\"User\","
        "\"name\":\"u\",\"apiGroup\":\"rbac.authorization.k8s.io\"}]}";
    api_do(&s.loser, 201, API_CREATE, "clusterrolebindings", "", "", role);
    s.loser.user = (struct api_user){.name = "u", .uid = "", .groups = groups, .group_count = 1};
    patch(&s.loser, "configmaps", "c", "{'data':{'a':'l'}}");
    s.loser.user = s.winner.user;
    s.fork++; /* the right itself does not come back */
    bring();
    json_auto_t *c = get("configmaps", "c");
    assert_text("1", c, "data", "a");
    json_auto_t *list = conflicts();
    assert_int_equal(json_array_size(list), 1);
    assert_non_null(strstr(json_str_or_empty(json_array_get(list, 0), "reason"), "is forbidden: User \"u\""));
    end();
}

/* ---- kinds with something of their own ---- */

static void make_secret(struct api_fixture *f)
{
    create(f, "secrets", "{'metadata':{'name':'s'},'data':{'a':'MQ==','b':'MQ=='}}");
}

static void test_secrets_are_merged_and_never_shown(void **state)
{
    (void)state;
    cut(make_secret);
    patch(&s.winner, "secrets", "s", "{'data':{'a':'Vw=='}}");
    patch(&s.loser, "secrets", "s", "{'data':{'a':'TA==','n':'TA=='}}");
    bring();
    json_auto_t *secret = get("secrets", "s");
    assert_text("Vw==", secret, "data", "a");
    assert_text("MQ==", secret, "data", "b");
    /* The sealed base of what stood only on the other side is known by its transaction. */
    assert_text("TA==", secret, "data", "n");
    json_auto_t *list = conflicts();
    assert_int_equal(json_array_size(list), 1);
    char *text = json_dumps(list, 0);
    assert_null(strstr(text, "Vw=="));
    assert_null(strstr(text, "TA=="));
    assert_non_null(strstr(text, ".data.a"));
    free(text);
    end();
}

#define SERVICE(name) \
    "{'metadata':{'name':'" name "'},'spec':{'clusterIP':'10.43.0.99','ports':[{'port':80}]}}"

static void test_two_services_do_not_share_an_address(void **state)
{
    (void)state;
    cut(NULL);
    create(&s.winner, "services", SERVICE("w"));
    create(&s.loser, "services", SERVICE("l"));
    uint64_t head = head_of(&s.loser);
    struct block *block;
    struct err err = {0};
    assert_int_equal(blockstore_block_at(ledger_store(s.loser.ledger), head, &block, &err), 0);
    struct orphan_part part;
    orphan_part_open(s.winner.server, &part, block->txs[0], 0);
    assert_true(orphan_service_taken(s.winner.server, part.orphan));
    orphan_part_close(&part);
    assert_int_equal(orphan_replay(s.winner.server, &s.aliases, s.conflicts, block->txs[0], &err), 0);
    block_free(block);
    json_auto_t *l = get("services", "l");
    assert_true(strlen(json_str_or_empty(l, "spec", "clusterIP")) > 0);
    assert_string_not_equal(json_str_or_empty(l, "spec", "clusterIP"), "10.43.0.99");
    assert_conflicts(1);
    end();
}

/* ---- what components wrote ---- */

static void make_pod(struct api_fixture *f)
{
    create(f, "serviceaccounts", "{'metadata':{'name':'default'}}");
    api_do(f, 201, API_CREATE, "nodes", "", "",
           "{\"metadata\":{\"name\":\"n1\"},\"status\":{\"allocatable\":{\"cpu\":\"4\",\"memory\":\"8Gi\","
           "\"pods\":\"10\"},\"capacity\":{\"cpu\":\"4\",\"memory\":\"8Gi\",\"pods\":\"10\"}}}");
    api_do(f, 201, API_CREATE, "nodes", "", "",
           "{\"metadata\":{\"name\":\"n2\"},\"status\":{\"allocatable\":{\"cpu\":\"4\",\"memory\":\"8Gi\","
           "\"pods\":\"10\"},\"capacity\":{\"cpu\":\"4\",\"memory\":\"8Gi\",\"pods\":\"10\"}}}");
    create(f, "pods", "{'metadata':{'name':'p'},'spec':{'containers':[{'name':'c','image':'i'}]}}");
    create(f, "serviceaccounts", "{'metadata':{'name':'other'}}");
}

static void bind_pod(struct api_fixture *f, const char *node)
{
    char body[256];
    snprintf(body, sizeof(body),
             "{\"apiVersion\":\"v1\",\"kind\":\"Binding\",\"metadata\":{\"name\":\"p\"},\"target\":{\"kind\":"
             "\"Node\",\"name\":\"%s\"}}",
             node);
    api_do(f, 201, API_CREATE, "pods/binding", "default", "p", body);
}

static void test_a_pod_is_bound_again(void **state)
{
    (void)state;
    cut(make_pod);
    bind_pod(&s.loser, "n1");
    patch(&s.winner, "pods", "p", "{'metadata':{'labels':{'w':'w'}}}");
    bring();
    assert_int_equal(s.replayed, 1);
    json_auto_t *p = get("pods", "p");
    assert_text("n1", p, "spec", "nodeName");
    assert_string_equal(json_str_or_empty(p, "metadata", "labels", "w"), "w");
    assert_conflicts(0);
    end();
}

static void test_a_pod_stays_where_it_is_bound(void **state)
{
    (void)state;
    cut(make_pod);
    bind_pod(&s.loser, "n1");
    bind_pod(&s.winner, "n2");
    bring();
    json_auto_t *p = get("pods", "p");
    assert_text("n2", p, "spec", "nodeName");
    assert_conflicts(0);
    end();
}

static void make_bound_pod(struct api_fixture *f)
{
    make_pod(f);
    bind_pod(f, "n1");
}

static void as(struct api_fixture *f, const char *user)
{
    f->user = (struct api_user){.name = user, .uid = "", .groups = api_masters, .group_count = 2};
}

static void test_what_nodes_looked_like_is_not_brought_back(void **state)
{
    (void)state;
    cut(make_bound_pod);
    as(&s.loser, "system:kube-controller-manager");
    s.loser.extra.content_type = "application/merge-patch+json";
    api_do(&s.loser, 200, API_PATCH, "nodes", "", "n1",
           "{\"spec\":{\"taints\":[{\"key\":\"k\",\"effect\":\"NoExecute\"}]}}");
    patch(&s.loser, "pods/status", "p",
          "{'status':{'conditions':[{'type':'DisruptionTarget','status':'True','reason':"
          "'DeletionByTaintManager'}]}}");
    api_do(&s.loser, 200, API_DELETE, "pods", "default", "p", NULL);
    bring();
    assert_int_equal(s.dropped, 3);
    json_auto_t *p = get("pods", "p");
    assert_null(json_at(p, "metadata", "deletionTimestamp"));
    assert_conflicts(0);
    end();
}

static void test_a_kubelet_knows_its_pods(void **state)
{
    (void)state;
    cut(make_pod);
    as(&s.loser, "system:node:n1");
    patch(&s.loser, "pods/status", "p", "{'status':{'phase':'Running','podIP':'10.42.0.9'}}");
    patch(&s.winner, "pods", "p", "{'metadata':{'labels':{'w':'w'}}}");
    bring();
    json_auto_t *p = get("pods", "p");
    assert_text("Running", p, "status", "phase");
    assert_text("10.42.0.9", p, "status", "podIP");
    assert_string_equal(json_str_or_empty(p, "metadata", "labels", "w"), "w");
    assert_conflicts(0);
    end();
}

static void make_lease(struct api_fixture *f)
{
    create(f, "leases", "{'metadata':{'name':'lock'},'spec':{'holderIdentity':'a'}}");
}

static void test_leases_and_controllers_look_again(void **state)
{
    (void)state;
    cut(make_lease);
    patch(&s.loser, "leases", "lock", "{'spec':{'holderIdentity':'l'}}");
    patch(&s.winner, "leases", "lock", "{'spec':{'holderIdentity':'w'}}");
    as(&s.loser, "system:kube-controller-manager");
    create(&s.loser, "configmaps", "{'metadata':{'name':'made'},'data':{'a':'l'}}");
    create(&s.winner, "configmaps", "{'metadata':{'name':'made'},'data':{'a':'w'}}");
    bring();
    json_auto_t *lease = get("leases", "lock");
    assert_text("w", lease, "spec", "holderIdentity");
    json_auto_t *made = get("configmaps", "made");
    assert_text("w", made, "data", "a");
    assert_conflicts(0);
    end();
}

/* ---- the thread ---- */

static void make_all(struct api_fixture *f)
{
    make_config(f);
    make_secret(f);
}

static void test_orphans_are_taken_care_of(void **state)
{
    (void)state;
    cut(make_all);
    patch(&s.loser, "configmaps", "c", "{'data':{'a':'l','b':'l'}}");
    patch(&s.loser, "configmaps", "c", "{'data':{'later':'l'}}");
    patch(&s.loser, "secrets", "s", "{'data':{'b':'TA=='}}");
    patch(&s.loser, "secrets", "s", "{'data':{'n':'TA=='}}");
    create(&s.loser, "configmaps", "{'metadata':{'name':'new'}}");
    patch(&s.loser, "configmaps", "new", "{'data':{'x':'l'}}");
    patch(&s.winner, "configmaps", "c", "{'data':{'a':'w'}}");
    patch(&s.winner, "secrets", "s", "{'data':{'a':'Vw=='}}");
    heal();
    json_auto_t *c = get("configmaps", "c");
    json_auto_t *data = jq("{'a':'w','b':'l','later':'l'}");
    assert_true(json_equal(json_object_get(c, "data"), data));
    json_auto_t *secret = get("secrets", "s");
    json_auto_t *values = jq("{'a':'Vw==','b':'TA==','n':'TA=='}");
    assert_true(json_equal(json_object_get(secret, "data"), values));
    json_auto_t *new = get("configmaps", "new");
    assert_text("l", new, "data", "x");
    assert_conflicts(1);
    end();
}

static void test_many_orphans(void **state)
{
    (void)state;
    cut(make_config);
    char text[100];
    for (int i = 0; i < 300; i++) {
        snprintf(text, sizeof(text), "{'data':{'l%d':'%d'}}", i % 10, i);
        patch(&s.loser, "configmaps", "c", text);
    }
    patch(&s.winner, "configmaps", "c", "{'data':{'a':'w'}}");
    heal();
    json_auto_t *c = get("configmaps", "c");
    assert_text("w", c, "data", "a");
    assert_text("299", c, "data", "l9");
    assert_text("290", c, "data", "l0");
    assert_conflicts(0);
    end();
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_orphans_are_taken_care_of),
    cmocka_unit_test(test_many_orphans),
    cmocka_unit_test(test_what_still_holds_comes_back_as_it_is),
    cmocka_unit_test(test_disjoint_fields_are_merged),
    cmocka_unit_test(test_the_same_field_is_a_conflict),
    cmocka_unit_test(test_conflicts_are_told_once),
    cmocka_unit_test(test_what_was_replaced_on_its_own_side),
    cmocka_unit_test(test_a_create_of_what_exists_is_an_apply),
    cmocka_unit_test(test_what_was_deleted_stays_deleted),
    cmocka_unit_test(test_a_deletion_wins_over_a_change),
    cmocka_unit_test(test_a_deletion_waits_for_new_finalizers),
    cmocka_unit_test(test_an_explicit_version_stays_strict),
    cmocka_unit_test(test_a_namespace_that_is_gone),
    cmocka_unit_test(test_a_conflict_whose_namespace_is_gone),
    cmocka_unit_test(test_rights_that_were_taken),
    cmocka_unit_test(test_secrets_are_merged_and_never_shown),
    cmocka_unit_test(test_two_services_do_not_share_an_address),
    cmocka_unit_test(test_a_pod_is_bound_again),
    cmocka_unit_test(test_a_pod_stays_where_it_is_bound),
    cmocka_unit_test(test_what_nodes_looked_like_is_not_brought_back),
    cmocka_unit_test(test_a_kubelet_knows_its_pods),
    cmocka_unit_test(test_leases_and_controllers_look_again),
};

UNIT_MAIN(tests)
