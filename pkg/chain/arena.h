/*
 * A bump arena: many small pieces of memory that are freed together. Pieces are aligned to 16 bytes and
 * stay where they are until arena_free.
 */
#ifndef KATENA_CHAIN_ARENA_H
#define KATENA_CHAIN_ARENA_H

#include <stddef.h>
#include <stdint.h>

struct arena_chunk;

struct arena {
    struct arena_chunk *chunks; /* the newest first */
    uint8_t *next;
    size_t left;
};

#define ARENA_INIT    \
    {                 \
        NULL, NULL, 0 \
    }

void *arena_alloc(struct arena *arena, size_t size); /* not zeroed */
void *arena_zalloc(struct arena *arena, size_t size);
void *arena_dup(struct arena *arena, const void *data, size_t size); /* NULL for size 0 */
char *arena_strdup(struct arena *arena, const char *s);              /* "" for NULL */
void arena_free(struct arena *arena); /* all of it; the arena is empty and usable again */

#endif
