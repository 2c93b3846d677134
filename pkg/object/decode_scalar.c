/* Single values of decode_json: their checks, canonical forms and zero values. */
#include "object/decode_internal.h"

#include "base/mem.h"
#include "base/timefmt.h"
#include "object/quantity.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define QUANTITY_GRAMMAR "^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$"

const char *decode__what(const json_t *value)
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
    case JSON_NULL:
        return "null";
    default:
        return "bool";
    }
}

static json_t *decode_int(const struct decode__frame *frame, enum schema_type type, const json_t *value,
                          struct err *err)
{
    const char *name = type == SCHEMA_INT32 ? "int32" : "int64";
    double real = json_real_value(value);
    json_int_t number = json_integer_value(value);
    bool integral = real > -9e15 && real < 9e15 && (double)(json_int_t)real == real;
    if (json_is_real(value) && integral) {
        number = (json_int_t)real;
    } else if (json_is_real(value)) {
        char what[64];
        snprintf(what, sizeof(what), "number %g", real);
        decode__type_error(frame, what, name, err);
        return NULL;
    } else if (!json_is_integer(value)) {
        decode__type_error(frame, decode__what(value), name, err);
        return NULL;
    }
    if (type == SCHEMA_INT32 && (number < INT32_MIN || number > INT32_MAX)) {
        char what[64];
        snprintf(what, sizeof(what), "number %lld", (long long)number);
        decode__type_error(frame, what, name, err);
        return NULL;
    }
    return json_integer(number);
}

static json_t *decode_time(const struct decode__frame *frame, enum schema_type type, const json_t *value,
                           struct err *err)
{
    const char *text = json_string_value(value);
    if (!text) {
        decode__type_error(frame, decode__what(value), type == SCHEMA_TIME ? "v1.Time" : "v1.MicroTime", err);
        return NULL;
    }
    int64_t unix_us;
    if (!timefmt_parse(text, &unix_us)) {
        const char *layout =
            type == SCHEMA_TIME ? "2006-01-02T15:04:05Z07:00" : "2006-01-02T15:04:05.000000Z07:00";
        err_set(err, ERR_BAD_REQUEST, "parsing time \"%s\" as \"%s\": cannot parse \"%s\" as \"2006\"", text,
                layout, text);
        return NULL;
    }
    char out[TIMEFMT_MAX];
    if (type == SCHEMA_MICRO_TIME)
        timefmt_micro(out, unix_us);
    else
        timefmt_seconds(out, unix_us >= 0 ? unix_us / 1000000 : -((-unix_us + 999999) / 1000000));
    return json_string(out);
}

static json_t *decode_quantity(const struct decode__frame *frame, const json_t *value, struct err *err)
{
    char number[64];
    const char *text = json_string_value(value);
    if (json_is_integer(value))
        snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(value));
    else if (json_is_real(value))
        snprintf(number, sizeof(number), "%.9f", json_real_value(value));
    else if (!text) {
        decode__type_error(frame, decode__what(value), "resource.Quantity", err);
        return NULL;
    }
    char out[128];
    if (!quantity_canonical(out, sizeof(out), text ? text : number)) {
        err_set(err, ERR_BAD_REQUEST, "quantities must match the regular expression '" QUANTITY_GRAMMAR "'");
        return NULL;
    }
    return json_string(out);
}

