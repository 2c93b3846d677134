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
#include "validator/registry.h"

#include <stdio.h>

#define ENDPOINT_TRIES 8

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

/* ---- where the API is reached ---- */

struct endpoint_form {
    const char *group, *plural;
    json_t *(*addresses)(const json_t *object, json_int_t port); /* new: the texts in it */
    json_t *(*make)(const json_t *addresses, json_int_t port);
};

static void append_text(json_t *list, const json_t *text)
{
    if (json_is_string(text))
        json_array_append(list, (json_t *)text);
}

static json_t *endpoints_addresses(const json_t *object, json_int_t port)
{
    json_t *list = json_array();
    size_t i, k;
    const json_t *subset, *address;
    json_array_foreach(json_at(object, "subsets"), i, subset)
    {
        if (json_int_or(0, json_array_get(json_at(subset, "ports"), 0), "port") != port)
            continue;
        json_array_foreach(json_at(subset, "addresses"), k, address)
            append_text(list, json_at(address, "ip"));
    }
    return list;
}

static json_t *slice_addresses(const json_t *object, json_int_t port)
{
    json_t *list = json_array();
    size_t i;
    const json_t *endpoint;
    if (json_int_or(0, json_array_get(json_at(object, "ports"), 0), "port") != port)
        return list;
    json_array_foreach(json_at(object, "endpoints"), i, endpoint)
        append_text(list, json_array_get(json_at(endpoint, "addresses"), 0));
    return list;
}

static json_t *make_endpoints(const json_t *addresses, json_int_t port)
{
    json_t *list = json_array();
    size_t i;
    const json_t *ip;
    json_array_foreach(addresses, i, ip) json_array_append_new(list, json_pack("{s:O}", "ip", ip));
    return json_pack("{s:{s:s, s:s, s:{s:s}}, s:[{s:o, s:[{s:s, s:I, s:s}]}]}", "metadata", "name",
                     "kubernetes", "namespace", "default", "labels",
                     "endpointslice.kubernetes.io/skip-mirror", "true", "subsets", "addresses", list, "ports",
                     "name", "https", "port", port, "protocol", "TCP");
}

static json_t *make_slice(const json_t *addresses, json_int_t port)
{
    json_t *list = json_array();
    size_t i;
    const json_t *ip;
    json_array_foreach(addresses, i, ip)
        json_array_append_new(list, json_pack("{s:[O], s:{s:b}}", "addresses", ip, "conditions", "ready", 1));
    return json_pack("{s:{s:s, s:s, s:{s:s}}, s:s, s:o, s:[{s:s, s:I, s:s}]}", "metadata", "name",
                     "kubernetes", "namespace", "default", "labels", "kubernetes.io/service-name",
                     "kubernetes", "addressType", "IPv4", "endpoints", list, "ports", "name", "https", "port",
                     port, "protocol", "TCP");
}

/* Whether some node of the cluster has this address: where other nodes reach it is where its API is, too. */
static bool is_of_a_node(const struct registry_validator *nodes, size_t count, const char *ip)
{
    size_t len = strlen(ip);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < nodes[i].address_count; k++)
            if (!strncmp(nodes[i].addresses[k], ip, len) && nodes[i].addresses[k][len] == ':')
                return true;
    return false;
}

static bool has_text(const json_t *list, const char *text)
{
    size_t i;
    const json_t *value;
    json_array_foreach(list, i, value)
    {
        if (!strcmp(json_or_empty_(value), text))
            return true;
    }
    return false;
}

/* What is listed now, without nodes that have gone, and with this one. */
static json_t *wanted_addresses(struct api_server *server, const json_t *listed, const char *own)
{
    const struct state_store_ops *ops = ledger_store_ops(server->ledger);
    struct state_snapshot *snapshot = ops->snapshot_begin(ledger_store(server->ledger));
    mem_auto struct registry_validator *nodes = NULL;
    size_t count = registry_load(&nodes, ops, snapshot), i;
    ops->snapshot_end(snapshot);
    json_t *wanted = json_array();
    const json_t *ip;
    json_array_foreach(listed, i, ip)
    {
        if (is_of_a_node(nodes, count, json_or_empty_(ip)) && !has_text(wanted, json_or_empty_(ip)))
            append_text(wanted, ip);
    }
    if (*own && !has_text(wanted, own))
        json_array_append_new(wanted, json_string(own));
    return wanted;
}

/* An address that others can reach: an endpoint may not be a loopback address. */
static const char *own_address(const struct api_server *server)
{
    const char *address = server->advertise_address;
    return address && strncmp(address, "127.", 4) != 0 ? address : "";
}

/* Returns whether a write was begun. It is made on what was read: another node may write at the same time. */
static bool refresh_endpoint(struct batch *batch, const struct endpoint_form *form)
{
    struct api_server *server = batch->server;
    const json_int_t port = server->port > 0 ? server->port : 6443;
    const struct schema_kind *kind = registry_by_resource(form->group, "v1", form->plural);
    json_auto_t *name = json_pack("{s:{s:s, s:s}}", "metadata", "name", "kubernetes", "namespace", "default");
    buf_auto struct buf text = BUF_INIT;
    bool there = is_there(batch, kind, name, &text);
    json_auto_t *object = there ? json_parse_stored(buf_str(&text), text.len, NULL) : NULL;
    json_auto_t *listed = form->addresses(object, port);
    json_auto_t *wanted = wanted_addresses(server, listed, own_address(server));
    /* A node without an address of use to others adds nothing, and takes away only what is wrong. */
    if (!json_array_size(wanted) || (there && json_equal(listed, wanted)))
        return false;
    json_t *made = form->make(wanted, port);
    if (there)
        json_set_str(json_object_get(made, "metadata"), "resourceVersion",
                     json_str_or_empty(object, "metadata", "resourceVersion"));
    begin(batch, there ? API_UPDATE : API_CREATE, kind, made);
    return true;
}

/* Until there is nothing left to write, or others write all the time. */
static int refresh_endpoints(struct batch *batch, struct err *err)
{
    static const struct endpoint_form forms[] = {
        {"", "endpoints", endpoints_addresses, make_endpoints},
        {"discovery.k8s.io", "endpointslices", slice_addresses, make_slice},
    };
    for (int tries = 0; tries < ENDPOINT_TRIES; tries++) {
        bool begun = false;
        for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++)
            begun |= refresh_endpoint(batch, &forms[i]);
        int rc = batch_wait(batch, err);
        if (rc || !begun)
            return rc;
    }
    return 0;
}

int api_server_refresh_endpoints(struct api_server *server, struct err *err)
{
    struct batch batch = {
        .server = server, .lock = PTHREAD_MUTEX_INITIALIZER, .done = PTHREAD_COND_INITIALIZER};
    int rc = refresh_endpoints(&batch, err);
    pthread_mutex_destroy(&batch.lock);
    pthread_cond_destroy(&batch.done);
    return rc;
}

int bootstrap_run(struct api_server *server, struct err *err)
{
    struct batch batch = {
        .server = server, .lock = PTHREAD_MUTEX_INITIALIZER, .done = PTHREAD_COND_INITIALIZER};
    create_namespaces(&batch);
    int rc = batch_wait(&batch, err);
    if (!rc)
        rc = create_rbac(&batch, err);
    if (!rc)
        create_service(&batch);
    int waited = batch_wait(&batch, err);
    if (!rc && !waited)
        rc = refresh_endpoints(&batch, err);
    pthread_mutex_destroy(&batch.lock);
    pthread_cond_destroy(&batch.done);
    return rc ? rc : waited;
}
