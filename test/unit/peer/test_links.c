/* How nodes find, keep, lose and refuse each other. */
#include "unit.h"

#include "peer_fixture.h"

#include <netinet/in.h>
#include <sys/socket.h>

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

static void start_pair(struct peer_node *a, struct peer_node *b)
{
    peer_node_init(a, "a");
    peer_node_init(b, "b");
    start(a, NULL);
    start(b, &(struct peer_node_options){.seeds = {a->address}});
    assert_true(peer_node_wait_events(a, "+", PEER_PATIENCE_MS));
    assert_true(peer_node_wait_events(b, "+", PEER_PATIENCE_MS));
}

static void free_pair(struct peer_node *a, struct peer_node *b)
{
    peer_node_free(a);
    peer_node_free(b);
}

static bool error_says(struct peer_node *node, const uint8_t *key, const char *text)
{
    struct peer_info info = {0};
    return peer_node_info(node, key, &info) && strstr(info.last_error, text);
}

static void deny(struct peer_node *node, const struct peer_node *other)
{
    pthread_mutex_lock(&node->lock);
    node->has_denied = other != NULL;
    if (other)
        memcpy(node->denied, other->public_key, 32);
    pthread_mutex_unlock(&node->lock);
}

/* Both dial at once, many times: one connection stays, and nobody flaps. */
static void test_simultaneous_dial(void **state)
{
    (void)state;
    for (int round = 0; round < 10; round++) {
        struct peer_node a, b;
        peer_node_init(&a, "a");
        peer_node_init(&b, "b");
        peer_node_reserve(&a, &authority);
        peer_node_reserve(&b, &authority);
        start(&a, &(struct peer_node_options){.seeds = {b.address}, .advertise = true});
        start(&b, &(struct peer_node_options){.seeds = {a.address}, .advertise = true});
        const char *at_a = a.address, *at_b = b.address;
        peers_learn(a.peers, b.public_key, "b", &at_b, 1);
        peers_learn(b.peers, a.public_key, "a", &at_a, 1);
        assert_true(peer_node_wait_events(&a, "+", PEER_PATIENCE_MS));
        assert_true(peer_node_wait_events(&b, "+", PEER_PATIENCE_MS));
        usleep(100000);
        assert_string_equal(peer_node_events(&a), "+");
        assert_string_equal(peer_node_events(&b), "+");
        assert_true(peers_send(a.peers, b.public_key, PEER_CHANNEL_CONSENSUS, "x", 1));
        assert_true(peers_send(b.peers, a.public_key, PEER_CHANNEL_CONSENSUS, "x", 1));
        assert_true(PEER_WAIT(peer_node_frames(&a) == 1 && peer_node_frames(&b) == 1, PEER_PATIENCE_MS));
        free_pair(&a, &b);
    }
}

static void test_restart(void **state)
{
    (void)state;
    struct peer_node a, b;
    start_pair(&a, &b);
    peer_node_stop(&a);
    assert_true(peer_node_wait_events(&b, "+-", PEER_PATIENCE_MS));
    usleep(300000);
    int64_t since = clock_mono_us();
    start(&a, NULL);
    assert_true(peer_node_wait_events(&b, "+-+", PEER_PATIENCE_MS));
    assert_true(clock_mono_us() - since < 5000000);
    assert_true(peer_node_wait_events(&a, "++", PEER_PATIENCE_MS)); /* of two lives */
    free_pair(&a, &b);
}

/* The node came back before the other had noticed that it was gone: its new life takes the old one's place.
 */
