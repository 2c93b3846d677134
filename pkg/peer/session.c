/*
 * What control frames mean: the handshake, heartbeats, addresses.
 *
 * Each side checks the other, and the node with the higher key says READY when it is content. Both ends could
 * open a connection at once, and each could see the two in another order; so one decides: the node with the
 * lower key answers READY on the connection that is to be used. Until then neither side is up.
 */
#include "peer/peer_internal.h"

#include "base/clock.h"
#include "base/hex.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rand.h"
#include "chain/wire.h"

#include <sodium.h>
#include <stdio.h>

#define CLOCK_REFUSED 20 /* times the tolerance */
#define CLOCK_WARN_US 60000000

static void session_send(struct conn *conn, struct control *control)
{
    control->stamp = estimate_stamp(&conn->estimate, clock_wall_us(), clock_mono_us());
    conn_send(conn, control);
}

void session_open(struct conn *conn)
{
    struct peers *peers = conn->peers;
    const char *why = "";
    uint8_t exported[32];
    conn->open = true;
    if (!net_tls_export(conn->wsi, exported, &why)) {
        conn_close(conn, "%s", why);
        return;
    }
    struct control hello = {
        .type = CONTROL_HELLO,
        .version = CONTROL_VERSION,
        .instance = peers->instance,
        .stamp = estimate_stamp(&conn->estimate, clock_wall_us(), clock_mono_us()),
        .self = peers->self,
    };
    memcpy(hello.chain_id, peers->chain_id, sizeof(hello.chain_id));
    rand_bytes(hello.nonce, sizeof(hello.nonce));
    control_encode(&conn->hello_ours, &hello);
    conn->state = CONN_GREETING;
    conn_send(conn, &hello);
}

/* ---- proofs ---- */

/* What the node that dialed, or the other one, signs: this TLS session and all that was said in it. */
static bool session_statement(struct conn *conn, bool of_dialer, struct buf *out)
{
    static const char context[] = "katena peer v1";
    const char *why;
    uint8_t exported[32];
    if (!net_tls_export(conn->wsi, exported, &why))
        return false;
    const struct buf *dialer = conn->dialed ? &conn->hello_ours : &conn->hello_theirs;
    const struct buf *other = conn->dialed ? &conn->hello_theirs : &conn->hello_ours;
    buf_append(out, context, sizeof(context)); /* with its NUL */
    wire_put_u8(out, of_dialer);
    buf_append(out, exported, sizeof(exported));
    wire_put_bytes(out, dialer->data, dialer->len);
    wire_put_bytes(out, other->data, other->len);
    return true;
}

static void session_prove(struct conn *conn)
{
    struct peers *peers = conn->peers;
    struct buf statement = BUF_INIT;
    struct control auth = {.type = CONTROL_AUTH};
    if (session_statement(conn, conn->dialed, &statement)) {
        crypto_sign_detached(auth.signature, NULL, (const uint8_t *)statement.data, statement.len,
                             peers->secret_key);
        const struct contact *contact = contact_find(peers, conn->key);
        auth.live = contact && contact->conn;
        conn->state = CONN_PROVING;
        session_send(conn, &auth);
    } else {
        conn_close(conn, "the TLS session cannot be named");
    }
    buf_free(&statement);
}

static bool session_proof_holds(struct conn *conn, const uint8_t signature[CONTROL_SIGNATURE_SIZE])
{
    struct buf statement = BUF_INIT;
    bool holds = session_statement(conn, !conn->dialed, &statement) &&
                 crypto_sign_verify_detached(signature, (const uint8_t *)statement.data, statement.len,
                                             conn->key) == 0;
    buf_free(&statement);
    return holds;
}

/* ---- becoming a peer ---- */

bool session_decides(const struct conn *conn)
{
    return memcmp(conn->peers->self.key, conn->key, PEER_KEY_SIZE) < 0;
}

