/*
 * A quantity is held as mantissa * 10^exponent with a 128-bit mantissa: more digits than any quantity that a
 * cluster accounts for. What does not fit is rounded up, as resource.Quantity rounds up below its smallest
 * unit (a thousand-millionth), and saturates at the top.
 *
 * resource.Quantity keeps the text of the client when it is "canonical enough"; is_kept says when, so that
 * an object reads back as it does from Kubernetes ("1.500" stays, "0.5" becomes "500m").
 */
#include "object/quantity.h"

#include <stdio.h>
#include <string.h>

__extension__ typedef unsigned __int128 u128;

enum quantity_format { DECIMAL_SI, DECIMAL_EXPONENT, BINARY_SI };

struct quantity {
    bool negative;
    u128 mantissa;
    int exponent;
    enum quantity_format format;
};

/* The parts of the text, as found. Digits count without leading zeros, but an empty integer part counts one.
 */
struct parts {
    const char *integer;
    size_t integer_len;
    const char *fraction;
    size_t fraction_len;
    const char *suffix;
    bool negative;
};

#define NANO (-9)
#define EXPONENT_LIMIT 99000            /* far beyond what saturates; a multiple of three */
#define MANTISSA_LIMIT ((u128)1 << 123) /* times ten and plus nine still fits */

static const struct suffix {
    const char *text;
    int base;
    int exponent;
} suffixes[] = {
    {"", 10, 0},   {"n", 10, -9}, {"u", 10, -6}, {"m", 10, -3}, {"k", 10, 3},  {"M", 10, 6},
    {"G", 10, 9},  {"T", 10, 12}, {"P", 10, 15}, {"E", 10, 18}, {"Ki", 2, 10}, {"Mi", 2, 20},
    {"Gi", 2, 30}, {"Ti", 2, 40}, {"Pi", 2, 50}, {"Ei", 2, 60},
};
#define SUFFIX_COUNT (sizeof(suffixes) / sizeof(suffixes[0]))

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Cuts the text into sign, digits and suffix. The suffix must run to the end of the text. */
static bool text_split(struct parts *parts, const char *text)
{
    if (!*text)
        return false;
    memset(parts, 0, sizeof(*parts));
    parts->negative = *text == '-';
    if (*text == '-' || *text == '+')
        text++;
    while (*text == '0')
        text++;
    parts->integer = text;
    while (is_digit(*text))
        text++;
    parts->integer_len = (size_t)(text - parts->integer);
    parts->fraction = text;
    if (*text == '.') {
        parts->fraction = ++text;
        while (is_digit(*text))
            text++;
        parts->fraction_len = (size_t)(text - parts->fraction);
    }
    parts->suffix = text;
    text += strspn(text, "eEinumkKMGTP");
    if (*text == '-' || *text == '+')
        text++;
    while (is_digit(*text))
        text++;
    return *text == '\0';
}

/* "e3", "E-6": a decimal exponent, cut to a range far beyond what saturates. */
static bool exponent_parse(const char *suffix, int *exponent)
{
    if ((*suffix != 'e' && *suffix != 'E') || !suffix[1])
        return false;
    const char *p = suffix + 1;
    bool negative = *p == '-';
    if (*p == '-' || *p == '+')
        p++;
    if (!*p)
        return false;
    int value = 0;
    for (; *p; p++) {
        if (!is_digit(*p))
            return false;
        if (value <= EXPONENT_LIMIT)
            value = value * 10 + (*p - '0');
    }
    *exponent = negative ? -value : value;
    return true;
}

static bool suffix_parse(const char *text, struct quantity *q, int *base, int *exponent)
{
    for (size_t i = 0; i < SUFFIX_COUNT; i++) {
        if (!strcmp(suffixes[i].text, text)) {
            *base = suffixes[i].base;
            *exponent = suffixes[i].exponent;
            q->format = *base == 2 ? BINARY_SI : DECIMAL_SI;
            return true;
        }
    }
    *base = 10;
    q->format = DECIMAL_EXPONENT;
    return exponent_parse(text, exponent);
}

static u128 divide_up(u128 value, u128 divisor)
{
    return value / divisor + (value % divisor != 0);
}

