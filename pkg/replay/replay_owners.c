/*
 * Who owns the fields of a merged object. The current managers keep what is theirs; what the orphan brought
 * belongs to those who owned it there, by the same operation, so that a later apply of theirs finds its own
 * fields; what they gave up there they give up here.
 */
#include "replay/replay_internal.h"

#include "codec/json.h"
#include "object/apply_managers.h"
#include "object/field_walk.h"

struct owners {
    struct field_arena arena;
    struct managed base, orphan, current;
    struct field_set *changed; /* from current to merged */
    struct field_set *foreign; /* what merged does not have as the orphan had it */
};

static struct field_set *changes(struct field_arena *arena, const struct schema_kind *kind, const json_t *a,
                                 const json_t *b, bool with_added)
{
    struct field_comparison change;
    field_walk_compare(arena, kind->message, a, b, &change);
    struct field_set *set = field_set_union(arena, change.modified, change.removed);
    return with_added ? field_set_union(arena, set, change.added) : set;
}

static struct field_set *set_of(struct managed *managed, const struct apply_manager *who, bool applied)
{
    struct managed_entry *entry = managed_find(managed, who, applied);
    return entry ? managed_entry_set(managed, entry) : field_set_new(managed->arena);
}

static void take_changed(struct owners *o)
{
    for (size_t i = 0; i < o->current.count; i++) {
        struct managed_entry *entry = &o->current.entries[i];
        struct field_set *set = managed_entry_set(&o->current, entry);
        if (!field_set_empty(field_set_intersection(&o->arena, set, o->changed)))
            managed_entry_put(entry, field_set_difference(&o->arena, set, o->changed, false));
    }
}

/* Gives an owner of the orphan's side its part. */
static void add_owner(struct owners *o, struct managed_entry *theirs)
{
    struct apply_manager who = {theirs->name, theirs->api_version, theirs->subresource, theirs->time};
    struct field_set *set = managed_entry_set(&o->orphan, theirs);
    struct field_set *before = set_of(&o->base, &who, theirs->applied);
    struct field_set *given_up = field_set_difference(&o->arena, before, set, false);
    struct field_set *gained = field_set_union(&o->arena, field_set_difference(&o->arena, set, before, false),
                                               field_set_intersection(&o->arena, set, o->changed));
    gained = field_set_difference(&o->arena, gained, o->foreign, false);
    if (field_set_empty(gained) && field_set_empty(given_up))
        return;
    struct managed_entry *entry = managed_find(&o->current, &who, theirs->applied);
    if (!entry)
        entry = managed_add(&o->current, &who, theirs->applied);
    set = field_set_difference(&o->arena, managed_entry_set(&o->current, entry), given_up, false);
    managed_entry_put(entry, field_set_union(&o->arena, set, gained));
    entry->api_version = theirs->api_version;
    entry->time = theirs->time;
}

void replay_owners(const struct schema_kind *kind, struct replay_three v, json_t *merged)
{
    json_t *metadata = json_object_get(merged, "metadata");
    if (!kind || !json_is_object(metadata))
        return;
    struct owners o = {.arena = {.chunks = NULL}};
    managed_read(&o.base, &o.arena, json_at(v.base, "metadata", "managedFields"));
    managed_read(&o.orphan, &o.arena, json_at(v.orphan, "metadata", "managedFields"));
    managed_read(&o.current, &o.arena, json_at(v.current, "metadata", "managedFields"));
    o.changed = changes(&o.arena, kind, v.current, merged, true);
    o.foreign = changes(&o.arena, kind, v.orphan, merged, false);
    take_changed(&o);
    for (size_t i = 0; i < o.orphan.count; i++)
        add_owner(&o, &o.orphan.entries[i]);
    managed_drop_empty(&o.current);
    managed_cap(&o.current);
    managed_write(&o.current, merged);
    managed_free(&o.base);
    managed_free(&o.orphan);
    managed_free(&o.current);
    field_arena_free(&o.arena);
}
