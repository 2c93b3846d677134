/* What a pod takes of a node, and what a node has, as claims of a transaction. Pure. */
#ifndef KATENA_API_POD_CLAIM_H
#define KATENA_API_POD_CLAIM_H

#include "chain/tx.h"

#include <jansson.h>
#include <stdbool.h>

/* The requests of a bound pod that has not ended; false (and an empty claim) otherwise. out->node is
 * borrowed from pod. */
bool pod_claim(const json_t *pod, struct tx_claim *out);

/* status.allocatable of a node; false (and an empty claim) while it is unknown. out->node is borrowed. */
bool node_claim(const json_t *node, struct tx_claim *out);

#endif
