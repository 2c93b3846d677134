/* See quote.h. */
#include "object/quote.h"

static const char *short_escape(unsigned char c)
{
    switch (c) {
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '\a':
        return "\\a";
    case '\b':
        return "\\b";
    case '\f':
        return "\\f";
    case '\n':
        return "\\n";
    case '\r':
        return "\\r";
    case '\t':
        return "\\t";
    case '\v':
        return "\\v";
    default:
        return NULL;
    }
}

void quote_append(struct buf *out, const char *text)
{
    buf_putc(out, '"');
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        const char *escape = short_escape(*p);
        if (escape)
            buf_puts(out, escape);
        else if (*p < ' ' || *p == 0x7f)
            buf_printf(out, "\\x%02x", *p);
        else
            buf_putc(out, (char)*p);
    }
    buf_putc(out, '"');
}

char *quote_text(const char *text)
{
    struct buf out = BUF_INIT;
    quote_append(&out, text);
    return buf_steal(&out);
}
