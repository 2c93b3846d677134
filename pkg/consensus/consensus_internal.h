/*
 * What the sources of the consensus manager share.
 *
 *   consensus.c             life, the dispatch of a step, when to wake
 *   consensus_out.c         what an update carries: answers, messages, blames; who waits for an answer
 *   consensus_flight.c      what is on its way to the disk, and the head that comes of it
 *   consensus_chain.c       the block tree, bodies of other branches, the choice of the next thing to write
 *   consensus_produce.c     turns, hand-over, making a block
 *   consensus_forward.c     handing transactions to the producer, and its rejections
 *   consensus_votes.c       attestations, checkpoint votes, what they make final, certificates
 *   consensus_changes.c     certificates, changes of the validator set
 *   consensus_seed.c        the seeds of epochs
 *   consensus_record.c      what of the votes has to survive a restart
 *   consensus_sync.c        asking peers for what is missing, and answering them
 *   consensus_validators.c  known nodes, the registry at the head, the sets at the blocks of the tree
 *
 * A node is known by its place, a number in this process. While this node acts alone and no peer is there,
 * the tree does not exist, and a step costs what making a block costs.
 */
#ifndef KATENA_CONSENSUS_INTERNAL_H
#define KATENA_CONSENSUS_INTERNAL_H

#include "chain/bytemap.h"
#include "consensus/consensus.h"
#include "consensus/finality.h"
#include "consensus/fork_choice.h"
#include "consensus/membership.h"
#include "factory/factory.h"
#include "pending/pending.h"
#include "validator/registry.h"
#include "validator/validator.h"

#define NODES_MAX 1024 /* known in the life of this process */
#define NO_NODE UINT32_MAX
#define SETS_MAX 65536               /* of validators, in the tree */
#define BODIES_BYTES_MAX (64u << 20) /* of blocks that are not on the current chain */
#define REJECTED_MAX 64              /* invalid blocks that are remembered */
#define PROPOSALS_MAX 16             /* of a producer that are compared for contradictions */
#define ATTESTATION_ROUNDS 16        /* an attestation counts that long */
#define ROUNDS_AHEAD 256             /* votes of rounds further ahead of our clock are dropped */
#define SKEW_US 10000000  /* rounds are begun with those of others whose clocks are so much ahead */
#define ROUNDS_RESERVED 8 /* in which a node that crashed and starts again does not attest */
#define ROUNDS_KEPT 64    /* votes without a quorum are kept that long */
#define VOTES_MAX 4096
#define HELD_MAX 1024                /* rejections that wait for a block */
#define FORWARD_BYTES_MAX (8u << 20) /* of transactions handed over in one step */
#define SEND_BLOCKS_MAX 64           /* in answer to one question */
#define SEND_BYTES_MAX (4u << 20)
#define FUTURE_US 10000000 /* a block from further ahead is not looked at */
#define BATCH_US 5000      /* a block waits that long at most for the one before to be safe */
#define SILENT_US 32000000 /* a producer that let its turn pass is passed over that long */
#define HAVE_BLOCKS 4      /* whoever is not concerned hears of so many together that they are durable here */
#define READY_BLOCKS 16    /* who is further behind makes no blocks */
#define RECENT_US 2000000  /* a head that young means that its producer is at work */
#define ASK_US 1500000     /* a peer that was asked has that long to answer */
#define ASK_LATER_US 50000 /* an announced block has that long to come by itself */
#define LOST_US 200000     /* but for so long after its maker went down it is asked for at once */
#define MISSING_US 3000000 /* a body that was asked for has that long to come */
#define UNAVAILABLE_US 5000000 /* a branch whose bodies nobody sends is left alone that long */
#define RETRY_US 1000000       /* after a failure of the disk */

/* ---- the validators at a block ---- */

struct member {
    uint32_t place;
    enum registry_phase phase;
    char name[REGISTRY_NAME_MAX];
};

struct member_set {
    struct membership acting;
    size_t count;
    struct member members[];
};

/* ---- who is known ---- */

