/* Attestations, checkpoint votes, what they make final, and certificates. See consensus_internal.h. */
#include "consensus/consensus_internal.h"

#include "base/mem.h"

#include <assert.h>
#include <string.h>

#define ROUNDS_SAID_AGAIN 8

uint64_t round_at(const struct consensus *c, int64_t time_us)
{
    return (uint64_t)(time_us / c->settings.round_us);
}

uint64_t rounds_of_skew(const struct consensus *c)
{
    return (uint64_t)((SKEW_US + c->settings.round_us - 1) / c->settings.round_us);
}

const struct membership *votes_members_at(void *arg, const struct fork_block *block)
{
    const struct consensus *c = arg;
    return &c->sets[block->tag]->acting;
}

/* ---- contradictions ---- */

static void finality_changed(struct consensus *c, enum finality_change change);

static void equivocated(struct consensus *c, uint32_t node, struct message *proof)
{
    struct node *n = &c->nodes[node];
    if (n->equivocated || node == c->self)
        return;
    n->equivocated = true;
    c->liar_due = true;
    message_encode(&n->proof, proof);
    out_send(c, NO_NODE, proof);
    out_blame(c, node, true, "it contradicted itself");
    c->head_stale = true;
    if (!c->tree)
        return;
    fork_choice_exclude(c->tree, node);
    if (c->chain.byzantine)
        finality_changed(c, finality_proven(c->finality, node));
}

void votes_of_liars(struct consensus *c)
{
    for (uint32_t i = 0; i < c->node_count; i++) {
        if (!c->nodes[i].equivocated)
            continue;
        fork_choice_exclude(c->tree, i);
        if (c->chain.byzantine)
            finality_proven(c->finality, i);
    }
}

void proofs_send(struct consensus *c, uint32_t to)
{
    for (uint32_t i = 0; i < c->node_count; i++)
        if (c->nodes[i].proof.len)
            out_send_encoded(c, to, &c->nodes[i].proof);
}

static void votes_prove(struct consensus *c, uint32_t node, const struct vote *a, const struct vote *b)
{
    struct vote both[2] = {*a, *b};
    struct message proof = {.type = MESSAGE_PROOF, .votes = both, .vote_count = 2};
    equivocated(c, node, &proof);
}

static void headers_prove(struct consensus *c, uint32_t node, const struct block_header *a,
                          const struct block_header *b)
{
    bool ascending = memcmp(a->hash, b->hash, HASH_SIZE) < 0;
    struct message proof = {.type = MESSAGE_PROOF, .headers = {ascending ? *a : *b, ascending ? *b : *a}};
    equivocated(c, node, &proof);
}

void proposal_note(struct consensus *c, const struct block_header *header)
{
    uint32_t node = node_find(c, header->producer);
    if (node == NO_NODE || c->nodes[node].equivocated)
        return;
    struct node *n = &c->nodes[node];
    n->silent_until_us = 0;
    for (uint32_t i = 0; i < n->proposal_count; i++) {
        if (memcmp(n->proposals[i].hash, header->hash, HASH_SIZE) == 0)
            return;
        if (block_headers_conflict(&n->proposals[i], header)) {
            headers_prove(c, node, &n->proposals[i], header);
            return;
        }
    }
    if (!n->proposals)
        n->proposals = mem_calloc(PROPOSALS_MAX, sizeof(*n->proposals));
    n->proposals[n->proposal_next++ % PROPOSALS_MAX] = *header;
    if (n->proposal_count < PROPOSALS_MAX)
        n->proposal_count++;
}

void proof_load(struct consensus *c, const struct message *proof)
{
    uint32_t node = node_ensure(c, proof->votes ? proof->votes[0].validator : proof->headers[0].producer);
    if (node == NO_NODE || node == c->self || c->nodes[node].equivocated)
        return;
    c->nodes[node].equivocated = true;
    c->liar_due = true;
    message_encode(&c->nodes[node].proof, proof);
}

void receive_proof(struct consensus *c, uint32_t from, const struct message *message)
{
    const uint8_t *key = message->votes ? message->votes[0].validator : message->headers[0].producer;
    const uint8_t *chain = message->votes ? message->votes[0].chain : c->chain.id;
    uint32_t node = node_find(c, key);
    (void)from;
    if (node == NO_NODE || node == c->self || memcmp(chain, c->chain.id, HASH_SIZE) != 0)
        return;
    struct message copy = *message;
    equivocated(c, node, &copy);
}

/* ---- votes for checkpoints ---- */

static bool vote_matters(const struct consensus *c, const struct vote *vote)
{
    return vote->round > finality_finalized(c->finality)->round;
}

/* Keeps a vote that is new; one that contradicts another of the same voter proves it, and counts all the same
 * (finality.h). */
