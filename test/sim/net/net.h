/*
 * The network simulator: many virtual nodes under one virtual clock, each running the roles, the fork choice
 * and the finality that pkg/consensus has. Everything that happens is drawn from a seed, so that a seed and
 * the commit replay any failure.
 *
 * What is real: the deciding code, votes, locks, proofs of equivocation. What is a model: blocks hold numbers
 * of transactions; the network delays, loses, doubles, reorders and cuts; a disk write takes time, and a
 * crash forgets what was not yet written; clocks are off by a fixed amount. Nodes that lie send different
 * things to different halves of the others.
 *
 * A world runs phases (calm, cut, one-way, bridged, crashing, chaotic), is healed, and has to converge.
 * net_check.c holds the invariants; a world can be told to break one on purpose (enum net_mutation).
 */
#ifndef KATENA_NET_H
#define KATENA_NET_H

#include "consensus/finality.h"
#include "consensus/fork_choice.h"
#include "consensus/membership.h"
#include "consensus/roles.h"
#include "chain/vote.h"

#include <stdio.h>

#define NET_NONE UINT32_MAX
#define NET_BLOCK_TXS 512
#define NET_RECENT 8 /* statements of a validator that a node compares new ones with */

enum net_mutation {
    MUTATE_NOTHING,
    MUTATE_DOUBLE_VOTE,      /* voters vote for each leaf that they know */
    MUTATE_QUORUM_MINUS_ONE, /* half the nodes are a quorum */
    MUTATE_QUORUM_ALL,       /* only all of the nodes are */
    MUTATE_FORGET_LOCK,      /* a vote leaves though its lock was never written */
    MUTATE_DROP_ORPHANS,     /* transactions of an abandoned branch do not return to pending */
    MUTATE_OWN_BRANCH,       /* the fork choice prefers what the node has made itself */
    MUTATE_WAIT_FOR_QUORUM,  /* no blocks without a majority, as in Raft */
    MUTATE_CHANGE_AT_ONCE,   /* a change of the validator set acts from its own block on */
    MUTATE_RESTLESS,         /* votes go on when all is final */
};

struct net_options {
    uint64_t seed;
    uint32_t nodes;
    uint32_t liars;
    bool byzantine; /* the quorum is more than two thirds */
    bool churn;     /* validators come and go */
    bool sign;      /* real Ed25519 signatures */
    bool trace;
    enum net_mutation mutation;
    struct roles_settings roles;
    int64_t round_us, tick_us, turn_us; /* turn: how long each place in the order waits for those before it */
    int64_t latency_min_us, latency_max_us;
    uint32_t tail_percent; /* of messages take up to ten times the maximum */
    uint32_t loss_percent, double_percent;
    int64_t skew_max_us;
    bool no_finality; /* attestations only, for networks of a thousand nodes */
};

struct net_block {
    struct fork_block fork;
    uint32_t parent; /* NET_NONE: the first one */
    uint32_t producer;
    uint64_t slot;
    uint32_t *txs;
    uint32_t tx_count;
    struct membership *members; /* NULL: everybody */
};

enum net_message_type { NET_TX, NET_BLOCK, NET_STATEMENT, NET_PROOF };

struct net_message {
    enum net_message_type type;
    uint32_t from;         /* who said it; of a proof: who is guilty */
    uint32_t id;           /* of the transaction or block */
    struct vote vote;      /* of a block: the signed proposal */
    uint32_t first, other; /* of a proof: the two statements */
};

struct net_tx {
    uint32_t node, incarnation;  /* where and when it was submitted */
    int64_t submitted, included; /* included: in its node's own chain; 0: not yet */
    bool answered;
};

struct net_disk {
    struct finality_lock lock;
    struct checkpoint finalized, justified;
};

struct net_node {
    uint32_t id;
    bool up, liar;
    uint32_t incarnation;
    int64_t skew;
    struct fork_choice *tree;
    struct finality *finality;
    struct voter voter;
    struct net_disk disk, wanted;
    uint8_t *blocks;           /* durable, by block */
    uint8_t *seen;             /* by message */
    uint8_t *kept;             /* durable votes, by message: they justify what the disk says is justified */
    uint8_t *known, *included; /* by transaction */
    int64_t *known_since;
    uint32_t *waiting; /* blocks whose parent is missing */
    uint32_t waiting_count, waiting_cap;
    uint32_t pending;
    uint32_t head;
    bool head_stale;
    uint64_t round, attest_from;
    uint64_t slot; /* of the last block that it made */
    uint32_t slot_blocks;
    uint32_t writing; /* the block that is on its way to the disk */
    int64_t last_block;
    int64_t *heard;   /* by peer */
    uint32_t *recent; /* NET_RECENT messages of each validator */
    /* What it has said, for the check that it never contradicts itself. */
    struct vote said_last, said_head;
    uint64_t said_source;
};

