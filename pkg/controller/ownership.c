/* See ownership.h. */
#include "controller/ownership.h"

#include "client/kube.h"
#include "codec/json.h"
#include "object/selector.h"

#include <string.h>

void orphans_init(struct orphans *o)
{
    pthread_mutex_init(&o->lock, NULL);
    o->labels = json_object();
}

void orphans_free(struct orphans *o)
{
    json_decref(o->labels);
    pthread_mutex_destroy(&o->lock);
}

bool orphans_note(struct orphans *o, enum client_event event, const json_t *object)
{
    char key[KUBE_KEY_MAX];
    kube_key(key, object);
    json_t *labels = json_at(object, "metadata", "labels");
    bool orphan = event != CLIENT_DELETED && !kube_controller(object) && !kube_deleting(object) && labels;
    bool news = false;
    pthread_mutex_lock(&o->lock);
    if (!orphan) {
        json_object_del(o->labels, key);
    } else if (!json_equal(json_object_get(o->labels, key), labels)) {
        json_object_set_new(o->labels, key, json_deep_copy(labels));
        news = true;
    }
    pthread_mutex_unlock(&o->lock);
    return news;
}

json_t *orphans_matching(struct orphans *o, const char *namespace, const json_t *label_selector)
{
    json_t *names = json_array();
    struct selector *selector = NULL;
    if (selector_from_object(&selector, label_selector, NULL))
        return names;
    size_t len = strlen(namespace);
    const char *key;
    json_t *labels;
    pthread_mutex_lock(&o->lock);
    json_object_foreach(o->labels, key, labels)
    {
        if (!strncmp(key, namespace, len) && key[len] == '/' && selector_matches_labels(selector, labels))
            json_array_append_new(names, json_string(key + len + 1));
    }
    pthread_mutex_unlock(&o->lock);
    selector_free(selector);
    return names;
}

static json_t *references_patch(const json_t *object, json_t *references)
{
    /* The uid and the version make the patch fail, rather than hit an object that it was not made for. */
    return json_pack("{s{ss ss* so}}", "metadata", "uid", kube_uid(object), "resourceVersion",
                     json_str(object, "metadata", "resourceVersion"), "ownerReferences", references);
}

json_t *ownership_adopt_patch(const json_t *object, json_t *reference)
{
    json_t *references = json_copy(json_at(object, "metadata", "ownerReferences"));
    if (!references)
        references = json_array();
    json_array_append_new(references, reference);
    return references_patch(object, references);
}

json_t *ownership_release_patch(const json_t *object, const char *owner_uid)
{
    json_t *references = json_array();
    size_t i;
    json_t *ref;
    json_array_foreach(json_at(object, "metadata", "ownerReferences"), i, ref)
    {
        if (strcmp(json_str_or_empty(ref, "uid"), owner_uid) != 0)
            json_array_append(references, ref);
    }
    if (json_array_size(references) == 0) {
        json_decref(references);
        references = json_null();
    }
    return references_patch(object, references);
}

static bool not_there(int rc)
{
    return rc == ERR_NOT_FOUND;
}

/* Keeps what matches and gives up the rest of what the owner controls. */
static int keep_matching(const struct ownership *o, const struct selector *selector, const json_t *owned,
                         json_t *items, struct err *err)
{
    size_t i;
    json_t *object;
    json_array_foreach(owned, i, object)
    {
        if (!kube_controlled_by(object, kube_uid(o->owner)))
            continue;
        if (selector_matches_labels(selector, json_at(object, "metadata", "labels"))) {
            json_array_append(items, object);
            continue;
        }
        if (kube_deleting(object) || kube_deleting(o->owner))
            continue;
        json_auto_t *patch = ownership_release_patch(object, kube_uid(o->owner));
        int rc = client_patch(o->client, o->resource, NULL, kube_namespace(object), kube_name(object),
                              CLIENT_PATCH_MERGE, patch, NULL, err);
        if (rc && !not_there(rc))
            return rc;
    }
    return 0;
}

static int adopt(const struct ownership *o, const struct selector *selector, const char *name, json_t *items,
                 struct err *err)
{
    json_auto_t *object = NULL;
    int rc = client_get(o->client, o->resource, kube_namespace(o->owner), name, &object, err);
    if (rc)
        return not_there(rc) ? 0 : rc;
    if (kube_controller(object) || kube_deleting(object) ||
        !selector_matches_labels(selector, json_at(object, "metadata", "labels")))
        return 0;
    json_auto_t *patch =
        ownership_adopt_patch(object, kube_controller_ref(o->api_version, o->kind, o->owner));
    json_t *adopted = NULL;
    rc = client_patch(o->client, o->resource, NULL, kube_namespace(o->owner), name, CLIENT_PATCH_MERGE, patch,
                      &adopted, err);
    if (rc)
        return not_there(rc) ? 0 : rc;
    json_array_append_new(items, adopted);
    return 0;
}

int ownership_claim(const struct ownership *o, json_t **items, struct err *err)
{
    struct selector *selector = NULL;
    const json_t *label_selector = json_at(o->owner, "spec", "selector");
    int rc = selector_from_object(&selector, label_selector, err);
    if (rc)
        return rc;
    json_auto_t *owned = NULL;
    json_auto_t *claimed = json_array();
    rc = kube_list_owned(o->client, o->resource, kube_namespace(o->owner), kube_uid(o->owner), &owned, err);
    if (!rc)
        rc = keep_matching(o, selector, owned, claimed, err);
    if (!rc && !kube_deleting(o->owner)) {
        json_auto_t *names = orphans_matching(o->orphans, kube_namespace(o->owner), label_selector);
        for (size_t i = 0; !rc && i < json_array_size(names); i++)
            rc = adopt(o, selector, json_string_value(json_array_get(names, i)), claimed, err);
    }
    selector_free(selector);
    if (!rc)
        *items = json_incref(claimed);
    return rc;
}
