/*
 * A map from borrowed byte strings to small numbers, for the sets of one block (ids, key bytes). Nothing
 * depends on the order inside it.
 */
#ifndef KATENA_CHAIN_BYTEMAP_H
#define KATENA_CHAIN_BYTEMAP_H

#include <stddef.h>
#include <stdint.h>

#define BYTEMAP_NONE UINT32_MAX

struct bytemap_slot;

struct bytemap {
    struct bytemap_slot *slots;
    size_t capacity; /* 0 or a power of two */
    size_t count;
};

#define BYTEMAP_INIT \
    {                \
        NULL, 0, 0   \
    }

void bytemap_free(struct bytemap *map);
void bytemap_clear(struct bytemap *map); /* empty, memory kept */

/* The value of a key, or BYTEMAP_NONE. */
uint32_t bytemap_get(const struct bytemap *map, const void *key, size_t len);

/* Sets the value of a key; the key's bytes stay the caller's and have to outlive it in the map. */
void bytemap_set(struct bytemap *map, const void *key, size_t len, uint32_t value);

void bytemap_remove(struct bytemap *map, const void *key, size_t len);

#endif
