/*
 * A node's part in the network: the peer manager joined to the ledger, and the list of who belongs to the
 * cluster, which the chain has.
 *
 * Frames go to the ledger that is attached, or, while this node has no chain, to the client that fetches one
 * (ledger/sync.h). A thread of its own, which sleeps until something changes, tells the peer manager of new
 * addresses, keeps the record on disk current, and notices that this node was removed from the cluster, or
 * that it lacks what only a snapshot can give it.
 */
#ifndef KATENA_NODE_PEERS_H
#define KATENA_NODE_PEERS_H

#include "base/err.h"
#include "ledger/ledger.h"
#include "node/node_record.h"
#include "peer/peer.h"
#include "pki/pki.h"

struct node_peers;

/* Why a node cannot go on as it is. */
enum node_end { NODE_END_REMOVED, NODE_END_NEEDS_SNAPSHOT, NODE_END_ROTATES };

struct node_peers_options {
    const char *data_dir;
    const char *bind_address;
    int port;
    const char *const *advertise; /* HOST:PORT, NULL-terminated */
    const struct pki *pki;
    const uint8_t *secret_key;                   /* of the node: 64 bytes */
    struct node_record *record;                  /* kept current by the thread; has_chain is set */
    void (*ended)(void *arg, enum node_end why); /* on the thread: asks for the node's end */
    void (*changed)(void *arg);                  /* on the thread: other nodes belong to the cluster */
    void *arg;
};

/* Listens and begins to connect to the nodes of the record. Strings and record outlive it. */
int node_peers_start(struct node_peers **out, const struct node_peers_options *options, struct err *err);
void node_peers_stop(struct node_peers *peers); /* takes NULL; the ledger is detached */

struct peers *node_peers_handle(struct node_peers *peers);

/* Fetches a chain into the data directory, which has none, telling of its progress in the log. Ends early
 * with an error on SIGINT and SIGTERM (which are blocked), and when the others do not know this node any
 * more. */
int node_peers_fetch(struct node_peers *peers, struct err *err);

/* Joins the ledger to the network. */
void node_peers_attach(struct node_peers *peers, struct ledger *ledger);
void node_peers_detach(struct node_peers *peers);

/* Waits until this node has what the others have, as far as they can be reached, or gets nothing new for
 * timeout_us, or half a minute is over. Who sees that others are far ahead waits a few seconds more, for what
 * it has may be of no use. ERR_GONE: it was removed. ERR_EXPIRED: nobody has what it lacks any more. */
int node_peers_catch_up(struct node_peers *peers, int64_t timeout_us, struct err *err);

/* Notes, durably, that this node is about to leave and to join again with another key: by this token, at any
 * other node's API, which is taken to be at the same port as this one's. ERR_CONFLICT: nobody is there who
 * could admit it. */
int node_peers_rotate(struct node_peers *peers, const struct join_token *token, int api_port,
                      struct err *err);

#define NODE_REMOVED_TEXT "this node was removed from the cluster"

/* What to do about it, with the directory's name. */
int node_removed_err(struct err *err, const char *data_dir);

#endif
