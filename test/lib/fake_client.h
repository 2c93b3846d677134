/*
 * An API in memory behind client.h, for tests of what uses one: objects by resource and name, watches that
 * are served by a thread, merge semantics where the users need them (a status patch merges conditions by
 * type). No defaults, no validation, no authorization.
 */
#ifndef KATENA_TEST_FAKE_CLIENT_H
#define KATENA_TEST_FAKE_CLIENT_H

#include "base/mem.h"
#include "client/client.h"
#include "client/kube.h"
#include "codec/json.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct fake_event {
    struct fake_event *next;
    struct fake_watch *watch;
    enum client_event type;
    json_t *object;
};

struct fake_watch {
    struct client_watch base;
    struct fake_watch *next;
    char *resource;
    char *node; /* of a field selector spec.nodeName=…; NULL: none */
    client_watch_fn fn;
    void *arg;
    bool stopped;
};

struct fake_client {
    struct client base;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t thread;
    bool stopping, busy;
    json_t *objects; /* "resource/namespace/name": object */
    struct fake_watch *watches;
    struct fake_event *events, **events_end;
    int writes; /* of pod status */
    int version;
};

static inline struct fake_client *fake_of(struct client *client)
{
    return (struct fake_client *)client;
}

static inline void fake_queue(struct fake_client *f, struct fake_watch *w, enum client_event type,
                              json_t *object)
{
    const char *node = json_str(object, "spec", "nodeName");
    if (object && w->node && (!node || strcmp(node, w->node) != 0))
        return;
    struct fake_event *event = mem_zalloc(sizeof(*event));
    event->watch = w;
    event->type = type;
    event->object = json_deep_copy(object);
    *f->events_end = event;
    f->events_end = &event->next;
    pthread_cond_signal(&f->wake);
}

static inline void fake_notify(struct fake_client *f, const char *resource, enum client_event type,
                               json_t *object)
{
    for (struct fake_watch *w = f->watches; w; w = w->next)
        if (!w->stopped && strcmp(w->resource, resource) == 0)
            fake_queue(f, w, type, object);
}

static inline void *fake_thread(void *arg)
{
    struct fake_client *f = arg;
    pthread_mutex_lock(&f->lock);
    while (!f->stopping || f->events) {
        struct fake_event *event = f->events;
        if (!event) {
            pthread_cond_wait(&f->wake, &f->lock);
            continue;
        }
        f->events = event->next;
        if (!f->events)
            f->events_end = &f->events;
        bool stopped = event->watch->stopped;
        f->busy = true;
        pthread_mutex_unlock(&f->lock);
        if (!stopped)
            event->watch->fn(event->watch->arg, event->type, event->object);
        json_decref(event->object);
        free(event);
        pthread_mutex_lock(&f->lock);
        f->busy = false;
        pthread_cond_broadcast(&f->wake);
    }
    pthread_mutex_unlock(&f->lock);
    return NULL;
}

static inline void fake_merge(json_t *target, const json_t *patch)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)patch, key, value)
    {
        json_t *have = json_object_get(target, key);
        if (json_is_null(value)) {
            json_object_del(target, key);
        } else if (json_is_object(value)) {
            fake_merge(json_object_ensure(target, key), value);
        } else if (strcmp(key, "conditions") == 0 && json_is_array(have)) {
            size_t i, j;
            json_t *c, *old;
            json_array_foreach(value, i, c)
            {
                bool found = false;
                json_array_foreach(have, j, old)
                {
                    if (strcmp(json_str_or_empty(old, "type"), json_str_or_empty(c, "type")) == 0) {
                        fake_merge(old, c);
                        found = true;
                    }
                }
                if (!found)
                    json_array_append_new(have, json_deep_copy(c));
            }
        } else {
            json_object_set_new(target, key, json_deep_copy(value));
        }
    }
}

static inline void fake_key(char *out, size_t size, const char *resource, const char *namespace,
                            const char *name)
{
    snprintf(out, size, "%s/%s/%s", resource, namespace ? namespace : "", name ? name : "");
}

