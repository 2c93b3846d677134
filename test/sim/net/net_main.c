/* netsim [--seed N] [--seeds N] [--nodes N] [--mutate NAME] [--trace] [--sign]; see net.h. */
#include "net.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

static const char *const mutations[] = {
    "nothing",      "double-vote", "quorum-minus-one", "quorum-all",     "forget-lock",
    "drop-orphans", "own-branch",  "wait-for-quorum",  "change-at-once", "restless",
};

struct arguments {
    uint64_t seed, seeds;
    uint32_t nodes;
    uint32_t mutation;
    bool trace, sign;
};

static int usage(const char *program)
{
    fprintf(stderr,
            "usage: %s [--seed N] [--seeds N] [--nodes N] [--mutate NAME] [--trace] [--sign]\nmutations:",
            program);
    for (size_t i = 1; i < sizeof(mutations) / sizeof(mutations[0]); i++)
        fprintf(stderr, " %s", mutations[i]);
    fputc('\n', stderr);
    return 2;
}

static bool arguments_parse(struct arguments *a, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--trace") == 0) {
            a->trace = true;
        } else if (strcmp(argv[i], "--sign") == 0) {
            a->sign = true;
        } else if (i + 1 == argc) {
            return false;
        } else if (strcmp(argv[i], "--seed") == 0) {
            a->seed = strtoull(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--seeds") == 0) {
            a->seeds = strtoull(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--nodes") == 0) {
            a->nodes = (uint32_t)strtoul(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--mutate") == 0) {
            i++;
            for (a->mutation = sizeof(mutations) / sizeof(mutations[0]); a->mutation-- > 0;)
                if (strcmp(mutations[a->mutation], argv[i]) == 0)
                    break;
        } else {
            return false;
        }
    }
    return a->mutation != NET_NONE;
}

/* A world's size and manners come from its seed too. */
static struct net_options options_draw(const struct arguments *a, uint64_t seed)
{
    struct net_options o = net_options_default();
    struct net_world dice = {.random = seed ^ 0x6b6174656e61u};
    o.seed = seed;
    o.nodes = 5 + net_draw(&dice, 8);
    o.byzantine = net_draw(&dice, 3) == 0;
    if (a->nodes)
        o.nodes = a->nodes;
    if (o.byzantine)
        o.liars = net_draw(&dice, (o.nodes - 1) / 3 + 1);
    o.loss_percent = net_draw(&dice, 2) ? net_draw(&dice, 10) : 0;
    o.double_percent = net_draw(&dice, 2) ? net_draw(&dice, 10) : 0;
    o.tail_percent = net_draw(&dice, 2) ? net_draw(&dice, 5) : 0;
    o.skew_max_us = net_draw(&dice, 2) ? 1 + net_draw(&dice, 100000) : 0;
    o.churn = a->mutation ? a->mutation == MUTATE_CHANGE_AT_ONCE : net_draw(&dice, 3) == 0;
    o.mutation = a->mutation;
    o.trace = a->trace;
    o.sign = a->sign;
    return o;
}

int main(int argc, char **argv)
{
    struct arguments a = {.seed = 1, .seeds = 1};
    if (!arguments_parse(&a, argc, argv) || sodium_init() < 0)
        return usage(argv[0]);
    struct net_stats total = {0};
    int64_t converged_sum = 0;
    for (uint64_t seed = a.seed; seed < a.seed + a.seeds; seed++) {
        struct net_options options = options_draw(&a, seed);
        struct net_world w;
        net_begin(&w, &options);
        bool ok = net_play(&w);
        if (!ok)
            printf("seed %" PRIu64 ", %u nodes, %u liars, %s quorum %u: violated: %s\n", seed, w.o.nodes,
                   w.o.liars, w.o.byzantine ? "byzantine" : "majority", w.quorum, w.failure);
        total.changes += w.stats.changes;
        total.messages += w.stats.messages;
        total.votes += w.stats.votes;
        total.blocks += w.stats.blocks;
        total.crashes += w.stats.crashes;
        total.proofs += w.stats.proofs;
        total.switches += w.stats.switches;
        total.orphaned += w.stats.orphaned;
        converged_sum += w.stats.converged_us;
        if (w.stats.converged_us > total.converged_us)
            total.converged_us = w.stats.converged_us;
        if (w.stats.include_us_max > total.include_us_max)
            total.include_us_max = w.stats.include_us_max;
        net_end(&w);
        if (!ok)
            return 1;
    }
    printf("%" PRIu64 " seeds from %" PRIu64 ": %" PRIu64 " messages, %" PRIu64 " statements, %" PRIu64
           " blocks, %" PRIu64 " crashes, %" PRIu64 " chain switches, %" PRIu64
           " times a transaction was orphaned, %" PRIu64 " proofs of equivocation, %" PRIu64
           " changes of the validator set\n",
           a.seeds, a.seed, total.messages, total.votes, total.blocks, total.crashes, total.switches,
           total.orphaned, total.proofs, total.changes);
    printf("converged after healing in %.2f s on average, %.2f s at most; included in %.2f s at most\n",
           (double)converged_sum / 1e6 / (double)a.seeds, (double)total.converged_us / 1e6,
           (double)total.include_us_max / 1e6);
    return 0;
}
