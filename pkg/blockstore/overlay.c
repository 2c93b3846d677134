/* See overlay.h. */
#include "blockstore/overlay.h"

#include "base/buf.h"
#include "base/mem.h"
#include "blockstore/lmdb_key.h"
#include "state/record.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int overlay_compare(const void *a, size_t a_len, const void *b, size_t b_len)
{
    int order = memcmp(a, b, a_len < b_len ? a_len : b_len);
    if (order)
        return order;
    return a_len < b_len ? -1 : a_len > b_len;
}

/* ---- a block ---- */

static void copy_object(struct late_block *block, struct state_object *out, const struct state_object *object,
                        struct buf *record)
{
    buf_clear(record);
    state_record_encode(record, object);
    void *bytes = arena_dup(&block->arena, record->data, record->len);
    bool decoded = state_record_decode(out, bytes, record->len);
    assert(decoded);
    (void)decoded;
    block->bytes += record->len;
}

static int entry_order(const void *a, const void *b)
{
    const struct overlay_entry *x = a, *y = b;
    int order = overlay_compare(x->key, x->key_len, y->key, y->key_len);
    return order ? order : x->change < y->change ? -1 : x->change > y->change;
}

/* Of several changes of an object the last. */
static void entries_make(struct late_block *block)
{
    size_t count = block->update.change_count, kept = 0;
    block->entries = arena_alloc(&block->arena, (count + 1) * sizeof(*block->entries));
    for (size_t i = 0; i < count; i++) {
        uint8_t key[LMDB_KEY_MAX];
        size_t len = lmdb_key_of(key, &block->update.changes[i].object.key);
        block->entries[i] = (struct overlay_entry){arena_dup(&block->arena, key, len), len,
                                                   &block->update.changes[i], block->header.height};
    }
    qsort(block->entries, count, sizeof(*block->entries), entry_order);
    for (size_t i = 0; i < count; i++) {
        const struct overlay_entry *last = kept ? &block->entries[kept - 1] : NULL,
                                   *entry = &block->entries[i];
        bool same = last && !overlay_compare(last->key, last->key_len, entry->key, entry->key_len);
        block->entries[same ? kept - 1 : kept] = *entry;
        kept += !same;
    }
    block->entry_count = kept;
}

struct late_block *late_block_new(const struct block_header *header, const struct block_header *parent,
                                  const struct state_update *update, bool tentative)
{
    struct late_block *block = mem_zalloc(sizeof(*block));
    buf_auto struct buf record = BUF_INIT;
    atomic_init(&block->references, 1);
    block->header = *header;
    block->parent = *parent;
    block->tentative = tentative;
    block->hash = *update->hash;
    struct state_change *changes = arena_alloc(&block->arena, (update->change_count + 1) * sizeof(*changes));
    for (size_t i = 0; i < update->change_count; i++) {
        const struct state_change *change = &update->changes[i];
        changes[i] = (struct state_change){.type = change->type, .has_old = change->has_old};
        copy_object(block, &changes[i].object, &change->object, &record);
        if (change->has_old)
            copy_object(block, &changes[i].old, &change->old, &record);
    }
    struct state_claim_total *totals =
        arena_alloc(&block->arena, (update->total_count + 1) * sizeof(*totals));
    for (size_t i = 0; i < update->total_count; i++) {
        totals[i] = update->totals[i];
        totals[i].node = arena_strdup(&block->arena, totals[i].node);
    }
    block->update = *update;
    block->update.changes = changes;
    block->update.totals = totals;
    block->update.hash = &block->hash;
    entries_make(block);
    return block;
}

void late_block_release(struct late_block *block)
{
    if (!block || atomic_fetch_sub(&block->references, 1) > 1)
        return;
    arena_free(&block->arena);
    free(block);
}

/* ---- overlays ---- */

static struct overlay *overlay_new(size_t blocks, size_t entries)
{
    struct overlay *overlay = mem_zalloc(sizeof(*overlay) + blocks * sizeof(*overlay->blocks) +
                                         entries * sizeof(*overlay->entries));
    atomic_init(&overlay->references, 1);
    overlay->entries = (struct overlay_entry *)(overlay + 1);
    overlay->blocks = (struct late_block **)(overlay->entries + entries);
    return overlay;
}