/* Go's decoder passes over line breaks in base64; what is shown again has none. */
static json_t *decode_bytes(const struct decode__frame *frame, const json_t *value, struct err *err)
{
    const char *text = json_string_value(value);
    if (!text) {
        decode__type_error(frame, decode__what(value), "[]uint8", err);
        return NULL;
    }
    size_t len = json_string_length(value), bin_len = 0;
    mem_auto unsigned char *bin = mem_alloc(len + 1);
    const char *end = NULL;
    int rc =
        sodium_base642bin(bin, len + 1, text, len, "\r\n", &bin_len, &end, sodium_base64_VARIANT_ORIGINAL);
    if (rc != 0 || end != text + len) {
        err_set(err, ERR_BAD_REQUEST, "illegal base64 data at input byte %zu",
                end ? (size_t)(end - text) : len);
        return NULL;
    }
    if (!strpbrk(text, "\r\n"))
        return json_incref((json_t *)value);
    size_t size = sodium_base64_encoded_len(bin_len, sodium_base64_VARIANT_ORIGINAL);
    mem_auto char *out = mem_alloc(size);
    return json_string(sodium_bin2base64(out, size, bin, bin_len, sodium_base64_VARIANT_ORIGINAL));
}

static json_t *decode_int_or_string(const json_t *value, struct err *err)
{
    if (json_is_string(value))
        return json_incref((json_t *)value);
    json_int_t number = json_integer_value(value);
    if (json_is_integer(value) && number >= INT32_MIN && number <= INT32_MAX)
        return json_incref((json_t *)value);
    err_set(err, ERR_BAD_REQUEST, "json: cannot unmarshal %s into Go value of type int32",
            decode__what(value));
    return NULL;
}

static json_t *decode_typed(const struct decode__frame *frame, bool fits, const char *type,
                            const json_t *value, struct err *err)
{
    if (fits)
        return json_incref((json_t *)value);
    decode__type_error(frame, decode__what(value), type, err);
    return NULL;
}

static json_t *decode_strings(const struct decode__frame *frame, const json_t *value, struct err *err)
{
    if (!json_is_array(value))
        return decode_typed(frame, false, "[]string", value, err);
    json_t *out = json_array();
    size_t i;
    json_t *item;
    json_array_foreach(value, i, item)
    {
        if (!json_is_string(item)) {
            json_decref(out);
            return decode_typed(frame, false, "string", item, err);
        }
        json_array_append(out, item);
    }
    return out;
}

json_t *decode__scalar(const struct decode__frame *frame, enum schema_type type, const json_t *value,
                       struct err *err)
{
    switch (type) {
    case SCHEMA_STRING:
        return decode_typed(frame, json_is_string(value), "string", value, err);
    case SCHEMA_BOOL:
        return decode_typed(frame, json_is_boolean(value), "bool", value, err);
    case SCHEMA_DOUBLE:
        return decode_typed(frame, json_is_number(value), "float64", value, err);
    case SCHEMA_DURATION:
        return decode_typed(frame, json_is_string(value), "v1.Duration", value, err);
    case SCHEMA_FIELDS_V1:
        return json_is_object(value) ? json_deep_copy(value)
                                     : decode_typed(frame, false, "v1.FieldsV1", value, err);
    case SCHEMA_INT32:
    case SCHEMA_INT64:
        return decode_int(frame, type, value, err);
    case SCHEMA_TIME:
    case SCHEMA_MICRO_TIME:
        return decode_time(frame, type, value, err);
    case SCHEMA_QUANTITY:
        return decode_quantity(frame, value, err);
    case SCHEMA_BYTES:
        return decode_bytes(frame, value, err);
    case SCHEMA_INT_OR_STRING:
        return decode_int_or_string(value, err);
    case SCHEMA_STRINGS:
        return decode_strings(frame, value, err);
    default:
        return json_deep_copy(value);
    }
}

json_t *decode__zero(enum schema_type type)
{
    switch (type) {
    case SCHEMA_STRING:
    case SCHEMA_BYTES:
        return json_string("");
    case SCHEMA_INT32:
    case SCHEMA_INT64:
    case SCHEMA_INT_OR_STRING:
        return json_integer(0);
    case SCHEMA_DOUBLE:
        return json_real(0);
    case SCHEMA_BOOL:
        return json_false();
    case SCHEMA_QUANTITY:
        return json_string("0");
    case SCHEMA_DURATION:
        return json_string("0s");
    default:
        return NULL; /* times, raw values, lists: null in Go, which we leave out */
    }
}
