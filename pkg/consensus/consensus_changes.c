/*
 * Changes of the validator set: certificates that one is final, the transactions that the core itself makes
 * of them, and liars that have to leave. See consensus_internal.h.
 */
#include "consensus/consensus_internal.h"

#include "base/mem.h"

#include <string.h>

bool vote_same_statement(const struct vote *a, const struct vote *b)
{
    return a->number == b->number && a->round == b->round && memcmp(a->source, b->source, HASH_SIZE) == 0 &&
           memcmp(a->target, b->target, HASH_SIZE) == 0;
}

/* The votes from the finalized checkpoint to one of the next round, as a certificate. */
static void certificate_make(struct consensus *c)
{
    const struct checkpoint *final = finality_finalized(c->finality);
    const struct vote *best[REGISTRY_MAX];
    size_t best_count = 0;
    for (size_t i = 0; i < c->vote_count; i++) {
        const struct vote *first = &c->votes[i];
        if (first->number != final->round || first->round != final->round + 1 ||
            memcmp(first->source, final->block, HASH_SIZE) != 0)
            continue;
        const struct vote *same[REGISTRY_MAX];
        size_t count = 0;
        for (size_t k = 0; k < c->vote_count && count < REGISTRY_MAX; k++)
            if (vote_same_statement(&c->votes[k], first))
                same[count++] = &c->votes[k];
        if (count > best_count)
            memcpy(best, same, count * sizeof(same[0]));
        best_count = count > best_count ? count : best_count;
    }
    const struct fork_node *node = fork_choice_find(c->tree, final->block);
    buf_clear(&c->certificate);
    if (!node ||
        best_count < finality_quorum(votes_members_at(c, fork_node_block(node))->count, c->chain.byzantine))
        return; /* those who were counted as liars have signed something else */
    vote_certificate_encode(&c->certificate, best, best_count);
    memcpy(c->certified, final->block, HASH_SIZE);
    c->certified_height = fork_node_block(node)->height;
    c->certified_time_us = fork_node_block(node)->time_us;
}

static const struct registry_validator *pending_change(const struct consensus *c)
{
    for (size_t i = 0; i < c->registry_count; i++)
        if (c->registry[i].phase != REGISTRY_ACTING)
            return &c->registry[i];
    return NULL;
}

bool change_waits(const struct consensus *c)
{
    const struct registry_validator *change = pending_change(c);
    return change && (c->certificate.len == 0 || c->certified_time_us < block_time_of_rv(change->rv));
}

void change_finalized(struct consensus *c)
{
    if (pending_change(c))
        certificate_make(c);
}

void own_submit(struct consensus *c, struct tx *tx, uint8_t tx_id[TX_ID_SIZE])
{
    uint8_t nonce[HASH_SIZE];
    hash_sha256_parts(nonce, c->secret_key + 32, TX_KEY_SIZE, c->head.hash, HASH_SIZE, NULL, 0);
    memcpy(tx->nonce, nonce, sizeof(tx->nonce));
    memcpy(tx->chain_id, c->chain.id, TX_ID_SIZE);
    tx->time_us = c->now_us;
    struct pending_item item = {.tx = tx, .from = c->self + 1, .since_us = c->now_us};
    if (tx_sign(tx, c->secret_key, NULL) == 0 && pending_add_item(c->pending, &item, NULL) == 0) {
        c->forward_due = true;
        if (tx_id)
            memcpy(tx_id, tx->id, TX_ID_SIZE);
    } else {
        tx_free(tx);
    }
}

static struct tx *change_tx(const struct consensus *c, const struct registry_validator *before)
{
    struct registry_validator after = *before;
    after.phase = REGISTRY_ACTING;
    struct tx *tx =
        before->phase == REGISTRY_JOINING ? registry_put_tx(&after, before) : registry_delete_tx(before);
    registry_add_certificate(tx, c->certificate.data, c->certificate.len);
    return tx;
}

bool change_is_certified(const struct consensus *c)
{
    return pending_change(c) && !change_waits(c);
}

/* Whoever is the producer of a slot by its own clock does it, and again in a later slot if it came to
 * nothing. */
void change_certify(struct consensus *c)
{
    uint64_t slot = roles_slot(&c->settings.roles, c->now_us);
    if (!change_is_certified(c) || slot <= c->change_slot || pending_find(c->pending, c->change_tx) ||
        producer_of(c, slot) != c->self || !chain_has(c, c->certified_height, c->certified))
        return;
    c->change_slot = slot;
    own_submit(c, change_tx(c, pending_change(c)), c->change_tx);
}

/* The producer does it, once; with another change under way, later. */
void liar_expel(struct consensus *c)
{
    if (!c->liar_due || pending_change(c) ||
        producer_of(c, roles_slot(&c->settings.roles, c->now_us)) != c->self)
        return;
    size_t acting = 0;
    const struct registry_validator *liar = NULL;
    for (size_t i = 0; i < c->registry_count; i++) {
        uint32_t node = node_find(c, c->registry[i].key);
        acting += c->registry[i].phase == REGISTRY_ACTING;
        if (node != NO_NODE && c->nodes[node].equivocated && c->nodes[node].proof.len)
            liar = &c->registry[i];
    }
    c->liar_due = liar != NULL;
    if (!liar || acting < 2 || c->liar_sent_rv == liar->rv)
        return;
    c->liar_sent_rv = liar->rv;
    const struct buf *proof = &c->nodes[node_find(c, liar->key)].proof;
    struct registry_validator after = *liar;
    after.phase = REGISTRY_LEAVING;
    struct tx *tx = registry_put_tx(&after, liar);
    registry_add_proof(tx, proof->data + 2, proof->len - 2); /* without its type and variant */
    own_submit(c, tx, NULL);
}
