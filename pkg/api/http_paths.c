/* Everything that is no resource: health, version, discovery, OpenAPI, keys, metrics. All of it is answered
 * at once, but for the chain (http_chain.c). */
#include "api/http_internal.h"

#include "api/discovery.h"
#include "api/nodes.h"
#include "base/mem.h"
#include "codec/json.h"
#include "object/openapi.h"
#include "object/registry.h"

#include <gnutls/crypto.h>
#include <stdio.h>
#include <string.h>

#define KUBERNETES_MAJOR "1"
#define KUBERNETES_MINOR "35"
#define KUBERNETES_VERSION "v1.35.0+katena1"
#define TEXT_PLAIN "text/plain; charset=utf-8"
#define JSON_TYPE "application/json"

static enum MHD_Result reply_json(struct http_request *request, struct buf *body)
{
    return http_reply(request, MHD_HTTP_OK, JSON_TYPE, body);
}

static enum MHD_Result reply_not_found(struct http_request *request)
{
    err_set(&request->err, ERR_NOT_FOUND, "the server could not find the requested resource");
    return http_reply_err(request);
}

/* An answer that a client may keep: 304 when it has it already. */
static enum MHD_Result reply_tagged(struct http_request *request, const char *type, const char *etag,
                                    struct buf *body)
{
    const char *known = http_header(request, "If-None-Match");
    bool same = known && strcmp(known, etag) == 0;
    if (same)
        buf_free(body);
    struct MHD_Response *response =
        same ? MHD_create_response_from_buffer(0, (void *)"", MHD_RESPMEM_PERSISTENT)
             : MHD_create_response_from_buffer(body->len, body->data, MHD_RESPMEM_MUST_FREE);
    *body = (struct buf)BUF_INIT;
    MHD_add_response_header(response, "Content-Type", type);
    MHD_add_response_header(response, "ETag", etag);
    MHD_add_response_header(response, "Vary", "Accept");
    return http_queue(request, same ? MHD_HTTP_NOT_MODIFIED : MHD_HTTP_OK, response);
}

/* ---- discovery ---- */

static enum MHD_Result reply_aggregated(struct http_request *request, bool core, enum negotiate_as as)
{
    const struct discovery_document *document = discovery_aggregated(request->http->discovery, core, as);
    struct buf body = BUF_INIT;
    buf_append(&body, document->text.data, document->text.len);
    return reply_tagged(request, discovery_content_type(as), document->etag, &body);
}

static bool old_form(struct http_request *request, struct buf *text)
{
    const struct route *route = &request->route;
    char address[300];
    switch (route->what) {
    case ROUTE_API_VERSIONS: {
        const struct api_server *server = request->http->server;
        const char *host = server->advertise_address ? server->advertise_address : server->bind_address;
        snprintf(address, sizeof(address), "%s:%d", host, server->port);
        discovery_versions(text, address);
        return true;
    }
    case ROUTE_GROUPS:
        discovery_groups(text);
        return true;
    case ROUTE_GROUP:
        return discovery_group(text, route->group);
    default:
        return discovery_resources(text, route->group, route->version);
    }
}

static enum MHD_Result reply_discovery(struct http_request *request)
{
    bool top = request->route.what == ROUTE_API_VERSIONS || request->route.what == ROUTE_GROUPS;
    unsigned media = NEGOTIATE_JSON | NEGOTIATE_YAML | NEGOTIATE_PROTOBUF;
    unsigned as = NEGOTIATE_OBJECT | (top ? NEGOTIATE_DISCOVERY_V2 | NEGOTIATE_DISCOVERY_V2BETA1 : 0);
    struct negotiate_result *form = &request->represent.form;
    if (!negotiate(http_header(request, "Accept"), media, as, form)) {
        char offers[256];
        negotiate_offers(offers, sizeof(offers), media);
        err_set(&request->err, ERR_NOT_ACCEPTABLE, "only the following media types are accepted: %s", offers);
        return http_reply_err(request);
    }
    if (form->as != NEGOTIATE_OBJECT)
        return reply_aggregated(request, request->route.what == ROUTE_API_VERSIONS, form->as);
    buf_auto struct buf text = BUF_INIT;
    struct buf body = BUF_INIT;
    if (!old_form(request, &text))
        return reply_not_found(request);
    represent_object(&body, &request->represent, text.data, text.len);
    return http_reply(request, MHD_HTTP_OK, represent_content_type(&request->represent), &body);
}

/* ---- health and version ---- */

