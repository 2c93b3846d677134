/*
 * Reading JSON text into jansson's values. jansson's own reader goes character by character through a stream;
 * this one works on the text in memory, which makes a write several times cheaper, and it says what is wrong
 * in the words of Go's decoder, as the API server's clients expect.
 *
 * As in Go, bytes that are no UTF-8 become U+FFFD. NUL is refused, since values are C strings here.
 */
#include "codec/json.h"

#include "base/mem.h"
#include "codec/json_plain.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPLACEMENT "\xef\xbf\xbd"
#define NUMBER_MAX 512 /* digits of one number */

struct step {
    const struct step *parent;
    const char *name; /* of the member, not terminated; NULL for an item */
    size_t len;       /* of name, or the item's index */
};

struct parser {
    const char *at;
    const char *end;
    struct buf scratch; /* text with escapes resolved */
    json_t *duplicates; /* NULL: refuse them */
    unsigned depth, depth_max;
    const char *last, *except; /* of json_parse_beginning; NULL: all is read */
    bool ended;                /* what was asked for is complete */
    struct err *err;
};

static json_t *parse_value(struct parser *p, const struct step *step);

/* `invalid character 'x' <where>`, or the end of the text. */
static bool refuse(struct parser *p, const char *where)
{
    if (p->at >= p->end) {
        err_set(p->err, ERR_BAD_REQUEST, "unexpected end of JSON input");
        return false;
    }
    unsigned char c = (unsigned char)*p->at;
    char shown[8];
    if (c == '\'' || c == '"')
        snprintf(shown, sizeof(shown), c == '"' ? "'\"'" : "'\\''");
    else if (c >= ' ' && c < 127)
        snprintf(shown, sizeof(shown), "'%c'", c);
    else if (c == '\n' || c == '\t' || c == '\r')
        snprintf(shown, sizeof(shown), "'\\%c'", c == '\n' ? 'n' : c == '\t' ? 't' : 'r');
    else
        snprintf(shown, sizeof(shown), "'\\x%02x'", c);
    err_set(p->err, ERR_BAD_REQUEST, "invalid character %s %s", shown, where);
    return false;
}

static void skip_space(struct parser *p)
{
    while (p->at < p->end && (*p->at == ' ' || *p->at == '\n' || *p->at == '\t' || *p->at == '\r'))
        p->at++;
}

/* The length of the UTF-8 sequence at s; 0 when it is none. */
static size_t utf8_length(const unsigned char *s, size_t left)
{
    unsigned char c = s[0];
    size_t len = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;
    if (len == 0 || len > left)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    /* Overlong forms, surrogates and what lies above U+10FFFF. */
    if ((c == 0xe0 && s[1] < 0xa0) || (c == 0xed && s[1] > 0x9f) || (c == 0xf0 && s[1] < 0x90) ||
        (c == 0xf4 && s[1] > 0x8f))
        return 0;
    return len;
}

static void put_utf8(struct buf *out, unsigned long code)
{
    if (code < 0x80) {
        buf_putc(out, (char)code);
    } else if (code < 0x800) {
        buf_putc(out, (char)(0xc0 | code >> 6));
        buf_putc(out, (char)(0x80 | (code & 0x3f)));
    } else if (code < 0x10000) {
        buf_putc(out, (char)(0xe0 | code >> 12));
        buf_putc(out, (char)(0x80 | (code >> 6 & 0x3f)));
        buf_putc(out, (char)(0x80 | (code & 0x3f)));
    } else {
        buf_putc(out, (char)(0xf0 | code >> 18));
        buf_putc(out, (char)(0x80 | (code >> 12 & 0x3f)));
        buf_putc(out, (char)(0x80 | (code >> 6 & 0x3f)));
        buf_putc(out, (char)(0x80 | (code & 0x3f)));
    }
}

