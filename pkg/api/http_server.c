/* The daemon: its socket, TLS, threads and connections. See http_internal.h. */
#include "api/http_internal.h"

#include "api/discovery.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <malloc.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 1024
#define THREADS_MAX 16
#define STOP_WAIT_MS 10000
#define STOP_ANSWER_MS 500
#define CROWD 128 /* connections whose memory is worth giving back */
#define TLS_PRIORITIES \
    "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-128-GCM:+AES-256-GCM:+CHACHA20-POLY1305"

/* ---- connections ---- */

static void connection_add(struct api_http *http, struct http_connection *connection)
{
    pthread_mutex_lock(&http->lock);
    connection->next = http->connections;
    if (connection->next)
        connection->next->prev = connection;
    http->connections = connection;
    connection->surplus = ++http->connection_count > HTTP_CONNECTIONS_MAX;
    if (http->connection_count > http->connection_peak)
        http->connection_peak = http->connection_count;
    if (!http->sweep_us) {
        http->sweep_us = connection->accepted_us + HTTP_FIRST_REQUEST_US;
        http_poller_until(http, http->sweep_us);
    }
    pthread_mutex_unlock(&http->lock);
}

static void connection_remove(struct api_http *http, struct http_connection *connection)
{
    pthread_mutex_lock(&http->lock);
    if (connection->prev)
        connection->prev->next = connection->next;
    else
        http->connections = connection->next;
    if (connection->next)
        connection->next->prev = connection->prev;
    http->connection_count--;
    bool crowd_left = http->connection_peak >= CROWD && http->connection_count <= http->connection_peak / 8;
    if (crowd_left)
        http->connection_peak = http->connection_count;
    pthread_mutex_unlock(&http->lock);
    api_identity_free(&connection->identity);
    free(connection);
    if (crowd_left)
        malloc_trim(0); /* some 40 KiB each, which the allocator would keep */
}

static void on_connection(void *cls, struct MHD_Connection *mhd, void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct api_http *http = cls;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        struct http_connection *connection = mem_zalloc(sizeof(*connection));
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
        connection->fd = info ? info->connect_fd : -1;
        info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION);
        if (info && info->tls_session)
            http_send_start(&connection->sender, info->tls_session, connection->fd);
        connection->accepted_us = clock_mono_us();
        connection_add(http, connection);
        *socket_context = connection;
    } else if (*socket_context) {
        connection_remove(http, *socket_context);
        *socket_context = NULL;
    }
}

/* A NUL in a path or value would end it for us but not for a client: it stays escaped. */
static size_t on_unescape(void *cls, struct MHD_Connection *mhd, char *text)
{
    (void)cls;
    (void)mhd;
    return strstr(text, "%00") ? strlen(text) : MHD_http_unescape(text);
}

__attribute__((format(printf, 2, 0))) static void on_log(void *cls, const char *format, va_list args)
{
    (void)cls;
    char text[512];
    int n = vsnprintf(text, sizeof(text), format, args);
    while (n > 0 && (size_t)n < sizeof(text) && text[n - 1] == '\n')
        text[--n] = '\0';
    log_debug("http", "%s", text);
}

/* ---- start ---- */

static int listen_on(struct api_http *http, const char *address, int port, struct err *err)
{
    char service[16];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE};
    struct addrinfo *info = NULL;
    snprintf(service, sizeof(service), "%d", port);
    if (getaddrinfo(address, service, &hints, &info) != 0)
        return err_set(err, ERR_BAD_REQUEST, "bind address \"%s\" is no IP address", address);
    int code = 0;
    const int one = 1;
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
        bind(fd, info->ai_addr, info->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0) {
        code = err_set_errno(err, "listen on %s port %d", address, port);
        if (fd >= 0)
            close(fd);
        fd = -1;
    }
    freeaddrinfo(info);
    http->listen_fd = fd;
    return code;
}

