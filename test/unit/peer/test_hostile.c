/* Peers that misbehave, by hand: each is told why and closed, and the others do not notice. */
#include "unit.h"

#include "peer_raw.h"

static struct peer_authority authority;
static struct peer_node node; /* the one that is tested */

static int setup_with(int64_t heartbeat_us)
{
    struct err err = {0};
    peer_node_init(&node, "node");
    int rc =
        peer_node_start(&node, &authority, &(struct peer_node_options){.heartbeat_us = heartbeat_us}, &err);
    if (rc)
        print_error("%s\n", err.message);
    return rc;
}

static int setup(void **state)
{
    (void)state;
    return setup_with(100000);
}

/* Where only something else than silence may end a connection. */
static int setup_patient(void **state)
{
    (void)state;
    return setup_with(5000000);
}

static int teardown(void **state)
{
    (void)state;
    peer_node_free(&node);
    return 0;
}

static int group_setup(void **state)
{
    (void)state;
    peer_authority_make(&authority);
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    peer_authority_free(&authority);
    return 0;
}

static void open_raw(struct peer_raw *raw)
{
    assert_true(peer_raw_open(raw, &authority, node.port, true));
}

/* A raw peer that is up, whichever of the two decides. */
static void open_up(struct peer_raw *raw)
{
    struct control control, ready = {.type = CONTROL_READY};
    ready.stamp = (struct control_stamp){.wall_us = clock_wall_us(), .mono = 2};
    open_raw(raw);
    assert_true(peer_raw_greet(raw, false));
    bool first = memcmp(raw->public_key, node.public_key, 32) > 0;
    assert_true(peer_raw_hear(raw, &control, NULL));
    assert_int_equal(control.type, CONTROL_AUTH);
    if (first)
        assert_true(peer_raw_say(raw, &ready));
    assert_true(peer_raw_hear(raw, &control, NULL));
    assert_int_equal(control.type, CONTROL_READY);
    if (!first)
        assert_true(peer_raw_say(raw, &ready));
    assert_true(PEER_WAIT(strrchr(peer_node_events(&node), '+') != NULL, PEER_PATIENCE_MS));
}

static void expect_refusal(struct peer_raw *raw, enum control_refusal refusal, const char *text)
{
    const char *reason;
    assert_int_equal(peer_raw_refusal(raw, &reason), refusal);
    if (!strstr(reason, text))
        fail_msg("\"%s\" does not say \"%s\"", reason, text);
    peer_raw_close(raw);
}

static void test_no_certificate(void **state)
{
    (void)state;
    struct peer_raw raw;
    assert_false(peer_raw_open(&raw, &authority, node.port, false));
    peer_raw_close(&raw);
    struct peer_authority other;
    peer_authority_make(&other);
    assert_false(peer_raw_open(&raw, &other, node.port, true));
    peer_raw_close(&raw);
    peer_authority_free(&other);
}

static void test_garbage(void **state)
{
    (void)state;
    struct peer_raw raw;
    open_raw(&raw);
    peer_raw_write(&raw, 2, "\xff\xff\xff\xff\xff\xff", 6);
    expect_refusal(&raw, REFUSAL_BLAMED, "channel");
    open_raw(&raw);
    peer_raw_send(&raw, 0, "\x01\x01", 2);
    expect_refusal(&raw, REFUSAL_BLAMED, "malformed");
    open_raw(&raw);
    peer_raw_send(&raw, 0, "\x63", 1);
    expect_refusal(&raw, REFUSAL_BLAMED, "unknown type");
    open_raw(&raw);
    peer_raw_write(&raw, 1, "hello", 5);
    expect_refusal(&raw, REFUSAL_BLAMED, "text");
    open_raw(&raw);
    peer_raw_send(&raw, 1, "block", 5);
    expect_refusal(&raw, REFUSAL_BLAMED, "channel");
    open_raw(&raw);
    peer_raw_write(&raw, 2, "\0\xff\xff\xff\x7f", 5);
    expect_refusal(&raw, REFUSAL_BLAMED, "too large");
    open_raw(&raw);
    peer_raw_say(&raw, &(struct control){.type = CONTROL_READY});
    expect_refusal(&raw, REFUSAL_BLAMED, "out of place");
    assert_string_equal(peer_node_events(&node), "");
}

