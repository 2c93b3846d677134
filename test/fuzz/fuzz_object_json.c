/* decode_json over any JSON: what it gives must decode to itself and survive the protobuf wire. */
#include "codec/json.h"
#include "object/decode.h"
#include "object/registry.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* The first two bytes choose the message. */
    if (size < 2)
        return 0;
    const struct schema_message *message =
        registry_message_at((data[0] * 256u + data[1]) % registry_message_count());
    struct err err = {0};
    json_auto_t *value = json_parse(data + 2, size - 2, &err);
    json_auto_t *unknown = json_array();
    json_auto_t *out = NULL, *again = NULL, *sent = NULL;
    if (!value || decode_json(message, value, &out, unknown, &err) < 0)
        return 0;
    assert(decode_json(message, out, &again, NULL, &err) == 0);
    assert(json_equal(out, again));
    assert(decode_json_as_sent(message, value, &sent, NULL, &err) == 0);

    buf_auto struct buf bytes = BUF_INIT;
    protobuf_encode(&bytes, message, out);
    json_auto_t *back = NULL;
    protobuf_decode(message, (const uint8_t *)bytes.data, bytes.len, &back, &err);
    return 0;
}
