/* Frames, control frames, clocks, patience, addresses, queues: all that is pure. */
#include "unit.h"

#include "base/mem.h"
#include "peer/address.h"
#include "peer/control.h"
#include "peer/estimate.h"
#include "peer/frame.h"
#include "peer/outgoing.h"
#include "peer/score.h"

/* ---- frames ---- */

static void put_frame(struct buf *out, uint8_t channel, const void *payload, size_t len)
{
    uint8_t header[FRAME_HEADER_MAX];
    buf_append(out, header, frame_header(header, channel, len));
    buf_append(out, payload, len);
}

static void test_frame_cut_anywhere(void **state)
{
    (void)state;
    struct buf stream = BUF_INIT;
    char big[300];
    memset(big, 'x', sizeof(big));
    put_frame(&stream, PEER_CHANNEL_CONTROL, "one", 3);
    put_frame(&stream, PEER_CHANNEL_CONSENSUS, "", 0);
    put_frame(&stream, PEER_CHANNEL_SYNC, big, sizeof(big));
    for (size_t step = 1; step <= stream.len; step++) {
        struct frame_reader reader = {.known = true};
        struct frame frame;
        unsigned count = 0;
        for (size_t at = 0; at < stream.len; at += step) {
            const uint8_t *bytes = (const uint8_t *)stream.data + at;
            size_t len = stream.len - at < step ? stream.len - at : step;
            while (frame_reader_next(&reader, &bytes, &len, &frame)) {
                static const size_t lengths[] = {3, 0, 300};
                assert_int_equal(frame.channel, count);
                assert_int_equal(frame.len, lengths[count]);
                assert_memory_equal(frame.bytes, count == 0 ? "one" : big, frame.len);
                count++;
            }
            assert_int_equal(len, 0);
        }
        assert_int_equal(count, 3);
        assert_int_equal(reader.fault, FRAME_FINE);
        frame_reader_free(&reader);
    }
    buf_free(&stream);
}

static enum frame_fault fault_of(bool known, const void *data, size_t size)
{
    struct frame_reader reader = {.known = known};
    struct frame frame;
    const uint8_t *bytes = data;
    while (frame_reader_next(&reader, &bytes, &size, &frame))
        ;
    enum frame_fault fault = reader.fault;
    assert_false(fault && frame_reader_next(&reader, &bytes, &size, &frame)); /* it stays */
    frame_reader_free(&reader);
    return fault;
}

static enum frame_fault fault_of_length(bool known, uint8_t channel, size_t len)
{
    uint8_t header[FRAME_HEADER_MAX];
    return fault_of(known, header, frame_header(header, channel, len));
}

static void test_frame_faults(void **state)
{
    (void)state;
    assert_int_equal(fault_of(true, "\x03\x00", 2), FRAME_BAD_CHANNEL);
    assert_int_equal(fault_of(false, "\x01\x00", 2), FRAME_BAD_CHANNEL);
    assert_int_equal(fault_of(true, "\x01\x80\x00", 3), FRAME_BAD_LENGTH);
    assert_int_equal(fault_of(true, "\x01\xff\xff\xff\xff\x01", 6), FRAME_TOO_LARGE);
    assert_int_equal(fault_of_length(true, 1, PEER_FRAME_MAX), FRAME_FINE);
    assert_int_equal(fault_of_length(true, 1, PEER_FRAME_MAX + 1), FRAME_TOO_LARGE);
    assert_int_equal(fault_of_length(true, 0, FRAME_CONTROL_MAX), FRAME_FINE);
    assert_int_equal(fault_of_length(true, 0, FRAME_CONTROL_MAX + 1), FRAME_TOO_LARGE);
    assert_int_equal(fault_of_length(false, 0, FRAME_UNKNOWN_PEER_MAX), FRAME_FINE);
    assert_int_equal(fault_of_length(false, 0, FRAME_UNKNOWN_PEER_MAX + 1), FRAME_TOO_LARGE);
}

static void test_frame_memory_follows_bytes(void **state)
{
    (void)state;
    struct frame_reader reader = {.known = true};
    struct frame frame;
    uint8_t bytes[FRAME_HEADER_MAX + 100] = {0};
    size_t len = frame_header(bytes, 1, PEER_FRAME_MAX) + 100;
    const uint8_t *at = bytes;
    assert_false(frame_reader_next(&reader, &at, &len, &frame));
    assert_true(reader.part.cap < 4096);
    frame_reader_free(&reader);
}

/* ---- control frames ---- */

