/* See node_peers.h. */
#include "node/node_peers_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "consensus/message.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define NOT_MEMBER "it is no member of this cluster (any more)"
#define STILL_JOINING "this node is still joining and knows only some of the others"
#define LONELY_LOOK_US 1000000
#define LONELY_END_US 3000000

int node_removed_err(struct err *err, const char *data_dir)
{
    return err_set(err, ERR_GONE,
                   NODE_REMOVED_TEXT
                   ". To make it a member again, remove %s and start it with --join and a new "
                   "token",
                   data_dir);
}

/* ---- who belongs to the cluster ---- */

static void wake_thread(struct node_peers *p, bool changed)
{
    pthread_mutex_lock(&p->wake_lock);
    p->changed |= changed;
    p->look = true;
    pthread_cond_signal(&p->wake);
    pthread_mutex_unlock(&p->wake_lock);
}

/* On the ledger's thread. */
static void on_block(void *arg, uint64_t height, uint64_t head_rv, const struct state_change *changes,
                     size_t count)
{
    struct node_peers *p = arg;
    (void)height;
    (void)head_rv;
    for (size_t i = 0; i < count; i++) {
        const struct resource_key *key = &changes[i].object.key;
        if (!strcmp(key->group, REGISTRY_GROUP) && !strcmp(key->resource, REGISTRY_VALIDATORS)) {
            wake_thread(p, true);
            return;
        }
    }
}

static void on_event(void *arg, enum ledger_event event)
{
    if (event == LEDGER_EVENT_NEEDS_SNAPSHOT)
        wake_thread(arg, false);
}

static bool take_changed(struct node_peers *p)
{
    pthread_mutex_lock(&p->wake_lock);
    bool changed = p->changed;
    p->changed = false;
    pthread_mutex_unlock(&p->wake_lock);
    return changed;
}

const struct registry_validator *node_peers_find(const struct node_peers *p, const uint8_t *key)
{
    for (size_t i = 0; i < p->member_count; i++)
        if (memcmp(p->members[i].key, key, TX_KEY_SIZE) == 0)
            return &p->members[i];
    return NULL;
}

void node_peers_reload(struct node_peers *p)
{
    struct registry_validator *list = NULL;
    const struct state_store_ops *ops = ledger_store_ops(p->ledger);
    struct state_snapshot *snapshot = ops->snapshot_begin(ledger_store(p->ledger));
    size_t count = registry_load(&list, ops, snapshot);
    ops->snapshot_end(snapshot);
    /* A snapshot may be older than this node's own admission: then the record knows more. */
    if (!count && p->options.record->joined) {
        free(list);
        return;
    }
    free(p->members);
    p->members = list;
    p->member_count = count;
}

static bool on_allowed(void *arg, const uint8_t key[PEER_KEY_SIZE], const char **reason)
{
    struct node_peers *p = arg;
    pthread_rwlock_rdlock(&p->target_lock);
    pthread_mutex_lock(&p->members_lock);
    bool has_chain = p->ledger != NULL;
    bool allowed = node_peers_find(p, key) != NULL;
    if (!allowed && has_chain) {
        /* It may have been admitted a moment ago. */
        node_peers_reload(p);
        allowed = node_peers_find(p, key) != NULL;
    }
    pthread_mutex_unlock(&p->members_lock);
    pthread_rwlock_unlock(&p->target_lock);
    if (!allowed)
        *reason = has_chain ? NOT_MEMBER : STILL_JOINING;
    return allowed;
}

/* ---- the peer manager's callbacks ---- */

static void forget_said(struct connected *peer)
{
    buf_free(&peer->status);
    buf_free(&peer->have);
}

/* Peers say where they are when they connect, and then only what is new: what they say while the chain is
 * being fetched is kept for the ledger. */
