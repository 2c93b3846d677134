/* Client frames of any shape: no crash, no message beyond the limit, and the same messages however the bytes
 * are cut. */
#include "stream/websocket.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Counts the messages and their bytes; the first byte of the input says how the rest is cut. */
static size_t run(const uint8_t *data, size_t size, size_t step, int *end)
{
    struct websocket_reader reader = {0};
    size_t total = 0;
    *end = 0;
    for (size_t at = 0; at < size && *end == 0; at += step) {
        enum websocket_opcode opcode;
        const char *text;
        size_t len;
        websocket_reader_feed(&reader, data + at, size - at < step ? size - at : step);
        int rc;
        while ((rc = websocket_reader_next(&reader, &opcode, &text, &len)) > 0) {
            if (len > WEBSOCKET_MESSAGE_MAX || text[len] != '\0')
                abort();
            total += len + 1;
        }
        *end = rc;
    }
    websocket_reader_free(&reader);
    return total;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int end_whole, end_cut;
    if (size < 1)
        return 0;
    size_t whole = run(data + 1, size - 1, size, &end_whole);
    size_t cut = run(data + 1, size - 1, (size_t)data[0] % 16 + 1, &end_cut);
    if (whole != cut || end_whole != end_cut)
        abort();
    return 0;
}
