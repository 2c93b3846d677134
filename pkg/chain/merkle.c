/* See merkle.h. A level's odd last node moves up as it is, which gives the tree of RFC 9162. */
#include "chain/merkle.h"

#include "base/mem.h"

#include <assert.h>
#include <string.h>

static const uint8_t leaf_prefix = 0x00;
static const uint8_t node_prefix = 0x01;

void merkle_leaf(uint8_t out[HASH_SIZE], const void *data, size_t len)
{
    hash_sha256_parts(out, &leaf_prefix, 1, data, len, NULL, 0);
}

static void node_hash(uint8_t out[HASH_SIZE], const uint8_t left[HASH_SIZE], const uint8_t right[HASH_SIZE])
{
    uint8_t input[1 + 2 * HASH_SIZE];
    input[0] = node_prefix;
    memcpy(input + 1, left, HASH_SIZE);
    memcpy(input + 1 + HASH_SIZE, right, HASH_SIZE);
    hash_sha256(out, input, sizeof(input));
}

/* Hashes the pairs of a level in place; returns the size of the next one. */
static size_t level_up(uint8_t (*nodes)[HASH_SIZE], size_t count)
{
    size_t next = 0;
    for (size_t i = 0; i < count; i += 2, next++) {
        if (i + 1 < count)
            node_hash(nodes[next], nodes[i], nodes[i + 1]);
        else
            memmove(nodes[next], nodes[i], HASH_SIZE);
    }
    return next;
}

void merkle_root(uint8_t out[HASH_SIZE], uint8_t (*leaves)[HASH_SIZE], size_t count)
{
    if (count == 0) {
        memset(out, 0, HASH_SIZE);
        return;
    }
    while (count > 1)
        count = level_up(leaves, count);
    memcpy(out, leaves[0], HASH_SIZE);
}

void merkle_prove(struct merkle_proof *proof, const uint8_t (*leaves)[HASH_SIZE], size_t count, size_t index)
{
    assert(index < count);
    *proof = (struct merkle_proof){.index = index, .count = count};
    mem_auto uint8_t(*nodes)[HASH_SIZE] = mem_dup(leaves, count * HASH_SIZE);
    while (count > 1) {
        size_t sibling = index ^ 1;
        if (sibling < count) {
            assert(proof->node_count < MERKLE_PROOF_MAX);
            memcpy(proof->nodes[proof->node_count++], nodes[sibling], HASH_SIZE);
        }
        count = level_up(nodes, count);
        index >>= 1;
    }
}

bool merkle_verify(const struct merkle_proof *proof, const uint8_t leaf[HASH_SIZE],
                   const uint8_t root[HASH_SIZE])
{
    if (proof->index >= proof->count || proof->node_count > MERKLE_PROOF_MAX)
        return false;
    size_t index = proof->index;
    size_t last = proof->count - 1;
    uint8_t hash[HASH_SIZE];
    memcpy(hash, leaf, HASH_SIZE);
    for (size_t i = 0; i < proof->node_count; i++) {
        if (last == 0)
            return false;
        /* Levels at which this node is the odd last one have no sibling in the proof. */
        while (index == last && !(index & 1)) {
            index >>= 1;
            last >>= 1;
        }
        if (index & 1)
            node_hash(hash, proof->nodes[i], hash);
        else
            node_hash(hash, hash, proof->nodes[i]);
        index >>= 1;
        last >>= 1;
    }
    while (last && index == last && !(index & 1)) {
        index >>= 1;
        last >>= 1;
    }
    return last == 0 && memcmp(hash, root, HASH_SIZE) == 0;
}
