/*
 * Ownership: a live object (with managedFields, as a client may have written them) and a configuration, with
 * a NUL between them. A forced apply may be refused, but must not crash, and applying the same again must
 * change nothing.
 */
#include "codec/json.h"
#include "object/apply.h"
#include "object/decode.h"
#include "object/registry.h"
#include "object/semantics.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static json_t *read_object(const struct schema_kind *kind, const void *text, size_t len, bool as_sent)
{
    struct err err = {0};
    json_auto_t *value = json_parse(text, len, &err);
    json_t *object = NULL;
    if (!json_is_object(value))
        return NULL;
    if (as_sent)
        decode_json_as_sent(kind->message, value, &object, NULL, &err);
    else
        decode_json(kind->message, value, &object, NULL, &err);
    return object;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *cut = memchr(data, 0, size);
    if (!cut)
        return 0;
    const struct schema_kind *kind = registry_by_kind("apps", "v1", "Deployment");
    json_auto_t *live = read_object(kind, data, (size_t)(cut - data), false);
    json_auto_t *config = read_object(kind, cut + 1, size - (size_t)(cut + 1 - data), true);
    if (!live || !config)
        return 0;
    struct apply_manager manager = {"fuzz", "apps/v1", "", "2026-01-01T00:00:00Z"};
    struct err err = {0};
    json_auto_t *once = NULL;
    if (apply_server_side(kind, live, config, &manager, true, &once, NULL, &err))
        return 0;
    json_auto_t *twice = NULL;
    if (apply_server_side(kind, once, config, &manager, false, &twice, NULL, &err))
        abort();
    /* Who owns fields may differ: an object that nobody owns is adopted by the next apply. */
    json_object_del(json_object_get(twice, "metadata"), "managedFields");
    json_auto_t *updated = json_deep_copy(once);
    json_object_del(json_object_get(updated, "metadata"), "managedFields");
    if (!json_equal(updated, twice))
        abort();
    apply_track_update(kind, once, updated, &manager);
    apply_track_update(kind, live, updated, &manager);
    defaults_apply(kind, updated);
    struct field_errors errors = {0};
    validate_object(kind, updated, live, &errors);
    field_errors_free(&errors);
    return 0;
}
