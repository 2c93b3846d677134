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
    bool byzantine;         /* of a new chain: a quorum is more than two thirds (see validator/registry.h) */
    /* TX_ID_SIZE bytes: the chain that data_dir must have; none is made, and another one is ERR_CONFLICT.
     * NULL: whatever is there, or a new one. */
    const uint8_t *chain_id;
};

/* Opens the chain in data_dir, or makes a new one (genesis, node key) when there is none. Recovery from a
 * crash happens here. The genesis may be another node's: then the chain came by ledger/sync.h. */
int ledger_open(struct ledger **out, const struct ledger_options *options, struct err *err);

/* Ends the thread after the work at hand, makes everything durable, frees. */
void ledger_close(struct ledger *ledger);

const uint8_t *ledger_chain_id(const struct ledger *ledger);    /* TX_ID_SIZE bytes */
const uint8_t *ledger_node_public(const struct ledger *ledger); /* TX_KEY_SIZE bytes */

/* Fills chain_id, time, nonce and the node's key, and gives the transaction its id. It is signed when it is
 * submitted, together with what is submitted at the same time (chain/tx_batch.h). */
int ledger_encode(struct ledger *ledger, struct tx *tx, struct err *err);

struct ledger_result {
    int code;            /* 0: included in a durable block; else enum err_code */
    const char *message; /* why it was rejected */
    uint8_t tx_id[TX_ID_SIZE];
    uint64_t height;
    uint64_t rv; /* of the first output; output i has rv + i */
};

typedef void (*ledger_done_fn)(void *arg, const struct ledger_result *result);

/* Hands an encoded transaction over (the ledger frees it). done is called once, on another thread, when the
 * transaction is included and durable, or rejected. What is submitted while a block is being written shares
 * the next block and its one disk write. A code of ERR_UNAVAILABLE: the disk is full or failed, nothing was
 * changed; or the node is stopping, or needs a snapshot (struct ledger_state): then nobody here will know
 * what became of it.
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
 * out, so that whoever is answered can already see the change in a watch. After a chain switch it is called
 * once, with a new ledger_branch, with the difference between what was told before and the state now: height
 * and head_rv are those of the new head. Deletions come first, with the resourceVersion of the head that was
 * told last, then what was added or modified, ascending by resourceVersion: an object that came back has the
 * one that it had. So whoever goes on from an event's resourceVersion misses nothing, or is told that it is
 * of an abandoned branch. fn NULL ends all subscriptions, and returns when no callback is under way. */
typedef void (*ledger_block_fn)(void *arg, uint64_t height, uint64_t head_rv,
                                const struct state_change *changes, size_t count);
void ledger_subscribe(struct ledger *ledger, ledger_block_fn fn, void *arg);

/* Which branch of the chain subscribers stand on: even. It is odd from the moment in which blocks are
 * abandoned until subscribers have been told of the difference. Each switch makes it greater. Any thread. */
uint64_t ledger_branch(const struct ledger *ledger);

/* While blocks are exchanged for others the store shows the state that both branches have in common: waits,
 * for a fifth of a second at most, until that is over. For reads that begin. Any thread; costs nothing
 * otherwise. */
void ledger_await_switch(struct ledger *ledger);

/* What a resourceVersion that somebody names is to this chain. */
enum ledger_position {
    LEDGER_POSITION_KNOWN,     /* one of its positions */
    LEDGER_POSITION_AHEAD,     /* greater than the head's: another node may have it already */
    LEDGER_POSITION_ABANDONED, /* of a branch that was abandoned, or of none */
    LEDGER_POSITION_OLD,       /* older than the retained history: whether it was one cannot be told */
};
enum ledger_position ledger_position(struct ledger *ledger, uint64_t rv);

/* Replays the changes with rv in (since, until] from the chain, on the calling thread. Returns ERR_EXPIRED
 * when since is older than the retained history or no position of this chain's past, or when the chain was
 * switched meanwhile (ledger_branch tells). fn returning false ends the replay. */
typedef bool (*ledger_change_fn)(void *arg, const struct state_change *change);
int ledger_history(struct ledger *ledger, uint64_t since, uint64_t until, ledger_change_fn fn, void *arg,
                   struct err *err);

/* ---- with other nodes ---- */

/* How the consensus manager's messages leave: key NULL is all connected peers. Called by the thread that has
 * the core; must not block, nor call back. */
struct ledger_peer_ops {
    void *arg;
    void (*send)(void *arg, const uint8_t *key, const void *bytes, size_t len);
    void (*flush)(void *arg); /* all is queued that is to be sent before a disk is waited for; may be NULL */
    void (*blame)(void *arg, const uint8_t *key, bool proof, const char *reason);
    /* A frame of PEER_CHANNEL_SYNC to one peer; by any thread. */
    void (*send_sync)(void *arg, const uint8_t *key, const void *bytes, size_t len);
};
void ledger_attach_peers(struct ledger *ledger, const struct ledger_peer_ops *ops); /* NULL: detaches */

/* What the peer manager has to tell. A message is decoded and its signatures are checked on the calling
 * thread, which also steps the core when that is free. */
