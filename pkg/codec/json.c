/* See json.h. */
#include "codec/json.h"

#include <assert.h>
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

static int dump_to_buf(const char *text, size_t size, void *arg)
{
    buf_append(arg, text, size);
    return 0;
}

void json_dump_buf(struct buf *out, const json_t *value)
{
    int rc = json_dump_callback(value, dump_to_buf, out, JSON_COMPACT | JSON_ENCODE_ANY);
    assert(rc == 0);
}

static bool depth_within(const char *text, size_t len)
{
    int depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (quoted) {
            if (c == '\\')
                i++;
            else if (c == '"')
                quoted = false;
        } else if (c == '"') {
            quoted = true;
        } else if (c == '{' || c == '[') {
            if (++depth > JSON_DEPTH_MAX)
                return false;
        } else if (c == '}' || c == ']') {
            depth--;
        }
    }
    return true;
}

json_t *json_parse(const void *text, size_t len, struct err *err)
{
    if (!depth_within(text, len)) {
        err_set(err, ERR_BAD_REQUEST, "exceeded max depth");
        return NULL;
    }
    json_error_t error;
    json_t *value = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (!value)
        err_set(err, ERR_BAD_REQUEST, "json: line %d: %s", error.line, error.text);
    return value;
}
