/*
 * Field ownership, after structured-merge-diff's Updater and the chain of field managers around it: what a
 * write changes goes to its manager and leaves the others; what an apply no longer mentions goes when nobody
 * else owns it.
 */
#include "object/apply.h"

#include "base/mem.h"
#include "codec/json.h"
#include "object/apply_managers.h"
#include "object/decode.h"
#include "object/field_walk.h"
#include "object/quote.h"

#include <assert.h>
#include <string.h>

#define LAST_APPLIED "kubectl.kubernetes.io/last-applied-configuration"
#define FIRST_MANAGER "before-first-apply"

/* What nobody owns, as a set: each level in the order of field_element_compare. */
#define UNOWNED(text)                                                      \
    {                                                                      \
        .element = (text), .element_len = sizeof(text) - 1, .member = true \
    }
static struct field_set unowned_metadata[] = {
    UNOWNED("f:clusterName"),
    UNOWNED("f:creationTimestamp"),
    UNOWNED("f:generation"),
    UNOWNED("f:managedFields"),
    UNOWNED("f:name"),
    UNOWNED("f:namespace"),
    UNOWNED("f:resourceVersion"),
    UNOWNED("f:selfLink"),
    UNOWNED("f:uid"),
};
static struct field_set *unowned_metadata_children[] = {
    &unowned_metadata[0], &unowned_metadata[1], &unowned_metadata[2],
    &unowned_metadata[3], &unowned_metadata[4], &unowned_metadata[5],
    &unowned_metadata[6], &unowned_metadata[7], &unowned_metadata[8],
};
static struct field_set unowned_top[] = {
    UNOWNED("f:apiVersion"),
    UNOWNED("f:kind"),
    {.element = "f:metadata",
     .element_len = 10,
     .member = true,
     .count = 9,
     .children = unowned_metadata_children},
};
static struct field_set *unowned_top_children[] = {&unowned_top[0], &unowned_top[1], &unowned_top[2]};
static const struct field_set unowned = {.count = 3, .children = unowned_top_children};

static struct field_path element_path(const struct field_path *parent, const char *element)
{
    return (struct field_path){parent, element, (uint32_t)strlen(element)};
}

static struct field_set *without_unowned(struct field_arena *arena, const struct field_set *set)
{
    return field_set_difference(arena, set, &unowned, false);
}

static bool has_status(const struct schema_kind *kind)
{
    for (size_t i = 0; i < kind->subresource_count; i++)
        if (!strcmp(kind->subresources[i].name, "status"))
            return true;
    return false;
}

/* What a write to this subresource resets to the live object's, and so cannot own. NULL: nothing. */
static struct field_set *reset_fields(struct field_arena *arena, const struct schema_kind *kind,
                                      const char *subresource)
{
    bool status = !strcmp(subresource, "status");
    if (!has_status(kind) || (*subresource && !status && strcmp(subresource, "finalize") != 0))
        return NULL;
    struct field_set *reset = field_set_new(arena);
    struct field_path top = element_path(NULL, status ? "f:spec" : "f:status");
    field_set_insert(arena, reset, &top);
    struct field_path metadata = element_path(NULL, "f:metadata");
    static const char *const of_status[][3] = {
        {"Pod", "f:deletionTimestamp", "f:ownerReferences"},
        {"Deployment", "f:labels", NULL},
    };
    for (size_t i = 0; status && i < sizeof(of_status) / sizeof(of_status[0]); i++) {
        for (size_t n = 1; n < 3 && of_status[i][n] && !strcmp(of_status[i][0], kind->kind); n++) {
            struct field_path path = element_path(&metadata, of_status[i][n]);
            field_set_insert(arena, reset, &path);
        }
    }
    return reset;
}

static struct field_set *filtered(struct field_arena *arena, struct field_set *set,
                                  const struct field_set *reset)
{
    return reset && !field_set_empty(set) ? field_set_difference(arena, set, reset, true) : set;
}

/* The comparison of two objects as the writer of a subresource may change them. */
static void compare(struct field_arena *arena, const struct schema_kind *kind, const char *subresource,
                    const json_t *a, const json_t *b, struct field_comparison *out)
{
    field_walk_compare(arena, kind->message, a, b, out);
    const struct field_set *reset = reset_fields(arena, kind, subresource);
    out->removed = filtered(arena, out->removed, reset);
    out->modified = filtered(arena, out->modified, reset);
    out->added = filtered(arena, out->added, reset);
}

