/*
 * Patches: an object and a patch, with a NUL between them, through all three kinds. An input may be refused,
 * but must not crash, and the arguments must stay as they were.
 */
#include "codec/json.h"
#include "object/patch.h"
#include "object/registry.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *cut = memchr(data, 0, size);
    if (!cut)
        return 0;
    struct err err = {0};
    json_auto_t *object = json_parse(data, (size_t)(cut - data), &err);
    json_auto_t *patch = json_parse(cut + 1, size - (size_t)(cut + 1 - data), &err);
    if (!json_is_object(object) || !patch)
        return 0;
    json_auto_t *before = json_deep_copy(object);
    const struct schema_message *message = registry_by_kind("apps", "v1", "Deployment")->message;
    json_t *out = NULL;
    int rc[3];
    rc[0] = patch_strategic(message, object, patch, &out, &err);
    json_decref(out);
    out = NULL;
    rc[1] = patch_json(object, patch, &out, &err);
    json_decref(out);
    out = NULL;
    rc[2] = patch_merge(object, patch, &out, &err);
    json_decref(out);
    for (int i = 0; i < 3; i++)
        if (rc[i] > 0)
            abort();
    if (!json_equal(before, object))
        abort();
    return 0;
}
