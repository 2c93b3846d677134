/* See nodes.h. The chain says who belongs to the cluster, the ledger who acts, the peer manager who is there.
 */
#include "api/nodes.h"

#include "base/clock.h"
#include "base/hex.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "codec/json.h"
#include "peer/peer.h"
#include "validator/registry.h"

#include <stdlib.h>
#include <string.h>

struct view {
    struct registry_validator *registered;
    size_t registered_count;
    struct ledger_validator *acting;
    size_t acting_count;
    struct peer_info *peers;
    size_t peer_count;
    struct ledger_state state;
    uint64_t highest; /* block that anybody is known to have */
};

static void view_take(struct view *view, struct api_server *server)
{
    const struct state_store_ops *ops = ledger_store_ops(server->ledger);
    struct state_snapshot *snapshot = ops->snapshot_begin(ledger_store(server->ledger));
    *view = (struct view){.registered = NULL};
    view->registered_count = registry_load(&view->registered, ops, snapshot);
    ops->snapshot_end(snapshot);
    view->acting = mem_calloc(REGISTRY_MAX, sizeof(*view->acting));
    view->acting_count = ledger_validators(server->ledger, view->acting, REGISTRY_MAX);
    if (view->acting_count > REGISTRY_MAX)
        view->acting_count = REGISTRY_MAX;
    ledger_state(server->ledger, &view->state);
    view->highest =
        view->state.behind > view->state.head_height ? view->state.behind : view->state.head_height;
    for (size_t i = 0; i < view->acting_count; i++)
        if (view->acting[i].head_height > view->highest)
            view->highest = view->acting[i].head_height;
    view->peers = mem_calloc(REGISTRY_MAX, sizeof(*view->peers));
    pthread_rwlock_rdlock(&server->peers_lock);
    if (server->peers)
        view->peer_count = peers_list(server->peers, view->peers, REGISTRY_MAX);
    pthread_rwlock_unlock(&server->peers_lock);
    if (view->peer_count > REGISTRY_MAX)
        view->peer_count = REGISTRY_MAX;
}

static void view_free(struct view *view)
{
    free(view->registered);
    free(view->acting);
    free(view->peers);
}

static const struct ledger_validator *find_acting(const struct view *view, const uint8_t *key)
{
    for (size_t i = 0; i < view->acting_count; i++)
        if (memcmp(view->acting[i].key, key, TX_KEY_SIZE) == 0)
            return &view->acting[i];
    return NULL;
}

static const struct peer_info *find_peer(const struct view *view, const uint8_t *key)
{
    for (size_t i = 0; i < view->peer_count; i++)
        if (memcmp(view->peers[i].key, key, TX_KEY_SIZE) == 0)
            return &view->peers[i];
    return NULL;
}

static void set_bool(json_t *value, const char *name, bool on)
{
    json_object_set_new(value, name, json_boolean(on));
}

static void set_hex(json_t *value, const char *name, const uint8_t *bytes, size_t len)
{
    mem_auto char *digits = mem_alloc(2 * len + 1);
    hex_encode(digits, bytes, len);
    json_set_str(value, name, digits);
}

static void put_acting(json_t *node, const struct ledger_validator *v, const struct view *view)
{
    set_bool(node, "self", v && v->self);
    set_bool(node, "live", v && v->live);
    set_bool(node, "acting", v && v->acting);
    set_bool(node, "producer", v && v->producer);
    set_bool(node, "equivocated", v && v->equivocated);
    uint64_t height = !v ? 0 : v->self ? view->state.head_height : v->head_height;
    json_set_int(node, "headHeight", (int64_t)height);
    json_set_int(node, "behind", (int64_t)(view->highest - height));
}

