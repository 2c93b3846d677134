/* See field_place.h. */
#include "object/field_place.h"

#include "codec/json.h"

#include <string.h>

struct field_place field_place_of_message(const struct schema_message *message)
{
    return (struct field_place){message && !message->atomic ? FIELD_STRUCT : FIELD_LEAF, message, NULL};
}

struct field_place field_place_of(const struct schema_field *field)
{
    struct field_place place = {FIELD_LEAF, field->message, field};
    if (field->atomic)
        return place;
    if (field->shape == SCHEMA_MAP) {
        place.shape = FIELD_MAP;
    } else if (field->shape == SCHEMA_LIST) {
        if (field->list_type == SCHEMA_LIST_MAP && field->map_keys && field->message)
            place.shape = FIELD_LIST_BY_KEY;
        else if (field->list_type == SCHEMA_LIST_SET)
            place.shape = FIELD_LIST_BY_VALUE;
    } else if (field->type == SCHEMA_MESSAGE && !field->message->atomic) {
        place.shape = FIELD_STRUCT;
    }
    return place;
}

bool field_place_member(struct field_place place, const char *name, struct field_place *out)
{
    if (place.shape == FIELD_MAP) {
        *out = place.message && place.field->type == SCHEMA_MESSAGE
                   ? field_place_of_message(place.message)
                   : (struct field_place){FIELD_LEAF, NULL, NULL};
        return true;
    }
    const struct schema_field *field = schema_field_by_name(place.message, name);
    if (field)
        *out = field_place_of(field);
    return field;
}

struct field_place field_place_item(struct field_place place)
{
    return place.shape == FIELD_LIST_BY_KEY ? field_place_of_message(place.message)
                                            : (struct field_place){FIELD_LEAF, NULL, NULL};
}

bool field_place_is_map(struct field_place place)
{
    return place.shape == FIELD_STRUCT || place.shape == FIELD_MAP;
}

bool field_place_is_list(struct field_place place)
{
    return place.shape == FIELD_LIST_BY_KEY || place.shape == FIELD_LIST_BY_VALUE;
}

bool field_value_has_parts(const json_t *value)
{
    return json_object_size(value) || json_array_size(value);
}

static void append_json(struct buf *out, const json_t *value)
{
    const char *text = json_string_value(value);
    if (text && !strpbrk(text, "\"\\") && strlen(text) == json_string_length(value)) {
        buf_putc(out, '"');
        buf_puts(out, text);
        buf_putc(out, '"');
    } else {
        json_dump_buf(out, value);
    }
}

static void append_key(struct buf *out, const char *name, const json_t *value)
{
    buf_printf(out, "%s\"%s\":", out->data[out->len - 1] == '{' ? "" : ",", name);
    append_json(out, value);
}

/* The names of a list's key fields, sorted; there are few. */
static size_t sorted_keys(const struct schema_field *field, const char **names, size_t max)
{
    size_t count = 0;
    for (const char *const *key = field->map_keys; *key && count < max; key++) {
        size_t at = count++;
        for (; at && strcmp(names[at - 1], *key) > 0; at--)
            names[at] = names[at - 1];
        names[at] = *key;
    }
    return count;
}

bool field_place_element(struct field_place place, const json_t *item, struct buf *out)
{
    buf_clear(out);
    if (place.shape == FIELD_LIST_BY_VALUE) {
        if (!item || json_is_object(item) || json_is_array(item) || json_is_null(item))
            return false;
        buf_puts(out, "v:");
        append_json(out, item);
        return true;
    }
    if (!json_is_object(item))
        return false;
    const char *names[8];
    size_t count = sorted_keys(place.field, names, 8);
    buf_puts(out, "k:{");
    for (size_t i = 0; i < count; i++) {
        const json_t *value = json_object_get(item, names[i]);
        const struct schema_field *field = schema_field_by_name(place.message, names[i]);
        if (value) {
            append_key(out, names[i], value);
        } else if (field && field->default_json) {
            json_auto_t *fallback = json_loads(field->default_json, JSON_DECODE_ANY, NULL);
            append_key(out, names[i], fallback);
        }
    }
    bool any = out->len > 3;
    buf_putc(out, '}');
    return any;
}

struct field_path field_path_member(const struct field_path *parent, struct buf *element, const char *name)
{
    buf_clear(element);
    buf_puts(element, "f:");
    buf_puts(element, name);
    return (struct field_path){parent, buf_str(element), (uint32_t)element->len};
}

struct field_path field_path_item(const struct field_path *parent, const struct buf *element)
{
    return (struct field_path){parent, buf_str(element), (uint32_t)element->len};
}
