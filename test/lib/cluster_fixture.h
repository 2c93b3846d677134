/*
 * A few nodes for tests: real cores over chains in memory, one virtual clock, and messages that travel as
 * bytes over links that a test can cut. Nothing is random. Time goes on from event to event.
 */
#ifndef KATENA_TEST_CLUSTER_FIXTURE_H
#define KATENA_TEST_CLUSTER_FIXTURE_H

#include "base/mem.h"
#include "chain_store.h"
#include "tx_fixture.h"
#include "validator/registry.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLUSTER_MAX 8
#define CLUSTER_TOKENS_MAX 512
#define CLUSTER_DELAY_US 1000 /* of a message */
#define CLUSTER_DISK_US 500   /* of a write */

struct cluster_message {
    int64_t at_us;
    uint32_t from, to;
    void *bytes;
    size_t len;
};

struct cluster_node {
    uint8_t public_key[TX_KEY_SIZE], secret_key[64];
    struct chain_store mem;
    struct consensus *core; /* NULL: not running */
    const struct consensus_persist *writing;
    int64_t written_us;
    int64_t slow_us; /* that a write takes longer than others' */
    int64_t wake_us;
    struct consensus_evaluate evaluate; /* asked for last; difficulty 0: nothing */
    size_t sent, blamed, proved, records, switches;
    char blame[256];
};

struct cluster {
    struct tx_fixture tx; /* signs with node 0's key */
    int64_t now_us;
    uint32_t count;
    struct cluster_node nodes[CLUSTER_MAX];
    bool linked[CLUSTER_MAX][CLUSTER_MAX];
    struct cluster_message *messages; /* in the order of their arrival */
    size_t message_count, message_cap;
    /* By token: the answer's code, or 1 while there is none. */
    int codes[CLUSTER_TOKENS_MAX];
    struct consensus_answer answers[CLUSTER_TOKENS_MAX];
    int64_t answered_us[CLUSTER_TOKENS_MAX];
    size_t token_count;
    int trace;
};

static inline uint32_t cluster_node_of(const struct cluster *c, const uint8_t *key)
{
    for (uint32_t i = 0; i < c->count; i++)
        if (memcmp(c->nodes[i].public_key, key, TX_KEY_SIZE) == 0)
            return i;
    return CLUSTER_MAX;
}

static inline void cluster_send(struct cluster *c, uint32_t from, uint32_t to, const void *bytes, size_t len)
{
    if (!c->linked[from][to] || !c->nodes[to].core)
        return;
    if (c->message_count == c->message_cap) {
        c->message_cap = c->message_cap ? 2 * c->message_cap : 64;
        c->messages = mem_reallocarray(c->messages, c->message_cap, sizeof(*c->messages));
    }
    c->messages[c->message_count++] =
        (struct cluster_message){c->now_us + CLUSTER_DELAY_US, from, to, mem_dup(bytes, len), len};
}

static inline void cluster_take(struct cluster *c, uint32_t index, const struct consensus_update *u)
{
    struct cluster_node *n = &c->nodes[index];
    for (size_t i = 0; i < u->send_count; i++) {
        n->sent++;
        for (uint32_t to = 0; to < c->count; to++)
            if (to != index && (!u->sends[i].to || cluster_node_of(c, u->sends[i].to) == to))
                cluster_send(c, index, to, u->sends[i].bytes, u->sends[i].len);
    }
    for (size_t i = 0; i < u->answer_count; i++) {
        size_t token = (size_t)(uintptr_t)u->answers[i].token;
        assert(token < c->token_count && c->codes[token] == 1);
        c->codes[token] = u->answers[i].code;
        c->answers[token] = u->answers[i];
        c->answers[token].message = "";
        c->answered_us[token] = c->now_us;
    }
    for (size_t i = 0; i < u->blame_count; i++) {
        n->blamed++;
        n->proved += u->blames[i].proof;
        snprintf(n->blame, sizeof(n->blame), "%s", u->blames[i].reason);
    }
    if (u->persist) {
        assert(!n->writing);
        n->writing = u->persist;
        n->written_us = c->now_us + CLUSTER_DISK_US + n->slow_us;
        n->records += u->persist->type == CONSENSUS_PERSIST_RECORD;
        n->switches += u->persist->type == CONSENSUS_PERSIST_REWIND;
        if (c->trace)
            fprintf(stderr, "%9lld node %u writes %s %llu\n", (long long)(c->now_us - TX_FIXTURE_TIME), index,
                    u->persist->type == CONSENSUS_PERSIST_BLOCK    ? "block"
                    : u->persist->type == CONSENSUS_PERSIST_REWIND ? "rewind"
                                                                   : "record",
                    (unsigned long long)u->persist->height);
    }
    if (u->evaluate)
        n->evaluate = *u->evaluate;
    n->wake_us = u->wake_us;
}

