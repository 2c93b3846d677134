/*
 * A few nodes in one process: real ledgers on real stores, whose messages are carried by one thread for each
 * node, as the peer manager's would. Links can be cut, nodes closed and opened again.
 */
#ifndef KATENA_TEST_LEDGER_CLUSTER_H
#define KATENA_TEST_LEDGER_CLUSTER_H

#include "ledger_fixture.h"
#include "scratch.h"
#include "unit.h"

#include "base/clock.h"
#include "base/log.h"
#include "blockstore/blockstore.h"
#include "ledger/ledger_internal.h"
#include "validator/registry.h"

#define CLUSTER_MAX 5
#define CLUSTER_PATIENCE_US (20ll * 1000 * 1000)

enum parcel_type { PARCEL_UP, PARCEL_DOWN, PARCEL_MESSAGE, PARCEL_SYNC };

struct parcel {
    enum parcel_type type;
    uint8_t from[TX_KEY_SIZE];
    void *bytes;
    size_t len;
    struct parcel *next;
};

struct cluster_node {
    struct cluster *cluster;
    size_t place;
    struct scratch dir;
    struct ledger *ledger; /* NULL: closed */
    uint8_t key[TX_KEY_SIZE];
    struct ledger_peer_ops ops;

    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct parcel *first, **last;
    bool stopping, carrying;
    pthread_t carrier;
    void (*on_sync)(void *arg, const struct parcel *parcel); /* instead of a ledger's */
    void *on_sync_arg;

    /* What watchers saw. */
    pthread_mutex_t seen_lock;
    struct buf seen;
    _Atomic int orphan_events, final_events, snapshot_events, blames;
};

struct cluster {
    size_t count;
    struct cluster_node nodes[CLUSTER_MAX];
    pthread_mutex_t links_lock;
    bool linked[CLUSTER_MAX][CLUSTER_MAX];
    struct ledger_options options; /* of ledgers that are opened; data_dir and chain_id are set there */
    uint8_t chain_id[TX_ID_SIZE];
};

static inline void cluster_post(struct cluster_node *to, enum parcel_type type, const uint8_t *from,
                                const void *bytes, size_t len)
{
    struct parcel *parcel = mem_zalloc(sizeof(*parcel));
    parcel->type = type;
    memcpy(parcel->from, from, TX_KEY_SIZE);
    parcel->bytes = len ? mem_dup(bytes, len) : NULL;
    parcel->len = len;
    pthread_mutex_lock(&to->lock);
    *to->last = parcel;
    to->last = &parcel->next;
    pthread_cond_signal(&to->wake);
    pthread_mutex_unlock(&to->lock);
}

static inline void cluster_send(struct cluster_node *from, enum parcel_type type, const uint8_t *key,
                                const void *bytes, size_t len)
{
    struct cluster *cluster = from->cluster;
    pthread_mutex_lock(&cluster->links_lock);
    for (size_t i = 0; i < CLUSTER_MAX; i++)
        if (cluster->linked[from->place][i] && (!key || !memcmp(cluster->nodes[i].key, key, TX_KEY_SIZE)))
            cluster_post(&cluster->nodes[i], type, from->key, bytes, len);
    pthread_mutex_unlock(&cluster->links_lock);
}

static inline void cluster_on_send(void *arg, const uint8_t *key, const void *bytes, size_t len)
{
    cluster_send(arg, PARCEL_MESSAGE, key, bytes, len);
}

static inline void cluster_on_send_sync(void *arg, const uint8_t *key, const void *bytes, size_t len)
{
    cluster_send(arg, PARCEL_SYNC, key, bytes, len);
}

static inline void cluster_on_blame(void *arg, const uint8_t *key, bool proof, const char *reason)
{
    struct cluster_node *node = arg;
    (void)key;
    (void)proof;
    fprintf(stderr, "node %zu blames a peer: %s\n", node->place, reason);
    node->blames++;
}

static inline void cluster_deliver(struct cluster_node *node, const struct parcel *parcel)
{
    if (parcel->type == PARCEL_SYNC && node->on_sync)
        node->on_sync(node->on_sync_arg, parcel);
    if (!node->ledger)
        return;
    switch (parcel->type) {
    case PARCEL_UP:
        ledger_peer_up(node->ledger, parcel->from);
        break;
    case PARCEL_DOWN:
        ledger_peer_down(node->ledger, parcel->from);
        break;
    case PARCEL_MESSAGE:
        ledger_peer_message(node->ledger, parcel->from, parcel->bytes, parcel->len);
        break;
    case PARCEL_SYNC:
        ledger_peer_sync(node->ledger, parcel->from, parcel->bytes, parcel->len);
        break;
    }
}

