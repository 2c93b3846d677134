/*
 * One request, from its headers to its answer.
 *
 * libmicrohttpd calls http_access first with the headers, then for each piece of the body, then once more
 * when the request is whole, and again after each suspension. Who asks is settled before the first byte of a
 * body is kept. A request that will fail is still read to its end (within bounds), since a client that is cut
 * off while it sends sees a broken connection instead of the reason.
 */
#include "api/http_internal.h"

#include "base/clock.h"
#include "base/hex.h"
#include "base/log.h"
#include "base/mem.h"
#include "codec/json.h"
#include "codec/json_indent.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

const char *http_header(struct http_request *request, const char *name)
{
    return MHD_lookup_connection_value(request->mhd, MHD_HEADER_KIND, name);
}

const char *http_argument(struct http_request *request, const char *name)
{
    return MHD_lookup_connection_value(request->mhd, MHD_GET_ARGUMENT_KIND, name);
}

/* ---- answers ---- */

/* Warning: 299 - "text" (RFC 7234, 5.5), without what would break a header. */
static void add_warnings(struct MHD_Response *response, const json_t *warnings)
{
    size_t i;
    const json_t *value;
    json_array_foreach(warnings, i, value)
    {
        buf_auto struct buf text = BUF_INIT;
        buf_puts(&text, "299 - \"");
        for (const char *p = json_or_empty_(value); *p; p++) {
            if (*p == '"' || *p == '\\')
                buf_putc(&text, '\\');
            buf_putc(&text, (unsigned char)*p < ' ' || *p == 0x7f ? ' ' : *p);
        }
        buf_putc(&text, '"');
        MHD_add_response_header(response, "Warning", text.data);
    }
}

/* Which transaction a change is, and the block that it stands in. */
static void add_tx_headers(const struct http_request *request, struct MHD_Response *response)
{
    char id[2 * TX_ID_SIZE + 1], height[24];
    hex_encode(id, request->tx_id, TX_ID_SIZE);
    MHD_add_response_header(response, "Katena-Tx", id);
    if (!request->tx_height)
        return;
    snprintf(height, sizeof(height), "%llu", (unsigned long long)request->tx_height);
    MHD_add_response_header(response, "Katena-Height", height);
}

enum MHD_Result http_queue(struct http_request *request, int status, struct MHD_Response *response)
{
    request->status = status;
    MHD_add_response_header(response, "Cache-Control", "no-cache, private");
    if (status == MHD_HTTP_TOO_MANY_REQUESTS)
        MHD_add_response_header(response, "Retry-After", "1");
    if (request->connection->surplus)
        MHD_add_response_header(response, "Connection", "close");
    if (request->has_tx)
        add_tx_headers(request, response);
    if (request->response && request->response->warnings)
        add_warnings(response, request->response->warnings);
    enum MHD_Result queued = MHD_queue_response(request->mhd, (unsigned)status, response);
    MHD_destroy_response(response);
    return queued;
}

void http_request_streams(struct http_request *request)
{
    if (request->counted)
        atomic_fetch_sub(&request->http->active, 1);
    request->counted = false;
}

static void lay_out(struct buf *body)
{
    struct buf text = BUF_INIT;
    struct json_indent indent = {0};
    json_indent_put(&text, &indent, body->data, body->len);
    buf_free(body);
    *body = text;
}

enum MHD_Result http_reply(struct http_request *request, int status, const char *content_type,
                           struct buf *body)
{
    if (request->query.pretty && strcmp(content_type, "application/json") == 0)
        lay_out(body);
    size_t len = body->len;
    struct MHD_Response *response =
        len ? MHD_create_response_from_buffer(len, buf_steal(body), MHD_RESPMEM_MUST_FREE)
            : MHD_create_response_from_buffer(0, (void *)"", MHD_RESPMEM_PERSISTENT);
    buf_free(body);
    MHD_add_response_header(response, "Content-Type", content_type);
    if (len && strcmp(request->method, MHD_HTTP_METHOD_HEAD) != 0)
        http_send_hold(&request->connection->sender);
    return http_queue(request, status, response);
}

