/* The text form of label selectors: see the head of selector.c. */
#include "object/selector_internal.h"

#include "base/mem.h"
#include "object/names.h"
#include "object/quote.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum token_kind {
    TOKEN_ERROR,
    TOKEN_END,
    TOKEN_CLOSE,
    TOKEN_COMMA,
    TOKEN_NOT,
    TOKEN_DOUBLE_EQUALS,
    TOKEN_EQUALS,
    TOKEN_GREATER,
    TOKEN_NAME,
    TOKEN_IN,
    TOKEN_LESS,
    TOKEN_NOT_EQUALS,
    TOKEN_NOT_IN,
    TOKEN_OPEN,
};

struct token {
    enum token_kind kind;
    char *text;
};

struct parser {
    const char *at;
    struct token *tokens;
    size_t count;
    size_t position;
    struct err *err;
};

#define SPECIAL "=!(),><"
#define BLANK " \t\r\n"

static const struct {
    const char *text;
    enum token_kind kind;
} literals[] = {
    {")", TOKEN_CLOSE},       {",", TOKEN_COMMA},      {"!", TOKEN_NOT},  {"==", TOKEN_DOUBLE_EQUALS},
    {"=", TOKEN_EQUALS},      {">", TOKEN_GREATER},    {"in", TOKEN_IN},  {"<", TOKEN_LESS},
    {"!=", TOKEN_NOT_EQUALS}, {"notin", TOKEN_NOT_IN}, {"(", TOKEN_OPEN},
};

static enum token_kind literal_kind(const char *text, size_t len)
{
    for (size_t i = 0; i < sizeof(literals) / sizeof(literals[0]); i++)
        if (strlen(literals[i].text) == len && !memcmp(literals[i].text, text, len))
            return literals[i].kind;
    return TOKEN_ERROR;
}

static void token_add(struct parser *p, enum token_kind kind, char *text)
{
    p->tokens = mem_reallocarray(p->tokens, p->count + 1, sizeof(*p->tokens));
    p->tokens[p->count++] = (struct token){kind, text};
}

/* The longest operator that starts here; every special character but a lone one starts with an operator. */
static void scan_special(struct parser *p)
{
    size_t len = p->at[1] && literal_kind(p->at, 2) != TOKEN_ERROR ? 2 : 1;
    token_add(p, literal_kind(p->at, len), mem_strndup(p->at, len));
    p->at += len;
}

static void scan_name(struct parser *p)
{
    size_t len = strcspn(p->at, SPECIAL BLANK);
    enum token_kind kind = literal_kind(p->at, len);
    token_add(p, kind == TOKEN_ERROR ? TOKEN_NAME : kind, mem_strndup(p->at, len));
    p->at += len;
}

static void scan(struct parser *p)
{
    for (;;) {
        p->at += strspn(p->at, BLANK);
        if (!*p->at)
            break;
        if (strchr(SPECIAL, *p->at))
            scan_special(p);
        else
            scan_name(p);
    }
    token_add(p, TOKEN_END, mem_strdup(""));
}

/* The next token; "in" and "notin" are words like others wherever a key or a value may stand. */
static struct token look(const struct parser *p, bool operators)
{
    struct token token = p->tokens[p->position < p->count ? p->position : p->count - 1];
    if (!operators && (token.kind == TOKEN_IN || token.kind == TOKEN_NOT_IN))
        token.kind = TOKEN_NAME;
    return token;
}

static struct token take(struct parser *p, bool operators)
{
    struct token token = look(p, operators);
    p->position++;
    return token;
}

static int expected(struct parser *p, const char *found, const char *format)
{
    return err_set(p->err, ERR_BAD_REQUEST, "found '%s'%s", found, format);
}

static int parse_operator(struct parser *p, enum selector_op *op)
{
    struct token token = take(p, true);
    switch (token.kind) {
    case TOKEN_IN:
        *op = SELECTOR_IN;
        return 0;
    case TOKEN_NOT_IN:
        *op = SELECTOR_NOT_IN;
        return 0;
    case TOKEN_EQUALS:
    case TOKEN_DOUBLE_EQUALS:
        *op = SELECTOR_EQUALS;
        return 0;
    case TOKEN_NOT_EQUALS:
        *op = SELECTOR_NOT_EQUALS;
        return 0;
    case TOKEN_GREATER:
        *op = SELECTOR_GREATER;
        return 0;
    case TOKEN_LESS:
        *op = SELECTOR_LESS;
        return 0;
    default:
        return expected(p, token.text, ", expected: in, notin, =, ==, !=, gt, lt");
    }
}

