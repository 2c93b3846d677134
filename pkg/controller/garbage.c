/*
 * Garbage collection: objects whose owners are all gone go too; owners that are being deleted wait for their
 * dependents (foreground), or let go of them first (orphan).
 *
 * Keys name owners: "apiVersion|kind|namespace|name|uid". An owner is looked at when the first object names
 * it, when it is deleted, when it begins to wait, and when something that it waits for is gone. Beside the
 * store's owner index, all that is kept is the uid of each owner and the kinds of its dependents.
 */
#include "controller/manager_internal.h"

#include "base/mem.h"
#include "codec/json.h"
#include "controller/ownership.h"

#include <assert.h>
#include <string.h>

#define FINALIZER_FOREGROUND "foregroundDeletion"
#define FINALIZER_ORPHAN "orphan"

struct garbage_controller {
    struct controller base;
    pthread_mutex_t lock;
    json_t *owners;  /* uid to a bit per kind (index of the watch) that has a dependent */
    json_t *waiting; /* uid of an owner that waits for its dependents to its key */
};

struct owner_key {
    char *text; /* cut into what follows */
    const char *api_version, *kind, *namespace, *name, *uid;
};

static void garbage_start(struct controller *self)
{
    struct garbage_controller *c = (struct garbage_controller *)self;
    pthread_mutex_init(&c->lock, NULL);
    c->owners = json_object();
    c->waiting = json_object();
}

static void garbage_stop(struct controller *self)
{
    struct garbage_controller *c = (struct garbage_controller *)self;
    json_decref(c->owners);
    json_decref(c->waiting);
    pthread_mutex_destroy(&c->lock);
}

/* The kind of an "apiVersion" and a kind name; NULL when there is none. */
static const struct schema_kind *kind_of(const char *api_version, const char *kind)
{
    const char *slash = strchr(api_version, '/');
    mem_auto char *group = slash ? mem_strndup(api_version, (size_t)(slash - api_version)) : mem_strdup("");
    return registry_by_kind(group, slash ? slash + 1 : api_version, kind);
}

static struct client_resource resource_of(const struct schema_kind *kind)
{
    return (struct client_resource){.group = kind->group, .version = kind->version, .resource = kind->plural};
}

/* An owner in another namespace is none: references reach the own namespace and the cluster. */
static char *reference_key(const json_t *ref, const char *namespace)
{
    const char *api_version = json_str_or_empty(ref, "apiVersion");
    const char *kind = json_str_or_empty(ref, "kind");
    const struct schema_kind *schema = kind_of(api_version, kind);
    if (!schema)
        return NULL; /* nothing is known of it, so nothing may be deleted because of it */
    return mem_printf("%s|%s|%s|%s|%s", api_version, kind, schema->namespaced ? namespace : "",
                      json_str_or_empty(ref, "name"), json_str_or_empty(ref, "uid"));
}

static char *object_key(const struct watched *kind, const json_t *object)
{
    char api_version[128];
    registry_api_version(api_version, sizeof(api_version), kind->kind);
    return mem_printf("%s|%s|%s|%s|%s", api_version, kind->kind->kind, kube_namespace(object),
                      kube_name(object), kube_uid(object));
}

static struct owner_key key_parse(const char *key)
{
    struct owner_key out = {.text = mem_strdup(key)};
    char *rest = out.text;
    out.api_version = strsep(&rest, "|");
    out.kind = strsep(&rest, "|");
    out.namespace = strsep(&rest, "|");
    out.name = strsep(&rest, "|");
    out.uid = rest;
    assert(out.uid);
    return out;
}

static json_int_t kind_bit(const struct watched *kind)
{
    size_t index = (size_t)(kind - manager_watched_at(kind->manager, 0));
    return (json_int_t)(1ULL << (index % 62)); /* shared bits cost a list too many, nothing else */
}