static void block_add(struct overlay *overlay, struct late_block *block)
{
    atomic_fetch_add(&block->references, 1);
    overlay->blocks[overlay->block_count++] = block;
}

struct overlay *overlay_with(const struct overlay *before, struct late_block *block)
{
    size_t blocks = before ? before->block_count : 0, count = before ? before->count : 0;
    struct overlay *overlay = overlay_new(blocks + 1, count + block->entry_count);
    for (size_t i = 0; i < blocks; i++)
        block_add(overlay, before->blocks[i]);
    block_add(overlay, block);
    size_t at = 0;
    for (size_t i = 0; i < block->entry_count; i++) {
        const struct overlay_entry *entry = &block->entries[i];
        int order = -1;
        while (at < count && (order = overlay_compare(before->entries[at].key, before->entries[at].key_len,
                                                      entry->key, entry->key_len)) < 0)
            overlay->entries[overlay->count++] = before->entries[at++];
        at += at < count && order == 0;
        overlay->entries[overlay->count++] = *entry;
    }
    while (at < count)
        overlay->entries[overlay->count++] = before->entries[at++];
    return overlay;
}

struct overlay *overlay_without(const struct overlay *before, uint64_t up_to_height)
{
    const struct late_block *newest = overlay_newest(before);
    if (!newest || newest->header.height <= up_to_height)
        return NULL;
    struct overlay *overlay = overlay_new(before->block_count, before->count);
    for (size_t i = 0; i < before->block_count; i++)
        if (before->blocks[i]->header.height > up_to_height)
            block_add(overlay, before->blocks[i]);
    for (size_t i = 0; i < before->count; i++)
        if (before->entries[i].height > up_to_height)
            overlay->entries[overlay->count++] = before->entries[i];
    return overlay;
}

struct overlay *overlay_retain(struct overlay *overlay)
{
    if (overlay)
        atomic_fetch_add(&overlay->references, 1);
    return overlay;
}

void overlay_release(struct overlay *overlay)
{
    if (!overlay || atomic_fetch_sub(&overlay->references, 1) > 1)
        return;
    for (size_t i = 0; i < overlay->block_count; i++)
        late_block_release(overlay->blocks[i]);
    free(overlay);
}

/* ---- looking ---- */

const struct late_block *overlay_newest(const struct overlay *overlay)
{
    return overlay ? overlay->blocks[overlay->block_count - 1] : NULL;
}

const struct late_block *overlay_at(const struct overlay *overlay, uint64_t height)
{
    uint64_t first = overlay ? overlay->blocks[0]->header.height : 0;
    if (!overlay || height < first || height - first >= overlay->block_count)
        return NULL;
    return overlay->blocks[height - first];
}

const struct late_block *overlay_by_hash(const struct overlay *overlay, const uint8_t hash[HASH_SIZE])
{
    for (size_t i = overlay ? overlay->block_count : 0; i-- > 0;)
        if (!memcmp(overlay->blocks[i]->header.hash, hash, HASH_SIZE))
            return overlay->blocks[i];
    return NULL;
}

size_t overlay_lower_bound(const struct overlay *overlay, const void *key, size_t len)
{
    size_t low = 0, high = overlay ? overlay->count : 0;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct overlay_entry *entry = &overlay->entries[middle];
        if (overlay_compare(entry->key, entry->key_len, key, len) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct state_change *overlay_find(const struct overlay *overlay, const void *key, size_t len)
{
    size_t at = overlay_lower_bound(overlay, key, len);
    if (!overlay || at == overlay->count)
        return NULL;
    const struct overlay_entry *entry = &overlay->entries[at];
    return overlay_compare(entry->key, entry->key_len, key, len) ? NULL : entry->change;
}

bool overlay_claimed(const struct overlay *overlay, const char *node, struct tx_claim *out)
{
    for (size_t i = overlay ? overlay->block_count : 0; i-- > 0;) {
        const struct state_update *update = &overlay->blocks[i]->update;
        for (size_t k = 0; k < update->total_count; k++)
            if (!strcmp(update->totals[k].node, node)) {
                *out = update->totals[k].sum;
                out->node = NULL;
                return true;
            }
    }
    return false;
}
