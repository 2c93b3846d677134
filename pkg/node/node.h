/*
 * A node: all components joined, in the order of their start and stop. Nothing else knows more than its
 * neighbours.
 *
 *   start: ledger -> PKI -> API server -> (containerd -> kubelet) -> scheduler, controllers, service proxy
 *   stop:  the same backwards; containers, their shims and containerd go on running.
 */
#ifndef KATENA_NODE_NODE_H
#define KATENA_NODE_NODE_H

#include "base/err.h"

#include <stdbool.h>

struct node;

struct node_options {
    const char *data_dir;
    const char *name;                       /* NULL: the host name, in lower case */
    const char *bind_address;               /* "0.0.0.0" */
    const char *advertise_address;          /* NULL: the address of the default route, else 127.0.0.1 */
    int port;                               /* 6443 */
    const char *cluster_cidr;               /* pod addresses: "10.42.0.0/16" */
    const char *service_cidr;               /* "10.43.0.0/16" */
    const char *container_runtime_endpoint; /* NULL: a containerd of our own */
    const char *const *tls_san;             /* further names for the serving certificate, NULL-terminated */
    bool control_plane_only;                /* no kubelet, no service proxy, no root */
};

/* Starts a node and returns when its API answers. */
int node_start(struct node **out, const struct node_options *options, struct err *err);

/* Ends a node; every answered write is on disk. NULL is taken. */
void node_stop(struct node *node);

/* The line that users copy: <data-dir>/kubeconfig. Owned by node. */
const char *node_kubeconfig(const struct node *node);

/* Ends what the containers of a stopped node left on the host: pods, shims, containerd, mounts, network
 * namespaces, the bridge, the service proxy's nftables table. Needs root. */
int node_cleanup(const char *data_dir, struct err *err);

#endif
