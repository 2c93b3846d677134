/*
 * Streams: answers whose bytes come when there are some (watches, followed logs).
 *
 * A stream that has nothing to send suspends its connection, so it costs no thread and is in no poll set.
 * What would go unnoticed then, one thread watches for all of them, asleep in epoll until something happens:
 * the client hangs up, the time is over, a log has more. On a node without streams it never wakes.
 */
#include "api/http_internal.h"

#include "base/clock.h"
#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS_MAX 64

/* What an epoll registration is for, in the lowest bit of its data beside the stream's id. */
#define FOR_CONNECTION 0
#define FOR_SOURCE 1

/* ---- a stream's own side ---- */

static void watch_fd(struct http_stream *stream, int operation, int fd, uint32_t events, int what)
{
    struct epoll_event event = {.events = events, .data.u64 = stream->id << 1 | (unsigned)what};
    if (epoll_ctl(stream->http->epoll_fd, operation, fd, &event) != 0)
        log_warn("http", "cannot watch a connection: %s", strerror(errno));
}

void http_stream_open(struct http_stream *stream, struct http_request *request, int64_t deadline_us)
{
    struct api_http *http = request->http;
    stream->http = http;
    stream->mhd = request->mhd;
    stream->fd = request->connection->fd;
    stream->deadline_us = deadline_us;
    stream->source_fd = -1;
    atomic_init(&stream->meeting, HTTP_RUNNING);
    atomic_init(&stream->ended, false);
    pthread_mutex_lock(&http->lock);
    stream->id = ++http->stream_last_id;
    stream->prev = NULL;
    stream->next = http->streams;
    if (stream->next)
        stream->next->prev = stream;
    http->streams = stream;
    http->stream_count++;
    watch_fd(stream, EPOLL_CTL_ADD, stream->fd, EPOLLRDHUP | EPOLLET, FOR_CONNECTION);
    if (deadline_us)
        http_poller_until(http, deadline_us);
    pthread_mutex_unlock(&http->lock);
}

void http_stream_close(struct http_stream *stream)
{
    struct api_http *http = stream->http;
    pthread_mutex_lock(&http->lock);
    epoll_ctl(http->epoll_fd, EPOLL_CTL_DEL, stream->fd, NULL);
    if (stream->source_fd >= 0)
        epoll_ctl(http->epoll_fd, EPOLL_CTL_DEL, stream->source_fd, NULL);
    if (stream->prev)
        stream->prev->next = stream->next;
    else
        http->streams = stream->next;
    if (stream->next)
        stream->next->prev = stream->prev;
    http->stream_count--;
    pthread_mutex_unlock(&http->lock);
}

static void stream_resume(struct http_stream *stream)
{
    struct api_http *http = stream->http;
    MHD_resume_connection(stream->mhd);
    atomic_fetch_sub(&http->waiting, 1);
}

void http_stream_begin(struct http_stream *stream)
{
    atomic_store(&stream->meeting, HTTP_RUNNING);
}

void http_stream_wait(struct http_stream *stream)
{
    /* Counted before `stopping` is read, which is set before the count is: a stop waits for us, or we see it.
     */
    atomic_fetch_add(&stream->http->waiting, 1);
    if (atomic_load(&stream->http->stopping)) {
        atomic_fetch_sub(&stream->http->waiting, 1);
        atomic_store(&stream->ended, true);
        return;
    }
    MHD_suspend_connection(stream->mhd);
    if (atomic_exchange(&stream->meeting, HTTP_SUSPENDED) != HTTP_DONE)
        return;
    atomic_store(&stream->meeting, HTTP_RUNNING);
    stream_resume(stream);
}

void http_stream_wait_source(struct http_stream *stream, int fd)
{
    struct api_http *http = stream->http;
    pthread_mutex_lock(&http->lock);
    int operation = stream->source_fd < 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    stream->source_fd = fd;
    watch_fd(stream, operation, fd, EPOLLIN | EPOLLONESHOT, FOR_SOURCE);
    pthread_mutex_unlock(&http->lock);
    http_stream_wait(stream);
}

void http_stream_wake(struct http_stream *stream)
{
    if (atomic_exchange(&stream->meeting, HTTP_DONE) == HTTP_SUSPENDED)
        stream_resume(stream);
}

/* ---- the poller ---- */

static void stream_end(struct http_stream *stream)
{
    atomic_store(&stream->ended, true);
    http_stream_wake(stream);
}

void http_stream_end_all(struct api_http *http)
{
    pthread_mutex_lock(&http->lock);
    for (struct http_stream *s = http->streams; s; s = s->next)
        stream_end(s);
    pthread_mutex_unlock(&http->lock);
}

