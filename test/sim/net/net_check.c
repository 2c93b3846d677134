/* The invariants. Each has been seen to fail: docs/consensus.md names the mutation that breaks it. */
#include "net.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

/* For a person who reads a trace: what each node believes. */
static void trace_nodes(const struct net_world *w)
{
    for (uint32_t i = 0; i < w->o.nodes; i++) {
        const struct net_node *node = &w->nodes[i];
        if (!node->up) {
            net_trace(w, "node %u is down", i);
            continue;
        }
        const struct checkpoint *justified = finality_justified(node->finality);
        net_trace(w,
                  "node %u%s: head %u, %u pending, justified %u in round %" PRIu64
                  ", final %u in round %" PRIu64 ", locked %" PRIu64 " to %" PRIu64,
                  i, node->liar ? " (lies)" : "", node->head, node->pending,
                  net_block_find(w, justified->block), justified->round, net_node_final_block(w, node),
                  finality_finalized(node->finality)->round, node->voter.lock.source_round,
                  node->voter.lock.target_round);
    }
}

void net_fail(struct net_world *w, const char *format, ...)
{
    if (w->failed)
        return;
    w->failed = true;
    va_list ap;
    va_start(ap, format);
    vsnprintf(w->failure, sizeof(w->failure), format, ap);
    va_end(ap);
    net_trace(w, "violated: %s", w->failure);
    trace_nodes(w);
}

bool net_chain_has_block(const struct net_world *w, uint32_t block, uint32_t ancestor)
{
    while (block != ancestor && w->blocks[block].fork.height > w->blocks[ancestor].fork.height)
        block = w->blocks[block].parent;
    return block == ancestor;
}

bool net_chain_has_tx(const struct net_world *w, uint32_t block, uint32_t tx)
{
    for (; block != NET_NONE; block = w->blocks[block].parent)
        for (uint32_t i = 0; i < w->blocks[block].tx_count; i++)
            if (w->blocks[block].txs[i] == tx)
                return true;
    return false;
}

/* Safety: whatever two honest nodes have finalized lies on one chain. */
void net_check_final(struct net_world *w, const struct net_node *node)
{
    if (node->liar)
        return;
    uint32_t block = net_node_final_block(w, node);
    bool higher = w->blocks[block].fork.height > w->blocks[w->final_block].fork.height;
    uint32_t upper = higher ? block : w->final_block, lower = higher ? w->final_block : block;
    if (!net_chain_has_block(w, upper, lower))
        net_fail(w, "two conflicting blocks are final: %u and %u", lower, upper);
    w->final_block = upper;
}

/* An honest node never contradicts itself, over crashes too. */
void net_check_statement(struct net_world *w, struct net_node *node, const struct vote *vote)
{
    if (node->liar)
        return;
    struct vote *last = vote->kind == VOTE_CHECKPOINT ? &node->said_last : &node->said_head;
    enum vote_conflict conflict = VOTE_CONFLICT_NONE;
    if (last->kind)
        conflict = vote_conflict(last, vote);
    if (vote->kind == VOTE_CHECKPOINT && vote->number < node->said_source)
        conflict = VOTE_CONFLICT_SURROUND;
    if (conflict != VOTE_CONFLICT_NONE)
        net_fail(w, "an honest node contradicts itself: node %u, %s", node->id, vote_conflict_text(conflict));
    if (vote->kind == VOTE_CHECKPOINT)
        node->said_source = vote->number;
    *last = *vote;
}

/* Theorem 1: a node that is up includes what it accepts, whomever it can reach. */
void net_check_deadline(struct net_world *w, uint32_t tx)
{
    const struct net_tx *t = &w->txs[tx];
    const struct net_node *node = &w->nodes[t->node];
    if (!node->liar && node->up && node->incarnation == t->incarnation && !t->included)
        net_fail(w, "a live node does not include: transaction %u of node %u", tx, t->node);
}

static bool is_kept(const struct net_world *w, const struct net_node *node, uint32_t tx)
{
    if (node->up)
        return node->known[tx]; /* pending or included */
    for (uint32_t i = 0; i < w->block_count; i++)
        if (node->blocks[i])
            for (uint32_t t = 0; t < w->blocks[i].tx_count; t++)
                if (w->blocks[i].txs[t] == tx)
                    return true;
    return false;
}

/* Nothing that was answered is lost: some node has it pending or in its chain. */
void net_check_answered(struct net_world *w)
{
    for (uint32_t tx = 0; tx < w->tx_count; tx++) {
        bool kept = !w->txs[tx].answered;
        for (uint32_t i = 0; !kept && i < w->o.nodes; i++)
            kept = !w->nodes[i].liar && is_kept(w, &w->nodes[i], tx);
        if (!kept)
            net_fail(w, "an answered transaction is lost: %u", tx);
    }
}

/* One chain, all of it final, and in it everything that anybody has. */
bool net_is_converged(const struct net_world *w)
{
    uint32_t head = NET_NONE;
    for (uint32_t i = 0; i < w->o.nodes; i++) {
        const struct net_node *node = &w->nodes[i];
        if (node->liar)
            continue;
        if (!node->up || node->pending > 0 || net_node_final_block(w, node) != node->head)
            return false;
        if (head != NET_NONE && head != node->head)
            return false;
        head = node->head;
    }
    for (uint32_t tx = 0; tx < w->tx_count; tx++)
        if (w->txs[tx].answered && !net_chain_has_tx(w, head, tx))
            return false;
    return true;
}
