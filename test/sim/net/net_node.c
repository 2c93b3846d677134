/* A node: receives, chooses its head, makes blocks in its turn, attests and votes. */
#include "net.h"

#include "base/mem.h"

#include <assert.h>
#include <string.h>

static int64_t local_time(const struct net_world *w, const struct net_node *node)
{
    return w->now + node->skew;
}

uint32_t net_block_find(const struct net_world *w, const uint8_t hash[HASH_SIZE])
{
    for (uint32_t i = w->block_count; i-- > 0;)
        if (memcmp(w->blocks[i].fork.hash, hash, HASH_SIZE) == 0)
            return i;
    return NET_NONE;
}

uint32_t net_node_final_block(const struct net_world *w, const struct net_node *node)
{
    return net_block_find(w, fork_node_block(fork_choice_root(node->tree))->hash);
}

void net_node_stop(struct net_node *node)
{
    finality_free(node->finality);
    fork_choice_free(node->tree);
    node->finality = NULL;
    node->tree = NULL;
    node->up = false;
}

void net_node_adopt_tx(struct net_world *w, struct net_node *node, uint32_t tx)
{
    if (node->known[tx])
        return;
    node->known[tx] = 1;
    node->known_since[tx] = w->now;
    node->pending++;
}

static void tx_included(struct net_world *w, struct net_node *node, uint32_t tx)
{
    net_node_adopt_tx(w, node, tx);
    if (node->included[tx])
        net_fail(w, "transaction %u is twice in the chain of node %u", tx, node->id);
    node->included[tx] = 1;
    node->pending--;
    struct net_tx *t = &w->txs[tx];
    if (t->node != node->id || t->incarnation != node->incarnation || t->included)
        return;
    t->included = w->now;
    t->answered = true;
    if (w->now - t->submitted > w->stats.include_us_max)
        w->stats.include_us_max = w->now - t->submitted;
}

/* The orphan rule of paper 000: what an abandoned block held is pending again. */
static void tx_orphaned(struct net_world *w, struct net_node *node, uint32_t tx)
{
    node->included[tx] = 0;
    node->known_since[tx] = w->now;
    w->stats.orphaned++;
    if (w->o.mutation == MUTATE_DROP_ORPHANS)
        node->known[tx] = 0;
    else
        node->pending++;
}

/* Makes block the head: leaves the blocks of the old branch, then enters those of the new one. */
static void head_switch(struct net_world *w, struct net_node *node, uint32_t to)
{
    uint32_t path[4096];
    uint32_t length = 0, from = node->head, other = to;
    bool left = false;
    while (from != other) {
        if (w->blocks[from].fork.height >= w->blocks[other].fork.height && from != 0) {
            for (uint32_t i = 0; i < w->blocks[from].tx_count; i++)
                tx_orphaned(w, node, w->blocks[from].txs[i]);
            from = w->blocks[from].parent;
            left = true;
        } else {
            assert(length < sizeof(path) / sizeof(path[0]));
            path[length++] = other;
            other = w->blocks[other].parent;
        }
    }
    while (length-- > 0)
        for (uint32_t i = 0; i < w->blocks[path[length]].tx_count; i++)
            tx_included(w, node, w->blocks[path[length]].txs[i]);
    node->head = to;
    if (left) {
        w->stats.switches++;
        net_trace(w, "node %u switches to block %u", node->id, to);
    }
}

static uint32_t own_branch(const struct net_world *w, const struct net_node *node, uint32_t chosen)
{
    for (uint32_t i = w->block_count; i-- > 1;)
        if (w->blocks[i].producer == node->id && fork_choice_find(node->tree, w->blocks[i].fork.hash))
            return i;
    return chosen;
}

static void head_update(struct net_world *w, struct net_node *node)
{
    if (!node->head_stale)
        return;
    node->head_stale = false;
    const struct fork_node *start = fork_choice_find(node->tree, finality_justified(node->finality)->block);
    if (!start)
        start = fork_choice_root(node->tree);
    uint64_t round = (uint64_t)(local_time(w, node) / w->o.round_us);
    uint32_t head = net_block_find(w, fork_node_block(fork_choice_head(node->tree, start, round))->hash);
    if (w->o.mutation == MUTATE_OWN_BRANCH)
        head = own_branch(w, node, head);
    if (head != node->head)
        head_switch(w, node, head);
}

