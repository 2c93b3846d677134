/* Streams whose bytes stay as they are: SPDY clients, and SPDY inside a WebSocket. */
#include "stream/stream_internal.h"

#include "base/mem.h"
#include "stream/websocket.h"

/* While so much waits for one side, the other is not read. */
#define BACKLOG_MAX (256 * 1024)
/* What still waits for the client when the runtime is done has so long to leave. */
#define LINGER_MS 5000

enum { CLIENT, UPSTREAM };

struct relay {
    struct stream__end ends[2];
    char *in[2];
    size_t got[2];
};

static void relay_init(struct relay *relay, const struct stream_request *request, int upstream_fd)
{
    *relay = (struct relay){0};
    relay->ends[CLIENT].fd = request->client_fd;
    relay->ends[UPSTREAM].fd = upstream_fd;
    for (int i = 0; i < 2; i++)
        relay->in[i] = mem_alloc(STREAM_CHUNK);
}

static void relay_free(struct relay *relay)
{
    for (int i = 0; i < 2; i++) {
        buf_free(&relay->ends[i].out);
        free(relay->in[i]);
    }
}

/* One step; false: it is over. */
static bool relay_step(struct relay *relay)
{
    bool want[2] = {relay->ends[UPSTREAM].out.len < BACKLOG_MAX, relay->ends[CLIENT].out.len < BACKLOG_MAX};
    return stream__step(relay->ends, relay->in, relay->got, want, -1) && !relay->ends[CLIENT].eof &&
           !relay->ends[UPSTREAM].eof;
}

/* Sends the client what is left. */
static void relay_linger(struct relay *relay)
{
    const bool want[2] = {false, false};
    while (relay->ends[CLIENT].out.len > 0) {
        size_t before = relay->ends[CLIENT].out.len;
        buf_clear(&relay->ends[UPSTREAM].out);
        if (!stream__step(relay->ends, relay->in, relay->got, want, LINGER_MS) ||
            relay->ends[CLIENT].out.len == before)
            return;
    }
}

void stream__relay(const struct stream_request *request, int upstream_fd, const struct buf *rest)
{
    struct relay relay;
    relay_init(&relay, request, upstream_fd);
    buf_append(&relay.ends[CLIENT].out, rest->data, rest->len);
    buf_append(&relay.ends[UPSTREAM].out, request->early, request->early_len);
    bool going = true;
    while (going) {
        going = relay_step(&relay);
        buf_append(&relay.ends[UPSTREAM].out, relay.in[CLIENT], relay.got[CLIENT]);
        buf_append(&relay.ends[CLIENT].out, relay.in[UPSTREAM], relay.got[UPSTREAM]);
    }
    relay_linger(&relay);
    relay_free(&relay);
}

/* Unpacks what the client sent; false: the WebSocket is at its end. */
static bool unwrap(struct relay *relay, struct websocket_reader *reader)
{
    enum websocket_opcode opcode;
    const char *data;
    size_t len;
    int rc;
    while ((rc = websocket_reader_next(reader, &opcode, &data, &len)) > 0) {
        if (opcode == WEBSOCKET_CLOSE) {
            websocket_write_close(&relay->ends[CLIENT].out, WEBSOCKET_NORMAL);
            return false;
        }
        if (opcode == WEBSOCKET_PING)
            websocket_write(&relay->ends[CLIENT].out, WEBSOCKET_PONG, data, len);
        else if (opcode == WEBSOCKET_BINARY)
            buf_append(&relay->ends[UPSTREAM].out, data, len);
    }
    if (rc < 0)
        websocket_write_close(&relay->ends[CLIENT].out, (unsigned)-rc);
    return rc == 0;
}

void stream__tunnel(const struct stream_request *request, int upstream_fd, const struct buf *rest)
{
    struct relay relay;
    struct websocket_reader reader = {0};
    relay_init(&relay, request, upstream_fd);
    websocket_reader_feed(&reader, request->early, request->early_len);
    if (rest->len > 0)
        websocket_write(&relay.ends[CLIENT].out, WEBSOCKET_BINARY, rest->data, rest->len);
    bool open = unwrap(&relay, &reader), going = true;
    while (open && going) {
        going = relay_step(&relay);
        websocket_reader_feed(&reader, relay.in[CLIENT], relay.got[CLIENT]);
        open = unwrap(&relay, &reader);
        if (relay.got[UPSTREAM] > 0)
            websocket_write(&relay.ends[CLIENT].out, WEBSOCKET_BINARY, relay.in[UPSTREAM],
                            relay.got[UPSTREAM]);
    }
    if (open)
        websocket_write_close(&relay.ends[CLIENT].out, WEBSOCKET_NORMAL);
    relay_linger(&relay);
    websocket_reader_free(&reader);
    relay_free(&relay);
}
