/* A peer by hand, which may misbehave: TLS by OpenSSL, WebSocket frames and control frames as told. Blocking.
 */
#ifndef KATENA_TEST_PEER_RAW_H
#define KATENA_TEST_PEER_RAW_H

#include "chain/wire.h"
#include "peer/control.h"
#include "peer/frame.h"
#include "peer_fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <sys/time.h>

struct peer_raw {
    int fd;
    SSL_CTX *context;
    SSL *ssl;
    uint8_t public_key[32], secret_key[64];
    struct control hello; /* as it will be sent; may be changed */
    struct buf hello_ours, hello_theirs;
    struct buf in; /* the stream of frames that came */
};

static inline void peer_raw_close(struct peer_raw *raw)
{
    SSL_free(raw->ssl);
    SSL_CTX_free(raw->context);
    if (raw->fd >= 0)
        close(raw->fd);
    buf_free(&raw->hello_ours);
    buf_free(&raw->hello_theirs);
    buf_free(&raw->in);
}

static inline int peer_raw_tcp(int port)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct timeval patience = {.tv_sec = 8};
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* True when the other end closes the connection (and does not only keep silent). */
static inline bool peer_raw_tcp_closed(int fd)
{
    char byte;
    ssize_t n = recv(fd, &byte, 1, 0);
    return n == 0 || (n < 0 && errno != EAGAIN);
}

/* TLS and the upgrade; false when the node does not want it. With or without a certificate. */
static inline bool peer_raw_open(struct peer_raw *raw, struct peer_authority *authority, int port,
                                 bool certified)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: katena\r\nUpgrade: websocket\r\n"
                                  "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                                  "Sec-WebSocket-Protocol: katena-peer\r\n\r\n";
    *raw = (struct peer_raw){.fd = peer_raw_tcp(port)};
    crypto_sign_keypair(raw->public_key, raw->secret_key);
    raw->hello = (struct control){.type = CONTROL_HELLO, .version = CONTROL_VERSION, .instance = 77};
    raw->hello.stamp = (struct control_stamp){.wall_us = clock_wall_us(), .mono = 1};
    memcpy(raw->hello.self.key, raw->public_key, 32);
    snprintf(raw->hello.self.name, PEER_NAME_MAX, "raw");
    if (raw->fd < 0)
        return false;
    raw->context = SSL_CTX_new(TLS_client_method());
    if (certified) {
        SSL_CTX_use_certificate_chain_file(raw->context, scratch_file(&authority->scratch, "peer.crt"));
        SSL_CTX_use_PrivateKey_file(raw->context, scratch_file(&authority->scratch, "peer.key"),
                                    SSL_FILETYPE_PEM);
    }
    raw->ssl = SSL_new(raw->context);
    SSL_set_fd(raw->ssl, raw->fd);
    if (SSL_connect(raw->ssl) != 1 || SSL_write(raw->ssl, request, sizeof(request) - 1) <= 0)
        return false;
    struct buf answer = BUF_INIT;
    char byte;
    while (!strstr(buf_str(&answer), "\r\n\r\n") && SSL_read(raw->ssl, &byte, 1) == 1)
        buf_putc(&answer, byte);
    bool upgraded = strncmp(buf_str(&answer), "HTTP/1.1 101", 12) == 0;
    buf_free(&answer);
    return upgraded;
}

/* A masked WebSocket frame; opcode 2 is binary. */
static inline bool peer_raw_write(struct peer_raw *raw, uint8_t opcode, const void *bytes, size_t len)
{
    struct buf out = BUF_INIT;
    buf_putc(&out, (char)(0x80 | opcode));
    if (len < 126) {
        buf_putc(&out, (char)(0x80 | len));
    } else {
        buf_putc(&out, (char)(0x80 | 126));
        buf_putc(&out, (char)(len >> 8));
        buf_putc(&out, (char)len);
    }
    buf_append(&out, "\1\2\3\4", 4);
    for (size_t i = 0; i < len; i++)
        buf_putc(&out, (char)(((const uint8_t *)bytes)[i] ^ (uint8_t)(i % 4 + 1)));
    bool written = SSL_write(raw->ssl, out.data, (int)out.len) == (int)out.len;
    buf_free(&out);
    return written;
}

