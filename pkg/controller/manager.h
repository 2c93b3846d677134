/*
 * The controllers of a node: they watch objects and bring the cluster to what the objects ask for.
 *
 * One watch per kind feeds all controllers; their callbacks turn changes into keys in a work queue that
 * folds equal keys and holds delayed ones; a few threads that all controllers share take keys out and
 * reconcile. Keys, not objects, are kept: a reconciler reads what it needs through the client. Nothing runs
 * while nothing changes: there is no polling, and a timer exists only while something is due.
 *
 * The managers of several nodes divide the keys among themselves (client_owns). Each manager sees all events
 * and keeps what it needs to know of them, and leaves out the work of keys that are another's. When a node
 * comes or goes, everything that exists is looked through once more, for the keys that have become its own.
 *
 * A reconciler writes only when the result differs from what it read. Calls of the client return when the
 * change can be read, so a reconciler always sees its own earlier writes and needs no record of what it
 * expects to appear (docs/controllers.md).
 */
#ifndef KATENA_CONTROLLER_MANAGER_H
#define KATENA_CONTROLLER_MANAGER_H

#include "base/err.h"
#include "client/client.h"

struct manager;

struct manager_options {
    struct client *client; /* borrowed; outlives the manager */
    const char *ca_pem;    /* for the ConfigMap kube-root-ca.crt of each namespace; NULL: none is published */
    const char *node_name; /* this node: alive as long as the process; NULL: none */
    int workers;           /* 0: two */
    int64_t node_grace_us; /* how long another node may be away before it counts as lost; 0: 10 s */
};

/* Starts watches and workers; reconciling begins when every watch has delivered what exists. */
int manager_start(struct manager **out, const struct manager_options *options, struct err *err);

/* Ends the watches and the workers after the work at hand, and frees. */
void manager_stop(struct manager *manager);

/* For tests: waits until nothing is queued for now or being worked on; false after timeout_ms. Delayed keys
 * do not count. */
bool manager_settle(struct manager *manager, int timeout_ms);

#endif
