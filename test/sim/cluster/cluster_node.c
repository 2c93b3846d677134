/* A node: its core, and the edge that carries events in and updates out. */
#include "cluster.h"

#include "consensus/message.h"

#include <assert.h>
#include <time.h>

int64_t cluster_local_time(const struct cluster_world *w, const struct cluster_node *node)
{
    return w->now + node->skew;
}

uint32_t cluster_node_of_key(const struct cluster_world *w, const uint8_t key[TX_KEY_SIZE])
{
    for (uint32_t i = 0; i < w->o.nodes; i++)
        if (memcmp(w->nodes[i].key, key, TX_KEY_SIZE) == 0)
            return i;
    return CLUSTER_NONE;
}

static bool is_among(const struct cluster_node *node, bool must_act)
{
    struct consensus_validator validators[CLUSTER_NODES_MAX];
    size_t count = consensus_validators(node->core, validators, CLUSTER_NODES_MAX);
    for (size_t i = 0; i < count; i++)
        if (memcmp(validators[i].key, node->key, TX_KEY_SIZE) == 0)
            return validators[i].acting || !must_act;
    return false;
}

bool cluster_node_is_validator(const struct cluster_node *node)
{
    return is_among(node, false);
}

bool cluster_node_acts(const struct cluster_node *node)
{
    return is_among(node, true);
}

static int64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void node_at(struct cluster_world *w, const struct cluster_node *node, int64_t delay,
                    enum cluster_event_type type, uint64_t stamp)
{
    cluster_at(w, delay, (struct cluster_event){.type = type, .node = node->id, .stamp = stamp});
}

/* ---- what an update asks for ---- */

static void send_all(struct cluster_world *w, struct cluster_node *node, const struct consensus_send *send)
{
    struct cluster_packet *packet = cluster_packet(node->id, send->bytes, send->len);
    for (uint32_t to = 0; to < w->o.nodes; to++)
        if (to != node->id && (!send->to || memcmp(send->to, w->nodes[to].key, TX_KEY_SIZE) == 0))
            cluster_send(w, node->id, to, packet);
    cluster_packet_drop(packet);
}

/* For each block that a node sends, everybody says at once to have it. */
static void false_have(struct cluster_world *w, const struct cluster_node *node,
                       const struct consensus_send *send)
{
    struct message m;
    if (message_decode(&m, send->bytes, send->len, NULL) != 0)
        return;
    struct message have = {.type = MESSAGE_HAVE};
    if (m.type == MESSAGE_BLOCK) {
        have.height = m.block->header.height;
        memcpy(have.hash, m.block->header.hash, HASH_SIZE);
        buf_auto struct buf bytes = BUF_INIT;
        message_encode(&bytes, &have);
        for (uint32_t from = 0; from < w->o.nodes; from++) {
            struct cluster_packet *packet = cluster_packet(from, bytes.data, bytes.len);
            if (from != node->id)
                cluster_send(w, from, node->id, packet);
            cluster_packet_drop(packet);
        }
    }
    message_free(&m);
}

static void sends_do(struct cluster_world *w, struct cluster_node *node,
                     const struct consensus_update *update)
{
    for (size_t i = 0; i < update->send_count; i++) {
        const struct consensus_send *send = &update->sends[i];
        cluster_trace_send(w, node, send);
        if (node->liar) {
            cluster_lie(w, node, send->to, send->bytes, send->len);
            continue;
        }
        if (w->o.mutation != MUTATE_FORGED_VOTES)
            cluster_check_said(w, node, send->bytes, send->len);
        send_all(w, node, send);
        if (w->o.mutation == MUTATE_FALSE_HAVE)
            false_have(w, node, send);
    }
}

static void blames_do(struct cluster_world *w, const struct cluster_node *node,
                      const struct consensus_update *update)
{
    for (size_t i = 0; i < update->blame_count; i++) {
        const struct consensus_blame *blame = &update->blames[i];
        uint32_t peer = cluster_node_of_key(w, blame->peer);
        w->stats.blames++;
        cluster_trace(w, "node %u blames node %u%s: %s", node->id, peer, blame->proof ? " with proof" : "",
                      blame->reason);
        bool honest = !node->liar && peer != CLUSTER_NONE && !w->nodes[peer].liar;
        if (blame->proof && honest && w->o.mutation != MUTATE_FORGED_VOTES)
            cluster_fail(w, "an honest node is blamed: node %u by node %u: %s", peer, node->id,
                         blame->reason);
        if (blame->proof && !w->healed && peer != CLUSTER_NONE && peer != node->id)
            cluster_refuse(w, node->id, peer);
    }
}

