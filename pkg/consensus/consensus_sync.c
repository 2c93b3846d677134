/* Asking peers for what is missing here, and answering them. See consensus_internal.h. */
#include "consensus/consensus_internal.h"

#include "base/mem.h"

#include <string.h>

#define BODIES_QUEUED_MAX 256 /* while more blocks wait to be written, none are asked for */
#define LOCATOR_DENSE 32

/* ---- who has what ---- */

static bool have_update(struct consensus *c, struct node *n)
{
    const struct fork_node *node = c->tree ? fork_choice_find(c->tree, n->have) : NULL;
    if (node)
        n->common_height = fork_node_block(fork_node_common(node, tree_head(c)))->height;
    else if (chain_has(c, n->have_height, n->have))
        n->common_height = n->have_height;
    else
        return n->have_known = false;
    return n->have_known = true;
}

void sync_note_have(struct consensus *c, uint32_t node, uint64_t height, const uint8_t hash[HASH_SIZE],
                    bool ask_now)
{
    struct node *n = &c->nodes[node];
    bool was_known = n->have_known || n->have_height == 0;
    n->have_height = height;
    memcpy(n->have, hash, HASH_SIZE);
    if (have_update(c, n))
        return;
    if (was_known)
        n->unknown_since_us = c->now_us;
    if (ask_now)
        sync_ask_chain(c, node);
}

void sync_head_changed(struct consensus *c)
{
    for (uint32_t i = 0; i < c->node_count; i++)
        if (c->nodes[i].up && c->nodes[i].have_height)
            have_update(c, &c->nodes[i]);
}

/* What peers were told was of another branch. */
void sync_rewound(struct consensus *c)
{
    for (uint32_t i = 0; i < c->node_count; i++)
        c->nodes[i].told_height = UINT64_MAX;
    sync_head_changed(c);
}

static void have_send(struct consensus *c, uint32_t to)
{
    struct message message = {.type = MESSAGE_HAVE, .height = c->head.height};
    memcpy(message.hash, c->head.hash, HASH_SIZE);
    c->nodes[to].told_height = c->head.height;
    out_send(c, to, &message);
}

static bool has_signed(const struct block *block, const uint8_t key[TX_KEY_SIZE])
{
    for (uint32_t i = 0; i < block->header.tx_count; i++)
        if (memcmp(key, block->txs[i]->node_key, TX_KEY_SIZE) == 0)
            return true;
    return false;
}

/* Whether answers, or the next block, wait to hear from this node that the head is durable. Its producer
 * hears of it from those who accepted the transactions: if their disks are slow, it goes on after BATCH_US.
 */
static bool is_concerned(const struct consensus *c, uint32_t node, const struct block *block)
{
    const uint8_t *key = c->nodes[node].key;
    if (has_signed(block, key))
        return true;
    if (memcmp(key, block->header.producer, TX_KEY_SIZE) == 0)
        return has_signed(block, c->nodes[c->self].key);
    return node == c->producer;
}

void sync_have(struct consensus *c, const struct block *block)
{
    for (uint32_t i = 0; i < c->node_count; i++) {
        uint64_t told = c->nodes[i].told_height;
        if (c->nodes[i].up &&
            (is_concerned(c, i, block) || told > c->head.height || c->head.height - told >= HAVE_BLOCKS))
            have_send(c, i);
    }
}

void sync_have_rest(struct consensus *c)
{
    for (uint32_t i = 0; i < c->node_count; i++)
        if (c->nodes[i].up && c->nodes[i].told_height != c->head.height)
            have_send(c, i);
}

/* Whoever makes blocks may be gone in the middle of sending one: nobody else sends it unasked. */
void sync_peer_down(struct consensus *c, uint32_t node)
{
    if (node != c->producer && node != node_find(c, c->head.producer))
        return;
    c->lost_us = c->now_us;
    sync_have_rest(c);
}

