/* Any bytes as a stored object: what is accepted stays inside them and encodes to them again. */
#include "state/record.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct state_object object;
    if (!state_record_decode(&object, data, size))
        return 0;
    struct tx_index_term term;
    for (size_t pos = 0; state_term_next(&object, &pos, &term);)
        assert(strlen(term.name) + strlen(term.value) < size);
    /* Strings with a NUL inside are shorter when they are written again; all others come out as they were. */
    buf_auto struct buf again = BUF_INIT;
    state_record_encode(&again, &object);
    assert(again.len <= size + 1);
    return 0;
}
