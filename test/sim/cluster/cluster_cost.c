/*
 * What a node of a cluster costs: messages, bytes, disk writes and processor time per node, while one client
 * writes at a fixed pace, and while nobody does. The law of growth is the exponent between two sizes.
 */
#include "cluster.h"

#include <math.h>

#define COST_SECONDS 4
#define COST_PACE_US 50000 /* 20 transactions a second in the whole cluster */

struct cost {
    uint32_t nodes;
    double messages, bytes, writes, cpu_ms, idle_messages, answer_ms, worst_ms, final_s;
};

static double sum_over_nodes(const struct cluster_world *w, int what)
{
    double sum = 0;
    for (uint32_t i = 0; i < w->o.nodes; i++) {
        const struct cluster_node *node = &w->nodes[i];
        const double values[] = {(double)node->messages_out, (double)node->bytes_out, (double)node->writes,
                                 (double)node->cpu_ns / 1e6};
        sum += values[what];
    }
    return sum / w->o.nodes;
}

/* Until all is final everywhere: how long after the last transaction. */
static double settle(struct cluster_world *w)
{
    const char *why;
    int64_t began = w->now;
    while (!w->failed && !cluster_is_converged(w, &why) && w->now - began < 20000000)
        cluster_run(w, 25000);
    return (double)(w->now - began) / 1e6;
}

static bool measure(const struct cluster_options *options, uint32_t nodes, struct cost *cost)
{
    struct cluster_options o = *options;
    o.nodes = nodes;
    o.verify_each = true;
    struct cluster_world w;
    cluster_begin(&w, &o);
    cluster_run(&w, 3000000);
    settle(&w);
    cluster_run(&w, 2000000);
    double before[4];
    for (int i = 0; i < 4; i++)
        before[i] = sum_over_nodes(&w, i);
    for (int64_t t = 0; t < COST_SECONDS * 1000000 && !w.failed; t += COST_PACE_US) {
        cluster_submit_create(&w, &w.nodes[cluster_draw(&w, nodes)]);
        cluster_run(&w, COST_PACE_US);
    }
    cost->nodes = nodes;
    cost->final_s = settle(&w);
    cost->messages = (sum_over_nodes(&w, 0) - before[0]) / COST_SECONDS;
    cost->bytes = (sum_over_nodes(&w, 1) - before[1]) / COST_SECONDS;
    cost->writes = (sum_over_nodes(&w, 2) - before[2]) / COST_SECONDS;
    cost->cpu_ms = (sum_over_nodes(&w, 3) - before[3]) / COST_SECONDS;
    cost->answer_ms = (double)w.stats.answer_us_sum / 1e3 / (double)(w.stats.included + w.stats.rejected);
    cost->worst_ms = (double)w.stats.answer_us_max / 1e3;
    cluster_run(&w, 3000000);
    uint64_t messages = w.stats.messages;
    cluster_run(&w, 5000000);
    cost->idle_messages = (double)(w.stats.messages - messages) / nodes / 5;
    bool ok = !w.failed;
    if (!ok)
        printf("%u nodes: %s\n", nodes, w.failure);
    cluster_end(&w);
    return ok;
}

static void law_print(const struct cost *a, const struct cost *b)
{
    double steps = log((double)b->nodes / a->nodes);
    printf(
        "from %u to %u nodes a node's messages grow as n^%.2f, bytes as n^%.2f, processor time as n^%.2f\n",
        a->nodes, b->nodes, log(b->messages / a->messages) / steps, log(b->bytes / a->bytes) / steps,
        log(b->cpu_ms / a->cpu_ms) / steps);
}

int cluster_cost(const struct cluster_options *options)
{
    static const uint32_t sizes[] = {4, 16, 64};
    struct cost costs[3];
    printf("per node and second, with 20 transactions a second in the whole cluster:\n");
    printf("%5s %9s %8s %7s %7s %10s %9s %8s %14s\n", "nodes", "messages", "KiB", "writes", "CPU ms",
           "answer ms", "worst ms", "final s", "idle messages");
    for (int i = 0; i < 3; i++) {
        if (!measure(options, sizes[i], &costs[i]))
            return 1;
        const struct cost *c = &costs[i];
        printf("%5u %9.1f %8.1f %7.1f %7.2f %10.2f %9.1f %8.2f %14.1f\n", c->nodes, c->messages,
               c->bytes / 1024, c->writes, c->cpu_ms, c->answer_ms, c->worst_ms, c->final_s,
               c->idle_messages);
        fflush(stdout);
    }
    law_print(&costs[0], &costs[1]);
    law_print(&costs[1], &costs[2]);
    return 0;
}
