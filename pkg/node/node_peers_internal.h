/*
 * Inside node_peers: node_peers.c joins peers and ledger and keeps the list of members, node_catch_up.c waits
 * for what other nodes have.
 *
 * Locks: target_lock is held while a callback of the peer manager hands something on, and taken for writing
 * by attach and detach; members_lock guards the list of validators. A block callback, which may run under
 * target_lock, takes wake_lock alone.
 */
#ifndef KATENA_NODE_PEERS_INTERNAL_H
#define KATENA_NODE_PEERS_INTERNAL_H

#include "base/buf.h"
#include "ledger/sync.h"
#include "node/node_peers.h"

#include <pthread.h>

/* A peer that is connected, and, while there is no ledger, where it last said to be. */
struct connected {
    uint8_t key[TX_KEY_SIZE];
    struct buf status, have;
};

struct node_peers {
    struct node_peers_options options;
    struct peers *peers;
    uint8_t own_key[TX_KEY_SIZE];

    pthread_rwlock_t target_lock;
    struct ledger *ledger;
    struct ledger_sync *sync;
    struct connected connected[REGISTRY_MAX]; /* changed by the peer manager's thread only */
    size_t connected_count;

    pthread_mutex_t members_lock;
    struct registry_validator *members; /* as of the chain; before there is one, of the record */
    size_t member_count;
    bool was_member;

    pthread_mutex_t wake_lock;
    pthread_cond_t wake;
    bool changed; /* the chain has other validators' objects: members are out of date */
    bool look;    /* something else to look at */
    bool stopping;
    pthread_t thread;
    bool thread_runs;
    int64_t told_us;
    uint64_t told_height;
};

/* The list of members as the chain has it now. Both locks are held, target_lock for reading at least. */
void node_peers_reload(struct node_peers *p);

/* Who of the members has this key; members_lock is held. NULL: nobody. */
const struct registry_validator *node_peers_find(const struct node_peers *p, const uint8_t *key);

/* Whether this node is alone and has been told for some seconds that it is no member. since_us is the
 * caller's, 0 at first; *known is how many others there are. */
bool node_peers_refused(struct node_peers *p, int64_t *since_us, size_t *known);

/* A frame to a peer, for struct ledger_sync_options. */
void node_peers_send_sync(void *arg, const uint8_t *key, const void *bytes, size_t len);

#endif
