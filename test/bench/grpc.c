/* See load.h: the gRPC side. Headers are sent as HPACK literals, so no table has to be kept. */
#include "load.h"

#include "base/mem.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

enum {
    FRAME_DATA = 0,
    FRAME_HEADERS = 1,
    FRAME_RST = 3,
    FRAME_SETTINGS = 4,
    FRAME_PING = 6,
    FRAME_GOAWAY = 7
};
enum { FLAG_ACK = 1, FLAG_END_STREAM = 1, FLAG_END_HEADERS = 4 };
#define FRAME_WINDOW_UPDATE 8

static void read_all(struct grpc_connection *c, void *data, size_t len)
{
    for (size_t got = 0; got < len;) {
        size_t n = transport_take(&c->transport, (char *)data + got, len - got);
        if (!n)
            load_fail("etcd closed the connection");
        got += n;
    }
}

static size_t put_frame(uint8_t *out, size_t len, uint8_t type, uint8_t flags, uint32_t stream)
{
    out[0] = (uint8_t)(len >> 16);
    out[1] = (uint8_t)(len >> 8);
    out[2] = (uint8_t)len;
    out[3] = type;
    out[4] = flags;
    uint32_t id = htonl(stream);
    memcpy(out + 5, &id, 4);
    return 9;
}

void grpc_open(struct grpc_connection *c, const struct target *target)
{
    *c = (struct grpc_connection){.next_stream = 1};
    transport_open(&c->transport, target, "h2");
    uint8_t hello[64];
    size_t n = 24;
    memcpy(hello, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
    n += put_frame(hello + n, 6, FRAME_SETTINGS, 0, 0);
    memcpy(hello + n, "\x00\x04\x7f\xff\xff\xff", 6); /* the initial window: as wide as it goes */
    n += 6;
    n += put_frame(hello + n, 4, FRAME_WINDOW_UPDATE, 0, 0);
    memcpy(hello + n, "\x7f\xff\x00\x00", 4);
    n += 4;
    transport_send(&c->transport, hello, n);
}

void grpc_close(struct grpc_connection *c)
{
    transport_close(&c->transport);
    free(c->buffer);
}

static size_t put_literal(uint8_t *out, const char *value)
{
    size_t len = strlen(value);
    out[0] = (uint8_t)len;
    memcpy(out + 1, value, len);
    return len + 1;
}

static size_t put_headers(uint8_t *out, const char *path, bool tls)
{
    size_t n = 0;
    out[n++] = 0x83;              /* :method POST */
    out[n++] = tls ? 0x87 : 0x86; /* :scheme */
    out[n++] = 0x04;              /* :path */
    n += put_literal(out + n, path);
    out[n++] = 0x01; /* :authority */
    n += put_literal(out + n, "etcd");
    out[n++] = 0x0f; /* content-type */
    out[n++] = 0x10;
    n += put_literal(out + n, "application/grpc");
    out[n++] = 0x00;
    n += put_literal(out + n, "te");
    n += put_literal(out + n, "trailers");
    return n;
}

static void send_request(struct grpc_connection *c, uint32_t stream, const char *path, const void *message,
                         size_t len)
{
    uint8_t frame[8192];
    uint8_t headers[256];
    size_t headers_len = put_headers(headers, path, c->transport.session);
    if (len + headers_len + 32 > sizeof(frame))
        load_fail("the message is too long");
    size_t n = put_frame(frame, headers_len, FRAME_HEADERS, FLAG_END_HEADERS, stream);
    memcpy(frame + n, headers, headers_len);
    n += headers_len;
    n += put_frame(frame + n, len + 5, FRAME_DATA, FLAG_END_STREAM, stream);
    uint32_t size = htonl((uint32_t)len);
    frame[n++] = 0; /* not compressed */
    memcpy(frame + n, &size, 4);
    n += 4;
    memcpy(frame + n, message, len);
    transport_send(&c->transport, frame, n + len);
}

static size_t read_payload(struct grpc_connection *c, const uint8_t head[9])
{
    size_t len = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
    if (len > c->capacity) {
        c->capacity = len;
        c->buffer = mem_realloc(c->buffer, len);
    }
    read_all(c, c->buffer, len);
    return len;
}

static void answer_control(struct grpc_connection *c, const uint8_t head[9], size_t len)
{
    uint8_t reply[17];
    if (head[3] == FRAME_SETTINGS && !(head[4] & FLAG_ACK)) {
        transport_send(&c->transport, reply, put_frame(reply, 0, FRAME_SETTINGS, FLAG_ACK, 0));
    } else if (head[3] == FRAME_PING && !(head[4] & FLAG_ACK) && len == 8) {
        size_t n = put_frame(reply, 8, FRAME_PING, FLAG_ACK, 0);
        memcpy(reply + n, c->buffer, 8);
        transport_send(&c->transport, reply, n + 8);
    } else if (head[3] == FRAME_GOAWAY || head[3] == FRAME_RST) {
        load_fail("etcd ended the stream");
    }
}

/* Gives the connection's window back, a stream's is never used up. */
static void grant_window(struct grpc_connection *c, size_t len)
{
    uint8_t update[13];
    uint32_t increment = htonl((uint32_t)len);
    size_t n = put_frame(update, 4, FRAME_WINDOW_UPDATE, 0, 0);
    memcpy(update + n, &increment, 4);
    transport_send(&c->transport, update, n + 4);
}

size_t grpc_call(struct grpc_connection *c, const char *path, const void *message, size_t len)
{
    uint32_t stream = c->next_stream;
    c->next_stream += 2;
    send_request(c, stream, path, message, len);
    size_t answer = 0;
    for (;;) {
        uint8_t head[9];
        read_all(c, head, sizeof(head));
        size_t size = read_payload(c, head);
        if (head[3] == FRAME_DATA)
            answer += size;
        else if (head[3] != FRAME_HEADERS)
            answer_control(c, head, size);
        if ((head[3] == FRAME_DATA || head[3] == FRAME_HEADERS) && head[4] & FLAG_END_STREAM)
            break;
    }
    if (answer <= 5)
        load_fail("etcd refused %s", path);
    if (answer > 4096)
        grant_window(c, answer);
    return answer - 5;
}
