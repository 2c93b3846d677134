/* A network of the test's own: a namespace with addresses of pods, listeners and connections. */
#ifndef KATENA_TEST_NET_FIXTURE_H
#define KATENA_TEST_NET_FIXTURE_H

#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <unistd.h>

static inline void net_run(const char *command)
{
    if (system(command) != 0)
        fail_msg("failed: %s", command);
}

static inline int net_listen(const char *ip, int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    assert_int_equal(inet_pton(AF_INET, ip, &address.sin_addr), 1);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 64), 0);
    return fd;
}

/* 0, or the error of connecting. */
static inline int net_connect(const char *ip, int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    inet_pton(AF_INET, ip, &address.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int rc = connect(fd, (struct sockaddr *)&address, sizeof(address)) ? errno : 0;
    if (rc == EINPROGRESS) {
        struct pollfd wait = {.fd = fd, .events = POLLOUT};
        socklen_t len = sizeof(rc);
        if (poll(&wait, 1, 3000) == 1)
            getsockopt(fd, SOL_SOCKET, SO_ERROR, &rc, &len);
        else
            rc = ETIMEDOUT;
    }
    close(fd);
    return rc;
}

/* How many connections wait at a listener; each is taken. */
static inline int net_accepted(int fd)
{
    int n = 0;
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    while (poll(&wait, 1, 50) == 1) {
        close(accept(fd, NULL, NULL));
        n++;
    }
    return n;
}

/* Moves the process, before it has threads, into a network of its own with 10.42.0.1/16 for the host and
 * 10.42.0.2 and 10.42.0.3 for pods. False when that is not allowed here. */
static inline bool net_isolate(void)
{
    if (geteuid() != 0 || unshare(CLONE_NEWNET) != 0)
        return false;
    net_run("ip link set lo up && ip link add pods type veth peer name other && ip link set other up && "
            "ip addr add 10.42.0.1/16 dev pods && ip addr add 10.42.0.2/32 dev pods && "
            "ip addr add 10.42.0.3/32 dev pods && ip link set pods up && ip route add default dev pods");
    return true;
}

#endif
