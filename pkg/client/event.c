/* See event.h. */
#include "client/event.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "client/event_fold.h"
#include "client/kube.h"
#include "codec/json.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <pthread.h>
#include <string.h>

#define EVENT_QUEUE_MAX 1000

struct event_item {
    struct event_item *next;
    json_t *involved;
    char *type;
    char *reason;
    char *message;
    int64_t now_us;
};

struct event_recorder {
    struct client *client;
    char *component;
    char *host;
    struct event_fold *fold; /* the thread's */
    pthread_t thread;
    pthread_mutex_t lock; /* everything below */
    pthread_cond_t wake;  /* something to write, or the end */
    pthread_cond_t idle;  /* everything is written */
    struct event_item *first, **last;
    size_t queued; /* with the one that is being written */
    bool started, stopping;
};

static void item_free(struct event_item *item)
{
    json_decref(item->involved);
    free(item->type);
    free(item->reason);
    free(item->message);
    free(item);
}

static const char *event_namespace(const json_t *involved)
{
    const char *namespace = json_str_or_empty(involved, "namespace");
    return *namespace ? namespace : "default";
}

static void event_create(struct event_recorder *r, const struct event_item *item, const char *message,
                         const struct event_fold_out *fold)
{
    char first[TIMEFMT_MAX], last[TIMEFMT_MAX];
    timefmt_seconds(first, fold->first_us / 1000000);
    timefmt_seconds(last, item->now_us / 1000000);
    json_auto_t *event =
        json_pack("{ss ss s{ss ss} sO ss ss s{ss ss*} ss ss si ss sn ss ss}", "apiVersion", "v1", "kind",
                  "Event", "metadata", "name", fold->name, "namespace", event_namespace(item->involved),
                  "involvedObject", item->involved, "reason", item->reason, "message", message, "source",
                  "component", r->component, "host", r->host, "firstTimestamp", first, "lastTimestamp", last,
                  "count", (int)fold->count, "type", item->type, "eventTime", "reportingComponent",
                  r->component, "reportingInstance", r->host ? r->host : "");
    struct err err = {0};
    if (client_create(r->client, &kube_events, event_namespace(item->involved), event, NULL, &err)) {
        log_debug(r->component, "event %s not recorded: %s", fold->name, err.message);
        event_fold_forget(r->fold, fold->name);
    }
}

static void event_write(struct event_recorder *r, const struct event_item *item)
{
    const json_t *o = item->involved;
    mem_auto char *object = mem_printf("%s/%s/%s/%s/%s/%s", r->component, json_str_or_empty(o, "kind"),
                                       json_str_or_empty(o, "namespace"), json_str_or_empty(o, "name"),
                                       json_str_or_empty(o, "uid"), json_str_or_empty(o, "apiVersion"));
    mem_auto char *kind =
        mem_printf("%s/%s/%s/%s", object, json_str_or_empty(o, "fieldPath"), item->type, item->reason);
    mem_auto char *name =
        mem_printf("%s.%" PRIx64, json_str_or_empty(o, "name"), (uint64_t)item->now_us * 1000);
    struct event_fold_in in = {
        .object = object, .kind = kind, .message = item->message, .name = name, .now_us = item->now_us};
    struct event_fold_out fold;
    event_fold_step(r->fold, &in, &fold);
    if (fold.verdict == EVENT_DROP)
        return;
    mem_auto char *message =
        mem_printf("%s%s", fold.combined ? "(combined from similar events): " : "", item->message);
    if (fold.verdict == EVENT_COUNT) {
        char last[TIMEFMT_MAX];
        timefmt_seconds(last, item->now_us / 1000000);
        json_auto_t *patch =
            json_pack("{si ss ss}", "count", (int)fold.count, "lastTimestamp", last, "message", message);
        struct err err = {0};
        int rc = client_patch(r->client, &kube_events, NULL, event_namespace(o), fold.name,
                              CLIENT_PATCH_MERGE, patch, NULL, &err);
        if (rc != ERR_NOT_FOUND)
            return;
        event_fold_forget(r->fold, fold.name); /* it outlived its time: begin a new one */
        event_fold_step(r->fold, &in, &fold);
        if (fold.verdict != EVENT_CREATE)
            return;
    }
    event_create(r, item, message, &fold);
}

