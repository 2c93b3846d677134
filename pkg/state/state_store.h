/*
 * What the state manager needs of a store: a snapshot to read, and one atomic change per block.
 * blockstore implements it on LMDB; state/state_mem.c in memory, for tests and the simulator.
 *
 * The state is content-agnostic: it keeps an output's content as it stands in the chain, and the position
 * (resourceVersion) beside it.
 */
#ifndef KATENA_STATE_STATE_STORE_H
#define KATENA_STATE_STATE_STORE_H

#include "base/err.h"
#include "chain/hash.h"
#include "chain/key.h"
#include "chain/tx.h"

#include <stdbool.h>
#include <stdint.h>

/* One live object. All pointers belong to the snapshot that it was read from. A store keeps it in the form of
 * state/record.h. */
struct state_object {
    struct resource_key key;
    uint64_t rv; /* position of the newest change: its resourceVersion */
    uint8_t tx_id[TX_ID_SIZE];
    const char *uid;
    enum tx_content encoding;
    const uint8_t *content;
    size_t content_len;
    uint32_t rv_offset;
    const uint8_t *lock;
    size_t lock_len;
    struct tx_claim claim;
    const uint8_t *terms; /* index terms: name NUL value NUL, one after the other; see state_term_next */
    size_t terms_len;
    uint8_t content_hash[HASH_SIZE];
    uint8_t entry_hash[HASH_SIZE]; /* the object's element of the state hash */
};

/* The next index term of an object; *pos starts at 0. false at the end. */
bool state_term_next(const struct state_object *object, size_t *pos, struct tx_index_term *term);

enum state_change_type { STATE_ADDED, STATE_MODIFIED, STATE_DELETED };

/* One change of one object, in chain order. For STATE_DELETED, object is the last content with the rv of
 * the deletion. Valid during the call that delivers it. */
struct state_change {
    enum state_change_type type;
    struct state_object object;
    bool has_old;
    struct state_object old; /* what object replaced */
};

/* A consistent snapshot. Any thread may hold one; it is used by one thread at a time and ended soon. */
struct state_snapshot;

struct state_iter; /* walks live objects in key order */

struct state_store_ops {
    struct state_snapshot *(*snapshot_begin)(void *store);
    void (*snapshot_end)(struct state_snapshot *snapshot);
    uint64_t (*snapshot_rv)(struct state_snapshot *snapshot); /* resourceVersion of the head block */
    /* 0 and *out, or ERR_NOT_FOUND (err is not filled) or another error. */
    int (*get)(struct state_snapshot *snapshot, const struct resource_key *key, struct state_object *out,
               struct err *err);
    /* Objects whose key bytes begin with prefix, from start (key bytes, inclusive; NULL: the first). */
    struct state_iter *(*iter_begin)(struct state_snapshot *snapshot, const void *prefix, size_t prefix_len,
                                     const void *start, size_t start_len);
    /* Objects with an index term, whatever their kind. */
    struct state_iter *(*iter_index)(struct state_snapshot *snapshot, const char *term, const char *value);
    bool (*iter_next)(struct state_iter *iter, struct state_object *out);
    void (*iter_end)(struct state_iter *iter);
    /* The sum of the claims on a node, as the newest state_update with this node said: zeros when there was
     * none. out->node is not set. */
    int (*claimed)(struct state_snapshot *snapshot, const char *node, struct tx_claim *out, struct err *err);
    /* Whether the chain up to here has a transaction or a rebased form of it, as far as the store knows, and
     * the height of the newest block with it. May be NULL in a store of a chain with one validator, which is
     * the only one that could repeat a transaction. */
    bool (*find_tx)(struct state_snapshot *snapshot, const uint8_t tx_id[TX_ID_SIZE], uint64_t *height);
};

#endif
