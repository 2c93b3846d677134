/*
 * From the internal form to protobuf, field by field in the order of the numbers, as Go's generated code
 * writes it: plain scalars and structs always, pointers, lists and maps when they are there.
 */
#include "object/decode.h"

#include "base/mem.h"
#include "base/timefmt.h"
#include "codec/json.h"
#include "object/protobuf_wire.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

static void put_time(struct buf *out, unsigned number, const json_t *value)
{
    size_t mark = protobuf_wire_open(out, number);
    int64_t unix_us;
    const char *text = json_string_value(value);
    if (text && timefmt_parse(text, &unix_us)) {
        int64_t seconds = unix_us / 1000000, micros = unix_us % 1000000;
        if (micros < 0) {
            seconds--;
            micros += 1000000;
        }
        protobuf_wire_put_int(out, 1, seconds);
        protobuf_wire_put_int(out, 2, micros * 1000);
    }
    protobuf_wire_close(out, mark);
}

static void put_bytes(struct buf *out, unsigned number, const json_t *value)
{
    const char *text = json_string_value(value);
    size_t len = json_string_length(value), bin_len = 0;
    mem_auto unsigned char *bin = mem_alloc(len + 1);
    if (!text || sodium_base642bin(bin, len + 1, text, len, "\r\n", &bin_len, NULL,
                                   sodium_base64_VARIANT_ORIGINAL) != 0)
        bin_len = 0;
    protobuf_wire_put_bytes(out, number, bin, bin_len);
}

static void put_text(struct buf *out, unsigned number, const json_t *value)
{
    protobuf_wire_put_bytes(out, number, json_string_value(value), json_string_length(value));
}

static void put_quantity(struct buf *out, unsigned number, const json_t *value)
{
    size_t mark = protobuf_wire_open(out, number);
    if (json_is_string(value))
        put_text(out, 1, value);
    else
        protobuf_wire_put_bytes(out, 1, "0", 1);
    protobuf_wire_close(out, mark);
}

static void put_int_or_string(struct buf *out, unsigned number, const json_t *value)
{
    size_t mark = protobuf_wire_open(out, number);
    protobuf_wire_put_int(out, 1, json_is_string(value));
    protobuf_wire_put_int(out, 2, json_integer_value(value));
    put_text(out, 3, value);
    protobuf_wire_close(out, mark);
}

static void put_raw(struct buf *out, unsigned number, const json_t *value)
{
    size_t mark = protobuf_wire_open(out, number);
    if (value) {
        buf_auto struct buf text = BUF_INIT;
        json_dump_buf(&text, value);
        protobuf_wire_put_bytes(out, 1, text.data, text.len);
    }
    protobuf_wire_close(out, mark);
}

static void put_strings(struct buf *out, unsigned number, const json_t *value)
{
    size_t mark = protobuf_wire_open(out, number);
    size_t i;
    json_t *item;
    json_array_foreach(value, i, item) put_text(out, 1, item);
    protobuf_wire_close(out, mark);
}

static void put_message(struct buf *out, unsigned number, const struct schema_message *message,
                        const json_t *value)
{
    size_t mark = protobuf_wire_open(out, number);
    protobuf_encode(out, message, value);
    protobuf_wire_close(out, mark);
}

/* One value; NULL stands for the zero value. */
static void put_value(struct buf *out, const struct schema_field *field, unsigned number, const json_t *value)
{
    switch ((enum schema_type)field->type) {
    case SCHEMA_MESSAGE:
        put_message(out, number, field->message, value);
        break;
    case SCHEMA_STRING:
        put_text(out, number, value);
        break;
    case SCHEMA_INT32:
    case SCHEMA_INT64:
        protobuf_wire_put_int(out, number, json_integer_value(value));
        break;
    case SCHEMA_BOOL:
        protobuf_wire_put_int(out, number, json_is_true(value));
        break;
    case SCHEMA_DOUBLE:
        protobuf_wire_put_double(out, number, json_number_value(value));
        break;
    case SCHEMA_BYTES:
        put_bytes(out, number, value);
        break;
    case SCHEMA_QUANTITY:
        put_quantity(out, number, value);
        break;
    case SCHEMA_INT_OR_STRING:
        put_int_or_string(out, number, value);
        break;
    case SCHEMA_TIME:
    case SCHEMA_MICRO_TIME:
        put_time(out, number, value);
        break;
    case SCHEMA_RAW:
    case SCHEMA_FIELDS_V1:
        put_raw(out, number, value);
        break;
    case SCHEMA_STRINGS:
        put_strings(out, number, value);
        break;
    case SCHEMA_DURATION:
    case SCHEMA_ANY:
        break; /* no message of the API has these in protobuf */
    }
}

static void put_map(struct buf *out, const struct schema_field *field, const json_t *map)
{
    size_t count;
    mem_auto const char **keys = json_sorted_keys(map, &count);
    for (size_t i = 0; i < count; i++) {
        size_t mark = protobuf_wire_open(out, field->number);
        protobuf_wire_put_bytes(out, 1, keys[i], strlen(keys[i]));
        put_value(out, field, 2, json_object_get(map, keys[i]));
        protobuf_wire_close(out, mark);
    }
}

static void put_field(struct buf *out, const struct schema_field *field, const json_t *object)
{
    if (!field->name[0]) {
        put_message(out, field->number, field->message, object);
        return;
    }
    const json_t *value = json_object_get(object, field->name);
    size_t i;
    json_t *item;
    if (field->shape == SCHEMA_MAP) {
        put_map(out, field, value);
    } else if (field->shape == SCHEMA_LIST) {
        json_array_foreach(value, i, item) put_value(out, field, field->number, item);
    } else if (value || !(field->pointer || field->type == SCHEMA_BYTES || field->type == SCHEMA_STRINGS)) {
        put_value(out, field, field->number, value);
    }
}

void protobuf_encode(struct buf *out, const struct schema_message *message, const json_t *value)
{
    for (size_t i = 0; i < message->field_count; i++) {
        const struct schema_field *field = &message->fields[message->numbers[i]];
        if (field->number)
            put_field(out, field, value);
    }
}