static enum MHD_Result reply_health(struct http_request *request)
{
    /* A server that can answer has its ledger open; what else could be wrong would have ended the process. */
    static const char *const checks[] = {"ping", "ledger"};
    struct buf body = BUF_INIT;
    const char *check = request->route.check;
    if (*check && strcmp(check, checks[0]) != 0 && strcmp(check, checks[1]) != 0)
        return reply_not_found(request);
    if (!MHD_lookup_connection_value_n(request->mhd, MHD_GET_ARGUMENT_KIND, "verbose", 7, NULL, NULL)) {
        buf_puts(&body, "ok");
        return http_reply(request, MHD_HTTP_OK, TEXT_PLAIN, &body);
    }
    for (size_t i = 0; i < sizeof(checks) / sizeof(*checks); i++)
        buf_printf(&body, "[+]%s ok\n", checks[i]);
    buf_printf(&body, "%.*s check passed\n", (int)strcspn(request->route.storage + 1, "/"),
               request->route.storage + 1);
    return http_reply(request, MHD_HTTP_OK, TEXT_PLAIN, &body);
}

static const char *platform(void)
{
#if defined(__x86_64__)
    return "linux/amd64";
#elif defined(__aarch64__)
    return "linux/arm64";
#elif defined(__arm__)
    return "linux/arm";
#elif defined(__riscv)
    return "linux/riscv64";
#else
    return "linux/unknown";
#endif
}

static enum MHD_Result reply_version(struct http_request *request)
{
    json_auto_t *version = json_object();
    json_set_str(version, "major", KUBERNETES_MAJOR);
    json_set_str(version, "minor", KUBERNETES_MINOR);
    json_set_str(version, "emulationMajor", KUBERNETES_MAJOR);
    json_set_str(version, "emulationMinor", KUBERNETES_MINOR);
    json_set_str(version, "minCompatibilityMajor", KUBERNETES_MAJOR);
    json_set_str(version, "minCompatibilityMinor", KUBERNETES_MINOR);
    json_set_str(version, "gitVersion", KUBERNETES_VERSION);
    json_set_str(version, "gitCommit", "katena-" KATENA_VERSION);
    json_set_str(version, "gitTreeState", "clean");
    json_set_str(version, "buildDate", "1970-01-01T00:00:00Z");
    json_set_str(version, "goVersion", "");
    json_set_str(version, "compiler", "gcc");
    json_set_str(version, "platform", platform());
    struct buf body = BUF_INIT;
    json_dump_buf(&body, version);
    request->query.pretty = true; /* for people, whoever asks */
    return reply_json(request, &body);
}

/* ---- OpenAPI ---- */

static enum MHD_Result reply_document(struct http_request *request, const char *type, struct buf *body)
{
    unsigned char digest[32] = {0};
    char etag[67] = "\"";
    gnutls_hash_fast(GNUTLS_DIG_SHA256, body->data, body->len, digest);
    for (size_t i = 0; i < sizeof(digest); i++)
        snprintf(etag + 1 + 2 * i, 3, "%02X", digest[i]);
    memcpy(etag + 65, "\"", 2);
    return reply_tagged(request, type, etag, body);
}

static enum MHD_Result reply_openapi_v2(struct http_request *request)
{
    struct negotiate_result form;
    struct buf body = BUF_INIT;
    if (negotiate(http_header(request, "Accept"), NEGOTIATE_JSON | NEGOTIATE_OPENAPI_PROTOBUF,
                  NEGOTIATE_OBJECT, &form) &&
        form.media == NEGOTIATE_OPENAPI_PROTOBUF) {
        openapi_v2_protobuf(&body);
        return reply_document(request, OPENAPI_V2_PROTOBUF_TYPE, &body);
    }
    openapi_v2(&body);
    return reply_document(request, JSON_TYPE, &body);
}

static enum MHD_Result reply_openapi_v3(struct http_request *request)
{
    struct negotiate_result form;
    struct buf body = BUF_INIT;
    if (!negotiate(http_header(request, "Accept"), NEGOTIATE_JSON, NEGOTIATE_OBJECT, &form)) {
        err_set(&request->err, ERR_NOT_ACCEPTABLE, "only the following media types are accepted: " JSON_TYPE);
        return http_reply_err(request);
    }
    if (!openapi_v3(&body, request->route.group, request->route.version)) {
        buf_free(&body);
        return reply_not_found(request);
    }
    return reply_document(request, JSON_TYPE, &body);
}

/* ---- the rest ---- */

