/*
 * A node: all components joined, in the order of their start and stop. Nothing else knows more than its
 * neighbours.
 *
 *   start: (joining) -> PKI -> ledger -> peers -> API server -> (containerd -> kubelet) -> scheduler,
 *          controllers, service proxy
 *   stop:  the same backwards; containers, their shims and containerd go on running.
 */
#ifndef KATENA_NODE_NODE_H
#define KATENA_NODE_NODE_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct node;

struct node_options {
    const char *data_dir;
    const char *name;                       /* NULL: the host name, in lower case */
    const char *bind_address;               /* "0.0.0.0" */
    const char *advertise_address;          /* NULL: the address of the default route, else 127.0.0.1 */
    int port;                               /* 6443 */
    const char *cluster_cidr;               /* pod addresses; NULL: the cluster's, or "10.42.0.0/16" */
    const char *service_cidr;               /* NULL: the cluster's, or "10.43.0.0/16" */
    const char *container_runtime_endpoint; /* NULL: a containerd of our own */
    const char *const *tls_san;             /* further names for the serving certificate, NULL-terminated */
    bool control_plane_only;                /* no kubelet, no service proxy, no root */
    int64_t node_monitor_grace_us; /* how long a node may be out of reach before it counts as lost; 0: 10 s */
    int peer_port;                 /* 0: 6444 */
    const char *const *peer_addresses; /* HOST or HOST:PORT at which other nodes reach this one,
                                          NULL-terminated; none: the advertised address */
    const char *join;                  /* https://HOST:PORT, several with commas; NULL: do not join */
    const char *token;                 /* for joining */
    int64_t retention_us;              /* of block bodies and history; 0: a day */
    bool byzantine;                    /* a new chain only: finality takes more than two thirds */

    /* The node cannot go on as it is: it is to be stopped, and node_outcome tells what then. On some thread
     * of the node, which must not stop it itself. */
    void (*ended)(void *arg);
    void *arg;
};

enum node_outcome {
    NODE_RUNS,
    NODE_REMOVED, /* from the cluster: the log says so */
    NODE_AGAIN,   /* to be started again: it fetches what it lacks then */
};

/* Starts a node and returns when its API answers. ERR_GONE: it was removed from the cluster. ERR_EXPIRED:
 * what it has is too old to go on with; `ended` was called, and when it is started again it fetches the chain
 * anew. */
int node_start(struct node **out, const struct node_options *options, struct err *err);

/* Ends a node; every answered write is on disk. NULL is taken. */
void node_stop(struct node *node);

/* Why `ended` was called. */
enum node_outcome node_outcome(const struct node *node);

/* The line that users copy: <data-dir>/kubeconfig. Owned by node. */
const char *node_kubeconfig(const struct node *node);

/* Ends what the containers of a stopped node left on the host: pods, shims, containerd, mounts, network
 * namespaces, the bridge, the service proxy's nftables table. Needs root. */
int node_cleanup(const char *data_dir, struct err *err);

#endif
