/*
 * The HTTP edge over libmicrohttpd.
 *
 *     http_server.c    the daemon: start, stop, connections, limits
 *     http_request.c   one request, from its headers to its answer
 *     http_resource.c  requests for resources: parameters, the call to api_handle, its response
 *     http_paths.c     everything else: health, version, discovery, OpenAPI, metrics
 *     http_stream.c    answers that wait for events: suspension, hang-ups, deadlines
 *     http_list.c, http_watch.c, http_logs.c, http_upgrade.c
 *     http_chain.c     katena chain, for those who are not on the node
 *     http_katena.c    joining, the nodes of the cluster, what became of a transaction
 *     http_final.c     answers that wait until a change is final
 *     http_work.c      answers that a thread of their own works out
 *
 * Threads. libmicrohttpd runs a pool of threads, each with its own connections, and calls http_access on
 * them; such a thread never waits for anything but the processor. A request that must wait (for its block, an
 * event, the container runtime) suspends its connection, and whoever has the news resumes it:
 *
 *     connection thread:  store RUNNING; start the work; is it DONE? answer at once
 *                         else suspend; exchange SUSPENDED; was it DONE already? resume
 *     other thread:       exchange DONE; was it SUSPENDED? resume
 *
 * So each suspension meets exactly one resumption, whichever side is first.
 *
 * Locks: http->lock guards the lists of connections, streams and upgrades; nothing else is locked under it
 * but libmicrohttpd's own locks.
 */
#ifndef KATENA_API_HTTP_INTERNAL_H
#define KATENA_API_HTTP_INTERNAL_H

#include "api/api_internal.h"
#include "api/authn_internal.h"
#include "api/http_send.h"
#include "api/metrics.h"
#include "api/query.h"
#include "api/represent.h"
#include "api/route.h"

#include <microhttpd.h>

#define HTTP_CONNECTIONS_MAX 4096
#define HTTP_CONNECTIONS_HARD_MAX \
    (HTTP_CONNECTIONS_MAX + 512)          /* the surplus is answered with 429 and closed */
#define HTTP_POOL_SIZE (24 * 1024)        /* of a connection: bounds its headers */
#define HTTP_DRAIN_MAX (32 * 1024 * 1024) /* a refused body is read that far, then cut */
#define HTTP_BLOCK_SIZE (32 * 1024)
#define HTTP_FIRST_REQUEST_US                                                     \
    (30 * 1000 * 1000LL) /* from the connection to its first whole request header \
                          */
#define HTTP_BODY_US (120 * 1000 * 1000LL)
#define HTTP_IDLE_S 120

struct discovery;

/* One TCP connection: libmicrohttpd's socket context. */
struct http_connection {
    struct http_connection *prev, *next;
    int fd;
    int64_t accepted_us;
    atomic_bool requested; /* a whole request header has come; read by the poller, too */
    bool surplus;
    bool identity_known; /* the client certificate has been looked at … */
    bool has_identity;   /* … and named somebody */
    struct api_identity identity;
    struct http_sender sender;
};

enum http_meeting { HTTP_RUNNING, HTTP_SUSPENDED, HTTP_DONE };

struct http_request {
    struct api_http *http;
    struct http_connection *connection;
    struct MHD_Connection *mhd;
    const char *method; /* libmicrohttpd's, as long as the request */
    int64_t started_us;
    struct route route;
    struct query query;
    const struct schema_kind *kind;
    enum api_verb verb;
    struct represent represent;
    const struct api_identity *who; /* the connection's or &own */
    struct api_identity own;
    struct buf body;
    size_t body_seen; /* also what was not kept */
    char content_type[128];
    char *selector; /* made for a watch of one object */
    struct err err; /* set: the request fails, whatever its body */
    int status;     /* of the answer, for the metrics */
    bool upgraded;  /* the connection has left HTTP: nothing can be answered on it any more */
    bool counted;   /* in http->active */

    atomic_int meeting;
    struct api_request api;
    struct api_response *response;