static void put_peer(json_t *node, const struct peer_info *peer)
{
    char since[TIMEFMT_MAX];
    set_bool(node, "connected", peer && peer->connected);
    if (!peer)
        return;
    json_set_int(node, "faults", peer->faults);
    if (peer->connected) {
        json_set_int(node, "clockOffsetUs", peer->clock_offset_us);
        json_set_int(node, "roundTripUs", peer->round_trip_us);
    }
    json_set_int(node, "bytesReceived", (int64_t)peer->bytes_in);
    json_set_int(node, "bytesSent", (int64_t)peer->bytes_out);
    if (*peer->address)
        json_set_str(node, "address", peer->address);
    if (peer->since_us > 0) {
        timefmt_seconds(since, peer->since_us / 1000000);
        json_set_str(node, peer->connected ? "connectedSince" : "lastSeen", since);
    }
    if (*peer->last_error)
        json_set_str(node, "lastError", peer->last_error);
    set_bool(node, "refused", peer->refused_until_us > clock_wall_us());
}

static json_t *registered_node(const struct view *view, const struct registry_validator *v)
{
    static const char *const phases[] = {
        [REGISTRY_JOINING] = "Joining", [REGISTRY_ACTING] = "Acting", [REGISTRY_LEAVING] = "Leaving"};
    json_t *node = json_object();
    json_set_str(node, "name", v->name);
    set_hex(node, "key", v->key, TX_KEY_SIZE);
    json_set_str(node, "phase", phases[v->phase]);
    put_acting(node, find_acting(view, v->key), view);
    json_t *addresses = json_array_ensure(node, "addresses");
    for (size_t i = 0; i < v->address_count; i++)
        json_array_append_new(addresses, json_string(v->addresses[i]));
    put_peer(node, find_peer(view, v->key));
    return node;
}

/* A chain whose registry is empty has one validator, the producer of its genesis. */
static json_t *only_node(const struct view *view, const struct api_server *server)
{
    json_t *node = json_object();
    json_set_str(node, "name", server->node_name);
    set_hex(node, "key", ledger_node_public(server->ledger), TX_KEY_SIZE);
    json_set_str(node, "phase", "Acting");
    put_acting(node, find_acting(view, ledger_node_public(server->ledger)), view);
    set_bool(node, "self", true);
    set_bool(node, "live", true);
    json_array_ensure(node, "addresses");
    return node;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct registry_validator *)a)->name, ((const struct registry_validator *)b)->name);
}

json_t *nodes_list(struct api_server *server)
{
    struct view view;
    view_take(&view, server);
    if (view.registered_count)
        qsort(view.registered, view.registered_count, sizeof(*view.registered), by_name);
    json_t *list = json_object();
    json_set_str(list, "kind", "NodeStatusList");
    json_set_str(list, "apiVersion", "katena.io/v1");
    json_t *items = json_array_ensure(list, "items");
    for (size_t i = 0; i < view.registered_count; i++)
        json_array_append_new(items, registered_node(&view, &view.registered[i]));
    if (!view.registered_count)
        json_array_append_new(items, only_node(&view, server));
    view_free(&view);
    return list;
}

/* What a token and its user need: the CA's hash, and where the API is. */
static void put_server(json_t *value, const struct api_server *server)
{
    uint8_t hash[PKI_HASH_SIZE];
    bool anywhere = strcmp(server->bind_address, "0.0.0.0") == 0;
    const char *host =
        anywhere && server->advertise_address ? server->advertise_address : server->bind_address;
    json_object_set_new(value, "server", json_sprintf("https://%s:%d", host, server->port));
    if (pki_ca_hash(hash, pki_ca_cert(server->pki), NULL) == 0)
        set_hex(value, "caHash", hash, sizeof(hash));
}