struct node {
    uint8_t key[TX_KEY_SIZE];
    bool up;
    bool equivocated;
    /* The newest block that it said to have, and how far its chain is ours. */
    uint64_t have_height, common_height;
    uint8_t have[HASH_SIZE];
    bool have_known;
    uint64_t told_height; /* of the newest block that it was told this node has */
    int64_t unknown_since_us;
    int64_t silent_until_us; /* it did not produce when it was its turn */
    /* A question under way. */
    int64_t asked_until_us;
    int64_t avoid_until_us;         /* it could not answer */
    int64_t lacks_until_us;         /* it had not the bodies that were asked for */
    uint8_t newest[HASH_SIZE];      /* of the blocks that it sent */
    bool progress;                  /* it sent one since it was asked */
    uint64_t status_round;          /* in which it was told that this node is behind */
    struct vote attestation;        /* the newest; kind 0: none */
    struct buf proof;               /* that it contradicted itself, as an encoded message */
    struct block_header *proposals; /* a ring of the newest */
    uint32_t proposal_next, proposal_count;
};

/* ---- what is on its way to the disk ---- */

struct flight {
    struct state_snapshot *snapshot;
    struct state_view *view;
    struct validator *validator;
    struct factory_batch batch; /* of an own block; of a received one only the block */
    struct consensus_persist persist;
    struct buf record;
    uint32_t from; /* who sent the block; NO_NODE: it is our own */
};

struct body {
    struct block *block;
    uint32_t from;
};

/* ---- answers that wait ---- */

struct waiting {
    void *token;
    uint8_t tx_id[TX_ID_SIZE];
    uint64_t height, rv;
};

/* A second submission of the same transaction. */
struct alias {
    void *token;
    uint8_t tx_id[TX_ID_SIZE];
};

/* A transaction that came to this node and was for the producer, who was another one. */
#define PASSED_MAX MESSAGE_HASHES_MAX
struct passed {
    uint32_t origin;
    uint8_t tx_id[TX_ID_SIZE];
};

/* A rejection whose block is not here yet. */
struct held {
    uint8_t tx_id[TX_ID_SIZE];
    int code;
    char *text;
    uint64_t height;
    uint8_t hash[HASH_SIZE];
};

struct consensus {
    struct consensus_settings settings;
    struct validator_chain chain;
    const struct state_store_ops *ops;
    const struct consensus_chain_ops *chain_ops;
    void *store;
    uint8_t secret_key[64];
    int64_t now_us; /* of the step at hand */

    /* The head and what is derived from it. */
    struct block_header genesis, head;
    struct lthash state_hash;
    struct rbac_policy *policy;
    struct registry_validator *registry;
    size_t registry_count;
    struct registry_seed seed;
    bool has_seed; /* as an object */
    uint32_t head_set;
    bool alone; /* this node is the whole set */

    struct node *nodes;
    uint32_t node_count, self, peers_up;
    struct member_set **sets;
    uint32_t set_count;

    /* The tree; NULL while the head is final and nobody asked. */
    struct fork_choice *tree;
    struct finality *finality;
    uint64_t final_height;
    uint8_t final_hash[HASH_SIZE];
    bool head_stale; /* the choice may have changed */
    bool settle_due; /* votes wait for blocks */
    bool advancing;  /* towards a block that is chosen already */
    bool switching;
    uint8_t target[HASH_SIZE]; /* of the switch */
    uint8_t avoided[HASH_SIZE];
    int64_t avoided_until_us;
    uint8_t missing[HASH_SIZE]; /* a body that was asked for */
    int64_t missing_since_us;
    int64_t lost_us; /* when who makes blocks went down last; 0: never */
    int64_t retry_us;
    struct body *bodies;
    size_t body_count, body_cap, body_bytes;
    struct bytemap bodies_by_hash;
    uint8_t rejected[REJECTED_MAX][HASH_SIZE];
    uint32_t rejected_next;

