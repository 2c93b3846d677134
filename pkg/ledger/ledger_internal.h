/* What the files of the ledger share. */
#ifndef KATENA_LEDGER_INTERNAL_H
#define KATENA_LEDGER_INTERNAL_H

#include "blockstore/blockstore.h"
#include "consensus/consensus.h"
#include "ledger/ledger.h"
#include "ledger/node_key.h"

#include <pthread.h>
#include <stdbool.h>

/* A transaction on its way. */
struct submission {
    struct tx *tx;
    ledger_done_fn done;
    void *arg;
    struct submission *next;
};

struct subscriber {
    ledger_block_fn fn;
    void *arg;
    struct subscriber *next;
};

struct ledger {
    struct blockstore *store;
    uint8_t chain_id[TX_ID_SIZE];
    uint8_t secret_key[NODE_KEY_SIZE];

    /* Guards what follows; held for moments only, never during a step or a callback. */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct submission *first, **last;
    bool busy; /* some thread has the core */
    bool stopping;
    struct rbac_policy *policy; /* of the head; a reference */

    /* Belongs to the thread that set busy. */
    struct consensus *core;

    pthread_rwlock_t subscribers_lock;
    struct subscriber *subscribers;

    pthread_t thread;
    bool thread_started;
};

#endif
