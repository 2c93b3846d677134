/* See fold.h. */
#include "ledger/fold.h"

#include "base/buf.h"
#include "base/mem.h"
#include "chain/arena.h"
#include "chain/bytemap.h"
#include "state/record.h"

#include <assert.h>
#include <string.h>

struct seen {
    const void *key; /* key bytes */
    size_t key_len;
    const void *record; /* NULL: it did not exist */
    size_t record_len;
};

struct fold {
    struct arena arena;
    struct bytemap map; /* key bytes -> place in seen */
    struct seen *seen;
    size_t count, cap, bytes;
};

struct fold *fold_new(void)
{
    return mem_zalloc(sizeof(struct fold));
}

void fold_free(struct fold *fold)
{
    if (!fold)
        return;
    arena_free(&fold->arena);
    bytemap_free(&fold->map);
    free(fold->seen);
    free(fold);
}

void fold_note(struct fold *fold, const struct state_change *change)
{
    buf_auto struct buf bytes = BUF_INIT;
    key_encode(&bytes, &change->object.key);
    if (bytemap_get(&fold->map, bytes.data, bytes.len) != BYTEMAP_NONE)
        return;
    if (fold->count == fold->cap) {
        fold->cap = fold->cap ? 2 * fold->cap : 64;
        fold->seen = mem_reallocarray(fold->seen, fold->cap, sizeof(*fold->seen));
    }
    struct seen *seen = &fold->seen[fold->count];
    *seen = (struct seen){.key = arena_dup(&fold->arena, bytes.data, bytes.len + 1), .key_len = bytes.len};
    bytemap_set(&fold->map, seen->key, seen->key_len, (uint32_t)fold->count++);
    fold->bytes += sizeof(*seen) + 2 * bytes.len;
    if (!change->has_old)
        return;
    buf_clear(&bytes);
    state_record_encode(&bytes, &change->old);
    seen->record = arena_dup(&fold->arena, bytes.data, bytes.len);
    seen->record_len = bytes.len;
    fold->bytes += bytes.len;
}

size_t fold_bytes(const struct fold *fold)
{
    return fold->bytes;
}

struct difference {
    struct state_change *changes;
    size_t count;
    uint64_t told_rv;
};

static void add_deletion(struct difference *d, const struct state_object *old)
{
    struct state_change *change = &d->changes[d->count++];
    *change = (struct state_change){.type = STATE_DELETED, .object = *old, .has_old = true, .old = *old};
    change->object.rv = d->told_rv;
}

/* The same object, be it in another version: what was there and what is are of one uid. */
static bool same_object(const struct state_object *a, const struct state_object *b)
{
    return a->uid && b->uid && !strcmp(a->uid, b->uid);
}

static void add_change(struct difference *d, const struct state_object *old, const struct state_object *now)
{
    if (old && now && same_object(old, now)) {
        /* One position is one change, unless two branches have blocks of the same microsecond. */
        if (old->rv != now->rv || memcmp(old->tx_id, now->tx_id, TX_ID_SIZE) != 0)
            d->changes[d->count++] =
                (struct state_change){.type = STATE_MODIFIED, .object = *now, .has_old = true, .old = *old};
        return;
    }
    if (old)
        add_deletion(d, old);
    if (now)
        d->changes[d->count++] = (struct state_change){.type = STATE_ADDED, .object = *now};
}

static int compare_changes(const void *a, const void *b)
{
    const struct state_change *x = a, *y = b;
    bool x_deleted = x->type == STATE_DELETED, y_deleted = y->type == STATE_DELETED;
    if (x_deleted != y_deleted)
        return x_deleted ? -1 : 1;
    /* Deletions were made at one position: the versions that they end tell them apart. */
    uint64_t x_rv = x_deleted ? x->old.rv : x->object.rv, y_rv = y_deleted ? y->old.rv : y->object.rv;
    return (x_rv > y_rv) - (x_rv < y_rv);
}

int fold_difference(struct fold *fold, const struct state_store_ops *ops, struct state_snapshot *snapshot,
                    uint64_t told_rv, fold_fn fn, void *arg, struct err *err)
{
    struct difference d = {.told_rv = told_rv};
    d.changes = mem_calloc(2 * fold->count + 1, sizeof(*d.changes));
    int rc = 0;
    for (size_t i = 0; !rc && i < fold->count; i++) {
        const struct seen *seen = &fold->seen[i];
        struct resource_key key;
        struct state_object old, now;
        bool ok = key_decode(&key, seen->key, seen->key_len);
        ok = ok && (!seen->record || state_record_decode(&old, seen->record, seen->record_len));
        assert(ok);
        rc = ops->get(snapshot, &key, &now, err);
        bool exists = rc == 0;
        if (rc == ERR_NOT_FOUND)
            rc = 0;
        if (!rc)
            add_change(&d, seen->record ? &old : NULL, exists ? &now : NULL);
    }
    if (!rc) {
        qsort(d.changes, d.count, sizeof(*d.changes), compare_changes);
        fn(arg, d.changes, d.count);
    }
    free(d.changes);
    return rc;
}
