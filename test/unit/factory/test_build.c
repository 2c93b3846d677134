/* The block factory: what gets in, what is left out, and that what is made holds. */
#include "unit.h"

#include "chain/order.h"
#include "factory/factory.h"
#include "validator_fixture.h"

static struct validator_fixture f;
static struct pending *pending;
static struct err err;

static int setup(void **state)
{
    (void)state;
    validator_fixture_begin(&f);
    pending = pending_new();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    pending_free(pending);
    validator_fixture_end(&f);
    return 0;
}

static void *token(size_t n)
{
    return (void *)(uintptr_t)n;
}

static void add(struct tx *tx, size_t n)
{
    assert_int_equal(pending_add(pending, tx, token(n), &err), 0);
}

static void build(struct factory_batch *batch)
{
    assert_int_equal(factory_build(batch, pending, f.v, f.view, &f.tx.genesis->header,
                                   &(struct factory_place){.time_us = f.tx.now_us}, f.tx.secret_key, &err),
                     0);
}

/* The made block must hold for everyone else. */
static void check_block(const struct factory_batch *batch)
{
    struct block *received;
    assert_int_equal(block_decode(&received, batch->block->encoded, batch->block->encoded_len, &err), 0);
    validator_restart(f.v);
    assert_int_equal(validator_check_block(f.v, &f.tx.genesis->header, received, &err), 0);
    validator_restart(f.v);
    block_free(received);
}

static const struct factory_item *item_of(const struct factory_batch *batch, size_t n)
{
    for (size_t i = 0; i < batch->count; i++)
        if (batch->items[i].token == token(n))
            return &batch->items[i];
    fail();
    return NULL;
}

static struct resource_key ns_key(const char *name)
{
    return tx_fixture_key_of("namespaces", "", name);
}

static void test_children_submitted_before_parents(void **state)
{
    (void)state;
    add(tx_fixture_create(&f.tx, tx_fixture_key_of("pods", "a", "p"), "{}"), 1);
    add(tx_fixture_create(&f.tx, ns_key("a"), "{}"), 2);
    struct factory_batch batch;
    build(&batch);
    assert_int_equal(batch.count, 2);
    assert_int_equal(item_of(&batch, 1)->code, 0);
    assert_int_equal(item_of(&batch, 1)->first_output, 1);
    assert_int_equal(item_of(&batch, 2)->first_output, 0);
    check_block(&batch);
    factory_batch_free(&batch);
}

static void test_rejected_are_left_out(void **state)
{
    (void)state;
    add(tx_fixture_create(&f.tx, tx_fixture_key_of("pods", "nowhere", "p"), "{}"), 1);
    add(tx_fixture_create(&f.tx, ns_key("a"), "{}"), 2);
    struct factory_batch batch;
    build(&batch);
    assert_int_equal(batch.block->header.tx_count, 1);
    assert_int_equal(item_of(&batch, 1)->code, ERR_NOT_FOUND);
    assert_string_equal(item_of(&batch, 1)->message, "namespaces \"nowhere\" not found");
    assert_non_null(item_of(&batch, 1)->tx);
    assert_null(item_of(&batch, 2)->tx);
    check_block(&batch);
    factory_batch_free(&batch);
}

static void test_nothing_holds(void **state)
{
    (void)state;
    add(tx_fixture_create(&f.tx, tx_fixture_key_of("pods", "nowhere", "p"), "{}"), 1);
    struct factory_batch batch;
    build(&batch);
    assert_null(batch.block);
    assert_int_equal(batch.count, 1);
    factory_batch_free(&batch);
    build(&batch);
    assert_int_equal(batch.count, 0);
    factory_batch_free(&batch);
}

