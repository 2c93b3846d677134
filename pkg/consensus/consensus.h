/*
 * The consensus manager: one pure step function. An event carrying the time goes in, an update comes out.
 *
 *     struct consensus_update update;
 *     consensus_step(c, &event, &update);
 *     1. write update.persist durably, where it is set, and apply it to the store;
 *     2. give the callers their update.answers;
 *     3. later, report the written block with a CONSENSUS_PERSISTED event.
 *
 * Transactions come in by CONSENSUS_SUBMIT and wait in the pending changes. A CONSENSUS_TICK makes a block of
 * them when no block is on its way to the disk. A caller that collects submissions while a block is
 * being written, and ticks after each CONSENSUS_PERSISTED and whenever its queue is drained, gets group
 * commit without a timer. An included transaction is answered by the update of CONSENSUS_PERSISTED, never
 * before. One that is rejected for what another transaction of the same block did is answered with that
 * block, so that who is told "already exists" can see what exists; all others that are rejected, at once.
 *
 * When a CONSENSUS_PERSISTED event comes in, a new snapshot of the store must show the block's state.
 *
 * Now: one validator, the producer of the genesis; each block is final at once. The shape of many is there:
 * a block of another producer arrives as CONSENSUS_RECEIVED and is checked by the same rules.
 *
 * One thread. No clock, no I/O, no randomness.
 */
#ifndef KATENA_CONSENSUS_CONSENSUS_H
#define KATENA_CONSENSUS_CONSENSUS_H

#include "base/err.h"
#include "chain/block.h"
#include "chain/lthash.h"
#include "chain/tx.h"
#include "state/state.h"
#include "state/state_store.h"
#include "validator/rbac.h"

#include <stdint.h>

struct consensus;

struct consensus_options {
    const struct block_header *genesis;
    const struct block_header *head; /* the newest durable block; the genesis of an empty chain */
    const struct lthash *state_hash; /* at the head, as the store kept it; of an empty chain: lthash_init */
    const struct state_store_ops *store_ops;
    void *store;
    uint8_t secret_key[64]; /* of this node (libsodium's form of Ed25519) */
};

/* Everything in options but the store is copied. Reads the RBAC objects of the store's head. */
int consensus_new(struct consensus **out, const struct consensus_options *options, struct err *err);
void consensus_free(struct consensus *c);

enum consensus_event_type {
    CONSENSUS_SUBMIT, /* a transaction to include: tx, token */
    CONSENSUS_TICK, /* time has passed or a batch is complete: make a block if there is something to put in */
    CONSENSUS_PERSISTED, /* the block that an update asked to persist is durable and applied: height */
    /* That block could not be written: it is dropped, the head stays, its transactions are answered with
     * ERR_UNAVAILABLE: height */
    CONSENSUS_PERSIST_FAILED,
    CONSENSUS_RECEIVED, /* a block of another node: block */
};

struct consensus_event {
    enum consensus_event_type type;
    int64_t now_us; /* wall clock */
    struct tx *tx;  /* owned by consensus from here on, whatever the outcome */
    void *token;    /* comes back in the answer */
    uint64_t height;
    const struct block *block;
};

struct consensus_answer {
    void *token;
    int code;            /* 0: included and durable; else an enum err_code */
    const char *message; /* "" when included */
    uint8_t tx_id[TX_ID_SIZE];
    uint64_t height;
    uint64_t rv; /* of the first output; output i has rv + i */
};

/* A block to write: first its encoding to the log, durably; then state into the store. */
struct consensus_persist {
    const struct block *block;
    struct state_update state;
};

/* All memory is the consensus manager's: answers are valid until the next step, persist until the step with
 * the CONSENSUS_PERSISTED or CONSENSUS_PERSIST_FAILED event of its height begins. */
struct consensus_update {
    const struct consensus_persist *persist; /* NULL: nothing to write */
    const struct consensus_answer *answers;
    size_t answer_count;
};

/* 0, or an error of the store, or what is wrong with a received block; *out is valid in any case. */
int consensus_step(struct consensus *c, const struct consensus_event *event, struct consensus_update *out,
                   struct err *err);

/* Transactions that wait for a block. When it is not 0 and nothing is being persisted, a tick makes a block.
 */
size_t consensus_pending(const struct consensus *c);
bool consensus_is_persisting(const struct consensus *c);

/* The newest durable block's header. */
const struct block_header *consensus_head(const struct consensus *c);

/* The compiled RBAC policy of that head; borrowed, valid until the next step (rbac_policy_retain keeps it).
 */
struct rbac_policy *consensus_policy(struct consensus *c);

#endif
