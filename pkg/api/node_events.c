/* See node_events.h. The lock is held during the calls: that makes removal wait for them. */
#include "api/node_events.h"

#include "base/mem.h"

struct listener {
    struct listener *next;
    ledger_event_fn fn;
    void *arg;
};

struct api_events {
    struct ledger *ledger;
    pthread_mutex_t lock;
    struct listener *listeners;
};

static void on_event(void *arg, enum ledger_event event)
{
    struct api_events *events = arg;
    pthread_mutex_lock(&events->lock);
    for (struct listener *l = events->listeners; l; l = l->next)
        l->fn(l->arg, event);
    pthread_mutex_unlock(&events->lock);
}

struct api_events *api_events_start(struct ledger *ledger)
{
    struct api_events *events = mem_zalloc(sizeof(*events));
    events->ledger = ledger;
    pthread_mutex_init(&events->lock, NULL);
    ledger_subscribe_events(ledger, on_event, events);
    return events;
}

void api_events_stop(struct api_events *events)
{
    if (!events)
        return;
    ledger_subscribe_events(events->ledger, NULL, NULL);
    while (events->listeners) {
        struct listener *l = events->listeners;
        events->listeners = l->next;
        free(l);
    }
    pthread_mutex_destroy(&events->lock);
    free(events);
}

void api_events_add(struct api_server *server, ledger_event_fn fn, void *arg)
{
    struct api_events *events = server->events;
    struct listener *l = mem_zalloc(sizeof(*l));
    l->fn = fn;
    l->arg = arg;
    pthread_mutex_lock(&events->lock);
    l->next = events->listeners;
    events->listeners = l;
    pthread_mutex_unlock(&events->lock);
}

void api_events_remove(struct api_server *server, ledger_event_fn fn, void *arg)
{
    struct api_events *events = server->events;
    pthread_mutex_lock(&events->lock);
    struct listener **at = &events->listeners;
    while (*at && ((*at)->fn != fn || (*at)->arg != arg))
        at = &(*at)->next;
    struct listener *found = *at;
    if (found)
        *at = found->next;
    pthread_mutex_unlock(&events->lock);
    free(found);
}
