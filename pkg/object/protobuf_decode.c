/*
 * From protobuf to the internal form: first a JSON value as the bytes have it, then decode_json, which orders
 * and completes it. So both wires give the same object.
 */
#include "object/decode.h"

#include "base/mem.h"
#include "base/timefmt.h"
#include "codec/json.h"
#include "object/protobuf_wire.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define DEPTH_MAX JSON_DEPTH_MAX

static int decode_fields(json_t *object, const struct schema_message *message, const uint8_t *bytes,
                         size_t len, unsigned depth, struct err *err);

static int malformed(const struct schema_message *message, struct err *err)
{
    return err_set(err, ERR_BAD_REQUEST, "proto: %s: malformed message", strrchr(message->name, '.') + 1);
}

static json_t *make_bytes(const struct pbwire_field *wire)
{
    size_t size = sodium_base64_encoded_len(wire->len, sodium_base64_VARIANT_ORIGINAL);
    mem_auto char *text = mem_alloc(size);
    return json_string(sodium_bin2base64(text, size, wire->bytes, wire->len, sodium_base64_VARIANT_ORIGINAL));
}

/* {1: seconds, 2: nanos}; no bytes at all are Go's zero time, null in JSON. */
static json_t *make_time(const struct pbwire_field *wire, bool micro)
{
    struct pbwire_reader reader = {wire->bytes, wire->bytes + wire->len};
    struct pbwire_field field;
    int64_t seconds = 0, nanos = 0;
    int rc;
    while ((rc = protobuf_wire_next(&reader, &field)) > 0) {
        if (field.type == WIRE_VARINT && field.number == 1)
            seconds = (int64_t)field.value;
        if (field.type == WIRE_VARINT && field.number == 2)
            nanos = (int64_t)field.value;
    }
    if (rc < 0)
        return NULL;
    if (wire->len == 0)
        return json_null();
    /* Years 0 to 9999, as RFC 3339 can say them. */
    if (seconds < -62167219200 || seconds > 253402300799 || nanos < 0 || nanos > 999999999)
        return NULL;
    char text[TIMEFMT_MAX];
    if (micro)
        timefmt_micro(text, seconds * 1000000 + nanos / 1000);
    else
        timefmt_seconds(text, seconds);
    return json_string(text);
}

/* The bytes of field 1, which Quantity, RawExtension and FieldsV1 consist of. */
static bool first_bytes(const struct pbwire_field *wire, struct pbwire_field *out)
{
    struct pbwire_reader reader = {wire->bytes, wire->bytes + wire->len};
    struct pbwire_field field;
    *out = (struct pbwire_field){.bytes = wire->bytes};
    int rc;
    while ((rc = protobuf_wire_next(&reader, &field)) > 0)
        if (field.number == 1 && field.type == WIRE_BYTES)
            *out = field;
    return rc == 0;
}

static json_t *make_quantity(const struct pbwire_field *wire)
{
    struct pbwire_field text;
    if (!first_bytes(wire, &text))
        return NULL;
    return text.len ? json_stringn((const char *)text.bytes, text.len) : json_string("0");
}

static json_t *make_raw(const struct pbwire_field *wire, struct err *err)
{
    struct pbwire_field raw;
    if (!first_bytes(wire, &raw))
        return NULL;
    return raw.len ? json_parse(raw.bytes, raw.len, err) : json_null();
}

static json_t *make_int_or_string(const struct pbwire_field *wire)
{
    struct pbwire_reader reader = {wire->bytes, wire->bytes + wire->len};
    struct pbwire_field field, text = {.bytes = wire->bytes};
    uint64_t type = 0;
    int32_t number = 0;
    int rc;
    while ((rc = protobuf_wire_next(&reader, &field)) > 0) {
        if (field.number == 1 && field.type == WIRE_VARINT)
            type = field.value;
        else if (field.number == 2 && field.type == WIRE_VARINT)
            number = (int32_t)field.value;
        else if (field.number == 3 && field.type == WIRE_BYTES)
            text = field;
    }
    if (rc < 0 || type > 1)
        return NULL;
    return type == 0 ? json_integer(number) : json_stringn((const char *)text.bytes, text.len);
}

static json_t *make_strings(const struct pbwire_field *wire)
{
    struct pbwire_reader reader = {wire->bytes, wire->bytes + wire->len};
    struct pbwire_field field;
    json_t *out = json_array();
    int rc;
    while ((rc = protobuf_wire_next(&reader, &field)) > 0)
        if (field.number == 1 && field.type == WIRE_BYTES &&
            json_array_append_new(out, json_stringn((const char *)field.bytes, field.len)) != 0)
            break;
    if (rc == 0)
        return out;
    json_decref(out);
    return NULL;
}

static json_t *make_message(const struct schema_message *message, const struct pbwire_field *wire,
                            unsigned depth, struct err *err)
{
    json_t *out = json_object();
    if (decode_fields(out, message, wire->bytes, wire->len, depth + 1, err) == 0)
        return out;
    json_decref(out);
    return NULL;
}

static json_t *make_length_delimited(const struct schema_field *field, const struct pbwire_field *wire,
                                     unsigned depth, struct err *err)
{
    switch ((enum schema_type)field->type) {
    case SCHEMA_STRING:
        return json_stringn((const char *)wire->bytes, wire->len);
    case SCHEMA_MESSAGE:
        return make_message(field->message, wire, depth, err);
    case SCHEMA_BYTES:
        return make_bytes(wire);
    case SCHEMA_QUANTITY:
        return make_quantity(wire);
    case SCHEMA_INT_OR_STRING:
        return make_int_or_string(wire);
    case SCHEMA_TIME:
    case SCHEMA_MICRO_TIME:
        return make_time(wire, field->type == SCHEMA_MICRO_TIME);
    case SCHEMA_RAW:
    case SCHEMA_FIELDS_V1:
        return make_raw(wire, err);
    case SCHEMA_STRINGS:
        return make_strings(wire);
    default:
        return NULL;
    }
}

