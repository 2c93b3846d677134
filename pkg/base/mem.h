/*
 * Memory that is there. Running out of memory ends the process with a message: a node that is killed at
 * any instant loses nothing (the chain is on disk before an answer leaves), so a restart is the one
 * recovery path, and no caller carries a branch that can never be tested.
 */
#ifndef KATENA_BASE_MEM_H
#define KATENA_BASE_MEM_H

#include <stddef.h>
#include <stdlib.h>

void *mem_alloc(size_t size);            /* never NULL; the caller frees with free() */
void *mem_zalloc(size_t size);           /* zeroed */
void *mem_calloc(size_t n, size_t size); /* zeroed; n * size is checked for overflow */
void *mem_realloc(void *p, size_t size); /* as realloc, never NULL */
void *mem_reallocarray(void *p, size_t n, size_t size);
void *mem_dup(const void *p, size_t size); /* a copy of size bytes */
char *mem_strdup(const char *s);           /* NULL for NULL */
char *mem_strndup(const char *s, size_t n);
char *mem_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Cleanup attributes: `mem_auto char *s = mem_strdup(x);` is freed when the scope ends. */
static inline void mem_auto_free(void *p)
{
    free(*(void **)p);
}
#define mem_auto __attribute__((cleanup(mem_auto_free)))

#endif
