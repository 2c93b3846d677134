/* See represent.h. */
#include "api/represent.h"

#include "codec/json.h"
#include "codec/yaml.h"
#include "object/decode.h"
#include "object/registry.h"
#include "object/table.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define API_VERSION_MAX 256

const char *represent_content_type(const struct represent *represent)
{
    switch (represent->form.media) {
    case NEGOTIATE_YAML:
        return "application/yaml";
    case NEGOTIATE_PROTOBUF:
        return PROTOBUF_MEDIA_TYPE;
    default:
        return "application/json";
    }
}

const char *represent_watch_content_type(const struct represent *represent)
{
    return represent->form.media == NEGOTIATE_PROTOBUF ? PROTOBUF_MEDIA_TYPE ";stream=watch"
                                                       : "application/json";
}

bool represent_is_plain(const struct represent *represent)
{
    return represent->form.media == NEGOTIATE_JSON && represent->form.as == NEGOTIATE_OBJECT;
}

static const char *meta_version(const struct represent *represent)
{
    return represent->form.v1beta1 ? "meta.k8s.io/v1beta1" : "meta.k8s.io/v1";
}

/* ---- forms as values ---- */

static json_t *partial_of(const struct represent *represent, const json_t *object)
{
    json_t *out = json_object();
    json_set_str(out, "kind", "PartialObjectMetadata");
    json_set_str(out, "apiVersion", meta_version(represent));
    json_t *metadata = json_at(object, "metadata");
    json_object_set(out, "metadata", metadata ? metadata : json_null());
    return out;
}

static json_t *row_of(const struct represent *represent, json_t *object)
{
    json_t *row = json_object();
    json_object_set_new(row, "cells", table_cells(represent->kind, object, represent->now_us));
    if (strcmp(represent->include_object, "Object") == 0)
        json_object_set(row, "object", object);
    else if (strcmp(represent->include_object, "None") != 0)
        json_object_set_new(row, "object", partial_of(represent, object));
    else
        json_object_set_new(row, "object", json_null());
    return row;
}

static json_t *table_new(const struct represent *represent, bool with_columns)
{
    json_t *table = json_object();
    json_set_str(table, "kind", "Table");
    json_set_str(table, "apiVersion", meta_version(represent));
    json_object_set_new(table, "metadata", json_object());
    json_object_set_new(table, "columnDefinitions",
                        with_columns ? table_columns(represent->kind) : json_array());
    return table;
}

static json_t *table_of(const struct represent *represent, json_t *object, bool with_columns)
{
    json_t *table = table_new(represent, with_columns);
    const char *rv = json_str(object, "metadata", "resourceVersion");
    if (rv)
        json_set_str(json_at(table, "metadata"), "resourceVersion", rv);
    json_t *rows = json_array();
    json_array_append_new(rows, row_of(represent, object));
    json_object_set_new(table, "rows", rows);
    return table;
}

static bool is_status(const json_t *object)
{
    return strcmp(json_str_or_empty(object, "kind"), "Status") == 0 &&
           strcmp(json_str_or_empty(object, "apiVersion"), "v1") == 0;
}

/* What the form makes of an object: a new reference. */
static json_t *form_of(const struct represent *represent, json_t *object, bool with_columns)
{
    if (!is_status(object) && represent->form.as == NEGOTIATE_TABLE && represent->kind)
        return table_of(represent, object, with_columns);
    if (!is_status(object) && represent->form.as == NEGOTIATE_PARTIAL)
        return partial_of(represent, object);
    return json_incref(object);
}

/* ---- protobuf ---- */

static const struct schema_message *message_of(const char *api_version, const char *kind)
{
    char group[API_VERSION_MAX] = "";
    const char *version = api_version;
    const char *slash = strchr(api_version, '/');
    if (slash) {
        snprintf(group, sizeof(group), "%.*s", (int)(slash - api_version), api_version);
        version = slash + 1;
    }
    const struct schema_message *message = registry_message_by_kind(group, version, kind);
    if (message)
        return message;
    /* Status, Table, PartialObjectMetadata, APIResourceList, … go by any group version. */
    char name[API_VERSION_MAX];
    snprintf(name, sizeof(name), "io.k8s.apimachinery.pkg.apis.meta.v1.%s", kind);
    return registry_message(name);
}

