/* How a node becomes one of its network: see node_internal.h. */
#include "node/node_internal.h"

#include "api/server.h"
#include "base/log.h"
#include "base/mem.h"
#include "blockstore/blockstore.h"
#include "ledger/ledger.h"
#include "ledger/node_key.h"
#include "node/node_join.h"
#include "pki/pki.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ADDRESSES_MAX 40
#define DEFAULT_CLUSTER_CIDR "10.42.0.0/16"
#define DEFAULT_SERVICE_CIDR "10.43.0.0/16"
#define CATCH_UP_US 1500000      /* a node that was here before can serve what it has */
#define CATCH_UP_NEW_US 15000000 /* one that is new cannot do anything yet */

/* ---- what the options and the record come to ---- */

static int open_directory(struct node *node, struct err *err)
{
    const char *path = node->options.data_dir;
    if (mkdir(path, 0700) && errno != EEXIST)
        return err_set_errno(err, "cannot make the data directory %s", path);
    node->data_dir = realpath(path, NULL);
    if (!node->data_dir)
        return err_set_errno(err, "cannot use the data directory %s", path);
    node->kubeconfig = mem_printf("%s/kubeconfig", node->data_dir);
    int rc = node_record_load(&node->record, node->data_dir, err);
    if (!rc && node->record.removed)
        rc = node_removed_err(err, node->data_dir);
    return rc;
}

/* The chain knows a node's key by its name, so the name stays. */
static int resolve_name(struct node *node, struct err *err)
{
    const char *given = node->options.name, *known = node->record.name;
    if (given && *known && strcmp(given, known) != 0)
        return err_set(
            err, ERR_CONFLICT,
            "the node in %s is \"%s\" and keeps that name: start it without --node-name, or with this one",
            node->data_dir, known);
    if (given || *known)
        snprintf(node->name, sizeof(node->name), "%s", given ? given : known);
    else
        node_default_name(node->name);
    return 0;
}

static void resolve_address(struct node *node)
{
    const struct node_options *options = &node->options;
    if (options->advertise_address)
        snprintf(node->address, sizeof(node->address), "%s", options->advertise_address);
    else if (strcmp(options->bind_address, "0.0.0.0") != 0 && strncmp(options->bind_address, "127.", 4) != 0)
        snprintf(node->address, sizeof(node->address), "%s", options->bind_address);
    else
        node_default_address(node->address);
}

static bool has_port(const char *address)
{
    const char *bracket = strrchr(address, ']');
    return bracket ? bracket[1] == ':'
                   : strchr(address, ':') && strchr(address, ':') == strrchr(address, ':');
}

/* Where other nodes reach this one: as told, else where it listens, else at its advertised address. */
static void resolve_peer_addresses(struct node *node)
{
    const struct node_options *options = &node->options;
    const char *bound = strcmp(options->bind_address, "0.0.0.0") != 0 ? options->bind_address : node->address;
    const char *fallback[] = {options->advertise_address ? options->advertise_address : bound, NULL};
    const char *const *list =
        options->peer_addresses && options->peer_addresses[0] ? options->peer_addresses : fallback;
    size_t n = 0;
    for (; *list && n < REGISTRY_ADDRESSES_MAX; list++, n++) {
        bool bare = strchr(*list, ':') && !has_port(*list) && **list != '[';
        if (has_port(*list))
            snprintf(node->peer_addresses[n], REGISTRY_ADDRESS_MAX, "%s", *list);
        else
            snprintf(node->peer_addresses[n], REGISTRY_ADDRESS_MAX, bare ? "[%s]:%d" : "%s:%d", *list,
                     options->peer_port);
        node->advertise[n] = node->peer_addresses[n];
    }
    node->advertise[n] = NULL;
}

static int choose_cidr(char out[NODE_CIDR_MAX], const char *flag, const char *given,
                       char known[NODE_CIDR_MAX], const char *fallback, struct err *err)
{
    if (given && *known && strcmp(given, known) != 0)
        return err_set(err, ERR_CONFLICT, "the cluster's %s is %s, not %s: leave the option out", flag, known,
                       given);
    snprintf(out, NODE_CIDR_MAX, "%s", given ? given : *known ? known : fallback);
    snprintf(known, NODE_CIDR_MAX, "%s", out);
    return 0;
}

static int resolve_networks(struct node *node, struct err *err)
{
    const struct node_options *options = &node->options;
    int rc = choose_cidr(node->cluster_cidr, "--cluster-cidr", options->cluster_cidr,
                         node->record.cluster_cidr, DEFAULT_CLUSTER_CIDR, err);
    if (!rc)
        rc = choose_cidr(node->service_cidr, "--service-cidr", options->service_cidr,
                         node->record.service_cidr, DEFAULT_SERVICE_CIDR, err);
    if (rc)
        return rc;
    if (!node_pod_cidr(node->pod_cidr, node->cluster_cidr))
        return err_set(err, ERR_INVALID, "--cluster-cidr takes an IPv4 network of /24 or wider, not \"%s\"",
                       node->cluster_cidr);
    if (!node_first_service_address(node->service_address, node->service_cidr))
        return err_set(err, ERR_INVALID, "--service-cidr takes an IPv4 network, not \"%s\"",
                       node->service_cidr);
    return 0;
}

