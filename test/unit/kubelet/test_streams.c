/* exec and port-forward through stream_serve, with a real container: WebSocket clients and SPDY ones. */
#include "unit.h"

#include "containerd_fixture.h"
#include "stream/spdy.h"
#include "stream/stream.h"

#include <pthread.h>
#include <sys/socket.h>
#include <sys/time.h>

static struct containerd_fixture fixture;
static char *sandbox_id, *container_id;
static Cri__PodSandboxConfig sandbox = CRI__POD_SANDBOX_CONFIG__INIT;

struct session {
    struct stream_request request;
    pthread_t thread;
    int fd; /* the client's */
    char *url;
    struct buf in; /* raw bytes received */
    /* what was received on each channel */
    struct buf channels[5];
    int close_status;
};

static void *serve(void *arg)
{
    struct session *s = arg;
    stream_serve(&s->request);
    close(s->request.client_fd);
    return NULL;
}

static void session_begin(struct session *s, enum stream_protocol protocol, const char *subprotocol,
                          char *url)
{
    int fds[2];
    struct timeval limit = {.tv_sec = 20};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    setsockopt(fds[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    s->fd = fds[0];
    s->url = url;
    s->request.protocol = protocol;
    s->request.subprotocol = subprotocol;
    s->request.url = url;
    s->request.client_fd = fds[1];
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void exec_begin(struct session *s, const char *subprotocol, const char *script, bool in, bool tty)
{
    const char *const command[] = {"sh", "-c", script, NULL};
    struct cri_exec exec = {command, tty, in, true, !tty};
    struct err err;
    char *url = NULL;
    *s = (struct session){.request = {.stdin_ = in, .stdout_ = true, .stderr_ = !tty, .tty = tty}};
    if (fixture.rt->ops->exec(fixture.rt, container_id, &exec, &url, &err))
        fail_msg("%s", err.message);
    session_begin(s, STREAM_WEBSOCKET, subprotocol, url);
}

static void ws_send(struct session *s, uint8_t opcode, const void *data, size_t len)
{
    uint8_t frame[256] = {(uint8_t)(0x80 | opcode), (uint8_t)(0x80 | len), 0, 0, 0, 0};
    assert_true(len < 126);
    memcpy(frame + 6, data, len); /* the mask is zero */
    assert_int_equal(send(s->fd, frame, 6 + len, MSG_NOSIGNAL), (ssize_t)(6 + len));
}

/* Parses the server's frames that have come; the channels of what is whole are filled. */
static void ws_parse(struct session *s)
{
    for (;;) {
        const uint8_t *p = (const uint8_t *)s->in.data;
        if (s->in.len < 2)
            return;
        size_t len = p[1] & 0x7f, head = 2;
        if (len == 126) {
            if (s->in.len < 4)
                return;
            len = (size_t)p[2] << 8 | p[3];
            head = 4;
        } else if (len == 127) {
            if (s->in.len < 10)
                return;
            len = (size_t)p[6] << 24 | (size_t)p[7] << 16 | (size_t)p[8] << 8 | p[9];
            head = 10;
        }
        if (s->in.len < head + len)
            return;
        if ((p[0] & 0x0f) == 8)
            s->close_status = p[head] << 8 | p[head + 1];
        else if (len > 0 && p[head] < 5)
            buf_append(&s->channels[p[head]], p + head + 1, len - 1);
        buf_consume(&s->in, head + len);
    }
}

/* Reads until the server ends, or until what came on stdout has the text. */
static void ws_read(struct session *s, const char *until)
{
    char chunk[65536];
    while (!until || !strstr(buf_str(&s->channels[1]), until)) {
        ssize_t n = recv(s->fd, chunk, sizeof(chunk), 0);
        if (n < 0)
            fail_msg("no answer in time; so far: %s", buf_str(&s->channels[1]));
        if (n == 0)
            return;
        buf_append(&s->in, chunk, (size_t)n);
        ws_parse(s);
    }
}

static void session_end(struct session *s)
{
    close(s->fd);
    pthread_join(s->thread, NULL);
    free(s->url);
    buf_free(&s->in);
    for (int i = 0; i < 5; i++)
        buf_free(&s->channels[i]);
}

static void test_output_and_success(void **state)
{
    (void)state;
    struct session s;
    exec_begin(&s, "v5.channel.k8s.io", "echo out; echo err >&2", false, false);
    ws_read(&s, NULL);
    assert_string_equal(buf_str(&s.channels[1]), "out\n");
    assert_string_equal(buf_str(&s.channels[2]), "err\n");
    assert_non_null(strstr(buf_str(&s.channels[3]), "\"status\":\"Success\""));
    assert_int_equal(s.close_status, 1000);
    session_end(&s);
}

static void test_exit_code(void **state)
{
    (void)state;
    struct session s;
    exec_begin(&s, "v4.channel.k8s.io", "exit 42", false, false);
    ws_read(&s, NULL);
    assert_non_null(strstr(buf_str(&s.channels[3]), "NonZeroExitCode"));
    assert_non_null(strstr(buf_str(&s.channels[3]), "\"message\":\"42\""));
    session_end(&s);
}

/* In v5 the client says that stdin has ended, so cat ends. */
static void test_stdin_end(void **state)
{
    (void)state;
    struct session s;
    exec_begin(&s, "v5.channel.k8s.io", "cat; echo after", true, false);
    ws_send(&s, 2, "\0hi\n", 4);
    ws_read(&s, "hi\n");
    ws_send(&s, 2, "\xff\0", 2);
    ws_read(&s, NULL);
    assert_string_equal(buf_str(&s.channels[1]), "hi\nafter\n");
    assert_non_null(strstr(buf_str(&s.channels[3]), "Success"));
    session_end(&s);
}

/* A whole file on stdin, in messages as large as kubectl's. */
static void test_much_input(void **state)
{
    (void)state;
    enum { MESSAGE = 32768, MESSAGES = 61, TAIL = 1152 };
    struct session s;
    uint8_t *frame mem_auto = mem_zalloc(14 + 1 + MESSAGE);
    exec_begin(&s, "v5.channel.k8s.io", "cat | dd bs=1M of=/tmp-file 2>/dev/null; ls -l /tmp-file", true,
               false);
    for (int i = 0; i <= MESSAGES; i++) {
        size_t len = 1 + (i < MESSAGES ? MESSAGE : TAIL);
        frame[0] = 0x82;
        frame[1] = 0x80 | 126;
        frame[2] = (uint8_t)(len >> 8);
        frame[3] = (uint8_t)len;
        for (size_t at = 0; at < 8 + len;) {
            ssize_t n = send(s.fd, frame + at, 8 + len - at, MSG_NOSIGNAL);
            assert_true(n > 0);
            at += (size_t)n;
        }
    }
    ws_send(&s, 2, "\xff\0", 2);
    ws_read(&s, NULL);
    assert_non_null(strstr(buf_str(&s.channels[1]), " 2000000 "));
    session_end(&s);
}

static void test_terminal_size(void **state)
{
    (void)state;
    struct session s;
    static const char size[] = "\4{\"Width\":77,\"Height\":33}";
    exec_begin(&s, "v5.channel.k8s.io",
               "while ! stty size | grep 33; do sleep 0.05; done; read x; echo got $x", true, true);
    ws_send(&s, 2, size, sizeof(size) - 1);
    ws_read(&s, "33 77");
    ws_send(&s, 2, "\0line\n", 6);
    ws_read(&s, NULL);
    assert_non_null(strstr(buf_str(&s.channels[1]), "got line"));
    session_end(&s);
}

static void test_much_output(void **state)
{
    (void)state;
    struct session s;
    exec_begin(&s, "v5.channel.k8s.io", "dd if=/dev/zero bs=65536 count=160 2>/dev/null", false, false);
    ws_read(&s, NULL);
    assert_int_equal(s.channels[1].len, 160 * 65536);
    session_end(&s);
}

static void test_ping_and_bad_frame(void **state)
{
    (void)state;
    struct session s;
    exec_begin(&s, "v5.channel.k8s.io", "sleep 30", false, false);
    ws_send(&s, 9, "x", 1);
    assert_int_equal(send(s.fd, "\x82\x01x", 3, MSG_NOSIGNAL), 3); /* not masked */
    ws_read(&s, NULL);
    assert_int_equal(s.close_status, 1002);
    session_end(&s);
}

/* The bytes of SPDY go through; here our own codec is the client. */
static void test_spdy_client(void **state)
{
    (void)state;
    const char *const command[] = {"echo", "spdy", NULL};
    struct cri_exec exec = {command, false, false, true, false};
    struct err err;
    char *url = NULL;
    struct session s = {0};
    struct spdy spdy;
    struct spdy_frame frame;
    struct buf out buf_auto = BUF_INIT;
    if (fixture.rt->ops->exec(fixture.rt, container_id, &exec, &url, &err))
        fail_msg("%s", err.message);
    session_begin(&s, STREAM_SPDY, "v4.channel.k8s.io", url);
    spdy_init(&spdy);
    spdy_open(&spdy, "streamtype", "error");
    uint32_t id = spdy_open(&spdy, "streamtype", "stdout");
    assert_int_equal(send(s.fd, spdy.out.data, spdy.out.len, 0), (ssize_t)spdy.out.len);
    char chunk[4096];
    for (ssize_t n; (n = recv(s.fd, chunk, sizeof(chunk), 0)) > 0;) {
        spdy_feed(&spdy, chunk, (size_t)n);
        for (enum spdy_event event; (event = spdy_next(&spdy, &frame)) != SPDY_NONE;)
            if (event == SPDY_DATA && frame.stream == id)
                buf_append(&out, frame.data, frame.len);
    }
    assert_string_equal(buf_str(&out), "spdy\n");
    spdy_free(&spdy);
    session_end(&s);
}

static int setup_pod(struct err *err)
{
    static Cri__PodSandboxMetadata metadata = CRI__POD_SANDBOX_METADATA__INIT;
    static Cri__LinuxPodSandboxConfig linux_config = CRI__LINUX_POD_SANDBOX_CONFIG__INIT;
    static char logs[96], name[] = "streams", image_name[] = FIXTURE_IMAGE, log[] = "0.log";
    static char sleep_[] = "sleep", long_[] = "1000";
    char *command[] = {sleep_, long_};
    snprintf(logs, sizeof(logs), "%s/logs", fixture.dir);
    metadata.name = metadata.uid = metadata.namespace_ = name;
    sandbox.metadata = &metadata;
    sandbox.log_directory = logs;
    sandbox.linux_config = &linux_config;
    Cri__ContainerConfig config = CRI__CONTAINER_CONFIG__INIT;
    Cri__ContainerMetadata container = CRI__CONTAINER_METADATA__INIT;
    Cri__ImageSpec image = CRI__IMAGE_SPEC__INIT;
    container.name = name;
    image.image = image_name;
    config.metadata = &container;
    config.image = &image;
    config.n_command = 2;
    config.command = command;
    config.log_path = log;
    int rc = fixture.rt->ops->run_sandbox(fixture.rt, &sandbox, NULL, &sandbox_id, err);
    if (rc == 0)
        rc = fixture.rt->ops->create_container(fixture.rt, sandbox_id, &config, &sandbox, &container_id, err);
    return rc ? rc : fixture.rt->ops->start_container(fixture.rt, container_id, err);
}

static int setup(void **state)
{
    (void)state;
    struct err err;
    if (fixture_start(&fixture, "kattest3", "10.199.3.0/24", &err) == 0 && setup_pod(&err) == 0)
        return 0;
    print_message("%s\n", err.message);
    fixture_stop(&fixture);
    return -1;
}

static int teardown(void **state)
{
    (void)state;
    free(sandbox_id);
    free(container_id);
    fixture_stop(&fixture);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_output_and_success), cmocka_unit_test(test_exit_code),
        cmocka_unit_test(test_stdin_end),          cmocka_unit_test(test_much_input),
        cmocka_unit_test(test_terminal_size),      cmocka_unit_test(test_much_output),
        cmocka_unit_test(test_ping_and_bad_frame), cmocka_unit_test(test_spdy_client),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return fixture_usable() ? cmocka_run_group_tests(tests, setup, teardown) : 0;
}
