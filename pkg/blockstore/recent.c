/* See recent.h. */
#include "blockstore/recent.h"

#include "base/mem.h"

#include <pthread.h>
#include <string.h>

#define BUCKETS 1024
#define NONE UINT32_MAX

struct recent {
    pthread_mutex_t lock;
    struct recent_entry *entries; /* in chain order */
    uint32_t *next;               /* of the entry, in its bucket */
    size_t count, cap;
    int64_t oldest_us; /* time of the first entry's block */
    uint32_t buckets[BUCKETS];
};

struct recent *recent_new(void)
{
    struct recent *recent = mem_zalloc(sizeof(*recent));
    pthread_mutex_init(&recent->lock, NULL);
    memset(recent->buckets, 0xff, sizeof(recent->buckets));
    return recent;
}

void recent_free(struct recent *recent)
{
    if (!recent)
        return;
    pthread_mutex_destroy(&recent->lock);
    free(recent->entries);
    free(recent->next);
    free(recent);
}

/* Ids are hashes: any of their bits will do. */
static uint32_t bucket_of(const uint8_t id[TX_ID_SIZE])
{
    return (id[0] | (uint32_t)id[1] << 8) % BUCKETS;
}

static void link_entry(struct recent *recent, size_t at)
{
    uint32_t *bucket = &recent->buckets[bucket_of(recent->entries[at].id)];
    recent->next[at] = *bucket;
    *bucket = (uint32_t)at;
}

static void add_entry(struct recent *recent, const uint8_t id[TX_ID_SIZE], uint64_t height, uint32_t index)
{
    if (recent->count == recent->cap) {
        recent->cap = recent->cap ? 2 * recent->cap : 64;
        recent->entries = mem_reallocarray(recent->entries, recent->cap, sizeof(*recent->entries));
        recent->next = mem_reallocarray(recent->next, recent->cap, sizeof(*recent->next));
    }
    struct recent_entry *entry = &recent->entries[recent->count];
    memcpy(entry->id, id, TX_ID_SIZE);
    entry->height = height;
    entry->index = index;
    link_entry(recent, recent->count++);
}

void recent_add(struct recent *recent, const struct block *block, bool with_hash)
{
    static const uint8_t none[TX_ID_SIZE];
    uint64_t height = block->header.height;
    pthread_mutex_lock(&recent->lock);
    if (!recent->count)
        recent->oldest_us = block->header.time_us;
    for (uint32_t i = 0; i < block->header.tx_count; i++) {
        const struct tx *tx = block->txs[i];
        add_entry(recent, tx->id, height, i | RECENT_TX);
        if (memcmp(tx->original, none, TX_ID_SIZE) != 0)
            add_entry(recent, tx->original, height, i | (uint32_t)RECENT_ORIGINAL);
    }
    if (with_hash)
        add_entry(recent, block->header.hash, height, (uint32_t)RECENT_BLOCK);
    pthread_mutex_unlock(&recent->lock);
}

bool recent_is_due(struct recent *recent, int64_t time_us)
{
    pthread_mutex_lock(&recent->lock);
    bool due = recent->count >= RECENT_MAX || (recent->count && recent->oldest_us < time_us);
    pthread_mutex_unlock(&recent->lock);
    return due;
}

static int by_id(const void *a, const void *b)
{
    return memcmp(((const struct recent_entry *)a)->id, ((const struct recent_entry *)b)->id, TX_ID_SIZE);
}

struct recent_entry *recent_sorted(struct recent *recent, size_t *count)
{
    pthread_mutex_lock(&recent->lock);
    *count = recent->count;
    struct recent_entry *sorted = mem_calloc(*count + 1, sizeof(*sorted));
    if (*count)
        memcpy(sorted, recent->entries, *count * sizeof(*sorted));
    pthread_mutex_unlock(&recent->lock);
    qsort(sorted, *count, sizeof(*sorted), by_id);
    return sorted;
}

/* Fills the buckets anew; the lock is held. */
static void link_all(struct recent *recent)
{
    memset(recent->buckets, 0xff, sizeof(recent->buckets));
    for (size_t i = 0; i < recent->count; i++)
        link_entry(recent, i);
}

void recent_drop(struct recent *recent, uint64_t height)
{
    pthread_mutex_lock(&recent->lock);
    while (recent->count && recent->entries[recent->count - 1].height >= height)
        recent->count--;
    link_all(recent);
    pthread_mutex_unlock(&recent->lock);
}

void recent_forget(struct recent *recent, uint64_t up_to_height)
{
    pthread_mutex_lock(&recent->lock);
    size_t gone = 0;
    while (gone < recent->count && recent->entries[gone].height <= up_to_height)
        gone++;
    recent->count -= gone;
    memmove(recent->entries, recent->entries + gone, recent->count * sizeof(*recent->entries));
    link_all(recent);
    pthread_mutex_unlock(&recent->lock);
}

bool recent_find(struct recent *recent, const uint8_t id[TX_ID_SIZE], enum recent_kind kind, uint64_t *height,
                 uint32_t *index)
{
    bool found = false;
    pthread_mutex_lock(&recent->lock);
    uint32_t at = recent->buckets[bucket_of(id)];
    while (at != NONE && !found) {
        const struct recent_entry *entry = &recent->entries[at];
        found = (entry->index & RECENT_KIND) == (uint32_t)kind && !memcmp(entry->id, id, TX_ID_SIZE);
        if (found) {
            *height = entry->height;
            *index = entry->index & ~RECENT_KIND;
        }
        at = recent->next[at];
    }
    pthread_mutex_unlock(&recent->lock);
    return found;
}
