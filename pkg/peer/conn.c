/* The life of one connection. */
#include "peer/peer_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#define CONTROL_BURST_S 10  /* of control frames at once: a large cluster tells of many nodes */
#define WRITE_PIECES_MAX 64 /* in one turn, so that no connection keeps the others waiting */

struct conn *conn_make(struct peers *peers, bool dialed, const char *host, int port)
{
    struct conn *conn = mem_zalloc(sizeof(*conn));
    conn->peers = peers;
    conn->dialed = dialed;
    conn->created_us = clock_mono_us();
    conn->deadline_us = conn->created_us + HANDSHAKE_US;
    conn->last_in_us = conn->last_out_us = conn->created_us;
    conn->remote_host_len = strlen(host);
    snprintf(conn->remote, sizeof(conn->remote), strchr(host, ':') ? "[%s]:%d" : "%s:%d", host, port);
    conn->next = peers->conns;
    peers->conns = conn;
    peers->conn_count++;
    return conn;
}

void conn_free(struct conn *conn)
{
    struct peers *peers = conn->peers;
    struct conn **at = &peers->conns;
    while (*at != conn)
        at = &(*at)->next;
    *at = conn->next;
    peers->conn_count--;
    assert(!conn->contact || conn->contact->conn != conn);
    if (conn->route && conn->route->conn == conn)
        conn->route->conn = NULL;
    peers_lock(peers);
    outgoing_free(&conn->out);
    peers_unlock(peers);
    frame_reader_free(&conn->reader);
    buf_free(&conn->hello_ours);
    buf_free(&conn->hello_theirs);
    free(conn);
}

void conn_send(struct conn *conn, const struct control *control)
{
    struct buf bytes = BUF_INIT;
    control_encode(&bytes, control);
    assert(bytes.len <= FRAME_CONTROL_MAX);
    struct parcel *parcel = parcel_make(PEER_CHANNEL_CONTROL, bytes.data, bytes.len);
    buf_free(&bytes);
    peers_lock(conn->peers);
    outgoing_push(&conn->out, parcel); /* the rate limit at the other end is below the queue's size */
    peers_unlock(conn->peers);
    parcel_release(parcel);
    if (conn->open)
        net_want_write(conn);
}

/* ---- the end ---- */

/* From a working connection to a closing one; the caller sees to the socket. */
static void conn_retire(struct conn *conn, const char *reason)
{
    struct peers *peers = conn->peers;
    struct contact *contact = conn->contact;
    bool was_up = conn->state == CONN_UP;
    conn->state = CONN_CLOSING;
    snprintf(conn->error, sizeof(conn->error), "%s", reason);
    peers_lock(peers);
    if (was_up) {
        assert(contact->conn == conn);
        contact->conn = NULL;
        contact->since_us = clock_wall_us();
    }
    if (contact && !contact->conn && conn->refusal != REFUSAL_DUPLICATE)
        snprintf(contact->last_error, sizeof(contact->last_error), "%s", reason);
    peers_unlock(peers);
    if (atomic_load(&peers->stopping))
        return;
    if (was_up)
        log_info("peer", "lost %s at %s: %s", contact_label(contact), conn->remote, reason);
    else
        log_debug("peer", "%s %s: %s", conn->dialed ? "to" : "from", conn->remote, reason);
    dial_ended(conn, was_up);
    if (was_up)
        peers->callbacks.down(peers->callbacks.arg, contact->key);
}