static void fill_node(struct control_node *node, const char *name)
{
    memset(node->key, 7, sizeof(node->key));
    snprintf(node->name, sizeof(node->name), "%s", name);
    snprintf(node->addresses[0], PEER_ADDRESS_MAX, "10.0.0.1:6444");
    snprintf(node->addresses[1], PEER_ADDRESS_MAX, "[fd00::1]:6444");
    node->address_count = 2;
}

static void check_round_trip(const struct control *control)
{
    struct buf bytes = BUF_INIT, again = BUF_INIT;
    struct control decoded;
    struct err err;
    control_encode(&bytes, control);
    assert_int_equal(control_decode(&decoded, bytes.data, bytes.len, &err), 0);
    control_encode(&again, &decoded);
    assert_int_equal(bytes.len, again.len);
    assert_memory_equal(bytes.data, again.data, bytes.len);
    control_free(&decoded);
    for (size_t len = 0; len < bytes.len; len++) /* no beginning of it is one, too */
        assert_int_equal(control_decode(&decoded, bytes.data, len, &err), ERR_INVALID);
    buf_putc(&bytes, '\0');
    assert_int_equal(control_decode(&decoded, bytes.data, bytes.len, &err), ERR_INVALID);
    buf_free(&bytes);
    buf_free(&again);
}

static void test_control_round_trip(void **state)
{
    (void)state;
    struct control_stamp stamp = {.wall_us = 1700000000000000, .mono = 5, .echo = 6, .hold = 7};
    struct control hello = {.type = CONTROL_HELLO, .version = CONTROL_VERSION, .instance = 9, .stamp = stamp};
    fill_node(&hello.self, "alpha");
    check_round_trip(&hello);
    check_round_trip(&(struct control){.type = CONTROL_AUTH, .live = true, .stamp = stamp});
    check_round_trip(&(struct control){.type = CONTROL_READY, .stamp = stamp});
    check_round_trip(&(struct control){.type = CONTROL_HEARTBEAT, .stamp = stamp});
    check_round_trip(&(struct control){.type = CONTROL_ANSWER, .stamp = stamp});
    check_round_trip(&(struct control){.type = CONTROL_REFUSE, .refusal = REFUSAL_CLOCK, .reason = "late"});
    struct control_node nodes[2] = {0};
    fill_node(&nodes[0], "alpha");
    fill_node(&nodes[1], "beta");
    check_round_trip(&(struct control){.type = CONTROL_ADDRESSES, .nodes = nodes, .node_count = 2});
}

static void check_refused(const struct control *control)
{
    struct buf bytes = BUF_INIT;
    struct control decoded;
    struct err err;
    control_encode(&bytes, control);
    assert_int_equal(control_decode(&decoded, bytes.data, bytes.len, &err), ERR_INVALID);
    buf_free(&bytes);
}

static void test_control_refuses(void **state)
{
    (void)state;
    struct control decoded;
    struct err err;
    check_refused(&(struct control){.type = CONTROL_REFUSE, .refusal = REFUSAL_COUNT, .reason = "x"});
    check_refused(&(struct control){.type = CONTROL_REFUSE, .refusal = REFUSAL_CLOCK, .reason = "\x1b[2J"});
    check_refused(&(struct control){.type = CONTROL_READY, .stamp.wall_us = -1});
    check_refused(&(struct control){.type = CONTROL_READY, .stamp.wall_us = INT64_MAX});
    assert_int_equal(control_decode(&decoded, "", 0, &err), ERR_INVALID);
    assert_int_equal(control_decode(&decoded, "\x63", 1, &err), ERR_INVALID);
    assert_int_equal(control_decode(&decoded, "\x07\xff", 2, &err), ERR_INVALID);
    /* Of another version only the number is read. */
    assert_int_equal(control_decode(&decoded, "\x01\x02\x00 anything", 12, &err), 0);
    assert_int_equal(decoded.version, 2);
}

/* The largest ADDRESSES that a node sends is one that others take. */
static void test_control_addresses_fit(void **state)
{
    (void)state;
    struct control addresses = {.type = CONTROL_ADDRESSES, .node_count = CONTROL_NODES_MAX};
    struct buf bytes = BUF_INIT;
    addresses.nodes = mem_calloc(CONTROL_NODES_MAX, sizeof(*addresses.nodes));
    for (size_t i = 0; i < CONTROL_NODES_MAX; i++) {
        struct control_node *node = &addresses.nodes[i];
        memset(node->name, 'n', sizeof(node->name) - 1);
        node->address_count = CONTROL_ADDRESSES_MAX;
        for (size_t j = 0; j < CONTROL_ADDRESSES_MAX; j++)
            memset(node->addresses[j], 'a', PEER_ADDRESS_MAX - 1);
    }
    control_encode(&bytes, &addresses);
    assert_true(bytes.len <= FRAME_CONTROL_MAX);
    buf_free(&bytes);
    control_free(&addresses);
}

