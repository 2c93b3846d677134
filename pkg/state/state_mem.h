/*
 * A store in memory, with real snapshots: for tests and the simulator. One thread.
 */
#ifndef KATENA_STATE_STATE_MEM_H
#define KATENA_STATE_STATE_MEM_H

#include "state/state.h"

struct state_mem;

struct state_mem *state_mem_new(void);
void state_mem_free(struct state_mem *mem); /* all snapshots have ended */

/* The store's reading side; the handle is the struct state_mem. */
const struct state_store_ops *state_mem_ops(void);

/* Applies an update; later snapshots show it, open ones do not. */
void state_mem_apply(struct state_mem *mem, const struct state_update *update);

/* Corrects what ops->find_tx says of an id: after blocks were taken back, and for the originals of rebased
 * transactions. No snapshot is open. */
void state_mem_set_tx(struct state_mem *mem, const uint8_t tx_id[TX_ID_SIZE], bool there);

/* What the newest applied update said; height 0, rv 0 and an empty state hash before the first. */
uint64_t state_mem_height(const struct state_mem *mem);
const struct lthash *state_mem_hash(const struct state_mem *mem);

/* How many objects are live. */
size_t state_mem_count(const struct state_mem *mem);

#endif
