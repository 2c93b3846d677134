/* See json.h. */
#include "codec/json.h"

#include <stdarg.h>

json_t *json_at_(const json_t *value, ...)
{
    va_list names;
    va_start(names, value);
    json_t *at = (json_t *)value;
    for (const char *name; at && (name = va_arg(names, const char *));)
        at = json_object_get(at, name);
    va_end(names);
    return at;
}

const char *json_or_empty_(const json_t *value)
{
    const char *s = json_string_value(value);
    return s ? s : "";
}

int64_t json_int_or_(int64_t fallback, const json_t *value)
{
    return json_is_integer(value) ? json_integer_value(value) : fallback;
}

json_t *json_object_ensure(json_t *object, const char *name)
{
    json_t *member = json_object_get(object, name);
    if (!json_is_object(member)) {
        member = json_object();
        json_object_set_new(object, name, member);
    }
    return member;
}

json_t *json_array_ensure(json_t *object, const char *name)
{
    json_t *member = json_object_get(object, name);
    if (!json_is_array(member)) {
        member = json_array();
        json_object_set_new(object, name, member);
    }
    return member;
}

void json_set_str(json_t *object, const char *name, const char *value)
{
    json_object_set_new(object, name, json_string(value));
}

void json_set_int(json_t *object, const char *name, int64_t value)
{
    json_object_set_new(object, name, json_integer(value));
}
