/*
 * The network: a connection between each two nodes. Its two ends may think differently of it. Frames arrive
 * in order; those of a blocked direction wait. An end that hears nothing for three heartbeats closes; a
 * closed connection is tried again after a while.
 */
#include "cluster.h"

#include <assert.h>

#define SILENCE_US 3000000
#define REFUSED_US 5000000

struct cluster_packet *cluster_packet(uint32_t from, const void *bytes, size_t len)
{
    struct cluster_packet *packet = mem_alloc(sizeof(*packet) + len);
    *packet = (struct cluster_packet){.references = 1, .from = from, .len = len};
    memcpy(packet->bytes, bytes, len);
    return packet;
}

void cluster_packet_drop(struct cluster_packet *packet)
{
    if (packet && --packet->references == 0)
        free(packet);
}

static uint32_t link_index(const struct cluster_world *w, uint32_t a, uint32_t b)
{
    uint32_t low = a < b ? a : b, high = a < b ? b : a;
    return low * w->o.nodes + high;
}

struct cluster_link *cluster_link(struct cluster_world *w, uint32_t a, uint32_t b)
{
    assert(a != b);
    return &w->links[link_index(w, a, b)];
}

static uint32_t end_of(const struct cluster_link *link, uint32_t node)
{
    return link->a == node ? 0 : 1;
}

static uint32_t node_at(const struct cluster_link *link, uint32_t end)
{
    return end == 0 ? link->a : link->b;
}

bool cluster_is_connected(struct cluster_world *w, uint32_t node, uint32_t peer)
{
    const struct cluster_link *link = cluster_link(w, node, peer);
    return link->up[end_of(link, node)];
}

static int64_t latency(struct cluster_world *w)
{
    return cluster_draw_us(w, w->o.latency_min_us, w->o.latency_max_us);
}

static void link_at(struct cluster_world *w, struct cluster_link *link, int64_t delay,
                    enum cluster_event_type type, uint32_t end, struct cluster_packet *packet)
{
    cluster_at(w, delay,
               (struct cluster_event){.type = type,
                                      .node = (uint32_t)(link - w->links),
                                      .end = end,
                                      .stamp = link->epoch,
                                      .packet = packet});
}

/* The delay of something that travels to an end now, behind all that went before. */
static int64_t travel(struct cluster_world *w, struct cluster_link *link, uint32_t end)
{
    struct cluster_direction *d = &link->to[end];
    int64_t arrival = w->now + latency(w);
    if (arrival <= d->last_arrival)
        arrival = d->last_arrival + 1;
    d->last_arrival = arrival;
    return arrival - w->now;
}

static void held_drop(struct cluster_link *link, uint32_t end)
{
    while (link->held[end]) {
        struct cluster_frame *frame = link->held[end];
        link->held[end] = frame->next;
        cluster_packet_drop(frame->packet);
        free(frame);
    }
    link->held_last[end] = NULL;
}

static void hold(struct cluster_link *link, uint32_t end, struct cluster_packet *packet)
{
    struct cluster_frame *frame = mem_alloc(sizeof(*frame));
    *frame = (struct cluster_frame){.packet = packet};
    if (link->held_last[end])
        link->held_last[end]->next = frame;
    else
        link->held[end] = frame;
    link->held_last[end] = frame;
}

static void attempt_later(struct cluster_world *w, struct cluster_link *link)
{
    if (link->attempt_scheduled)
        return;
    link->attempt_scheduled = true;
    link_at(w, link, cluster_draw_us(w, 50000, 800000), EVENT_ATTEMPT, 0, NULL);
}

/* An end lets go of the connection; the other one will hear of it, or of nothing. */
static void end_close(struct cluster_world *w, struct cluster_link *link, uint32_t end, bool tell)
{
    if (!link->up[end])
        return;
    link->up[end] = false;
    uint32_t node = node_at(link, end), other = 1 - end;
    held_drop(link, end);
    if (w->nodes[node].up && w->o.mutation != MUTATE_DEAF)
        cluster_node_peer(w, &w->nodes[node], node_at(link, other), false);
    if (link->up[other] && tell && !link->to[other].blocked)
        link_at(w, link, travel(w, link, other), EVENT_DOWN, other, NULL);
    attempt_later(w, link);
}

static void connect_ends(struct cluster_world *w, struct cluster_link *link)
{
    for (uint32_t end = 0; end < 2; end++)
        end_close(w, link, end, false); /* half open: the old connection is replaced */
    link->epoch++;
    w->stats.connections++;
    for (uint32_t end = 0; end < 2; end++) {
        held_drop(link, end);
        link->to[end].last_arrival = w->now;
        link_at(w, link, travel(w, link, end), EVENT_UP, end, NULL);
    }
}

static bool is_up(const struct cluster_link *link)
{
    return link->up[0] && link->up[1];
}

static bool can_connect(const struct cluster_world *w, const struct cluster_link *link)
{
    if (w->now < link->refused_until)
        return false;
    return w->nodes[link->a].up && w->nodes[link->b].up && !link->to[0].blocked && !link->to[1].blocked;
}

static void attempt(struct cluster_world *w, struct cluster_link *link)
{
    link->attempt_scheduled = false;
    if (is_up(link))
        return;
    if (can_connect(w, link))
        connect_ends(w, link);
    else if (w->nodes[link->a].up || w->nodes[link->b].up)
        attempt_later(w, link);
}

