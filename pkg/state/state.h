/*
 * The state manager: turns blocks into changes of a store.
 *
 * A state_view is a snapshot of a store with a block that is being built or checked laid over it. The
 * validator reads through it; an accepted transaction is applied to it; and when the block is whole, the
 * view says what the store has to do, as one struct state_update:
 *
 *     snapshot --> state_view --apply tx--> ... --update--> the store's one atomic write --> next snapshot
 *
 * What a store does with an update, in one atomic step:
 *   - for each change, in order: remove old's index terms and record; unless the change is STATE_DELETED, put
 *     object's record (state/record.h) under its key bytes (chain/key.h), and its index terms (a later change
 *     of the same key has the earlier one's object as its old);
 *   - for each claim total: keep it as the answer of ops->claimed, and drop it when it is zero;
 *   - keep height, block_hash, head_rv and the state hash as the head's.
 * The block itself, its header and its transactions are the store's to keep as well.
 *
 * Pointers in an update go into the view's memory, the snapshot's, and the transactions': all have to stay
 * until the store has written it. One thread at a time.
 */
#ifndef KATENA_STATE_STATE_H
#define KATENA_STATE_STATE_H

#include "chain/block.h"
#include "chain/lthash.h"
#include "state/state_store.h"

struct state_claim_total {
    const char *node;
    struct tx_claim sum;
    struct tx_claim before; /* the sum at the parent block */
};

struct state_update {
    uint64_t height;
    uint8_t block_hash[HASH_SIZE];
    uint64_t head_rv;
    const struct state_change *changes; /* in chain order: change i has the rv block_rv(time_us, i) */
    size_t change_count;
    const struct state_claim_total *totals;
    size_t total_count;
    const struct lthash *hash; /* after the block; kept by the store (lthash_encode) */
};

struct state_view;

/* A view over a snapshot whose state hash is hash (copied). The snapshot stays the caller's, and has to
 * outlive the view. */
struct state_view *state_view_new(const struct state_store_ops *ops, struct state_snapshot *snapshot,
                                  const struct lthash *hash);
void state_view_free(struct state_view *view);

/* Starts the block of that time; the view must be fresh or rolled back. */
void state_view_begin(struct state_view *view, int64_t time_us);

/* The newest version of an object, the block's earlier transactions included. 0 or ERR_NOT_FOUND (err not
 * filled), or another error of the store. */
int state_view_get(struct state_view *view, const struct resource_key *key, struct state_object *out,
                   struct err *err);

/* The sum of the claims on a node at this point of the block. */
int state_view_claimed(struct state_view *view, const char *node, struct tx_claim *out, struct err *err);

/* Whether the store knows a transaction in the chain, and the height of the newest block with it (false when
 * it keeps no index of them). */
bool state_view_find_tx(struct state_view *view, const uint8_t tx_id[TX_ID_SIZE], uint64_t *height);

/* Applies a transaction that the validator has accepted at this point. The transaction must outlive the view.
 */
int state_view_apply(struct state_view *view, const struct tx *tx, struct err *err);

/* How many outputs have been applied since state_view_begin: the index of the next one. */
uint32_t state_view_outputs(const struct state_view *view);

/* The digest of the state hash as it is now. */
void state_view_digest(const struct state_view *view, uint8_t out[HASH_SIZE]);

/* Fills *out with what was applied; header is that of the finished block. */
void state_view_update(struct state_view *view, const struct block_header *header, struct state_update *out);

/* Forgets everything applied since state_view_begin. */
void state_view_rollback(struct state_view *view);

/* For recovery: applies the transactions of a block that was checked before it was stored, and compares the
 * digest. ERR_CORRUPT when the block does not lead to the state that its header names. */
int state_view_apply_block(struct state_view *view, const struct block *block, struct err *err);

#endif
