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

/* Hashes the pairs of a level into the next one, which may be in the same place; returns its size. */
static size_t level_up(uint8_t (*next)[HASH_SIZE], uint8_t (*nodes)[HASH_SIZE], size_t count)
{
    size_t size = 0;
    for (size_t i = 0; i < count; i += 2, size++) {
        if (i + 1 < count)
            node_hash(next[size], nodes[i], nodes[i + 1]);
        else
            memmove(next[size], nodes[i], HASH_SIZE);
    }
    return size;
}

void merkle_root(uint8_t out[HASH_SIZE], uint8_t (*leaves)[HASH_SIZE], size_t count)
{
    if (count == 0) {
        memset(out, 0, HASH_SIZE);
        return;
    }
    while (count > 1)
        count = level_up(leaves, leaves, count);
    memcpy(out, leaves[0], HASH_SIZE);
}

size_t merkle_proof_nodes(size_t index, size_t count)
{
    size_t nodes = 0;
    /* Levels at which a node is the odd last one have no sibling. */
    for (size_t last = count - 1; last; last >>= 1, index >>= 1)
        nodes += (index ^ 1) <= last;
    return nodes;
}

/* All levels, one after the other, the leaves first and the root last. */
struct merkle_tree {
    size_t count;
    size_t node_count;
    uint8_t nodes[][HASH_SIZE];
};

static size_t tree_size(size_t count)
{
    size_t size = count;
    for (; count > 1; size += count)
        count = (count + 1) / 2;
    return size;
}

struct merkle_tree *merkle_tree_new(const uint8_t (*leaves)[HASH_SIZE], size_t count)
{
    assert(count);
    size_t size = tree_size(count);
    struct merkle_tree *tree = mem_alloc(sizeof(*tree) + size * HASH_SIZE);
    tree->count = count;
    tree->node_count = size;
    memcpy(tree->nodes, leaves, count * HASH_SIZE);
    for (uint8_t(*level)[HASH_SIZE] = tree->nodes; count > 1;) {
        uint8_t(*next)[HASH_SIZE] = level + count;
        count = level_up(next, level, count);
        level = next;
    }
    return tree;
}

void merkle_tree_free(struct merkle_tree *tree)
{
    free(tree);
}

const uint8_t *merkle_tree_root(const struct merkle_tree *tree)
{
    return tree->nodes[tree->node_count - 1];
}

void merkle_tree_prove(struct merkle_proof *proof, const struct merkle_tree *tree, size_t index)
{
    assert(index < tree->count);
    proof->index = index;
    proof->count = tree->count;
    proof->node_count = 0;
    const uint8_t(*level)[HASH_SIZE] = tree->nodes;
    for (size_t count = tree->count; count > 1; count = (count + 1) / 2, index >>= 1) {
        size_t sibling = index ^ 1;
        if (sibling < count)
            memcpy(proof->nodes[proof->node_count++], level[sibling], HASH_SIZE);
        level += count;
    }
}

void merkle_prove(struct merkle_proof *proof, const uint8_t (*leaves)[HASH_SIZE], size_t count, size_t index)
{
    struct merkle_tree *tree = merkle_tree_new(leaves, count);
    merkle_tree_prove(proof, tree, index);
    merkle_tree_free(tree);
}

bool merkle_follow(uint8_t root[HASH_SIZE], const struct merkle_proof *proof, const uint8_t leaf[HASH_SIZE])
{
    if (proof->index >= proof->count || proof->node_count > MERKLE_PROOF_MAX ||
        proof->node_count != merkle_proof_nodes(proof->index, proof->count))
        return false;
    size_t index = proof->index;
    const uint8_t(*sibling)[HASH_SIZE] = proof->nodes;
    memcpy(root, leaf, HASH_SIZE);
    for (size_t last = proof->count - 1; last; last >>= 1, index >>= 1) {
        if (index & 1)
            node_hash(root, *sibling++, root);
        else if (index < last)
            node_hash(root, root, *sibling++);
    }
    return true;
}

bool merkle_verify(const struct merkle_proof *proof, const uint8_t leaf[HASH_SIZE],
                   const uint8_t root[HASH_SIZE])
{
    uint8_t actual[HASH_SIZE];
    return merkle_follow(actual, proof, leaf) && memcmp(actual, root, HASH_SIZE) == 0;
}
