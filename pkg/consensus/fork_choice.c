#include "consensus/fork_choice.h"

#include "base/mem.h"
#include "chain/bytemap.h"

#include <assert.h>
#include <string.h>

struct fork_node {
    struct fork_block block;
    struct fork_node *parent;
    uint32_t weight;         /* of the branch that begins here; while a head is being chosen */
    uint64_t height_max;     /* of that branch */
    struct fork_node *heavy; /* its best child */
    uint32_t children;
    bool kept;
};

struct attestation {
    uint64_t round;
    uint8_t head[HASH_SIZE];
    bool given;
    bool excluded;
};

struct fork_choice {
    struct fork_node **nodes; /* parents before children; the root first */
    size_t count, cap;
    size_t forks; /* blocks with more than one child */
    struct bytemap by_hash;
    struct attestation *latest; /* by validator */
    uint32_t validators;
    uint32_t recent_rounds;
};

static struct fork_node *node_add(struct fork_choice *fc, const struct fork_block *block,
                                  struct fork_node *parent)
{
    if (fc->count == fc->cap) {
        fc->cap = fc->cap ? 2 * fc->cap : 64;
        fc->nodes = mem_reallocarray(fc->nodes, fc->cap, sizeof(struct fork_node *));
    }
    struct fork_node *node = mem_zalloc(sizeof(*node));
    node->block = *block;
    node->parent = parent;
    if (parent) {
        node->block.height = parent->block.height + 1;
        fc->forks += ++parent->children == 2;
    }
    fc->nodes[fc->count] = node;
    bytemap_set(&fc->by_hash, node->block.hash, HASH_SIZE, (uint32_t)fc->count++);
    return node;
}

struct fork_choice *fork_choice_new(uint32_t validators, uint32_t recent_rounds,
                                    const struct fork_block *root)
{
    struct fork_choice *fc = mem_zalloc(sizeof(*fc));
    fc->validators = validators;
    fc->recent_rounds = recent_rounds;
    fc->latest = mem_calloc(validators ? validators : 1, sizeof(*fc->latest));
    node_add(fc, root, NULL);
    return fc;
}

void fork_choice_free(struct fork_choice *fc)
{
    if (!fc)
        return;
    for (size_t i = 0; i < fc->count; i++)
        free(fc->nodes[i]);
    free(fc->nodes);
    bytemap_free(&fc->by_hash);
    free(fc->latest);
    free(fc);
}

static struct fork_node *find(const struct fork_choice *fc, const uint8_t hash[HASH_SIZE])
{
    uint32_t at = bytemap_get(&fc->by_hash, hash, HASH_SIZE);
    return at == BYTEMAP_NONE ? NULL : fc->nodes[at];
}

enum fork_added fork_choice_add(struct fork_choice *fc, const struct fork_block *block)
{
    if (find(fc, block->hash))
        return FORK_KNOWN;
    struct fork_node *parent = find(fc, block->parent);
    if (!parent)
        return FORK_NO_PARENT;
    node_add(fc, block, parent);
    return FORK_ADDED;
}

const struct fork_node *fork_choice_find(const struct fork_choice *fc, const uint8_t hash[HASH_SIZE])
{
    return find(fc, hash);
}

const struct fork_node *fork_choice_root(const struct fork_choice *fc)
{
    return fc->nodes[0];
}

const struct fork_block *fork_node_block(const struct fork_node *node)
{
    return &node->block;
}

const struct fork_node *fork_node_parent(const struct fork_node *node)
{
    return node->parent;
}

bool fork_node_leads_to(const struct fork_node *a, const struct fork_node *b)
{
    while (b->block.height > a->block.height && b->parent)
        b = b->parent;
    return a == b;
}

const struct fork_node *fork_node_common(const struct fork_node *a, const struct fork_node *b)
{
    while (a != b) {
        if (a->block.height >= b->block.height)
            a = a->parent;
        else
            b = b->parent;
    }
    return a;
}

size_t fork_choice_count(const struct fork_choice *fc)
{
    return fc->count;
}

const struct fork_node *fork_choice_node(const struct fork_choice *fc, size_t i)
{
    return fc->nodes[i];
}

