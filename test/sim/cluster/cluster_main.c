/* clustersim [--seed N] [--seeds N] [--random N] [--nodes N] [--mutate NAME] [--phases N] [--skew-ms N]
 * [--trace |
 * --messages] [--cost]; see cluster.h. */
#include "cluster.h"

#include "base/rand.h"

#include <sodium.h>
#include <stdlib.h>

/* What a mutation breaks may show elsewhere first in one world, so some more are played. */
#define WORLDS_BROKEN 5

static const char *const mutations[] = {
    "nothing",   "drop-orphans", "report-nothing", "early-durable", "false-have",
    "lose-have", "deaf",         "forged-votes",   "lose-votes",    "old-record",
    "no-index",  "rotten-state", "stuck-branch",   "lose-tx",       "restless",
};

struct arguments {
    uint64_t seed, seeds;
    uint32_t random; /* further worlds, with seeds that nobody knows before */
    uint32_t nodes;
    uint32_t mutation;
    uint32_t phases; /* of trouble; 0: as the seed says */
    int64_t skew_us; /* at most that in place of what the seed says; -1: as it says */
    int trace;
    bool cost;
};

static int usage(const char *program)
{
    fprintf(stderr,
            "usage: %s [--seed N] [--seeds N] [--random N] [--nodes N] [--mutate NAME] [--phases N] "
            "[--skew-ms N] "
            "[--trace | --messages] [--cost]\nmutations:",
            program);
    for (size_t i = 1; i < sizeof(mutations) / sizeof(mutations[0]); i++)
        fprintf(stderr, " %s", mutations[i]);
    fputc('\n', stderr);
    return 2;
}

static uint32_t mutation_find(const char *name)
{
    for (uint32_t i = 0; i < sizeof(mutations) / sizeof(mutations[0]); i++)
        if (strcmp(mutations[i], name) == 0)
            return i;
    return CLUSTER_NONE;
}

