/*
 * A chain's store in memory, for tests and simulators: what blockstore.h is on a disk. It holds the current
 * chain with what undoes each block, the state, blocks of abandoned branches, orphans, and the consensus
 * manager's record; and does what a struct consensus_persist asks, in one step that cannot be torn.
 *
 * A crash of the node that owns it is the end of the struct consensus, not of the store.
 */
#ifndef KATENA_TEST_CHAIN_STORE_H
#define KATENA_TEST_CHAIN_STORE_H

#include "base/mem.h"
#include "chain/bytemap.h"
#include "consensus/consensus.h"
#include "state/state_mem.h"
#include "state/undo.h"

#include <assert.h>
#include <string.h>

struct chain_store_block {
    struct block *block;
    struct buf undo; /* empty: the block was final at once */
};

struct chain_store_orphan {
    uint64_t number;
    struct tx *tx;
};

struct chain_store {
    struct state_mem *state;
    struct chain_store_block *chain; /* by height, the genesis first */
    size_t count, cap;
    struct bytemap txs; /* ids, and originals, of the current chain's transactions, to the block's height */
    struct block **sides;
    size_t side_count;
    struct chain_store_orphan *orphans;
    size_t orphan_count;
    uint64_t orphan_number;
    struct buf record;
    uint64_t final_height;
    uint64_t base; /* bodies below are gone: it began with a snapshot */
    uint64_t rewinds;
};

static inline struct block *chain_store_copy(const struct block *block)
{
    struct block *copy;
    int rc = block_decode(&copy, block->encoded, block->encoded_len, NULL);
    assert(rc == 0);
    (void)rc;
    return copy;
}

static inline const struct block *chain_store_head(const struct chain_store *s)
{
    return s->chain[s->count - 1].block;
}

static inline void chain_store_index(struct chain_store *s, const struct block *block)
{
    static const uint8_t none[TX_ID_SIZE];
    for (uint32_t i = 0; i < block->header.tx_count; i++) {
        const struct tx *tx = block->txs[i];
        bytemap_set(&s->txs, tx->id, TX_ID_SIZE, (uint32_t)block->header.height);
        if (memcmp(tx->original, none, TX_ID_SIZE) != 0)
            bytemap_set(&s->txs, tx->original, TX_ID_SIZE, (uint32_t)block->header.height);
    }
}

static inline void chain_store_unindex(struct chain_store *s, const struct block *block)
{
    for (uint32_t i = 0; i < block->header.tx_count; i++) {
        bytemap_remove(&s->txs, block->txs[i]->id, TX_ID_SIZE);
        bytemap_remove(&s->txs, block->txs[i]->original, TX_ID_SIZE);
    }
}

static inline void chain_store_push(struct chain_store *s, const struct block *block)
{
    if (s->count == s->cap) {
        s->cap = s->cap ? 2 * s->cap : 64;
        s->chain = mem_reallocarray(s->chain, s->cap, sizeof(*s->chain));
    }
    struct chain_store_block *top = &s->chain[s->count++];
    *top = (struct chain_store_block){.block = chain_store_copy(block)};
    chain_store_index(s, top->block);
}

static inline void chain_store_begin(struct chain_store *s, const struct block *genesis)
{
    *s = (struct chain_store){.state = state_mem_new()};
    chain_store_push(s, genesis);
}

static inline void chain_store_end(struct chain_store *s)
{
    bytemap_free(&s->txs);
    for (size_t i = 0; i < s->count; i++) {
        block_free(s->chain[i].block);
        buf_free(&s->chain[i].undo);
    }
    for (size_t i = 0; i < s->side_count; i++)
        block_free(s->sides[i]);
    for (size_t i = 0; i < s->orphan_count; i++)
        tx_free(s->orphans[i].tx);
    free(s->chain);
    free(s->sides);
    free(s->orphans);
    buf_free(&s->record);
    state_mem_free(s->state);
}

/* ---- what an update asks for ---- */