/* Four hexadecimal digits. */
static bool parse_hex(struct parser *p, unsigned long *code)
{
    *code = 0;
    for (int i = 0; i < 4; i++, p->at++) {
        char c = p->at < p->end ? *p->at : '\0';
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10)
                         : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A' + 10)
                                                : 16;
        if (digit == 16)
            return refuse(p, "in \\u hexadecimal character escape");
        *code = *code << 4 | digit;
    }
    return true;
}

/* Behind "\u". A lone surrogate becomes U+FFFD. */
static bool parse_unicode(struct parser *p)
{
    unsigned long code, low;
    if (!parse_hex(p, &code))
        return false;
    if (code == 0) {
        err_set(p->err, ERR_BAD_REQUEST, "invalid character '\\x00' in string literal");
        return false;
    }
    if (code >= 0xd800 && code < 0xdc00 && p->end - p->at >= 6 && p->at[0] == '\\' && p->at[1] == 'u') {
        const char *back = p->at;
        p->at += 2;
        if (!parse_hex(p, &low))
            return false;
        if (low >= 0xdc00 && low < 0xe000) {
            put_utf8(&p->scratch, 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00));
            return true;
        }
        p->at = back;
    }
    put_utf8(&p->scratch, code >= 0xd800 && code < 0xe000 ? 0xfffd : code);
    return true;
}

static bool parse_escape(struct parser *p)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    p->at++;
    if (p->at < p->end && *p->at == 'u') {
        p->at++;
        return parse_unicode(p);
    }
    const char *found = p->at < p->end && *p->at ? strchr(from, *p->at) : NULL;
    if (!found)
        return refuse(p, "in string escape code");
    buf_putc(&p->scratch, to[found - from]);
    p->at++;
    return true;
}

/* The text up to the closing quote, which is taken too. It stands in the input itself unless something in it
 * had to be replaced; then it stands in scratch until the next call. */
static bool parse_string(struct parser *p, const char **text, size_t *len)
{
    const char *start = ++p->at, *copied = start;
    buf_clear(&p->scratch);
    bool changed = false;
    for (;;) {
        p->at += json_plain_len(p->at, (size_t)(p->end - p->at), 1);
        if (p->at >= p->end || (unsigned char)*p->at < ' ')
            return refuse(p, "in string literal");
        if (*p->at == '"')
            break;
        size_t sequence =
            *p->at == '\\' ? 0 : utf8_length((const unsigned char *)p->at, (size_t)(p->end - p->at));
        if (sequence) {
            p->at += sequence;
            continue;
        }
        changed = true;
        buf_append(&p->scratch, copied, (size_t)(p->at - copied));
        if (*p->at != '\\') {
            buf_puts(&p->scratch, REPLACEMENT);
            p->at++;
        } else if (!parse_escape(p)) {
            return false;
        }
        copied = p->at;
    }
    if (changed)
        buf_append(&p->scratch, copied, (size_t)(p->at - copied));
    *text = changed ? buf_str(&p->scratch) : start;
    *len = changed ? p->scratch.len : (size_t)(p->at - start);
    p->at++;
    return true;
}

static bool is_digit(const struct parser *p)
{
    return p->at < p->end && *p->at >= '0' && *p->at <= '9';
}

static void skip_digits(struct parser *p)
{
    while (is_digit(p))
        p->at++;
}

/* Goes over a number by JSON's grammar; *whole says that it has neither fraction nor exponent. */
static bool scan_number(struct parser *p, bool *whole)
{
    *whole = true;
    if (*p->at == '-')
        p->at++;
    if (!is_digit(p))
        return refuse(p, "in numeric literal");
    if (*p->at == '0')
        p->at++;
    else
        skip_digits(p);
    if (p->at < p->end && *p->at == '.') {
        *whole = false;
        p->at++;
        if (!is_digit(p))
            return refuse(p, "after decimal point in numeric literal");
        skip_digits(p);
    }
    if (p->at < p->end && (*p->at == 'e' || *p->at == 'E')) {
        *whole = false;
        p->at++;
        if (p->at < p->end && (*p->at == '+' || *p->at == '-'))
            p->at++;
        if (!is_digit(p))
            return refuse(p, "in exponent of numeric literal");
        skip_digits(p);
    }
    return true;
}