/* ---- clocks ---- */

/* Two clocks, the second ahead by offset; a message takes there_us or back_us. */
static void exchange(struct estimate *a, struct estimate *b, int64_t *now, int64_t offset, int64_t there_us,
                     int64_t back_us)
{
    const int64_t wall = 1700000000000000, mono = 4294967000; /* about to leave 32 bits */
    struct control_stamp stamp = estimate_stamp(a, wall + *now, mono + *now);
    *now += there_us;
    estimate_add(b, &stamp, wall + offset + *now, *now);
    *now += 1000; /* b thinks */
    stamp = estimate_stamp(b, wall + offset + *now, *now);
    *now += back_us;
    estimate_add(a, &stamp, wall + *now, mono + *now);
}

static void test_estimate_takes_the_fastest(void **state)
{
    (void)state;
    struct estimate a = {0}, b = {0};
    int64_t now = 1, offset, round_trip;
    assert_false(estimate_get(&a, &offset, &round_trip));
    exchange(&a, &b, &now, 250000, 40000, 2000);
    assert_true(estimate_get(&a, &offset, &round_trip));
    assert_int_equal(round_trip, 42000);
    assert_int_equal(offset, 250000 + 19000); /* half of how uneven the ways were */
    exchange(&a, &b, &now, 250000, 300, 300);
    exchange(&a, &b, &now, 250000, 9000, 20000);
    assert_true(estimate_get(&a, &offset, &round_trip));
    assert_int_equal(round_trip, 600);
    assert_int_equal(offset, 250000);
    assert_true(estimate_get(&b, &offset, &round_trip));
    assert_true(offset < -250000 + 20000 && offset > -250000 - 20000);
    for (int i = 0; i < ESTIMATE_SAMPLES; i++) /* the clock was set: it is forgotten */
        exchange(&a, &b, &now, -100000, 500, 500);
    assert_true(estimate_get(&a, &offset, &round_trip));
    assert_int_equal(offset, -100000);
}

static void test_estimate_ignores_nonsense(void **state)
{
    (void)state;
    struct estimate a = {0};
    int64_t offset, round_trip;
    struct control_stamp stamp = {.wall_us = 1, .mono = 1, .echo = 4000000000u, .hold = 0};
    estimate_add(&a, &stamp, 1, 5000000);
    stamp = (struct control_stamp){.wall_us = 1, .mono = 1, .echo = 1, .hold = 4000000000u};
    estimate_add(&a, &stamp, 1, 500000000);
    assert_false(estimate_get(&a, &offset, &round_trip));
}

/* ---- patience ---- */

static void test_score(void **state)
{
    (void)state;
    struct score score = {0};
    int64_t now = 1000000;
    for (int i = 0; i < 4; i++)
        assert_false(score_fault(&score, SCORE_FAULT, now));
    assert_false(score_refused(&score, now));
    now += 60 * 1000000LL; /* ten points are forgiven */
    assert_true(score_now(&score, now) > 69 && score_now(&score, now) < 71);
    assert_false(score_fault(&score, SCORE_FAULT, now));
    assert_true(score_fault(&score, SCORE_FAULT, now));
    assert_true(score_refused(&score, now));
    assert_true(score_refused(&score, now + SCORE_REFUSE_US - 1));
    assert_false(score_refused(&score, now + SCORE_REFUSE_US));
    assert_int_equal(score.faults, 6);
}

static void test_backoff(void **state)
{
    (void)state;
    struct backoff backoff = {0};
    int64_t now = 1;
    assert_int_equal(backoff_next(&backoff, now, UINT32_MAX), 100000);
    assert_int_equal(backoff_next(&backoff, now, 0), 100000);
    assert_int_equal(backoff_next(&backoff, now, UINT32_MAX), 400000);
    assert_int_equal(backoff_next(&backoff, now, UINT32_MAX), 800000);
    for (int i = 0; i < 100; i++)
        assert_in_range(backoff_next(&backoff, now, (uint32_t)i * 40000000u), 500000, 1000000);
    now += BACKOFF_EARLY_US;
    assert_int_equal(backoff_next(&backoff, now, UINT32_MAX), 5000000);
    backoff_reset(&backoff);
    assert_int_equal(backoff_next(&backoff, now, UINT32_MAX), 100000);
}

