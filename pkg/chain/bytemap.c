/* See bytemap.h. Open addressing with linear probing; removal shifts the following slots back. */
#include "chain/bytemap.h"

#include "base/mem.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct bytemap_slot {
    const void *key; /* NULL: free */
    uint32_t len;
    uint32_t value;
    uint64_t hash;
};

static uint64_t bytes_hash(const void *key, size_t len)
{
    const uint8_t *p = key;
    uint64_t hash = 0x9e3779b97f4a7c15u ^ len;
    for (; len >= 8; p += 8, len -= 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        hash = (hash ^ word) * 0xff51afd7ed558ccdu;
        hash ^= hash >> 32;
    }
    uint64_t word = 0;
    memcpy(&word, p, len);
    hash = (hash ^ word) * 0xff51afd7ed558ccdu;
    return hash ^ hash >> 29;
}

void bytemap_free(struct bytemap *map)
{
    free(map->slots);
    *map = (struct bytemap)BYTEMAP_INIT;
}

void bytemap_clear(struct bytemap *map)
{
    if (map->count)
        memset(map->slots, 0, map->capacity * sizeof(*map->slots));
    map->count = 0;
}

/* The slot of a key, or the free slot where it would be. */
static size_t slot_find(const struct bytemap *map, const void *key, size_t len, uint64_t hash)
{
    size_t mask = map->capacity - 1;
    size_t i = hash & mask;
    while (map->slots[i].key) {
        const struct bytemap_slot *slot = &map->slots[i];
        if (slot->hash == hash && slot->len == len && memcmp(slot->key, key, len) == 0)
            break;
        i = (i + 1) & mask;
    }
    return i;
}

uint32_t bytemap_get(const struct bytemap *map, const void *key, size_t len)
{
    if (!map->count)
        return BYTEMAP_NONE;
    const struct bytemap_slot *slot = &map->slots[slot_find(map, key, len, bytes_hash(key, len))];
    return slot->key ? slot->value : BYTEMAP_NONE;
}

static void map_grow(struct bytemap *map)
{
    struct bytemap_slot *old = map->slots;
    size_t old_capacity = map->capacity;
    map->capacity = old_capacity ? 2 * old_capacity : 64;
    map->slots = mem_calloc(map->capacity, sizeof(*map->slots));
    for (size_t i = 0; i < old_capacity; i++)
        if (old[i].key)
            map->slots[slot_find(map, old[i].key, old[i].len, old[i].hash)] = old[i];
    free(old);
}

void bytemap_set(struct bytemap *map, const void *key, size_t len, uint32_t value)
{
    assert(key && len <= UINT32_MAX);
    if (4 * (map->count + 1) > 3 * map->capacity)
        map_grow(map);
    uint64_t hash = bytes_hash(key, len);
    struct bytemap_slot *slot = &map->slots[slot_find(map, key, len, hash)];
    if (!slot->key) {
        map->count++;
        *slot = (struct bytemap_slot){key, (uint32_t)len, value, hash};
    }
    slot->value = value;
}

void bytemap_remove(struct bytemap *map, const void *key, size_t len)
{
    if (!map->count)
        return;
    size_t mask = map->capacity - 1;
    size_t hole = slot_find(map, key, len, bytes_hash(key, len));
    if (!map->slots[hole].key)
        return;
    map->count--;
    for (size_t i = (hole + 1) & mask; map->slots[i].key; i = (i + 1) & mask) {
        /* A slot may move back to the hole unless that would put it before its own place. */
        size_t home = map->slots[i].hash & mask;
        if (((i - home) & mask) < ((i - hole) & mask))
            continue;
        map->slots[hole] = map->slots[i];
        hole = i;
    }
    map->slots[hole].key = NULL;
}