    /* Producing. */
    struct pending *pending;
    uint32_t order[REGISTRY_MAX]; /* places of nodes, of order_slot */
    uint32_t order_count;
    uint64_t order_slot;
    bool order_valid;
    uint32_t producer; /* to whom transactions go */
    bool forward_due;
    struct passed passed[PASSED_MAX]; /* a ring: the newest transactions that were passed on */
    size_t passed_count, passed_next;
    uint64_t made_slot;
    uint32_t made_number;
    uint64_t granted_slot, taken_slot, yielded_slot;
    int64_t take_until_us;
    uint32_t yielded_to, handover_to;
    uint64_t handover_slot; /* to be told to handover_to after the block in flight */
    bool handover_known;    /* of taken_slot */
    uint64_t handover_height;
    uint8_t handover[HASH_SIZE];

    /* Voting. */
    struct voter voter;
    bool may_vote; /* the justified checkpoint is one that others know */
    bool record_due, record_in_flight_votes;
    bool record_last; /* the last flight was a record */
    uint64_t round;   /* the latest that was begun; others may have begun it first */
    uint64_t seen_round, middle_round;
    /* Up to which round this node may attest, as far as a crash is concerned: what was said in these before
     * is not said again. The record in flight reserves more. */
    uint64_t attest_from, attest_until, record_reserves;
    bool attest_due;
    int64_t round_began_us;
    struct vote *votes; /* for checkpoints, that may still matter */
    size_t vote_count, vote_cap;
    struct buf certificate; /* that certified_hash is final */
    uint8_t certified[HASH_SIZE];
    uint64_t certified_height;
    int64_t certified_time_us;
    uint64_t change_slot; /* in which a transaction was made of it, and which */
    uint8_t change_tx[TX_ID_SIZE];
    bool was_registered; /* this node, at some head */
    bool liar_due;       /* somebody contradicted himself and is a validator still */
    uint64_t liar_sent_rv;

    /* The next epoch's seed. */
    int64_t used_us; /* time of the newest block that somebody needed */
    struct consensus_evaluate evaluate;
    uint64_t evaluating; /* the epoch; 0: none */

    struct flight *flight;   /* being persisted */
    struct flight *finished; /* freed at the next step */

    struct waiting *waiting;
    size_t waiting_count, waiting_cap;
    struct alias *aliases;
    size_t alias_count, alias_cap;
    struct held *held;
    size_t held_count;

    /* The update of this step. */
    struct consensus_update *out;
    struct consensus_answer *answers;
    size_t answer_count, answer_cap;
    struct consensus_send *sends;
    size_t send_count, send_cap;
    struct consensus_blame *blames;
    size_t blame_count;
    void **garbage; /* freed at the next step */
    size_t garbage_count, garbage_cap;
};

/* ---- consensus_out.c ---- */

void out_begin(struct consensus *c);
void out_free(struct consensus *c);
/* Keeps memory until the next step begins. */
const void *out_keep(struct consensus *c, void *memory);
/* to NO_NODE: to all. Nothing is sent while nobody is connected. */
void out_send(struct consensus *c, uint32_t to, const struct message *message);
void out_send_encoded(struct consensus *c, uint32_t to, const struct buf *message);
void out_blame(struct consensus *c, uint32_t node, bool proof, const char *reason);
void answer_rejected(struct consensus *c, void *token, const uint8_t tx_id[TX_ID_SIZE], int code,
                     const char *message);
/* Answers as included, at once or when the block is safe. */
void answer_included(struct consensus *c, void *token, const uint8_t tx_id[TX_ID_SIZE], uint64_t height,
                     uint64_t rv);
/* The same for what may be in the chain already; false: it is not. */
bool answer_if_in_chain(struct consensus *c, void *token, const uint8_t tx_id[TX_ID_SIZE]);
void answer_alias(struct consensus *c, void *token, const uint8_t tx_id[TX_ID_SIZE]);
/* Answers what has become safe. */
/* Up to where the chain is on the disk of this node and, while another validator is there, of another one. */
uint64_t answers_safe_height(const struct consensus *c);
void answers_release(struct consensus *c);

/* ---- consensus_flight.c ---- */

struct flight *flight_begin(struct consensus *c, int64_t time_us);
void flight_free(struct consensus *c, struct flight *f);
void flight_depart_block(struct consensus *c, struct flight *f);
void flight_depart_rewind(struct consensus *c, uint64_t height);
void flight_depart_record(struct consensus *c);
int flight_persisted(struct consensus *c, struct err *err);
int flight_failed(struct consensus *c, struct err *err);
/* Makes a finished flight of a batch that gave no block. */
void flight_abandon(struct consensus *c, struct flight *f);