static void finality_changed(struct net_world *w, struct net_node *node, enum finality_change change)
{
    if (change == FINALITY_UNCHANGED)
        return;
    node->head_stale = true;
    if (change != FINALITY_FINALIZED)
        return;
    const struct checkpoint *checkpoint = finality_finalized(node->finality);
    const struct fork_node *final = fork_choice_find(node->tree, checkpoint->block);
    if (!final) {
        net_fail(w, "node %u finalizes a block outside of its finalized branch", node->id);
        return;
    }
    head_update(w, node);
    fork_choice_finalize(node->tree, final);
    net_trace(w, "node %u finalizes block %u in round %ju", node->id, net_node_final_block(w, node),
              (uintmax_t)checkpoint->round);
    net_check_final(w, node);
}

/* The blocks and votes that are on the disk count again. Not only the last checkpoint: votes to come may
 * start from an earlier one. */
static void messages_read(struct net_world *w, struct net_node *node)
{
    if (w->message_cap)
        memset(node->seen, 0, w->message_cap);
    for (uint32_t i = 0; i < w->message_count; i++) {
        const struct net_message *m = &w->messages[i];
        if (m->type == NET_BLOCK)
            node->seen[i] = node->blocks[m->id];
        if (!node->kept[i])
            continue;
        node->seen[i] = 1;
        finality_changed(w, node, finality_vote(node->finality, m->from, &m->vote));
    }
}

static const struct membership *members_at(void *arg, const struct fork_block *block)
{
    const struct net_world *w = arg;
    return w->blocks[net_block_find(w, block->hash)].members;
}

/* What a new process does: reads the disk. */
void net_node_start(struct net_world *w, struct net_node *node)
{
    node->up = true;
    uint32_t root = net_block_find(w, node->disk.finalized.block);
    node->tree = fork_choice_new(w->o.nodes, 16, &w->blocks[root].fork);
    for (uint32_t i = root + 1; i < w->block_count; i++)
        if (node->blocks[i])
            fork_choice_add(node->tree, &w->blocks[i].fork);
    node->finality =
        finality_new(node->tree, w->o.nodes, w->quorum, &node->disk.finalized, &node->disk.justified);
    if (w->o.churn)
        finality_use_members(node->finality, w->o.byzantine, members_at, w);
    voter_init(&node->voter, &node->disk.lock);
    for (uint32_t i = 0; i < w->tx_cap; i++)
        node->known[i] = node->included[i] = 0;
    node->pending = 0;
    node->head = 0;
    node->head_stale = true;
    node->waiting_count = 0;
    node->writing = NET_NONE;
    /* In the round in which it starts it may have attested before. */
    node->round = (uint64_t)(local_time(w, node) / w->o.round_us) - 1;
    node->attest_from = node->round + 2;
    memset(node->recent, 0xff, (size_t)w->o.nodes * NET_RECENT * sizeof(*node->recent));
    for (uint32_t i = 0; i < w->o.nodes; i++)
        node->heard[i] = w->now;
    for (uint32_t i = 0; i < w->block_count; i++)
        for (uint32_t t = 0; node->blocks[i] && t < w->blocks[i].tx_count; t++)
            net_node_adopt_tx(w, node, w->blocks[i].txs[t]);
    messages_read(w, node);
    net_at(w, net_draw(w, (uint32_t)w->o.tick_us), NET_TICK, node->id, 0);
}

/* Adds a block to the tree, and those that have waited for it. */
static void block_add(struct net_world *w, struct net_node *node, uint32_t block)
{
    for (uint32_t i = 0; i < w->blocks[block].tx_count; i++)
        net_node_adopt_tx(w, node, w->blocks[block].txs[i]);
    if (fork_choice_add(node->tree, &w->blocks[block].fork) == FORK_NO_PARENT) {
        if (node->waiting_count == node->waiting_cap) {
            node->waiting_cap = node->waiting_cap ? 2 * node->waiting_cap : 16;
            node->waiting = mem_reallocarray(node->waiting, node->waiting_cap, sizeof(uint32_t));
        }
        node->waiting[node->waiting_count++] = block;
        return;
    }
    node->blocks[block] = 1;
    node->head_stale = true;
    for (uint32_t i = 0; i < node->waiting_count;) {
        if (fork_choice_add(node->tree, &w->blocks[node->waiting[i]].fork) == FORK_NO_PARENT) {
            i++;
            continue;
        }
        node->blocks[node->waiting[i]] = 1;
        node->waiting[i] = node->waiting[--node->waiting_count];
        i = 0;
    }
    finality_changed(w, node, finality_settle(node->finality));
}

