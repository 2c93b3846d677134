/* See mem.h. */
#include "base/mem.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static void *mem_check(void *p, size_t size)
{
    if (!p && size) {
        fprintf(stderr, "katena: out of memory (%zu bytes)\n", size);
        abort();
    }
    return p;
}

void *mem_alloc(size_t size)
{
    return mem_check(malloc(size ? size : 1), size ? size : 1);
}

void *mem_zalloc(size_t size)
{
    return mem_calloc(1, size);
}

void *mem_calloc(size_t n, size_t size)
{
    if (!n || !size)
        n = size = 1;
    return mem_check(calloc(n, size), size);
}

void *mem_realloc(void *p, size_t size)
{
    return mem_check(realloc(p, size ? size : 1), size ? size : 1);
}

void *mem_reallocarray(void *p, size_t n, size_t size)
{
    if (size && n > SIZE_MAX / size)
        mem_check(NULL, SIZE_MAX);
    return mem_realloc(p, n * size);
}

void *mem_dup(const void *p, size_t size)
{
    void *copy = mem_alloc(size);
    if (size)
        memcpy(copy, p, size);
    return copy;
}

char *mem_strdup(const char *s)
{
    return s ? mem_dup(s, strlen(s) + 1) : NULL;
}

char *mem_strndup(const char *s, size_t n)
{
    size_t len = strnlen(s, n);
    char *copy = mem_alloc(len + 1);
    memcpy(copy, s, len);
    copy[len] = '\0';
    return copy;
}

char *mem_printf(const char *format, ...)
{
    char *s = NULL;
    va_list args;
    va_start(args, format);
    int n = vasprintf(&s, format, args);
    va_end(args);
    return mem_check(n < 0 ? NULL : s, 1);
}