enum MHD_Result http_reply_err(struct http_request *request)
{
    buf_auto struct buf text = BUF_INIT;
    struct buf body = BUF_INIT;
    const struct schema_kind *kind = request->err.code == ERR_UNAUTHORIZED ? NULL : request->kind;
    int status = api_status_of(&text, &request->err, kind, kind ? request->route.name : "", NULL);
    if (!request->represent.form.media)
        request->represent.form = (struct negotiate_result){NEGOTIATE_JSON, NEGOTIATE_OBJECT, false};
    represent_object(&body, &request->represent, text.data, text.len);
    return http_reply(request, status, represent_content_type(&request->represent), &body);
}

/* ---- suspension: see http_internal.h ---- */

bool http_meet_wait(struct http_request *request)
{
    struct api_http *http = request->http;
    if (atomic_load(&request->meeting) == HTTP_DONE)
        return true;
    atomic_fetch_add(&http->waiting, 1);
    if (atomic_load(&http->stopping)) {
        while (atomic_load(&request->meeting) != HTTP_DONE)
            usleep(1000);
        atomic_fetch_sub(&http->waiting, 1);
        return true;
    }
    MHD_suspend_connection(request->mhd);
    if (atomic_exchange(&request->meeting, HTTP_SUSPENDED) == HTTP_DONE) {
        atomic_store(&request->meeting, HTTP_DONE);
        MHD_resume_connection(request->mhd);
        atomic_fetch_sub(&http->waiting, 1);
    }
    return false;
}

void http_meet_done(struct http_request *request)
{
    struct api_http *http = request->http;
    if (atomic_exchange(&request->meeting, HTTP_DONE) != HTTP_SUSPENDED)
        return;
    MHD_resume_connection(request->mhd); /* from here on the request may be gone */
    atomic_fetch_sub(&http->waiting, 1);
}

/* ---- who asks ---- */

static const struct api_identity *certificate_identity(struct http_request *request)
{
    struct http_connection *connection = request->connection;
    if (!connection->identity_known) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(request->mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION);
        connection->identity_known = true;
        connection->has_identity = info && authn_certificate(info->tls_session, &connection->identity);
    }
    return connection->has_identity ? &connection->identity : NULL;
}

/* The token of "Authorization: Bearer TOKEN"; NULL when there is none. */
static const char *bearer_token(struct http_request *request)
{
    const char *value = http_header(request, "Authorization");
    if (!value || strncasecmp(value, "Bearer ", 7) != 0)
        return NULL;
    value += 7;
    return value + strspn(value, " ");
}

static bool anonymous_may_ask(const struct http_request *request)
{
    return request->route.what == ROUTE_HEALTH || request->route.what == ROUTE_VERSION ||
           http_katena_public(request);
}

static int authenticate(struct http_request *request)
{
    request->who = certificate_identity(request);
    if (request->who)
        return 0;
    request->who = &request->own;
    const char *token = bearer_token(request);
    if (token) {
        struct err err = {0};
        if (api_authn_token(request->http->server, token, NULL, 0, clock_wall_us() / 1000000, &request->own,
                            &err) == 0)
            return 0;
        log_debug("http", "token refused: %s", err.message);
        return err_set(&request->err, ERR_UNAUTHORIZED, "Unauthorized");
    }
    if (!anonymous_may_ask(request))
        return err_set(&request->err, ERR_UNAUTHORIZED, "Unauthorized");
    authn_anonymous(&request->own);
    return 0;
}