void cluster_net_event(struct cluster_world *w, const struct cluster_event *event)
{
    struct cluster_link *link = &w->links[event->node];
    uint32_t end = event->end, node = node_at(link, end);
    if (event->type == EVENT_ATTEMPT) {
        attempt(w, link);
        return;
    }
    if (event->stamp != link->epoch || !w->nodes[node].up)
        return;
    switch (event->type) {
    case EVENT_FRAME:
        if (link->up[end])
            cluster_node_receive(w, &w->nodes[node], event->packet);
        break;
    case EVENT_UP:
        link->up[end] = true;
        cluster_node_peer(w, &w->nodes[node], node_at(link, 1 - end), true);
        break;
    case EVENT_DOWN:
        end_close(w, link, end, false);
        break;
    case EVENT_SILENCE:
        if (link->up[end] && link->to[end].blocked && w->now - link->to[end].blocked_since >= SILENCE_US)
            end_close(w, link, end, true);
        break;
    default:
        break;
    }
}

void cluster_send(struct cluster_world *w, uint32_t from, uint32_t to, struct cluster_packet *packet)
{
    struct cluster_link *link = cluster_link(w, from, to);
    uint32_t end = end_of(link, to);
    if (!link->up[1 - end])
        return;
    w->stats.messages++;
    w->stats.bytes += packet->len;
    w->nodes[from].messages_out++;
    w->nodes[from].bytes_out += packet->len;
    packet->references++;
    if (link->to[end].blocked)
        hold(link, end, packet);
    else
        link_at(w, link, travel(w, link, end), EVENT_FRAME, end, packet);
}

void cluster_block(struct cluster_world *w, uint32_t from, uint32_t to, bool blocked)
{
    struct cluster_link *link = cluster_link(w, from, to);
    uint32_t end = end_of(link, to);
    struct cluster_direction *d = &link->to[end];
    if (d->blocked == blocked)
        return;
    d->blocked = blocked;
    d->blocked_since = w->now;
    if (blocked) {
        link_at(w, link, SILENCE_US + cluster_draw(w, 500000), EVENT_SILENCE, end, NULL);
        return;
    }
    while (link->held[end]) {
        struct cluster_frame *frame = link->held[end];
        link->held[end] = frame->next;
        link_at(w, link, travel(w, link, end), EVENT_FRAME, end, frame->packet);
        free(frame);
    }
    link->held_last[end] = NULL;
    if (link->up[end] && !link->up[1 - end]) /* what comes now is answered by a reset */
        link_at(w, link, travel(w, link, end), EVENT_DOWN, end, NULL);
    if (!is_up(link))
        attempt_later(w, link);
}

void cluster_heal(struct cluster_world *w)
{
    for (uint32_t a = 0; a < w->o.nodes; a++)
        for (uint32_t b = 0; b < w->o.nodes; b++)
            if (a != b)
                cluster_block(w, a, b, false);
}

void cluster_reset(struct cluster_world *w, struct cluster_link *link)
{
    for (uint32_t end = 0; end < 2; end++)
        if (link->up[end])
            link_at(w, link, latency(w), EVENT_DOWN, end, NULL);
}

void cluster_refuse(struct cluster_world *w, uint32_t node, uint32_t peer)
{
    struct cluster_link *link = cluster_link(w, node, peer);
    link->refused_until = w->now + REFUSED_US;
    cluster_reset(w, link);
}

/* A machine that loses power says nothing; the kernel of a killed process closes its connections. */
void cluster_net_crashed(struct cluster_world *w, uint32_t node, bool silently)
{
    for (uint32_t peer = 0; peer < w->o.nodes; peer++) {
        if (peer == node)
            continue;
        struct cluster_link *link = cluster_link(w, node, peer);
        uint32_t end = end_of(link, node), other = 1 - end;
        link->up[end] = false;
        held_drop(link, end);
        held_drop(link, other);
        if (link->up[other] && (silently || link->to[other].blocked))
            link_at(w, link, SILENCE_US + cluster_draw(w, 500000), EVENT_DOWN, other, NULL);
        else if (link->up[other])
            link_at(w, link, travel(w, link, other), EVENT_DOWN, other, NULL);
        attempt_later(w, link);
    }
}

void cluster_net_started(struct cluster_world *w, uint32_t node)
{
    for (uint32_t peer = 0; peer < w->o.nodes; peer++)
        if (peer != node && w->nodes[peer].up)
            attempt_later(w, cluster_link(w, node, peer));
}

void cluster_net_begin(struct cluster_world *w)
{
    uint32_t n = w->o.nodes;
    w->link_count = n * n;
    w->links = mem_calloc(w->link_count, sizeof(*w->links));
    for (uint32_t a = 0; a < n; a++)
        for (uint32_t b = a + 1; b < n; b++) {
            struct cluster_link *link = cluster_link(w, a, b);
            link->a = a;
            link->b = b;
        }
}

void cluster_net_end(struct cluster_world *w)
{
    for (uint32_t i = 0; i < w->link_count; i++) {
        held_drop(&w->links[i], 0);
        held_drop(&w->links[i], 1);
    }
    free(w->links);
}
