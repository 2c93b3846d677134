/*
 * The cluster simulator: many nodes that run the core that ships (consensus.h with real transactions, blocks,
 * rules and signatures) under one virtual clock, over a simulated network and simulated disks. Everything
 * that happens is drawn from a seed, so that a seed and the commit replay any failure.
 *
 * What is a model:
 *   network   connections are in order and lose nothing, as TCP does, until they break; a direction may be
 *             blocked, and its frames wait until it is free again or the silence is noticed; processes that
 *             are killed close their connections, machines that lose power do not
 *   disk      a write takes time and happens whole or, in a crash, perhaps not; some writes fail
 *   edge      what the ledger and the API do around the core: ticks, the store, and for each orphan: submit
 * it again as it is, else in a rebased form, else report the conflict clocks    are off by a fixed amount
 *   liars     run the core, too, but say other things than it wants them to
 *
 * A world runs phases of trouble, is healed, and has to converge and fall silent. cluster_check.c holds the
 * invariants; a world can be told to break one on purpose (enum cluster_mutation).
 */
#ifndef KATENA_CLUSTER_H
#define KATENA_CLUSTER_H

#include "chain/arena.h"
#include "chain_store.h"
#include "consensus/consensus.h"

#include "validator/registry.h"
#include "vdf/vdf.h"

#include <inttypes.h>
#include <stdio.h>

#define CLUSTER_NONE UINT32_MAX
#define CLUSTER_BEGINNING_US 1700000000000000
#define CLUSTER_NODES_MAX 256
#define CLUSTER_SAID_MAX 256 /* statements of a node that its next ones are compared with */

enum cluster_mutation {
    MUTATE_NOTHING,
    MUTATE_DROP_ORPHANS,   /* what abandoned blocks held is forgotten */
    MUTATE_REPORT_NOTHING, /* an orphan that does not hold is forgotten without a report */
    MUTATE_EARLY_DURABLE,  /* writes are said to be durable before they are */
    MUTATE_FALSE_HAVE,     /* acknowledgements come for blocks that nobody has */
    MUTATE_LOSE_HAVE,      /* acknowledgements are lost, and what else says where a node is */
    MUTATE_DEAF,           /* a lost connection is never told of */
    MUTATE_FORGED_VOTES,   /* every vote counts as a vote of everybody */
    MUTATE_LOSE_VOTES,     /* votes for checkpoints are lost */
    MUTATE_OLD_RECORD,     /* the record is never written again after the first time */
    MUTATE_NO_INDEX,       /* the store does not know which transactions the chain has */
    MUTATE_ROTTEN_STATE,   /* an object changes on one disk by itself */
    MUTATE_STUCK_BRANCH,   /* one node gets no blocks any more once healed */
    MUTATE_LOSE_TX,        /* transactions do not come to the producer once all is healed */
    MUTATE_RESTLESS,       /* a node that has nothing to say repeats where it is */
};

struct cluster_options {
    uint64_t seed;
    uint32_t nodes;
    uint32_t liars;
    uint32_t phases;  /* of trouble; 0: two or three */
    bool churn;       /* validators come and go by transactions */
    bool serial_disk; /* the edge steps the core only between writes */
    bool verify_each; /* each receiver checks the signatures, as for measuring; else the first one does */
    bool evaluates;   /* delay functions are evaluated, which costs a while */
    bool bare;        /* no validators in the genesis: the genesis' producer alone */
    int trace;        /* 1: what happens, 2: messages too */
    enum cluster_mutation mutation;
    int64_t latency_min_us, latency_max_us;
    int64_t write_min_us, write_max_us;
    uint32_t write_fails; /* of 10,000 writes */
    int64_t skew_max_us;
};

/* ---- clients ---- */

enum cluster_fate { FATE_WAITING, FATE_INCLUDED, FATE_REJECTED, FATE_LOST };

struct cluster_submission {
    uint8_t tx_id[TX_ID_SIZE];
    struct buf encoded;
    uint32_t node, incarnation; /* where and in which of its lives it was submitted */
    int64_t submitted, answered;
    uint64_t height; /* as answered */
    enum cluster_fate fate;
    int code;
    bool must_fail;  /* it breaks a rule whatever the state is */
    bool reported;   /* a node has recorded that it does not hold after a switch */
    uint32_t replay; /* the submission that this one is the same as, or the rebased form of */
};

