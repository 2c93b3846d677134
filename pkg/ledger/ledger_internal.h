/*
 * What the files of the ledger share.
 *
 *   ledger.c          opening, closing, small things
 *   ledger_core.c     who has the core, the queue of events, timers
 *   ledger_submit.c   submissions and those who wait for them
 *   ledger_peers.c    peers and their messages
 *   ledger_write.c    what the core asks to persist, and who is told of it
 *   ledger_status.c   how far transactions and the chain are
 *   ledger_members.c  validators: who is there, whose work is whose
 *   ledger_registry.c the validators' objects
 *   ledger_history.c  watch history
 *   ledger_behind.c   whether this node can still come up with others
 *   sync_*.c          snapshots for and from other nodes
 */
#ifndef KATENA_LEDGER_INTERNAL_H
#define KATENA_LEDGER_INTERNAL_H

#include "blockstore/blockstore.h"
#include "chain/bytemap.h"
#include "consensus/consensus.h"
#include "ledger/fold.h"
#include "ledger/known_batches.h"
#include "ledger/ledger.h"
#include "ledger/node_key.h"
#include "ledger/tx_memory.h"
#include "ledger/vdf_worker.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

enum work_type { WORK_SUBMIT, WORK_PEER_UP, WORK_PEER_DOWN, WORK_MESSAGE, WORK_EVALUATED, WORK_CALL };

/* Something for whoever has the core. A submission lives until it is answered. */
struct work {
    enum work_type type;
    struct work *next; /* in the queue */
    struct tx *tx;
    ledger_done_fn done; /* NULL: it was answered, but the core has it still */
    void *arg;
    bool replay;                /* takes the place of another transaction */
    struct work *older, *newer; /* submissions that are not answered */
    uint8_t peer[TX_KEY_SIZE];
    struct message *message;
    size_t bytes; /* of the message */
    uint8_t *proof;
    void (*call)(struct ledger *ledger, void *arg);
};

struct subscriber {
    ledger_block_fn fn;
    void *arg;
    struct subscriber *next;
};

struct event_subscriber {
    ledger_event_fn fn;
    void *arg;
    struct event_subscriber *next;
};

/* An answer that waits until subscribers know of what it speaks of. */
struct held_answer {
    struct work *submission;
    struct ledger_result result;
    char *message;
    struct held_answer *next;
};

/* From the first block that is abandoned until subscribers are told. */
struct hold {
    struct fold *fold;           /* NULL: nothing is held */
    int64_t begun_us, latest_us; /* monotonic; told by the latter in any case */
    bool switched;               /* the new branch is whole */
    int64_t answers_us;          /* when answers go out, told or not */
    bool answers_go;
    /* The orphans of this switch, of which those that come back clean are waited for. */
    uint8_t (*orphans)[TX_ID_SIZE];
    bool *settled;
    size_t orphan_count, unsettled;
    struct bytemap orphan_map; /* id -> place */
    struct held_answer *first, **last;
};

struct final_waiter {
    uint8_t id[TX_ID_SIZE];
    int64_t deadline_us; /* monotonic */
    ledger_final_fn fn;
    void *arg;
    struct final_waiter *next;
};

struct member {
    uint8_t key[TX_KEY_SIZE];
};

/* resourceVersions of blocks that were abandoned lately. */
#define ABANDONED_MAX 64
struct abandoned {
    uint64_t after, until;
};

struct sync_server;

struct ledger {
    struct blockstore *store;
    uint8_t chain_id[TX_ID_SIZE];
    uint8_t secret_key[NODE_KEY_SIZE];
    struct tx_memory *memory;
    struct known_batches *known_batches;
    atomic_bool has_peers;
    struct sync_server *sync_server;
    struct vdf_worker *vdf;

    /* Guards what follows; held for moments only, never during a step or a callback. */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct work *first, **last;
    size_t queued_bytes;
    bool busy;    /* some thread has the core */
    bool handing; /* the ledger's thread is to take it over in the middle of a round; busy stays set */
    bool stopping;
    struct rbac_policy *policy; /* of the head; a reference */
    struct ledger_state state;  /* as of the last round, without hashes */
    struct block_header head;
    int64_t deadline_us;     /* monotonic: when the ledger's thread has something to do; INT64_MAX: never */
    int64_t asleep_until_us; /* INT64_MIN: it is awake */
    struct abandoned abandoned[ABANDONED_MAX]; /* ring */
    size_t abandoned_count;                    /* ever */