static void test_hello_of_others(void **state)
{
    (void)state;
    struct peer_raw raw;
    open_raw(&raw);
    raw.hello.version = 2;
    peer_raw_greet(&raw, false);
    expect_refusal(&raw, REFUSAL_VERSION, "version 2");
    open_raw(&raw);
    raw.hello.chain_id[0] = 1;
    peer_raw_greet(&raw, false);
    expect_refusal(&raw, REFUSAL_CHAIN, "0100000000000000");
    open_raw(&raw);
    memcpy(raw.hello.self.key, node.public_key, 32);
    peer_raw_greet(&raw, false);
    expect_refusal(&raw, REFUSAL_SELF, "same node");
    open_raw(&raw);
    peer_raw_greet(&raw, true);
    expect_refusal(&raw, REFUSAL_PROOF, "does not prove");
    open_raw(&raw);
    raw.hello.stamp.wall_us += 11000000;
    peer_raw_greet(&raw, false);
    expect_refusal(&raw, REFUSAL_CLOCK, "clocks differ by 1");
    node.deny_all = true;
    open_raw(&raw);
    peer_raw_greet(&raw, false);
    expect_refusal(&raw, REFUSAL_FORBIDDEN, "not registered");
    assert_string_equal(peer_node_events(&node), "");
}

static void test_up_and_frames(void **state)
{
    (void)state;
    struct peer_raw raw;
    open_up(&raw);
    peer_raw_send(&raw, 1, "block", 5);
    assert_true(PEER_WAIT(peer_node_frames(&node) == 1, PEER_PATIENCE_MS));
    peer_raw_close(&raw);
    assert_true(peer_node_wait_events(&node, "+-", PEER_PATIENCE_MS));
}

static void put_frame(struct buf *out, uint8_t channel, const void *bytes, size_t len)
{
    uint8_t header[FRAME_HEADER_MAX];
    buf_append(out, header, frame_header(header, channel, len));
    buf_append(out, bytes, len);
}

/* One that is done with the handshake may send all that waits together with its last word. */
static void test_backlog_with_ready(void **state)
{
    (void)state;
    struct peer_raw raw;
    struct control control, ready = {.type = CONTROL_READY, .stamp = {.wall_us = clock_wall_us(), .mono = 2}};
    struct buf bytes = BUF_INIT, message = BUF_INIT;
    static const char block[15000];
    open_raw(&raw);
    while (memcmp(raw.public_key, node.public_key, 32) > 0)
        crypto_sign_keypair(raw.public_key, raw.secret_key);
    memcpy(raw.hello.self.key, raw.public_key, 32);
    assert_true(peer_raw_greet(&raw, false));
    do
        assert_true(peer_raw_hear(&raw, &control, NULL));
    while (control.type != CONTROL_READY);
    control_encode(&bytes, &ready);
    put_frame(&message, 0, bytes.data, bytes.len);
    for (int i = 0; i < 4; i++)
        put_frame(&message, 1, block, sizeof(block));
    assert_true(peer_raw_write(&raw, 2, message.data, message.len));
    assert_true(PEER_WAIT(peer_node_frames(&node) == 4, PEER_PATIENCE_MS));
    assert_string_equal(peer_node_events(&node), "+");
    buf_free(&bytes);
    buf_free(&message);
    peer_raw_close(&raw);
}

static void test_bad_channel_when_up(void **state)
{
    (void)state;
    struct peer_raw raw;
    struct peer_info info = {0};
    open_up(&raw);
    peer_raw_send(&raw, 3, "block", 5);
    assert_true(peer_node_wait_events(&node, "+-", PEER_PATIENCE_MS));
    assert_true(peer_node_info(&node, raw.public_key, &info));
    assert_int_equal(info.faults, 1);
    assert_int_equal(info.refused_until_us, 0);
    expect_refusal(&raw, REFUSAL_BLAMED, "channel");
}

