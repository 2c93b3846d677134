/*
 * The elements of the state hash: one for each live object, over everything of it that later decisions
 * depend on.
 *
 *   entry = BLAKE2b-256("katena entry v1" NUL | rv u64 | tx_id | output as in the transaction's header)
 */
#ifndef KATENA_STATE_ENTRY_H
#define KATENA_STATE_ENTRY_H

#include "state/state_store.h"

/* From an output's encoding, as tx_output_slice gives it. */
void state_entry_hash(uint8_t out[HASH_SIZE], uint64_t rv, const uint8_t tx_id[TX_ID_SIZE],
                      const uint8_t *output, size_t output_len);

/* The same, rebuilt from a stored object and its content: for checking a state against its hash. */
void state_entry_rebuild(uint8_t out[HASH_SIZE], const struct state_object *object);

/* The object that an output of tx makes at rv. Its bytes are the transaction's; entry_hash is left zero. */
void state_object_of_output(struct state_object *out, const struct tx *tx, size_t index, uint64_t rv);

#endif
