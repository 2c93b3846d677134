/*
 * What every cluster begins with: its namespaces, the built-in roles (api/bootstrap/rbac.json, compiled in),
 * and the Service of the API itself. Each start makes what is missing and changes nothing that is there, so
 * an idle restart writes nothing.
 *
 * A first start writes some forty objects; they go through the verbs as any create does, but several at once,
 * so that they share blocks.
 */
#include "api/verbs_internal.h"

#include "base/log.h"
#include "base/mem.h"
#include "object/registry.h"

#include <stdio.h>

extern const unsigned char bootstrap_rbac[];
extern const size_t bootstrap_rbac_len;

/* Creates under way. */
struct batch {
    struct api_server *server;
    pthread_mutex_t lock;
    pthread_cond_t done;
    unsigned open;
    struct err err; /* the first failure */
};

struct creation {
    struct batch *batch;
    struct api_request request;
    json_t *object;
};

static const char *const administrators[] = {"system:masters"};

static void on_done(void *arg, struct api_response *response)
{
    struct creation *creation = arg;
    struct batch *batch = creation->batch;
    pthread_mutex_lock(&batch->lock);
    if (response->status >= 300 && response->status != 409 && !batch->err.code)
        err_set(&batch->err, ERR_INTERNAL, "bootstrap of %s %s: %s", creation->request.kind->plural,
                json_str_or_empty(creation->object, "metadata", "name"), buf_str(&response->body));
    json_decref(creation->object);
    free(creation);
    api_response_free(response);
    if (--batch->open == 0)
        pthread_cond_signal(&batch->done);
    pthread_mutex_unlock(&batch->lock);
}

/* Whether the object is there; text (may be NULL) gets its content. */
static bool is_there(struct batch *batch, const struct schema_kind *kind, const json_t *object,
                     struct buf *text)
{
    struct resource_key key = {kind->group, kind->plural,
                               kind->namespaced ? json_str_or_empty(object, "metadata", "namespace") : "",
                               json_str_or_empty(object, "metadata", "name")};
    const struct state_store_ops *ops = ledger_store_ops(batch->server->ledger);
    struct state_snapshot *snapshot = ops->snapshot_begin(ledger_store(batch->server->ledger));
    struct state_object state;
    int rc = ops->get(snapshot, &key, &state, NULL);
    if (!rc && text)
        rc = object_open(batch->server, &state, text, NULL);
    ops->snapshot_end(snapshot);
    return rc == 0;
}

static void begin(struct batch *batch, enum api_verb verb, const struct schema_kind *kind, json_t *object)
{
    struct creation *creation = mem_zalloc(sizeof(*creation));
    creation->batch = batch;
    creation->object = object;
    creation->request = (struct api_request){
        .user = {.name = "system:apiserver", .uid = "", .groups = administrators, .group_count = 1},
        .verb = verb,
        .kind = kind,
        .subresource = "",
        .namespace = kind->namespaced ? json_str_or_empty(object, "metadata", "namespace") : "",
        .name = verb == API_UPDATE ? json_str_or_empty(object, "metadata", "name") : "",
        .body_value = object,
        .grace_period_s = -1,
        .field_manager = "katena"};
    pthread_mutex_lock(&batch->lock);
    batch->open++;
    pthread_mutex_unlock(&batch->lock);
    api_handle(batch->server, &creation->request, on_done, creation);
}

/* Begins the creation of object (taken) unless it is there. */
static void create_missing(struct batch *batch, const char *group, const char *plural, json_t *object)
{
    const struct schema_kind *kind = registry_by_resource(group, "v1", plural);
    if (!kind || is_there(batch, kind, object, NULL))
        json_decref(object);
    else
        begin(batch, API_CREATE, kind, object);
}

/* The same, and replaces it when its text has not all of the marks. */
static void create_current(struct batch *batch, const char *group, const char *plural, json_t *object,
                           const char *mark, const char *second_mark)
{
    const struct schema_kind *kind = registry_by_resource(group, "v1", plural);
    buf_auto struct buf text = BUF_INIT;
    if (!is_there(batch, kind, object, &text))
        begin(batch, API_CREATE, kind, object);
    else if (!strstr(buf_str(&text), mark) || !strstr(buf_str(&text), second_mark))
        begin(batch, API_UPDATE, kind, object);
    else
        json_decref(object);
}

static int batch_wait(struct batch *batch, struct err *err)
{
    pthread_mutex_lock(&batch->lock);
    while (batch->open > 0)
        pthread_cond_wait(&batch->done, &batch->lock);
    pthread_mutex_unlock(&batch->lock);
    return batch->err.code ? err_set(err, batch->err.code, "%s", batch->err.message) : 0;
}