    /* Belongs to the thread that set busy. */
    struct consensus *core;
    int64_t core_wake_us; /* wall clock */
    bool hands_over;      /* whoever has the core does not write what messages go with */
    bool has_handed;
    struct consensus_update handed; /* its messages are sent, the rest is to be done */
    struct work *unanswered;        /* the newest */
    struct hold hold;
    uint64_t told_rv;          /* of the head that subscribers know */
    uint64_t finalized_height; /* that the store knows */
    bool members_changed, orphans_new;
    int64_t lacked_us; /* monotonic: since when peers lack what follows on lacked_height; 0: they do not */
    uint64_t lacked_height;
    uint64_t shared_height; /* up to where, above what is final, their chains are the same; 0: not known */
    uint64_t orphan_newest; /* number */

    _Atomic uint64_t branch;
    _Atomic uint64_t final_height;
    _Atomic bool needs_snapshot;
    _Atomic bool switching;  /* between a rewind and the last block of the new branch */
    pthread_cond_t switched; /* with lock: it is over */

    pthread_rwlock_t ops_lock; /* held for reading while peers are called */
    const struct ledger_peer_ops *ops;
    struct ledger_peer_ops ops_copy;

    pthread_rwlock_t subscribers_lock;
    struct subscriber *subscribers;
    struct event_subscriber *event_subscribers;

    pthread_mutex_t finals_lock;
    struct final_waiter *finals;
    _Atomic size_t final_count;
    _Atomic int64_t final_deadline_us; /* the earliest; may be earlier than that */

    pthread_rwlock_t members_lock;
    struct member *members; /* live ones, this node included */
    _Atomic size_t member_count;

    pthread_t thread;
    bool thread_started;
};

/* ledger_core.c */
int ledger_core_start(struct ledger *ledger, struct err *err);
void ledger_core_stop(struct ledger *ledger);
/* The ledger's thread looks at its deadlines again. */
void ledger_nudge(struct ledger *ledger);
/* Leaves work to who has the core, or to the ledger's thread. */
void ledger_enqueue(struct ledger *ledger, struct work *work);
/* Does a round with the work on this thread when the core is free, or leaves it to who has it. */
void ledger_give(struct ledger *ledger, struct work *work);

/* ledger_submit.c. Runs call with the core, on this thread or another one, and waits for it. Not from a
 * callback. */
void ledger_call(struct ledger *ledger, void (*call)(struct ledger *ledger, void *arg), void *arg);

/* chain_ops.c */
const struct consensus_chain_ops *ledger_chain_ops(void);
int ledger_place_of_tx(void *store, const uint8_t id[TX_ID_SIZE], uint64_t *height, uint32_t *index,
                       struct err *err);

/* ledger_write.c; the caller has the core. */
bool ledger_write(struct ledger *ledger, const struct consensus_persist *persist);
void ledger_write_init(struct ledger *ledger);
/* Whether the store still has to be told that blocks are final. */
void ledger_write_final(struct ledger *ledger, uint64_t final_height);
/* Tells subscribers of a switch when it is time; always: even if it is not. Returns when to ask again. */
int64_t ledger_hold_check(struct ledger *ledger, int64_t now_us, bool always);
void ledger_answer(struct ledger *ledger, const struct consensus_answer *answer);
/* The answer of what will not be included by this process. */
void ledger_answer_stopping(struct ledger *ledger, struct work *submission);
/* On a chain that no other node goes on from nothing is ever answered: what waits is, now, and what comes is
 * refused. */
void ledger_answer_outdated(struct ledger *ledger);
void ledger_refuse_outdated(struct work *submission);
void ledger_orphan_settled(struct ledger *ledger, const uint8_t id[TX_ID_SIZE]);
void ledger_emit(struct ledger *ledger, enum ledger_event event);

/* ledger_status.c */
/* Calls those who wait for blocks that are final, and those whose time is over. */
void ledger_finals_check(struct ledger *ledger, int64_t now_us);
/* A transaction was rejected. */
void ledger_finals_reject(struct ledger *ledger, const uint8_t id[TX_ID_SIZE], int code, const char *message);
void ledger_finals_end(struct ledger *ledger);

/* ledger_history.c */
void ledger_note_abandoned(struct ledger *ledger, uint64_t after, uint64_t until);

/* ledger_behind.c; the caller has the core. A message that has come. */
void ledger_note_lack(struct ledger *ledger, const struct message *message);
/* When the ledger closes for a snapshot: what is not final becomes orphans, which outlive the store. */
void ledger_leave_behind(struct ledger *ledger);

/* ledger_members.c; the caller has the core. */
void ledger_members_refresh(struct ledger *ledger);

/* sync_server.c */
struct sync_server *sync_server_new(struct ledger *ledger);
void sync_server_free(struct sync_server *server);

#endif
