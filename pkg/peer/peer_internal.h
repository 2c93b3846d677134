/*
 * Inside the peer manager.
 *
 *   peer.c      starting, stopping, and what other threads may call
 *   book.c      contacts (nodes, by key) and routes (addresses)
 *   conn.c      the life of one connection: bytes in, bytes out, silence, the end
 *   session.c   the handshake, heartbeats and addresses: what control frames mean
 *   dial.c      which address to try when
 *   report.c    what users and operators are told
 *   net_loop.c  libwebsockets' context, its callbacks and its timer
 *   net_listen.c, net_tls.c: the listening socket, TLS
 *
 * One thread, the loop, owns everything here. What other threads read (contacts, routes, counters, queues) it
 * changes only with the lock; it reads without. Users' callbacks run without the lock. Other threads put
 * frames into queues and commands into a list, with the lock, and wake the loop.
 */
#ifndef KATENA_PEER_INTERNAL_H
#define KATENA_PEER_INTERNAL_H

#include "peer/address.h"
#include "peer/control.h"
#include "peer/estimate.h"
#include "peer/frame.h"
#include "peer/outgoing.h"
#include "peer/peer.h"
#include "peer/resolve.h"
#include "peer/score.h"

#include <libwebsockets.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>

#define CONTACTS_MAX 4096
#define ROUTES_MAX 1024
#define CONNS_MAX 256
#define UNPROVED_MAX 64          /* connections from others that have not proved who they are */
#define UNPROVED_PER_HOST_MAX 16 /* of these, from one address */
#define UNPROVED_BYTES_MAX 16384 /* what such a connection may send */
#define HANDSHAKE_US 5000000     /* from the first packet to `up` */
#define CONNECT_US 1500000       /* for TCP: a second SYN after one second, then a new attempt */
#define LINGER_US 1000000        /* for the one who was refused to read why */
#define STALE_US 2000000         /* an older connection that the other side does not know of is dead */
#define PIECE_MAX (16384 - 14)   /* with the longest WebSocket header one TLS record */
#define SILENT_HEARTBEATS 3

#define ROUTE_SEED 1u
#define ROUTE_LEARNED 2u /* from the chain */
#define ROUTE_CLAIMED 4u /* by the node itself, or by another peer */

struct conn;

struct contact {
    struct contact *next;
    uint8_t key[PEER_KEY_SIZE];
    char name[PEER_NAME_MAX];
    char address[PEER_ADDRESS_MAX]; /* of the latest connection */
    struct conn *conn;              /* the one that is up */
    int64_t since_us;               /* wall clock */
    struct score score;
    int64_t clock_offset_us, round_trip_us;
    uint64_t bytes_in, bytes_out, frames_in, frames_out;
    uint64_t connected; /* how often */
    int64_t clock_warned_us;
    char last_error[CONTROL_REASON_MAX];
};

struct route {
    struct route *next;
    struct address address;
    char text[PEER_ADDRESS_MAX];
    struct contact *contact; /* NULL: nobody has answered there yet */
    unsigned sources;
    bool self; /* our own key was at the other end */

    int64_t due_us; /* monotonic: of the next attempt */
    struct backoff backoff;
    struct resolution *resolution;
    struct resolved resolved;
    size_t resolved_next;
    struct conn *conn; /* the attempt, or the connection that came of it */
    int64_t logged_us;
    char last_error[CONTROL_REASON_MAX];
};

enum conn_state {
    CONN_OPENING,  /* TCP, TLS, WebSocket */
    CONN_GREETING, /* HELLO is out */
    CONN_PROVING,  /* theirs came, AUTH is out */
    CONN_WAITING,  /* theirs holds: for READY */
    CONN_UP,
    CONN_CLOSING,
};

struct conn {
    struct peers *peers;
    struct conn *next;
    struct lws *wsi;
    bool setting_up; /* inside the call that makes wsi: it may be gone when that returns */
    bool wsi_gone;
    int accepted_fd;

    enum conn_state state;
    bool dialed;
    bool reached;    /* dialed: TCP is there */
    bool open;       /* the WebSocket is there: frames may be written */
    bool overflowed; /* by the lock: its queue was full */
    struct route *route;
    struct contact *contact; /* once it has proved its key */
    uint8_t key[PEER_KEY_SIZE];
    uint64_t instance;
    bool other_live;               /* it says that another connection between us works */
    char remote[PEER_ADDRESS_MAX]; /* host and port in digits */
    size_t remote_host_len;

    int64_t created_us, deadline_us, up_us; /* monotonic */
    int64_t last_in_us, last_out_us;
    size_t unproved_bytes;
    struct bucket control_bucket;
    struct buf hello_ours, hello_theirs;
    struct estimate estimate;
    struct frame_reader reader;
    struct outgoing out;          /* by the lock */
    enum control_refusal refusal; /* what one side said to the other; 0: nothing */
    char error[CONTROL_REASON_MAX];
};

enum command_type { COMMAND_LEARN, COMMAND_RECHECK, COMMAND_BLAME };

struct command {
    struct command *next;
    enum command_type type;
    struct control_node node; /* LEARN; BLAME: its key */
    bool proof;
    char reason[CONTROL_REASON_MAX];
};

struct peers {
    struct peers_callbacks callbacks;
    char *bind_address, *ca_file, *cert_file, *key_file;
    int port;
    uint8_t chain_id[32];
    uint8_t secret_key[64];
    struct control_node self;
    uint64_t instance;
    int64_t heartbeat_us, clock_tolerance_us;

