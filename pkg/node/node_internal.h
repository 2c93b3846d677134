/* What the files of node share. */
#ifndef KATENA_NODE_INTERNAL_H
#define KATENA_NODE_INTERNAL_H

#include "node/node.h"
#include "node/node_peers.h"
#include "node/node_record.h"

#include <net/if.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

#define NODE_NAME_MAX REGISTRY_NAME_MAX
#define NODE_ADDRESS_MAX 64

struct node {
    struct node_options options; /* its strings are the caller's until node_start returns, then not used */
    char *data_dir;
    char *kubeconfig;
    char name[NODE_NAME_MAX];
    char address[NODE_ADDRESS_MAX];
    char cluster_cidr[NODE_CIDR_MAX];
    char service_cidr[NODE_CIDR_MAX];
    char pod_cidr[NODE_ADDRESS_MAX];
    char service_address[NODE_ADDRESS_MAX];
    struct node_record record;
    char peer_addresses[REGISTRY_ADDRESSES_MAX][REGISTRY_ADDRESS_MAX];
    const char *advertise[REGISTRY_ADDRESSES_MAX + 1]; /* points to these */
    struct ledger *ledger;
    struct pki *pki;
    struct node_peers *peers;
    struct api_server *api;
    struct client *kubelet_client, *scheduler_client, *controller_client, *proxy_client;
    struct containerd *containerd;
    struct kubelet *kubelet;
    struct scheduler *scheduler;
    struct manager *manager;
    struct proxy *proxy;
    _Atomic enum node_outcome outcome;
    pthread_mutex_t serving_lock;
    bool serving; /* the API is there */
};

/* From the options to a node that has its chain and is one of its network: joins, opens the PKI and the
 * ledger, fetches what it lacks, connects to the others (node_network.c). */
int node_join_network(struct node *node, struct err *err);
void node_leave_network(struct node *node);
void node_set_serving(struct node *node, bool serving);

/* Begins the change of a running node's key; arg is the node. The node asks for its restart when it is time.
 */
int node_rotate_key(void *arg, struct err *err);

/* The host name in lower case, without what a node name may not hold. */
void node_default_name(char out[NODE_NAME_MAX]);

/* The address that this host would use towards others: of the default route's interface, else of the first
 * interface that is up, else 127.0.0.1. Sends nothing. */
void node_default_address(char out[NODE_ADDRESS_MAX]);

/* The first /24 of a cluster CIDR, this node's pods; false when cidr is no IPv4 network of /24 or wider. */
bool node_pod_cidr(char out[NODE_ADDRESS_MAX], const char *cidr);

/* The first address of a service CIDR, which the kubernetes Service has. */
bool node_first_service_address(char out[NODE_ADDRESS_MAX], const char *cidr);

/* Whether an interface other than own_bridge has an address in the pods' network; says which. */
bool node_network_taken(char interface[IFNAMSIZ], const char *pod_cidr, const char *own_bridge);

/* A name for the bridge that no other node on this host has: at most 15 characters. */
void node_bridge_name(char out[16], const char *data_dir);

/* Imports each archive of <data-dir>/images that changed since it was imported. A broken one is logged and
 * left, so that it keeps no node from starting. */
void node_import_images(const char *endpoint, const char *data_dir);

#endif
