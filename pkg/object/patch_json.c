/*
 * JSON patches (RFC 6902). As the library behind the API server does, an index may count from the end
 * (-1 is the last element), and a patch that does not apply is answered with one fixed text.
 */
#include "object/patch.h"

#include "base/mem.h"
#include "codec/json.h"

#include <string.h>

#define OPERATIONS_MAX 10000
#define COPY_SIZE_MAX (3 * 1024 * 1024) /* all that "copy" may add: a few lines must not fill the memory */

struct patching {
    json_t *root; /* owned */
    size_t copied;
    struct err *err;
};

/* Where a pointer leads: a member of an object or an element of an array; both NULL: the root. */
struct place {
    json_t *object;
    json_t *array;
    char *name; /* of the member, owned */
    size_t index;
};

static int does_not_apply(struct patching *p)
{
    return err_set(p->err, ERR_INVALID, "the server rejected our request due to an error in our request");
}

/* One reference token, unescaped (RFC 6901 section 4). The caller frees it. */
static char *token_unescape(const char *token, size_t len)
{
    char *out = mem_alloc(len + 1);
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        if (token[i] == '~' && i + 1 < len && (token[i + 1] == '0' || token[i + 1] == '1'))
            out[n++] = token[++i] == '0' ? '~' : '/';
        else
            out[n++] = token[i];
    }
    out[n] = '\0';
    return out;
}

/* An index below limit. Negative ones count from limit. */
static bool index_parse(const char *text, size_t limit, size_t *index)
{
    bool negative = *text == '-';
    const char *digits = negative ? text + 1 : text;
    size_t len = strlen(digits);
    if (!len || len > 9 || strspn(digits, "0123456789") != len)
        return false;
    size_t value = strtoul(digits, NULL, 10);
    if (negative && (value > limit || value == 0))
        return false;
    *index = negative ? limit - value : value;
    return *index < limit;
}

static json_t *child(json_t *parent, const char *token)
{
    size_t index;
    if (json_is_object(parent))
        return json_object_get(parent, token);
    if (json_is_array(parent) && index_parse(token, json_array_size(parent), &index))
        return json_array_get(parent, index);
    return NULL;
}

static void place_clear(struct place *place)
{
    free(place->name);
}

/* Finds the parent of what pointer names. With insert, an index may also be the end of the array, or "-". */
static bool place_find(struct patching *p, const char *pointer, bool insert, struct place *place)
{
    memset(place, 0, sizeof(*place));
    if (!*pointer)
        return true;
    if (*pointer != '/')
        return false;
    json_t *parent = p->root;
    for (;;) {
        size_t len = strcspn(++pointer, "/");
        mem_auto char *token = token_unescape(pointer, len);
        pointer += len;
        if (*pointer) {
            parent = child(parent, token);
            if (!parent)
                return false;
            continue;
        }
        if (json_is_object(parent)) {
            place->object = parent;
            place->name = mem_strdup(token);
            return true;
        }
        if (!json_is_array(parent))
            return false;
        place->array = parent;
        size_t size = json_array_size(parent);
        place->index = size;
        return (insert && !strcmp(token, "-")) || index_parse(token, size + insert, &place->index);
    }
}

/* Borrowed; NULL when there is nothing. */
static json_t *place_get(const struct patching *p, const struct place *place)
{
    if (place->object)
        return json_object_get(place->object, place->name);
    return place->array ? json_array_get(place->array, place->index) : p->root;
}

static json_t *pointer_get(struct patching *p, const char *pointer)
{
    struct place place = {0};
    json_t *value = place_find(p, pointer, false, &place) ? place_get(p, &place) : NULL;
    place_clear(&place);
    return value;
}

/* Takes the reference to value. */
static int place_put(struct patching *p, const char *pointer, bool insert, json_t *value)
{
    struct place place = {0};
    if (!value || !place_find(p, pointer, insert, &place) || (!insert && !place_get(p, &place))) {
        json_decref(value);
        place_clear(&place);
        return does_not_apply(p);
    }
    if (place.object) {
        json_object_set_new(place.object, place.name, value);
    } else if (!place.array) {
        json_decref(p->root);
        p->root = value;
    } else if (insert) {
        json_array_insert_new(place.array, place.index, value);
    } else {
        json_array_set_new(place.array, place.index, value);
    }
    place_clear(&place);
    return 0;
}

