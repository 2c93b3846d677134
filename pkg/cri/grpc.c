/*
 * gRPC by libcurl. Each call connects anew: libcurl 7.88 (Debian 12) fails with "Error in the HTTP2 framing
 * layer" when it uses an HTTP/2 prior-knowledge connection for a second request (repaired in 8.0). On a Unix
 * socket a connection costs some hundred microseconds, against milliseconds for what the calls do.
 */
#include "cri/grpc.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

struct grpc_channel {
    char *socket_path;
    atomic_bool aborted;
    pthread_mutex_t lock;
    struct exchange *active; /* calls in progress, under lock */
};

struct exchange {
    struct grpc_channel *channel;
    struct exchange *next;
    int fd; /* of its connection; -1: none yet */
    struct buf body;
    int grpc_status; /* -1 until seen */
    char message[512];
    grpc_stream_fn fn; /* NULL: unary */
    void *arg;
    bool stopped;
    bool bad_frame;
    int64_t last_tick_us;
};

struct grpc_channel *grpc_open(const char *socket_path)
{
    struct grpc_channel *channel = mem_zalloc(sizeof(*channel));
    channel->socket_path = mem_strdup(socket_path);
    pthread_mutex_init(&channel->lock, NULL);
    return channel;
}

void grpc_close(struct grpc_channel *channel)
{
    pthread_mutex_destroy(&channel->lock);
    free(channel->socket_path);
    free(channel);
}

void grpc_abort(struct grpc_channel *channel)
{
    pthread_mutex_lock(&channel->lock);
    channel->aborted = true;
    for (struct exchange *x = channel->active; x; x = x->next)
        if (x->fd >= 0)
            shutdown(x->fd, SHUT_RDWR);
    pthread_mutex_unlock(&channel->lock);
}

long grpc_frame_length(const void *data, size_t len)
{
    const uint8_t *p = data;
    if (len < 5)
        return 0;
    uint32_t size = (uint32_t)p[1] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 8 | p[4];
    if (p[0] != 0 || size > GRPC_MESSAGE_MAX)
        return -1;
    return len - 5 < size ? 0 : (long)size + 5;
}

/* Hands whole messages of a stream to its callback. */
static bool stream_deliver(struct exchange *x)
{
    for (;;) {
        long n = grpc_frame_length(x->body.data, x->body.len);
        if (n < 0)
            x->bad_frame = true;
        if (n <= 0)
            return n == 0;
        if (!x->fn(x->arg, x->body.data + 5, (size_t)n - 5)) {
            x->stopped = true;
            return false;
        }
        buf_consume(&x->body, (size_t)n);
    }
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
    struct exchange *x = arg;
    size_t len = size * n;
    if (x->body.len + len > GRPC_MESSAGE_MAX + 5)
        return 0;
    buf_append(&x->body, data, len);
    if (x->fn && !stream_deliver(x))
        return 0;
    return len;
}

/* grpc-message is percent-encoded UTF-8. */
static void percent_decode(char *out, size_t max, const char *in, size_t len)
{
    size_t o = 0;
    for (size_t i = 0; i < len && o + 1 < max; i++) {
        unsigned value;
        if (in[i] == '%' && i + 2 < len && sscanf(in + i + 1, "%2x", &value) == 1) {
            out[o++] = (char)value;
            i += 2;
        } else {
            out[o++] = in[i];
        }
    }
    out[o] = '\0';
}

static size_t on_header(char *data, size_t size, size_t n, void *arg)
{
    struct exchange *x = arg;
    size_t len = size * n;
    size_t text = len;
    while (text > 0 && (data[text - 1] == '\r' || data[text - 1] == '\n'))
        text--;
    if (text > 13 && strncasecmp(data, "grpc-status: ", 13) == 0)
        x->grpc_status = (int)strtol(data + 13, NULL, 10);
    else if (text > 14 && strncasecmp(data, "grpc-message: ", 14) == 0)
        percent_decode(x->message, sizeof(x->message), data + 14, text - 14);
    return len;
}

static int on_progress(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    (void)a, (void)b, (void)c, (void)d;
    struct exchange *x = arg;
    int64_t now = clock_mono_us();
    if (x->channel->aborted)
        return 1;
    if (!x->fn)
        return 0;
    if (now - x->last_tick_us < 1000000)
        return 0;
    x->last_tick_us = now;
    if (x->fn(x->arg, NULL, 0))
        return 0;
    x->stopped = true;
    return 1;
}

/* An exchange is known to grpc_abort while it has a connection. */
static curl_socket_t on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct exchange *x = arg;
    (void)purpose;
    int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    pthread_mutex_lock(&x->channel->lock);
    x->fd = fd;
    pthread_mutex_unlock(&x->channel->lock);
    return fd < 0 ? CURL_SOCKET_BAD : fd;
}

static int on_close(void *arg, curl_socket_t fd)
{
    struct exchange *x = arg;
    pthread_mutex_lock(&x->channel->lock);
    x->fd = -1;
    pthread_mutex_unlock(&x->channel->lock);
    return close(fd);
}

