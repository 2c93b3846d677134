/*
 * The seeds of epochs. In an epoch in which the chain is used, those who are first in the order of its first
 * slot evaluate the delay function on the seed before and put the result into the chain; one is enough, and
 * the first that is included counts. See consensus_internal.h.
 */
#include "consensus/consensus_internal.h"

#include <string.h>

#define EVALUATORS 3

static bool is_evaluator(const struct consensus *c, uint64_t epoch)
{
    uint32_t order[REGISTRY_MAX], places[REGISTRY_MAX], n = 0;
    for (size_t i = 0; i < c->registry_count; i++)
        if (c->registry[i].phase == REGISTRY_ACTING)
            places[n++] = node_find(c, c->registry[i].key);
    roles_order(order, n, c->seed.seed, epoch * c->settings.roles.epoch_slots);
    for (uint32_t i = 0; i < n && i < EVALUATORS; i++)
        if (places[order[i]] == c->self)
            return true;
    return false;
}

void seed_ask(struct consensus *c)
{
    const struct roles_settings *roles = &c->settings.roles;
    uint64_t slot = roles_slot(roles, c->now_us), epoch = roles_epoch(roles, slot);
    int64_t begin = roles_slot_start_us(roles, epoch * roles->epoch_slots);
    if (c->alone || c->registry_count < 2 || epoch <= c->seed.epoch || epoch <= c->evaluating ||
        c->used_us < begin || c->switching || !is_evaluator(c, epoch))
        return;
    c->evaluating = epoch;
    registry_seed_challenge(c->evaluate.seed, c->chain.id, epoch, c->seed.seed);
    c->evaluate.difficulty = REGISTRY_SEED_DIFFICULTY;
    c->out->evaluate = &c->evaluate;
}

/* Another's result may have been included meanwhile, or the chain exchanged; then this one does not hold. */
void seed_evaluated(struct consensus *c, const uint8_t *proof)
{
    uint8_t challenge[VDF_SEED_SIZE];
    registry_seed_challenge(challenge, c->chain.id, c->evaluating, c->seed.seed);
    if (c->evaluating <= c->seed.epoch || memcmp(challenge, c->evaluate.seed, VDF_SEED_SIZE) != 0)
        return;
    own_submit(c, registry_seed_tx(c->evaluating, proof, &c->seed, c->has_seed), NULL);
}