/* An object of the kind as Go has it before anything is set: with its structs, and nothing in them. */
static json_t *zero_object(const struct schema_kind *kind)
{
    json_auto_t *none = json_object();
    json_t *zero = NULL;
    int rc = decode_json(kind->message, none, &zero, NULL, NULL);
    assert(rc == 0);
    return zero;
}

/* Takes what changed from everybody. */
static void take_from_all(struct managed *managed, const struct managed_entry *except,
                          const struct field_comparison *change)
{
    struct field_set *taken = field_set_union(managed->arena, change->modified, change->added);
    taken = field_set_union(managed->arena, taken, change->removed);
    if (field_set_empty(taken))
        return;
    for (size_t i = 0; i < managed->count; i++) {
        struct managed_entry *entry = &managed->entries[i];
        if (entry == except)
            continue;
        struct field_set *set = managed_entry_set(managed, entry);
        if (!field_set_empty(field_set_intersection(managed->arena, set, taken)))
            managed_entry_put(entry, field_set_difference(managed->arena, set, taken, false));
    }
}

/* Records that manager changed a into b. */
static void track(struct managed *managed, const struct schema_kind *kind, const json_t *a, const json_t *b,
                  const struct apply_manager *manager)
{
    struct field_arena *arena = managed->arena;
    struct field_comparison change;
    compare(arena, kind, manager->subresource, a, b, &change);
    take_from_all(managed, NULL, &change);
    struct field_set *own = without_unowned(arena, field_set_union(arena, change.modified, change.added));
    if (!field_set_empty(own)) {
        struct managed_entry *entry = managed_find(managed, manager, false);
        if (!entry)
            entry = managed_add(managed, manager, false);
        managed_entry_put(entry, field_set_union(arena, managed_entry_set(managed, entry), own));
        entry->time = manager->time;
    }
    managed_drop_empty(managed);
    managed_cap(managed);
}

static struct apply_manager named(const struct apply_manager *manager)
{
    struct apply_manager copy = *manager;
    if (!copy.name || !*copy.name)
        copy.name = "unknown";
    if (!copy.subresource)
        copy.subresource = "";
    return copy;
}

/* A client resets ownership by sending one empty entry. */
static bool is_reset(const json_t *array)
{
    return json_array_size(array) == 1 && !json_object_size(json_array_get(array, 0));
}

void apply_track_update(const struct schema_kind *kind, const json_t *live, json_t *object,
                        const struct apply_manager *manager)
{
    struct apply_manager who = named(manager);
    FIELD_ARENA_ROOM(room, 4096);
    struct field_arena arena field_arena_auto = {.room = room, .room_left = sizeof(room)};
    struct managed managed;
    json_t *sent = json_at(object, "metadata", "managedFields");
    json_t *kept = json_at(live, "metadata", "managedFields");
    managed_read(&managed, &arena, *who.subresource ? kept : sent);
    if (!*who.subresource && !managed.count && !is_reset(sent)) {
        managed_free(&managed);
        managed_read(&managed, &arena, kept);
    }
    json_object_del(json_object_ensure(object, "metadata"), "managedFields");

    /* Objects whose ownership was given up are tracked again from the first apply on. */
    if (!live || managed.count) {
        json_auto_t *zero = live ? NULL : zero_object(kind);
        track(&managed, kind, live ? live : zero, object, &who);
        managed_write(&managed, object);
    }
    managed_free(&managed);
}

/* ---- Server-side apply ---- */

struct application {
    const struct schema_kind *kind;
    const json_t *live; /* never NULL */
    const json_t *config;
    struct apply_manager manager;
    struct managed managed;
    json_t *result; /* owned */
};

/* Removes from the merged object what the manager applied before, does not apply now, and nobody else owns.
 */
static json_t *prune(struct application *a, json_t *merged, const struct field_set *last)
{
    struct field_arena *arena = a->managed.arena;
    const struct schema_message *message = a->kind->message;
    if (!last || field_set_empty(last))
        return merged;
    last = field_walk_with_parents(arena, message, last);
    struct field_set *owned = field_set_new(arena);
    for (size_t i = 0; i < a->managed.count; i++)
        owned = field_set_union(arena, owned, managed_entry_set(&a->managed, &a->managed.entries[i]));
    owned = field_walk_with_parents(arena, message, owned);
    struct field_set *all = field_walk_with_parents(arena, message, field_walk_set(arena, message, merged));

    json_t *pruned = field_walk_remove(message, merged, last);
    struct field_set *left = field_walk_with_parents(arena, message, field_walk_set(arena, message, pruned));
    json_decref(pruned);
    struct field_set *gone = field_set_difference(arena, all, field_set_union(arena, left, owned), false);
    pruned = field_walk_remove(message, merged, gone);

    left = field_walk_with_parents(arena, message, field_walk_set(arena, message, pruned));
    json_decref(pruned);
    gone = field_set_intersection(arena, field_set_difference(arena, all, left, false), last);
    pruned = field_walk_remove(message, merged, gone);
    json_decref(merged);
    return pruned;
}