/* Compares a statement with what its signer said before; two that contradict each other are a proof. */
static void evidence_check(struct net_world *w, struct net_node *node, uint32_t message)
{
    const struct net_message *m = &w->messages[message];
    if (w->o.liars == 0 || fork_choice_is_excluded(node->tree, m->from))
        return;
    uint32_t *recent = node->recent + (size_t)m->from * NET_RECENT;
    for (unsigned i = 0; i < NET_RECENT; i++) {
        if (recent[i] == NET_NONE ||
            vote_conflict(&w->messages[recent[i]].vote, &m->vote) == VOTE_CONFLICT_NONE)
            continue;
        fork_choice_exclude(node->tree, m->from);
        node->head_stale = true;
        w->stats.proofs++;
        net_trace(w, "node %u proves node %u: %s", node->id, m->from,
                  vote_conflict_text(vote_conflict(&w->messages[recent[i]].vote, &m->vote)));
        uint32_t proof = net_say(
            w,
            &(struct net_message){.type = NET_PROOF, .from = m->from, .first = recent[i], .other = message});
        node->seen[proof] = 1;
        net_broadcast(w, node->id, proof);
        return;
    }
    memmove(recent + 1, recent, (NET_RECENT - 1) * sizeof(*recent));
    recent[0] = message;
}

static void proof_receive(struct net_world *w, struct net_node *node, const struct net_message *m)
{
    const struct vote *first = &w->messages[m->first].vote, *other = &w->messages[m->other].vote;
    if (w->o.sign) {
        uint8_t bytes[VOTE_PROOF_SIZE];
        struct vote a, b;
        enum vote_conflict conflict;
        struct err err;
        vote_proof_encode(bytes, first, other);
        if (vote_proof_check(bytes, sizeof(bytes), &a, &b, &conflict, &err) != 0)
            net_fail(w, "a proof of equivocation does not hold: %s", err.message);
    }
    if (vote_conflict(first, other) != VOTE_CONFLICT_NONE) {
        fork_choice_exclude(node->tree, m->from);
        node->head_stale = true;
    }
}

void net_node_receive(struct net_world *w, struct net_node *node, uint32_t message)
{
    const struct net_message *m = &w->messages[message];
    node->seen[message] = 1;
    if (m->type != NET_PROOF)
        node->heard[m->from] = w->now;
    if (m->type == NET_TX) {
        net_node_adopt_tx(w, node, m->id);
    } else if (m->type == NET_PROOF) {
        proof_receive(w, node, m);
    } else if (m->type == NET_BLOCK) {
        evidence_check(w, node, message);
        block_add(w, node, w->messages[message].id);
    } else if (m->vote.kind == VOTE_ATTESTATION) {
        fork_choice_attest(node->tree, m->from, m->vote.round, m->vote.target);
        node->head_stale = true;
        evidence_check(w, node, message);
    } else {
        finality_changed(w, node, finality_vote(node->finality, m->from, &m->vote));
        evidence_check(w, node, message);
    }
}

struct liveness {
    const struct net_node *node;
    int64_t since;
};

static bool is_live(void *arg, uint32_t validator)
{
    const struct liveness *l = arg;
    return validator == l->node->id || l->node->heard[validator] >= l->since;
}

/* How many live nodes are in front of this one in the slot. */
static uint32_t turn_of(struct net_world *w, const struct net_node *node, uint64_t slot)
{
    struct liveness liveness = {node, w->now - 2 * w->o.roles.slot_us};
    return roles_turn(net_order(w, slot), w->o.nodes, node->id, is_live, &liveness);
}

static bool hears_majority(const struct net_world *w, const struct net_node *node)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < w->o.nodes; i++)
        count += i == node->id || node->heard[i] > w->now - w->o.roles.slot_us;
    return count > w->o.nodes / 2;
}

/* A validator that comes or goes, such that the honest go on being enough. */
static struct membership_change change_draw(struct net_world *w, const struct membership *members)
{
    struct membership_change change = {MEMBERSHIP_KEEP, net_draw(w, w->o.nodes)};
    bool at_once = w->o.mutation == MUTATE_CHANGE_AT_ONCE;
    if (net_draw(w, 3) != 0 || w->nodes[change.validator].liar)
        return change;
    if (!membership_has(members, change.validator))
        change.type = MEMBERSHIP_ADD;
    else if (at_once ? members->count > 1 : members->count > 3 && (members->count - 2) / 3 >= w->o.liars)
        change.type = MEMBERSHIP_REMOVE;
    return change;
}

