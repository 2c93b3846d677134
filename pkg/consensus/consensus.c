/*
 * See consensus.h, and consensus_internal.h for the parts. At most one thing is on its way to the disk; while
 * it is, transactions gather in the pending changes and blocks of others in the tree.
 */
#include "consensus/consensus_internal.h"

#include "base/mem.h"
#include "validator/rbac_policy.h"

#include <assert.h>
#include <string.h>

/* ---- life ---- */

/* What the rules of certificates ask. */
static bool find_block(void *arg, const uint8_t hash[HASH_SIZE], uint64_t *height, int64_t *time_us)
{
    const struct consensus *c = arg;
    struct block_header header;
    if (c->chain_ops->height_of(c->store, hash, height, NULL) != 0 ||
        c->chain_ops->header_at(c->store, *height, &header, NULL) != 0)
        return false;
    *time_us = header.time_us;
    return true;
}

static int load_head(struct consensus *c, struct err *err)
{
    int rc = c->chain_ops->head(c->store, &c->head, &c->state_hash, err);
    if (rc)
        return rc;
    uint8_t digest[HASH_SIZE];
    lthash_digest(digest, &c->state_hash);
    if (memcmp(digest, c->head.state_digest, HASH_SIZE) != 0)
        return err_set(err, ERR_CORRUPT, "the state hash is not that of the head block");
    struct state_snapshot *snapshot = c->ops->snapshot_begin(c->store);
    c->policy = rbac_policy_load(c->ops, snapshot);
    c->ops->snapshot_end(snapshot);
    registry_reload(c);
    c->final_height = c->head.height;
    memcpy(c->final_hash, c->head.hash, HASH_SIZE);
    return 0;
}

/* Without a record the chain itself says up to where one node alone made it, which is final. Where its
 * beginning is not here, because it came as a snapshot, the head is final; but what others call justified is
 * only known once a quorum has said so. */
static int load_votes(struct consensus *c, const struct consensus_options *options, struct err *err)
{
    c->round = round_at(c, options->now_us);
    c->may_vote = true;
    if (options->record)
        return record_load(c, options->record, options->record_len, err);
    if (c->alone)
        return 0;
    c->record_due = true;
    record_derive(c);
    return 0;
}

static struct consensus *consensus_alloc(const struct consensus_options *options)
{
    struct consensus *c = mem_zalloc(sizeof(*c));
    c->settings = options->settings;
    c->ops = options->store_ops;
    c->chain_ops = options->chain_ops;
    c->store = options->store;
    c->genesis = *options->genesis;
    c->now_us = options->now_us;
    memcpy(c->secret_key, options->secret_key, sizeof(c->secret_key));
    memcpy(c->chain.id, c->genesis.hash, HASH_SIZE);
    memcpy(c->chain.producer, c->genesis.producer, TX_KEY_SIZE);
    c->chain.byzantine = c->genesis.flags & BLOCK_BYZANTINE;
    c->chain.find_block = find_block;
    c->chain.arg = c;
    c->pending = pending_new();
    c->self = node_ensure(c, c->secret_key + 32);
    c->producer = c->yielded_to = c->handover_to = NO_NODE;
    return c;
}

int consensus_new(struct consensus **out, const struct consensus_options *options, struct err *err)
{
    *out = NULL;
    if (options->genesis->height != 0 || options->genesis->tx_count != 0)
        return err_set(err, ERR_CORRUPT, "the chain does not begin with a genesis");
    struct consensus *c = consensus_alloc(options);
    int rc = load_head(c, err);
    if (!rc)
        rc = load_votes(c, options, err);
    if (rc) {
        consensus_free(c);
        return rc;
    }
    producer_update(c);
    *out = c;
    return 0;
}

static void tree_free(struct consensus *c)
{
    finality_free(c->finality);
    fork_choice_free(c->tree);
    for (size_t i = 0; i < c->body_count; i++)
        block_free(c->bodies[i].block);
    free(c->bodies);
    bytemap_free(&c->bodies_by_hash);
    for (uint32_t i = 0; i < c->set_count; i++)
        free(c->sets[i]);
    free(c->sets);
    free(c->votes);
    buf_free(&c->certificate);
}

