/* Tables I to III of the paper on maximum availability. */
#include "paper.h"

#include "net.h"

#include <string.h>

#define ZONES 3
#define NODES 300

bool paper_table_1(void)
{
    static const struct {
        unsigned servers, quorum, tolerance;
    } printed[] = {{1, 1, 0}, {2, 2, 0}, {3, 2, 1}, {4, 3, 1}, {5, 3, 2}, {6, 4, 2}, {7, 4, 3}, {8, 5, 4}};
    printf("\nTable I: quorums (of Raft, and of katena's finality)\n");
    printf("%-8s %14s %14s %18s %18s\n", "servers", "quorum printed", "computed", "tolerance printed",
           "computed");
    bool ok = true;
    for (size_t i = 0; i < sizeof(printed) / sizeof(printed[0]); i++) {
        unsigned n = printed[i].servers, quorum = finality_quorum(n, false), tolerance = n - quorum;
        bool same = quorum == printed[i].quorum && tolerance == printed[i].tolerance;
        printf("%-8u %14u %14u %18u %18u%s\n", n, printed[i].quorum, quorum, printed[i].tolerance, tolerance,
               same ? "" : "   differs: with 4 of 8 gone, 4 are left and 5 are needed");
        ok = ok && (same || n == 8);
    }
    return ok;
}

/* Cuts are as even as can be: p cuts leave p + 1 groups. Faults are in the largest ones. */
static unsigned largest_group(unsigned replicas, unsigned faults, unsigned cuts)
{
    unsigned groups = cuts + 1;
    unsigned largest = (replicas + groups - 1) / groups;
    return cuts == 0 ? replicas - faults : largest > faults ? largest - faults : 0;
}

static const char *raft(unsigned replicas, unsigned reachable)
{
    return reachable >= finality_quorum(replicas, false) ? "Available" : "Fault";
}

bool paper_table_2(void)
{
    static const struct {
        unsigned zones, replicas, faults, cuts;
        const char *printed;
    } rows[] = {
        {3, 3, 1, 0, "Available"}, {3, 3, 2, 0, "Fault"}, {3, 3, 0, 2, "Fault"},
        {9, 9, 4, 0, "Available"}, {9, 9, 5, 0, "Fault"}, {9, 9, 0, 3, "Fault"},
        {3, 3, 1, 0, "Available"}, {3, 3, 2, 0, "Fault"},
    };
    printf("\nTable II: availability of Paxos/Raft (p partitions: p cuts, p + 1 even groups)\n");
    printf("%-16s %8s %11s %11s %11s\n", "zones/replicas", "faults", "partitions", "printed", "computed");
    bool ok = true;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        unsigned reachable = largest_group(rows[i].replicas, rows[i].faults, rows[i].cuts);
        const char *computed = raft(rows[i].replicas, reachable);
        printf("%7u / %-6u %8u %11u %11s %11s\n", rows[i].zones, rows[i].replicas, rows[i].faults,
               rows[i].cuts, rows[i].printed, computed);
        ok = ok && strcmp(computed, rows[i].printed) == 0;
    }
    return ok;
}

struct row {
    uint32_t faults[ZONES];
    unsigned partitions;
    uint32_t zone_group[ZONES]; /* which zones can reach each other */
    bool split_last;            /* half of the last zone is a group of its own */
    const char *printed;
};

static const struct row rows[] = {
    {{50, 50, 50}, 0, {0, 0, 0}, false, "Available"},   {{49, 50, 50}, 0, {0, 0, 0}, false, "(not printed)"},
    {{100, 0, 0}, 0, {0, 0, 0}, false, "Available 1"},  {{100, 100, 100}, 0, {0, 0, 0}, false, "Fault"},
    {{100, 0, 0}, 1, {1, 0, 0}, false, "Available 1"},  {{50, 50, 50}, 1, {0, 0, 1}, false, "Available 2"},
    {{50, 50, 50}, 2, {0, 1, 2}, false, "Available 2"}, {{50, 50, 50}, 3, {0, 1, 2}, true, "Available 2"},
};

struct outcome {
    uint32_t live, available; /* nodes; that included what they took */
    uint32_t largest;         /* live nodes that reach each other */
    uint32_t final;           /* nodes where what was taken in their group is final */
    bool repaired;            /* all is final once the network and the nodes are back */
};