static void create_namespaces(struct batch *batch)
{
    static const char *const names[] = {"default", "kube-system", "kube-public", "kube-node-lease"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        create_missing(batch, "", "namespaces", json_pack("{s:{s:s}}", "metadata", "name", names[i]));
}

/* ---- RBAC ---- */

#define RBAC_GROUP "rbac.authorization.k8s.io"

static json_t *rbac_object(const json_t *entry)
{
    json_t *labels = json_object_get(entry, "labels");
    labels = labels ? json_deep_copy(labels) : json_object();
    json_set_str(labels, "kubernetes.io/bootstrapping", "rbac-defaults");
    json_t *metadata =
        json_pack("{s:s, s:o, s:{s:s}}", "name", json_str_or_empty(entry, "name"), "labels", labels,
                  "annotations", "rbac.authorization.kubernetes.io/autoupdate", "true");
    const char *namespace = json_str(entry, "namespace");
    if (namespace)
        json_set_str(metadata, "namespace", namespace);
    return json_pack("{s:o}", "metadata", metadata);
}

static void create_roles(struct batch *batch, const json_t *list, const char *plural)
{
    size_t i;
    const json_t *entry;
    json_array_foreach(list, i, entry)
    {
        json_t *role = rbac_object(entry);
        json_object_set(role, "rules", json_object_get(entry, "rules"));
        json_t *aggregation = json_object_get(entry, "aggregationRule");
        if (aggregation)
            json_object_set(role, "aggregationRule", aggregation);
        create_missing(batch, RBAC_GROUP, plural, role);
    }
}

static json_t *make_subject(const json_t *entry)
{
    json_t *subject = json_copy((json_t *)entry);
    if (strcmp(json_str_or_empty(entry, "kind"), "ServiceAccount") != 0)
        json_set_str(subject, "apiGroup", RBAC_GROUP);
    return subject;
}

static void create_bindings(struct batch *batch, const json_t *list, const char *plural,
                            const char *role_kind)
{
    size_t i, k;
    const json_t *entry, *subject;
    json_array_foreach(list, i, entry)
    {
        json_t *binding = rbac_object(entry);
        json_object_set_new(binding, "roleRef",
                            json_pack("{s:s, s:s, s:s}", "apiGroup", RBAC_GROUP, "kind", role_kind, "name",
                                      json_str_or_empty(entry, "role")));
        json_t *subjects = json_array();
        json_array_foreach(json_object_get(entry, "subjects"), k, subject)
            json_array_append_new(subjects, make_subject(subject));
        json_object_set_new(binding, "subjects", subjects);
        create_missing(batch, RBAC_GROUP, plural, binding);
    }
}

static int create_rbac(struct batch *batch, struct err *err)
{
    json_auto_t *data = json_loadb((const char *)bootstrap_rbac, bootstrap_rbac_len, 0, NULL);
    if (!data)
        return err_set(err, ERR_INTERNAL, "api/bootstrap/rbac.json is no JSON");
    create_roles(batch, json_object_get(data, "clusterRoles"), "clusterroles");
    create_roles(batch, json_object_get(data, "roles"), "roles");
    create_bindings(batch, json_object_get(data, "clusterRoleBindings"), "clusterrolebindings",
                    "ClusterRole");
    create_bindings(batch, json_object_get(data, "roleBindings"), "rolebindings", "Role");
    return 0;
}

/* ---- the Service of the API ---- */

static void create_service(struct batch *batch)
{
    char ip[16];
    allocator_address(batch->server->verbs->allocator, 1, ip);
    const json_int_t port = batch->server->port > 0 ? batch->server->port : 6443;
    json_t *metadata = json_pack("{s:s, s:s, s:{s:s, s:s}}", "name", "kubernetes", "namespace", "default",
                                 "labels", "component", "apiserver", "provider", "kubernetes");
    create_missing(batch, "", "services",
                   json_pack("{s:o, s:{s:s, s:s, s:[{s:s, s:s, s:i, s:I}], s:s}}", "metadata", metadata,
                             "spec", "type", "ClusterIP", "clusterIP", ip, "ports", "name", "https",
                             "protocol", "TCP", "port", 443, "targetPort", port, "sessionAffinity", "None"));
}

/* Where the API of this node is reached. Without an address that others can reach (an endpoint may not be a
 * loopback address) the Service has no endpoints. */
static void create_endpoints(struct batch *batch)
{
    const char *address = batch->server->advertise_address;
    const json_int_t port = batch->server->port > 0 ? batch->server->port : 6443;
    if (!address || !*address || !strncmp(address, "127.", 4))
        return;
    char quoted[64], quoted_port[32];
    snprintf(quoted, sizeof(quoted), "\"%s\"", address);
    snprintf(quoted_port, sizeof(quoted_port), "\"port\":%d", (int)port);
    json_t *endpoints = json_pack("{s:{s:s, s:s, s:{s:s}}, s:[{s:[{s:s}], s:[{s:s, s:I, s:s}]}]}", "metadata",
                                  "name", "kubernetes", "namespace", "default", "labels",
                                  "endpointslice.kubernetes.io/skip-mirror", "true", "subsets", "addresses",
                                  "ip", address, "ports", "name", "https", "port", port, "protocol", "TCP");
    json_t *slice =
        json_pack("{s:{s:s, s:s, s:{s:s}}, s:s, s:[{s:[s], s:{s:b}}], s:[{s:s, s:I, s:s}]}", "metadata",
                  "name", "kubernetes", "namespace", "default", "labels", "kubernetes.io/service-name",
                  "kubernetes", "addressType", "IPv4", "endpoints", "addresses", address, "conditions",
                  "ready", 1, "ports", "name", "https", "port", port, "protocol", "TCP");
    create_current(batch, "", "endpoints", endpoints, quoted, quoted_port);
    create_current(batch, "discovery.k8s.io", "endpointslices", slice, quoted, quoted_port);
}

int bootstrap_run(struct api_server *server, struct err *err)
{
    struct batch batch = {
        .server = server, .lock = PTHREAD_MUTEX_INITIALIZER, .done = PTHREAD_COND_INITIALIZER};
    create_namespaces(&batch);
    int rc = batch_wait(&batch, err);
    if (!rc)
        rc = create_rbac(&batch, err);
    if (!rc) {
        create_service(&batch);
        create_endpoints(&batch);
    }
    int waited = batch_wait(&batch, err);
    pthread_mutex_destroy(&batch.lock);
    pthread_cond_destroy(&batch.done);
    return rc ? rc : waited;
}
