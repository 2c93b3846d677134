/* libwebsockets: its context, its callbacks, and the one timer. */
#include "peer/peer_internal.h"

#include "base/clock.h"
#include "base/log.h"

#include <sys/ioctl.h>
#include <sys/socket.h>

#define PROTOCOL "katena-peer"

/* What libwebsockets has to say repeats what our own reasons say, and strangers can provoke it. */
static void lws_log(int level, const char *line)
{
    int len = (int)strcspn(line, "\n");
    if (level & (LLL_ERR | LLL_WARN))
        log_debug("peer", "libwebsockets: %.*s", len, line);
}

static void lws_log_set(void)
{
    lws_set_log_level(LLL_ERR | LLL_WARN, lws_log);
}

/* ---- the end of a connection, as libwebsockets tells it ---- */

static void conn_lost(struct conn *conn)
{
    if (conn->state >= CONN_UP)
        conn_close(conn, "the other side closed the connection");
    else if (conn->open)
        conn_close(conn, "it ended during the handshake");
    else if (conn->dialed && !conn->reached)
        conn_close(conn, "nobody answers there");
    else
        conn_close(conn, "TLS or the upgrade failed");
}

static void conn_gone(struct conn *conn)
{
    conn_lost(conn);
    conn->wsi = NULL;
    conn->wsi_gone = true;
    if (!conn->setting_up)
        conn_free(conn);
}

/* ---- callbacks ---- */

static void on_wake(struct peers *peers)
{
    atomic_store(&peers->woken, false);
    peers_run_commands(peers);
    for (struct conn *conn = peers->conns, *next; conn; conn = next) {
        next = conn->next;
        peers_lock(peers);
        bool overflowed = conn->overflowed;
        peers_unlock(peers);
        if (overflowed)
            conn_close(conn, "its queue is full: it reads too slowly");
        else
            net_flush(conn);
    }
    net_tick(peers); /* a name may have been looked up */
}

static int on_received(struct lws *wsi, struct conn *conn, const uint8_t *bytes, size_t len)
{
    if (!lws_frame_is_binary(wsi))
        conn_fault(conn, "it sends text");
    else
        conn_received(conn, bytes, len);
    return 0;
}

static int on_conn_event(struct lws *wsi, struct conn *conn, enum lws_callback_reasons reason, void *in,
                         size_t len)
{
    switch (reason) {
    case LWS_CALLBACK_WSI_CREATE: /* for a client: TCP is there */
        conn->reached = true;
        if (conn->dialed)
            net_tune(conn->peers, lws_get_socket_fd(wsi));
        return 0;
    case LWS_CALLBACK_ESTABLISHED:
    case LWS_CALLBACK_CLIENT_ESTABLISHED:
        conn->wsi = wsi;
        if (conn->state != CONN_OPENING)
            return -1;
        session_open(conn);
        return conn->state == CONN_CLOSING ? -1 : 0;
    case LWS_CALLBACK_RECEIVE:
    case LWS_CALLBACK_CLIENT_RECEIVE:
        return on_received(wsi, conn, in, len);
    case LWS_CALLBACK_SERVER_WRITEABLE:
    case LWS_CALLBACK_CLIENT_WRITEABLE:
        return conn_writable(conn);
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
        log_debug("peer", "to %s: %.*s", conn->remote, (int)len, in ? (const char *)in : "");
        conn_lost(conn);
        return 0;
    case LWS_CALLBACK_CLOSED:
    case LWS_CALLBACK_CLIENT_CLOSED:
    case LWS_CALLBACK_CLOSED_HTTP:
    case LWS_CALLBACK_CLOSED_CLIENT_HTTP:
        conn_lost(conn);
        return 0;
    case LWS_CALLBACK_WSI_DESTROY:
        conn_gone(conn);
        return 0;
    case LWS_CALLBACK_HTTP: /* a request that is no upgrade */
        return -1;
    default:
        return 0;
    }
}

static int callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
    struct peers *peers;
    struct conn *conn;
    switch (reason) {
    case LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS:
        net_tls_serve(lws_context_user(lws_get_context(wsi)), user);
        return 0;
    case LWS_CALLBACK_OPENSSL_PERFORM_SERVER_CERT_VERIFICATION: /* of a client; the verdict is in len */
        conn = lws_get_opaque_user_data(wsi);
        if (len == 0 && conn)
            net_tls_verdict(conn, user);
        return len == 0;
    case LWS_CALLBACK_EVENT_WAIT_CANCELLED:
        on_wake(lws_context_user(lws_get_context(wsi)));
        return 0;
    case LWS_CALLBACK_RAW_RX_FILE:
        peers = lws_context_user(lws_get_context(wsi));
        net_accept(peers);
        return 0;
    default:
        conn = wsi ? lws_get_opaque_user_data(wsi) : NULL;
        return conn ? on_conn_event(wsi, conn, reason, in, len) : 0;
    }
}

/* ---- what the other files ask for ---- */

static void conn_set_up(struct conn *conn, struct lws *wsi, const char *failure)
{
    conn->setting_up = false;
    if (wsi && !conn->wsi_gone) {
        conn->wsi = wsi;
        if (conn->state == CONN_CLOSING)
            net_kill(conn);
        return;
    }
    conn->wsi = NULL;
    conn_close(conn, "%s", failure);
    conn_free(conn);
}

void net_dial(struct conn *conn, const char *host, int port)
{
    struct peers *peers = conn->peers;
    struct lws_client_connect_info info = {
        .context = peers->context,
        .vhost = peers->vhost,
        .address = host,
        .port = port,
        .path = "/",
        .host = "katena",
        .origin = "katena",
        .protocol = PROTOCOL,
        .alpn = "http/1.1",
        .ssl_connection = LCCSCF_USE_SSL | LCCSCF_SKIP_SERVER_CERT_HOSTNAME_CHECK,
        .opaque_user_data = conn,
    };
    conn->setting_up = true;
    conn_set_up(conn, lws_client_connect_via_info(&info), "cannot connect");
}