/* To the others, of one that came. What the chain says they know. */
static void share_one(struct peers *peers, const struct contact *contact)
{
    struct control_node node;
    struct control addresses = {.type = CONTROL_ADDRESSES, .nodes = &node, .node_count = 1};
    if (!routes_are_news(peers, contact))
        return;
    routes_describe(peers, contact, &node);
    for (struct conn *conn = peers->conns; conn; conn = conn->next)
        if (conn->state == CONN_UP && conn->contact != contact)
            conn_send(conn, &addresses);
}

static void share_all(struct conn *conn)
{
    struct peers *peers = conn->peers;
    struct control addresses = {.type = CONTROL_ADDRESSES};
    addresses.nodes = mem_calloc(CONTROL_NODES_MAX, sizeof(*addresses.nodes));
    for (const struct contact *contact = peers->contacts; contact; contact = contact->next) {
        if (contact == conn->contact)
            continue;
        struct control_node *node = &addresses.nodes[addresses.node_count];
        routes_describe(peers, contact, node);
        addresses.node_count += node->address_count > 0;
        if (addresses.node_count == CONTROL_NODES_MAX) {
            conn_send(conn, &addresses);
            addresses.node_count = 0;
        }
    }
    if (addresses.node_count)
        conn_send(conn, &addresses);
    control_free(&addresses);
}

/* Attempts of ours to reach a node that is connected now. */
static void drop_attempts(const struct conn *chosen)
{
    for (struct conn *conn = chosen->peers->conns; conn; conn = conn->next) {
        const struct contact *meant = conn->contact ? conn->contact
                                      : conn->route ? conn->route->contact
                                                    : NULL;
        if (conn != chosen && conn->dialed && conn->state < CONN_UP && meant == chosen->contact)
            conn_refuse(conn, REFUSAL_DUPLICATE, "another connection was faster");
    }
}

static void session_report_clock(struct conn *conn)
{
    struct contact *contact = conn->contact;
    peers_lock(conn->peers);
    estimate_get(&conn->estimate, &contact->clock_offset_us, &contact->round_trip_us);
    peers_unlock(conn->peers);
}

static void session_up(struct conn *conn)
{
    struct peers *peers = conn->peers;
    struct contact *contact = conn->contact;
    if (contact->conn)
        conn_refuse(contact->conn, REFUSAL_DUPLICATE, "a newer connection takes its place");
    conn->reader.known = true;
    conn->up_us = clock_mono_us();
    peers_lock(peers);
    conn->state = CONN_UP;
    contact->conn = conn;
    contact->connected++;
    contact->since_us = clock_wall_us();
    contact->last_error[0] = '\0';
    memcpy(contact->address, conn->remote, sizeof(contact->address));
    peers_unlock(peers);
    session_report_clock(conn);
    log_info("peer", "connected %s %s at %s, round trip %.1f ms, clock offset %+.1f ms",
             conn->dialed ? "to" : "by", contact_label(contact), conn->remote,
             (double)contact->round_trip_us / 1e3, (double)contact->clock_offset_us / 1e3);
    peers->callbacks.up(peers->callbacks.arg, contact->key);
    drop_attempts(conn);
    dial_hurry(peers);
    share_all(conn);
    share_one(peers, contact);
    net_rearm(peers);
}

/* The node with the lower key: whether this connection is the one to use. */
static bool session_preferred(const struct conn *conn)
{
    const struct conn *old = conn->contact->conn;
    if (old) {
        if (old->instance != conn->instance)
            return true; /* the node has started anew */
        return !conn->other_live && clock_mono_us() - old->up_us > STALE_US;
    }
    if (conn->dialed)
        return true;
    for (const struct conn *ours = conn->peers->conns; ours; ours = ours->next)
        if (ours->dialed && ours->state >= CONN_PROVING && ours->state < CONN_UP &&
            memcmp(ours->key, conn->key, PEER_KEY_SIZE) == 0)
            return false; /* of two, the one that the lower key opened */
    return true;
}

