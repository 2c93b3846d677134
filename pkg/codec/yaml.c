/* See yaml.h. The events of libyaml are put together to JSON values, one recursive step per collection. */
#include "codec/yaml.h"

#include "base/mem.h"
#include "codec/json.h"
#include "codec/yaml_scalar.h"

#include <stdio.h>
#include <string.h>
#include <yaml.h>

#define TAG_PREFIX "tag:yaml.org,2002:"
#define PREFIX "error converting YAML to JSON: "

/* Values that aliases may add to one text. Honest documents stay far below; a "billion laughs" does not. */
#define ALIASED_MAX 100000

struct reader {
    yaml_parser_t parser;
    json_t *anchors; /* name to value; null while the anchored value is being read */
    size_t aliased;
    unsigned depth;
    struct err *err;
};

static json_t *read_value(struct reader *r, yaml_event_t *event);

static json_t *failed(struct reader *r, const yaml_event_t *event, const char *text)
{
    err_set(r->err, ERR_BAD_REQUEST, PREFIX "yaml: line %zu: %s", event->start_mark.line + 1, text);
    return NULL;
}

/* The library's own complaint, with the line that Go's port of it names. */
static int parser_failed(struct reader *r)
{
    const yaml_parser_t *p = &r->parser;
    const char *problem = p->problem ? p->problem : "unknown problem parsing YAML content";
    size_t line =
        p->problem_mark.line ? p->problem_mark.line + (p->error == YAML_SCANNER_ERROR) : p->context_mark.line;
    if (line)
        return err_set(r->err, ERR_BAD_REQUEST, PREFIX "yaml: line %zu: %s", line, problem);
    return err_set(r->err, ERR_BAD_REQUEST, PREFIX "yaml: %s", problem);
}

static int next_event(struct reader *r, yaml_event_t *event)
{
    return yaml_parser_parse(&r->parser, event) ? 0 : parser_failed(r);
}

/* How many values a value consists of, counted no further than limit. */
static size_t count_values(const json_t *value, size_t limit)
{
    size_t count = 1, i;
    const char *key;
    json_t *item;
    json_array_foreach(value, i, item)
    {
        if (count > limit)
            return count;
        count += count_values(item, limit - count);
    }
    json_object_foreach((json_t *)value, key, item)
    {
        if (count > limit)
            return count;
        count += count_values(item, limit - count);
    }
    return count;
}

static json_t *read_alias(struct reader *r, const yaml_event_t *event)
{
    const char *name = (const char *)event->data.alias.anchor;
    const json_t *value = json_object_get(r->anchors, name);
    char text[128];
    if (!value || json_is_false(value)) {
        snprintf(text, sizeof(text),
                 value ? "anchor '%.64s' value contains itself" : "unknown anchor '%.64s' referenced", name);
        err_set(r->err, ERR_BAD_REQUEST, PREFIX "yaml: %s", text);
        return NULL;
    }
    const json_t *anchored = json_array_get(value, 0);
    r->aliased += count_values(anchored, ALIASED_MAX);
    if (r->aliased > ALIASED_MAX) {
        err_set(r->err, ERR_BAD_REQUEST, PREFIX "yaml: document contains excessive aliasing");
        return NULL;
    }
    return json_deep_copy(anchored);
}

static json_t *tagged_scalar(struct reader *r, const yaml_event_t *event, const char *tag, const char *text)
{
    static const struct {
        const char *tag;
        json_type types[2];
    } kinds[] = {
        {"int", {JSON_INTEGER, JSON_INTEGER}},
        {"float", {JSON_REAL, JSON_INTEGER}},
        {"bool", {JSON_TRUE, JSON_FALSE}},
        {"null", {JSON_NULL, JSON_NULL}},
    };
    bool known = strncmp(tag, TAG_PREFIX, strlen(TAG_PREFIX)) == 0;
    const char *name = known ? tag + strlen(TAG_PREFIX) : "";
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(name, kinds[i].tag) != 0)
            continue;
        json_t *value = yaml__resolve(text);
        if (value && (json_typeof(value) == kinds[i].types[0] || json_typeof(value) == kinds[i].types[1]))
            return value;
        json_decref(value);
        char message[160];
        snprintf(message, sizeof(message), "cannot decode `%.64s` as a !!%s", text, name);
        return failed(r, event, message);
    }
    return json_string(text);
}

