/* The namespace controller: empties a namespace that is being deleted, pods first, and lets it go. Keys:
 * names. */
#include "controller/manager_internal.h"

#include "base/mem.h"
#include "codec/json.h"
#include "controller/namespace_plan.h"

#include <string.h>

#define FINALIZER "kubernetes"
#define GONE_DELAY_US 10000 /* many objects vanish at once: look once */
#define AGAIN_US 15000000LL /* while something remains; changes bring the key back earlier */

struct namespace_controller {
    struct controller base;
    pthread_mutex_t lock;
    json_t *terminating; /* set of names */
};

/* What is left after a round of deleting. */
struct content {
    json_t *remaining;
    json_t *finalizers;
    json_t *failures;
};

static void namespace_start(struct controller *self)
{
    struct namespace_controller *c = (struct namespace_controller *)self;
    pthread_mutex_init(&c->lock, NULL);
    c->terminating = json_object();
}

static void namespace_stop(struct controller *self)
{
    struct namespace_controller *c = (struct namespace_controller *)self;
    json_decref(c->terminating);
    pthread_mutex_destroy(&c->lock);
}

static void namespace_event(struct controller *self, const struct watched *kind, enum client_event event,
                            const json_t *object)
{
    struct namespace_controller *c = (struct namespace_controller *)self;
    pthread_mutex_lock(&c->lock);
    bool look = false, gone = false;
    if (kind->id == KIND_NAMESPACE) {
        look = event != CLIENT_DELETED && kube_deleting(object);
        if (look)
            json_object_set_new(c->terminating, kube_name(object), json_true());
        else
            json_object_del(c->terminating, kube_name(object));
    } else if (event == CLIENT_DELETED) {
        gone = json_object_get(c->terminating, kube_namespace(object));
    }
    pthread_mutex_unlock(&c->lock);
    if (look)
        controller_add(self, kube_name(object));
    if (gone)
        controller_add_after(self, kube_namespace(object), GONE_DELAY_US);
}

static void namespace_again(struct controller *self, const struct watched *kind, const json_t *object)
{
    if (kind->id == KIND_NAMESPACE && kube_deleting(object))
        controller_add_object(self, object);
}

static void count_remaining(struct content *content, const struct watched *kind, const json_t *items)
{
    if (json_array_size(items) == 0)
        return;
    mem_auto char *name = mem_printf("%s.%s", kind->kind->plural, kind->kind->group);
    json_set_int(content->remaining, name, (int64_t)json_array_size(items));
    size_t i, j;
    json_t *item, *finalizer;
    json_array_foreach(items, i, item)
    {
        json_array_foreach(json_at(item, "metadata", "finalizers"), j, finalizer)
        {
            const char *f = json_or_empty_(finalizer);
            json_set_int(content->finalizers, f, json_int_or(0, content->finalizers, f) + 1);
        }
    }
}

static int delete_kind(struct controller *self, const struct watched *kind, const char *namespace,
                       struct content *content, struct err *err)
{
    json_auto_t *items = NULL;
    int rc = client_list(self->client, &kind->resource, namespace, NULL, NULL, &items, err);
    if (rc || json_array_size(items) == 0)
        return rc;
    struct client_request request = {
        .verb = CLIENT_DELETE_COLLECTION, .resource = kind->resource, .namespace = namespace};
    bool collection = false;
    for (const char *const *v = kind->kind->verbs; v && *v; v++)
        collection |= !strcmp(*v, "deletecollection");
    if (collection)
        rc = client_do(self->client, &request, NULL, err);
    for (size_t i = 0; !collection && !rc && i < json_array_size(items); i++) {
        rc = client_delete(self->client, &kind->resource, namespace, kube_name(json_array_get(items, i)),
                           NULL, err);
        rc = rc == ERR_NOT_FOUND ? 0 : rc;
    }
    if (rc)
        return rc;
    json_auto_t *left = NULL;
    rc = client_list(self->client, &kind->resource, namespace, NULL, NULL, &left, err);
    count_remaining(content, kind, left);
    return rc;
}

static void delete_content(struct controller *self, const char *namespace, struct content *content)
{
    for (int pods = 1; pods >= 0; pods--) {
        for (size_t i = 0; i < manager_watched_count(self->manager); i++) {
            const struct watched *kind = manager_watched_at(self->manager, i);
            if (!kind->kind->namespaced || (kind->id == KIND_POD) != pods)
                continue;
            struct err err = {0};
            if (delete_kind(self, kind, namespace, content, &err))
                json_array_append_new(content->failures, json_string(err.message));
        }
        /* What pods still use, such as their Secrets and network policies, stays as long as they do. */
        if (pods && (json_object_size(content->remaining) || json_array_size(content->failures)))
            return;
    }
}

static int finalize(struct controller *self, json_t *namespace, struct err *err)
{
    json_t *finalizers = json_at(namespace, "spec", "finalizers");
    for (size_t i = json_array_size(finalizers); i-- > 0;) {
        if (!strcmp(json_or_empty_(json_array_get(finalizers, i)), FINALIZER))
            json_array_remove(finalizers, i);
    }
    return client_update(self->client, &kube_namespaces, "finalize", namespace, NULL, err);
}

static bool has_own_finalizer(const json_t *namespace)
{
    size_t i;
    json_t *finalizer;
    json_array_foreach(json_at(namespace, "spec", "finalizers"), i, finalizer)
    {
        if (!strcmp(json_or_empty_(finalizer), FINALIZER))
            return true;
    }
    return false;
}

static int sync_content(struct controller *self, json_t **namespace, const struct content *content,
                        int64_t now_us, int64_t *again_us, struct err *err)
{
    json_auto_t *status =
        namespace_status(*namespace, content->remaining, content->finalizers, content->failures, now_us);
    bool left = json_object_size(content->remaining) || json_array_size(content->failures);
    if (left && !kube_equal(status, json_at(*namespace, "status"))) {
        json_object_set(*namespace, "status", status);
        int rc = client_update(self->client, &kube_namespaces, "status", *namespace, NULL, err);
        if (rc)
            return rc;
    }
    if (!left)
        return finalize(self, *namespace, err);
    *again_us = AGAIN_US;
    return 0;
}

static int namespace_sync(struct controller *self, const struct sync_in *in, int64_t *again_us,
                          struct err *err)
{
    json_auto_t *namespace = NULL;
    int rc = client_get(self->client, &kube_namespaces, NULL, in->key, &namespace, err);
    if (rc)
        return rc == ERR_NOT_FOUND ? 0 : rc;
    if (!kube_deleting(namespace) || !has_own_finalizer(namespace))
        return 0;
    struct content content = {json_object(), json_object(), json_array()};
    delete_content(self, in->key, &content);
    rc = sync_content(self, &namespace, &content, in->now_us, again_us, err);
    json_decref(content.remaining);
    json_decref(content.finalizers);
    json_decref(content.failures);
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

const struct controller_type namespace_controller = {
    .name = "namespace",
    .size = sizeof(struct namespace_controller),
    .start = namespace_start,
    .stop = namespace_stop,
    .event = namespace_event,
    .again = namespace_again,
    .sync = namespace_sync,
};