static void test_control_flood(void **state)
{
    (void)state;
    struct peer_raw raw;
    struct control beat = {.type = CONTROL_ANSWER, .stamp = {.wall_us = clock_wall_us(), .mono = 3}};
    open_up(&raw);
    for (int i = 0; i < 1000; i++)
        if (!peer_raw_say(&raw, &beat))
            break;
    assert_true(peer_node_wait_events(&node, "+-", PEER_PATIENCE_MS));
    expect_refusal(&raw, REFUSAL_BLAMED, "flood");
}

static void test_silence(void **state)
{
    (void)state;
    struct peer_raw raw;
    struct peer_info info = {0};
    open_up(&raw);
    int64_t since = clock_mono_us();
    assert_true(peer_node_wait_events(&node, "+-", PEER_PATIENCE_MS));
    assert_in_range(clock_mono_us() - since, 200000, 5000000); /* three heartbeats of 100 ms */
    assert_true(peer_node_info(&node, raw.public_key, &info));
    assert_non_null(strstr(info.last_error, "silent"));
    peer_raw_close(&raw);
}

/* Strangers who only hold connections cannot keep others out for long. */
static void test_unproved_limit(void **state)
{
    (void)state;
    int fds[20];
    int64_t since = clock_mono_us();
    for (int i = 0; i < 20; i++)
        fds[i] = peer_raw_tcp(node.port);
    for (int i = 16; i < 20; i++)
        assert_true(peer_raw_tcp_closed(fds[i]));
    assert_true(clock_mono_us() - since < 4000000);
    assert_true(peer_raw_tcp_closed(fds[0])); /* the others when they do not say anything */
    assert_in_range(clock_mono_us() - since, 4000000, 12000000);
    for (int i = 0; i < 20; i++)
        close(fds[i]);
    struct peer_raw raw;
    assert_true(PEER_WAIT(peer_raw_open(&raw, &authority, node.port, true) || (peer_raw_close(&raw), false),
                          PEER_PATIENCE_MS));
    peer_raw_close(&raw);
}

/* One that takes frames and never reads them is closed when its queue is full; another gets all of its. */
static void test_slow_reader(void **state)
{
    (void)state;
    struct peer_raw raw;
    struct peer_node other;
    struct err err;
    size_t len = 1u << 20, sent = 0;
    char *bytes = mem_zalloc(len);
    open_up(&raw);
    peer_node_init(&other, "other");
    assert_int_equal(
        peer_node_start(&other, &authority,
                        &(struct peer_node_options){.seeds = {node.address}, .heartbeat_us = 5000000}, &err),
        0);
    assert_true(peer_node_wait_events(&other, "+", PEER_PATIENCE_MS));
    assert_true(peer_node_wait_events(&node, "++", PEER_PATIENCE_MS));
    while (sent < 200 && peers_send(node.peers, raw.public_key, PEER_CHANNEL_SYNC, bytes, len)) {
        sent++;
        peers_send(node.peers, other.public_key, PEER_CHANNEL_CONSENSUS, "x", 1);
    }
    assert_in_range(sent, 60, 100);
    assert_true(PEER_WAIT(strchr(peer_node_events(&node), '-') != NULL, PEER_PATIENCE_MS));
    struct peer_info info = {0};
    assert_true(peer_node_info(&node, raw.public_key, &info));
    assert_non_null(strstr(info.last_error, "queue is full"));
    assert_true(PEER_WAIT(peer_node_frames(&other) == sent, PEER_PATIENCE_MS));
    assert_string_equal(peer_node_events(&other), "+");
    free(bytes);
    peer_raw_close(&raw);
    peer_node_free(&other);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_no_certificate, setup, teardown),
        cmocka_unit_test_setup_teardown(test_garbage, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hello_of_others, setup, teardown),
        cmocka_unit_test_setup_teardown(test_up_and_frames, setup_patient, teardown),
        cmocka_unit_test_setup_teardown(test_backlog_with_ready, setup_patient, teardown),
        cmocka_unit_test_setup_teardown(test_bad_channel_when_up, setup_patient, teardown),
        cmocka_unit_test_setup_teardown(test_control_flood, setup_patient, teardown),
        cmocka_unit_test_setup_teardown(test_silence, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unproved_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_slow_reader, setup_patient, teardown),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