static inline void fake_stamp(struct fake_client *f, json_t *object)
{
    json_t *metadata = json_object_ensure(object, "metadata");
    char text[64];
    snprintf(text, sizeof(text), "%d", ++f->version);
    json_set_str(metadata, "resourceVersion", text);
    if (!json_object_get(metadata, "uid")) {
        snprintf(text, sizeof(text), "00000000-0000-4000-8000-%012d", f->version);
        json_set_str(metadata, "uid", text);
    }
}

static inline int fake_create(struct fake_client *f, const struct client_request *r, json_t **out,
                              struct err *err)
{
    char key[512];
    if (r->subresource && strcmp(r->subresource, "token") == 0) {
        if (out)
            *out = json_pack("{s:{s:s}}", "status", "token", "the-token");
        return 0;
    }
    json_t *object = json_deep_copy(r->body);
    const char *namespace = r->namespace ? r->namespace : json_str(object, "metadata", "namespace");
    fake_key(key, sizeof(key), r->resource.resource, namespace, json_str(object, "metadata", "name"));
    if (json_object_get(f->objects, key)) {
        json_decref(object);
        return err_set(err, ERR_EXISTS, "%s already exists", key);
    }
    if (namespace)
        json_set_str(json_object_ensure(object, "metadata"), "namespace", namespace);
    fake_stamp(f, object);
    json_object_set_new(f->objects, key, object);
    fake_notify(f, r->resource.resource, CLIENT_ADDED, object);
    if (out)
        *out = json_deep_copy(object);
    return 0;
}

static inline int fake_delete(struct fake_client *f, const struct client_request *r, const char *key,
                              json_t *object)
{
    json_int_t grace = json_int_or(json_int_or(30, object, "spec", "terminationGracePeriodSeconds"), r->body,
                                   "gracePeriodSeconds");
    if (strcmp(r->resource.resource, "pods") == 0 && grace > 0) {
        json_t *metadata = json_object_ensure(object, "metadata");
        json_set_str(metadata, "deletionTimestamp", "2026-01-01T00:00:00Z");
        json_set_int(metadata, "deletionGracePeriodSeconds", grace);
        fake_stamp(f, object);
        fake_notify(f, r->resource.resource, CLIENT_MODIFIED, object);
        return 0;
    }
    fake_notify(f, r->resource.resource, CLIENT_DELETED, object);
    json_object_del(f->objects, key);
    return 0;
}

static inline int fake_list(struct fake_client *f, const struct client_request *r, json_t **out)
{
    char prefix[512];
    snprintf(prefix, sizeof(prefix), "%s/%s%s", r->resource.resource, r->namespace ? r->namespace : "",
             r->namespace ? "/" : "");
    json_t *items = json_array();
    const char *key;
    json_t *value;
    json_object_foreach(f->objects, key, value)
    {
        if (strncmp(key, prefix, strlen(prefix)) == 0)
            json_array_append_new(items, json_deep_copy(value));
    }
    *out = json_pack("{s:o}", "items", items);
    return 0;
}

static inline int fake_request_locked(struct fake_client *f, const struct client_request *r, json_t **out,
                                      struct err *err)
{
    char key[512];
    if (r->verb == CLIENT_CREATE)
        return fake_create(f, r, out, err);
    if (r->verb == CLIENT_LIST)
        return fake_list(f, r, out);
    fake_key(key, sizeof(key), r->resource.resource, r->namespace, r->name);
    json_t *object = json_object_get(f->objects, key);
    if (!object)
        return err_set(err, ERR_NOT_FOUND, "%s \"%s\" not found", r->resource.resource, r->name);
    if (r->verb == CLIENT_DELETE)
        return fake_delete(f, r, key, object);
    if (r->verb == CLIENT_PATCH || r->verb == CLIENT_UPDATE) {
        if (r->subresource && strcmp(r->resource.resource, "pods") == 0)
            f->writes++;
        fake_merge(object, r->body);
        fake_stamp(f, object);
        fake_notify(f, r->resource.resource, CLIENT_MODIFIED, object);
    }
    if (out)
        *out = json_deep_copy(object);
    return 0;
}

