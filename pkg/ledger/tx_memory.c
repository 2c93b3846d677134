/* See tx_memory.h: a ring of entries in the order of their coming, found through a map of their ids. */
#include "ledger/tx_memory.h"

#include "base/mem.h"
#include "chain/bytemap.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

struct entry {
    uint8_t id[TX_ID_SIZE];
    enum tx_memory_state state; /* TX_MEMORY_NONE: free */
    char *reason;
};

struct tx_memory {
    pthread_mutex_t lock;
    struct entry *ring; /* grows up to TX_MEMORY_MAX */
    size_t cap, next;
    struct bytemap map; /* id -> place in the ring */
};

struct tx_memory *tx_memory_new(void)
{
    struct tx_memory *memory = mem_zalloc(sizeof(*memory));
    pthread_mutex_init(&memory->lock, NULL);
    return memory;
}

static void entry_clear(struct tx_memory *memory, struct entry *entry)
{
    if (entry->state == TX_MEMORY_NONE)
        return;
    bytemap_remove(&memory->map, entry->id, TX_ID_SIZE);
    free(entry->reason);
    *entry = (struct entry){0};
}

void tx_memory_free(struct tx_memory *memory)
{
    if (!memory)
        return;
    for (size_t i = 0; i < memory->cap; i++)
        free(memory->ring[i].reason);
    bytemap_free(&memory->map);
    free(memory->ring);
    pthread_mutex_destroy(&memory->lock);
    free(memory);
}

static struct entry *find(struct tx_memory *memory, const uint8_t id[TX_ID_SIZE])
{
    uint32_t place = bytemap_get(&memory->map, id, TX_ID_SIZE);
    return place == BYTEMAP_NONE ? NULL : &memory->ring[place];
}

/* The map borrows the ids, so a ring that moves is mapped anew. */
static void grow(struct tx_memory *memory)
{
    size_t cap = memory->cap ? 2 * memory->cap : 64;
    memory->ring = mem_reallocarray(memory->ring, cap, sizeof(*memory->ring));
    memset(memory->ring + memory->cap, 0, (cap - memory->cap) * sizeof(*memory->ring));
    bytemap_clear(&memory->map);
    for (size_t i = 0; i < memory->cap; i++)
        if (memory->ring[i].state != TX_MEMORY_NONE)
            bytemap_set(&memory->map, memory->ring[i].id, TX_ID_SIZE, (uint32_t)i);
    memory->next = memory->cap;
    memory->cap = cap;
}

static struct entry *add(struct tx_memory *memory, const uint8_t id[TX_ID_SIZE])
{
    if (memory->next == memory->cap)
        memory->next = 0;
    /* Where each comes and goes, a small ring is enough. */
    if (!memory->ring || (memory->cap < TX_MEMORY_MAX && memory->ring[memory->next].state != TX_MEMORY_NONE))
        grow(memory);
    size_t place = memory->next++;
    struct entry *entry = &memory->ring[place];
    entry_clear(memory, entry);
    memcpy(entry->id, id, TX_ID_SIZE);
    bytemap_set(&memory->map, entry->id, TX_ID_SIZE, (uint32_t)place);
    return entry;
}

void tx_memory_put(struct tx_memory *memory, const uint8_t id[TX_ID_SIZE], enum tx_memory_state state,
                   const char *reason)
{
    pthread_mutex_lock(&memory->lock);
    struct entry *entry = find(memory, id);
    if (!entry)
        entry = add(memory, id);
    entry->state = state;
    free(entry->reason);
    entry->reason = reason && *reason ? mem_strndup(reason, TX_MEMORY_REASON - 1) : NULL;
    pthread_mutex_unlock(&memory->lock);
}

void tx_memory_drop(struct tx_memory *memory, const uint8_t id[TX_ID_SIZE])
{
    pthread_mutex_lock(&memory->lock);
    struct entry *entry = find(memory, id);
    if (entry)
        entry_clear(memory, entry);
    pthread_mutex_unlock(&memory->lock);
}

void tx_memory_drop_orphan(struct tx_memory *memory, const uint8_t id[TX_ID_SIZE])
{
    pthread_mutex_lock(&memory->lock);
    struct entry *entry = find(memory, id);
    if (entry && entry->state == TX_MEMORY_ORPHAN)
        entry_clear(memory, entry);
    pthread_mutex_unlock(&memory->lock);
}

enum tx_memory_state tx_memory_get(struct tx_memory *memory, const uint8_t id[TX_ID_SIZE],
                                   char reason[TX_MEMORY_REASON])
{
    pthread_mutex_lock(&memory->lock);
    const struct entry *entry = find(memory, id);
    enum tx_memory_state state = entry ? entry->state : TX_MEMORY_NONE;
    snprintf(reason, TX_MEMORY_REASON, "%s", entry && entry->reason ? entry->reason : "");
    pthread_mutex_unlock(&memory->lock);
    return state;
}
