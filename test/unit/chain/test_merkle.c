/* Merkle trees: known roots, and proofs for every leaf of every small tree. */
#include "unit.h"

#include "base/hex.h"
#include "chain/merkle.h"

#include <sodium.h>

#define LEAVES_MAX 40

static void leaves_make(uint8_t (*leaves)[HASH_SIZE], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint8_t data = (uint8_t)i;
        merkle_leaf(leaves[i], &data, 1);
    }
}

/* The tree of RFC 9162 straight from its recursive definition, to compare with. */
static void root_by_definition(uint8_t out[HASH_SIZE], uint8_t (*leaves)[HASH_SIZE], size_t count)
{
    if (count == 1) {
        memcpy(out, leaves[0], HASH_SIZE);
        return;
    }
    size_t k = 1;
    while (2 * k < count)
        k *= 2;
    uint8_t input[1 + 2 * HASH_SIZE] = {1};
    root_by_definition(input + 1, leaves, k);
    root_by_definition(input + 1 + HASH_SIZE, leaves + k, count - k);
    hash_sha256(out, input, sizeof(input));
}

static void test_roots(void **state)
{
    (void)state;
    uint8_t leaves[LEAVES_MAX][HASH_SIZE], root[HASH_SIZE], expected[HASH_SIZE];
    merkle_root(root, leaves, 0);
    memset(expected, 0, sizeof(expected));
    assert_memory_equal(root, expected, HASH_SIZE);
    for (size_t count = 1; count <= LEAVES_MAX; count++) {
        leaves_make(leaves, count);
        root_by_definition(expected, leaves, count);
        merkle_root(root, leaves, count);
        assert_memory_equal(root, expected, HASH_SIZE);
    }
}

static void test_known_root(void **state)
{
    (void)state;
    uint8_t leaves[3][HASH_SIZE], root[HASH_SIZE];
    leaves_make(leaves, 3);
    merkle_root(root, leaves, 3);
    char text[2 * HASH_SIZE + 1];
    hex_encode(text, root, HASH_SIZE);
    assert_string_equal(text, "3b6cccd7e3e023ff393006f030315ee7ad9eb111b022b41fba7e5b7a3973f688");
}

static void test_every_proof(void **state)
{
    (void)state;
    uint8_t leaves[LEAVES_MAX][HASH_SIZE], copy[LEAVES_MAX][HASH_SIZE], root[HASH_SIZE];
    for (size_t count = 1; count <= LEAVES_MAX; count++) {
        leaves_make(leaves, count);
        memcpy(copy, leaves, sizeof(copy));
        merkle_root(root, copy, count);
        for (size_t i = 0; i < count; i++) {
            struct merkle_proof proof;
            merkle_prove(&proof, (const uint8_t(*)[HASH_SIZE])leaves, count, i);
            assert_true(merkle_verify(&proof, leaves[i], root));
            for (size_t k = 0; k < count; k++)
                assert_int_equal(merkle_verify(&proof, leaves[k], root), k == i);
        }
    }
}

static void test_bad_proofs(void **state)
{
    (void)state;
    uint8_t leaves[7][HASH_SIZE], copy[7][HASH_SIZE], root[HASH_SIZE];
    leaves_make(leaves, 7);
    memcpy(copy, leaves, sizeof(copy));
    merkle_root(root, copy, 7);
    struct merkle_proof good, bad;
    merkle_prove(&good, (const uint8_t(*)[HASH_SIZE])leaves, 7, 4);
    bad = good;
    bad.index = 5;
    assert_false(merkle_verify(&bad, leaves[4], root));
    bad = good;
    bad.index = 7;
    assert_false(merkle_verify(&bad, leaves[4], root));
    bad = good;
    bad.node_count--;
    assert_false(merkle_verify(&bad, leaves[4], root));
    bad = good;
    bad.node_count++;
    assert_false(merkle_verify(&bad, leaves[4], root));
    bad = good;
    bad.nodes[0][5] ^= 1;
    assert_false(merkle_verify(&bad, leaves[4], root));
    bad = good;
    bad.node_count = MERKLE_PROOF_MAX + 1;
    assert_false(merkle_verify(&bad, leaves[4], root));
    /* An inner node is no leaf: the prefixes keep them apart. */
    uint8_t pair[2 * HASH_SIZE], leaf[HASH_SIZE];
    memcpy(pair, leaves, sizeof(pair));
    merkle_leaf(leaf, pair, sizeof(pair));
    uint8_t two[2][HASH_SIZE];
    memcpy(two, leaves, sizeof(two));
    merkle_root(root, two, 2);
    assert_memory_not_equal(leaf, root, HASH_SIZE);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_roots),
    cmocka_unit_test(test_known_root),
    cmocka_unit_test(test_every_proof),
    cmocka_unit_test(test_bad_proofs),
};

UNIT_MAIN(tests)