static void answers_do(struct cluster_world *w, struct cluster_node *node,
                       const struct consensus_update *update)
{
    for (size_t i = 0; i < update->answer_count; i++) {
        const struct consensus_answer *answer = &update->answers[i];
        if ((uintptr_t)answer->token & 1)
            cluster_answer(w, node, answer);
        else
            cluster_edge_answer(w, node, answer);
    }
}

static void wake_at(struct cluster_world *w, struct cluster_node *node, int64_t wake_us)
{
    node->wake_stamp++;
    if (wake_us == INT64_MAX)
        return;
    int64_t delay = wake_us - cluster_local_time(w, node);
    if (delay < 0)
        delay = 0;
    node_at(w, node, delay + 1 + cluster_draw(w, 100), EVENT_WAKE, node->wake_stamp);
}

/* What the ledger does after a step: batches end, finality reaches the store, orphans are looked after. */
static void step_after(struct cluster_world *w, struct cluster_node *node, enum consensus_event_type type)
{
    bool batch = type == CONSENSUS_SUBMIT || type == CONSENSUS_PERSISTED || type == CONSENSUS_PERSIST_FAILED;
    if (batch && !node->tick_scheduled && !node->writing && consensus_pending(node->core) > 0) {
        node->tick_scheduled = true;
        node_at(w, node, 1 + cluster_draw(w, 150), EVENT_TICK, node->incarnation);
    }
    cluster_check_final(w, node);
    if (node->store.orphan_count > 0 && !node->edge_scheduled && !consensus_is_switching(node->core)) {
        node->edge_scheduled = true;
        node_at(w, node, 100 + cluster_draw(w, 2000), EVENT_EDGE, node->incarnation);
    }
}

static void step(struct cluster_world *w, struct cluster_node *node, struct consensus_event *event)
{
    struct consensus_update update;
    struct err err = {0};
    event->now_us = cluster_local_time(w, node);
    int64_t began = w->o.verify_each ? cpu_ns() : 0;
    int rc = consensus_step(node->core, event, &update, &err);
    if (w->o.verify_each)
        node->cpu_ns += cpu_ns() - began;
    if (rc)
        cluster_fail(w, "the core of node %u fails: %s", node->id, err.message);
    sends_do(w, node, &update);
    if (update.persist && node->writing)
        cluster_fail(w, "node %u asks for a second write while one is under way", node->id);
    else if (update.persist)
        cluster_disk_begin(w, node, update.persist);
    if (update.evaluate && w->o.evaluates) {
        node->evaluate = *update.evaluate;
        node_at(w, node, cluster_draw_us(w, 300000, 2000000), EVENT_SEED, node->incarnation);
    }
    answers_do(w, node, &update);
    blames_do(w, node, &update);
    wake_at(w, node, update.wake_us);
    step_after(w, node, event->type);
}

/* ---- events, which wait for the disk where the edge is serial ---- */

static bool must_wait(const struct cluster_world *w, const struct cluster_node *node)
{
    return w->o.serial_disk && node->writing;
}

static void wait_push(struct cluster_node *node, struct cluster_waiting waiting)
{
    if (node->waiting_count == node->waiting_cap) {
        node->waiting_cap = node->waiting_cap ? 2 * node->waiting_cap : 16;
        node->waiting = mem_reallocarray(node->waiting, node->waiting_cap, sizeof(*node->waiting));
    }
    node->waiting[node->waiting_count++] = waiting;
}

static void waiting_free(struct cluster_node *node)
{
    for (size_t i = 0; i < node->waiting_count; i++) {
        tx_free(node->waiting[i].tx);
        cluster_packet_drop(node->waiting[i].packet);
    }
    node->waiting_count = 0;
}

void cluster_node_submit(struct cluster_world *w, struct cluster_node *node, struct tx *tx, void *token)
{
    if (must_wait(w, node)) {
        wait_push(node, (struct cluster_waiting){.type = CONSENSUS_SUBMIT, .tx = tx, .token = token});
        return;
    }
    step(w, node, &(struct consensus_event){.type = CONSENSUS_SUBMIT, .tx = tx, .token = token});
}

