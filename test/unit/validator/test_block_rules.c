/* The rules of a block on its parent: each broken once, everything else right. */
#include "unit.h"

#include "validator_fixture.h"
#include "chain/order.h"

static struct validator_fixture f;
static struct err err;

static int setup(void **state)
{
    (void)state;
    validator_fixture_begin(&f);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    validator_fixture_end(&f);
    return 0;
}

#define COUNT 4

/* A right block of namespaces, not yet sealed; its digest is that of the state after it. */
static struct block *block_make(void)
{
    struct tx **txs = mem_calloc(COUNT, sizeof(struct tx *));
    for (int i = 0; i < COUNT; i++) {
        char name[8];
        snprintf(name, sizeof(name), "ns%d", i);
        txs[i] = tx_fixture_create(&f.tx, tx_fixture_key_of("namespaces", "", name), "{}");
    }
    order_txs(txs, COUNT);
    struct block *block = block_new(txs, COUNT);
    block->header.height = 1;
    memcpy(block->header.parent, f.tx.genesis->header.hash, HASH_SIZE);
    block->header.time_us = f.tx.now_us;
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(validator_apply(f.v, txs[i], &err), 0);
    state_view_digest(f.view, block->header.state_digest);
    validator_restart(f.v);
    return block;
}

static int check(struct block *block)
{
    if (!block->encoded)
        block_seal(block, f.tx.secret_key);
    int rc = validator_check_block(f.v, &f.tx.genesis->header, block, &err);
    validator_restart(f.v);
    block_free(block);
    return rc;
}

static void test_a_right_block(void **state)
{
    (void)state;
    assert_int_equal(check(block_make()), 0);
}

static void test_header(void **state)
{
    (void)state;
    struct block *block = block_make();
    block->header.height = 2;
    assert_int_equal(check(block), ERR_CORRUPT);
    assert_string_equal(err.message, "block 2: it does not stand on its parent");
    block = block_make();
    block->header.parent[0] ^= 1;
    assert_int_equal(check(block), ERR_CORRUPT);
    block = block_make();
    block->header.time_us = f.tx.genesis->header.time_us;
    assert_int_equal(check(block), ERR_CORRUPT);
    assert_string_equal(err.message, "block 1: its time is not later than its parent's");
    block = block_make();
    block->header.state_digest[0] ^= 1;
    assert_int_equal(check(block), ERR_CORRUPT);
    assert_string_equal(err.message, "block 1: it does not lead to the state that its header names");
}

static void test_producer(void **state)
{
    (void)state;
    uint8_t public_key[TX_KEY_SIZE], secret_key[64];
    tx_fixture_key(public_key, secret_key, 77);
    struct block *block = block_make();
    block_seal(block, secret_key);
    assert_int_equal(check(block), ERR_CORRUPT);
    assert_string_equal(err.message, "block 1: its producer is no validator");
    block = block_make();
    block_seal(block, f.tx.secret_key);
    block->header.signature[0] ^= 1;
    assert_int_equal(check(block), ERR_FORBIDDEN);
}

static void test_order(void **state)
{
    (void)state;
    struct block *block = block_make();
    struct tx *t = block->txs[0];
    block->txs[0] = block->txs[1];
    block->txs[1] = t;
    assert_int_equal(check(block), ERR_CORRUPT);
    assert_string_equal(err.message, "block 1: its transactions are not in order");
}

static void test_merkle_root(void **state)
{
    (void)state;
    struct block *block = block_make();
    block_seal(block, f.tx.secret_key);
    struct tx *other = tx_fixture_create(&f.tx, tx_fixture_key_of("namespaces", "", "other"), "{}");
    tx_free(block->txs[2]);
    block->txs[2] = other;
    assert_int_equal(check(block), ERR_CORRUPT);
    assert_string_equal(err.message, "block 1: its Merkle root is another");
}

static void test_empty(void **state)
{
    (void)state;
    struct block *block = block_new(NULL, 0);
    block->header.height = 1;
    memcpy(block->header.parent, f.tx.genesis->header.hash, HASH_SIZE);
    block->header.time_us = f.tx.now_us;
    assert_int_equal(check(block), ERR_CORRUPT);
    assert_string_equal(err.message, "block 1: it has no transactions");
}