static json_t *parse_number(struct parser *p)
{
    const char *start = p->at;
    bool whole;
    if (!scan_number(p, &whole))
        return NULL;
    char text[NUMBER_MAX];
    size_t len = (size_t)(p->at - start);
    if (len >= sizeof(text)) {
        err_set(p->err, ERR_BAD_REQUEST, "json: cannot unmarshal number into Go value of type float64");
        return NULL;
    }
    memcpy(text, start, len);
    text[len] = '\0';
    errno = 0;
    long long integer = whole ? strtoll(text, NULL, 10) : 0;
    if (whole && errno == 0)
        return json_integer(integer);
    double real = strtod(text, NULL); /* no program here sets a locale */
    if (isinf(real)) {
        err_set(p->err, ERR_BAD_REQUEST, "json: cannot unmarshal number %.64s into Go value of type float64",
                text);
        return NULL;
    }
    return json_real(real);
}

static json_t *parse_word(struct parser *p, const char *word, json_t *value)
{
    for (const char *c = word; *c; c++, p->at++) {
        if (p->at < p->end && *p->at == *c)
            continue;
        char where[64];
        snprintf(where, sizeof(where), "in literal %s (expecting '%c')", word, *c);
        refuse(p, where);
        return NULL;
    }
    return value;
}

static void put_path(struct buf *out, const struct step *step)
{
    if (!step)
        return;
    put_path(out, step->parent);
    if (!step->name)
        buf_printf(out, "[%zu]", step->len);
    else
        buf_printf(out, "%s%.*s", out->len ? "." : "", (int)step->len, step->name);
}

/* A member came twice: the last one counts, as in Go, when the caller wants to hear of it. */
static bool report_duplicate(struct parser *p, const struct step *step)
{
    buf_auto struct buf path = BUF_INIT;
    put_path(&path, step);
    buf_auto struct buf text = BUF_INIT;
    buf_puts(&text, "duplicate field \"");
    buf_append(&text, buf_str(&path), path.len);
    buf_putc(&text, '"');
    if (!p->duplicates) {
        err_set(p->err, ERR_BAD_REQUEST, "%s", buf_str(&text));
        return false;
    }
    json_array_append_new(p->duplicates, json_stringn(text.data, text.len));
    return true;
}

static bool is_name(const struct step *step, const char *name)
{
    return strlen(name) == step->len && memcmp(step->name, name, step->len) == 0;
}

/* One `"name": value`, put into object. */
static bool parse_member(struct parser *p, json_t *object, const struct step *parent)
{
    const char *text;
    size_t len;
    if (p->at >= p->end || *p->at != '"')
        return refuse(p, "looking for beginning of object key string");
    if (!parse_string(p, &text, &len))
        return false;
    /* A name that was put together in scratch does not outlive the next string. */
    mem_auto char *kept = text == p->scratch.data ? mem_strndup(text, len) : NULL;
    struct step step = {parent, kept ? kept : text, len};
    if (p->last && p->depth == 2 && is_name(&step, p->except)) {
        p->ended = true;
        return true;
    }
    skip_space(p);
    if (p->at >= p->end || *p->at != ':')
        return refuse(p, "after object key");
    p->at++;
    json_t *value = parse_value(p, &step);
    if (!value)
        return false;
    if (p->last && p->depth == 1 && is_name(&step, p->last))
        p->ended = true;
    size_t size = json_object_size(object);
    json_object_setn_new_nocheck(object, step.name, len, value);
    return json_object_size(object) > size || report_duplicate(p, &step);
}

