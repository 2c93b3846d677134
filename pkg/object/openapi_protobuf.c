/*
 * The version 2 document in the protobuf form of the gnostic project (openapiv2/OpenAPIv2.proto), which
 * kubectl up to 1.26 asks for. The parts are the same JSON values as in the JSON document, put into messages
 * here.
 */
#include "object/openapi_internal.h"

#include "codec/json.h"
#include "object/protobuf_wire.h"
#include "object/registry.h"

#include <string.h>

/* Field numbers of OpenAPIv2.proto. */
enum { DOCUMENT_SWAGGER = 1, DOCUMENT_INFO = 2, DOCUMENT_PATHS = 8, DOCUMENT_DEFINITIONS = 9 };
enum { INFO_TITLE = 1, INFO_VERSION = 2 };
enum { NAMED_NAME = 1, NAMED_VALUE = 2 };
enum { ANY_YAML = 2 };
enum { PATHS_PATH = 2, DEFINITIONS_SCHEMA = 1, PROPERTIES_SCHEMA = 1 };
enum { SCHEMA_ITEM_SCHEMA = 1, ADDITIONAL_SCHEMA = 1, TYPE_VALUE = 1, ITEMS_SCHEMA = 1 };
enum { PARAMETERS_ITEM_PARAMETER = 1, PARAMETER_BODY = 1, PARAMETER_NON_BODY = 2 };
enum { NON_BODY_QUERY = 3, NON_BODY_PATH = 4 };
enum { RESPONSES_CODE = 1, RESPONSE_VALUE_RESPONSE = 1, RESPONSE_DESCRIPTION = 1, RESPONSE_SCHEMA = 2 };

static void put_schema(struct buf *out, unsigned number, const json_t *schema);

static void put_text(struct buf *out, unsigned number, const json_t *value)
{
    if (json_is_string(value))
        protobuf_wire_put_bytes(out, number, json_string_value(value), json_string_length(value));
}

static void put_flag(struct buf *out, unsigned number, const json_t *value)
{
    if (json_is_true(value))
        protobuf_wire_put_int(out, number, 1);
}

static void put_texts(struct buf *out, unsigned number, const json_t *list)
{
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item) put_text(out, number, item);
}

/* Any{yaml}: JSON text is YAML too. */
static void put_any(struct buf *out, unsigned number, const json_t *value)
{
    buf_auto struct buf text = BUF_INIT;
    json_dump_buf(&text, value);
    size_t mark = protobuf_wire_open(out, number);
    protobuf_wire_put_bytes(out, ANY_YAML, text.data, text.len);
    protobuf_wire_close(out, mark);
}

static size_t open_named(struct buf *out, unsigned number, const char *name)
{
    size_t mark = protobuf_wire_open(out, number);
    protobuf_wire_put_bytes(out, NAMED_NAME, name, strlen(name));
    return mark;
}

/* Every member whose name begins with x-. */
static void put_extensions(struct buf *out, unsigned number, const json_t *object)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value)
    {
        if (strncmp(key, "x-", 2) != 0)
            continue;
        size_t mark = open_named(out, number, key);
        put_any(out, NAMED_VALUE, value);
        protobuf_wire_close(out, mark);
    }
}

static void put_wrapped_schema(struct buf *out, unsigned number, unsigned inner, const json_t *schema)
{
    if (!schema)
        return;
    size_t mark = protobuf_wire_open(out, number);
    put_schema(out, inner, schema);
    protobuf_wire_close(out, mark);
}

static void put_properties(struct buf *out, unsigned number, const json_t *properties)
{
    if (!properties)
        return;
    size_t mark = protobuf_wire_open(out, number);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)properties, key, value)
    {
        size_t named = open_named(out, PROPERTIES_SCHEMA, key);
        put_schema(out, NAMED_VALUE, value);
        protobuf_wire_close(out, named);
    }
    protobuf_wire_close(out, mark);
}

static void put_schema(struct buf *out, unsigned number, const json_t *schema)
{
    size_t mark = protobuf_wire_open(out, number), i;
    json_t *item;
    put_text(out, 1, json_object_get(schema, "$ref"));
    put_text(out, 2, json_object_get(schema, "format"));
    put_text(out, 4, json_object_get(schema, "description"));
    if (json_object_get(schema, "default"))
        put_any(out, 5, json_object_get(schema, "default"));
    put_texts(out, 19, json_object_get(schema, "required"));
    json_array_foreach(json_object_get(schema, "enum"), i, item) put_any(out, 20, item);
    put_wrapped_schema(out, 21, ADDITIONAL_SCHEMA, json_object_get(schema, "additionalProperties"));
    if (json_object_get(schema, "type")) {
        size_t type = protobuf_wire_open(out, 22);
        put_text(out, TYPE_VALUE, json_object_get(schema, "type"));
        protobuf_wire_close(out, type);
    }
    put_wrapped_schema(out, 23, ITEMS_SCHEMA, json_object_get(schema, "items"));
    put_properties(out, 25, json_object_get(schema, "properties"));
    put_extensions(out, 31, schema);
    protobuf_wire_close(out, mark);
}

static void put_body_parameter(struct buf *out, const json_t *parameter)
{
    size_t mark = protobuf_wire_open(out, PARAMETER_BODY);
    put_text(out, 2, json_object_get(parameter, "name"));
    put_text(out, 3, json_object_get(parameter, "in"));
    put_flag(out, 4, json_object_get(parameter, "required"));
    put_schema(out, 5, json_object_get(parameter, "schema"));
    protobuf_wire_close(out, mark);
}