const struct fork_node *fork_node_at_time(const struct fork_node *node, int64_t time_us)
{
    while (node->block.time_us > time_us && node->parent)
        node = node->parent;
    return node;
}

void fork_choice_attest(struct fork_choice *fc, uint32_t validator, uint64_t round,
                        const uint8_t head[HASH_SIZE])
{
    assert(validator < fc->validators);
    struct attestation *latest = &fc->latest[validator];
    if (latest->given && latest->round >= round)
        return;
    latest->given = true;
    latest->round = round;
    memcpy(latest->head, head, HASH_SIZE);
}

void fork_choice_exclude(struct fork_choice *fc, uint32_t validator)
{
    assert(validator < fc->validators);
    fc->latest[validator].excluded = true;
}

bool fork_choice_is_excluded(const struct fork_choice *fc, uint32_t validator)
{
    return fc->latest[validator].excluded;
}

static bool is_better(const struct fork_node *a, const struct fork_node *b)
{
    if (a->weight != b->weight)
        return a->weight > b->weight;
    if (a->height_max != b->height_max)
        return a->height_max > b->height_max;
    return memcmp(a->block.hash, b->block.hash, HASH_SIZE) < 0;
}

const struct fork_node *fork_choice_head(struct fork_choice *fc, const struct fork_node *start,
                                         uint64_t round)
{
    if (fc->forks == 0)
        return fc->nodes[fc->count - 1]; /* one line: there is nothing to choose */
    for (size_t i = 0; i < fc->count; i++) {
        fc->nodes[i]->weight = 0;
        fc->nodes[i]->height_max = fc->nodes[i]->block.height;
        fc->nodes[i]->heavy = NULL;
    }
    for (uint32_t v = 0; v < fc->validators; v++) {
        const struct attestation *latest = &fc->latest[v];
        struct fork_node *node;
        if (latest->given && !latest->excluded && latest->round + fc->recent_rounds >= round &&
            (node = find(fc, latest->head)))
            node->weight++;
    }
    /* Children come after their parents, so from the end each branch is complete when it is its turn. */
    for (size_t i = fc->count - 1; i > 0; i--) {
        struct fork_node *node = fc->nodes[i], *parent = node->parent;
        parent->weight += node->weight;
        if (node->height_max > parent->height_max)
            parent->height_max = node->height_max;
        if (!parent->heavy || is_better(node, parent->heavy))
            parent->heavy = node;
    }
    while (start->heavy)
        start = start->heavy;
    return start;
}

/* Drops the nodes that are not marked as kept; the first that is becomes the root. */
static void nodes_sift(struct fork_choice *fc)
{
    size_t kept = 0;
    bytemap_clear(&fc->by_hash);
    fc->forks = 0;
    for (size_t i = 0; i < fc->count; i++) {
        struct fork_node *node = fc->nodes[i];
        node->heavy = NULL;
        node->children = 0;
        if (node->kept && node->parent && node->parent->kept)
            fc->forks += ++node->parent->children == 2;
    }
    for (size_t i = fc->count; i-- > 0;)
        if (fc->nodes[i]->parent && !fc->nodes[i]->parent->kept)
            fc->nodes[i]->parent = NULL;
    for (size_t i = 0; i < fc->count; i++) {
        struct fork_node *node = fc->nodes[i];
        if (!node->kept) {
            free(node);
            continue;
        }
        bytemap_set(&fc->by_hash, node->block.hash, HASH_SIZE, (uint32_t)kept);
        fc->nodes[kept++] = node;
    }
    assert(kept > 0);
    fc->count = kept;
}

void fork_choice_finalize(struct fork_choice *fc, const struct fork_node *root)
{
    for (size_t i = 0; i < fc->count; i++) {
        struct fork_node *node = fc->nodes[i];
        node->kept = node == root || (node->parent && node->parent->kept);
    }
    nodes_sift(fc);
}

void fork_choice_reject(struct fork_choice *fc, const struct fork_node *rejected)
{
    assert(rejected->parent);
    for (size_t i = 0; i < fc->count; i++) {
        struct fork_node *node = fc->nodes[i];
        node->kept = node != rejected && (!node->parent || node->parent->kept);
    }
    nodes_sift(fc);
}