static void keep_said(struct node_peers *p, const uint8_t *key, const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < p->connected_count; i++) {
        struct connected *peer = &p->connected[i];
        if (!len || memcmp(peer->key, key, TX_KEY_SIZE) != 0)
            continue;
        struct buf *kept = *bytes == MESSAGE_STATUS ? &peer->status
                           : *bytes == MESSAGE_HAVE ? &peer->have
                                                    : NULL;
        if (!kept)
            continue;
        buf_clear(kept);
        buf_append(kept, bytes, len);
    }
}

static void on_up(void *arg, const uint8_t key[PEER_KEY_SIZE])
{
    struct node_peers *p = arg;
    pthread_rwlock_wrlock(&p->target_lock);
    if (p->connected_count < REGISTRY_MAX)
        memcpy(p->connected[p->connected_count++].key, key, TX_KEY_SIZE);
    pthread_rwlock_unlock(&p->target_lock);
    pthread_rwlock_rdlock(&p->target_lock);
    if (p->ledger)
        ledger_peer_up(p->ledger, key);
    if (p->sync)
        ledger_sync_peer_up(p->sync, key);
    pthread_rwlock_unlock(&p->target_lock);
    wake_thread(p, false);
}

static void on_down(void *arg, const uint8_t key[PEER_KEY_SIZE])
{
    struct node_peers *p = arg;
    pthread_rwlock_wrlock(&p->target_lock);
    for (size_t i = 0; i < p->connected_count; i++)
        if (memcmp(p->connected[i].key, key, TX_KEY_SIZE) == 0) {
            forget_said(&p->connected[i]);
            p->connected[i] = p->connected[--p->connected_count];
            p->connected[p->connected_count] = (struct connected){.status = BUF_INIT};
            break;
        }
    pthread_rwlock_unlock(&p->target_lock);
    pthread_rwlock_rdlock(&p->target_lock);
    if (p->ledger)
        ledger_peer_down(p->ledger, key);
    if (p->sync)
        ledger_sync_peer_down(p->sync, key);
    pthread_rwlock_unlock(&p->target_lock);
    wake_thread(p, false);
}

static void on_frame(void *arg, const uint8_t key[PEER_KEY_SIZE], enum peer_channel channel,
                     const void *bytes, size_t len)
{
    struct node_peers *p = arg;
    pthread_rwlock_rdlock(&p->target_lock);
    if (channel == PEER_CHANNEL_CONSENSUS && p->ledger)
        ledger_peer_message(p->ledger, key, bytes, len);
    else if (channel == PEER_CHANNEL_CONSENSUS)
        keep_said(p, key, bytes, len);
    else if (channel == PEER_CHANNEL_SYNC && p->ledger)
        ledger_peer_sync(p->ledger, key, bytes, len);
    else if (channel == PEER_CHANNEL_SYNC && p->sync)
        ledger_sync_frame(p->sync, key, bytes, len);
    pthread_rwlock_unlock(&p->target_lock);
}

/* ---- what the ledger sends ---- */

static void send_message(void *arg, const uint8_t *key, const void *bytes, size_t len)
{
    struct node_peers *p = arg;
    peers_send(p->peers, key, PEER_CHANNEL_CONSENSUS, bytes, len);
}

static void flush(void *arg)
{
    struct node_peers *p = arg;
    peers_flush(p->peers);
}

void node_peers_send_sync(void *arg, const uint8_t *key, const void *bytes, size_t len)
{
    struct node_peers *p = arg;
    peers_send(p->peers, key, PEER_CHANNEL_SYNC, bytes, len);
}

static void blame(void *arg, const uint8_t *key, bool proof, const char *reason)
{
    struct node_peers *p = arg;
    peers_blame(p->peers, key, proof, reason);
}

