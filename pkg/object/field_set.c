/* See field_set.h. */
#include "object/field_set.h"

#include "base/mem.h"
#include "codec/json.h"
#include "object/quote.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_SIZE 8192

struct field_chunk {
    struct field_chunk *next;
    size_t used;
    size_t size;
    _Alignas(16) char bytes[];
};

void *field_arena_alloc(struct field_arena *arena, size_t size)
{
    size = (size + 15) & ~(size_t)15;
    if (arena->room && size <= arena->room_left) {
        arena->room_left -= size;
        arena->room += size;
        return memset(arena->room - size, 0, size);
    }
    struct field_chunk *chunk = arena->chunks;
    if (!chunk || chunk->size - chunk->used < size) {
        size_t room = size > CHUNK_SIZE ? size : CHUNK_SIZE;
        chunk = mem_alloc(sizeof(*chunk) + room);
        *chunk = (struct field_chunk){.next = arena->chunks, .size = room};
        arena->chunks = chunk;
    }
    void *p = chunk->bytes + chunk->used;
    chunk->used += size;
    return memset(p, 0, size);
}

void field_arena_free(struct field_arena *arena)
{
    while (arena->chunks) {
        struct field_chunk *chunk = arena->chunks;
        arena->chunks = chunk->next;
        free(chunk);
    }
}

static int rank(char type)
{
    return type == 'f' ? 0 : type == 'k' ? 1 : type == 'v' ? 2 : 3;
}

static bool is_number_char(char c)
{
    return (c >= '0' && c <= '9') || c == '-';
}

/* Compares JSON texts that differ first at position at: numbers by value, all else by bytes. */
static int compare_at(const char *a, size_t a_len, const char *b, size_t b_len, size_t at)
{
    bool quoted = false;
    size_t start = at;
    for (size_t i = 2; i < at; i++) {
        if (quoted && a[i] == '\\')
            i++;
        else if (a[i] == '"')
            quoted = !quoted;
    }
    while (start > 2 && is_number_char(a[start - 1]))
        start--;
    if (!quoted && start < a_len && start < b_len && is_number_char(a[start]) && is_number_char(b[start])) {
        long long x = strtoll(a + start, NULL, 10);
        long long y = strtoll(b + start, NULL, 10);
        if (x != y)
            return x < y ? -1 : 1;
    }
    if (at == a_len || at == b_len)
        return a_len < b_len ? -1 : a_len > b_len;
    return (unsigned char)a[at] < (unsigned char)b[at] ? -1 : 1;
}

int field_element_compare(const char *a, size_t a_len, const char *b, size_t b_len)
{
    if (a[0] != b[0])
        return rank(a[0]) < rank(b[0]) ? -1 : 1;
    size_t shared = a_len < b_len ? a_len : b_len;
    if (a[0] == 'f') {
        int order = memcmp(a, b, shared);
        return order ? order : (a_len > b_len) - (a_len < b_len);
    }
    size_t at = 0;
    while (at < shared && a[at] == b[at])
        at++;
    return at == a_len && at == b_len ? 0 : compare_at(a, a_len, b, b_len, at);
}

static int compare_nodes(const struct field_set *a, const struct field_set *b)
{
    return field_element_compare(a->element, a->element_len, b->element, b->element_len);
}

