/*
 * The block tree, the bodies of blocks that are not on the current chain, and the choice of what to write
 * next. See consensus_internal.h.
 */
#include "consensus/consensus_internal.h"

#include "base/mem.h"

#include <assert.h>
#include <string.h>

#define ASK_BODIES_MAX 64

static struct fork_block fork_block_of(const struct block_header *header, uint32_t set)
{
    struct fork_block block = {.height = header->height, .time_us = header->time_us, .tag = set};
    memcpy(block.hash, header->hash, HASH_SIZE);
    memcpy(block.parent, header->parent, HASH_SIZE);
    return block;
}

/* ---- bodies ---- */

static uint32_t body_index(const struct consensus *c, const uint8_t hash[HASH_SIZE])
{
    return bytemap_get(&c->bodies_by_hash, hash, HASH_SIZE);
}

const struct block *body_find(const struct consensus *c, const uint8_t hash[HASH_SIZE])
{
    uint32_t i = body_index(c, hash);
    return i == BYTEMAP_NONE ? NULL : c->bodies[i].block;
}

/* What is beyond the limit is asked for again when its branch is entered. */
void body_put(struct consensus *c, struct block *block, uint32_t from)
{
    bool is_next = memcmp(block->header.parent, c->head.hash, HASH_SIZE) == 0;
    if (body_find(c, block->header.hash) ||
        (!is_next && c->body_bytes + block->encoded_len > BODIES_BYTES_MAX)) {
        block_free(block);
        return;
    }
    if (c->body_count == c->body_cap) {
        c->body_cap = c->body_cap ? 2 * c->body_cap : 16;
        c->bodies = mem_reallocarray(c->bodies, c->body_cap, sizeof(*c->bodies));
    }
    c->body_bytes += block->encoded_len;
    c->bodies[c->body_count] = (struct body){block, from};
    bytemap_set(&c->bodies_by_hash, block->header.hash, HASH_SIZE, (uint32_t)c->body_count++);
}

struct block *body_take(struct consensus *c, const uint8_t hash[HASH_SIZE], uint32_t *from)
{
    uint32_t i = body_index(c, hash);
    if (i == BYTEMAP_NONE)
        return NULL;
    struct body body = c->bodies[i];
    bytemap_remove(&c->bodies_by_hash, hash, HASH_SIZE);
    c->body_bytes -= body.block->encoded_len;
    if (i != --c->body_count) {
        c->bodies[i] = c->bodies[c->body_count];
        bytemap_remove(&c->bodies_by_hash, c->bodies[i].block->header.hash, HASH_SIZE);
        bytemap_set(&c->bodies_by_hash, c->bodies[i].block->header.hash, HASH_SIZE, i);
    }
    *from = body.from;
    return body.block;
}

/* Bodies of what is no longer in the tree, or on the chain. */
static void bodies_sift(struct consensus *c)
{
    uint32_t from;
    for (size_t i = 0; i < c->body_count;) {
        const struct fork_node *node =
            c->tree ? fork_choice_find(c->tree, c->bodies[i].block->header.hash) : NULL;
        if (node && fork_node_parent(node))
            i++;
        else
            block_free(body_take(c, c->bodies[i].block->header.hash, &from));
    }
}

/* ---- the tree ---- */

const struct fork_node *tree_head(const struct consensus *c)
{
    return c->tree ? fork_choice_find(c->tree, c->head.hash) : NULL;
}

static void finality_begin(struct consensus *c, const struct block_header *header)
{
    struct checkpoint checkpoint = {.round = round_at(c, header->time_us)};
    memcpy(checkpoint.block, header->hash, HASH_SIZE);
    finality_free(c->finality);
    c->finality = finality_new(c->tree, NODES_MAX, 1, &checkpoint, &checkpoint);
    finality_use_members(c->finality, c->chain.byzantine, votes_members_at, c);
    c->vote_count = 0;
    votes_of_liars(c);
}