/* ---- consensus_chain.c ---- */

void tree_ensure(struct consensus *c);
void tree_drop(struct consensus *c);
/* The root becomes a new head that is final at once. */
void tree_final_at_once(struct consensus *c);
void tree_add_head(struct consensus *c);
/* A block that came from a peer. Takes it. */
void tree_receive(struct consensus *c, struct block *block, uint32_t from);
/* The root moves to what the votes made final. */
void tree_finalized(struct consensus *c);
const struct fork_node *tree_head(const struct consensus *c);
struct block *body_take(struct consensus *c, const uint8_t hash[HASH_SIZE], uint32_t *from);
void body_put(struct consensus *c, struct block *block, uint32_t from);
const struct block *body_find(const struct consensus *c, const uint8_t hash[HASH_SIZE]);
bool block_is_rejected(const struct consensus *c, const uint8_t hash[HASH_SIZE]);
/* The body that was asked for is not waited for any more. */
void missing_forget(struct consensus *c);
/* Whether a block is on the current chain; true of the head. */
bool chain_has(const struct consensus *c, uint64_t height, const uint8_t hash[HASH_SIZE]);
/* Whether a block is known: in the tree or on the chain. */
bool block_is_known(const struct consensus *c, uint64_t height, const uint8_t hash[HASH_SIZE]);
/* Asks for the next block of the best branch, or for a rewind to it, when nothing is on its way. */
int chain_advance(struct consensus *c, struct err *err);
bool chain_is_active(const struct consensus *c); /* there is something that is not final */

/* ---- consensus_produce.c ---- */

int produce(struct consensus *c, struct err *err);
/* When a block may be made; INT64_MAX: not before something happens. */
int64_t produce_at(struct consensus *c);
/* After a block that changes the registry: reads that; the order of the block's slot stays. */
void order_reload(struct consensus *c);
uint32_t producer_of(struct consensus *c, uint64_t slot);
void producer_update(struct consensus *c);
void receive_take(struct consensus *c, uint32_t from, const struct message *message);
void receive_handover(struct consensus *c, uint32_t from, const struct message *message);
void handover_send(struct consensus *c);

/* ---- consensus_forward.c ---- */

int step_submit(struct consensus *c, const struct consensus_event *event);
void forward_pending(struct consensus *c);
/* When this node becomes the producer. */
void passed_recall(struct consensus *c);
void receive_txs(struct consensus *c, uint32_t from, struct message *message);
void receive_again(struct consensus *c, uint32_t from, const struct message *message);
void receive_reject(struct consensus *c, uint32_t from, struct message *message);
void reject_send(struct consensus *c, uint32_t to, const uint8_t tx_id[TX_ID_SIZE], int code,
                 const char *text);
/* Answers all that waits when this node was removed from the validators. */
void pending_refuse(struct consensus *c);
void held_release(struct consensus *c);

/* ---- consensus_votes.c ---- */

uint64_t round_at(const struct consensus *c, int64_t time_us);
/* Rounds that clocks may be apart. */
uint64_t rounds_of_skew(const struct consensus *c);
void votes_act(struct consensus *c);
void votes_recorded(struct consensus *c); /* the record is durable */
void votes_settle(struct consensus *c);   /* blocks were added to the tree */
void votes_forget(struct consensus *c);
/* In a new tree: liars count for nobody, and for finality, where some are reckoned with, for everything. */
void votes_of_liars(struct consensus *c);
void proofs_send(struct consensus *c, uint32_t to);
/* One that this node knew before it started. */
void proof_load(struct consensus *c, const struct message *proof);
void receive_votes(struct consensus *c, uint32_t from, const struct message *message);
void receive_proof(struct consensus *c, uint32_t from, const struct message *message);
void proposal_note(struct consensus *c, const struct block_header *header);
/* All that the other needs to come to the same checkpoints; or only what it may have missed lately. */
void votes_send(struct consensus *c, uint32_t to, bool all);
/* Keeps a vote that is new; one that contradicts another of its voter is a proof. */
bool vote_store(struct consensus *c, const struct vote *vote);
const struct membership *votes_members_at(void *arg, const struct fork_block *block);

