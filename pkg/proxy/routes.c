/* See routes.h. The watch's callback keeps the nodes under the lock; the thread plans under it and acts
 * without. */
#include "proxy/routes.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "client/event.h"
#include "client/kube.h"
#include "codec/json.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define COALESCE_US 5000LL
#define RETRY_MIN_US 1000000LL
#define RETRY_MAX_US 300000000LL
#define THREAD_STACK (256 * 1024)

struct routes {
    struct client *client;
    struct event_recorder *events; /* NULL as long as there is nothing to tell */
    char *node_name;
    uint32_t cluster;
    int cluster_bits;
    uint32_t metric;
    struct client_watch *watch;
    pthread_t thread;
    char *told;           /* the last trouble, so that each is logged once; the thread's */
    pthread_mutex_t lock; /* everything below */
    pthread_cond_t wake;
    json_t *nodes; /* name to {cidr, ip, created}; also the own one */
    int64_t due_us;
    bool synced, stopping;
};

static bool parse_cidr(const char *text, uint32_t *network, int *bits)
{
    char address[INET_ADDRSTRLEN];
    struct in_addr in;
    int end = 0;
    if (!text || sscanf(text, "%15[0-9.]/%2d%n", address, bits, &end) != 2 || text[end] || *bits < 1 ||
        *bits > 32 || inet_pton(AF_INET, address, &in) != 1)
        return false;
    *network = ntohl(in.s_addr) & (uint32_t)(0xffffffffULL << (32 - *bits));
    return true;
}

static const char *internal_ip(const json_t *node)
{
    size_t i;
    json_t *address;
    json_array_foreach(json_at(node, "status", "addresses"), i, address)
    {
        if (!strcmp(json_str_or_empty(address, "type"), "InternalIP"))
            return json_str_or_empty(address, "address");
    }
    return "";
}

/* The lock is held. */
static void ask(struct routes *r, int64_t delay_us)
{
    int64_t due = clock_mono_us() + delay_us;
    if (r->due_us <= due)
        return;
    r->due_us = due;
    pthread_cond_signal(&r->wake);
}

static void node_event(void *arg, enum client_event event, const json_t *node)
{
    struct routes *r = arg;
    pthread_mutex_lock(&r->lock);
    if (event == CLIENT_SYNCED) {
        r->synced = true;
        ask(r, 0);
    } else if (event == CLIENT_DELETED) {
        json_object_del(r->nodes, kube_name(node));
        ask(r, COALESCE_US);
    } else {
        json_t *fact = json_pack("{ss ss sI}", "cidr", json_str_or_empty(node, "spec", "podCIDR"), "ip",
                                 internal_ip(node), "created", (json_int_t)kube_created(node));
        if (!json_equal(json_object_get(r->nodes, kube_name(node)), fact)) {
            json_object_set(r->nodes, kube_name(node), fact);
            ask(r, COALESCE_US);
        }
        json_decref(fact);
    }
    pthread_mutex_unlock(&r->lock);
}

/* Whether an address is this host's: that of another node here, which needs no route. */
static bool is_local(const struct ifaddrs *all, struct in_addr address)
{
    for (const struct ifaddrs *i = all; i; i = i->ifa_next) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)i->ifa_addr;
        if (in && in->sin_family == AF_INET && in->sin_addr.s_addr == address.s_addr)
            return true;
    }
    return ntohl(address.s_addr) >> 24 == 127;
}

/* The route to a node's pods; false when there is none to make. */
static bool route_to(const struct routes *r, const json_t *fact, const struct ifaddrs *here,
                     struct route *out)
{
    struct in_addr gateway;
    if (!parse_cidr(json_str(fact, "cidr"), &out->network, &out->bits) || out->bits < r->cluster_bits ||
        (out->network ^ r->cluster) >> (32 - r->cluster_bits) != 0)
        return false;
    if (inet_pton(AF_INET, json_str_or_empty(fact, "ip"), &gateway) != 1 || is_local(here, gateway))
        return false;
    out->gateway = ntohl(gateway.s_addr);
    return true;
}

