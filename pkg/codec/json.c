/* See json.h. */
#include "codec/json.h"

#include "base/mem.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

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
    json_object_set_new_nocheck(object, name, json_string(value));
}

void json_set_int(json_t *object, const char *name, int64_t value)
{
    json_object_set_new_nocheck(object, name, json_integer(value));
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

const char **json_sorted_keys(const json_t *object, size_t *count)
{
    const char **keys = mem_calloc(json_object_size(object) + 1, sizeof(*keys));
    bool sorted = true;
    size_t n = 0;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value)
    {
        sorted = sorted && (n == 0 || strcmp(keys[n - 1], key) < 0);
        keys[n++] = key;
    }
    if (!sorted)
        qsort(keys, n, sizeof(*keys), compare_keys);
    *count = n;
    return keys;
}

const char *json_kind_name(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "object";
    case JSON_ARRAY:
        return "array";
    case JSON_STRING:
        return "string";
    case JSON_INTEGER:
    case JSON_REAL:
        return "number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "bool";
    default:
        return "null";
    }
}