void conn_close(struct conn *conn, const char *format, ...)
{
    if (conn->state == CONN_CLOSING)
        return;
    char reason[CONTROL_REASON_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(reason, sizeof(reason), format, args);
    va_end(args);
    conn_retire(conn, reason);
    net_kill(conn);
}

static void conn_tell(struct conn *conn, enum control_refusal refusal, const char *reason)
{
    struct peers *peers = conn->peers;
    struct control refuse = {.type = CONTROL_REFUSE, .refusal = refusal};
    snprintf(refuse.reason, sizeof(refuse.reason), "%s", reason);
    peers_lock(peers);
    peers->refusals[refusal]++;
    outgoing_drop(&conn->out);
    peers_unlock(peers);
    conn->refusal = refusal;
    conn_retire(conn, reason);
    if (!conn->open) {
        net_kill(conn);
        return;
    }
    conn->deadline_us = clock_mono_us() + LINGER_US;
    conn_send(conn, &refuse);
    net_rearm(peers);
}

void conn_refuse(struct conn *conn, enum control_refusal refusal, const char *format, ...)
{
    if (conn->state == CONN_CLOSING)
        return;
    char reason[CONTROL_REASON_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(reason, sizeof(reason), format, args);
    va_end(args);
    if (refusal != REFUSAL_DUPLICATE && refusal != REFUSAL_SELF)
        peers_warn(conn->peers, "refused %s at %s: %s",
                   conn->contact ? contact_label(conn->contact) : "a peer", conn->remote, reason);
    conn_tell(conn, refusal, reason);
}

void conn_fault(struct conn *conn, const char *format, ...)
{
    if (conn->state == CONN_CLOSING)
        return;
    struct peers *peers = conn->peers;
    char reason[CONTROL_REASON_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(reason, sizeof(reason), format, args);
    va_end(args);
    peers_lock(peers);
    peers->faults++;
    if (conn->contact)
        score_fault(&conn->contact->score, SCORE_GROSS_FAULT, clock_mono_us());
    peers_unlock(peers);
    peers_warn(peers, "%s at %s broke the protocol: %s",
               conn->contact ? contact_label(conn->contact) : "a peer", conn->remote, reason);
    conn_tell(conn, REFUSAL_BLAMED, reason);
}

/* ---- bytes ---- */

static void conn_frame(struct conn *conn, const struct frame *frame)
{
    struct peers *peers = conn->peers;
    if (frame->channel == PEER_CHANNEL_CONTROL) {
        double per_s = 20 + 4e6 / (double)peers->heartbeat_us;
        if (!bucket_take(&conn->control_bucket, per_s, CONTROL_BURST_S * per_s, clock_mono_us()))
            conn_fault(conn, "it floods with control frames");
        else
            session_control(conn, frame->bytes, frame->len);
        return;
    }
    peers->callbacks.frame(peers->callbacks.arg, conn->key, (enum peer_channel)frame->channel, frame->bytes,
                           frame->len);
}

/* Takes one frame out of the bytes. What may come with the last word of the handshake does not count as sent
 * by a stranger. */
static bool conn_next(struct conn *conn, const uint8_t **bytes, size_t *len)
{
    struct frame frame;
    size_t before = *len;
    if (conn->state == CONN_CLOSING)
        return false;
    bool whole = frame_reader_next(&conn->reader, bytes, len, &frame);
    if (!conn->reader.known && (conn->unproved_bytes += before - *len) > UNPROVED_BYTES_MAX) {
        conn_fault(conn, "it sends much without proving who it is");
        return false;
    }
    if (whole)
        conn_frame(conn, &frame);
    return whole;
}

void conn_received(struct conn *conn, const uint8_t *bytes, size_t len)
{
    struct peers *peers = conn->peers;
    if (conn->state == CONN_CLOSING)
        return;
    conn->last_in_us = clock_mono_us();
    size_t total = len;
    uint64_t frames = 0;
    while (conn_next(conn, &bytes, &len))
        frames++;
    if (conn->reader.fault)
        conn_fault(conn, "%s", frame_fault_text(conn->reader.fault));
    if (!conn->contact)
        return;
    peers_lock(peers);
    conn->contact->bytes_in += total;
    conn->contact->frames_in += frames;
    peers_unlock(peers);
}

int conn_writable(struct conn *conn)
{
    struct peers *peers = conn->peers;
    uint8_t *staging = peers->staging + LWS_PRE;
    for (unsigned pieces = 0; pieces < WRITE_PIECES_MAX; pieces++) {
        uint64_t frames = 0;
        peers_lock(peers);
        size_t n = outgoing_fill(&conn->out, staging, PIECE_MAX, &frames);
        bool more = !outgoing_empty(&conn->out);
        if (conn->contact) {
            conn->contact->bytes_out += n;
            conn->contact->frames_out += frames;
        }
        peers_unlock(peers);
        if (!n)
            return 0;
        conn->last_out_us = clock_mono_us();
        if (lws_write(conn->wsi, staging, n, LWS_WRITE_BINARY) < (int)n)
            return -1;
        if (!more)
            return 0;
        if (lws_send_pipe_choked(conn->wsi))
            break;
    }
    net_want_write(conn);
    return 0;
}

/* ---- time ---- */

static int64_t conn_tick_up(struct conn *conn, int64_t now_us)
{
    int64_t heartbeat = conn->peers->heartbeat_us;
    /* Were both sides' beats to fall together, each would be answered, too: one goes first. */
    int64_t pause = session_decides(conn) ? heartbeat : heartbeat + heartbeat / 4;
    int64_t silent_at = conn->last_in_us + SILENT_HEARTBEATS * heartbeat;
    if (now_us >= silent_at) {
        /* After a callback that took long it is us who have not listened. */
        if (!net_has_input(conn)) {
            conn_close(conn, "it was silent for %.1f s", (double)(now_us - conn->last_in_us) / 1e6);
            return INT64_MAX;
        }
        silent_at = now_us + heartbeat / 4;
    }
    if (now_us >= conn->last_out_us + pause) {
        session_heartbeat(conn, CONTROL_HEARTBEAT);
        conn->last_out_us = now_us; /* it may have to wait; one that waits is enough */
    }
    int64_t beat_at = conn->last_out_us + pause;
    return beat_at < silent_at ? beat_at : silent_at;
}

int64_t conn_tick(struct conn *conn, int64_t now_us)
{
    if (conn->state == CONN_UP)
        return conn_tick_up(conn, now_us);
    if (conn->state == CONN_CLOSING) {
        if (now_us >= conn->deadline_us)
            net_kill(conn);
        return conn->deadline_us;
    }
    bool connecting = conn->dialed && !conn->reached;
    int64_t due = connecting ? conn->created_us + CONNECT_US : conn->deadline_us;
    if (now_us < due)
        return due;
    if (connecting)
        conn_close(conn, "no answer");
    else
        conn_close(conn, "the handshake took longer than %d s", HANDSHAKE_US / 1000000);
    return INT64_MAX;
}
