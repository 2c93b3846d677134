/* See arena.h. */
#include "chain/arena.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK_SIZE 2032 /* with malloc's own header, a 2 KiB block: most transactions need one or two */

struct arena_chunk {
    struct arena_chunk *next;
    size_t size;
    _Alignas(16) uint8_t data[];
};

static void *chunk_add(struct arena *arena, size_t size)
{
    struct arena_chunk *chunk = mem_alloc(sizeof(*chunk) + size);
    chunk->next = arena->chunks;
    chunk->size = size;
    arena->chunks = chunk;
    return chunk->data;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    size_t rounded = (size + 15) & ~(size_t)15;
    if (rounded <= arena->left) {
        void *p = arena->next;
        arena->next += rounded;
        arena->left -= rounded;
        return p;
    }
    /* A large piece gets a chunk of its own, and the rest of the current chunk stays in use. */
    if (rounded > CHUNK_SIZE / 2)
        return chunk_add(arena, rounded);
    uint8_t *data = chunk_add(arena, CHUNK_SIZE);
    arena->next = data + rounded;
    arena->left = CHUNK_SIZE - rounded;
    return data;
}

void *arena_zalloc(struct arena *arena, size_t size)
{
    return memset(arena_alloc(arena, size), 0, size);
}

void *arena_dup(struct arena *arena, const void *data, size_t size)
{
    return size ? memcpy(arena_alloc(arena, size), data, size) : NULL;
}

char *arena_strdup(struct arena *arena, const char *s)
{
    return arena_dup(arena, s ? s : "", s ? strlen(s) + 1 : 1);
}

void arena_free(struct arena *arena)
{
    for (struct arena_chunk *chunk = arena->chunks; chunk;) {
        struct arena_chunk *next = chunk->next;
        free(chunk);
        chunk = next;
    }
    *arena = (struct arena)ARENA_INIT;
}
