/* Clients: valid changes, races, repetitions, and what must never hold. They remember what they were told. */
#include "cluster.h"

#include "state/record.h"

#include <assert.h>
#include <sodium.h>

#define ANSWER_BOUND_US 7000000 /* silence is noticed, a slot passes, and turns */

uint32_t cluster_submission_find(const struct cluster_world *w, const uint8_t tx_id[TX_ID_SIZE])
{
    return bytemap_get(&w->by_id, tx_id, TX_ID_SIZE);
}

struct tx *cluster_tx_new(struct cluster_world *w, const struct cluster_node *node, const char *verb)
{
    static const char *const groups[] = {"system:masters", "system:authenticated"};
    struct tx *tx = tx_new();
    memcpy(tx->chain_id, w->genesis->header.hash, TX_ID_SIZE);
    tx->time_us = cluster_local_time(w, node);
    w->nonce++;
    memcpy(tx->nonce, &w->nonce, sizeof(w->nonce));
    tx_set_user(tx, "admin", groups, 2);
    tx_set_verb(tx, verb, "");
    return tx;
}

void cluster_tx_sign(const struct cluster_node *node, struct tx *tx)
{
    struct err err;
    int rc = tx_sign(tx, node->secret_key, &err);
    assert(rc == 0);
    (void)rc;
}

static struct resource_key config_map(const char *name)
{
    return (struct resource_key){"", "configmaps", "ns", name};
}

static void output_add(struct cluster_world *w, struct tx *tx, const struct resource_key *key,
                       enum tx_output_op op)
{
    char content[64];
    snprintf(content, sizeof(content), "{\"x\":\"%ju\"}", (uintmax_t)w->nonce);
    struct tx_output output = {.op = op, .key = *key, .uid = "u"};
    if (op == TX_OUTPUT_PUT) {
        output.encoding = TX_CONTENT_PLAIN;
        output.content = (const uint8_t *)content;
        output.content_len = strlen(content);
    }
    tx_add_output(tx, &output);
}

static struct tx *create(struct cluster_world *w, const struct cluster_node *node, const char *name)
{
    struct tx *tx = cluster_tx_new(w, node, "create");
    struct resource_key key = config_map(name);
    struct tx_input parent = {.kind = TX_INPUT_INDIRECT, .key = {"", "namespaces", "", "ns"}};
    tx_add_input(tx, &parent);
    output_add(w, tx, &key, TX_OUTPUT_PUT);
    return tx;
}

/* An object as the node has it; false when there is none. */
static bool object_draw(struct cluster_world *w, struct cluster_node *node, struct state_object *out,
                        struct buf *record)
{
    const struct state_store_ops *ops = chain_store_state_ops();
    struct state_snapshot *snapshot = ops->snapshot_begin(&node->store);
    struct resource_key kind = {"", "configmaps", "ns", ""};
    buf_auto struct buf prefix = BUF_INIT;
    key_encode(&prefix, &kind);
    struct state_iter *iter = ops->iter_begin(snapshot, prefix.data, prefix.len, NULL, 0);
    uint32_t skip = cluster_draw(w, 12);
    struct state_object object;
    bool found = false;
    while (ops->iter_next(iter, &object)) {
        buf_clear(record);
        state_record_encode(record, &object);
        found = true;
        if (skip-- == 0)
            break;
    }
    ops->iter_end(iter);
    ops->snapshot_end(snapshot);
    return found && state_record_decode(out, record->data, record->len);
}

static struct tx *change(struct cluster_world *w, struct cluster_node *node, enum tx_output_op op)
{
    buf_auto struct buf record = BUF_INIT;
    struct state_object object;
    if (!object_draw(w, node, &object, &record))
        return NULL;
    struct tx *tx = cluster_tx_new(w, node, op == TX_OUTPUT_PUT ? "update" : "delete");
    tx->strict = op == TX_OUTPUT_PUT && cluster_draw(w, 4) == 0;
    struct tx_input input = {.kind = TX_INPUT_DIRECT, .key = object.key};
    memcpy(input.tx_id, object.tx_id, TX_ID_SIZE);
    tx_add_input(tx, &input);
    output_add(w, tx, &object.key, op);
    return tx;
}

uint32_t cluster_submit_tx(struct cluster_world *w, struct cluster_node *node, struct tx *tx, bool must_fail,
                           uint32_t replay)
{
    if (w->submission_count == w->submission_cap) {
        w->submission_cap = w->submission_cap ? 2 * w->submission_cap : 256;
        w->submissions = mem_reallocarray(w->submissions, w->submission_cap, sizeof(*w->submissions));
        w->ids = mem_reallocarray(w->ids, w->submission_cap, sizeof(*w->ids));
    }
    uint32_t index = w->submission_count++;
    struct cluster_submission *s = &w->submissions[index];
    *s = (struct cluster_submission){.node = node->id,
                                     .incarnation = node->incarnation,
                                     .submitted = w->now,
                                     .must_fail = must_fail,
                                     .replay = replay};
    memcpy(s->tx_id, tx->id, TX_ID_SIZE);
    buf_append(&s->encoded, tx->encoded, tx->encoded_len);
    w->ids[index] = mem_dup(tx->id, TX_ID_SIZE);
    if (replay == CLUSTER_NONE)
        bytemap_set(&w->by_id, w->ids[index], TX_ID_SIZE, index);
    w->stats.submitted++;
    cluster_trace(w, "node %u is given transaction %u %s: %s %s%s", node->id, index, cluster_short(tx->id),
                  tx->verb, tx->outputs[0].key.name, must_fail ? ", which must fail" : "");
    cluster_at(w, ANSWER_BOUND_US, (struct cluster_event){.type = EVENT_DEADLINE, .stamp = index});
    cluster_node_submit(w, node, tx, (void *)(uintptr_t)(2 * (uintptr_t)index + 1));
    return index;
}