enum net_event_type {
    NET_TICK,
    NET_DELIVER,
    NET_LOCK_WRITTEN,
    NET_BLOCK_WRITTEN,
    NET_RESTART,
    NET_SYNC,
    NET_DEADLINE,
};

struct net_event {
    int64_t time;
    uint64_t order;
    uint32_t type, node, arg, incarnation;
};

struct net_stats {
    uint64_t changes; /* of the validator set, in blocks */
    uint64_t messages, votes, blocks, crashes, proofs, switches, orphaned;
    int64_t converged_us; /* after healing */
    int64_t include_us_max;
};

struct net_world {
    struct net_options o;
    uint64_t random;
    int64_t now;
    uint32_t quorum;
    struct net_node *nodes;
    uint8_t *reach;  /* from * nodes + to */
    uint32_t *group; /* of a node, while the network is cut into groups */
    uint8_t (*public_keys)[32], (*secret_keys)[64];
    struct net_block *blocks;
    uint32_t block_count, block_cap;
    struct net_message *messages;
    uint32_t message_count, message_cap;
    struct net_tx *txs;
    uint32_t tx_count, tx_cap;
    struct net_event *events; /* a heap */
    size_t event_count, event_cap;
    uint64_t event_order;
    uint64_t order_slot[4];
    uint32_t *order[4]; /* of recent slots */
    uint32_t final_block;
    struct net_stats stats;
    bool failed;
    char failure[256];
};

/* The world. */
struct net_options net_options_default(void);
void net_begin(struct net_world *w, const struct net_options *options);
void net_end(struct net_world *w);
void net_run(struct net_world *w, int64_t for_us);
uint32_t net_draw(struct net_world *w, uint32_t bound);
void net_heal(struct net_world *w);                                          /* all links, all nodes up */
void net_cut(struct net_world *w, uint32_t groups);                          /* by w->group */
void net_crash(struct net_world *w, struct net_node *node, int64_t down_us); /* -1: for good */
uint32_t net_submit(struct net_world *w, struct net_node *node);             /* a transaction */
void net_at(struct net_world *w, int64_t delay, enum net_event_type type, uint32_t node, uint32_t arg);
uint32_t net_say(struct net_world *w, const struct net_message *message); /* its id */
void net_send(struct net_world *w, uint32_t from, uint32_t to, uint32_t message);
void net_broadcast(struct net_world *w, uint32_t from, uint32_t message);
const uint32_t *net_order(struct net_world *w, uint64_t slot);
void net_trace(const struct net_world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A node. */
void net_node_start(struct net_world *w, struct net_node *node);
void net_node_stop(struct net_node *node);
void net_node_tick(struct net_world *w, struct net_node *node);
void net_node_receive(struct net_world *w, struct net_node *node, uint32_t message);
void net_node_lock_written(struct net_world *w, struct net_node *node);
void net_node_block_written(struct net_world *w, struct net_node *node, uint32_t block);
void net_node_adopt_tx(struct net_world *w, struct net_node *node, uint32_t tx);
uint32_t net_node_final_block(const struct net_world *w, const struct net_node *node);
uint32_t net_block_find(const struct net_world *w, const uint8_t hash[HASH_SIZE]);

/* Liars. */
void net_liar_round(struct net_world *w, struct net_node *node, uint64_t round);
void net_liar_block(struct net_world *w, struct net_node *node, uint32_t block);

/* Invariants. */
void net_fail(struct net_world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool net_chain_has_tx(const struct net_world *w, uint32_t block, uint32_t tx);
bool net_chain_has_block(const struct net_world *w, uint32_t block, uint32_t ancestor);
void net_check_final(struct net_world *w, const struct net_node *node);
void net_check_statement(struct net_world *w, struct net_node *node, const struct vote *vote);
void net_check_deadline(struct net_world *w, uint32_t tx);
void net_check_answered(struct net_world *w);
bool net_is_converged(const struct net_world *w);

/* A whole run by the seed: phases, healing, convergence. False when an invariant did not hold. */
bool net_play(struct net_world *w);

#endif
