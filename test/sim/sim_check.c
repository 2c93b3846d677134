/* The invariants of a simulated chain. */
#include "sim.h"

#include "state/entry.h"
#include "state/undo.h"

/* The state hash from nothing but the objects, and the claims of each node from nothing but the pods. */
static void check_state_from_scratch(struct sim_world *w, const struct block_header *header)
{
    const struct state_store_ops *ops = state_mem_ops();
    struct state_snapshot *snapshot = ops->snapshot_begin(w->node.store);
    struct state_iter *iter = ops->iter_begin(snapshot, "", 0, NULL, 0);
    struct lthash hash;
    lthash_init(&hash);
    struct tx_claim sums[3] = {{0}};
    struct state_object object;
    while (ops->iter_next(iter, &object)) {
        uint8_t entry[HASH_SIZE];
        state_entry_rebuild(entry, &object);
        if (memcmp(entry, object.entry_hash, HASH_SIZE) != 0)
            sim_fail(w, "the entry of %s/%s is not that of its content", object.key.resource,
                     object.key.name);
        lthash_add(&hash, entry);
        if (strcmp(object.key.resource, "pods") == 0 && object.claim.node) {
            struct tx_claim *sum = &sums[object.claim.node[1] - '0'];
            sum->cpu_milli += object.claim.cpu_milli;
            sum->memory_bytes += object.claim.memory_bytes;
            sum->pods += object.claim.pods;
        }
    }
    ops->iter_end(iter);
    uint8_t digest[HASH_SIZE];
    lthash_digest(digest, &hash);
    if (memcmp(digest, header->state_digest, HASH_SIZE) != 0)
        sim_fail(w, "block %ju: the state is not what its header says", (uintmax_t)header->height);
    for (int i = 0; i < 3; i++) {
        char node[16];
        snprintf(node, sizeof(node), "n%d", i);
        struct tx_claim kept;
        ops->claimed(snapshot, node, &kept, NULL);
        if (kept.cpu_milli != sums[i].cpu_milli || kept.memory_bytes != sums[i].memory_bytes ||
            kept.pods != sums[i].pods)
            sim_fail(w, "block %ju: the claims on %s do not add up", (uintmax_t)header->height, node);
        if (kept.cpu_milli > 2000 || kept.memory_bytes > 4096 || kept.pods > 6)
            sim_fail(w, "block %ju: %s holds more than it has", (uintmax_t)header->height, node);
    }
    ops->snapshot_end(snapshot);
}

/* Applied and taken back, a block leaves the state as it was. */
void sim_check_undo(struct sim_world *w, const struct consensus_persist *persist)
{
    const struct block_header *parent = &w->log[w->log_count - 1]->header;
    struct lthash before = *state_mem_hash(w->node.store);
    size_t count = state_mem_count(w->node.store);
    state_mem_apply(w->node.store, &persist->state);
    buf_auto struct buf record = BUF_INIT;
    state_undo_encode(&record, &persist->state, parent);
    struct state_undo *undo;
    struct err err;
    if (state_undo_decode(&undo, record.data, record.len, state_mem_hash(w->node.store), &err))
        sim_fail(w, "%s", err.message);
    state_mem_apply(w->node.store, state_undo_update(undo));
    state_undo_free(undo);
    if (!lthash_equal(&before, state_mem_hash(w->node.store)) || count != state_mem_count(w->node.store))
        sim_fail(w, "block %ju cannot be taken back", (uintmax_t)persist->state.height);
    check_state_from_scratch(w, parent);
}

void sim_check_block(struct sim_world *w, const struct consensus_persist *persist)
{
    const struct state_update *state = &persist->state;
    for (size_t i = 0; i < state->change_count; i++) {
        uint64_t rv = state->changes[i].object.rv;
        if (rv <= w->last_rv)
            sim_fail(w, "resourceVersion %ju does not increase", (uintmax_t)rv);
        w->last_rv = rv;
    }
    if (state->head_rv != w->last_rv || state->change_count != persist->block->header.output_count)
        sim_fail(w, "block %ju: head and changes differ", (uintmax_t)state->height);
    check_state_from_scratch(w, &persist->block->header);
}

/* A second node gets the blocks one by one, over the wire, and has to come to the same state. */
void sim_check_chain(struct sim_world *w)
{
    struct chain_fixture other = {.tx = w->node.tx};
    chain_fixture_start(&other);
    for (size_t i = 1; i < w->log_count; i++) {
        struct consensus_update update;
        struct err err;
        if (chain_fixture_receive(&other, w->log[i], &update, &err))
            sim_fail(w, "a block could not be checked: %s", err.message);
        if (update.blame_count)
            sim_fail(w, "the chain does not hold: %s", update.blames[0].reason);
        chain_fixture_persist(&other, update.persist, &update);
    }
    if (!lthash_equal(state_mem_hash(other.store), state_mem_hash(w->node.store)) ||
        state_mem_count(other.store) != state_mem_count(w->node.store))
        sim_fail(w, "the chain of %zu blocks leads to another state", w->log_count);
    chain_fixture_stop(&other);
}

static bool in_chain(const struct sim_world *w, const uint8_t tx_id[TX_ID_SIZE])
{
    for (size_t i = 1; i < w->log_count; i++)
        for (uint32_t k = 0; k < w->log[i]->header.tx_count; k++)
            if (memcmp(w->log[i]->txs[k]->id, tx_id, TX_ID_SIZE) == 0)
                return true;
    return false;
}

/* Everyone was answered, truthfully, but for those whose node crashed. */
void sim_check_fates(struct sim_world *w)
{
    for (size_t i = 0; i < w->submission_count; i++) {
        const struct sim_submission *s = &w->submissions[i];
        bool durable = in_chain(w, s->tx_id);
        if (s->fate == SIM_WAITING)
            sim_fail(w, "submission %zu was never answered", i);
        if (s->fate == SIM_INCLUDED && !durable)
            sim_fail(w, "submission %zu was answered as included but is not in the chain", i);
        if (s->fate == SIM_REJECTED && durable)
            sim_fail(w, "submission %zu was rejected but is in the chain", i);
        if (s->must_fail && durable)
            sim_fail(w, "submission %zu breaks a rule and is in the chain", i);
        w->stats.durable_unanswered += s->fate == SIM_LOST && durable;
    }
}