static void final_set(struct consensus *c, uint64_t height, const uint8_t hash[HASH_SIZE])
{
    c->final_height = height;
    memcpy(c->final_hash, hash, HASH_SIZE);
}

void tree_ensure(struct consensus *c)
{
    if (c->tree)
        return;
    struct fork_block root = fork_block_of(&c->head, c->head_set);
    c->tree = fork_choice_new(NODES_MAX, ATTESTATION_ROUNDS, &root);
    finality_begin(c, &c->head);
    final_set(c, c->head.height, c->head.hash);
}

void tree_drop(struct consensus *c)
{
    finality_free(c->finality);
    fork_choice_free(c->tree);
    c->finality = NULL;
    c->tree = NULL;
    c->switching = false;
    bodies_sift(c);
}

void tree_final_at_once(struct consensus *c)
{
    const struct fork_node *node = tree_head(c);
    final_set(c, c->head.height, c->head.hash);
    if (!node || (c->alone && c->body_count == 0)) {
        tree_drop(c);
        return;
    }
    fork_choice_finalize(c->tree, node);
    finality_begin(c, &c->head);
    bodies_sift(c);
    c->head_stale = true;
}

void tree_add_head(struct consensus *c)
{
    struct fork_block block = fork_block_of(&c->head, c->head_set);
    fork_choice_add(c->tree, &block);
    uint32_t from;
    block_free(body_take(c, c->head.hash, &from)); /* it may have come a second time */
    c->head_stale = true;
}

void tree_finalized(struct consensus *c)
{
    const struct fork_node *node = fork_choice_find(c->tree, finality_finalized(c->finality)->block);
    const struct fork_node *head = tree_head(c);
    if (!node || !head || node == fork_choice_root(c->tree) || !fork_node_leads_to(node, head))
        return; /* the switch to it comes first */
    final_set(c, fork_node_block(node)->height, fork_node_block(node)->hash);
    fork_choice_finalize(c->tree, node);
    bodies_sift(c);
    c->head_stale = true;
    if (c->final_height == c->head.height)
        c->record_due = true;
    answers_release(c);
}

bool chain_is_active(const struct consensus *c)
{
    return c->tree && !c->alone && (c->final_height != c->head.height || change_waits(c));
}

bool chain_has(const struct consensus *c, uint64_t height, const uint8_t hash[HASH_SIZE])
{
    if (height > c->head.height)
        return false;
    if (memcmp(hash, c->head.hash, HASH_SIZE) == 0)
        return true;
    const struct fork_node *node = c->tree ? fork_choice_find(c->tree, hash) : NULL;
    if (node)
        return fork_node_leads_to(node, tree_head(c));
    uint64_t found;
    return c->chain_ops->height_of(c->store, hash, &found, NULL) == 0 && found == height;
}

bool block_is_known(const struct consensus *c, uint64_t height, const uint8_t hash[HASH_SIZE])
{
    return (c->tree && fork_choice_find(c->tree, hash)) || chain_has(c, height, hash);
}

/* ---- blocks from others ---- */

bool block_is_rejected(const struct consensus *c, const uint8_t hash[HASH_SIZE])
{
    for (size_t i = 0; i < REJECTED_MAX; i++)
        if (memcmp(c->rejected[i], hash, HASH_SIZE) == 0)
            return true;
    return false;
}

static void block_reject(struct consensus *c, const uint8_t hash[HASH_SIZE], uint32_t from, const char *why)
{
    memcpy(c->rejected[c->rejected_next++ % REJECTED_MAX], hash, HASH_SIZE);
    out_blame(c, from, true, why);
}

/* What can be told before its place on the chain is reached. */
static const char *fault_of(const struct consensus *c, const struct block_header *header,
                            const struct fork_block *parent)
{
    uint32_t producer = node_find(c, header->producer);
    if (header->height != parent->height + 1 || header->time_us <= parent->time_us)
        return "a block that does not stand on its parent";
    if (producer == NO_NODE || !set_has(c, parent->tag, producer))
        return "a block of a producer that is no validator";
    return NULL;
}

