/*
 * The service proxy: makes the virtual addresses of Services reach their ready endpoints, from pods and from
 * this host, by rules in the kernel's nftables, and keeps the routes to the pods of other nodes (routes.h).
 * The table has a name of its own for each node of a host: `ip katena-<hash of the data directory>`.
 *
 * Watches of Services and EndpointSlices keep a compact model (model.h); a pure function renders it as one
 * ruleset (ruleset.h), and an own thread applies that in one transaction, a few milliseconds after the
 * change so that a burst becomes one, and only if the text differs from what is in force.
 */
#ifndef KATENA_PROXY_PROXY_H
#define KATENA_PROXY_PROXY_H

#include "base/err.h"
#include "client/client.h"

struct proxy;

struct proxy_options {
    struct client *client; /* borrowed; outlives the proxy */
    const char *node_name;
    const char *data_dir;     /* absolute: names the table */
    const char *pod_cidr;     /* "10.42.0.0/24": of this node; what its pods send out of the cluster is
                                 masqueraded. NULL: nothing is */
    const char *cluster_cidr; /* "10.42.0.0/16": addresses of pods; traffic to services from elsewhere is
                                 masqueraded */
    const char *service_cidr; /* "10.43.0.0/16"; NULL: no rule for addresses that no service has */
};

/* Needs CAP_NET_ADMIN. The rules appear once both watches have delivered what exists. */
int proxy_start(struct proxy **out, const struct proxy_options *options, struct err *err);

/* Ends the watches and the thread; the rules stay, so that a restart of the node interrupts no connection. */
void proxy_stop(struct proxy *proxy);

/* Removes the table and the routes of the node with this data directory; none is no error. */
int proxy_cleanup(const char *data_dir, struct err *err);

/* The name of a node's table, without the family. */
#define PROXY_TABLE_MAX 32
void proxy_table_name(char out[PROXY_TABLE_MAX], const char *data_dir);

#endif