/* Room for as many descriptors as connections, and for the rest of the node. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    const rlim_t wanted = HTTP_CONNECTIONS_HARD_MAX * 2;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
        return;
    limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        log_warn("http", "cannot raise the limit of open files: %s", strerror(errno));
}

static unsigned thread_count(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 2 ? 2 : n > THREADS_MAX ? THREADS_MAX : (unsigned)n;
}

/* docs/security.md says why poll: with TLS, libmicrohttpd's epoll loop spins through a handshake. */
static int daemon_start(struct api_http *http, struct err *err)
{
    const unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL | MHD_USE_TLS |
                           MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
    struct pki *pki = http->server->pki;
    http->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, http_access, http, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL,
        MHD_OPTION_LISTEN_SOCKET, http->listen_fd, MHD_OPTION_THREAD_POOL_SIZE, thread_count(),
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)HTTP_CONNECTIONS_HARD_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)HTTP_IDLE_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_POOL_SIZE,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, http, MHD_OPTION_NOTIFY_COMPLETED, http_completed, http,
        MHD_OPTION_UNESCAPE_CALLBACK, on_unescape, NULL, MHD_OPTION_HTTPS_MEM_KEY, pki_serving_key(pki),
        MHD_OPTION_HTTPS_MEM_CERT, pki_serving_cert(pki), MHD_OPTION_HTTPS_MEM_TRUST, pki_ca_cert(pki),
        MHD_OPTION_HTTPS_PRIORITIES, TLS_PRIORITIES, MHD_OPTION_END);
    return http->daemon ? 0 : err_set(err, ERR_INTERNAL, "the HTTP server does not start");
}

static void http_free(struct api_http *http)
{
    if (http->listen_fd >= 0)
        close(http->listen_fd);
    discovery_free(http->discovery);
    pthread_mutex_destroy(&http->lock);
    free(http);
}

int api_http_start(struct api_server *server, struct err *err)
{
    struct api_http *http = mem_zalloc(sizeof(*http));
    http->server = server;
    http->listen_fd = -1;
    http->epoll_fd = -1;
    http->wake_fd = -1;
    pthread_mutex_init(&http->lock, NULL);
    raise_descriptor_limit();
    http->discovery = discovery_new();
    int code = listen_on(http, server->bind_address, server->port, err);
    if (!code)
        code = http_poller_start(http, err);
    if (!code) {
        code = daemon_start(http, err);
        if (code)
            http_poller_stop(http);
    }
    if (code) {
        http_free(http);
        return code;
    }
    server->http = http;
    return 0;
}

/* ---- stop ---- */

static void end_upgraded(struct api_http *http)
{
    pthread_mutex_lock(&http->lock);
    for (struct http_upgraded *u = http->upgraded; u; u = u->next)
        shutdown(u->fd, SHUT_RDWR);
    pthread_mutex_unlock(&http->lock);
}

static unsigned open_streams(struct api_http *http)
{
    pthread_mutex_lock(&http->lock);
    unsigned n = http->stream_count;
    pthread_mutex_unlock(&http->lock);
    return n;
}

/* libmicrohttpd wants every connection resumed before it is stopped: streams end when they are woken,
 * requests in the ledger's hands are answered by it, jobs and upgraded connections by their threads. What is
 * left then are answers on their way, which get a moment to arrive. */
static void wait_until_idle(struct api_http *http)
{
    int ms = 0;
    for (; ms < STOP_WAIT_MS && atomic_load(&http->waiting) > 0; ms += 2) {
        http_stream_end_all(http);
        http_final_end_all(http);
        end_upgraded(http);
        usleep(2000);
    }
    if (ms >= STOP_WAIT_MS)
        log_warn("http", "stopping with %u requests unfinished", atomic_load(&http->waiting));
    for (ms = 0; ms < STOP_ANSWER_MS && (atomic_load(&http->active) > 0 || open_streams(http) > 0); ms += 2) {
        http_stream_end_all(http);
        usleep(2000);
    }
}

void api_http_stop(struct api_server *server)
{
    struct api_http *http = server->http;
    atomic_store(&http->stopping, true);
    MHD_quiesce_daemon(http->daemon); /* the socket is ours again, and closed by http_free */
    wait_until_idle(http);
    MHD_stop_daemon(http->daemon);
    http_poller_stop(http);
    assert(!http->streams && !http->connections);
    server->http = NULL;
    http_free(http);
}