/* ---- nodes ---- */

/* An orphan that a node has submitted again, or the rebased form of one. */
struct cluster_replay {
    uint64_t number;
    uint8_t tx_id[TX_ID_SIZE];
    bool rebased;
    bool answered;
    int code;
};

struct cluster_packet {
    uint32_t references;
    uint32_t from;
    size_t len;
    uint8_t bytes[];
};

/* An event that waits until the disk is done, where the edge is serial. */
struct cluster_waiting {
    enum consensus_event_type type;
    struct tx *tx;
    void *token;
    uint32_t peer;
    struct cluster_packet *packet;
};

struct cluster_node {
    uint32_t id;
    uint8_t key[TX_KEY_SIZE], secret_key[64];
    bool up, liar;
    bool replaced; /* by one with a new key */
    uint32_t incarnation;
    int64_t skew;
    struct chain_store store;
    struct consensus *core;
    uint64_t wake_stamp; /* of the wake event that counts */
    bool tick_scheduled, edge_scheduled;
    const struct consensus_persist *writing;
    bool write_applied; /* by MUTATE_EARLY_DURABLE: said to be durable */
    struct cluster_waiting *waiting;
    size_t waiting_count, waiting_cap;
    struct cluster_replay *replays; /* of this life */
    size_t replay_count;
    struct consensus_evaluate evaluate; /* what it was asked for last */
    uint32_t spins;
    int64_t spin_at;
    /* What it has said and made, for the checks; over all lives. */
    struct vote said[CLUSTER_SAID_MAX];
    uint32_t said_count;
    struct block_header made[CLUSTER_SAID_MAX];
    uint32_t made_count;
    uint64_t final_height;
    /* What it costs. */
    uint64_t messages_out, bytes_out, messages_in, writes, ticks;
    int64_t cpu_ns;
};

/* ---- the network ---- */

struct cluster_direction {
    bool blocked;
    int64_t blocked_since;
    int64_t last_arrival; /* in order */
    uint32_t held;        /* frames that wait for the direction to be free again */
};

/* Between nodes a and b with a < b; end 0 is a's, direction 0 leads from a to b. */
struct cluster_link {
    uint32_t a, b;
    bool up[2]; /* what each end thinks */
    uint32_t epoch;
    bool attempt_scheduled;
    int64_t refused_until;
    struct cluster_direction to[2];
    struct cluster_frame *held[2]; /* lists */
    struct cluster_frame *held_last[2];
};

enum cluster_event_type {
    EVENT_FRAME,   /* arrives: link, end that gets it */
    EVENT_UP,      /* an end learns that the connection is there */
    EVENT_DOWN,    /* an end learns that it is not */
    EVENT_SILENCE, /* an end may have heard nothing for too long */
    EVENT_ATTEMPT, /* to connect */
    EVENT_WAKE,    /* a node's wake_us */
    EVENT_TICK,    /* a node's batch is complete */
    EVENT_WRITTEN, /* a node's disk is done */
    EVENT_SEED,    /* a node has evaluated a delay function */
    EVENT_EDGE,    /* a node looks after its orphans */
    EVENT_RESTART, /* of a node */
    EVENT_DEADLINE /* of a submission */
};

struct cluster_event {
    int64_t time;
    uint64_t order;
    enum cluster_event_type type;
    uint32_t node; /* or the link */
    uint32_t end;
    uint64_t stamp; /* incarnation, epoch, wake stamp, or submission: whether it still counts */
    struct cluster_packet *packet;
};

struct cluster_frame {
    struct cluster_frame *next;
    struct cluster_packet *packet;
};

struct cluster_seed {
    uint8_t challenge[VDF_SEED_SIZE];
    struct vdf_proof proof;
};

struct cluster_stats {
    uint64_t submitted, included, rejected, lost, messages, bytes, blocks, crashes, switches, orphans;
    uint64_t replayed, reported, write_failures, connections, blames, joins, leaves, lies, seeds;
    uint64_t late; /* refused, and in the chain in the end */
    int64_t converged_us, answer_us_max, answer_us_sum;
};

