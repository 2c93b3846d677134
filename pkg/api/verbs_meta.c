/*
 * Metadata and status: what the server sets itself, what a client may not change, what counts as a change
 * (Kubernetes API conventions: "Metadata", "Spec and status").
 */
#include "api/verbs_internal.h"

#include "base/rand.h"
#include "base/timefmt.h"
#include "object/apply.h"
#include "object/registry.h"

#include <stdio.h>

#define GENERATED_SUFFIX 5
#define GENERATED_BASE_MAX (63 - GENERATED_SUFFIX)

static void generate_name(json_t *metadata)
{
    const char *base = json_str_or_empty(metadata, "generateName");
    if (*json_str_or_empty(metadata, "name") || !*base)
        return;
    char suffix[GENERATED_SUFFIX + 1];
    rand_suffix(suffix, GENERATED_SUFFIX);
    char name[256];
    snprintf(name, sizeof(name), "%.*s%s", GENERATED_BASE_MAX, base, suffix);
    json_set_str(metadata, "name", name);
}

/* What a new object's status is, whatever the client sent; nodes bring their own. */
static void reset_status(const struct schema_kind *kind, json_t *object)
{
    if (!kind_has_subresource(kind, "status") || kind_is(kind, "", "nodes"))
        return;
    json_t *status = json_object();
    if (kind_is(kind, "", "pods")) {
        json_set_str(status, "phase", "Pending");
        json_set_str(status, "qosClass", pod_qos_class(object));
    } else if (kind_is(kind, "", "namespaces")) {
        json_set_str(status, "phase", "Active");
    } else if (kind_is(kind, "", "services")) {
        json_object_set_new(status, "loadBalancer", json_object());
    } else if (kind_is(kind, "apps", "replicasets")) {
        json_set_int(status, "replicas", 0);
    }
    json_object_set_new(object, "status", status);
}

static void prepare_namespace(json_t *object)
{
    json_t *finalizers = json_array_ensure(json_object_ensure(object, "spec"), "finalizers");
    for (size_t i = 0; i < json_array_size(finalizers); i++)
        if (!strcmp(json_string_value(json_array_get(finalizers, i)) ?: "", "kubernetes"))
            return;
    json_array_append_new(finalizers, json_string("kubernetes"));
}

/* A namespace carries its name as a label, so that selectors can name it. */
static void label_namespace(json_t *object)
{
    const char *name = json_str_or_empty(object, "metadata", "name");
    if (*name)
        json_set_str(json_object_ensure(json_object_ensure(object, "metadata"), "labels"),
                     "kubernetes.io/metadata.name", name);
}

int meta_prepare_create(struct api_call *call, json_t *object)
{
    json_t *metadata = json_object_ensure(object, "metadata");
    const char *rv = json_str_or_empty(metadata, "resourceVersion");
    if (*rv && strcmp(rv, "0") != 0)
        return err_set(&call->err, ERR_INTERNAL,
                       "resourceVersion should not be set on objects to be created");
    static const char *const cleared[] = {"resourceVersion", "selfLink", "deletionTimestamp",
                                          "deletionGracePeriodSeconds", "generation"};
    for (size_t i = 0; i < sizeof(cleared) / sizeof(*cleared); i++)
        json_object_del(metadata, cleared[i]);
    generate_name(metadata);
    char uid[RAND_UUID_MAX];
    rand_uuid(uid);
    json_set_str(metadata, "uid", uid);
    char now[TIMEFMT_MAX];
    timefmt_seconds(now, call->now_us / 1000000);
    json_set_str(metadata, "creationTimestamp", now);
    if (call->kind->has_generation)
        json_set_int(metadata, "generation", 1);
    if (!call->applied)
        json_object_del(metadata, "managedFields");
    reset_status(call->kind, object);
    if (kind_is(call->kind, "", "namespaces")) {
        prepare_namespace(object);
        label_namespace(object);
    }
    return 0;
}

/* Takes a member as it is in from, or away when it is not there. A copy where it is changed in place later.
 */
static void carry(json_t *to, const json_t *from, const char *name)
{
    json_t *value = json_object_get(from, name);
    if (!value)
        json_object_del(to, name);
    else if (!strcmp(name, "managedFields"))
        json_object_set_new(to, name, json_deep_copy(value));
    else
        json_object_set(to, name, value);
}

