/* Any bytes as a message: refused, or decoded to what encodes to the same bytes. */
#include "consensus/message.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct message message;
    struct err err;
    if (message_decode(&message, data, size, &err) != 0)
        return 0;
    buf_auto struct buf again = BUF_INIT;
    message_encode(&again, &message);
    assert(again.len == size && memcmp(again.data, data, size) == 0);
    message_verify(&message, NULL, &err);
    message_free(&message);
    return 0;
}