static void tree_add(struct consensus *c, struct block *block, uint32_t from, const struct fork_node *parent)
{
    const char *fault = fault_of(c, &block->header, fork_node_block(parent));
    if (fault) {
        block_reject(c, block->header.hash, from, fault);
        block_free(block);
        return;
    }
    struct fork_block added =
        fork_block_of(&block->header, set_after(c, fork_node_block(parent)->tag, block));
    fork_choice_add(c->tree, &added);
    c->head_stale = true;
    body_put(c, block, from);
    votes_settle(c);
}

static bool needs_body(const struct consensus *c, const struct fork_node *node)
{
    const uint8_t *hash = fork_node_block(node)->hash;
    bool in_flight = c->flight && c->flight->persist.block &&
                     memcmp(c->flight->persist.block->header.hash, hash, HASH_SIZE) == 0;
    return !in_flight && !fork_node_leads_to(node, tree_head(c));
}

void tree_receive(struct consensus *c, struct block *block, uint32_t from)
{
    const struct block_header *header = &block->header;
    if (block_is_rejected(c, header->hash) || header->time_us > c->now_us + FUTURE_US) {
        block_free(block);
        return;
    }
    if (block_is_rejected(c, header->parent)) {
        block_reject(c, header->hash, from, "a block on an invalid one");
        block_free(block);
        return;
    }
    tree_ensure(c);
    proposal_note(c, header);
    const struct fork_node *node = fork_choice_find(c->tree, header->hash);
    const struct fork_node *parent = fork_choice_find(c->tree, header->parent);
    if (node || parent) {
        memcpy(c->nodes[from].newest, header->hash, HASH_SIZE);
        c->nodes[from].progress = true;
    }
    if (node && needs_body(c, node)) {
        body_put(c, block, from);
        c->head_stale = true;
    } else if (!node && parent) {
        tree_add(c, block, from, parent);
    } else {
        if (!node && header->height > c->final_height)
            sync_note_have(c, from, header->height, header->hash, true);
        block_free(block);
    }
}

/* ---- what to write next ---- */

/* The longest branch that does not run through the block that cannot be had. */
static const struct fork_node *choose_other(const struct consensus *c, const struct fork_node *start,
                                            const struct fork_node *avoided)
{
    const struct fork_node *best = tree_head(c);
    if (fork_node_leads_to(avoided, best))
        best = fork_node_parent(avoided);
    for (size_t i = 0; i < fork_choice_count(c->tree); i++) {
        const struct fork_node *node = fork_choice_node(c->tree, i);
        if (fork_node_block(node)->height > fork_node_block(best)->height &&
            fork_node_leads_to(start, node) && !fork_node_leads_to(avoided, node))
            best = node;
    }
    return best;
}

static const struct fork_node *choose(struct consensus *c)
{
    const struct fork_node *target = c->switching ? fork_choice_find(c->tree, c->target) : NULL;
    const struct fork_node *avoided =
        c->now_us < c->avoided_until_us ? fork_choice_find(c->tree, c->avoided) : NULL;
    if (target && !(avoided && fork_node_leads_to(avoided, target)))
        return target;
    c->switching = false;
    const struct fork_node *start = fork_choice_find(c->tree, finality_justified(c->finality)->block);
    if (!start)
        start = fork_choice_root(c->tree);
    const struct fork_node *best = fork_choice_head(c->tree, start, c->round);
    return avoided && fork_node_leads_to(avoided, best) ? choose_other(c, start, avoided) : best;
}

/* The block after from on the way to node. */
static const struct fork_node *step_towards(const struct fork_node *from, const struct fork_node *node)
{
    while (fork_node_parent(node) != from)
        node = fork_node_parent(node);
    return node;
}

/* A block that this node has left before is in its store, and was checked then. */
static bool body_recall(struct consensus *c, const uint8_t hash[HASH_SIZE])
{
    if (body_find(c, hash))
        return true;
    struct block *block = NULL;
    if (c->chain_ops->side_block(c->store, hash, &block, NULL) != 0)
        return false;
    block->trusted = true;
    for (uint32_t i = 0; i < block->header.tx_count; i++)
        block->txs[i]->trusted = true;
    body_put(c, block, c->self);
    return body_find(c, hash) != NULL;
}

