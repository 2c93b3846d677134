/* simulator [--seed N] [--runs N] [--steps N]: runs worlds from consecutive seeds; see sim.h. */
#include "sim.h"

#include "base/hex.h"

#include <stdlib.h>

struct options {
    uint64_t seed;
    unsigned runs;
    unsigned steps;
};

/* One world from beginning to end; its head's hash. */
static void run(uint64_t seed, unsigned steps, uint8_t head[HASH_SIZE], bool report)
{
    struct sim_world w;
    sim_begin(&w, seed);
    for (unsigned i = 0; i < steps; i++)
        sim_step(&w);
    sim_settle(&w);
    sim_check_fates(&w);
    sim_check_chain(&w);
    const struct block_header *header = consensus_head(w.node.consensus);
    memcpy(head, header->hash, HASH_SIZE);
    char text[2 * HASH_SIZE + 1];
    hex_encode(text, head, HASH_SIZE);
    const struct sim_stats *s = &w.stats;
    if (report)
        printf(
            "seed %ju: %ju blocks, %zu objects; %u submitted, %u included, %u rejected, %u lost (%u of them "
            "durable) in %u crashes, %u disk failures; head %.16s\n",
            (uintmax_t)seed, (uintmax_t)header->height, state_mem_count(w.node.store), s->submitted,
            s->included, s->rejected, s->lost, s->durable_unanswered, s->crashes, s->disk_failures, text);
    if (s->included == 0 || s->rejected == 0)
        sim_fail(&w, "the world was too quiet to show anything");
    sim_end(&w);
}

static bool options_parse(struct options *o, int argc, char **argv)
{
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seed") == 0)
            o->seed = strtoull(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--runs") == 0)
            o->runs = (unsigned)strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--steps") == 0)
            o->steps = (unsigned)strtoul(argv[i + 1], NULL, 10);
        else
            return false;
    }
    return argc % 2 == 1;
}

int main(int argc, char **argv)
{
    struct options o = {.seed = 1, .runs = 10, .steps = 1500};
    if (!options_parse(&o, argc, argv)) {
        fprintf(stderr, "usage: %s [--seed N] [--runs N] [--steps N]\n", argv[0]);
        return 2;
    }
    uint8_t first[HASH_SIZE], again[HASH_SIZE], other[HASH_SIZE];
    run(o.seed, o.steps, first, false);
    run(o.seed, o.steps, again, true);
    if (memcmp(first, again, HASH_SIZE) != 0) {
        fprintf(stderr, "seed %ju: two runs differ\n", (uintmax_t)o.seed);
        return 1;
    }
    for (unsigned i = 1; i < o.runs; i++)
        run(o.seed + i, o.steps, other, true);
    return 0;
}
