/* The codecs of the streams, and what is negotiated. */
#include "unit.h"

#include "stream/spdy.h"
#include "stream/stream.h"
#include "stream/websocket.h"

static void test_negotiate(void **state)
{
    (void)state;
    assert_string_equal(stream_negotiate(STREAM_WEBSOCKET, "v4.channel.k8s.io, v5.channel.k8s.io", false),
                        "v5.channel.k8s.io");
    assert_string_equal(stream_negotiate(STREAM_SPDY, "v2.channel.k8s.io,v4.channel.k8s.io", false),
                        "v4.channel.k8s.io");
    assert_null(stream_negotiate(STREAM_SPDY, "v5.channel.k8s.io", false));
    assert_null(stream_negotiate(STREAM_WEBSOCKET, "xv5.channel.k8s.io", false));
    assert_null(stream_negotiate(STREAM_WEBSOCKET, "", false));
    assert_string_equal(stream_negotiate(STREAM_WEBSOCKET, "SPDY/3.1+portforward.k8s.io", true),
                        "SPDY/3.1+portforward.k8s.io");
    assert_string_equal(stream_negotiate(STREAM_SPDY, "portforward.k8s.io", true), "portforward.k8s.io");
}

static void test_websocket_accept(void **state)
{
    (void)state;
    char accept[29];
    stream_websocket_accept(accept, "dGhlIHNhbXBsZSBub25jZQ=="); /* the example of RFC 6455, 1.3 */
    assert_string_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

/* A client's frame: masked. */
static size_t client_frame(uint8_t *out, uint8_t first, const char *text, size_t len)
{
    const uint8_t mask[4] = {1, 2, 3, 4};
    size_t head = len < 126 ? 2 : 4;
    out[0] = first;
    out[1] = (uint8_t)(0x80 | (len < 126 ? len : 126));
    if (len >= 126) {
        out[2] = (uint8_t)(len >> 8);
        out[3] = (uint8_t)len;
    }
    memcpy(out + head, mask, 4);
    for (size_t i = 0; i < len; i++)
        out[head + 4 + i] = (uint8_t)text[i] ^ mask[i & 3];
    return head + 4 + len;
}

static void test_websocket_fragments_and_control(void **state)
{
    (void)state;
    uint8_t bytes[1024];
    size_t n = client_frame(bytes, 0x02, "ab", 2); /* binary, more follows */
    n += client_frame(bytes + n, 0x89, "ping", 4); /* a ping in between */
    n += client_frame(bytes + n, 0x80, "cd", 2);   /* the rest */
    char big[300];
    memset(big, 'x', sizeof(big));
    n += client_frame(bytes + n, 0x82, big, sizeof(big));
    struct websocket_reader reader = {0};
    enum websocket_opcode opcode;
    const char *data;
    size_t len, messages = 0;
    for (size_t i = 0; i < n; i++) { /* byte by byte */
        websocket_reader_feed(&reader, bytes + i, 1);
        int rc = websocket_reader_next(&reader, &opcode, &data, &len);
        assert_true(rc >= 0);
        if (rc == 0)
            continue;
        if (messages == 0) {
            assert_int_equal(opcode, WEBSOCKET_PING);
            assert_string_equal(data, "ping");
        } else if (messages == 1) {
            assert_int_equal(opcode, WEBSOCKET_BINARY);
            assert_string_equal(data, "abcd");
        } else {
            assert_int_equal(len, 300);
        }
        messages++;
    }
    assert_int_equal(messages, 3);
    websocket_reader_free(&reader);
}

static int read_one(const uint8_t *bytes, size_t n)
{
    struct websocket_reader reader = {0};
    enum websocket_opcode opcode;
    const char *data;
    size_t len;
    websocket_reader_feed(&reader, bytes, n);
    int rc = websocket_reader_next(&reader, &opcode, &data, &len);
    websocket_reader_free(&reader);
    return rc;
}

static void test_websocket_errors(void **state)
{
    (void)state;
    uint8_t bytes[64];
    assert_int_equal(read_one((const uint8_t *)"\x82\x01x", 3), -WEBSOCKET_PROTOCOL_ERROR); /* not masked */
    client_frame(bytes, 0x80, "x", 1);
    assert_int_equal(read_one(bytes, 7), -WEBSOCKET_PROTOCOL_ERROR); /* a continuation of nothing */
    client_frame(bytes, 0xc2, "x", 1);
    assert_int_equal(read_one(bytes, 7), -WEBSOCKET_PROTOCOL_ERROR); /* a reserved bit */
    client_frame(bytes, 0x09, "x", 1);
    assert_int_equal(read_one(bytes, 7), -WEBSOCKET_PROTOCOL_ERROR); /* a control frame in parts */
    assert_int_equal(read_one((const uint8_t *)"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0", 14),
                     -WEBSOCKET_TOO_BIG);
}

static void test_websocket_write(void **state)
{
    (void)state;
    struct buf out buf_auto = BUF_INIT;
    char big[70000] = {0};
    websocket_write(&out, WEBSOCKET_BINARY, "hi", 2);
    assert_memory_equal(out.data, "\x82\x02hi", 4);
    buf_clear(&out);
    websocket_write(&out, WEBSOCKET_BINARY, big, 200);
    assert_memory_equal(out.data, "\x82\x7e\x00\xc8", 4);
    buf_clear(&out);
    websocket_write(&out, WEBSOCKET_BINARY, big, sizeof(big));
    assert_memory_equal(out.data, "\x82\x7f\0\0\0\0\0\x01\x11\x70", 10);
    buf_clear(&out);
    websocket_write_close(&out, WEBSOCKET_NORMAL);
    assert_memory_equal(out.data, "\x88\x02\x03\xe8", 4);
}

/* The id that zlib gives SPDY/3's dictionary is well known. */
static void test_spdy_dictionary(void **state)
{
    (void)state;
    uint8_t dictionary[SPDY_DICTIONARY_MAX];
    size_t len = spdy_dictionary(dictionary);
    assert_int_equal(len, 1423);
    assert_int_equal(adler32(adler32(0, NULL, 0), dictionary, (uInt)len), 0xe3c6a7c2);
}

static void test_spdy_open(void **state)
{
    (void)state;
    struct spdy spdy;
    uint8_t plain[256], dictionary[SPDY_DICTIONARY_MAX];
    z_stream z = {0};
    spdy_init(&spdy);
    assert_int_equal(spdy_open(&spdy, "streamtype", "error"), 1);
    size_t first = spdy.out.len;
    assert_memory_equal(spdy.out.data, "\x80\x03\0\x01\0\0\0", 7);
    assert_memory_equal(spdy.out.data + 8, "\0\0\0\x01\0\0\0\0\0\0", 10);
    assert_int_equal((uint8_t)spdy.out.data[7], first - 8);
    assert_int_equal(spdy_open(&spdy, "streamtype", "stdin"), 3);
    inflateInit(&z);
    for (int i = 0; i < 2; i++) { /* one compression over both frames */
        z.next_in = (Bytef *)spdy.out.data + (i ? first : 0) + 18;
        z.avail_in = (uInt)((i ? spdy.out.len - first : first) - 18);
        z.next_out = plain;
        z.avail_out = sizeof(plain);
        int rc = inflate(&z, Z_SYNC_FLUSH);
        if (rc == Z_NEED_DICT) {
            inflateSetDictionary(&z, dictionary, (uInt)spdy_dictionary(dictionary));
            rc = inflate(&z, Z_SYNC_FLUSH);
        }
        assert_int_equal(rc, Z_OK);
        assert_memory_equal(plain, "\0\0\0\x01\0\0\0\x0astreamtype\0\0\0\x05", 22);
        assert_memory_equal(plain + 22, i ? "stdin" : "error", 5);
    }
    inflateEnd(&z);
    spdy_free(&spdy);
}

static void test_spdy_events(void **state)
{
    (void)state;
    struct spdy spdy;
    struct spdy_frame frame;
    spdy_init(&spdy);
    spdy_feed(&spdy, "\0\0\0\x05\x01\0\0\x02ok", 10);                     /* data with FIN */
    spdy_feed(&spdy, "\x80\x03\0\x06\0\0\0\x04\0\0\0\x02", 12);           /* PING of the peer */
    spdy_feed(&spdy, "\x80\x03\0\x03\0\0\0\x08\0\0\0\x05\0\0\0\x01", 16); /* RST_STREAM */
    spdy_feed(&spdy, "\x80\x03\0\x09\0\0\0\x08\0\0\0\x05\0\0\x01\0", 16); /* WINDOW_UPDATE */
    assert_int_equal(spdy_next(&spdy, &frame), SPDY_DATA);
    assert_int_equal(frame.stream, 5);
    assert_true(frame.fin);
    assert_memory_equal(frame.data, "ok", 2);
    assert_int_equal(spdy_next(&spdy, &frame), SPDY_IGNORED);
    assert_int_equal(spdy.out.len, 12); /* the PING goes back */
    assert_memory_equal(spdy.out.data, "\x80\x03\0\x06\0\0\0\x04\0\0\0\x02", 12);
    assert_int_equal(spdy_next(&spdy, &frame), SPDY_RESET);
    assert_int_equal(spdy_next(&spdy, &frame), SPDY_IGNORED);
    assert_int_equal(spdy_next(&spdy, &frame), SPDY_NONE);
    spdy_feed(&spdy, "\x80\x02\0\x01\0\0\0\0", 8); /* another version */
    assert_int_equal(spdy_next(&spdy, &frame), SPDY_ERROR);
    spdy_free(&spdy);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_negotiate),
    cmocka_unit_test(test_websocket_accept),
    cmocka_unit_test(test_websocket_fragments_and_control),
    cmocka_unit_test(test_websocket_errors),
    cmocka_unit_test(test_websocket_write),
    cmocka_unit_test(test_spdy_dictionary),
    cmocka_unit_test(test_spdy_open),
    cmocka_unit_test(test_spdy_events),
};

UNIT_MAIN(tests)
