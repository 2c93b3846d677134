/* The world: virtual time, the network between the nodes, and the faults. */
#include "net.h"

#include "base/mem.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include <sodium.h>

#define NET_BEGINNING_US 10000000 /* so that no clock that is behind is before 1970 */

struct net_options net_options_default(void)
{
    return (struct net_options){
        .seed = 1,
        .nodes = 5,
        .roles = {1000000, 32, ROLES_COMMITTEE_MAX},
        .round_us = 500000,
        .tick_us = 25000,
        .turn_us = 50000,
        .latency_min_us = 1000,
        .latency_max_us = 20000,
    };
}

uint32_t net_draw(struct net_world *w, uint32_t bound)
{
    uint64_t z = (w->random += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)(((z ^ (z >> 31)) >> 32) * bound >> 32);
}

void net_trace(const struct net_world *w, const char *format, ...)
{
    if (!w->o.trace)
        return;
    va_list ap;
    va_start(ap, format);
    printf("%9.3f  ", (double)(w->now - NET_BEGINNING_US) / 1e6);
    vprintf(format, ap);
    putchar('\n');
    va_end(ap);
}

static bool earlier(const struct net_event *a, const struct net_event *b)
{
    return a->time != b->time ? a->time < b->time : a->order < b->order;
}

void net_at(struct net_world *w, int64_t delay, enum net_event_type type, uint32_t node, uint32_t arg)
{
    if (w->event_count == w->event_cap) {
        w->event_cap = w->event_cap ? 2 * w->event_cap : 4096;
        w->events = mem_reallocarray(w->events, w->event_cap, sizeof(*w->events));
    }
    struct net_event event = {w->now + delay, w->event_order++, type, node, arg, w->nodes[node].incarnation};
    size_t at = w->event_count++;
    while (at > 0 && earlier(&event, &w->events[(at - 1) / 2])) {
        w->events[at] = w->events[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    w->events[at] = event;
}

static struct net_event event_take(struct net_world *w)
{
    struct net_event first = w->events[0], last = w->events[--w->event_count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= w->event_count)
            break;
        if (child + 1 < w->event_count && earlier(&w->events[child + 1], &w->events[child]))
            child++;
        if (!earlier(&w->events[child], &last))
            break;
        w->events[at] = w->events[child];
        at = child;
    }
    w->events[at] = last;
    return first;
}

static int64_t latency(struct net_world *w)
{
    int64_t most = w->o.latency_max_us;
    if (w->o.tail_percent && net_draw(w, 100) < w->o.tail_percent)
        most *= 10;
    return w->o.latency_min_us + net_draw(w, (uint32_t)(most - w->o.latency_min_us + 1));
}

static bool reaches(const struct net_world *w, uint32_t from, uint32_t to)
{
    return w->reach[(size_t)from * w->o.nodes + to];
}

static void transmit(struct net_world *w, uint32_t from, uint32_t to, uint32_t message)
{
    w->stats.messages++;
    if (!reaches(w, from, to) || (w->o.loss_percent && net_draw(w, 100) < w->o.loss_percent))
        return;
    net_at(w, latency(w), NET_DELIVER, to, message);
    if (w->o.double_percent && net_draw(w, 100) < w->o.double_percent)
        net_at(w, latency(w), NET_DELIVER, to, message);
}

void net_send(struct net_world *w, uint32_t from, uint32_t to, uint32_t message)
{
    transmit(w, from, to, message);
}

void net_broadcast(struct net_world *w, uint32_t from, uint32_t message)
{
    for (uint32_t to = 0; to < w->o.nodes; to++)
        if (to != from)
            transmit(w, from, to, message);
}

uint32_t net_say(struct net_world *w, const struct net_message *message)
{
    if (w->message_count == w->message_cap) {
        uint32_t cap = w->message_cap ? 2 * w->message_cap : 1024;
        w->messages = mem_reallocarray(w->messages, cap, sizeof(*w->messages));
        for (uint32_t i = 0; i < w->o.nodes; i++) {
            w->nodes[i].seen = mem_realloc(w->nodes[i].seen, cap);
            memset(w->nodes[i].seen + w->message_cap, 0, cap - w->message_cap);
            w->nodes[i].kept = mem_realloc(w->nodes[i].kept, cap);
            memset(w->nodes[i].kept + w->message_cap, 0, cap - w->message_cap);
        }
        w->message_cap = cap;
    }
    struct net_message *said = &w->messages[w->message_count];
    *said = *message;
    if (said->type == NET_BLOCK || said->type == NET_STATEMENT) {
        memcpy(said->vote.chain, w->blocks[0].fork.hash, HASH_SIZE);
        memcpy(said->vote.validator, w->public_keys[said->from], 32);
        if (w->o.sign) {
            vote_sign(&said->vote, w->secret_keys[said->from]);
            assert(vote_verify(&said->vote));
        }
    }
    return w->message_count++;
}

/* The shuffled validators of a slot. The epochs' seeds are hashes of the world's seed here. */
const uint32_t *net_order(struct net_world *w, uint64_t slot)
{
    unsigned at = slot % 4;
    if (w->order_slot[at] != slot) {
        uint64_t text[2] = {w->o.seed, roles_epoch(&w->o.roles, slot)};
        uint8_t seed[ROLES_SEED_SIZE];
        hash_content(seed, text, sizeof(text));
        roles_order(w->order[at], w->o.nodes, seed, slot);
        w->order_slot[at] = slot;
    }
    return w->order[at];
}

static void keys_make(struct net_world *w)
{
    w->public_keys = mem_calloc(w->o.nodes, 32);
    w->secret_keys = mem_calloc(w->o.nodes, 64);
    for (uint32_t i = 0; i < w->o.nodes; i++) {
        uint64_t text[2] = {w->o.seed, i};
        uint8_t seed[HASH_SIZE];
        hash_content(seed, text, sizeof(text));
        if (w->o.sign)
            crypto_sign_seed_keypair(w->public_keys[i], w->secret_keys[i], seed);
        else
            memcpy(w->public_keys[i], seed, 32);
    }
}

static uint32_t quorum_of(const struct net_options *o)
{
    if (o->mutation == MUTATE_QUORUM_MINUS_ONE)
        return o->nodes / 2;
    if (o->mutation == MUTATE_QUORUM_ALL)
        return o->nodes;
    return finality_quorum(o->nodes, o->byzantine);
}

void net_begin(struct net_world *w, const struct net_options *options)
{
    *w = (struct net_world){.o = *options, .random = options->seed, .now = NET_BEGINNING_US};
    uint32_t n = w->o.nodes;
    w->quorum = quorum_of(options);
    w->nodes = mem_calloc(n, sizeof(*w->nodes));
    w->reach = mem_alloc((size_t)n * n);
    w->group = mem_calloc(n, sizeof(*w->group));
    for (unsigned i = 0; i < 4; i++) {
        w->order[i] = mem_calloc(n, sizeof(uint32_t));
        w->order_slot[i] = UINT64_MAX;
    }
    keys_make(w);
    w->block_cap = 64;
    w->blocks = mem_calloc(w->block_cap, sizeof(*w->blocks));
    w->blocks[0] = (struct net_block){.parent = NET_NONE, .producer = NET_NONE};
    hash_content(w->blocks[0].fork.hash, &w->o.seed, sizeof(w->o.seed));
    if (w->o.churn) {
        w->blocks[0].members = mem_alloc(sizeof(struct membership));
        membership_init(w->blocks[0].members, n);
    }
    w->block_count = 1;
    memset(w->reach, 1, (size_t)n * n);
    for (uint32_t i = 0; i < n; i++) {
        struct net_node *node = &w->nodes[i];
        node->id = i;
        node->liar = i < w->o.liars;
        node->skew =
            w->o.skew_max_us ? (int64_t)net_draw(w, (uint32_t)(2 * w->o.skew_max_us)) - w->o.skew_max_us : 0;
        node->heard = mem_calloc(n, sizeof(*node->heard));
        node->recent = mem_calloc((size_t)n * NET_RECENT, sizeof(*node->recent));
        node->blocks = mem_zalloc(w->block_cap);
        node->blocks[0] = 1;
        memcpy(node->disk.finalized.block, w->blocks[0].fork.hash, HASH_SIZE);
        node->disk.justified = node->disk.finalized;
        net_node_start(w, node);
    }
}

void net_end(struct net_world *w)
{
    for (uint32_t i = 0; i < w->o.nodes; i++) {
        struct net_node *node = &w->nodes[i];
        if (node->up)
            net_node_stop(node);
        free(node->heard);
        free(node->recent);
        free(node->blocks);
        free(node->seen);
        free(node->kept);
        free(node->known);
        free(node->included);
        free(node->known_since);
        free(node->waiting);
    }
    for (uint32_t i = 0; i < w->block_count; i++) {
        free(w->blocks[i].txs);
        free(w->blocks[i].members);
    }
    for (unsigned i = 0; i < 4; i++)
        free(w->order[i]);
    free(w->nodes);
    free(w->reach);
    free(w->group);
    free(w->public_keys);
    free(w->secret_keys);
    free(w->blocks);
    free(w->messages);
    free(w->txs);
    free(w->events);
}

void net_heal(struct net_world *w)
{
    memset(w->reach, 1, (size_t)w->o.nodes * w->o.nodes);
    memset(w->group, 0, w->o.nodes * sizeof(*w->group));
}

void net_cut(struct net_world *w, uint32_t groups)
{
    for (uint32_t a = 0; a < w->o.nodes; a++)
        for (uint32_t b = 0; b < w->o.nodes; b++)
            w->reach[(size_t)a * w->o.nodes + b] = w->group[a] == w->group[b];
    net_trace(w, "the network is cut into %u groups", groups);
}

void net_crash(struct net_world *w, struct net_node *node, int64_t down_us)
{
    if (!node->up)
        return;
    w->stats.crashes++;
    net_trace(w, "node %u crashes", node->id);
    net_node_stop(node);
    node->incarnation++;
    if (down_us >= 0)
        net_at(w, down_us, NET_RESTART, node->id, 0);
}

static void txs_grow(struct net_world *w)
{
    uint32_t cap = w->tx_cap ? 2 * w->tx_cap : 64;
    w->txs = mem_reallocarray(w->txs, cap, sizeof(*w->txs));
    for (uint32_t i = 0; i < w->o.nodes; i++) {
        struct net_node *node = &w->nodes[i];
        node->known = mem_realloc(node->known, cap);
        node->included = mem_realloc(node->included, cap);
        node->known_since = mem_reallocarray(node->known_since, cap, sizeof(*node->known_since));
        memset(node->known + w->tx_cap, 0, cap - w->tx_cap);
        memset(node->included + w->tx_cap, 0, cap - w->tx_cap);
    }
    w->tx_cap = cap;
}

uint32_t net_submit(struct net_world *w, struct net_node *node)
{
    assert(node->up);
    if (w->tx_count == w->tx_cap)
        txs_grow(w);
    uint32_t tx = w->tx_count++;
    w->txs[tx] = (struct net_tx){.node = node->id, .incarnation = node->incarnation, .submitted = w->now};
    net_trace(w, "node %u takes transaction %u", node->id, tx);
    net_node_adopt_tx(w, node, tx);
    uint32_t message = net_say(w, &(struct net_message){.type = NET_TX, .from = node->id, .id = tx});
    node->seen[message] = 1;
    net_broadcast(w, node->id, message);
    int64_t bound = 2 * w->o.roles.slot_us + w->o.nodes * w->o.turn_us;
    net_at(w, bound, NET_DEADLINE, node->id, tx);
    return tx;
}

/* A peer answers an inventory: what it has and the asker lacks is sent. */
static void sync_answer(struct net_world *w, struct net_node *peer, struct net_node *asker)
{
    for (uint32_t i = 0; i < w->message_count; i++)
        if (peer->seen[i] && !asker->seen[i])
            net_send(w, peer->id, asker->id, i);
}

static void event_handle(struct net_world *w, const struct net_event *e)
{
    struct net_node *node = &w->nodes[e->node];
    bool same_life = node->up && e->incarnation == node->incarnation;
    switch (e->type) {
    case NET_TICK:
        if (same_life) {
            net_node_tick(w, node);
            net_at(w, w->o.tick_us, NET_TICK, node->id, 0);
        }
        break;
    case NET_DELIVER:
        if (node->up && !node->seen[e->arg])
            net_node_receive(w, node, e->arg);
        break;
    case NET_LOCK_WRITTEN:
        if (same_life)
            net_node_lock_written(w, node);
        break;
    case NET_BLOCK_WRITTEN:
        if (same_life)
            net_node_block_written(w, node, e->arg);
        break;
    case NET_RESTART:
        if (!node->up) {
            net_trace(w, "node %u starts again", node->id);
            net_node_start(w, node);
        }
        break;
    case NET_SYNC:
        if (node->up)
            sync_answer(w, node, &w->nodes[e->arg]);
        break;
    case NET_DEADLINE:
        net_check_deadline(w, e->arg);
        break;
    }
}

void net_run(struct net_world *w, int64_t for_us)
{
    int64_t until = w->now + for_us;
    while (!w->failed && w->event_count > 0 && w->events[0].time <= until) {
        struct net_event event = event_take(w);
        w->now = event.time;
        event_handle(w, &event);
    }
    w->now = until;
}