void cluster_node_peer(struct cluster_world *w, struct cluster_node *node, uint32_t peer, bool up)
{
    enum consensus_event_type type = up ? CONSENSUS_PEER_UP : CONSENSUS_PEER_DOWN;
    if (must_wait(w, node)) {
        wait_push(node, (struct cluster_waiting){.type = type, .peer = peer});
        return;
    }
    cluster_trace(w, "node %u %s node %u", node->id, up ? "is connected to" : "has lost", peer);
    step(w, node, &(struct consensus_event){.type = type, .peer = w->nodes[peer].key});
}

/* Whether these bytes were checked before, by whatever node; notes that they are now. */
static bool is_checked(struct cluster_world *w, const void *bytes, size_t len)
{
    uint8_t hash[HASH_SIZE];
    hash_content(hash, bytes, len);
    if (bytemap_get(&w->checked, hash, HASH_SIZE) != BYTEMAP_NONE)
        return true;
    bytemap_set(&w->checked, arena_dup(&w->checked_hashes, hash, HASH_SIZE), HASH_SIZE, 1);
    return false;
}

/* The same as message_verify, which sees many votes again and again. */
static int verify_votes(struct cluster_world *w, struct message *m, struct err *err)
{
    for (size_t i = 0; i < m->vote_count; i++) {
        uint8_t bytes[VOTE_SIZE];
        vote_encode(bytes, &m->votes[i]);
        if (!is_checked(w, bytes, VOTE_SIZE) && !vote_verify(&m->votes[i]))
            return err_set(err, ERR_FORBIDDEN, "the signature of a vote is wrong");
    }
    m->verified = true;
    return 0;
}

/* Whoever gets a message first checks its signatures for real; the same bytes need not be checked again. What
 * does not hold comes from liars, who never say it twice. */
static int verify(struct cluster_world *w, const struct cluster_packet *packet, struct message *m,
                  struct err *err)
{
    bool lies = w->nodes[packet->from].liar;
    if (w->o.verify_each || lies)
        return message_verify(m, NULL, err);
    if (m->type == MESSAGE_VOTES && w->o.mutation != MUTATE_FORGED_VOTES)
        return verify_votes(w, m, err);
    if (w->o.mutation != MUTATE_FORGED_VOTES && !is_checked(w, packet->bytes, packet->len))
        return message_verify(m, NULL, err);
    m->verified = true;
    for (size_t i = 0; i < m->tx_count; i++)
        m->txs[i]->trusted = true;
    if (m->block)
        m->block->trusted = true;
    for (uint32_t i = 0; m->block && i < m->block->header.tx_count; i++)
        m->block->txs[i]->trusted = true;
    return 0;
}

/* Messages that a broken network loses, on purpose. */
static bool is_swallowed(const struct cluster_world *w, const struct cluster_node *node,
                         const struct message *m)
{
    switch (w->o.mutation) {
    case MUTATE_LOSE_HAVE:
        return m->type == MESSAGE_HAVE || m->type == MESSAGE_STATUS;
    case MUTATE_LOSE_VOTES:
        return m->type == MESSAGE_VOTES && m->vote_count > 0 && m->votes[0].kind == VOTE_CHECKPOINT;
    case MUTATE_LOSE_TX:
        return w->healed && m->type == MESSAGE_TXS;
    case MUTATE_STUCK_BRANCH:
        return w->healed && node->id == 0 && m->type == MESSAGE_BLOCK;
    default:
        return false;
    }
}

/* The same votes in the name of everybody. */
static void votes_forge(const struct cluster_world *w, struct message *m)
{
    if (m->type != MESSAGE_VOTES || m->vote_count == 0)
        return;
    size_t count = m->vote_count * w->o.nodes;
    struct vote *votes = mem_calloc(count, sizeof(*votes));
    for (size_t i = 0; i < count; i++) {
        votes[i] = m->votes[i % m->vote_count];
        memcpy(votes[i].validator, w->nodes[i / m->vote_count].key, TX_KEY_SIZE);
    }
    free(m->votes);
    m->votes = votes;
    m->vote_count = count;
}

