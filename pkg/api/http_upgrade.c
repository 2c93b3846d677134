/*
 * exec, attach and port-forward: the connection leaves HTTP (101) and is joined to the container runtime's
 * streaming server until either side ends.
 *
 *     client ══ TLS ══ http_tunnel_run ── socket pair ── stream_serve ── runtime
 *                                                     └─ http_forward.c ══ TLS ══ the pod's node
 *
 * libmicrohttpd has upgrades of its own, but over TLS it relays them on the connection's thread through
 * whatever its memory pool has left: four bytes at a time (0.9.75; 3 MiB took 12 seconds). So its connection
 * stays suspended, which leaves socket and session to us, and is closed when it is resumed.
 */
#include "api/http_internal.h"

#include "base/log.h"
#include "base/mem.h"
#include "stream/stream.h"

#include <poll.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define OFFER_MAX 1024
#define SWITCH_WAIT_MS 10000

struct upgraded {
    struct http_upgraded node; /* in http->upgraded */
    struct api_http *http;
    struct http_request *request;
    gnutls_session_t session; /* the connection's */
    int tls_fd;
    int pair[2]; /* plain bytes: the stream's side (-1: another thread has it) and ours */
    struct buf head;
    struct stream_request stream;
};

/* ---- negotiation ---- */

struct offer {
    const char *header;
    struct buf list;
};

/* Several headers of one name are one list. */
static enum MHD_Result collect_offer(void *cls, enum MHD_ValueKind kind, const char *name, const char *value)
{
    struct offer *offer = cls;
    (void)kind;
    if (value && strcasecmp(name, offer->header) == 0 && offer->list.len + strlen(value) < OFFER_MAX)
        buf_printf(&offer->list, "%s%s", offer->list.len ? "," : "", value);
    return MHD_YES;
}

int http_upgrade_negotiate(struct http_request *request, bool port_forward, struct http_upgrade *out)
{
    const char *upgrade = http_header(request, "Upgrade");
    const char *key = http_header(request, "Sec-WebSocket-Key");
    if (!upgrade || (strcasecmp(upgrade, "websocket") != 0 && strcasecmp(upgrade, "SPDY/3.1") != 0))
        return err_set(&request->err, ERR_BAD_REQUEST, "Upgrade request required");
    out->websocket = strcasecmp(upgrade, "websocket") == 0;
    out->port_forward = port_forward;
    if (out->websocket && (!key || strlen(key) > 64))
        return err_set(&request->err, ERR_BAD_REQUEST, "Sec-WebSocket-Key is missing or malformed");
    struct offer offer = {.header = out->websocket ? "Sec-WebSocket-Protocol" : "X-Stream-Protocol-Version"};
    MHD_get_connection_values(request->mhd, MHD_HEADER_KIND, collect_offer, &offer);
    out->subprotocol =
        stream_negotiate(out->websocket ? STREAM_WEBSOCKET : STREAM_SPDY, buf_str(&offer.list), port_forward);
    int code = 0;
    if (!out->subprotocol)
        code = err_set(&request->err, out->websocket ? ERR_BAD_REQUEST : ERR_FORBIDDEN,
                       "unable to upgrade: unable to negotiate protocol: client supports [%s]",
                       buf_str(&offer.list));
    buf_free(&offer.list);
    return code;
}

/* ---- the stream ---- */

static void upgraded_add(struct api_http *http, struct http_upgraded *u)
{
    pthread_mutex_lock(&http->lock);
    u->next = http->upgraded;
    if (u->next)
        u->next->prev = u;
    http->upgraded = u;
    pthread_mutex_unlock(&http->lock);
}

static void upgraded_remove(struct api_http *http, struct http_upgraded *u)
{
    pthread_mutex_lock(&http->lock);
    if (u->prev)
        u->prev->next = u->next;
    else
        http->upgraded = u->next;
    if (u->next)
        u->next->prev = u->prev;
    pthread_mutex_unlock(&http->lock);
}

static void *serve_main(void *arg)
{
    pthread_setname_np(pthread_self(), "http-stream");
    const struct stream_request *stream = arg;
    stream_serve(stream);
    shutdown(stream->client_fd, SHUT_RDWR); /* what was written before can still be read */
    return NULL;
}

