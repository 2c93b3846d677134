/*
 * Sets, comparison and checks of field_walk.h. An absent list or map that Kubernetes encodes as null (no
 * omitempty) counts as null rather than as absent, as it does there: so creating a Pod owns `f:containers`
 * without the "." of a new field.
 */
#include "object/field_walk.h"

#include "base/mem.h"
#include "codec/json.h"
#include "object/field_place.h"
#include "object/quote.h"

#include <string.h>

/* ---- The set of a value ---- */

static void walk_set(struct field_arena *arena, struct field_set *set, struct field_place place,
                     const json_t *value, const struct field_path *path)
{
    struct buf element buf_auto = BUF_INIT;
    if (!field_place_is_map(place) && !field_place_is_list(place)) {
        field_set_insert(arena, set, path);
    } else if (field_place_is_map(place)) {
        const char *name;
        json_t *member;
        json_object_foreach((json_t *)value, name, member)
        {
            struct field_place at;
            if (!field_place_member(place, name, &at))
                continue;
            struct field_path here = field_path_member(path, &element, name);
            walk_set(arena, set, at, member, &here);
            bool empty = json_is_null(member) || (json_is_object(member) && !json_object_size(member));
            if (empty || place.shape == FIELD_MAP)
                field_set_insert(arena, set, &here);
        }
    } else {
        size_t i;
        json_t *item;
        json_array_foreach(value, i, item)
        {
            /* An item without identity counts by its place, so that its list is not taken for empty. */
            if (!field_place_element(place, item, &element)) {
                buf_clear(&element);
                buf_printf(&element, "i:%zu", i);
            }
            struct field_path here = field_path_item(path, &element);
            walk_set(arena, set, field_place_item(place), item, &here);
            field_set_insert(arena, set, &here);
        }
    }
}

struct field_set *field_walk_set(struct field_arena *arena, const struct schema_message *message,
                                 const json_t *value)
{
    struct field_set *set = field_set_new(arena);
    walk_set(arena, set, field_place_of_message(message), value, NULL);
    return set;
}

/* ---- Comparison ---- */

static void compare(struct field_arena *arena, struct field_comparison *out, struct field_place place,
                    const json_t *a, const json_t *b, const struct field_path *path);

static void compare_leaf(struct field_arena *arena, struct field_comparison *out, const json_t *a,
                         const json_t *b, const struct field_path *path)
{
    if (!a)
        field_set_insert(arena, out->added, path);
    else if (!b)
        field_set_insert(arena, out->removed, path);
    else if (!json_equal(a, b))
        field_set_insert(arena, out->modified, path);
}

/* What Kubernetes encodes for an absent field: null for lists and maps without omitempty, else nothing. */
static const json_t *member_or_null(struct field_place place, const json_t *value)
{
    const struct schema_field *field = place.field;
    if (!value && field && field->shape != SCHEMA_SINGLE && !field->omit_empty && !field->pointer)
        return json_null();
    return value;
}

static void compare_member(struct field_arena *arena, struct field_comparison *out, struct field_place place,
                           const char *name, const json_t *a, const json_t *b, const struct field_path *path)
{
    struct field_place at;
    if (a == b || !field_place_member(place, name, &at))
        return;
    char stack[256] = "f:";
    size_t len = strlen(name);
    mem_auto char *heap = len + 3 > sizeof(stack) ? mem_printf("f:%s", name) : NULL;
    if (!heap)
        memcpy(stack + 2, name, len + 1);
    struct field_path here = {path, heap ? heap : stack, (uint32_t)len + 2};
    compare(arena, out, at, member_or_null(at, a), member_or_null(at, b), &here);
}

static void compare_maps(struct field_arena *arena, struct field_comparison *out, struct field_place place,
                         const json_t *a, const json_t *b, const struct field_path *path)
{
    const char *name;
    json_t *member;
    json_object_foreach((json_t *)a, name, member)
        compare_member(arena, out, place, name, member, json_object_get(b, name), path);
    json_object_foreach((json_t *)b, name, member) if (!json_object_get(a, name))
        compare_member(arena, out, place, name, NULL, member, path);
}

/* The items of a list by their path elements. Duplicates are compared as one. */
static json_t *list_index(struct field_place place, const json_t *list)
{
    json_t *index = json_object();
    struct buf element buf_auto = BUF_INIT;
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        if (!field_place_element(place, item, &element))
            continue;
        json_t *same = json_object_get(index, buf_str(&element));
        if (same) {
            json_array_append(same, item);
        } else {
            same = json_array();
            json_array_append(same, item);
            json_object_set_new_nocheck(index, buf_str(&element), same);
        }
    }
    return index;
}

static void compare_items(struct field_arena *arena, struct field_comparison *out, struct field_place place,
                          const json_t *a, const json_t *b, const struct field_path *here)
{
    size_t a_count = json_array_size(a);
    size_t b_count = json_array_size(b);
    if (a_count < 2 && b_count < 2) {
        compare(arena, out, field_place_item(place), json_array_get(a, 0), json_array_get(b, 0), here);
    } else if (a_count >= 2 && b_count >= 2) {
        if (!json_equal(a, b))
            field_set_insert(arena, out->modified, here);
    } else if (a_count >= 2) {
        if (b_count)
            compare(arena, out, field_place_item(place), NULL, json_array_get(b, 0), here);
        field_set_insert(arena, out->removed, here);
    } else {
        if (a_count)
            compare(arena, out, field_place_item(place), json_array_get(a, 0), NULL, here);
        field_set_insert(arena, out->added, here);
    }
}

