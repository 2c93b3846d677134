/*
 * The consensus manager: one pure step function. An event carrying the time goes in, an update comes out.
 *
 *     struct consensus_update update;
 *     consensus_step(c, &event, &update);
 *     1. send update.sends;
 *     2. do update.persist durably, where it is set, and apply it to the store;
 *     3. give the callers their update.answers;
 *     4. report the persisted thing with a CONSENSUS_PERSISTED event, and step again at update.wake_us.
 *
 * A block may be sent before it is durable here: that it is, is said by a MESSAGE_HAVE of its own.
 *
 * Transactions come in by CONSENSUS_SUBMIT and wait in the pending changes. With one validator a
 * CONSENSUS_TICK makes a block of them when nothing is on its way to the disk. With several, the producer of
 * the slot does (consensus/roles.h), and the others hand their transactions to it; who takes over when it is
 * not there, and how a slot's last block is handed over, is told in docs/consensus.md.
 *
 * A transaction is answered when its block is durable here and, while another validator is connected, on at
 * least one of theirs. One that is rejected for what another transaction of the same block did is answered
 * with that block, so that who is told "already exists" can see what exists; all others at once. A
 * transaction that the chain has already is answered as included.
 *
 * Blocks of others are kept in a tree (fork_choice.h). When another branch than the current one becomes the
 * best, the core asks for a rewind to the last common block, then for the branch's blocks one by one. What
 * the abandoned blocks held is for the caller to submit again (see the orphans of blockstore.h). The last
 * finalized block is never rewound.
 *
 * Validators are objects of the chain (validator/registry.h). A chain without any has one: the producer of
 * its genesis. While the set that acts is this node alone, each durable block is final at once, without a
 * vote.
 *
 * One thread. No clock, no I/O but reading the store through the ops, no randomness.
 */
#ifndef KATENA_CONSENSUS_CONSENSUS_H
#define KATENA_CONSENSUS_CONSENSUS_H

#include "base/buf.h"
#include "base/err.h"
#include "chain/block.h"
#include "chain/lthash.h"
#include "chain/tx.h"
#include "consensus/finality.h"
#include "consensus/message.h"
#include "consensus/roles.h"
#include "state/state.h"
#include "state/state_store.h"
#include "validator/rbac.h"
#include "vdf/vdf.h"

#include <stdint.h>

struct consensus;

/* What the core reads of the blocks that the store has. Each may be called in consensus_new and in any step;
 * at no time is a write under way then. ERR_NOT_FOUND where there is none, ERR_GONE where it was pruned. */
struct consensus_chain_ops {
    /* The newest block of the current chain, and the state hash there. */
    int (*head)(void *store, struct block_header *header, struct lthash *hash, struct err *err);
    int (*block_at)(void *store, uint64_t height, struct block **out, struct err *err);
    int (*header_at)(void *store, uint64_t height, struct block_header *out, struct err *err);
    /* Of a block on the current chain. */
    int (*height_of)(void *store, const uint8_t hash[HASH_SIZE], uint64_t *height, struct err *err);
    /* Of a transaction on the current chain: its block and its place among the block's transactions. */
    int (*place_of_tx)(void *store, const uint8_t id[TX_ID_SIZE], uint64_t *height, uint32_t *index,
                       struct err *err);
    /* A block on an abandoned branch. */
    int (*side_block)(void *store, const uint8_t hash[HASH_SIZE], struct block **out, struct err *err);
};

struct consensus_settings {
    struct roles_settings roles;
    int64_t round_us; /* attestations and votes go out once in a round; divides the slot */
    int64_t turn_us;  /* how long each place in the slot's order waits for those before it */
};

/* Slots of 1 s, rounds of 125 ms, turns of 250 ms. */
#define CONSENSUS_SETTINGS_DEFAULT ((struct consensus_settings){ROLES_SETTINGS_DEFAULT, 125000, 250000})

struct consensus_options {
    const struct block_header *genesis;
    const struct state_store_ops *store_ops;
    const struct consensus_chain_ops *chain_ops;
    void *store;            /* handle of both */
    uint8_t secret_key[64]; /* of this node (libsodium's form of Ed25519) */
    const void *record;     /* the newest that CONSENSUS_PERSIST_RECORD asked for; NULL: none */
    size_t record_len;
    struct consensus_settings settings;
    int64_t now_us;
};

/* Everything in options but the store is copied. */
int consensus_new(struct consensus **out, const struct consensus_options *options, struct err *err);
void consensus_free(struct consensus *c);