/* True, and the connection is refused, when the clocks differ too much. */
static bool session_clock_refused(struct conn *conn)
{
    struct peers *peers = conn->peers;
    int64_t offset, round_trip;
    if (!estimate_get(&conn->estimate, &offset, &round_trip))
        return false;
    int64_t apart = offset < 0 ? -offset : offset;
    apart -= round_trip / 2; /* as far as it is certain */
    if (apart > CLOCK_REFUSED * peers->clock_tolerance_us) {
        conn_refuse(conn, REFUSAL_CLOCK, "the clocks differ by %.1f s: set them right", (double)apart / 1e6);
        return true;
    }
    int64_t now = clock_mono_us();
    struct contact *contact = conn->contact;
    if (apart > peers->clock_tolerance_us && contact &&
        (!contact->clock_warned_us || now - contact->clock_warned_us > CLOCK_WARN_US)) {
        contact->clock_warned_us = now;
        log_warn("peer", "the clock of %s is off by %+.3f s", contact_label(contact), (double)offset / 1e6);
    }
    return false;
}

static void session_ready(struct conn *conn)
{
    struct control ready = {.type = CONTROL_READY};
    session_send(conn, &ready);
}

static void session_admit(struct conn *conn, const struct control_node *self)
{
    struct peers *peers = conn->peers;
    const char *reason = "it is not a node of the cluster";
    if (!peers->callbacks.allowed(peers->callbacks.arg, conn->key, &reason)) {
        conn_refuse(conn, REFUSAL_FORBIDDEN, "%s", reason);
        return;
    }
    struct contact *contact = contact_get(peers, conn->key, self->name);
    if (!contact) {
        conn_refuse(conn, REFUSAL_LIMIT, "there are too many nodes");
        return;
    }
    conn->contact = contact;
    dial_answered(conn);
    if (score_refused(&contact->score, clock_mono_us())) {
        conn_refuse(conn, REFUSAL_BLAMED, "it broke rules and is refused for a while");
        return;
    }
    if (session_clock_refused(conn))
        return;
    routes_replace(peers, contact, self, ROUTE_CLAIMED);
    conn->state = CONN_WAITING;
    if (!session_decides(conn))
        session_ready(conn);
}

static void on_ready(struct conn *conn)
{
    if (!session_decides(conn)) {
        session_up(conn);
    } else if (session_preferred(conn)) {
        session_ready(conn);
        session_up(conn);
    } else {
        conn_refuse(conn, REFUSAL_DUPLICATE, "there is another connection between us");
    }
}

/* ---- frames ---- */

/* Our own key is at the other end: the address is not tried again. */
static void note_self(struct conn *conn)
{
    peers_lock(conn->peers);
    if (conn->route)
        conn->route->self = true;
    peers_unlock(conn->peers);
}

static void on_hello(struct conn *conn, const struct control *hello, const uint8_t *bytes, size_t len)
{
    struct peers *peers = conn->peers;
    char ours[17], theirs[17];
    if (hello->version != CONTROL_VERSION) {
        conn_refuse(conn, REFUSAL_VERSION, "it speaks version %u of the protocol, this node %u",
                    hello->version, CONTROL_VERSION);
        return;
    }
    if (memcmp(hello->self.key, peers->self.key, PEER_KEY_SIZE) == 0) {
        note_self(conn);
        conn_refuse(conn, REFUSAL_SELF, "this is the same node");
        return;
    }
    if (memcmp(hello->chain_id, peers->chain_id, sizeof(peers->chain_id)) != 0) {
        hex_encode(ours, peers->chain_id, 8);
        hex_encode(theirs, hello->chain_id, 8);
        conn_refuse(conn, REFUSAL_CHAIN, "it is of another cluster: it has chain %s, this node %s", theirs,
                    ours);
        return;
    }
    buf_append(&conn->hello_theirs, bytes, len);
    memcpy(conn->key, hello->self.key, PEER_KEY_SIZE);
    conn->instance = hello->instance;
    estimate_add(&conn->estimate, &hello->stamp, clock_wall_us(), clock_mono_us());
    session_prove(conn);
}

