/* Known nodes, the registry at the head, and the sets of validators at the blocks of the tree. */
#include "consensus/consensus_internal.h"

#include "base/mem.h"

#include <assert.h>
#include <string.h>

/* ---- nodes ---- */

uint32_t node_find(const struct consensus *c, const uint8_t key[TX_KEY_SIZE])
{
    for (uint32_t i = 0; i < c->node_count; i++)
        if (memcmp(c->nodes[i].key, key, TX_KEY_SIZE) == 0)
            return i;
    return NO_NODE;
}

uint32_t node_ensure(struct consensus *c, const uint8_t key[TX_KEY_SIZE])
{
    uint32_t node = node_find(c, key);
    if (node != NO_NODE || c->node_count == NODES_MAX)
        return node;
    c->nodes = mem_reallocarray(c->nodes, c->node_count + 1, sizeof(*c->nodes));
    node = c->node_count++;
    memset(&c->nodes[node], 0, sizeof(c->nodes[node]));
    memcpy(c->nodes[node].key, key, TX_KEY_SIZE);
    return node;
}

bool node_is_registered(const struct consensus *c, uint32_t node)
{
    return set_has(c, c->head_set, node);
}

bool node_is_live(const struct consensus *c, uint32_t node)
{
    return node == c->self || c->nodes[node].up;
}

bool node_is_ready(const struct consensus *c, uint32_t node)
{
    if (node == c->self)
        return !sync_is_behind(c, READY_BLOCKS);
    return c->nodes[node].up && c->nodes[node].silent_until_us <= c->now_us &&
           c->nodes[node].have_height + READY_BLOCKS >= c->head.height;
}

/* ---- sets ---- */

static struct member_set *set_new(const struct member *members, size_t count)
{
    struct member_set *set = mem_zalloc(sizeof(*set) + count * sizeof(*members));
    set->count = count;
    if (count)
        memcpy(set->members, members, count * sizeof(*members));
    for (size_t i = 0; i < count; i++) {
        if (members[i].phase == REGISTRY_JOINING)
            continue;
        set->acting.members[members[i].place / 8] |= (uint8_t)(1 << members[i].place % 8);
        set->acting.count++;
    }
    return set;
}

static bool same_members(const struct member_set *set, const struct member *members, size_t count)
{
    if (set->count != count)
        return false;
    for (size_t i = 0; i < count; i++)
        if (set->members[i].place != members[i].place || set->members[i].phase != members[i].phase ||
            strcmp(set->members[i].name, members[i].name) != 0)
            return false;
    return true;
}

static int compare_members(const void *a, const void *b)
{
    const struct member *left = a, *right = b;
    return (left->place > right->place) - (left->place < right->place);
}

/* Sets come and go rarely, and often come back, so each is kept once. */
uint32_t set_add(struct consensus *c, const struct member *members, size_t count)
{
    mem_auto struct member *sorted = mem_dup(members, count * sizeof(*members));
    qsort(sorted, count, sizeof(*sorted), compare_members);
    for (uint32_t i = c->set_count; i-- > 0;)
        if (same_members(c->sets[i], sorted, count))
            return i;
    if (c->set_count == SETS_MAX)
        return c->head_set;
    c->sets = mem_reallocarray(c->sets, c->set_count + 1, sizeof(struct member_set *));
    c->sets[c->set_count] = set_new(sorted, count);
    return c->set_count++;
}

bool set_has(const struct consensus *c, uint32_t set, uint32_t node)
{
    for (size_t i = 0; i < c->sets[set]->count; i++)
        if (c->sets[set]->members[i].place == node)
            return true;
    return false;
}

uint32_t set_sole(const struct consensus *c, uint32_t set)
{
    const struct member_set *s = c->sets[set];
    return s->count == 1 && s->members[0].phase == REGISTRY_ACTING ? s->members[0].place : NO_NODE;
}

static size_t member_of(const struct member *members, size_t count, const char *name)
{
    size_t i = 0;
    while (i < count && strcmp(members[i].name, name) != 0)
        i++;
    return i;
}

static size_t output_apply(struct consensus *c, struct member *members, size_t count,
                           const struct tx_output *output)
{
    size_t at = member_of(members, count, output->key.name);
    if (output->op == TX_OUTPUT_DELETE) {
        if (at < count)
            members[at] = members[--count];
        return count;
    }
    struct registry_validator validator;
    if (registry_parse(&validator, output->key.name, output->content, output->content_len, NULL) != 0)
        return count;
    uint32_t place = node_ensure(c, validator.key);
    if (place == NO_NODE || (at == count && count == REGISTRY_MAX))
        return count;
    members[at] = (struct member){.place = place, .phase = validator.phase};
    memcpy(members[at].name, validator.name, sizeof(members[at].name));
    return at == count ? count + 1 : count;
}

bool block_changes_registry(const struct block *block)
{
    for (uint32_t i = 0; i < block->header.tx_count; i++)
        for (size_t k = 0; k < block->txs[i]->output_count; k++)
            if (registry_is_ruled(&block->txs[i]->outputs[k].key))
                return true;
    return false;
}

/* A chain's first validator has no object until it registers itself. */
static size_t members_registered(const struct consensus *c, struct member *members, uint32_t set)
{
    const struct member_set *s = c->sets[set];
    if (s->count == 1 && !*s->members[0].name)
        return 0;
    memcpy(members, s->members, s->count * sizeof(*members));
    return s->count;
}

uint32_t set_after(struct consensus *c, uint32_t before, const struct block *block)
{
    if (!block_changes_registry(block))
        return before;
    mem_auto struct member *members = mem_calloc(REGISTRY_MAX + 1, sizeof(*members));
    size_t count = members_registered(c, members, before);
    for (uint32_t i = 0; i < block->header.tx_count; i++)
        for (size_t k = 0; k < block->txs[i]->output_count; k++)
            if (registry_is_key(&block->txs[i]->outputs[k].key))
                count = output_apply(c, members, count, &block->txs[i]->outputs[k]);
    return count ? set_add(c, members, count) : before;
}

/* ---- the head ---- */

void registry_reload(struct consensus *c)
{
    struct state_snapshot *snapshot = c->ops->snapshot_begin(c->store);
    free(c->registry);
    c->registry_count = registry_load(&c->registry, c->ops, snapshot);
    c->chain.registry = c->registry;
    c->chain.registry_count = c->registry_count;
    c->has_seed = registry_load_seed(&c->seed, c->chain.id, c->ops, snapshot);
    c->ops->snapshot_end(snapshot);
    struct member *members = mem_calloc(c->registry_count + 1, sizeof(*members));
    size_t count = 0;
    for (size_t i = 0; i < c->registry_count; i++) {
        const struct registry_validator *v = &c->registry[i];
        members[count].place = node_ensure(c, v->key);
        members[count].phase = v->phase;
        memcpy(members[count].name, v->name, sizeof(members[count].name));
        count += members[count].place != NO_NODE;
    }
    if (count == 0)
        members[count++] =
            (struct member){.place = node_ensure(c, c->genesis.producer), .phase = REGISTRY_ACTING};
    c->head_set = set_add(c, members, count);
    free(members);
    c->alone = set_sole(c, c->head_set) == c->self;
    c->order_valid = false;
}
