/*
 * The simulator: the core of a node under a virtual clock, with everything that happens drawn from a seed, so
 * that a seed and the commit replay any failure.
 *
 * A world is one node: its consensus manager, its disk (a log of blocks and a store in memory), and clients
 * that submit transactions, good and bad. A crash forgets the consensus manager and what the disk had not yet
 * taken; a restart goes on from the disk.
 */
#ifndef KATENA_SIM_H
#define KATENA_SIM_H

#include "chain_fixture.h"

#include <stdbool.h>
#include <stdint.h>

enum sim_fate { SIM_WAITING, SIM_INCLUDED, SIM_REJECTED, SIM_LOST };

/* One transaction that a client has submitted. */
struct sim_submission {
    uint8_t tx_id[TX_ID_SIZE];
    enum sim_fate fate;
    bool must_fail; /* it breaks a rule whatever the state is */
};

struct sim_stats {
    unsigned submitted, included, rejected, lost, durable_unanswered, crashes, disk_failures;
};

struct sim_world {
    uint64_t seed;
    uint64_t random;
    struct chain_fixture node;
    uint8_t stranger_public[TX_KEY_SIZE], stranger_secret[64]; /* of no validator */
    struct block **log; /* durable blocks by height, the genesis first */
    size_t log_count, log_cap;
    struct sim_submission *submissions;
    size_t submission_count, submission_cap;
    const struct consensus_persist *writing; /* asked for, not yet durable */
    uint64_t last_rv;
    struct sim_stats stats;
};

void sim_begin(struct sim_world *w, uint64_t seed);
void sim_end(struct sim_world *w);

/* Random numbers of the world: uniform in [0, bound). */
uint32_t sim_draw(struct sim_world *w, uint32_t bound);

/* Prints the seed and what was violated, and ends the program. */
void sim_fail(const struct sim_world *w, const char *format, ...)
    __attribute__((format(printf, 2, 3), noreturn));

/* Does one thing: submits, ticks, finishes a write, fails one, or crashes. */
void sim_step(struct sim_world *w);

/* Lets everything that is on its way finish, without crashes. */
void sim_settle(struct sim_world *w);

/* A transaction by some client, signed. *must_fail is set when no state could accept it. */
struct tx *sim_client_tx(struct sim_world *w, bool *must_fail);

/* Invariants: of a new durable block; and of the whole chain, by validating it again from its genesis. */
void sim_check_undo(struct sim_world *w, const struct consensus_persist *persist); /* before it is applied */
void sim_check_block(struct sim_world *w, const struct consensus_persist *persist);
void sim_check_chain(struct sim_world *w);
void sim_check_fates(struct sim_world *w);

#endif