/* ---- consensus_changes.c ---- */

/* Whether two checkpoint votes say the same. */
bool vote_same_statement(const struct vote *a, const struct vote *b);
/* A block became final, by votes that are still here. */
void change_finalized(struct consensus *c);
/* A change of the validators waits for a certificate that nobody could make yet; or it has one, and somebody
 * has to put it in. */
bool change_waits(const struct consensus *c);
bool change_is_certified(const struct consensus *c);
/* Puts it into pending, when this node is the producer. */
void change_certify(struct consensus *c);
/* Makes a validator leave that was proved to contradict itself. */
void liar_expel(struct consensus *c);
/* Signs a transaction of this node's own, and lets it wait for a block. Takes it. tx_id may be NULL. */
void own_submit(struct consensus *c, struct tx *tx, uint8_t tx_id[TX_ID_SIZE]);

/* ---- consensus_seed.c ---- */

void seed_ask(struct consensus *c);
void seed_evaluated(struct consensus *c, const uint8_t *proof);

/* ---- consensus_record.c ---- */

void record_encode(struct consensus *c, struct buf *out);
void record_derive(struct consensus *c);
int record_load(struct consensus *c, const void *bytes, size_t len, struct err *err);

/* ---- consensus_sync.c ---- */

void sync_peer_up(struct consensus *c, uint32_t node);
void sync_status(struct consensus *c, uint32_t to);
/* Tells those who wait for it that the head, block, is durable here; sync_have_rest tells the others. */
void sync_have(struct consensus *c, const struct block *block);
void sync_have_rest(struct consensus *c);
void sync_peer_down(struct consensus *c, uint32_t node);
void sync_rewound(struct consensus *c);
void sync_note_have(struct consensus *c, uint32_t node, uint64_t height, const uint8_t hash[HASH_SIZE],
                    bool ask_now);
void sync_ask_chain(struct consensus *c, uint32_t node);
void sync_ask_blocks(struct consensus *c, const struct fork_node *last, uint8_t (*hashes)[HASH_SIZE],
                     size_t count);
void sync_tick(struct consensus *c);
int64_t sync_wake(const struct consensus *c);
bool sync_is_behind(const struct consensus *c, uint64_t blocks);
void sync_head_changed(struct consensus *c);
void receive_end(struct consensus *c, uint32_t from, const struct message *message);
void receive_have(struct consensus *c, uint32_t from, const struct message *message);
void receive_status(struct consensus *c, uint32_t from, const struct message *message);
void receive_lack(struct consensus *c, uint32_t from, const struct message *message);
void answer_chain(struct consensus *c, uint32_t to, const struct message *message);
void answer_blocks(struct consensus *c, uint32_t to, const struct message *message);

/* ---- consensus_validators.c ---- */

/* NO_NODE: unknown, or no room for another. */
uint32_t node_find(const struct consensus *c, const uint8_t key[TX_KEY_SIZE]);
uint32_t node_ensure(struct consensus *c, const uint8_t key[TX_KEY_SIZE]);
/* Reads the registry and the seed at the head. */
void registry_reload(struct consensus *c);
bool block_changes_registry(const struct block *block);
/* The set after a block from the one before it. */
uint32_t set_after(struct consensus *c, uint32_t before, const struct block *block);
uint32_t set_add(struct consensus *c, const struct member *members, size_t count);
/* The one validator of a set; NO_NODE: there are several. */
uint32_t set_sole(const struct consensus *c, uint32_t set);
bool set_has(const struct consensus *c, uint32_t set, uint32_t node);
/* Registered at the head and connected, or this node. */
bool node_is_live(const struct consensus *c, uint32_t node);
/* Live, not far behind, and not silent when it was its turn: it can make blocks. */
bool node_is_ready(const struct consensus *c, uint32_t node);
bool node_is_registered(const struct consensus *c, uint32_t node);

#endif
