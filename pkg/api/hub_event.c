/* Events: the text of a change, spliced and opened once for all who watch. */
#include "api/hub_internal.h"

#include "base/mem.h"

struct hub_event *hub_event_new(struct api_server *server, const struct state_change *change, bool with_old)
{
    size_t namespace_size = strlen(change->object.key.namespace) + 1;
    size_t name_size = strlen(change->object.key.name) + 1;
    struct hub_event *event = mem_alloc(sizeof(*event) + namespace_size + name_size);
    *event = (struct hub_event){0};
    atomic_init(&event->references, 1);
    pthread_mutex_init(&event->lock, NULL);
    event->type = change->type;
    event->rv = change->object.rv;
    event->namespace = memcpy(event + 1, change->object.key.namespace, namespace_size);
    event->name = memcpy((char *)(event + 1) + namespace_size, change->object.key.name, name_size);
    int rc = object_open(server, &change->object, &event->text, NULL);
    if (!rc && with_old && change->has_old) {
        event->has_old = true;
        event->old_rv_offset = change->old.rv_offset;
        rc = object_open(server, &change->old, &event->old, NULL);
    }
    if (rc) {
        hub_event_release(event);
        return NULL;
    }
    return event;
}

struct hub_event *hub_event_retain(struct hub_event *event)
{
    atomic_fetch_add_explicit(&event->references, 1, memory_order_relaxed);
    return event;
}

void hub_event_release(struct hub_event *event)
{
    if (!event || atomic_fetch_sub_explicit(&event->references, 1, memory_order_acq_rel) > 1)
        return;
    pthread_mutex_destroy(&event->lock);
    json_decref(event->value);
    json_decref(event->old_value);
    buf_free(&event->text);
    buf_free(&event->old);
    free(event);
}

static const json_t *borrow(struct hub_event *event, json_t **value, const struct buf *text)
{
    pthread_mutex_lock(&event->lock);
    if (!*value)
        *value = json_parse_stored(buf_str(text), text->len, NULL);
    event->borrowers++;
    const json_t *borrowed = *value;
    pthread_mutex_unlock(&event->lock);
    return borrowed;
}

const json_t *hub_event_value(struct hub_event *event)
{
    return borrow(event, &event->value, &event->text);
}

const json_t *hub_event_old_value(struct hub_event *event)
{
    return borrow(event, &event->old_value, &event->old);
}

/* event->lock is held. */
static void drop_values(struct hub_event *event)
{
    if (!event->stale || event->borrowers > 0)
        return;
    json_decref(event->value);
    json_decref(event->old_value);
    event->value = event->old_value = NULL;
}

void hub_event_return(struct hub_event *event)
{
    pthread_mutex_lock(&event->lock);
    event->borrowers--;
    drop_values(event);
    pthread_mutex_unlock(&event->lock);
}

void hub_event_forget(struct hub_event *event)
{
    pthread_mutex_lock(&event->lock);
    event->stale = true;
    drop_values(event);
    pthread_mutex_unlock(&event->lock);
}

size_t hub_event_size(const struct hub_event *event)
{
    return sizeof(*event) + event->text.cap + event->old.cap;
}
