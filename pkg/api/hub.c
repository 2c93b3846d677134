/* The hub: takes each block's changes from the ledger and tells the watches. See hub_internal.h. */
#include "api/hub_internal.h"

#include "base/clock.h"
#include "base/mem.h"
#include "object/registry.h"

#include <assert.h>

struct hub_channel *hub_channel_find(struct api_hub *hub, const char *group, const char *resource)
{
    for (size_t i = 0; i < hub->channel_count; i++)
        if (!strcmp(hub->channels[i].resource, resource) && !strcmp(hub->channels[i].group, group))
            return &hub->channels[i];
    return NULL;
}

static void publish_change(struct api_hub *hub, const struct state_change *change, struct hub_position at)
{
    struct hub_channel *channel =
        hub_channel_find(hub, change->object.key.group, change->object.key.resource);
    if (!channel || !channel->watch_count)
        return;
    struct hub_event *event = hub_event_new(hub->server, change, channel->selecting > 0);
    if (!event) {
        /* What cannot be opened here cannot be delivered: whoever is behind it reads the chain and is told.
         */
        hub_window_clear(hub, channel);
        channel->complete_since = channel->old_since = at;
        return;
    }
    event->at = at;
    hub_window_push(hub, channel, event);
    channel->touched = true;
}

static void add_waking(struct api_hub *hub, struct api_watch *watch, size_t *count)
{
    if (!watch->armed || !watch->wake)
        return;
    if (*count == hub->waking_cap) {
        hub->waking_cap = hub->waking_cap ? 2 * hub->waking_cap : 16;
        hub->waking = mem_reallocarray(hub->waking, hub->waking_cap, sizeof(struct api_watch *));
    }
    watch->armed = false;
    watch->waking = true;
    hub->waking[(*count)++] = watch;
}

/* Marks the watches that have something to read now; due: bookmarks too; all: those that waited for a switch.
 */
static size_t collect_waking(struct api_hub *hub, bool due, bool all)
{
    size_t count = 0;
    for (size_t i = 0; i < hub->channel_count; i++) {
        struct hub_channel *channel = &hub->channels[i];
        bool touched = channel->touched;
        channel->touched = false;
        if (!touched && !due)
            continue;
        for (struct api_watch *watch = channel->watches; watch; watch = watch->next) {
            watch->bookmark_due |= due && watch->bookmarks;
            if (touched || all || watch->bookmark_due)
                add_waking(hub, watch, &count);
        }
    }
    return count;
}

/* Calls them without the lock, so that a wake may take locks of its own. */
static void wake_all(struct api_hub *hub, size_t count)
{
    if (!count)
        return;
    pthread_mutex_unlock(&hub->lock);
    for (size_t i = 0; i < count; i++)
        hub->waking[i]->wake(hub->waking[i]->wake_arg);
    pthread_mutex_lock(&hub->lock);
    for (size_t i = 0; i < count; i++)
        hub->waking[i]->waking = false;
    pthread_cond_broadcast(&hub->woken);
}

static void on_block(void *arg, uint64_t height, uint64_t head_rv, const struct state_change *changes,
                     size_t count)
{
    (void)height;
    struct api_hub *hub = arg;
    int64_t now = clock_mono_us();
    uint64_t branch = ledger_branch(hub->server->ledger);
    pthread_mutex_lock(&hub->lock);
    bool switched = branch != hub->branch;
    for (size_t i = 0; i < count; i++) {
        struct hub_position on_branch = {branch, changes[i].object.rv}, between = {branch - 1, i + 1};
        publish_change(hub, &changes[i], switched ? between : on_branch);
    }
    hub->head_rv = head_rv;
    if (switched) {
        hub->branch = branch;
        hub->switch_rv = head_rv;
    }
    hub_window_trim(hub, now);
    /* After a switch many a client knows only positions that are no more. */
    bool due = switched || now - hub->bookmarked_us >= HUB_BOOKMARK_US;
    if (due)
        hub->bookmarked_us = now;
    wake_all(hub, collect_waking(hub, due, switched));
    pthread_mutex_unlock(&hub->lock);
}

