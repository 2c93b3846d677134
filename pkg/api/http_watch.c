/*
 * Watches: events as they come, each framed for this client; the text of an object is shared by all watchers.
 * While there is no event the connection is suspended and the watch costs no more than its memory.
 */
#include "api/http_internal.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/rand.h"

#include <string.h>

/* How long a watch lasts when the client does not say: between half an hour and an hour, so that clients do
 * not all come back at once. */
#define DURATION_MIN_S 1800

struct http_watch {
    struct http_stream stream;
    struct api_watch *watch;
    struct represent represent;
    struct buf pending;
    size_t sent; /* of pending */
    bool any;
    bool last; /* an ERROR event has been written: nothing follows */
};

static void wake(void *arg)
{
    struct http_watch *watch = arg;
    http_stream_wake(&watch->stream);
}

/* Frames what is there, up to about one block. */
static void fill(struct http_watch *watch, size_t want)
{
    struct api_watch_event event;
    while (!watch->last && watch->pending.len < want && api_watch_next(watch->watch, &event)) {
        watch->represent.now_us = clock_wall_us();
        represent_event(&watch->pending, &watch->represent, !watch->any, event.type, event.json,
                        event.json_len);
        watch->any = true;
        watch->last = strcmp(event.type, "ERROR") == 0;
    }
}

static ssize_t read_events(void *cls, uint64_t position, char *out, size_t max)
{
    struct http_watch *watch = cls;
    (void)position;
    http_stream_begin(&watch->stream);
    if (watch->sent == watch->pending.len) {
        buf_free(&watch->pending); /* an idle watch keeps no buffer */
        watch->sent = 0;
        if (!atomic_load(&watch->stream.ended))
            fill(watch, max);
    }
    size_t n = watch->pending.len - watch->sent;
    if (n == 0 && (watch->last || atomic_load(&watch->stream.ended)))
        return MHD_CONTENT_READER_END_OF_STREAM;
    if (n == 0) {
        http_stream_wait(&watch->stream);
        return 0;
    }
    if (n > max)
        n = max;
    memcpy(out, watch->pending.data + watch->sent, n);
    watch->sent += n;
    return (ssize_t)n;
}

static void watch_free(void *cls)
{
    struct http_watch *watch = cls;
    api_watch_close(watch->watch);
    http_stream_close(&watch->stream);
    buf_free(&watch->pending);
    free(watch);
}

enum MHD_Result http_watch_reply(struct http_request *request, struct api_response *response)
{
    struct http_watch *watch = mem_zalloc(sizeof(*watch));
    int64_t timeout_s = request->query.timeout_s;
    if (timeout_s <= 0)
        timeout_s = DURATION_MIN_S + rand_below(DURATION_MIN_S);
    watch->watch = response->watch;
    response->watch = NULL;
    watch->represent = request->represent;
    http_request_streams(request);
    http_stream_open(&watch->stream, request, clock_mono_us() + timeout_s * 1000000);
    api_watch_on_ready(watch->watch, wake, watch);
    struct MHD_Response *stream =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 1024, read_events, watch, watch_free);
    MHD_add_response_header(stream, "Content-Type", represent_watch_content_type(&watch->represent));
    return http_queue(request, response->status ? response->status : MHD_HTTP_OK, stream);
}