void node_peers_attach(struct node_peers *p, struct ledger *ledger)
{
    const struct ledger_peer_ops ops = {
        .arg = p, .send = send_message, .flush = flush, .blame = blame, .send_sync = node_peers_send_sync};
    pthread_rwlock_wrlock(&p->target_lock);
    p->ledger = ledger;
    ledger_attach_peers(ledger, &ops);
    for (size_t i = 0; i < p->connected_count; i++) {
        struct connected *peer = &p->connected[i];
        ledger_peer_up(ledger, peer->key);
        if (peer->status.len)
            ledger_peer_message(ledger, peer->key, peer->status.data, peer->status.len);
        if (peer->have.len)
            ledger_peer_message(ledger, peer->key, peer->have.data, peer->have.len);
        forget_said(peer);
    }
    pthread_rwlock_unlock(&p->target_lock);
    ledger_subscribe(ledger, on_block, p);
    ledger_subscribe_events(ledger, on_event, p);
    wake_thread(p, true);
}

void node_peers_detach(struct node_peers *p)
{
    pthread_rwlock_wrlock(&p->target_lock);
    if (p->ledger)
        ledger_attach_peers(p->ledger, NULL);
    p->ledger = NULL;
    pthread_rwlock_unlock(&p->target_lock);
}

/* ---- the thread ---- */

static void learn(struct node_peers *p, const struct registry_validator *v)
{
    const char *addresses[REGISTRY_ADDRESSES_MAX];
    for (size_t i = 0; i < v->address_count; i++)
        addresses[i] = v->addresses[i];
    if (memcmp(v->key, p->own_key, TX_KEY_SIZE) != 0)
        peers_learn(p->peers, v->key, v->name, addresses, v->address_count);
}

static void save_record(struct node_peers *p)
{
    struct err err = {0};
    if (node_record_save(p->options.record, p->options.data_dir, &err))
        log_warn("node", "%s", err.message);
}

/* Returns whether this node has ceased to be a member. */
static bool apply_members(struct node_peers *p)
{
    pthread_rwlock_rdlock(&p->target_lock);
    pthread_mutex_lock(&p->members_lock);
    if (p->ledger)
        node_peers_reload(p);
    bool member = node_peers_find(p, p->own_key) != NULL;
    bool gone = p->was_member && !member && p->member_count > 0;
    p->was_member |= member;
    node_record_set_peers(p->options.record, p->members, p->member_count, p->own_key);
    save_record(p);
    size_t count = p->member_count;
    struct registry_validator *list = mem_calloc(count + 1, sizeof(*list));
    if (count)
        memcpy(list, p->members, count * sizeof(*list));
    pthread_mutex_unlock(&p->members_lock);
    pthread_rwlock_unlock(&p->target_lock);
    for (size_t i = 0; i < count; i++)
        learn(p, &list[i]);
    peers_recheck(p->peers);
    free(list);
    return gone;
}

/* Whether peers say that this node is no member, and none says otherwise. */
static bool is_refused(struct node_peers *p, size_t *known)
{
    mem_auto struct peer_info *list = mem_calloc(REGISTRY_MAX, sizeof(*list));
    size_t count = peers_list(p->peers, list, REGISTRY_MAX);
    bool refused = false, connected = false;
    *known = count;
    for (size_t i = 0; i < count && i < REGISTRY_MAX; i++) {
        connected |= list[i].connected;
        refused |= strstr(list[i].last_error, NOT_MEMBER) != NULL;
    }
    return refused && !connected;
}

bool node_peers_refused(struct node_peers *p, int64_t *since_us, size_t *known)
{
    int64_t now_us = clock_mono_us();
    if (!is_refused(p, known))
        *since_us = 0;
    else if (!*since_us)
        *since_us = now_us;
    return *since_us && now_us - *since_us >= LONELY_END_US;
}

static bool needs_snapshot(struct node_peers *p)
{
    struct ledger_state state = {.head_height = 0};
    pthread_rwlock_rdlock(&p->target_lock);
    if (p->ledger)
        ledger_state(p->ledger, &state);
    pthread_rwlock_unlock(&p->target_lock);
    return state.needs_snapshot;
}

