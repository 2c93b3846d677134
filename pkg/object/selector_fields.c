/*
 * Field selectors: terms "field=value" and "field!=value", separated by commas; \\, \, and \= are escapes
 * within values. A field is a path of members; an absent one counts as the zero value of its type.
 */
#include "object/selector_internal.h"

#include "base/mem.h"
#include "codec/json.h"
#include "object/quote.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Names in selectors that differ from where the value stands in the object. */
static const struct {
    const char *kind;
    const char *name;
    const char *path;
} aliases[] = {
    {"Pod", "spec.host", "spec.nodeName"},
    {"Job", "status.successful", "status.succeeded"},
    {"Event", "source", "source.component"},
    {"Namespace", "name", "metadata.name"},
};

static const char *field_path(const struct schema_kind *kind, const char *name)
{
    for (size_t i = 0; i < sizeof(aliases) / sizeof(aliases[0]); i++)
        if (!strcmp(aliases[i].kind, kind->kind) && !strcmp(aliases[i].name, name))
            return aliases[i].path;
    return name;
}

static bool is_supported(const struct schema_kind *kind, const char *name)
{
    if (!strcmp(name, "metadata.name") || !strcmp(name, "metadata.namespace"))
        return true;
    for (const char *const *p = kind->field_selectors; p && *p; p++)
        if (!strcmp(*p, name))
            return true;
    return false;
}

static int unsupported(const struct schema_kind *kind, const char *name, struct err *err)
{
    if (kind->field_selectors && kind->field_selectors[0])
        return err_set(err, ERR_BAD_REQUEST, "field label not supported: %s", name);
    mem_auto char *quoted = quote_text(name);
    return err_set(err, ERR_BAD_REQUEST,
                   "%s is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
                   quoted);
}

/* What an absent field counts as, by the type that the schema gives it. */
static const char *zero_text(const struct schema_kind *kind, const char *path)
{
    const struct schema_message *message = kind->message;
    const struct schema_field *field = NULL;
    mem_auto char *copy = mem_strdup(path);
    char *save = NULL;
    for (char *name = strtok_r(copy, ".", &save); name; name = strtok_r(NULL, ".", &save)) {
        field = message ? schema_field_by_name(message, name) : NULL;
        message = field ? field->message : NULL;
    }
    if (field && field->type == SCHEMA_BOOL)
        return "false";
    if (field && (field->type == SCHEMA_INT32 || field->type == SCHEMA_INT64))
        return "0";
    return "";
}

/* "a.b" becomes "a" NUL "b" NUL NUL. */
static char *path_split(const char *path)
{
    size_t len = strlen(path);
    char *split = mem_zalloc(len + 2);
    for (size_t i = 0; i < len; i++)
        split[i] = path[i] == '.' ? '\0' : path[i];
    return split;
}

static int value_unescape(struct buf *out, const char *text, struct err *err)
{
    for (; *text; text++) {
        if (*text == '\\') {
            text++;
            if (!*text || !strchr("\\,=", *text))
                return err_set(err, ERR_BAD_REQUEST, "invalid field selector: invalid escape sequence: \\%s",
                               *text ? (char[]){*text, '\0'} : "");
        } else if (*text == '=') {
            return err_set(err, ERR_BAD_REQUEST, "invalid field selector: unescaped character in value: %d",
                           *text);
        }
        buf_putc(out, *text);
    }
    return 0;
}

static int term_add(struct selector *selector, const char *all, char *term, const struct schema_kind *kind,
                    struct err *err)
{
    char *at = strpbrk(term, "=!");
    while (at && *at == '!' && at[1] != '=')
        at = strpbrk(at + 1, "=!");
    if (!at)
        return err_set(err, ERR_BAD_REQUEST, "invalid selector: '%s'; can't understand '%s'", all, term);
    enum selector_op op = *at == '!' ? SELECTOR_NOT_EQUALS : SELECTOR_EQUALS;
    const char *value = at + (*at == '!' || at[1] == '=' ? 2 : 1);
    *at = '\0';
    struct buf plain buf_auto = BUF_INIT;
    int rc = value_unescape(&plain, value, err);
    if (rc)
        return rc;
    if (!is_supported(kind, term))
        return unsupported(kind, term, err);
    const char *path = field_path(kind, term);
    struct requirement *r = selector_add(selector, term, op);
    requirement_add_value(r, buf_str(&plain));
    r->field = path_split(path);
    r->missing = zero_text(kind, path);
    return 0;
}

/* Ends the term that starts at text and returns where the next one starts; NULL after the last. */
static char *term_end(char *text)
{
    for (; *text; text++) {
        if (*text == '\\' && text[1]) {
            text++;
        } else if (*text == ',') {
            *text = '\0';
            return text + 1;
        }
    }
    return NULL;
}

int selector_parse_fields(struct selector **out, const char *text, const struct schema_kind *kind,
                          struct err *err)
{
    struct selector *selector = selector_new();
    mem_auto char *copy = mem_strdup(text);
    for (char *term = copy, *next; term; term = next) {
        next = term_end(term);
        if (!*term)
            continue;
        int rc = term_add(selector, text, term, kind, err);
        if (rc) {
            selector_free(selector);
            return rc;
        }
    }
    selector_sort(selector);
    *out = selector;
    return 0;
}

static bool field_matches(const struct requirement *r, const json_t *object)
{
    const json_t *at = object;
    for (const char *name = r->field; *name && at; name += strlen(name) + 1)
        at = json_object_get(at, name);
    char number[24];
    const char *value = r->missing;
    if (json_is_string(at)) {
        value = json_string_value(at);
    } else if (json_is_boolean(at)) {
        value = json_is_true(at) ? "true" : "false";
    } else if (json_is_integer(at)) {
        snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(at));
        value = number;
    }
    return !strcmp(value, r->values[0]) == (r->op == SELECTOR_EQUALS);
}

bool selector_matches_fields(const struct selector *selector, const json_t *object)
{
    if (selector->nothing)
        return false;
    for (size_t i = 0; i < selector->count; i++)
        if (!field_matches(&selector->items[i], object))
            return false;
    return true;
}
