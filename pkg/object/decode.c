/*
 * See decode.h. Decoding goes over a message's members once: each member of the input is looked up and its
 * checked value put into a slot; then the slots are put together in the schema's order.
 */
#include "object/decode_internal.h"

#include "base/mem.h"
#include "codec/json.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

struct decoder {
    json_t *unknown; /* may be NULL */
    struct err *err;
    bool complete; /* add what Kubernetes always shows, leave out what it never shows */
};

static json_t *decode_message(struct decoder *d, const struct decode__frame *frame,
                              const struct schema_message *message, const json_t *value);

/* "spec.containers[0].name"; without the indexes when they are not wanted, as Go words type errors. */
static void put_path(struct buf *out, const struct decode__frame *frame, bool indexes)
{
    if (frame->parent)
        put_path(out, frame->parent, indexes);
    if (frame->name)
        buf_printf(out, "%s%s", out->len ? "." : "", frame->name);
    else if (frame->parent && indexes)
        buf_printf(out, "[%zu]", frame->index);
}

static const char *short_name(const struct schema_message *message)
{
    const char *dot = strrchr(message->name, '.');
    return dot ? dot + 1 : message->name;
}

int decode__type_error(const struct decode__frame *frame, const char *what, const char *type, struct err *err)
{
    const struct decode__frame *at = frame;
    while (at && !at->owner)
        at = at->parent;
    if (!at)
        return err_set(err, ERR_BAD_REQUEST, "json: cannot unmarshal %s into Go value of type %s", what,
                       type);
    buf_auto struct buf path = BUF_INIT;
    put_path(&path, frame, false);
    return err_set(err, ERR_BAD_REQUEST, "json: cannot unmarshal %s into Go struct field %s.%s of type %s",
                   what, short_name(at->owner), buf_str(&path), type);
}

static void report_unknown(struct decoder *d, const struct decode__frame *frame, const char *name)
{
    if (!d->unknown)
        return;
    buf_auto struct buf text = BUF_INIT;
    buf_puts(&text, "unknown field \"");
    size_t start = text.len;
    buf_auto struct buf path = BUF_INIT;
    put_path(&path, frame, true);
    buf_append(&text, buf_str(&path), path.len);
    buf_printf(&text, "%s%s\"", text.len > start ? "." : "", name);
    json_array_append_new(d->unknown, json_stringn(text.data, text.len));
}

/* The Go type of a field's list, map or message, for error texts. */
static void put_type(char *out, size_t size, const struct schema_field *field)
{
    static const char *const scalars[] = {
        [SCHEMA_STRING] = "string",
        [SCHEMA_INT32] = "int32",
        [SCHEMA_INT64] = "int64",
        [SCHEMA_BOOL] = "bool",
        [SCHEMA_DOUBLE] = "float64",
        [SCHEMA_BYTES] = "[]uint8",
        [SCHEMA_QUANTITY] = "resource.Quantity",
        [SCHEMA_INT_OR_STRING] = "intstr.IntOrString",
        [SCHEMA_TIME] = "v1.Time",
        [SCHEMA_MICRO_TIME] = "v1.MicroTime",
        [SCHEMA_STRINGS] = "v1.ExtraValue",
        [SCHEMA_RAW] = "runtime.RawExtension",
    };
    char item[128] = "interface {}";
    if (field->type == SCHEMA_MESSAGE)
        snprintf(item, sizeof(item), "v1.%s", short_name(field->message));
    else if (field->type < sizeof(scalars) / sizeof(scalars[0]) && scalars[field->type])
        snprintf(item, sizeof(item), "%s", scalars[field->type]);
    if (field->shape == SCHEMA_MAP && field->type == SCHEMA_QUANTITY)
        snprintf(out, size, "v1.ResourceList");
    else
        snprintf(out, size, "%s%s",
                 field->shape == SCHEMA_LIST  ? "[]"
                 : field->shape == SCHEMA_MAP ? "map[string]"
                                              : "",
                 item);
}

static json_t *decode_single(struct decoder *d, const struct decode__frame *frame,
                             const struct schema_field *field, const json_t *value)
{
    if (field->type == SCHEMA_MESSAGE)
        return decode_message(d, frame, field->message, value);
    return decode__scalar(frame, field->type, value, d->err);
}

/* A null item of a list is its zero value in Go. */
static json_t *decode_item(struct decoder *d, const struct decode__frame *frame,
                           const struct schema_field *field, const json_t *value)
{
    if (!json_is_null(value) || field->type == SCHEMA_ANY)
        return decode_single(d, frame, field, value);
    json_t *zero = field->type == SCHEMA_STRINGS ? json_array() : decode__zero(field->type);
    return zero ? zero : json_object();
}

static json_t *decode_list(struct decoder *d, const struct decode__frame *frame,
                           const struct schema_field *field, const json_t *value)
{
    json_t *out = json_array();
    size_t i;
    json_t *item;
    json_array_foreach(value, i, item)
    {
        struct decode__frame at = {.parent = frame, .index = i};
        json_t *decoded = decode_item(d, &at, field, item);
        if (!decoded) {
            json_decref(out);
            return NULL;
        }
        json_array_append_new(out, decoded);
    }
    return out;
}

