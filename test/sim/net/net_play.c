/* What happens to a world: phases of trouble, then healing. */
#include "net.h"

#include <inttypes.h>
#include <string.h>

#define PHASE_US 6000000
#define STEP_US 250000
#define CONVERGE_US 12000000

enum phase { PHASE_CALM, PHASE_CUT, PHASE_ONE_WAY, PHASE_BRIDGE, PHASE_CRASHES, PHASE_CHAOS, PHASES };

static const char *const phase_names[PHASES] = {"calm", "cut", "one way", "bridge", "crashes", "chaos"};

static struct net_node *draw_up(struct net_world *w)
{
    for (unsigned tries = 0; tries < 64; tries++) {
        struct net_node *node = &w->nodes[net_draw(w, w->o.nodes)];
        if (node->up && !node->liar)
            return node;
    }
    return NULL;
}

static void submit_some(struct net_world *w, uint32_t percent)
{
    struct net_node *node = net_draw(w, 100) < percent ? draw_up(w) : NULL;
    if (node)
        net_submit(w, node);
}

/* Lets groups that can finalize do so; the bound is wide, since messages are lost by chance. */
static void cut_wait(struct net_world *w, const uint32_t *honest, const uint32_t *probe)
{
    uint32_t quorum = finality_quorum(w->o.nodes, w->o.byzantine), waiting = 1;
    for (int64_t t = 0; t < 4 * PHASE_US && waiting > 0 && !w->failed; t += PHASE_US) {
        net_run(w, PHASE_US);
        waiting = 0;
        for (uint32_t i = 0; i < w->o.nodes && !w->failed; i++)
            waiting += !w->nodes[i].liar && honest[w->group[i]] >= quorum &&
                       !net_chain_has_tx(w, net_node_final_block(w, &w->nodes[i]), probe[w->group[i]]);
    }
}

/* Each group gets a transaction. Theorem 3: it becomes final where the group is a quorum, and nowhere else.
 */
static void cut_phase(struct net_world *w)
{
    uint32_t groups = 2 + net_draw(w, 2), probe[3], size[3] = {0}, honest[3] = {0};
    for (uint32_t i = 0; i < w->o.nodes; i++) {
        w->group[i] = net_draw(w, groups);
        size[w->group[i]]++;
        honest[w->group[i]] += !w->nodes[i].liar;
    }
    net_cut(w, groups);
    net_run(w, 1000000);
    for (uint32_t g = 0; g < groups; g++) {
        probe[g] = NET_NONE;
        for (uint32_t i = 0; i < w->o.nodes && probe[g] == NET_NONE; i++)
            if (w->group[i] == g && !w->nodes[i].liar)
                probe[g] = net_submit(w, &w->nodes[i]);
    }
    if (w->o.churn) { /* what is a quorum changes under way */
        net_run(w, PHASE_US);
        return;
    }
    cut_wait(w, honest, probe);
    for (uint32_t i = 0; i < w->o.nodes && !w->failed; i++) {
        uint32_t g = w->group[i];
        if (w->nodes[i].liar || probe[g] == NET_NONE)
            continue;
        bool final = net_chain_has_tx(w, net_node_final_block(w, &w->nodes[i]), probe[g]);
        if (final && size[g] < finality_quorum(w->o.nodes, w->o.byzantine))
            net_fail(w, "a part without a quorum finalizes: node %u among %u of %u", i, size[g], w->o.nodes);
        if (!final && honest[g] >= finality_quorum(w->o.nodes, w->o.byzantine))
            net_fail(w, "a connected quorum does not finalize: node %u among %u of %u", i, honest[g],
                     w->o.nodes);
    }
}

static void links_draw(struct net_world *w, enum phase phase)
{
    for (uint32_t i = 0; i < w->o.nodes; i++)
        w->group[i] = net_draw(w, 2);
    uint32_t bridge = net_draw(w, w->o.nodes);
    for (uint32_t a = 0; a < w->o.nodes; a++)
        for (uint32_t b = 0; b < w->o.nodes; b++) {
            uint8_t *reach = &w->reach[(size_t)a * w->o.nodes + b];
            if (phase == PHASE_ONE_WAY)
                *reach = w->group[a] == 0 || w->group[b] == 1;
            else if (phase == PHASE_BRIDGE)
                *reach = w->group[a] == w->group[b] || a == bridge || b == bridge;
            else if (phase == PHASE_CHAOS)
                *reach = net_draw(w, 100) >= 30;
        }
}

static void crash_some(struct net_world *w, uint32_t percent)
{
    struct net_node *node = net_draw(w, 100) < percent ? draw_up(w) : NULL;
    if (!node)
        return;
    /* Many come back within a round: then the lock decides whether they vote again. */
    int64_t down = net_draw(w, 2) ? 20000 + net_draw(w, 200000) : 500000 + net_draw(w, 3000000);
    net_crash(w, node, down);
}

static void trouble(struct net_world *w, enum phase phase)
{
    if (phase == PHASE_ONE_WAY || phase == PHASE_BRIDGE)
        links_draw(w, phase);
    for (int64_t t = 0; t < PHASE_US && !w->failed; t += STEP_US) {
        if (phase == PHASE_CHAOS && t % 1000000 == 0)
            links_draw(w, phase);
        if (phase == PHASE_CHAOS || phase == PHASE_CRASHES)
            crash_some(w, 30);
        submit_some(w, 40);
        net_run(w, STEP_US - 100000);
        submit_some(w, 20);
        net_run(w, 100000);
    }
}

static void all_up(struct net_world *w)
{
    net_heal(w);
    for (uint32_t i = 0; i < w->o.nodes; i++)
        if (!w->nodes[i].up)
            net_node_start(w, &w->nodes[i]);
}

static void converge(struct net_world *w)
{
    int64_t began = w->now;
    net_trace(w, "the network is healed");
    submit_some(w, 100);
    do
        net_run(w, 100000);
    while (!w->failed && !net_is_converged(w) && w->now - began < CONVERGE_US);
    if (w->failed)
        return;
    if (!net_is_converged(w)) {
        net_fail(w, "the healed network does not converge in %d s", CONVERGE_US / 1000000);
        return;
    }
    w->stats.converged_us = w->now - began;
    uint64_t votes = w->stats.votes, blocks = w->stats.blocks;
    net_run(w, 3000000);
    if (!w->failed && (w->stats.votes != votes || w->stats.blocks != blocks))
        net_fail(w, "an idle network goes on talking");
}

bool net_play(struct net_world *w)
{
    unsigned phases = 3 + net_draw(w, 2);
    for (unsigned i = 0; i < phases && !w->failed; i++) {
        enum phase phase = net_draw(w, PHASES);
        net_trace(w, "phase: %s", phase_names[phase]);
        if (phase == PHASE_CUT)
            cut_phase(w);
        else
            trouble(w, phase);
        net_check_answered(w);
        all_up(w);
        net_run(w, 1000000);
    }
    if (!w->failed)
        converge(w);
    if (!w->failed)
        net_check_answered(w);
    return !w->failed;
}
