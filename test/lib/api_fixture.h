/*
 * An API server without HTTP over a real ledger in a temporary directory, and requests to it in one line:
 *
 *     json_t *pod = api_ok(&f, 201, API_CREATE, "pods", "default", "", "{\"spec\": …}");
 */
#ifndef KATENA_TEST_API_FIXTURE_H
#define KATENA_TEST_API_FIXTURE_H

#include "unit.h"

#include "api/server.h"
#include "base/mem.h"
#include "codec/json.h"
#include "object/registry.h"

#include <ftw.h>
#include <pthread.h>
#include <unistd.h>

struct api_fixture {
    char dir[64];
    struct ledger *ledger;
    struct pki *pki;
    struct api_server *server;
    struct api_user user;     /* who asks; the administrator after api_fixture_open */
    struct api_request extra; /* options that the next request takes (selectors, dry_run, …); then cleared */
    json_t *warnings;         /* of the last response */
};

static const char *const api_masters[] = {"system:masters", "system:authenticated"};

/* The ledger is open. */
static inline void api_fixture_serve(struct api_fixture *f)
{
    struct err err = {0};
    const char *const addresses[] = {"127.0.0.1", NULL};
    struct pki_options pki_options = {.data_dir = f->dir, .node_name = "node", .addresses = addresses};
    if (pki_open(&f->pki, &pki_options, &err))
        fail_msg("%s", err.message);
    struct api_options options = {.ledger = f->ledger,
                                  .pki = f->pki,
                                  .data_dir = f->dir,
                                  .node_name = "node",
                                  .bind_address = "127.0.0.1",
                                  .service_cidr = "10.43.0.0/16",
                                  .advertise_address = "192.0.2.1"};
    if (api_server_start(&f->server, &options, &err))
        fail_msg("%s", err.message);
    f->user = (struct api_user){.name = "admin", .uid = "", .groups = api_masters, .group_count = 2};
}

static inline void api_fixture_start(struct api_fixture *f)
{
    struct err err = {0};
    struct ledger_options ledger_options = {.data_dir = f->dir};
    if (ledger_open(&f->ledger, &ledger_options, &err))
        fail_msg("%s", err.message);
    api_fixture_serve(f);
}

/* The ledger stays open. */
static inline void api_fixture_end(struct api_fixture *f)
{
    api_server_stop(f->server);
    pki_close(f->pki);
    json_decref(f->warnings);
    f->warnings = NULL;
}

static inline void api_fixture_stop(struct api_fixture *f)
{
    api_fixture_end(f);
    ledger_close(f->ledger);
}

static inline void api_fixture_open(struct api_fixture *f)
{
    *f = (struct api_fixture){0};
    snprintf(f->dir, sizeof(f->dir), "/tmp/katena-api-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    api_fixture_start(f);
}

static inline int api_fixture_unlink(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static inline void api_fixture_close(struct api_fixture *f)
{
    api_fixture_stop(f);
    nftw(f->dir, api_fixture_unlink, 16, FTW_DEPTH | FTW_PHYS);
}

static inline const struct schema_kind *api_kind(const char *plural)
{
    for (size_t i = 0; i < registry_count(); i++)
        if (!strcmp(registry_at(i)->plural, plural))
            return registry_at(i);
    fail_msg("no kind %s", plural);
    return NULL;
}

struct api_waiting {
    pthread_mutex_t lock;
    pthread_cond_t ready;
    struct api_response *response;
};

static inline void api_waiting_done(void *arg, struct api_response *response)
{
    struct api_waiting *w = arg;
    pthread_mutex_lock(&w->lock);
    w->response = response;
    pthread_cond_signal(&w->ready);
    pthread_mutex_unlock(&w->lock);
}

/* As the HTTP edge does: waits, and asks again when told to. */
static inline struct api_response *api_run(struct api_server *server, struct api_request *request)
{
    struct api_waiting w = {.lock = PTHREAD_MUTEX_INITIALIZER, .ready = PTHREAD_COND_INITIALIZER};
    for (;;) {
        api_handle(server, request, api_waiting_done, &w);
        pthread_mutex_lock(&w.lock);
        while (!w.response)
            pthread_cond_wait(&w.ready, &w.lock);
        pthread_mutex_unlock(&w.lock);
        if (!w.response->retry)
            return w.response;
        api_response_free(w.response);
        w.response = NULL;
    }
}

/* resource may have a subresource: "pods/status". The caller frees the response. */
static inline struct api_response *api_ask(struct api_fixture *f, enum api_verb verb, const char *resource,
                                           const char *namespace, const char *name, const char *body)
{
    char plural[64];
    const char *slash = strchr(resource, '/');
    snprintf(plural, sizeof(plural), "%.*s", (int)(slash ? slash - resource : (long)strlen(resource)),
             resource);
    struct api_request request = f->extra;
    request.user = f->user;
    request.verb = verb;
    request.kind = api_kind(plural);
    request.subresource = slash ? slash + 1 : "";
    request.namespace = namespace;
    request.name = name;
    request.body = body;
    request.body_len = body ? strlen(body) : 0;
    if (!request.grace_period_s)
        request.grace_period_s = -1;
    if (!request.user_agent)
        request.user_agent = "unit/1.0";
    f->extra = (struct api_request){0};
    struct api_response *response = api_run(f->server, &request);
    json_decref(f->warnings);
    f->warnings = json_incref(response->warnings);
    return response;
}

static inline json_t *api_list_items(struct api_list *list)
{
    json_t *items = json_array();
    struct buf text = BUF_INIT;
    while (api_list_next(list, &text))
        json_array_append_new(items, json_loadb(buf_str(&text), text.len, 0, NULL));
    buf_free(&text);
    json_t *metadata = json_object();
    char rv[32];
    snprintf(rv, sizeof(rv), "%llu", (unsigned long long)api_list_rv(list));
    json_set_str(metadata, "resourceVersion", rv);
    if (*api_list_continue(list))
        json_set_str(metadata, "continue", api_list_continue(list));
    if (api_list_remaining(list) >= 0)
        json_set_int(metadata, "remainingItemCount", api_list_remaining(list));
    return json_pack("{s:o, s:o}", "metadata", metadata, "items", items);
}

/* The answer as JSON, which must have this status. The caller owns it. */
static inline json_t *api_ok(struct api_fixture *f, int status, enum api_verb verb, const char *resource,
                             const char *namespace, const char *name, const char *body)
{
    struct api_response *response = api_ask(f, verb, resource, namespace, name, body);
    if (response->status != status)
        fail_msg("%s %s/%s: status %d, not %d: %s", resource, namespace, name, response->status, status,
                 buf_str(&response->body));
    json_t *value = response->list ? api_list_items(response->list)
                                   : json_loadb(buf_str(&response->body), response->body.len, 0, NULL);
    assert_non_null(value);
    api_response_free(response);
    return value;
}

/* The same, forgotten. */
static inline void api_do(struct api_fixture *f, int status, enum api_verb verb, const char *resource,
                          const char *namespace, const char *name, const char *body)
{
    json_decref(api_ok(f, status, verb, resource, namespace, name, body));
}

/* A request that must fail with this status and message. */
static inline void api_fails(struct api_fixture *f, int status, const char *message, enum api_verb verb,
                             const char *resource, const char *namespace, const char *name, const char *body)
{
    json_t *value = api_ok(f, status, verb, resource, namespace, name, body);
    assert_string_equal(json_str_or_empty(value, "kind"), "Status");
    assert_string_equal(json_str_or_empty(value, "message"), message);
    assert_int_equal(json_int_or(0, value, "code"), status);
    json_decref(value);
}

#endif