/* The place of an element among the children; *found says whether it is there. */
static uint32_t child_place(const struct field_set *set, const char *element, size_t len, bool *found)
{
    uint32_t low = 0;
    uint32_t high = set->count;
    *found = false;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        const struct field_set *child = set->children[middle];
        int order = field_element_compare(child->element, child->element_len, element, len);
        if (order == 0) {
            *found = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct field_set *field_set_child(const struct field_set *set, const char *element, size_t len)
{
    bool found;
    uint32_t place = child_place(set, element, len, &found);
    return found ? set->children[place] : NULL;
}

static void put_child(struct field_arena *arena, struct field_set *set, uint32_t place,
                      struct field_set *child)
{
    if (set->count == set->cap) {
        uint32_t cap = set->cap ? set->cap * 2 : 4;
        struct field_set **children = field_arena_alloc(arena, cap * sizeof(struct field_set *));
        if (set->count)
            memcpy(children, set->children, set->count * sizeof(struct field_set *));
        set->children = children;
        set->cap = cap;
    }
    assert(set->children && place <= set->count);
    memmove(&set->children[place + 1], &set->children[place],
            (set->count - place) * sizeof(struct field_set *));
    set->children[place] = child;
    set->count++;
}

static struct field_set *ensure_child(struct field_arena *arena, struct field_set *set, const char *element,
                                      size_t len)
{
    bool found;
    uint32_t place = child_place(set, element, len, &found);
    if (found && set->children)
        return set->children[place];
    char *copy = field_arena_alloc(arena, len + 1);
    memcpy(copy, element, len);
    struct field_set *child = field_arena_alloc(arena, sizeof(*child));
    child->element = copy;
    child->element_len = (uint32_t)len;
    put_child(arena, set, place, child);
    return child;
}

struct field_set *field_set_new(struct field_arena *arena)
{
    return field_arena_alloc(arena, sizeof(struct field_set));
}

static struct field_set *descend(struct field_arena *arena, struct field_set *set,
                                 const struct field_path *path)
{
    if (!path || !path->element)
        return set;
    return ensure_child(arena, descend(arena, set, path->parent), path->element, path->element_len);
}

void field_set_insert(struct field_arena *arena, struct field_set *set, const struct field_path *path)
{
    if (path && path->element)
        descend(arena, set, path)->member = true;
}

bool field_set_has(const struct field_set *set, const char *const *elements)
{
    for (; set && *elements; elements++)
        set = field_set_child(set, *elements, strlen(*elements));
    return set && set->member;
}

bool field_set_empty(const struct field_set *set)
{
    if (set->member)
        return false;
    for (uint32_t i = 0; i < set->count; i++)
        if (!field_set_empty(set->children[i]))
            return false;
    return true;
}

/* A node like this one, without children. */
static struct field_set *copy_node(struct field_arena *arena, const struct field_set *node)
{
    struct field_set *copy = field_arena_alloc(arena, sizeof(*copy));
    copy->element = node->element;
    copy->element_len = node->element_len;
    copy->member = node->member;
    return copy;
}

static void append(struct field_arena *arena, struct field_set *set, const struct field_set *child)
{
    if (child && (child->member || child->count))
        put_child(arena, set, set->count, (struct field_set *)child);
}

struct field_set *field_set_union(struct field_arena *arena, const struct field_set *a,
                                  const struct field_set *b)
{
    struct field_set *out = copy_node(arena, a);
    out->member = a->member || b->member;
    uint32_t i = 0;
    uint32_t j = 0;
    while (i < a->count || j < b->count) {
        int order = i == a->count ? 1 : j == b->count ? -1 : compare_nodes(a->children[i], b->children[j]);
        if (order < 0)
            append(arena, out, a->children[i++]);
        else if (order > 0)
            append(arena, out, b->children[j++]);
        else
            append(arena, out, field_set_union(arena, a->children[i++], b->children[j++]));
    }
    return out;
}

struct field_set *field_set_intersection(struct field_arena *arena, const struct field_set *a,
                                         const struct field_set *b)
{
    struct field_set *out = copy_node(arena, a);
    out->member = a->member && b->member;
    for (uint32_t i = 0, j = 0; i < a->count && j < b->count;) {
        int order = compare_nodes(a->children[i], b->children[j]);
        if (order == 0)
            append(arena, out, field_set_intersection(arena, a->children[i], b->children[j]));
        i += order <= 0;
        j += order >= 0;
    }
    return out;
}

struct field_set *field_set_difference(struct field_arena *arena, const struct field_set *a,
                                       const struct field_set *b, bool recursive)
{
    struct field_set *out = copy_node(arena, a);
    out->member = a->member && !b->member;
    if (recursive && b->member)
        return out;
    for (uint32_t i = 0, j = 0; i < a->count;) {
        int order = j == b->count ? -1 : compare_nodes(a->children[i], b->children[j]);
        if (order < 0)
            append(arena, out, a->children[i]);
        else if (order == 0)
            append(arena, out, field_set_difference(arena, a->children[i], b->children[j], recursive));
        i += order <= 0;
        j += order >= 0;
    }
    return out;
}

/* Brings a "k:" or "v:" element that a client may have written into the form that is written here. */
static char *element_canonical(const char *element)
{
    json_auto_t *value = json_loads(element + 2, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
    if (!value || (element[0] == 'k' && !json_is_object(value)))
        return NULL;
    mem_auto char *text = json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
    return mem_printf("%c:%s", element[0], text);
}

static void read_member(struct field_arena *arena, struct field_set *set, const char *element,
                        const json_t *value);

static void read_members(struct field_arena *arena, struct field_set *set, const json_t *fields)
{
    const char *element;
    json_t *value;
    json_object_foreach((json_t *)fields, element, value)
    {
        if (!strcmp(element, "."))
            set->member = true;
        else
            read_member(arena, set, element, value);
    }
}

static void read_member(struct field_arena *arena, struct field_set *set, const char *element,
                        const json_t *value)
{
    if (!element[0] || !strchr("fkvi", element[0]) || element[1] != ':')
        return;
    mem_auto char *canonical = NULL;
    if (element[0] == 'k' || element[0] == 'v') {
        canonical = element_canonical(element);
        if (!canonical)
            return;
        element = canonical;
    }
    struct field_set *child = ensure_child(arena, set, element, strlen(element));
    read_members(arena, child, value);
    if (!child->count)
        child->member = true;
}

struct field_set *field_set_from_json(struct field_arena *arena, const json_t *fields)
{
    struct field_set *set = field_set_new(arena);
    read_members(arena, set, fields);
    set->member = false;
    return set;
}

json_t *field_set_to_json(const struct field_set *set)
{
    json_t *out = json_object();
    if (set->element && set->member && set->count)
        json_object_set_new_nocheck(out, ".", json_object());
    for (uint32_t i = 0; i < set->count; i++)
        if (!field_set_empty(set->children[i]))
            json_object_set_new_nocheck(out, set->children[i]->element, field_set_to_json(set->children[i]));
    return out;
}

static void append_value(struct buf *out, const json_t *value)
{
    if (json_is_string(value))
        quote_append(out, json_string_value(value));
    else
        json_dump_buf(out, value);
}

static void append_readable(struct buf *out, const char *element)
{
    json_auto_t *value = NULL;
    const char *name;
    json_t *field;
    const char *separator = "[";
    switch (element[0]) {
    case 'k':
        value = json_loads(element + 2, 0, NULL);
        json_object_foreach(value, name, field)
        {
            buf_printf(out, "%s%s=", separator, name);
            append_value(out, field);
            separator = ",";
        }
        buf_putc(out, ']');
        break;
    case 'v':
        value = json_loads(element + 2, JSON_DECODE_ANY, NULL);
        buf_puts(out, "[=");
        append_value(out, value);
        buf_putc(out, ']');
        break;
    case 'i':
        buf_printf(out, "[%s]", element + 2);
        break;
    default:
        buf_printf(out, ".%s", element + 2);
        break;
    }
}

static void each_path(const struct field_set *set, struct buf *path,
                      void (*visit)(void *context, const char *path), void *context)
{
    size_t len = path->len;
    for (int deeper = 0; deeper < 2; deeper++) {
        for (uint32_t i = 0; i < set->count; i++) {
            const struct field_set *child = set->children[i];
            if (deeper ? !child->count : !child->member)
                continue;
            append_readable(path, child->element);
            if (deeper)
                each_path(child, path, visit, context);
            else
                visit(context, buf_str(path));
            path->len = len;
            path->data[len] = '\0';
        }
    }
}

void field_set_each_path(const struct field_set *set, void (*visit)(void *context, const char *path),
                         void *context)
{
    struct buf path buf_auto = BUF_INIT;
    each_path(set, &path, visit, context);
}