/* How long what was announced has to come by itself. */
static int64_t patience(const struct consensus *c)
{
    return c->lost_us && c->now_us - c->lost_us < LOST_US ? 0 : ASK_LATER_US;
}

void sync_status(struct consensus *c, uint32_t to)
{
    tree_ensure(c);
    struct message message = {.type = MESSAGE_STATUS,
                              .height = c->head.height,
                              .finalized = *finality_finalized(c->finality),
                              .justified = *finality_justified(c->finality),
                              .finalized_height = c->final_height};
    memcpy(message.hash, c->head.hash, HASH_SIZE);
    c->nodes[to].told_height = c->head.height;
    out_send(c, to, &message);
}

void sync_peer_up(struct consensus *c, uint32_t node)
{
    struct node *n = &c->nodes[node];
    n->have_height = 0;
    n->have_known = false;
    n->silent_until_us = 0;
    n->asked_until_us = n->avoid_until_us = 0;
    memset(n->newest, 0, HASH_SIZE);
    sync_status(c, node);
    votes_send(c, node, true);
    proofs_send(c, node);
}

void receive_have(struct consensus *c, uint32_t from, const struct message *message)
{
    sync_note_have(c, from, message->height, message->hash, false);
    answers_release(c);
}

/* If the answer was of use, the next question follows. */
void receive_end(struct consensus *c, uint32_t from, const struct message *message)
{
    struct node *n = &c->nodes[from];
    bool asked = n->asked_until_us > 0;
    n->asked_until_us = 0;
    if (asked && !n->progress)
        n->avoid_until_us = c->now_us + ASK_US;
    sync_note_have(c, from, message->height, message->hash, asked && n->progress);
    answers_release(c);
}

/* Less than 0: what that peer knows to be final or justified is older than what this node does. */
static int status_compare(const struct consensus *c, const struct message *message)
{
    const struct checkpoint *finalized = finality_finalized(c->finality);
    const struct checkpoint *justified = finality_justified(c->finality);
    if (message->justified.round != justified->round)
        return message->justified.round < justified->round ? -1 : 1;
    if (message->finalized.round != finalized->round)
        return message->finalized.round < finalized->round ? -1 : 1;
    return 0;
}

/* Whoever is behind in what is final has missed votes; they are not said again by those for whom all is
 * final. Who is ahead learns from the answer what to send. */
void receive_status(struct consensus *c, uint32_t from, const struct message *message)
{
    sync_note_have(c, from, message->height, message->hash, true);
    answers_release(c);
    if (c->alone || !c->tree)
        return;
    int order = status_compare(c, message);
    if (order < 0)
        votes_send(c, from, true);
    else if (order > 0 && c->nodes[from].status_round != c->round) {
        c->nodes[from].status_round = c->round;
        sync_status(c, from);
    }
}

/* ---- asking ---- */

static bool is_asking(const struct consensus *c)
{
    for (uint32_t i = 0; i < c->node_count; i++)
        if (c->nodes[i].up && c->nodes[i].asked_until_us > c->now_us)
            return true;
    return false;
}

/* A validator has more than so many blocks beyond our head that are not known here: who makes blocks now
 * makes them in vain. One that does not send what it announces does not count. */
bool sync_is_behind(const struct consensus *c, uint64_t blocks)
{
    for (uint32_t i = 0; c->peers_up && i < c->node_count; i++) {
        const struct node *n = &c->nodes[i];
        if (n->up && !n->have_known && n->have_height > c->head.height + blocks &&
            n->avoid_until_us <= c->now_us && node_is_registered(c, i))
            return true;
    }
    return false;
}

/* Who does not answer is left alone for a while. */
static void question_expire(struct consensus *c, struct node *n)
{
    if (n->asked_until_us == 0 || n->asked_until_us > c->now_us)
        return;
    n->asked_until_us = 0;
    if (!n->progress)
        n->avoid_until_us = c->now_us + UNAVAILABLE_US;
}