/* The membership at a new block. Its producer has proofs of what is final for it, and puts the latest in. */
static void members_make(struct net_world *w, const struct net_node *node, struct net_block *block)
{
    const struct membership *parent = w->blocks[block->parent].members;
    struct membership_change change = change_draw(w, parent);
    uint64_t height = block->fork.height, final = fork_node_block(fork_choice_root(node->tree))->height;
    if (final >= height) /* a liar's twin of a block that is final */
        final = height - 1;
    struct membership next;
    if (membership_next(&next, parent, height, &change, final, NULL) != 0) {
        change.type = MEMBERSHIP_KEEP;
        membership_next(&next, parent, height, &change, final, NULL);
    }
    if (w->o.mutation == MUTATE_CHANGE_AT_ONCE && next.pending.type != MEMBERSHIP_KEEP) {
        struct membership pending = next;
        change.type = MEMBERSHIP_KEEP;
        membership_next(&next, &pending, height + 1, &change, height, NULL);
    }
    w->stats.changes += next.pending_height == height;
    block->members = mem_dup(&next, sizeof(next));
}

static uint32_t block_make(struct net_world *w, const struct net_node *node, uint64_t slot,
                           const uint32_t *txs, uint32_t tx_count)
{
    if (w->block_count == w->block_cap) {
        for (uint32_t i = 0; i < w->o.nodes; i++) {
            w->nodes[i].blocks = mem_realloc(w->nodes[i].blocks, 2 * w->block_cap);
            memset(w->nodes[i].blocks + w->block_cap, 0, w->block_cap);
        }
        w->block_cap *= 2;
        w->blocks = mem_reallocarray(w->blocks, w->block_cap, sizeof(*w->blocks));
    }
    uint32_t id = w->block_count++;
    const struct net_block *parent = &w->blocks[node->head];
    struct net_block *block = &w->blocks[id];
    *block =
        (struct net_block){.parent = node->head, .producer = node->id, .slot = slot, .tx_count = tx_count};
    int64_t now = local_time(w, node);
    block->fork.time_us = now > parent->fork.time_us ? now : parent->fork.time_us + 1;
    block->fork.height = parent->fork.height + 1;
    memcpy(block->fork.parent, parent->fork.hash, HASH_SIZE);
    block->txs = mem_dup(txs, tx_count * sizeof(*txs) + 1);
    uint64_t text[2] = {w->o.seed, id};
    hash_sha256_parts(block->fork.hash, text, sizeof(text), parent->fork.hash, HASH_SIZE, NULL, 0);
    if (w->o.churn)
        members_make(w, node, block);
    w->stats.blocks++;
    return id;
}

/* Makes a block of what is pending when it is this node's turn, or those before it were silent long enough.
 */
static void produce(struct net_world *w, struct net_node *node)
{
    if (node->pending == 0 || node->writing != NET_NONE)
        return;
    if (w->o.mutation == MUTATE_WAIT_FOR_QUORUM && !hears_majority(w, node))
        return;
    int64_t now = local_time(w, node);
    uint64_t slot = roles_slot(&w->o.roles, now);
    uint32_t txs[NET_BLOCK_TXS], count = 0;
    int64_t oldest = w->now;
    for (uint32_t i = 0; i < w->tx_count && count < NET_BLOCK_TXS; i++)
        if (node->known[i] && !node->included[i]) {
            txs[count++] = i;
            if (node->known_since[i] < oldest)
                oldest = node->known_since[i];
        }
    int64_t wait = (int64_t)turn_of(w, node, slot) * w->o.turn_us;
    if (now - roles_slot_start_us(&w->o.roles, slot) < wait || w->now - oldest < wait)
        return;
    node->writing = block_make(w, node, slot, txs, count);
    net_at(w, 1000 + net_draw(w, 4000), NET_BLOCK_WRITTEN, node->id, node->writing);
}