static void exchange_enlist(struct exchange *x, bool on)
{
    pthread_mutex_lock(&x->channel->lock);
    struct exchange **at = &x->channel->active;
    while (!on && *at != x)
        at = &(*at)->next;
    if (on)
        x->next = *at;
    *at = on ? x : x->next;
    pthread_mutex_unlock(&x->channel->lock);
}

/* The codes of grpc-status that say something to our callers. */
static int status_code(int grpc_status)
{
    switch (grpc_status) {
    case 4:
        return ERR_TIMEOUT; /* DEADLINE_EXCEEDED */
    case 5:
        return ERR_NOT_FOUND;
    case 6:
        return ERR_EXISTS;
    case 12:
        return ERR_METHOD; /* UNIMPLEMENTED */
    case 14:
        return ERR_UNAVAILABLE;
    default:
        return ERR_INTERNAL;
    }
}

static void pack_frame(struct buf *out, const ProtobufCMessage *request)
{
    size_t size = protobuf_c_message_get_packed_size(request);
    uint8_t head[5] = {0, (uint8_t)(size >> 24), (uint8_t)(size >> 16), (uint8_t)(size >> 8), (uint8_t)size};
    buf_append(out, head, sizeof(head));
    buf_reserve(out, size);
    protobuf_c_message_pack(request, (uint8_t *)out->data + out->len);
    out->len += size;
}

static int transfer_error(CURLcode code, const struct exchange *x, const char *method, const char *detail,
                          struct err *err)
{
    if (x->stopped)
        return 0;
    if (x->bad_frame)
        return err_set(err, ERR_CORRUPT, "%s: malformed answer", method);
    if (code == CURLE_OPERATION_TIMEDOUT)
        return err_set(err, ERR_TIMEOUT, "%s: no answer in time", method);
    if (code != CURLE_OK)
        return err_set(err, ERR_UNAVAILABLE, "%s: %s", method, *detail ? detail : curl_easy_strerror(code));
    if (x->grpc_status > 0)
        return err_set(err, status_code(x->grpc_status), "%s", x->message);
    if (x->grpc_status < 0)
        return err_set(err, ERR_UNAVAILABLE, "%s: the answer has no grpc-status", method);
    return 0;
}

/* Sends the request and lets the callbacks take the answer. */
static int transfer(struct grpc_channel *channel, const char *method, const ProtobufCMessage *request,
                    int64_t timeout_ms, struct exchange *x, struct err *err)
{
    char url[256];
    char detail[CURL_ERROR_SIZE] = "";
    struct buf frame buf_auto = BUF_INIT;
    pack_frame(&frame, request);
    snprintf(url, sizeof(url), "http://localhost%s", method);
    struct curl_slist *headers = curl_slist_append(NULL, "content-type: application/grpc");
    headers = curl_slist_append(headers, "te: trailers");
    headers = curl_slist_append(headers, "user-agent: katena/" KATENA_VERSION);

    CURL *curl = curl_easy_init();
    curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, channel->socket_path);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_POST, 1L);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)frame.len);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, frame.data);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, x);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, x);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, detail);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_FORBID_REUSE, 1L);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    if (timeout_ms > 0)
        curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, x);
    curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, on_open);
    curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, x);
    curl_easy_setopt(curl, CURLOPT_CLOSESOCKETFUNCTION, on_close);
    curl_easy_setopt(curl, CURLOPT_CLOSESOCKETDATA, x);
    exchange_enlist(x, true);
    CURLcode code = channel->aborted ? CURLE_ABORTED_BY_CALLBACK : curl_easy_perform(curl);
    int rc = transfer_error(code, x, method, detail, err);
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    exchange_enlist(x, false);
    return rc;
}

int grpc_call(struct grpc_channel *channel, const char *method, const ProtobufCMessage *request,
              const ProtobufCMessageDescriptor *response_type, int64_t timeout_ms, ProtobufCMessage **out,
              struct err *err)
{
    struct exchange x = {.channel = channel, .fd = -1, .grpc_status = -1};
    int rc = transfer(channel, method, request, timeout_ms, &x, err);
    if (rc == 0 && out) {
        long n = grpc_frame_length(x.body.data, x.body.len);
        *out = n >= 5 ? protobuf_c_message_unpack(response_type, NULL, (size_t)n - 5,
                                                  (const uint8_t *)x.body.data + 5)
                      : NULL;
        if (!*out)
            rc = err_set(err, ERR_CORRUPT, "%s: malformed answer", method);
    }
    buf_free(&x.body);
    return rc;
}

int grpc_stream(struct grpc_channel *channel, const char *method, const ProtobufCMessage *request,
                grpc_stream_fn fn, void *arg, struct err *err)
{
    struct exchange x = {.channel = channel, .fd = -1, .grpc_status = -1, .fn = fn, .arg = arg};
    int rc = transfer(channel, method, request, 0, &x, err);
    if (rc == 0 && !x.stopped)
        rc = err_set(err, ERR_UNAVAILABLE, "%s: the stream ended", method);
    buf_free(&x.body);
    return rc;
}
