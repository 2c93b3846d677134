/*
 * The order of transactions within a block: first topological, then canonical by id, so that one set has one
 * order whoever sorts it.
 *
 * A transaction comes after each transaction of the set that one of its inputs names, and after one that
 * puts the parent of an output of its own; one that deletes a parent comes after those with outputs below
 * it. Among the transactions that may come next, the one with the lowest id does. If these rules run in a
 * circle (no honest set has one), the lowest id that is left comes next.
 */
#ifndef KATENA_CHAIN_ORDER_H
#define KATENA_CHAIN_ORDER_H

#include "chain/tx.h"

#include <stdbool.h>

/* Sorts in place. The ids must be distinct. */
void order_txs(struct tx **txs, size_t count);

/* Whether the transactions stand in their order. */
bool order_is_canonical(struct tx *const *txs, size_t count);

#endif
