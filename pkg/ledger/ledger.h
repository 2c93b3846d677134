/*
 * The ledger of a node: the pure core (pending changes, factory, validator, consensus, state) joined with
 * its block store and a thread that steps it. All that other edges see of the chain goes through here.
 *
 * Threads: any thread may call any function. Callbacks run on the thread that has the core at that moment,
 * the ledger's own or one that called ledger_submit_inline or ledger_submit_wait; only one runs at a time.
 * They must not block, and may submit.
 */
#ifndef KATENA_LEDGER_LEDGER_H
#define KATENA_LEDGER_LEDGER_H

#include "base/err.h"
#include "chain/tx.h"
#include "state/state_store.h"
#include "validator/rbac.h"

struct ledger;

struct ledger_options {
    const char *data_dir;
    uint64_t retention_us;  /* bodies and watch history older than this are pruned; 0: a default */
    uint32_t first_segment; /* bytes of the block log's first file; 0: a default (tests take less) */
    uint64_t checkpoint_us; /* see blockstore/blockstore.h; 0: a default */
};

/* Opens the chain in data_dir, or makes a new one (genesis, node key) when there is none. Recovery from a
 * crash happens here. */
int ledger_open(struct ledger **out, const struct ledger_options *options, struct err *err);

/* Ends the thread after the work at hand, makes everything durable, frees. */
void ledger_close(struct ledger *ledger);

const uint8_t *ledger_chain_id(const struct ledger *ledger);    /* TX_ID_SIZE bytes */
const uint8_t *ledger_node_public(const struct ledger *ledger); /* TX_KEY_SIZE bytes */

/* Fills chain_id, time and nonce, and signs with the node's key. */
int ledger_sign(struct ledger *ledger, struct tx *tx, struct err *err);

struct ledger_result {
    int code;            /* 0: included in a durable block; else enum err_code */
    const char *message; /* why it was rejected */
    uint8_t tx_id[TX_ID_SIZE];
    uint64_t height;
    uint64_t rv; /* of the first output; output i has rv + i */
};

typedef void (*ledger_done_fn)(void *arg, const struct ledger_result *result);

/* Hands a signed transaction over (the ledger frees it). done is called once, on another thread, when the
 * transaction is included and durable, or rejected. What is submitted while a block is being written shares
 * the next block and its one disk write. A code of ERR_UNAVAILABLE: the disk is full or failed, nothing was
 * changed.
 */
void ledger_submit(struct ledger *ledger, struct tx *tx, ledger_done_fn done, void *arg);

/* As ledger_submit, but when nothing else is going on, the calling thread makes and commits the block itself,
 * and done runs before this returns. That saves two hand-offs between threads (some 95 us each across CPUs),
 * and costs the calling thread a disk write (some 250 us) in which its other connections wait. So it is for a
 * thread that has nothing else to do at the moment. */
void ledger_submit_inline(struct ledger *ledger, struct tx *tx, ledger_done_fn done, void *arg);

/* As ledger_submit_inline, and waits. result (may be NULL) has no message, err has it. Returns result->code;
 * err has the message. */
int ledger_submit_wait(struct ledger *ledger, struct tx *tx, struct ledger_result *result, struct err *err);

/* Reading: the operations of the store, with `ledger_store(ledger)` as its handle. */
const struct state_store_ops *ledger_store_ops(const struct ledger *ledger);
void *ledger_store(const struct ledger *ledger);

/* Called after each block with its changes, in order, before the answers of that block's transactions go
 * out, so that whoever is answered can already see the change in a watch. fn NULL ends all subscriptions, and
 * returns when no callback is under way. */
typedef void (*ledger_block_fn)(void *arg, uint64_t height, uint64_t head_rv,
                                const struct state_change *changes, size_t count);
void ledger_subscribe(struct ledger *ledger, ledger_block_fn fn, void *arg);

/* Replays the changes with rv in (since, until] from the chain, on the calling thread. Returns ERR_EXPIRED
 * when since is older than the retained history or no position of this chain's past. fn returning false ends
 * the replay. */
typedef bool (*ledger_change_fn)(void *arg, const struct state_change *change);
int ledger_history(struct ledger *ledger, uint64_t since, uint64_t until, ledger_change_fn fn, void *arg,
                   struct err *err);

/* The RBAC policy of the current head: a counted reference, released with rbac_policy_release. */
struct rbac_policy *ledger_policy(struct ledger *ledger);

#endif
