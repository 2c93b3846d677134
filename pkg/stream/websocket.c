/* See websocket.h. */
#include "stream/websocket.h"

#include "stream/stream.h"

#include <sodium.h>
#include <stdio.h>

void websocket_reader_free(struct websocket_reader *reader)
{
    buf_free(&reader->in);
    buf_free(&reader->message);
    buf_free(&reader->control);
}

void websocket_reader_feed(struct websocket_reader *reader, const void *data, size_t len)
{
    buf_append(&reader->in, data, len);
}

struct frame {
    bool fin;
    enum websocket_opcode opcode;
    uint8_t mask[4];
    size_t head; /* bytes before the payload */
    size_t len;
};

/* 1: a whole frame is there, 0: not yet, negative: as websocket_reader_next. */
static int parse_frame(struct frame *out, const uint8_t *p, size_t have)
{
    if (have < 2)
        return 0;
    bool control = p[0] & 0x08;
    uint64_t len = p[1] & 0x7f;
    out->fin = p[0] & 0x80;
    out->opcode = (enum websocket_opcode)(p[0] & 0x0f);
    out->head = 2;
    /* Reserved bits, an unmasked client frame (5.1) and large or split control frames (5.5) are errors. */
    if ((p[0] & 0x70) || !(p[1] & 0x80) || (control && (len > 125 || !out->fin)))
        return -WEBSOCKET_PROTOCOL_ERROR;
    size_t extra = len == 126 ? 2 : len == 127 ? 8 : 0;
    if (have < 2 + extra + 4)
        return 0;
    if (extra) {
        len = 0;
        for (size_t i = 0; i < extra; i++)
            len = len << 8 | p[2 + i];
    }
    if (len > WEBSOCKET_MESSAGE_MAX)
        return -WEBSOCKET_TOO_BIG;
    memcpy(out->mask, p + 2 + extra, 4);
    out->head = 2 + extra + 4;
    out->len = (size_t)len;
    return have - out->head >= out->len;
}

static int accept_frame(struct websocket_reader *reader, const struct frame *frame)
{
    bool control = frame->opcode & 0x08;
    struct buf *target = control ? &reader->control : &reader->message;
    if (control) {
        if (frame->opcode > WEBSOCKET_PONG)
            return -WEBSOCKET_PROTOCOL_ERROR;
        buf_clear(target);
    } else if (frame->opcode == WEBSOCKET_CONTINUATION) {
        if (!reader->in_message)
            return -WEBSOCKET_PROTOCOL_ERROR;
    } else {
        if (reader->in_message || frame->opcode > WEBSOCKET_BINARY)
            return -WEBSOCKET_PROTOCOL_ERROR;
        buf_clear(target);
        reader->opcode = frame->opcode;
        reader->in_message = true;
    }
    if (target->len + frame->len > WEBSOCKET_MESSAGE_MAX)
        return -WEBSOCKET_TOO_BIG;
    buf_reserve(target, frame->len);
    const uint8_t *payload = (const uint8_t *)reader->in.data + frame->head;
    for (size_t i = 0; i < frame->len; i++)
        target->data[target->len + i] = (char)(payload[i] ^ frame->mask[i & 3]);
    target->len += frame->len;
    target->data[target->len] = '\0';
    return 0;
}

int websocket_reader_next(struct websocket_reader *reader, enum websocket_opcode *opcode, const char **data,
                          size_t *len)
{
    for (;;) {
        struct frame frame;
        int rc = parse_frame(&frame, (const uint8_t *)reader->in.data, reader->in.len);
        if (rc <= 0)
            return rc;
        rc = accept_frame(reader, &frame);
        if (rc)
            return rc;
        buf_consume(&reader->in, frame.head + frame.len);
        bool control = frame.opcode & 0x08;
        if (!control && !frame.fin)
            continue;
        struct buf *target = control ? &reader->control : &reader->message;
        if (!control)
            reader->in_message = false;
        *opcode = control ? frame.opcode : reader->opcode;
        *data = buf_str(target);
        *len = target->len;
        return 1;
    }
}

void websocket_write(struct buf *out, enum websocket_opcode opcode, const void *data, size_t len)
{
    uint8_t head[10] = {(uint8_t)(0x80 | opcode)};
    size_t n = 2;
    if (len < 126) {
        head[1] = (uint8_t)len;
    } else {
        size_t extra = len <= 0xffff ? 2 : 8;
        head[1] = extra == 2 ? 126 : 127;
        for (size_t i = 0; i < extra; i++)
            head[2 + i] = (uint8_t)((uint64_t)len >> 8 * (extra - 1 - i));
        n = 2 + extra;
    }
    buf_append(out, head, n);
    buf_append(out, data, len);
}

void websocket_write_close(struct buf *out, unsigned status)
{
    uint8_t payload[2] = {(uint8_t)(status >> 8), (uint8_t)status};
    websocket_write(out, WEBSOCKET_CLOSE, payload, sizeof(payload));
}

/* SHA-1 (FIPS 180-4) of at most 119 bytes: the handshake needs it and nothing else here does. */
static uint32_t rotate(uint32_t x, int n)
{
    return x << n | x >> (32 - n);
}

static void sha1_block(uint32_t h[5], const uint8_t *block)
{
    uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 |
               (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
    for (int i = 16; i < 80; i++)
        w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    for (int i = 0; i < 80; i++) {
        uint32_t f = i < 20   ? (b & c) | (~b & d)
                     : i < 40 ? b ^ c ^ d
                     : i < 60 ? (b & c) | (b & d) | (c & d)
                              : b ^ c ^ d;
        uint32_t k = i < 20 ? 0x5a827999 : i < 40 ? 0x6ed9eba1 : i < 60 ? 0x8f1bbcdc : 0xca62c1d6;
        uint32_t next = rotate(a, 5) + f + e + k + w[i];
        e = d;
        d = c;
        c = rotate(b, 30);
        b = a;
        a = next;
    }
    h[0] += a;
    h[1] += b;
    h[2] += c;
    h[3] += d;
    h[4] += e;
}

static void sha1_short(uint8_t out[20], const char *text, size_t len)
{
    uint8_t block[128] = {0};
    uint32_t h[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    memcpy(block, text, len);
    block[len] = 0x80;
    size_t total = len + 9 <= 64 ? 64 : 128;
    block[total - 2] = (uint8_t)(len * 8 >> 8);
    block[total - 1] = (uint8_t)(len * 8);
    for (size_t at = 0; at < total; at += 64)
        sha1_block(h, block + at);
    for (int i = 0; i < 20; i++)
        out[i] = (uint8_t)(h[i / 4] >> (24 - 8 * (i % 4)));
}

void stream_websocket_accept(char out[29], const char *key)
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    char text[119];
    uint8_t digest[20];
    int len = snprintf(text, sizeof(text), "%.*s%s", (int)(sizeof(text) - sizeof(guid)), key, guid);
    sha1_short(digest, text, (size_t)len);
    sodium_bin2base64(out, 29, digest, sizeof(digest), sodium_base64_VARIANT_ORIGINAL);
}
