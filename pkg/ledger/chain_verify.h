/*
 * Re-checks a whole chain from its genesis, trusting nothing that stands beside the blocks: grammar, hashes,
 * producers' and transactions' signatures, Merkle roots, order, scripts, RBAC, inputs, and the state hash of
 * every block, by replaying all of it into memory with the rules that a node applies to blocks of others.
 * Then the state in the store is compared with the head's state hash, object by object.
 *
 * Where old bodies were pruned the replay cannot start: then headers are checked from the genesis, bodies
 * from the oldest one on (all but inputs, scripts and state), and the store's state against the head. A store
 * that was made of a snapshot has no headers between the genesis and those that came with it: they are
 * checked from the oldest of these on. Nor can a chain be replayed whose genesis carries another one's state.
 */
#ifndef KATENA_LEDGER_CHAIN_VERIFY_H
#define KATENA_LEDGER_CHAIN_VERIFY_H

#include "base/err.h"
#include "blockstore/blockstore.h"

#include <stdbool.h>
#include <stdint.h>

struct chain_verify_report {
    uint64_t blocks; /* headers that hold */
    uint64_t bodies; /* blocks whose transactions hold */
    uint64_t transactions;
    uint64_t objects;       /* of the store's state */
    uint64_t replayed_from; /* UINT64_MAX: nothing was replayed, since bodies are pruned */
    bool carried;           /* the genesis begins with another chain's state (BLOCK_CARRIES) */
    uint64_t snapshot;      /* height of the block with whose state the store began; 0: with the genesis */
    struct block_header head;
};

/* Called after each block, for showing how far it is; may be NULL. */
typedef void (*chain_verify_progress_fn)(void *arg, uint64_t height, uint64_t head);

/* 0, or the first fault: ERR_CORRUPT with its block in the message. */
int chain_verify(struct blockstore *store, chain_verify_progress_fn progress, void *arg,
                 struct chain_verify_report *report, struct err *err);

#endif