static void test_unnoticed_restart(void **state)
{
    (void)state;
    struct peer_node a, b, again;
    peer_node_init(&a, "a");
    peer_node_init(&b, "b");
    peer_nodes_order(&a, &b);
    start(&a, NULL);
    start(&b, NULL);
    const char *at_a = a.address;
    peers_learn(b.peers, a.public_key, "a", &at_a, 1);
    assert_true(peer_node_wait_events(&a, "+", PEER_PATIENCE_MS));
    peer_node_init(&again, "b");
    memcpy(again.public_key, b.public_key, 32);
    memcpy(again.secret_key, b.secret_key, 64);
    deny(&b, &a); /* the old life does not fight for its place */
    start(&again, &(struct peer_node_options){.seeds = {a.address}});
    assert_true(peer_node_wait_events(&again, "+", PEER_PATIENCE_MS));
    assert_true(peer_node_wait_events(&a, "+-+", PEER_PATIENCE_MS));
    assert_true(peer_node_wait_events(&b, "+-", PEER_PATIENCE_MS));
    peer_node_free(&again);
    free_pair(&a, &b);
}

static void test_not_allowed_then_allowed(void **state)
{
    (void)state;
    struct peer_node a, b;
    peer_node_init(&a, "a");
    peer_node_init(&b, "b");
    a.deny_all = true;
    start(&a, NULL);
    start(&b, &(struct peer_node_options){.seeds = {a.address}});
    assert_true(PEER_WAIT(error_says(&b, NULL, "refused by the other side: the node is not registered"),
                          PEER_PATIENCE_MS));
    assert_string_equal(peer_node_events(&a), "");
    assert_string_equal(peer_node_events(&b), "");
    pthread_mutex_lock(&a.lock);
    a.deny_all = false;
    pthread_mutex_unlock(&a.lock);
    assert_true(peer_node_wait_events(&b, "+", PEER_PATIENCE_MS));
    free_pair(&a, &b);
}

static void test_removed(void **state)
{
    (void)state;
    struct peer_node a, b;
    start_pair(&a, &b);
    peers_recheck(a.peers);
    usleep(50000);
    assert_string_equal(peer_node_events(&a), "+");
    deny(&a, &b);
    peers_recheck(a.peers);
    assert_true(peer_node_wait_events(&a, "+-", PEER_PATIENCE_MS));
    assert_true(peer_node_wait_events(&b, "+-", PEER_PATIENCE_MS));
    assert_true(PEER_WAIT(error_says(&b, a.public_key, "not registered"), PEER_PATIENCE_MS));
    assert_false(peers_send(a.peers, b.public_key, PEER_CHANNEL_CONSENSUS, "x", 1));
    assert_false(peers_send(a.peers, NULL, PEER_CHANNEL_CONSENSUS, "x", 1));
    deny(&a, NULL);
    peers_recheck(a.peers);
    assert_true(peer_node_wait_events(&a, "+-+", PEER_PATIENCE_MS));
    free_pair(&a, &b);
}

static void test_blame_with_proof(void **state)
{
    (void)state;
    struct peer_node a, b;
    struct peer_info info = {0};
    start_pair(&a, &b);
    peers_blame(a.peers, b.public_key, true, "two proposals in one slot");
    assert_true(peer_node_wait_events(&a, "+-", PEER_PATIENCE_MS));
    assert_true(peer_node_wait_events(&b, "+-", PEER_PATIENCE_MS));
    assert_true(error_says(&b, a.public_key, "two proposals in one slot"));
    assert_true(peer_node_info(&a, b.public_key, &info));
    assert_int_equal(info.faults, 1);
    int64_t left = info.refused_until_us - clock_wall_us();
    assert_in_range(left, 590 * 1000000LL, 600 * 1000000LL);
    usleep(1500000); /* it tries again, and is not let in */
    assert_string_equal(peer_node_events(&a), "+-");
    assert_string_equal(peer_node_events(&b), "+-");
    free_pair(&a, &b);
}

static void test_blame_adds_up(void **state)
{
    (void)state;
    struct peer_node a, b;
    start_pair(&a, &b);
    for (int i = 0; i < 4; i++)
        peers_blame(a.peers, b.public_key, false, "a bad vote");
    usleep(100000);
    assert_string_equal(peer_node_events(&a), "+");
    peers_blame(a.peers, b.public_key, false, "a bad vote");
    peers_blame(a.peers, b.public_key, false, "a bad vote");
    assert_true(peer_node_wait_events(&a, "+-", PEER_PATIENCE_MS));
    free_pair(&a, &b);
}

