/*
 * exec and attach for WebSocket clients. The first byte of each message is a channel; each channel is one
 * SPDY stream towards the runtime:
 *
 *     0 stdin   1 stdout   2 stderr   3 error (a Status at the end)   4 resize
 *
 * In v5, a message on channel 255 names a channel that the client has closed; so the runtime learns of the
 * end of stdin. With a base64 subprotocol the messages are text: the channel as a digit, then base64.
 */
#include "stream/stream_internal.h"

#include "base/mem.h"
#include "stream/spdy.h"
#include "stream/websocket.h"

#include <sodium.h>

#define CHANNELS 5
#define CHANNEL_CLOSE 255
#define BACKLOG_MAX (256 * 1024)
#define LINGER_MS 5000

enum { CLIENT, UPSTREAM };
enum { CHANNEL_STDIN, CHANNEL_STDOUT, CHANNEL_STDERR, CHANNEL_ERROR, CHANNEL_RESIZE };

struct translation {
    struct stream__end ends[2];
    struct websocket_reader reader;
    struct spdy spdy;
    uint32_t streams[CHANNELS]; /* 0: not open */
    bool ended[CHANNELS];       /* the runtime's side of it */
    bool closed[CHANNELS];      /* ours */
    bool base64;
    bool v5;
    bool going;
    bool close_sent; /* our close frame is on its way: nothing may follow it */
};

static void open_streams(struct translation *t, const struct stream_request *request)
{
    static const char *const types[CHANNELS] = {"stdin", "stdout", "stderr", "error", "resize"};
    const bool wanted[CHANNELS] = {request->stdin_, request->stdout_, request->stderr_ && !request->tty, true,
                                   request->tty};
    /* The runtime waits for exactly these streams; the error stream comes first, as with kubectl's own. */
    static const int order[CHANNELS] = {CHANNEL_ERROR, CHANNEL_STDIN, CHANNEL_STDOUT, CHANNEL_STDERR,
                                        CHANNEL_RESIZE};
    for (int i = 0; i < CHANNELS; i++) {
        int channel = order[i];
        if (wanted[channel])
            t->streams[channel] = spdy_open(&t->spdy, "streamtype", types[channel]);
        else
            t->ended[channel] = true;
    }
}

static void close_channel(struct translation *t, unsigned channel)
{
    if (channel >= CHANNELS || !t->streams[channel] || t->closed[channel])
        return;
    t->closed[channel] = true;
    spdy_send(&t->spdy, t->streams[channel], "", 0, true);
}

static void on_channel(struct translation *t, unsigned channel, const char *data, size_t len)
{
    if (channel == CHANNEL_CLOSE && t->v5 && len > 0)
        close_channel(t, (unsigned char)data[0]);
    else if ((channel == CHANNEL_STDIN || channel == CHANNEL_RESIZE) && t->streams[channel] &&
             !t->closed[channel] && len > 0)
        spdy_send(&t->spdy, t->streams[channel], data, len, false);
}

static void on_message(struct translation *t, const char *data, size_t len)
{
    if (len == 0)
        return;
    if (!t->base64) {
        on_channel(t, (unsigned char)data[0], data + 1, len - 1);
        return;
    }
    unsigned char *plain mem_auto = mem_alloc(len);
    size_t got = 0;
    if (sodium_base642bin(plain, len, data + 1, len - 1, NULL, &got, NULL, sodium_base64_VARIANT_ORIGINAL) ==
        0)
        on_channel(t, (unsigned)(data[0] - '0'), (const char *)plain, got);
}

static void send_close(struct translation *t, unsigned status)
{
    if (!t->close_sent)
        websocket_write_close(&t->ends[CLIENT].out, status);
    t->close_sent = true;
}

static void read_client(struct translation *t)
{
    enum websocket_opcode opcode;
    const char *data;
    size_t len;
    int rc;
    while (t->going && (rc = websocket_reader_next(&t->reader, &opcode, &data, &len)) != 0) {
        if (rc < 0 || opcode == WEBSOCKET_CLOSE) {
            send_close(t, rc < 0 ? (unsigned)-rc : WEBSOCKET_NORMAL);
            t->going = false;
        } else if (opcode == WEBSOCKET_PING) {
            websocket_write(&t->ends[CLIENT].out, WEBSOCKET_PONG, data, len);
        } else if (opcode != WEBSOCKET_PONG) {
            on_message(t, data, len);
        }
    }
}

