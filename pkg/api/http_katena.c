/*
 * /katena/v1: what Kubernetes has no words for. Joining (join.h), the nodes of the cluster as this one sees
 * them, how far the chain is, and what became of a transaction.
 */
#include "api/http_internal.h"

#include "api/join_admit.h"
#include "api/nodes.h"
#include "base/clock.h"
#include "base/hex.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "blockstore/blockstore.h"
#include "codec/json.h"

#include <string.h>

#define JSON_TYPE "application/json"
#define PEM_TYPE "application/x-pem-file"

bool http_katena_handles(const struct http_request *request)
{
    enum route_what what = request->route.what;
    return what == ROUTE_CA || what == ROUTE_JOIN || what == ROUTE_STATUS || what == ROUTE_NODES ||
           what == ROUTE_TX;
}

bool http_katena_public(const struct http_request *request)
{
    return request->route.what == ROUTE_CA || request->route.what == ROUTE_JOIN;
}

static bool method_is(const struct http_request *request, const char *method)
{
    return strcmp(request->method, method) == 0;
}

static enum MHD_Result reply_value(struct http_request *request, const json_t *value)
{
    struct buf body = BUF_INIT;
    json_dump_buf(&body, value);
    return http_reply(request, MHD_HTTP_OK, JSON_TYPE, &body);
}

/* ---- joining ---- */

static enum MHD_Result reply_ca(struct http_request *request)
{
    struct buf body = BUF_INIT;
    buf_puts(&body, pki_ca_cert(request->http->server->pki));
    return http_reply(request, MHD_HTTP_OK, PEM_TYPE, &body);
}

static enum MHD_Result reply_challenge(struct http_request *request)
{
    struct buf body = BUF_INIT;
    uint8_t challenge[JOIN_CHALLENGE_SIZE];
    join_challenge_make(challenge, pki_seal_key(request->http->server->pki), clock_wall_us() / 1000000);
    join_challenge_encode(&body, challenge);
    return http_reply(request, MHD_HTTP_OK, JSON_TYPE, &body);
}

static int admit(struct http_work *work)
{
    struct http_request *request = work->request;
    mem_auto struct join_request *join = mem_zalloc(sizeof(*join));
    struct join_answer answer;
    int code = join_request_decode(join, buf_str(&request->body), request->body.len, &request->err);
    if (!code)
        code = join_admit(request->http->server, join, &answer, &request->err);
    explicit_bzero(&join->token, sizeof(join->token));
    if (code)
        return code;
    join_answer_encode(&work->body, &answer);
    join_answer_free(&answer);
    return 0;
}

/* ---- nodes ---- */

static enum MHD_Result reply_nodes(struct http_request *request)
{
    const char *name = request->route.name;
    json_auto_t *list = nodes_list(request->http->server);
    if (!*name)
        return reply_value(request, list);
    size_t i;
    const json_t *node;
    json_array_foreach(json_object_get(list, "items"), i, node)
    {
        if (strcmp(json_str_or_empty(node, "name"), name) == 0)
            return reply_value(request, node);
    }
    err_set(&request->err, ERR_NOT_FOUND, "the cluster has no node \"%s\"; see katena node list", name);
    return http_reply_err(request);
}

static void put_success(struct buf *body)
{
    buf_puts(body, "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Success\"}");
}

static int remove_node(struct http_work *work)
{
    struct http_request *request = work->request;
    int code = nodes_remove(request->http->server, request->route.name, &request->err);
    if (!code)
        put_success(&work->body);
    return code;
}

static int rotate_node(struct http_work *work)
{
    struct http_request *request = work->request;
    int code = nodes_rotate(request->http->server, request->route.name, &request->err);
    if (!code)
        put_success(&work->body);
    return code;
}

/* ---- transactions ---- */

/* The transaction that the path names: by its id, or its first digits when it is in a block. */
static int find_by_id(struct http_request *request, uint8_t out[TX_ID_SIZE])
{
    const char *text = request->route.name;
    bool is_block = false;
    if (hex_decode(out, TX_ID_SIZE, text))
        return 0;
    int code =
        blockstore_find_id(ledger_store(request->http->server->ledger), text, out, &is_block, &request->err);
    if (!code && is_block)
        code = err_set(&request->err, ERR_BAD_REQUEST, "%s is a block, not a transaction", text);
    return code;
}

static const char *argument_or_empty(struct http_request *request, const char *name)
{
    const char *value = http_argument(request, name);
    return value ? value : "";
}

/* The transaction that made an object what it is. */
static int find_by_object(struct http_request *request, uint8_t out[TX_ID_SIZE], uint64_t *rv)
{
    struct api_server *server = request->http->server;
    struct resource_key key = {argument_or_empty(request, "group"), argument_or_empty(request, "resource"),
                               argument_or_empty(request, "namespace"), argument_or_empty(request, "name")};
    if (!*key.resource || !*key.name)
        return err_set(&request->err, ERR_BAD_REQUEST,
                       "name a transaction, or an object by group, resource, namespace and name");
    const struct state_store_ops *ops = ledger_store_ops(server->ledger);
    struct state_snapshot *snapshot = ops->snapshot_begin(ledger_store(server->ledger));
    struct state_object object;
    int code = ops->get(snapshot, &key, &object, NULL);
    if (!code) {
        memcpy(out, object.tx_id, TX_ID_SIZE);
        *rv = object.rv;
    }
    ops->snapshot_end(snapshot);
    if (code)
        err_set(&request->err, code, "%s%s%s \"%s\" not found", key.resource, *key.group ? "." : "",
                key.group, key.name);
    return code;
}

