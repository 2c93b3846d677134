/*
 * Watches of the in-process client. One thread takes the events of all its watches in turn and calls back;
 * an event's object is parsed once for all in-process watches of its kind (hub_event_value). A watch of
 * metadata reads no more of the text than that; nobody behind one is in a hurry, so while events keep coming
 * it takes them together now and then, and does not wake the thread for each block.
 *
 * A watch that falls behind reads the chain (hub_watch.c), so one expires only when its client has been stuck
 * for as long as the chain keeps its history. It is opened again then, and all objects come again as
 * CLIENT_ADDED.
 *
 * Lock order: client->lock before the hub's.
 */
#include "api/local_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#define EVENTS_PER_TURN 64
#define REOPEN_US (1000 * 1000)
#define REST_US (20 * 1000)

struct local_watch {
    struct client_watch base;
    struct local_watch *next;
    struct local_client *client;
    struct api_watch *watch; /* NULL: to be opened again */
    struct client_resource resource;
    char *group, *version, *plural, *namespace, *field_selector;
    client_watch_fn fn;
    void *arg;
    bool metadata;    /* is all that the callback looks at */
    bool synced;      /* CLIENT_SYNCED was given */
    int64_t later_us; /* when to look at it, if it is ready; 0: at once */
    bool busy;        /* the dispatcher is at it */
    bool ready;       /* may have events; the dispatcher knows */
    atomic_bool stopped;
};

static void on_ready(void *arg)
{
    struct local_watch *watch = arg;
    struct local_client *client = watch->client;
    pthread_mutex_lock(&client->lock);
    if (!watch->ready)
        pthread_cond_signal(&client->work);
    watch->ready = true;
    pthread_mutex_unlock(&client->lock);
}

/* The dispatcher's own word that there is more to do, now or later. */
static void look_again(struct local_watch *watch, int64_t later_us)
{
    pthread_mutex_lock(&watch->client->lock);
    watch->ready = true;
    watch->later_us = later_us;
    pthread_mutex_unlock(&watch->client->lock);
}

/* One event to the callback; false when there was none. */
static bool dispatch_one(struct local_watch *watch)
{
    struct api_watch_event event;
    if (!api_watch_next(watch->watch, &event))
        return false;
    if (event.initial_end) {
        if (!watch->synced)
            watch->fn(watch->arg, CLIENT_SYNCED, NULL);
        watch->synced = true;
        return true;
    }
    if (!strcmp(event.type, "ERROR")) {
        log_warn("api", "in-process watch of %s begins anew: %.*s", watch->plural, (int)event.json_len,
                 event.json);
        api_watch_close(watch->watch);
        watch->watch = NULL;
        return true;
    }
    if (!strcmp(event.type, "BOOKMARK"))
        return true;
    const json_t *object =
        watch->metadata ? api_watch_metadata(watch->watch, &event) : api_watch_value(watch->watch, &event);
    enum client_event type = *event.type == 'A'   ? CLIENT_ADDED
                             : *event.type == 'M' ? CLIENT_MODIFIED
                                                  : CLIENT_DELETED;
    if (object)
        watch->fn(watch->arg, type, object);
    return true;
}

static void open_watch(struct local_watch *watch)
{
    struct api_response *response =
        local_watch_open(watch->client, &watch->resource, watch->namespace, watch->field_selector);
    if (response && response->watch) {
        watch->watch = response->watch;
        response->watch = NULL;
        api_watch_on_ready(watch->watch, on_ready, watch);
    } else {
        look_again(watch, clock_mono_us() + REOPEN_US);
        log_error("api", "in-process watch of %s failed: %s", watch->plural,
                  response ? buf_str(&response->body) : "no such resource");
    }
    api_response_free(response);
}

/* Some events of one watch, without the lock; a long initial list does not hold up the others. */
static void take_turn(struct local_watch *watch)
{
    int events = 0;
    if (!watch->watch)
        open_watch(watch);
    if (!watch->watch)
        return;
    while (watch->watch && events < EVENTS_PER_TURN && !watch->stopped && dispatch_one(watch))
        events++;
    if (!watch->watch || events == EVENTS_PER_TURN)
        look_again(watch, 0);
    else if (watch->metadata && events)
        look_again(watch, clock_mono_us() + REST_US);
}

/* A watch that is ready now, or NULL and when one will be (0: when it is told). */
static struct local_watch *find_ready(struct local_client *client, int64_t *later_us)
{
    int64_t now = clock_mono_us();
    *later_us = 0;
    for (struct local_watch *watch = client->watches; watch; watch = watch->next) {
        if (!watch->ready || watch->stopped)
            continue;
        if (watch->later_us <= now)
            return watch;
        if (!*later_us || watch->later_us < *later_us)
            *later_us = watch->later_us;
    }
    return NULL;
}