/* What is wanted, for count nodes at most. The lock is held. */
static size_t plan(const struct routes *r, struct route *out)
{
    struct ifaddrs *here = NULL;
    const json_t *own = json_object_get(r->nodes, r->node_name);
    const char *name;
    json_t *fact;
    size_t n = 0;
    if (getifaddrs(&here))
        here = NULL;
    json_object_foreach(r->nodes, name, fact)
    {
        bool same = !strcmp(json_str_or_empty(fact, "cidr"), json_str_or_empty(own, "cidr"));
        if (strcmp(name, r->node_name) != 0 && !same && route_to(r, fact, here, &out[n]))
            n++;
    }
    if (here)
        freeifaddrs(here);
    return n;
}

/* Another node that has our pods' network, and had it first: two parts of a cut cluster gave it away twice.
 * NULL: none. The lock is held; the caller frees. */
static char *find_clash(const struct routes *r)
{
    const json_t *own = json_object_get(r->nodes, r->node_name);
    const char *cidr = json_str_or_empty(own, "cidr"), *name;
    int64_t created = json_int_or(0, own, "created");
    json_t *fact;
    json_object_foreach(r->nodes, name, fact)
    {
        int64_t other = json_int_or(0, fact, "created");
        bool earlier = other < created || (other == created && strcmp(name, r->node_name) < 0);
        if (*cidr && earlier && strcmp(name, r->node_name) != 0 &&
            !strcmp(json_str_or_empty(fact, "cidr"), cidr))
            return mem_printf(
                "the pods' network %s of this node is also that of node %s, which had it first: "
                "they cannot reach each other's pods. Drain this node and restart katena on it",
                cidr, name);
    }
    return NULL;
}

static bool contains(const struct route *routes, size_t count, const struct route *wanted)
{
    for (size_t i = 0; i < count; i++) {
        if (!memcmp(&routes[i], wanted, sizeof(*wanted)))
            return true;
    }
    return false;
}

static int set_route(struct routes *r, const struct route *wanted, struct err *err)
{
    struct in_addr gateway = {.s_addr = htonl(wanted->gateway)};
    char text[INET_ADDRSTRLEN];
    int rc = routes_netlink_set(wanted, r->metric, err);
    return !rc ? 0
               : err_wrap(err, "route to the pods of the node at %s, which must be a neighbour",
                          inet_ntop(AF_INET, &gateway, text, sizeof(text)));
}

/* Brings the kernel's routes to the wanted ones; false when it did not take one of them. */
static bool apply(struct routes *r, const struct route *wanted, size_t count, struct err *err)
{
    struct route *have;
    size_t have_count;
    int rc = routes_netlink_list(r->metric, &have, &have_count, err);
    for (size_t i = 0; !rc && i < have_count; i++) {
        bool stays = false;
        for (size_t k = 0; k < count; k++)
            stays |= have[i].network == wanted[k].network && have[i].bits == wanted[k].bits;
        if (!stays)
            rc = routes_netlink_remove(&have[i], r->metric, err);
    }
    for (size_t i = 0; i < count; i++) {
        if (!contains(have, have_count, &wanted[i]) && set_route(r, &wanted[i], err))
            rc = err->code;
    }
    free(have);
    return !rc;
}

/* Says what is wrong, once. */
static void tell(struct routes *r, const char *trouble)
{
    if (trouble && (!r->told || strcmp(r->told, trouble) != 0)) {
        json_auto_t *node = json_pack("{s{ss ss}}", "metadata", "name", r->node_name, "uid", r->node_name);
        log_warn("routes", "%s", trouble);
        if (!r->events)
            r->events = event_recorder_new(r->client, "katena-routes", r->node_name);
        event_record_kind(r->events, "v1", "Node", node, EVENT_WARNING, "PodNetwork", "%s", trouble);
    }
    free(r->told);
    r->told = mem_strdup(trouble);
}

