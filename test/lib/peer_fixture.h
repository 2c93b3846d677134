/* Peer managers in one process: an authority, certificates, nodes that write down what they are told. */
#ifndef KATENA_TEST_PEER_FIXTURE_H
#define KATENA_TEST_PEER_FIXTURE_H

#include "base/clock.h"
#include "base/mem.h"
#include "peer/peer.h"
#include "scratch.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <unistd.h>

/* libwebsockets asks mktime when certificates expire; that the C library locks its time zone is not seen. And
 * it has one buffer for log lines of all contexts: a node has one, these tests have many. */
#if defined(__SANITIZE_THREAD__)
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
    return "race:tzset_internal\nrace:_lws_logv\n";
}
#endif

/* ---- certificates ---- */

struct peer_authority {
    struct scratch scratch;
    EVP_PKEY *key;
    X509 *cert;
    int serial;
};

static inline X509 *peer_cert_make(struct peer_authority *authority, EVP_PKEY *key, const char *name, bool ca)
{
    X509 *cert = X509_new();
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), ++authority->serial);
    X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(cert), 24 * 3600);
    X509_set_pubkey(cert, key);
    X509_NAME *subject = X509_get_subject_name(cert);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(cert, ca ? subject : X509_get_subject_name(authority->cert));
    X509_EXTENSION *extension =
        X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, ca ? "critical,CA:TRUE" : "CA:FALSE");
    X509_add_ext(cert, extension, -1);
    X509_EXTENSION_free(extension);
    if (!ca) {
        extension = X509V3_EXT_conf_nid(NULL, NULL, NID_ext_key_usage, "serverAuth,clientAuth");
        X509_add_ext(cert, extension, -1);
        X509_EXTENSION_free(extension);
    }
    X509_sign(cert, ca ? key : authority->key, EVP_sha256());
    return cert;
}

static inline void peer_pem_write(const char *path, X509 *cert, EVP_PKEY *key)
{
    FILE *file = fopen(path, "w");
    if (!file)
        abort();
    if (cert)
        PEM_write_X509(file, cert);
    if (key)
        PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
    fclose(file);
}

static inline void peer_authority_make(struct peer_authority *authority)
{
    *authority = (struct peer_authority){0};
    scratch_make(&authority->scratch);
    authority->key = EVP_EC_gen("P-256");
    authority->cert = peer_cert_make(authority, authority->key, "ca", true);
    peer_pem_write(scratch_file(&authority->scratch, "ca.crt"), authority->cert, NULL);
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = peer_cert_make(authority, key, "node", false);
    peer_pem_write(scratch_file(&authority->scratch, "peer.crt"), cert, NULL);
    peer_pem_write(scratch_file(&authority->scratch, "peer.key"), NULL, key);
    X509_free(cert);
    EVP_PKEY_free(key);
}

static inline void peer_authority_free(struct peer_authority *authority)
{
    X509_free(authority->cert);
    EVP_PKEY_free(authority->key);
    scratch_remove(&authority->scratch);
}

/* ---- nodes ---- */

#define PEER_NODE_EVENTS 256

struct peer_node {
    struct peers *peers;
    uint8_t public_key[32], secret_key[64];
    char name[16], address[64];
    int port;

    pthread_mutex_t lock;
    char events[PEER_NODE_EVENTS]; /* + up, - down, in order */
    size_t event_count;
    uint8_t last_key[32]; /* of the latest event */
    uint8_t up_keys[32][32];
    size_t up_count;
    size_t frames, bytes;
    char *last; /* the latest frame, and its length */
    size_t last_len;
    enum peer_channel last_channel;
    bool deny_all;
    uint8_t denied[32];
    bool has_denied;
    int64_t hold_us; /* in every frame callback */
    void (*on_frame)(struct peer_node *node, const uint8_t *key, const void *bytes, size_t len);
};

static inline bool peer_node_allowed(void *arg, const uint8_t key[32], const char **reason)
{
    struct peer_node *node = arg;
    pthread_mutex_lock(&node->lock);
    bool denied = node->deny_all || (node->has_denied && memcmp(key, node->denied, 32) == 0);
    pthread_mutex_unlock(&node->lock);
    if (denied)
        *reason = "the node is not registered";
    return !denied;
}

/* A node's ups and downs take turns. */
static inline void peer_node_check_turn(struct peer_node *node, char event, const uint8_t key[32])
{
    size_t at = 0;
    while (at < node->up_count && memcmp(node->up_keys[at], key, 32) != 0)
        at++;
    if ((at < node->up_count) != (event == '-') || node->up_count == 32)
        abort();
    if (event == '+')
        memcpy(node->up_keys[node->up_count++], key, 32);
    else
        memcpy(node->up_keys[at], node->up_keys[--node->up_count], 32);
}

static inline void peer_node_event(struct peer_node *node, char event, const uint8_t key[32])
{
    pthread_mutex_lock(&node->lock);
    peer_node_check_turn(node, event, key);
    if (node->event_count < PEER_NODE_EVENTS - 1)
        node->events[node->event_count++] = event;
    memcpy(node->last_key, key, 32);
    pthread_mutex_unlock(&node->lock);
}

static inline void peer_node_up(void *arg, const uint8_t key[32])
{
    peer_node_event(arg, '+', key);
}

static inline void peer_node_down(void *arg, const uint8_t key[32])
{
    peer_node_event(arg, '-', key);
}

