/* Removal and merging of values, of field_walk.h. */
#include "object/field_walk.h"

#include "base/mem.h"
#include "codec/json.h"
#include "object/field_place.h"

#include <string.h>

/* ---- Removal ---- */

static json_t *remove_items(struct field_place place, const json_t *value, const struct field_set *set);

static json_t *remove_from_map(struct field_place place, const json_t *value, const struct field_set *set)
{
    json_t *out = json_object();
    struct buf element buf_auto = BUF_INIT;
    const char *name;
    json_t *member;
    json_object_foreach((json_t *)value, name, member)
    {
        struct field_place at;
        struct field_path here = field_path_member(NULL, &element, name);
        const struct field_set *child = field_set_child(set, here.element, here.element_len);
        if (child && child->member)
            continue;
        json_t *kept = child && child->count && field_place_member(place, name, &at)
                           ? remove_items(at, member, child)
                           : json_incref(member);
        /* A member of which nothing is left is still there, as null: its owner did not give it up. */
        json_object_set_new_nocheck(out, name, kept ? kept : json_null());
    }
    return out;
}

static json_t *remove_from_list(struct field_place place, const json_t *value, const struct field_set *set)
{
    json_t *out = json_array();
    struct buf element buf_auto = BUF_INIT;
    size_t i;
    json_t *item;
    json_array_foreach(value, i, item)
    {
        const struct field_set *child = NULL;
        if (field_place_element(place, item, &element))
            child = field_set_child(set, buf_str(&element), element.len);
        if (child && child->member)
            continue;
        json_t *kept =
            child && child->count ? remove_items(field_place_item(place), item, child) : json_incref(item);
        if (kept)
            json_array_append_new(out, kept);
    }
    return out;
}

/* NULL when nothing is left, as for an atomic value, which goes as one. */
static json_t *remove_items(struct field_place place, const json_t *value, const struct field_set *set)
{
    json_t *out = NULL;
    if (field_place_is_map(place) && json_object_size(value))
        out = remove_from_map(place, value, set);
    else if (field_place_is_list(place) && json_array_size(value))
        out = remove_from_list(place, value, set);
    else if (!json_is_object(value) && !json_is_array(value))
        return json_incref((json_t *)value);
    if (!field_value_has_parts(out)) {
        json_decref(out);
        return NULL;
    }
    return out;
}

json_t *field_walk_remove(const struct schema_message *message, const json_t *value,
                          const struct field_set *set)
{
    json_t *out = remove_items(field_place_of_message(message), value, set);
    return out ? out : json_object();
}

/* ---- Parents ---- */

static struct field_place element_place(struct field_place place, const struct field_set *node)
{
    struct field_place at = {FIELD_LEAF, NULL, NULL};
    if (node->element[0] == 'f' && field_place_is_map(place))
        field_place_member(place, node->element + 2, &at);
    else if (field_place_is_list(place))
        at = field_place_item(place);
    return at;
}

static struct field_set *with_parents(struct field_arena *arena, struct field_place place,
                                      const struct field_set *set)
{
    struct field_set *out = field_arena_alloc(arena, sizeof(*out));
    *out = *set;
    out->children = field_arena_alloc(arena, set->count * sizeof(struct field_set *));
    out->cap = set->count;
    for (uint32_t i = 0; i < set->count; i++) {
        const struct field_set *child = set->children[i];
        struct field_set *copy = with_parents(arena, element_place(place, child), child);
        bool declared = place.shape == FIELD_STRUCT && child->element[0] == 'f' &&
                        schema_field_by_name(place.message, child->element + 2);
        if (declared && child->count)
            copy->member = true;
        out->children[i] = copy;
    }
    return out;
}

struct field_set *field_walk_with_parents(struct field_arena *arena, const struct schema_message *message,
                                          const struct field_set *set)
{
    return with_parents(arena, field_place_of_message(message), set);
}

/* ---- Merge ---- */

static json_t *merge(struct field_place place, const json_t *live, const json_t *config);

static json_t *merge_maps(struct field_place place, const json_t *live, const json_t *config)
{
    json_t *out = json_object();
    const char *name;
    json_t *value;
    for (int n = 0; n < 2; n++) {
        json_object_foreach((json_t *)(n ? config : live), name, value)
        {
            struct field_place at = {FIELD_LEAF, NULL, NULL};
            if (n && json_object_get(live, name))
                continue;
            field_place_member(place, name, &at);
            json_t *merged = n ? merge(at, NULL, value) : merge(at, value, json_object_get(config, name));
            if (merged)
                json_object_set_new_nocheck(out, name, merged);
        }
    }
    return out;
}