static void faults_make(struct net_world *w, const struct row *row)
{
    for (uint32_t i = 0; i < NODES; i++) {
        uint32_t zone = i / (NODES / ZONES), place = i % (NODES / ZONES);
        w->group[i] = row->zone_group[zone];
        if (row->split_last && zone == ZONES - 1 && place % 2)
            w->group[i] = 3;
        if (place < row->faults[zone])
            net_crash(w, &w->nodes[i], -1);
    }
    net_cut(w, row->partitions + 1);
}

static void measure(struct net_world *w, struct outcome *out)
{
    uint32_t members[4] = {0}, probe[4];
    memset(probe, 0xff, sizeof(probe));
    for (uint32_t i = 0; i < NODES; i++) {
        if (!w->nodes[i].up)
            continue;
        uint32_t tx = net_submit(w, &w->nodes[i]);
        probe[w->group[i]] = tx;
        if (++members[w->group[i]] > out->largest)
            out->largest = members[w->group[i]];
        out->live++;
    }
    net_run(w, 6000000);
    for (uint32_t tx = 0; tx < w->tx_count; tx++)
        out->available += w->txs[tx].included != 0;
    for (uint32_t i = 0; i < NODES; i++)
        out->final +=
            w->nodes[i].up && net_chain_has_tx(w, net_node_final_block(w, &w->nodes[i]), probe[w->group[i]]);
}

static struct outcome row_run(const struct row *row, uint64_t seed)
{
    struct net_options o = net_options_default();
    o.seed = seed;
    o.nodes = NODES;
    o.turn_us = 2000;
    o.tick_us = 50000;
    struct net_world w;
    struct outcome out = {0};
    net_begin(&w, &o);
    faults_make(&w, row);
    net_run(&w, 3000000);
    measure(&w, &out);
    net_heal(&w);
    for (uint32_t i = 0; i < NODES; i++)
        if (!w.nodes[i].up)
            net_node_start(&w, &w.nodes[i]);
    if (out.live == 0)
        net_submit(&w, &w.nodes[0]);
    for (unsigned i = 0; i < 20 && !(out.repaired = net_is_converged(&w)); i++)
        net_run(&w, 500000);
    if (w.failed)
        printf("violated: %s\n", w.failure);
    out.repaired = out.repaired && !w.failed;
    net_end(&w);
    return out;
}

static bool row_print(const struct row *row, const struct outcome *out)
{
    char faults[32], available[48], final[48];
    snprintf(faults, sizeof(faults), "%u/%u/%u", row->faults[0], row->faults[1], row->faults[2]);
    if (out->live == 0)
        snprintf(available, sizeof(available), "Fault");
    else
        snprintf(available, sizeof(available), "Available: %u of %u", out->available, out->live);
    if (out->final)
        snprintf(final, sizeof(final), "on %u nodes at once", out->final);
    else
        snprintf(final, sizeof(final), out->repaired ? "once restored" : "never");
    printf("%-13s %10u %15s %23s %21s %11s\n", faults, row->partitions, row->printed, available, final,
           raft(NODES, out->largest));
    fflush(stdout);
    /* What the rules promise: all live nodes include; a group is final if and only if it is a quorum. */
    uint32_t expected = out->largest >= finality_quorum(NODES, false) ? out->largest : 0;
    return out->available == out->live && out->final == expected && out->repaired;
}

bool paper_table_3(uint64_t seed)
{
    printf("\nTable III: 3 zones, 300 nodes, each row run in the simulator\n");
    printf("%-13s %10s %15s %23s %21s %11s\n", "faults", "partitions", "printed", "live nodes that include",
           "irreversible", "Raft of 300");
    bool ok = true;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct outcome out = row_run(&rows[i], seed + i);
        ok = row_print(&rows[i], &out) && ok;
    }
    printf("1 not accessible from failed partitions   2 not irreversible until restored (the paper's notes)\n"
           "The first row has 150 of 300 nodes, which is not more than half: unlike the paper's row without "
           "a note,\n"
           "nothing becomes irreversible until one more node is back, as the second row shows.\n");
    return ok;
}
