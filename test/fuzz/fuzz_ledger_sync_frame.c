/* Any bytes as a frame of the sync channel: refused, or decoded to what encodes to the same bytes. */
#include "ledger/sync_frame.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sync_frame frame;
    if (!sync_frame_decode(&frame, data, size))
        return 0;
    buf_auto struct buf again = BUF_INIT;
    sync_frame_encode(&again, &frame);
    assert(again.len == size && memcmp(again.data, data, size) == 0);
    return 0;
}
