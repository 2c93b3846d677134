/* Blocks: a known genesis, round trips, and that nothing in them can be changed unnoticed. */
#include "unit.h"

#include "base/hex.h"
#include "base/mem.h"
#include "tx_fixture.h"
#include "chain/merkle.h"

static struct tx_fixture fixture;

static int setup(void **state)
{
    (void)state;
    tx_fixture_begin(&fixture);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    tx_fixture_end(&fixture);
    return 0;
}

static struct block *block_make(size_t count)
{
    struct tx **txs = mem_calloc(count + 1, sizeof(struct tx *));
    for (size_t i = 0; i < count; i++) {
        char name[32];
        snprintf(name, sizeof(name), "c%zu", i);
        txs[i] = tx_fixture_create(&fixture, tx_fixture_key_of("configmaps", "default", name), "{}");
    }
    struct block *block = block_new(txs, count);
    block->header.height = 1;
    block->header.time_us = fixture.now_us + 1;
    memcpy(block->header.parent, fixture.genesis->header.hash, HASH_SIZE);
    block_seal(block, fixture.secret_key);
    return block;
}

static void check_hex(const uint8_t hash[HASH_SIZE], const char *expected)
{
    char text[2 * HASH_SIZE + 1];
    hex_encode(text, hash, HASH_SIZE);
    assert_string_equal(text, expected);
}

static void test_known_answers(void **state)
{
    (void)state;
    check_hex(fixture.genesis->header.hash,
              "06b56d7aa575fce148a0ca271f6958edf378b793c0a7e6279855151b259de96e");
    struct block *block = block_make(3);
    check_hex(block->header.tx_root, "46b2a34654d8b15690adf3ba7d3ae83392425f12ed97a1465bc1a6ef41084d97");
    check_hex(block->header.hash, "24fd6b5c8f042366c5e4994f9685f897ffeeba251a1f13315692a3d668ef8704");
    block_free(block);
}

static void test_round_trip(void **state)
{
    (void)state;
    struct block *block = block_make(5);
    struct block *back;
    struct err err;
    assert_int_equal(block_decode(&back, block->encoded, block->encoded_len, &err), 0);
    assert_memory_equal(back->header.hash, block->header.hash, HASH_SIZE);
    assert_int_equal(back->header.tx_count, 5);
    assert_int_equal(back->header.output_count, 5);
    assert_int_equal(block_verify_signature(&back->header, &err), 0);
    uint8_t root[HASH_SIZE];
    block_tx_root(root, back->txs, 5);
    assert_memory_equal(root, block->header.tx_root, HASH_SIZE);
    back->header.height++;
    assert_int_equal(block_verify_signature(&back->header, &err), ERR_FORBIDDEN);
    block_free(back);
    block_free(block);
}

static void test_every_bit_counts(void **state)
{
    (void)state;
    struct block *block = block_make(2);
    uint8_t *bytes = malloc(block->encoded_len);
    for (size_t i = 0; i < block->encoded_len; i++) {
        memcpy(bytes, block->encoded, block->encoded_len);
        bytes[i] ^= (uint8_t)(1u << (i % 8));
        struct block *back;
        struct err err;
        if (block_decode(&back, bytes, block->encoded_len, &err))
            continue;
        uint8_t root[HASH_SIZE];
        block_tx_root(root, back->txs, back->header.tx_count);
        assert_true(memcmp(root, back->header.tx_root, HASH_SIZE) != 0 ||
                    block_verify_signature(&back->header, &err) == ERR_FORBIDDEN);
        assert_true(i >= BLOCK_HEADER_SIZE || memcmp(back->header.hash, block->header.hash, HASH_SIZE) != 0);
        block_free(back);
    }
    free(bytes);
    block_free(block);
}

static void test_every_cut_is_refused(void **state)
{
    (void)state;
    struct block *block = block_make(2);
    for (size_t len = 0; len < block->encoded_len; len++) {
        struct block *back;
        assert_int_equal(block_decode(&back, block->encoded, len, NULL), ERR_CORRUPT);
        assert_null(back);
    }
    block_free(block);
}

static void test_proof_of_a_transaction(void **state)
{
    (void)state;
    struct block *block = block_make(6);
    uint8_t leaves[6][HASH_SIZE];
    for (int i = 0; i < 6; i++)
        tx_leaf_hash(block->txs[i], leaves[i]);
    struct merkle_proof proof;
    merkle_prove(&proof, (const uint8_t(*)[HASH_SIZE])leaves, 6, 4);
    assert_true(merkle_verify(&proof, leaves[4], block->header.tx_root));
    assert_false(merkle_verify(&proof, leaves[3], block->header.tx_root));
    block_free(block);
}

static void test_resource_versions(void **state)
{
    (void)state;
    assert_true(block_rv(1700000000000000, 0) == UINT64_C(1740800000000000000));
    assert_int_equal(block_time_of_rv(block_rv(1700000000000000, 1023)), 1700000000000000);
    struct block_header header = {.time_us = 5, .output_count = 0};
    assert_int_equal(block_head_rv(&header), 5 * 1024);
    header.output_count = 1024;
    assert_int_equal(block_head_rv(&header), 5 * 1024 + 1023);
}

/* A new chain that begins with another one's state. */
static void test_genesis_that_carries(void **state)
{
    (void)state;
    struct err err;
    struct block_header header;
    const uint8_t digest[HASH_SIZE] = {7};
    struct block *from = block_make(1);
    int64_t now = from->header.time_us + 5;
    for (int behind = 0; behind < 2; behind++) {
        struct block *block = block_genesis_carrying(&from->header, digest, behind ? 1 : now, BLOCK_BYZANTINE,
                                                     fixture.secret_key);
        assert_int_equal(block_header_decode(&header, block->encoded, block->encoded_len, &err), 0);
        assert_int_equal(header.time_us, behind ? from->header.time_us + 1 : now);
        assert_true(block_rv(header.time_us, 0) > block_head_rv(&from->header));
        assert_true(header.height == 0 && header.tx_count == 0);
        assert_int_equal(header.flags, BLOCK_BYZANTINE | BLOCK_CARRIES);
        assert_memory_equal(header.parent, from->header.hash, HASH_SIZE);
        assert_memory_equal(header.state_digest, digest, HASH_SIZE);
        assert_int_equal(block_verify_signature(&header, &err), 0);
        block_free(block);
    }
    uint8_t bytes[BLOCK_HEADER_SIZE];
    block_header_encode(bytes, &header);
    bytes[168] = 4; /* a flag that nobody knows */
    assert_int_equal(block_header_decode(&header, bytes, sizeof(bytes), &err), ERR_CORRUPT);
    memcpy(bytes, from->encoded, sizeof(bytes));
    bytes[168] = BLOCK_CARRIES; /* in a block that is no genesis */
    assert_int_equal(block_header_decode(&header, bytes, sizeof(bytes), &err), ERR_CORRUPT);
    block_free(from);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(test_genesis_that_carries, setup, teardown),
    cmocka_unit_test_setup_teardown(test_known_answers, setup, teardown),
    cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
    cmocka_unit_test_setup_teardown(test_every_bit_counts, setup, teardown),
    cmocka_unit_test_setup_teardown(test_every_cut_is_refused, setup, teardown),
    cmocka_unit_test_setup_teardown(test_proof_of_a_transaction, setup, teardown),
    cmocka_unit_test_setup_teardown(test_resource_versions, setup, teardown),
};

UNIT_MAIN(tests)
