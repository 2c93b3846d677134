/*
 * Logs and upgraded streams of pods, over HTTPS, with a kubelet that this test plays: first of the node that
 * the client talks to, then of another node, through the one that the client talks to.
 */
#include "unit.h"

#include "http_fixture.h"

#include <fcntl.h>
#include <pthread.h>

#define PODS "/api/v1/namespaces/default/pods"

static struct http_fixture f;
static struct http_fixture far; /* the node with the kubelet, when that is another */

/* ---- the kubelet ---- */

static struct {
    struct api_pod_log_options log;
    char container[64];
    char command[128];
    int log_fds[2]; /* what `logs` hands out, and its other end */
    int runtime_fd; /* the runtime's streaming server: listens */
    int runtime_port;
    bool tty;
} kubelet;

static int fake_logs(void *self, const json_t *pod, const struct api_pod_log_options *options, int *fd,
                     struct err *err)
{
    (void)self;
    assert_string_equal(json_str_or_empty(pod, "kind"), "Pod");
    if (options->previous)
        return err_set(err, ERR_BAD_REQUEST, "previous terminated container \"%s\" in pod \"%s\" not found",
                       options->container, json_str_or_empty(pod, "metadata", "name"));
    kubelet.log = *options;
    snprintf(kubelet.container, sizeof(kubelet.container), "%s", options->container);
    *fd = kubelet.log_fds[0];
    return 0;
}

static int fake_exec(void *self, const json_t *pod, const char *container, const char *const *command,
                     bool in, bool out, bool error, bool tty, char **url, struct err *err)
{
    (void)self, (void)pod, (void)in, (void)out, (void)error, (void)err;
    kubelet.tty = tty;
    snprintf(kubelet.container, sizeof(kubelet.container), "%s", container);
    *kubelet.command = '\0';
    for (size_t i = 0; command[i]; i++)
        snprintf(kubelet.command + strlen(kubelet.command), sizeof(kubelet.command) - strlen(kubelet.command),
                 "%s|", command[i]);
    *url = mem_printf("http://127.0.0.1:%d/exec/token", kubelet.runtime_port);
    return 0;
}

static const struct api_kubelet_ops ops = {.logs = fake_logs, .exec = fake_exec};

static void runtime_listen(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    kubelet.runtime_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(kubelet.runtime_fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(kubelet.runtime_fd, 4), 0);
    assert_int_equal(getsockname(kubelet.runtime_fd, (struct sockaddr *)&address, &len), 0);
    kubelet.runtime_port = ntohs(address.sin_port);
}

static void put_node(const char *name, int port)
{
    mem_auto char *body =
        mem_printf("{\"kind\":\"Node\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"%s\",\"annotations\":{"
                   "\"katena.io/api-endpoint\":\"127.0.0.1:%d\"}},"
                   "\"status\":{\"allocatable\":{\"pods\":\"110\",\"cpu\":\"8\",\"memory\":\"8Gi\"},"
                   "\"capacity\":{\"pods\":\"110\",\"cpu\":\"8\",\"memory\":\"8Gi\"}}}",
                   name, port);
    json_decref(http_json(&f, 201, "POST", "/api/v1/nodes", NULL, body));
}

static void put_pod(const struct http_fixture *at, const char *name, const char *spec)
{
    mem_auto char *body = mem_printf("{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"%s\"},"
                                     "\"spec\":%s}",
                                     name, spec);
    json_decref(http_json(at, 201, "POST", PODS, NULL, body));
}

static void put_pods(const struct http_fixture *at)
{
    static const char *const specs[][2] = {
        {"one", "{\"nodeName\":\"node\",\"containers\":[{\"name\":\"a\",\"image\":\"i\"}]}"},
        {"two",
         "{\"nodeName\":\"node\",\"containers\":[{\"name\":\"a\",\"image\":\"i\"},{\"name\":\"b\",\"image\":"
         "\"i\"}],\"initContainers\":[{\"name\":\"first\",\"image\":\"i\"}]}"},
        {"waiting", "{\"containers\":[{\"name\":\"a\",\"image\":\"i\"}]}"},
    };
    for (size_t i = 0; i < sizeof(specs) / sizeof(*specs); i++)
        put_pod(at, specs[i][0], specs[i][1]);
}