static inline void *cluster_carry(void *arg)
{
    struct cluster_node *node = arg;
    pthread_mutex_lock(&node->lock);
    for (;;) {
        while (!node->first && !node->stopping)
            pthread_cond_wait(&node->wake, &node->lock);
        if (!node->first)
            break;
        struct parcel *parcel = node->first;
        node->first = parcel->next;
        if (!node->first)
            node->last = &node->first;
        bool dropped = node->stopping;
        pthread_mutex_unlock(&node->lock);
        if (!dropped)
            cluster_deliver(node, parcel);
        free(parcel->bytes);
        free(parcel);
        pthread_mutex_lock(&node->lock);
    }
    pthread_mutex_unlock(&node->lock);
    return NULL;
}

static inline void cluster_drop_parcels(struct cluster_node *node)
{
    while (node->first) {
        struct parcel *parcel = node->first;
        node->first = parcel->next;
        free(parcel->bytes);
        free(parcel);
    }
    node->last = &node->first;
}

static inline void cluster_carry_start(struct cluster_node *node)
{
    pthread_mutex_lock(&node->lock);
    cluster_drop_parcels(node);
    pthread_mutex_unlock(&node->lock);
    node->stopping = false;
    node->carrying = true;
    pthread_create(&node->carrier, NULL, cluster_carry, node);
}

static inline void cluster_carry_stop(struct cluster_node *node)
{
    if (!node->carrying)
        return;
    pthread_mutex_lock(&node->lock);
    node->stopping = true;
    pthread_cond_signal(&node->wake);
    pthread_mutex_unlock(&node->lock);
    pthread_join(node->carrier, NULL);
    node->carrying = false;
}

/* ---- links ---- */

static inline void cluster_link(struct cluster *cluster, size_t a, size_t b, bool up)
{
    struct cluster_node *x = &cluster->nodes[a], *y = &cluster->nodes[b];
    pthread_mutex_lock(&cluster->links_lock);
    bool change = cluster->linked[a][b] != up;
    cluster->linked[a][b] = cluster->linked[b][a] = up;
    if (change) {
        cluster_post(x, up ? PARCEL_UP : PARCEL_DOWN, y->key, NULL, 0);
        cluster_post(y, up ? PARCEL_UP : PARCEL_DOWN, x->key, NULL, 0);
    }
    pthread_mutex_unlock(&cluster->links_lock);
}

static inline void cluster_link_all(struct cluster *cluster, size_t a, bool up)
{
    for (size_t i = 0; i < cluster->count; i++)
        if (i != a && cluster->nodes[i].carrying)
            cluster_link(cluster, a, i, up);
}

/* ---- what is seen ---- */

static inline void cluster_on_block(void *arg, uint64_t height, uint64_t head_rv,
                                    const struct state_change *changes, size_t count)
{
    static const char *const types[] = {"+", "*", "-"};
    struct cluster_node *node = arg;
    (void)height;
    (void)head_rv;
    pthread_mutex_lock(&node->seen_lock);
    for (size_t i = 0; i < count; i++)
        if (!strcmp(changes[i].object.key.resource, "configmaps"))
            buf_printf(&node->seen, "%s%s ", types[changes[i].type], changes[i].object.key.name);
    pthread_mutex_unlock(&node->seen_lock);
}

static inline void cluster_on_event(void *arg, enum ledger_event event)
{
    struct cluster_node *node = arg;
    node->orphan_events += event == LEDGER_EVENT_ORPHANS;
    node->final_events += event == LEDGER_EVENT_FINAL;
    node->snapshot_events += event == LEDGER_EVENT_NEEDS_SNAPSHOT;
}

/* What watchers saw since the last call. */
static inline char *cluster_seen(struct cluster_node *node)
{
    pthread_mutex_lock(&node->seen_lock);
    char *seen = mem_strdup(buf_str(&node->seen));
    buf_clear(&node->seen);
    pthread_mutex_unlock(&node->seen_lock);
    return seen;
}

/* ---- life ---- */

static inline void cluster_open(struct cluster_node *node)
{
    struct err err;
    struct ledger_options options = node->cluster->options;
    options.data_dir = node->dir.path;
    options.chain_id = node->place ? node->cluster->chain_id : NULL;
    if (ledger_open(&node->ledger, &options, &err))
        fail_msg("node %zu: %s", node->place, err.message);
    memcpy(node->key, ledger_node_public(node->ledger), TX_KEY_SIZE);
    node->ops = (struct ledger_peer_ops){
        .arg = node, .send = cluster_on_send, .blame = cluster_on_blame, .send_sync = cluster_on_send_sync};
    ledger_attach_peers(node->ledger, &node->ops);
    ledger_subscribe(node->ledger, cluster_on_block, node);
    ledger_subscribe_events(node->ledger, cluster_on_event, node);
    cluster_carry_start(node);
}

