/*
 * The API in process: client.h over api_handle, with the whole pipeline but no HTTP. A request waits on a
 * condition variable for its answer, and is run again when it lost a race. Watches are in local_watch.c. What
 * is asked about other nodes, the ledger knows.
 */
#include "api/local_internal.h"

#include "api/node_events.h"
#include "base/clock.h"
#include "base/mem.h"
#include "object/registry.h"
#include "validator/registry.h"

#include <stdio.h>

/* An undone change whose node is away may take long to come back: others do not wait for it. */
#define SETTLE_US 10000000LL

struct answer {
    pthread_mutex_t lock;
    pthread_cond_t ready;
    struct api_response *response;
};

static void on_answer(void *arg, struct api_response *response)
{
    struct answer *answer = arg;
    pthread_mutex_lock(&answer->lock);
    answer->response = response;
    pthread_cond_signal(&answer->ready);
    pthread_mutex_unlock(&answer->lock);
}

/* Handles the request to its end. The caller frees the response. */
static struct api_response *handle(struct api_server *server, struct api_request *request)
{
    struct answer answer = {.lock = PTHREAD_MUTEX_INITIALIZER, .ready = PTHREAD_COND_INITIALIZER};
    for (;;) {
        api_handle(server, request, on_answer, &answer);
        pthread_mutex_lock(&answer.lock);
        while (!answer.response)
            pthread_cond_wait(&answer.ready, &answer.lock);
        pthread_mutex_unlock(&answer.lock);
        if (!answer.response->retry)
            break;
        api_response_free(answer.response);
        answer.response = NULL;
    }
    pthread_mutex_destroy(&answer.lock);
    pthread_cond_destroy(&answer.ready);
    return answer.response;
}

static const enum api_verb verbs[] = {
    [CLIENT_GET] = API_GET,
    [CLIENT_LIST] = API_LIST,
    [CLIENT_CREATE] = API_CREATE,
    [CLIENT_UPDATE] = API_UPDATE,
    [CLIENT_PATCH] = API_PATCH,
    [CLIENT_DELETE] = API_DELETE,
    [CLIENT_DELETE_COLLECTION] = API_DELETE_COLLECTION,
};

static const char *const patch_types[] = {
    [CLIENT_PATCH_JSON] = "application/json-patch+json",
    [CLIENT_PATCH_MERGE] = "application/merge-patch+json",
    [CLIENT_PATCH_STRATEGIC] = "application/strategic-merge-patch+json",
    [CLIENT_PATCH_APPLY] = "application/apply-patch+yaml",
};

static const char *text_or_empty(const char *text)
{
    return text ? text : "";
}

static int translate(const struct local_client *client, const struct client_request *from,
                     struct api_request *to, struct err *err)
{
    *to = (struct api_request){
        .user = client->identity,
        .verb = verbs[from->verb],
        .kind = registry_by_resource(from->resource.group, from->resource.version, from->resource.resource),
        .subresource = text_or_empty(from->subresource),
        .namespace = text_or_empty(from->namespace),
        .name = text_or_empty(from->name),
        .content_type = from->verb == CLIENT_PATCH ? patch_types[from->patch] : NULL,
        .body_value = from->body,
        .label_selector = from->label_selector,
        .field_selector = from->field_selector,
        .owner_uid = from->owner_uid,
        .dry_run = from->dry_run,
        .force = from->force,
        .grace_period_s = -1,
        .field_manager = from->field_manager ? from->field_manager : client->manager,
        .field_validation = API_FIELDS_IGNORE,
        .may_block = true,
    };
    if (!to->kind)
        return err_set(err, ERR_NOT_FOUND, "no resource %s in %s/%s", from->resource.resource,
                       text_or_empty(from->resource.group), text_or_empty(from->resource.version));
    return 0;
}

static json_t *read_list(const struct schema_kind *kind, struct api_list *list)
{
    char api_version[256], digits[24];
    registry_api_version(api_version, sizeof(api_version), kind);
    snprintf(digits, sizeof(digits), "%llu", (unsigned long long)api_list_rv(list));
    json_t *items = json_array();
    buf_auto struct buf text = BUF_INIT;
    while (api_list_next(list, &text)) {
        json_t *item = json_parse_stored(buf_str(&text), text.len, NULL);
        if (item)
            json_array_append_new(items, item);
    }
    return json_pack("{s:s, s:s, s:{s:s}, s:o}", "kind", kind->list_kind, "apiVersion", api_version,
                     "metadata", "resourceVersion", digits, "items", items);
}

/* The code whose HTTP status and reason a failed answer carries. */
static int code_of(int status, const char *reason)
{
    for (int code = ERR_INTERNAL; code >= ERR_STALE; code--)
        if (err_http_status(code) == status && !strcmp(err_reason(code), reason))
            return code;
    return ERR_INTERNAL;
}

static int read_failure(const struct api_response *response, struct err *err)
{
    json_auto_t *status = json_loadb(buf_str(&response->body), response->body.len, 0, NULL);
    return err_set(err, code_of(response->status, json_str_or_empty(status, "reason")), "%s",
                   json_str_or_empty(status, "message"));
}

