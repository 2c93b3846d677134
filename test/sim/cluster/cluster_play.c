/* What happens to a world: phases of trouble, then healing, convergence and silence. */
#include "cluster.h"

#include "consensus/finality.h"

#define PHASE_US 6000000
#define STEP_US 200000
#define NOTICE_US 4000000 /* a silent peer is noticed */
#define PROMPT_US 700000  /* where clocks agree and nothing is broken; a disk may hiccup */
#define ALONE_US 2000000  /* one that is alone answers */
#define CONVERGE_US 10000000
#define IDLE_US 10000000
#define LONG_BLOCKS 90

enum phase {
    PHASE_CALM,
    PHASE_CUT,
    PHASE_ALONE,
    PHASE_ONE_WAY,
    PHASE_BRIDGE,
    PHASE_CRASHES,
    PHASE_POWER_CUT,
    PHASE_CHAOS,
    PHASE_LONG,
    PHASES
};

static const char *const phase_names[PHASES] = {
    "calm", "cut", "one alone", "one way", "bridge", "crashes", "power cut", "chaos", "long cut",
};

static struct cluster_node *draw_up(struct cluster_world *w)
{
    for (unsigned tries = 0; tries < 64; tries++) {
        struct cluster_node *node = &w->nodes[cluster_draw(w, w->o.nodes)];
        if (node->up && !node->liar)
            return node;
    }
    return NULL;
}

static void submit_some(struct cluster_world *w, uint32_t percent)
{
    struct cluster_node *node = cluster_draw(w, 100) < percent ? draw_up(w) : NULL;
    if (node && cluster_draw(w, 10) == 0)
        for (uint32_t i = cluster_draw(w, 10); i > 0 && !w->failed; i--)
            cluster_submit(w, node); /* a burst */
    else if (node)
        cluster_submit(w, node);
    if (w->o.churn && cluster_draw(w, 10) == 0)
        cluster_churn(w);
}

static void traffic(struct cluster_world *w, int64_t for_us, uint32_t percent)
{
    for (int64_t t = 0; t < for_us && !w->failed; t += STEP_US) {
        submit_some(w, percent);
        cluster_run(w, STEP_US / 2);
        submit_some(w, percent / 2);
        cluster_run(w, STEP_US / 2);
    }
}

static void cut(struct cluster_world *w)
{
    for (uint32_t a = 0; a < w->o.nodes; a++)
        for (uint32_t b = 0; b < w->o.nodes; b++)
            if (a != b)
                cluster_block(w, a, b, w->group[a] != w->group[b]);
}

static bool is_probe_final(const struct cluster_world *w, uint32_t node, uint32_t probe)
{
    return probe != CLUSTER_NONE && cluster_is_final_at(&w->nodes[node], w->submissions[probe].tx_id);
}

/* Who acts is what the node sees: liars that were proved to be some count for everything, and are made to
 * leave. */
static void cut_check(struct cluster_world *w, uint32_t node, uint32_t probe)
{
    struct consensus_validator validators[CLUSTER_NODES_MAX];
    size_t count = consensus_validators(w->nodes[node].core, validators, CLUSTER_NODES_MAX);
    uint32_t acting = 0, there = 0, honest = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t other = cluster_node_of_key(w, validators[i].key);
        bool same = validators[i].acting && other != CLUSTER_NONE && w->group[other] == w->group[node];
        acting += validators[i].acting;
        there += same || (validators[i].acting && validators[i].equivocated);
        honest += same && !w->nodes[other].liar;
    }
    uint32_t quorum = finality_quorum(acting, w->o.liars > 0);
    bool final = is_probe_final(w, node, probe);
    if (final && there < quorum)
        cluster_fail(w, "a part without a quorum finalizes: node %u among %u of %u", node, there, acting);
    if (!final && honest >= quorum)
        cluster_fail(w, "a connected quorum does not finalize: node %u among %u of %u", node, honest, acting);
}

/* Each group gets a transaction. Theorem 3: it becomes final where the group is a quorum, and nowhere else.
 */