static inline void chain_store_side_take(struct chain_store *s, struct block *block)
{
    s->sides = mem_reallocarray(s->sides, s->side_count + 1, sizeof(struct block *));
    s->sides[s->side_count++] = block;
}

static inline size_t chain_store_side_find(const struct chain_store *s, const uint8_t hash[HASH_SIZE])
{
    size_t i = 0;
    while (i < s->side_count && memcmp(s->sides[i]->header.hash, hash, HASH_SIZE) != 0)
        i++;
    return i;
}

static inline void chain_store_side_drop(struct chain_store *s, size_t i)
{
    block_free(s->sides[i]);
    s->sides[i] = s->sides[--s->side_count];
}

static inline void chain_store_append(struct chain_store *s, const struct consensus_persist *persist)
{
    const struct block *block = persist->block, *head = chain_store_head(s);
    assert(block->header.height == s->count);
    assert(memcmp(block->header.parent, head->header.hash, HASH_SIZE) == 0);
    struct buf undo = BUF_INIT;
    if (!persist->final)
        state_undo_encode(&undo, &persist->state, &head->header);
    state_mem_apply(s->state, &persist->state);
    chain_store_push(s, block);
    s->chain[s->count - 1].undo = undo;
    if (persist->final)
        s->final_height = block->header.height;
    size_t side = chain_store_side_find(s, block->header.hash);
    if (side < s->side_count)
        chain_store_side_drop(s, side);
}

static inline void chain_store_orphan(struct chain_store *s, const struct block *block)
{
    s->orphans =
        mem_reallocarray(s->orphans, s->orphan_count + block->header.tx_count + 1, sizeof(*s->orphans));
    for (uint32_t i = 0; i < block->header.tx_count; i++) {
        struct chain_store_orphan *orphan = &s->orphans[s->orphan_count++];
        orphan->number = ++s->orphan_number;
        int rc = tx_decode(&orphan->tx, block->txs[i]->encoded, block->txs[i]->encoded_len, NULL);
        assert(rc == 0);
        (void)rc;
    }
}

/* Takes the newest block back. */
static inline void chain_store_pop(struct chain_store *s)
{
    struct chain_store_block *top = &s->chain[--s->count];
    struct state_undo *undo;
    int rc = state_undo_decode(&undo, top->undo.data, top->undo.len, state_mem_hash(s->state), NULL);
    assert(rc == 0);
    (void)rc;
    state_mem_apply(s->state, state_undo_update(undo));
    state_undo_free(undo);
    buf_free(&top->undo);
    chain_store_unindex(s, top->block);
    chain_store_side_take(s, top->block);
}

static inline void chain_store_rewind(struct chain_store *s, uint64_t height)
{
    assert(height >= s->final_height && height + 1 < s->count);
    for (size_t i = height + 1; i < s->count; i++)
        chain_store_orphan(s, s->chain[i].block);
    while (s->count > height + 1)
        chain_store_pop(s);
    s->rewinds++;
}

static inline void chain_store_persist(struct chain_store *s, const struct consensus_persist *persist)
{
    switch (persist->type) {
    case CONSENSUS_PERSIST_BLOCK:
        chain_store_append(s, persist);
        break;
    case CONSENSUS_PERSIST_REWIND:
        chain_store_rewind(s, persist->height);
        break;
    case CONSENSUS_PERSIST_RECORD:
        buf_clear(&s->record);
        buf_append(&s->record, persist->record, persist->record_len);
        break;
    }
}

/* Whether a side block still stands on a block that may be the chain's. */
static inline bool chain_store_side_stands(const struct chain_store *s, const struct block *side)
{
    if (side->header.height <= s->final_height)
        return false;
    if (chain_store_side_find(s, side->header.parent) < s->side_count)
        return true;
    uint64_t below = side->header.height - 1;
    return below < s->count &&
           memcmp(s->chain[below].block->header.hash, side->header.parent, HASH_SIZE) == 0;
}

