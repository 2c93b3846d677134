/* The invariants. Each has been seen to fail: docs/consensus.md names the mutation that breaks it. */
#include "cluster.h"

#include "consensus/message.h"
#include "state/entry.h"

bool cluster_has_tx(const struct cluster_node *node, const uint8_t tx_id[TX_ID_SIZE])
{
    return bytemap_get(&node->store.txs, tx_id, TX_ID_SIZE) != BYTEMAP_NONE;
}

bool cluster_is_final_at(const struct cluster_node *node, const uint8_t tx_id[TX_ID_SIZE])
{
    uint32_t height = bytemap_get(&node->store.txs, tx_id, TX_ID_SIZE);
    return height != BYTEMAP_NONE && height <= consensus_final_height(node->core);
}

/* ---- blocks and states ---- */

static bool is_none(const uint8_t id[TX_ID_SIZE])
{
    static const uint8_t none[TX_ID_SIZE];
    return memcmp(id, none, TX_ID_SIZE) == 0;
}

/* No transaction is twice in a chain, and none beside another form of it. */
static void check_once(struct cluster_world *w, const struct cluster_node *node, const struct block *block)
{
    for (uint32_t i = 0; i < block->header.tx_count; i++) {
        const struct tx *tx = block->txs[i];
        bool twice =
            cluster_has_tx(node, tx->id) || (!is_none(tx->original) && cluster_has_tx(node, tx->original));
        for (uint32_t k = 0; k < i && !twice; k++)
            twice =
                memcmp(block->txs[k]->id, tx->original, TX_ID_SIZE) == 0 ||
                memcmp(block->txs[k]->original, tx->id, TX_ID_SIZE) == 0 ||
                (!is_none(tx->original) && memcmp(block->txs[k]->original, tx->original, TX_ID_SIZE) == 0);
        if (twice)
            cluster_fail(w, "a transaction is twice in a chain: %s in block %ju of node %u",
                         cluster_short(tx->id), (uintmax_t)block->header.height, node->id);
    }
}

void cluster_check_persist(struct cluster_world *w, struct cluster_node *node,
                           const struct consensus_persist *persist)
{
    if (persist->type == CONSENSUS_PERSIST_REWIND) {
        if (persist->height < node->final_height || persist->height < node->store.final_height)
            cluster_fail(w, "a finalized block is taken back: node %u goes from %ju to %ju", node->id,
                         (uintmax_t)node->final_height, (uintmax_t)persist->height);
        if (persist->height + 1 >= node->store.count)
            cluster_fail(w, "node %u rewinds to block %ju, where it is", node->id,
                         (uintmax_t)persist->height);
    }
    if (persist->type != CONSENSUS_PERSIST_BLOCK)
        return;
    const struct block_header *header = &persist->block->header,
                              *head = &chain_store_head(&node->store)->header;
    if (memcmp(header->parent, head->hash, HASH_SIZE) != 0 || header->height != head->height + 1)
        cluster_fail(w, "node %u writes a block that does not stand on its head", node->id);
    else if (header->time_us <= head->time_us || persist->state.head_rv <= block_head_rv(head))
        cluster_fail(w, "resourceVersions do not increase: node %u, block %ju", node->id,
                     (uintmax_t)header->height);
    else
        check_once(w, node, persist->block);
}

/* The hash that is kept along the chain is what the header says. */
void cluster_check_taken(struct cluster_world *w, struct cluster_node *node)
{
    const struct block_header *head = &chain_store_head(&node->store)->header;
    uint8_t digest[HASH_SIZE];
    lthash_digest(digest, state_mem_hash(node->store.state));
    if (memcmp(digest, head->state_digest, HASH_SIZE) != 0)
        cluster_fail(w, "a state is not what its block says: node %u, block %ju", node->id,
                     (uintmax_t)head->height);
    w->stats.blocks +=
        node->store.count > 1 && head->height > 0 && memcmp(head->producer, node->key, TX_KEY_SIZE) == 0;
}

