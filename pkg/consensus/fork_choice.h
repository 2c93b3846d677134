/*
 * The block tree and the choice of the head in it (docs/consensus.md).
 *
 * From the last justified block downward, at each fork: the branch that the most distinct validators stand
 * for, each by its latest attestation if that is recent; then the branch with the longer chain; then the one
 * whose block has the lower hash. The length of a chain decides nothing by itself: both sides of a cut
 * network go on making blocks at the same pace, but the larger side has more attesters (paper 000,
 * propositions 4 and 5). Who contradicted itself counts for nobody.
 *
 * The tree begins at its root, the finalized block; fork_choice_finalize moves the root and drops all that
 * does not descend from it, so no head ever leaves a finalized block.
 *
 * Pure; one thread. Validators are places 0 to n - 1 in the validator set.
 */
#ifndef KATENA_CONSENSUS_FORK_CHOICE_H
#define KATENA_CONSENSUS_FORK_CHOICE_H

#include "chain/hash.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fork_block {
    uint8_t hash[HASH_SIZE];
    uint8_t parent[HASH_SIZE];
    uint64_t height; /* the parent's and one; set by fork_choice_add */
    int64_t time_us;
    uint32_t tag; /* the caller's */
};

struct fork_choice;
struct fork_node; /* a block in the tree; valid until it is dropped by fork_choice_finalize */

/* recent_rounds: an attestation of round r counts in the rounds up to r + recent_rounds. */
struct fork_choice *fork_choice_new(uint32_t validators, uint32_t recent_rounds,
                                    const struct fork_block *root);
void fork_choice_free(struct fork_choice *fc);

enum fork_added { FORK_ADDED, FORK_KNOWN, FORK_NO_PARENT };

/* Adds a block below its parent. FORK_NO_PARENT: the parent is not known, or on a branch that was dropped. */
enum fork_added fork_choice_add(struct fork_choice *fc, const struct fork_block *block);

const struct fork_node *fork_choice_find(const struct fork_choice *fc, const uint8_t hash[HASH_SIZE]);
const struct fork_node *fork_choice_root(const struct fork_choice *fc);
const struct fork_block *fork_node_block(const struct fork_node *node);
const struct fork_node *fork_node_parent(const struct fork_node *node); /* NULL: the root */

/* Whether a is b or an ancestor of it. */
bool fork_node_leads_to(const struct fork_node *a, const struct fork_node *b);

/* The newest block on the way from the root to node that was made at or before time_us; at least the root. */
const struct fork_node *fork_node_at_time(const struct fork_node *node, int64_t time_us);

/* A validator's head in a round. The latest round counts, the first one of a round; the block may come later
 * than its attestation. */
void fork_choice_attest(struct fork_choice *fc, uint32_t validator, uint64_t round,
                        const uint8_t head[HASH_SIZE]);

/* From now on the validator counts for nobody: it was proved to contradict itself. */
void fork_choice_exclude(struct fork_choice *fc, uint32_t validator);
bool fork_choice_is_excluded(const struct fork_choice *fc, uint32_t validator);

/* The head, by the rule above, of the branch below start. */
const struct fork_node *fork_choice_head(struct fork_choice *fc, const struct fork_node *start,
                                         uint64_t round);

/* Takes a block and all that descends from it out of the tree; it is not the root. */
void fork_choice_reject(struct fork_choice *fc, const struct fork_node *node);

/* Blocks in the tree, and its i-th one; parents before children. */
size_t fork_choice_count(const struct fork_choice *fc);
const struct fork_node *fork_choice_node(const struct fork_choice *fc, size_t i);

/* The newest block that both are or descend from. */
const struct fork_node *fork_node_common(const struct fork_node *a, const struct fork_node *b);

/* Makes the block the root. */
void fork_choice_finalize(struct fork_choice *fc, const struct fork_node *node);

#endif
