/* Bytes of any shape from a peer: no crash, the same frames however the bytes are cut, and a control frame
 * that is taken has no other encoding. */
#include "peer/control.h"
#include "peer/frame.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_control(const struct frame *frame)
{
    struct control control;
    struct buf again = BUF_INIT;
    if (control_decode(&control, frame->bytes, frame->len, NULL))
        return;
    /* Of another version only the number is read. */
    if (control.type != CONTROL_HELLO || control.version == CONTROL_VERSION) {
        control_encode(&again, &control);
        if (again.len != frame->len || memcmp(again.data, frame->bytes, again.len) != 0)
            abort();
    }
    buf_free(&again);
    control_free(&control);
}

static uint64_t run(const uint8_t *data, size_t size, size_t step, bool known)
{
    struct frame_reader reader = {.known = known};
    struct frame frame;
    uint64_t digest = 1;
    for (size_t at = 0; at < size; at += step) {
        const uint8_t *bytes = data + at;
        size_t len = size - at < step ? size - at : step;
        while (frame_reader_next(&reader, &bytes, &len, &frame)) {
            digest = digest * 31 + frame.channel;
            for (size_t i = 0; i < frame.len; i++)
                digest = digest * 31 + frame.bytes[i];
            if (frame.channel == PEER_CHANNEL_CONTROL)
                check_control(&frame);
        }
    }
    digest = digest * 31 + reader.fault;
    frame_reader_free(&reader);
    return digest;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    bool known = data[0] & 1;
    size_t step = (size_t)(data[0] >> 1) % 16 + 1;
    struct frame whole = {.bytes = data + 1, .len = size - 1};
    check_control(&whole);
    if (run(data + 1, size - 1, size, known) != run(data + 1, size - 1, step, known))
        abort();
    return 0;
}