static int group_setup(void **state)
{
    (void)state;
    http_fixture_open(&f);
    api_server_set_kubelet(f.server, &ops, NULL);
    runtime_listen();
    put_node("node", f.port);
    put_pods(&f);
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    close(kubelet.runtime_fd);
    http_fixture_close(&f);
    return 0;
}

/* The client talks to the node "near", the pods are on "node". Each has the objects in its own chain. */
static int far_setup(void **state)
{
    (void)state;
    http_fixture_open(&far);
    api_server_set_kubelet(far.server, &ops, NULL);
    runtime_listen();
    http_fixture_open_as(&f, "near", far.pki);
    put_node("node", far.port);
    put_pods(&far);
    put_pods(&f);
    return 0;
}

static int far_teardown(void **state)
{
    group_teardown(state);
    http_fixture_close(&far);
    return 0;
}

static void log_with(const char *text)
{
    assert_int_equal(pipe2(kubelet.log_fds, O_CLOEXEC), 0);
    assert_int_equal(write(kubelet.log_fds[1], text, strlen(text)), (ssize_t)strlen(text));
}

/* ---- logs ---- */

static void test_a_log_is_relayed(void **state)
{
    (void)state;
    struct http_client c;
    log_with("line 1\nline 2\n");
    close(kubelet.log_fds[1]);
    http_connect(&c, &f, f.admin);
    http_ask(&c, "GET", PODS "/one/log?tailLines=7&limitBytes=99&timestamps=true", NULL, NULL);
    assert_int_equal(c.status, 200);
    assert_string_equal(c.body.data, "line 1\nline 2\n");
    assert_string_equal(kubelet.container, "a");
    assert_int_equal(kubelet.log.tail_lines, 7);
    assert_int_equal(kubelet.log.limit_bytes, 99);
    assert_true(kubelet.log.timestamps && !kubelet.log.follow);
    http_disconnect(&c);
}

