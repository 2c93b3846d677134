/* The nodes of the cluster, their part in the chain, and how they look from here: for people and metrics. */
#ifndef KATENA_API_NODES_H
#define KATENA_API_NODES_H

#include "api/api_internal.h"

/* {"kind":"NodeStatusList",…,"items":[{"name","key","phase","self","live","producer",…}]}, by name. New. */
json_t *nodes_list(struct api_server *server);

/* {"head","final","pending",…}: how far this node's chain is. New. */
json_t *nodes_status(struct api_server *server);

/* Begins the removal of a node; it acts when it is final. */
int nodes_remove(struct api_server *server, const char *name, struct err *err);

/* Begins a change of this node's key; name has to be this node's. */
int nodes_rotate(struct api_server *server, const char *name, struct err *err);

/* Prometheus text: the chain's and the peers' figures. */
void nodes_metrics(struct api_server *server, struct buf *out);

#endif