/* Appends digits to the mantissa; those that no longer fit raise the exponent and round up. */
static void digits_add(struct quantity *q, const char *digits, size_t count, bool fraction)
{
    bool dropped = false;
    for (size_t i = 0; i < count; i++) {
        if (q->mantissa < MANTISSA_LIMIT) {
            q->mantissa = q->mantissa * 10 + (unsigned)(digits[i] - '0');
            q->exponent -= fraction && q->exponent > -EXPONENT_LIMIT;
        } else {
            dropped |= digits[i] != '0';
            q->exponent += !fraction && q->exponent < EXPONENT_LIMIT;
        }
    }
    q->mantissa += dropped;
}

static void round_to_nano(struct quantity *q)
{
    while (q->exponent < NANO) {
        if (q->mantissa <= 1) {
            q->exponent = NANO;
            break;
        }
        q->mantissa = divide_up(q->mantissa, 10);
        q->exponent++;
    }
}

static u128 power_of_ten(int exponent)
{
    u128 power = 1;
    while (exponent-- > 0)
        power *= 10;
    return power;
}

/* The magnitude in units of 10^target, rounded up, at most limit. */
static u128 magnitude(const struct quantity *q, int target, u128 limit)
{
    u128 value = q->mantissa;
    int exponent = q->exponent;
    for (; exponent < target && value > 1; exponent++)
        value = divide_up(value, 10);
    for (; exponent > target && value; exponent--) {
        if (value > limit / 10)
            return limit;
        value *= 10;
    }
    return value > limit ? limit : value;
}

static void scale_binary(struct quantity *q, int exponent)
{
    while (q->mantissa >> (127 - exponent)) {
        q->mantissa = divide_up(q->mantissa, 10);
        q->exponent++;
    }
    q->mantissa <<= exponent;
    round_to_nano(q);
    u128 whole = magnitude(q, 0, (u128)1 << 64);
    if (whole > INT64_MAX) {
        q->mantissa = INT64_MAX;
        q->exponent = 0;
    } else if (q->exponent < 0 && q->mantissa && q->mantissa < power_of_ten(-q->exponent)) {
        q->format = DECIMAL_SI; /* below one, a binary suffix would have to round */
    }
}

static bool quantity_parse(struct quantity *q, struct parts *parts, const char *text)
{
    memset(q, 0, sizeof(*q));
    int base;
    int exponent;
    if (!text_split(parts, text) || !suffix_parse(parts->suffix, q, &base, &exponent))
        return false;
    q->negative = parts->negative;
    digits_add(q, parts->integer, parts->integer_len, false);
    digits_add(q, parts->fraction, parts->fraction_len, true);
    if (base == 2) {
        scale_binary(q, exponent);
    } else {
        q->exponent += exponent;
        round_to_nano(q);
    }
    return true;
}

static bool is_all_zero(const char *digits, size_t count)
{
    return strspn(digits, "0") >= count;
}

/* Whether Kubernetes keeps this text as it is: it fits its fast path and its exponent is a multiple of 3. */
static bool is_kept(const struct quantity *q, const struct parts *parts)
{
    size_t integer_len = parts->integer_len ? parts->integer_len : 1;
    size_t digits = integer_len + parts->fraction_len;
    int base;
    int exponent;
    struct quantity ignored;
    suffix_parse(parts->suffix, &ignored, &base, &exponent);
    if (base == 2) {
        if (parts->fraction_len || digits + (size_t)(exponent * 3 / 10) + 1 > 15)
            return false;
        return (q->mantissa >> exponent) & 7;
    }
    if (digits > 18 || !parts->integer_len)
        return false;
    int scale = exponent - (int)parts->fraction_len;
    if (scale < NANO || scale % 3)
        return false;
    size_t from_fraction = parts->fraction_len < 3 ? parts->fraction_len : 3;
    size_t from_integer = 3 - from_fraction;
    if (digits < 3 || parts->integer_len < from_integer)
        return true;
    return !is_all_zero(parts->fraction + parts->fraction_len - from_fraction, from_fraction) ||
           !is_all_zero(parts->integer + parts->integer_len - from_integer, from_integer);
}