/* A single value; NULL when the wire type does not fit or the bytes are malformed. */
static json_t *make_value(const struct schema_field *field, const struct pbwire_field *wire, unsigned depth,
                          struct err *err)
{
    if (wire->type == WIRE_BYTES)
        return make_length_delimited(field, wire, depth, err);
    if (wire->type == WIRE_FIXED64 && field->type == SCHEMA_DOUBLE) {
        double real;
        memcpy(&real, &wire->value, sizeof(real));
        return json_real(real); /* NULL for what JSON cannot say */
    }
    if (wire->type != WIRE_VARINT)
        return NULL;
    switch ((enum schema_type)field->type) {
    case SCHEMA_BOOL:
        return json_boolean(wire->value);
    case SCHEMA_INT32:
        return json_integer((int32_t)wire->value);
    case SCHEMA_INT64:
        return json_integer((int64_t)wire->value);
    default:
        return NULL;
    }
}

static json_t *zero_of_entry(const struct schema_field *field)
{
    switch ((enum schema_type)field->type) {
    case SCHEMA_MESSAGE:
        return json_object();
    case SCHEMA_STRINGS:
        return json_array();
    case SCHEMA_QUANTITY:
        return json_string("0");
    case SCHEMA_INT32:
    case SCHEMA_INT64:
        return json_integer(0);
    default:
        return json_string("");
    }
}

/* {1: key, 2: value}; absent ones have their zero value. */
static int decode_entry(json_t *map, const struct schema_field *field, const struct pbwire_field *wire,
                        unsigned depth, struct err *err)
{
    struct pbwire_reader reader = {wire->bytes, wire->bytes + wire->len};
    struct pbwire_field part, key = {.bytes = wire->bytes};
    json_auto_t *value = NULL;
    int rc;
    while ((rc = protobuf_wire_next(&reader, &part)) > 0) {
        if (part.number == 1 && part.type == WIRE_BYTES) {
            key = part;
        } else if (part.number == 2) {
            json_decref(value);
            value = make_value(field, &part, depth, err);
            if (!value)
                return -1;
        }
    }
    if (rc < 0 || memchr(key.bytes, 0, key.len))
        return -1;
    if (!value)
        value = zero_of_entry(field);
    mem_auto char *name = mem_strndup((const char *)key.bytes, key.len);
    return json_object_set(map, name, value);
}

/* Numbers in a list may come packed. */
static int decode_packed(json_t *list, const struct schema_field *field, const struct pbwire_field *wire)
{
    struct pbwire_reader reader = {wire->bytes, wire->bytes + wire->len};
    struct pbwire_field item = {.type = WIRE_VARINT};
    while (reader.at < reader.end) {
        if (!protobuf_wire_varint(&reader, &item.value))
            return -1;
        json_array_append_new(list, make_value(field, &item, 0, NULL));
    }
    return 0;
}

static bool is_number(const struct schema_field *field)
{
    return field->type == SCHEMA_INT32 || field->type == SCHEMA_INT64 || field->type == SCHEMA_BOOL;
}

static int decode_field(json_t *object, const struct schema_field *field, const struct pbwire_field *wire,
                        unsigned depth, struct err *err)
{
    if (!field->name[0])
        return wire->type == WIRE_BYTES
                   ? decode_fields(object, field->message, wire->bytes, wire->len, depth + 1, err)
                   : -1;
    if (field->shape == SCHEMA_MAP)
        return wire->type == WIRE_BYTES
                   ? decode_entry(json_object_ensure(object, field->name), field, wire, depth, err)
                   : -1;
    if (field->shape == SCHEMA_LIST) {
        json_t *list = json_array_ensure(object, field->name);
        if (wire->type == WIRE_BYTES && is_number(field))
            return decode_packed(list, field, wire);
        return json_array_append_new(list, make_value(field, wire, depth, err));
    }
    return json_object_set_new(object, field->name, make_value(field, wire, depth, err));
}

static int decode_fields(json_t *object, const struct schema_message *message, const uint8_t *bytes,
                         size_t len, unsigned depth, struct err *err)
{
    if (depth > DEPTH_MAX)
        return err_set(err, ERR_BAD_REQUEST, "exceeded max depth");
    struct pbwire_reader reader = {bytes, bytes + len};
    struct pbwire_field wire;
    int rc;
    while ((rc = protobuf_wire_next(&reader, &wire)) > 0) {
        const struct schema_field *field = schema_field_by_number(message, wire.number);
        if (!field)
            continue;
        int failed = decode_field(object, field, &wire, depth, err);
        if (failed < -1)
            return failed; /* already worded */
        if (failed)
            return malformed(message, err);
    }
    return rc == 0 ? 0 : malformed(message, err);
}

int protobuf_decode(const struct schema_message *message, const uint8_t *raw, size_t len, json_t **out,
                    struct err *err)
{
    json_auto_t *object = json_object();
    *out = NULL;
    if (message->kind) {
        char api_version[128];
        bool meta = strcmp(message->group, "meta.k8s.io") == 0;
        snprintf(api_version, sizeof(api_version), "%s%s%s", meta ? "" : message->group,
                 message->group[0] && !meta ? "/" : "", message->version);
        json_set_str(object, "kind", message->kind);
        json_set_str(object, "apiVersion", api_version);
    }
    int rc = decode_fields(object, message, len ? raw : (const uint8_t *)"", len, 0, err);
    if (rc < 0)
        return rc;
    return decode_json(message, object, out, NULL, err);
}