/* What of the entry's fields the application would change. */
static struct field_set *conflict_set(struct application *a, struct managed_entry *entry,
                                      const struct field_comparison *change)
{
    struct field_set *changed = field_set_union(a->managed.arena, change->modified, change->added);
    return field_set_intersection(a->managed.arena, managed_entry_set(&a->managed, entry), changed);
}

/*
 * What kubectl's client-side apply wrote and is still so: kubectl may take it over without force when a user
 * moves to server-side apply. NULL: nothing.
 */
static struct field_set *allowed_conflicts(struct application *a)
{
    struct field_arena *arena = a->managed.arena;
    const char *text = json_str(a->live, "metadata", "annotations", LAST_APPLIED);
    json_auto_t *last = text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
    json_auto_t *decoded = NULL;
    if (!json_is_object(last) || strcmp(json_str_or_empty(last, "apiVersion"), a->manager.api_version) != 0 ||
        decode_json_as_sent(a->kind->message, last, &decoded, NULL, NULL))
        return NULL;
    struct field_comparison change;
    field_walk_compare(arena, a->kind->message, decoded, a->live, &change);
    struct field_set *set = field_walk_set(arena, a->kind->message, decoded);
    set = field_set_difference(arena, set, change.modified, false);
    set = field_set_difference(arena, set, change.added, false);
    return field_set_difference(arena, set, change.removed, false);
}

struct reporting {
    json_t *causes;
    struct buf *list; /* "- path" lines of the manager at hand */
    const char *manager;
    size_t count;
    char *first; /* owned */
};

static void report(void *context, const char *path)
{
    struct reporting *r = context;
    mem_auto char *message = mem_printf("conflict with %s", r->manager);
    json_array_append_new(r->causes, json_pack("{s:s,s:s,s:s}", "reason", "FieldManagerConflict", "message",
                                               message, "field", path));
    buf_printf(r->list, "\n- %s", path);
    if (!r->count++)
        r->first = mem_strdup(path);
}

static char *manager_text(const struct managed_entry *entry)
{
    struct buf out = BUF_INIT;
    quote_append(&out, entry->name);
    if (*entry->subresource) {
        buf_puts(&out, " with subresource ");
        quote_append(&out, entry->subresource);
    }
    if (!entry->applied)
        buf_printf(&out, " using %s", entry->api_version);
    return buf_steal(&out);
}

static int by_manager(const void *a, const void *b)
{
    const struct managed_entry *p = *(const struct managed_entry *const *)a;
    const struct managed_entry *q = *(const struct managed_entry *const *)b;
    int order = strcmp(p->name, q->name);
    if (!order)
        order = p->applied != q->applied ? (p->applied ? -1 : 1) : strcmp(p->api_version, q->api_version);
    return order ? order : strcmp(p->subresource, q->subresource);
}

/* Words the conflicts of all entries but own; 0 when there are none. */
static int report_conflicts(struct application *a, const struct managed_entry *own,
                            const struct field_comparison *change, json_t **causes, struct err *err)
{
    struct field_set *allowed = !strcmp(a->manager.name, "kubectl") ? allowed_conflicts(a) : NULL;
    mem_auto struct managed_entry **sorted = mem_calloc(a->managed.count + 1, sizeof(struct managed_entry *));
    for (size_t i = 0; i < a->managed.count; i++)
        sorted[i] = &a->managed.entries[i];
    qsort(sorted, a->managed.count, sizeof(struct managed_entry *), by_manager);
    struct buf message buf_auto = BUF_INIT;
    struct buf list buf_auto = BUF_INIT;
    struct reporting r = {.causes = json_array(), .list = &list};
    mem_auto char *only = NULL;
    for (size_t i = 0; i < a->managed.count; i++) {
        if (sorted[i] == own)
            continue;
        struct field_set *set = conflict_set(a, sorted[i], change);
        if (allowed)
            set = field_set_difference(a->managed.arena, set, allowed, false);
        if (field_set_empty(set))
            continue;
        free(only);
        only = manager_text(sorted[i]);
        r.manager = only;
        buf_clear(&list);
        field_set_each_path(set, report, &r);
        buf_printf(&message, "%sconflicts with %s:%s", message.len ? "\n" : "", only, buf_str(&list));
    }
    if (!r.count) {
        json_decref(r.causes);
        return 0;
    }
    mem_auto char *first = r.first;
    if (causes)
        *causes = json_incref(r.causes);
    json_decref(r.causes);
    if (r.count == 1)
        return err_set(err, ERR_CONFLICT, "Apply failed with 1 conflict: conflict with %s: %s", only, first);
    return err_set(err, ERR_CONFLICT, "Apply failed with %zu conflicts: %s", r.count, buf_str(&message));
}