void consensus_free(struct consensus *c)
{
    if (!c)
        return;
    flight_free(c, c->flight);
    flight_free(c, c->finished);
    tree_free(c);
    for (uint32_t i = 0; i < c->node_count; i++) {
        free(c->nodes[i].proposals);
        buf_free(&c->nodes[i].proof);
    }
    free(c->nodes);
    pending_free(c->pending);
    rbac_policy_release(c->policy);
    free(c->registry);
    out_free(c);
    explicit_bzero(c->secret_key, sizeof(c->secret_key));
    free(c);
}

/* ---- a step ---- */

static void step_peer(struct consensus *c, const struct consensus_event *event)
{
    bool up = event->type == CONSENSUS_PEER_UP;
    uint32_t node = node_ensure(c, event->peer);
    if (node == NO_NODE || node == c->self || c->nodes[node].up == up)
        return;
    c->nodes[node].up = up;
    c->peers_up += up ? 1 : -1;
    if (up)
        sync_peer_up(c, node);
    else
        answers_release(c);
    if (!up)
        sync_peer_down(c, node);
}

static void message_dispatch(struct consensus *c, uint32_t from, struct message *m)
{
    switch (m->type) {
    case MESSAGE_STATUS:
        receive_status(c, from, m);
        break;
    case MESSAGE_TXS:
        receive_txs(c, from, m);
        break;
    case MESSAGE_REJECT:
        receive_reject(c, from, m);
        break;
    case MESSAGE_BLOCK:
        tree_receive(c, m->block, from);
        m->block = NULL;
        break;
    case MESSAGE_HAVE:
        receive_have(c, from, m);
        break;
    case MESSAGE_VOTES:
        receive_votes(c, from, m);
        break;
    case MESSAGE_PROOF:
        receive_proof(c, from, m);
        break;
    case MESSAGE_GET_CHAIN:
        answer_chain(c, from, m);
        break;
    case MESSAGE_GET_BLOCKS:
        answer_blocks(c, from, m);
        break;
    case MESSAGE_LACK:
        receive_lack(c, from, m);
        break;
    case MESSAGE_TAKE:
        receive_take(c, from, m);
        break;
    case MESSAGE_HANDOVER:
        receive_handover(c, from, m);
        break;
    case MESSAGE_END:
        receive_end(c, from, m);
        break;
    case MESSAGE_AGAIN:
        receive_again(c, from, m);
        break;
    }
}

static void step_message(struct consensus *c, const struct consensus_event *event)
{
    uint32_t from = node_ensure(c, event->peer);
    if (from != NO_NODE && from != c->self && event->message->verified)
        message_dispatch(c, from, event->message);
    message_free(event->message);
}

static int step_event(struct consensus *c, const struct consensus_event *event, struct err *err)
{
    switch (event->type) {
    case CONSENSUS_SUBMIT:
        return step_submit(c, event);
    case CONSENSUS_TICK:
        return 0;
    case CONSENSUS_PERSISTED:
        return flight_persisted(c, err);
    case CONSENSUS_PERSIST_FAILED:
        return flight_failed(c, err);
    case CONSENSUS_PEER_UP:
    case CONSENSUS_PEER_DOWN:
        step_peer(c, event);
        return 0;
    case CONSENSUS_MESSAGE:
        step_message(c, event);
        return 0;
    case CONSENSUS_EVALUATED:
        seed_evaluated(c, event->proof);
        return 0;
    }
    return 0;
}

