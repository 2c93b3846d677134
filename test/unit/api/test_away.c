/*
 * A server that begins on a chain that the others have left behind, as a node does that was away for too long
 * and does not know it yet.
 */
#include "api_fixture.h"
#include "ledger_cluster.h"

static bool is_final(struct cluster *cluster, void *arg)
{
    struct ledger_state state;
    (void)arg;
    for (size_t i = 0; i < cluster->count; i++) {
        ledger_state(cluster->nodes[i].ledger, &state);
        if (state.final_height != state.head_height)
            return false;
    }
    return cluster_agrees(cluster, NULL);
}

/* What a server writes first cannot be included any more: its start does not wait for it. */
static void test_a_start_ends_where_nothing_is_included(void **state)
{
    (void)state;
    struct err err = {0};
    struct ledger_state before, after;
    struct cluster *cluster = cluster_new_forgetful(3);
    struct cluster_node *node = &cluster->nodes[2];
    assert_true(cluster_wait(is_final, cluster, NULL));
    ledger_state(node->ledger, &before);
    cluster_close(node);
    cluster_go_on_beyond(cluster, before.head_height);
    cluster_come_back(node);
    const char *const addresses[] = {"127.0.0.1", NULL};
    struct pki_options pki_options = {
        .data_dir = node->dir.path, .node_name = "node-2", .addresses = addresses};
    struct api_options options = {.ledger = node->ledger,
                                  .data_dir = node->dir.path,
                                  .node_name = "node-2",
                                  .bind_address = "127.0.0.1",
                                  .service_cidr = "10.43.0.0/16",
                                  .advertise_address = "192.0.2.1"};
    struct pki *pki;
    struct api_server *server = NULL;
    assert_int_equal(pki_open(&pki, &pki_options, &err), 0);
    options.pki = pki;
    assert_int_not_equal(api_server_start(&server, &options, &err), 0);
    assert_null(server);
    ledger_state(node->ledger, &after);
    assert_true(after.needs_snapshot);
    pki_close(pki);
    cluster_free(cluster);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_a_start_ends_where_nothing_is_included),
};

UNIT_MAIN(tests)
