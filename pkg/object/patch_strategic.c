/*
 * Strategic merge patches: JSON merge patches that know which lists merge, by which key. The schema says so;
 * directives inside the patch say the rest:
 *
 *   $patch: replace|delete        this map (or list, or list element) is replaced or deleted
 *   $retainKeys: [a, b]           members of this map that are not named go
 *   $deleteFromPrimitiveList/x    these scalars leave the merging list x
 *   $setElementOrder/x            the order of the elements of the merging list x
 *
 * Order of a merged list: first that of $setElementOrder, then that of the patch, then that of the live list;
 * elements that only the live list has are placed before the first element that follows them there.
 *
 * Both documents are private copies here and are changed freely.
 */
#include "object/patch.h"

#include "base/buf.h"
#include "base/mem.h"
#include "codec/json.h"

#include <stdarg.h>
#include <string.h>

#define DIRECTIVE "$patch"
#define RETAIN_KEYS "$retainKeys"
#define DELETE_FROM "$deleteFromPrimitiveList"
#define SET_ORDER "$setElementOrder"

struct merge {
    struct err *err;
    int rc;
};

/* What the schema knows of the map at hand: a message, a map of some type, or nothing (arbitrary JSON). */
struct scope {
    const struct schema_message *message;
    bool is_map; /* the message, if any, is of the values */
};

/* What it knows of one of the map's members. */
struct strategy {
    struct scope scope; /* of the value, or of the list's elements */
    bool merges;        /* a list whose elements merge */
    bool replaces;      /* a map that never merges */
    const char *merge_key;
};

static json_t *merge_map(struct merge *m, json_t *original, json_t *patch, struct scope scope);