static void cut_phase(struct cluster_world *w)
{
    uint32_t groups = 2 + cluster_draw(w, 2), probe[3];
    for (uint32_t i = 0; i < w->o.nodes; i++)
        w->group[i] = cluster_draw(w, groups);
    cut(w);
    traffic(w, NOTICE_US, 30);
    w->o.write_fails = 0; /* what a failing disk refuses is no answer that is asked for here */
    for (uint32_t g = 0; g < groups; g++) {
        probe[g] = CLUSTER_NONE;
        for (uint32_t i = 0; i < w->o.nodes && probe[g] == CLUSTER_NONE && !w->failed; i++)
            if (w->group[i] == g && !w->nodes[i].liar && cluster_node_is_validator(&w->nodes[i]))
                probe[g] = cluster_submit_create(w, &w->nodes[i]);
    }
    traffic(w, 3000000, 10);
    if (w->o.churn) /* what is a quorum changes under way */
        return;
    cluster_run(w, 3000000);
    for (uint32_t i = 0; i < w->o.nodes && !w->failed; i++)
        if (!w->nodes[i].liar && probe[w->group[i]] != CLUSTER_NONE)
            cut_check(w, i, probe[w->group[i]]);
}

/* Theorem 1 to the letter: a node that reaches nobody answers soon. */
static void alone_phase(struct cluster_world *w)
{
    uint32_t lone = cluster_draw(w, w->o.nodes);
    for (uint32_t i = 0; i < w->o.nodes; i++)
        w->group[i] = i == lone;
    cut(w);
    traffic(w, NOTICE_US, 30);
    w->o.write_fails = 0;
    struct cluster_node *node = &w->nodes[lone];
    for (int i = 0; i < 4 && !w->failed && !node->liar && cluster_node_acts(node); i++) {
        uint32_t probe = cluster_submit_create(w, node);
        traffic(w, ALONE_US, 20);
        if (!w->failed && w->submissions[probe].fate != FATE_INCLUDED)
            cluster_fail(w, "a live node does not answer: transaction %u of node %u, which is alone", probe,
                         lone);
    }
}

static void links_draw(struct cluster_world *w, enum phase phase)
{
    for (uint32_t i = 0; i < w->o.nodes; i++)
        w->group[i] = cluster_draw(w, 2);
    uint32_t bridge = cluster_draw(w, w->o.nodes);
    for (uint32_t a = 0; a < w->o.nodes; a++)
        for (uint32_t b = 0; b < w->o.nodes; b++) {
            bool same = w->group[a] == w->group[b];
            if (a == b)
                continue;
            if (phase == PHASE_ONE_WAY)
                cluster_block(w, a, b, !same && w->group[a] == 1);
            else if (phase == PHASE_BRIDGE)
                cluster_block(w, a, b, !same && a != bridge && b != bridge);
            else
                cluster_block(w, a, b, cluster_draw(w, 100) < 20);
        }
}

static void crash_some(struct cluster_world *w, uint32_t percent)
{
    struct cluster_node *node = cluster_draw(w, 100) < percent ? draw_up(w) : NULL;
    if (!node)
        return;
    int64_t down =
        cluster_draw(w, 2) ? cluster_draw_us(w, 20000, 220000) : cluster_draw_us(w, 500000, 3500000);
    cluster_crash(w, node, down);
}

static void trouble(struct cluster_world *w, enum phase phase)
{
    if (phase == PHASE_ONE_WAY || phase == PHASE_BRIDGE)
        links_draw(w, phase);
    for (int64_t t = 0; t < PHASE_US && !w->failed; t += STEP_US) {
        if (phase == PHASE_CHAOS && t % 1000000 == 0)
            links_draw(w, phase);
        if (phase == PHASE_CHAOS || phase == PHASE_CRASHES)
            crash_some(w, 15);
        uint32_t a = cluster_draw(w, w->o.nodes), b = cluster_draw(w, w->o.nodes);
        if (phase == PHASE_CHAOS && a != b && cluster_draw(w, 3) == 0)
            cluster_reset(w, cluster_link(w, a, b));
        traffic(w, STEP_US, 50);
    }
}

