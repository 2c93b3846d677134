/* JSON merge patches (RFC 7386). The other two kinds of patches have files of their own. */
#include "object/patch.h"

#include "codec/json.h"

#include <assert.h>

/* MergePatch of the RFC's section 2; returns a new reference. target is changed when it is an object. */
static json_t *merge(json_t *target, const json_t *patch)
{
    if (!json_is_object(patch))
        return json_deep_copy(patch);
    json_t *merged = json_is_object(target) ? json_incref(target) : json_object();
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)patch, name, value)
    {
        if (json_is_null(value))
            json_object_del(merged, name);
        else
            json_object_set_new(merged, name, merge(json_object_get(merged, name), value));
    }
    return merged;
}

int patch_merge(const json_t *object, const json_t *patch, json_t **out, struct err *err)
{
    if (!json_is_object(patch))
        return err_set(err, ERR_BAD_REQUEST,
                       "error decoding patch: json: cannot unmarshal %s into Go value of type "
                       "map[string]interface {}",
                       json_kind_name(patch));
    json_t *copy = json_deep_copy(object);
    *out = merge(copy, patch);
    json_decref(copy);
    return 0;
}