    pthread_t thread;
    atomic_bool stopping;
    atomic_bool woken;
    int listen_fd;
    struct lws_context *context;
    struct lws_vhost *vhost;
    SSL_CTX *client_tls;
    lws_sorted_usec_list_t timer;
    bool hurried;   /* the loop's: something became due */
    bool unflushed; /* the loop's: something was queued in a callback */
    struct resolver *resolver;

    pthread_mutex_t lock;
    struct command *commands, **commands_tail; /* by the lock */
    struct contact *contacts;
    size_t contact_count;
    struct route *routes;
    size_t route_count;
    uint64_t refusals[REFUSAL_COUNT]; /* that we told others */
    uint64_t dials, dials_failed, accepted, turned_away, faults, overflows;

    struct conn *conns; /* the loop's alone, as all below */
    size_t conn_count;
    int64_t hurry_us; /* when all addresses were made due */
    struct bucket log_bucket;
    uint64_t log_dropped;
    uint8_t staging[LWS_PRE + PIECE_MAX];
};

/* ---- peer.c ---- */

void peers_wake(struct peers *peers);
bool peers_in_loop(const struct peers *peers);
/* What other threads left. */
void peers_run_commands(struct peers *peers);
/* A warning that others can provoke: at most a few a minute. */
void peers_warn(struct peers *peers, const char *format, ...) __attribute__((format(printf, 2, 3)));

static inline void peers_lock(struct peers *peers)
{
    pthread_mutex_lock(&peers->lock);
}

static inline void peers_unlock(struct peers *peers)
{
    pthread_mutex_unlock(&peers->lock);
}

/* ---- book.c ---- */

struct contact *contact_find(const struct peers *peers, const uint8_t key[PEER_KEY_SIZE]);
/* Makes it when it is new; NULL: there are too many. */
struct contact *contact_get(struct peers *peers, const uint8_t key[PEER_KEY_SIZE], const char *name);
/* Name, or the beginning of the key. In a static buffer of the calling thread. */
const char *contact_label(const struct contact *contact);
const char *key_label(const uint8_t key[PEER_KEY_SIZE]);

struct route *route_add(struct peers *peers, const char *text, struct contact *contact, unsigned source);
/* The addresses of a node from one source are these and no others. */
void routes_replace(struct peers *peers, struct contact *contact, const struct control_node *node,
                    unsigned source);
void routes_describe(const struct peers *peers, const struct contact *contact, struct control_node *out);
/* Whether there is one that the chain does not have. */
bool routes_are_news(const struct peers *peers, const struct contact *contact);
/* Those of a contact, at once. */
void routes_hurry(struct peers *peers, const struct contact *contact, int64_t now_us);
/* Nodes that are no longer allowed are closed, or forgotten. */
void book_recheck(struct peers *peers);
void book_free(struct peers *peers);

/* ---- conn.c ---- */

struct conn *conn_make(struct peers *peers, bool dialed, const char *host, int port);
void conn_free(struct conn *conn);
void conn_send(struct conn *conn, const struct control *control);
/* The end, with the reason for list and log. */
void conn_close(struct conn *conn, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The end, and the other side is told why. */
void conn_refuse(struct conn *conn, enum control_refusal refusal, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The other side broke the rules of the protocol. */
void conn_fault(struct conn *conn, const char *format, ...) __attribute__((format(printf, 2, 3)));
void conn_received(struct conn *conn, const uint8_t *bytes, size_t len);
int conn_writable(struct conn *conn); /* nonzero: close */
/* Deadlines, silence, heartbeats; returns when to look again (monotonic). */
int64_t conn_tick(struct conn *conn, int64_t now_us);

/* ---- session.c ---- */

void session_open(struct conn *conn);
void session_control(struct conn *conn, const uint8_t *bytes, size_t len);
/* Whether the node here has the lower key, and so the say. */
bool session_decides(const struct conn *conn);
void session_heartbeat(struct conn *conn, enum control_type type);

/* ---- dial.c ---- */

int64_t dial_tick(struct peers *peers, int64_t now_us);
/* An attempt, or the connection that came of it, has ended. */
void dial_ended(struct conn *conn, bool was_up);
void dial_hurry(struct peers *peers);
void dial_answered(struct conn *conn); /* the other end has proved its key */

/* ---- net_*.c ---- */

int net_listen(struct peers *peers, struct err *err);
void net_accept(struct peers *peers);
int net_tls_open(struct peers *peers, struct err *err);
void net_tls_serve(struct peers *peers, SSL_CTX *context);
void net_tls_verdict(struct conn *conn, X509_STORE_CTX *store);
/* 32 bytes that only the two ends of this TLS session know; false: it is not as it must be, *why says. */
bool net_tls_export(struct lws *wsi, uint8_t out[32], const char **why);
int net_open(struct peers *peers, struct err *err);
void net_close(struct peers *peers);
void net_dial(struct conn *conn, const char *host, int port); /* conn_close follows on failure */
void net_adopt(struct conn *conn, int fd);
void net_tune(const struct peers *peers, int fd);
void net_want_write(struct conn *conn);
void net_flush(struct conn *conn);
void net_kill(struct conn *conn);
bool net_has_input(const struct conn *conn);
void net_rearm(struct peers *peers); /* the timer, after something is due earlier */
void net_tick(struct peers *peers);

#endif