static json_t *decode_map(struct decoder *d, const struct decode__frame *frame,
                          const struct schema_field *field, const json_t *value)
{
    size_t count;
    mem_auto const char **keys = json_sorted_keys(value, &count);
    json_t *out = json_object();
    for (size_t i = 0; i < count; i++) {
        struct decode__frame at = {.parent = frame, .name = keys[i]};
        /* Scalar values are worded without their key, as Go does. */
        const struct decode__frame *where = field->type == SCHEMA_MESSAGE ? &at : frame;
        json_t *decoded = decode_item(d, where, field, json_object_get(value, keys[i]));
        if (!decoded) {
            json_decref(out);
            return NULL;
        }
        json_object_set_new_nocheck(out, keys[i], decoded);
    }
    return out;
}

static json_t *decode_field(struct decoder *d, const struct decode__frame *frame,
                            const struct schema_field *field, const json_t *value)
{
    if (field->shape == SCHEMA_SINGLE)
        return decode_single(d, frame, field, value);
    bool list = field->shape == SCHEMA_LIST;
    if (list ? json_is_array(value) : json_is_object(value))
        return list ? decode_list(d, frame, field, value) : decode_map(d, frame, field, value);
    char type[192];
    put_type(type, sizeof(type), field);
    decode__type_error(frame, json_kind_name(value), type, d->err);
    return NULL;
}

/* Whether Go's omitempty leaves this value out. */
static bool is_empty(const struct schema_field *field, const json_t *value)
{
    if (field->shape == SCHEMA_LIST)
        return json_array_size(value) == 0;
    if (field->shape == SCHEMA_MAP)
        return json_object_size(value) == 0;
    if (field->pointer)
        return false;
    switch (json_typeof(value)) {
    case JSON_STRING:
        return json_string_length(value) == 0;
    case JSON_INTEGER:
        return json_integer_value(value) == 0 && field->type != SCHEMA_INT_OR_STRING;
    case JSON_REAL:
        return json_real_value(value) == 0;
    case JSON_FALSE:
        return true;
    case JSON_ARRAY:
        return json_array_size(value) == 0;
    default:
        return false;
    }
}

/* What Kubernetes shows for an absent member: structs and scalars without omitempty have their zero value. */
static json_t *absent_value(const struct schema_field *field)
{
    if (field->omit_empty || field->pointer || field->shape != SCHEMA_SINGLE)
        return NULL;
    if (field->type != SCHEMA_MESSAGE)
        return decode__zero(field->type);
    struct decoder d = {.complete = true};
    struct decode__frame root = {0};
    json_auto_t *none = json_object();
    return decode_message(&d, &root, field->message, none);
}

static json_t *assemble(struct decoder *d, const struct schema_message *message, json_t **slots)
{
    json_t *out = json_object();
    for (size_t i = 0; i < message->member_count; i++) {
        const struct schema_member *member = &message->members[i];
        json_t *value = slots[i];
        if (value && d->complete && member->field->omit_empty && is_empty(member->field, value)) {
            json_decref(value);
            value = NULL;
        } else if (!value && d->complete) {
            value = absent_value(member->field);
        }
        if (value)
            json_object_set_new_nocheck(out, member->name, value);
    }
    return out;
}

static json_t *decode_message(struct decoder *d, const struct decode__frame *frame,
                              const struct schema_message *message, const json_t *value)
{
    if (!json_is_object(value)) {
        char type[128];
        snprintf(type, sizeof(type), "v1.%s", short_name(message));
        decode__type_error(frame, json_kind_name(value), type, d->err);
        return NULL;
    }
    assert(message->member_count <= SCHEMA_MEMBER_MAX);
    json_t *slots[SCHEMA_MEMBER_MAX];
    memset(slots, 0, message->member_count * sizeof(json_t *));
    const char *name;
    json_t *item;
    json_object_foreach((json_t *)value, name, item)
    {
        const struct schema_member *member = schema_member_find(message, name, strlen(name));
        if (!member) {
            report_unknown(d, frame, name);
            continue;
        }
        if (json_is_null(item))
            continue;
        struct decode__frame at = {.parent = frame, .name = member->name, .owner = message};
        json_t *decoded = decode_field(d, &at, member->field, item);
        if (!decoded) {
            for (size_t i = 0; i < message->member_count; i++)
                json_decref(slots[i]);
            return NULL;
        }
        slots[member - message->members] = decoded;
    }
    return assemble(d, message, slots);
}

static int decode_root(struct decoder *d, const struct schema_message *message, const json_t *value,
                       json_t **out)
{
    struct decode__frame root = {0};
    *out = decode_message(d, &root, message, value);
    return *out ? 0 : ERR_BAD_REQUEST;
}

int decode_json(const struct schema_message *message, const json_t *value, json_t **out, json_t *unknown,
                struct err *err)
{
    struct decoder d = {.unknown = unknown, .err = err, .complete = true};
    return decode_root(&d, message, value, out);
}

int decode_json_as_sent(const struct schema_message *message, const json_t *value, json_t **out,
                        json_t *unknown, struct err *err)
{
    struct decoder d = {.unknown = unknown, .err = err, .complete = false};
    return decode_root(&d, message, value, out);
}
