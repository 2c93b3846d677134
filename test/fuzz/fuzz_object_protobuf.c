/* The envelope and the message decoder over any bytes; what decodes must encode and decode to the same. */
#include "object/decode.h"
#include "object/registry.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = {0};
    char api_version[64], kind[64];
    const uint8_t *raw;
    size_t raw_len;
    if (protobuf_open(data, size, api_version, sizeof(api_version), kind, sizeof(kind), &raw, &raw_len,
                      &err) == 0)
        assert(raw >= data && raw + raw_len <= data + size);

    /* The first two bytes choose the message. */
    if (size < 2)
        return 0;
    const struct schema_message *message =
        registry_message_at((data[0] * 256u + data[1]) % registry_message_count());
    json_auto_t *out = NULL;
    if (protobuf_decode(message, data + 2, size - 2, &out, &err) < 0)
        return 0;
    buf_auto struct buf bytes = BUF_INIT;
    protobuf_encode(&bytes, message, out);
    json_auto_t *again = NULL;
    assert(protobuf_decode(message, (const uint8_t *)bytes.data, bytes.len, &again, &err) == 0);
    assert(json_equal(out, again));
    return 0;
}
