/* Routes of the kernel's main table over rtnetlink (RFC 3549); see routes.h. */
#include "proxy/routes.h"

#include "base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWER_SIZE 16384

struct request {
    struct nlmsghdr head;
    struct rtmsg route;
    char attributes[128];
};

static void put_u32(struct request *request, unsigned short type, uint32_t value)
{
    struct rtattr *attribute =
        (struct rtattr *)(void *)((char *)request + NLMSG_ALIGN(request->head.nlmsg_len));
    attribute->rta_type = type;
    attribute->rta_len = RTA_LENGTH(sizeof(value));
    memcpy(RTA_DATA(attribute), &value, sizeof(value));
    request->head.nlmsg_len = NLMSG_ALIGN(request->head.nlmsg_len) + RTA_LENGTH(sizeof(value));
}

static int open_netlink(struct err *err)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0)
        err_set_errno(err, "open a netlink socket");
    return fd;
}

static int send_request(int fd, const struct request *request, struct err *err)
{
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    ssize_t n = sendto(fd, request, request->head.nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof(kernel));
    return n == (ssize_t)request->head.nlmsg_len ? 0 : err_set_errno(err, "ask the kernel about routes");
}

static int change(const struct route *route, uint32_t metric, unsigned short type, unsigned short flags,
                  struct err *err)
{
    struct request request = {
        .head = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct rtmsg)),
                 .nlmsg_type = type,
                 .nlmsg_flags = (unsigned short)(NLM_F_REQUEST | NLM_F_ACK | flags)},
        .route = {.rtm_family = AF_INET,
                  .rtm_dst_len = (unsigned char)route->bits,
                  .rtm_table = RT_TABLE_MAIN,
                  .rtm_protocol = ROUTES_PROTOCOL,
                  .rtm_scope = RT_SCOPE_UNIVERSE,
                  .rtm_type = RTN_UNICAST},
    };
    put_u32(&request, RTA_DST, htonl(route->network));
    put_u32(&request, RTA_GATEWAY, htonl(route->gateway));
    put_u32(&request, RTA_PRIORITY, metric);
    int fd = open_netlink(err);
    if (fd < 0)
        return err->code;
    struct {
        struct nlmsghdr head;
        struct nlmsgerr answer;
        char more[512];
    } reply = {0};
    int rc = send_request(fd, &request, err);
    if (!rc && recv(fd, &reply, sizeof(reply), 0) < (ssize_t)NLMSG_LENGTH(sizeof(struct nlmsgerr)))
        rc = err_set(err, ERR_IO, "the kernel does not answer about routes");
    if (!rc && reply.answer.error) {
        errno = -reply.answer.error;
        rc = err_set_errno(err, "change a route");
    }
    close(fd);
    return rc;
}

int routes_netlink_set(const struct route *route, uint32_t metric, struct err *err)
{
    return change(route, metric, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, err);
}

int routes_netlink_remove(const struct route *route, uint32_t metric, struct err *err)
{
    struct err why = {0};
    int rc = change(route, metric, RTM_DELROUTE, 0, &why);
    bool gone = rc && errno == ESRCH;
    if (rc && !gone)
        *err = why;
    return gone ? 0 : rc;
}

/* Takes a route of a dump; false when it is not ours. */
static bool read_route(const struct nlmsghdr *head, uint32_t metric, struct route *out)
{
    const struct rtmsg *message = NLMSG_DATA(head);
    uint32_t priority = 0, value;
    if (message->rtm_protocol != ROUTES_PROTOCOL || message->rtm_table != RT_TABLE_MAIN)
        return false;
    *out = (struct route){.bits = message->rtm_dst_len};
    int left = (int)RTM_PAYLOAD(head);
    for (const struct rtattr *a = RTM_RTA(message); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
        if (RTA_PAYLOAD(a) != sizeof(value))
            continue;
        memcpy(&value, RTA_DATA(a), sizeof(value));
        if (a->rta_type == RTA_DST)
            out->network = ntohl(value);
        else if (a->rta_type == RTA_GATEWAY)
            out->gateway = ntohl(value);
        else if (a->rta_type == RTA_PRIORITY)
            priority = value;
    }
    return priority == metric;
}

/* One packet of a dump; false at its end. */
static bool read_packet(const char *bytes, size_t len, uint32_t metric, struct route **out, size_t *count)
{
    for (const struct nlmsghdr *head = (const struct nlmsghdr *)(const void *)bytes; NLMSG_OK(head, len);
         head = NLMSG_NEXT(head, len)) {
        struct route route;
        if (head->nlmsg_type == NLMSG_DONE || head->nlmsg_type == NLMSG_ERROR)
            return false;
        if (head->nlmsg_type != RTM_NEWROUTE || !read_route(head, metric, &route))
            continue;
        *out = mem_reallocarray(*out, *count + 1, sizeof(**out));
        (*out)[(*count)++] = route;
    }
    return true;
}

int routes_netlink_list(uint32_t metric, struct route **out, size_t *count, struct err *err)
{
    struct request request = {.head = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct rtmsg)),
                                       .nlmsg_type = RTM_GETROUTE,
                                       .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
                              .route = {.rtm_family = AF_INET}};
    *out = NULL;
    *count = 0;
    int fd = open_netlink(err);
    if (fd < 0)
        return err->code;
    mem_auto char *bytes = mem_alloc(ANSWER_SIZE);
    int rc = send_request(fd, &request, err);
    for (ssize_t n; !rc;) {
        n = recv(fd, bytes, ANSWER_SIZE, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            rc = err_set_errno(err, "read the routes");
        else if (!read_packet(bytes, (size_t)n, metric, out, count))
            break;
    }
    close(fd);
    return rc;
}