void net_node_block_written(struct net_world *w, struct net_node *node, uint32_t block)
{
    const struct net_block *made = &w->blocks[block];
    node->writing = NET_NONE;
    node->slot_blocks = node->slot == made->slot ? node->slot_blocks + 1 : 0;
    node->slot = made->slot;
    net_trace(w, "node %u makes block %u on block %u with %u transactions", node->id, block, made->parent,
              made->tx_count);
    struct net_message m = {.type = NET_BLOCK, .from = node->id, .id = block};
    m.vote = (struct vote){.kind = VOTE_PROPOSAL, .round = made->slot, .number = node->slot_blocks};
    memcpy(m.vote.target, made->fork.hash, HASH_SIZE);
    uint32_t message = net_say(w, &m);
    node->seen[message] = 1;
    block_add(w, node, block);
    head_update(w, node);
    net_broadcast(w, node->id, message);
    if (node->liar)
        net_liar_block(w, node, block);
}

static void say_statement(struct net_world *w, struct net_node *node, const struct vote *vote)
{
    net_check_statement(w, node, vote);
    uint32_t id = net_say(w, &(struct net_message){.type = NET_STATEMENT, .from = node->id, .vote = *vote});
    w->stats.votes += !node->liar; /* whether an idle network is silent is asked of the honest */
    net_node_receive(w, node, id);
    net_broadcast(w, node->id, id);
}

static void attest(struct net_world *w, struct net_node *node, uint64_t round)
{
    uint64_t slot = roles_slot(&w->o.roles, (int64_t)round * w->o.round_us);
    uint32_t place = roles_place(net_order(w, slot), w->o.nodes, node->id);
    if (roles_at(&w->o.roles, place) != ROLE_COMMITTEE || round < node->attest_from)
        return;
    struct vote vote = {.kind = VOTE_ATTESTATION, .round = round};
    memcpy(vote.target, w->blocks[node->head].fork.hash, HASH_SIZE);
    say_statement(w, node, &vote);
}

/* Each leaf gets a vote: what the locks forbid. */
static void double_vote(struct net_world *w, struct net_node *node, uint64_t round)
{
    const struct checkpoint *source = finality_justified(node->finality);
    for (uint32_t i = 1; i < w->block_count; i++) {
        const struct fork_node *leaf = fork_choice_find(node->tree, w->blocks[i].fork.hash);
        if (!leaf || source->round >= round)
            continue;
        struct vote vote = {.kind = VOTE_CHECKPOINT, .round = round, .number = source->round};
        memcpy(vote.source, source->block, HASH_SIZE);
        memcpy(vote.target, w->blocks[i].fork.hash, HASH_SIZE);
        say_statement(w, node, &vote);
    }
}

/* Asks for a lock on the checkpoint of this round: the newest block of the head's chain that had half a
 * round's time to reach everybody. */
static void vote_request(struct net_world *w, struct net_node *node, uint64_t round)
{
    if (w->o.mutation == MUTATE_DOUBLE_VOTE) {
        double_vote(w, node, round);
        return;
    }
    const struct fork_node *head = fork_choice_find(node->tree, w->blocks[node->head].fork.hash);
    const struct fork_node *source = fork_choice_find(node->tree, finality_justified(node->finality)->block);
    if (!head || !source)
        return;
    int64_t settled = (int64_t)round * w->o.round_us - w->o.round_us / 2;
    const struct fork_node *block = fork_node_at_time(head, settled);
    if (!fork_node_leads_to(source, block))
        block = source;
    if (block == fork_choice_root(node->tree) && w->o.mutation != MUTATE_RESTLESS)
        return;
    if (w->o.churn && !membership_has(members_at(w, fork_node_block(block)), node->id))
        return;
    struct checkpoint target = {.round = round};
    memcpy(target.block, fork_node_block(block)->hash, HASH_SIZE);
    if (!voter_request(&node->voter, finality_justified(node->finality), &target, &node->wanted.lock))
        return;
    node->wanted.finalized = *finality_finalized(node->finality);
    node->wanted.justified = *finality_justified(node->finality);
    if (w->o.mutation == MUTATE_FORGET_LOCK)
        net_node_lock_written(w, node);
    else
        net_at(w, 1000 + net_draw(w, 4000), NET_LOCK_WRITTEN, node->id, 0);
}

/* The votes that justify a checkpoint go to the disk with it. Otherwise, when all who had seen them have
 * crashed, nobody could convince the others of a checkpoint that some voter is locked to. */
static void disk_write(const struct net_world *w, struct net_node *node)
{
    uint64_t justified = node->wanted.justified.round;
    for (uint32_t i = 0; justified > node->disk.justified.round && i < w->message_count; i++) {
        const struct net_message *m = &w->messages[i];
        if (node->seen[i] && m->type == NET_STATEMENT && m->vote.kind == VOTE_CHECKPOINT &&
            m->vote.round <= justified)
            node->kept[i] = 1;
    }
    node->disk = node->wanted;
}