static inline int fake_request(struct client *client, const struct client_request *r, json_t **out,
                               struct err *err)
{
    struct fake_client *f = fake_of(client);
    pthread_mutex_lock(&f->lock);
    int rc = fake_request_locked(f, r, out, err);
    pthread_mutex_unlock(&f->lock);
    return rc;
}

static inline struct client_watch *fake_watch_start(struct client *client,
                                                    const struct client_resource *resource,
                                                    const char *namespace, const char *field_selector,
                                                    client_watch_fn fn, void *arg)
{
    (void)namespace;
    struct fake_client *f = fake_of(client);
    struct fake_watch *w = mem_zalloc(sizeof(*w));
    w->base.client = client;
    w->resource = mem_strdup(resource->resource);
    if (field_selector && strncmp(field_selector, "spec.nodeName=", 14) == 0)
        w->node = mem_strdup(field_selector + 14);
    w->fn = fn;
    w->arg = arg;
    pthread_mutex_lock(&f->lock);
    w->next = f->watches;
    f->watches = w;
    const char *key;
    json_t *value;
    json_object_foreach(f->objects, key, value)
    {
        if (strncmp(key, w->resource, strlen(w->resource)) == 0 && key[strlen(w->resource)] == '/')
            fake_queue(f, w, CLIENT_ADDED, value);
    }
    fake_queue(f, w, CLIENT_SYNCED, NULL);
    pthread_mutex_unlock(&f->lock);
    return &w->base;
}

static inline void fake_watch_stop(struct client_watch *watch)
{
    struct fake_client *f = fake_of(watch->client);
    pthread_mutex_lock(&f->lock);
    ((struct fake_watch *)watch)->stopped = true;
    while (f->busy)
        pthread_cond_wait(&f->wake, &f->lock);
    pthread_mutex_unlock(&f->lock);
}

/* Takes an object out as a chain switch does, without a deletionTimestamp; the caller owns it. */
static inline json_t *fake_take_out(struct fake_client *f, const char *resource, const char *namespace,
                                    const char *name)
{
    char key[512];
    fake_key(key, sizeof(key), resource, namespace, name);
    pthread_mutex_lock(&f->lock);
    json_t *object = json_incref(json_object_get(f->objects, key));
    assert(object);
    json_object_del(f->objects, key);
    fake_notify(f, resource, CLIENT_DELETED, object);
    pthread_mutex_unlock(&f->lock);
    return object;
}

/* Takes the object over. */
static inline void fake_put_back(struct fake_client *f, const char *resource, json_t *object)
{
    char key[512];
    fake_key(key, sizeof(key), resource, json_str(object, "metadata", "namespace"),
             json_str(object, "metadata", "name"));
    pthread_mutex_lock(&f->lock);
    json_object_set_new(f->objects, key, object);
    fake_notify(f, resource, CLIENT_ADDED, object);
    pthread_mutex_unlock(&f->lock);
}

static const struct client_ops fake_ops = {
    .request = fake_request, .watch_start = fake_watch_start, .watch_stop = fake_watch_stop};

static inline struct fake_client *fake_client_new(void)
{
    struct fake_client *f = mem_zalloc(sizeof(*f));
    f->base.ops = &fake_ops;
    f->base.user = "test";
    f->objects = json_object();
    f->events_end = &f->events;
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->wake, NULL);
    pthread_create(&f->thread, NULL, fake_thread, f);
    return f;
}

static inline void fake_client_free(struct fake_client *f)
{
    pthread_mutex_lock(&f->lock);
    f->stopping = true;
    pthread_cond_broadcast(&f->wake);
    pthread_mutex_unlock(&f->lock);
    pthread_join(f->thread, NULL);
    while (f->watches) {
        struct fake_watch *w = f->watches;
        f->watches = w->next;
        free(w->resource);
        free(w->node);
        free(w);
    }
    json_decref(f->objects);
    free(f);
}

#endif