/* ---- joining ---- */

/* A node that has joined, or has a chain of the same cluster, has nothing to ask for. */
static int join(struct node *node, struct err *err)
{
    const struct node_options *options = &node->options;
    if (!options->join)
        return 0;
    if (node->record.has_chain) {
        int rc = options->token ? node_join_check(node->data_dir, options->token, err) : 0;
        if (!rc)
            log_info("node", "%s has joined its cluster before: --join is not needed", node->name);
        return rc;
    }
    if (!options->token)
        return err_set(
            err, ERR_INVALID,
            "--join needs a token: make one with `katena token create` on a node of the cluster and give it "
            "by --token, --token-file or KATENA_TOKEN");
    struct node_join_options request = {.data_dir = node->data_dir,
                                        .servers = options->join,
                                        .token = options->token,
                                        .name = node->name,
                                        .addresses = node->advertise};
    int rc = node_join(&node->record, &request, err);
    if (!rc)
        log_info("node", "%s was admitted to the cluster, which has %zu other node%s", node->name,
                 node->record.peer_count, node->record.peer_count == 1 ? "" : "s");
    return rc;
}

/* The old key is out of the cluster: a new one is made, and admitted like another node's. Whatever happens
 * meanwhile, the next start goes on here. */
static int join_with_new_key(struct node *node, struct err *err)
{
    const struct node_options *options = &node->options;
    const struct node_rotation rotation = node->record.rotation;
    mem_auto char *key = mem_printf("%s/chain/node.key", node->data_dir);
    mem_auto char *old = mem_printf("%s.old", key);
    if (access(old, F_OK) != 0 && rename(key, old) != 0 && errno != ENOENT)
        return err_set_errno(err, "cannot put the old key aside as %s", old);
    struct node_join_options request = {.data_dir = node->data_dir,
                                        .servers = rotation.servers,
                                        .token = rotation.token,
                                        .name = node->name,
                                        .addresses = node->advertise};
    int rc = node_join(&node->record, &request, err);
    if (rc && options->join && options->token) {
        log_warn("node", "%s", err->message);
        request.servers = options->join;
        request.token = options->token;
        rc = node_join(&node->record, &request, err);
    }
    if (rc)
        return err_wrap(
            err, "this node has left the cluster with its old key and cannot join with the new one (give "
                 "it --join and a new --token)");
    unlink(old);
    log_info("node", "%s is a member again, with a new key", node->name);
    return 0;
}

static int open_pki(struct node *node, struct err *err)
{
    const char *addresses[ADDRESSES_MAX + 1] = {node->address, node->name, node->service_address};
    size_t n = 3;
    if (strcmp(node->options.bind_address, "0.0.0.0") != 0)
        addresses[n++] = node->options.bind_address;
    for (const char *const *san = node->options.tls_san; san && *san && n < ADDRESSES_MAX; san++)
        addresses[n++] = *san;
    struct pki_options options = {
        .data_dir = node->data_dir, .node_name = node->name, .addresses = addresses};
    return pki_open(&node->pki, &options, err);
}

/* ---- the chain ---- */

static int open_ledger(struct node *node, struct err *err)
{
    struct ledger_options options = {.data_dir = node->data_dir,
                                     .retention_us = (uint64_t)node->options.retention_us,
                                     .byzantine = node->options.byzantine,
                                     .chain_id = node->record.has_chain ? node->record.chain_id : NULL};
    return ledger_open(&node->ledger, &options, err);
}

static void on_ended(void *arg, enum node_end why)
{
    struct node *node = arg;
    atomic_store(&node->outcome, why == NODE_END_REMOVED ? NODE_REMOVED : NODE_AGAIN);
    if (node->options.ended)
        node->options.ended(node->options.arg);
}

/* One of the nodes sees to it that the API's endpoints are those of the cluster. */
static void on_changed(void *arg)
{
    static const char work[] = "kubernetes endpoints";
    struct node *node = arg;
    struct err err = {0};
    pthread_mutex_lock(&node->serving_lock);
    if (node->serving && ledger_owns(node->ledger, work, sizeof(work)) &&
        api_server_refresh_endpoints(node->api, &err))
        log_warn("node", "the endpoints of the API are not current: %s", err.message);
    pthread_mutex_unlock(&node->serving_lock);
}

void node_set_serving(struct node *node, bool serving)
{
    pthread_mutex_lock(&node->serving_lock);
    node->serving = serving;
    pthread_mutex_unlock(&node->serving_lock);
}