json_t *nodes_status(struct api_server *server)
{
    struct view view;
    size_t live = 0;
    view_take(&view, server);
    for (size_t i = 0; i < view.acting_count; i++)
        live += view.acting[i].live;
    const struct ledger_state *state = &view.state;
    json_t *value = json_object();
    json_set_str(value, "kind", "ChainStatus");
    json_set_str(value, "apiVersion", "katena.io/v1");
    json_set_str(value, "node", server->node_name);
    put_server(value, server);
    set_hex(value, "chain", ledger_chain_id(server->ledger), TX_ID_SIZE);
    json_set_int(value, "head", (int64_t)state->head_height);
    set_hex(value, "headHash", state->head_hash, TX_ID_SIZE);
    json_set_int(value, "final", (int64_t)state->final_height);
    set_hex(value, "finalHash", state->final_hash, TX_ID_SIZE);
    json_set_int(value, "headTimeUs", state->head_time_us);
    json_set_int(value, "finalTimeUs", state->final_time_us);
    json_set_int(value, "pending", (int64_t)state->pending);
    json_set_int(value, "orphans", (int64_t)state->orphans);
    json_set_int(value, "behind", (int64_t)state->behind);
    set_bool(value, "switching", state->switching);
    json_set_int(value, "validators", view.registered_count ? (int64_t)view.registered_count : 1);
    json_set_int(value, "live", live ? (int64_t)live : 1);
    view_free(&view);
    return value;
}

int nodes_remove(struct api_server *server, const char *name, struct err *err)
{
    size_t i, others = 0;
    const json_t *node;
    bool found = false;
    json_auto_t *list = nodes_list(server);
    json_array_foreach(json_object_get(list, "items"), i, node)
    {
        bool this = strcmp(json_str_or_empty(node, "name"), name) == 0;
        found |= this;
        others += !this && strcmp(json_str_or_empty(node, "phase"), "Leaving") != 0;
    }
    if (!found)
        return err_set(err, ERR_NOT_FOUND, "the cluster has no node \"%s\"; see katena node list", name);
    if (!others)
        return err_set(err, ERR_CONFLICT, "\"%s\" is the only node of the cluster: there is nobody to go on",
                       name);
    return ledger_remove_validator(server->ledger, name, err);
}

int nodes_rotate(struct api_server *server, const char *name, struct err *err)
{
    if (strcmp(name, server->node_name) != 0)
        return err_set(
            err, ERR_BAD_REQUEST,
            "a node changes its own key: this one is \"%s\". Ask \"%s\" itself, for example on it with "
            "--data-dir",
            server->node_name, name);
    pthread_rwlock_rdlock(&server->peers_lock);
    int code = server->rotate ? server->rotate(server->rotate_arg, err)
                              : err_set(err, ERR_UNAVAILABLE, "this node is starting or stopping");
    pthread_rwlock_unlock(&server->peers_lock);
    return code;
}

/* ---- metrics ---- */

static void put_gauge(struct buf *out, const char *name, const char *help, uint64_t value)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s gauge\n%s %llu\n", name, help, name, name,
               (unsigned long long)value);
}

void nodes_metrics(struct api_server *server, struct buf *out)
{
    json_auto_t *status = nodes_status(server);
    put_gauge(out, "katena_chain_head_height", "Height of the newest block.",
              (uint64_t)json_int_or(0, status, "head"));
    put_gauge(out, "katena_chain_final_height", "Height of the newest irreversible block.",
              (uint64_t)json_int_or(0, status, "final"));
    put_gauge(out, "katena_chain_behind", "Height of blocks that this node knows of and lacks; 0: none.",
              (uint64_t)json_int_or(0, status, "behind"));
    put_gauge(out, "katena_chain_pending_transactions", "Transactions that wait for a block.",
              (uint64_t)json_int_or(0, status, "pending"));
    put_gauge(out, "katena_chain_orphans", "Transactions of abandoned blocks that wait for their replay.",
              (uint64_t)json_int_or(0, status, "orphans"));
    put_gauge(out, "katena_validators", "Nodes that the chain knows.",
              (uint64_t)json_int_or(0, status, "validators"));
    put_gauge(out, "katena_validators_live", "Of these, nodes that can be reached from here, and this one.",
              (uint64_t)json_int_or(0, status, "live"));
    pthread_rwlock_rdlock(&server->peers_lock);
    if (server->peers)
        peers_metrics(server->peers, out);
    pthread_rwlock_unlock(&server->peers_lock);
}
