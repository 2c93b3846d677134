/* Peer managers over real sockets: connecting, frames, the end. */
#include "unit.h"

#include "peer_fixture.h"

static struct peer_authority authority;

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

static void start(struct peer_node *node, const struct peer_node_options *options)
{
    struct err err = {0};
    if (peer_node_start(node, &authority, options, &err))
        fail_msg("%s", err.message);
}

/* a listens, b has a as its seed. */
static void start_pair(struct peer_node *a, struct peer_node *b)
{
    peer_node_init(a, "a");
    peer_node_init(b, "b");
    start(a, &(struct peer_node_options){.heartbeat_us = 1000000});
    start(b, &(struct peer_node_options){.seeds = {a->address}, .heartbeat_us = 1000000});
    assert_true(peer_node_wait_events(a, "+", PEER_PATIENCE_MS));
    assert_true(peer_node_wait_events(b, "+", PEER_PATIENCE_MS));
}

static void test_connect(void **state)
{
    (void)state;
    struct peer_node a, b;
    struct peer_info info = {0};
    start_pair(&a, &b);
    assert_memory_equal(a.last_key, b.public_key, 32);
    assert_memory_equal(b.last_key, a.public_key, 32);
    assert_true(peer_node_info(&a, b.public_key, &info));
    assert_true(info.connected);
    assert_string_equal(info.name, "b");
    assert_string_equal(info.last_error, "");
    assert_true(info.round_trip_us > 0 && info.round_trip_us < 1000000);
    assert_true(llabs(info.clock_offset_us) < 500000);
    peer_node_free(&b);
    assert_true(peer_node_wait_events(&a, "+-", PEER_PATIENCE_MS));
    assert_true(peer_node_info(&a, b.public_key, &info));
    assert_false(info.connected);
    assert_string_not_equal(info.last_error, "");
    peer_node_free(&a);
}

static void send_numbers(struct peer_node *from, struct peer_node *to, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        assert_true(peers_send(from->peers, to->public_key, PEER_CHANNEL_CONSENSUS, &i, sizeof(i)));
}

static void check_order(struct peer_node *node, const uint8_t *key, const void *bytes, size_t len)
{
    (void)key;
    uint32_t number;
    assert_int_equal(len, sizeof(number));
    memcpy(&number, bytes, sizeof(number));
    pthread_mutex_lock(&node->lock);
    assert_int_equal(number, node->frames);
    node->frames++;
    pthread_mutex_unlock(&node->lock);
}

static void test_frames_in_order(void **state)
{
    (void)state;
    struct peer_node a, b;
    start_pair(&a, &b);
    a.on_frame = b.on_frame = check_order;
    send_numbers(&a, &b, 20000);
    send_numbers(&b, &a, 20000);
    assert_true(PEER_WAIT(peer_node_frames(&a) == 20000 && peer_node_frames(&b) == 20000, PEER_PATIENCE_MS));
    peer_node_free(&a);
    peer_node_free(&b);
}

static void test_large_frames(void **state)
{
    (void)state;
    struct peer_node a, b;
    size_t len = PEER_FRAME_MAX;
    uint8_t *bytes = mem_alloc(len);
    start_pair(&a, &b);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(i * 2654435761u >> 13);
    assert_false(peers_send(a.peers, NULL, PEER_CHANNEL_SYNC, bytes, len + 1));
    assert_true(peers_send(a.peers, NULL, PEER_CHANNEL_SYNC, bytes, len));
    assert_true(peers_send(b.peers, a.public_key, PEER_CHANNEL_SYNC, bytes, 1 << 20));
    assert_true(peers_send(a.peers, NULL, PEER_CHANNEL_CONSENSUS, "", 0));
    assert_true(PEER_WAIT(peer_node_frames(&b) == 2, 20000));
    assert_true(PEER_WAIT(peer_node_frames(&a) == 1, 5000));
    assert_int_equal(b.bytes, len);
    if (b.last_len)
        assert_memory_equal(b.last, bytes, len);
    assert_memory_equal(a.last, bytes, 1 << 20);
    assert_string_equal(peer_node_events(&a), "+");
    free(bytes);
    peer_node_free(&a);
    peer_node_free(&b);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_connect),
        cmocka_unit_test(test_frames_in_order),
        cmocka_unit_test(test_large_frames),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