/* Impersonate-Extra-NAME: NAME is lower-cased and percent-decoded. */
static void add_extra_header(json_t **extra, const char *name, const char *value)
{
    mem_auto char *key = mem_strdup(name);
    for (char *p = key; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    MHD_http_unescape(key);
    if (!*extra)
        *extra = json_object();
    json_array_append_new(json_array_ensure(*extra, key), json_string(value));
}

static enum MHD_Result collect_impersonation(void *cls, enum MHD_ValueKind kind, const char *name,
                                             const char *value)
{
    static const char extra[] = "Impersonate-Extra-";
    struct authn_impersonation *as = cls;
    (void)kind;
    if (!value)
        return MHD_YES;
    if (strcasecmp(name, "Impersonate-User") == 0) {
        as->user = value;
    } else if (strcasecmp(name, "Impersonate-Uid") == 0) {
        as->uid = value;
    } else if (strcasecmp(name, "Impersonate-Group") == 0) {
        as->groups = mem_reallocarray(as->groups, as->group_count + 1, sizeof(*as->groups));
        as->groups[as->group_count++] = value;
    } else if (strncasecmp(name, extra, sizeof(extra) - 1) == 0) {
        add_extra_header(&as->extra, name + sizeof(extra) - 1, value);
    }
    return MHD_YES;
}

static void identity_copy(struct api_identity *out, const struct api_identity *in)
{
    *out = (struct api_identity){.name = mem_strdup(in->name), .uid = mem_strdup(in->uid)};
    for (size_t i = 0; i < in->group_count; i++)
        api_identity_add_group(out, in->groups[i]);
    out->extra = in->extra ? json_deep_copy(in->extra) : NULL;
}

static int impersonate(struct http_request *request)
{
    struct authn_impersonation as = {0};
    MHD_get_connection_values(request->mhd, MHD_HEADER_KIND, collect_impersonation, &as);
    int code = 0;
    if (as.user || as.uid || as.group_count || as.extra) {
        if (request->who != &request->own)
            identity_copy(&request->own, request->who); /* the connection's own identity stays as it is */
        request->who = &request->own;
        code = authn_impersonate(request->http->server, &request->own, &as, &request->err);
    }
    free(as.groups);
    json_decref(as.extra);
    return code;
}

/* ---- what is asked ---- */

static int authorize_path(struct http_request *request, const char *url)
{
    char verb[16];
    size_t n = 0;
    for (const char *p = request->method; *p && n < sizeof(verb) - 1; p++)
        verb[n++] = (char)tolower((unsigned char)*p);
    verb[n] = '\0';
    struct api_user user = api_identity_user(request->who);
    struct rbac_attributes attributes = {.verb = verb,
                                         .group = "",
                                         .resource = "",
                                         .subresource = "",
                                         .namespace = "",
                                         .name = "",
                                         .path = url};
    return api_authorize(request->http->server, &user, &attributes, &request->err);
}

static int prepare(struct http_request *request, const char *url)
{
    if (atomic_load(&request->http->stopping))
        return err_set(&request->err, ERR_UNAVAILABLE, "the server is shutting down");
    if (request->connection->surplus)
        return err_set(&request->err, ERR_TOO_MANY, "too many connections, please try again later");
    int code = authenticate(request);
    if (!code)
        code = impersonate(request);
    if (code)
        return code;
    if (request->route.what == ROUTE_RESOURCE)
        return http_resource_prepare(request);
    if (http_katena_public(request))
        return 0;
    return authorize_path(request, url);
}

/* JSON is laid out for whoever asks for it, and for the programs that people read it in. */
static void read_pretty(struct http_request *request)
{
    static const char *const readers[] = {"curl", "Wget", "Mozilla/5.0"};
    const char *agent = http_header(request, "User-Agent");
    const char *asked = http_argument(request, "pretty");
    for (size_t i = 0; agent && i < sizeof(readers) / sizeof(*readers); i++)
        request->query.pretty |= strncmp(agent, readers[i], strlen(readers[i])) == 0;
    if (asked)
        query_put(&request->query, "pretty", asked, NULL);
}

static struct http_request *request_new(struct api_http *http, struct MHD_Connection *mhd, const char *url,
                                        const char *method)
{
    struct http_request *request = mem_zalloc(sizeof(*request));
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    request->http = http;
    request->connection = info->socket_context;
    atomic_store(&request->connection->requested, true);
    request->mhd = mhd;
    request->method = method;
    request->started_us = clock_mono_us();
    request->counted = true;
    atomic_fetch_add(&http->active, 1);
    atomic_init(&request->meeting, HTTP_RUNNING);
    route_parse(&request->route, url);
    query_init(&request->query);
    read_pretty(request);
    request->represent.include_object = "Metadata";
    prepare(request, url); /* what fails is in request->err */
    return request;
}

static int too_large(struct http_request *request)
{
    return err_set(&request->err, ERR_TOO_LARGE, "Request entity too large: limit is %d", API_BODY_MAX);
}

/* The headers are there. A request that fails and whose client waits before it sends (or would send too much)
 * is answered at once. */
static enum MHD_Result on_headers(struct http_request *request)
{
    const char *length_text = http_header(request, "Content-Length");
    unsigned long long length = length_text ? strtoull(length_text, NULL, 10) : 0;
    const char *expect = http_header(request, "Expect");
    if (!request->err.code && length > API_BODY_MAX)
        too_large(request);
    if (request->err.code && (length > HTTP_DRAIN_MAX || expect))
        return http_reply_err(request);
    if (!request->err.code && length)
        buf_reserve(&request->body, (size_t)length);
    return MHD_YES;
}

static enum MHD_Result on_body(struct http_request *request, const char *upload, size_t *upload_size)
{
    size_t n = *upload_size;
    *upload_size = 0;
    request->body_seen += n;
    if (request->body_seen > HTTP_DRAIN_MAX || clock_mono_us() - request->started_us > HTTP_BODY_US)
        return MHD_NO;
    if (!request->err.code && request->body_seen > API_BODY_MAX)
        too_large(request);
    if (request->err.code)
        buf_free(&request->body);
    else
        buf_append(&request->body, upload, n);
    return MHD_YES;
}

static enum MHD_Result run(struct http_request *request)
{
    if (request->err.code)
        return http_reply_err(request);
    if (request->route.what == ROUTE_RESOURCE)
        return http_resource_run(request);
    if (http_katena_handles(request))
        return http_katena_run(request);
    return http_paths_run(request);
}

enum MHD_Result http_access(void *cls, struct MHD_Connection *mhd, const char *url, const char *method,
                            const char *version, const char *upload, size_t *upload_size, void **request_cls)
{
    (void)version;
    struct http_request *request = *request_cls;
    if (!request) {
        request = request_new(cls, mhd, url, method);
        *request_cls = request;
        return on_headers(request);
    }
    if (*upload_size)
        return on_body(request, upload, upload_size);
    /* The second and later calls of a request that was suspended: its work is done. */
    if (atomic_load(&request->meeting) == HTTP_DONE && http_katena_handles(request))
        return request->work ? http_work_resume(request) : http_katena_resume(request);
    if (atomic_load(&request->meeting) == HTTP_DONE)
        return request->chain ? http_chain_resume(request) : http_resource_resume(request);
    return run(request);
}

void http_completed(void *cls, struct MHD_Connection *mhd, void **request_cls,
                    enum MHD_RequestTerminationCode why)
{
    struct api_http *http = cls;
    struct http_request *request = *request_cls;
    (void)mhd;
    (void)why;
    if (!request)
        return;
    bool resource = request->route.what == ROUTE_RESOURCE;
    unsigned verb = resource ? (unsigned)request->verb : METRICS_VERBS - 1;
    int64_t duration_us = verb == API_WATCH ? -1 : clock_mono_us() - request->started_us;
    metrics_count(&http->metrics, verb, request->status, duration_us);
    http_request_streams(request);
    if (request->job)
        http_pod_free(request->job);
    if (request->chain)
        http_chain_free(request->chain);
    if (request->work)
        http_work_free(request->work);
    api_response_free(request->response);
    api_identity_free(&request->own);
    route_free(&request->route);
    buf_free(&request->body);
    free(request->selector);
    free(request);
    *request_cls = NULL;
}