uint32_t cluster_submit_create(struct cluster_world *w, struct cluster_node *node)
{
    char name[32];
    snprintf(name, sizeof(name), "o%ju", (uintmax_t)w->nonce);
    struct tx *tx = create(w, node, name);
    cluster_tx_sign(node, tx);
    return cluster_submit_tx(w, node, tx, false, CLUSTER_NONE);
}

/* A transaction that any node has taken before, once more, as one who got no answer does. */
static uint32_t repeat(struct cluster_world *w, struct cluster_node *node)
{
    if (w->submission_count == 0)
        return cluster_submit_create(w, node);
    uint32_t first = cluster_draw(w, w->submission_count);
    while (w->submissions[first].replay != CLUSTER_NONE)
        first = w->submissions[first].replay;
    const struct cluster_submission *s = &w->submissions[first];
    struct tx *tx;
    int rc = tx_decode(&tx, (const uint8_t *)s->encoded.data, s->encoded.len, NULL);
    assert(rc == 0);
    (void)rc;
    return cluster_submit_tx(w, node, tx, s->must_fail, first);
}

/* What nobody may accept, whatever the state is. */
static uint32_t submit_bad(struct cluster_world *w, struct cluster_node *node)
{
    char name[32];
    snprintf(name, sizeof(name), "bad%ju", (uintmax_t)w->nonce);
    struct tx *tx = create(w, node, name);
    uint8_t public_key[TX_KEY_SIZE], secret_key[64], seed[32] = {99};
    crypto_sign_seed_keypair(public_key, secret_key, seed);
    bool stranger = cluster_draw(w, 2);
    if (!stranger)
        tx->chain_id[3] ^= 1;
    struct err err;
    int rc = tx_sign(tx, stranger ? secret_key : node->secret_key, &err);
    assert(rc == 0);
    (void)rc;
    return cluster_submit_tx(w, node, tx, true, CLUSTER_NONE);
}

uint32_t cluster_submit(struct cluster_world *w, struct cluster_node *node)
{
    if (!node->up || !cluster_node_is_validator(node))
        return CLUSTER_NONE;
    uint32_t what = cluster_draw(w, 100);
    struct tx *tx = NULL;
    if (what < (w->o.mutation == MUTATE_NO_INDEX ? 40 : 5))
        return repeat(w, node);
    if (what >= 97)
        return submit_bad(w, node);
    if (what < 20) {
        char name[16];
        snprintf(name, sizeof(name), "c%u", cluster_draw(w, 6));
        tx = create(w, node, name);
    } else if (what < 45) {
        tx = change(w, node, what < 36 ? TX_OUTPUT_PUT : TX_OUTPUT_DELETE);
    }
    if (!tx)
        return cluster_submit_create(w, node);
    cluster_tx_sign(node, tx);
    return cluster_submit_tx(w, node, tx, false, CLUSTER_NONE);
}

void cluster_answer(struct cluster_world *w, struct cluster_node *node, const struct consensus_answer *answer)
{
    size_t index = (size_t)((uintptr_t)answer->token / 2);
    struct cluster_submission *s = index < w->submission_count ? &w->submissions[index] : NULL;
    if (!s || s->fate != FATE_WAITING || s->node != node->id) {
        cluster_fail(w, "node %u answers nobody, or twice: submission %zu", node->id, index);
        return;
    }
    if (memcmp(s->tx_id, answer->tx_id, TX_ID_SIZE) != 0)
        cluster_fail(w, "node %u gives one transaction's answer to another", node->id);
    s->fate = answer->code ? FATE_REJECTED : FATE_INCLUDED;
    s->code = answer->code;
    s->answered = w->now;
    s->height = answer->height;
    cluster_trace(w, "node %u answers transaction %zu %s: %s", node->id, index, cluster_short(s->tx_id),
                  answer->code ? answer->message : "included");
    int64_t took = s->answered - s->submitted;
    w->stats.answer_us_sum += took;
    if (took > w->stats.answer_us_max)
        w->stats.answer_us_max = took;
    if (answer->code) {
        w->stats.rejected++;
        return;
    }
    w->stats.included++;
    if (s->must_fail)
        cluster_fail(w, "a transaction that breaks a rule is answered as included: %zu", index);
    cluster_check_answer(w, node, answer);
}