static json_t *read_scalar(struct reader *r, const yaml_event_t *event)
{
    const char *text = (const char *)event->data.scalar.value;
    const char *tag = (const char *)event->data.scalar.tag;
    json_t *value;
    if (strlen(text) != event->data.scalar.length)
        return failed(r, event, "control characters are not allowed");
    if (tag && strcmp(tag, "!") != 0)
        value = tagged_scalar(r, event, tag, text);
    else if (!tag && event->data.scalar.plain_implicit)
        value = yaml__resolve(text);
    else
        value = json_string(text);
    if (!value && !(r->err && r->err->code))
        failed(r, event, "json: unsupported value");
    return value;
}

static json_t *read_sequence(struct reader *r)
{
    json_t *out = json_array();
    for (;;) {
        yaml_event_t event;
        if (next_event(r, &event) < 0)
            break;
        if (event.type == YAML_SEQUENCE_END_EVENT) {
            yaml_event_delete(&event);
            return out;
        }
        json_t *item = read_value(r, &event);
        yaml_event_delete(&event);
        if (!item)
            break;
        json_array_append_new(out, item);
    }
    json_decref(out);
    return NULL;
}

/* A key as text: YAML's keys may be numbers and booleans. */
static char *key_text(struct reader *r, const yaml_event_t *event, const json_t *key)
{
    if (json_is_string(key))
        return mem_strdup(json_string_value(key));
    if (json_is_boolean(key))
        return mem_strdup(json_is_true(key) ? "true" : "false");
    if (json_is_integer(key))
        return mem_printf("%lld", (long long)json_integer_value(key));
    if (json_is_real(key))
        return mem_printf("%g", json_real_value(key));
    failed(r, event, "unsupported map key");
    return NULL;
}

/* What "<<" brings: a mapping, or a list of mappings of which the first wins. */
static int merge_into(struct reader *r, const yaml_event_t *event, json_t *merged, const json_t *value)
{
    size_t i;
    json_t *item;
    bool maps = json_is_object(value) || json_is_array(value);
    json_array_foreach(value, i, item) maps = maps && json_is_object(item);
    if (!maps) {
        failed(r, event, "map merge requires map or sequence of maps as the value");
        return -1;
    }
    if (json_is_object(value))
        return json_object_update_missing(merged, (json_t *)value);
    json_array_foreach(value, i, item) json_object_update_missing(merged, item);
    return 0;
}

/* The value behind a key, put into object, or into merged behind "<<". */
static int read_member(struct reader *r, json_t *object, json_t *merged, const yaml_event_t *at, bool merge,
                       const char *name)
{
    yaml_event_t event;
    if (next_event(r, &event) < 0)
        return -1;
    json_auto_t *value = read_value(r, &event);
    yaml_event_delete(&event);
    if (!value)
        return -1;
    if (merge)
        return merge_into(r, at, merged, value);
    if (json_object_get(object, name)) {
        err_set(r->err, ERR_BAD_REQUEST,
                PREFIX "yaml: unmarshal errors:\n  line %zu: key \"%.128s\" already set in map",
                at->start_mark.line + 1, name);
        return -1;
    }
    return json_object_set(object, name, value);
}

static int read_entry(struct reader *r, json_t *object, json_t *merged, yaml_event_t *event)
{
    json_auto_t *key = read_value(r, event);
    if (!key)
        return -1;
    mem_auto char *name = key_text(r, event, key);
    if (!name)
        return -1;
    bool merge =
        event->type == YAML_SCALAR_EVENT && event->data.scalar.plain_implicit && yaml__is_merge(name);
    return read_member(r, object, merged, event, merge, name);
}