/* The state hash from nothing but the objects. */
void cluster_check_state(struct cluster_world *w, struct cluster_node *node)
{
    const struct state_store_ops *ops = state_mem_ops();
    struct state_snapshot *snapshot = ops->snapshot_begin(node->store.state);
    struct state_iter *iter = ops->iter_begin(snapshot, "", 0, NULL, 0);
    struct lthash hash;
    lthash_init(&hash);
    struct state_object object;
    while (ops->iter_next(iter, &object)) {
        uint8_t entry[HASH_SIZE];
        state_entry_rebuild(entry, &object);
        lthash_add(&hash, entry);
    }
    ops->iter_end(iter);
    ops->snapshot_end(snapshot);
    uint8_t digest[HASH_SIZE];
    lthash_digest(digest, &hash);
    if (memcmp(digest, chain_store_head(&node->store)->header.state_digest, HASH_SIZE) != 0)
        cluster_fail(w, "a state is not what its block says: the objects of node %u", node->id);
}

/* ---- finality ---- */

static void final_add(struct cluster_world *w, const uint8_t hash[HASH_SIZE])
{
    if (w->final_count == w->final_cap) {
        w->final_cap = w->final_cap ? 2 * w->final_cap : 256;
        w->finals = mem_reallocarray(w->finals, w->final_cap, sizeof(*w->finals));
    }
    memcpy(w->finals[w->final_count++], hash, HASH_SIZE);
}

/* Whatever any honest node has finalized lies on one chain. */
void cluster_check_final(struct cluster_world *w, struct cluster_node *node)
{
    uint64_t final = consensus_final_height(node->core);
    if (node->liar || final <= node->final_height)
        return;
    if (final >= node->store.count) {
        cluster_fail(w, "node %u calls block %ju final, which it does not have", node->id, (uintmax_t) final);
        return;
    }
    for (uint64_t height = 0; height <= final; height++) {
        const uint8_t *hash = node->store.chain[height].block->header.hash;
        if (height >= w->final_count)
            final_add(w, hash);
        else if (height > node->final_height && memcmp(w->finals[height], hash, HASH_SIZE) != 0)
            cluster_fail(w, "two conflicting blocks are final: %s and %s at height %ju, node %u",
                         cluster_short(w->finals[height]), cluster_short(hash), (uintmax_t)height, node->id);
    }
    cluster_trace(w, "node %u finalizes block %ju %s", node->id, (uintmax_t) final,
                  cluster_short(w->finals[final]));
    node->final_height = final;
    chain_store_finalize(&node->store, final);
}

/* ---- what a node says ---- */

static void check_vote(struct cluster_world *w, struct cluster_node *node, const struct vote *vote)
{
    if (memcmp(vote->validator, node->key, TX_KEY_SIZE) != 0)
        return;
    uint32_t kept = node->said_count < CLUSTER_SAID_MAX ? node->said_count : CLUSTER_SAID_MAX;
    for (uint32_t i = 0; i < kept; i++) {
        if (memcmp(&node->said[i], vote, sizeof(*vote)) == 0)
            return;
        enum vote_conflict conflict = vote_conflict(&node->said[i], vote);
        if (conflict != VOTE_CONFLICT_NONE)
            cluster_fail(w, "an honest node contradicts itself: node %u, %s", node->id,
                         vote_conflict_text(conflict));
    }
    node->said[node->said_count++ % CLUSTER_SAID_MAX] = *vote;
}

/* One block in one place of a slot. */
static void check_made(struct cluster_world *w, struct cluster_node *node, const struct block_header *header)
{
    if (memcmp(header->producer, node->key, TX_KEY_SIZE) != 0)
        return;
    uint32_t kept = node->made_count < CLUSTER_SAID_MAX ? node->made_count : CLUSTER_SAID_MAX;
    for (uint32_t i = 0; i < kept; i++) {
        if (memcmp(node->made[i].hash, header->hash, HASH_SIZE) == 0)
            return;
        if (block_headers_conflict(&node->made[i], header))
            cluster_fail(w, "an honest node contradicts itself: node %u, block %s beside %s", node->id,
                         cluster_short(header->hash), cluster_short(node->made[i].hash));
    }
    node->made[node->made_count++ % CLUSTER_SAID_MAX] = *header;
}

/* Who says to have a block has it on the disk, and all before it. */
static void check_have(struct cluster_world *w, const struct cluster_node *node, const struct message *m)
{
    const struct chain_store *s = &node->store;
    if (m->height >= s->count || memcmp(s->chain[m->height].block->header.hash, m->hash, HASH_SIZE) != 0)
        cluster_fail(w, "node %u says to have block %ju %s, which is not on its disk", node->id,
                     (uintmax_t)m->height, cluster_short(m->hash));
}

