/* Starting, stopping, and what other threads may call. */
#include "peer/peer_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rand.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#define HEARTBEAT_US 1000000
#define CLOCK_TOLERANCE_US 500000
#define WARNINGS_PER_S 0.1
#define WARNINGS_BURST 10.0

/* ---- waking the loop ---- */

static _Thread_local const struct peers *loop_of_this_thread;

bool peers_in_loop(const struct peers *peers)
{
    return loop_of_this_thread == peers;
}

void peers_wake(struct peers *peers)
{
    if (!atomic_exchange(&peers->woken, true))
        lws_cancel_service(peers->context);
}

static void resolver_wake(void *arg)
{
    peers_wake(arg);
}

void peers_warn(struct peers *peers, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (!bucket_take(&peers->log_bucket, WARNINGS_PER_S, WARNINGS_BURST, clock_mono_us())) {
        peers->log_dropped++;
        return;
    }
    if (peers->log_dropped)
        log_warn("peer", "%s (%llu warnings before it were left out)", text,
                 (unsigned long long)peers->log_dropped);
    else
        log_warn("peer", "%s", text);
    peers->log_dropped = 0;
}

/* ---- commands ---- */

static void command_add(struct peers *peers, struct command *command)
{
    peers_lock(peers);
    *peers->commands_tail = command;
    peers->commands_tail = &command->next;
    peers_unlock(peers);
    peers_wake(peers);
}

static void command_learn(struct peers *peers, const struct command *command)
{
    const struct control_node *node = &command->node;
    if (memcmp(node->key, peers->self.key, PEER_KEY_SIZE) == 0)
        return;
    struct contact *contact = contact_get(peers, node->key, NULL);
    if (!contact)
        return;
    peers_lock(peers);
    if (node->name[0])
        snprintf(contact->name, sizeof(contact->name), "%s", node->name);
    peers_unlock(peers);
    routes_replace(peers, contact, node, ROUTE_LEARNED);
    routes_hurry(peers, contact, clock_mono_us());
}

static void command_blame(struct peers *peers, const struct command *command)
{
    struct contact *contact = contact_find(peers, command->node.key);
    int64_t now = clock_mono_us();
    if (!contact)
        return;
    peers_lock(peers);
    peers->faults++;
    bool refuse = score_fault(&contact->score, SCORE_FAULT, now);
    if (command->proof)
        score_refuse(&contact->score, now);
    snprintf(contact->last_error, sizeof(contact->last_error), "%s", command->reason);
    peers_unlock(peers);
    peers_warn(peers, "%s is blamed%s: %s", contact_label(contact), command->proof ? " with proof" : "",
               command->reason);
    if ((refuse || command->proof) && contact->conn)
        conn_refuse(contact->conn, REFUSAL_BLAMED, "%s", command->reason);
}

void peers_run_commands(struct peers *peers)
{
    peers_lock(peers);
    struct command *list = peers->commands;
    peers->commands = NULL;
    peers->commands_tail = &peers->commands;
    peers_unlock(peers);
    for (struct command *command = list, *next; command; command = next) {
        next = command->next;
        switch (command->type) {
        case COMMAND_LEARN:
            command_learn(peers, command);
            break;
        case COMMAND_RECHECK:
            book_recheck(peers);
            break;
        case COMMAND_BLAME:
            command_blame(peers, command);
            break;
        }
        free(command);
    }
}

void peers_learn(struct peers *peers, const uint8_t key[PEER_KEY_SIZE], const char *name,
                 const char *const *addresses, size_t count)
{
    struct command *command = mem_zalloc(sizeof(*command));
    struct control_node *node = &command->node;
    command->type = COMMAND_LEARN;
    memcpy(node->key, key, PEER_KEY_SIZE);
    snprintf(node->name, sizeof(node->name), "%s", name ? name : "");
    for (size_t i = 0; i < count && node->address_count < CONTROL_ADDRESSES_MAX; i++)
        snprintf(node->addresses[node->address_count++], PEER_ADDRESS_MAX, "%s", addresses[i]);
    command_add(peers, command);
}

void peers_recheck(struct peers *peers)
{
    struct command *command = mem_zalloc(sizeof(*command));
    command->type = COMMAND_RECHECK;
    command_add(peers, command);
}

void peers_blame(struct peers *peers, const uint8_t key[PEER_KEY_SIZE], bool proof, const char *reason)
{
    struct command *command = mem_zalloc(sizeof(*command));
    command->type = COMMAND_BLAME;
    memcpy(command->node.key, key, PEER_KEY_SIZE);
    command->proof = proof;
    snprintf(command->reason, sizeof(command->reason), "%s", reason);
    command_add(peers, command);
}

/* ---- sending ---- */

static bool wanted(const struct contact *contact, const uint8_t *key)
{
    return contact->conn && (!key || memcmp(contact->key, key, PEER_KEY_SIZE) == 0);
}

static bool anyone_wanted(const struct peers *peers, const uint8_t *key)
{
    for (const struct contact *contact = peers->contacts; contact; contact = contact->next)
        if (wanted(contact, key))
            return true;
    return false;
}

/* With the lock. */
static bool push_to(struct peers *peers, struct conn *conn, struct parcel *parcel, bool in_loop)
{
    if (conn->overflowed)
        return false;
    if (!outgoing_push(&conn->out, parcel)) {
        conn->overflowed = true;
        peers->overflows++;
        return false;
    }
    if (in_loop)
        peers->unflushed = true;
    return true;
}

