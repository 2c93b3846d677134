/*
 * exec, attach and port-forward: the connection leaves HTTP (101) and is joined to the container runtime's
 * streaming server by stream_serve, on a thread of its own, until either side ends.
 */
#include "api/http_internal.h"

#include "base/log.h"
#include "base/mem.h"
#include "stream/stream.h"

#include <string.h>
#include <strings.h>

#define OFFER_MAX 1024

struct upgraded {
    struct http_upgraded node; /* in http->upgraded */
    struct api_http *http;
    struct MHD_UpgradeResponseHandle *handle;
    struct stream_request stream;
    char *url;
    void *early;
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

static void upgraded_add(struct upgraded *u)
{
    struct api_http *http = u->http;
    pthread_mutex_lock(&http->lock);
    u->node.next = http->upgraded;
    if (u->node.next)
        u->node.next->prev = &u->node;
    http->upgraded = &u->node;
    pthread_mutex_unlock(&http->lock);
}

static void upgraded_remove(struct upgraded *u)
{
    struct api_http *http = u->http;
    pthread_mutex_lock(&http->lock);
    if (u->node.prev)
        u->node.prev->next = u->node.next;
    else
        http->upgraded = u->node.next;
    if (u->node.next)
        u->node.next->prev = u->node.prev;
    pthread_mutex_unlock(&http->lock);
}

static void upgraded_free(struct upgraded *u)
{
    free(u->url);
    free(u->early);
    free(u);
}

static void *upgraded_main(void *arg)
{
    struct upgraded *u = arg;
    struct api_http *http = u->http;
    pthread_setname_np(pthread_self(), "http-stream");
    stream_serve(&u->stream);
    upgraded_remove(u); /* before the descriptor is closed and its number taken again */
    MHD_upgrade_action(u->handle, MHD_UPGRADE_ACTION_CLOSE);
    upgraded_free(u);
    atomic_fetch_sub(&http->waiting, 1);
    return NULL;
}

static void on_upgrade(void *cls, struct MHD_Connection *mhd, void *request_cls, const char *extra,
                       size_t extra_size, MHD_socket fd, struct MHD_UpgradeResponseHandle *handle)
{
    struct upgraded *u = cls;
    pthread_attr_t attributes;
    pthread_t thread;
    (void)mhd;
    (void)request_cls;
    atomic_fetch_add(&u->http->waiting, 1);
    u->handle = handle;
    u->node.fd = fd;
    u->early = extra_size ? mem_dup(extra, extra_size) : NULL;
    u->stream.client_fd = fd;
    u->stream.early = u->early;
    u->stream.early_len = extra_size;
    upgraded_add(u);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    int rc = pthread_create(&thread, &attributes, upgraded_main, u);
    pthread_attr_destroy(&attributes);
    if (rc == 0)
        return;
    log_warn("http", "no thread for a stream: %s", strerror(rc));
    struct api_http *http = u->http;
    upgraded_remove(u);
    MHD_upgrade_action(handle, MHD_UPGRADE_ACTION_CLOSE);
    upgraded_free(u);
    atomic_fetch_sub(&http->waiting, 1);
}

static void add_headers(struct http_request *request, struct MHD_Response *response,
                        const struct http_upgrade *upgrade)
{
    if (!upgrade->websocket) {
        MHD_add_response_header(response, "Upgrade", "SPDY/3.1");
        MHD_add_response_header(response, "X-Stream-Protocol-Version", upgrade->subprotocol);
        return;
    }
    char accept[29];
    stream_websocket_accept(accept, http_header(request, "Sec-WebSocket-Key"));
    MHD_add_response_header(response, "Upgrade", "websocket");
    MHD_add_response_header(response, "Sec-WebSocket-Accept", accept);
    MHD_add_response_header(response, "Sec-WebSocket-Protocol", upgrade->subprotocol);
}

enum MHD_Result http_upgrade_reply(struct http_request *request, const struct http_upgrade *upgrade,
                                   const char *url)
{
    struct upgraded *u = mem_zalloc(sizeof(*u));
    u->http = request->http;
    u->url = mem_strdup(url);
    u->stream.protocol = upgrade->websocket ? STREAM_WEBSOCKET : STREAM_SPDY;
    u->stream.subprotocol = upgrade->subprotocol;
    u->stream.url = u->url;
    u->stream.port_forward = upgrade->port_forward;
    u->stream.stdin_ = upgrade->in;
    u->stream.stdout_ = upgrade->out;
    u->stream.stderr_ = upgrade->error;
    u->stream.tty = upgrade->tty;
    struct MHD_Response *response = MHD_create_response_for_upgrade(on_upgrade, u);
    if (!response) {
        upgraded_free(u);
        err_set(&request->err, ERR_INTERNAL, "the connection cannot be upgraded");
        return http_reply_err(request);
    }
    http_request_streams(request);
    add_headers(request, response, upgrade);
    request->status = MHD_HTTP_SWITCHING_PROTOCOLS;
    enum MHD_Result queued = MHD_queue_response(request->mhd, MHD_HTTP_SWITCHING_PROTOCOLS, response);
    MHD_destroy_response(response);
    if (queued != MHD_YES)
        upgraded_free(u);
    return queued;
}
