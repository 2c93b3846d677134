/* See snapshot.h. */
#include "blockstore/snapshot.h"

#include "base/mem.h"
#include "blockstore/recent.h"
#include "chain/wire.h"
#include "state/entry.h"
#include "state/record.h"

#include <string.h>

static const char magic[8] = "KATENASN";
#define ID_BYTES_MIN (1 + 4 + HASH_SIZE)
#define CHUNK_BYTES (4 + HASH_SIZE)
#define CUT_MASK 0xff /* behind the half of a chunk, one key of 256 ends it */

static void header_put(struct buf *out, const struct block_header *header)
{
    uint8_t bytes[BLOCK_HEADER_SIZE];
    block_header_encode(bytes, header);
    buf_append(out, bytes, sizeof(bytes));
}

void snapshot_manifest_encode(struct buf *out, const struct snapshot_manifest *m)
{
    buf_append(out, magic, sizeof(magic));
    wire_put_u32(out, SNAPSHOT_VERSION);
    header_put(out, &m->genesis);
    wire_put_u64(out, m->transactions);
    wire_put_varint(out, m->header_count);
    for (size_t i = 0; i < m->header_count; i++)
        header_put(out, &m->headers[i]);
    wire_put_varint(out, m->id_count);
    for (size_t i = 0; i < m->id_count; i++) {
        wire_put_varint(out, m->ids[i].below);
        wire_put_u32(out, m->ids[i].index);
        buf_append(out, m->ids[i].id, HASH_SIZE);
    }
    wire_put_varint(out, m->chunk_count);
    for (size_t i = 0; i < m->chunk_count; i++) {
        wire_put_u32(out, m->chunks[i].len);
        buf_append(out, m->chunks[i].hash, HASH_SIZE);
    }
}

static void header_get(struct wire_reader *in, struct block_header *out)
{
    const uint8_t *bytes = wire_get_raw(in, BLOCK_HEADER_SIZE);
    if (!bytes || block_header_decode(out, bytes, BLOCK_HEADER_SIZE, NULL) < 0)
        in->bad = true;
}

/* How many things of at least that size follow. */
static size_t count_get(struct wire_reader *in, size_t max, size_t size)
{
    size_t count = wire_get_varint(in, max);
    if (count > wire_left(in) / size)
        in->bad = true;
    return in->bad ? 0 : count;
}

static void headers_get(struct wire_reader *in, struct snapshot_manifest *m)
{
    m->header_count = count_get(in, BLOCKSTORE_SNAPSHOT_HEADERS + 1, BLOCK_HEADER_SIZE);
    if (!m->header_count)
        in->bad = true;
    m->headers = mem_calloc(m->header_count + 1, sizeof(*m->headers));
    for (size_t i = 0; !in->bad && i < m->header_count; i++)
        header_get(in, &m->headers[i]);
}

static void ids_get(struct wire_reader *in, struct snapshot_manifest *m)
{
    m->id_count = count_get(in, SNAPSHOT_IDS_MAX, ID_BYTES_MIN);
    m->ids = mem_calloc(m->id_count + 1, sizeof(*m->ids));
    uint64_t height = in->bad ? 0 : m->headers[m->header_count - 1].height;
    for (size_t i = 0; i < m->id_count; i++) {
        struct snapshot_id *id = &m->ids[i];
        id->below = wire_get_varint(in, height);
        id->index = wire_get_u32(in);
        wire_get_copy(in, id->id, HASH_SIZE);
        uint32_t kind = id->index & RECENT_KIND;
        if ((kind != RECENT_TX && kind != RECENT_ORIGINAL) || (id->index & ~RECENT_KIND) >= BLOCK_OUTPUTS_MAX)
            in->bad = true;
    }
}

static void chunks_get(struct wire_reader *in, struct snapshot_manifest *m)
{
    m->chunk_count = count_get(in, SNAPSHOT_CHUNKS_MAX, CHUNK_BYTES);
    m->chunks = mem_calloc(m->chunk_count + 1, sizeof(*m->chunks));
    for (size_t i = 0; i < m->chunk_count; i++) {
        m->chunks[i].len = wire_get_u32(in);
        wire_get_copy(in, m->chunks[i].hash, HASH_SIZE);
        if (!m->chunks[i].len || m->chunks[i].len > SNAPSHOT_CHUNK_MAX)
            in->bad = true;
    }
}