static enum MHD_Result reply_index(struct http_request *request)
{
    static const char *const fixed[] = {"/.well-known/openid-configuration",
                                        "/api",
                                        "/api/v1",
                                        "/apis",
                                        "/healthz",
                                        HTTP_CHAIN_PATH,
                                        "/katena/v1/nodes",
                                        "/katena/v1/status",
                                        "/katena/v1/tx",
                                        "/livez",
                                        "/metrics",
                                        "/openapi/v2",
                                        "/openapi/v3",
                                        "/openid/v1/jwks",
                                        "/readyz",
                                        "/version"};
    json_auto_t *index = json_object();
    json_t *paths = json_array_ensure(index, "paths");
    for (size_t i = 0; i < sizeof(fixed) / sizeof(*fixed); i++)
        json_array_append_new(paths, json_string(fixed[i]));
    const char *last = "";
    for (size_t i = 0; i < registry_count(); i++) {
        const struct schema_kind *kind = registry_at(i);
        if (!*kind->group)
            continue;
        if (strcmp(kind->group, last) != 0)
            json_array_append_new(paths, json_sprintf("/apis/%s", kind->group));
        if (strcmp(kind->group, last) != 0 || (i && strcmp(registry_at(i - 1)->version, kind->version) != 0))
            json_array_append_new(paths, json_sprintf("/apis/%s/%s", kind->group, kind->version));
        last = kind->group;
    }
    struct buf body = BUF_INIT;
    json_dump_buf(&body, index);
    return reply_json(request, &body);
}

static enum MHD_Result reply_openid(struct http_request *request)
{
    const struct api_server *server = request->http->server;
    const char *host = server->advertise_address ? server->advertise_address : server->bind_address;
    json_auto_t *configuration = json_object();
    mem_auto char *keys = mem_printf("https://%s:%d/openid/v1/jwks", host, server->port);
    json_set_str(configuration, "issuer", API_TOKEN_ISSUER);
    json_set_str(configuration, "jwks_uri", keys);
    json_array_append_new(json_array_ensure(configuration, "response_types_supported"),
                          json_string("id_token"));
    json_array_append_new(json_array_ensure(configuration, "subject_types_supported"), json_string("public"));
    json_array_append_new(json_array_ensure(configuration, "id_token_signing_alg_values_supported"),
                          json_string("ES256"));
    struct buf body = BUF_INIT;
    json_dump_buf(&body, configuration);
    return reply_json(request, &body);
}

static enum MHD_Result reply_metrics(struct http_request *request)
{
    struct api_http *http = request->http;
    const struct state_store_ops *ops = ledger_store_ops(http->server->ledger);
    struct state_snapshot *snapshot = ops->snapshot_begin(ledger_store(http->server->ledger));
    uint64_t head_rv = ops->snapshot_rv(snapshot);
    ops->snapshot_end(snapshot);
    pthread_mutex_lock(&http->lock);
    unsigned watchers = http->stream_count;
    unsigned connections = http->connection_count;
    pthread_mutex_unlock(&http->lock);
    struct buf body = BUF_INIT;
    metrics_write(&http->metrics, &body, watchers, connections, head_rv);
    nodes_metrics(http->server, &body);
    return http_reply(request, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8", &body);
}

enum MHD_Result http_paths_run(struct http_request *request)
{
    struct buf body = BUF_INIT;
    if (request->route.what == ROUTE_NONE)
        return reply_not_found(request);
    if (strcmp(request->method, "GET") != 0 && strcmp(request->method, "HEAD") != 0) {
        err_set(&request->err, ERR_METHOD, "the server does not allow this method on the requested resource");
        return http_reply_err(request);
    }
    switch (request->route.what) {
    case ROUTE_INDEX:
        return reply_index(request);
    case ROUTE_VERSION:
        return reply_version(request);
    case ROUTE_HEALTH:
        return reply_health(request);
    case ROUTE_METRICS:
        return reply_metrics(request);
    case ROUTE_OPENAPI_V2:
        return reply_openapi_v2(request);
    case ROUTE_OPENAPI_V3_INDEX:
        openapi_v3_index(&body);
        return reply_document(request, JSON_TYPE, &body);
    case ROUTE_OPENAPI_V3:
        return reply_openapi_v3(request);
    case ROUTE_JWKS:
        pki_jwks(request->http->server->pki, &body);
        return http_reply(request, MHD_HTTP_OK, "application/jwk-set+json", &body);
    case ROUTE_OPENID:
        return reply_openid(request);
    case ROUTE_CHAIN:
        return http_chain_run(request);
    default:
        return reply_discovery(request);
    }
}
