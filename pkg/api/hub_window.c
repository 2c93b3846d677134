/* The window of recent events of a channel: a ring in the order of the chain, bounded over all channels. */
#include "api/hub_internal.h"

#include "base/mem.h"

#include <assert.h>

static struct hub_event *at(const struct hub_channel *channel, size_t i)
{
    return channel->window[(channel->first + i) % channel->cap];
}

static void drop_first(struct api_hub *hub, struct hub_channel *channel)
{
    struct hub_event *event = at(channel, 0);
    channel->complete_since = event->at;
    if (hub_before(channel->old_since, event->at))
        channel->old_since = event->at;
    hub->window_bytes -= hub_event_size(event);
    hub->window_events--;
    channel->first = (channel->first + 1) % channel->cap;
    channel->count--;
    hub_event_release(event);
}

/* The channel with the oldest event gives it up first. */
static void drop_oldest(struct api_hub *hub)
{
    struct hub_channel *oldest = NULL;
    for (size_t i = 0; i < hub->channel_count; i++) {
        struct hub_channel *channel = &hub->channels[i];
        if (channel->count > 0 && (!oldest || hub_before(at(channel, 0)->at, at(oldest, 0)->at)))
            oldest = channel;
    }
    assert(oldest);
    drop_first(hub, oldest);
}

static void grow(struct hub_channel *channel)
{
    size_t cap = channel->cap ? 2 * channel->cap : 16;
    struct hub_event **window = mem_calloc(cap, sizeof(struct hub_event *));
    for (size_t i = 0; i < channel->count; i++)
        window[i] = at(channel, i);
    free(channel->window);
    channel->window = window;
    channel->cap = cap;
    channel->first = 0;
}

void hub_window_push(struct api_hub *hub, struct hub_channel *channel, struct hub_event *event)
{
    assert(!channel->count || hub_before(at(channel, channel->count - 1)->at, event->at));
    if (channel->count == channel->cap)
        grow(channel);
    channel->window[(channel->first + channel->count++) % channel->cap] = event;
    if (channel->count > HUB_PARSED_EVENTS)
        hub_event_forget(at(channel, channel->count - 1 - HUB_PARSED_EVENTS));
    hub->window_bytes += hub_event_size(event);
    hub->window_events++;
    while (hub->window_events > 1 &&
           (hub->window_bytes > HUB_WINDOW_BYTES || hub->window_events > HUB_WINDOW_EVENTS))
        drop_oldest(hub);
}

static struct hub_position slowest(const struct hub_channel *channel)
{
    struct hub_position passed = {UINT64_MAX, 0};
    for (const struct api_watch *watch = channel->watches; watch; watch = watch->next)
        if (hub_before(watch->passed, passed))
            passed = watch->passed;
    return passed;
}

void hub_window_trim(struct api_hub *hub, int64_t now_us)
{
    if (hub->window_bytes <= HUB_WINDOW_KEPT || now_us - hub->trimmed_us < HUB_TRIM_US)
        return;
    hub->trimmed_us = now_us;
    for (size_t i = 0; i < hub->channel_count; i++) {
        struct hub_channel *channel = &hub->channels[i];
        struct hub_position passed = slowest(channel);
        while (channel->count > 0 && !hub_before(passed, at(channel, 0)->at))
            drop_first(hub, channel);
    }
}

void hub_window_clear(struct api_hub *hub, struct hub_channel *channel)
{
    while (channel->count > 0)
        drop_first(hub, channel);
    free(channel->window);
    channel->window = NULL;
    channel->cap = channel->first = 0;
}

struct hub_event *hub_window_after(const struct hub_channel *channel, struct hub_position position)
{
    size_t low = 0, high = channel->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (hub_before(position, at(channel, middle)->at))
            high = middle;
        else
            low = middle + 1;
    }
    return low < channel->count ? at(channel, low) : NULL;
}
