/*
 * Signatures that need no check: of batches that this node has signed, and of those that it has checked.
 * Their transactions come again, in messages and in blocks, and a signature costs six times as much to check
 * as to make.
 *
 * Threads: any.
 */
#ifndef KATENA_LEDGER_KNOWN_BATCHES_H
#define KATENA_LEDGER_KNOWN_BATCHES_H

#include "chain/tx_batch.h"

#include <stdbool.h>

struct known_batches;

/* Memory is taken with the first batch. */
struct known_batches *known_batches_new(void);
void known_batches_free(struct known_batches *known);

/* Remembers a batch whose signature is right; it takes the place of an older one. */
void known_batches_note(struct known_batches *known, const struct tx_batch *batch);

/* Whether it is one of them, bit by bit. */
bool known_batches_has(struct known_batches *known, const struct tx_batch *batch);

#endif