enum consensus_event_type {
    CONSENSUS_SUBMIT,    /* a transaction to include: tx, token */
    CONSENSUS_TICK,      /* time has passed or a batch is complete */
    CONSENSUS_PERSISTED, /* what an update asked to persist is durable and applied */
    /* It could not be written. A block is dropped, the head stays, its transactions are answered with
       ERR_UNAVAILABLE; anything else is asked for again later. */
    CONSENSUS_PERSIST_FAILED,
    CONSENSUS_PEER_UP,   /* connected to this node: peer (its key) */
    CONSENSUS_PEER_DOWN, /* not any more, or silent for too long: peer */
    CONSENSUS_MESSAGE,   /* peer, message (verified; what it owns is consensus' from here on) */
    CONSENSUS_EVALUATED, /* what an update asked to evaluate: proof */
};

struct consensus_event {
    enum consensus_event_type type;
    int64_t now_us;      /* wall clock */
    struct tx *tx;       /* owned by consensus from here on, whatever the outcome */
    void *token;         /* comes back in the answer */
    bool more;           /* another submission follows at once: they go to the producer together */
    const uint8_t *peer; /* TX_KEY_SIZE bytes */
    struct message *message;
    const uint8_t *proof; /* REGISTRY_SEED_PROOF_SIZE bytes: output and proof of a struct vdf_proof */
};

struct consensus_answer {
    void *token;
    int code;            /* 0: included and durable; else an enum err_code */
    const char *message; /* "" when included */
    uint8_t tx_id[TX_ID_SIZE];
    uint64_t height;
    uint64_t rv; /* of the first output; output i has rv + i */
};

enum consensus_persist_type {
    CONSENSUS_PERSIST_BLOCK,  /* block and state: a block on top of the current chain */
    CONSENSUS_PERSIST_REWIND, /* height: the current chain ends with the block of that height again */
    CONSENSUS_PERSIST_RECORD, /* record: replaces the one before; has to be durable like a block */
};

struct consensus_persist {
    enum consensus_persist_type type;
    const struct block *block; /* first its encoding to the log, durably; then state into the store */
    struct state_update state;
    bool final; /* the block is final at once: it will never be rewound */
    uint64_t height;
    const void *record;
    size_t record_len;
};

struct consensus_send {
    const uint8_t *to; /* TX_KEY_SIZE bytes; NULL: all connected peers */
    const void *bytes; /* an encoded message */
    size_t len;
};

/* A peer that broke the rules. */
struct consensus_blame {
    const uint8_t *peer;
    bool proof; /* beyond doubt: an invalid block, a false vote; otherwise it may be bad luck */
    const char *reason;
};

struct consensus_evaluate {
    uint8_t seed[VDF_SEED_SIZE];
    uint64_t difficulty;
};

/* All memory is the consensus manager's: valid until the next step, but persist until the step with its
 * CONSENSUS_PERSISTED or CONSENSUS_PERSIST_FAILED event begins. */
struct consensus_update {
    const struct consensus_persist *persist; /* NULL: nothing to write */
    const struct consensus_answer *answers;
    size_t answer_count;
    const struct consensus_send *sends;
    size_t send_count;
    const struct consensus_blame *blames;
    size_t blame_count;
    /* A delay function to be evaluated (vdf.h), on whatever thread has time: its result comes back as
     * CONSENSUS_EVALUATED. A later one takes the place of one that is not finished. NULL: none. */
    const struct consensus_evaluate *evaluate;
    int64_t wake_us; /* when to tick at the latest; INT64_MAX: no need */
};

/* 0, or an error of the store; *out is valid in any case. */
int consensus_step(struct consensus *c, const struct consensus_event *event, struct consensus_update *out,
                   struct err *err);

/* Transactions that wait for a block. */
size_t consensus_pending(const struct consensus *c);
bool consensus_is_persisting(const struct consensus *c);

/* The newest durable block's header, and the last finalized block's. */
const struct block_header *consensus_head(const struct consensus *c);
uint64_t consensus_final_height(const struct consensus *c);

/* The current chain is being exchanged for another: between a rewind and the last block of the new branch. */
bool consensus_is_switching(const struct consensus *c);

/* This node knows of blocks that it does not have: their height; 0 when it has all that it has heard of. */
uint64_t consensus_behind(const struct consensus *c);

/* How a validator looks from here. */
struct consensus_validator {
    uint8_t key[TX_KEY_SIZE];
    const char *name;
    bool acting;          /* its vote counts for finality */
    bool live;            /* connected, or this node itself */
    bool producer;        /* of the slot at hand, as far as this node can see */
    bool equivocated;     /* it was proved to contradict itself */
    uint64_t head_height; /* the newest block that it said to have */
};
size_t consensus_validators(const struct consensus *c, struct consensus_validator *out, size_t max);

/* The compiled RBAC policy of the head; borrowed, valid until the next step (rbac_policy_retain keeps it). */
struct rbac_policy *consensus_policy(struct consensus *c);

#endif