/* A status update takes the status, and labels and annotations with it, as most of upstream's strategies do
 * (a Deployment's revision is set this way, which does not count as a new generation). */
static void keep_all_but_status(const struct schema_kind *kind, json_t *object, const json_t *live)
{
    json_t *metadata = json_object_ensure(object, "metadata");
    json_t *kept = json_copy(json_object_get(live, "metadata"));
    carry(kept, json_object_get(live, "metadata"), "managedFields");
    if (!kind_is(kind, "apps", "deployments"))
        carry(kept, metadata, "labels");
    carry(kept, metadata, "annotations");
    if (json_object_get(metadata, "managedFields"))
        carry(kept, metadata, "managedFields");
    json_object_set_new(object, "metadata", kept);
    const char *key;
    void *next;
    json_t *value;
    json_object_foreach_safe(object, next, key, value)
    {
        if (strcmp(key, "status") != 0 && strcmp(key, "metadata") != 0)
            carry(object, live, key);
    }
    json_object_foreach((json_t *)live, key, value)
    {
        if (strcmp(key, "status") != 0 && strcmp(key, "metadata") != 0)
            json_object_set(object, key, value);
    }
}

static void keep_status(const struct schema_kind *kind, json_t *object, const json_t *live)
{
    if (kind_has_subresource(kind, "status"))
        carry(object, live, "status");
    if (kind_is(kind, "", "namespaces")) {
        carry(json_object_ensure(object, "spec"), json_object_get(live, "spec"), "finalizers");
        label_namespace(object);
    }
}

/* managedFields: absent means "as they are", an empty list or entry means "forget them". */
static void keep_managed_fields(json_t *metadata, const json_t *live_metadata)
{
    const json_t *sent = json_object_get(metadata, "managedFields");
    if (!sent)
        carry(metadata, live_metadata, "managedFields");
    else if (!json_array_size(sent) ||
             (json_array_size(sent) == 1 && !json_object_size(json_array_get(sent, 0))))
        json_object_del(metadata, "managedFields");
}

int meta_prepare_update(struct api_call *call, json_t *object, const char *subresource)
{
    const json_t *live_metadata = json_object_get(call->live, "metadata");
    json_t *metadata = json_object_ensure(object, "metadata");
    const char *uid = json_str_or_empty(metadata, "uid");
    const char *live_uid = json_str_or_empty(live_metadata, "uid");
    if (*uid && strcmp(uid, live_uid) != 0) {
        char why[256];
        snprintf(why, sizeof(why),
                 "Precondition failed: UID in precondition: %.64s, UID in object meta: %.64s", uid, live_uid);
        return call_conflict(call, call->request->name, why);
    }
    if (!strcmp(subresource, "status"))
        keep_all_but_status(call->kind, object, call->live);
    else
        keep_status(call->kind, object, call->live);
    metadata = json_object_get(object, "metadata");
    static const char *const kept[] = {"uid", "creationTimestamp", "deletionTimestamp",
                                       "deletionGracePeriodSeconds", "generation"};
    for (size_t i = 0; i < sizeof(kept) / sizeof(*kept); i++)
        carry(metadata, live_metadata, kept[i]);
    json_object_del(metadata, "selfLink");
    json_object_del(metadata, "resourceVersion");
    if (!call->applied)
        keep_managed_fields(metadata, live_metadata);
    return 0;
}

static bool same_member(const json_t *a, const json_t *b, const char *name)
{
    const json_t *x = json_object_get(a, name);
    const json_t *y = json_object_get(b, name);
    return x == y || (x && y && json_equal(x, y));
}

/* Whether all members but the named ones are equal. */
static bool same_except(const json_t *a, const json_t *b, const char *const *except)
{
    const json_t *sides[] = {a, b};
    for (size_t side = 0; side < 2; side++) {
        const char *key;
        json_t *value;
        json_object_foreach((json_t *)sides[side], key, value)
        {
            bool skip = false;
            for (size_t i = 0; except[i]; i++)
                skip |= !strcmp(key, except[i]);
            if (!skip && !same_member(a, b, key))
                return false;
        }
    }
    return true;
}