static json_t *read_mapping(struct reader *r)
{
    json_t *out = json_object();
    json_auto_t *merged = json_object();
    for (;;) {
        yaml_event_t event;
        if (next_event(r, &event) < 0)
            break;
        if (event.type == YAML_MAPPING_END_EVENT) {
            yaml_event_delete(&event);
            json_object_update_missing(out, merged);
            return out;
        }
        int rc = read_entry(r, out, merged, &event);
        yaml_event_delete(&event);
        if (rc < 0)
            break;
    }
    json_decref(out);
    return NULL;
}

static const char *anchor_of(const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return (const char *)event->data.scalar.anchor;
    case YAML_SEQUENCE_START_EVENT:
        return (const char *)event->data.sequence_start.anchor;
    case YAML_MAPPING_START_EVENT:
        return (const char *)event->data.mapping_start.anchor;
    default:
        return NULL;
    }
}

/* Reads the value that event begins. The anchors map holds false while the value is incomplete, then a list
 * of the one value, so that an anchored null or false is told apart from that. */
static json_t *read_value(struct reader *r, yaml_event_t *event)
{
    const char *anchor = anchor_of(event);
    json_t *value = NULL;
    if (r->depth >= JSON_DEPTH_MAX)
        return failed(r, event, "exceeded max depth");
    if (anchor)
        json_object_set_new(r->anchors, anchor, json_false());
    r->depth++;
    if (event->type == YAML_ALIAS_EVENT)
        value = read_alias(r, event);
    else if (event->type == YAML_SCALAR_EVENT)
        value = read_scalar(r, event);
    else if (event->type == YAML_SEQUENCE_START_EVENT)
        value = read_sequence(r);
    else if (event->type == YAML_MAPPING_START_EVENT)
        value = read_mapping(r);
    else
        failed(r, event, "did not find expected node content");
    r->depth--;
    if (value && anchor)
        json_object_set_new(r->anchors, anchor, json_pack("[O]", value));
    return value;
}

/* The next document: 1 with *out, 0 at the end of the text, negative on error. */
static int read_document(struct reader *r, json_t **out)
{
    for (;;) {
        yaml_event_t event;
        if (next_event(r, &event) < 0)
            return -1;
        yaml_event_type_t type = event.type;
        bool boundary = type == YAML_STREAM_START_EVENT || type == YAML_DOCUMENT_START_EVENT ||
                        type == YAML_DOCUMENT_END_EVENT;
        if (type == YAML_DOCUMENT_START_EVENT)
            json_object_clear(r->anchors);
        if (!boundary && type != YAML_STREAM_END_EVENT && type != YAML_NO_EVENT)
            *out = read_value(r, &event);
        yaml_event_delete(&event);
        if (type == YAML_STREAM_END_EVENT || type == YAML_NO_EVENT)
            return 0;
        if (!boundary)
            return *out ? 1 : -1;
    }
}

static json_t *parse(const void *text, size_t len, bool all, struct err *err)
{
    struct err local = {0};
    struct reader r = {.err = &local};
    json_t *documents = json_array(), *document = NULL;
    if (!yaml_parser_initialize(&r.parser))
        abort();
    r.anchors = json_object();
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, len ? text : (const unsigned char *)"", len);
    int rc;
    while ((rc = read_document(&r, &document)) > 0) {
        if (!json_is_null(document) || !all)
            json_array_append(documents, document);
        json_decref(document);
        if (!all)
            break;
    }
    yaml_parser_delete(&r.parser);
    json_decref(r.anchors);
    if (rc >= 0)
        return documents;
    json_decref(documents);
    err_set(err, local.code, "%s", local.message);
    return NULL;
}

json_t *yaml_parse(const void *text, size_t len, struct err *err)
{
    json_auto_t *documents = parse(text, len, false, err);
    if (!documents)
        return NULL;
    return json_array_size(documents) ? json_incref(json_array_get(documents, 0)) : json_null();
}

json_t *yaml_parse_all(const void *text, size_t len, struct err *err)
{
    return parse(text, len, true, err);
}
