/* See order.h. Kahn's algorithm with a binary heap on the ids. */
#include "chain/order.h"

#include "base/mem.h"
#include "chain/bytemap.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct edge {
    uint32_t to;
    uint32_t next; /* the next edge from the same node; BYTEMAP_NONE: none */
};

struct graph {
    struct tx *const *txs;
    uint32_t count;
    uint32_t *first;    /* per node: its first edge */
    uint32_t *incoming; /* per node: edges into it that are not yet satisfied */
    bool *done;
    struct edge *edges;
    size_t edge_count;
    size_t edge_cap;
    struct bytemap ids;
    struct bytemap namespaces; /* name of a namespace -> transaction with an output that is it */
    uint32_t *heap;
    uint32_t heap_count;
};

static int by_id(const void *a, const void *b)
{
    return memcmp((*(struct tx *const *)a)->id, (*(struct tx *const *)b)->id, TX_ID_SIZE);
}

static void edge_add(struct graph *g, uint32_t from, uint32_t to)
{
    if (from == to)
        return;
    if (g->edge_count == g->edge_cap) {
        g->edge_cap = g->edge_cap ? 2 * g->edge_cap : 64;
        g->edges = mem_reallocarray(g->edges, g->edge_cap, sizeof(*g->edges));
    }
    g->edges[g->edge_count] = (struct edge){to, g->first[from]};
    g->first[from] = (uint32_t)g->edge_count++;
    g->incoming[to]++;
}

static bool is_namespace(const struct resource_key *key)
{
    return !*key->group && !*key->namespace && strcmp(key->resource, "namespaces") == 0;
}

/* Several transactions of a set may have one namespace as an output; they are tied to each other by their
 * inputs, and the one of the lowest id stands for them here. */
static void namespaces_note(struct graph *g)
{
    for (uint32_t i = 0; i < g->count; i++)
        for (size_t k = 0; k < g->txs[i]->output_count; k++) {
            const struct resource_key *key = &g->txs[i]->outputs[k].key;
            size_t len = strlen(key->name);
            if (is_namespace(key) && bytemap_get(&g->namespaces, key->name, len) == BYTEMAP_NONE)
                bytemap_set(&g->namespaces, key->name, len, i);
        }
}

static void edge_to_parent(struct graph *g, uint32_t child, const struct resource_key *key)
{
    uint32_t parent = bytemap_get(&g->namespaces, key->namespace, strlen(key->namespace));
    if (parent == BYTEMAP_NONE)
        return;
    for (size_t k = 0; k < g->txs[parent]->output_count; k++) {
        const struct tx_output *output = &g->txs[parent]->outputs[k];
        if (!is_namespace(&output->key) || strcmp(output->key.name, key->namespace) != 0)
            continue;
        if (output->op == TX_OUTPUT_DELETE)
            edge_add(g, child, parent);
        else
            edge_add(g, parent, child);
        return;
    }
}

static void edges_find(struct graph *g)
{
    for (uint32_t i = 0; i < g->count; i++) {
        const struct tx *tx = g->txs[i];
        for (size_t k = 0; k < tx->input_count; k++) {
            uint32_t from = bytemap_get(&g->ids, tx->inputs[k].tx_id, TX_ID_SIZE);
            if (from != BYTEMAP_NONE)
                edge_add(g, from, i);
        }
        for (size_t k = 0; g->namespaces.count && k < tx->output_count; k++)
            if (*tx->outputs[k].key.namespace)
                edge_to_parent(g, i, &tx->outputs[k].key);
    }
}

/* The transactions are sorted by id before, so comparing indices compares ids. */
static void heap_push(struct graph *g, uint32_t node)
{
    uint32_t i = g->heap_count++;
    while (i && g->heap[(i - 1) / 2] > node) {
        g->heap[i] = g->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    g->heap[i] = node;
}

static uint32_t heap_pop(struct graph *g)
{
    uint32_t top = g->heap[0];
    uint32_t last = g->heap[--g->heap_count];
    uint32_t i = 0;
    for (;;) {
        uint32_t child = 2 * i + 1;
        if (child >= g->heap_count)
            break;
        if (child + 1 < g->heap_count && g->heap[child + 1] < g->heap[child])
            child++;
        if (g->heap[child] >= last)
            break;
        g->heap[i] = g->heap[child];
        i = child;
    }
    g->heap[i] = last;
    return top;
}

static void graph_build(struct graph *g, struct tx *const *txs, size_t count)
{
    *g = (struct graph){.txs = txs, .count = (uint32_t)count};
    g->first = mem_alloc((count + 1) * sizeof(*g->first));
    memset(g->first, 0xff, (count + 1) * sizeof(*g->first));
    g->incoming = mem_calloc(count + 1, sizeof(*g->incoming));
    g->done = mem_calloc(count + 1, sizeof(*g->done));
    g->heap = mem_calloc(count + 1, sizeof(*g->heap));
    for (uint32_t i = 0; i < g->count; i++)
        bytemap_set(&g->ids, txs[i]->id, TX_ID_SIZE, i);
    namespaces_note(g);
    edges_find(g);
}

static void graph_free(struct graph *g)
{
    free(g->first);
    free(g->incoming);
    free(g->done);
    free(g->heap);
    free(g->edges);
    bytemap_free(&g->ids);
    bytemap_free(&g->namespaces);
}

static void node_finish(struct graph *g, uint32_t node)
{
    g->done[node] = true;
    for (uint32_t e = g->first[node]; e != BYTEMAP_NONE; e = g->edges[e].next)
        if (--g->incoming[g->edges[e].to] == 0 && !g->done[g->edges[e].to])
            heap_push(g, g->edges[e].to);
}

void order_txs(struct tx **txs, size_t count)
{
    assert(count < UINT32_MAX);
    qsort(txs, count, sizeof(struct tx *), by_id);
    struct graph g;
    graph_build(&g, txs, count);
    if (g.edge_count) {
        mem_auto struct tx **sorted = mem_calloc(count, sizeof(struct tx *));
        for (uint32_t i = 0; i < count; i++)
            if (!g.incoming[i])
                heap_push(&g, i);
        uint32_t lowest = 0;
        for (size_t out = 0; out < count; out++) {
            while (lowest < count && g.done[lowest])
                lowest++;
            uint32_t node = g.heap_count ? heap_pop(&g) : lowest;
            sorted[out] = txs[node];
            node_finish(&g, node);
        }
        memcpy(txs, sorted, count * sizeof(struct tx *));
    }
    graph_free(&g);
}

bool order_is_canonical(struct tx *const *txs, size_t count)
{
    mem_auto struct tx **sorted = mem_calloc(count + 1, sizeof(struct tx *));
    if (count)
        memcpy(sorted, txs, count * sizeof(struct tx *));
    order_txs(sorted, count);
    return count == 0 || memcmp(sorted, txs, count * sizeof(struct tx *)) == 0;
}
