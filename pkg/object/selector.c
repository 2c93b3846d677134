/*
 * Label selectors are read by a small recursive-descent parser over a token list, as apimachinery's is, since
 * its error texts come from where that parser stands when it gives up. Field selectors have their own,
 * simpler grammar with escapes.
 */
#include "object/selector_internal.h"

#include "base/mem.h"
#include "object/names.h"
#include "object/quote.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void requirement_clear(struct requirement *r)
{
    free(r->key);
    free(r->field);
    for (size_t i = 0; i < r->value_count; i++)
        free(r->values[i]);
    free(r->values);
}

void selector_free(struct selector *selector)
{
    if (!selector)
        return;
    for (size_t i = 0; i < selector->count; i++)
        requirement_clear(&selector->items[i]);
    free(selector->items);
    free(selector);
}

struct selector *selector_new(void)
{
    return mem_zalloc(sizeof(struct selector));
}

struct requirement *selector_add(struct selector *selector, const char *key, enum selector_op op)
{
    selector->items = mem_reallocarray(selector->items, selector->count + 1, sizeof(*selector->items));
    struct requirement *r = &selector->items[selector->count++];
    *r = (struct requirement){.key = mem_strdup(key), .op = op};
    return r;
}

void requirement_add_value(struct requirement *r, const char *value)
{
    for (size_t i = 0; i < r->value_count; i++)
        if (!strcmp(r->values[i], value))
            return;
    r->values = mem_reallocarray(r->values, r->value_count + 1, sizeof(*r->values));
    r->values[r->value_count++] = mem_strdup(value);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void requirement_sort_values(struct requirement *r)
{
    if (r->value_count > 1)
        qsort(r->values, r->value_count, sizeof(*r->values), by_text);
}

/* An insertion sort: it is stable, and selectors are short. */
void selector_sort(struct selector *selector)
{
    for (size_t i = 1; i < selector->count; i++) {
        struct requirement r = selector->items[i];
        size_t at = i;
        for (; at && strcmp(selector->items[at - 1].key, r.key) > 0; at--)
            selector->items[at] = selector->items[at - 1];
        selector->items[at] = r;
    }
}

static bool parse_integer(const char *text, int64_t *out)
{
    size_t digits = strspn(*text == '-' || *text == '+' ? text + 1 : text, "0123456789");
    const char *start = *text == '-' || *text == '+' ? text + 1 : text;
    if (!digits || start[digits] || digits > 18)
        return false;
    *out = strtoll(text, NULL, 10);
    return true;
}

static bool has_value(const struct requirement *r, const char *value)
{
    for (size_t i = 0; i < r->value_count; i++)
        if (!strcmp(r->values[i], value))
            return true;
    return false;
}

static bool compares(const struct requirement *r, const char *value)
{
    int64_t have;
    int64_t wanted;
    if (r->value_count != 1 || !parse_integer(value, &have) || !parse_integer(r->values[0], &wanted))
        return false;
    return r->op == SELECTOR_GREATER ? have > wanted : have < wanted;
}

/* value is NULL when the key is absent. */
static bool requirement_matches(const struct requirement *r, const char *value)
{
    switch (r->op) {
    case SELECTOR_IN:
    case SELECTOR_EQUALS:
        return value && has_value(r, value);
    case SELECTOR_NOT_IN:
    case SELECTOR_NOT_EQUALS:
        return !value || !has_value(r, value);
    case SELECTOR_EXISTS:
        return value;
    case SELECTOR_NOT_EXISTS:
        return !value;
    case SELECTOR_GREATER:
    case SELECTOR_LESS:
        return value && compares(r, value);
    }
    return false;
}

bool selector_matches_labels(const struct selector *selector, const json_t *labels)
{
    if (selector->nothing)
        return false;
    for (size_t i = 0; i < selector->count; i++) {
        const struct requirement *r = &selector->items[i];
        if (!requirement_matches(r, json_string_value(json_object_get(labels, r->key))))
            return false;
    }
    return true;
}

const char *selector_requires(const struct selector *selector, const char *name)
{
    for (size_t i = 0; i < selector->count; i++) {
        const struct requirement *r = &selector->items[i];
        if (!strcmp(r->key, name) && (r->op == SELECTOR_EQUALS || r->op == SELECTOR_IN) &&
            r->value_count == 1)
            return r->values[0];
    }
    return NULL;
}

bool selector_empty(const struct selector *selector)
{
    return !selector->nothing && !selector->count;
}

/* Adds to faults what labels.NewRequirement finds wrong; the path of a value is values[i][key]. */
void requirement_check(const struct requirement *r, struct buf *faults)
{
    struct name_faults key = {0};
    if (!name_check_label_key(&key, r->key)) {
        buf_puts(faults, "key: Invalid value: ");
        quote_append(faults, r->key);
        buf_puts(faults, ": ");
        name_faults_join(faults, &key, "; ");
    }
    for (size_t i = 0; i < r->value_count; i++) {
        int64_t ignored;
        if ((r->op == SELECTOR_GREATER || r->op == SELECTOR_LESS) && !parse_integer(r->values[i], &ignored)) {
            buf_printf(faults, "%svalues[%zu]: Invalid value: ", faults->len ? ", " : "", i);
            quote_append(faults, r->values[i]);
            buf_puts(faults, ": for 'Gt', 'Lt' operators, the value must be an integer");
        }
    }
    for (size_t i = 0; i < r->value_count; i++) {
        struct name_faults value = {0};
        if (name_check_label_value(&value, r->values[i]))
            continue;
        buf_printf(faults, "%svalues[%zu][%s]: Invalid value: ", faults->len ? ", " : "", i, r->key);
        quote_append(faults, r->values[i]);
        buf_puts(faults, ": ");
        name_faults_join(faults, &value, "; ");
    }
}

static const struct {
    const char *name;
    enum selector_op op;
} expression_operators[] = {
    {"In", SELECTOR_IN},
    {"NotIn", SELECTOR_NOT_IN},
    {"Exists", SELECTOR_EXISTS},
    {"DoesNotExist", SELECTOR_NOT_EXISTS},
};

static int expression_add(struct selector *selector, const json_t *expression, struct err *err)
{
    const char *op_name = json_string_value(json_object_get(expression, "operator"));
    const char *key = json_string_value(json_object_get(expression, "key"));
    const json_t *values = json_object_get(expression, "values");
    for (size_t i = 0; i < sizeof(expression_operators) / sizeof(expression_operators[0]); i++) {
        if (!op_name || strcmp(op_name, expression_operators[i].name) != 0)
            continue;
        struct requirement *r = selector_add(selector, key ? key : "", expression_operators[i].op);
        for (size_t v = 0; v < json_array_size(values); v++)
            if (json_is_string(json_array_get(values, v)))
                requirement_add_value(r, json_string_value(json_array_get(values, v)));
        bool set = r->op == SELECTOR_IN || r->op == SELECTOR_NOT_IN;
        if (set && !r->value_count)
            return err_set(
                err, ERR_INVALID,
                "values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty");
        if (!set && r->value_count)
            return err_set(err, ERR_INVALID,
                           "values: Invalid value: values set must be empty for exists and does "
                           "not exist");
        return 0;
    }
    mem_auto char *quoted = quote_text(op_name ? op_name : "");
    return err_set(err, ERR_INVALID, "%s is not a valid label selector operator", quoted);
}

int selector_from_object(struct selector **out, const json_t *label_selector, struct err *err)
{
    struct selector *selector = selector_new();
    selector->nothing = !json_is_object(label_selector);
    const char *key;
    json_t *value;
    json_object_foreach(json_object_get(label_selector, "matchLabels"), key, value) if (json_is_string(value))
        requirement_add_value(selector_add(selector, key, SELECTOR_EQUALS), json_string_value(value));
    size_t i;
    json_array_foreach(json_object_get(label_selector, "matchExpressions"), i, value)
    {
        int rc = expression_add(selector, value, err);
        if (rc) {
            selector_free(selector);
            return rc;
        }
    }
    selector_sort(selector);
    struct buf faults buf_auto = BUF_INIT;
    for (i = 0; i < selector->count && !faults.len; i++)
        requirement_check(&selector->items[i], &faults);
    if (faults.len) {
        selector_free(selector);
        return err_set(err, ERR_INVALID, "%s", buf_str(&faults));
    }
    *out = selector;
    return 0;
}
