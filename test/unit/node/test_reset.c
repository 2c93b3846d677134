/* What a node remembers of its cluster is forgotten by a reset, and only when that takes place. */
#include "unit.h"
#include "scratch.h"
#include "ledger_fixture.h"

#include "base/log.h"
#include "blockstore/blockstore_internal.h"
#include "node/node_record.h"
#include "node/node_reset.h"

static struct scratch dir;
static uint8_t old_chain[TX_ID_SIZE];

static void note(bool outdated)
{
    struct err err;
    struct registry_validator all[2] = {{.name = "here"}, {.name = "gone", .key = {9}, .address_count = 1}};
    struct node_record record = {.has_chain = true,
                                 .joined = true,
                                 .outdated = outdated,
                                 .removed = outdated,
                                 .name = "here",
                                 .servers = "https://10.0.0.1:6443",
                                 .cluster_cidr = "10.42.0.0/16",
                                 .rotation = {.token = "secret", .left = true}};
    memcpy(record.chain_id, old_chain, TX_ID_SIZE);
    snprintf(all[1].addresses[0], REGISTRY_ADDRESS_MAX, "10.0.0.1:6444");
    node_record_set_peers(&record, all, 2, all[0].key);
    assert_int_equal(node_record_save(&record, dir.path, &err), 0);
    node_record_free(&record);
}

static int setup(void **state)
{
    (void)state;
    static const uint8_t other_key[TX_KEY_SIZE] = {9};
    struct registry_validator v = {.name = "here", .address_count = 1, .addresses = {"10.0.0.2:6444"}};
    struct ledger *ledger;
    struct err err;
    log_set_level(LOG_LEVEL_ERROR + 1);
    scratch_make_in_memory(&dir);
    struct ledger_options options = {.data_dir = dir.path};
    assert_int_equal(ledger_open(&ledger, &options, &err), 0);
    memcpy(old_chain, ledger_chain_id(ledger), TX_ID_SIZE);
    memcpy(v.key, ledger_node_public(ledger), TX_KEY_SIZE);
    assert_int_equal(ledger_ensure_registered(ledger, &v, &err), 0);
    snprintf(v.name, sizeof(v.name), "gone");
    memcpy(v.key, other_key, TX_KEY_SIZE);
    assert_int_equal(ledger_register_validator(ledger, &v, &err), 0);
    ledger_close(ledger);
    note(false);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    scratch_remove(&dir);
    return 0;
}

/* A change that this node made on a branch that it left, and has not replayed. */
static void add_orphan(void)
{
    struct ledger *ledger;
    struct blockstore *store;
    struct err err;
    struct ledger_options options = {.data_dir = dir.path};
    assert_int_equal(ledger_open(&ledger, &options, &err), 0);
    struct tx *tx = fixture_tx(ledger, "namespaces", "orphaned", "x");
    ledger_close(ledger);
    mem_auto char *path = mem_printf("%s/chain", dir.path);
    struct blockstore_options store_options = {.dir = path};
    assert_int_equal(blockstore_open(&store, &store_options, &err), 0);
    assert_int_equal(blockstore_put_orphan(store, tx, &err), 0);
    blockstore_close(store);
    tx_free(tx);
}

static void expect_forgotten(const struct node_reset_report *report)
{
    struct node_record record;
    struct err err;
    assert_int_equal(node_record_load(&record, dir.path, &err), 0);
    assert_true(record.has_chain && !record.joined && !record.outdated && !record.removed);
    assert_memory_equal(record.chain_id, report->chain.new_chain, TX_ID_SIZE);
    assert_string_equal(record.name, "here");
    assert_string_equal(record.cluster_cidr, "10.42.0.0/16");
    assert_string_equal(record.servers, "");
    assert_string_equal(record.rotation.token, "");
    assert_false(record.rotation.left);
    assert_int_equal(record.peer_count, 0);
    struct ledger *ledger;
    struct ledger_options options = {.data_dir = dir.path, .chain_id = record.chain_id};
    assert_int_equal(ledger_open(&ledger, &options, &err), 0);
    ledger_close(ledger);
    node_record_free(&record);
}

static void expect_kept(void)
{
    struct node_record record;
    struct err err;
    assert_int_equal(node_record_load(&record, dir.path, &err), 0);
    assert_true(record.has_chain && record.joined && record.rotation.left);
    assert_memory_equal(record.chain_id, old_chain, TX_ID_SIZE);
    assert_int_equal(record.peer_count, 1);
    node_record_free(&record);
    assert_int_not_equal(access(scratch_file(&dir, "chain.before-reset-1"), F_OK), 0);
}

static void test_forgets_its_cluster(void **state)
{
    (void)state;
    struct node_reset_report report;
    struct err err;
    if (node_reset(dir.path, &report, &err))
        fail_msg("%s", err.message);
    assert_string_equal(report.name, "here");
    assert_int_equal(report.chain.dropped_count, 1);
    expect_forgotten(&report);
    node_reset_report_free(&report);
    assert_int_equal(node_reset(dir.path, &report, &err), ERR_EXISTS);
}

static void test_in_use(void **state)
{
    (void)state;
    struct node_reset_report report;
    struct ledger *ledger;
    struct err err;
    struct ledger_options options = {.data_dir = dir.path};
    assert_int_equal(ledger_open(&ledger, &options, &err), 0);
    assert_int_equal(node_reset(dir.path, &report, &err), ERR_CONFLICT);
    ledger_close(ledger);
    expect_kept();
    assert_int_equal(node_reset("/nonexistent", &report, &err), ERR_NOT_FOUND);
}

/* A start brings orphans back, but not where the node cannot go on with its chain any more. */
static void test_orphans(void **state)
{
    (void)state;
    struct node_reset_report report;
    struct err err;
    add_orphan();
    assert_int_equal(node_reset(dir.path, &report, &err), ERR_CONFLICT);
    assert_non_null(strstr(err.message, "1 changes of this node wait to be replayed"));
    expect_kept();
    note(true);
    assert_int_equal(node_reset(dir.path, &report, &err), 0);
    assert_int_equal(report.chain.orphans, 1);
    expect_forgotten(&report);
    node_reset_report_free(&report);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(test_forgets_its_cluster, setup, teardown),
    cmocka_unit_test_setup_teardown(test_in_use, setup, teardown),
    cmocka_unit_test_setup_teardown(test_orphans, setup, teardown),
};

UNIT_MAIN(tests)
