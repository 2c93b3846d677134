/*
 * A store of another chain that begins with this one's state: written as a store made of a snapshot is, from
 * chunks, with the new chain's genesis for the snapshot's block. So it is there whole or not at all.
 */
#include "blockstore/blockstore_internal.h"
#include "blockstore/lmdb_key.h"
#include "blockstore/snapshot.h"

#include "base/mem.h"
#include "state/entry.h"
#include "state/record.h"

#include <stdlib.h>
#include <string.h>

struct carrying {
    const struct blockstore_carry *carry;
    struct state_snapshot *snapshot;
    struct lthash all, kept;
    struct snapshot_manifest manifest;
    size_t chunk_cap;
    uint64_t objects; /* that are kept */
};

/* ---- walking ---- */

typedef int (*chunk_fn)(struct carrying *c, void *arg, const struct buf *chunk, struct err *err);
typedef void (*object_fn)(struct carrying *c, const struct state_object *object, bool kept);

static bool is_kept(const struct carrying *c, const struct state_object *object)
{
    return !c->carry->keep || c->carry->keep(c->carry->arg, object);
}

/* Appends an object; true: the chunk ends behind it. */
static bool add_object(struct buf *chunk, const struct state_object *object)
{
    uint8_t key[LMDB_KEY_MAX];
    buf_auto struct buf record = BUF_INIT;
    state_record_encode(&record, object);
    return snapshot_chunk_add(chunk, key, lmdb_key_of(key, &object->key), record.data, record.len);
}

/* Gives what is kept to on_chunk, in the order of keys; the same chunks each time. */
static int walk(struct carrying *c, object_fn on_object, chunk_fn on_chunk, void *arg, struct err *err)
{
    const struct state_store_ops *ops = blockstore_ops();
    struct state_iter *iter = ops->iter_begin(c->snapshot, "", 0, NULL, 0);
    struct state_object object;
    buf_auto struct buf chunk = BUF_INIT;
    int rc = 0;
    while (!rc && ops->iter_next(iter, &object)) {
        bool kept = is_kept(c, &object);
        if (on_object)
            on_object(c, &object, kept);
        if (!kept || !add_object(&chunk, &object))
            continue;
        rc = on_chunk(c, arg, &chunk, err);
        buf_clear(&chunk);
    }
    ops->iter_end(iter);
    return rc || !chunk.len ? rc : on_chunk(c, arg, &chunk, err);
}

/* ---- first: what there is ---- */

static void sum_object(struct carrying *c, const struct state_object *object, bool kept)
{
    uint8_t entry[HASH_SIZE];
    state_entry_rebuild(entry, object);
    lthash_add(&c->all, entry);
    if (kept) {
        lthash_add(&c->kept, entry);
        c->objects++;
    }
}

static int note_chunk(struct carrying *c, void *arg, const struct buf *chunk, struct err *err)
{
    struct snapshot_manifest *m = &c->manifest;
    (void)arg;
    (void)err;
    if (m->chunk_count == c->chunk_cap) {
        c->chunk_cap = c->chunk_cap ? 2 * c->chunk_cap : 16;
        m->chunks = mem_reallocarray(m->chunks, c->chunk_cap, sizeof(*m->chunks));
    }
    m->chunks[m->chunk_count].len = (uint32_t)chunk->len;
    hash_content(m->chunks[m->chunk_count++].hash, chunk->data, chunk->len);
    return 0;
}

/* A state that is not whole must not become the beginning of anything. */
static int survey(struct carrying *c, const struct block_header *head, struct err *err)
{
    uint8_t digest[HASH_SIZE];
    lthash_init(&c->all);
    lthash_init(&c->kept);
    int rc = walk(c, sum_object, note_chunk, NULL, err);
    lthash_digest(digest, &c->all);
    if (!rc && memcmp(digest, head->state_digest, HASH_SIZE) != 0)
        rc = err_set(err, ERR_CORRUPT, "the state does not have the hash that block %llu names",
                     (unsigned long long)head->height);
    return rc;
}

/* ---- then: the new store ---- */

static void make_genesis(struct carrying *c, const struct block_header *head, uint32_t flags)
{
    uint8_t digest[HASH_SIZE];
    lthash_digest(digest, &c->kept);
    struct block *block = block_genesis_carrying(head, digest, c->carry->now_us, flags, c->carry->secret_key);
    c->manifest.genesis = block->header;
    c->manifest.headers = mem_calloc(1, sizeof(*c->manifest.headers));
    c->manifest.headers[0] = block->header;
    c->manifest.header_count = 1;
    block_free(block);
}

struct filling {
    struct blockstore_import *import;
    size_t next;
};

static int fill_chunk(struct carrying *c, void *arg, const struct buf *chunk, struct err *err)
{
    struct filling *filling = arg;
    (void)c;
    return blockstore_import_chunk(filling->import, filling->next++, chunk->data, chunk->len, err);
}

static int make_store(struct carrying *c, struct err *err)
{
    struct filling filling = {.next = 0};
    buf_auto struct buf manifest = BUF_INIT;
    snapshot_manifest_encode(&manifest, &c->manifest);
    int rc = blockstore_import_begin(&filling.import, c->carry->dir, manifest.data, manifest.len,
                                     c->manifest.genesis.hash, err);
    if (rc < 0)
        return rc;
    rc = walk(c, NULL, fill_chunk, &filling, err);
    if (rc)
        blockstore_import_abort(filling.import);
    else
        rc = blockstore_import_finish(filling.import, err);
    return rc ? err_wrap(err, "cannot carry the state over") : 0;
}

int blockstore_carry_over(struct blockstore *from, const struct blockstore_carry *carry,
                          struct blockstore_carried *out, struct err *err)
{
    struct carrying c = {.carry = carry};
    struct block_header first;
    struct blockstore_head head;
    int rc = blockstore_head(from, &head, err);
    if (rc == ERR_NOT_FOUND)
        err_set(err, rc, "there is no chain in %s", from->dir);
    if (!rc)
        rc = blockstore_header_at(from, 0, &first, err);
    if (rc)
        return rc;
    c.snapshot = lmdb_snapshot_begin(from);
    rc = survey(&c, &head.header, err);
    if (!rc) {
        make_genesis(&c, &head.header, first.flags & BLOCK_BYZANTINE);
        rc = make_store(&c, err);
    }
    lmdb_snapshot_end(c.snapshot);
    *out = (struct blockstore_carried){c.manifest.genesis, c.objects};
    snapshot_manifest_free(&c.manifest);
    return rc;
}