static inline void cluster_close(struct cluster_node *node)
{
    if (!node->ledger)
        return;
    cluster_carry_stop(node);
    cluster_link_all(node->cluster, node->place, false);
    ledger_attach_peers(node->ledger, NULL);
    ledger_close(node->ledger);
    node->ledger = NULL;
}

/* A store with nothing but another node's genesis, and a key. */
static inline void cluster_make_store(struct cluster_node *node, struct ledger *source)
{
    struct err err;
    struct blockstore *store;
    struct block *genesis;
    mem_auto char *dir = mem_printf("%s/chain", node->dir.path);
    mem_auto char *key_path = mem_printf("%s/node.key", dir);
    uint8_t key[NODE_KEY_SIZE];
    struct blockstore_options options = {.dir = dir};
    struct lthash empty;
    lthash_init(&empty);
    assert_int_equal(blockstore_block_at(ledger_store(source), 0, &genesis, &err), 0);
    struct state_update update = {.head_rv = block_head_rv(&genesis->header), .hash = &empty};
    memcpy(update.block_hash, genesis->header.hash, HASH_SIZE);
    assert_int_equal(blockstore_open(&store, &options, &err), 0);
    assert_int_equal(blockstore_commit(store, genesis, &update, &err), 0);
    blockstore_close(store);
    block_free(genesis);
    assert_int_equal(node_key_make(key, key_path, &err), 0);
}

static inline struct registry_validator cluster_validator(const struct cluster_node *node)
{
    struct registry_validator v = {.phase = REGISTRY_ACTING, .address_count = 1};
    snprintf(v.name, sizeof(v.name), "node-%zu", node->place);
    snprintf(v.addresses[0], sizeof(v.addresses[0]), "127.0.0.1:%zu", 6000 + node->place);
    memcpy(v.key, node->key, TX_KEY_SIZE);
    return v;
}

static inline void cluster_node_init(struct cluster *cluster, size_t i)
{
    struct cluster_node *node = &cluster->nodes[i];
    node->cluster = cluster;
    node->place = i;
    node->last = &node->first;
    pthread_mutex_init(&node->lock, NULL);
    pthread_cond_init(&node->wake, NULL);
    pthread_mutex_init(&node->seen_lock, NULL);
    scratch_make_in_memory(&node->dir);
}

/* ---- waiting ---- */

static inline bool cluster_wait(bool (*done)(struct cluster *cluster, void *arg), struct cluster *cluster,
                                void *arg)
{
    int64_t end = clock_mono_us() + CLUSTER_PATIENCE_US;
    while (!done(cluster, arg)) {
        if (clock_mono_us() > end)
            return false;
        usleep(2000);
    }
    return true;
}

static inline bool cluster_agrees(struct cluster *cluster, void *arg)
{
    struct ledger_state first, other;
    bool have = false;
    (void)arg;
    for (size_t i = 0; i < cluster->count; i++) {
        if (!cluster->nodes[i].ledger)
            continue;
        ledger_state(cluster->nodes[i].ledger, have ? &other : &first);
        if (have && memcmp(first.head_hash, other.head_hash, HASH_SIZE) != 0)
            return false;
        have = true;
    }
    return true;
}

/* For a test that fails. */
static inline void cluster_dump(struct cluster *cluster)
{
    for (size_t i = 0; i < cluster->count; i++) {
        struct ledger_state s;
        if (!cluster->nodes[i].ledger)
            continue;
        ledger_state(cluster->nodes[i].ledger, &s);
        fprintf(
            stderr,
            "node %zu: head %llu %02x%02x%02x final %llu pending %zu orphans %zu behind %llu branch %llu%s\n",
            i, (unsigned long long)s.head_height, s.head_hash[0], s.head_hash[1], s.head_hash[2],
            (unsigned long long)s.final_height, s.pending, s.orphans, (unsigned long long)s.behind,
            (unsigned long long)ledger_branch(cluster->nodes[i].ledger), s.switching ? " switching" : "");
    }
}

static inline bool cluster_all_acting(struct cluster *cluster, void *arg)
{
    struct ledger_validator validators[CLUSTER_MAX];
    (void)arg;
    for (size_t i = 0; i < cluster->count; i++) {
        if (!cluster->nodes[i].ledger)
            continue;
        size_t acting = 0;
        size_t count = ledger_validators(cluster->nodes[i].ledger, validators, CLUSTER_MAX);
        for (size_t v = 0; v < count && v < CLUSTER_MAX; v++)
            acting += validators[v].acting && validators[v].live;
        if (acting != cluster->count)
            return false;
    }
    return true;
}

