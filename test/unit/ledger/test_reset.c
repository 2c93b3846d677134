/* A node that becomes the only member of its cluster, by a new chain in the place of the old one. */
#include "unit.h"
#include "scratch.h"
#include "ledger_fixture.h"

#include "base/log.h"
#include "blockstore/blockstore.h"
#include "ledger/chain_verify.h"
#include "ledger/ledger_reset.h"

#include <dirent.h>

static struct scratch dir;
static uint8_t old_chain[TX_ID_SIZE];

static int setup(void **state)
{
    (void)state;
    log_set_level(LOG_LEVEL_ERROR + 1);
    scratch_make_in_memory(&dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    scratch_remove(&dir);
    return 0;
}

static struct ledger *open_or_fail(const uint8_t *chain_id)
{
    struct ledger_options options = {.data_dir = dir.path, .first_segment = 65536, .chain_id = chain_id};
    struct ledger *ledger = NULL;
    struct err err;
    if (ledger_open(&ledger, &options, &err))
        fail_msg("%s", err.message);
    return ledger;
}

static struct registry_validator make_validator(const char *name, const uint8_t *key)
{
    struct registry_validator v = {.address_count = 1};
    snprintf(v.name, sizeof(v.name), "%s", name);
    snprintf(v.addresses[0], sizeof(v.addresses[0]), "10.0.0.1:6444");
    memcpy(v.key, key, TX_KEY_SIZE);
    return v;
}

static void ensure_self(struct ledger *ledger)
{
    struct err err;
    struct registry_validator self = make_validator("here", ledger_node_public(ledger));
    if (ledger_ensure_registered(ledger, &self, &err))
        fail_msg("%s", err.message);
}

/* A chain of two members, of which the other one was never seen. Returns the newest resourceVersion. */
static uint64_t make_chain(bool with_other)
{
    static const uint8_t other_key[TX_KEY_SIZE] = {9};
    struct err err;
    struct ledger *ledger = open_or_fail(NULL);
    memcpy(old_chain, ledger_chain_id(ledger), TX_ID_SIZE);
    ensure_self(ledger);
    fixture_must_put(ledger, "namespaces", FIXTURE_NAMESPACE, "x");
    fixture_must_put(ledger, "configmaps", "a", "1");
    struct registry_validator other = make_validator("gone", other_key);
    if (with_other && ledger_register_validator(ledger, &other, &err))
        fail_msg("%s", err.message);
    uint64_t rv = fixture_must_put(ledger, "configmaps", "b", "1");
    ledger_close(ledger);
    return rv;
}

static int entries(void)
{
    int count = 0;
    DIR *opened = opendir(dir.path);
    while (readdir(opened))
        count++;
    closedir(opened);
    return count - 2;
}

static void expect_objects(struct ledger *ledger, uint64_t rv)
{
    struct resource_key key = fixture_key("configmaps", "b");
    uint8_t id[TX_ID_SIZE];
    uint64_t found;
    assert_true(fixture_find(ledger, &key, id, &found));
    assert_int_equal(found, rv);
    struct chain_verify_report report;
    struct err err;
    if (chain_verify(ledger_store(ledger), NULL, NULL, &report, &err))
        fail_msg("%s", err.message);
}

static void test_becomes_the_only_member(void **state)
{
    (void)state;
    uint64_t rv = make_chain(true);
    struct ledger_reset *reset;
    struct ledger_reset_report report;
    struct ledger_validator validators[4];
    struct ledger_state now;
    struct err err;
    if (ledger_reset_begin(&reset, &report, dir.path, &err))
        fail_msg("%s", err.message);
    assert_int_equal(report.dropped_count, 1);
    assert_string_equal(report.dropped[0].name, "gone");
    assert_int_equal(report.objects, 3);
    assert_memory_equal(report.old_chain, old_chain, TX_ID_SIZE);
    assert_true(rv <= block_head_rv(&report.head));
    assert_string_equal(report.aside, scratch_file(&dir, "chain.before-reset-1"));
    assert_int_equal(ledger_reset_finish(reset, &err), 0);
    ledger_reset_free(reset);

    /* A crash before anybody noted the new id down: whichever chain is there is opened. */
    struct ledger *ledger = open_or_fail(NULL);
    assert_memory_equal(ledger_chain_id(ledger), report.new_chain, TX_ID_SIZE);
    expect_objects(ledger, rv);
    ledger_close(ledger);
    ledger = open_or_fail(report.new_chain);
    assert_int_equal(ledger_validators(ledger, validators, 4), 1);
    ensure_self(ledger);
    assert_true(fixture_must_put(ledger, "configmaps", "b", "2") > block_head_rv(&report.head));
    rv = fixture_must_put(ledger, "configmaps", "b", "3");
    assert_int_equal(ledger_validators(ledger, validators, 4), 1);
    assert_true(validators[0].self && validators[0].acting);
    assert_string_equal(validators[0].name, "here");
    ledger_state(ledger, &now);
    assert_true(now.final_height == now.head_height && now.head_height == 3);
    ledger_close(ledger);
    ledger = open_or_fail(report.new_chain);
    expect_objects(ledger, rv);
    ledger_close(ledger);

    /* The old chain is whole. */
    assert_int_equal(rename(scratch_file(&dir, "chain"), scratch_file(&dir, "chain.new")), 0);
    assert_int_equal(rename(report.aside, scratch_file(&dir, "chain")), 0);
    ledger = open_or_fail(old_chain);
    assert_int_equal(ledger_validators(ledger, validators, 4), 2);
    ledger_close(ledger);
    ledger_reset_report_free(&report);
}

static void test_left_unfinished(void **state)
{
    (void)state;
    uint64_t rv = make_chain(true);
    struct ledger_reset *reset;
    struct ledger_reset_report report;
    struct ledger_options options = {.data_dir = dir.path};
    struct ledger *ledger;
    struct err err;
    int before = entries();
    assert_int_equal(ledger_reset_begin(&reset, &report, dir.path, &err), 0);
    assert_int_equal(ledger_open(&ledger, &options, &err), ERR_CONFLICT); /* nobody starts meanwhile */
    ledger_reset_free(reset);
    ledger_reset_report_free(&report);
    assert_int_equal(entries(), before);
    ledger = open_or_fail(old_chain);
    expect_objects(ledger, rv);
    ledger_close(ledger);
}

static void expect_refused(int code, const char *message)
{
    struct ledger_reset *reset;
    struct ledger_reset_report report;
    struct err err;
    int before = entries();
    assert_int_equal(ledger_reset_begin(&reset, &report, dir.path, &err), code);
    if (!strstr(err.message, message))
        fail_msg("%s", err.message);
    assert_int_equal(entries(), before);
}

static void test_nothing_to_reset(void **state)
{
    (void)state;
    expect_refused(ERR_NOT_FOUND, "there is no chain in");
    make_chain(false);
    expect_refused(ERR_EXISTS, "the only member");
    struct ledger *ledger = open_or_fail(NULL);
    expect_refused(ERR_CONFLICT, "is in use by another katena");
    ledger_close(ledger);
}

static void test_never_registered(void **state)
{
    (void)state;
    ledger_close(open_or_fail(NULL));
    expect_refused(ERR_EXISTS, "the only member");
}

static void test_without_a_key(void **state)
{
    (void)state;
    make_chain(true);
    unlink(scratch_file(&dir, "chain/node.key"));
    expect_refused(ERR_NOT_FOUND, "there is no node key");
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(test_becomes_the_only_member, setup, teardown),
    cmocka_unit_test_setup_teardown(test_left_unfinished, setup, teardown),
    cmocka_unit_test_setup_teardown(test_nothing_to_reset, setup, teardown),
    cmocka_unit_test_setup_teardown(test_never_registered, setup, teardown),
    cmocka_unit_test_setup_teardown(test_without_a_key, setup, teardown),
};

UNIT_MAIN(tests)