static void end_node(struct node_peers *p, enum node_end why)
{
    struct err err = {0};
    struct node_record *record = p->options.record;
    if (why == NODE_END_REMOVED && *record->rotation.token)
        why = NODE_END_ROTATES;
    pthread_mutex_lock(&p->members_lock);
    record->removed = why == NODE_END_REMOVED;
    record->rotation.left = why == NODE_END_ROTATES;
    record->outdated = why == NODE_END_NEEDS_SNAPSHOT;
    save_record(p);
    pthread_mutex_unlock(&p->members_lock);
    if (why == NODE_END_REMOVED) {
        node_removed_err(&err, p->options.data_dir);
        log_error("node", "%s", err.message);
    } else if (why == NODE_END_ROTATES) {
        log_info("node", "the old key is out of the cluster: joining again with a new one");
    }
    p->options.ended(p->options.arg, why);
}

/* Sleeps until there is something to look at. While others are known and none is there, it looks around. */
static bool wait_for_work(struct node_peers *p, bool lonely)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += LONELY_LOOK_US / 1000000;
    pthread_mutex_lock(&p->wake_lock);
    int rc = 0;
    while (!p->look && !p->stopping && rc != ETIMEDOUT)
        rc = lonely ? pthread_cond_timedwait(&p->wake, &p->wake_lock, &until)
                    : pthread_cond_wait(&p->wake, &p->wake_lock);
    p->look = false;
    bool go_on = !p->stopping;
    pthread_mutex_unlock(&p->wake_lock);
    return go_on;
}

static void *thread_main(void *arg)
{
    struct node_peers *p = arg;
    bool lonely = false, ended = false;
    int64_t refused_since_us = 0; /* alone, and told that this node is no member */
    pthread_setname_np(pthread_self(), "node-members");
    while (wait_for_work(p, lonely && !ended)) {
        size_t known = 0;
        bool changed = take_changed(p);
        bool gone = changed && apply_members(p);
        if (changed && !gone)
            p->options.changed(p->options.arg);
        pthread_rwlock_rdlock(&p->target_lock);
        bool attached = p->ledger != NULL;
        lonely = attached && p->connected_count == 0;
        pthread_rwlock_unlock(&p->target_lock);
        gone |= lonely && node_peers_refused(p, &refused_since_us, &known);
        lonely &= known > 0;
        if (ended)
            continue;
        ended = gone || needs_snapshot(p);
        if (ended)
            end_node(p, gone ? NODE_END_REMOVED : NODE_END_NEEDS_SNAPSHOT);
    }
    return NULL;
}

/* ---- a new key ---- */

/* "https://HOST:PORT" for each address of another node. */
static void collect_servers(struct node_peers *p, struct buf *out, int api_port)
{
    for (size_t i = 0; i < p->member_count; i++) {
        const struct registry_validator *v = &p->members[i];
        if (memcmp(v->key, p->own_key, TX_KEY_SIZE) == 0)
            continue;
        for (size_t k = 0; k < v->address_count; k++) {
            const char *colon = strrchr(v->addresses[k], ':');
            if (colon)
                buf_printf(out, "%shttps://%.*s:%d", out->len ? "," : "", (int)(colon - v->addresses[k]),
                           v->addresses[k], api_port);
        }
    }
}

int node_peers_rotate(struct node_peers *p, const struct join_token *token, int api_port, struct err *err)
{
    buf_auto struct buf servers = BUF_INIT;
    struct node_record *record = p->options.record;
    pthread_rwlock_rdlock(&p->target_lock);
    size_t connected = p->connected_count;
    pthread_rwlock_unlock(&p->target_lock);
    if (!connected)
        return err_set(err, ERR_CONFLICT,
                       "no other node is connected, so nobody could admit this one again with its new key");
    pthread_mutex_lock(&p->members_lock);
    collect_servers(p, &servers, api_port);
    if (*record->servers)
        buf_printf(&servers, ",%s", record->servers);
    record->rotation = (struct node_rotation){.left = false};
    join_token_format(record->rotation.token, token);
    snprintf(record->rotation.servers, sizeof(record->rotation.servers), "%s", buf_str(&servers));
    int code = node_record_save(record, p->options.data_dir, err);
    pthread_mutex_unlock(&p->members_lock);
    return code;
}