void cluster_check_said(struct cluster_world *w, struct cluster_node *node, const void *bytes, size_t len)
{
    struct message m;
    struct err err;
    if (message_decode(&m, bytes, len, &err) != 0) {
        cluster_fail(w, "node %u says what cannot be read: %s", node->id, err.message);
        return;
    }
    for (size_t i = 0; m.type == MESSAGE_VOTES && i < m.vote_count; i++)
        check_vote(w, node, &m.votes[i]);
    if (m.type == MESSAGE_BLOCK)
        check_made(w, node, &m.block->header);
    else if (m.type == MESSAGE_HAVE)
        check_have(w, node, &m);
    message_free(&m);
}

/* ---- answers ---- */

static bool is_on_disk(const struct cluster_node *node, const uint8_t tx_id[TX_ID_SIZE])
{
    if (cluster_has_tx(node, tx_id))
        return true;
    for (size_t i = 0; i < node->store.side_count; i++)
        for (uint32_t k = 0; k < node->store.sides[i]->header.tx_count; k++)
            if (memcmp(node->store.sides[i]->txs[k]->id, tx_id, TX_ID_SIZE) == 0)
                return true;
    return false;
}

static bool has_live_peer(struct cluster_world *w, const struct cluster_node *node)
{
    struct consensus_validator validators[CLUSTER_NODES_MAX];
    size_t count = consensus_validators(node->core, validators, CLUSTER_NODES_MAX);
    for (size_t i = 0; i < count; i++) {
        uint32_t peer = cluster_node_of_key(w, validators[i].key);
        if (validators[i].live && peer != CLUSTER_NONE && peer != node->id &&
            cluster_is_connected(w, node->id, peer))
            return true;
    }
    return false;
}

/* The place that an answer gives is where the transaction is. */
static bool is_place_right(const struct cluster_node *node, const struct consensus_answer *answer)
{
    if (answer->height >= node->store.count)
        return false;
    const struct block *block = node->store.chain[answer->height].block;
    uint32_t output = 0;
    for (uint32_t i = 0; i < block->header.tx_count; i++) {
        const struct tx *tx = block->txs[i];
        if (memcmp(tx->id, answer->tx_id, TX_ID_SIZE) == 0 ||
            memcmp(tx->original, answer->tx_id, TX_ID_SIZE) == 0)
            return answer->rv == block_rv(block->header.time_us, output);
        output += (uint32_t)tx->output_count;
    }
    return false;
}

/* What is answered is on this node's disk, and on another's unless there is none. */
void cluster_check_answer(struct cluster_world *w, const struct cluster_node *node,
                          const struct consensus_answer *answer)
{
    if (node->liar)
        return;
    if (!cluster_has_tx(node, answer->tx_id)) {
        cluster_fail(w, "an answer came before its block was durable: %s at node %u",
                     cluster_short(answer->tx_id), node->id);
        return;
    }
    if (!is_place_right(node, answer))
        cluster_fail(w, "an answer names a wrong place: %s at node %u", cluster_short(answer->tx_id),
                     node->id);
    bool at_once = node->store.chain[answer->height].undo.len == 0; /* it was the whole set */
    bool may_lie = w->o.liars > 0 || w->o.mutation == MUTATE_FORGED_VOTES;
    if (w->failed || may_lie || at_once || !has_live_peer(w, node))
        return;
    for (uint32_t i = 0; i < w->o.nodes; i++)
        if (i != node->id && is_on_disk(&w->nodes[i], answer->tx_id))
            return;
    cluster_fail(w, "an answer came before its block was durable: %s at node %u, and nowhere else",
                 cluster_short(answer->tx_id), node->id);
}

/* Theorem 1: a node that is up answers, whomever it can reach; but one that is still joining makes no blocks.
 */
void cluster_check_deadline(struct cluster_world *w, uint32_t submission)
{
    const struct cluster_submission *s = &w->submissions[submission];
    const struct cluster_node *node = &w->nodes[s->node];
    bool same_life = node->up && node->incarnation == s->incarnation;
    if (s->fate == FATE_WAITING && !node->liar && same_life && cluster_node_acts(node))
        cluster_fail(w, "a live node does not answer: transaction %u %s of node %u", submission,
                     cluster_short(s->tx_id), s->node);
}