void net_node_lock_written(struct net_world *w, struct net_node *node)
{
    struct vote vote;
    if (w->o.mutation != MUTATE_FORGET_LOCK)
        disk_write(w, node);
    voter_persisted(&node->voter, &vote);
    say_statement(w, node, &vote);
}

/* In the middle of the round, when its votes are under way, asks a peer for what this node lacks. */
static void sync_ask(struct net_world *w, const struct net_node *node)
{
    for (unsigned tries = 0; tries < 8; tries++) {
        uint32_t peer = net_draw(w, w->o.nodes);
        if (peer != node->id && w->reach[(size_t)node->id * w->o.nodes + peer]) {
            net_at(w, w->o.round_us / 2, NET_SYNC, peer, node->id);
            return;
        }
    }
}

static void act_in_round(struct net_world *w, struct net_node *node, uint64_t round)
{
    finality_forget(node->finality, round > 64 ? round - 64 : 0);
    node->head_stale = true; /* attestations age */
    head_update(w, node);
    sync_ask(w, node);
    if (net_block_find(w, fork_node_block(fork_choice_root(node->tree))->hash) == node->head &&
        w->o.mutation != MUTATE_RESTLESS)
        return; /* all is final: nothing to say */
    attest(w, node, round);
    if (w->o.no_finality)
        return;
    if (node->liar)
        net_liar_round(w, node, round);
    else
        vote_request(w, node, round);
}

/* Heartbeats ride on the peers' connections: they tell who is there, and are not worth an event each. */
static void ping(struct net_world *w, const struct net_node *node)
{
    for (uint32_t to = 0; to < w->o.nodes; to++)
        if (to != node->id && w->reach[(size_t)node->id * w->o.nodes + to])
            w->nodes[to].heard[node->id] = w->now;
}

void net_node_tick(struct net_world *w, struct net_node *node)
{
    uint64_t round = (uint64_t)(local_time(w, node) / w->o.round_us);
    head_update(w, node);
    if (round > node->round) {
        node->round = round;
        ping(w, node);
        act_in_round(w, node, round);
    }
    produce(w, node);
}

void net_liar_block(struct net_world *w, struct net_node *node, uint32_t block)
{
    uint32_t head = node->head, count = w->blocks[block].tx_count;
    node->head = w->blocks[block].parent;
    uint32_t *txs = mem_dup(w->blocks[block].txs, count * sizeof(*txs) + 1);
    uint32_t twin = block_make(w, node, w->blocks[block].slot, txs, count > 1 ? count - 1 : count);
    free(txs);
    node->head = head;
    struct net_message m = {.type = NET_BLOCK, .from = node->id, .id = twin};
    m.vote = (struct vote){.kind = VOTE_PROPOSAL, .round = w->blocks[twin].slot, .number = node->slot_blocks};
    memcpy(m.vote.target, w->blocks[twin].fork.hash, HASH_SIZE);
    uint32_t message = net_say(w, &m);
    for (uint32_t to = 1; to < w->o.nodes; to += 2)
        if (to != node->id)
            net_send(w, node->id, to, message);
}

/* Tells the even nodes of one target and one head, the odd ones of others. */
void net_liar_round(struct net_world *w, struct net_node *node, uint64_t round)
{
    const struct checkpoint *source = finality_justified(node->finality);
    if (source->round >= round)
        return;
    uint32_t other = net_draw(w, w->block_count);
    for (unsigned side = 0; side < 2; side++) {
        struct vote vote = {.kind = VOTE_CHECKPOINT, .round = round, .number = source->round};
        struct vote attestation = {.kind = VOTE_ATTESTATION, .round = round};
        const uint8_t *target = w->blocks[side ? other : node->head].fork.hash;
        memcpy(vote.source, source->block, HASH_SIZE);
        memcpy(vote.target, target, HASH_SIZE);
        memcpy(attestation.target, target, HASH_SIZE);
        uint32_t first =
            net_say(w, &(struct net_message){.type = NET_STATEMENT, .from = node->id, .vote = vote});
        uint32_t second =
            net_say(w, &(struct net_message){.type = NET_STATEMENT, .from = node->id, .vote = attestation});
        for (uint32_t to = side; to < w->o.nodes; to += 2) {
            if (to == node->id)
                continue;
            net_send(w, node->id, to, first);
            net_send(w, node->id, to, second);
        }
    }
}
