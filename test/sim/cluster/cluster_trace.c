/* What a person reads of a run. */
#include "cluster.h"

#include "base/hex.h"
#include "consensus/message.h"

#include <stdarg.h>

static void trace_print(const struct cluster_world *w, const char *format, va_list ap)
{
    printf("%9.4f  ", (double)(w->now - CLUSTER_BEGINNING_US) / 1e6);
    vprintf(format, ap);
    putchar('\n');
}

void cluster_trace(const struct cluster_world *w, const char *format, ...)
{
    if (!w->o.trace)
        return;
    va_list ap;
    va_start(ap, format);
    trace_print(w, format, ap);
    va_end(ap);
}

/* Acting validators, and of these the proven liars, as a node sees them. */
static void count_acting(const struct cluster_node *node, uint32_t *acting, uint32_t *proven)
{
    struct consensus_validator validators[CLUSTER_NODES_MAX];
    size_t count = node->up ? consensus_validators(node->core, validators, CLUSTER_NODES_MAX) : 0;
    *acting = *proven = 0;
    for (size_t i = 0; i < count; i++) {
        *acting += validators[i].acting;
        *proven += validators[i].acting && validators[i].equivocated;
    }
}

/* For a person who reads a trace: what each node believes. */
static void trace_nodes(const struct cluster_world *w)
{
    for (uint32_t i = 0; i < w->o.nodes; i++) {
        const struct cluster_node *node = &w->nodes[i];
        const struct block_header *head = &chain_store_head(&node->store)->header;
        uint32_t acting, proven;
        count_acting(node, &acting, &proven);
        cluster_trace(
            w, "node %u%s%s: head %ju %s, final %ju, %zu pending, %zu orphans, %u acting, %u proven to lie",
            i, node->up ? "" : " (down)", node->liar ? " (lies)" : "", (uintmax_t)head->height,
            cluster_short(head->hash), (uintmax_t)node->final_height,
            node->up ? consensus_pending(node->core) : 0, node->store.orphan_count, acting, proven);
    }
}

void cluster_fail(struct cluster_world *w, const char *format, ...)
{
    if (w->failed)
        return;
    w->failed = true;
    va_list ap;
    va_start(ap, format);
    vsnprintf(w->failure, sizeof(w->failure), format, ap);
    va_end(ap);
    cluster_trace(w, "violated: %s", w->failure);
    trace_nodes(w);
}

const char *cluster_short(const uint8_t hash[HASH_SIZE])
{
    static char texts[8][9];
    static unsigned turn;
    char *text = texts[turn++ % 8];
    hex_encode(text, hash, 4);
    return text;
}

void cluster_trace_persist(const struct cluster_world *w, const struct cluster_node *node,
                           const struct consensus_persist *persist)
{
    if (persist->type == CONSENSUS_PERSIST_REWIND) {
        cluster_trace(w, "node %u goes back from block %zu to %ju", node->id, node->store.count - 1,
                      (uintmax_t)persist->height);
    } else if (persist->type == CONSENSUS_PERSIST_BLOCK) {
        const struct block_header *header = &persist->block->header;
        cluster_trace(w, "node %u has block %ju %s on %s by node %u, %u transactions%s", node->id,
                      (uintmax_t)header->height, cluster_short(header->hash), cluster_short(header->parent),
                      cluster_node_of_key(w, header->producer), header->tx_count,
                      persist->final ? ", final" : "");
    } else if (w->o.trace > 1) {
        cluster_trace(w, "node %u has a record of %zu bytes", node->id, persist->record_len);
    }
}

static void describe(const struct cluster_world *w, char what[160], const struct message *m)
{
    switch (m->type) {
    case MESSAGE_BLOCK:
        snprintf(what, 160, "block %ju %s on %s", (uintmax_t)m->block->header.height,
                 cluster_short(m->block->header.hash), cluster_short(m->block->header.parent));
        break;
    case MESSAGE_TXS:
        snprintf(what, 160, "%zu transactions: first %s", m->tx_count, cluster_short(m->txs[0]->id));
        break;
    case MESSAGE_REJECT:
        snprintf(what, 160, "rejected %s: %.100s", cluster_short(m->tx_id), m->text);
        break;
    case MESSAGE_VOTES:
        snprintf(what, 160, "%zu votes", m->vote_count);
        if (m->vote_count > 0)
            snprintf(what, 160, "%zu votes: first %s of node %u, round %ju, %s, from round %ju",
                     m->vote_count, m->votes[0].kind == VOTE_ATTESTATION ? "attestation" : "checkpoint",
                     cluster_node_of_key(w, m->votes[0].validator), (uintmax_t)m->votes[0].round,
                     cluster_short(m->votes[0].target), (uintmax_t)m->votes[0].number);
        break;
    case MESSAGE_GET_CHAIN:
    case MESSAGE_GET_BLOCKS:
        snprintf(what, 160, "get %s, %zu hashes from %s", m->type == MESSAGE_GET_CHAIN ? "chain" : "blocks",
                 m->hash_count, m->hash_count ? cluster_short(m->hashes[0]) : "");
        break;
    case MESSAGE_AGAIN:
        snprintf(what, 160, "%zu transactions again: first %s", m->hash_count,
                 m->hash_count ? cluster_short(m->hashes[0]) : "");
        break;
    case MESSAGE_TAKE:
        snprintf(what, 160, "take slot %ju", (uintmax_t)m->slot);
        break;
    case MESSAGE_PROOF:
        snprintf(what, 160, "proof");
        break;
    default:
        snprintf(what, 160, "%s %ju %s",
                 m->type == MESSAGE_STATUS     ? "status"
                 : m->type == MESSAGE_HAVE     ? "have"
                 : m->type == MESSAGE_HANDOVER ? "handover"
                                               : "lack",
                 (uintmax_t)m->height, cluster_short(m->hash));
    }
}

void cluster_trace_send(const struct cluster_world *w, const struct cluster_node *node,
                        const struct consensus_send *send)
{
    struct message m;
    if (w->o.trace < 2)
        return;
    char to[16] = "all", what[160] = "garbage";
    if (send->to)
        snprintf(to, sizeof(to), "node %u", cluster_node_of_key(w, send->to));
    if (message_decode(&m, send->bytes, send->len, NULL) == 0) {
        describe(w, what, &m);
        message_free(&m);
    }
    cluster_trace(w, "node %u says to %s: %s", node->id, to, what);
}
