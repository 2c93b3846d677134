/*
 * Finality: which blocks no chain switch can undo any more (docs/consensus.md argues why).
 *
 * A checkpoint is a block in a round. A checkpoint vote goes from a source, the latest justified checkpoint
 * that the voter knows, to a target of a later round on a block that descends from the source's.
 *
 *   justified   the first checkpoint; and the target and the source of votes by a quorum: an honest voter,
 * and one is in each quorum, starts from a justified source only finalized   a justified checkpoint with
 * votes by a quorum to a target in the very next round
 *
 * The quorum is of the whole validator set, so at most one part of a network that is cut goes on finalizing
 * (paper 000, theorem 3): more than half, where validators may crash or be cut off; more than two thirds,
 * where up to a third may lie.
 *
 * A voter's lock keeps it from ever contradicting itself: each target is of a later round than all before, no
 * source of an earlier one than any before. The lock is durable before the vote leaves:
 *
 *     if (voter_request(&voter, finality_justified(f), &target, &lock))   an event: time has passed
 *         write lock durably                                                    the action
 *     voter_persisted(&voter, &vote), then send vote                            the event of its completion
 *
 * A vote that counts twice is no danger to safety (a quorum's intersection has an honest voter), so votes of
 * those who contradicted themselves count here, unlike in the fork choice.
 *
 * Pure; one thread. Votes come in verified.
 */
#ifndef KATENA_CONSENSUS_FINALITY_H
#define KATENA_CONSENSUS_FINALITY_H

#include "consensus/fork_choice.h"
#include "chain/vote.h"

struct checkpoint {
    uint64_t round;
    uint8_t block[HASH_SIZE];
};

/* Votes that make a quorum of a set of n validators. */
uint32_t finality_quorum(uint32_t n, bool byzantine);

struct finality;

/* Both checkpoints are on blocks of the tree: a new chain begins with its first block in round 0 as both, a
 * restarted node with those that it has on disk. The tree is borrowed. */
struct finality *finality_new(struct fork_choice *tree, uint32_t validators, uint32_t quorum,
                              const struct checkpoint *finalized, const struct checkpoint *justified);
void finality_free(struct finality *f);

/* Where the validator set changes: a vote counts by the membership at its target's block, and the quorum is
 * of that membership. The function is asked for blocks in the tree; NULL is not an answer. */
struct membership;
void finality_use_members(struct finality *f, bool byzantine,
                          const struct membership *(*at)(void *arg, const struct fork_block *block),
                          void *arg);

enum finality_change { FINALITY_UNCHANGED, FINALITY_JUSTIFIED, FINALITY_FINALIZED };

/* Counts a checkpoint vote; its blocks may be unknown yet. At most two votes of a validator count in a round,
 * which bounds what a liar can make anybody keep. */
enum finality_change finality_vote(struct finality *f, uint32_t validator, const struct vote *vote);

/* Counts a validator, from now on, as one that voted for everything: it was proved to contradict itself, and
 * so may have. Only where the quorum reckons with liars; there an honest voter remains in each intersection.
 */
enum finality_change finality_proven(struct finality *f, uint32_t validator);

/* To be called when blocks were added to the tree: votes may have waited for them. */
enum finality_change finality_settle(struct finality *f);

/* Drops votes of rounds before this one that have no quorum. They are of no use: voters have gone on. */
void finality_forget(struct finality *f, uint64_t before_round);

/* The latest of each; finalized blocks form one chain. */
const struct checkpoint *finality_justified(const struct finality *f);
const struct checkpoint *finality_finalized(const struct finality *f);

/* What has to survive a crash. */
struct finality_lock {
    uint64_t source_round; /* highest of all votes */
    uint64_t target_round; /* highest of all votes; 0 before the first one */
};

struct voter {
    struct finality_lock lock; /* durable */
    struct finality_lock wanted;
    struct checkpoint source, target; /* of the vote that waits for its lock */
    bool waiting;
};

void voter_init(struct voter *voter, const struct finality_lock *durable);

/* Whether the voter may vote for this; then *lock is to be written. False while another vote waits. */
bool voter_request(struct voter *voter, const struct checkpoint *source, const struct checkpoint *target,
                   struct finality_lock *lock);

/* The lock is durable: fills kind, rounds and blocks of the vote to sign and send. */
void voter_persisted(struct voter *voter, struct vote *vote);

#endif