static inline void cluster_step(struct cluster *c, uint32_t index, struct consensus_event event)
{
    struct consensus_update update;
    struct err err;
    event.now_us = c->now_us;
    int rc = consensus_step(c->nodes[index].core, &event, &update, &err);
    if (rc)
        fprintf(stderr, "node %u: %s\n", index, err.message);
    assert(rc == 0);
    cluster_take(c, index, &update);
    chain_store_finalize(&c->nodes[index].mem, consensus_final_height(c->nodes[index].core));
}

static inline void cluster_link(struct cluster *c, uint32_t a, uint32_t b, bool up)
{
    if (c->linked[a][b] == up)
        return;
    c->linked[a][b] = c->linked[b][a] = up;
    enum consensus_event_type type = up ? CONSENSUS_PEER_UP : CONSENSUS_PEER_DOWN;
    if (c->nodes[a].core)
        cluster_step(c, a, (struct consensus_event){.type = type, .peer = c->nodes[b].public_key});
    if (c->nodes[b].core)
        cluster_step(c, b, (struct consensus_event){.type = type, .peer = c->nodes[a].public_key});
}

static inline void cluster_start(struct cluster *c, uint32_t index)
{
    struct cluster_node *n = &c->nodes[index];
    struct consensus_options options = chain_store_options(&n->mem, n->secret_key, c->now_us);
    struct err err;
    int rc = consensus_new(&n->core, &options, &err);
    if (rc)
        fprintf(stderr, "node %u: %s\n", index, err.message);
    assert(rc == 0);
    n->wake_us = c->now_us;
}

/* As kill -9 does: what is being written may be lost. Its links go down. */
static inline void cluster_kill(struct cluster *c, uint32_t index)
{
    struct cluster_node *n = &c->nodes[index];
    consensus_free(n->core);
    n->core = NULL;
    n->writing = NULL;
    for (uint32_t i = 0; i < c->count; i++)
        cluster_link(c, index, i, false);
}

static inline void cluster_connect(struct cluster *c, uint32_t index)
{
    for (uint32_t i = 0; i < c->count; i++)
        if (i != index && c->nodes[i].core)
            cluster_link(c, index, i, true);
}

static inline void cluster_deliver(struct cluster *c, struct cluster_message *m)
{
    struct message message;
    struct err err;
    int rc = message_decode(&message, m->bytes, m->len, &err);
    if (!rc)
        rc = message_verify(&message, NULL, &err);
    if (rc)
        fprintf(stderr, "a message does not hold: %s\n", err.message);
    assert(rc == 0);
    if (c->trace > 1)
        fprintf(stderr, "%9lld node %u to %u: type %d height %llu slot %llu\n",
                (long long)(c->now_us - TX_FIXTURE_TIME), m->from, m->to, (int)message.type,
                (unsigned long long)(message.block ? message.block->header.height : message.height),
                (unsigned long long)message.slot);
    cluster_step(c, m->to,
                 (struct consensus_event){
                     .type = CONSENSUS_MESSAGE, .peer = c->nodes[m->from].public_key, .message = &message});
}

/* Lets everything happen that is due until then. */
static inline void cluster_run(struct cluster *c, int64_t duration_us)
{
    int64_t end = c->now_us + duration_us;
    for (;;) {
        int64_t next = c->message_count ? c->messages[0].at_us : INT64_MAX;
        uint32_t who = CLUSTER_MAX;
        bool write = false;
        for (uint32_t i = 0; i < c->count; i++) {
            const struct cluster_node *n = &c->nodes[i];
            if (n->core && n->writing && n->written_us < next) {
                next = n->written_us;
                who = i;
                write = true;
            }
            if (n->core && n->wake_us < next) {
                next = n->wake_us;
                who = i;
                write = false;
            }
        }
        if (next > end)
            break;
        c->now_us = next > c->now_us ? next : c->now_us + 1;
        if (write) {
            struct cluster_node *n = &c->nodes[who];
            chain_store_persist(&n->mem, n->writing);
            n->writing = NULL;
            cluster_step(c, who, (struct consensus_event){.type = CONSENSUS_PERSISTED});
        } else if (who != CLUSTER_MAX) {
            cluster_step(c, who, (struct consensus_event){.type = CONSENSUS_TICK});
        } else {
            struct cluster_message m = c->messages[0];
            memmove(c->messages, c->messages + 1, --c->message_count * sizeof(m));
            if (c->linked[m.from][m.to] && c->nodes[m.to].core)
                cluster_deliver(c, &m);
            free(m.bytes);
        }
    }
    c->now_us = end;
    c->tx.now_us = c->now_us;
}

/* Submits on a node, with or without more to follow at once; the returned token is the index of its answer.
 */
static inline size_t cluster_submit_more(struct cluster *c, uint32_t index, struct tx *tx, bool more)
{
    assert(c->token_count < CLUSTER_TOKENS_MAX);
    size_t token = c->token_count++;
    c->codes[token] = 1;
    cluster_step(c, index,
                 (struct consensus_event){
                     .type = CONSENSUS_SUBMIT, .tx = tx, .token = (void *)(uintptr_t)token, .more = more});
    return token;
}

