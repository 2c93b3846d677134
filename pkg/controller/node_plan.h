/* What becomes of a node by its conditions, and of pods by a node's taints. Pure. */
#ifndef KATENA_CONTROLLER_NODE_PLAN_H
#define KATENA_CONTROLLER_NODE_PLAN_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* The taints that the node should have: its own, and those that its conditions and spec.unschedulable ask
 * for. A new array. */
json_t *node_taints(const json_t *node, int64_t now_us);

/* The status of a node that was not heard of for too long: what its kubelet reported becomes Unknown. */
json_t *node_lost_status(const json_t *node, int64_t now_us);

/* When a pod must leave a node with these taints; INT64_MAX: never, 0: at once. */
int64_t taint_eviction_us(const json_t *taints, const json_t *pod, int64_t now_us);

#endif