/* Both sides make more blocks than are sent in answer to one question. */
static void long_phase(struct cluster_world *w)
{
    for (uint32_t i = 0; i < w->o.nodes; i++)
        w->group[i] = i % 3 == cluster_draw(w, 2);
    cut(w);
    cluster_run(w, NOTICE_US);
    int64_t pace = 2 * (w->o.write_max_us + w->o.latency_max_us);
    for (uint32_t i = 0; i < 2 * LONG_BLOCKS && !w->failed; i++) {
        struct cluster_node *node = &w->nodes[i % w->o.nodes];
        if (node->up && !node->liar && cluster_node_is_validator(node))
            cluster_submit_create(w, node);
        cluster_run(w, pace);
    }
}

static void power_cut_phase(struct cluster_world *w)
{
    for (int times = 0; times < 3 && !w->failed; times++) {
        traffic(w, 1500000, 70);
        for (uint32_t i = 0; i < w->o.nodes && !w->failed; i++)
            cluster_crash(w, &w->nodes[i], cluster_draw_us(w, 100000, 1500000));
        cluster_check_answered(w);
    }
    cluster_run(w, 2000000);
}

static void all_up(struct cluster_world *w)
{
    cluster_heal(w);
    for (uint32_t i = 0; i < w->o.nodes && !w->failed; i++)
        if (!w->nodes[i].up)
            cluster_node_start(w, &w->nodes[i]);
}

/* Nobody says, writes or waits for anything. */
static void idle_check(struct cluster_world *w)
{
    cluster_run(w, 4000000);
    uint64_t messages = w->stats.messages, events = w->event_order, writes = 0, writes_now = 0;
    for (uint32_t i = 0; i < w->o.nodes; i++)
        writes += w->nodes[i].writes + w->nodes[i].ticks;
    if (w->o.mutation == MUTATE_RESTLESS)
        cluster_submit_create(w, &w->nodes[0]);
    cluster_run(w, IDLE_US);
    for (uint32_t i = 0; i < w->o.nodes; i++)
        writes_now += w->nodes[i].writes + w->nodes[i].ticks;
    if (w->stats.messages != messages || writes_now != writes || w->event_order != events)
        cluster_fail(w, "an idle network is not silent: %ju messages, %ju writes and ticks in %d s",
                     (uintmax_t)(w->stats.messages - messages), (uintmax_t)(writes_now - writes),
                     IDLE_US / 1000000);
}

/* After a silence of any length the first write is answered at once, by whichever node. */
static void prompt_check(struct cluster_world *w)
{
    for (int i = 0; i < 4 && !w->failed; i++) {
        cluster_run(w, cluster_draw_us(w, 0, 3000000));
        struct cluster_node *node = draw_up(w);
        if (!node || !cluster_node_acts(node))
            continue;
        uint32_t probe = cluster_submit_create(w, node);
        cluster_run(w, PROMPT_US);
        if (!w->failed && w->submissions[probe].fate != FATE_INCLUDED)
            cluster_fail(w, "a calm network answers late: transaction %u of node %u", probe, node->id);
    }
    cluster_run(w, 3000000);
}

static bool converge_wait(struct cluster_world *w)
{
    const char *why = "";
    int64_t began = w->now;
    do
        cluster_run(w, 100000);
    while (!w->failed && !cluster_is_converged(w, &why) && w->now - began < CONVERGE_US);
    cluster_check_answered(w);
    if (!w->failed && !cluster_is_converged(w, &why))
        cluster_fail(w, "the healed network does not converge in %d s: %s", CONVERGE_US / 1000000, why);
    if (!w->failed && w->now - began > w->stats.converged_us)
        w->stats.converged_us = w->now - began;
    return !w->failed;
}

/* A node comes with an empty disk and a new key, as one that is no validator: it gets the whole chain from
 * the others, checks it, and learns what is final with the next block. */
