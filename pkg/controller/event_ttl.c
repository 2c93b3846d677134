/* Events live for an hour. They are removed in batches, several minutes apart at least, so that a cluster in
 * which little happens writes seldom. One key: "sweep". */
#include "controller/manager_internal.h"

#include "codec/json.h"

#define EVENT_TTL_US 3600000000LL
#define SWEEP_MIN_US 300000000LL /* between two batches */

struct event_ttl_controller {
    struct controller base;
    pthread_mutex_t lock;
    bool armed; /* a sweep is due some time */
};

static void event_ttl_start(struct controller *self)
{
    pthread_mutex_init(&((struct event_ttl_controller *)self)->lock, NULL);
}

static void event_ttl_stop(struct controller *self)
{
    pthread_mutex_destroy(&((struct event_ttl_controller *)self)->lock);
}

static bool event_ttl_arm(struct event_ttl_controller *c, bool armed)
{
    pthread_mutex_lock(&c->lock);
    bool before = c->armed;
    c->armed = armed;
    pthread_mutex_unlock(&c->lock);
    return before;
}

static void event_ttl_event(struct controller *self, const struct watched *kind, enum client_event event,
                            const json_t *object)
{
    (void)object;
    if (kind->id != KIND_EVENT || event == CLIENT_DELETED)
        return;
    /* Those that a restart finds may be old already: a first sweep comes soon after the start. */
    if (!event_ttl_arm((struct event_ttl_controller *)self, true))
        controller_add_after(self, "sweep", SWEEP_MIN_US);
}

/* The sweep that this node was to make may have been left out as another's. */
static void event_ttl_again(struct controller *self, const struct watched *kind, const json_t *object)
{
    (void)object;
    if (kind->id != KIND_EVENT)
        return;
    event_ttl_arm((struct event_ttl_controller *)self, true);
    controller_add_after(self, "sweep", SWEEP_MIN_US);
}

static int64_t event_time(const json_t *event)
{
    int64_t last = kube_time(json_str(event, "lastTimestamp"));
    int64_t series = kube_time(json_str(event, "series", "lastObservedTime"));
    int64_t created = kube_created(event);
    last = series > last ? series : last;
    return created > last ? created : last;
}

static int event_ttl_sync(struct controller *self, const struct sync_in *in, int64_t *again_us,
                          struct err *err)
{
    struct event_ttl_controller *c = (struct event_ttl_controller *)self;
    event_ttl_arm(c, false); /* an event that comes from now on arms it again */
    json_auto_t *events = NULL;
    int rc = client_list(self->client, &kube_events, NULL, NULL, NULL, &events, err);
    int64_t oldest = INT64_MAX;
    size_t i;
    json_t *event;
    json_array_foreach(events, i, event)
    {
        int64_t at = event_time(event);
        if (at + EVENT_TTL_US > in->now_us) {
            oldest = at < oldest ? at : oldest;
            continue;
        }
        rc = client_delete(self->client, &kube_events, kube_namespace(event), kube_name(event), NULL, err);
        if (rc && rc != ERR_NOT_FOUND)
            return rc;
        rc = 0;
    }
    if (oldest != INT64_MAX) {
        event_ttl_arm(c, true);
        *again_us = oldest + EVENT_TTL_US - in->now_us;
        *again_us = *again_us < SWEEP_MIN_US ? SWEEP_MIN_US : *again_us;
    }
    return rc;
}

const struct controller_type event_ttl_controller = {
    .name = "event-ttl",
    .size = sizeof(struct event_ttl_controller),
    .start = event_ttl_start,
    .stop = event_ttl_stop,
    .event = event_ttl_event,
    .again = event_ttl_again,
    .sync = event_ttl_sync,
};