static void compare_lists(struct field_arena *arena, struct field_comparison *out, struct field_place place,
                          const json_t *a, const json_t *b, const struct field_path *path)
{
    json_auto_t *a_index = list_index(place, a);
    json_auto_t *b_index = list_index(place, b);
    const char *element;
    json_t *items;
    json_object_foreach(a_index, element, items)
    {
        struct field_path here = {path, element, (uint32_t)strlen(element)};
        compare_items(arena, out, place, items, json_object_get(b_index, element), &here);
    }
    json_object_foreach(b_index, element, items)
    {
        struct field_path here = {path, element, (uint32_t)strlen(element)};
        if (!json_object_get(a_index, element))
            compare_items(arena, out, place, NULL, items, &here);
    }
}

/* NULL stands for absent. */
static void compare(struct field_arena *arena, struct field_comparison *out, struct field_place place,
                    const json_t *a, const json_t *b, const struct field_path *path)
{
    if (a == b)
        return;
    bool parts = field_value_has_parts(a) || field_value_has_parts(b);
    if (place.shape == FIELD_LEAF || !parts) {
        compare_leaf(arena, out, a, b, path);
        return;
    }
    if (field_place_is_map(place))
        compare_maps(arena, out, place, a, b, path);
    else
        compare_lists(arena, out, place, a, b, path);
    if (!a)
        field_set_insert(arena, out->added, path);
    else if (!b)
        field_set_insert(arena, out->removed, path);
}

void field_walk_compare(struct field_arena *arena, const struct schema_message *message, const json_t *a,
                        const json_t *b, struct field_comparison *out)
{
    *out = (struct field_comparison){field_set_new(arena), field_set_new(arena), field_set_new(arena)};
    compare(arena, out, field_place_of_message(message), a, b, NULL);
}

/* ---- Check ---- */

static int check(struct field_place place, const json_t *value, struct buf *path, struct err *err);

static int check_map(struct field_place place, const json_t *value, struct buf *path, struct err *err)
{
    size_t len = path->len;
    const char *name;
    json_t *member;
    json_object_foreach((json_t *)value, name, member)
    {
        struct field_place at;
        buf_printf(path, ".%s", name);
        if (!field_place_member(place, name, &at))
            return err_set(err, ERR_BAD_REQUEST, "%s: field not declared in schema", buf_str(path));
        int rc = check(at, member, path, err);
        if (rc)
            return rc;
        path->len = len;
    }
    return 0;
}

struct readable {
    struct buf *out;
};

static void append_path(void *context, const char *path)
{
    buf_puts(((struct readable *)context)->out, path);
}

static void append_element(struct buf *out, const struct buf *element)
{
    struct field_arena arena field_arena_auto = {.chunks = NULL};
    struct field_set *set = field_set_new(&arena);
    struct field_path path = field_path_item(NULL, element);
    field_set_insert(&arena, set, &path);
    struct readable readable = {out};
    field_set_each_path(set, append_path, &readable);
}

static int no_key(struct field_place place, size_t index, const struct buf *path, struct err *err)
{
    struct buf keys buf_auto = BUF_INIT;
    if (place.shape == FIELD_LIST_BY_VALUE)
        return err_set(err, ERR_BAD_REQUEST,
                       "%s: element %zu: associative list without keys has an element that's a map type",
                       buf_str(path), index);
    for (const char *const *key = place.field->map_keys; *key; key++) {
        buf_puts(&keys, keys.len ? " " : "");
        quote_append(&keys, *key);
    }
    return err_set(
        err, ERR_BAD_REQUEST,
        "%s: element %zu: associative list with keys has an element that omits all key fields [%s] (and "
        "doesn't have default values for any key fields)",
        buf_str(path), index, buf_str(&keys));
}

static int check_list(struct field_place place, const json_t *value, struct buf *path, struct err *err)
{
    struct buf element buf_auto = BUF_INIT;
    json_auto_t *seen = json_object();
    size_t len = path->len;
    size_t i;
    json_t *item;
    json_array_foreach(value, i, item)
    {
        if (!field_place_element(place, item, &element))
            return no_key(place, i, path, err);
        bool twice = json_object_get(seen, buf_str(&element));
        if (twice) {
            struct buf readable buf_auto = BUF_INIT;
            append_element(&readable, &element);
            return err_set(err, ERR_BAD_REQUEST, "%s: duplicate entries for key %s", buf_str(path),
                           buf_str(&readable));
        }
        json_object_set_new_nocheck(seen, buf_str(&element), json_true());
        append_element(path, &element);
        int rc = check(field_place_item(place), item, path, err);
        if (rc)
            return rc;
        path->len = len;
        path->data[len] = '\0';
    }
    return 0;
}

static int check(struct field_place place, const json_t *value, struct buf *path, struct err *err)
{
    if (field_place_is_map(place))
        return check_map(place, value, path, err);
    return field_place_is_list(place) ? check_list(place, value, path, err) : 0;
}

int field_walk_check(const struct schema_message *message, const json_t *config, struct err *err)
{
    struct buf path buf_auto = BUF_INIT;
    return check(field_place_of_message(message), config, &path, err);
}
