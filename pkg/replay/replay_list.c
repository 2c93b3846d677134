/*
 * Lists whose items have an identity: keyed lists by their keys, sets by their values. Items that one side
 * added come in, items that one side took away go, and of keyed items that both have the parts are merged.
 *
 * The order is no field, so it makes no conflict. Where the current list still has the base's order, the
 * orphan's holds; otherwise the current one's. Items of the other side stand after the item that they
 * followed there.
 */
#include "replay/replay_internal.h"

#include "base/mem.h"
#include "codec/json.h"

#include <stdlib.h>
#include <string.h>

struct items {
    size_t count;
    char **elements; /* path elements, in the list's order */
    json_t *by_element;
};

static bool list_or_absent(const json_t *value)
{
    return !value || json_is_array(value);
}

/* False when an item has no identity, or two have the same. */
static bool items_read(struct items *items, struct field_place at, const json_t *list)
{
    *items = (struct items){.elements = mem_calloc(json_array_size(list) + 1, sizeof(char *)),
                            .by_element = json_object()};
    buf_auto struct buf element = BUF_INIT;
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        if (!field_place_element(at, item, &element) || json_object_get(items->by_element, buf_str(&element)))
            return false;
        items->elements[items->count++] = mem_strdup(buf_str(&element));
        json_object_set_nocheck(items->by_element, buf_str(&element), item);
    }
    return true;
}

static void items_free(struct items *items)
{
    for (size_t i = 0; i < items->count; i++)
        free(items->elements[i]);
    free(items->elements);
    json_decref(items->by_element);
}

static bool same_order(const struct items *a, const struct items *b)
{
    bool same = a->count == b->count;
    for (size_t i = 0; same && i < a->count; i++)
        same = !strcmp(a->elements[i], b->elements[i]);
    return same;
}

/* ---- the order ---- */

struct order {
    const char **elements;
    size_t count;
};

static size_t order_find(const struct order *order, const char *element)
{
    size_t i = 0;
    while (i < order->count && strcmp(order->elements[i], element) != 0)
        i++;
    return i;
}

/* All elements of first, and those of second after what they follow there. */
static void order_make(struct order *order, const struct items *first, const struct items *second)
{
    *order = (struct order){.elements = mem_calloc(first->count + second->count + 1, sizeof(char *))};
    for (size_t i = 0; i < first->count; i++)
        order->elements[order->count++] = first->elements[i];
    size_t after = 0; /* the place behind the last element of second that was found or put in */
    for (size_t i = 0; i < second->count; i++) {
        bool known = json_object_get(first->by_element, second->elements[i]);
        if (!known) {
            memmove(&order->elements[after + 1], &order->elements[after],
                    (order->count - after) * sizeof(*order->elements));
            order->elements[after] = second->elements[i];
            order->count++;
        }
        after = known ? order_find(order, second->elements[i]) + 1 : after + 1;
    }
}

/* ---- the items ---- */

/* k:{"name":"web"} as [name="web"], v:"x" as [="x"]. */
static void append_readable(struct buf *out, const char *element)
{
    json_auto_t *value = json_loads(element + 2, JSON_DECODE_ANY, NULL);
    if (element[0] == 'v') {
        buf_puts(out, "[=");
        json_dump_buf(out, value);
        buf_putc(out, ']');
        return;
    }
    const char *separator = "[", *name;
    json_t *field;
    json_object_foreach(value, name, field)
    {
        buf_printf(out, "%s%s=", separator, name);
        json_dump_buf(out, field);
        separator = ",";
    }
    buf_putc(out, ']');
}

static json_t *merge_item(struct replay_walk *walk, struct replay_place place, const struct items *lists,
                          const char *element)
{
    size_t path_len = walk->path.len, pattern_len = walk->pattern.len;
    append_readable(&walk->path, element);
    buf_puts(&walk->pattern, "[]");
    const struct schema_field *field = place.at.field;
    struct replay_place inner = {.at = field_place_item(place.at),
                                 .retain_keys = field && field->patch == SCHEMA_PATCH_MERGE_RETAIN_KEYS};
    struct replay_three v = {json_object_get(lists[0].by_element, element),
                             json_object_get(lists[1].by_element, element),
                             json_object_get(lists[2].by_element, element)};
    json_t *merged = replay_merge(walk, inner, v);
    walk->path.len = path_len;
    walk->path.data[path_len] = '\0';
    walk->pattern.len = pattern_len;
    walk->pattern.data[pattern_len] = '\0';
    return merged;
}

/* lists: base, orphan, current. */
static json_t *merge_items(struct replay_walk *walk, struct replay_place place, const struct items *lists)
{
    const struct items *base = &lists[0], *orphan = &lists[1], *current = &lists[2];
    bool reorder = same_order(base, current);
    struct order order;
    order_make(&order, reorder ? orphan : current, reorder ? current : orphan);
    json_t *out = json_array();
    for (size_t i = 0; i < order.count; i++) {
        json_t *merged = merge_item(walk, place, lists, order.elements[i]);
        if (merged)
            json_array_append_new(out, merged);
    }
    free(order.elements);
    return out;
}

bool replay_merge_list(struct replay_walk *walk, struct replay_place place, struct replay_three v,
                       json_t **out)
{
    if (!list_or_absent(v.base) || !list_or_absent(v.orphan) || !list_or_absent(v.current))
        return false;
    const json_t *values[] = {v.base, v.orphan, v.current};
    struct items lists[3];
    bool readable = true;
    for (size_t i = 0; i < 3; i++)
        readable &= items_read(&lists[i], place.at, values[i]);
    if (readable) {
        *out = merge_items(walk, place, lists);
        if (!json_array_size(*out) && !v.orphan) {
            json_decref(*out);
            *out = NULL;
        }
    }
    for (size_t i = 0; i < 3; i++)
        items_free(&lists[i]);
    return readable;
}
