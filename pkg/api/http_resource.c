/* Requests for resources: from the URL and its parameters to an api_request, and from its response to an
 * answer. */
#include "api/http_internal.h"

#include "base/clock.h"
#include "base/hex.h"
#include "base/mem.h"
#include "codec/json.h"
#include "object/registry.h"
#include "object/table.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define NOT_FOUND_TEXT "the server could not find the requested resource"
#define METHOD_TEXT "the server does not allow this method on the requested resource"

/* ---- preparation ---- */

struct query_reader {
    struct query *query;
    struct err *err;
    int code;
};

static enum MHD_Result read_parameter(void *cls, enum MHD_ValueKind kind, const char *name, const char *value)
{
    struct query_reader *reader = cls;
    (void)kind;
    if (!reader->code)
        reader->code = query_put(reader->query, name, value ? value : "", reader->err);
    return MHD_YES;
}

/* The options object that the parameters of a write make up; NULL for reads, which have none to be wrong. */
static const char *options_kind(const char *method)
{
    static const char *const kinds[][2] = {{"POST", "CreateOptions"},
                                           {"PUT", "UpdateOptions"},
                                           {"PATCH", "PatchOptions"},
                                           {"DELETE", "DeleteOptions"}};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
        if (strcmp(method, kinds[i][0]) == 0)
            return kinds[i][1];
    return NULL;
}

static int read_query(struct http_request *request)
{
    struct query_reader reader = {.query = &request->query, .err = &request->err};
    MHD_get_connection_values(request->mhd, MHD_GET_ARGUMENT_KIND, read_parameter, &reader);
    if (reader.code != ERR_INVALID)
        return reader.code;
    const char *kind = options_kind(request->method);
    if (kind)
        return err_wrap(&request->err, "%s.meta.k8s.io \"\" is invalid", kind);
    err_clear(&request->err);
    return 0;
}

/* Nothing is said about what exists to somebody who may not see it: authorization comes before 404. */
static int unknown_resource(struct http_request *request)
{
    struct api_user user = api_identity_user(request->who);
    const struct route *route = &request->route;
    struct rbac_attributes attributes = {
        .verb = route_verb_name(request->verb),
        .group = route->group,
        .resource = route->resource,
        .subresource = route->subresource,
        .namespace = route->namespace,
        .name = route->name,
    };
    if (api_authorize(request->http->server, &user, &attributes, &request->err))
        return request->err.code;
    return err_set(&request->err, ERR_NOT_FOUND, NOT_FOUND_TEXT);
}

/* kubectl asks for the list of CustomResourceDefinitions before it says that it knows no such kind. */
static bool is_definitions(const struct http_request *request)
{
    const struct route *route = &request->route;
    return request->verb == API_LIST && strcmp(route->group, "apiextensions.k8s.io") == 0 &&
           strcmp(route->version, "v1") == 0 && strcmp(route->resource, "customresourcedefinitions") == 0;
}

/* There are none. */
static enum MHD_Result reply_definitions(struct http_request *request)
{
    struct buf body = BUF_INIT;
    buf_puts(&body, "{\"kind\":\"CustomResourceDefinitionList\",\"apiVersion\":\"apiextensions.k8s.io/v1\","
                    "\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[]}");
    return http_reply(request, MHD_HTTP_OK, "application/json", &body);
}

static bool has_subresource(const struct schema_kind *kind, const char *name)
{
    for (size_t i = 0; i < kind->subresource_count; i++)
        if (strcmp(kind->subresources[i].name, name) == 0)
            return true;
    return false;
}

/* Whether the path fits the scope of the kind. Lists and watches may leave the namespace out. */
static bool scope_fits(const struct http_request *request)
{
    const struct route *route = &request->route;
    if (!request->kind->namespaced)
        return !*route->namespace;
    return *route->namespace || (!*route->name && !*route->subresource);
}

static int check_method(struct http_request *request)
{
    const struct route *route = &request->route;
    bool everywhere = request->kind->namespaced && !*route->namespace;
    if (!route_allows(request->kind, route->subresource, request->verb) ||
        (everywhere && request->verb != API_LIST && request->verb != API_WATCH) ||
        (request->verb == API_CREATE && *route->name && !*route->subresource) ||
        ((request->verb == API_UPDATE || request->verb == API_PATCH) && !*route->name))
        return err_set(&request->err, ERR_METHOD, METHOD_TEXT);
    return 0;
}

static unsigned offered_forms(const struct http_request *request)
{
    switch (request->verb) {
    case API_LIST:
        return NEGOTIATE_OBJECT | NEGOTIATE_TABLE | NEGOTIATE_PARTIAL_LIST;
    default:
        return NEGOTIATE_OBJECT | NEGOTIATE_TABLE | NEGOTIATE_PARTIAL;
    }
}

static int negotiate_answer(struct http_request *request)
{
    char offers[256];
    unsigned media = request->verb == API_WATCH ? NEGOTIATE_JSON | NEGOTIATE_PROTOBUF
                                                : NEGOTIATE_JSON | NEGOTIATE_YAML | NEGOTIATE_PROTOBUF;
    request->represent.kind =
        strcmp(request->route.subresource, "scale") == 0 ? &table_scale_kind : request->kind;
    request->represent.include_object = request->query.include_object;
    request->represent.now_us = clock_wall_us();
    if (negotiate(http_header(request, "Accept"), media, offered_forms(request), &request->represent.form))
        return 0;
    negotiate_offers(offers, sizeof(offers), media);
    return err_set(&request->err, ERR_NOT_ACCEPTABLE, "only the following media types are accepted: %s",
                   offers);
}

