/* Writing YAML as kubectl shows it: block style, sequences not indented, text quoted only where it must be.
 */
#include "codec/yaml.h"

#include "codec/json.h"
#include "codec/yaml_scalar.h"

#include <assert.h>
#include <string.h>
#include <yaml.h>

static int put_bytes(void *arg, unsigned char *bytes, size_t size)
{
    buf_append(arg, bytes, size);
    return 1;
}

static void emit(yaml_emitter_t *emitter, yaml_event_t *event, int made)
{
    /* Both fail only when memory runs out or the caller breaks the order of events. */
    assert(made);
    int rc = yaml_emitter_emit(emitter, event);
    assert(rc);
    (void)rc;
    (void)made;
}

static void emit_scalar(yaml_emitter_t *emitter, const char *text, size_t len, yaml_scalar_style_t style)
{
    yaml_event_t event;
    emit(emitter, &event,
         yaml_scalar_event_initialize(&event, NULL, NULL, (const yaml_char_t *)text, (int)len,
                                      style != YAML_DOUBLE_QUOTED_SCALAR_STYLE, 1, style));
}

/* Whether a text of lines can stand as it is in a literal block. */
static bool fits_literal(const char *text, size_t len)
{
    static const char *const breaks[] = {"\xc2\x85", "\xe2\x80\xa8", "\xe2\x80\xa9", "\xef\xbb\xbf"};
    if (strchr(" \n\t", text[0]) || (len > 1 && text[len - 1] == '\n' && text[len - 2] == '\n'))
        return false;
    for (size_t i = 0; i < len; i++) {
        if (((unsigned char)text[i] < ' ' && text[i] != '\n') || text[i] == 127)
            return false;
        if (text[i] == ' ' && (i + 1 == len || text[i + 1] == '\n'))
            return false;
        if (text[i] == '\n' && text[i + 1] == ' ' && strspn(text + i + 1, " ") + i + 1 == len)
            return false;
    }
    for (size_t i = 0; i < sizeof(breaks) / sizeof(breaks[0]); i++)
        if (strstr(text, breaks[i]))
            return false;
    return true;
}

/* Text that would read back as something else is quoted; so is what YAML 1.1 calls a base 60 number. */
static void emit_text(yaml_emitter_t *emitter, const char *text, size_t len)
{
    json_auto_t *resolved = yaml__resolve(text);
    bool plain = json_is_string(resolved) && !yaml__is_merge(text);
    bool sexagesimal = strspn(text, "0123456789:._-+") == len && strchr(text, ':');
    yaml_scalar_style_t style = YAML_PLAIN_SCALAR_STYLE;
    if (strchr(text, '\n') && fits_literal(text, len))
        style = YAML_LITERAL_SCALAR_STYLE;
    else if (!plain || sexagesimal || strchr(text, '\n'))
        style = YAML_DOUBLE_QUOTED_SCALAR_STYLE;
    emit_scalar(emitter, text, len, style);
}

static void emit_number(yaml_emitter_t *emitter, const json_t *value)
{
    buf_auto struct buf text = BUF_INIT;
    json_dump_buf(&text, value);
    emit_scalar(emitter, text.data, text.len, YAML_PLAIN_SCALAR_STYLE);
}

static void emit_value(yaml_emitter_t *emitter, const json_t *value);

static void emit_object(yaml_emitter_t *emitter, const json_t *value)
{
    yaml_event_t event;
    yaml_mapping_style_t style = json_object_size(value) ? YAML_BLOCK_MAPPING_STYLE : YAML_FLOW_MAPPING_STYLE;
    emit(emitter, &event, yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, style));
    const char *key;
    json_t *item;
    json_object_foreach((json_t *)value, key, item)
    {
        emit_text(emitter, key, strlen(key));
        emit_value(emitter, item);
    }
    emit(emitter, &event, yaml_mapping_end_event_initialize(&event));
}

static void emit_array(yaml_emitter_t *emitter, const json_t *value)
{
    yaml_event_t event;
    yaml_sequence_style_t style =
        json_array_size(value) ? YAML_BLOCK_SEQUENCE_STYLE : YAML_FLOW_SEQUENCE_STYLE;
    emit(emitter, &event, yaml_sequence_start_event_initialize(&event, NULL, NULL, 1, style));
    size_t i;
    json_t *item;
    json_array_foreach(value, i, item) emit_value(emitter, item);
    emit(emitter, &event, yaml_sequence_end_event_initialize(&event));
}

static void emit_value(yaml_emitter_t *emitter, const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        emit_object(emitter, value);
        break;
    case JSON_ARRAY:
        emit_array(emitter, value);
        break;
    case JSON_STRING:
        emit_text(emitter, json_string_value(value), json_string_length(value));
        break;
    case JSON_INTEGER:
    case JSON_REAL:
        emit_number(emitter, value);
        break;
    case JSON_TRUE:
        emit_scalar(emitter, "true", 4, YAML_PLAIN_SCALAR_STYLE);
        break;
    case JSON_FALSE:
        emit_scalar(emitter, "false", 5, YAML_PLAIN_SCALAR_STYLE);
        break;
    case JSON_NULL:
        emit_scalar(emitter, "null", 4, YAML_PLAIN_SCALAR_STYLE);
        break;
    }
}

void yaml_dump(struct buf *out, const json_t *value)
{
    yaml_emitter_t emitter;
    int rc = yaml_emitter_initialize(&emitter);
    assert(rc);
    (void)rc;
    yaml_emitter_set_output(&emitter, put_bytes, out);
    yaml_emitter_set_width(&emitter, -1);
    yaml_emitter_set_unicode(&emitter, 1);
    yaml_event_t event;
    emit(&emitter, &event, yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING));
    emit(&emitter, &event, yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1));
    emit_value(&emitter, value);
    emit(&emitter, &event, yaml_document_end_event_initialize(&event, 1));
    emit(&emitter, &event, yaml_stream_end_event_initialize(&event));
    yaml_emitter_delete(&emitter);
}
