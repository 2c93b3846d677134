/*
 * The endpoints controller: keeps the Endpoints and the EndpointSlices of Services with a selector. Keys:
 * "ns/name" of a service.
 *
 * For each pod it keeps a digest of what endpoints show of it, and its labels as text, so that the many
 * changes of pods that do not matter here end in the callback, and a service's pods are found without a list.
 */
#include "controller/manager_internal.h"

#include "base/buf.h"
#include "base/mem.h"
#include "codec/json.h"
#include "controller/endpoints_plan.h"

#include <inttypes.h>
#include <string.h>

struct endpoints_controller {
    struct controller base;
    pthread_mutex_t lock;
    json_t *pods;     /* key to "digest\nname=value\nname=value\n" */
    json_t *services; /* key to the selector, "name=value\n" for each pair */
};

static void endpoints_start(struct controller *self)
{
    struct endpoints_controller *c = (struct endpoints_controller *)self;
    pthread_mutex_init(&c->lock, NULL);
    c->pods = json_object();
    c->services = json_object();
}

static void endpoints_stop(struct controller *self)
{
    struct endpoints_controller *c = (struct endpoints_controller *)self;
    json_decref(c->pods);
    json_decref(c->services);
    pthread_mutex_destroy(&c->lock);
}

static uint64_t digest_text(uint64_t h, const char *text)
{
    for (; *text; text++)
        h = (h ^ (uint8_t)*text) * 1099511628211ULL;
    return (h ^ 0xff) * 1099511628211ULL;
}

/* What endpoints show of a pod, and its labels. */
static void pod_text(struct buf *out, const json_t *pod)
{
    uint64_t h = 14695981039346656037ULL;
    h = digest_text(h, json_str_or_empty(pod, "status", "podIP"));
    h = digest_text(h, json_str_or_empty(pod, "spec", "nodeName"));
    h = digest_text(h, json_str_or_empty(pod, "spec", "hostname"));
    h = digest_text(h, json_str_or_empty(pod, "spec", "subdomain"));
    h = digest_text(h, kube_uid(pod));
    h = digest_text(h, kube_pod_ready(pod) ? "ready" : "");
    h = digest_text(h, kube_deleting(pod) ? "deleting" : "");
    h = digest_text(h, kube_pod_terminal(pod) ? "terminal" : "");
    buf_printf(out, "%" PRIx64 "\n", h);
    const char *name;
    json_t *value;
    json_object_foreach(json_at(pod, "metadata", "labels"), name, value)
        buf_printf(out, "%s=%s\n", name, json_or_empty_(value));
}

/* Whether a pod's text has every pair of a selector's. The pairs of a selector are lines too. */
static bool text_matches(const char *pod, const char *selector)
{
    const char *labels = strchr(pod, '\n');
    for (const char *pair = selector; *pair;) {
        const char *end = strchr(pair, '\n');
        size_t len = (size_t)(end - pair) + 1; /* with the newline */
        const char *line = labels + 1;
        while (*line && strncmp(line, pair, len) != 0)
            line = strchr(line, '\n') + 1;
        if (!*line)
            return false;
        pair += len;
    }
    return true;
}

static bool key_in_namespace(const char *key, const char *namespace)
{
    size_t len = strlen(namespace);
    return !strncmp(key, namespace, len) && key[len] == '/';
}

/* Asks for every service that had the pod or has it now. The lock is held. */
static void add_services(struct endpoints_controller *c, const char *namespace, const char *before,
                         const char *now)
{
    const char *key;
    json_t *selector;
    json_object_foreach(c->services, key, selector)
    {
        const char *text = json_string_value(selector);
        if (key_in_namespace(key, namespace) &&
            ((before && text_matches(before, text)) || (now && text_matches(now, text))))
            controller_add(&c->base, key);
    }
}