struct cluster_world {
    struct cluster_options o;
    uint64_t random;
    int64_t now;
    struct block *genesis;
    struct tx *setup; /* what the genesis' state comes from */
    struct cluster_node *nodes;
    struct cluster_link *links;
    uint32_t link_count;
    uint32_t members_min; /* no validator leaves a smaller set */
    uint32_t *group;      /* of a node, while the network is cut */
    struct cluster_submission *submissions;
    uint32_t submission_count, submission_cap;
    struct bytemap by_id; /* submissions by transaction id; ids live in by_id_bytes */
    uint8_t (**ids)[TX_ID_SIZE];
    uint64_t nonce;
    struct bytemap checked; /* hashes of what was found to be signed rightly */
    struct arena checked_hashes;
    struct cluster_event *events; /* a heap */
    size_t event_count, event_cap;
    uint64_t event_order;
    uint8_t (*finals)[HASH_SIZE]; /* the hashes of finalized blocks by height */
    size_t final_count, final_cap;
    struct cluster_seed *seeds; /* what was evaluated, by whatever node */
    size_t seed_count;
    struct cluster_stats stats;
    bool failed, healed;
    char failure[512];
};

/* The world. */
struct cluster_options cluster_options_default(void);
void cluster_begin(struct cluster_world *w, const struct cluster_options *options);
void cluster_end(struct cluster_world *w);
void cluster_run(struct cluster_world *w, int64_t for_us);
uint32_t cluster_draw(struct cluster_world *w, uint32_t bound);
int64_t cluster_draw_us(struct cluster_world *w, int64_t min, int64_t max);
void cluster_at(struct cluster_world *w, int64_t delay, struct cluster_event event);
void cluster_trace(const struct cluster_world *w, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void cluster_fail(struct cluster_world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
void cluster_trace_send(const struct cluster_world *w, const struct cluster_node *node,
                        const struct consensus_send *send);
void cluster_trace_persist(const struct cluster_world *w, const struct cluster_node *node,
                           const struct consensus_persist *persist);
/* The first bytes of a hash, for traces; a few of them may be in use at once. */
const char *cluster_short(const uint8_t hash[HASH_SIZE]);

/* The network. */
void cluster_net_begin(struct cluster_world *w);
void cluster_net_end(struct cluster_world *w);
struct cluster_link *cluster_link(struct cluster_world *w, uint32_t a, uint32_t b);
bool cluster_is_connected(struct cluster_world *w, uint32_t node, uint32_t peer); /* as node sees it */
void cluster_send(struct cluster_world *w, uint32_t from, uint32_t to, struct cluster_packet *packet);
void cluster_block(struct cluster_world *w, uint32_t from, uint32_t to, bool blocked);
void cluster_heal(struct cluster_world *w);
void cluster_reset(struct cluster_world *w, struct cluster_link *link);     /* both ends learn of it soon */
void cluster_refuse(struct cluster_world *w, uint32_t node, uint32_t peer); /* one that broke the rules */
void cluster_net_crashed(struct cluster_world *w, uint32_t node, bool silently);
void cluster_net_started(struct cluster_world *w, uint32_t node);
void cluster_net_event(struct cluster_world *w, const struct cluster_event *event);
struct cluster_packet *cluster_packet(uint32_t from, const void *bytes, size_t len);
void cluster_packet_drop(struct cluster_packet *packet);

/* A node. */
void cluster_node_start(struct cluster_world *w, struct cluster_node *node);
void cluster_node_stop(struct cluster_world *w, struct cluster_node *node);
void cluster_crash(struct cluster_world *w, struct cluster_node *node, int64_t down_us); /* -1: for good */
void cluster_node_peer(struct cluster_world *w, struct cluster_node *node, uint32_t peer, bool up);
void cluster_node_receive(struct cluster_world *w, struct cluster_node *node, struct cluster_packet *packet);
void cluster_node_submit(struct cluster_world *w, struct cluster_node *node, struct tx *tx, void *token);
void cluster_node_event(struct cluster_world *w, const struct cluster_event *event);
int64_t cluster_local_time(const struct cluster_world *w, const struct cluster_node *node);
bool cluster_node_is_validator(const struct cluster_node *node); /* in any phase */
bool cluster_node_acts(const struct cluster_node *node);
uint32_t cluster_node_of_key(const struct cluster_world *w, const uint8_t key[TX_KEY_SIZE]);

/* Disks. */
void cluster_disk_begin(struct cluster_world *w, struct cluster_node *node,
                        const struct consensus_persist *persist);
void cluster_disk_take(struct cluster_world *w, struct cluster_node *node,
                       const struct consensus_persist *persist);

/* The delay function that an update asks for: its proof, once it has been evaluated. */
const uint8_t *cluster_seed_proof(struct cluster_world *w, const struct consensus_evaluate *evaluate);

/* What the edge does with orphans. A token is a submission's, or one of these. */
void cluster_edge(struct cluster_world *w, struct cluster_node *node);
void cluster_edge_answer(struct cluster_world *w, struct cluster_node *node,
                         const struct consensus_answer *answer);

/* Clients. */
uint32_t cluster_submit(struct cluster_world *w, struct cluster_node *node); /* of any kind; CLUSTER_NONE */
uint32_t cluster_submit_create(struct cluster_world *w, struct cluster_node *node); /* always valid */
uint32_t cluster_submit_tx(struct cluster_world *w, struct cluster_node *node, struct tx *tx, bool must_fail,
                           uint32_t replay);
void cluster_answer(struct cluster_world *w, struct cluster_node *node,
                    const struct consensus_answer *answer);
uint32_t cluster_submission_find(const struct cluster_world *w, const uint8_t tx_id[TX_ID_SIZE]);
struct tx *cluster_tx_new(struct cluster_world *w, const struct cluster_node *node, const char *verb);
void cluster_tx_sign(const struct cluster_node *node, struct tx *tx);

/* Validators that come and go. */
void cluster_setup(struct cluster_world *w); /* the genesis, with a state of its own */
void cluster_setup_again(struct cluster_world *w, struct cluster_node *node); /* an empty disk, a new key */
void cluster_key_make(struct cluster_world *w, struct cluster_node *node);
void cluster_setup_snapshot(struct cluster_world *w, struct cluster_node *node,
                            const struct cluster_node *from);
void cluster_churn(struct cluster_world *w);
/* A transaction by one node that lets another one join or leave. */
void cluster_change(struct cluster_world *w, struct cluster_node *by, const struct cluster_node *who);
bool cluster_change_is_over(const struct cluster_node *node); /* nobody is joining or leaving */

/* Liars: what a liar sends in place of what its core wants; the packet is borrowed. */
void cluster_lie(struct cluster_world *w, struct cluster_node *node, const uint8_t *to, const void *bytes,
                 size_t len);

/* Invariants. */
void cluster_check_persist(struct cluster_world *w, struct cluster_node *node,
                           const struct consensus_persist *persist);          /* before the disk takes it */
void cluster_check_taken(struct cluster_world *w, struct cluster_node *node); /* after */
void cluster_check_final(struct cluster_world *w, struct cluster_node *node);
void cluster_check_said(struct cluster_world *w, struct cluster_node *node, const void *bytes, size_t len);
void cluster_check_answer(struct cluster_world *w, const struct cluster_node *node,
                          const struct consensus_answer *answer);
void cluster_check_deadline(struct cluster_world *w, uint32_t submission);
void cluster_check_answered(struct cluster_world *w);
void cluster_check_state(struct cluster_world *w, struct cluster_node *node); /* from its objects alone */
void cluster_check_settled(struct cluster_world *w);                          /* of a converged world */
bool cluster_has_tx(const struct cluster_node *node, const uint8_t tx_id[TX_ID_SIZE]);
bool cluster_is_final_at(const struct cluster_node *node, const uint8_t tx_id[TX_ID_SIZE]);
bool cluster_is_converged(const struct cluster_world *w, const char **why);

/* A whole run by the seed: phases, healing, convergence. False when an invariant did not hold. */
bool cluster_play(struct cluster_world *w);

/* What a node of a cluster of some sizes costs, as a table. */
int cluster_cost(const struct cluster_options *options);

#endif
