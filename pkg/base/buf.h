/* A growable byte buffer. Always NUL-terminated behind its length, so a text in it is a C string. */
#ifndef KATENA_BASE_BUF_H
#define KATENA_BASE_BUF_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct buf {
    char *data; /* NULL until something is put in; owned */
    size_t len;
    size_t cap;
};

#define BUF_INIT   \
    {              \
        NULL, 0, 0 \
    }
#define buf_auto __attribute__((cleanup(buf_free)))

void buf_free(struct buf *b);                 /* frees the bytes; b is empty and usable again */
void buf_clear(struct buf *b);                /* length 0, memory kept */
void buf_reserve(struct buf *b, size_t more); /* room for that many further bytes */
void buf_append(struct buf *b, const void *p, size_t n);
void buf_puts(struct buf *b, const char *s);
void buf_putc(struct buf *b, char c);
void buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_consume(struct buf *b, size_t n); /* drops the first n bytes */
char *buf_steal(struct buf *b);            /* the bytes, now the caller's to free; b is empty */
const char *buf_str(const struct buf *b);  /* never NULL; "" when empty */

#endif
