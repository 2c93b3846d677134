/* Schemas of messages for OpenAPI; see openapi_internal.h. */
#include "object/openapi_internal.h"

#include "base/mem.h"
#include "codec/json.h"
#include "object/registry.h"

#include <string.h>

#define META "io.k8s.apimachinery.pkg.apis.meta.v1."

/* A type with a form of its own on the wire. type "" is a choice between an integer or number and a string.
 */
static const struct special {
    const char *name;
    const char *type;
    const char *format;
    const char *description;
} specials[] = {
    {META "Time", "string", "date-time", "A point in time, by the second, as RFC 3339 text."},
    {META "MicroTime", "string", "date-time", "A point in time, by the microsecond, as RFC 3339 text."},
    {META "Duration", "string", "", "A span of time, such as 1h30m."},
    {META "FieldsV1", "object", "", "A set of fields, as a tree of f:, k:, v: and i: keys."},
    {META "Patch", "object", "", "A change of an object; the content type says of which form."},
    {"io.k8s.apimachinery.pkg.api.resource.Quantity", "", "",
     "An amount such as 2, 500m or 1Gi: a number with an optional decimal or binary unit."},
    {"io.k8s.apimachinery.pkg.util.intstr.IntOrString", "", "int-or-string",
     "A whole number, or a text such as a port's name or a percentage."},
    {"io.k8s.apimachinery.pkg.runtime.RawExtension", "object", "", "Any object."},
};
#define SPECIAL_COUNT (sizeof(specials) / sizeof(specials[0]))

const char *openapi__special_name(size_t index)
{
    return index < SPECIAL_COUNT ? specials[index].name : NULL;
}

static json_t *choice(const char *other)
{
    return json_pack("[{s:s},{s:s}]", "type", other, "type", "string");
}

json_t *openapi__special(size_t index, enum openapi__dialect dialect)
{
    const struct special *special = &specials[index];
    json_t *out = json_object();
    json_set_str(out, "description", special->description);
    if (special->format[0])
        json_set_str(out, "format", special->format);
    if (special->type[0])
        json_set_str(out, "type", special->type);
    else if (dialect == OPENAPI__V2)
        json_set_str(out, "type", "string");
    else
        json_object_set_new(out, "oneOf", choice(special->format[0] ? "integer" : "number"));
    return out;
}

json_t *openapi__ref(const char *name, enum openapi__dialect dialect)
{
    const char *folder = dialect == OPENAPI__V2 ? "#/definitions/" : "#/components/schemas/";
    return json_pack("{s:s+}", "$ref", folder, name);
}

json_t *openapi__gvk(const char *group, const char *version, const char *kind)
{
    return json_pack("{s:s,s:s,s:s}", "group", group, "kind", kind, "version", version);
}

static const char *special_of(enum schema_type type)
{
    switch (type) {
    case SCHEMA_TIME:
        return specials[0].name;
    case SCHEMA_MICRO_TIME:
        return specials[1].name;
    case SCHEMA_DURATION:
        return specials[2].name;
    case SCHEMA_FIELDS_V1:
        return specials[3].name;
    case SCHEMA_QUANTITY:
        return specials[5].name;
    case SCHEMA_INT_OR_STRING:
        return specials[6].name;
    case SCHEMA_RAW:
        return specials[7].name;
    default:
        return NULL;
    }
}

/* A reference that may stand beside other keywords: version 3 wraps it for that. */
static json_t *reference(const char *name, enum openapi__dialect dialect)
{
    json_t *ref = openapi__ref(name, dialect);
    return dialect == OPENAPI__V2 ? ref : json_pack("{s:[o]}", "allOf", ref);
}

static json_t *primitive(const char *type, const char *format)
{
    json_t *out = json_pack("{s:s}", "type", type);
    if (format)
        json_set_str(out, "format", format);
    return out;
}

static json_t *value_schema(const struct schema_field *field, enum openapi__dialect dialect)
{
    const char *special = special_of(field->type);
    if (special)
        return reference(special, dialect);
    switch ((enum schema_type)field->type) {
    case SCHEMA_MESSAGE:
        return reference(field->message->name, dialect);
    case SCHEMA_STRING:
        return primitive("string", NULL);
    case SCHEMA_INT32:
        return primitive("integer", "int32");
    case SCHEMA_INT64:
        return primitive("integer", "int64");
    case SCHEMA_BOOL:
        return primitive("boolean", NULL);
    case SCHEMA_DOUBLE:
        return primitive("number", "double");
    case SCHEMA_BYTES:
        return primitive("string", "byte");
    case SCHEMA_STRINGS:
        return json_pack("{s:s,s:o}", "type", "array", "items", primitive("string", NULL));
    default:
        return json_object(); /* anything */
    }
}

