/* See outgoing.h. */
#include "peer/outgoing.h"

#include "base/mem.h"

struct parcel *parcel_make(uint8_t channel, const void *payload, size_t len)
{
    uint8_t header[FRAME_HEADER_MAX];
    size_t header_len = frame_header(header, channel, len);
    struct parcel *parcel = mem_alloc(sizeof(*parcel) + header_len + len);
    atomic_init(&parcel->references, 1);
    parcel->channel = channel;
    parcel->len = header_len + len;
    memcpy(parcel->bytes, header, header_len);
    if (len)
        memcpy(parcel->bytes + header_len, payload, len);
    return parcel;
}

void parcel_release(struct parcel *parcel)
{
    if (parcel && atomic_fetch_sub(&parcel->references, 1) == 1)
        free(parcel);
}

static void channel_grow(struct outgoing_channel *channel)
{
    size_t cap = channel->cap ? channel->cap * 2 : 8;
    struct parcel **ring = mem_calloc(cap, sizeof(*ring));
    for (size_t i = 0; i < channel->count; i++)
        ring[i] = channel->ring[(channel->first + i) % channel->cap];
    free(channel->ring);
    channel->ring = ring;
    channel->cap = cap;
    channel->first = 0;
}

bool outgoing_push(struct outgoing *out, struct parcel *parcel)
{
    struct outgoing_channel *channel = &out->channels[parcel->channel];
    if (channel->count == OUTGOING_FRAMES_MAX)
        return false;
    if (parcel->channel != PEER_CHANNEL_CONTROL && out->waiting + parcel->len > OUTGOING_MAX)
        return false;
    if (channel->count == channel->cap)
        channel_grow(channel);
    atomic_fetch_add(&parcel->references, 1);
    channel->ring[(channel->first + channel->count++) % channel->cap] = parcel;
    out->waiting += parcel->len;
    return true;
}

static struct parcel *outgoing_pop(struct outgoing *out)
{
    for (size_t i = 0; i < OUTGOING_CHANNELS; i++) {
        struct outgoing_channel *channel = &out->channels[i];
        if (!channel->count)
            continue;
        struct parcel *parcel = channel->ring[channel->first];
        channel->first = (channel->first + 1) % channel->cap;
        channel->count--;
        return parcel;
    }
    return NULL;
}

size_t outgoing_fill(struct outgoing *out, uint8_t *bytes, size_t size, uint64_t *frames)
{
    size_t filled = 0;
    while (filled < size) {
        if (!out->current) {
            out->current = outgoing_pop(out);
            out->at = 0;
        }
        if (!out->current)
            break;
        size_t left = out->current->len - out->at;
        size_t take = left < size - filled ? left : size - filled;
        memcpy(bytes + filled, out->current->bytes + out->at, take);
        filled += take;
        out->at += take;
        out->waiting -= take;
        if (take == left) {
            parcel_release(out->current);
            out->current = NULL;
            (*frames)++;
        }
    }
    return filled;
}

void outgoing_drop(struct outgoing *out)
{
    for (struct parcel *parcel; (parcel = outgoing_pop(out));)
        parcel_release(parcel);
    out->waiting = out->current ? out->current->len - out->at : 0;
}

void outgoing_free(struct outgoing *out)
{
    outgoing_drop(out);
    parcel_release(out->current);
    for (size_t i = 0; i < OUTGOING_CHANNELS; i++)
        free(out->channels[i].ring);
    *out = (struct outgoing){0};
}
