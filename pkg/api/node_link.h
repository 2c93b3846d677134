/*
 * A TLS connection to the API of another node, for what only that node can do: logs and streams of its pods.
 *
 * The address is in the Node object (katena.io/api-endpoint, else InternalIP and the kubelet's port). The
 * other side must have a certificate of the cluster's CA for the node's name; this side comes as
 * system:node-proxy of system:masters and acts for the user who asks, by impersonation, so that the other
 * node authorizes and records that user.
 *
 * Threads: one at a time. All calls may wait.
 */
#ifndef KATENA_API_NODE_LINK_H
#define KATENA_API_NODE_LINK_H

#include "api/api_internal.h"
#include "base/buf.h"

#define NODE_LINK_ADDRESS_MAX 320

struct node_link;

/* Where the API of a node answers: "HOST:PORT". ERR_NOT_FOUND: no such node; ERR_UNAVAILABLE: it does not
 * say. */
int node_link_address(char out[NODE_LINK_ADDRESS_MAX], struct api_server *server, const char *node,
                      struct err *err);

/* Connects. ERR_TIMEOUT: nobody answers; ERR_UNAVAILABLE: any other reason. Messages are as client-go words
 * them: "dial tcp 10.0.0.2:6443: connect: connection refused". */
int node_link_open(struct node_link **out, struct api_server *server, const char *node, const char *address,
                   struct err *err);
void node_link_free(struct node_link *link); /* NULL is fine */

/* Sends a request without a body and reads the head of the answer. *status is its status. */
int node_link_ask(struct node_link *link, const struct buf *request, int *status, struct err *err);

/* The head of the answer, to its empty line. */
const struct buf *node_link_head(const struct node_link *link);

/* The rest of an answer that is short, such as a Status. */
int node_link_read_body(struct node_link *link, struct buf *out, struct err *err);

/* Carries bytes between the answer and fd until either side ends; fd stays open. */
void node_link_run(struct node_link *link, int fd);

#endif