static void receive(struct cluster_world *w, struct cluster_node *node, struct cluster_packet *packet)
{
    struct message m;
    struct err err;
    const struct cluster_node *from = &w->nodes[packet->from];
    int64_t began = w->o.verify_each ? cpu_ns() : 0;
    int rc = message_decode(&m, packet->bytes, packet->len, &err);
    bool decoded = rc == 0;
    if (decoded)
        rc = verify(w, packet, &m, &err);
    if (w->o.verify_each)
        node->cpu_ns += cpu_ns() - began;
    node->messages_in++;
    if (rc && !from->liar)
        cluster_fail(w, "an honest node sends what does not hold: node %u: %s", from->id, err.message);
    if (rc || is_swallowed(w, node, &m)) {
        if (decoded)
            message_free(&m);
        return;
    }
    if (w->o.mutation == MUTATE_FORGED_VOTES)
        votes_forge(w, &m);
    step(w, node, &(struct consensus_event){.type = CONSENSUS_MESSAGE, .peer = from->key, .message = &m});
}

void cluster_node_receive(struct cluster_world *w, struct cluster_node *node, struct cluster_packet *packet)
{
    if (must_wait(w, node)) {
        packet->references++;
        wait_push(node, (struct cluster_waiting){.type = CONSENSUS_MESSAGE, .packet = packet});
        return;
    }
    receive(w, node, packet);
}

/* Those that have waited come in before anything new; one of them may begin the next write. */
static void waiting_drain(struct cluster_world *w, struct cluster_node *node)
{
    size_t done = 0;
    while (done < node->waiting_count && !must_wait(w, node) && !w->failed) {
        struct cluster_waiting waiting = node->waiting[done++];
        if (waiting.type == CONSENSUS_MESSAGE) {
            receive(w, node, waiting.packet);
            cluster_packet_drop(waiting.packet);
        } else if (waiting.type == CONSENSUS_SUBMIT) {
            cluster_node_submit(w, node, waiting.tx, waiting.token);
        } else {
            cluster_node_peer(w, node, waiting.peer, waiting.type == CONSENSUS_PEER_UP);
        }
    }
    node->waiting_count -= done;
    if (node->waiting_count > 0)
        memmove(node->waiting, node->waiting + done, node->waiting_count * sizeof(*node->waiting));
}

static void tick(struct cluster_world *w, struct cluster_node *node)
{
    if (must_wait(w, node)) {
        node_at(w, node, 100, EVENT_WAKE, node->wake_stamp);
        return;
    }
    if (w->now - node->spin_at > 1000)
        node->spins = 0;
    node->spin_at = w->now;
    if (++node->spins > 200)
        cluster_fail(w, "node %u spins: it wants to be woken at once, again and again", node->id);
    node->ticks++;
    step(w, node, &(struct consensus_event){.type = CONSENSUS_TICK});
}

static void written(struct cluster_world *w, struct cluster_node *node)
{
    const struct consensus_persist *persist = node->writing;
    struct consensus_event event = {.type = CONSENSUS_PERSISTED};
    node->writing = NULL;
    if (w->o.write_fails && !w->healed && cluster_draw(w, 10000) < w->o.write_fails) {
        cluster_trace(w, "a write of node %u fails", node->id);
        w->stats.write_failures++;
        event.type = CONSENSUS_PERSIST_FAILED;
    } else {
        cluster_disk_take(w, node, persist);
    }
    if (w->failed)
        return;
    step(w, node, &event);
    waiting_drain(w, node);
}

static void evaluated(struct cluster_world *w, struct cluster_node *node)
{
    if (must_wait(w, node)) {
        node_at(w, node, 1000, EVENT_SEED, node->incarnation);
        return;
    }
    cluster_trace(w, "node %u has evaluated the seed of an epoch", node->id);
    w->stats.seeds++;
    step(w, node,
         &(struct consensus_event){.type = CONSENSUS_EVALUATED,
                                   .proof = cluster_seed_proof(w, &node->evaluate)});
}