static void print_magnitude(char *out, size_t size, bool negative, u128 value, const char *suffix)
{
    char digits[48];
    char *p = digits + sizeof(digits) - 1;
    *p = '\0';
    do
        *--p = (char)('0' + (int)(value % 10));
    while (value /= 10);
    snprintf(out, size, "%s%s%s", negative ? "-" : "", p, suffix);
}

/*
 * Brings the exponent to a multiple of three with as few digits as there can be. What has no room for more
 * digits is rounded up instead.
 */
static void normalize(struct quantity *q)
{
    while (q->mantissa % 10 == 0) {
        q->mantissa /= 10;
        q->exponent++;
    }
    int digits = (q->exponent % 3 + 3) % 3;
    bool room = q->mantissa <= (u128)-1 / power_of_ten(digits);
    while (q->exponent % 3) {
        q->mantissa = room ? q->mantissa * 10 : divide_up(q->mantissa, 10);
        q->exponent += room ? -1 : 1;
    }
    while (q->mantissa % 1000 == 0) {
        q->mantissa /= 1000;
        q->exponent += 3;
    }
    /* The suffixes end at 10^18; what is beyond them whatever the digits is shown with an exponent. */
    struct quantity lower = *q;
    while (lower.exponent > 18 && lower.mantissa < MANTISSA_LIMIT / 100) {
        lower.mantissa *= 1000;
        lower.exponent -= 3;
    }
    if (q->format != DECIMAL_EXPONENT && lower.exponent <= 18)
        *q = lower;
    if (q->exponent > EXPONENT_LIMIT) {
        q->mantissa = 1;
        q->exponent = EXPONENT_LIMIT;
    }
}

static void print_decimal(char *out, size_t size, struct quantity q)
{
    normalize(&q);
    char exponent[16] = "";
    const char *suffix = exponent;
    if (q.format == DECIMAL_EXPONENT || q.exponent > 18) {
        if (q.exponent)
            snprintf(exponent, sizeof(exponent), "e%d", q.exponent);
    } else {
        for (size_t i = 0; i < SUFFIX_COUNT; i++)
            if (suffixes[i].base == 10 && suffixes[i].exponent == q.exponent)
                suffix = suffixes[i].text;
    }
    print_magnitude(out, size, q.negative, q.mantissa, suffix);
}

/*
 * A binary format holds for whole multiples of 1024; false when the decimal one must be used. What has no
 * binary suffix reads as a decimal from then on, so it is written as one at once: "20062.5Ki" is "20544k".
 */
static bool print_binary(char *out, size_t size, const struct quantity *q)
{
    u128 value = magnitude(q, 0, (u128)1 << 64);
    if (value % 1024)
        return false;
    if (q->exponent < 0 && q->mantissa % power_of_ten(-q->exponent))
        return false;
    int exponent = 0;
    for (; value % 1024 == 0 && exponent < 60; exponent += 10)
        value /= 1024;
    const char *suffix = "";
    for (size_t i = 0; i < SUFFIX_COUNT; i++)
        if (suffixes[i].base == 2 && suffixes[i].exponent == exponent)
            suffix = suffixes[i].text;
    print_magnitude(out, size, q->negative, value, suffix);
    return true;
}

static bool scaled(const char *text, int target, int64_t *out)
{
    struct quantity q;
    struct parts parts;
    if (!text || !quantity_parse(&q, &parts, text))
        return false;
    int64_t value = (int64_t)magnitude(&q, target, INT64_MAX);
    *out = q.negative ? -value : value;
    return true;
}

bool quantity_milli(const char *text, int64_t *milli)
{
    return scaled(text, -3, milli);
}

bool quantity_value(const char *text, int64_t *value)
{
    return scaled(text, 0, value);
}

bool quantity_canonical(char *out, size_t size, const char *text)
{
    struct quantity q;
    struct parts parts;
    if (!text || !quantity_parse(&q, &parts, text))
        return false;
    if (!q.mantissa)
        snprintf(out, size, "0");
    else if (is_kept(&q, &parts))
        snprintf(out, size, "%s", text);
    else if (q.format != BINARY_SI || !print_binary(out, size, &q))
        print_decimal(out, size,
                      (struct quantity){q.negative, q.mantissa, q.exponent,
                                        q.format == BINARY_SI ? DECIMAL_SI : q.format});
    return true;
}