void missing_forget(struct consensus *c)
{
    memset(c->missing, 0, HASH_SIZE);
    c->missing_since_us = 0;
}

/* Asks for the bodies that are missing on the way; a branch for which nobody has them is left alone. */
static void bodies_ask(struct consensus *c, const struct fork_node *next, const struct fork_node *target)
{
    uint8_t hashes[ASK_BODIES_MAX][HASH_SIZE];
    size_t count = 0;
    for (const struct fork_node *n = target;; n = fork_node_parent(n)) {
        if (!body_find(c, fork_node_block(n)->hash))
            memcpy(hashes[count++ % ASK_BODIES_MAX], fork_node_block(n)->hash, HASH_SIZE);
        if (n == next)
            break;
    }
    const uint8_t *missing = fork_node_block(next)->hash;
    if (memcmp(c->missing, missing, HASH_SIZE) != 0) {
        memcpy(c->missing, missing, HASH_SIZE);
        c->missing_since_us = c->now_us;
        sync_ask_blocks(c, target, hashes, count < ASK_BODIES_MAX ? count : ASK_BODIES_MAX);
    } else if (c->now_us - c->missing_since_us >= MISSING_US) {
        memcpy(c->avoided, missing, HASH_SIZE);
        c->avoided_until_us = c->now_us + UNAVAILABLE_US;
        missing_forget(c);
        c->switching = false;
    }
}

static void branch_reject(struct consensus *c, const struct fork_node *node, uint32_t from, const char *why)
{
    block_reject(c, fork_node_block(node)->hash, from, why);
    fork_choice_reject(c->tree, node);
    bodies_sift(c);
    c->switching = false;
    c->head_stale = true;
}

/* Checks the next block at its place, and writes it when it holds. */
static int enter(struct consensus *c, const struct fork_node *next, struct err *err)
{
    uint32_t from = NO_NODE;
    struct block *block = body_take(c, fork_node_block(next)->hash, &from);
    struct flight *f = flight_begin(c, block->header.time_us);
    struct err verdict;
    int rc = validator_check_block(f->validator, &c->head, block, &verdict);
    missing_forget(c);
    if (rc == 0) {
        f->batch.block = block;
        f->from = from;
        flight_depart_block(c, f);
        return 0;
    }
    flight_free(c, f);
    if (rc == ERR_CORRUPT || rc == ERR_FORBIDDEN) {
        branch_reject(c, next, from, verdict.message);
        block_free(block);
        return 0;
    }
    body_put(c, block, from);
    c->retry_us = c->now_us + RETRY_US;
    return err_set(err, rc, "%s", verdict.message);
}

int chain_advance(struct consensus *c, struct err *err)
{
    if (!c->tree || !(c->head_stale || c->switching) || c->now_us < c->retry_us)
        return 0;
    while (!c->flight && c->now_us >= c->retry_us) {
        const struct fork_node *target = choose(c), *head = tree_head(c);
        c->advancing = target != head;
        if (target == head) {
            c->switching = false;
            c->head_stale = c->now_us < c->avoided_until_us;
            missing_forget(c);
            return 0;
        }
        const struct fork_node *common = fork_node_common(head, target);
        if (common == target) { /* nothing better than an ancestor: the head stays */
            c->head_stale = c->advancing = false;
            missing_forget(c);
            return 0;
        }
        const struct fork_node *next = step_towards(common, target);
        if (!body_recall(c, fork_node_block(next)->hash)) {
            bodies_ask(c, next, target);
            return 0;
        }
        if (common != head) {
            memcpy(c->target, fork_node_block(target)->hash, HASH_SIZE);
            c->switching = true;
            flight_depart_rewind(c, fork_node_block(common)->height);
            return 0;
        }
        int rc = enter(c, next, err);
        if (rc)
            return rc;
    }
    return 0;
}
