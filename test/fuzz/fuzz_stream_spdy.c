/* Frames of any shape from the runtime: no crash, and the same events however the bytes are cut. */
#include "stream/spdy.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t run(const uint8_t *data, size_t size, size_t step)
{
    struct spdy spdy;
    uint64_t digest = 1;
    spdy_init(&spdy);
    for (size_t at = 0; at < size; at += step) {
        struct spdy_frame frame = {0};
        spdy_feed(&spdy, data + at, size - at < step ? size - at : step);
        for (enum spdy_event event; (event = spdy_next(&spdy, &frame)) != SPDY_NONE;) {
            digest = digest * 31 + event;
            if (event != SPDY_DATA)
                continue;
            if (frame.len >= SPDY_FRAME_MAX)
                abort();
            for (size_t i = 0; i < frame.len; i++)
                digest = digest * 31 + (uint8_t)frame.data[i];
        }
    }
    digest = digest * 31 + spdy.out.len;
    spdy_free(&spdy);
    return digest;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    if (run(data + 1, size - 1, size) != run(data + 1, size - 1, (size_t)data[0] % 16 + 1))
        abort();
    return 0;
}