/* Notes that an object of this kind has the owners it names; unknown owners are looked at, or (all) each. */
static void note_owners(struct garbage_controller *c, const struct watched *kind, const json_t *object,
                        bool all)
{
    size_t i;
    json_t *ref;
    json_array_foreach(json_at(object, "metadata", "ownerReferences"), i, ref)
    {
        const char *uid = json_str_or_empty(ref, "uid");
        pthread_mutex_lock(&c->lock);
        json_t *bits = json_object_get(c->owners, uid);
        json_int_t known = json_integer_value(bits);
        if (!bits)
            json_object_set_new(c->owners, uid, json_integer(kind_bit(kind)));
        else if (!(known & kind_bit(kind)))
            json_integer_set(bits, known | kind_bit(kind));
        pthread_mutex_unlock(&c->lock);
        mem_auto char *key = bits && !all ? NULL : reference_key(ref, kube_namespace(object));
        if (key)
            controller_add(&c->base, key);
    }
}

static void note_deleted(struct garbage_controller *c, const struct watched *kind, const json_t *object)
{
    pthread_mutex_lock(&c->lock);
    bool owner = json_object_get(c->owners, kube_uid(object));
    json_object_del(c->waiting, kube_uid(object));
    pthread_mutex_unlock(&c->lock);
    if (owner) {
        mem_auto char *key = object_key(kind, object);
        controller_add(&c->base, key);
    }
    size_t i;
    json_t *ref;
    json_array_foreach(json_at(object, "metadata", "ownerReferences"), i, ref)
    {
        pthread_mutex_lock(&c->lock);
        mem_auto char *key =
            mem_strdup(json_string_value(json_object_get(c->waiting, json_str_or_empty(ref, "uid"))));
        pthread_mutex_unlock(&c->lock);
        if (key)
            controller_add(&c->base, key);
    }
}

static void note_object(struct garbage_controller *c, const struct watched *kind, const json_t *object,
                        bool all)
{
    note_owners(c, kind, object, all);
    if (kube_deleting(object) &&
        (kube_has_finalizer(object, FINALIZER_FOREGROUND) || kube_has_finalizer(object, FINALIZER_ORPHAN))) {
        mem_auto char *key = object_key(kind, object);
        controller_add(&c->base, key);
    }
}

static void garbage_event(struct controller *self, const struct watched *kind, enum client_event event,
                          const json_t *object)
{
    struct garbage_controller *c = (struct garbage_controller *)self;
    if (kind->id == KIND_EVENT)
        return; /* neither owns nor is owned, and there are many */
    if (event == CLIENT_DELETED) {
        note_deleted(c, kind, object);
        return;
    }
    note_object(c, kind, object, false);
}

static void garbage_again(struct controller *self, const struct watched *kind, const json_t *object)
{
    if (kind->id != KIND_EVENT)
        note_object((struct garbage_controller *)self, kind, object, true);
}

/* What is done with each dependent of an owner. */
typedef int (*dependent_fn)(struct garbage_controller *c, const struct client_resource *resource,
                            const json_t *object, void *arg, struct err *err);

static int each_dependent(struct garbage_controller *c, const struct owner_key *owner, json_int_t kinds,
                          dependent_fn fn, void *arg, struct err *err)
{
    struct manager *m = c->base.manager;
    for (size_t i = 0; i < manager_watched_count(m); i++) {
        const struct watched *w = manager_watched_at(m, i);
        if (!(kinds & kind_bit(w)) || w->id == KIND_EVENT || (*owner->namespace && !w->kind->namespaced))
            continue;
        json_auto_t *items = NULL;
        int rc = kube_list_owned(c->base.client, &w->resource, *owner->namespace ? owner->namespace : NULL,
                                 owner->uid, &items, err);
        size_t j;
        json_t *item;
        json_array_foreach(items, j, item)
        {
            rc = fn(c, &w->resource, item, arg, err);
            if (rc && rc != ERR_NOT_FOUND)
                return rc;
        }
        if (rc && rc != ERR_NOT_FOUND)
            return rc;
    }
    return 0;
}

static int patch_object(struct garbage_controller *c, const struct client_resource *resource,
                        const json_t *object, json_t *patch, struct err *err)
{
    const char *namespace = kube_namespace(object);
    int rc = client_patch(c->base.client, resource, NULL, *namespace ? namespace : NULL, kube_name(object),
                          CLIENT_PATCH_MERGE, patch, NULL, err);
    json_decref(patch);
    return rc;
}

static int delete_object(struct garbage_controller *c, const struct client_resource *resource,
                         const json_t *object, const char *policy, struct err *err)
{
    const char *namespace = kube_namespace(object);
    json_auto_t *options =
        json_pack("{ss s{ss}}", "propagationPolicy", policy, "preconditions", "uid", kube_uid(object));
    int rc = client_delete(c->base.client, resource, *namespace ? namespace : NULL, kube_name(object),
                           options, err);
    return rc == ERR_CONFLICT ? ERR_NOT_FOUND : rc; /* another object has its name now */
}