int http_resource_prepare(struct http_request *request)
{
    const struct route *route = &request->route;
    int code = read_query(request);
    if (code)
        return code;
    if (!route_verb(route, request->method, request->query.watch, &request->verb))
        return err_set(&request->err, ERR_METHOD, METHOD_TEXT);
    request->kind = registry_by_resource(route->group, route->version, route->resource);
    if (!request->kind && is_definitions(request)) {
        code = unknown_resource(request);
        if (code == ERR_NOT_FOUND)
            err_clear(&request->err);
        return code == ERR_NOT_FOUND ? 0 : code;
    }
    if (!request->kind || route->deep || !scope_fits(request) ||
        (*route->subresource && !has_subresource(request->kind, route->subresource)))
        return unknown_resource(request);
    code = check_method(request);
    if (code || http_pod_handles(request)) /* logs and streams have forms of their own */
        return code;
    return negotiate_answer(request);
}

/* ---- the call ---- */

static void on_done(void *arg, struct api_response *response)
{
    struct http_request *request = arg;
    request->response = response;
    http_meet_done(request);
}

static enum MHD_Result call(struct http_request *request);

/* ---- commit=irreversible ---- */

/* Notes what the write was; whether the client, or the object, wants to be answered when it is final. */
static bool must_wait(struct http_request *request)
{
    const struct api_response *response = request->response;
    if (!response->has_tx || response->status >= 300)
        return false;
    request->has_tx = true;
    request->tx_height = response->height;
    memcpy(request->tx_id, response->tx_id, TX_ID_SIZE);
    return (request->query.commit_final || response->wait_final) && !request->final_known;
}

static enum MHD_Result answer(struct http_request *request);

static enum MHD_Result wait_final(struct http_request *request)
{
    atomic_store(&request->meeting, HTTP_RUNNING);
    return http_final_wait(request, request->tx_id, request->query.commit_timeout_us) ? answer(request)
                                                                                      : MHD_YES;
}

/* The change stands, but not yet, or no longer, for good: the client has to know both. */
static enum MHD_Result reply_not_final(struct http_request *request)
{
    char id[2 * TX_ID_SIZE + 1], why[512];
    hex_encode(id, request->tx_id, TX_ID_SIZE);
    snprintf(why, sizeof(why), "%.500s", request->err.message);
    if (request->final_code == ERR_TIMEOUT)
        err_set(
            &request->err, ERR_TIMEOUT,
            "the change is included in block %llu, but was not final within %lld ms: not enough nodes have "
            "confirmed it yet. It may become final later; ask with: katena chain status %s",
            (unsigned long long)request->tx_height, (long long)request->query.commit_timeout_us / 1000, id);
    else
        err_set(&request->err, request->final_code,
                "the change did not become final: %s. Ask with: katena chain status %s", why, id);
    return http_reply_err(request);
}

static enum MHD_Result answer(struct http_request *request)
{
    struct api_response *response = request->response;
    assert(response);
    if (response->retry) {
        request->response = NULL;
        api_response_free(response);
        return call(request);
    }
    if (response->list)
        return http_list_reply(request, response);
    if (response->watch)
        return http_watch_reply(request, response);
    if (must_wait(request))
        return wait_final(request);
    if (request->final_code)
        return reply_not_final(request);
    const char *type = represent_content_type(&request->represent);
    if (represent_is_plain(&request->represent))
        return http_reply(request, response->status, type, &response->body);
    struct buf body = BUF_INIT;
    represent_object(&body, &request->represent, response->body.data, response->body.len);
    return http_reply(request, response->status, type, &body);
}

static enum MHD_Result call(struct http_request *request)
{
    atomic_store(&request->meeting, HTTP_RUNNING);
    /* With nobody else to serve, this thread makes the block itself: a hand-over to another processor and
     * back costs more than the block (shared by all writers as soon as there are several). */
    request->api.may_block = atomic_load(&request->http->active) == 1;
    api_handle(request->http->server, &request->api, on_done, request);
    return http_meet_wait(request) ? answer(request) : MHD_YES;
}

/* The media type without its parameters, cut in the body's own memory: a copy that the request keeps. */
static const char *content_type(struct http_request *request, char *out, size_t size)
{
    const char *value = http_header(request, "Content-Type");
    if (!value)
        return NULL;
    size_t n = strcspn(value, "; \t");
    snprintf(out, size, "%.*s", (int)n, value);
    return out;
}

/* A watch of one object by its path is one of the collection with a selector for the name. */
static const char *name_selector(struct http_request *request)
{
    const char *more = request->query.field_selector;
    free(request->selector);
    request->selector =
        mem_printf("metadata.name=%s%s%s", request->route.name, more ? "," : "", more ? more : "");
    return request->selector;
}

enum MHD_Result http_resource_run(struct http_request *request)
{
    if (!request->kind)
        return reply_definitions(request);
    if (http_pod_handles(request))
        return http_pod_run(request);
    const struct route *route = &request->route;
    request->api = (struct api_request){
        .user = api_identity_user(request->who),
        .verb = request->verb,
        .kind = request->kind,
        .subresource = route->subresource,
        .namespace = route->namespace,
        .name = route->name,
        .content_type = content_type(request, request->content_type, sizeof(request->content_type)),
        .body = request->body.data,
        .body_len = request->body.len,
        .user_agent = http_header(request, "User-Agent"),
    };
    const char *level = http_header(request, "Katena-Commit");
    if (level && query_put_commit(&request->query, level, &request->err))
        return http_reply_err(request);
    query_apply(&request->query, &request->api);
    if (request->verb == API_WATCH && *route->name)
        request->api.field_selector = name_selector(request);
    return call(request);
}

enum MHD_Result http_resource_resume(struct http_request *request)
{
    return request->job ? http_pod_resume(request) : answer(request);
}