/* Blocks that wait to be written come first. Those of a branch that is not chosen yet do not count: it may be
 * chosen only when all of it is known. */
static bool has_enough(const struct consensus *c)
{
    return c->advancing && c->body_count > BODIES_QUEUED_MAX;
}

/* Hashes back from the newest block that is known of that peer's chain, first one by one and then in growing
 * steps, down to the root. A
 * branch that is fetched piece by piece may well be shorter than this node's own for a while. */
static size_t locator(const struct consensus *c, const struct node *peer, uint8_t (*hashes)[HASH_SIZE])
{
    const struct fork_node *node = fork_choice_find(c->tree, peer->newest);
    const struct fork_node *head = tree_head(c);
    if (!node || fork_node_leads_to(node, head))
        node = head;
    size_t count = 0;
    for (uint64_t step = 1; count < MESSAGE_LOCATOR_MAX - 1; step *= count < LOCATOR_DENSE ? 1 : 2) {
        memcpy(hashes[count++], fork_node_block(node)->hash, HASH_SIZE);
        for (uint64_t i = 0; i < step && fork_node_parent(node); i++)
            node = fork_node_parent(node);
        if (!fork_node_parent(node))
            break;
    }
    const uint8_t *root = fork_node_block(fork_choice_root(c->tree))->hash;
    if (memcmp(hashes[count - 1], root, HASH_SIZE) != 0)
        memcpy(hashes[count++], root, HASH_SIZE);
    return count;
}

void sync_ask_chain(struct consensus *c, uint32_t node)
{
    struct node *n = &c->nodes[node];
    if (is_asking(c) || n->avoid_until_us > c->now_us || has_enough(c))
        return;
    tree_ensure(c);
    uint8_t hashes[MESSAGE_LOCATOR_MAX][HASH_SIZE];
    struct message message = {.type = MESSAGE_GET_CHAIN, .hashes = hashes};
    message.hash_count = locator(c, n, hashes);
    n->asked_until_us = c->now_us + ASK_US;
    n->progress = false;
    out_send(c, node, &message);
}

/* Of a peer that is known to have what stands on it; else of any. */
void sync_ask_blocks(struct consensus *c, const struct fork_node *last, uint8_t (*hashes)[HASH_SIZE],
                     size_t count)
{
    uint32_t chosen = NO_NODE;
    for (uint32_t i = 0; i < c->node_count; i++) {
        if (!c->nodes[i].up || c->nodes[i].lacks_until_us > c->now_us)
            continue;
        const struct fork_node *have = fork_choice_find(c->tree, c->nodes[i].have);
        if (chosen == NO_NODE || (have && fork_node_leads_to(last, have)))
            chosen = i;
    }
    if (chosen == NO_NODE)
        return;
    struct message message = {.type = MESSAGE_GET_BLOCKS, .hashes = hashes, .hash_count = count};
    out_send(c, chosen, &message);
}

/* What was announced and has not come by itself is asked for. */
void sync_tick(struct consensus *c)
{
    for (uint32_t i = 0; c->peers_up && i < c->node_count; i++) {
        struct node *n = &c->nodes[i];
        question_expire(c, n);
        if (!n->up || n->have_known || n->have_height == 0 || have_update(c, n))
            continue;
        if (c->now_us - n->unknown_since_us >= patience(c))
            sync_ask_chain(c, i);
    }
}

/* When the question under way, to whatever peer, has been answered or given up. */
static int64_t answer_due(const struct consensus *c)
{
    int64_t due = INT64_MAX;
    for (uint32_t i = 0; i < c->node_count; i++) {
        const struct node *n = &c->nodes[i];
        if (n->up && n->asked_until_us > c->now_us && n->asked_until_us < due)
            due = n->asked_until_us;
    }
    return due;
}