/* The items of a list with the path element of each; elements that occur twice have no item of their own. */
struct items {
    size_t count;
    char **elements;
    json_t *by_element; /* element to item; null for duplicates */
};

static void items_index(struct items *items, struct field_place place, const json_t *list)
{
    size_t size = json_array_size(list);
    struct buf element buf_auto = BUF_INIT;
    *items = (struct items){0, mem_calloc(size + 1, sizeof(char *)), json_object()};
    for (size_t i = 0; i < size; i++) {
        json_t *item = json_array_get(list, i);
        if (!field_place_element(place, item, &element))
            buf_printf(&element, "#%zu", i); /* has no identity, so it stays as it is */
        items->elements[items->count++] = mem_strdup(buf_str(&element));
        bool seen = json_object_get(items->by_element, buf_str(&element));
        json_object_set_new_nocheck(items->by_element, buf_str(&element),
                                    seen ? json_null() : json_incref(item));
    }
}

static void items_free(struct items *items)
{
    for (size_t i = 0; i < items->count; i++)
        free(items->elements[i]);
    free(items->elements);
    json_decref(items->by_element);
}

static const json_t *items_get(const struct items *items, const char *element)
{
    const json_t *item = json_object_get(items->by_element, element);
    return json_is_null(item) ? NULL : item;
}

static bool items_has(const struct items *items, const char *element)
{
    return json_object_get(items->by_element, element);
}

/* The first item of config from at on that live has too; NULL when there is none. */
static const char *next_shared(const struct items *live, const struct items *config, size_t *at)
{
    while (*at < config->count) {
        const char *element = config->elements[(*at)++];
        if (items_has(live, element))
            return element;
    }
    return NULL;
}

struct interleave {
    struct field_place place;
    const json_t *live_list;
    struct items live;
    struct items config;
    size_t l; /* the next of live and config */
    size_t c;
    size_t shared_at;
    const char *shared; /* the item of both that comes next in config */
    json_t *merged;     /* elements of config that are in out */
    json_t *out;
};

static void take_config(struct interleave *w)
{
    const char *element = w->config.elements[w->c++];
    json_t *item =
        merge(field_place_item(w->place), items_get(&w->live, element), items_get(&w->config, element));
    json_object_set_new_nocheck(w->merged, element, json_true());
    if (item)
        json_array_append_new(w->out, item);
    if (w->shared && !strcmp(w->shared, element))
        w->shared = next_shared(&w->live, &w->config, &w->shared_at);
}

static void take_live(struct interleave *w)
{
    json_t *item = json_array_get(w->live_list, w->l++);
    json_array_append(w->out, item);
}

/*
 * Items of both lists stand in config's order; items that only live has keep their place after the item that
 * was before them.
 */
static void interleave_step(struct interleave *w)
{
    const char *live = w->l < w->live.count ? w->live.elements[w->l] : NULL;
    const char *config = w->c < w->config.count ? w->config.elements[w->c] : NULL;
    if (live && config) {
        if (!strcmp(live, config)) {
            w->l++;
            if (!w->shared || strcmp(w->shared, config) != 0)
                w->shared = config;
            take_config(w);
            return;
        }
        if (items_has(&w->config, live) && w->shared && strcmp(w->shared, live) != 0) {
            w->l++; /* its turn comes with config's order */
            return;
        }
    }
    if (live && !items_has(&w->config, live)) {
        take_live(w);
        return;
    }
    if (live && json_object_get(w->merged, live))
        w->l++;
    if (config)
        take_config(w);
}

static json_t *merge_lists(struct field_place place, const json_t *live, const json_t *config)
{
    struct interleave w = {.place = place, .live_list = live, .merged = json_object(), .out = json_array()};
    items_index(&w.live, place, live);
    items_index(&w.config, place, config);
    w.shared = next_shared(&w.live, &w.config, &w.shared_at);
    while (w.l < w.live.count || w.c < w.config.count)
        interleave_step(&w);
    items_free(&w.live);
    items_free(&w.config);
    json_decref(w.merged);
    return w.out;
}

/* At most one side may be NULL. */
static json_t *merge(struct field_place place, const json_t *live, const json_t *config)
{
    bool parts = field_value_has_parts(live) || field_value_has_parts(config);
    if (place.shape == FIELD_LEAF || !parts)
        return json_incref((json_t *)(config ? config : live));
    json_t *out =
        field_place_is_map(place) ? merge_maps(place, live, config) : merge_lists(place, live, config);
    if (field_value_has_parts(out))
        return out;
    json_decref(out);
    return NULL;
}

json_t *field_walk_merge(const struct schema_message *message, const json_t *live, const json_t *config)
{
    json_t *out = merge(field_place_of_message(message), live, config);
    return out ? out : json_object();
}
