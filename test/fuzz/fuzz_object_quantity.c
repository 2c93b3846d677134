/* Any text is a quantity or is not; a canonical form is its own canonical form and of the same value. */
#include "object/quantity.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[64];
    if (size >= sizeof(text))
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    char canonical[256];
    char again[256];
    int64_t milli;
    int64_t value;
    if (!quantity_canonical(canonical, sizeof(canonical), text)) {
        if (quantity_milli(text, &milli))
            abort();
        return 0;
    }
    int64_t canonical_value;
    if (!quantity_value(text, &value) || !quantity_value(canonical, &canonical_value) ||
        value != canonical_value)
        abort();
    if (!quantity_canonical(again, sizeof(again), canonical) || strcmp(again, canonical))
        abort();
    return 0;
}