static int parse_list(struct parser *p, struct requirement *r)
{
    for (;;) {
        struct token token = take(p, false);
        enum token_kind next = look(p, false).kind;
        if (token.kind == TOKEN_NAME) {
            requirement_add_value(r, token.text);
            if (next == TOKEN_CLOSE)
                return 0;
            if (next != TOKEN_COMMA)
                return expected(p, look(p, false).text, ", expected: ',' or ')'");
        } else if (token.kind == TOKEN_COMMA) {
            if (!r->value_count || next == TOKEN_CLOSE || next == TOKEN_COMMA)
                requirement_add_value(r, "");
            if (next == TOKEN_CLOSE)
                return 0;
        } else {
            return expected(p, token.text, ", expected: ',', or identifier");
        }
    }
}

static int parse_set(struct parser *p, struct requirement *r)
{
    struct token token = take(p, false);
    if (token.kind != TOKEN_OPEN)
        return expected(p, token.text, " expected: '('");
    token = look(p, false);
    if (token.kind == TOKEN_CLOSE) {
        take(p, false);
        requirement_add_value(r, "");
        return 0;
    }
    if (token.kind != TOKEN_NAME && token.kind != TOKEN_COMMA)
        return expected(p, token.text, ", expected: ',', ')' or identifier");
    int rc = parse_list(p, r);
    if (!rc)
        take(p, false); /* the closing parenthesis, which parse_list saw */
    return rc;
}

static int parse_exact(struct parser *p, struct requirement *r)
{
    struct token token = look(p, false);
    if (token.kind == TOKEN_END || token.kind == TOKEN_COMMA) {
        requirement_add_value(r, "");
        return 0;
    }
    take(p, false);
    if (token.kind != TOKEN_NAME)
        return expected(p, token.text, ", expected: identifier");
    requirement_add_value(r, token.text);
    return 0;
}

static int check_key(struct parser *p, const char *key)
{
    struct name_faults faults = {0};
    if (name_check_label_key(&faults, key))
        return 0;
    struct buf text buf_auto = BUF_INIT;
    quote_append(&text, key);
    buf_puts(&text, ": ");
    name_faults_join(&text, &faults, "; ");
    /* The parser has no path to name, which Go renders so. */
    return err_set(p->err, ERR_BAD_REQUEST, "<nil>: Invalid value: %s", buf_str(&text));
}

static int parse_values(struct parser *p, struct requirement *r)
{
    int rc = parse_operator(p, &r->op);
    if (rc)
        return rc;
    bool set = r->op == SELECTOR_IN || r->op == SELECTOR_NOT_IN;
    rc = set ? parse_set(p, r) : parse_exact(p, r);
    if (rc)
        return rc;
    requirement_sort_values(r);
    struct buf faults buf_auto = BUF_INIT;
    requirement_check(r, &faults);
    if (strstr(buf_str(&faults), ", values["))
        return err_set(p->err, ERR_BAD_REQUEST, "[%s]", buf_str(&faults));
    return faults.len ? err_set(p->err, ERR_BAD_REQUEST, "%s", buf_str(&faults)) : 0;
}

static int parse_requirement(struct parser *p, struct selector *selector)
{
    struct token token = take(p, false);
    bool negated = token.kind == TOKEN_NOT;
    if (negated)
        token = take(p, false);
    if (token.kind != TOKEN_NAME)
        return expected(p, token.text, ", expected: identifier");
    int rc = check_key(p, token.text);
    if (rc)
        return rc;
    struct requirement *r =
        selector_add(selector, token.text, negated ? SELECTOR_NOT_EXISTS : SELECTOR_EXISTS);
    enum token_kind next = look(p, false).kind;
    if (negated || next == TOKEN_END || next == TOKEN_COMMA)
        return 0;
    return parse_values(p, r);
}

static int parse(struct parser *p, struct selector *selector)
{
    for (;;) {
        struct token token = look(p, false);
        if (token.kind == TOKEN_END)
            return 0;
        if (token.kind != TOKEN_NAME && token.kind != TOKEN_NOT)
            return expected(p, token.text, ", expected: !, identifier, or 'end of string'");
        if (parse_requirement(p, selector))
            return p->err ? err_wrap(p->err, "unable to parse requirement") : ERR_BAD_REQUEST;
        token = take(p, false);
        if (token.kind == TOKEN_END)
            return 0;
        if (token.kind != TOKEN_COMMA)
            return expected(p, token.text, ", expected: ',' or 'end of string'");
        token = look(p, false);
        if (token.kind != TOKEN_NAME && token.kind != TOKEN_NOT)
            return expected(p, token.text, ", expected: identifier after ','");
    }
}

int selector_parse_labels(struct selector **out, const char *text, struct err *err)
{
    struct parser p = {.at = text, .err = err};
    scan(&p);
    struct selector *selector = selector_new();
    int rc = parse(&p, selector);
    for (size_t i = 0; i < p.count; i++)
        free(p.tokens[i].text);
    free(p.tokens);
    if (rc) {
        selector_free(selector);
        return rc;
    }
    selector_sort(selector);
    *out = selector;
    return 0;
}
