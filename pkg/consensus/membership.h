/*
 * Which validators may vote for finality, at each block of a chain (docs/consensus.md).
 *
 * A block may hold one change: a validator comes or goes. It acts from the first later block that holds a
 * proof that the changing block is final, and until then no other change may follow. So on all chains
 * together there is one sequence of sets, since finalized blocks form one chain; two neighbouring sets differ
 * by one validator, which lets their quorums meet; and sets that are further apart never count for votes that
 * could contradict each other.
 *
 * Pure values: a block's membership follows from its parent's. Validators are places in a registry that only
 * grows.
 */
#ifndef KATENA_CONSENSUS_MEMBERSHIP_H
#define KATENA_CONSENSUS_MEMBERSHIP_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define MEMBERSHIP_MAX 4096

struct membership_change {
    enum { MEMBERSHIP_KEEP, MEMBERSHIP_ADD, MEMBERSHIP_REMOVE } type;
    uint32_t validator;
};

struct membership {
    uint32_t count;                   /* of members */
    struct membership_change pending; /* does not act yet */
    uint64_t pending_height;          /* of the block that holds it */
    uint8_t members[MEMBERSHIP_MAX / 8];
};

/* The validators 0 to n - 1. */
void membership_init(struct membership *m, uint32_t n);
bool membership_has(const struct membership *m, uint32_t validator);

/* The membership at a block of the given height from that at its parent. change is what the block holds (its
 * type may be MEMBERSHIP_KEEP), final_height the height of a block on its chain that it proves final, or 0.
 * ERR_INVALID, with *out undefined: the block may not hold that change. */
int membership_next(struct membership *out, const struct membership *parent, uint64_t height,
                    const struct membership_change *change, uint64_t final_height, struct err *err);

#endif
