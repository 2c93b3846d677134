/* Any bytes as an undo record: accepted or refused without harm. */
#include "state/undo.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lthash hash;
    lthash_init(&hash);
    struct state_undo *undo;
    struct err err;
    if (state_undo_decode(&undo, data, size, &hash, &err)) {
        assert(!undo && err.code == ERR_CORRUPT);
        return 0;
    }
    const struct state_update *update = state_undo_update(undo);
    for (size_t i = 0; i < update->change_count; i++)
        assert(update->changes[i].object.key.name);
    state_undo_free(undo);
    return 0;
}
