/* The world: virtual time, random numbers, traces, and what a run begins and ends with. */
#include "cluster.h"

struct cluster_options cluster_options_default(void)
{
    return (struct cluster_options){
        .seed = 1,
        .nodes = 5,
        .latency_min_us = 200,
        .latency_max_us = 5000,
        .write_min_us = 200,
        .write_max_us = 3000,
    };
}

uint32_t cluster_draw(struct cluster_world *w, uint32_t bound)
{
    uint64_t z = (w->random += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)(((z ^ (z >> 31)) >> 32) * bound >> 32);
}

int64_t cluster_draw_us(struct cluster_world *w, int64_t min, int64_t max)
{
    return min + cluster_draw(w, (uint32_t)(max - min + 1));
}

/* ---- events ---- */

static bool earlier(const struct cluster_event *a, const struct cluster_event *b)
{
    return a->time != b->time ? a->time < b->time : a->order < b->order;
}

void cluster_at(struct cluster_world *w, int64_t delay, struct cluster_event event)
{
    if (w->event_count == w->event_cap) {
        w->event_cap = w->event_cap ? 2 * w->event_cap : 4096;
        w->events = mem_reallocarray(w->events, w->event_cap, sizeof(*w->events));
    }
    event.time = w->now + delay;
    event.order = w->event_order++;
    size_t at = w->event_count++;
    while (at > 0 && earlier(&event, &w->events[(at - 1) / 2])) {
        w->events[at] = w->events[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    w->events[at] = event;
}

static struct cluster_event event_take(struct cluster_world *w)
{
    struct cluster_event first = w->events[0], last = w->events[--w->event_count];
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

static void event_handle(struct cluster_world *w, const struct cluster_event *event)
{
    switch (event->type) {
    case EVENT_FRAME:
    case EVENT_UP:
    case EVENT_DOWN:
    case EVENT_SILENCE:
    case EVENT_ATTEMPT:
        cluster_net_event(w, event);
        break;
    case EVENT_DEADLINE:
        cluster_check_deadline(w, (uint32_t)event->stamp);
        break;
    default:
        cluster_node_event(w, event);
    }
}

void cluster_run(struct cluster_world *w, int64_t for_us)
{
    int64_t until = w->now + for_us;
    while (!w->failed && w->event_count > 0 && w->events[0].time <= until) {
        struct cluster_event event = event_take(w);
        w->now = event.time;
        event_handle(w, &event);
        cluster_packet_drop(event.packet);
    }
    w->now = until;
}

/* ---- beginning and end ---- */

static void node_make(struct cluster_world *w, uint32_t id)
{
    struct cluster_node *node = &w->nodes[id];
    node->id = id;
    node->liar = id >= w->o.nodes - w->o.liars;
    cluster_key_make(w, node);
    if (w->o.skew_max_us)
        node->skew = cluster_draw_us(w, -w->o.skew_max_us, w->o.skew_max_us);
}

void cluster_begin(struct cluster_world *w, const struct cluster_options *options)
{
    *w = (struct cluster_world){.o = *options, .random = options->seed, .now = CLUSTER_BEGINNING_US};
    w->nodes = mem_calloc(w->o.nodes, sizeof(*w->nodes));
    w->group = mem_calloc(w->o.nodes, sizeof(*w->group));
    for (uint32_t i = 0; i < w->o.nodes; i++)
        node_make(w, i);
    cluster_setup(w);
    cluster_net_begin(w);
    for (uint32_t i = 0; i < w->o.nodes; i++)
        cluster_node_start(w, &w->nodes[i]);
}

void cluster_end(struct cluster_world *w)
{
    for (uint32_t i = 0; i < w->o.nodes; i++) {
        struct cluster_node *node = &w->nodes[i];
        if (node->up)
            cluster_node_stop(w, node);
        chain_store_end(&node->store);
        free(node->waiting);
    }
    while (w->event_count > 0)
        cluster_packet_drop(w->events[--w->event_count].packet);
    cluster_net_end(w);
    for (uint32_t i = 0; i < w->submission_count; i++) {
        buf_free(&w->submissions[i].encoded);
        free(w->ids[i]);
    }
    bytemap_free(&w->by_id);
    bytemap_free(&w->checked);
    arena_free(&w->checked_hashes);
    block_free(w->genesis);
    tx_free(w->setup);
    free(w->submissions);
    free(w->ids);
    free(w->nodes);
    free(w->group);
    free(w->events);
    free(w->finals);
    free(w->seeds);
}
