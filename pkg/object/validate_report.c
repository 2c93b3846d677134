/* How findings are put into words, and the checks of single values; see validate_internal.h. */
#include "object/validate_internal.h"

#include "base/mem.h"
#include "codec/json.h"
#include "object/quote.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void field_errors_add(struct field_errors *errors, const char *reason, const char *field, const char *format,
                      ...)
{
    va_list args;
    va_start(args, format);
    char *message = NULL;
    int rc = vasprintf(&message, format, args);
    va_end(args);
    if (rc < 0)
        abort();
    errors->items = mem_reallocarray(errors->items, errors->count + 1, sizeof(*errors->items));
    errors->items[errors->count++] = (struct field_error){reason, mem_strdup(field), message};
}

void field_errors_free(struct field_errors *errors)
{
    for (size_t i = 0; i < errors->count; i++) {
        free(errors->items[i].field);
        free(errors->items[i].message);
    }
    free(errors->items);
    *errors = (struct field_errors){0};
}

/* An aggregate does not repeat itself, though the causes of the Status do. */
static bool was_said(const struct field_errors *errors, size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (!strcmp(errors->items[i].field, errors->items[at].field) &&
            !strcmp(errors->items[i].message, errors->items[at].message))
            return true;
    return false;
}

char *field_errors_message(const struct field_errors *errors, const struct schema_kind *kind,
                           const char *name)
{
    struct buf list buf_auto = BUF_INIT;
    size_t count = 0;
    for (size_t i = 0; i < errors->count; i++) {
        if (was_said(errors, i))
            continue;
        buf_printf(&list, "%s%s: %s", count++ ? ", " : "", errors->items[i].field, errors->items[i].message);
    }
    struct buf out = BUF_INIT;
    buf_printf(&out, "%s%s%s ", kind->kind, *kind->group ? "." : "", kind->group);
    quote_append(&out, name);
    buf_puts(&out, " is invalid");
    if (count)
        buf_printf(&out, count == 1 ? ": %s" : ": [%s]", buf_str(&list));
    return buf_steal(&out);
}

void where_append(struct buf *out, const struct where *at)
{
    if (!at)
        return;
    where_append(out, at->parent);
    if (at->name)
        buf_printf(out, "%s%s", out->len ? "." : "", at->name);
    else if (at->key)
        buf_printf(out, "[%s]", at->key);
    else
        buf_printf(out, "[%zu]", at->index);
}

static void report(struct field_errors *errors, const struct where *at, const char *reason,
                   const char *message)
{
    struct buf field buf_auto = BUF_INIT;
    where_append(&field, at);
    field_errors_add(errors, reason, buf_str(&field), "%s", message);
}

/* "Title: value: detail", without what is empty. */
static void report_value(struct field_errors *errors, const struct where *at, const char *reason,
                         const char *title, const char *value, const char *detail)
{
    mem_auto char *message =
        mem_printf("%s%s%s%s%s", title, *value ? ": " : "", value, *detail ? ": " : "", detail);
    report(errors, at, reason, message);
}

static char *value_text(const json_t *value)
{
    if (json_is_string(value))
        return quote_text(json_string_value(value));
    if (!value)
        return mem_strdup("null");
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    return text ? text : mem_strdup("");
}

void error_required(struct field_errors *errors, const struct where *at, const char *detail)
{
    report_value(errors, at, "FieldValueRequired", "Required value", "", detail);
}

void error_forbidden(struct field_errors *errors, const struct where *at, const char *detail)
{
    report_value(errors, at, "FieldValueForbidden", "Forbidden", "", detail);
}

void error_invalid(struct field_errors *errors, const struct where *at, const json_t *value,
                   const char *detail)
{
    mem_auto char *text = value_text(value);
    report_value(errors, at, "FieldValueInvalid", "Invalid value", text, detail);
}

void error_invalid_text(struct field_errors *errors, const struct where *at, const char *value,
                        const char *detail)
{
    mem_auto char *text = quote_text(value);
    report_value(errors, at, "FieldValueInvalid", "Invalid value", text, detail);
}