/* Whether something is to be done now; false at the end. The lock is held. */
static bool wait_for_work(struct routes *r)
{
    while (!r->stopping) {
        if (r->synced && r->due_us <= clock_mono_us())
            return true;
        if (!r->synced || r->due_us == INT64_MAX) {
            pthread_cond_wait(&r->wake, &r->lock);
        } else {
            struct timespec until = {.tv_sec = r->due_us / 1000000, .tv_nsec = r->due_us % 1000000 * 1000};
            pthread_cond_timedwait(&r->wake, &r->lock, &until);
        }
    }
    return false;
}

static void *routes_thread(void *arg)
{
    struct routes *r = arg;
    int64_t retry_us = RETRY_MIN_US;
    pthread_mutex_lock(&r->lock);
    while (wait_for_work(r)) {
        r->due_us = INT64_MAX;
        mem_auto struct route *wanted = mem_calloc(json_object_size(r->nodes) + 1, sizeof(*wanted));
        size_t count = plan(r, wanted);
        mem_auto char *clash = find_clash(r);
        pthread_mutex_unlock(&r->lock);
        struct err err = {0};
        bool ok = apply(r, wanted, count, &err);
        tell(r, !ok ? err.message : clash);
        pthread_mutex_lock(&r->lock);
        if (!ok)
            ask(r, retry_us);
        retry_us = ok ? RETRY_MIN_US : retry_us * 2 > RETRY_MAX_US ? RETRY_MAX_US : retry_us * 2;
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

static void routes_free(struct routes *r)
{
    event_recorder_free(r->events);
    json_decref(r->nodes);
    pthread_cond_destroy(&r->wake);
    pthread_mutex_destroy(&r->lock);
    free(r->node_name);
    free(r->told);
    free(r);
}

static int start_thread(struct routes *r, struct err *err)
{
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, THREAD_STACK);
    int rc = pthread_create(&r->thread, &attr, routes_thread, r);
    pthread_attr_destroy(&attr);
    return rc ? err_set(err, ERR_INTERNAL, "cannot start the thread of the routes") : 0;
}

int routes_start(struct routes **out, const struct routes_options *options, struct err *err)
{
    struct routes *r = mem_zalloc(sizeof(*r));
    r->client = options->client;
    r->node_name = mem_strdup(options->node_name);
    r->metric = options->metric;
    r->nodes = json_object();
    r->due_us = INT64_MAX;
    pthread_mutex_init(&r->lock, NULL);
    pthread_condattr_t cond;
    pthread_condattr_init(&cond);
    pthread_condattr_setclock(&cond, CLOCK_MONOTONIC);
    pthread_cond_init(&r->wake, &cond);
    pthread_condattr_destroy(&cond);
    int rc = 0;
    if (!parse_cidr(options->cluster_cidr, &r->cluster, &r->cluster_bits))
        rc = err_set(err, ERR_INVALID, "\"%s\" is no IPv4 network", options->cluster_cidr);
    if (!rc)
        rc = start_thread(r, err);
    if (rc) {
        routes_free(r);
        return rc;
    }
    r->watch = client_watch_start(r->client, &kube_nodes, NULL, NULL, node_event, r);
    *out = r;
    return 0;
}

void routes_stop(struct routes *r)
{
    if (!r)
        return;
    client_watch_stop(r->watch);
    pthread_mutex_lock(&r->lock);
    r->stopping = true;
    pthread_cond_signal(&r->wake);
    pthread_mutex_unlock(&r->lock);
    pthread_join(r->thread, NULL);
    routes_free(r);
}

int routes_cleanup(uint32_t metric, struct err *err)
{
    struct route *have;
    size_t count;
    int rc = routes_netlink_list(metric, &have, &count, err);
    for (size_t i = 0; !rc && i < count; i++)
        rc = routes_netlink_remove(&have[i], metric, err);
    free(have);
    return rc;
}