    struct http_job *job; /* work on a thread of its own: http_upgrade.c, http_logs.c */
    struct http_chain *chain;
    struct http_work *work;   /* http_work.c */
    struct http_final *final; /* waiting: http_final.c */
    bool final_known;         /* … and the end of it: */
    int final_code;           /* 0, or an error whose text is in err */
    bool has_tx;              /* for the headers Katena-Tx and Katena-Height */
    uint8_t tx_id[TX_ID_SIZE];
    uint64_t object_rv; /* of the object that tx_id made; 0: the transaction itself was named */
    uint64_t tx_height;
};

/* An answer whose bytes come when there are some. */
struct http_stream {
    struct http_stream *prev, *next;
    struct api_http *http;
    struct MHD_Connection *mhd;
    int fd; /* of the connection */
    uint64_t id;
    int64_t deadline_us; /* monotonic; 0: none */
    int source_fd;       /* watched for input when armed; -1: none */
    atomic_int meeting;
    atomic_bool ended; /* the client hung up, the time is over, or the server stops */
};

struct http_upgraded {
    struct http_upgraded *prev, *next;
    int fd;
};

struct api_http {
    struct api_server *server;
    struct MHD_Daemon *daemon;
    struct discovery *discovery;
    struct metrics metrics;
    int listen_fd;
    atomic_bool stopping;
    atomic_uint active;  /* requests being worked on, without the streams */
    atomic_uint waiting; /* suspended requests, jobs and upgraded connections */
    atomic_uint chain_children;

    pthread_mutex_t lock;
    struct http_connection *connections;
    unsigned connection_count;
    unsigned connection_peak; /* since memory was last given back */
    struct http_stream *streams;
    unsigned stream_count;
    uint64_t stream_last_id;
    struct http_upgraded *upgraded;
    struct http_final *finals; /* waiting; http_final.c has their lock */
    int64_t sweep_us;          /* when young connections are looked at next; 0: never */

    pthread_t poller;
    bool poller_runs;
    int epoll_fd;
    int wake_fd;
    int64_t poller_until_us; /* when the poller wakes by itself; 0: never */
};

/* ---- http_request.c ---- */

enum MHD_Result http_access(void *cls, struct MHD_Connection *mhd, const char *url, const char *method,
                            const char *version, const char *upload, size_t *upload_size, void **request_cls);
void http_completed(void *cls, struct MHD_Connection *mhd, void **request_cls,
                    enum MHD_RequestTerminationCode why);

/* Answers. body is taken over. */
enum MHD_Result http_reply(struct http_request *request, int status, const char *content_type,
                           struct buf *body);
/* A Status made of request->err, in the form that the client accepts. */
enum MHD_Result http_reply_err(struct http_request *request);
/* Queues a response of libmicrohttpd with the headers that all answers have, and releases it. */
enum MHD_Result http_queue(struct http_request *request, int status, struct MHD_Response *response);

/* The request has become a stream: it no longer counts as active. */
void http_request_streams(struct http_request *request);

const char *http_header(struct http_request *request, const char *name);
const char *http_argument(struct http_request *request, const char *name);

/* The meeting described above. http_meet_wait returns true when the work is done already; otherwise the
 * connection is suspended, and http_access is called again when it is resumed. */
bool http_meet_wait(struct http_request *request);
void http_meet_done(struct http_request *request);

/* ---- http_resource.c ---- */

/* Finds the kind and verb, reads the parameters, negotiates. */
int http_resource_prepare(struct http_request *request);
enum MHD_Result http_resource_run(struct http_request *request);
/* Again, after a suspension. */
enum MHD_Result http_resource_resume(struct http_request *request);

/* ---- http_paths.c ---- */

enum MHD_Result http_paths_run(struct http_request *request);

/* ---- http_chain.c ---- */

#define HTTP_CHAIN_PATH "/katena/v1/chain"
#define HTTP_CHAIN_TYPE "text/plain; charset=utf-8"
enum MHD_Result http_chain_run(struct http_request *request);
enum MHD_Result http_chain_resume(struct http_request *request);
void http_chain_free(struct http_chain *chain);

/* ---- http_katena.c ---- */