static void test_other_authority(void **state)
{
    (void)state;
    struct peer_authority other;
    struct peer_node a, b;
    struct err err;
    peer_authority_make(&other);
    peer_node_init(&a, "a");
    peer_node_init(&b, "b");
    start(&a, NULL);
    assert_int_equal(peer_node_start(&b, &other, &(struct peer_node_options){.seeds = {a.address}}, &err), 0);
    assert_true(PEER_WAIT(error_says(&b, NULL, "certificate does not hold"), PEER_PATIENCE_MS));
    assert_string_equal(peer_node_events(&a), "");
    free_pair(&a, &b);
    peer_authority_free(&other);
}

static void test_other_chain(void **state)
{
    (void)state;
    struct peer_node a, b;
    peer_node_init(&a, "a");
    peer_node_init(&b, "b");
    start(&a, NULL);
    start(&b, &(struct peer_node_options){.seeds = {a.address}, .chain = 1});
    assert_true(PEER_WAIT(error_says(&b, NULL, "chain"), PEER_PATIENCE_MS));
    assert_string_equal(peer_node_events(&b), "");
    free_pair(&a, &b);
}

/* A seed that is the node itself is dropped. */
static void test_self(void **state)
{
    (void)state;
    struct peer_node a;
    peer_node_init(&a, "a");
    peer_node_reserve(&a, &authority);
    start(&a, &(struct peer_node_options){.seeds = {a.address}});
    assert_true(PEER_WAIT(peers_list(a.peers, NULL, 0) == 0, PEER_PATIENCE_MS));
    assert_string_equal(peer_node_events(&a), "");
    peer_node_free(&a);
}

/* c knows only b, b only a; addresses travel. */
static void test_addresses_travel(void **state)
{
    (void)state;
    struct peer_node a, b, c;
    peer_node_init(&a, "a");
    peer_node_init(&b, "b");
    peer_node_init(&c, "c");
    peer_node_reserve(&a, &authority);
    peer_node_reserve(&b, &authority);
    peer_node_reserve(&c, &authority);
    start(&a, &(struct peer_node_options){.advertise = true});
    start(&b, &(struct peer_node_options){.advertise = true, .seeds = {a.address}});
    start(&c, &(struct peer_node_options){.advertise = true, .seeds = {b.address}});
    assert_true(peer_node_wait_events(&a, "++", PEER_PATIENCE_MS));
    assert_true(peer_node_wait_events(&b, "++", PEER_PATIENCE_MS));
    assert_true(peer_node_wait_events(&c, "++", PEER_PATIENCE_MS));
    peer_node_stop(&b); /* a and c do not need it */
    usleep(200000);
    assert_true(peers_send(c.peers, a.public_key, PEER_CHANNEL_CONSENSUS, "x", 1));
    assert_true(PEER_WAIT(peer_node_frames(&a) == 1, PEER_PATIENCE_MS));
    peer_node_free(&a);
    peer_node_free(&b);
    peer_node_free(&c);
}

static void test_learned_address(void **state)
{
    (void)state;
    struct peer_node a, b;
    struct peer_info info = {0};
    const char *wrong = "127.0.0.1:1";
    peer_node_init(&a, "a");
    peer_node_init(&b, "b");
    start(&a, NULL);
    start(&b, NULL);
    peers_learn(b.peers, a.public_key, "alpha", &wrong, 1);
    assert_true(PEER_WAIT(error_says(&b, a.public_key, "nobody answers"), PEER_PATIENCE_MS));
    assert_true(peer_node_info(&b, a.public_key, &info));
    assert_string_equal(info.name, "alpha");
    assert_string_equal(info.address, wrong);
    const char *right = a.address;
    peers_learn(b.peers, a.public_key, "alpha", &right, 1);
    assert_true(peer_node_wait_events(&b, "+", PEER_PATIENCE_MS));
    free_pair(&a, &b);
}

