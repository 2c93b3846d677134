/*
 * Undo records: what takes a store from the state after a block back to the state before it. A node keeps one
 * for each block that is not final yet; with a single validator every block is final at once, and none is
 * kept.
 *
 * A record is a local format, not part of the chain:
 *
 *   head before: u64 height | block hash 32 | u64 head_rv
 *   varint number of claim totals: node NUL | three u64
 *   varint number of changes, the last one first: u8 flags | the object's record | the old object's record
 *
 * where flags say which of the two records are there (1: object is live, 2: old), each with a u32 length, and
 * an object that is not live is given by its key: four strings.
 */
#ifndef KATENA_STATE_UNDO_H
#define KATENA_STATE_UNDO_H

#include "base/buf.h"
#include "state/state.h"

struct state_undo;

/* Appends the undo record of an update, which was made on parent. */
void state_undo_encode(struct buf *out, const struct state_update *update, const struct block_header *parent);

/* Reads a record; hash is the state hash after the block, and the update's is that before it. The bytes are
 * borrowed until state_undo_free. ERR_CORRUPT when they are no undo record. */
int state_undo_decode(struct state_undo **out, const void *bytes, size_t len, const struct lthash *hash,
                      struct err *err);
void state_undo_free(struct state_undo *undo); /* takes NULL */

/* The update that undoes the block: a store applies it like any other. Its changes are what watchers have to
 * be told, but that a change back keeps the resourceVersion that the object had. */
const struct state_update *state_undo_update(const struct state_undo *undo);

#endif