static void test_a_followed_log_grows(void **state)
{
    (void)state;
    struct http_client c;
    log_with("old\n");
    http_connect(&c, &f, f.admin);
    assert_true(
        http_send_text(&c, "GET " PODS "/two/log?follow=true&container=b HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_true(http_receive_head(&c));
    assert_int_equal(c.status, 200);
    assert_true(http_chunk(&c, &c.body));
    for (int i = 0; i < 3; i++) {
        usleep(20000);
        assert_int_equal(write(kubelet.log_fds[1], "new\n", 4), 4);
        assert_true(http_chunk(&c, &c.body));
    }
    assert_string_equal(c.body.data, "old\nnew\nnew\nnew\n");
    assert_string_equal(kubelet.container, "b");
    close(kubelet.log_fds[1]);
    assert_false(http_chunk(&c, &c.body));
    http_disconnect(&c);
}

static void test_a_client_that_hangs_up_closes_the_log(void **state)
{
    (void)state;
    struct http_client c;
    log_with("old\n");
    http_connect(&c, &f, f.admin);
    assert_true(http_send_text(&c, "GET " PODS "/one/log?follow=true HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_true(http_receive_head(&c));
    assert_true(http_chunk(&c, &c.body));
    http_disconnect(&c);
    bool closed = false; /* the kubelet learns of it by a broken pipe */
    for (int i = 0; i < 500 && !closed; i++) {
        usleep(10000);
        closed = write(kubelet.log_fds[1], "x", 1) < 0;
    }
    assert_true(closed);
    close(kubelet.log_fds[1]);
}

static void test_log_errors(void **state)
{
    (void)state;
    http_expect_status(http_json(&f, 404, "GET", PODS "/none/log", NULL, NULL), "NotFound",
                       "pods \"none\" not found");
    http_expect_status(http_json(&f, 400, "GET", PODS "/two/log", NULL, NULL), "BadRequest",
                       "a container name must be specified for pod two, choose one of: [first a b]");
    http_expect_status(http_json(&f, 400, "GET", PODS "/one/log?container=x", NULL, NULL), "BadRequest",
                       "container x is not valid for pod one");
    http_expect_status(http_json(&f, 400, "GET", PODS "/one/log?previous=true", NULL, NULL), "BadRequest",
                       "previous terminated container \"a\" in pod \"one\" not found");
    http_expect_status(
        http_json(&f, 422, "GET", PODS "/one/log?tailLines=-1", NULL, NULL), "Invalid",
        "PodLogOptions \"one\" is invalid: tailLines: Invalid value: -1: must be greater than or "
        "equal to 0");
    http_expect_status(http_json(&f, 400, "GET", PODS "/one/log?limitBytes=x", NULL, NULL), "BadRequest",
                       NULL);
    http_expect_status(http_json(&f, 405, "POST", PODS "/one/log", NULL, "{}"), "MethodNotAllowed", NULL);
    struct http_client c;
    http_connect(&c, &f, f.stranger);
    http_ask(&c, "GET", PODS "/one/log", NULL, NULL);
    assert_int_equal(c.status, 403);
    assert_non_null(strstr(c.body.data,
                           "pods \\\"one\\\" is forbidden: User \\\"stranger\\\" cannot get resource "
                           "\\\"pods/log\\\""));
    http_disconnect(&c);
    http_connect(&c, &f, f.admin);
    http_ask(&c, "GET", PODS "/waiting/log", NULL, NULL); /* not on a node yet: nothing to show, no error */
    assert_int_equal(c.status, 200);
    assert_int_equal(c.body.len, 0);
    http_disconnect(&c);
}

/* ---- exec ---- */

static void test_exec_errors_come_before_the_upgrade(void **state)
{
    (void)state;
    static const char spdy[] = "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\n";
    http_expect_status(http_json(&f, 400, "POST", PODS "/one/exec?command=ls&stdout=true", NULL, ""),
                       "BadRequest", "Upgrade request required");
    http_expect_status(http_json(&f, 400, "POST", PODS "/one/exec?stdout=true", spdy, ""), "BadRequest",
                       NULL);
    http_expect_status(http_json(&f, 400, "POST", PODS "/one/exec?command=ls", spdy, ""), "BadRequest",
                       "you must specify at least 1 of stdin, stdout, stderr");
    http_expect_status(http_json(&f, 403, "POST", PODS "/one/exec?command=ls&stdout=true", spdy, ""),
                       "Forbidden", NULL);
    http_expect_status(http_json(&f, 400, "POST", PODS "/waiting/exec?command=ls&stdout=true", spdy, ""),
                       "BadRequest", "pod waiting does not have a host assigned");
}

/* Both sides of an exec, past their 101. Returns the runtime's socket. */
static int exec_open(struct http_client *c, const char *query)
{
    static const char answer[] =
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
        "X-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n";
    char request[1024] = "";
    mem_auto char *text =
        mem_printf("POST " PODS "/two/exec?%s HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n"
                   "Upgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v5.channel.k8s.io\r\n"
                   "X-Stream-Protocol-Version: v4.channel.k8s.io\r\nContent-Length: 0\r\n\r\n",
                   query);
    http_connect(c, &f, f.admin);
    assert_true(http_send_text(c, text));
    assert_true(http_receive_head(c));
    assert_int_equal(c->status, 101);
    int fd = accept(kubelet.runtime_fd, NULL, NULL);
    assert_true(fd >= 0);
    size_t len = 0;
    while (!strstr(request, "\r\n\r\n") && len < sizeof(request) - 1) {
        ssize_t n = read(fd, request + len, sizeof(request) - 1 - len);
        assert_true(n > 0);
        len += (size_t)n;
        request[len] = '\0';
    }
    assert_non_null(strstr(request, "/exec/token"));
    assert_int_equal(write(fd, answer, strlen(answer)), (ssize_t)strlen(answer));
    return fd;
}

static void test_exec_connects_client_and_runtime(void **state)
{
    (void)state;
    struct http_client c;
    int fd = exec_open(&c, "container=b&command=sh&command=-c&command=a%20b&stdin=true&stdout=true&tty=true");
    assert_non_null(strcasestr(c.headers.data, "Upgrade: SPDY/3.1"));
    assert_non_null(strcasestr(c.headers.data, "X-Stream-Protocol-Version: v4.channel.k8s.io"));
    assert_string_equal(kubelet.container, "b");
    assert_string_equal(kubelet.command, "sh|-c|a b|");
    assert_true(kubelet.tty);
    assert_int_equal(write(fd, "hello", 5), 5);
    while (c.in.len < 5)
        assert_true(http_more(&c));
    assert_memory_equal(c.in.data, "hello", 5);
    assert_true(http_send_text(&c, "there"));
    char back[5];
    assert_int_equal(recv(fd, back, sizeof(back), MSG_WAITALL), 5);
    assert_memory_equal(back, "there", 5);
    http_disconnect(&c);
    assert_int_equal(recv(fd, back, sizeof(back), 0), 0); /* the runtime's side ends with the client's */
    close(fd);
}

/* Bytes that differ at every place where a block could be lost, doubled or moved. */
static void pattern_fill(unsigned char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        bytes[i] = (unsigned char)(i * 2654435761u >> 13);
}

#define BULK (3u << 20)

struct bulk {
    int fd;
    unsigned char *bytes;
};

static void *write_bulk(void *arg)
{
    struct bulk *bulk = arg;
    size_t sent = 0;
    while (sent < BULK) {
        ssize_t n = write(bulk->fd, bulk->bytes + sent, BULK - sent);
        if (n <= 0)
            break;
        sent += (size_t)n;
    }
    shutdown(bulk->fd, SHUT_WR); /* and nothing more: all of it must arrive all the same */
    return NULL;
}

static void test_nothing_is_lost_at_the_end_of_a_stream(void **state)
{
    (void)state;
    struct http_client c;
    pthread_t thread;
    struct bulk bulk = {.fd = exec_open(&c, "container=b&command=cat&stdout=true"), .bytes = mem_alloc(BULK)};
    pattern_fill(bulk.bytes, BULK);
    assert_int_equal(pthread_create(&thread, NULL, write_bulk, &bulk), 0);
    while (http_more(&c))
        ;
    pthread_join(thread, NULL);
    assert_int_equal(c.in.len, BULK);
    assert_memory_equal(c.in.data, bulk.bytes, BULK);
    close(bulk.fd);
    http_disconnect(&c);
    free(bulk.bytes);
}

struct reader {
    int fd;
    struct buf bytes;
};

static void *read_all(void *arg)
{
    struct reader *reader = arg;
    char bytes[65536];
    ssize_t n;
    while (reader->bytes.len < BULK && (n = read(reader->fd, bytes, sizeof(bytes))) > 0)
        buf_append(&reader->bytes, bytes, (size_t)n);
    return NULL;
}

static void test_a_large_input_arrives_whole(void **state)
{
    (void)state;
    struct http_client c;
    pthread_t thread;
    unsigned char *bytes = mem_alloc(BULK);
    struct reader reader = {.fd = exec_open(&c, "container=b&command=cat&stdin=true&stdout=true")};
    pattern_fill(bytes, BULK);
    assert_int_equal(pthread_create(&thread, NULL, read_all, &reader), 0);
    assert_true(http_send(&c, bytes, BULK));
    pthread_join(thread, NULL);
    assert_int_equal(reader.bytes.len, BULK);
    assert_memory_equal(reader.bytes.data, bytes, BULK);
    close(reader.fd);
    http_disconnect(&c);
    buf_free(&reader.bytes);
    free(bytes);
}

/* ---- what only another node can do wrong ---- */

static void expect_gateway_error(int status, const char *path, const char *wanted)
{
    json_auto_t *answer = http_json(&f, status, "GET", path, NULL, NULL);
    assert_string_equal(json_str_or_empty(answer, "kind"), "Status");
    assert_string_equal(json_str_or_empty(answer, "reason"), ""); /* kubectl prints the message alone */
    assert_int_equal(json_int_or(0, answer, "code"), status);
    if (!strstr(json_str_or_empty(answer, "message"), wanted))
        fail_msg("%s", json_str_or_empty(answer, "message"));
}

static void test_a_node_that_is_away_is_named(void **state)
{
    (void)state;
    int port = http_free_port();
    mem_auto char *wanted = mem_printf("Get \"https://127.0.0.1:%d" PODS "/away/log?follow=true\": dial tcp "
                                       "127.0.0.1:%d: connect: connection refused",
                                       port, port);
    put_node("away", port);
    put_pod(&f, "away", "{\"nodeName\":\"away\",\"containers\":[{\"name\":\"a\",\"image\":\"i\"}]}");
    expect_gateway_error(502, PODS "/away/log?follow=true", wanted);
    static const char spdy[] = "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
                               "X-Stream-Protocol-Version: v4.channel.k8s.io\r\n";
    json_auto_t *answer = http_json(&f, 502, "POST", PODS "/away/exec?command=ls&stdout=true", spdy, "");
    assert_non_null(strstr(json_str_or_empty(answer, "message"), "error dialing backend: dial tcp"));
}

/* Whoever took the address of a node is not that node. */
static void test_a_node_shows_who_it_is(void **state)
{
    (void)state;
    put_node("liar", far.port);
    put_pod(&f, "liar", "{\"nodeName\":\"liar\",\"containers\":[{\"name\":\"a\",\"image\":\"i\"}]}");
    expect_gateway_error(502, PODS "/liar/log", "has no certificate of node liar");
}

/* Two nodes that take each other for the pod's do not pass a request to and fro. */
static void test_a_request_is_passed_on_once(void **state)
{
    (void)state;
    put_pod(&f, "lost", "{\"nodeName\":\"node\",\"containers\":[{\"name\":\"a\",\"image\":\"i\"}]}");
    put_pod(&far, "lost", "{\"nodeName\":\"near\",\"containers\":[{\"name\":\"a\",\"image\":\"i\"}]}");
    http_expect_status(http_json(&f, 503, "GET", PODS "/lost/log", NULL, NULL), "ServiceUnavailable",
                       "node near takes this node for that of pod lost, which is node near");
}

/* The other node authorizes the user who asked, not the node that passed it on. */
static void test_the_user_comes_along(void **state)
{
    (void)state;
    struct http_client c;
    json_decref(
        http_json(&f, 201, "POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", NULL,
                  "{\"metadata\":{\"name\":\"s\"},\"roleRef\":{\"apiGroup\":"
                  "\"rbac.authorization.k8s.io\",\"kind\":\"ClusterRole\",\"name\":\"view\"},\"subjects\":[{"
                  "\"apiGroup\":\"rbac.authorization.k8s.io\",\"kind\":\"User\",\"name\":\"stranger\"}]}"));
    http_connect(&c, &f, f.stranger);
    http_ask(&c, "GET", PODS "/one/log", NULL, NULL);
    assert_int_equal(c.status, 403); /* of the other node, which has not heard of the binding */
    assert_non_null(strstr(c.body.data, "User \\\"stranger\\\" cannot get resource \\\"pods/log\\\""));
    http_disconnect(&c);
}

static void test_a_stop_ends_open_streams(void **state)
{
    (void)state;
    struct http_fixture other;
    struct http_client log;
    struct http_client watch;
    http_fixture_open(&other);
    http_connect(&watch, &other, other.admin);
    assert_true(http_send_text(&watch, "GET " PODS "?watch=true HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_true(http_receive_head(&watch));
    http_connect(&log, &other, other.admin); /* an idle connection */
    http_fixture_close(&other);
    assert_false(http_chunk(&watch, &watch.body));
    assert_false(watch.ended && watch.body.len); /* the last chunk came */
    http_disconnect(&watch);
    http_disconnect(&log);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest elsewhere[] = {
        cmocka_unit_test(test_a_log_is_relayed),
        cmocka_unit_test(test_a_followed_log_grows),
        cmocka_unit_test(test_a_client_that_hangs_up_closes_the_log),
        cmocka_unit_test(test_log_errors),
        cmocka_unit_test(test_exec_errors_come_before_the_upgrade),
        cmocka_unit_test(test_exec_connects_client_and_runtime),
        cmocka_unit_test(test_nothing_is_lost_at_the_end_of_a_stream),
        cmocka_unit_test(test_a_large_input_arrives_whole),
        cmocka_unit_test(test_a_node_that_is_away_is_named),
        cmocka_unit_test(test_a_node_shows_who_it_is),
        cmocka_unit_test(test_a_request_is_passed_on_once),
        cmocka_unit_test(test_the_user_comes_along),
    };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_log_is_relayed),
        cmocka_unit_test(test_a_followed_log_grows),
        cmocka_unit_test(test_a_client_that_hangs_up_closes_the_log),
        cmocka_unit_test(test_log_errors),
        cmocka_unit_test(test_exec_errors_come_before_the_upgrade),
        cmocka_unit_test(test_exec_connects_client_and_runtime),
        cmocka_unit_test(test_nothing_is_lost_at_the_end_of_a_stream),
        cmocka_unit_test(test_a_large_input_arrives_whole),
        cmocka_unit_test(test_a_stop_ends_open_streams),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    int failed = cmocka_run_group_tests(tests, group_setup, group_teardown);
    return failed + cmocka_run_group_tests(elsewhere, far_setup, far_teardown);
}
