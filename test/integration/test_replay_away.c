/*
 * A node that is away, after what it had replayed was in the chain and before it told what was lost: another
 * one that has the orphans tells it, and the node that comes back does not tell it again.
 */
#include "api_fixture.h"
#include "json_text.h"
#include "ledger_cluster.h"

#include "api/orphans_internal.h"

enum { WINNER = 0, SIGNER = 3, WITNESS = 4, NODES = 5 };

static struct cluster *cluster;
static struct api_fixture api[NODES];

static void serve(size_t node)
{
    api[node] = (struct api_fixture){.ledger = cluster->nodes[node].ledger};
    snprintf(api[node].dir, sizeof(api[node].dir), "%s", cluster->nodes[node].dir.path);
    api_fixture_serve(&api[node]);
}

/* The losing side is two nodes of five. */
static void link_sides(bool linked)
{
    for (size_t i = 0; i < SIGNER; i++)
        for (size_t k = SIGNER; k < NODES; k++)
            cluster_link(cluster, i, k, linked);
}

static void link_signer(bool linked)
{
    for (size_t i = 0; i < NODES; i++)
        if (i != SIGNER)
            cluster_link(cluster, i, SIGNER, linked);
}

static void patch(size_t node, const char *data)
{
    api[node].extra.content_type = "application/merge-patch+json";
    json_auto_t *body = jq("{'data':%s}", data);
    char *text = json_dumps(body, 0);
    api_do(&api[node], 200, API_PATCH, "configmaps", "default", "c", text);
    free(text);
}

static bool at_rest(struct cluster *c, void *arg)
{
    (void)arg;
    for (size_t i = 0; i < NODES; i++) {
        struct ledger_state state;
        ledger_state(c->nodes[i].ledger, &state);
        /* Who does not serve has nobody to take care of orphans. */
        if ((api[i].server && state.orphans) || state.pending || ledger_branch(c->nodes[i].ledger) % 2)
            return false;
    }
    return cluster_agrees(c, NULL);
}

/* So that it is the other side that gives way. */
static bool winner_is_final(struct cluster *c, void *arg)
{
    struct ledger_state state;
    (void)arg;
    ledger_state(c->nodes[WINNER].ledger, &state);
    return !state.pending && state.final_height == state.head_height;
}

/* The signer has its two orphans, and stands on the chain that won. */
static bool signer_follows(struct cluster *c, void *arg)
{
    struct ledger_state state;
    (void)arg;
    ledger_state(c->nodes[SIGNER].ledger, &state);
    if (state.orphans < 2 || state.switching)
        return false;
    json_auto_t *config = api_ok(&api[SIGNER], 200, API_GET, "configmaps", "default", "c", NULL);
    return !strcmp(json_str_or_empty(config, "data", "a"), "w");
}

static json_t *conflicts(void)
{
    json_auto_t *list = api_ok(&api[WINNER], 200, API_LIST, "conflicts", "", "", NULL);
    return json_incref(json_object_get(list, "items"));
}

static bool is_told(struct cluster *c, void *arg)
{
    json_auto_t *list = conflicts();
    (void)c, (void)arg;
    return json_array_size(list) > 0;
}

static void assert_told_once(void)
{
    json_auto_t *list = conflicts();
    json_auto_t *losses = jq("[{'path':'.data.a','winner':'\\'w\\'','loser':'\\'l2\\''}]");
    assert_int_equal(json_array_size(list), 1);
    assert_true(json_equal(json_object_get(json_array_get(list, 0), "losses"), losses));
}

/* Its own work by hand, since its thread would tell at once. */
static void replay_and_crash(void)
{
    struct orphan_aliases aliases = {0};
    struct orphan_conflicts *untold = orphan_conflicts_new(api[SIGNER].server);
    struct tx *tx;
    struct err err = {0};
    uint64_t number = 0;
    while (!ledger_orphan_next(api[SIGNER].ledger, number, &number, &tx, &err)) {
        int rc = orphan_replay(api[SIGNER].server, &aliases, untold, tx, &err);
        if (rc && rc != ERR_INCLUDED)
            fail_msg("%s", err.message);
        tx_free(tx);
    }
    link_signer(false);
    orphan_conflicts_free(untold); /* on a branch that nobody sees */
    orphan_aliases_clear(&aliases);
    api_fixture_end(&api[SIGNER]);
    cluster_close(&cluster->nodes[SIGNER]);
}

static void test_another_node_tells(void **state)
{
    (void)state;
    cluster = cluster_new_bare(NODES);
    serve(WINNER);
    serve(SIGNER);
    serve(WITNESS);
    orphans_stop(api[SIGNER].server);
    api_do(&api[WINNER], 201, API_CREATE, "configmaps", "default", "",
           "{\"metadata\":{\"name\":\"c\"},\"data\":{\"a\":\"1\"}}");
    assert_true(cluster_wait(at_rest, cluster, NULL));
    link_sides(false);
    patch(SIGNER, "{'a':'l1'}");
    patch(SIGNER, "{'a':'l2','b':'l'}");
    patch(WINNER, "{'a':'w'}");
    assert_true(cluster_wait(winner_is_final, cluster, NULL));
    cluster_link(cluster, SIGNER, WITNESS, false);
    link_sides(true);
    if (!cluster_wait(signer_follows, cluster, NULL)) {
        cluster_dump(cluster);
        fail_msg("the chains do not become one");
    }
    replay_and_crash();
    assert_true(cluster_wait(is_told, cluster, NULL));
    assert_told_once();

    cluster_open(&cluster->nodes[SIGNER]);
    serve(SIGNER);
    link_signer(true);
    if (!cluster_wait(at_rest, cluster, NULL)) {
        cluster_dump(cluster);
        fail_msg("the network does not come to rest");
    }
    assert_told_once();
    json_auto_t *config = api_ok(&api[SIGNER], 200, API_GET, "configmaps", "default", "c", NULL);
    assert_string_equal(json_str_or_empty(config, "data", "a"), "w");
    assert_string_equal(json_str_or_empty(config, "data", "b"), "l");
    api_fixture_end(&api[WINNER]);
    api_fixture_end(&api[SIGNER]);
    api_fixture_end(&api[WITNESS]);
    cluster_free(cluster);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_another_node_tells),
};

UNIT_MAIN(tests)
