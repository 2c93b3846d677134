/* The volumes of Pods. Sources that katena cannot mount are checked by the schema alone. */
#include "object/validate_internal.h"

#include "base/mem.h"
#include "codec/json.h"

#include <string.h>

#define MODE_MAX 0777
#define MODE_FAULT "must be a number between 0 and 0777 (octal), both inclusive"

static void check_mode(struct field_errors *errors, const struct where *at, const json_t *mode)
{
    if (mode && (json_integer_value(mode) < 0 || json_integer_value(mode) > MODE_MAX))
        error_invalid(errors, at, mode, MODE_FAULT);
}

static bool steps_back(const char *path)
{
    for (const char *part = path;; part++) {
        size_t len = strcspn(part, "/");
        if (len == 2 && !memcmp(part, "..", 2))
            return true;
        part += len;
        if (!*part)
            return false;
    }
}

void check_relative_path(struct field_errors *errors, const struct where *at, const char *path)
{
    if (*path == '/')
        error_invalid_text(errors, at, path, "must be a relative path");
    if (steps_back(path))
        error_invalid_text(errors, at, path, "must not contain '..'");
}

/* Files in a volume may not begin as those do that the kubelet puts there. */
static void check_file_path(struct field_errors *errors, const struct where *at, const char *path)
{
    if (!*path)
        error_required(errors, at, "");
    check_relative_path(errors, at, path);
    if (!strncmp(path, "..", 2) && path[2] != '/')
        error_invalid_text(errors, at, path, "must not start with '..'");
}

static void check_items(struct field_errors *errors, const struct where *at, const json_t *items)
{
    size_t i;
    json_t *item;
    json_array_foreach(items, i, item)
    {
        const struct where *here = AT_INDEX(at, i);
        if (!*text_at(item, "key"))
            error_required(errors, AT(here, "key"), "");
        check_file_path(errors, AT(here, "path"), text_at(item, "path"));
        check_mode(errors, AT(here, "mode"), json_object_get(item, "mode"));
    }
}

static void check_host_path(struct field_errors *errors, const struct where *at, const json_t *source)
{
    static const char *const types[] = {
        "",     "BlockDevice",  "CharDevice", "Directory", "DirectoryOrCreate",
        "File", "FileOrCreate", "Socket",     NULL};
    const char *path = text_at(source, "path");
    if (!*path) {
        error_required(errors, AT(at, "path"), "");
        return;
    }
    if (steps_back(path))
        error_invalid_text(errors, AT(at, "path"), path, "must not contain '..'");
    if (!is_one_of(text_at(source, "type"), types))
        error_not_supported(errors, AT(at, "type"), text_at(source, "type"), types);
}

static void check_named(struct field_errors *errors, const struct where *at, const json_t *source,
                        const char *name)
{
    if (!*text_at(source, name))
        error_required(errors, AT(at, name), "");
    check_mode(errors, AT(at, "defaultMode"), json_object_get(source, "defaultMode"));
    check_items(errors, AT(at, "items"), json_object_get(source, "items"));
}

static void check_secret(struct field_errors *errors, const struct where *at, const json_t *source)
{
    check_named(errors, at, source, "secretName");
}

static void check_config_map(struct field_errors *errors, const struct where *at, const json_t *source)
{
    check_named(errors, at, source, "name");
}

static void check_claim(struct field_errors *errors, const struct where *at, const json_t *source)
{
    if (!*text_at(source, "claimName"))
        error_required(errors, AT(at, "claimName"), "");
}

static void check_downward_file(struct field_errors *errors, const struct where *at, const json_t *file)
{
    check_file_path(errors, AT(at, "path"), text_at(file, "path"));
    const json_t *field = json_object_get(file, "fieldRef");
    const json_t *resource = json_object_get(file, "resourceFieldRef");
    if (field) {
        check_field_ref(errors, AT(at, "fieldRef"), field, true);
        if (resource)
            error_invalid_text(errors, at, "resource",
                               "fieldRef and resourceFieldRef can not be specified simultaneously");
    } else if (resource) {
        check_resource_field_ref(errors, AT(at, "resourceFieldRef"), resource, true);
    } else {
        error_required(errors, at, "one of fieldRef and resourceFieldRef is required");
    }
    check_mode(errors, AT(at, "mode"), json_object_get(file, "mode"));
}