static int remove_finalizer(struct garbage_controller *c, const struct client_resource *resource,
                            const json_t *object, const char *name, struct err *err)
{
    json_t *finalizers = json_array();
    size_t i;
    json_t *finalizer;
    json_array_foreach(json_at(object, "metadata", "finalizers"), i, finalizer)
    {
        if (strcmp(json_or_empty_(finalizer), name) != 0)
            json_array_append(finalizers, finalizer);
    }
    json_t *patch = json_pack("{s{ss ss* so}}", "metadata", "uid", kube_uid(object), "resourceVersion",
                              json_str(object, "metadata", "resourceVersion"), "finalizers", finalizers);
    return patch_object(c, resource, object, patch, err);
}

static int release_dependent(struct garbage_controller *c, const struct client_resource *resource,
                             const json_t *object, void *arg, struct err *err)
{
    return patch_object(c, resource, object, ownership_release_patch(object, arg), err);
}

static int delete_blocking(struct garbage_controller *c, const struct client_resource *resource,
                           const json_t *object, void *arg, struct err *err)
{
    bool *blocked = arg;
    size_t i;
    json_t *ref;
    json_array_foreach(json_at(object, "metadata", "ownerReferences"), i, ref) *blocked |=
        json_bool_at(ref, "blockOwnerDeletion");
    if (kube_deleting(object))
        return 0;
    pthread_mutex_lock(&c->lock);
    bool owner = json_object_get(c->owners, kube_uid(object));
    pthread_mutex_unlock(&c->lock);
    return delete_object(c, resource, object, owner ? "Foreground" : "Background", err);
}

static int sync_waiting(struct garbage_controller *c, const char *key, const struct owner_key *owner,
                        const struct client_resource *resource, const json_t *object, struct err *err)
{
    /* Noted before looking, so that whatever vanishes from now on brings the owner back here. */
    pthread_mutex_lock(&c->lock);
    json_object_set_new(c->waiting, owner->uid, json_string(key));
    pthread_mutex_unlock(&c->lock);
    bool blocked = false;
    int rc = each_dependent(c, owner, -1, delete_blocking, &blocked, err);
    if (rc || blocked) {
        /* What went at once is gone without an event to wait for. */
        bool still = false;
        if (!rc)
            rc = each_dependent(c, owner, -1, delete_blocking, &still, err);
        if (rc || still)
            return rc;
    }
    return remove_finalizer(c, resource, object, FINALIZER_FOREGROUND, err);
}

/* Whether an owner reference of an object leads to nothing. */
static int reference_dangles(struct garbage_controller *c, const json_t *ref, const char *namespace,
                             bool *dangles, struct err *err)
{
    const struct schema_kind *kind =
        kind_of(json_str_or_empty(ref, "apiVersion"), json_str_or_empty(ref, "kind"));
    *dangles = false;
    if (!kind)
        return 0;
    struct client_resource resource = resource_of(kind);
    json_auto_t *owner = NULL;
    int rc = client_get(c->base.client, &resource, kind->namespaced ? namespace : NULL,
                        json_str_or_empty(ref, "name"), &owner, err);
    if (rc && rc != ERR_NOT_FOUND)
        return rc;
    *dangles = rc || strcmp(kube_uid(owner), json_str_or_empty(ref, "uid")) != 0;
    return 0;
}

static int collect_dependent(struct garbage_controller *c, const struct client_resource *resource,
                             const json_t *object, void *arg, struct err *err)
{
    (void)arg;
    if (kube_deleting(object))
        return 0;
    json_auto_t *solid = json_array();
    size_t i;
    json_t *ref;
    json_array_foreach(json_at(object, "metadata", "ownerReferences"), i, ref)
    {
        bool dangles;
        int rc = reference_dangles(c, ref, kube_namespace(object), &dangles, err);
        if (rc)
            return rc;
        if (!dangles)
            json_array_append(solid, ref);
    }
    if (json_array_size(solid) > 0) {
        json_t *patch = json_pack("{s{ss ss* sO}}", "metadata", "uid", kube_uid(object), "resourceVersion",
                                  json_str(object, "metadata", "resourceVersion"), "ownerReferences", solid);
        return patch_object(c, resource, object, patch, err);
    }
    const char *policy = kube_has_finalizer(object, FINALIZER_ORPHAN)       ? "Orphan"
                         : kube_has_finalizer(object, FINALIZER_FOREGROUND) ? "Foreground"
                                                                            : "Background";
    return delete_object(c, resource, object, policy, err);
}

