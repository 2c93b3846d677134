/*
 * Routes to the pods of other nodes: one per node, its part of the cluster network by way of its InternalIP.
 * That takes no tunnel and no daemon, and asks that nodes share a network (their addresses are neighbours). A
 * node that runs on this host, too, needs none: its bridge is here.
 *
 * A watch of Nodes says what is wanted; an own thread brings the kernel to it over netlink. Routes are known
 * as ours by their protocol number and metric, so those of others, and of another node on this host, stay
 * alone.
 */
#ifndef KATENA_PROXY_ROUTES_H
#define KATENA_PROXY_ROUTES_H

#include "base/err.h"
#include "client/client.h"

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

#define ROUTES_PROTOCOL 0x6b /* of the kernel's rtm_protocol: no registered one */

/* A destination network by way of a gateway; host byte order. */
struct route {
    uint32_t network;
    int bits;
    uint32_t gateway;
};

struct routes;

struct routes_options {
    struct client *client; /* borrowed; outlives the routes */
    const char *node_name;
    const char *cluster_cidr; /* no route leads out of it, whatever a Node says */
    uint32_t metric;          /* differs between the nodes of a host */
};

/* Needs CAP_NET_ADMIN. */
int routes_start(struct routes **out, const struct routes_options *options, struct err *err);

/* Ends the watch and the thread; the routes stay, so that a restart interrupts no connection. */
void routes_stop(struct routes *routes);

/* Removes the routes with this metric. */
int routes_cleanup(uint32_t metric, struct err *err);

/* The edge to the kernel (routes_netlink.c). set replaces what is there; list gives an array to free. */
int routes_netlink_set(const struct route *route, uint32_t metric, struct err *err);
int routes_netlink_remove(const struct route *route, uint32_t metric, struct err *err);
int routes_netlink_list(uint32_t metric, struct route **out, size_t *count, struct err *err);

#endif