/* Blocks up to that height are never rewound any more; side blocks that do not stand on it go. */
static inline void chain_store_finalize(struct chain_store *s, uint64_t height)
{
    assert(height < s->count);
    if (height <= s->final_height)
        return;
    s->final_height = height;
    for (size_t i = 0; i < s->side_count;) {
        if (chain_store_side_stands(s, s->sides[i])) {
            i++;
        } else {
            chain_store_side_drop(s, i);
            i = 0;
        }
    }
}

static inline void chain_store_orphan_done(struct chain_store *s, uint64_t number)
{
    size_t i = 0;
    while (i < s->orphan_count && s->orphans[i].number != number)
        i++;
    assert(i < s->orphan_count);
    tx_free(s->orphans[i].tx);
    memmove(&s->orphans[i], &s->orphans[i + 1], (s->orphan_count - i - 1) * sizeof(*s->orphans));
    s->orphan_count--;
}

/* ---- consensus_chain_ops ---- */

static inline int chain_store_op_head(void *store, struct block_header *header, struct lthash *hash,
                                      struct err *err)
{
    (void)err;
    struct chain_store *s = store;
    *header = chain_store_head(s)->header;
    *hash = *state_mem_hash(s->state);
    return 0;
}

static inline int chain_store_op_block_at(void *store, uint64_t height, struct block **out, struct err *err)
{
    struct chain_store *s = store;
    if (height >= s->count)
        return err_set(err, ERR_NOT_FOUND, "no block of height %ju", (uintmax_t)height);
    if (height > 0 && height < s->base)
        return err_set(err, ERR_GONE, "the body of block %ju is gone", (uintmax_t)height);
    *out = chain_store_copy(s->chain[height].block);
    return 0;
}

static inline int chain_store_op_header_at(void *store, uint64_t height, struct block_header *out,
                                           struct err *err)
{
    struct chain_store *s = store;
    if (height >= s->count)
        return err_set(err, ERR_NOT_FOUND, "no block of height %ju", (uintmax_t)height);
    *out = s->chain[height].block->header;
    return 0;
}

static inline int chain_store_op_height_of(void *store, const uint8_t hash[HASH_SIZE], uint64_t *height,
                                           struct err *err)
{
    struct chain_store *s = store;
    for (size_t i = s->count; i-- > 0;)
        if (memcmp(s->chain[i].block->header.hash, hash, HASH_SIZE) == 0) {
            *height = i;
            return 0;
        }
    return err_set(err, ERR_NOT_FOUND, "no such block");
}

/* An original's place is that of the transaction that replays it. */
static inline int chain_store_op_place_of_tx(void *store, const uint8_t id[TX_ID_SIZE], uint64_t *height,
                                             uint32_t *index, struct err *err)
{
    struct chain_store *s = store;
    uint32_t at = bytemap_get(&s->txs, id, TX_ID_SIZE);
    if (at == BYTEMAP_NONE)
        return err_set(err, ERR_NOT_FOUND, "no such transaction");
    const struct block *block = s->chain[at].block;
    uint32_t i = 0;
    while (memcmp(block->txs[i]->id, id, TX_ID_SIZE) != 0 &&
           memcmp(block->txs[i]->original, id, TX_ID_SIZE) != 0)
        i++;
    *height = at;
    *index = i;
    return 0;
}

static inline int chain_store_op_side_block(void *store, const uint8_t hash[HASH_SIZE], struct block **out,
                                            struct err *err)
{
    struct chain_store *s = store;
    size_t i = chain_store_side_find(s, hash);
    if (i == s->side_count)
        return err_set(err, ERR_NOT_FOUND, "no such block");
    *out = chain_store_copy(s->sides[i]);
    return 0;
}

static inline const struct consensus_chain_ops *chain_store_chain_ops(void)
{
    static const struct consensus_chain_ops ops = {
        .head = chain_store_op_head,
        .block_at = chain_store_op_block_at,
        .header_at = chain_store_op_header_at,
        .height_of = chain_store_op_height_of,
        .place_of_tx = chain_store_op_place_of_tx,
        .side_block = chain_store_op_side_block,
    };
    return &ops;
}