static void test_bucket(void **state)
{
    (void)state;
    struct bucket bucket = {0};
    int64_t now = 1;
    for (int i = 0; i < 5; i++)
        assert_true(bucket_take(&bucket, 2, 5, now));
    assert_false(bucket_take(&bucket, 2, 5, now));
    now += 500000;
    assert_true(bucket_take(&bucket, 2, 5, now));
    assert_false(bucket_take(&bucket, 2, 5, now));
    now += 3600 * 1000000LL;
    for (int i = 0; i < 5; i++)
        assert_true(bucket_take(&bucket, 2, 5, now));
    assert_false(bucket_take(&bucket, 2, 5, now));
}

/* ---- addresses ---- */

static void check_address(const char *text, const char *expected)
{
    struct address address;
    char formatted[PEER_ADDRESS_MAX];
    if (!expected) {
        assert_false(address_parse(&address, text));
        return;
    }
    assert_true(address_parse(&address, text));
    address_format(formatted, &address);
    assert_string_equal(formatted, expected);
}

static void test_address(void **state)
{
    (void)state;
    check_address("node-1.Example.org:7000", "node-1.example.org:7000");
    check_address("10.0.0.1", "10.0.0.1:6444");
    check_address("[FD00::1]:1", "[fd00::1]:1");
    check_address("fd00::1", "[fd00::1]:6444");
    check_address("[::1]", "[::1]:6444");
    static const char *const wrong[] = {"",      ":1",    "a:",       "a:0",       "a:65536",
                                        "a:1x",  "a:-1",  "a b:1",    "[::1]x:80", "[::1:6444",
                                        "[]:80", "a/b:1", "a:123456", "ä:1"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        check_address(wrong[i], NULL);
    char longest[400];
    memset(longest, 'a', sizeof(longest));
    longest[254] = '\0';
    check_address(longest, NULL);
}

/* ---- queues ---- */

static void push(struct outgoing *out, uint8_t channel, const void *bytes, size_t len)
{
    struct parcel *parcel = parcel_make(channel, bytes, len);
    assert_true(outgoing_push(out, parcel));
    parcel_release(parcel);
}

static void test_outgoing_order(void **state)
{
    (void)state;
    struct outgoing out = {0};
    uint8_t bytes[64];
    uint64_t frames = 0;
    push(&out, PEER_CHANNEL_SYNC, "snapshot", 8);
    assert_int_equal(outgoing_fill(&out, bytes, 4, &frames), 4); /* has begun */
    push(&out, PEER_CHANNEL_SYNC, "next", 4);
    push(&out, PEER_CHANNEL_CONSENSUS, "A", 1);
    push(&out, PEER_CHANNEL_CONSENSUS, "B", 1);
    push(&out, PEER_CHANNEL_CONTROL, "!", 1);
    size_t n = outgoing_fill(&out, bytes, sizeof(bytes), &frames);
    assert_int_equal(n, 6 + 3 + 3 + 3 + 6);
    assert_memory_equal(bytes, "apshot\0\1!\1\1A\1\1B\2\4next", n);
    assert_int_equal(frames, 5);
    assert_true(outgoing_empty(&out));
    outgoing_free(&out);
}

static void test_outgoing_limit(void **state)
{
    (void)state;
    struct outgoing out = {0};
    uint8_t bytes[64];
    uint64_t frames = 0;
    char *big = mem_zalloc(PEER_FRAME_MAX);
    struct parcel *parcel = parcel_make(PEER_CHANNEL_SYNC, big, PEER_FRAME_MAX);
    assert_true(outgoing_push(&out, parcel));
    assert_false(outgoing_push(&out, parcel));
    push(&out, PEER_CHANNEL_CONTROL, "!", 1); /* has to get through */
    assert_int_equal(outgoing_fill(&out, bytes, 3, &frames), 3);
    assert_int_equal(outgoing_fill(&out, bytes, sizeof(bytes), &frames), sizeof(bytes));
    outgoing_drop(&out);
    assert_int_equal(out.waiting, parcel->len - sizeof(bytes)); /* what has begun is finished */
    outgoing_free(&out);
    assert_int_equal(parcel->references, 1);
    parcel_release(parcel);
    free(big);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_frame_cut_anywhere),
    cmocka_unit_test(test_frame_faults),
    cmocka_unit_test(test_frame_memory_follows_bytes),
    cmocka_unit_test(test_control_round_trip),
    cmocka_unit_test(test_control_refuses),
    cmocka_unit_test(test_control_addresses_fit),
    cmocka_unit_test(test_estimate_takes_the_fastest),
    cmocka_unit_test(test_estimate_ignores_nonsense),
    cmocka_unit_test(test_score),
    cmocka_unit_test(test_backoff),
    cmocka_unit_test(test_bucket),
    cmocka_unit_test(test_address),
    cmocka_unit_test(test_outgoing_order),
    cmocka_unit_test(test_outgoing_limit),
};

UNIT_MAIN(tests)