/* ---- start and stop ---- */

static size_t collect_seeds(const struct node_record *record, const char **out, size_t max)
{
    size_t n = 0;
    for (size_t i = 0; i < record->peer_count; i++)
        for (size_t k = 0; k < record->peers[i].address_count && n < max; k++)
            out[n++] = record->peers[i].addresses[k];
    out[n] = NULL;
    return n;
}

/* Before there is a chain, the record tells whom to trust. */
static void members_from_record(struct node_peers *p)
{
    const struct node_record *record = p->options.record;
    p->members = mem_calloc(record->peer_count + 1, sizeof(*p->members));
    p->member_count = record->peer_count;
    if (record->peer_count)
        memcpy(p->members, record->peers, record->peer_count * sizeof(*p->members));
}

static int start_peers(struct node_peers *p, struct err *err)
{
    const char *seeds[REGISTRY_MAX * 2 + 1];
    const struct node_peers_options *o = &p->options;
    struct pki_peer_files files = pki_peer_files(o->pki);
    collect_seeds(o->record, seeds, REGISTRY_MAX * 2);
    struct peers_options options = {
        .bind_address = o->bind_address,
        .port = o->port,
        .ca_file = files.ca,
        .cert_file = files.cert,
        .key_file = files.key,
        .name = o->record->name,
        .advertise = o->advertise,
        .seeds = seeds,
        .callbacks = {.arg = p, .allowed = on_allowed, .up = on_up, .down = on_down, .frame = on_frame},
    };
    memcpy(options.chain_id, o->record->chain_id, sizeof(options.chain_id));
    memcpy(options.secret_key, o->secret_key, sizeof(options.secret_key));
    int code = peers_start(&p->peers, &options, err);
    explicit_bzero(options.secret_key, sizeof(options.secret_key));
    for (size_t i = 0; !code && i < p->member_count; i++)
        learn(p, &p->members[i]);
    return code;
}

int node_peers_start(struct node_peers **out, const struct node_peers_options *options, struct err *err)
{
    pthread_condattr_t monotonic;
    struct node_peers *p = mem_zalloc(sizeof(*p));
    p->options = *options;
    memcpy(p->own_key, options->secret_key + 64 - TX_KEY_SIZE, TX_KEY_SIZE);
    pthread_rwlock_init(&p->target_lock, NULL);
    pthread_mutex_init(&p->members_lock, NULL);
    pthread_mutex_init(&p->wake_lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&p->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    members_from_record(p);
    int code = start_peers(p, err);
    if (!code && pthread_create(&p->thread, NULL, thread_main, p) != 0)
        code = err_set(err, ERR_UNAVAILABLE, "no thread for the network");
    p->thread_runs = !code;
    if (code) {
        node_peers_stop(p);
        return code;
    }
    *out = p;
    return 0;
}

void node_peers_stop(struct node_peers *p)
{
    if (!p)
        return;
    if (p->thread_runs) {
        pthread_mutex_lock(&p->wake_lock);
        p->stopping = true;
        pthread_cond_signal(&p->wake);
        pthread_mutex_unlock(&p->wake_lock);
        pthread_join(p->thread, NULL);
    }
    node_peers_detach(p);
    peers_stop(p->peers);
    free(p->members);
    for (size_t i = 0; i < p->connected_count; i++)
        forget_said(&p->connected[i]);
    pthread_rwlock_destroy(&p->target_lock);
    pthread_mutex_destroy(&p->members_lock);
    pthread_mutex_destroy(&p->wake_lock);
    pthread_cond_destroy(&p->wake);
    free(p);
}

struct peers *node_peers_handle(struct node_peers *p)
{
    return p->peers;
}