static void wait_for_work(struct local_client *client, int64_t later_us)
{
    if (!later_us) {
        pthread_cond_wait(&client->work, &client->lock);
        return;
    }
    struct timespec at = {.tv_sec = later_us / 1000000, .tv_nsec = later_us % 1000000 * 1000};
    pthread_cond_clockwait(&client->work, &client->lock, CLOCK_MONOTONIC, &at);
}

static void *dispatch(void *arg)
{
    struct local_client *client = arg;
    pthread_mutex_lock(&client->lock);
    while (!client->stopping) {
        int64_t later_us;
        struct local_watch *watch = find_ready(client, &later_us);
        if (!watch) {
            wait_for_work(client, later_us);
            continue;
        }
        watch->ready = false;
        watch->later_us = 0;
        watch->busy = true;
        pthread_mutex_unlock(&client->lock);
        take_turn(watch);
        pthread_mutex_lock(&client->lock);
        watch->busy = false;
        pthread_cond_broadcast(&client->idle);
    }
    pthread_mutex_unlock(&client->lock);
    return NULL;
}

static char *strdup_or_null(const char *text)
{
    return text ? mem_strdup(text) : NULL;
}

static struct local_watch *watch_new(struct client *base, const struct client_resource *resource,
                                     client_watch_fn fn, void *arg)
{
    struct local_watch *watch = mem_zalloc(sizeof(*watch));
    watch->base.client = base;
    watch->client = (struct local_client *)base;
    watch->group = mem_strdup(resource->group);
    watch->version = mem_strdup(resource->version);
    watch->plural = mem_strdup(resource->resource);
    watch->resource = (struct client_resource){watch->group, watch->version, watch->plural};
    watch->fn = fn;
    watch->arg = arg;
    watch->ready = true;
    return watch;
}

static void begin(struct local_watch *watch)
{
    struct local_client *client = watch->client;
    pthread_mutex_lock(&client->lock);
    watch->next = client->watches;
    client->watches = watch;
    if (!client->running) {
        client->running = true;
        pthread_create(&client->thread, NULL, dispatch, client);
        pthread_setname_np(client->thread, "api-local");
    }
    pthread_cond_signal(&client->work);
    pthread_mutex_unlock(&client->lock);
}

struct client_watch *local_watch_start(struct client *client, const struct client_resource *resource,
                                       const char *namespace, const char *field_selector, client_watch_fn fn,
                                       void *arg)
{
    struct local_watch *watch = watch_new(client, resource, fn, arg);
    watch->namespace = strdup_or_null(namespace);
    watch->field_selector = strdup_or_null(field_selector);
    begin(watch);
    return &watch->base;
}

struct client_watch *local_watch_start_metadata(struct client *client, const struct client_resource *resource,
                                                client_watch_fn fn, void *arg)
{
    struct local_watch *watch = watch_new(client, resource, fn, arg);
    watch->metadata = true;
    begin(watch);
    return &watch->base;
}

static void watch_free(struct local_watch *watch)
{
    api_watch_close(watch->watch);
    free(watch->group);
    free(watch->version);
    free(watch->plural);
    free(watch->namespace);
    free(watch->field_selector);
    free(watch);
}

void local_watch_stop(struct client_watch *base)
{
    struct local_watch *watch = (struct local_watch *)base;
    struct local_client *client = watch->client;
    pthread_mutex_lock(&client->lock);
    watch->stopped = true;
    while (watch->busy)
        pthread_cond_wait(&client->idle, &client->lock);
    struct local_watch **at = &client->watches;
    while (*at != watch)
        at = &(*at)->next;
    *at = watch->next;
    pthread_mutex_unlock(&client->lock);
    watch_free(watch);
}

void local_dispatcher_start(struct local_client *client)
{
    pthread_mutex_init(&client->lock, NULL);
    pthread_cond_init(&client->work, NULL);
    pthread_cond_init(&client->idle, NULL);
}

void local_dispatcher_stop(struct local_client *client)
{
    pthread_mutex_lock(&client->lock);
    client->stopping = true;
    pthread_cond_broadcast(&client->work);
    bool running = client->running;
    pthread_mutex_unlock(&client->lock);
    if (running)
        pthread_join(client->thread, NULL);
    while (client->watches) {
        struct local_watch *watch = client->watches;
        client->watches = watch->next;
        watch_free(watch);
    }
    pthread_mutex_destroy(&client->lock);
    pthread_cond_destroy(&client->work);
    pthread_cond_destroy(&client->idle);
}
