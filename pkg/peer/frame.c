/* See frame.h. */
#include "peer/frame.h"

#include "peer/peer.h"

#include <assert.h>

#define PART_KEEP (64u << 10) /* a larger buffer is given back after its frame */

size_t frame_header(uint8_t out[FRAME_HEADER_MAX], uint8_t channel, size_t len)
{
    assert(len < (1u << 28));
    size_t n = 0;
    out[n++] = channel;
    for (; len >= 0x80; len >>= 7)
        out[n++] = (uint8_t)(len | 0x80);
    out[n++] = (uint8_t)len;
    return n;
}

static size_t frame_limit(const struct frame_reader *reader)
{
    if (reader->channel == PEER_CHANNEL_CONTROL)
        return reader->known ? FRAME_CONTROL_MAX : FRAME_UNKNOWN_PEER_MAX;
    return PEER_FRAME_MAX;
}

static bool channel_allowed(const struct frame_reader *reader, uint8_t channel)
{
    return channel == PEER_CHANNEL_CONTROL || (reader->known && channel <= PEER_CHANNEL_SYNC);
}

/* The bytes of a header so far; true when it is whole. */
static bool header_complete(struct frame_reader *reader)
{
    const uint8_t *header = reader->header;
    size_t n = reader->header_len;
    if (!channel_allowed(reader, header[0])) {
        reader->fault = FRAME_BAD_CHANNEL;
        return false;
    }
    if (n < 2)
        return false;
    if (header[n - 1] & 0x80) {
        if (n == FRAME_HEADER_MAX)
            reader->fault = FRAME_TOO_LARGE;
        return false;
    }
    if (n > 2 && header[n - 1] == 0) {
        reader->fault = FRAME_BAD_LENGTH;
        return false;
    }
    reader->channel = header[0];
    reader->need = 0;
    for (size_t i = 1; i < n; i++)
        reader->need |= (size_t)(header[i] & 0x7f) << (7 * (i - 1));
    if (reader->need > frame_limit(reader))
        reader->fault = FRAME_TOO_LARGE;
    return reader->fault == FRAME_FINE;
}

static bool read_header(struct frame_reader *reader, const uint8_t **bytes, size_t *len)
{
    while (*len && !reader->fault) {
        reader->header[reader->header_len++] = **bytes;
        (*bytes)++;
        (*len)--;
        if (header_complete(reader))
            return true;
    }
    return false;
}

static void frame_finish(struct frame_reader *reader, struct frame *frame, const uint8_t *payload)
{
    *frame = (struct frame){reader->channel, payload, reader->need};
    reader->in_payload = false;
    reader->header_len = 0;
}

bool frame_reader_next(struct frame_reader *reader, const uint8_t **bytes, size_t *len, struct frame *frame)
{
    if (!reader->in_payload) {
        if (reader->part.cap > PART_KEEP)
            buf_free(&reader->part);
        buf_clear(&reader->part);
        if (reader->fault || !read_header(reader, bytes, len))
            return false;
        reader->in_payload = true;
    }
    size_t missing = reader->need - reader->part.len;
    if (reader->part.len == 0 && *len >= missing) {
        frame_finish(reader, frame, *bytes);
        *bytes += missing;
        *len -= missing;
        return true;
    }
    size_t take = *len < missing ? *len : missing;
    buf_append(&reader->part, *bytes, take);
    *bytes += take;
    *len -= take;
    if (take < missing)
        return false;
    frame_finish(reader, frame, (const uint8_t *)reader->part.data);
    return true;
}

void frame_reader_free(struct frame_reader *reader)
{
    buf_free(&reader->part);
}

const char *frame_fault_text(enum frame_fault fault)
{
    switch (fault) {
    case FRAME_FINE:
        return "fine";
    case FRAME_TOO_LARGE:
        return "a frame is too large";
    case FRAME_BAD_CHANNEL:
        return "a frame is on a channel that is not open";
    case FRAME_BAD_LENGTH:
        return "a frame's length is not in its shortest form";
    }
    return "";
}
