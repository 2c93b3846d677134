/* See spdy.h. */
#include "stream/spdy.h"

#include <assert.h>

enum {
    TYPE_SYN_STREAM = 1,
    TYPE_SYN_REPLY = 2,
    TYPE_RST_STREAM = 3,
    TYPE_PING = 6,
    TYPE_GOAWAY = 7,
    FLAG_FIN = 1,
    VERSION = 3,
    HEAD = 8,
};

/* The dictionary's words, each with its length before it, … */
static const char *const words[] = {"options",
                                    "head",
                                    "post",
                                    "put",
                                    "delete",
                                    "trace",
                                    "accept",
                                    "accept-charset",
                                    "accept-encoding",
                                    "accept-language",
                                    "accept-ranges",
                                    "age",
                                    "allow",
                                    "authorization",
                                    "cache-control",
                                    "connection",
                                    "content-base",
                                    "content-encoding",
                                    "content-language",
                                    "content-length",
                                    "content-location",
                                    "content-md5",
                                    "content-range",
                                    "content-type",
                                    "date",
                                    "etag",
                                    "expect",
                                    "expires",
                                    "from",
                                    "host",
                                    "if-match",
                                    "if-modified-since",
                                    "if-none-match",
                                    "if-range",
                                    "if-unmodified-since",
                                    "last-modified",
                                    "location",
                                    "max-forwards",
                                    "pragma",
                                    "proxy-authenticate",
                                    "proxy-authorization",
                                    "range",
                                    "referer",
                                    "retry-after",
                                    "server",
                                    "te",
                                    "trailer",
                                    "transfer-encoding",
                                    "upgrade",
                                    "user-agent",
                                    "vary",
                                    "via",
                                    "warning",
                                    "www-authenticate",
                                    "method",
                                    "get",
                                    "status",
                                    "200 OK",
                                    "version",
                                    "HTTP/1.1",
                                    "url",
                                    "public",
                                    "set-cookie",
                                    "keep-alive",
                                    "origin"};

/* … and the text behind them. */
static const char tail[] =
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized"
    "403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,"
    "text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";

static void put_u32(uint8_t *out, uint32_t value)
{
    out[0] = (uint8_t)(value >> 24);
    out[1] = (uint8_t)(value >> 16);
    out[2] = (uint8_t)(value >> 8);
    out[3] = (uint8_t)value;
}

static uint32_t get_u32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

size_t spdy_dictionary(uint8_t out[SPDY_DICTIONARY_MAX])
{
    size_t at = 0;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        size_t len = strlen(words[i]);
        assert(at + 4 + len <= SPDY_DICTIONARY_MAX);
        put_u32(out + at, (uint32_t)len);
        memcpy(out + at + 4, words[i], len);
        at += 4 + len;
    }
    assert(at + sizeof(tail) - 1 <= SPDY_DICTIONARY_MAX);
    memcpy(out + at, tail, sizeof(tail) - 1);
    return at + sizeof(tail) - 1;
}

void spdy_init(struct spdy *spdy)
{
    uint8_t dictionary[SPDY_DICTIONARY_MAX];
    *spdy = (struct spdy){.next_stream = 1};
    size_t len = spdy_dictionary(dictionary);
    int rc = deflateInit(&spdy->deflate, Z_BEST_SPEED);
    assert(rc == Z_OK);
    rc = deflateSetDictionary(&spdy->deflate, dictionary, (uInt)len);
    assert(rc == Z_OK);
}

void spdy_free(struct spdy *spdy)
{
    deflateEnd(&spdy->deflate);
    buf_free(&spdy->in);
    buf_free(&spdy->out);
}

static void put_control(struct buf *out, uint16_t type, uint8_t flags, const void *payload, size_t len)
{
    uint8_t head[HEAD];
    put_u32(head, 0x80000000u | (uint32_t)VERSION << 16 | type);
    put_u32(head + 4, (uint32_t)flags << 24 | (uint32_t)len);
    buf_append(out, head, sizeof(head));
    buf_append(out, payload, len);
}

