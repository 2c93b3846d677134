/* The JSON documents of openapi.h, written part by part. */
#include "object/openapi_internal.h"

#include "codec/json.h"
#include "object/registry.h"
#include "object/schema_internal.h"

#include <stdio.h>
#include <string.h>

#define SECURITY                                                                                         \
    "{\"BearerToken\":{\"description\":\"A bearer token\",\"in\":\"header\",\"name\":\"authorization\"," \
    "\"type\":\"apiKey\"}}"
#define INFO "{\"title\":\"Kubernetes\",\"version\":\"unversioned\"}"

/* A JSON object that is being written member by member. */
struct writer {
    struct buf *out;
    enum openapi__dialect dialect;
    bool begun;
};

static void put_member(struct writer *writer, const char *name, const json_t *value)
{
    json_auto_t *key = json_string(name);
    if (writer->begun)
        buf_putc(writer->out, ',');
    writer->begun = true;
    json_dump_buf(writer->out, key);
    buf_putc(writer->out, ':');
    json_dump_buf(writer->out, value);
}

static void put_path(void *arg, const char *path, json_t *item)
{
    put_member(arg, path, item);
}

static void put_definition(void *arg, const struct schema_message *message)
{
    struct writer *writer = arg;
    json_auto_t *schema = openapi__message(message, writer->dialect);
    put_member(writer, message->name, schema);
}

static bool is_in(const struct schema_kind *kind, const char *group, const char *version)
{
    return !group || (strcmp(kind->group, group) == 0 && strcmp(kind->version, version) == 0);
}

static void put_paths(struct buf *out, enum openapi__dialect dialect, const char *group, const char *version)
{
    struct writer writer = {out, dialect, false};
    buf_putc(out, '{');
    for (size_t i = 0; i < registry_count(); i++)
        if (is_in(registry_at(i), group, version))
            openapi__paths(registry_at(i), dialect, put_path, &writer);
    buf_putc(out, '}');
}

static void put_definitions(struct buf *out, enum openapi__dialect dialect, const char *group,
                            const char *version)
{
    struct writer writer = {out, dialect, false};
    buf_putc(out, '{');
    openapi__messages(group, version, put_definition, &writer);
    for (size_t i = 0; openapi__special_name(i); i++) {
        json_auto_t *schema = openapi__special(i, dialect);
        put_member(&writer, openapi__special_name(i), schema);
    }
    buf_putc(out, '}');
}

void openapi_v2(struct buf *out)
{
    buf_puts(out, "{\"swagger\":\"2.0\",\"info\":" INFO ",\"paths\":");
    put_paths(out, OPENAPI__V2, NULL, NULL);
    buf_puts(out, ",\"definitions\":");
    put_definitions(out, OPENAPI__V2, NULL, NULL);
    buf_puts(out, ",\"securityDefinitions\":" SECURITY ",\"security\":[{\"BearerToken\":[]}]}");
}

bool openapi_v3(struct buf *out, const char *group, const char *version)
{
    bool known = false;
    for (size_t i = 0; i < registry_count(); i++)
        known = known || is_in(registry_at(i), group, version);
    if (!known)
        return false;
    buf_puts(out, "{\"openapi\":\"3.0.0\",\"info\":" INFO ",\"paths\":");
    put_paths(out, OPENAPI__V3, group, version);
    buf_puts(out, ",\"components\":{\"schemas\":");
    put_definitions(out, OPENAPI__V3, group, version);
    buf_puts(out, ",\"securitySchemes\":" SECURITY "}}");
    return true;
}

void openapi_v3_index(struct buf *out)
{
    const struct schema_kind *before = NULL;
    buf_puts(out, "{\"paths\":{");
    for (size_t i = 0; i < registry_count(); i++) {
        const struct schema_kind *kind = registry_at(i);
        if (before && is_in(kind, before->group, before->version))
            continue;
        char path[192], api_version[128];
        registry_api_version(api_version, sizeof(api_version), kind);
        snprintf(path, sizeof(path), "%s/%s", kind->group[0] ? "apis" : "api", api_version);
        /* The hash is that of the schemas and of the program that writes the document from them. */
        buf_printf(out, "%s\"%s\":{\"serverRelativeURL\":\"/openapi/v3/%s?hash=%s-" KATENA_VERSION "\"}",
                   before ? "," : "", path, path, schema__hash);
        before = kind;
    }
    buf_puts(out, "}}");
}
