/* See apply_managers.h. */
#include "object/apply_managers.h"

#include "base/mem.h"
#include "codec/json.h"

#include <stdlib.h>
#include <string.h>

#define UPDATE_MANAGERS_MAX 10
#define CAPPED_NAME "ancient-changes"

static bool entry_read(struct managed_entry *entry, const json_t *json)
{
    const char *operation = json_str_or_empty(json, "operation");
    *entry = (struct managed_entry){
        .name = json_str_or_empty(json, "manager"),
        .api_version = json_str_or_empty(json, "apiVersion"),
        .subresource = json_str_or_empty(json, "subresource"),
        .time = json_str_or_empty(json, "time"),
        .applied = !strcmp(operation, "Apply"),
        .json = json,
        .fields = json_object_get(json, "fieldsV1"),
    };
    return (entry->applied || !strcmp(operation, "Update")) && *entry->api_version &&
           !strcmp(json_str_or_empty(json, "fieldsType"), "FieldsV1");
}

void managed_read(struct managed *managed, struct field_arena *arena, json_t *array)
{
    size_t size = json_array_size(array);
    *managed = (struct managed){.arena = arena, .source = json_incref(array)};
    managed->entries = mem_calloc(size + 1, sizeof(*managed->entries));
    for (size_t i = 0; i < size; i++) {
        if (!entry_read(&managed->entries[i], json_array_get(array, i))) {
            managed->count = 0;
            return;
        }
        managed->count++;
    }
}

void managed_free(struct managed *managed)
{
    free(managed->entries);
    json_decref(managed->source);
}

struct field_set *managed_entry_set(struct managed *managed, struct managed_entry *entry)
{
    if (!entry->set)
        entry->set = field_set_from_json(managed->arena, entry->fields);
    return entry->set;
}

void managed_entry_put(struct managed_entry *entry, struct field_set *set)
{
    entry->set = set;
    entry->fields = NULL;
}

struct managed_entry *managed_find(struct managed *managed, const struct apply_manager *manager, bool applied)
{
    for (size_t i = 0; i < managed->count; i++) {
        struct managed_entry *entry = &managed->entries[i];
        if (entry->applied == applied && !strcmp(entry->name, manager->name) &&
            !strcmp(entry->subresource, manager->subresource) &&
            (applied || !strcmp(entry->api_version, manager->api_version)))
            return entry;
    }
    return NULL;
}

struct managed_entry *managed_add(struct managed *managed, const struct apply_manager *manager, bool applied)
{
    managed->entries = mem_reallocarray(managed->entries, managed->count + 1, sizeof(*managed->entries));
    struct managed_entry *entry = &managed->entries[managed->count++];
    *entry = (struct managed_entry){.name = manager->name,
                                    .api_version = manager->api_version,
                                    .subresource = manager->subresource,
                                    .time = "",
                                    .applied = applied,
                                    .set = field_set_new(managed->arena)};
    return entry;
}

static void drop(struct managed *managed, size_t i)
{
    managed->count--;
    memmove(&managed->entries[i], &managed->entries[i + 1], (managed->count - i) * sizeof(*managed->entries));
}

void managed_drop_empty(struct managed *managed)
{
    for (size_t i = managed->count; i-- > 0;)
        if (field_set_empty(managed_entry_set(managed, &managed->entries[i])))
            drop(managed, i);
}

static int by_age(const void *a, const void *b)
{
    const struct managed_entry *p = a;
    const struct managed_entry *q = b;
    if (p->applied != q->applied)
        return p->applied ? -1 : 1;
    int order = strcmp(p->time, q->time);
    if (!order)
        order = strcmp(p->name, q->name);
    if (!order)
        order = strcmp(p->api_version, q->api_version);
    return order ? order : strcmp(p->subresource, q->subresource);
}

static void sort(struct managed *managed)
{
    qsort(managed->entries, managed->count, sizeof(*managed->entries), by_age);
}

static size_t count_updates(const struct managed *managed)
{
    size_t count = 0;
    for (size_t i = 0; i < managed->count; i++)
        count += !managed->entries[i].applied;
    return count;
}

/* The oldest entry of operation Update, and the next one of the same version. False: there are no two. */
static bool oldest_pair(const struct managed *managed, size_t *first, size_t *second)
{
    for (size_t i = 0; i < managed->count; i++) {
        if (managed->entries[i].applied)
            continue;
        for (size_t j = i + 1; j < managed->count; j++) {
            if (!strcmp(managed->entries[i].api_version, managed->entries[j].api_version)) {
                *first = i;
                *second = j;
                return true;
            }
        }
    }
    return false;
}

void managed_cap(struct managed *managed)
{
    if (count_updates(managed) <= UPDATE_MANAGERS_MAX)
        return;
    sort(managed);
    size_t first;
    size_t second;
    while (count_updates(managed) > UPDATE_MANAGERS_MAX && oldest_pair(managed, &first, &second)) {
        struct managed_entry *into = &managed->entries[first];
        struct managed_entry *from = &managed->entries[second];
        managed_entry_put(into, field_set_union(managed->arena, managed_entry_set(managed, into),
                                                managed_entry_set(managed, from)));
        into->name = CAPPED_NAME;
        into->subresource = "";
        into->time = from->time;
        into->json = NULL;
        drop(managed, second);
    }
}

static json_t *entry_write(const struct managed_entry *entry)
{
    json_t *out = json_object();
    json_set_str(out, "manager", entry->name);
    json_set_str(out, "operation", entry->applied ? "Apply" : "Update");
    json_set_str(out, "apiVersion", entry->api_version);
    if (*entry->time)
        json_set_str(out, "time", entry->time);
    json_set_str(out, "fieldsType", "FieldsV1");
    if (entry->fields)
        json_object_set(out, "fieldsV1", (json_t *)entry->fields);
    else
        json_object_set_new(out, "fieldsV1", field_set_to_json(entry->set));
    if (*entry->subresource)
        json_set_str(out, "subresource", entry->subresource);
    return out;
}

/* Whether the entry is, but for nothing, what its JSON says. */
static bool is_unchanged(const struct managed_entry *entry)
{
    return entry->json && entry->fields && !strcmp(entry->time, json_str_or_empty(entry->json, "time")) &&
           !strcmp(entry->api_version, json_str_or_empty(entry->json, "apiVersion"));
}

void managed_write(struct managed *managed, json_t *object)
{
    json_t *metadata = json_object_ensure(object, "metadata");
    if (!managed->count) {
        json_object_del(metadata, "managedFields");
        return;
    }
    sort(managed);
    json_t *array = json_array();
    for (size_t i = 0; i < managed->count; i++) {
        const struct managed_entry *entry = &managed->entries[i];
        if (is_unchanged(entry))
            json_array_append(array, (json_t *)entry->json);
        else
            json_array_append_new(array, entry_write(entry));
    }
    json_object_set_new(metadata, "managedFields", array);
}