static json_t *parse_object(struct parser *p, const struct step *step)
{
    json_t *object = json_object();
    p->at++;
    skip_space(p);
    if (p->at < p->end && *p->at == '}') {
        p->at++;
        return object;
    }
    for (;;) {
        skip_space(p);
        if (!parse_member(p, object, step))
            break;
        if (p->ended)
            return object;
        skip_space(p);
        if (p->at < p->end && *p->at == '}') {
            p->at++;
            return object;
        }
        if (p->at >= p->end || *p->at != ',') {
            refuse(p, "after object key:value pair");
            break;
        }
        p->at++;
    }
    json_decref(object);
    return NULL;
}

static json_t *parse_array(struct parser *p, const struct step *parent)
{
    json_t *array = json_array();
    p->at++;
    skip_space(p);
    if (p->at < p->end && *p->at == ']') {
        p->at++;
        return array;
    }
    for (size_t i = 0;; i++) {
        struct step step = {parent, NULL, i};
        json_t *item = parse_value(p, &step);
        if (!item)
            break;
        json_array_append_new(array, item);
        skip_space(p);
        if (p->at < p->end && *p->at == ']') {
            p->at++;
            return array;
        }
        if (p->at >= p->end || *p->at != ',') {
            refuse(p, "after array element");
            break;
        }
        p->at++;
    }
    json_decref(array);
    return NULL;
}

static json_t *parse_text(struct parser *p)
{
    const char *text = NULL;
    size_t len = 0;
    return parse_string(p, &text, &len) ? json_stringn_nocheck(text, len) : NULL;
}

static json_t *parse_collection(struct parser *p, const struct step *step)
{
    if (p->depth == p->depth_max) {
        err_set(p->err, ERR_BAD_REQUEST, "exceeded max depth");
        return NULL;
    }
    p->depth++;
    json_t *value = *p->at == '{' ? parse_object(p, step) : parse_array(p, step);
    p->depth--;
    return value;
}

static json_t *parse_value(struct parser *p, const struct step *step)
{
    skip_space(p);
    char c = p->at < p->end ? *p->at : '\0';
    if (c == '{' || c == '[')
        return parse_collection(p, step);
    if (c == '"')
        return parse_text(p);
    if (c == '-' || (c >= '0' && c <= '9'))
        return parse_number(p);
    if (c == 't')
        return parse_word(p, "true", json_true());
    if (c == 'f')
        return parse_word(p, "false", json_false());
    if (c == 'n')
        return parse_word(p, "null", json_null());
    refuse(p, "looking for beginning of value");
    return NULL;
}

static json_t *parse(const void *text, size_t len, unsigned depth_max, json_t *duplicates, struct err *err)
{
    const char *start = len ? text : "";
    struct parser p = {
        .at = start, .end = start + len, .depth_max = depth_max, .duplicates = duplicates, .err = err};
    json_t *value = parse_value(&p, NULL);
    skip_space(&p);
    if (value && p.at < p.end) {
        refuse(&p, "after top-level value");
        json_decref(value);
        value = NULL;
    }
    buf_free(&p.scratch);
    return value;
}

json_t *json_parse(const void *text, size_t len, struct err *err)
{
    return parse(text, len, JSON_DEPTH_MAX, NULL, err);
}

json_t *json_parse_stored(const void *text, size_t len, struct err *err)
{
    return parse(text, len, 2 * JSON_DEPTH_MAX, NULL, err);
}

json_t *json_parse_beginning(const void *text, size_t len, const char *last, const char *except,
                             struct err *err)
{
    const char *start = len ? text : "";
    struct parser p = {.at = start,
                       .end = start + len,
                       .depth_max = 2 * JSON_DEPTH_MAX,
                       .last = last,
                       .except = except,
                       .err = err};
    json_t *value = parse_value(&p, NULL);
    buf_free(&p.scratch);
    return value;
}

json_t *json_parse_reporting(const void *text, size_t len, json_t *duplicates, struct err *err)
{
    return parse(text, len, JSON_DEPTH_MAX, duplicates, err);
}