static int start_peers(struct node *node, struct err *err)
{
    uint8_t secret_key[NODE_KEY_SIZE];
    mem_auto char *path = mem_printf("%s/chain/node.key", node->data_dir);
    int rc = node_key_load(secret_key, path, err);
    if (rc == ERR_NOT_FOUND)
        return err_set(
            err, rc,
            "the key of this node is lost with %s: remove the node \"%s\" from the cluster (katena node "
            "remove), then remove %s and join again",
            path, node->name, node->data_dir);
    struct node_peers_options options = {.data_dir = node->data_dir,
                                         .bind_address = node->options.bind_address,
                                         .port = node->options.peer_port,
                                         .advertise = node->advertise,
                                         .pki = node->pki,
                                         .secret_key = secret_key,
                                         .record = &node->record,
                                         .ended = on_ended,
                                         .changed = on_changed,
                                         .arg = node};
    if (!rc)
        rc = node_peers_start(&node->peers, &options, err);
    explicit_bzero(secret_key, sizeof(secret_key));
    return rc;
}

/* Moves the chain out of the way, all but the node's key. Changes that only this node has are kept with it as
 * orphans, which the chain that comes in its place has, and replays. */
static int set_chain_aside(struct node *node, struct err *err)
{
    char aside[PATH_MAX];
    mem_auto char *dir = mem_printf("%s/chain", node->data_dir);
    int rc = blockstore_set_aside(dir, aside, sizeof(aside), err);
    if (!rc)
        log_warn("node", "the old chain is kept in %s; remove it when it is not needed any more", aside);
    return rc;
}

static int fetch_chain(struct node *node, struct err *err)
{
    int rc = node->peers ? 0 : start_peers(node, err);
    if (!rc)
        rc = node_peers_fetch(node->peers, err);
    return rc ? rc : open_ledger(node, err);
}

static bool has_store(const struct node *node)
{
    mem_auto char *dir = mem_printf("%s/chain", node->data_dir);
    return blockstore_exists(dir);
}

/* A chain that this node cannot go on with makes way for the state that the others have now. */
static int replace_chain(struct node *node, struct err *err)
{
    int rc = set_chain_aside(node, err);
    return rc ? rc : fetch_chain(node, err);
}

/* Opens the chain. One that was never here, is outdated or damaged, comes from the others. */
static int open_chain(struct node *node, struct err *err)
{
    const struct node_record *record = &node->record;
    bool others = record->peer_count > 0;
    if (record->has_chain && others && !has_store(node))
        return fetch_chain(node, err);
    if (record->outdated && others) {
        log_warn("node",
                 "this node was away for longer than the others keep blocks: it fetches the state anew");
        return replace_chain(node, err);
    }
    int rc = open_ledger(node, err);
    if (rc != ERR_CORRUPT || !others)
        return rc;
    log_error("node", "the chain of this node is damaged: %s. It is fetched anew from the other nodes",
              err->message);
    return replace_chain(node, err);
}

static int remember(struct node *node, struct err *err)
{
    snprintf(node->record.name, sizeof(node->record.name), "%s", node->name);
    memcpy(node->record.chain_id, ledger_chain_id(node->ledger), sizeof(node->record.chain_id));
    node->record.has_chain = true;
    node->record.outdated = false;
    return node_record_save(&node->record, node->data_dir, err);
}

static int register_self(struct node *node, struct err *err)
{
    mem_auto struct registry_validator *self = mem_zalloc(sizeof(*self));
    snprintf(self->name, sizeof(self->name), "%s", node->name);
    memcpy(self->key, ledger_node_public(node->ledger), sizeof(self->key));
    memcpy(self->addresses, node->peer_addresses, sizeof(self->addresses));
    while (node->advertise[self->address_count])
        self->address_count++;
    return ledger_ensure_registered(node->ledger, self, err);
}

static int connect_chain(struct node *node, bool fresh, struct err *err)
{
    int rc = node->peers ? 0 : start_peers(node, err);
    if (rc)
        return rc;
    node_peers_attach(node->peers, node->ledger);
    rc = node_peers_catch_up(node->peers, fresh ? CATCH_UP_NEW_US : CATCH_UP_US, err);
    return rc ? rc : register_self(node, err);
}

/* ---- both ways ---- */

int node_join_network(struct node *node, struct err *err)
{
    if (!node->options.peer_port)
        node->options.peer_port = PEER_PORT;
    int rc = open_directory(node, err);
    if (!rc)
        rc = resolve_name(node, err);
    if (rc)
        return rc;
    resolve_address(node);
    resolve_peer_addresses(node);
    bool fresh = *node->record.rotation.token && node->record.rotation.left;
    rc = fresh ? join_with_new_key(node, err) : join(node, err);
    if (!rc)
        rc = resolve_networks(node, err);
    if (!rc)
        rc = open_pki(node, err);
    if (!rc)
        rc = open_chain(node, err);
    fresh |= node->peers != NULL;
    if (!rc)
        rc = remember(node, err);
    return rc ? rc : connect_chain(node, fresh, err);
}

void node_leave_network(struct node *node)
{
    if (node->ledger) {
        ledger_subscribe(node->ledger, NULL, NULL);
        ledger_subscribe_events(node->ledger, NULL, NULL);
    }
    node_peers_stop(node->peers);
    if (node->ledger)
        ledger_close(node->ledger);
    if (node->pki)
        pki_close(node->pki);
    node_record_free(&node->record);
}