/* False when the type has no protobuf form. */
static bool put_protobuf(struct buf *out, const json_t *value)
{
    const char *api_version = json_str_or_empty(value, "apiVersion");
    const char *kind = json_str_or_empty(value, "kind");
    const struct schema_message *message = message_of(api_version, kind);
    if (!message)
        return false;
    buf_auto struct buf raw = BUF_INIT;
    protobuf_encode(&raw, message, value);
    protobuf_seal(out, api_version, kind, raw.data, raw.len);
    return true;
}

static void put_varint(struct buf *out, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        buf_putc(out, (char)(value | 0x80));
    buf_putc(out, (char)value);
}

/* A length-delimited field. */
static void put_field(struct buf *out, unsigned number, const void *bytes, size_t len)
{
    put_varint(out, number << 3 | 2);
    put_varint(out, len);
    buf_append(out, bytes, len);
}

/* ---- one object ---- */

void represent_object(struct buf *out, const struct represent *represent, const char *json, size_t len)
{
    if (represent_is_plain(represent)) {
        buf_append(out, json, len);
        return;
    }
    json_auto_t *object = json_parse(json, len, NULL);
    assert(object); /* the verbs write it */
    json_auto_t *value = form_of(represent, object, true);
    if (represent->form.media == NEGOTIATE_YAML)
        yaml_dump(out, value);
    else if (represent->form.media != NEGOTIATE_PROTOBUF || !put_protobuf(out, value))
        json_dump_buf(out, value);
}

/* ---- lists ---- */

bool represent_list_buffered(const struct represent *represent)
{
    return represent->form.media != NEGOTIATE_JSON;
}

/* The apiVersion and kind of the whole. */
static void list_names(const struct represent *represent, char *api_version, size_t size, const char **kind)
{
    *kind = represent->kind->list_kind;
    registry_api_version(api_version, size, represent->kind);
    if (represent->form.as == NEGOTIATE_OBJECT)
        return;
    snprintf(api_version, size, "%s", meta_version(represent));
    *kind = represent->form.as == NEGOTIATE_TABLE ? "Table" : "PartialObjectMetadataList";
}

void represent_list_head(struct buf *out, struct represent_list *list, const struct represent *represent)
{
    *list = (struct represent_list){.represent = represent};
    if (represent->form.media == NEGOTIATE_YAML)
        list->items = json_array();
    if (represent_list_buffered(represent))
        return;
    char api_version[API_VERSION_MAX];
    const char *kind;
    list_names(represent, api_version, sizeof(api_version), &kind);
    buf_printf(out, "{\"kind\":\"%s\",\"apiVersion\":\"%s\",", kind, api_version);
    if (represent->form.as == NEGOTIATE_TABLE) {
        json_auto_t *columns = table_columns(represent->kind);
        buf_puts(out, "\"columnDefinitions\":");
        json_dump_buf(out, columns);
        buf_puts(out, ",\"rows\":[");
    } else {
        buf_puts(out, "\"items\":[");
    }
}

static json_t *item_of(const struct represent *represent, json_t *object)
{
    switch (represent->form.as) {
    case NEGOTIATE_TABLE:
        return row_of(represent, object);
    case NEGOTIATE_PARTIAL_LIST:
    case NEGOTIATE_PARTIAL:
        return partial_of(represent, object);
    default:
        return json_incref(object);
    }
}

static void put_item_protobuf(struct represent_list *list, const json_t *item)
{
    const struct represent *represent = list->represent;
    const struct schema_message *message = represent->form.as == NEGOTIATE_OBJECT
                                               ? represent->kind->message
                                               : message_of("meta.k8s.io/v1", "PartialObjectMetadata");
    buf_auto struct buf raw = BUF_INIT;
    protobuf_encode(&raw, message, item);
    put_field(&list->message, 2, raw.data, raw.len);
}

