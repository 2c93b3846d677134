/* The log of a container, relayed from the kubelet's descriptor as it grows. */
#include "api/http_internal.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

struct http_log {
    struct http_stream stream;
    int fd;
};

static ssize_t read_log(void *cls, uint64_t position, char *out, size_t max)
{
    struct http_log *log = cls;
    (void)position;
    http_stream_begin(&log->stream);
    if (atomic_load(&log->stream.ended))
        return MHD_CONTENT_READER_END_OF_STREAM;
    for (;;) {
        ssize_t n = read(log->fd, out, max);
        if (n > 0)
            return n;
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0 || errno != EAGAIN)
            return MHD_CONTENT_READER_END_OF_STREAM;
        http_stream_wait_source(&log->stream, log->fd);
        return 0;
    }
}

static void log_free(void *cls)
{
    struct http_log *log = cls;
    http_stream_close(&log->stream);
    close(log->fd);
    free(log);
}

enum MHD_Result http_logs_reply(struct http_request *request, int fd)
{
    struct http_log *log = mem_zalloc(sizeof(*log));
    log->fd = fd;
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0)
        fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    http_request_streams(request);
    http_stream_open(&log->stream, request, 0);
    struct MHD_Response *stream =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, HTTP_BLOCK_SIZE, read_log, log, log_free);
    MHD_add_response_header(stream, "Content-Type", "text/plain");
    return http_queue(request, MHD_HTTP_OK, stream);
}