json_t *openapi__strings(const char *const *texts)
{
    json_t *out = json_array();
    for (; *texts; texts++)
        json_array_append_new(out, json_string(*texts));
    return out;
}

static void put_extensions(json_t *out, const struct schema_field *field)
{
    static const char *const list_types[] = {"atomic", "set", "map"};
    static const char *const strategies[] = {NULL, "merge", "retainKeys", "merge,retainKeys"};
    if (field->shape == SCHEMA_LIST)
        json_set_str(out, "x-kubernetes-list-type", list_types[field->list_type]);
    if (field->map_keys)
        json_object_set_new(out, "x-kubernetes-list-map-keys", openapi__strings(field->map_keys));
    if (strategies[field->patch])
        json_set_str(out, "x-kubernetes-patch-strategy", strategies[field->patch]);
    if (field->merge_key)
        json_set_str(out, "x-kubernetes-patch-merge-key", field->merge_key);
    if (field->atomic && field->shape == SCHEMA_MAP)
        json_set_str(out, "x-kubernetes-map-type", "atomic");
}

static json_t *property(const struct schema_field *field, enum openapi__dialect dialect)
{
    json_t *value = value_schema(field, dialect);
    if (field->enum_values)
        json_object_set_new(value, "enum", openapi__strings(field->enum_values));
    json_t *out = value;
    if (field->shape == SCHEMA_LIST)
        out = json_pack("{s:s,s:o}", "type", "array", "items", value);
    else if (field->shape == SCHEMA_MAP)
        out = json_pack("{s:s,s:o}", "type", "object", "additionalProperties", value);
    if (field->description[0])
        json_set_str(out, "description", field->description);
    if (field->default_json)
        json_object_set_new(out, "default", json_loads(field->default_json, JSON_DECODE_ANY, NULL));
    put_extensions(out, field);
    return out;
}

json_t *openapi__message(const struct schema_message *message, enum openapi__dialect dialect)
{
    json_t *properties = json_object();
    json_t *required = json_array();
    for (size_t i = 0; i < message->member_count; i++) {
        const struct schema_field *field = message->members[i].field;
        json_object_set_new(properties, message->members[i].name, property(field, dialect));
        if (field->required)
            json_array_append_new(required, json_string(message->members[i].name));
    }
    json_t *out = json_object();
    if (message->description[0])
        json_set_str(out, "description", message->description);
    json_object_set_new(out, "properties", properties);
    if (json_array_size(required))
        json_object_set(out, "required", required);
    json_decref(required);
    json_set_str(out, "type", "object");
    if (message->kind) {
        bool meta = strcmp(message->group, "meta.k8s.io") == 0;
        json_object_set_new(
            out, "x-kubernetes-group-version-kind",
            json_pack("[o]", openapi__gvk(meta ? "" : message->group, message->version, message->kind)));
    }
    if (message->atomic)
        json_set_str(out, "x-kubernetes-map-type", "atomic");
    return out;
}

/* Which messages are wanted, by their place in the registry. */
struct closure {
    bool *wanted;
};

static void want(struct closure *closure, const struct schema_message *message)
{
    if (!message || closure->wanted[registry_message_place(message)])
        return;
    closure->wanted[registry_message_place(message)] = true;
    for (size_t i = 0; i < message->member_count; i++)
        want(closure, message->members[i].field->message);
}

static void want_kind(struct closure *closure, const struct schema_kind *kind)
{
    want(closure, kind->message);
    want(closure, kind->list_message);
    for (size_t i = 0; i < kind->subresource_count; i++) {
        const struct schema_subresource *sub = &kind->subresources[i];
        want(closure, registry_message_by_kind(sub->group ? sub->group : kind->group,
                                               sub->version ? sub->version : kind->version, sub->kind));
    }
}

void openapi__messages(const char *group, const char *version, openapi__message_visitor *visit, void *arg)
{
    static const char *const common[] = {META "DeleteOptions", META "Status", META "WatchEvent"};
    mem_auto bool *wanted = mem_calloc(registry_message_count(), sizeof(*wanted));
    struct closure closure = {wanted};
    for (size_t i = 0; i < registry_count(); i++) {
        const struct schema_kind *kind = registry_at(i);
        if (!group || (strcmp(kind->group, group) == 0 && strcmp(kind->version, version) == 0))
            want_kind(&closure, kind);
    }
    for (size_t i = 0; i < sizeof(common) / sizeof(common[0]); i++)
        want(&closure, registry_message(common[i]));
    for (size_t i = 0; i < registry_message_count(); i++)
        if (wanted[i])
            visit(arg, registry_message_at(i));
}