/* Objects that were written before ownership was tracked get an owner of everything that is there. */
static void adopt(struct application *a)
{
    if (a->managed.count)
        return;
    struct apply_manager first = a->manager;
    first.name = FIRST_MANAGER;
    json_auto_t *zero = zero_object(a->kind);
    track(&a->managed, a->kind, zero, a->live, &first);
}

static int merge(struct application *a, bool force, json_t **causes, struct err *err)
{
    struct field_arena *arena = a->managed.arena;
    struct managed_entry *own = managed_find(&a->managed, &a->manager, true);
    const struct field_set *last = own ? managed_entry_set(&a->managed, own) : NULL;
    if (!own)
        own = managed_add(&a->managed, &a->manager, true);
    struct field_set *set = field_walk_set(arena, a->kind->message, a->config);
    managed_entry_put(own, filtered(arena, set, reset_fields(arena, a->kind, a->manager.subresource)));
    own->api_version = a->manager.api_version;

    a->result = prune(a, field_walk_merge(a->kind->message, a->live, a->config), last);
    struct field_comparison change;
    compare(arena, a->kind, a->manager.subresource, a->live, a->result, &change);
    int rc = force ? 0 : report_conflicts(a, own, &change, causes, err);
    if (rc)
        return rc;
    take_from_all(&a->managed, own, &change);
    managed_entry_put(own, without_unowned(arena, own->set));
    if (!json_equal(a->live, a->result))
        own->time = a->manager.time;
    managed_drop_empty(&a->managed);
    return 0;
}

/* kubectl goes on reading its annotation, so what it applies by the server is written there too. */
static void sync_last_applied(struct application *a)
{
    json_t *annotations = json_at(a->result, "metadata", "annotations");
    if (strcmp(a->manager.name, "kubectl") != 0 || !*json_str_or_empty(annotations, LAST_APPLIED))
        return;
    json_auto_t *config = json_deep_copy(a->config);
    json_object_del(json_at(config, "metadata", "annotations"), LAST_APPLIED);
    mem_auto char *text = json_dumps(config, JSON_COMPACT | JSON_SORT_KEYS);
    mem_auto char *line = mem_printf("%s\n", text);
    json_t *changed = json_copy(annotations);
    json_set_str(changed, LAST_APPLIED, line);
    json_object_set_new(json_object_get(a->result, "metadata"), "annotations", changed);
}

/* The object as the decoder would have it: with its empty structs, in order, sharing nothing with others. */
static int finish(struct application *a, json_t **out, struct err *err)
{
    sync_last_applied(a);
    json_t *copy = json_deep_copy(a->result);
    int rc = decode_json(a->kind->message, copy, out, NULL, err);
    json_decref(copy);
    if (!rc)
        managed_write(&a->managed, *out);
    return rc;
}

int apply_server_side(const struct schema_kind *kind, const json_t *live, const json_t *config,
                      const struct apply_manager *manager, bool force, json_t **out, json_t **causes,
                      struct err *err)
{
    if (causes)
        *causes = NULL;
    if (json_at(config, "metadata", "managedFields"))
        return err_set(err, ERR_BAD_REQUEST, "metadata.managedFields must be nil");
    int rc = field_walk_check(kind->message, config, err);
    if (rc)
        return err ? err_wrap(err, "failed to create typed patch object") : rc;
    struct field_arena arena field_arena_auto = {.chunks = NULL};
    json_auto_t *base = live ? json_deep_copy(live) : zero_object(kind);
    json_t *metadata = json_object_ensure(base, "metadata");
    json_auto_t *array = json_incref(json_object_get(metadata, "managedFields"));
    json_object_del(metadata, "managedFields");
    struct application a = {.kind = kind, .live = base, .config = config, .manager = named(manager)};
    managed_read(&a.managed, &arena, array);
    adopt(&a);
    rc = merge(&a, force, causes, err);
    if (!rc)
        rc = finish(&a, out, err);
    json_decref(a.result);
    managed_free(&a.managed);
    return rc;
}