/* Records and blocks take turns, so that neither starves the other. */
static int depart(struct consensus *c, bool is_tick, struct err *err)
{
    if (c->flight)
        return 0;
    bool record = c->record_due && c->now_us >= c->retry_us;
    if (record && !c->record_last)
        flight_depart_record(c);
    int rc = c->flight ? 0 : chain_advance(c, err);
    if (!rc && !c->flight && is_tick)
        rc = produce(c, err);
    if (!c->flight && record)
        flight_depart_record(c);
    return rc;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t wake_of_rounds(const struct consensus *c)
{
    int64_t next = (int64_t)(c->round + 1) * c->settings.round_us;
    int64_t middle = c->round_began_us + c->settings.round_us / 2;
    return c->middle_round == c->round ? next : earlier(next, middle);
}

static int64_t wake_at(struct consensus *c)
{
    int64_t wake = produce_at(c);
    if (c->alone && !c->peers_up)
        return wake;
    wake = earlier(wake, sync_wake(c));
    if (chain_is_active(c))
        wake = earlier(wake, wake_of_rounds(c));
    uint64_t slot = roles_slot(&c->settings.roles, c->now_us);
    if (pending_count(c->pending) || change_is_certified(c) || c->liar_due)
        wake = earlier(wake, roles_slot_start_us(&c->settings.roles, slot + 1));
    if (c->forward_due)
        wake = c->now_us;
    if (!c->flight && (c->head_stale || c->record_due) && c->now_us < c->retry_us)
        wake = earlier(wake, c->retry_us);
    if (c->now_us < c->avoided_until_us)
        wake = earlier(wake, c->avoided_until_us);
    if (c->missing_since_us)
        wake = earlier(wake, c->missing_since_us + MISSING_US);
    return wake;
}

int consensus_step(struct consensus *c, const struct consensus_event *event, struct consensus_update *out,
                   struct err *err)
{
    flight_free(c, c->finished);
    c->finished = NULL;
    out_begin(c);
    *out = (struct consensus_update){0};
    c->out = out;
    c->now_us = event->now_us;
    int rc = step_event(c, event, err);
    if ((!c->alone || c->peers_up) && !event->more) {
        votes_act(c);
        sync_tick(c);
        change_certify(c);
        liar_expel(c);
        seed_ask(c);
        producer_update(c);
        forward_pending(c);
        pending_refuse(c);
    }
    int departed = depart(c, event->type == CONSENSUS_TICK, err);
    out->wake_us = wake_at(c);
    out->answers = c->answers;
    out->answer_count = c->answer_count;
    out->sends = c->sends;
    out->send_count = c->send_count;
    out->blames = c->blames;
    out->blame_count = c->blame_count;
    return rc ? rc : departed;
}

/* ---- looking ---- */

size_t consensus_pending(const struct consensus *c)
{
    return pending_count(c->pending);
}

bool consensus_is_persisting(const struct consensus *c)
{
    return c->flight != NULL;
}

const struct block_header *consensus_head(const struct consensus *c)
{
    return &c->head;
}

uint64_t consensus_final_height(const struct consensus *c)
{
    return c->final_height;
}

bool consensus_is_switching(const struct consensus *c)
{
    return c->switching;
}

uint64_t consensus_behind(const struct consensus *c)
{
    uint64_t behind = 0;
    for (uint32_t i = 0; i < c->node_count; i++) {
        const struct node *n = &c->nodes[i];
        if (n->up && !n->have_known && n->have_height > c->head.height && n->have_height > behind)
            behind = n->have_height;
    }
    return behind;
}

size_t consensus_validators(const struct consensus *c, struct consensus_validator *out, size_t max)
{
    const struct member_set *set = c->sets[c->head_set];
    for (size_t i = 0; i < set->count && i < max; i++) {
        uint32_t place = set->members[i].place;
        const struct node *n = &c->nodes[place];
        out[i] = (struct consensus_validator){
            .name = set->members[i].name,
            .acting = set->members[i].phase != REGISTRY_JOINING,
            .live = node_is_live(c, place),
            .producer = place == c->producer,
            .equivocated = n->equivocated,
            .head_height = place == c->self ? c->head.height : n->have_height,
        };
        memcpy(out[i].key, n->key, TX_KEY_SIZE);
    }
    return set->count;
}

struct rbac_policy *consensus_policy(struct consensus *c)
{
    return c->policy;
}
