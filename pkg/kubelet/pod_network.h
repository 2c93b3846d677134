/*
 * Which part of the cluster's pod network is this node's: a /24, the first that no other node has.
 *
 * What a node has taken is a Lease in kube-node-lease named after the network ("pods-10.42.3.0-24"), owned by
 * the Node. Its name makes it the chain's to decide who of two nodes was first: the later create is refused,
 * and takes the next network. The Node says it in spec.podCIDR, from which others make their routes.
 *
 * Two parts of a cut cluster can each give the same network away. When they are one again, the Lease has one
 * holder, and the other node has a new network from its next start on which it finds no pods of its own.
 * Until then its routes tell of the trouble (proxy/routes.h).
 */
#ifndef KATENA_KUBELET_POD_NETWORK_H
#define KATENA_KUBELET_POD_NETWORK_H

#include "base/err.h"
#include "client/client.h"

#define POD_NETWORK_MAX 24 /* "255.255.255.0/24" and a NUL */

/* Finds the node's network or takes one, and registers the Node with it. client may write Leases, and delete
 * and create Nodes. */
int pod_network_claim(char out[POD_NETWORK_MAX], struct client *client, const char *node_name,
                      const char *cluster_cidr, struct err *err);

#endif