static int place_remove(struct patching *p, const char *pointer)
{
    struct place place = {0};
    if (!*pointer || !place_find(p, pointer, false, &place) || !place_get(p, &place)) {
        place_clear(&place);
        return does_not_apply(p);
    }
    if (place.object)
        json_object_del(place.object, place.name);
    else
        json_array_remove(place.array, place.index);
    place_clear(&place);
    return 0;
}

static int op_add(struct patching *p, const char *path, const char *from, const json_t *value)
{
    (void)from;
    return value ? place_put(p, path, true, json_deep_copy(value)) : does_not_apply(p);
}

static int op_replace(struct patching *p, const char *path, const char *from, const json_t *value)
{
    (void)from;
    return value ? place_put(p, path, false, json_deep_copy(value)) : does_not_apply(p);
}

static int op_remove(struct patching *p, const char *path, const char *from, const json_t *value)
{
    (void)from;
    (void)value;
    return place_remove(p, path);
}

static int op_move(struct patching *p, const char *path, const char *from, const json_t *value)
{
    (void)value;
    json_t *moved = from ? json_incref(pointer_get(p, from)) : NULL;
    if (!moved || place_remove(p, from)) {
        json_decref(moved);
        return does_not_apply(p);
    }
    return place_put(p, path, true, moved);
}

static int op_copy(struct patching *p, const char *path, const char *from, const json_t *value)
{
    (void)value;
    json_t *source = from ? pointer_get(p, from) : NULL;
    if (!source)
        return does_not_apply(p);
    p->copied += json_dumpb(source, NULL, 0, JSON_ENCODE_ANY | JSON_COMPACT);
    if (p->copied > COPY_SIZE_MAX)
        return does_not_apply(p);
    return place_put(p, path, true, json_deep_copy(source));
}

/* Objects compare whatever their order, numbers by value; what is missing equals null. */
static bool is_equal(const json_t *a, const json_t *b)
{
    if (json_is_number(a) && json_is_number(b) && json_typeof(a) != json_typeof(b))
        return json_number_value(a) == json_number_value(b);
    return json_equal(a, b);
}

static int op_test(struct patching *p, const char *path, const char *from, const json_t *value)
{
    (void)from;
    json_t *found = pointer_get(p, path);
    bool none = !value || json_is_null(value);
    if (found ? (none ? json_is_null(found) : is_equal(found, value)) : none)
        return 0;
    return does_not_apply(p);
}

static const struct {
    const char *name;
    int (*apply)(struct patching *p, const char *path, const char *from, const json_t *value);
} operations[] = {
    {"add", op_add},   {"remove", op_remove}, {"replace", op_replace},
    {"move", op_move}, {"copy", op_copy},     {"test", op_test},
};

static int operation_apply(struct patching *p, const json_t *operation)
{
    const char *name = json_str_or_empty(operation, "op");
    const char *path = json_str(operation, "path");
    const char *from = json_str(operation, "from");
    for (size_t i = 0; path && i < sizeof(operations) / sizeof(operations[0]); i++)
        if (!strcmp(operations[i].name, name))
            return operations[i].apply(p, path, from, json_object_get(operation, "value"));
    return does_not_apply(p);
}

static int patch_check(const json_t *patch, struct err *err)
{
    if (!json_is_array(patch))
        return err_set(err, ERR_BAD_REQUEST,
                       "json: cannot unmarshal %s into Go value of type jsonpatch.Patch",
                       json_kind_name(patch));
    size_t i;
    json_t *operation;
    json_array_foreach((json_t *)patch, i, operation) if (!json_is_object(operation)) return err_set(
        err, ERR_BAD_REQUEST, "json: cannot unmarshal %s into Go value of type jsonpatch.Operation",
        json_kind_name(operation));
    if (i > OPERATIONS_MAX)
        return err_set(err, ERR_TOO_LARGE, "The allowed maximum operations in a JSON patch is %d, got %zu",
                       OPERATIONS_MAX, i);
    return 0;
}

int patch_json(const json_t *object, const json_t *patch, json_t **out, struct err *err)
{
    int rc = patch_check(patch, err);
    if (rc)
        return rc;
    struct patching p = {.root = json_deep_copy(object), .err = err};
    size_t i;
    json_t *operation;
    json_array_foreach((json_t *)patch, i, operation)
    {
        rc = operation_apply(&p, operation);
        if (rc) {
            json_decref(p.root);
            return rc;
        }
    }
    *out = p.root;
    return 0;
}