/* Path and query parameters have the same members under other numbers. */
static void put_plain_parameter(struct buf *out, const json_t *parameter)
{
    bool path = strcmp(json_str_or_empty(parameter, "in"), "path") == 0;
    size_t mark = protobuf_wire_open(out, PARAMETER_NON_BODY);
    size_t inner = protobuf_wire_open(out, path ? NON_BODY_PATH : NON_BODY_QUERY);
    put_flag(out, 1, json_object_get(parameter, "required"));
    put_text(out, 2, json_object_get(parameter, "in"));
    put_text(out, 3, json_object_get(parameter, "description"));
    put_text(out, 4, json_object_get(parameter, "name"));
    put_text(out, path ? 5 : 6, json_object_get(parameter, "type"));
    put_flag(out, path ? 19 : 20, json_object_get(parameter, "uniqueItems"));
    protobuf_wire_close(out, inner);
    protobuf_wire_close(out, mark);
}

static void put_parameters(struct buf *out, unsigned number, const json_t *parameters)
{
    size_t i;
    json_t *parameter;
    json_array_foreach(parameters, i, parameter)
    {
        size_t mark = protobuf_wire_open(out, number);
        size_t inner = protobuf_wire_open(out, PARAMETERS_ITEM_PARAMETER);
        if (strcmp(json_str_or_empty(parameter, "in"), "body") == 0)
            put_body_parameter(out, parameter);
        else
            put_plain_parameter(out, parameter);
        protobuf_wire_close(out, inner);
        protobuf_wire_close(out, mark);
    }
}

static void put_responses(struct buf *out, unsigned number, const json_t *responses)
{
    size_t mark = protobuf_wire_open(out, number);
    const char *code;
    json_t *response;
    json_object_foreach((json_t *)responses, code, response)
    {
        size_t named = open_named(out, RESPONSES_CODE, code);
        size_t value = protobuf_wire_open(out, NAMED_VALUE);
        size_t inner = protobuf_wire_open(out, RESPONSE_VALUE_RESPONSE);
        put_text(out, RESPONSE_DESCRIPTION, json_object_get(response, "description"));
        put_wrapped_schema(out, RESPONSE_SCHEMA, SCHEMA_ITEM_SCHEMA, json_object_get(response, "schema"));
        protobuf_wire_close(out, inner);
        protobuf_wire_close(out, value);
        protobuf_wire_close(out, named);
    }
    protobuf_wire_close(out, mark);
}

static void put_operation(struct buf *out, unsigned number, const json_t *operation)
{
    if (!operation)
        return;
    size_t mark = protobuf_wire_open(out, number);
    put_text(out, 5, json_object_get(operation, "operationId"));
    put_texts(out, 6, json_object_get(operation, "produces"));
    put_texts(out, 7, json_object_get(operation, "consumes"));
    put_parameters(out, 8, json_object_get(operation, "parameters"));
    put_responses(out, 9, json_object_get(operation, "responses"));
    put_extensions(out, 13, operation);
    protobuf_wire_close(out, mark);
}

static void put_path(void *arg, const char *path, json_t *item)
{
    struct buf *out = arg;
    size_t named = open_named(out, PATHS_PATH, path);
    size_t mark = protobuf_wire_open(out, NAMED_VALUE);
    put_operation(out, 2, json_object_get(item, "get"));
    put_operation(out, 3, json_object_get(item, "put"));
    put_operation(out, 4, json_object_get(item, "post"));
    put_operation(out, 5, json_object_get(item, "delete"));
    put_operation(out, 8, json_object_get(item, "patch"));
    put_parameters(out, 9, json_object_get(item, "parameters"));
    protobuf_wire_close(out, mark);
    protobuf_wire_close(out, named);
}

static void put_definition(struct buf *out, const char *name, const json_t *schema)
{
    size_t named = open_named(out, DEFINITIONS_SCHEMA, name);
    put_schema(out, NAMED_VALUE, schema);
    protobuf_wire_close(out, named);
}

static void put_message(void *arg, const struct schema_message *message)
{
    json_auto_t *schema = openapi__message(message, OPENAPI__V2);
    put_definition(arg, message->name, schema);
}

void openapi_v2_protobuf(struct buf *out)
{
    protobuf_wire_put_bytes(out, DOCUMENT_SWAGGER, "2.0", 3);
    size_t info = protobuf_wire_open(out, DOCUMENT_INFO);
    protobuf_wire_put_bytes(out, INFO_TITLE, "Kubernetes", strlen("Kubernetes"));
    protobuf_wire_put_bytes(out, INFO_VERSION, "unversioned", strlen("unversioned"));
    protobuf_wire_close(out, info);

    size_t paths = protobuf_wire_open(out, DOCUMENT_PATHS);
    for (size_t i = 0; i < registry_count(); i++)
        openapi__paths(registry_at(i), OPENAPI__V2, put_path, out);
    protobuf_wire_close(out, paths);

    size_t definitions = protobuf_wire_open(out, DOCUMENT_DEFINITIONS);
    openapi__messages(NULL, NULL, put_message, out);
    for (size_t i = 0; openapi__special_name(i); i++) {
        json_auto_t *schema = openapi__special(i, OPENAPI__V2);
        put_definition(out, openapi__special_name(i), schema);
    }
    protobuf_wire_close(out, definitions);
}