bool peers_send(struct peers *peers, const uint8_t *key, enum peer_channel channel, const void *bytes,
                size_t len)
{
    assert(channel > PEER_CHANNEL_CONTROL && channel <= PEER_CHANNEL_SYNC);
    bool in_loop = peers_in_loop(peers);
    bool sent = false, full = false;
    if (len > PEER_FRAME_MAX)
        return false;
    peers_lock(peers);
    bool anyone = anyone_wanted(peers, key);
    peers_unlock(peers);
    if (!anyone)
        return false;
    struct parcel *parcel = parcel_make((uint8_t)channel, bytes, len);
    peers_lock(peers);
    for (struct contact *contact = peers->contacts; contact; contact = contact->next) {
        if (!wanted(contact, key))
            continue;
        if (push_to(peers, contact->conn, parcel, in_loop))
            sent = true;
        else
            full = true;
    }
    peers_unlock(peers);
    parcel_release(parcel);
    if (full || (sent && !in_loop))
        peers_wake(peers);
    return sent;
}

void peers_flush(struct peers *peers)
{
    if (!peers_in_loop(peers) || !peers->unflushed)
        return;
    peers->unflushed = false;
    for (struct conn *conn = peers->conns; conn; conn = conn->next)
        net_flush(conn);
}

/* ---- start and stop ---- */

static void *peers_main(void *arg)
{
    struct peers *peers = arg;
    loop_of_this_thread = peers;
    pthread_setname_np(pthread_self(), "peers");
    while (!atomic_load(&peers->stopping)) {
        lws_service(peers->context, 0);
        peers_flush(peers);
    }
    return NULL;
}

static void peers_free(struct peers *peers)
{
    resolver_close(peers->resolver); /* nobody wakes the loop any more */
    net_close(peers);
    SSL_CTX_free(peers->client_tls);
    for (struct command *command = peers->commands, *next; command; command = next) {
        next = command->next;
        free(command);
    }
    book_free(peers);
    pthread_mutex_destroy(&peers->lock);
    sodium_memzero(peers->secret_key, sizeof(peers->secret_key));
    free(peers->bind_address);
    free(peers->ca_file);
    free(peers->cert_file);
    free(peers->key_file);
    free(peers);
}

static void take_options(struct peers *peers, const struct peers_options *options)
{
    peers->callbacks = options->callbacks;
    peers->bind_address = mem_strdup(options->bind_address);
    peers->port = options->port;
    peers->ca_file = mem_strdup(options->ca_file);
    peers->cert_file = mem_strdup(options->cert_file);
    peers->key_file = mem_strdup(options->key_file);
    memcpy(peers->chain_id, options->chain_id, sizeof(peers->chain_id));
    memcpy(peers->secret_key, options->secret_key, sizeof(peers->secret_key));
    crypto_sign_ed25519_sk_to_pk(peers->self.key, options->secret_key);
    snprintf(peers->self.name, sizeof(peers->self.name), "%s", options->name);
    peers->heartbeat_us = options->heartbeat_us ? options->heartbeat_us : HEARTBEAT_US;
    peers->clock_tolerance_us =
        options->clock_tolerance_us ? options->clock_tolerance_us : CLOCK_TOLERANCE_US;
    rand_bytes(&peers->instance, sizeof(peers->instance));
}

static int take_addresses(struct peers *peers, const struct peers_options *options, struct err *err)
{
    struct address address;
    for (size_t i = 0; options->advertise && options->advertise[i]; i++) {
        if (!address_parse(&address, options->advertise[i]))
            return err_set(err, ERR_INVALID, "\"%s\" is no HOST:PORT address", options->advertise[i]);
        if (peers->self.address_count == CONTROL_ADDRESSES_MAX)
            return err_set(err, ERR_INVALID, "a node has at most %d addresses", CONTROL_ADDRESSES_MAX);
        address_format(peers->self.addresses[peers->self.address_count++], &address);
    }
    for (size_t i = 0; options->seeds && options->seeds[i]; i++) {
        if (!address_parse(&address, options->seeds[i]))
            return err_set(err, ERR_INVALID, "\"%s\" is no HOST:PORT address", options->seeds[i]);
        route_add(peers, options->seeds[i], NULL, ROUTE_SEED);
    }
    return 0;
}

static int start_thread(struct peers *peers, struct err *err)
{
    sigset_t all, before;
    sigfillset(&all);
    net_rearm(peers); /* there may be seeds to try */
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int rc = pthread_create(&peers->thread, NULL, peers_main, peers);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = rc;
    return rc ? err_set_errno(err, "start the peers' thread") : 0;
}

int peers_start(struct peers **out, const struct peers_options *options, struct err *err)
{
    struct peers *peers = mem_zalloc(sizeof(*peers));
    pthread_mutex_init(&peers->lock, NULL);
    peers->commands_tail = &peers->commands;
    take_options(peers, options);
    peers->resolver = resolver_open(resolver_wake, peers);
    int rc = take_addresses(peers, options, err);
    if (!rc)
        rc = net_tls_open(peers, err);
    if (!rc)
        rc = net_listen(peers, err);
    if (!rc)
        rc = net_open(peers, err);
    *out = peers; /* callbacks may come before this returns */
    if (!rc)
        rc = start_thread(peers, err);
    if (rc) {
        peers_free(peers);
        *out = NULL;
    }
    return rc;
}

void peers_stop(struct peers *peers)
{
    if (!peers)
        return;
    atomic_store(&peers->stopping, true);
    lws_cancel_service(peers->context);
    pthread_join(peers->thread, NULL); /* the context outlives its loop: others may still be waking it */
    peers_free(peers);
}

int peers_port(const struct peers *peers)
{
    return peers->port;
}