static void set_hash(json_t *value, const char *name, const uint8_t *hash)
{
    static const uint8_t none[TX_ID_SIZE];
    char digits[2 * TX_ID_SIZE + 1];
    hex_encode(digits, hash, TX_ID_SIZE);
    if (memcmp(hash, none, TX_ID_SIZE) != 0)
        json_set_str(value, name, digits);
}

/* What made an object may be from before this node's chain, or before another one's whose state was carried
 * over. Where it stands is told by the object's resourceVersion then. */
static void find_status(struct http_request *request, struct ledger_tx_status *out)
{
    struct ledger *ledger = request->http->server->ledger;
    struct ledger_state state;
    ledger_tx_status(ledger, request->tx_id, out);
    if (out->level != LEDGER_UNKNOWN || !request->object_rv)
        return;
    ledger_state(ledger, &state);
    if (block_time_of_rv(request->object_rv) > state.final_time_us)
        return;
    out->level = LEDGER_IRREVERSIBLE;
    out->rv = request->object_rv;
}

static bool is_irreversible(struct http_request *request)
{
    struct ledger_tx_status status;
    find_status(request, &status);
    return status.level == LEDGER_IRREVERSIBLE;
}

static void set_place(json_t *value, const struct ledger_tx_status *status)
{
    static const uint8_t none[TX_ID_SIZE];
    if (memcmp(status->block, none, TX_ID_SIZE) != 0)
        json_set_int(value, "height", (int64_t)status->height);
    set_hash(value, "block", status->block);
    if (status->rv)
        json_object_set_new(value, "resourceVersion", json_sprintf("%llu", (unsigned long long)status->rv));
}

static enum MHD_Result reply_tx(struct http_request *request)
{
    static const char *const levels[] = {[LEDGER_UNKNOWN] = "unknown",
                                         [LEDGER_ACCEPTED] = "accepted",
                                         [LEDGER_INCLUDED] = "included",
                                         [LEDGER_IRREVERSIBLE] = "irreversible",
                                         [LEDGER_REJECTED] = "rejected"};
    struct ledger_tx_status status;
    find_status(request, &status);
    json_auto_t *value = json_object();
    json_set_str(value, "kind", "TransactionStatus");
    json_set_str(value, "apiVersion", "katena.io/v1");
    set_hash(value, "transaction", request->tx_id);
    json_set_str(value, "level", levels[status.level]);
    if (status.level == LEDGER_INCLUDED || status.level == LEDGER_IRREVERSIBLE)
        set_place(value, &status);
    set_hash(value, "replayedBy", status.replayed_by);
    if (*status.reason)
        json_set_str(value, "reason", status.reason);
    if (request->final_code == ERR_TIMEOUT)
        json_object_set_new(value, "timedOut", json_true());
    err_clear(&request->err);
    return reply_value(request, value);
}

/* ?wait=irreversible&timeout=30s */
static enum MHD_Result run_tx(struct http_request *request)
{
    const char *wait = argument_or_empty(request, "wait");
    const char *timeout = http_argument(request, "timeout");
    int64_t timeout_us = QUERY_COMMIT_TIMEOUT_US;
    request->object_rv = 0;
    int code = *request->route.name ? find_by_id(request, request->tx_id)
                                    : find_by_object(request, request->tx_id, &request->object_rv);
    if (!code && timeout &&
        (!timefmt_duration(timeout, &timeout_us) || timeout_us > QUERY_COMMIT_TIMEOUT_MAX_US))
        code = err_set(&request->err, ERR_BAD_REQUEST, "timeout is no duration of one hour at most");
    if (!code && *wait && strcmp(wait, "irreversible") != 0)
        code = err_set(&request->err, ERR_BAD_REQUEST, "wait takes \"irreversible\"");
    if (code)
        return http_reply_err(request);
    if (!*wait || is_irreversible(request))
        return reply_tx(request);
    return http_final_wait(request, request->tx_id, timeout_us) ? reply_tx(request) : MHD_YES;
}

enum MHD_Result http_katena_resume(struct http_request *request)
{
    return reply_tx(request);
}

/* ---- all of them ---- */

static enum MHD_Result run_get(struct http_request *request)
{
    json_auto_t *value = NULL;
    switch (request->route.what) {
    case ROUTE_CA:
        return reply_ca(request);
    case ROUTE_JOIN:
        return reply_challenge(request);
    case ROUTE_NODES:
        return reply_nodes(request);
    case ROUTE_STATUS:
        value = nodes_status(request->http->server);
        return reply_value(request, value);
    default:
        return run_tx(request);
    }
}

enum MHD_Result http_katena_run(struct http_request *request)
{
    const struct route *route = &request->route;
    if (method_is(request, "GET") || method_is(request, "HEAD"))
        return run_get(request);
    if (route->what == ROUTE_JOIN && method_is(request, "POST"))
        return http_work_run(request, admit);
    if (route->what == ROUTE_NODES && *route->name && method_is(request, "DELETE"))
        return http_work_run(request, remove_node);
    if (route->what == ROUTE_NODES && *route->name && method_is(request, "POST") &&
        !strcmp(argument_or_empty(request, "action"), "rotate-keys"))
        return http_work_run(request, rotate_node);
    err_set(&request->err, ERR_METHOD, "the server does not allow this method on the requested resource");
    return http_reply_err(request);
}