/* One channel per stored resource, whatever the number of its versions. */
static void make_channels(struct api_hub *hub)
{
    hub->channels = mem_calloc(registry_count() + 1, sizeof(*hub->channels));
    for (size_t i = 0; i < registry_count(); i++) {
        const struct schema_kind *kind = registry_at(i);
        if (kind->virtual_ || hub_channel_find(hub, kind->group, kind->plural))
            continue;
        hub->channels[hub->channel_count++] =
            (struct hub_channel){.group = kind->group, .resource = kind->plural};
    }
}

int hub_start(struct api_server *server, struct err *err)
{
    (void)err;
    struct api_hub *hub = mem_zalloc(sizeof(*hub));
    hub->server = server;
    pthread_mutex_init(&hub->lock, NULL);
    pthread_cond_init(&hub->woken, NULL);
    hub->bookmarked_us = clock_mono_us();
    make_channels(hub);
    server->hub = hub;
    ledger_subscribe(server->ledger, on_block, hub);
    /* Blocks that were made before the subscription are history; those after it are published. A block
     * between the two lines is both, which does no harm. */
    const struct state_store_ops *ops = ledger_store_ops(server->ledger);
    struct state_snapshot *snapshot = ops->snapshot_begin(ledger_store(server->ledger));
    uint64_t rv = ops->snapshot_rv(snapshot);
    ops->snapshot_end(snapshot);
    pthread_mutex_lock(&hub->lock);
    if (!hub->branch) {
        hub->branch = ledger_branch(server->ledger) & ~1ull;
        hub->head_rv = hub->head_rv < rv ? rv : hub->head_rv;
    }
    pthread_mutex_unlock(&hub->lock);
    return 0;
}

/* A channel that nobody watched has kept nothing: its window begins now. */
uint64_t hub_attach(struct api_hub *hub, struct api_watch *watch)
{
    struct hub_channel *channel = watch->channel;
    pthread_mutex_lock(&hub->lock);
    uint64_t branch = hub->branch;
    struct hub_position head = {branch, hub->head_rv};
    if (!channel->watch_count++)
        channel->complete_since = channel->old_since = head;
    if (watch->selects && !channel->selecting++)
        channel->old_since = head;
    watch->next = channel->watches;
    if (watch->next)
        watch->next->previous = watch;
    channel->watches = watch;
    pthread_mutex_unlock(&hub->lock);
    return branch;
}

static void detach(struct api_hub *hub, struct api_watch *watch)
{
    struct hub_channel *channel = watch->channel;
    if (watch->previous)
        watch->previous->next = watch->next;
    else
        channel->watches = watch->next;
    if (watch->next)
        watch->next->previous = watch->previous;
    channel->selecting -= watch->selects;
    if (!--channel->watch_count)
        hub_window_clear(hub, channel);
    watch->hub = NULL;
}

void api_watch_on_ready(struct api_watch *watch, void (*wake)(void *arg), void *arg)
{
    if (!watch->hub)
        return;
    pthread_mutex_lock(&watch->hub->lock);
    watch->wake = wake;
    watch->wake_arg = arg;
    pthread_mutex_unlock(&watch->hub->lock);
}

void hub_watch_detach(struct api_watch *watch)
{
    struct api_hub *hub = watch->hub;
    if (!hub)
        return;
    pthread_mutex_lock(&hub->lock);
    while (watch->waking)
        pthread_cond_wait(&hub->woken, &hub->lock);
    detach(hub, watch);
    pthread_mutex_unlock(&hub->lock);
}

void hub_stop(struct api_server *server)
{
    struct api_hub *hub = server->hub;
    if (!hub)
        return;
    ledger_subscribe(server->ledger, NULL, NULL);
    /* Whoever reads the watches has stopped before (http_stop, the local clients' ends). */
    for (size_t i = 0; i < hub->channel_count; i++) {
        while (hub->channels[i].watches)
            detach(hub, hub->channels[i].watches);
        assert(!hub->channels[i].count);
    }
    pthread_mutex_destroy(&hub->lock);
    pthread_cond_destroy(&hub->woken);
    free(hub->channels);
    free(hub->waking);
    free(hub);
    server->hub = NULL;
}