/* A rejected transaction that tied others into an order: without it, the rest is in its own. */
static void test_order_without_the_rejected(void **state)
{
    (void)state;
    for (size_t round = 0; round < 12; round++) {
        char name[32];
        snprintf(name, sizeof(name), "free%zu", round);
        struct tx *broken = tx_fixture_create(&f.tx, tx_fixture_key_of("pods", "nowhere", name), "{}");
        struct tx *late = tx_fixture_new(&f.tx, "create");
        tx_fixture_put(late, ns_key(name), "{}");
        /* An input that holds whatever becomes of the transaction that it names. */
        tx_fixture_input(late, TX_INPUT_INDIRECT, ns_key("base"), broken->id);
        tx_fixture_sign(&f.tx, late);
        add(broken, 3 * round);
        add(late, 3 * round + 1);
        snprintf(name, sizeof(name), "more%zu", round);
        add(tx_fixture_create(&f.tx, ns_key(name), "{}"), 3 * round + 2);
    }
    assert_int_equal(validator_fixture_run(&f, tx_fixture_create(&f.tx, ns_key("base"), "{}"), &err), 0);
    validator_fixture_commit(&f);
    f.tx.genesis->header.time_us = f.tx.now_us - 1;
    struct factory_batch batch;
    build(&batch);
    assert_int_equal(batch.block->header.tx_count, 24);
    assert_true(order_is_canonical(batch.block->txs, 24));
    check_block(&batch);
    factory_batch_free(&batch);
}

static void test_block_is_bounded(void **state)
{
    (void)state;
    for (size_t i = 0; i < BLOCK_OUTPUTS_MAX + 5; i++) {
        char name[32];
        snprintf(name, sizeof(name), "ns%zu", i);
        add(tx_fixture_create(&f.tx, ns_key(name), "{}"), i);
    }
    struct factory_batch batch;
    build(&batch);
    assert_int_equal(batch.block->header.output_count, BLOCK_OUTPUTS_MAX);
    assert_int_equal(pending_count(pending), 5);
    check_block(&batch);
    factory_batch_free(&batch);
}

static int failing_get(struct state_snapshot *snapshot, const struct resource_key *key,
                       struct state_object *out, struct err *e)
{
    (void)snapshot;
    (void)key;
    (void)out;
    return err_set(e, ERR_IO, "the disk is on fire");
}

static void test_store_error_loses_nothing(void **state)
{
    (void)state;
    struct state_store_ops ops = *state_mem_ops();
    ops.get = failing_get;
    struct state_view *view = state_view_new(&ops, f.snapshot, state_mem_hash(f.store));
    state_view_begin(view, f.tx.now_us);
    struct rbac_policy *policy = rbac_policy_load(state_mem_ops(), f.snapshot);
    struct validator *v = validator_new(&f.chain, view, policy);
    rbac_policy_release(policy);
    add(tx_fixture_create(&f.tx, ns_key("a"), "{}"), 1);
    add(tx_fixture_create(&f.tx, ns_key("b"), "{}"), 2);
    struct factory_batch batch;
    int rc = factory_build(&batch, pending, v, view, &f.tx.genesis->header,
                           &(struct factory_place){.time_us = f.tx.now_us}, f.tx.secret_key, &err);
    assert_int_equal(rc, ERR_IO);
    assert_string_equal(err.message, "the disk is on fire");
    assert_int_equal(batch.count, 0);
    assert_int_equal(pending_count(pending), 2);
    validator_free(v);
    state_view_free(view);
    build(&batch);
    assert_int_equal(batch.block->header.tx_count, 2);
    factory_batch_free(&batch);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(test_children_submitted_before_parents, setup, teardown),
    cmocka_unit_test_setup_teardown(test_rejected_are_left_out, setup, teardown),
    cmocka_unit_test_setup_teardown(test_nothing_holds, setup, teardown),
    cmocka_unit_test_setup_teardown(test_order_without_the_rejected, setup, teardown),
    cmocka_unit_test_setup_teardown(test_block_is_bounded, setup, teardown),
    cmocka_unit_test_setup_teardown(test_store_error_loses_nothing, setup, teardown),
};

UNIT_MAIN(tests)