static int read_answer(const struct api_request *request, struct api_response *response, json_t **out,
                       struct err *err)
{
    if (response->status >= 400)
        return read_failure(response, err);
    if (!out)
        return 0;
    *out = response->list ? read_list(request->kind, response->list)
                          : json_parse_stored(buf_str(&response->body), response->body.len, NULL);
    return *out ? 0 : err_set(err, ERR_INTERNAL, "the answer is no JSON");
}

static int local_request(struct client *base, const struct client_request *request, json_t **out,
                         struct err *err)
{
    struct local_client *client = (struct local_client *)base;
    struct api_request translated;
    int rc = translate(client, request, &translated, err);
    if (rc)
        return rc;
    struct api_response *response = handle(client->server, &translated);
    rc = read_answer(&translated, response, out, err);
    api_response_free(response);
    return rc;
}

struct api_response *local_watch_open(struct local_client *client, const struct client_resource *resource,
                                      const char *namespace, const char *field_selector)
{
    struct client_request request = {
        .verb = CLIENT_LIST, .resource = *resource, .namespace = namespace, .field_selector = field_selector};
    struct api_request translated;
    if (translate(client, &request, &translated, NULL))
        return NULL;
    translated.verb = API_WATCH;
    translated.allow_bookmarks = true;
    translated.send_initial_events = translated.send_initial_events_set = true;
    translated.resource_version_match = "NotOlderThan";
    return handle(client->server, &translated);
}

static struct ledger *ledger_of(struct client *base)
{
    return ((struct local_client *)base)->server->ledger;
}

static bool local_owns(struct client *base, const void *work, size_t len)
{
    return ledger_owns(ledger_of(base), work, len);
}

static enum client_liveness local_liveness(struct client *base, const char *node)
{
    struct ledger_validator *validators = mem_calloc(REGISTRY_MAX, sizeof(*validators));
    size_t count = ledger_validators(ledger_of(base), validators, REGISTRY_MAX);
    enum client_liveness liveness = CLIENT_LIVENESS_UNKNOWN;
    for (size_t i = 0; i < count && i < REGISTRY_MAX; i++) {
        if (!strcmp(validators[i].name, node))
            liveness = validators[i].live || validators[i].self ? CLIENT_LIVE : CLIENT_DOWN;
    }
    free(validators);
    return liveness;
}

static bool local_settled(struct client *base)
{
    struct local_client *client = (struct local_client *)base;
    struct ledger_state state;
    ledger_state(ledger_of(base), &state);
    if (!state.switching && !state.orphans) {
        atomic_store(&client->unsettled_us, 0);
        return true;
    }
    int64_t now = clock_mono_us(), since = atomic_load(&client->unsettled_us);
    if (!since)
        atomic_store(&client->unsettled_us, since = now);
    return now - since >= SETTLE_US;
}

static void on_node_event(void *arg, enum ledger_event event)
{
    struct local_client *client = arg;
    if (event == LEDGER_EVENT_MEMBERS)
        client->members_fn(client->members_arg);
}

static void local_on_members(struct client *base, client_members_fn fn, void *arg)
{
    struct local_client *client = (struct local_client *)base;
    if (client->members_fn)
        api_events_remove(client->server, on_node_event, client);
    client->members_fn = fn;
    client->members_arg = arg;
    if (fn)
        api_events_add(client->server, on_node_event, client);
}

static const struct client_ops local_ops = {
    .request = local_request,
    .watch_start = local_watch_start,
    .watch_start_metadata = local_watch_start_metadata,
    .watch_stop = local_watch_stop,
    .owns = local_owns,
    .liveness = local_liveness,
    .on_members = local_on_members,
    .settled = local_settled,
};

struct client *api_local_client(struct api_server *server, const char *user, const char *const *groups,
                                size_t group_count)
{
    struct local_client *client = mem_zalloc(sizeof(*client));
    client->base.ops = &local_ops;
    client->user = mem_strdup(user);
    client->base.user = client->user;
    client->server = server;
    /* "system:kube-scheduler" signs its fields as "kube-scheduler". */
    const char *colon = strrchr(user, ':');
    client->manager = mem_strdup(colon ? colon + 1 : user);
    client->groups = mem_calloc(group_count + 1, sizeof(*client->groups));
    for (size_t i = 0; i < group_count; i++)
        client->groups[i] = mem_strdup(groups[i]);
    client->identity = (struct api_user){.name = client->user,
                                         .uid = "",
                                         .groups = (const char *const *)client->groups,
                                         .group_count = group_count};
    local_dispatcher_start(client);
    return &client->base;
}

void api_local_client_free(struct client *base)
{
    if (!base)
        return;
    struct local_client *client = (struct local_client *)base;
    local_on_members(base, NULL, NULL);
    local_dispatcher_stop(client);
    for (size_t i = 0; i < client->identity.group_count; i++)
        free(client->groups[i]);
    free(client->groups);
    free(client->user);
    free(client->manager);
    free(client);
}