static void test_name_unknown(void **state)
{
    (void)state;
    struct peer_node a;
    peer_node_init(&a, "a");
    start(&a, &(struct peer_node_options){.seeds = {"no-such-host.invalid:6444"}});
    assert_true(PEER_WAIT(error_says(&a, NULL, "name is not known"), 20000));
    peer_node_stop(&a);
    for (int i = 0; i < 5; i++) { /* nobody waits for a look-up */
        start(&a, &(struct peer_node_options){.seeds = {"no-such-host.invalid:6444"}});
        usleep((useconds_t)i * 1000);
        peer_node_stop(&a);
    }
    peer_node_free(&a);
}

/* A callback that takes long holds up this node only for so long, and does not cost it its peers. */
static void test_long_callback(void **state)
{
    (void)state;
    struct peer_node a, b;
    start_pair(&a, &b);
    a.hold_us = 600000; /* the other notices silence after 1.5 s */
    for (int i = 0; i < 4; i++)
        assert_true(peers_send(b.peers, NULL, PEER_CHANNEL_CONSENSUS, "x", 1));
    assert_true(PEER_WAIT(peer_node_frames(&a) == 4, PEER_PATIENCE_MS));
    assert_true(strchr(peer_node_events(&a), '-') == NULL);
    free_pair(&a, &b);
}

static void test_options_that_cannot_work(void **state)
{
    (void)state;
    struct peer_node a, b;
    struct err err;
    peer_node_init(&a, "a");
    peer_node_init(&b, "b");
    start(&a, NULL);
    b.port = a.port;
    assert_int_equal(peer_node_start(&b, &authority, NULL, &err), ERR_IO);
    assert_non_null(strstr(err.message, "in use"));
    b.port = 0;
    assert_int_equal(peer_node_start(&b, &authority, &(struct peer_node_options){.seeds = {"a b"}}, &err),
                     ERR_INVALID);
    struct peers_options options = {.ca_file = "/nonexistent/ca.crt",
                                    .cert_file = "/nonexistent/peer.crt",
                                    .key_file = "/nonexistent/peer.key",
                                    .name = "b",
                                    .bind_address = "127.0.0.1"};
    memcpy(options.secret_key, b.secret_key, 64);
    assert_int_equal(peers_start(&b.peers, &options, &err), ERR_INVALID);
    assert_non_null(strstr(err.message, "/nonexistent/ca.crt"));
    b.peers = NULL;
    free_pair(&a, &b);
}

/* ---- many nodes ---- */

#define MESH 5

static size_t connected_of(struct peer_node *node)
{
    struct peer_info rows[32];
    size_t connected = 0, count = peers_list(node->peers, rows, 32);
    for (size_t i = 0; i < count && i < 32; i++)
        connected += rows[i].connected;
    return connected;
}

static bool is_mesh(struct peer_node nodes[MESH])
{
    for (int i = 0; i < MESH; i++)
        if (connected_of(&nodes[i]) != MESH - 1)
            return false;
    return true;
}

/* Nodes come and go while all dial all; in the end everyone has everyone. */
static void test_mesh(void **state)
{
    (void)state;
    struct peer_node nodes[MESH];
    for (int i = 0; i < MESH; i++) {
        char name[16];
        snprintf(name, sizeof(name), "n%d", i);
        peer_node_init(&nodes[i], name);
        peer_node_reserve(&nodes[i], &authority);
    }
    struct peer_node_options options = {
        .advertise = true, .heartbeat_us = 500000, .seeds = {nodes[0].address}};
    for (int i = 0; i < MESH; i++)
        start(&nodes[i], &options);
    assert_true(PEER_WAIT(is_mesh(nodes), PEER_PATIENCE_MS));
    for (int round = 0; round < 6; round++) {
        struct peer_node *node = &nodes[1 + round % (MESH - 1)];
        peer_node_stop(node);
        if (round % 2)
            usleep(150000);
        start(node, &options);
    }
    assert_true(PEER_WAIT(is_mesh(nodes), PEER_PATIENCE_MS));
    for (int i = 0; i < MESH; i++)
        assert_true(peers_send(nodes[i].peers, NULL, PEER_CHANNEL_CONSENSUS, "x", 1));
    for (int i = 0; i < MESH; i++)
        assert_true(PEER_WAIT(peer_node_frames(&nodes[i]) == MESH - 1, PEER_PATIENCE_MS));
    for (int i = 0; i < MESH; i++)
        peer_node_free(&nodes[i]);
}