static void send_channel(struct translation *t, unsigned channel, const char *data, size_t len)
{
    struct buf message buf_auto = BUF_INIT;
    if (t->base64) {
        size_t max = sodium_base64_encoded_len(len, sodium_base64_VARIANT_ORIGINAL);
        buf_putc(&message, (char)('0' + channel));
        buf_reserve(&message, max);
        sodium_bin2base64(message.data + 1, max, (const unsigned char *)data, len,
                          sodium_base64_VARIANT_ORIGINAL);
        message.len += max - 1;
    } else {
        buf_putc(&message, (char)channel);
        buf_append(&message, data, len);
    }
    websocket_write(&t->ends[CLIENT].out, t->base64 ? WEBSOCKET_TEXT : WEBSOCKET_BINARY, message.data,
                    message.len);
}

static void on_stream(struct translation *t, const struct spdy_frame *frame)
{
    for (unsigned channel = 0; channel < CHANNELS; channel++) {
        if (t->streams[channel] != frame->stream || t->ended[channel])
            continue;
        if (frame->len > 0 && channel != CHANNEL_STDIN && channel != CHANNEL_RESIZE)
            send_channel(t, channel, frame->data, frame->len);
        if (frame->fin)
            t->ended[channel] = true;
    }
    /* The error stream's end is the command's; what it wrote may still come behind it. */
    if (t->ended[CHANNEL_ERROR] && t->ended[CHANNEL_STDOUT] && t->ended[CHANNEL_STDERR])
        t->going = false;
}

static void read_upstream(struct translation *t)
{
    struct spdy_frame frame;
    for (;;) {
        switch (spdy_next(&t->spdy, &frame)) {
        case SPDY_NONE:
            return;
        case SPDY_DATA:
            on_stream(t, &frame);
            break;
        case SPDY_RESET:
            frame.len = 0;
            on_stream(t, &frame);
            break;
        case SPDY_ERROR:
            t->going = false;
            return;
        case SPDY_GOAWAY:
        case SPDY_IGNORED:
            break;
        }
    }
}

static void linger(struct translation *t, char *in[2])
{
    const bool want[2] = {false, false};
    size_t got[2], before;
    buf_clear(&t->ends[UPSTREAM].out);
    while ((before = t->ends[CLIENT].out.len) > 0)
        if (!stream__step(t->ends, in, got, want, LINGER_MS) || t->ends[CLIENT].out.len == before)
            return;
}

static void run(struct translation *t)
{
    char *in[2] = {mem_alloc(STREAM_CHUNK), mem_alloc(STREAM_CHUNK)};
    size_t got[2];
    while (t->going) {
        buf_append(&t->ends[UPSTREAM].out, t->spdy.out.data, t->spdy.out.len);
        buf_clear(&t->spdy.out);
        bool want[2] = {t->ends[UPSTREAM].out.len < BACKLOG_MAX, t->ends[CLIENT].out.len < BACKLOG_MAX};
        if (!stream__step(t->ends, in, got, want, -1))
            break;
        websocket_reader_feed(&t->reader, in[CLIENT], got[CLIENT]);
        read_client(t);
        spdy_feed(&t->spdy, in[UPSTREAM], got[UPSTREAM]);
        read_upstream(t);
        if (t->ends[CLIENT].eof || t->ends[UPSTREAM].eof)
            break;
    }
    if (!t->ends[CLIENT].eof) {
        send_close(t, WEBSOCKET_NORMAL);
        linger(t, in);
    }
    free(in[0]);
    free(in[1]);
}

void stream__translate(const struct stream_request *request, int upstream_fd, const struct buf *rest)
{
    struct translation t = {.going = true};
    t.ends[CLIENT].fd = request->client_fd;
    t.ends[UPSTREAM].fd = upstream_fd;
    t.base64 = strstr(request->subprotocol, "base64") != NULL;
    t.v5 = strncmp(request->subprotocol, "v5.", 3) == 0;
    spdy_init(&t.spdy);
    open_streams(&t, request);
    /* An empty message tells the client that the connection stands. */
    send_channel(&t,
                 request->stdout_   ? CHANNEL_STDOUT
                 : request->stderr_ ? CHANNEL_STDERR
                                    : CHANNEL_ERROR,
                 "", 0);
    websocket_reader_feed(&t.reader, request->early, request->early_len);
    read_client(&t);
    spdy_feed(&t.spdy, rest->data, rest->len);
    read_upstream(&t);
    run(&t);
    spdy_free(&t.spdy);
    websocket_reader_free(&t.reader);
    for (int i = 0; i < 2; i++)
        buf_free(&t.ends[i].out);
}