void represent_list_item(struct buf *out, struct represent_list *list, const char *json, size_t len)
{
    const struct represent *represent = list->represent;
    bool first = !list->any;
    list->any = true;
    if (represent->form.media == NEGOTIATE_JSON && !first)
        buf_putc(out, ',');
    if (represent_is_plain(represent)) {
        buf_append(out, json, len);
        return;
    }
    json_auto_t *object = json_parse(json, len, NULL);
    assert(object);
    json_auto_t *item = item_of(represent, object);
    if (represent->form.media == NEGOTIATE_JSON)
        json_dump_buf(out, item);
    else if (represent->form.media == NEGOTIATE_YAML)
        json_array_append(list->items, item);
    else
        put_item_protobuf(list, item);
}

static json_t *list_metadata(uint64_t rv, const char *continue_token, int64_t remaining)
{
    char digits[24];
    json_t *metadata = json_object();
    snprintf(digits, sizeof(digits), "%llu", (unsigned long long)rv);
    json_set_str(metadata, "resourceVersion", digits);
    if (*continue_token) {
        json_set_str(metadata, "continue", continue_token);
        if (remaining >= 0)
            json_set_int(metadata, "remainingItemCount", remaining);
    }
    return metadata;
}

static void tail_protobuf(struct buf *out, struct represent_list *list, const json_t *metadata,
                          const char *api_version, const char *kind)
{
    buf_auto struct buf raw = BUF_INIT;
    protobuf_encode(&raw, registry_message("io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta"), metadata);
    put_field(&list->message, 1, raw.data, raw.len);
    protobuf_seal(out, api_version, kind, list->message.data, list->message.len);
}

void represent_list_tail(struct buf *out, struct represent_list *list, uint64_t rv,
                         const char *continue_token, int64_t remaining)
{
    const struct represent *represent = list->represent;
    char api_version[API_VERSION_MAX];
    const char *kind;
    list_names(represent, api_version, sizeof(api_version), &kind);
    json_auto_t *metadata = list_metadata(rv, continue_token, remaining);
    if (represent->form.media == NEGOTIATE_JSON) {
        buf_puts(out, "],\"metadata\":");
        json_dump_buf(out, metadata);
        buf_puts(out, "}\n");
    } else if (represent->form.media == NEGOTIATE_YAML) {
        json_auto_t *whole = json_object();
        json_set_str(whole, "apiVersion", api_version);
        json_object_set(whole, "items", list->items);
        json_set_str(whole, "kind", kind);
        json_object_set(whole, "metadata", metadata);
        yaml_dump(out, whole);
    } else {
        tail_protobuf(out, list, metadata, api_version, kind);
    }
}

void represent_list_free(struct represent_list *list)
{
    json_decref(list->items);
    buf_free(&list->message);
}

/* ---- watch events ---- */

/* Four bytes of length, then a bare WatchEvent {type = 1, object = 2 {raw = 1}} whose raw bytes are the
 * object in the envelope. */
static void event_protobuf(struct buf *out, const char *type, const json_t *value)
{
    buf_auto struct buf object = BUF_INIT;
    buf_auto struct buf extension = BUF_INIT;
    buf_auto struct buf event = BUF_INIT;
    put_protobuf(&object, value);
    put_field(&extension, 1, object.data, object.len);
    put_field(&event, 1, type, strlen(type));
    put_field(&event, 2, extension.data, extension.len);
    const char length[4] = {(char)(event.len >> 24), (char)(event.len >> 16), (char)(event.len >> 8),
                            (char)event.len};
    buf_append(out, length, sizeof(length));
    buf_append(out, event.data, event.len);
}

void represent_event(struct buf *out, const struct represent *represent, bool first, const char *type,
                     const char *json, size_t len)
{
    bool protobuf = represent->form.media == NEGOTIATE_PROTOBUF;
    if (!protobuf)
        buf_printf(out, "{\"type\":\"%s\",\"object\":", type);
    if (represent_is_plain(represent)) {
        buf_append(out, json, len);
    } else {
        json_auto_t *object = json_parse(json, len, NULL);
        assert(object);
        json_auto_t *value = form_of(represent, object, first);
        if (protobuf)
            event_protobuf(out, type, value);
        else
            json_dump_buf(out, value);
    }
    if (!protobuf)
        buf_puts(out, "}\n");
}