int snapshot_manifest_decode(struct snapshot_manifest *out, const void *bytes, size_t len, struct err *err)
{
    struct snapshot_manifest m = {0};
    struct wire_reader in = wire_reader(bytes, len);
    const uint8_t *start = wire_get_raw(&in, sizeof(magic));
    uint32_t version = wire_get_u32(&in);
    if (!start || memcmp(start, magic, sizeof(magic)) != 0)
        return err_set(err, ERR_CORRUPT, "these bytes are no manifest of a snapshot");
    if (version != SNAPSHOT_VERSION)
        return err_set(err, ERR_CORRUPT, "the snapshot has version %u, but this katena reads version %u",
                       version, SNAPSHOT_VERSION);
    header_get(&in, &m.genesis);
    m.transactions = wire_get_u64(&in);
    headers_get(&in, &m);
    ids_get(&in, &m);
    chunks_get(&in, &m);
    if (!wire_done(&in)) {
        snapshot_manifest_free(&m);
        return err_set(err, ERR_CORRUPT, "the snapshot's manifest is malformed");
    }
    *out = m;
    return 0;
}

void snapshot_manifest_free(struct snapshot_manifest *manifest)
{
    free(manifest->headers);
    free(manifest->ids);
    free(manifest->chunks);
    *manifest = (struct snapshot_manifest){0};
}

static int signature_check(const struct block_header *header, struct err *err)
{
    if (block_verify_signature(header, NULL) == 0)
        return 0;
    return err_set(err, ERR_CORRUPT, "the snapshot's header of block %llu is not signed by its producer",
                   (unsigned long long)header->height);
}

static int header_check(const struct block_header *header, const struct block_header *parent, struct err *err)
{
    if (header->height != parent->height + 1 || memcmp(header->parent, parent->hash, HASH_SIZE) != 0 ||
        header->time_us <= parent->time_us)
        return err_set(err, ERR_CORRUPT, "the snapshot's headers do not follow each other at block %llu",
                       (unsigned long long)header->height);
    return signature_check(header, err);
}

int snapshot_manifest_check(const struct snapshot_manifest *m, const uint8_t chain_id[HASH_SIZE],
                            struct err *err)
{
    if (m->genesis.height || memcmp(m->genesis.hash, chain_id, HASH_SIZE) != 0)
        return err_set(err, ERR_CORRUPT, "the snapshot is of another chain");
    const struct block_header *first = &m->headers[0];
    int rc = signature_check(&m->genesis, err);
    if (!rc && first->height == 0 && memcmp(first->hash, chain_id, HASH_SIZE) != 0)
        rc = err_set(err, ERR_CORRUPT, "the snapshot's headers are of another chain");
    if (!rc && first->height == 1)
        rc = header_check(first, &m->genesis, err);
    else if (!rc)
        rc = signature_check(first, err);
    for (size_t i = 1; !rc && i < m->header_count; i++)
        rc = header_check(&m->headers[i], &m->headers[i - 1], err);
    return rc;
}

/* FNV-1a: any hash that only depends on the key will do. */
static uint32_t key_hash(const uint8_t *key, size_t len)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ key[i]) * 16777619u;
    return hash ^ hash >> 16;
}

bool snapshot_chunk_add(struct buf *chunk, const void *key, size_t key_len, const void *record, size_t len)
{
    wire_put_u32(chunk, (uint32_t)len);
    buf_append(chunk, record, len);
    return chunk->len >= BLOCKSTORE_CHUNK_BYTES ||
           (chunk->len >= BLOCKSTORE_CHUNK_BYTES / 2 && (key_hash(key, key_len) & CUT_MASK) == 0);
}

/* Index terms to the last byte, and no more of them than a transaction may have. */
static bool terms_are_whole(const struct state_object *object)
{
    struct tx_index_term term;
    size_t pos = 0, count = 0;
    while (state_term_next(object, &pos, &term))
        if (++count > TX_INDEX_TERMS_MAX)
            return false;
    return pos == object->terms_len;
}

int snapshot_chunk_next(struct snapshot_reader *reader, struct state_object *out, struct err *err)
{
    struct wire_reader in = wire_reader(reader->next, (size_t)(reader->end - reader->next));
    if (!wire_left(&in))
        return 0;
    uint32_t len = wire_get_u32(&in);
    const uint8_t *bytes = wire_get_raw(&in, len);
    if (!bytes || !state_record_decode(out, bytes, len) || !terms_are_whole(out) ||
        out->content_len > TX_CONTENT_MAX || out->lock_len > TX_LOCK_MAX)
        return err_set(err, ERR_CORRUPT, "a chunk of the snapshot is malformed");
    reader->next = in.next;
    if (!out->claim.node)
        out->claim = (struct tx_claim){0};
    memset(out->content_hash, 0, HASH_SIZE);
    if (out->content_len)
        hash_content(out->content_hash, out->content, out->content_len);
    state_entry_rebuild(out->entry_hash, out);
    return 1;
}