static void test_invalid_transaction(void **state)
{
    (void)state;
    struct tx **txs = mem_calloc(1, sizeof(struct tx *));
    txs[0] = tx_fixture_create(&f.tx, tx_fixture_key_of("pods", "nowhere", "p"), "{}");
    struct block *block = block_new(txs, 1);
    block->header.height = 1;
    memcpy(block->header.parent, f.tx.genesis->header.hash, HASH_SIZE);
    block->header.time_us = f.tx.now_us;
    assert_int_equal(check(block), ERR_CORRUPT);
    assert_string_equal(err.message, "block 1: transaction 0: namespaces \"nowhere\" not found");
    assert_int_equal(err.code, ERR_CORRUPT);
}

/* Blocks of one transaction each, until the head has that height. */
static void go_on_to(uint64_t height)
{
    while (f.head.height < height) {
        char name[16];
        snprintf(name, sizeof(name), "n%u", (unsigned)f.head.height);
        struct tx *tx = tx_fixture_create(&f.tx, tx_fixture_key_of("namespaces", "", name), "{}");
        assert_int_equal(validator_fixture_run(&f, tx, &err), 0);
        validator_fixture_commit(&f);
    }
    f.chain.height = f.head.height;
}

/* What a block on the head is found to be that holds this transaction alone. */
static int check_alone(const struct tx *tx)
{
    struct tx **txs = mem_calloc(1, sizeof(struct tx *));
    assert_int_equal(tx_decode(&txs[0], tx->encoded, tx->encoded_len, &err), 0);
    struct block *block = block_new(txs, 1);
    block->header.height = f.head.height + 1;
    memcpy(block->header.parent, f.head.hash, HASH_SIZE);
    block->header.time_us = f.tx.now_us;
    assert_int_equal(validator_apply(f.v, txs[0], &err), 0);
    state_view_digest(f.view, block->header.state_digest);
    validator_restart(f.v);
    block_seal(block, f.tx.secret_key);
    int rc = validator_check_block(f.v, &f.head, block, &err);
    validator_restart(f.v);
    block_free(block);
    return rc;
}

/* A node that came with a snapshot does not know what was long ago, so for that no block may be refused; but
 * who knows it does not include it again. */
static void test_repeats(void **state)
{
    (void)state;
    struct resource_key key = tx_fixture_key_of("namespaces", "", "a");
    struct tx *tx = tx_fixture_create(&f.tx, key, "{}"), *copy;
    assert_int_equal(tx_decode(&copy, tx->encoded, tx->encoded_len, &err), 0);
    assert_int_equal(validator_fixture_run(&f, tx, &err), 0);
    validator_fixture_commit(&f);
    assert_int_equal(validator_fixture_run(&f, tx_fixture_delete(&f.tx, key, copy->id), &err), 0);
    validator_fixture_commit(&f);
    go_on_to(VALIDATOR_REPEAT_DEPTH);
    assert_int_equal(check_alone(copy), ERR_CORRUPT);
    assert_string_equal(err.message, "block 257: transaction 0: the transaction is in the chain already");
    go_on_to(VALIDATOR_REPEAT_DEPTH + 1);
    assert_int_equal(validator_check(f.v, copy, &err), ERR_INCLUDED);
    assert_int_equal(check_alone(copy), 0);
    tx_free(copy);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(test_a_right_block, setup, teardown),
    cmocka_unit_test_setup_teardown(test_header, setup, teardown),
    cmocka_unit_test_setup_teardown(test_producer, setup, teardown),
    cmocka_unit_test_setup_teardown(test_order, setup, teardown),
    cmocka_unit_test_setup_teardown(test_merkle_root, setup, teardown),
    cmocka_unit_test_setup_teardown(test_empty, setup, teardown),
    cmocka_unit_test_setup_teardown(test_invalid_transaction, setup, teardown),
    cmocka_unit_test_setup_teardown(test_repeats, setup, teardown),
};

UNIT_MAIN(tests)