void cluster_node_event(struct cluster_world *w, const struct cluster_event *event)
{
    struct cluster_node *node = &w->nodes[event->node];
    if (event->type == EVENT_RESTART) {
        /* Healing may have started it before, and it may be down again for another reason. */
        if (!node->up && event->stamp == node->incarnation)
            cluster_node_start(w, node);
        return;
    }
    if (!node->up ||
        (event->type == EVENT_WAKE ? event->stamp != node->wake_stamp : event->stamp != node->incarnation))
        return;
    switch (event->type) {
    case EVENT_WAKE:
        tick(w, node);
        break;
    case EVENT_TICK:
        node->tick_scheduled = false;
        if (!node->writing)
            tick(w, node);
        break;
    case EVENT_WRITTEN:
        written(w, node);
        break;
    case EVENT_SEED:
        evaluated(w, node);
        break;
    case EVENT_EDGE:
        node->edge_scheduled = false;
        cluster_edge(w, node);
        break;
    default:
        break;
    }
}

/* ---- a life ---- */

static bool never_find_tx(struct state_snapshot *snapshot, const uint8_t tx_id[TX_ID_SIZE], uint64_t *height)
{
    (void)snapshot;
    (void)tx_id;
    (void)height;
    return false;
}

static int never_place_of_tx(void *store, const uint8_t id[TX_ID_SIZE], uint64_t *height, uint32_t *index,
                             struct err *err)
{
    (void)store;
    (void)id;
    (void)height;
    (void)index;
    return err_set(err, ERR_NOT_FOUND, "no index");
}

/* Makes the store one that does not know which transactions its chain has. */
static void blind(struct consensus_options *options)
{
    static struct state_store_ops state_ops;
    static struct consensus_chain_ops chain_ops;
    state_ops = *options->store_ops;
    chain_ops = *options->chain_ops;
    state_ops.find_tx = never_find_tx;
    chain_ops.place_of_tx = never_place_of_tx;
    options->store_ops = &state_ops;
    options->chain_ops = &chain_ops;
}

void cluster_node_start(struct cluster_world *w, struct cluster_node *node)
{
    struct consensus_options options =
        chain_store_options(&node->store, node->secret_key, cluster_local_time(w, node));
    if (w->o.mutation == MUTATE_NO_INDEX)
        blind(&options);
    struct err err;
    node->up = true;
    cluster_trace(w, "node %u starts at block %zu", node->id, node->store.count - 1);
    if (consensus_new(&node->core, &options, &err) != 0) {
        cluster_fail(w, "node %u cannot start: %s", node->id, err.message);
        node->up = false;
        return;
    }
    cluster_net_started(w, node->id);
    node_at(w, node, 1 + cluster_draw(w, 1000), EVENT_WAKE, ++node->wake_stamp);
}

void cluster_node_stop(struct cluster_world *w, struct cluster_node *node)
{
    (void)w;
    waiting_free(node);
    consensus_free(node->core);
    node->core = NULL;
    node->writing = NULL;
    node->tick_scheduled = node->edge_scheduled = false;
    free(node->replays);
    node->replays = NULL;
    node->replay_count = 0;
    node->up = false;
    node->incarnation++;
}

/* Blocks that were said to be durable and were not. */
static void lose_writes(struct cluster_node *node)
{
    for (int i = 0; i < 4 && node->store.count > node->store.final_height + 1; i++)
        chain_store_pop(&node->store);
    while (node->store.side_count > 0)
        chain_store_side_drop(&node->store, 0);
}

void cluster_crash(struct cluster_world *w, struct cluster_node *node, int64_t down_us)
{
    if (!node->up)
        return;
    w->stats.crashes++;
    bool silently = cluster_draw(w, 3) == 0;
    cluster_trace(w, "node %u %s", node->id, silently ? "loses power" : "is killed");
    if (node->writing && cluster_draw(w, 2))
        cluster_disk_take(w, node, node->writing);
    if (w->o.mutation == MUTATE_EARLY_DURABLE)
        lose_writes(node);
    for (uint32_t i = 0; i < w->submission_count; i++) {
        struct cluster_submission *s = &w->submissions[i];
        if (s->fate == FATE_WAITING && s->node == node->id && s->incarnation == node->incarnation) {
            s->fate = FATE_LOST;
            w->stats.lost++;
        }
    }
    cluster_node_stop(w, node);
    cluster_net_crashed(w, node->id, silently);
    if (down_us >= 0)
        node_at(w, node, down_us, EVENT_RESTART, node->incarnation);
}
