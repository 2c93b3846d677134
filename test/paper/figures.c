/* Figures 7 and 8 of the paper on application migration. */
#include "paper.h"

#include "base/mem.h"
#include "net.h"
#include "vdf/vdf.h"

#include <math.h>
#include <string.h>

#define F7_NODES 25
#define F7_SLOTS 1000
#define F7_COMMITTEE 8
#define F7_DIFFICULTY 2000

/* The next epoch's seed: the delay function of this one's, evaluated and verified. */
static bool seed_advance(uint8_t seed[VDF_SEED_SIZE])
{
    struct vdf_work *work = vdf_work_new(seed, F7_DIFFICULTY);
    while (!vdf_work_step(work, UINT64_MAX))
        ;
    struct vdf_proof proof;
    vdf_work_result(work, &proof);
    vdf_work_free(work);
    bool ok = vdf_verify(seed, F7_DIFFICULTY, &proof);
    vdf_randomness(seed, &proof);
    return ok;
}

struct spread {
    double least, most, mean, chi;
};

static struct spread spread_of(const double *values, uint32_t n)
{
    struct spread s = {.least = values[0], .most = values[0]};
    for (uint32_t i = 0; i < n; i++) {
        s.mean += values[i] / n;
        s.least = fmin(s.least, values[i]);
        s.most = fmax(s.most, values[i]);
    }
    for (uint32_t i = 0; i < n; i++)
        s.chi += (values[i] - s.mean) * (values[i] - s.mean) / s.mean;
    return s;
}

bool paper_figure_7(const char *svg_path)
{
    static double counts[3][F7_NODES];
    struct roles_settings settings = {1000000, 32, F7_COMMITTEE};
    uint8_t seed[VDF_SEED_SIZE] = "figure 7";
    bool ok = true;
    for (uint64_t slot = 0; slot < F7_SLOTS; slot++) {
        uint32_t order[F7_NODES];
        if (slot % settings.epoch_slots == 0)
            ok = seed_advance(seed) && ok;
        roles_order(order, F7_NODES, seed, slot);
        for (uint32_t place = 0; place < F7_NODES; place++)
            counts[roles_at(&settings, place)][order[place]]++;
    }
    static const char *const names[] = {"producer", "committee", "validator"};
    printf("\nFigure 7: how often each of %d nodes has each role in %d slots (committee %d)\n", F7_NODES,
           F7_SLOTS, F7_COMMITTEE);
    printf("printed: all nodes have all roles; some variance among producers, from 1,000 slots only\n");
    printf("%-10s %8s %8s %8s %30s\n", "role", "least", "mean", "most", "chi-square, 24 degrees");
    for (unsigned role = 0; role < 3; role++) {
        struct spread s = spread_of(counts[role], F7_NODES);
        printf("%-10s %8.0f %8.1f %8.0f %30.1f\n", names[role], s.least, s.mean, s.most, s.chi);
        ok = ok && s.least > 0 && s.chi < 51.2; /* above it once in a thousand */
    }
    struct svg_panel panels[3] = {
        {"producer", counts[ROLE_PRODUCER], F7_NODES, 80, "#2a6f97"},
        {"committee", counts[ROLE_COMMITTEE], F7_NODES, 500, "#e07a1f"},
        {"validator", counts[ROLE_VALIDATOR], F7_NODES, 1000, "#5b8c3a"},
    };
    return svg_bars(svg_path, "Times that each node has each role, 1,000 slots", panels, 3) && ok;
}

/* Attestations of the slot's second round for the slot's block that have reached its producer. */
static uint32_t votes_aggregated(const struct net_world *w, uint64_t slot, uint32_t block)
{
    uint32_t votes = 0;
    const struct net_node *producer = &w->nodes[w->blocks[block].producer];
    for (uint32_t i = 0; i < w->message_count; i++) {
        const struct net_message *m = &w->messages[i];
        votes += m->type == NET_STATEMENT && m->vote.kind == VOTE_ATTESTATION &&
                 m->vote.round == 2 * slot + 1 && producer->seen[i] &&
                 memcmp(m->vote.target, w->blocks[block].fork.hash, HASH_SIZE) == 0;
    }
    return votes;
}

static struct net_options figure_8_options(uint32_t nodes)
{
    struct net_options o = net_options_default();
    o.seed = 8;
    o.nodes = nodes;
    o.roles = (struct roles_settings){16000000, 32, ROLES_COMMITTEE_MAX};
    o.round_us = 8000000;
    o.tick_us = 100000;
    o.turn_us = 1000000;
    o.latency_min_us = 1000;
    o.latency_max_us = 80000;
    o.tail_percent = 2;
    o.loss_percent = 1;
    o.skew_max_us = 50000;
    o.no_finality = true;
    return o;
}

bool paper_figure_8(const char *svg_path, uint32_t nodes, uint32_t slots)
{
    struct net_options o = figure_8_options(nodes);
    struct net_world w;
    net_begin(&w, &o);
    mem_auto double *votes = mem_calloc(slots, sizeof(double)), *times = mem_calloc(slots, sizeof(double));
    int64_t last = 0;
    uint32_t accepted = 0, made = 0;
    uint64_t first_slot = roles_slot(&o.roles, w.now) + 1;
    for (uint32_t i = 0; i < slots; i++) {
        int64_t start = roles_slot_start_us(&o.roles, first_slot + i);
        net_run(&w, start + o.skew_max_us - w.now);
        uint32_t before = w.block_count;
        net_submit(&w, &w.nodes[net_draw(&w, nodes)]);
        net_run(&w, start + o.roles.slot_us * 2 / 3 - w.now);
        if (w.block_count == before)
            continue;
        made++;
        votes[i] = votes_aggregated(&w, first_slot + i, before);
        accepted += votes[i] > ROLES_COMMITTEE_MAX / 2.0;
        times[i] = (double)(last ? w.blocks[before].fork.time_us - last : o.roles.slot_us) / 1e6;
        last = w.blocks[before].fork.time_us;
    }
    struct spread v = spread_of(votes, slots), t = spread_of(times, slots);
    printf("\nFigure 8: %u nodes, a committee of %d, slots of 16 s, delays of 1 to 80 ms, 2 %% up to 800 "
           "ms, 1 %% lost\n",
           nodes, ROLES_COMMITTEE_MAX);
    printf("%-44s %12s %28s\n", "", "printed", "simulated");
    printf("%-44s %12s %22u of %u\n", "blocks accepted by more than half", "all", accepted, slots);
    printf("%-44s %12s %28u\n", "skipped slots", "0", slots - made);
    printf("%-44s %12s %11.0f, %.1f, %.0f\n", "votes in two thirds of the slot (least, mean, most)", "> 128",
           v.least, v.mean, v.most);
    printf("%-44s %12s %11.2f, %.2f, %.2f\n", "block time, s (least, mean, most)", "16", t.least, t.mean,
           t.most);
    struct svg_panel panels[2] = {{"votes aggregated per block", votes, slots, 256, "#2a6f97"},
                                  {"block time, s", times, slots, 20, "#e07a1f"}};
    bool ok =
        !w.failed && accepted == slots && svg_bars(svg_path, "1,000 nodes, committee of 256", panels, 2);
    net_end(&w);
    return ok;
}