static void on_auth(struct conn *conn, const struct control *auth)
{
    struct control hello;
    struct err err;
    estimate_add(&conn->estimate, &auth->stamp, clock_wall_us(), clock_mono_us());
    if (!session_proof_holds(conn, auth->signature)) {
        conn_refuse(conn, REFUSAL_PROOF, "it does not prove that it holds its key");
        return;
    }
    if (control_decode(&hello, conn->hello_theirs.data, conn->hello_theirs.len, &err))
        return; /* it was decoded before */
    conn->other_live = auth->live;
    session_admit(conn, &hello.self);
}

static void on_refuse(struct conn *conn, const struct control *refuse)
{
    conn->refusal = refuse->refusal;
    if (refuse->refusal == REFUSAL_SELF)
        note_self(conn);
    if (refuse->refusal == REFUSAL_DUPLICATE)
        conn_close(conn, "closed by the other side: %.100s", refuse->reason);
    else
        conn_close(conn, "refused by the other side: %.100s", refuse->reason);
}

static void on_addresses(struct conn *conn, const struct control *addresses)
{
    struct peers *peers = conn->peers;
    for (size_t i = 0; i < addresses->node_count; i++) {
        const struct control_node *node = &addresses->nodes[i];
        const char *reason;
        if (memcmp(node->key, peers->self.key, PEER_KEY_SIZE) == 0 ||
            !peers->callbacks.allowed(peers->callbacks.arg, node->key, &reason))
            continue;
        struct contact *contact = contact_get(peers, node->key, NULL);
        if (contact && !contact->conn) /* one that is connected speaks for itself */
            routes_replace(peers, contact, node, ROUTE_CLAIMED);
    }
    net_rearm(peers);
}

static void on_heartbeat(struct conn *conn, const struct control *control)
{
    estimate_add(&conn->estimate, &control->stamp, clock_wall_us(), clock_mono_us());
    session_report_clock(conn);
    if (session_clock_refused(conn))
        return;
    if (control->type == CONTROL_HEARTBEAT)
        session_heartbeat(conn, CONTROL_ANSWER);
}

void session_heartbeat(struct conn *conn, enum control_type type)
{
    struct control control = {.type = type};
    session_send(conn, &control);
}

/* The state in which a frame of each type has its place. */
static bool session_expects(const struct conn *conn, enum control_type type)
{
    switch (type) {
    case CONTROL_HELLO:
        return conn->state == CONN_GREETING;
    case CONTROL_AUTH:
        return conn->state == CONN_PROVING;
    case CONTROL_READY:
        return conn->state == CONN_WAITING;
    case CONTROL_REFUSE:
        return true;
    case CONTROL_HEARTBEAT:
    case CONTROL_ANSWER:
    case CONTROL_ADDRESSES:
        return conn->state == CONN_UP;
    }
    return false;
}

void session_control(struct conn *conn, const uint8_t *bytes, size_t len)
{
    struct control control;
    struct err err;
    if (control_decode(&control, bytes, len, &err)) {
        conn_fault(conn, "%.150s", err.message);
        return;
    }
    if (!session_expects(conn, control.type)) {
        conn_fault(conn, "a control frame of type %d is out of place", (int)control.type);
    } else {
        switch (control.type) {
        case CONTROL_HELLO:
            on_hello(conn, &control, bytes, len);
            break;
        case CONTROL_AUTH:
            on_auth(conn, &control);
            break;
        case CONTROL_READY:
            estimate_add(&conn->estimate, &control.stamp, clock_wall_us(), clock_mono_us());
            on_ready(conn);
            break;
        case CONTROL_REFUSE:
            on_refuse(conn, &control);
            break;
        case CONTROL_HEARTBEAT:
        case CONTROL_ANSWER:
            on_heartbeat(conn, &control);
            break;
        case CONTROL_ADDRESSES:
            on_addresses(conn, &control);
            break;
        }
    }
    control_free(&control);
}