void net_adopt(struct conn *conn, int fd)
{
    struct peers *peers = conn->peers;
    lws_adopt_desc_t info = {
        .vh = peers->vhost,
        .type = LWS_ADOPT_SOCKET | LWS_ADOPT_HTTP | LWS_ADOPT_ALLOW_SSL,
        .fd.sockfd = fd,
        .opaque = conn,
    };
    conn->accepted_fd = fd;
    conn->setting_up = true;
    conn_set_up(conn, lws_adopt_descriptor_vhost_via_info(&info), "cannot be taken in");
    net_rearm(peers);
}

void net_want_write(struct conn *conn)
{
    if (conn->wsi)
        lws_callback_on_writable(conn->wsi);
}

/* Without a turn of the loop, where the connection takes it. What fails, fails again in that turn, which can
 * close it. */
void net_flush(struct conn *conn)
{
    peers_lock(conn->peers);
    bool waits = conn->open && conn->wsi && !outgoing_empty(&conn->out);
    peers_unlock(conn->peers);
    if (waits && (lws_send_pipe_choked(conn->wsi) || conn_writable(conn)))
        net_want_write(conn);
}

void net_kill(struct conn *conn)
{
    conn->deadline_us = clock_mono_us() + LINGER_US; /* should libwebsockets set another timeout meanwhile */
    if (conn->wsi && !conn->setting_up)
        lws_set_timeout(conn->wsi, PENDING_TIMEOUT_KILLED_BY_PARENT, LWS_TO_KILL_ASYNC);
}

bool net_has_input(const struct conn *conn)
{
    int waiting = 0;
    return conn->wsi && ioctl(lws_get_socket_fd(conn->wsi), FIONREAD, &waiting) == 0 && waiting > 0;
}

/* ---- time ---- */

static void on_timer(lws_sorted_usec_list_t *timer)
{
    net_tick(lws_container_of(timer, struct peers, timer));
}

/* The loop sleeps whole milliseconds and spins for the rest of the time; a little more than a whole number of
 * them leaves it nothing to spin for. */
static int64_t timer_round(int64_t wait_us)
{
    return wait_us <= 0 ? 1 : (wait_us + 999) / 1000 * 1000 + 100;
}

static void timer_set(struct peers *peers, int64_t due_us)
{
    lws_usec_t wait = LWS_SET_TIMER_USEC_CANCEL;
    if (due_us != INT64_MAX)
        wait = timer_round(due_us - clock_mono_us());
    lws_sul_schedule(peers->context, 0, &peers->timer, on_timer, wait);
}

void net_rearm(struct peers *peers)
{
    peers->hurried = true;
    if (peers->context && !atomic_load(&peers->stopping))
        timer_set(peers, 0);
}

/* What an end makes due, net_rearm notes: the next turn sees it. */
void net_tick(struct peers *peers)
{
    int64_t now = clock_mono_us();
    peers->hurried = false;
    int64_t next = dial_tick(peers, now);
    for (struct conn *conn = peers->conns, *following; conn; conn = following) {
        following = conn->next;
        int64_t due = conn_tick(conn, now);
        next = due < next ? due : next;
    }
    timer_set(peers, peers->hurried ? now : next);
}

/* ---- the context ---- */

static int listener_adopt(struct peers *peers, struct err *err)
{
    lws_sock_file_fd_type fd = {.filefd = peers->listen_fd};
    if (!lws_adopt_descriptor_vhost(peers->vhost, LWS_ADOPT_RAW_FILE_DESC, fd, PROTOCOL, NULL))
        return err_set(err, ERR_INTERNAL, "cannot watch the listening socket");
    return 0;
}

int net_open(struct peers *peers, struct err *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    static const struct lws_protocols protocols[] = {
        {.name = PROTOCOL, .callback = callback, .rx_buffer_size = 16384, .tx_packet_size = 16384},
        {0},
    };
    static const lws_retry_bo_t idle = {.secs_since_valid_ping = 0xfff0, .secs_since_valid_hangup = 0xffff};
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN_SERVER,
        .protocols = protocols,
        .options = LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT | LWS_SERVER_OPTION_DISABLE_OS_CA_CERTS,
        .ssl_cert_filepath = peers->cert_file,
        .ssl_private_key_filepath = peers->key_file,
        .ssl_ca_filepath = peers->ca_file,
        .provided_client_ssl_ctx = peers->client_tls,
        .alpn = "http/1.1",
        .user = peers,
        .timeout_secs = HANDSHAKE_US / 1000000,
        .pt_serv_buf_size = 32768,
        .max_http_header_pool = UNPROVED_MAX,
        .max_http_header_data = 2048,
        .fd_limit_per_thread = CONNS_MAX + 16,
        .retry_and_idle_policy = &idle,
        .http_proxy_address = "", /* not from the environment */
        .vhost_name = PROTOCOL,
    };
    pthread_once(&once, lws_log_set);
    peers->context = lws_create_context(&info);
    if (!peers->context)
        return err_set(err, ERR_INTERNAL, "libwebsockets cannot be started");
    peers->vhost = lws_get_vhost_by_name(peers->context, PROTOCOL);
    return listener_adopt(peers, err);
}

void net_close(struct peers *peers)
{
    if (!peers->context)
        return;
    lws_sul_cancel(&peers->timer);
    lws_context_destroy(peers->context);
    peers->context = NULL;
}