static inline bool peer_raw_send(struct peer_raw *raw, uint8_t channel, const void *bytes, size_t len)
{
    uint8_t header[FRAME_HEADER_MAX];
    struct buf frame = BUF_INIT;
    buf_append(&frame, header, frame_header(header, channel, len));
    buf_append(&frame, bytes, len);
    bool written = peer_raw_write(raw, 2, frame.data, frame.len);
    buf_free(&frame);
    return written;
}

static inline bool peer_raw_say(struct peer_raw *raw, const struct control *control)
{
    struct buf bytes = BUF_INIT;
    control_encode(&bytes, control);
    bool written = peer_raw_send(raw, 0, bytes.data, bytes.len);
    buf_free(&bytes);
    return written;
}

static inline bool peer_raw_read_exact(struct peer_raw *raw, void *out, size_t len)
{
    for (size_t at = 0; at < len;) {
        int n = SSL_read(raw->ssl, (char *)out + at, (int)(len - at));
        if (n <= 0)
            return false;
        at += (size_t)n;
    }
    return true;
}

/* The payload of one WebSocket message into raw->in; false at the end. */
static inline bool peer_raw_fill(struct peer_raw *raw)
{
    uint8_t head[4];
    static _Thread_local char payload[65536];
    if (!peer_raw_read_exact(raw, head, 2) || (head[0] & 15) != 2)
        return false;
    size_t len = head[1] & 127;
    if (len == 126) {
        if (!peer_raw_read_exact(raw, head + 2, 2))
            return false;
        len = (size_t)head[2] << 8 | head[3];
    }
    if (!peer_raw_read_exact(raw, payload, len))
        return false;
    buf_append(&raw->in, payload, len);
    return true;
}

/* The next control frame; its bytes, too, when wanted. */
static inline bool peer_raw_hear(struct peer_raw *raw, struct control *control, struct buf *bytes)
{
    for (;;) {
        struct frame_reader reader = {.known = true};
        struct frame frame;
        struct err err;
        const uint8_t *at = (const uint8_t *)raw->in.data;
        size_t left = raw->in.len;
        if (raw->in.len && frame_reader_next(&reader, &at, &left, &frame)) {
            bool control_frame = frame.channel == 0;
            bool good = control_frame && control_decode(control, frame.bytes, frame.len, &err) == 0;
            if (good && bytes)
                buf_append(bytes, frame.bytes, frame.len);
            buf_consume(&raw->in, raw->in.len - left);
            if (control_frame)
                return good;
            continue;
        }
        frame_reader_free(&reader);
        if (!peer_raw_fill(raw))
            return false;
    }
}

/* Says HELLO, hears the other's, and says AUTH, with a signature that may be wrong. */
static inline bool peer_raw_greet(struct peer_raw *raw, bool forge)
{
    static const char context[] = "katena peer v1";
    static const char label[] = "EXPORTER-katena-peer-v1";
    struct control theirs, auth = {.type = CONTROL_AUTH};
    uint8_t exported[32];
    control_encode(&raw->hello_ours, &raw->hello);
    if (!peer_raw_say(raw, &raw->hello) || !peer_raw_hear(raw, &theirs, &raw->hello_theirs) ||
        theirs.type != CONTROL_HELLO)
        return false;
    SSL_export_keying_material(raw->ssl, exported, 32, label, sizeof(label) - 1, NULL, 0, 0);
    struct buf statement = BUF_INIT;
    buf_append(&statement, context, sizeof(context));
    wire_put_u8(&statement, 1);
    buf_append(&statement, exported, sizeof(exported));
    wire_put_bytes(&statement, raw->hello_ours.data, raw->hello_ours.len);
    wire_put_bytes(&statement, raw->hello_theirs.data, raw->hello_theirs.len);
    if (forge)
        statement.data[statement.len - 1] ^= 1;
    crypto_sign_detached(auth.signature, NULL, (uint8_t *)statement.data, statement.len, raw->secret_key);
    buf_free(&statement);
    auth.stamp = (struct control_stamp){.wall_us = raw->hello.stamp.wall_us, .mono = 1};
    auth.stamp.echo = theirs.stamp.mono;
    return peer_raw_say(raw, &auth);
}

/* Until the node says that it refuses, or the connection ends (0). The reason in a static buffer. */
static inline enum control_refusal peer_raw_refusal(struct peer_raw *raw, const char **reason)
{
    static _Thread_local struct control control;
    while (peer_raw_hear(raw, &control, NULL)) {
        control_free(&control);
        if (control.type == CONTROL_REFUSE) {
            *reason = control.reason;
            return control.refusal;
        }
    }
    *reason = "";
    return 0;
}

#endif