void error_invalid_int(struct field_errors *errors, const struct where *at, int64_t value, const char *detail)
{
    char text[24];
    snprintf(text, sizeof(text), "%lld", (long long)value);
    report_value(errors, at, "FieldValueInvalid", "Invalid value", text, detail);
}

void error_duplicate(struct field_errors *errors, const struct where *at, const json_t *value)
{
    mem_auto char *text = value_text(value);
    report_value(errors, at, "FieldValueDuplicate", "Duplicate value", text, "");
}

void error_duplicate_text(struct field_errors *errors, const struct where *at, const char *value)
{
    mem_auto char *text = quote_text(value);
    report_value(errors, at, "FieldValueDuplicate", "Duplicate value", text, "");
}

void error_not_found(struct field_errors *errors, const struct where *at, const char *value)
{
    mem_auto char *text = quote_text(value);
    report_value(errors, at, "FieldValueNotFound", "Not found", text, "");
}

void error_too_long(struct field_errors *errors, const struct where *at, int max)
{
    mem_auto char *detail = mem_printf("may not be more than %d byte%s", max, max == 1 ? "" : "s");
    report_value(errors, at, "FieldValueTooLong", "Too long", "", detail);
}

void error_not_supported(struct field_errors *errors, const struct where *at, const char *value,
                         const char *const *supported)
{
    struct buf detail buf_auto = BUF_INIT;
    for (const char *const *p = supported; *p; p++) {
        buf_puts(&detail, p == supported ? "supported values: " : ", ");
        quote_append(&detail, *p);
    }
    mem_auto char *text = quote_text(value);
    report_value(errors, at, "FieldValueNotSupported", "Unsupported value", text, buf_str(&detail));
}

const char *text_at(const json_t *object, const char *name)
{
    return json_or_empty_(json_object_get(object, name));
}

int64_t int_at(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

bool is_one_of(const char *value, const char *const *list)
{
    for (; *list; list++)
        if (!strcmp(*list, value))
            return true;
    return false;
}

bool check_name(struct field_errors *errors, const struct where *at, const char *value, name_check *check)
{
    struct name_faults faults = {0};
    if (check(&faults, value))
        return true;
    for (size_t i = 0; i < faults.count; i++)
        error_invalid_text(errors, at, value, faults.texts[i]);
    return false;
}

void check_required_name(struct field_errors *errors, const struct where *at, const char *value,
                         name_check *check)
{
    if (!*value)
        error_required(errors, at, "");
    else
        check_name(errors, at, value, check);
}

void check_not_negative(struct field_errors *errors, const struct where *at, const json_t *value)
{
    if (json_integer_value(value) < 0)
        error_invalid(errors, at, value, "must be greater than or equal to 0");
}

void check_range(struct field_errors *errors, const struct where *at, int64_t value, int64_t low,
                 int64_t high)
{
    if (value >= low && value <= high)
        return;
    mem_auto char *detail =
        mem_printf("must be between %lld and %lld, inclusive", (long long)low, (long long)high);
    error_invalid_int(errors, at, value, detail);
}

void check_port(struct field_errors *errors, const struct where *at, int64_t port)
{
    check_range(errors, at, port, 1, 65535);
}

void check_port_or_name(struct field_errors *errors, const struct where *at, const json_t *port)
{
    if (json_is_string(port))
        check_name(errors, at, json_string_value(port), name_check_port_name);
    else
        check_port(errors, at, json_integer_value(port));
}

void check_enum(struct field_errors *errors, const struct where *at, const char *value,
                const char *const *supported)
{
    if (!*value)
        error_required(errors, at, "");
    else if (!is_one_of(value, supported))
        error_not_supported(errors, at, value, supported);
}

void check_immutable(struct field_errors *errors, const struct where *at, const json_t *value,
                     const json_t *old, const char *detail)
{
    if (value != old && !json_equal(value, old))
        error_invalid(errors, at, value, detail);
}

bool is_ip(const char *text)
{
    unsigned char address[16];
    return inet_pton(AF_INET, text, address) == 1 || inet_pton(AF_INET6, text, address) == 1;
}

void check_ip(struct field_errors *errors, const struct where *at, const char *value)
{
    if (!is_ip(value))
        error_invalid_text(errors, at, value,
                           "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
}
