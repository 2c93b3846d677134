/* The records of a connection on their way to its socket (api/http_send.h), over a pair of sockets. */
#include "api/http_send.h"
#include "unit.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct line {
    struct http_sender sender;
    int reader;
};

static struct line line_open(int type)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, type | SOCK_NONBLOCK, 0, fds), 0);
    return (struct line){.sender = {.fd = fds[0]}, .reader = fds[1]};
}

static void line_close(struct line *line)
{
    close(line->sender.fd);
    close(line->reader);
}

static ssize_t push(struct line *line, const char *text)
{
    giovec_t part = {.iov_base = (void *)text, .iov_len = strlen(text)};
    return http_send_push(&line->sender, &part, 1);
}

static void check_next(struct line *line, const char *wanted)
{
    char text[4096];
    ssize_t n = read(line->reader, text, sizeof(text));
    if (!wanted) {
        assert_int_equal(n, -1);
        return;
    }
    assert_int_equal(n, (ssize_t)strlen(wanted));
    assert_memory_equal(text, wanted, strlen(wanted));
}

/* Each send is a message of its own here, so the reader sees what left together. */
static void test_head_leaves_with_body(void **state)
{
    (void)state;
    struct line line = line_open(SOCK_SEQPACKET);
    assert_int_equal(push(&line, "alone"), 5);
    check_next(&line, "alone");
    http_send_hold(&line.sender);
    assert_int_equal(push(&line, "head"), 4);
    check_next(&line, NULL);
    assert_int_equal(push(&line, "body"), 4);
    check_next(&line, "headbody");
    assert_int_equal(push(&line, "alone"), 5);
    check_next(&line, "alone");
    line_close(&line);
}

static void test_long_head_is_not_held(void **state)
{
    (void)state;
    struct line line = line_open(SOCK_SEQPACKET);
    char text[HTTP_SEND_HELD_MAX + 2];
    memset(text, 'x', sizeof(text));
    text[HTTP_SEND_HELD_MAX + 1] = '\0';
    http_send_hold(&line.sender);
    assert_int_equal(push(&line, text), HTTP_SEND_HELD_MAX + 1);
    check_next(&line, text);
    assert_int_equal(push(&line, "body"), 4);
    check_next(&line, "body");
    line_close(&line);
}

static void fill(struct line *line)
{
    char block[4096];
    memset(block, '.', sizeof(block));
    while (send(line->sender.fd, block, sizeof(block), MSG_NOSIGNAL) > 0)
        ;
    while (send(line->sender.fd, block, 1, MSG_NOSIGNAL) > 0)
        ;
}

/* A full socket: nothing is lost, nothing comes twice, and the session is told to come again. */
static void test_full_socket(void **state)
{
    (void)state;
    struct line line = line_open(SOCK_STREAM);
    fill(&line);
    http_send_hold(&line.sender);
    assert_int_equal(push(&line, "head"), 4);
    assert_int_equal(push(&line, "body"), -1);
    assert_int_equal(errno, EAGAIN);
    char text[4096];
    ssize_t n;
    while ((n = read(line.reader, text, sizeof(text))) > 0)
        assert_int_equal(text[n - 1], '.');
    assert_int_equal(push(&line, "body"), 4);
    check_next(&line, "headbody");
    line_close(&line);
}

static void test_broken_socket(void **state)
{
    (void)state;
    struct line line = line_open(SOCK_STREAM);
    close(line.reader);
    assert_int_equal(push(&line, "alone"), -1);
    assert_int_equal(errno, EPIPE);
    close(line.sender.fd);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_head_leaves_with_body),
    cmocka_unit_test(test_long_head_is_not_held),
    cmocka_unit_test(test_full_socket),
    cmocka_unit_test(test_broken_socket),
};

UNIT_MAIN(tests)