/* count nodes, all acting and connected; the chain has nothing but them. */
static inline struct cluster *cluster_new_bare(size_t count)
{
    struct err err;
    struct cluster *cluster = mem_zalloc(sizeof(*cluster));
    log_set_level(LOG_LEVEL_ERROR);
    cluster->count = count;
    pthread_mutex_init(&cluster->links_lock, NULL);
    for (size_t i = 0; i < count; i++)
        cluster_node_init(cluster, i);
    struct cluster_node *first = &cluster->nodes[0];
    cluster_open(first);
    memcpy(cluster->chain_id, ledger_chain_id(first->ledger), TX_ID_SIZE);
    struct registry_validator self = cluster_validator(first);
    if (ledger_ensure_registered(first->ledger, &self, &err))
        fail_msg("%s", err.message);
    for (size_t i = 1; i < count; i++) {
        cluster_make_store(&cluster->nodes[i], first->ledger);
        cluster_open(&cluster->nodes[i]);
        for (size_t j = 0; j < i; j++)
            cluster_link(cluster, i, j, true);
        struct registry_validator v = cluster_validator(&cluster->nodes[i]);
        if (ledger_register_validator(first->ledger, &v, &err))
            fail_msg("node %zu was not registered: %s", i, err.message);
    }
    assert_true(cluster_wait(cluster_all_acting, cluster, NULL));
    return cluster;
}

/* The same with a namespace for the fixture's objects. */
static inline struct cluster *cluster_new(size_t count)
{
    struct err err;
    struct cluster *cluster = cluster_new_bare(count);
    struct ledger *first = cluster->nodes[0].ledger;
    assert_int_equal(fixture_put(first, "namespaces", FIXTURE_NAMESPACE, "x", NULL, &err), 0);
    assert_true(cluster_wait(cluster_agrees, cluster, NULL));
    return cluster;
}

/* ---- nodes that keep little ---- */

/* The same whose nodes keep blocks for half a second only. */
static inline struct cluster *cluster_new_forgetful(size_t count)
{
    struct cluster *cluster = cluster_new(count);
    for (size_t i = 0; i < count; i++)
        cluster_close(&cluster->nodes[i]);
    cluster->options = (struct ledger_options){.retention_us = 500000, .checkpoint_us = 5000};
    for (size_t i = 0; i < count; i++) {
        cluster_open(&cluster->nodes[i]);
        cluster_link_all(cluster, i, true);
    }
    return cluster;
}

/* Whether no node that is open has this block any more. */
static inline bool cluster_pruned(struct cluster *cluster, uint64_t height)
{
    struct err err;
    for (size_t i = 0; i < cluster->count; i++) {
        struct block *block;
        if (!cluster->nodes[i].ledger)
            continue;
        int rc = blockstore_block_at(ledger_store(cluster->nodes[i].ledger), height, &block, &err);
        if (!rc)
            block_free(block);
        if (rc != ERR_GONE)
            return false;
    }
    return true;
}

/* Those who are open write until they have nothing left that follows on this block. */
static inline void cluster_go_on_beyond(struct cluster *cluster, uint64_t height)
{
    struct err err;
    mem_auto char *value = mem_alloc(400001);
    memset(value, 'v', 400000);
    value[400000] = '\0';
    for (size_t i = 0; !cluster_pruned(cluster, height + 1); i++) {
        struct ledger *ledger = cluster->nodes[i % cluster->count].ledger;
        if (i == 2000 * cluster->count) {
            cluster_dump(cluster);
            fail_msg("block %llu is still there", (unsigned long long)(height + 1));
        }
        if (ledger && fixture_put(ledger, "configmaps", "busy", value, NULL, &err))
            fail_msg("%s", err.message);
    }
}

static inline bool cluster_is_behind(struct cluster *cluster, void *arg)
{
    struct cluster_node *node = arg;
    struct ledger_state state;
    (void)cluster;
    ledger_state(node->ledger, &state);
    return state.behind > state.head_height;
}

/* A node that was closed is there again, and has heard of blocks that it lacks. */
static inline void cluster_come_back(struct cluster_node *node)
{
    cluster_open(node);
    cluster_link_all(node->cluster, node->place, true);
    assert_true(cluster_wait(cluster_is_behind, node->cluster, node));
}

static inline void cluster_free(struct cluster *cluster)
{
    for (size_t i = 0; i < cluster->count; i++) {
        struct cluster_node *node = &cluster->nodes[i];
        cluster_close(node);
        cluster_carry_stop(node);
        cluster_drop_parcels(node);
        buf_free(&node->seen);
        scratch_remove(&node->dir);
    }
    free(cluster);
}

#endif
