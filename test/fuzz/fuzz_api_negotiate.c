/* Accept headers: whatever they say, the result is something that was on offer. */
#include "api/negotiate.h"
#include "base/mem.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    const unsigned media = data[0] & 7;
    const unsigned as = NEGOTIATE_OBJECT | (data[0] >> 3 & 0x3e);
    mem_auto char *accept = mem_strndup((const char *)data + 1, size - 1);
    struct negotiate_result result = {0};
    if (negotiate(accept, media, as, &result)) {
        assert((result.media & media) && (result.as & as));
        assert(result.as != NEGOTIATE_TABLE || result.media != NEGOTIATE_PROTOBUF);
    }
    return 0;
}