static bool is_kept(const struct cluster_node *node, const uint8_t tx_id[TX_ID_SIZE])
{
    if (cluster_has_tx(node, tx_id))
        return true;
    for (size_t i = 0; i < node->store.orphan_count; i++) {
        const struct tx *tx = node->store.orphans[i].tx;
        if (memcmp(tx->id, tx_id, TX_ID_SIZE) == 0 || memcmp(tx->original, tx_id, TX_ID_SIZE) == 0)
            return true;
    }
    return false;
}

static const struct cluster_submission *first_of(const struct cluster_world *w,
                                                 const struct cluster_submission *s)
{
    return s->replay == CLUSTER_NONE ? s : &w->submissions[s->replay];
}

/* Theorem 2: nothing that was answered is lost without a trace. */
void cluster_check_answered(struct cluster_world *w)
{
    for (uint32_t i = 0; i < w->submission_count && !w->failed; i++) {
        const struct cluster_submission *s = &w->submissions[i];
        bool kept = s->fate != FATE_INCLUDED || first_of(w, s)->reported || w->nodes[s->node].liar;
        for (uint32_t n = 0; !kept && n < w->o.nodes; n++)
            kept = !w->nodes[n].liar && is_kept(&w->nodes[n], s->tx_id);
        if (!kept)
            cluster_fail(w, "an answered transaction is lost: %u %s", i, cluster_short(s->tx_id));
    }
}

/* ---- after healing ---- */

static bool node_is_settled(const struct cluster_world *w, const struct cluster_node *node, const char **why)
{
    const struct block_header *head = &chain_store_head(&node->store)->header;
    const char *reason = NULL;
    if (!node->up)
        reason = "a node is down";
    else if (consensus_pending(node->core) > 0)
        reason = "transactions are pending";
    else if (node->store.orphan_count > 0)
        reason = "orphans are not taken care of";
    else if (consensus_final_height(node->core) != head->height)
        reason = "the head is not final";
    else if (memcmp(head->hash, chain_store_head(&w->nodes[0].store)->header.hash, HASH_SIZE) != 0)
        reason = "heads differ";
    if (reason)
        *why = reason;
    return !reason;
}

/* One chain, all of it final, and in it everything that anybody was told is. */
bool cluster_is_converged(const struct cluster_world *w, const char **why)
{
    for (uint32_t i = 0; i < w->o.nodes; i++)
        if (!w->nodes[i].liar && !node_is_settled(w, &w->nodes[i], why))
            return false;
    if (w->o.churn && !cluster_change_is_over(&w->nodes[0])) {
        *why = "a change of the validators is not over";
        return false;
    }
    for (uint32_t i = 0; i < w->submission_count; i++) {
        const struct cluster_submission *s = &w->submissions[i];
        if (w->nodes[s->node].liar)
            continue;
        if (s->fate == FATE_WAITING) {
            *why = "a client waits";
            return false;
        }
        if (s->fate == FATE_INCLUDED && !first_of(w, s)->reported &&
            !cluster_has_tx(&w->nodes[0], s->tx_id)) {
            *why = "an answered transaction is not included";
            return false;
        }
    }
    return true;
}

/* What was refused stays refused, unless somebody asked again. */
static void check_refused(struct cluster_world *w)
{
    mem_auto uint8_t *repeated = mem_calloc(w->submission_count + 1, 1);
    for (uint32_t i = 0; i < w->submission_count; i++)
        if (w->submissions[i].replay != CLUSTER_NONE)
            repeated[w->submissions[i].replay] = 1;
    for (uint32_t i = 0; i < w->submission_count; i++) {
        const struct cluster_submission *s = &w->submissions[i];
        if (s->fate != FATE_REJECTED || s->code == ERR_UNAVAILABLE || s->replay != CLUSTER_NONE ||
            repeated[i] || w->nodes[s->node].liar || !cluster_has_tx(&w->nodes[0], s->tx_id))
            continue;
        w->stats.late++;
        cluster_trace(w, "transaction %u %s was refused (%d) and is in the chain", i, cluster_short(s->tx_id),
                      s->code);
    }
}

void cluster_check_settled(struct cluster_world *w)
{
    for (uint32_t i = 0; i < w->o.nodes && !w->failed; i++)
        if (!w->nodes[i].liar)
            cluster_check_state(w, &w->nodes[i]);
    check_refused(w);
    for (uint32_t i = 0; i < w->submission_count; i++)
        if (w->submissions[i].must_fail && cluster_has_tx(&w->nodes[0], w->submissions[i].tx_id))
            cluster_fail(w, "a transaction that breaks a rule is in the chain: %u", i);
}