static inline void peer_node_frame(void *arg, const uint8_t key[32], enum peer_channel channel,
                                   const void *bytes, size_t len)
{
    struct peer_node *node = arg;
    if (node->on_frame) {
        node->on_frame(node, key, bytes, len);
        return;
    }
    pthread_mutex_lock(&node->lock);
    node->frames++;
    node->bytes += len;
    free(node->last);
    node->last = mem_dup(bytes, len ? len : 1);
    node->last_len = len;
    node->last_channel = channel;
    int64_t hold = node->hold_us;
    pthread_mutex_unlock(&node->lock);
    if (hold)
        usleep((useconds_t)hold);
}

static inline void peer_node_init(struct peer_node *node, const char *name)
{
    *node = (struct peer_node){0};
    pthread_mutex_init(&node->lock, NULL);
    snprintf(node->name, sizeof(node->name), "%s", name);
    crypto_sign_keypair(node->public_key, node->secret_key);
}

/* Two nodes, the first with the lower key. */
static inline void peer_nodes_order(struct peer_node *a, struct peer_node *b)
{
    if (memcmp(a->public_key, b->public_key, 32) < 0)
        return;
    uint8_t public_key[32], secret_key[64];
    memcpy(public_key, a->public_key, 32);
    memcpy(secret_key, a->secret_key, 64);
    memcpy(a->public_key, b->public_key, 32);
    memcpy(a->secret_key, b->secret_key, 64);
    memcpy(b->public_key, public_key, 32);
    memcpy(b->secret_key, secret_key, 64);
}

struct peer_node_options {
    const char *seeds[4];
    int64_t heartbeat_us; /* 0: 500 ms, so that nobody is silent who only waits for a processor */
    uint8_t chain;
    const char *bind; /* NULL: 127.0.0.1 */
    bool advertise;   /* from the second start on, when the port is known */
};

static inline int peer_node_start(struct peer_node *node, struct peer_authority *authority,
                                  const struct peer_node_options *more, struct err *err)
{
    static const struct peer_node_options none = {0};
    more = more ? more : &none;
    char *ca = mem_strdup(scratch_file(&authority->scratch, "ca.crt"));
    char *cert = mem_strdup(scratch_file(&authority->scratch, "peer.crt"));
    char *key = mem_strdup(scratch_file(&authority->scratch, "peer.key"));
    const char *advertise[] = {node->address, NULL};
    struct peers_options options = {
        .bind_address = more->bind ? more->bind : "127.0.0.1",
        .port = node->port,
        .ca_file = ca,
        .cert_file = cert,
        .key_file = key,
        .name = node->name,
        .advertise = more->advertise ? advertise : NULL,
        .seeds = more->seeds,
        .heartbeat_us = more->heartbeat_us ? more->heartbeat_us : 500000,
        .callbacks = {node, peer_node_allowed, peer_node_up, peer_node_down, peer_node_frame},
    };
    memset(options.chain_id, more->chain, sizeof(options.chain_id));
    memcpy(options.secret_key, node->secret_key, sizeof(options.secret_key));
    int rc = peers_start(&node->peers, &options, err);
    if (rc == 0) {
        node->port = peers_port(node->peers);
        snprintf(node->address, sizeof(node->address), "127.0.0.1:%d", node->port);
    }
    free(ca);
    free(cert);
    free(key);
    return rc;
}

static inline void peer_node_stop(struct peer_node *node)
{
    peers_stop(node->peers);
    node->peers = NULL;
    node->up_count = 0;
}

static inline void peer_node_free(struct peer_node *node)
{
    peer_node_stop(node);
    free(node->last);
    pthread_mutex_destroy(&node->lock);
}

/* Makes a port known before the node that will have it runs. */
static inline void peer_node_reserve(struct peer_node *node, struct peer_authority *authority)
{
    struct err err;
    if (peer_node_start(node, authority, NULL, &err))
        abort();
    peer_node_stop(node);
}

static inline size_t peer_node_frames(struct peer_node *node)
{
    pthread_mutex_lock(&node->lock);
    size_t frames = node->frames;
    pthread_mutex_unlock(&node->lock);
    return frames;
}

/* The events so far, as a text in a static buffer. */
static inline const char *peer_node_events(struct peer_node *node)
{
    static _Thread_local char text[PEER_NODE_EVENTS];
    pthread_mutex_lock(&node->lock);
    memcpy(text, node->events, sizeof(text));
    pthread_mutex_unlock(&node->lock);
    return text;
}

/* For what is going to be, on a machine that has other things to do. */
#define PEER_PATIENCE_MS 15000

#define PEER_WAIT(condition, ms)                                    \
    ({                                                              \
        int64_t until_us = clock_mono_us() + (int64_t)(ms)*1000;    \
        bool held = false;                                          \
        while (!(held = (condition)) && clock_mono_us() < until_us) \
            usleep(500);                                            \
        held;                                                       \
    })

static inline bool peer_node_wait_events(struct peer_node *node, const char *events, int ms)
{
    return PEER_WAIT(strcmp(peer_node_events(node), events) == 0, ms);
}

/* The state of the peer with this key, or of an address that never answered (key NULL: the first row). */
static inline bool peer_node_info(struct peer_node *node, const uint8_t *key, struct peer_info *out)
{
    struct peer_info rows[32];
    size_t count = peers_list(node->peers, rows, 32);
    for (size_t i = 0; i < count && i < 32; i++)
        if (!key || memcmp(rows[i].key, key, 32) == 0) {
            *out = rows[i];
            return true;
        }
    return false;
}

#endif