static void pod_event(struct endpoints_controller *c, enum client_event event, const json_t *pod)
{
    char key[KUBE_KEY_MAX];
    kube_key(key, pod);
    buf_auto struct buf now = BUF_INIT;
    bool there = event != CLIENT_DELETED;
    if (there)
        pod_text(&now, pod);
    pthread_mutex_lock(&c->lock);
    const char *before = json_string_value(json_object_get(c->pods, key));
    if (!there || !before || strcmp(before, buf_str(&now)) != 0)
        add_services(c, kube_namespace(pod), before, there ? buf_str(&now) : NULL);
    if (!there)
        json_object_del(c->pods, key);
    else if (!before || strcmp(before, buf_str(&now)) != 0)
        json_object_set_new(c->pods, key, json_string(buf_str(&now)));
    pthread_mutex_unlock(&c->lock);
}

static void service_event(struct endpoints_controller *c, enum client_event event, const json_t *service)
{
    char key[KUBE_KEY_MAX];
    kube_key(key, service);
    buf_auto struct buf selector = BUF_INIT;
    const char *name;
    json_t *value;
    json_object_foreach(json_at(service, "spec", "selector"), name, value)
        buf_printf(&selector, "%s=%s\n", name, json_or_empty_(value));
    pthread_mutex_lock(&c->lock);
    if (event != CLIENT_DELETED && endpoints_wanted(service))
        json_object_set_new(c->services, key, json_string(buf_str(&selector)));
    else
        json_object_del(c->services, key);
    pthread_mutex_unlock(&c->lock);
    controller_add(&c->base, key);
}

static void endpoints_event(struct controller *self, const struct watched *kind, enum client_event event,
                            const json_t *object)
{
    struct endpoints_controller *c = (struct endpoints_controller *)self;
    char key[KUBE_KEY_MAX];
    if (kind->id == KIND_POD) {
        pod_event(c, event, object);
    } else if (kind->id == KIND_SERVICE) {
        service_event(c, event, object);
    } else if (kind->id == KIND_ENDPOINTS && event == CLIENT_DELETED) {
        controller_add_object(self, object);
    } else if (kind->id == KIND_ENDPOINTSLICE && event == CLIENT_DELETED) {
        const char *service = kube_label(object, "kubernetes.io/service-name");
        snprintf(key, sizeof(key), "%s/%s", kube_namespace(object), service ? service : "");
        controller_add(self, key);
    }
}

static void endpoints_again(struct controller *self, const struct watched *kind, const json_t *object)
{
    /* Endpoints of ours may have lost their service. */
    if (kind->id == KIND_SERVICE ||
        (kind->id == KIND_ENDPOINTS && kube_label(object, "endpoints.kubernetes.io/managed-by")))
        controller_add_object(self, object);
}

/* The pods that the service selects, read one by one. */
static int read_pods(struct endpoints_controller *c, const char *service, const char *namespace,
                     json_t **pods, struct err *err)
{
    json_auto_t *names = json_array();
    pthread_mutex_lock(&c->lock);
    const char *selector = json_string_value(json_object_get(c->services, service));
    const char *key;
    json_t *text;
    json_object_foreach(c->pods, key, text)
    {
        if (selector && key_in_namespace(key, namespace) && text_matches(json_string_value(text), selector))
            json_array_append_new(names, json_string(strchr(key, '/') + 1));
    }
    pthread_mutex_unlock(&c->lock);
    json_auto_t *found = json_array();
    for (size_t i = 0; i < json_array_size(names); i++) {
        json_t *pod = NULL;
        int rc = client_get(c->base.client, &kube_pods, namespace,
                            json_string_value(json_array_get(names, i)), &pod, err);
        if (rc && rc != ERR_NOT_FOUND)
            return rc;
        if (!rc)
            json_array_append_new(found, pod);
    }
    *pods = json_incref(found);
    return 0;
}