void http_poller_until(struct api_http *http, int64_t until_us)
{
    if (http->poller_until_us && http->poller_until_us <= until_us)
        return;
    http->poller_until_us = until_us;
    uint64_t one = 1;
    if (write(http->wake_fd, &one, sizeof(one)) < 0)
        log_debug("http", "poller: %s", strerror(errno)); /* full: it is about to wake anyway */
}

static void on_stream_event(struct api_http *http, uint64_t data)
{
    for (struct http_stream *s = http->streams; s; s = s->next)
        if (s->id == data >> 1) {
            if ((data & 1) == FOR_SOURCE)
                http_stream_wake(s);
            else
                stream_end(s);
            return;
        }
}

/* Connections that have not sent one whole request header are cut; returns whether young ones remain. */
static int64_t sweep_connections(struct api_http *http, int64_t now_us)
{
    int64_t next_us = 0;
    for (struct http_connection *c = http->connections; c; c = c->next) {
        if (atomic_load(&c->requested) || c->fd < 0)
            continue;
        int64_t due_us = c->accepted_us + HTTP_FIRST_REQUEST_US;
        if (due_us <= now_us)
            shutdown(c->fd, SHUT_RDWR);
        else if (!next_us || due_us < next_us)
            next_us = due_us;
    }
    return next_us;
}

/* Ends what is over, and says when to look again (0: when something happens). The lock is held. */
static int64_t run_timers(struct api_http *http, int64_t now_us)
{
    int64_t next_us = 0;
    for (struct http_stream *s = http->streams; s; s = s->next) {
        if (!s->deadline_us)
            continue;
        if (s->deadline_us <= now_us) {
            s->deadline_us = 0;
            stream_end(s);
        } else if (!next_us || s->deadline_us < next_us) {
            next_us = s->deadline_us;
        }
    }
    if (http->sweep_us && http->sweep_us <= now_us)
        http->sweep_us = sweep_connections(http, now_us);
    if (http->sweep_us && (!next_us || http->sweep_us < next_us))
        next_us = http->sweep_us;
    return next_us;
}

static int wait_ms(int64_t until_us, int64_t now_us)
{
    if (!until_us)
        return -1;
    int64_t ms = (until_us - now_us) / 1000 + 1;
    return ms < 0 ? 0 : ms > 3600 * 1000 ? 3600 * 1000 : (int)ms;
}

static void *poller_main(void *arg)
{
    struct api_http *http = arg;
    struct epoll_event events[EVENTS_MAX];
    int timeout_ms = -1;
    pthread_setname_np(pthread_self(), "http-poller");
    for (;;) {
        int n = epoll_wait(http->epoll_fd, events, EVENTS_MAX, timeout_ms);
        uint64_t count;
        bool stop = false;
        pthread_mutex_lock(&http->lock);
        for (int i = 0; i < n; i++) {
            if (events[i].data.u64 != 0)
                on_stream_event(http, events[i].data.u64);
            else if (read(http->wake_fd, &count, sizeof(count)) > 0)
                stop = !http->poller_runs;
        }
        int64_t now_us = clock_mono_us();
        http->poller_until_us = run_timers(http, now_us);
        timeout_ms = wait_ms(http->poller_until_us, now_us);
        pthread_mutex_unlock(&http->lock);
        if (stop)
            return NULL;
    }
}

int http_poller_start(struct api_http *http, struct err *err)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = 0};
    http->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    http->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (http->epoll_fd < 0 || http->wake_fd < 0 ||
        epoll_ctl(http->epoll_fd, EPOLL_CTL_ADD, http->wake_fd, &event) != 0)
        return err_set_errno(err, "start the HTTP poller");
    http->poller_runs = true;
    if (pthread_create(&http->poller, NULL, poller_main, http) != 0) {
        http->poller_runs = false;
        return err_set(err, ERR_INTERNAL, "start the HTTP poller: no thread");
    }
    return 0;
}

void http_poller_stop(struct api_http *http)
{
    if (http->poller_runs) {
        uint64_t one = 1;
        pthread_mutex_lock(&http->lock);
        http->poller_runs = false;
        ssize_t n = write(http->wake_fd, &one, sizeof(one));
        pthread_mutex_unlock(&http->lock);
        assert(n == sizeof(one));
        pthread_join(http->poller, NULL);
    }
    if (http->epoll_fd >= 0)
        close(http->epoll_fd);
    if (http->wake_fd >= 0)
        close(http->wake_fd);
}
