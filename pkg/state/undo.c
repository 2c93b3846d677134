/* See undo.h. */
#include "state/undo.h"

#include "base/mem.h"
#include "chain/arena.h"
#include "chain/wire.h"
#include "state/record.h"

#include <stdlib.h>
#include <string.h>

enum undo_flag { UNDO_LIVE = 1, UNDO_OLD = 2 };

#define CHANGE_BYTES_MIN 5
#define TOTAL_BYTES_MIN 25

struct state_undo {
    struct state_update update;
    struct lthash hash;
    struct state_change *changes;
    struct state_claim_total *totals;
    struct arena arena;
};

static void record_put(struct buf *out, const struct state_object *object)
{
    size_t at = out->len;
    wire_put_u32(out, 0);
    state_record_encode(out, object);
    wire_store_u32((uint8_t *)out->data + at, (uint32_t)(out->len - at - 4));
}

static void change_put(struct buf *out, const struct state_change *change)
{
    bool live = change->type != STATE_DELETED;
    wire_put_u8(out, (uint8_t)((live ? UNDO_LIVE : 0) | (change->has_old ? UNDO_OLD : 0)));
    if (live) {
        record_put(out, &change->object);
    } else {
        key_encode(out, &change->object.key);
        buf_putc(out, 0);
    }
    if (change->has_old)
        record_put(out, &change->old);
}

void state_undo_encode(struct buf *out, const struct state_update *update, const struct block_header *parent)
{
    wire_put_u64(out, parent->height);
    buf_append(out, parent->hash, HASH_SIZE);
    wire_put_u64(out, block_head_rv(parent));
    wire_put_varint(out, update->total_count);
    for (size_t i = 0; i < update->total_count; i++) {
        const struct state_claim_total *total = &update->totals[i];
        wire_put_string(out, total->node);
        wire_put_u64(out, (uint64_t)total->before.cpu_milli);
        wire_put_u64(out, (uint64_t)total->before.memory_bytes);
        wire_put_u64(out, (uint64_t)total->before.pods);
    }
    wire_put_varint(out, update->change_count);
    for (size_t i = update->change_count; i-- > 0;)
        change_put(out, &update->changes[i]);
}

static void record_get(struct wire_reader *in, struct state_object *object)
{
    uint32_t len = wire_get_u32(in);
    const uint8_t *bytes = wire_get_raw(in, len);
    if (!bytes || !state_record_decode(object, bytes, len))
        in->bad = true;
}

static void key_get(struct wire_reader *in, struct resource_key *key)
{
    key->group = wire_get_string(in, KEY_BYTES_MAX);
    key->resource = wire_get_string(in, KEY_BYTES_MAX);
    key->namespace = wire_get_string(in, KEY_BYTES_MAX);
    key->name = wire_get_string(in, KEY_BYTES_MAX);
}

/* The change turned round: what it made becomes the old, what it replaced comes back. */
static void change_get(struct wire_reader *in, struct state_undo *undo, struct state_change *change)
{
    uint8_t flags = wire_get_u8(in);
    bool live = flags & UNDO_LIVE;
    bool had_old = flags & UNDO_OLD;
    if (flags > (UNDO_LIVE | UNDO_OLD) || flags == 0)
        in->bad = true;
    struct state_object made = {0};
    if (live)
        record_get(in, &made);
    else
        key_get(in, &made.key);
    struct state_object old = made;
    if (had_old)
        record_get(in, &old);
    if (in->bad)
        return;
    *change = (struct state_change){.object = old, .has_old = live};
    change->type = !had_old ? STATE_DELETED : live ? STATE_MODIFIED : STATE_ADDED;
    if (live) {
        change->old = made;
        lthash_remove(&undo->hash, made.entry_hash);
    }
    if (had_old)
        lthash_add(&undo->hash, old.entry_hash);
}

static void totals_get(struct wire_reader *in, struct state_undo *undo)
{
    size_t count = wire_get_varint(in, BLOCK_OUTPUTS_MAX * 2);
    if (count > wire_left(in) / TOTAL_BYTES_MIN)
        in->bad = true;
    if (in->bad)
        return;
    undo->totals = arena_zalloc(&undo->arena, (count + 1) * sizeof(*undo->totals));
    for (size_t i = 0; i < count; i++) {
        struct state_claim_total *total = &undo->totals[i];
        total->node = total->sum.node = wire_get_string(in, KEY_BYTES_MAX);
        total->sum.cpu_milli = (int64_t)wire_get_u64(in);
        total->sum.memory_bytes = (int64_t)wire_get_u64(in);
        total->sum.pods = (int64_t)wire_get_u64(in);
    }
    undo->update.totals = undo->totals;
    undo->update.total_count = count;
}

static void changes_get(struct wire_reader *in, struct state_undo *undo)
{
    size_t count = wire_get_varint(in, BLOCK_OUTPUTS_MAX);
    if (count > wire_left(in) / CHANGE_BYTES_MIN)
        in->bad = true;
    if (in->bad)
        return;
    undo->changes = arena_zalloc(&undo->arena, (count + 1) * sizeof(*undo->changes));
    for (size_t i = 0; i < count; i++)
        change_get(in, undo, &undo->changes[i]);
    undo->update.changes = undo->changes;
    undo->update.change_count = count;
}

int state_undo_decode(struct state_undo **out, const void *bytes, size_t len, const struct lthash *hash,
                      struct err *err)
{
    *out = NULL;
    struct state_undo *undo = mem_zalloc(sizeof(*undo));
    undo->hash = *hash;
    struct wire_reader in = wire_reader(bytes, len);
    undo->update.height = wire_get_u64(&in);
    wire_get_copy(&in, undo->update.block_hash, HASH_SIZE);
    undo->update.head_rv = wire_get_u64(&in);
    totals_get(&in, undo);
    changes_get(&in, undo);
    undo->update.hash = &undo->hash;
    if (!wire_done(&in)) {
        state_undo_free(undo);
        return err_set(err, ERR_CORRUPT, "the undo record is malformed");
    }
    *out = undo;
    return 0;
}

void state_undo_free(struct state_undo *undo)
{
    if (!undo)
        return;
    arena_free(&undo->arena);
    free(undo);
}

const struct state_update *state_undo_update(const struct state_undo *undo)
{
    return &undo->update;
}