/* ---- state_store_ops: those of state_mem, with an index of transactions that can go back ---- */

struct state_snapshot {
    struct chain_store *store;
    struct state_snapshot *state;
    uint64_t height;
};

static inline struct state_snapshot *chain_store_snapshot_begin(void *store)
{
    struct chain_store *s = store;
    struct state_snapshot *snapshot = mem_alloc(sizeof(*snapshot));
    *snapshot = (struct state_snapshot){s, state_mem_ops()->snapshot_begin(s->state), (uint64_t)s->count - 1};
    return snapshot;
}

static inline void chain_store_snapshot_end(struct state_snapshot *snapshot)
{
    if (!snapshot)
        return;
    state_mem_ops()->snapshot_end(snapshot->state);
    free(snapshot);
}

static inline uint64_t chain_store_snapshot_rv(struct state_snapshot *snapshot)
{
    return state_mem_ops()->snapshot_rv(snapshot->state);
}

static inline int chain_store_get(struct state_snapshot *snapshot, const struct resource_key *key,
                                  struct state_object *out, struct err *err)
{
    return state_mem_ops()->get(snapshot->state, key, out, err);
}

static inline struct state_iter *chain_store_iter_begin(struct state_snapshot *snapshot, const void *prefix,
                                                        size_t prefix_len, const void *start,
                                                        size_t start_len)
{
    return state_mem_ops()->iter_begin(snapshot->state, prefix, prefix_len, start, start_len);
}

static inline struct state_iter *chain_store_iter_index(struct state_snapshot *snapshot, const char *term,
                                                        const char *value)
{
    return state_mem_ops()->iter_index(snapshot->state, term, value);
}

static inline bool chain_store_iter_next(struct state_iter *iter, struct state_object *out)
{
    return state_mem_ops()->iter_next(iter, out);
}

static inline void chain_store_iter_end(struct state_iter *iter)
{
    state_mem_ops()->iter_end(iter);
}

static inline int chain_store_claimed(struct state_snapshot *snapshot, const char *node, struct tx_claim *out,
                                      struct err *err)
{
    return state_mem_ops()->claimed(snapshot->state, node, out, err);
}

static inline bool chain_store_find_tx(struct state_snapshot *snapshot, const uint8_t tx_id[TX_ID_SIZE],
                                       uint64_t *height)
{
    uint32_t found = bytemap_get(&snapshot->store->txs, tx_id, TX_ID_SIZE);
    *height = found;
    return found != BYTEMAP_NONE && found <= snapshot->height;
}

static inline const struct state_store_ops *chain_store_state_ops(void)
{
    static const struct state_store_ops ops = {
        .snapshot_begin = chain_store_snapshot_begin,
        .snapshot_end = chain_store_snapshot_end,
        .snapshot_rv = chain_store_snapshot_rv,
        .get = chain_store_get,
        .iter_begin = chain_store_iter_begin,
        .iter_index = chain_store_iter_index,
        .iter_next = chain_store_iter_next,
        .iter_end = chain_store_iter_end,
        .claimed = chain_store_claimed,
        .find_tx = chain_store_find_tx,
    };
    return &ops;
}

/* What a node says to consensus_new at its start: the record is what the store has. */
static inline struct consensus_options chain_store_options(struct chain_store *s,
                                                           const uint8_t secret_key[64], int64_t now_us)
{
    struct consensus_options options = {
        .genesis = &s->chain[0].block->header,
        .store_ops = chain_store_state_ops(),
        .chain_ops = chain_store_chain_ops(),
        .store = s,
        .record = s->record.len ? s->record.data : NULL,
        .record_len = s->record.len,
        .settings = CONSENSUS_SETTINGS_DEFAULT,
        .now_us = now_us,
    };
    memcpy(options.secret_key, secret_key, sizeof(options.secret_key));
    return options;
}

#endif
