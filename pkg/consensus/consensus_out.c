/* What an update carries, and who waits for an answer. See consensus_internal.h. */
#include "consensus/consensus_internal.h"

#include "base/mem.h"

#include <assert.h>
#include <string.h>

void out_begin(struct consensus *c)
{
    for (size_t i = 0; i < c->garbage_count; i++)
        free(c->garbage[i]);
    c->garbage_count = 0;
    c->answer_count = 0;
    c->send_count = 0;
    c->blame_count = 0;
}

void out_free(struct consensus *c)
{
    out_begin(c);
    for (size_t i = 0; i < c->held_count; i++)
        free(c->held[i].text);
    free(c->held);
    free(c->garbage);
    free(c->answers);
    free(c->sends);
    free(c->blames);
    free(c->waiting);
    free(c->aliases);
}

const void *out_keep(struct consensus *c, void *memory)
{
    if (c->garbage_count == c->garbage_cap) {
        c->garbage_cap = c->garbage_cap ? 2 * c->garbage_cap : 16;
        c->garbage = mem_reallocarray(c->garbage, c->garbage_cap, sizeof(*c->garbage));
    }
    c->garbage[c->garbage_count++] = memory;
    return memory;
}

/* bytes stay valid until the next step. */
static void send_add(struct consensus *c, uint32_t to, const void *bytes, size_t len)
{
    if (c->send_count == c->send_cap) {
        c->send_cap = c->send_cap ? 2 * c->send_cap : 16;
        c->sends = mem_reallocarray(c->sends, c->send_cap, sizeof(*c->sends));
    }
    struct consensus_send *send = &c->sends[c->send_count++];
    *send = (struct consensus_send){.bytes = bytes, .len = len};
    if (to != NO_NODE)
        send->to = out_keep(c, mem_dup(c->nodes[to].key, TX_KEY_SIZE));
}

static bool is_heard_by(const struct consensus *c, uint32_t to)
{
    return c->peers_up && (to == NO_NODE || c->nodes[to].up);
}

void out_send(struct consensus *c, uint32_t to, const struct message *message)
{
    if (!is_heard_by(c, to))
        return;
    struct buf bytes = BUF_INIT;
    message_encode(&bytes, message);
    size_t len = bytes.len;
    send_add(c, to, out_keep(c, buf_steal(&bytes)), len);
}

void out_send_encoded(struct consensus *c, uint32_t to, const struct buf *message)
{
    if (is_heard_by(c, to))
        send_add(c, to, out_keep(c, mem_dup(message->data, message->len)), message->len);
}

void out_blame(struct consensus *c, uint32_t node, bool proof, const char *reason)
{
    if (node == NO_NODE || node == c->self)
        return;
    c->blames = mem_reallocarray(c->blames, c->blame_count + 1, sizeof(*c->blames));
    c->blames[c->blame_count++] =
        (struct consensus_blame){.peer = out_keep(c, mem_dup(c->nodes[node].key, TX_KEY_SIZE)),
                                 .proof = proof,
                                 .reason = out_keep(c, mem_strdup(reason))};
}

static struct consensus_answer *answer_add(struct consensus *c, void *token, const uint8_t tx_id[TX_ID_SIZE])
{
    if (c->answer_count == c->answer_cap) {
        c->answer_cap = c->answer_cap ? 2 * c->answer_cap : 64;
        c->answers = mem_reallocarray(c->answers, c->answer_cap, sizeof(*c->answers));
    }
    struct consensus_answer *answer = &c->answers[c->answer_count++];
    *answer = (struct consensus_answer){.token = token, .message = ""};
    memcpy(answer->tx_id, tx_id, TX_ID_SIZE);
    return answer;
}

/* Those who submitted the same transaction, too, are answered as the first one was. */
static void answer_finish(struct consensus *c, size_t index)
{
    for (size_t i = 0; i < c->alias_count;) {
        if (memcmp(c->aliases[i].tx_id, c->answers[index].tx_id, TX_ID_SIZE) != 0) {
            i++;
            continue;
        }
        struct consensus_answer *other = answer_add(c, c->aliases[i].token, c->aliases[i].tx_id);
        void *token = other->token;
        *other = c->answers[index];
        other->token = token;
        c->aliases[i] = c->aliases[--c->alias_count];
    }
}