static inline size_t cluster_submit(struct cluster *c, uint32_t index, struct tx *tx)
{
    return cluster_submit_more(c, index, tx, false);
}

/* Signs as the node that accepts it. */
static inline struct tx *cluster_create(struct cluster *c, uint32_t index, const char *resource,
                                        const char *ns, const char *name)
{
    struct tx_fixture signer = c->tx;
    signer.now_us = c->now_us;
    memcpy(signer.secret_key, c->nodes[index].secret_key, sizeof(signer.secret_key));
    struct tx *tx = tx_fixture_create(&signer, tx_fixture_key_of(resource, ns, name), "{}");
    c->tx.nonce = signer.nonce;
    return tx;
}

static inline void cluster_sign(struct cluster *c, uint32_t index, struct tx *tx)
{
    memcpy(tx->chain_id, c->tx.genesis->header.hash, TX_ID_SIZE);
    tx->time_us = c->now_us;
    c->tx.nonce++;
    memcpy(tx->nonce, &c->tx.nonce, sizeof(c->tx.nonce));
    struct err err;
    int rc = tx_sign(tx, c->nodes[index].secret_key, &err);
    assert(rc == 0);
    (void)rc;
}

/* The validator of a node as an object, as it would be made. */
static inline struct registry_validator cluster_validator(const struct cluster *c, uint32_t index,
                                                          enum registry_phase phase)
{
    struct registry_validator v = {.phase = phase, .address_count = 1};
    snprintf(v.name, sizeof(v.name), "node-%u", index);
    snprintf(v.addresses[0], sizeof(v.addresses[0]), "10.0.0.%u:6444", index + 1);
    memcpy(v.key, c->nodes[index].public_key, TX_KEY_SIZE);
    return v;
}

/* How a node sees a validator; false: it does not. */
static inline bool cluster_lookup(const struct cluster *c, uint32_t at, uint32_t index,
                                  struct registry_validator *out)
{
    struct registry_validator *all;
    struct state_snapshot *snapshot = state_mem_ops()->snapshot_begin(c->nodes[at].mem.state);
    size_t count = registry_load(&all, state_mem_ops(), snapshot);
    const struct registry_validator *found = registry_find(all, count, c->nodes[index].public_key);
    if (found)
        *out = *found;
    free(all);
    state_mem_ops()->snapshot_end(snapshot);
    return found != NULL;
}

/* count nodes that know each other's chain; node 0 made it, and the others only follow. */
static inline void cluster_begin(struct cluster *c, uint32_t count)
{
    memset(c, 0, sizeof(*c));
    tx_fixture_begin(&c->tx);
    c->now_us = c->tx.now_us;
    c->count = count;
    c->trace = getenv("CLUSTER_TRACE") ? atoi(getenv("CLUSTER_TRACE")) : 0;
    for (uint32_t i = 0; i < count; i++) {
        tx_fixture_key(c->nodes[i].public_key, c->nodes[i].secret_key, (uint8_t)(7 + i));
        chain_store_begin(&c->nodes[i].mem, c->tx.genesis);
        cluster_start(c, i);
    }
}

static inline void cluster_end(struct cluster *c)
{
    for (uint32_t i = 0; i < c->count; i++) {
        consensus_free(c->nodes[i].core);
        chain_store_end(&c->nodes[i].mem);
    }
    for (size_t i = 0; i < c->message_count; i++)
        free(c->messages[i].bytes);
    free(c->messages);
    tx_fixture_end(&c->tx);
}

/* Makes all nodes validators that act, one after the other. */
static inline void cluster_join_all(struct cluster *c)
{
    for (uint32_t i = 0; i < c->count; i++)
        cluster_connect(c, i);
    for (uint32_t i = 0; i < c->count; i++) {
        struct registry_validator v = cluster_validator(c, i, i == 0 ? REGISTRY_ACTING : REGISTRY_JOINING);
        struct tx *tx = registry_put_tx(&v, NULL);
        cluster_sign(c, 0, tx);
        size_t token = cluster_submit(c, 0, tx);
        for (int tries = 0; tries < 50; tries++) {
            cluster_run(c, 100000);
            if (cluster_lookup(c, 0, i, &v) && v.phase == REGISTRY_ACTING)
                break;
        }
        if (c->codes[token] != 0)
            fprintf(stderr, "node %u cannot register: code %d\n", i, c->codes[token]);
        assert(c->codes[token] == 0 && v.phase == REGISTRY_ACTING);
    }
}

static inline bool cluster_agrees(const struct cluster *c)
{
    const struct block_header *first = NULL;
    for (uint32_t i = 0; i < c->count; i++) {
        if (!c->nodes[i].core)
            continue;
        const struct block_header *head = consensus_head(c->nodes[i].core);
        if (first && memcmp(first->hash, head->hash, HASH_SIZE) != 0)
            return false;
        first = head;
    }
    return true;
}

#endif
