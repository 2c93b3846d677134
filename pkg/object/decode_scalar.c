/* Single values of decode_json: their checks, canonical forms and zero values. */
#include "object/decode_internal.h"

#include "base/mem.h"
#include "base/timefmt.h"
#include "codec/json.h"
#include "object/quantity.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define QUANTITY_GRAMMAR "^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$"

/* What a whole number was expected for: a number that does not fit is worded with its digits. */
static void put_what(char *out, size_t size, const json_t *value)
{
    buf_auto struct buf text = BUF_INIT;
    if (json_is_number(value))
        json_dump_buf(&text, value);
    snprintf(out, size, "%s%s%s", json_kind_name(value), text.len ? " " : "", buf_str(&text));
}

static json_t *decode_int(const struct decode__frame *frame, enum schema_type type, const json_t *value,
                          struct err *err)
{
    double real = json_real_value(value);
    bool integral = real > -9e15 && real < 9e15 && (double)(json_int_t)real == real;
    json_int_t number = json_is_real(value) ? (integral ? (json_int_t)real : 0) : json_integer_value(value);
    bool fits = json_is_real(value) ? integral : json_is_integer(value);
    if (type == SCHEMA_INT32)
        fits = fits && number >= INT32_MIN && number <= INT32_MAX;
    if (fits)
        return json_integer(number);
    char what[64];
    put_what(what, sizeof(what), value);
    decode__type_error(frame, what, type == SCHEMA_INT32 ? "int32" : "int64", err);
    return NULL;
}

/* Times, quantities and the like decode themselves in Go, so their errors do not say where they stand. */
static json_t *decode_time(enum schema_type type, const json_t *value, struct err *err)
{
    const char *text = json_string_value(value);
    if (!text) {
        decode__type_error(NULL, json_kind_name(value), "string", err);
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

/* Whether a text has the form of a quantity, though its suffix may be none. */
static bool is_quantity_like(const char *text)
{
    text += *text == '+' || *text == '-';
    size_t digits = strspn(text, "0123456789.");
    text += digits;
    text += strspn(text, "eEinumkKMGTP");
    text += *text == '+' || *text == '-';
    text += strspn(text, "0123456789");
    return digits && *text == '\0';
}

static json_t *decode_quantity(const json_t *value, struct err *err)
{
    buf_auto struct buf number = BUF_INIT;
    if (!json_is_string(value))
        json_dump_buf(&number, value);
    const char *text = json_is_string(value) ? json_string_value(value) : buf_str(&number);
    char out[128];
    if (quantity_canonical(out, sizeof(out), text))
        return json_string(out);
    if (is_quantity_like(text))
        err_set(err, ERR_BAD_REQUEST, "unable to parse quantity's suffix");
    else
        err_set(err, ERR_BAD_REQUEST, "quantities must match the regular expression '" QUANTITY_GRAMMAR "'");
    return NULL;
}

/* Go's decoder passes over line breaks in base64; what is shown again has none. */
static json_t *decode_bytes(const struct decode__frame *frame, const json_t *value, struct err *err)
{
    const char *text = json_string_value(value);
    if (!text) {
        decode__type_error(frame, json_kind_name(value), "[]uint8", err);
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
    char what[64];
    put_what(what, sizeof(what), value);
    decode__type_error(NULL, what, "int32", err);
    return NULL;
}

static json_t *decode_typed(const struct decode__frame *frame, bool fits, const char *type,
                            const json_t *value, struct err *err)
{
    if (fits)
        return json_incref((json_t *)value);
    decode__type_error(frame, json_kind_name(value), type, err);
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
        return decode_time(type, value, err);
    case SCHEMA_QUANTITY:
        return decode_quantity(value, err);
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