bool vote_store(struct consensus *c, const struct vote *vote)
{
    uint32_t node = node_find(c, vote->validator);
    unsigned in_round = 0;
    if (c->chain.byzantine && c->nodes[node].equivocated)
        return false; /* it counts for everything already */
    for (size_t i = 0; i < c->vote_count; i++) {
        const struct vote *other = &c->votes[i];
        if (memcmp(other->validator, vote->validator, VOTE_KEY_SIZE) != 0)
            continue;
        if (vote_conflict(other, vote) != VOTE_CONFLICT_NONE)
            votes_prove(c, node, other, vote);
        else if (other->round == vote->round)
            return false;
        in_round += other->round == vote->round;
    }
    if (in_round >= 2 || c->vote_count >= VOTES_MAX)
        return false;
    if (c->vote_count == c->vote_cap) {
        c->vote_cap = c->vote_cap ? 2 * c->vote_cap : 32;
        c->votes = mem_reallocarray(c->votes, c->vote_cap, sizeof(*c->votes));
    }
    c->votes[c->vote_count++] = *vote;
    return true;
}

/* Without a quorum a vote is of no use once the voters have gone on. */
void votes_forget(struct consensus *c)
{
    uint64_t before = c->round > ROUNDS_KEPT ? c->round - ROUNDS_KEPT : 0;
    uint64_t justified = finality_justified(c->finality)->round;
    finality_forget(c->finality, before);
    size_t kept = 0;
    for (size_t i = 0; i < c->vote_count; i++)
        if (vote_matters(c, &c->votes[i]) &&
            (c->votes[i].round >= before || c->votes[i].round <= justified + 1))
            c->votes[kept++] = c->votes[i];
    c->vote_count = kept;
}

static void finality_changed(struct consensus *c, enum finality_change change)
{
    if (change == FINALITY_UNCHANGED)
        return;
    c->head_stale = true;
    c->may_vote = true;
    if (change != FINALITY_FINALIZED)
        return;
    change_finalized(c);
    votes_forget(c);
    tree_finalized(c);
}

void votes_settle(struct consensus *c)
{
    if (c->settle_due) {
        c->settle_due = false;
        finality_changed(c, finality_settle(c->finality));
        for (size_t i = 0; i < c->vote_count && !c->settle_due; i++)
            c->settle_due = !fork_choice_find(c->tree, c->votes[i].target);
    }
    if (memcmp(finality_finalized(c->finality)->block, c->final_hash, HASH_SIZE) != 0)
        tree_finalized(c);
}

/* A late vote may complete a quorum whose other votes were forgotten as being of no use. */
static void late_vote(struct consensus *c, const struct vote *vote)
{
    for (size_t i = 0; i < c->vote_count; i++)
        if (vote_same_statement(&c->votes[i], vote) && vote_matters(c, &c->votes[i]))
            finality_changed(c,
                             finality_vote(c->finality, node_find(c, c->votes[i].validator), &c->votes[i]));
}

static void checkpoint_vote(struct consensus *c, uint32_t node, const struct vote *vote)
{
    if (!vote_matters(c, vote) || !vote_store(c, vote))
        return;
    if (!fork_choice_find(c->tree, vote->target) || !fork_choice_find(c->tree, vote->source))
        c->settle_due = true;
    if (vote->round + ROUNDS_KEPT < c->round)
        late_vote(c, vote);
    else
        finality_changed(c, finality_vote(c->finality, node, vote));
}

static void attestation(struct consensus *c, uint32_t node, const struct vote *vote)
{
    struct vote *newest = &c->nodes[node].attestation;
    if (newest->kind && vote_conflict(newest, vote) != VOTE_CONFLICT_NONE)
        votes_prove(c, node, newest, vote);
    if (newest->kind && newest->round >= vote->round)
        return;
    *newest = *vote;
    fork_choice_attest(c->tree, node, vote->round, vote->target);
    c->head_stale = true;
}

void receive_votes(struct consensus *c, uint32_t from, const struct message *message)
{
    uint64_t at_hand = round_at(c, c->now_us), latest = at_hand + ROUNDS_AHEAD;
    (void)from;
    if (c->alone)
        return;
    for (size_t i = 0; i < message->vote_count; i++) {
        const struct vote *vote = &message->votes[i];
        uint32_t node = node_find(c, vote->validator);
        if (node == NO_NODE || vote->round > latest || /* our own, too: a crash may have cost us them */
            memcmp(vote->chain, c->chain.id, HASH_SIZE) != 0)
            continue;
        if (vote->round > c->seen_round && vote->round <= at_hand + rounds_of_skew(c) &&
            membership_has(&c->sets[c->head_set]->acting, node))
            c->seen_round = vote->round;
        if (vote->kind == VOTE_CHECKPOINT)
            checkpoint_vote(c, node, vote);
        else if (vote->kind == VOTE_ATTESTATION)
            attestation(c, node, vote);
    }
}

/* ---- what this node says ---- */

static void vote_send(struct consensus *c, struct vote *vote)
{
    memcpy(vote->chain, c->chain.id, HASH_SIZE);
    vote_sign(vote, c->secret_key);
    struct message message = {.type = MESSAGE_VOTES, .votes = vote, .vote_count = 1};
    out_send(c, NO_NODE, &message);
}