void ledger_peer_up(struct ledger *ledger, const uint8_t key[TX_KEY_SIZE]);
void ledger_peer_down(struct ledger *ledger, const uint8_t key[TX_KEY_SIZE]);
void ledger_peer_message(struct ledger *ledger, const uint8_t key[TX_KEY_SIZE], const void *bytes,
                         size_t len);

/* A frame of PEER_CHANNEL_SYNC: answers it out of this node's chain (ledger/sync.h). */
void ledger_peer_sync(struct ledger *ledger, const uint8_t key[TX_KEY_SIZE], const void *bytes, size_t len);

enum ledger_level {
    LEDGER_UNKNOWN,      /* never heard of, or pruned */
    LEDGER_ACCEPTED,     /* pending on this node, or orphaned and waiting for its replay */
    LEDGER_INCLUDED,     /* in the current chain */
    LEDGER_IRREVERSIBLE, /* in a finalized block */
    LEDGER_REJECTED,     /* did not hold; reason says why. Remembered for the newest few thousand. */
};

struct ledger_tx_status {
    enum ledger_level level;
    uint64_t height, rv;             /* where it is included */
    uint8_t block[TX_ID_SIZE];       /* the hash of that block */
    uint8_t replayed_by[TX_ID_SIZE]; /* the rebased transaction that took its place; zeros: none */
    char reason[256];
};
void ledger_tx_status(struct ledger *ledger, const uint8_t id[TX_ID_SIZE], struct ledger_tx_status *out);

/* Calls fn once, on some thread: when the transaction is in a finalized block (0), when it was rejected, or
 * at the deadline (ERR_TIMEOUT): it may become final later. */
typedef void (*ledger_final_fn)(void *arg, int code, const char *message);
void ledger_on_final(struct ledger *ledger, const uint8_t id[TX_ID_SIZE], int64_t timeout_us,
                     ledger_final_fn fn, void *arg);

struct ledger_state {
    uint64_t head_height, final_height;
    uint8_t head_hash[TX_ID_SIZE], final_hash[TX_ID_SIZE];
    int64_t head_time_us, final_time_us;
    size_t pending, orphans;
    uint64_t behind; /* height of blocks that this node knows of and lacks; 0: none */
    bool switching;
    bool needs_snapshot; /* what it lacks is pruned everywhere: only a snapshot helps (ledger/sync.h) */
};
void ledger_state(struct ledger *ledger, struct ledger_state *out);

/* The validators as of the current head and how they look from here: at most max, returns how many there are.
 * Copies of the names stand in the caller's array. */
struct ledger_validator {
    char name[254];
    uint8_t key[TX_KEY_SIZE];
    bool self, acting, live, producer, equivocated;
    uint64_t head_height;
};
size_t ledger_validators(struct ledger *ledger, struct ledger_validator *out, size_t max);

/* Whether work under this name (a reconcile key) is this node's: by rendezvous hashing over the live
 * validators, of which this node is always one. Two nodes may both say yes for a moment: the chain orders
 * them. Cheap; any thread. */
bool ledger_owns(struct ledger *ledger, const void *work, size_t len);

/* The validators' objects. Each call waits until its transaction is included, and signs it with this node's
 * key. register: a new validator, which acts as soon as that is final (at once, when this node is the only
 * one); nothing to do when it is there with that key and those addresses, ERR_EXISTS when the name has
 * another key. remove: it leaves as soon as that is final. ensure_registered: what a node does when it
 * starts: the first node registers itself, any node writes down its new addresses. name, key, addresses of v
 * count. */
struct registry_validator;
int ledger_register_validator(struct ledger *ledger, const struct registry_validator *v, struct err *err);
int ledger_remove_validator(struct ledger *ledger, const char *name, struct err *err);
int ledger_ensure_registered(struct ledger *ledger, const struct registry_validator *self, struct err *err);

/* Called, on the thread that has the core, when the set of live validators or of validators has changed, when
 * there are new orphans, when blocks became final, and when this node needs a snapshot: it should only wake
 * somebody. */
enum ledger_event {
    LEDGER_EVENT_MEMBERS,
    LEDGER_EVENT_ORPHANS,
    LEDGER_EVENT_FINAL,
    LEDGER_EVENT_NEEDS_SNAPSHOT
};
typedef void (*ledger_event_fn)(void *arg, enum ledger_event event);
/* fn NULL ends all of them. */
void ledger_subscribe_events(struct ledger *ledger, ledger_event_fn fn, void *arg);

/* Orphans (blockstore.h), one after the other. What takes an orphan's place is submitted like any
 * transaction; ledger_orphan_done when that is included, or when nothing is left to be done. */
int ledger_orphan_next(struct ledger *ledger, uint64_t after, uint64_t *number, struct tx **out,
                       struct err *err);
int ledger_orphan_done(struct ledger *ledger, uint64_t number, struct err *err);

/* The RBAC policy of the current head: a counted reference, released with rbac_policy_release. */
struct rbac_policy *ledger_policy(struct ledger *ledger);

#endif