bool http_katena_handles(const struct http_request *request);
/* Those that need no authentication: what they give away is public, or guarded by a token in the body. */
bool http_katena_public(const struct http_request *request);
enum MHD_Result http_katena_run(struct http_request *request);
/* Again, after it waited for finality. */
enum MHD_Result http_katena_resume(struct http_request *request);

/* ---- http_work.c ---- */

/* Runs fn on a thread of its own while the connection is suspended. fn fills the answer, or returns an error
 * in request->err; it may wait for what takes a moment. */
struct http_work {
    struct http_request *request;
    int (*fn)(struct http_work *work);
    int status; /* 200 unless fn sets it */
    struct buf body;
};
enum MHD_Result http_work_run(struct http_request *request, int (*fn)(struct http_work *work));
enum MHD_Result http_work_resume(struct http_request *request);
void http_work_free(struct http_work *work);

/* ---- http_final.c ---- */

/* Waits, without a thread, until a transaction is final, rejected, or the time is over; then http_access is
 * called again and final_known is set. As http_meet_wait: true when it is known already. */
bool http_final_wait(struct http_request *request, const uint8_t tx_id[TX_ID_SIZE], int64_t timeout_us);
/* Ends all waiting: the server stops. */
void http_final_end_all(struct api_http *http);

/* ---- http_list.c, http_watch.c ---- */

enum MHD_Result http_list_reply(struct http_request *request, struct api_response *response);
enum MHD_Result http_watch_reply(struct http_request *request, struct api_response *response);

/* ---- http_stream.c ---- */

int http_poller_start(struct api_http *http, struct err *err);
void http_poller_stop(struct api_http *http);
/* Makes the poller look at the time again, when it would sleep longer than until_us. The lock is held. */
void http_poller_until(struct api_http *http, int64_t until_us);

void http_stream_open(struct http_stream *stream, struct http_request *request, int64_t deadline_us);
/* After it returns, nobody else touches stream. */
void http_stream_close(struct http_stream *stream);
/* A content reader begins with http_stream_begin; when it has nothing to give, it ends with http_stream_wait,
 * which suspends the connection until http_stream_wake. */
void http_stream_begin(struct http_stream *stream);
void http_stream_wait(struct http_stream *stream);
/* The same, until fd has something to read. */
void http_stream_wait_source(struct http_stream *stream, int fd);
void http_stream_wake(struct http_stream *stream);
/* Ends all streams: their readers are called and see `ended`. */
void http_stream_end_all(struct api_http *http);

/* ---- http_pod.c: pods/log, pods/exec, pods/attach, pods/portforward ---- */

bool http_pod_handles(const struct http_request *request);
enum MHD_Result http_pod_run(struct http_request *request);
enum MHD_Result http_pod_resume(struct http_request *request);
void http_pod_free(struct http_job *job);

/* ---- http_logs.c ---- */

/* Streams what can be read from fd, which is closed at the end. */
enum MHD_Result http_logs_reply(struct http_request *request, int fd);

/* ---- http_upgrade.c ---- */

/* What the client offers to speak; ERR_BAD_REQUEST or ERR_FORBIDDEN in request->err when it is nothing known.
 */
struct http_upgrade {
    bool websocket;
    bool port_forward;
    const char *subprotocol;  /* static */
    bool in, out, error, tty; /* what was asked for */
};
int http_upgrade_negotiate(struct http_request *request, bool port_forward, struct http_upgrade *out);
/* Answers 101 and connects the client to the runtime's streaming server at url. */
enum MHD_Result http_upgrade_reply(struct http_request *request, const struct http_upgrade *upgrade,
                                   const char *url);

/* Answers with head, another node's 101, and connects the client to fd, which is closed at the end. head is
 * taken over. */
enum MHD_Result http_upgrade_relay(struct http_request *request, struct buf *head, int fd);

/* ---- http_tunnel.c ---- */

/* Carries bytes between a TLS session (whose descriptor does not block) and fd until fd ends or the client is
 * gone. Both stay open. */
void http_tunnel_run(gnutls_session_t session, int tls_fd, int fd);

#endif