static bool arguments_parse(struct arguments *a, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--trace") == 0) {
            a->trace = 1;
        } else if (strcmp(argv[i], "--messages") == 0) {
            a->trace = 2;
        } else if (strcmp(argv[i], "--cost") == 0) {
            a->cost = true;
        } else if (i + 1 == argc) {
            return false;
        } else if (strcmp(argv[i], "--seed") == 0) {
            a->seed = strtoull(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--seeds") == 0) {
            a->seeds = strtoull(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--random") == 0) {
            a->random = (uint32_t)strtoul(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--nodes") == 0) {
            a->nodes = (uint32_t)strtoul(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--phases") == 0) {
            a->phases = (uint32_t)strtoul(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--skew-ms") == 0) {
            a->skew_us = 1000 * strtoll(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--mutate") == 0) {
            a->mutation = mutation_find(argv[++i]);
        } else {
            return false;
        }
    }
    return a->mutation != CLUSTER_NONE && a->nodes <= CLUSTER_NODES_MAX;
}

/* A world's size and manners come from its seed too. */
static struct cluster_options options_draw(const struct arguments *a, uint64_t seed)
{
    struct cluster_options o = cluster_options_default();
    struct cluster_world dice = {.random = seed ^ 0x636c7573746572u};
    o.seed = seed;
    o.nodes = a->nodes ? a->nodes : 2 + cluster_draw(&dice, 6);
    if (cluster_draw(&dice, 4) == 0 && o.nodes > 3 && !a->mutation)
        o.liars = 1 + cluster_draw(&dice, (o.nodes - 1) / 3);
    o.churn = !a->mutation && o.nodes > 2 && cluster_draw(&dice, 4) == 0;
    bool grown = o.churn && cluster_draw(&dice, 2);
    o.bare = grown && o.liars == 0; /* a small set tolerates none */
    o.evaluates = !a->mutation && cluster_draw(&dice, 10) == 0;
    o.serial_disk = cluster_draw(&dice, 2);
    uint32_t skew = cluster_draw(&dice, 4);
    o.skew_max_us = skew == 0 ? 0 : skew == 3 ? 500000 : 200000;
    o.phases = a->phases;
    if (a->skew_us >= 0)
        o.skew_max_us = a->skew_us;
    o.latency_max_us = cluster_draw(&dice, 2) ? 3000 : 20000;
    o.write_max_us = cluster_draw(&dice, 3) ? 3000 : 30000;
    o.write_fails = cluster_draw(&dice, 3) ? 0 : 50;
    o.mutation = a->mutation;
    o.trace = a->trace;
    return o;
}

static void total_add(struct cluster_stats *total, const struct cluster_stats *s)
{
    total->submitted += s->submitted;
    total->included += s->included;
    total->rejected += s->rejected;
    total->lost += s->lost;
    total->messages += s->messages;
    total->blocks += s->blocks;
    total->crashes += s->crashes;
    total->switches += s->switches;
    total->orphans += s->orphans;
    total->reported += s->reported;
    total->joins += s->joins;
    total->leaves += s->leaves;
    total->lies += s->lies;
    total->seeds += s->seeds;
    total->late += s->late;
    total->answer_us_sum += s->answer_us_sum;
    if (s->answer_us_max > total->answer_us_max)
        total->answer_us_max = s->answer_us_max;
    if (s->converged_us > total->converged_us)
        total->converged_us = s->converged_us;
}

static void total_print(const struct cluster_stats *t, uint64_t worlds)
{
    printf(
        "%ju worlds: %ju transactions (%ju included, %ju rejected, %ju of unknown fate), %ju blocks, %ju "
        "messages, %ju crashes, %ju chain switches, %ju orphans (%ju reported), %ju joins, %ju leaves, %ju "
        "lies, %ju seeds\n",
        (uintmax_t)worlds, (uintmax_t)t->submitted, (uintmax_t)t->included, (uintmax_t)t->rejected,
        (uintmax_t)t->lost, (uintmax_t)t->blocks, (uintmax_t)t->messages, (uintmax_t)t->crashes,
        (uintmax_t)t->switches, (uintmax_t)t->orphans, (uintmax_t)t->reported, (uintmax_t)t->joins,
        (uintmax_t)t->leaves, (uintmax_t)t->lies, (uintmax_t)t->seeds);
    uint64_t answered = t->included + t->rejected;
    printf("%ju refused transactions are in the chain: a part that was cut off had included them\n",
           (uintmax_t)t->late);
    printf("answered in %.3f s on average, %.2f s at most; converged after healing in %.2f s at most\n",
           answered ? (double)t->answer_us_sum / 1e6 / (double)answered : 0, (double)t->answer_us_max / 1e6,
           (double)t->converged_us / 1e6);
}

/* head: of the first node at the end. */
static bool run(const struct arguments *a, uint64_t seed, struct cluster_stats *total,
                uint8_t head[HASH_SIZE])
{
    struct cluster_options options = options_draw(a, seed);
    struct cluster_world w;
    cluster_begin(&w, &options);
    bool ok = cluster_play(&w);
    if (!ok)
        printf("seed %ju, %u nodes, %u liars%s: violated: %s\n", (uintmax_t)seed, w.o.nodes, w.o.liars,
               w.o.bare    ? ", grown"
               : w.o.churn ? ", churn"
                           : "",
               w.failure);
    total_add(total, &w.stats);
    memcpy(head, chain_store_head(&w.nodes[0].store)->header.hash, HASH_SIZE);
    cluster_end(&w);
    fflush(stdout);
    return ok;
}

/* The same seed gives the same world. */
static bool is_repeatable(const struct arguments *a)
{
    struct cluster_stats forgotten = {0};
    uint8_t first[HASH_SIZE], again[HASH_SIZE];
    if (!run(a, a->seed, &forgotten, first) || !run(a, a->seed, &forgotten, again))
        return false;
    if (memcmp(first, again, HASH_SIZE) != 0)
        printf("seed %ju: two runs differ\n", (uintmax_t)a->seed);
    return memcmp(first, again, HASH_SIZE) == 0;
}

static bool run_all(const struct arguments *a)
{
    struct cluster_stats total = {0};
    uint8_t head[HASH_SIZE];
    uint64_t worlds = 0, broken = 0, broken_max = a->mutation ? WORLDS_BROKEN : 1;
    if (a->seeds > 1 && !a->mutation && !is_repeatable(a))
        return false;
    for (uint64_t seed = a->seed; seed < a->seed + a->seeds && broken < broken_max; seed++, worlds++)
        broken += !run(a, seed, &total, head);
    if (broken)
        return false;
    for (uint32_t i = 0; i < a->random; i++, worlds++) {
        uint64_t seed = rand_below(1000000000);
        printf("a random seed: %ju\n", (uintmax_t)seed);
        if (!run(a, seed, &total, head))
            return false;
    }
    total_print(&total, worlds);
    return true;
}

int main(int argc, char **argv)
{
    struct arguments a = {.seed = 1, .seeds = 1, .skew_us = -1};
    if (!arguments_parse(&a, argc, argv) || sodium_init() < 0)
        return usage(argv[0]);
    if (a.cost) {
        struct cluster_options options = cluster_options_default();
        return cluster_cost(&options);
    }
    return run_all(&a) ? 0 : 1;
}