void meta_update_generation(const struct schema_kind *kind, const char *subresource, json_t *object,
                            const json_t *live)
{
    static const char *const uncounted[] = {"metadata", "status", "kind", "apiVersion", NULL};
    if (!kind->has_generation || !strcmp(subresource, "status"))
        return;
    bool changed = !same_except(object, live, uncounted);
    /* A Deployment's annotations count too: its controller copies them to ReplicaSets. */
    if (kind_is(kind, "apps", "deployments"))
        changed |= !same_member(json_object_get(object, "metadata"), json_object_get(live, "metadata"),
                                "annotations");
    if (changed)
        json_set_int(json_object_get(object, "metadata"), "generation",
                     json_int_or(0, live, "metadata", "generation") + 1);
}

/* Entries of managedFields agree but for the times at which they were written. */
static bool same_managers(const json_t *a, const json_t *b)
{
    static const char *const time_only[] = {"time", NULL};
    if (json_array_size(a) != json_array_size(b))
        return false;
    for (size_t i = 0; i < json_array_size(a); i++)
        if (!same_except(json_array_get(a, i), json_array_get(b, i), time_only))
            return false;
    return true;
}

bool meta_same(const json_t *object, const json_t *live)
{
    static const char *const only_metadata[] = {"metadata", NULL};
    static const char *const own[] = {"resourceVersion", "managedFields", NULL};
    const json_t *metadata = json_object_get(object, "metadata");
    const json_t *live_metadata = json_object_get(live, "metadata");
    return same_except(object, live, only_metadata) && same_except(metadata, live_metadata, own) &&
           same_managers(json_object_get(metadata, "managedFields"),
                         json_object_get(live_metadata, "managedFields"));
}

static size_t finalizer_index(const json_t *object, const char *finalizer)
{
    const json_t *list = json_at(object, "metadata", "finalizers");
    size_t i = 0;
    for (; i < json_array_size(list); i++)
        if (!strcmp(json_string_value(json_array_get(list, i)) ?: "", finalizer))
            break;
    return i;
}

bool meta_has_finalizer(const json_t *object, const char *finalizer)
{
    return finalizer_index(object, finalizer) < json_array_size(json_at(object, "metadata", "finalizers"));
}

void meta_add_finalizer(json_t *object, const char *finalizer)
{
    if (!meta_has_finalizer(object, finalizer))
        json_array_append_new(json_array_ensure(json_object_ensure(object, "metadata"), "finalizers"),
                              json_string(finalizer));
}

void meta_remove_finalizer(json_t *object, const char *finalizer)
{
    if (!meta_has_finalizer(object, finalizer))
        return;
    json_t *metadata = json_object_get(object, "metadata");
    json_t *list = json_object_get(metadata, "finalizers");
    json_array_remove(list, finalizer_index(object, finalizer));
    if (!json_array_size(list))
        json_object_del(metadata, "finalizers");
}

void meta_track(struct api_call *call, json_t *object, const char *subresource)
{
    if (call->applied)
        return;
    char api_version[256], now[TIMEFMT_MAX];
    registry_api_version(api_version, sizeof(api_version), call->kind);
    timefmt_seconds(now, call->now_us / 1000000);
    struct apply_manager manager = {call->manager, api_version, subresource, now};
    apply_track_update(call->kind, call->live, object, &manager);
}

static json_t *base_value(const json_t *live, const json_t *object)
{
    if (json_is_object(live) && json_is_object(object))
        return meta_base(live, object);
    return live ? json_incref((json_t *)live) : json_null();
}

json_t *meta_base(const json_t *live, const json_t *object)
{
    json_t *base = json_object();
    const json_t *sides[] = {live, object};
    for (size_t side = 0; side < 2; side++) {
        const char *key;
        json_t *value;
        json_object_foreach((json_t *)sides[side], key, value)
        {
            if (!strcmp(key, "managedFields") || !strcmp(key, "resourceVersion") ||
                json_object_get(base, key) || same_member(live, object, key))
                continue;
            json_object_set_new(base, key,
                                base_value(json_object_get(live, key), json_object_get(object, key)));
        }
    }
    return base;
}