/* The 101, whole; false when the client is gone. */
static bool send_switch(struct upgraded *u)
{
    size_t sent = 0;
    while (sent < u->head.len) {
        ssize_t n = gnutls_record_send(u->session, u->head.data + sent, u->head.len - sent);
        if (n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED) {
            struct pollfd out = {.fd = u->tls_fd, .events = POLLOUT};
            poll(&out, 1, SWITCH_WAIT_MS);
            continue;
        }
        if (n <= 0)
            return false;
        sent += (size_t)n;
    }
    return true;
}

static void run_stream(struct upgraded *u)
{
    pthread_t thread;
    int rc = u->pair[0] >= 0 ? pthread_create(&thread, NULL, serve_main, &u->stream) : 0;
    if (rc) {
        log_warn("http", "no thread for a stream: %s", strerror(rc));
        return;
    }
    http_tunnel_run(u->session, u->tls_fd, u->pair[1]);
    if (u->pair[0] >= 0)
        pthread_join(thread, NULL);
}

/* After upgraded_remove: before a descriptor is closed and its number taken again. */
static void upgraded_free(struct upgraded *u)
{
    if (u->pair[0] >= 0)
        close(u->pair[0]);
    close(u->pair[1]);
    buf_free(&u->head);
    free(u);
}

static void *upgraded_main(void *arg)
{
    struct upgraded *u = arg;
    struct http_request *request = u->request;
    pthread_setname_np(pthread_self(), "http-tunnel");
    if (send_switch(u))
        run_stream(u);
    upgraded_remove(u->http, &u->node);
    upgraded_free(u);
    http_meet_done(request); /* it is closed on the connection's thread */
    return NULL;
}

static void write_head(struct http_request *request, struct buf *head, const struct http_upgrade *upgrade)
{
    buf_puts(head, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n");
    if (!upgrade->websocket) {
        buf_printf(head, "Upgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: %s\r\n\r\n", upgrade->subprotocol);
        return;
    }
    char accept[29];
    stream_websocket_accept(accept, http_header(request, "Sec-WebSocket-Key"));
    buf_printf(head, "Upgrade: websocket\r\nSec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: %s\r\n\r\n",
               accept, upgrade->subprotocol);
}

static int start_thread(struct upgraded *u)
{
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    int rc = pthread_create(&thread, &attributes, upgraded_main, u);
    pthread_attr_destroy(&attributes);
    return rc;
}

static struct upgraded *upgraded_new(struct http_request *request)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    struct upgraded *u = mem_zalloc(sizeof(*u));
    u->http = request->http;
    u->request = request;
    u->session = info->tls_session;
    u->tls_fd = request->connection->fd;
    u->pair[0] = u->pair[1] = -1;
    return u;
}

/* The connection leaves HTTP: its thread is suspended until the stream has ended. */
static enum MHD_Result leave_http(struct http_request *request, struct upgraded *u)
{
    u->node.fd = u->pair[1];
    http_request_streams(request);
    upgraded_add(u->http, &u->node);
    atomic_store(&request->meeting, HTTP_RUNNING);
    request->upgraded = true;
    request->status = MHD_HTTP_SWITCHING_PROTOCOLS;
    if (start_thread(u) != 0) {
        upgraded_remove(u->http, &u->node);
        upgraded_free(u);
        return MHD_NO;
    }
    return http_meet_wait(request) ? MHD_NO : MHD_YES;
}

enum MHD_Result http_upgrade_relay(struct http_request *request, struct buf *head, int fd)
{
    struct upgraded *u = upgraded_new(request);
    u->pair[1] = fd;
    u->head = *head;
    *head = (struct buf)BUF_INIT;
    return leave_http(request, u);
}

enum MHD_Result http_upgrade_reply(struct http_request *request, const struct http_upgrade *upgrade,
                                   const char *url)
{
    struct upgraded *u = upgraded_new(request);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, u->pair) != 0) {
        err_set_errno(&request->err, "join the stream");
        free(u);
        return http_reply_err(request);
    }
    u->stream = (struct stream_request){
        .protocol = upgrade->websocket ? STREAM_WEBSOCKET : STREAM_SPDY,
        .subprotocol = upgrade->subprotocol,
        .url = url,
        .port_forward = upgrade->port_forward,
        .stdin_ = upgrade->in,
        .stdout_ = upgrade->out,
        .stderr_ = upgrade->error,
        .tty = upgrade->tty,
        .client_fd = u->pair[0],
    };
    write_head(request, &u->head, upgrade);
    return leave_http(request, u);
}