static bool fail(struct merge *m, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Always false, so that a caller can return it. */
static bool fail(struct merge *m, const char *format, ...)
{
    char text[ERR_MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    m->rc = err_set(m->err, ERR_BAD_REQUEST, "%s", text);
    if (!m->err)
        m->rc = ERR_BAD_REQUEST;
    return false;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* As Go's %v prints a decoded value, which some error texts show. */
static void append_go_value(struct buf *out, const json_t *value)
{
    size_t i;
    json_t *item;
    const char *name;
    if (json_is_string(value)) {
        buf_puts(out, json_string_value(value));
    } else if (json_is_array(value)) {
        buf_putc(out, '[');
        json_array_foreach(value, i, item)
        {
            if (i)
                buf_putc(out, ' ');
            append_go_value(out, item);
        }
        buf_putc(out, ']');
    } else if (json_is_object(value)) {
        mem_auto const char **names = mem_calloc(json_object_size(value) + 1, sizeof(*names));
        size_t count = 0;
        json_object_foreach((json_t *)value, name, item) names[count++] = name;
        qsort(names, count, sizeof(*names), by_name);
        buf_puts(out, "map[");
        for (i = 0; i < count; i++) {
            buf_printf(out, "%s%s:", i ? " " : "", names[i]);
            append_go_value(out, json_object_get(value, names[i]));
        }
        buf_putc(out, ']');
    } else if (!value || json_is_null(value)) {
        buf_puts(out, "<nil>");
    } else {
        json_dump_buf(out, value);
    }
}

static bool fail_no_key(struct merge *m, const json_t *map, const char *merge_key)
{
    struct buf text buf_auto = BUF_INIT;
    append_go_value(&text, map);
    return fail(m, "map: %s does not contain declared merge key: %s", buf_str(&text), merge_key);
}

static bool fail_type(struct merge *m, const char *expected, const json_t *found)
{
    const char *name = json_is_object(found) ? "map" : json_is_array(found) ? "slice" : json_kind_name(found);
    return fail(m, "expected a %s, but received a %s", expected, name);
}

static bool fail_directive(struct merge *m, const json_t *directive, const json_t *map)
{
    struct buf type buf_auto = BUF_INIT;
    struct buf text buf_auto = BUF_INIT;
    append_go_value(&type, directive);
    append_go_value(&text, map);
    return fail(m, "unknown patch type: %s in map: %s", buf_str(&type), buf_str(&text));
}

static bool strategy_find(struct merge *m, struct scope scope, const char *name, struct strategy *out)
{
    memset(out, 0, sizeof(*out));
    if (scope.is_map) {
        out->scope.message = scope.message;
        return true;
    }
    if (!scope.message)
        return true;
    const struct schema_field *field = schema_field_by_name(scope.message, name);
    if (!field) {
        const char *dot = strrchr(scope.message->name, '.');
        return fail(m, "unable to find api field in struct %s for the json field \"%s\"",
                    dot ? dot + 1 : scope.message->name, name);
    }
    out->scope = (struct scope){field->message, field->shape == SCHEMA_MAP};
    out->merges = field->patch == SCHEMA_PATCH_MERGE || field->patch == SCHEMA_PATCH_MERGE_RETAIN_KEYS;
    out->replaces = field->shape == SCHEMA_SINGLE && field->type == SCHEMA_RAW;
    out->merge_key = field->merge_key;
    return true;
}

/* Drops elements and members that are themselves directives. False: value is one, and is not to be kept. */
static bool drop_directives(json_t *value)
{
    if (json_is_object(value)) {
        if (json_object_get(value, DIRECTIVE))
            return false;
        const char *name;
        json_t *member;
        void *next;
        json_object_foreach_safe(value, next, name, member) if (!drop_directives(member))
            json_object_del(value, name);
    } else if (json_is_array(value)) {
        for (size_t i = 0; i < json_array_size(value);)
            if (drop_directives(json_array_get(value, i)))
                i++;
            else
                json_array_remove(value, i);
    }
    return true;
}

static void drop_nulls(json_t *value)
{
    size_t i;
    json_t *item;
    const char *name;
    void *next;
    json_array_foreach(value, i, item) drop_nulls(item);
    json_object_foreach_safe(value, next, name, item) if (json_is_null(item)) json_object_del(value, name);
    else drop_nulls(item);
}

/* Puts a value of the patch in place of what original had. */
static void take_over(json_t *original, const char *name, json_t *value)
{
    drop_nulls(value);
    if (drop_directives(value))
        json_object_set(original, name, value);
    else
        json_object_del(original, name);
}

/* The index of the element that equals item: by merge key for maps (merge_key set), else by value. */
static long list_index(const json_t *list, const json_t *item, const char *merge_key)
{
    size_t i;
    json_t *other;
    if (merge_key)
        item = json_object_get(item, merge_key);
    json_array_foreach(list, i, other)
    {
        const json_t *key = merge_key ? json_object_get(other, merge_key) : other;
        if (json_equal(key, item) || (!key && !item))
            return (long)i;
    }
    return -1;
}

static bool list_has_keys(struct merge *m, const json_t *list, const char *merge_key)
{
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        if (!json_is_object(item))
            return fail_type(m, "map", item);
        if (!json_object_get(item, merge_key))
            return fail_no_key(m, item, merge_key);
    }
    return true;
}

/* Elements of both lists must be of one type, which *maps tells. */
static bool list_types(struct merge *m, const json_t *a, const json_t *b, bool *maps)
{
    const json_t *first = NULL;
    for (int n = 0; n < 2; n++) {
        size_t i;
        json_t *item;
        json_array_foreach(n ? b : a, i, item)
        {
            if (!first)
                first = item;
            if (json_is_array(item))
                return fail(m, "lists of lists are not supported");
            if (strcmp(json_kind_name(first), json_kind_name(item)) != 0) {
                struct buf text buf_auto = BUF_INIT;
                append_go_value(&text, a);
                buf_putc(&text, ' ');
                append_go_value(&text, b);
                return fail(m, "list element types are not identical: [%s]", buf_str(&text));
            }
        }
    }
    *maps = json_is_object(first);
    return true;
}

/*
 * A stable insertion sort by the place in order. Elements that order does not have go before others, as they
 * do upstream, where the comparison answers true for them.
 */
static void list_sort(json_t *list, const json_t *order, const char *merge_key)
{
    for (size_t i = 1; i < json_array_size(list); i++) {
        json_t *item = json_incref(json_array_get(list, i));
        long at = list_index(order, item, merge_key);
        size_t to = i;
        while (to > 0) {
            long before = list_index(order, json_array_get(list, to - 1), merge_key);
            if (at >= 0 && before >= 0 && at >= before)
                break;
            to--;
        }
        json_array_remove(list, i);
        json_array_insert_new(list, to, item);
    }
}

/* Interleaves two sorted lists: an element of left goes before the first of right that follows it in order.
 */
static json_t *list_interleave(const json_t *left, const json_t *right, const json_t *order,
                               const char *merge_key)
{
    json_t *all = json_array();
    size_t i = 0;
    size_t j = 0;
    while (i < json_array_size(left) || j < json_array_size(right)) {
        json_t *l = json_array_get(left, i);
        json_t *r = json_array_get(right, j);
        long li = l ? list_index(order, l, merge_key) : -1;
        long ri = r ? list_index(order, r, merge_key) : -1;
        bool take_left = !r || (l && li >= 0 && ri >= 0 && li < ri);
        json_array_append(all, take_left ? l : r);
        i += take_left;
        j += !take_left;
    }
    return all;
}

/* merged in its final order: the elements that patch_order names in that order, the others as in live. */
static json_t *list_order(const json_t *merged, const json_t *patch_order, const json_t *live,
                          const char *merge_key)
{
    json_t *from_patch = json_array();
    json_t *from_live = json_array();
    size_t i;
    json_t *item;
    json_array_foreach(merged, i, item)
        json_array_append(list_index(patch_order, item, merge_key) >= 0 ? from_patch : from_live, item);
    list_sort(from_patch, patch_order, merge_key);
    list_sort(from_live, live, merge_key);
    json_t *all = list_interleave(from_live, from_patch, live, merge_key);
    json_decref(from_patch);
    json_decref(from_live);
    return all;
}

static void list_delete(json_t *list, const json_t *item, const char *merge_key)
{
    for (long at; (at = list_index(list, item, merge_key)) >= 0;)
        json_array_remove(list, (size_t)at);
}

/* Obeys the elements of patch that are directives; rest gets the others. */
static bool list_directives(struct merge *m, json_t *original, const json_t *patch, const char *merge_key,
                            json_t *rest)
{
    bool replace = false;
    size_t i;
    json_t *item;
    json_array_foreach(patch, i, item)
    {
        const json_t *directive = json_object_get(item, DIRECTIVE);
        const char *text = json_or_empty_(directive);
        if (!directive) {
            json_array_append(rest, item);
        } else if (!strcmp(text, "delete")) {
            if (!json_object_get(item, merge_key))
                return fail_no_key(m, item, merge_key);
            list_delete(original, item, merge_key);
        } else if (!strcmp(text, "replace")) {
            replace = true;
        } else if (!strcmp(text, "merge")) {
            return fail(m, "merging lists cannot yet be specified in the patch");
        } else {
            return fail_directive(m, directive, item);
        }
    }
    if (replace) {
        json_array_clear(original);
        json_array_extend(original, rest);
        json_array_clear(rest);
    }
    return true;
}

static bool list_merge_maps(struct merge *m, json_t *original, json_t *patch, const struct strategy *strategy)
{
    size_t i;
    json_t *item;
    json_array_foreach(patch, i, item)
    {
        if (!json_object_get(item, strategy->merge_key))
            return fail_no_key(m, item, strategy->merge_key);
        long at = list_index(original, item, strategy->merge_key);
        if (at < 0) {
            json_array_append(original, item);
            continue;
        }
        json_t *merged = merge_map(m, json_array_get(original, (size_t)at), item, strategy->scope);
        if (!merged)
            return false;
        json_array_set_new(original, (size_t)at, merged);
    }
    return true;
}

static json_t *merge_list_of_maps(struct merge *m, json_t *original, const json_t *patch,
                                  const struct strategy *strategy)
{
    const char *key = strategy->merge_key;
    if (!key) {
        fail(m, "cannot merge lists without merge key for %s",
             strategy->scope.message ? strategy->scope.message->name : "");
        return NULL;
    }
    json_auto_t *rest = json_array();
    if (!list_directives(m, original, patch, key, rest))
        return NULL;
    /* What the patch adds has no place in the live list, and so goes in front. */
    json_auto_t *live = json_copy(original);
    if (!list_merge_maps(m, original, rest, strategy) || !list_has_keys(m, original, key))
        return NULL;
    return list_order(original, rest, live, key);
}

static json_t *merge_list_of_scalars(const json_t *original, const json_t *patch)
{
    json_t *merged = json_array();
    for (int n = 0; n < 2; n++) {
        size_t i;
        json_t *item;
        json_array_foreach(n ? patch : original, i, item) if (list_index(merged, item, NULL) < 0)
            json_array_append(merged, item);
    }
    json_t *all = list_order(merged, patch, original, NULL);
    json_decref(merged);
    return all;
}

/* Returns a new list, or NULL. */
static json_t *merge_list(struct merge *m, json_t *original, json_t *patch, const struct strategy *strategy)
{
    if (!strategy->merges) {
        drop_nulls(patch);
        drop_directives(patch);
        return json_incref(patch);
    }
    bool maps = false;
    if (!list_types(m, original, patch, &maps))
        return NULL;
    return maps ? merge_list_of_maps(m, original, patch, strategy) : merge_list_of_scalars(original, patch);
}

/* $retainKeys: what is not named leaves original; the patch may set nothing else. */
static bool apply_retain_keys(struct merge *m, json_t *original, json_t *patch)
{
    json_t *keys = json_object_get(patch, RETAIN_KEYS);
    if (!keys)
        return true;
    if (!json_is_array(keys))
        return fail(m, "invalid patch format of retainKeys");
    json_auto_t *retained = json_object();
    size_t i;
    json_t *value;
    json_array_foreach(keys, i, value) if (json_is_string(value))
        json_object_set(retained, json_string_value(value), value);
    json_object_del(patch, RETAIN_KEYS);
    const char *name;
    json_object_foreach(patch, name, value)
    {
        bool directive =
            !strncmp(name, DELETE_FROM, strlen(DELETE_FROM)) || !strncmp(name, SET_ORDER, strlen(SET_ORDER));
        if (!json_is_null(value) && !directive && !json_object_get(retained, name))
            return fail(m, "invalid patch format of retainKeys");
    }
    void *next;
    json_object_foreach_safe(original, next, name, value) if (!json_object_get(retained, name))
        json_object_del(original, name);
    return true;
}

/* The elements of a patch list must stand in it as they stand in the order list, which has them all. */
static bool check_order(struct merge *m, const json_t *patch, const json_t *order, const char *merge_key)
{
    size_t patch_size = json_array_size(patch);
    size_t order_size = json_array_size(order);
    size_t at = 0;
    size_t in_order = 0;
    if (!order_size)
        return true;
    while (at < patch_size) {
        const json_t *item = json_array_get(patch, at);
        if (json_object_get(item, DIRECTIVE)) {
            at++;
            continue;
        }
        if (in_order >= order_size) {
            struct buf text buf_auto = BUF_INIT;
            append_go_value(&text, patch);
            buf_puts(&text, "\n doesn't match " SET_ORDER " list:\n");
            append_go_value(&text, order);
            return fail(m, "The order in patch list:\n%s\n", buf_str(&text));
        }
        const json_t *wanted = json_array_get(order, in_order++);
        const json_t *key = merge_key ? json_object_get(item, merge_key) : item;
        const json_t *wanted_key = merge_key ? json_object_get(wanted, merge_key) : wanted;
        if (merge_key && (!key || !wanted_key))
            return fail_no_key(m, key ? wanted : item, merge_key);
        at += (bool)json_equal(key, wanted_key);
    }
    return true;
}

static bool list_replaces(const json_t *patch)
{
    size_t i;
    json_t *item;
    json_array_foreach(patch, i,
                       item) if (!strcmp(json_str_or_empty(item, DIRECTIVE), "replace")) return true;
    return false;
}

/* One $setElementOrder: merges the list that it names and orders it. */
static bool apply_order(struct merge *m, json_t *original, json_t *patch, const char *name,
                        const json_t *order, struct scope scope)
{
    json_t *live = json_object_get(original, name);
    json_t *change = json_object_get(patch, name);
    if (!json_is_array(order))
        return fail_type(m, "slice", order);
    if ((live && !json_is_array(live)) || (change && !json_is_array(change)))
        return fail_type(m, "slice", live && !json_is_array(live) ? live : change);
    struct strategy strategy;
    if (!strategy_find(m, scope, name, &strategy) || !check_order(m, change, order, strategy.merge_key))
        return false;
    if (!live && !change)
        return true;
    size_t live_size = json_array_size(live);
    json_auto_t *before = live ? json_copy(live) : json_array();
    json_auto_t *merged = NULL;
    if (live && change) {
        merged = merge_list(m, live, change, &strategy);
    } else {
        merged = json_incref(live ? live : change);
        if (!live)
            drop_directives(merged);
    }
    if (!merged || (strategy.merge_key && !list_has_keys(m, merged, strategy.merge_key)))
        return false;
    if (live && change && strategy.merge_key && !list_replaces(change)) {
        /* Upstream compares with the live list's own memory, where additions fill the places of deletions. */
        json_array_clear(before);
        for (size_t i = 0; i < live_size && i < json_array_size(live); i++)
            json_array_append(before, json_array_get(live, i));
    }
    json_object_set_new(original, name, list_order(merged, order, before, strategy.merge_key));
    json_object_del(patch, name);
    return true;
}

static bool apply_orders(struct merge *m, json_t *original, json_t *patch, struct scope scope)
{
    json_auto_t *directives = json_object();
    const char *name;
    json_t *value;
    void *next;
    json_object_foreach_safe(patch, next, name, value)
    {
        if (strncmp(name, SET_ORDER, strlen(SET_ORDER)) != 0)
            continue;
        json_object_set(directives, name, value);
        json_object_del(patch, name);
    }
    json_object_foreach(directives, name, value)
    {
        if (name[strlen(SET_ORDER)] != '/')
            return fail(m, "invalid patch format of setElementOrder list");
        if (!apply_order(m, original, patch, name + strlen(SET_ORDER) + 1, value, scope))
            return false;
    }
    return true;
}

static bool apply_delete_from(struct merge *m, json_t *original, const char *directive, const json_t *items)
{
    if (directive[strlen(DELETE_FROM)] != '/')
        return fail(m, "invalid patch format of primitive list");
    json_t *list = json_object_get(original, directive + strlen(DELETE_FROM) + 1);
    if (json_is_null(items))
        json_object_del(original, directive + strlen(DELETE_FROM) + 1);
    else if (json_is_array(list) && json_is_array(items)) {
        size_t i;
        json_t *item;
        json_array_foreach(items, i, item) list_delete(list, item, NULL);
    }
    return true;
}

static bool merge_member(struct merge *m, json_t *original, const char *name, json_t *change,
                         struct scope scope)
{
    if (!strncmp(name, DELETE_FROM, strlen(DELETE_FROM)))
        return apply_delete_from(m, original, name, change);
    json_t *live = json_object_get(original, name);
    if (json_is_null(change)) {
        json_object_del(original, name);
        return true;
    }
    bool both_maps = json_is_object(live) && json_is_object(change);
    bool both_lists = json_is_array(live) && json_is_array(change);
    if (!both_maps && !both_lists) {
        take_over(original, name, change);
        return true;
    }
    struct strategy strategy;
    if (!strategy_find(m, scope, name, &strategy))
        return false;
    json_t *merged;
    if (both_lists)
        merged = merge_list(m, live, change, &strategy);
    else
        merged = strategy.replaces ? json_incref(change) : merge_map(m, live, change, strategy.scope);
    return merged && !json_object_set_new(original, name, merged);
}

/* Merges patch into original and returns the result as a new reference, or NULL. */
static json_t *merge_map(struct merge *m, json_t *original, json_t *patch, struct scope scope)
{
    const json_t *directive = json_object_get(patch, DIRECTIVE);
    if (directive) {
        const char *text = json_or_empty_(directive);
        if (!strcmp(text, "delete"))
            return json_object();
        if (!strcmp(text, "replace")) {
            json_object_del(patch, DIRECTIVE);
            return json_incref(patch);
        }
        fail_directive(m, directive, patch);
        return NULL;
    }
    if (!apply_retain_keys(m, original, patch) || !apply_orders(m, original, patch, scope))
        return NULL;
    const char *name;
    json_t *value;
    json_object_foreach(patch, name, value) if (!merge_member(m, original, name, value, scope)) return NULL;
    return json_incref(original);
}

int patch_strategic(const struct schema_message *message, const json_t *object, const json_t *patch,
                    json_t **out, struct err *err)
{
    if (!json_is_object(patch))
        return err_set(err, ERR_BAD_REQUEST,
                       "error decoding patch: json: cannot unmarshal %s into Go value of type "
                       "map[string]interface {}",
                       json_kind_name(patch));
    struct merge m = {.err = err};
    json_t *original = json_deep_copy(object);
    json_t *change = json_deep_copy(patch);
    *out = merge_map(&m, original, change, (struct scope){message, false});
    json_decref(original);
    json_decref(change);
    return *out ? 0 : m.rc;
}
