/* Writing JSON: compact, straight into the buffer, members in their order, reals as short as they stay exact.
 */
#include "codec/json.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put_escape(struct buf *out, unsigned char c)
{
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    const char *found = c ? strchr(from, c) : NULL;
    if (found) {
        buf_putc(out, '\\');
        buf_putc(out, to[found - from]);
    } else {
        buf_printf(out, "\\u%04x", c);
    }
}

static void put_string(struct buf *out, const char *text, size_t len)
{
    const char *end = text + len, *start = text;
    buf_reserve(out, len + 2);
    buf_putc(out, '"');
    for (; text < end; text++) {
        unsigned char c = (unsigned char)*text;
        if (c >= ' ' && c != '"' && c != '\\')
            continue;
        buf_append(out, start, (size_t)(text - start));
        put_escape(out, c);
        start = text + 1;
    }
    buf_append(out, start, (size_t)(text - start));
    buf_putc(out, '"');
}

static void put_integer(struct buf *out, json_int_t value)
{
    char digits[24];
    char *at = digits + sizeof(digits);
    unsigned long long rest = value < 0 ? 0 - (unsigned long long)value : (unsigned long long)value;
    do {
        *--at = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    if (value < 0)
        *--at = '-';
    buf_append(out, at, (size_t)(digits + sizeof(digits) - at));
}

/* A real keeps a point or an exponent, so that it is read back as one. */
static void put_real(struct buf *out, double value)
{
    char text[40];
    for (int precision = 15; precision <= 17; precision++) {
        snprintf(text, sizeof(text), "%.*g", precision, value);
        if (strtod(text, NULL) == value)
            break;
    }
    buf_puts(out, text);
    if (!strpbrk(text, ".e"))
        buf_puts(out, ".0");
}

static void put_value(struct buf *out, const json_t *value);

static void put_object(struct buf *out, const json_t *value)
{
    bool first = true;
    buf_putc(out, '{');
    json_t *object = (json_t *)value;
    for (void *at = json_object_iter(object); at; at = json_object_iter_next(object, at)) {
        if (!first)
            buf_putc(out, ',');
        first = false;
        put_string(out, json_object_iter_key(at), json_object_iter_key_len(at));
        buf_putc(out, ':');
        put_value(out, json_object_iter_value(at));
    }
    buf_putc(out, '}');
}

static void put_array(struct buf *out, const json_t *value)
{
    size_t i;
    json_t *item;
    buf_putc(out, '[');
    json_array_foreach(value, i, item)
    {
        if (i)
            buf_putc(out, ',');
        put_value(out, item);
    }
    buf_putc(out, ']');
}

static void put_value(struct buf *out, const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        put_object(out, value);
        break;
    case JSON_ARRAY:
        put_array(out, value);
        break;
    case JSON_STRING:
        put_string(out, json_string_value(value), json_string_length(value));
        break;
    case JSON_INTEGER:
        put_integer(out, json_integer_value(value));
        break;
    case JSON_REAL:
        put_real(out, json_real_value(value));
        break;
    case JSON_TRUE:
        buf_append(out, "true", 4);
        break;
    case JSON_FALSE:
        buf_append(out, "false", 5);
        break;
    case JSON_NULL:
        buf_append(out, "null", 4);
        break;
    }
}

void json_dump_buf(struct buf *out, const json_t *value)
{
    assert(value);
    put_value(out, value);
}