void answer_alias(struct consensus *c, void *token, const uint8_t tx_id[TX_ID_SIZE])
{
    if (c->alias_count == c->alias_cap) {
        c->alias_cap = c->alias_cap ? 2 * c->alias_cap : 8;
        c->aliases = mem_reallocarray(c->aliases, c->alias_cap, sizeof(*c->aliases));
    }
    struct alias *alias = &c->aliases[c->alias_count++];
    alias->token = token;
    memcpy(alias->tx_id, tx_id, TX_ID_SIZE);
}

void answer_rejected(struct consensus *c, void *token, const uint8_t tx_id[TX_ID_SIZE], int code,
                     const char *message)
{
    struct consensus_answer *answer = answer_add(c, token, tx_id);
    answer->code = code;
    answer->message = out_keep(c, mem_strdup(message ? message : ""));
    answer_finish(c, c->answer_count - 1);
}

static void answer_give(struct consensus *c, void *token, const uint8_t tx_id[TX_ID_SIZE], uint64_t height,
                        uint64_t rv)
{
    struct consensus_answer *answer = answer_add(c, token, tx_id);
    answer->height = height;
    answer->rv = rv;
    answer_finish(c, c->answer_count - 1);
}

/* Up to which block of the current chain nothing is lost when this node's disk is: the newest that another
 * live validator has, too; the head when there is none. */
uint64_t answers_safe_height(const struct consensus *c)
{
    if (c->alone)
        return c->head.height;
    uint64_t safe = c->final_height;
    bool others = false;
    for (size_t i = 0; i < c->registry_count; i++) {
        uint32_t node = node_find(c, c->registry[i].key);
        if (node == NO_NODE || node == c->self || !c->nodes[node].up)
            continue;
        others = true;
        if (c->nodes[node].have_known && c->nodes[node].common_height > safe)
            safe = c->nodes[node].common_height;
    }
    return others ? safe : c->head.height;
}

void answer_included(struct consensus *c, void *token, const uint8_t tx_id[TX_ID_SIZE], uint64_t height,
                     uint64_t rv)
{
    if (c->alone) {
        answer_give(c, token, tx_id, height, rv);
        return;
    }
    if (c->waiting_count == c->waiting_cap) {
        c->waiting_cap = c->waiting_cap ? 2 * c->waiting_cap : 64;
        c->waiting = mem_reallocarray(c->waiting, c->waiting_cap, sizeof(*c->waiting));
    }
    struct waiting *waiting = &c->waiting[c->waiting_count++];
    *waiting = (struct waiting){.token = token, .height = height, .rv = rv};
    memcpy(waiting->tx_id, tx_id, TX_ID_SIZE);
}

bool answer_if_in_chain(struct consensus *c, void *token, const uint8_t tx_id[TX_ID_SIZE])
{
    uint64_t height;
    uint32_t index, outputs = 0;
    if (c->chain_ops->place_of_tx(c->store, tx_id, &height, &index, NULL) != 0)
        return false;
    struct block *block = NULL;
    struct block_header header;
    uint64_t rv = 0;
    if (c->chain_ops->block_at(c->store, height, &block, NULL) == 0) {
        for (uint32_t i = 0; i < index && i < block->header.tx_count; i++)
            outputs += (uint32_t)block->txs[i]->output_count;
        rv = block_rv(block->header.time_us, outputs);
    } else if (c->chain_ops->header_at(c->store, height, &header, NULL) == 0) {
        rv = block_head_rv(&header); /* the body was pruned */
    }
    block_free(block);
    answer_included(c, token, tx_id, height, rv);
    answers_release(c);
    return true;
}

void answers_release(struct consensus *c)
{
    if (c->waiting_count == 0)
        return;
    uint64_t safe = answers_safe_height(c);
    size_t kept = 0;
    for (size_t i = 0; i < c->waiting_count; i++) {
        struct waiting w = c->waiting[i];
        if (w.height <= safe)
            answer_give(c, w.token, w.tx_id, w.height, w.rv);
        else
            c->waiting[kept++] = w;
    }
    c->waiting_count = kept;
}
