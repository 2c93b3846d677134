/*
 * See yaml_scalar.h. Numbers are read as Go's strconv reads them after the underscores are taken out: bases
 * 2, 8, 10 and 16 by prefix, a leading zero for octal; then decimal floats.
 */
#include "codec/yaml_scalar.h"

#include "base/mem.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static bool is_one_of(const char *text, const char *const *words)
{
    for (; *words; words++)
        if (strcmp(text, *words) == 0)
            return true;
    return false;
}

bool yaml__is_merge(const char *text)
{
    return strcmp(text, "<<") == 0;
}

static const char *const true_words[] = {"y",    "Y",    "yes", "Yes", "YES", "true",
                                         "True", "TRUE", "on",  "On",  "ON",  NULL};
static const char *const false_words[] = {"n",     "N",     "no",  "No",  "NO",  "false",
                                          "False", "FALSE", "off", "Off", "OFF", NULL};
static const char *const null_words[] = {"", "~", "null", "Null", "NULL", NULL};
static const char *const infinite_words[] = {".nan",  ".NaN",  ".NAN",  ".inf",  ".Inf",  ".INF", "+.inf",
                                             "+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF", NULL};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The base that a prefix names, with *digits behind it. */
static int number_base(const char **digits)
{
    const char *at = *digits;
    if (at[0] != '0' || !at[1])
        return 10;
    *digits += 2;
    switch (at[1]) {
    case 'x':
    case 'X':
        return 16;
    case 'o':
    case 'O':
        return 8;
    case 'b':
    case 'B':
        return 2;
    default:
        *digits -= 1;
        return 8;
    }
}

static int digit_value(char c)
{
    if (is_digit(c))
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : 99;
}

/* A whole number that fits 64 bits; one above INT64_MAX becomes a real, which JSON shows as well. */
static json_t *resolve_int(const char *text)
{
    bool negative = *text == '-';
    const char *digits = text + (*text == '-' || *text == '+');
    int base = number_base(&digits);
    uint64_t value = 0;
    if (!*digits)
        return NULL;
    for (; *digits; digits++) {
        int digit = digit_value(*digits);
        if (digit >= base || __builtin_mul_overflow(value, (uint64_t)base, &value) ||
            __builtin_add_overflow(value, (uint64_t)digit, &value))
            return NULL;
    }
    if (negative)
        return value <= (uint64_t)INT64_MAX + 1 ? json_integer((json_int_t)(0 - value)) : NULL;
    return value <= INT64_MAX ? json_integer((json_int_t)value) : json_real((double)value);
}

/* [-+]?(.[0-9]+|[0-9]+(.[0-9]*)?)([eE][-+]?[0-9]+)? */
static bool is_float(const char *text)
{
    text += *text == '-' || *text == '+';
    size_t before = strspn(text, "0123456789"), after = 0;
    text += before;
    if (*text == '.') {
        after = strspn(text + 1, "0123456789");
        text += 1 + after;
    }
    if (before == 0 && after == 0)
        return false;
    if (*text == 'e' || *text == 'E') {
        text++;
        text += *text == '-' || *text == '+';
        size_t exponent = strspn(text, "0123456789");
        if (exponent == 0)
            return false;
        text += exponent;
    }
    return *text == '\0';
}

/* strtod follows the locale, which katena never sets; is_float has admitted only what "C" understands. */
static json_t *resolve_float(const char *text)
{
    return is_float(text) ? json_real(strtod(text, NULL)) : NULL;
}

static json_t *resolve_number(const char *text)
{
    mem_auto char *plain = mem_strdup(text);
    char *to = plain;
    for (const char *from = text; *from; from++)
        if (*from != '_')
            *to++ = *from;
    *to = '\0';
    json_t *value = resolve_int(plain);
    return value ? value : resolve_float(plain);
}

json_t *yaml__resolve(const char *text)
{
    if (is_one_of(text, null_words))
        return json_null();
    if (is_one_of(text, true_words))
        return json_true();
    if (is_one_of(text, false_words))
        return json_false();
    if (is_one_of(text, infinite_words))
        return NULL;
    json_t *number = NULL;
    if (is_digit(*text) || *text == '-' || *text == '+')
        number = resolve_number(text);
    else if (*text == '.')
        number = resolve_float(text);
    return number ? number : json_string(text);
}
