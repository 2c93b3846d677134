/*
 * What this node remembers of transactions that are not in the chain: those that wait, and why others were
 * rejected. The newest TX_MEMORY_MAX of them; whoever asks later is told that they are unknown. Any thread.
 */
#ifndef KATENA_LEDGER_TX_MEMORY_H
#define KATENA_LEDGER_TX_MEMORY_H

#include "chain/tx.h"

#include <stdbool.h>

#define TX_MEMORY_MAX 4096
#define TX_MEMORY_REASON 256

struct tx_memory;

enum tx_memory_state { TX_MEMORY_NONE, TX_MEMORY_PENDING, TX_MEMORY_ORPHAN, TX_MEMORY_REJECTED };

struct tx_memory *tx_memory_new(void);
void tx_memory_free(struct tx_memory *memory); /* takes NULL */

/* reason is that of a rejection, and may be cut. */
void tx_memory_put(struct tx_memory *memory, const uint8_t id[TX_ID_SIZE], enum tx_memory_state state,
                   const char *reason);
/* It is in the chain now. */
void tx_memory_drop(struct tx_memory *memory, const uint8_t id[TX_ID_SIZE]);
/* It is an orphan no longer; what else is remembered of it stays. */
void tx_memory_drop_orphan(struct tx_memory *memory, const uint8_t id[TX_ID_SIZE]);
enum tx_memory_state tx_memory_get(struct tx_memory *memory, const uint8_t id[TX_ID_SIZE],
                                   char reason[TX_MEMORY_REASON]);

#endif