static bool replace_one(struct cluster_world *w)
{
    struct cluster_node *node = draw_up(w);
    uint32_t honest = w->o.nodes - w->o.liars;
    if (w->o.churn || !node || honest <= finality_quorum(w->o.nodes, w->o.liars > 0))
        return true;
    cluster_crash(w, node, -1);
    cluster_run(w, NOTICE_US); /* its old key is gone for everybody */
    cluster_setup_again(w, node);
    cluster_node_start(w, node);
    cluster_trace(w, "node %u is a new one", node->id);
    cluster_run(w, 5000000);
    for (uint32_t i = 0; i < w->o.nodes && !w->failed; i++)
        if (i != node->id && !w->nodes[i].liar) {
            cluster_submit_create(w, &w->nodes[i]);
            break;
        }
    return converge_wait(w);
}

/* A node comes with a snapshot of another's state and a new key, is registered, and acts: from then on the
 * one that it replaced is missing for ever. */
static bool join_by_snapshot(struct cluster_world *w)
{
    struct cluster_node *node = draw_up(w), *by = draw_up(w);
    struct consensus_validator validators[CLUSTER_NODES_MAX];
    if (!node || !by || node == by || !cluster_node_is_validator(by) || !cluster_node_is_validator(node) ||
        consensus_validators(by->core, validators, CLUSTER_NODES_MAX) < 3)
        return true;
    cluster_crash(w, node, -1);
    cluster_run(w, NOTICE_US); /* its old key is gone for everybody */
    cluster_setup_snapshot(w, node, by);
    cluster_node_start(w, node);
    cluster_trace(w, "node %u is a new one, with a snapshot of node %u", node->id, by->id);
    cluster_run(w, 5000000);
    cluster_submit_create(w, by);
    cluster_run(w, 1000000);
    cluster_change(w, by, node);
    return converge_wait(w);
}

static void converge(struct cluster_world *w)
{
    if (w->o.mutation == MUTATE_STUCK_BRANCH)
        cluster_run(w, CONVERGE_US); /* so that nobody waits for an answer of the stuck one */
    w->healed = true;
    cluster_trace(w, "the network is healed for good");
    struct cluster_node *last = &w->nodes[w->o.nodes - w->o.liars - 1];
    if (last->up && cluster_node_is_validator(last))
        cluster_submit_create(w, last);
    if (!converge_wait(w))
        return;
    cluster_trace(w, "the network has converged");
    cluster_check_settled(w);
    if (cluster_draw(w, 2) && !(w->o.bare ? join_by_snapshot(w) : replace_one(w)))
        return;
    if (!w->failed && w->o.liars == 0 && w->o.skew_max_us == 0 && w->o.mutation != MUTATE_FORGED_VOTES)
        prompt_check(w);
    if (!w->failed && w->o.liars == 0 && w->o.mutation != MUTATE_FORGED_VOTES)
        idle_check(w);
}

static void phase_play(struct cluster_world *w, enum phase phase)
{
    uint32_t write_fails = w->o.write_fails;
    cluster_trace(w, "phase: %s", phase_names[phase]);
    switch (phase) {
    case PHASE_CUT:
        cut_phase(w);
        break;
    case PHASE_ALONE:
        alone_phase(w);
        break;
    case PHASE_LONG:
        long_phase(w);
        break;
    case PHASE_POWER_CUT:
        power_cut_phase(w);
        break;
    default:
        trouble(w, phase);
    }
    w->o.write_fails = write_fails;
}

/* A cluster grows from one node, validator by validator. */
static void grow(struct cluster_world *w)
{
    w->members_min = w->o.nodes;
    for (int i = 0; i < 30 && !w->failed; i++) {
        cluster_churn(w);
        traffic(w, 2 * STEP_US, 30);
    }
}

bool cluster_play(struct cluster_world *w)
{
    cluster_run(w, 1500000);
    if (w->o.bare)
        grow(w);
    w->members_min = w->o.liars ? 3 * w->o.liars + 1 : 3;
    unsigned phases = 2 + cluster_draw(w, 2);
    if (w->o.phases)
        phases = w->o.phases;
    for (unsigned i = 0; i < phases && !w->failed; i++) {
        phase_play(w, cluster_draw(w, PHASES));
        cluster_check_answered(w);
        all_up(w);
        traffic(w, 1000000, 20);
    }
    if (!w->failed)
        converge(w);
    cluster_check_answered(w);
    return !w->failed;
}