/* Two heads in one round would be a contradiction, after a crash too: rounds are reserved in the record. */
static void attest(struct consensus *c)
{
    if (!c->attest_due || c->round < c->attest_from ||
        !membership_has(&c->sets[c->head_set]->acting, c->self))
        return;
    if (c->round > c->attest_until) {
        c->record_due = true;
        return;
    }
    c->attest_due = false;
    struct vote vote = {.kind = VOTE_ATTESTATION, .round = c->round};
    memcpy(vote.target, c->head.hash, HASH_SIZE);
    vote_send(c, &vote);
    attestation(c, c->self, &vote);
}

/* A vote costs a write to the disk. While nobody could hear it, it is not worth that. */
static bool is_heard(const struct consensus *c)
{
    return c->peers_up || c->sets[c->head_set]->acting.count == 1;
}

/* Asks for a lock on the checkpoint of this round: the newest block of the head's chain that had half a
 * round's time to reach everybody. */
static void vote_request(struct consensus *c)
{
    const struct checkpoint *justified = finality_justified(c->finality);
    const struct fork_node *source = fork_choice_find(c->tree, justified->block);
    const struct fork_node *head = tree_head(c);
    if (!source || !head || !c->may_vote || !is_heard(c) || !fork_node_leads_to(source, head))
        return;
    int64_t settled = (int64_t)c->round * c->settings.round_us - c->settings.round_us / 2;
    const struct fork_node *block = fork_node_at_time(head, settled);
    if (!fork_node_leads_to(source, block))
        block = source;
    if ((block == fork_choice_root(c->tree) && !change_waits(c)) ||
        !membership_has(votes_members_at(c, fork_node_block(block)), c->self))
        return;
    struct checkpoint target = {.round = c->round};
    memcpy(target.block, fork_node_block(block)->hash, HASH_SIZE);
    struct finality_lock lock;
    if (voter_request(&c->voter, justified, &target, &lock))
        c->record_due = true;
}

/* The lock that the record holds is durable, so the vote may leave. */
void votes_recorded(struct consensus *c)
{
    c->attest_until = c->record_reserves;
    if (c->tree && chain_is_active(c))
        attest(c);
    if (!c->record_in_flight_votes)
        return;
    c->record_in_flight_votes = false;
    struct vote vote;
    voter_persisted(&c->voter, &vote);
    vote_send(c, &vote);
    if (c->tree)
        checkpoint_vote(c, c->self, &vote);
}

static uint32_t peer_in_turn(const struct consensus *c, uint64_t turn)
{
    uint32_t index = c->peers_up ? (uint32_t)(turn % c->peers_up) : 0;
    for (uint32_t i = 0; i < c->node_count; i++)
        if (c->nodes[i].up && index-- == 0)
            return i;
    return NO_NODE;
}

static void votes_collect(const struct consensus *c, struct message *message, uint64_t from, uint64_t to)
{
    for (size_t i = c->vote_count; i-- > 0 && message->vote_count < MESSAGE_VOTES_MAX;)
        if (c->votes[i].round >= from && c->votes[i].round <= to)
            message->votes[message->vote_count++] = c->votes[i];
}

void votes_send(struct consensus *c, uint32_t to, bool all)
{
    struct message message = {.type = MESSAGE_VOTES,
                              .votes = mem_calloc(MESSAGE_VOTES_MAX, sizeof(struct vote))};
    uint64_t recent = c->round > ROUNDS_SAID_AGAIN ? c->round - ROUNDS_SAID_AGAIN : 0;
    uint64_t justified = c->finality ? finality_justified(c->finality)->round + 1 : 0;
    for (uint32_t i = 0; i < c->node_count && message.vote_count < MESSAGE_VOTES_MAX / 2; i++)
        if (c->nodes[i].attestation.kind && c->nodes[i].attestation.round + ATTESTATION_ROUNDS >= c->round)
            message.votes[message.vote_count++] = c->nodes[i].attestation;
    if (all)
        votes_collect(c, &message, 0, justified);
    votes_collect(c, &message, all && justified >= recent ? justified + 1 : recent, UINT64_MAX);
    if (message.vote_count)
        out_send(c, to, &message);
    free(message.votes);
}

/* What was said once may have been lost, so in the middle of each round one peer hears the latest again. */
static void say_again(struct consensus *c)
{
    bool middle = c->now_us - c->round_began_us >= c->settings.round_us / 2;
    if (!middle || c->middle_round == c->round)
        return;
    c->middle_round = c->round;
    sync_have_rest(c);
    uint32_t peer = peer_in_turn(c, c->round);
    if (peer == NO_NODE)
        return;
    sync_status(c, peer);
    votes_send(c, peer, false);
}

void votes_act(struct consensus *c)
{
    uint64_t round = round_at(c, c->now_us);
    if (c->alone || !c->tree)
        return;
    /* Votes of one round have to come within one round: the fastest clock sets the pace. */
    if (round < c->seen_round)
        round = c->seen_round;
    if (round > c->round) {
        c->round = round;
        c->round_began_us = c->now_us;
        votes_forget(c);
        c->head_stale = true; /* attestations age */
        if (chain_is_active(c)) {
            c->attest_due = true;
            attest(c);
            vote_request(c);
        }
    }
    if (chain_is_active(c))
        say_again(c);
}
