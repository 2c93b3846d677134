/*
 * Which address to try when. Names are looked up anew for every round of attempts, and all addresses of a
 * name are tried before the pause grows.
 */
#include "peer/peer_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/rand.h"

#include <stdarg.h>
#include <stdio.h>

#define NOT_ALLOWED_US 5000000 /* until a node that is not allowed is looked at again */
#define REFUSED_US 1000000     /* at least, after a refusal */
#define STEADY_US 3000000      /* a connection that lasted longer makes up for failures before it */
#define BUSY_US 50000          /* another address of the same node is being tried */
#define HURRY_US 1000000       /* between two hurries */
#define HURRY_SYN_US 100000    /* an attempt this old lost its first packet */
#define LOG_AGAIN_US 60000000

static uint32_t random_32(void)
{
    uint32_t value;
    rand_bytes(&value, sizeof(value));
    return value;
}

/* An attempt that failed: kept for the list, and logged when it is news. */
static void route_note(struct peers *peers, struct route *route, const char *text)
{
    int64_t now = clock_mono_us();
    bool news = strcmp(route->last_error, text) != 0;
    if ((news && now - route->logged_us > LOG_AGAIN_US / 6) || now - route->logged_us > LOG_AGAIN_US) {
        log_info("peer", "cannot reach %s: %s", route->text, text);
        route->logged_us = now;
    }
    peers_lock(peers);
    peers->dials_failed++;
    snprintf(route->last_error, sizeof(route->last_error), "%s", text);
    peers_unlock(peers);
}

static void route_pause(struct route *route, int64_t least_us)
{
    int64_t now = clock_mono_us();
    int64_t pause = backoff_next(&route->backoff, now, random_32());
    route->due_us = now + (pause > least_us ? pause : least_us);
    route->resolved.count = 0;
}

void dial_ended(struct conn *conn, bool was_up)
{
    struct route *route = conn->route;
    struct peers *peers = conn->peers;
    int64_t now = clock_mono_us();
    if (was_up)
        routes_hurry(peers, conn->contact, now);
    if (route && route->conn == conn) {
        route->conn = NULL;
        bool more = route->resolved_next < route->resolved.count;
        if (was_up && now - conn->up_us > STEADY_US)
            backoff_reset(&route->backoff);
        if (was_up || conn->refusal == REFUSAL_DUPLICATE || route->self) {
            route_pause(route, 0);
        } else {
            route_note(peers, route, conn->error);
            if (!conn->open && more)
                route->due_us = now; /* the next of its addresses */
            else
                route_pause(route, conn->open ? REFUSED_US : 0);
        }
    }
    conn->route = NULL;
    if (!conn->setting_up)
        net_rearm(peers);
}

void dial_answered(struct conn *conn)
{
    struct route *route = conn->route;
    if (!route || route->contact == conn->contact)
        return;
    peers_lock(conn->peers);
    route->contact = conn->contact;
    peers_unlock(conn->peers);
}

/* A node came: what cut it off may have cut off others, so those are tried now, too. */
void dial_hurry(struct peers *peers)
{
    int64_t now = clock_mono_us();
    if (now - peers->hurry_us < HURRY_US)
        return;
    peers->hurry_us = now;
    for (struct route *route = peers->routes; route; route = route->next) {
        struct conn *conn = route->conn;
        if (conn && conn->state == CONN_OPENING && !conn->reached && now - conn->created_us > HURRY_SYN_US)
            conn_close(conn, "no answer");
        if (!route->conn && route->due_us > now)
            route->due_us = now;
    }
}

/* Whether the node behind a route is being tried by another route. */
static bool route_busy(const struct peers *peers, const struct route *route)
{
    if (!route->contact)
        return false;
    for (const struct conn *conn = peers->conns; conn; conn = conn->next) {
        if (conn->state >= CONN_UP)
            continue;
        if (conn->contact == route->contact || (conn->route && conn->route->contact == route->contact))
            return true;
    }
    return false;
}

/* When the route may be tried: now, or later. */
static int64_t route_ready(struct peers *peers, struct route *route, int64_t now_us)
{
    struct contact *contact = route->contact;
    const char *reason;
    if (route->self || route->conn || (contact && contact->conn))
        return INT64_MAX; /* its end makes it due */
    if (route->due_us > now_us)
        return route->due_us;
    if (peers->conn_count >= CONNS_MAX || route_busy(peers, route))
        return route->due_us = now_us + BUSY_US;
    if (contact && score_refused(&contact->score, now_us))
        return route->due_us = contact->score.refused_until_us;
    if (contact && !peers->callbacks.allowed(peers->callbacks.arg, contact->key, &reason))
        return route->due_us = now_us + NOT_ALLOWED_US;
    return now_us;
}

static void route_dial(struct peers *peers, struct route *route)
{
    const char *host = route->resolved.texts[route->resolved_next++];
    struct conn *conn = conn_make(peers, true, host, route->address.port);
    conn->route = route;
    route->conn = conn;
    peers_lock(peers);
    peers->dials++;
    peers_unlock(peers);
    net_dial(conn, host, route->address.port);
}

/* A step towards a connection; returns when to come back. */
static int64_t route_try(struct peers *peers, struct route *route, int64_t now_us)
{
    if (route->resolved_next < route->resolved.count) {
        route_dial(peers, route);
        return route->conn ? INT64_MAX : route->due_us;
    }
    if (!route->resolution) {
        route->resolution = resolution_start(peers->resolver, route->address.host);
        if (!route->resolution)
            return route->due_us = now_us + BUSY_US;
    }
    if (!resolution_done(route->resolution, &route->resolved))
        return INT64_MAX; /* the resolver wakes the loop */
    resolution_end(route->resolution);
    route->resolution = NULL;
    route->resolved_next = 0;
    if (route->resolved.count)
        return route_try(peers, route, now_us);
    char text[CONTROL_REASON_MAX];
    snprintf(text, sizeof(text), "its name is not known: %.120s", route->resolved.error);
    route_note(peers, route, text);
    route_pause(route, 0);
    return route->due_us;
}

int64_t dial_tick(struct peers *peers, int64_t now_us)
{
    int64_t next = INT64_MAX;
    for (struct route *route = peers->routes; route; route = route->next) {
        int64_t due = route_ready(peers, route, now_us);
        if (due <= now_us)
            due = route_try(peers, route, now_us);
        if (due < next)
            next = due;
    }
    return next;
}
