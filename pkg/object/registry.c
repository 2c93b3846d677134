/* See registry.h. The tables are constant, so every reader needs no lock. */
#include "object/registry.h"

#include "object/schema_internal.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define META_GROUP "meta.k8s.io"

size_t registry_count(void)
{
    return schema__kind_count;
}

const struct schema_kind *registry_at(size_t index)
{
    return index < schema__kind_count ? &schema__kinds[index] : NULL;
}

static bool in_version(const struct schema_kind *kind, const char *group, const char *version)
{
    return strcmp(kind->group, group) == 0 && (!version || strcmp(kind->version, version) == 0);
}

const struct schema_kind *registry_by_resource(const char *group, const char *version, const char *plural)
{
    for (size_t i = 0; i < schema__kind_count; i++)
        if (strcmp(schema__kinds[i].plural, plural) == 0 && in_version(&schema__kinds[i], group, version))
            return &schema__kinds[i];
    return NULL;
}

const struct schema_kind *registry_by_kind(const char *group, const char *version, const char *kind)
{
    for (size_t i = 0; i < schema__kind_count; i++)
        if (strcmp(schema__kinds[i].kind, kind) == 0 && in_version(&schema__kinds[i], group, version))
            return &schema__kinds[i];
    return NULL;
}

/* The index of the message with this name; the count when there is none. */
static size_t find_message(const char *name)
{
    size_t low = 0, high = schema__message_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = strcmp(name, schema__messages[middle]->name);
        if (order == 0)
            return middle;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return schema__message_count;
}

const struct schema_message *registry_message(const char *name)
{
    return registry_message_at(find_message(name));
}

size_t registry_message_place(const struct schema_message *message)
{
    size_t place = find_message(message->name);
    assert(place < schema__message_count);
    return place;
}

size_t registry_message_count(void)
{
    return schema__message_count;
}

const struct schema_message *registry_message_at(size_t index)
{
    return index < schema__message_count ? schema__messages[index] : NULL;
}

const struct schema_message *registry_message_by_kind(const char *group, const char *version,
                                                      const char *kind)
{
    const struct schema_message *common = NULL;
    for (size_t i = 0; i < schema__message_count; i++) {
        const struct schema_message *message = schema__messages[i];
        if (!message->kind || strcmp(message->kind, kind) != 0 || strcmp(message->version, version) != 0)
            continue;
        if (strcmp(message->group, group) == 0)
            return message;
        if (strcmp(message->group, META_GROUP) == 0)
            common = message;
    }
    return common;
}

void registry_api_version(char *out, size_t size, const struct schema_kind *kind)
{
    if (kind->group[0])
        snprintf(out, size, "%s/%s", kind->group, kind->version);
    else
        snprintf(out, size, "%s", kind->version);
}
