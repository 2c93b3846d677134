/* The listening socket is our own, so that what is wrong with it is said, and how many come in is limited. */
#include "peer/peer_internal.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define LISTEN_BACKLOG 128
#define ACCEPT_MAX 32 /* in one turn of the loop */
#define ACCEPT_PAUSE_US 10000
#define NOTSENT_LOWAT (128 * 1024)

static int listen_on(const struct addrinfo *address)
{
    int one = 1, zero = 0;
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (address->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
    if (bind(fd, address->ai_addr, address->ai_addrlen) == 0 && listen(fd, LISTEN_BACKLOG) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

/* Host and port in digits; an IPv4 address within IPv6 as what it is. */
static void name_text(const struct sockaddr_storage *name, char *host, size_t size, int *port)
{
    static const char mapped[] = "::ffff:";
    char service[8] = "";
    socklen_t len = name->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    if (getnameinfo((const struct sockaddr *)name, len, host, (socklen_t)size, service, sizeof(service),
                    NI_NUMERICHOST | NI_NUMERICSERV))
        snprintf(host, size, "?");
    *port = atoi(service);
    if (strncmp(host, mapped, sizeof(mapped) - 1) == 0 && strchr(host, '.'))
        memmove(host, host + sizeof(mapped) - 1, strlen(host) - sizeof(mapped) + 2);
}

static int bound_port(int fd)
{
    struct sockaddr_storage name = {0};
    socklen_t len = sizeof(name);
    char host[RESOLVE_TEXT_MAX];
    int port = 0;
    if (getsockname(fd, (struct sockaddr *)&name, &len) == 0)
        name_text(&name, host, sizeof(host), &port);
    return port;
}

/* Every address, when none is named: by IPv6 with IPv4 in it, or by IPv4 where there is no IPv6. */
int net_listen(struct peers *peers, struct err *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_UNSPEC, .ai_flags = AI_PASSIVE};
    struct addrinfo *list = NULL;
    const char *host = peers->bind_address && *peers->bind_address ? peers->bind_address : NULL;
    char port[8];
    snprintf(port, sizeof(port), "%d", peers->port);
    int rc = getaddrinfo(host, port, &hints, &list);
    if (rc)
        return err_set(err, ERR_INVALID, "look up the address %s: %s", host ? host : "*", gai_strerror(rc));
    peers->listen_fd = -1;
    errno = 0;
    for (int pass = 0; pass < 2; pass++)
        for (const struct addrinfo *each = list; each && peers->listen_fd < 0; each = each->ai_next)
            if ((each->ai_family == AF_INET6) == (pass == 0))
                peers->listen_fd = listen_on(each);
    freeaddrinfo(list);
    if (peers->listen_fd < 0)
        return err_set_errno(err, "listen for peers on %s port %s", host ? host : "*", port);
    peers->port = bound_port(peers->listen_fd);
    return 0;
}

void net_tune(const struct peers *peers, int fd)
{
    int one = 1, idle = 10, interval = 3, count = 3, lowat = NOTSENT_LOWAT;
    unsigned timeout_ms = (unsigned)(SILENT_HEARTBEATS * peers->heartbeat_us / 1000) + 2000;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof(timeout_ms));
    /* What lies in the kernel cannot be overtaken by what is more urgent. */
    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &lowat, sizeof(lowat));
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
}

/* Those who have not proved who they are may not use up what there is. */
static bool has_room(const struct peers *peers, const char *host)
{
    size_t unproved = 0, of_host = 0, len = strlen(host);
    for (const struct conn *conn = peers->conns; conn; conn = conn->next) {
        if (conn->dialed || conn->state == CONN_UP)
            continue;
        unproved++;
        const char *remote = conn->remote + (conn->remote[0] == '[');
        of_host += conn->remote_host_len == len && strncmp(remote, host, len) == 0;
    }
    return peers->conn_count < CONNS_MAX && unproved < UNPROVED_MAX && of_host < UNPROVED_PER_HOST_MAX;
}

/* Without descriptors the socket stays readable: the loop shall not spin until there are some. */
static void accept_failed(struct peers *peers, int error)
{
    if (error != EMFILE && error != ENFILE && error != ENOBUFS && error != ENOMEM)
        return;
    peers_warn(peers, "cannot take in a connection: %s", strerror(error));
    usleep(ACCEPT_PAUSE_US);
}

void net_accept(struct peers *peers)
{
    for (int i = 0; i < ACCEPT_MAX; i++) {
        struct sockaddr_storage name = {0};
        socklen_t len = sizeof(name);
        char host[RESOLVE_TEXT_MAX];
        int port;
        int fd = accept4(peers->listen_fd, (struct sockaddr *)&name, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            accept_failed(peers, errno);
            return;
        }
        name_text(&name, host, sizeof(host), &port);
        bool room = has_room(peers, host);
        peers_lock(peers);
        if (room)
            peers->accepted++;
        else
            peers->turned_away++;
        peers_unlock(peers);
        if (!room) {
            peers_warn(peers, "too many connections of unknown peers: one from %s is closed", host);
            close(fd);
            continue;
        }
        net_tune(peers, fd);
        net_adopt(conn_make(peers, false, host, port), fd);
    }
}