static void *event_thread(void *arg)
{
    struct event_recorder *r = arg;
    pthread_mutex_lock(&r->lock);
    for (;;) {
        while (!r->first && !r->stopping)
            pthread_cond_wait(&r->wake, &r->lock);
        struct event_item *item = r->first;
        if (!item)
            break;
        r->first = item->next;
        if (!r->first)
            r->last = &r->first;
        pthread_mutex_unlock(&r->lock);
        event_write(r, item);
        item_free(item);
        pthread_mutex_lock(&r->lock);
        if (--r->queued == 0)
            pthread_cond_broadcast(&r->idle);
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

/* The thread and its memory are made by the first event: most recorders of an idle node never have one. The
 * lock is held. */
static void event_start(struct event_recorder *r)
{
    r->fold = event_fold_new();
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 256 * 1024);
    if (pthread_create(&r->thread, &attr, event_thread, r)) {
        log_error(r->component, "cannot start the event thread");
        abort();
    }
    pthread_attr_destroy(&attr);
    r->started = true;
}

struct event_recorder *event_recorder_new(struct client *client, const char *component, const char *host)
{
    struct event_recorder *r = mem_zalloc(sizeof(*r));
    r->client = client;
    r->component = mem_strdup(component);
    r->host = mem_strdup(host);
    r->last = &r->first;
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->wake, NULL);
    pthread_cond_init(&r->idle, NULL);
    return r;
}

void event_recorder_free(struct event_recorder *r)
{
    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    r->stopping = true;
    pthread_cond_signal(&r->wake);
    pthread_mutex_unlock(&r->lock);
    if (r->started)
        pthread_join(r->thread, NULL);
    pthread_cond_destroy(&r->wake);
    pthread_cond_destroy(&r->idle);
    pthread_mutex_destroy(&r->lock);
    event_fold_free(r->fold);
    free(r->component);
    free(r->host);
    free(r);
}

void event_recorder_flush(struct event_recorder *r)
{
    pthread_mutex_lock(&r->lock);
    while (r->queued)
        pthread_cond_wait(&r->idle, &r->lock);
    pthread_mutex_unlock(&r->lock);
}

/* An ObjectReference to object. */
static json_t *event_involved(const char *api_version, const char *kind, const json_t *object,
                              const char *field_path)
{
    json_t *ref = json_object();
    bool pod = !kind && json_at(object, "spec", "containers");
    json_set_str(ref, "kind", kind ? kind : pod ? "Pod" : "");
    if (*kube_namespace(object))
        json_set_str(ref, "namespace", kube_namespace(object));
    json_set_str(ref, "name", kube_name(object));
    json_set_str(ref, "uid", kube_uid(object));
    json_set_str(ref, "apiVersion", api_version ? api_version : pod ? "v1" : "");
    const char *version = json_str(object, "metadata", "resourceVersion");
    if (version)
        json_set_str(ref, "resourceVersion", version);
    if (field_path)
        json_set_str(ref, "fieldPath", field_path);
    return ref;
}

/* Takes involved and message over. */
static void event_queue(struct event_recorder *r, json_t *involved, const char *type, const char *reason,
                        char *message)
{
    struct event_item *item = mem_zalloc(sizeof(*item));
    item->involved = involved;
    item->type = mem_strdup(type);
    item->reason = mem_strdup(reason);
    item->message = message;
    item->now_us = clock_wall_us();
    pthread_mutex_lock(&r->lock);
    bool room = r->queued < EVENT_QUEUE_MAX && !r->stopping;
    if (room) {
        if (!r->started)
            event_start(r);
        *r->last = item;
        r->last = &item->next;
        r->queued++;
        pthread_cond_signal(&r->wake);
    }
    pthread_mutex_unlock(&r->lock);
    if (!room)
        item_free(item);
}

__attribute__((format(printf, 1, 0))) static char *format_message(const char *format, va_list args)
{
    char *message = NULL;
    if (vasprintf(&message, format, args) < 0)
        abort();
    return message;
}

void event_record(struct event_recorder *r, const json_t *object, const char *type, const char *reason,
                  const char *format, ...)
{
    va_list args;
    va_start(args, format);
    event_queue(r, event_involved(json_str(object, "apiVersion"), json_str(object, "kind"), object, NULL),
                type, reason, format_message(format, args));
    va_end(args);
}

void event_record_field(struct event_recorder *r, const json_t *object, const char *field_path,
                        const char *type, const char *reason, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    event_queue(r,
                event_involved(json_str(object, "apiVersion"), json_str(object, "kind"), object, field_path),
                type, reason, format_message(format, args));
    va_end(args);
}

void event_record_kind(struct event_recorder *r, const char *api_version, const char *kind,
                       const json_t *object, const char *type, const char *reason, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    event_queue(r, event_involved(api_version, kind, object, NULL), type, reason,
                format_message(format, args));
    va_end(args);
}
