/* What the files of node share. */
#ifndef KATENA_NODE_INTERNAL_H
#define KATENA_NODE_INTERNAL_H

#include "node/node.h"

#include <net/if.h>
#include <stddef.h>

#define NODE_NAME_MAX 254
#define NODE_ADDRESS_MAX 64

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
