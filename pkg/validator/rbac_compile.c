/* One RBAC object's JSON to its compiled form. See rbac_internal.h. */
#include "validator/rbac_internal.h"

#include "base/mem.h"
#include "codec/json.h"

#include <string.h>

static struct rbac_strings strings_compile(struct arena *arena, const json_t *array)
{
    struct rbac_strings out = {NULL, 0};
    out.items = arena_alloc(arena, (json_array_size(array) + 1) * sizeof(*out.items));
    size_t i;
    json_t *item;
    json_array_foreach(array, i, item) if (json_is_string(item)) out.items[out.count++] =
        arena_strdup(arena, json_string_value(item));
    return out;
}

static void role_compile(struct rbac_entry *entry, const json_t *object)
{
    const json_t *rules = json_at(object, "rules");
    entry->rules = arena_zalloc(&entry->arena, (json_array_size(rules) + 1) * sizeof(*entry->rules));
    size_t i;
    json_t *rule;
    json_array_foreach(rules, i, rule)
    {
        struct rbac_rule *compiled = &entry->rules[entry->rule_count++];
        compiled->verbs = strings_compile(&entry->arena, json_at(rule, "verbs"));
        compiled->groups = strings_compile(&entry->arena, json_at(rule, "apiGroups"));
        compiled->resources = strings_compile(&entry->arena, json_at(rule, "resources"));
        compiled->names = strings_compile(&entry->arena, json_at(rule, "resourceNames"));
        compiled->urls = strings_compile(&entry->arena, json_at(rule, "nonResourceURLs"));
    }
}

static bool subject_compile(struct rbac_entry *entry, const json_t *subject, struct rbac_subject *out)
{
    const char *kind = json_str_or_empty(subject, "kind");
    out->name = arena_strdup(&entry->arena, json_str_or_empty(subject, "name"));
    out->namespace = arena_strdup(&entry->arena, json_str_or_empty(subject, "namespace"));
    buf_auto struct buf key = BUF_INIT;
    if (strcmp(kind, "User") == 0) {
        out->kind = RBAC_USER;
        buf_printf(&key, "u:%s", out->name);
    } else if (strcmp(kind, "Group") == 0) {
        out->kind = RBAC_GROUP;
        buf_printf(&key, "g:%s", out->name);
    } else if (strcmp(kind, "ServiceAccount") == 0) {
        /* A subject of a RoleBinding without a namespace means the binding's own. */
        out->kind = RBAC_SERVICE_ACCOUNT;
        if (!*out->namespace)
            out->namespace = entry->namespace;
        buf_printf(&key, "u:system:serviceaccount:%s:%s", out->namespace, out->name);
    } else {
        return false;
    }
    out->index_key = arena_strdup(&entry->arena, buf_str(&key));
    return *out->name != 0;
}

static void binding_compile(struct rbac_entry *entry, const json_t *object)
{
    entry->is_binding = true;
    entry->role_is_cluster = strcmp(json_str_or_empty(object, "roleRef", "kind"), "ClusterRole") == 0;
    entry->role_name = arena_strdup(&entry->arena, json_str_or_empty(object, "roleRef", "name"));
    const json_t *subjects = json_at(object, "subjects");
    entry->subjects = arena_zalloc(&entry->arena, (json_array_size(subjects) + 1) * sizeof(*entry->subjects));
    size_t i;
    json_t *subject;
    json_array_foreach(subjects, i,
                       subject) if (subject_compile(entry, subject, &entry->subjects[entry->subject_count]))
        entry->subject_count++;
}

struct rbac_entry *rbac__entry_compile(const struct rbac_change *change)
{
    json_auto_t *object = change->json ? json_parse(change->json, change->json_len, NULL) : NULL;
    if (!object)
        return NULL;
    struct rbac_entry *entry = mem_zalloc(sizeof(*entry));
    atomic_init(&entry->references, 1);
    buf_auto struct buf key = BUF_INIT;
    key_encode(&key, &change->key);
    entry->key_len = key.len;
    entry->key = arena_dup(&entry->arena, key.data, key.len);
    entry->namespace = arena_strdup(&entry->arena, change->key.namespace);
    entry->name = arena_strdup(&entry->arena, change->key.name);
    if (strstr(change->key.resource, "bindings"))
        binding_compile(entry, object);
    else
        role_compile(entry, object);
    return entry;
}

void rbac__entry_release(struct rbac_entry *entry)
{
    if (!entry || atomic_fetch_sub(&entry->references, 1) != 1)
        return;
    arena_free(&entry->arena);
    free(entry);
}
