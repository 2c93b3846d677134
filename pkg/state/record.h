/*
 * The stored form of one live object: everything of struct state_object in one run of bytes, so that a store
 * keeps it as one value and reads it without allocating. The key's strings are in it too.
 *
 *   rv u64 | tx_id 32 | content_hash 32 | entry_hash 32 | encoding u8 | rv_offset u32 | claim 3 x i64 |
 *   key_len u16 | uid_len u16 | node_len u16 | lock_len u16 | terms_len u32 | content_len u32 |
 *   key NUL | uid NUL | node NUL | lock | terms | content
 *
 * Integers are little-endian. It is a local format, not part of the chain.
 */
#ifndef KATENA_STATE_RECORD_H
#define KATENA_STATE_RECORD_H

#include "base/buf.h"
#include "state/state_store.h"

#include <stdbool.h>

/* Appends the record of an object. */
void state_record_encode(struct buf *out, const struct state_object *object);

/* Points *out into bytes, which must outlive it. false when the bytes are no record. */
bool state_record_decode(struct state_object *out, const void *bytes, size_t len);

#endif