static void test_ipv6(void **state)
{
    (void)state;
    struct peer_node a, b;
    struct err err;
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    struct sockaddr_in6 loopback = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    bool there = fd >= 0 && bind(fd, (struct sockaddr *)&loopback, sizeof(loopback)) == 0;
    if (fd >= 0)
        close(fd);
    if (!there)
        skip();
    peer_node_init(&a, "a");
    peer_node_init(&b, "b");
    assert_int_equal(peer_node_start(&a, &authority, &(struct peer_node_options){.bind = "::1"}, &err), 0);
    char seed[32];
    snprintf(seed, sizeof(seed), "[::1]:%d", a.port);
    start(&b, &(struct peer_node_options){.seeds = {seed}});
    assert_true(peer_node_wait_events(&b, "+", PEER_PATIENCE_MS));
    free_pair(&a, &b);
}

/* All addresses of a name are tried: this one has ::1, too, where nobody listens. */
static void test_name(void **state)
{
    (void)state;
    struct peer_node a, b;
    char seed[32];
    peer_node_init(&a, "a");
    peer_node_init(&b, "b");
    start(&a, NULL);
    snprintf(seed, sizeof(seed), "localhost:%d", a.port);
    start(&b, &(struct peer_node_options){.seeds = {seed}});
    assert_true(peer_node_wait_events(&b, "+", PEER_PATIENCE_MS));
    free_pair(&a, &b);
}

static void test_metrics(void **state)
{
    (void)state;
    struct peer_node a, b;
    struct buf text = BUF_INIT;
    start_pair(&a, &b);
    assert_true(peers_send(b.peers, NULL, PEER_CHANNEL_CONSENSUS, "hello", 5));
    assert_true(PEER_WAIT(peer_node_frames(&a) == 1, PEER_PATIENCE_MS));
    peers_metrics(a.peers, &text);
    assert_non_null(strstr(buf_str(&text), "\nkatena_peer_up{peer=\"b\"} 1\n"));
    assert_non_null(strstr(buf_str(&text), "\nkatena_peer_received_bytes{peer=\"b\"} "));
    assert_non_null(strstr(buf_str(&text), "\nkatena_peer_refusals{reason=\"clock\"} 0\n"));
    buf_free(&text);
    free_pair(&a, &b);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_simultaneous_dial),
        cmocka_unit_test(test_restart),
        cmocka_unit_test(test_unnoticed_restart),
        cmocka_unit_test(test_not_allowed_then_allowed),
        cmocka_unit_test(test_removed),
        cmocka_unit_test(test_blame_with_proof),
        cmocka_unit_test(test_blame_adds_up),
        cmocka_unit_test(test_other_authority),
        cmocka_unit_test(test_other_chain),
        cmocka_unit_test(test_self),
        cmocka_unit_test(test_addresses_travel),
        cmocka_unit_test(test_learned_address),
        cmocka_unit_test(test_name_unknown),
        cmocka_unit_test(test_long_callback),
        cmocka_unit_test(test_options_that_cannot_work),
        cmocka_unit_test(test_mesh),
        cmocka_unit_test(test_ipv6),
        cmocka_unit_test(test_name),
        cmocka_unit_test(test_metrics),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