static int sync_gone(struct garbage_controller *c, const struct owner_key *owner, struct err *err)
{
    pthread_mutex_lock(&c->lock);
    json_int_t kinds = json_integer_value(json_object_get(c->owners, owner->uid));
    json_object_del(c->owners, owner->uid);
    json_object_del(c->waiting, owner->uid);
    pthread_mutex_unlock(&c->lock);
    int rc = each_dependent(c, owner, kinds, collect_dependent, NULL, err);
    if (rc) { /* it is tried again, and must know then where to look */
        pthread_mutex_lock(&c->lock);
        json_int_t now = json_integer_value(json_object_get(c->owners, owner->uid));
        json_object_set_new(c->owners, owner->uid, json_integer(now | kinds));
        pthread_mutex_unlock(&c->lock);
    }
    return rc;
}

/* *object is NULL when the owner is gone, or its name is another object's now. */
static int read_owner(struct garbage_controller *c, const struct owner_key *owner,
                      const struct client_resource *resource, json_t **object, struct err *err)
{
    int rc = client_get(c->base.client, resource, *owner->namespace ? owner->namespace : NULL, owner->name,
                        object, err);
    if (!rc && strcmp(kube_uid(*object), owner->uid) != 0) {
        json_decref(*object);
        rc = ERR_NOT_FOUND;
    }
    if (rc)
        *object = NULL;
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

static int sync_owner(struct garbage_controller *c, const char *key, const struct owner_key *owner,
                      struct err *err)
{
    const struct schema_kind *kind = kind_of(owner->api_version, owner->kind);
    if (!kind)
        return 0;
    struct client_resource resource = resource_of(kind);
    json_auto_t *object = NULL;
    int rc = read_owner(c, owner, &resource, &object, err);
    if (rc)
        return rc;
    if (!object)
        return sync_gone(c, owner, err);
    if (!kube_deleting(object))
        return 0;
    if (kube_has_finalizer(object, FINALIZER_ORPHAN)) {
        rc = each_dependent(c, owner, -1, release_dependent, (void *)owner->uid, err);
        return rc ? rc : remove_finalizer(c, &resource, object, FINALIZER_ORPHAN, err);
    }
    if (kube_has_finalizer(object, FINALIZER_FOREGROUND))
        return sync_waiting(c, key, owner, &resource, object, err);
    return 0;
}

static int garbage_sync(struct controller *self, const struct sync_in *in, int64_t *again_us, struct err *err)
{
    (void)again_us;
    struct owner_key owner = key_parse(in->key);
    int rc = sync_owner((struct garbage_controller *)self, in->key, &owner, err);
    free(owner.text);
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

/* Another node collects what an owner leaves behind; when the owner is gone, nothing of it is kept here.
 * Should the work become this node's after all, the dependents that are left bring the owner back. */
static void garbage_left_out(struct controller *self, const char *key)
{
    struct garbage_controller *c = (struct garbage_controller *)self;
    struct owner_key owner = key_parse(key);
    const struct schema_kind *kind = kind_of(owner.api_version, owner.kind);
    struct client_resource resource = kind ? resource_of(kind) : (struct client_resource){0};
    json_auto_t *object = NULL;
    struct err err;
    if (kind && !read_owner(c, &owner, &resource, &object, &err) && !object) {
        pthread_mutex_lock(&c->lock);
        json_object_del(c->owners, owner.uid);
        json_object_del(c->waiting, owner.uid);
        pthread_mutex_unlock(&c->lock);
    }
    free(owner.text);
}

const struct controller_type garbage_controller = {
    .name = "garbage",
    .size = sizeof(struct garbage_controller),
    .start = garbage_start,
    .stop = garbage_stop,
    .event = garbage_event,
    .again = garbage_again,
    .left_out = garbage_left_out,
    .sync = garbage_sync,
};
