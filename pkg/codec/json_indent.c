/* See json_indent.h. */
#include "codec/json_indent.h"

static void new_line(struct buf *out, const struct json_indent *state)
{
    buf_putc(out, '\n');
    for (unsigned i = 0; i < state->depth; i++)
        buf_puts(out, "  ");
}

static void put_in_string(struct buf *out, struct json_indent *state, char c)
{
    buf_putc(out, c);
    if (c == '"' && !state->escaped)
        state->in_string = false;
    state->escaped = c == '\\' && !state->escaped;
}

static void close_bracket(struct buf *out, struct json_indent *state, char c)
{
    if (state->depth)
        state->depth--;
    if (!state->opened)
        new_line(out, state);
    state->opened = false;
    buf_putc(out, c);
}

/* The first byte of a value or of a member's name. */
static void begin(struct buf *out, struct json_indent *state)
{
    if (state->opened)
        new_line(out, state);
    state->opened = false;
}

static void put_outside(struct buf *out, struct json_indent *state, char c)
{
    switch (c) {
    case ' ':
    case '\t':
    case '\n':
    case '\r':
        return;
    case '}':
    case ']':
        close_bracket(out, state, c);
        return;
    case ',':
        buf_putc(out, c);
        new_line(out, state);
        return;
    case ':':
        buf_puts(out, ": ");
        return;
    default:
        begin(out, state);
        buf_putc(out, c);
        state->in_string = c == '"';
        state->opened = c == '{' || c == '[';
        state->depth += state->opened;
    }
}

void json_indent_put(struct buf *out, struct json_indent *state, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (state->in_string)
            put_in_string(out, state, text[i]);
        else
            put_outside(out, state, text[i]);
}