/* Headers are compressed in one stream over all frames of a direction, flushed at the end of each. */
static void put_compressed(struct spdy *spdy, struct buf *out, const struct buf *plain)
{
    z_stream *z = &spdy->deflate;
    z->next_in = (Bytef *)plain->data;
    z->avail_in = (uInt)plain->len;
    do {
        buf_reserve(out, 512);
        z->next_out = (Bytef *)out->data + out->len;
        z->avail_out = 512;
        int rc = deflate(z, Z_SYNC_FLUSH);
        assert(rc == Z_OK || rc == Z_BUF_ERROR);
        out->len += 512 - z->avail_out;
    } while (z->avail_out == 0);
}

static void put_text(struct buf *out, const char *text)
{
    uint8_t len[4];
    put_u32(len, (uint32_t)strlen(text));
    buf_append(out, len, 4);
    buf_puts(out, text);
}

uint32_t spdy_open(struct spdy *spdy, const char *header, const char *value)
{
    struct buf plain buf_auto = BUF_INIT;
    struct buf payload buf_auto = BUF_INIT;
    uint32_t id = spdy->next_stream;
    uint8_t head[10] = {0}, count[4];
    spdy->next_stream += 2;
    put_u32(head, id);
    put_u32(count, 1);
    buf_append(&payload, head, sizeof(head));
    buf_append(&plain, count, sizeof(count));
    put_text(&plain, header);
    put_text(&plain, value);
    put_compressed(spdy, &payload, &plain);
    put_control(&spdy->out, TYPE_SYN_STREAM, 0, payload.data, payload.len);
    return id;
}

void spdy_send(struct spdy *spdy, uint32_t stream, const void *data, size_t len, bool fin)
{
    uint8_t head[HEAD];
    assert(len < SPDY_FRAME_MAX);
    put_u32(head, stream);
    put_u32(head + 4, (fin ? (uint32_t)FLAG_FIN << 24 : 0) | (uint32_t)len);
    buf_append(&spdy->out, head, sizeof(head));
    buf_append(&spdy->out, data, len);
}

void spdy_feed(struct spdy *spdy, const void *data, size_t len)
{
    buf_consume(&spdy->in, spdy->consumed);
    spdy->consumed = 0;
    buf_append(&spdy->in, data, len);
}

static enum spdy_event on_control(struct spdy *spdy, const uint8_t *p, size_t len, struct spdy_frame *frame)
{
    uint32_t word = get_u32(p);
    uint8_t flags = p[4];
    const uint8_t *payload = p + HEAD;
    if ((word >> 16 & 0x7fff) != VERSION)
        return SPDY_ERROR;
    switch (word & 0xffff) {
    case TYPE_SYN_REPLY:
        if (len < 4 || !(flags & FLAG_FIN))
            return len < 4 ? SPDY_ERROR : SPDY_IGNORED;
        *frame = (struct spdy_frame){.stream = get_u32(payload) & 0x7fffffff, .fin = true, .data = ""};
        return SPDY_DATA;
    case TYPE_RST_STREAM:
        if (len < 8)
            return SPDY_ERROR;
        *frame = (struct spdy_frame){.stream = get_u32(payload) & 0x7fffffff, .fin = true};
        return SPDY_RESET;
    case TYPE_PING:
        /* Odd ids are of the side that opened the connection: an even one is the peer's, to be sent back. */
        if (len < 4)
            return SPDY_ERROR;
        if (get_u32(payload) % 2 == 0)
            put_control(&spdy->out, TYPE_PING, 0, payload, 4);
        return SPDY_IGNORED;
    case TYPE_GOAWAY:
        return SPDY_GOAWAY;
    default:
        return SPDY_IGNORED;
    }
}

enum spdy_event spdy_next(struct spdy *spdy, struct spdy_frame *frame)
{
    buf_consume(&spdy->in, spdy->consumed);
    spdy->consumed = 0;
    const uint8_t *p = (const uint8_t *)spdy->in.data;
    if (spdy->in.len < HEAD)
        return SPDY_NONE;
    size_t len = get_u32(p + 4) & 0xffffff;
    if (spdy->in.len - HEAD < len)
        return SPDY_NONE;
    spdy->consumed = HEAD + len;
    if (p[0] & 0x80)
        return on_control(spdy, p, len, frame);
    *frame = (struct spdy_frame){.stream = get_u32(p) & 0x7fffffff,
                                 .fin = p[4] & FLAG_FIN,
                                 .data = (const char *)p + HEAD,
                                 .len = len};
    return SPDY_DATA;
}