static void check_downward(struct field_errors *errors, const struct where *at, const json_t *source)
{
    check_mode(errors, AT(at, "defaultMode"), json_object_get(source, "defaultMode"));
    size_t i;
    json_t *file;
    json_array_foreach(json_object_get(source, "items"), i, file) check_downward_file(errors, at, file);
}

static void check_token(struct field_errors *errors, const struct where *at, const json_t *token)
{
    const json_t *seconds = json_object_get(token, "expirationSeconds");
    if (seconds && json_integer_value(seconds) < 600)
        error_invalid(errors, AT(at, "expirationSeconds"), seconds,
                      "may not specify a duration less than 10 minutes");
    if (seconds && json_integer_value(seconds) > (int64_t)1 << 32)
        error_invalid(errors, AT(at, "expirationSeconds"), seconds,
                      "may not specify a duration larger than 2^32 seconds");
    if (!*text_at(token, "path"))
        error_required(errors, AT(at, "path"), "");
    else
        check_file_path(errors, AT(at, "path"), text_at(token, "path"));
}

static void check_projected(struct field_errors *errors, const struct where *at, const json_t *projected)
{
    check_mode(errors, AT(at, "defaultMode"), json_object_get(projected, "defaultMode"));
    const struct where *sources_at = AT(at, "sources");
    size_t i;
    json_t *source;
    json_array_foreach(json_object_get(projected, "sources"), i, source)
    {
        const struct where *here = AT_INDEX(sources_at, i);
        const json_t *secret = json_object_get(source, "secret");
        const json_t *map = json_object_get(source, "configMap");
        const json_t *token = json_object_get(source, "serviceAccountToken");
        if (json_object_size(source) != 1)
            error_forbidden(errors, here,
                            json_object_size(source) ? "may not specify more than 1 volume type per source"
                                                     : "must specify a volume type");
        if (secret)
            check_named(errors, AT(here, "secret"), secret, "name");
        if (map)
            check_named(errors, AT(here, "configMap"), map, "name");
        if (token)
            check_token(errors, AT(here, "serviceAccountToken"), token);
        if (json_object_get(source, "downwardAPI"))
            check_downward(errors, AT(here, "downwardAPI"), json_object_get(source, "downwardAPI"));
    }
}

static const struct {
    const char *name;
    void (*check)(struct field_errors *errors, const struct where *at, const json_t *source);
} sources[] = {
    {"hostPath", check_host_path},          {"secret", check_secret},        {"configMap", check_config_map},
    {"persistentVolumeClaim", check_claim}, {"downwardAPI", check_downward}, {"projected", check_projected},
};

/* Every member but the name is a source, and there is one. */
static void check_source(struct field_errors *errors, const struct where *at, const json_t *volume)
{
    size_t count = 0;
    const char *name;
    json_t *source;
    json_object_foreach((json_t *)volume, name, source)
    {
        if (!strcmp(name, "name"))
            continue;
        if (count++) {
            error_forbidden(errors, AT(at, name), "may not specify more than 1 volume type");
            continue;
        }
        for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++)
            if (!strcmp(sources[i].name, name))
                sources[i].check(errors, AT(at, name), source);
    }
    if (!count)
        error_required(errors, at, "must specify a volume type");
}

void check_volumes(struct field_errors *errors, const struct where *at, const json_t *volumes)
{
    json_auto_t *names = json_object();
    size_t i;
    json_t *volume;
    json_array_foreach(volumes, i, volume)
    {
        const struct where *here = AT_INDEX(at, i);
        const char *name = text_at(volume, "name");
        check_source(errors, here, volume);
        check_required_name(errors, AT(here, "name"), name, name_check_dns_label);
        if (json_object_get(names, name))
            error_duplicate_text(errors, AT(here, "name"), name);
        json_object_set_new(names, name, json_true());
    }
}
