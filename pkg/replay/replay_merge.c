/*
 * Three versions of a value into one. Values are taken apart as far as their parts have names: structs and
 * maps by member, lists by key or by value. What cannot be taken apart further goes as a whole: it is the
 * orphan's where the current value is still what the orphan was built on, and otherwise it stays.
 */
#include "replay/replay_internal.h"

#include "base/mem.h"
#include "codec/json.h"
#include "object/registry.h"

#include <string.h>

#define OBJECT_META "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"

static void lose(struct replay_walk *walk, struct replay_three v)
{
    struct replay_decision *out = walk->out;
    if (walk->quiet)
        return;
    out->losses = mem_reallocarray(out->losses, out->loss_count + 1, sizeof(*out->losses));
    out->losses[out->loss_count++] = (struct replay_loss){
        .path = mem_strdup(buf_str(&walk->path)),
        .winner = json_deep_copy(v.current), /* NULL gives NULL */
        .loser = json_deep_copy(v.orphan),
    };
}

static json_t *take(const json_t *value)
{
    return json_incref((json_t *)value);
}

static json_t *merge_whole(struct replay_walk *walk, struct replay_three v)
{
    if (!walk->rejecting && replay_same(v.current, v.base))
        return take(v.orphan);
    lose(walk, v);
    return take(v.current);
}

/* ---- members ---- */

/* An object of an unknown kind has the metadata of all objects. The pattern is the member's. */
static struct replay_place member_place(const struct replay_walk *walk, struct replay_place place,
                                        const char *name)
{
    struct replay_place out = {.at = {FIELD_LEAF, NULL, NULL}};
    if (!walk->kind && !strcmp(buf_str(&walk->pattern), "metadata")) {
        out.at = field_place_of_message(registry_message(OBJECT_META));
        return out;
    }
    if (place.plain || !field_place_member(place.at, name, &out.at)) {
        out.plain = true;
        return out;
    }
    const struct schema_field *field = out.at.field;
    if (field && field->shape == SCHEMA_SINGLE) {
        out.plain = field->type == SCHEMA_RAW || field->type == SCHEMA_ANY;
        out.retain_keys = field->patch == SCHEMA_PATCH_RETAIN_KEYS;
    }
    return out;
}

static json_t *merge_member(struct replay_walk *walk, struct replay_place place, struct replay_three v,
                            const char *name)
{
    size_t path_len = walk->path.len, pattern_len = walk->pattern.len;
    buf_printf(&walk->path, ".%s", name);
    buf_printf(&walk->pattern, "%s%s", pattern_len ? "." : "", name);
    struct replay_three inner = {json_object_get(v.base, name), json_object_get(v.orphan, name),
                                 json_object_get(v.current, name)};
    json_t *merged = replay_merge(walk, member_place(walk, place, name), inner);
    walk->path.len = path_len;
    walk->path.data[path_len] = '\0';
    walk->pattern.len = pattern_len;
    walk->pattern.data[pattern_len] = '\0';
    return merged;
}

/* The current object's members in their order, then those that the orphan has beside them. */
static json_t *merge_members(struct replay_walk *walk, struct replay_place place, struct replay_three v)
{
    json_t *out = json_object();
    const json_t *sides[] = {v.current, v.orphan};
    for (size_t side = 0; side < 2; side++) {
        const char *name;
        json_t *value;
        json_object_foreach((json_t *)sides[side], name, value)
        {
            if (side && json_object_get(v.current, name))
                continue;
            json_t *merged = merge_member(walk, place, v, name);
            if (merged)
                json_object_set_new_nocheck(out, name, merged);
        }
    }
    return out;
}

static bool object_or_absent(const json_t *value)
{
    return !value || json_is_object(value);
}

static bool same_names(const json_t *a, const json_t *b)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)a, name, value) if (!json_object_get(b, name)) return false;
    return json_object_size(a) == json_object_size(b);
}

/* Members that exclude one another must not come from two sides. */
static bool would_mix(struct replay_place place, struct replay_three v)
{
    return place.retain_keys && !replay_same(v.base, v.current) &&
           (!same_names(v.base, v.orphan) || !same_names(v.base, v.current));
}

/* A new struct that is rejected is told as one, but for the object itself and its metadata. */
static bool is_told_whole(const struct replay_walk *walk, struct replay_three v)
{
    const char *pattern = buf_str(&walk->pattern);
    return !v.current && !v.base && *pattern && strcmp(pattern, "metadata") != 0;
}

/* A struct is there or not; a change inside of it is none of one that is gone. While everything is rejected
 * the parts are looked for all the same, to tell them. */
static bool is_struct(const struct replay_walk *walk, struct replay_place place, struct replay_three v)
{
    if (place.at.shape != FIELD_STRUCT && !place.plain)
        return false;
    if (!json_is_object(v.orphan) || !object_or_absent(v.base) || !object_or_absent(v.current))
        return false;
    if (walk->rejecting && is_told_whole(walk, v))
        return false;
    return (v.current || !v.base || walk->rejecting) && !would_mix(place, v);
}

static bool is_map(struct replay_place place, struct replay_three v)
{
    return place.at.shape == FIELD_MAP && object_or_absent(v.base) && object_or_absent(v.orphan) &&
           object_or_absent(v.current);
}

/* An absent map is an empty one, but nothing is made empty that was absent on the side that won. */
static json_t *map_or_absent(json_t *merged, struct replay_three v)
{
    if (json_object_size(merged) || v.orphan)
        return merged;
    json_decref(merged);
    return NULL;
}

static json_t *merge_parts(struct replay_walk *walk, struct replay_place place, struct replay_three v)
{
    json_t *out;
    if (is_struct(walk, place, v))
        return merge_members(walk, place, v);
    if (is_map(place, v))
        return map_or_absent(merge_members(walk, place, v), v);
    if (field_place_is_list(place.at) && replay_merge_list(walk, place, v, &out))
        return out;
    return merge_whole(walk, v);
}

json_t *replay_merge(struct replay_walk *walk, struct replay_place place, struct replay_three v)
{
    enum replay_rule rule = replay_rule_of(walk);
    if (rule == REPLAY_KEPT || replay_same(v.orphan, v.base) || replay_same(v.orphan, v.current))
        return take(v.current);
    walk->quiet += rule == REPLAY_QUIET || rule == REPLAY_WHOLE;
    walk->rejecting += rule == REPLAY_FROZEN;
    json_t *out = rule == REPLAY_WHOLE ? merge_whole(walk, v) : merge_parts(walk, place, v);
    walk->quiet -= rule == REPLAY_QUIET || rule == REPLAY_WHOLE;
    walk->rejecting -= rule == REPLAY_FROZEN;
    if (!walk->rejecting && rule != REPLAY_FROZEN)
        return out;
    json_decref(out);
    return take(v.current);
}