static int write_endpoints(struct controller *self, const json_t *service, const json_t *pods,
                           struct err *err)
{
    json_auto_t *old = NULL;
    const char *namespace = kube_namespace(service);
    int rc = client_get(self->client, &kube_endpoints, namespace, kube_name(service), &old, err);
    if (rc && rc != ERR_NOT_FOUND)
        return rc;
    json_auto_t *want = endpoints_object(service, pods, old);
    if (!old)
        rc = client_create(self->client, &kube_endpoints, namespace, want, NULL, err);
    else if (!kube_equal(old, want))
        rc = client_update(self->client, &kube_endpoints, NULL, want, NULL, err);
    else
        rc = 0;
    return rc;
}

static int apply_slices(struct controller *self, const char *namespace, const struct endpointslice_plan *plan,
                        struct err *err)
{
    size_t i;
    json_t *slice;
    int rc = 0;
    json_array_foreach(plan->create, i, slice)
    {
        rc = rc ? rc : client_create(self->client, &kube_endpointslices, namespace, slice, NULL, err);
    }
    json_array_foreach(plan->update, i, slice)
    {
        rc = rc ? rc : client_update(self->client, &kube_endpointslices, NULL, slice, NULL, err);
    }
    json_array_foreach(plan->remove, i, slice)
    {
        if (!rc)
            rc = client_delete(self->client, &kube_endpointslices, namespace, kube_name(slice), NULL, err);
        rc = rc == ERR_NOT_FOUND ? 0 : rc;
    }
    return rc;
}

/* The slices of the service that this controller made; others may be a user's own. */
static int read_slices(struct controller *self, const json_t *service, json_t **slices, struct err *err)
{
    json_auto_t *owned = NULL;
    int rc = kube_list_owned(self->client, &kube_endpointslices, kube_namespace(service), kube_uid(service),
                             &owned, err);
    if (rc)
        return rc;
    *slices = json_array();
    size_t i;
    json_t *slice;
    json_array_foreach(owned, i, slice)
    {
        const char *manager = kube_label(slice, "endpointslice.kubernetes.io/managed-by");
        if (manager && !strcmp(manager, ENDPOINTSLICE_MANAGER))
            json_array_append(*slices, slice);
    }
    return 0;
}

static int write_slices(struct controller *self, const json_t *service, const json_t *pods, struct err *err)
{
    json_auto_t *slices = NULL;
    int rc = read_slices(self, service, &slices, err);
    if (rc)
        return rc;
    struct endpointslice_plan plan;
    endpointslice_plan(&plan, service, pods, slices);
    rc = apply_slices(self, kube_namespace(service), &plan, err);
    endpointslice_plan_free(&plan);
    return rc;
}

/* The service is gone: its Endpoints have no owner that would take them along; its slices do. */
static int remove_endpoints(struct controller *self, const char *namespace, const char *name, struct err *err)
{
    json_auto_t *old = NULL;
    int rc = client_get(self->client, &kube_endpoints, namespace, name, &old, err);
    if (!rc && kube_label(old, "endpoints.kubernetes.io/managed-by"))
        rc = client_delete(self->client, &kube_endpoints, namespace, name, NULL, err);
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

static int endpoints_sync(struct controller *self, const struct sync_in *in, int64_t *again_us,
                          struct err *err)
{
    (void)again_us;
    mem_auto char *key = mem_strdup(in->key);
    const char *namespace, *name;
    kube_key_split(key, &namespace, &name);
    json_auto_t *service = NULL;
    int rc = client_get(self->client, &kube_services, namespace, name, &service, err);
    if (rc == ERR_NOT_FOUND)
        return remove_endpoints(self, namespace, name, err);
    if (rc || !endpoints_wanted(service))
        return rc;
    json_auto_t *pods = NULL;
    rc = read_pods((struct endpoints_controller *)self, in->key, namespace, &pods, err);
    if (!rc)
        rc = write_endpoints(self, service, pods, err);
    if (!rc)
        rc = write_slices(self, service, pods, err);
    return rc;
}

const struct controller_type endpoints_controller = {
    .name = "endpoints",
    .size = sizeof(struct endpoints_controller),
    .start = endpoints_start,
    .stop = endpoints_stop,
    .event = endpoints_event,
    .again = endpoints_again,
    .sync = endpoints_sync,
};
