/* Liars: what they send is what their core wants, spoilt. */
#include "cluster.h"

#include "consensus/message.h"

#include <assert.h>
#include <sodium.h>

static void send_to(struct cluster_world *w, const struct cluster_node *node, const uint8_t *to,
                    const void *bytes, size_t len, uint32_t parity)
{
    struct cluster_packet *packet = cluster_packet(node->id, bytes, len);
    for (uint32_t i = 0; i < w->o.nodes; i++)
        if (i != node->id && (!to || memcmp(to, w->nodes[i].key, TX_KEY_SIZE) == 0) &&
            (parity > 1 || i % 2 == parity))
            cluster_send(w, node->id, i, packet);
    cluster_packet_drop(packet);
}

static void send_message(struct cluster_world *w, const struct cluster_node *node, const uint8_t *to,
                         const struct message *m, uint32_t parity)
{
    buf_auto struct buf bytes = BUF_INIT;
    message_encode(&bytes, m);
    send_to(w, node, to, bytes.data, bytes.len, parity);
}

/* Another block in the same place: a microsecond later, and right in all else when its parent is this node's
 * head. Otherwise the state that it claims is wrong. */
static struct block *twin_make(const struct cluster_node *node, const struct block *block)
{
    const struct state_store_ops *ops = chain_store_state_ops();
    struct tx **txs = mem_calloc(block->header.tx_count, sizeof(struct tx *));
    for (uint32_t i = 0; i < block->header.tx_count; i++) {
        int rc = tx_decode(&txs[i], block->txs[i]->encoded, block->txs[i]->encoded_len, NULL);
        assert(rc == 0);
        (void)rc;
    }
    struct block *twin = block_new(txs, block->header.tx_count);
    struct block_header *header = &twin->header;
    header->height = block->header.height;
    header->slot = block->header.slot;
    header->number = block->header.number;
    header->time_us = block->header.time_us + 1;
    memcpy(header->parent, block->header.parent, HASH_SIZE);
    memcpy(header->state_digest, block->header.state_digest, HASH_SIZE);
    if (memcmp(header->parent, chain_store_head(&node->store)->header.hash, HASH_SIZE) == 0) {
        struct state_snapshot *snapshot = ops->snapshot_begin((void *)(uintptr_t)&node->store);
        struct state_view *view = state_view_new(ops, snapshot, state_mem_hash(node->store.state));
        state_view_begin(view, header->time_us);
        bool right = true;
        for (uint32_t i = 0; i < header->tx_count && right; i++)
            right = state_view_apply(view, twin->txs[i], NULL) == 0;
        state_view_digest(view, header->state_digest);
        state_view_free(view);
        ops->snapshot_end(snapshot);
    }
    block_seal(twin, node->secret_key);
    return twin;
}

static void lie_block(struct cluster_world *w, struct cluster_node *node, const uint8_t *to,
                      struct message *m, const void *bytes, size_t len)
{
    send_to(w, node, to, bytes, len, 0);
    struct block *twin = twin_make(node, m->block);
    cluster_trace(w, "node %u lies: block %s beside %s", node->id, cluster_short(twin->header.hash),
                  cluster_short(m->block->header.hash));
    send_message(w, node, to, &(struct message){.type = MESSAGE_BLOCK, .block = twin}, 1);
    block_free(twin);
}

static void lie_votes(struct cluster_world *w, struct cluster_node *node, const uint8_t *to,
                      struct message *m, const void *bytes, size_t len)
{
    send_to(w, node, to, bytes, len, 0);
    const struct chain_store *s = &node->store;
    for (size_t i = 0; i < m->vote_count; i++) {
        struct vote *vote = &m->votes[i];
        if (memcmp(vote->validator, node->key, TX_KEY_SIZE) != 0)
            continue;
        uint32_t back = 1 + cluster_draw(w, 3);
        size_t height = s->count > back ? s->count - back : 0;
        const uint8_t *target = s->side_count && cluster_draw(w, 2) ? s->sides[0]->header.hash
                                                                    : s->chain[height].block->header.hash;
        memcpy(vote->target, target, HASH_SIZE);
        vote_sign(vote, node->secret_key);
    }
    cluster_trace(w, "node %u lies: other votes", node->id);
    send_message(w, node, to, m, 1);
}

static void lie_have(struct cluster_world *w, struct cluster_node *node, const uint8_t *to, struct message *m)
{
    m->height += cluster_draw(w, 3);
    m->hash[5] ^= (uint8_t)cluster_draw(w, 2);
    send_message(w, node, to, m, 2);
}

static void lie_garbage(struct cluster_world *w, struct cluster_node *node, const uint8_t *to,
                        const void *bytes, size_t len)
{
    mem_auto uint8_t *spoilt = mem_dup(bytes, len);
    spoilt[cluster_draw(w, (uint32_t)len)] ^= (uint8_t)(1 + cluster_draw(w, 255));
    send_to(w, node, to, spoilt, cluster_draw(w, 4) ? len : cluster_draw(w, (uint32_t)len), 2);
}

/* A transaction that no validator has signed. */
static void lie_forged_tx(struct cluster_world *w, struct cluster_node *node)
{
    struct tx *tx = cluster_tx_new(w, node, "create");
    uint8_t public_key[TX_KEY_SIZE], secret_key[64], seed[32] = {98};
    crypto_sign_seed_keypair(public_key, secret_key, seed);
    struct tx_output output = {.op = TX_OUTPUT_PUT,
                               .key = {"", "configmaps", "ns", "forged"},
                               .uid = "u",
                               .encoding = TX_CONTENT_PLAIN,
                               .content = (const uint8_t *)"{}",
                               .content_len = 2};
    tx_add_output(tx, &output);
    int rc = tx_sign(tx, secret_key, NULL);
    assert(rc == 0);
    (void)rc;
    send_message(w, node, NULL, &(struct message){.type = MESSAGE_TXS, .txs = &tx, .tx_count = 1}, 2);
    tx_free(tx);
}

void cluster_lie(struct cluster_world *w, struct cluster_node *node, const uint8_t *to, const void *bytes,
                 size_t len)
{
    struct message m;
    uint32_t how = w->healed ? 100 : cluster_draw(w, 100);
    if (how >= 50 || message_decode(&m, bytes, len, NULL) != 0) {
        send_to(w, node, to, bytes, len, 2);
        return;
    }
    w->stats.lies++;
    if (how < 5)
        cluster_trace(w, "node %u withholds a message", node->id);
    else if (how < 8)
        lie_garbage(w, node, to, bytes, len);
    else if (how < 10)
        lie_forged_tx(w, node);
    else if (m.type == MESSAGE_BLOCK && memcmp(m.block->header.producer, node->key, TX_KEY_SIZE) == 0)
        lie_block(w, node, to, &m, bytes, len);
    else if (m.type == MESSAGE_VOTES)
        lie_votes(w, node, to, &m, bytes, len);
    else if (m.type == MESSAGE_HAVE)
        lie_have(w, node, to, &m);
    else
        send_to(w, node, to, bytes, len, 2);
    message_free(&m);
}