int64_t sync_wake(const struct consensus *c)
{
    int64_t wake = INT64_MAX, due = answer_due(c);
    for (uint32_t i = 0; c->peers_up && i < c->node_count; i++) {
        const struct node *n = &c->nodes[i];
        if (!n->up || n->have_known || n->have_height == 0)
            continue;
        int64_t at = n->unknown_since_us + patience(c);
        if (n->avoid_until_us > at)
            at = n->avoid_until_us;
        if (due != INT64_MAX && at < c->now_us)
            at = due;
        if (has_enough(c))
            at = INT64_MAX;
        wake = at < wake ? at : wake;
    }
    return wake;
}

void receive_lack(struct consensus *c, uint32_t from, const struct message *message)
{
    struct node *n = &c->nodes[from];
    if (c->missing_since_us && memcmp(message->hash, c->missing, HASH_SIZE) == 0) {
        n->lacks_until_us = c->now_us + UNAVAILABLE_US; /* another may have it */
        missing_forget(c);
        c->head_stale = true;
        return;
    }
    n->asked_until_us = 0;
    n->avoid_until_us = c->now_us + UNAVAILABLE_US;
}

/* ---- answering ---- */

static bool send_block(struct consensus *c, uint32_t to, uint64_t height, size_t *bytes)
{
    struct message message = {.type = MESSAGE_BLOCK};
    if (c->chain_ops->block_at(c->store, height, &message.block, NULL) != 0)
        return false;
    *bytes += message.block->encoded_len;
    out_send(c, to, &message);
    message_free(&message);
    return true;
}

static void send_lack(struct consensus *c, uint32_t to, const uint8_t hash[HASH_SIZE])
{
    struct message message = {.type = MESSAGE_LACK, .height = c->final_height};
    memcpy(message.hash, hash, HASH_SIZE);
    out_send(c, to, &message);
}

/* The blocks behind the first of the hashes that is on this chain, and then the head: who has not come to it
 * yet asks again. Where they are pruned, that hash at least: what the asker has up to there is not lost. */
void answer_chain(struct consensus *c, uint32_t to, const struct message *message)
{
    uint64_t height = 0;
    size_t i = 0, bytes = 0;
    while (i < message->hash_count &&
           c->chain_ops->height_of(c->store, message->hashes[i], &height, NULL) != 0)
        i++;
    if (i == message->hash_count) {
        send_lack(c, to, message->hashes[i - 1]);
        return;
    }
    for (size_t n = 0; n < SEND_BLOCKS_MAX && bytes < SEND_BYTES_MAX && height < c->head.height; n++)
        if (!send_block(c, to, ++height, &bytes)) {
            send_lack(c, to, message->hashes[i]);
            return;
        }
    struct message end = {.type = MESSAGE_END, .height = c->head.height};
    memcpy(end.hash, c->head.hash, HASH_SIZE);
    out_send(c, to, &end);
}

static bool send_any_block(struct consensus *c, uint32_t to, const uint8_t hash[HASH_SIZE], size_t *bytes)
{
    uint64_t height;
    if (c->chain_ops->height_of(c->store, hash, &height, NULL) == 0)
        return send_block(c, to, height, bytes);
    const struct block *body = body_find(c, hash);
    struct block *side = NULL;
    if (!body && c->chain_ops->side_block(c->store, hash, &side, NULL) != 0)
        return false;
    struct message message = {.type = MESSAGE_BLOCK, .block = side};
    if (body)
        message.block = (struct block *)body;
    *bytes += message.block->encoded_len;
    out_send(c, to, &message);
    block_free(side);
    return true;
}

void answer_blocks(struct consensus *c, uint32_t to, const struct message *message)
{
    size_t bytes = 0;
    for (size_t i = 0; i < message->hash_count && i < SEND_BLOCKS_MAX && bytes < SEND_BYTES_MAX; i++)
        if (!send_any_block(c, to, message->hashes[i], &bytes))
            send_lack(c, to, message->hashes[i]);
}
