/* See record.h. */
#include "state/record.h"

#include "chain/wire.h"

#include <string.h>

#define FIXED_SIZE (8 + 3 * 32 + 1 + 4 + 3 * 8 + 4 * 2 + 2 * 4)

static const uint8_t *u16_at(const uint8_t *at, size_t *value)
{
    *value = (size_t)at[0] | (size_t)at[1] << 8;
    return at + 2;
}

void state_record_encode(struct buf *out, const struct state_object *o)
{
    buf_reserve(out, FIXED_SIZE + KEY_BYTES_MAX + o->lock_len + o->terms_len + o->content_len + 512);
    wire_put_u64(out, o->rv);
    buf_append(out, o->tx_id, TX_ID_SIZE);
    buf_append(out, o->content_hash, HASH_SIZE);
    buf_append(out, o->entry_hash, HASH_SIZE);
    wire_put_u8(out, (uint8_t)o->encoding);
    wire_put_u32(out, o->rv_offset);
    wire_put_u64(out, (uint64_t)o->claim.cpu_milli);
    wire_put_u64(out, (uint64_t)o->claim.memory_bytes);
    wire_put_u64(out, (uint64_t)o->claim.pods);
    size_t lengths = out->len;
    wire_put_u16(out, 0);
    wire_put_u16(out, (uint16_t)strlen(o->uid));
    wire_put_u16(out, o->claim.node ? (uint16_t)strlen(o->claim.node) : 0);
    wire_put_u16(out, (uint16_t)o->lock_len);
    wire_put_u32(out, (uint32_t)o->terms_len);
    wire_put_u32(out, (uint32_t)o->content_len);
    size_t key_at = out->len;
    key_encode(out, &o->key);
    size_t key_len = out->len - key_at;
    buf_putc(out, 0);
    wire_put_string(out, o->uid);
    wire_put_string(out, o->claim.node);
    buf_append(out, o->lock, o->lock_len);
    buf_append(out, o->terms, o->terms_len);
    buf_append(out, o->content, o->content_len);
    out->data[lengths] = (char)key_len;
    out->data[lengths + 1] = (char)(key_len >> 8);
}

struct lengths {
    size_t key, uid, node, lock, terms, content;
};

/* Points the variable part's fields behind the fixed part. */
static bool variable_decode(struct state_object *out, const uint8_t *at, const struct lengths *l)
{
    const char *key = (const char *)at;
    const char *uid = key + l->key + 1;
    const char *node = uid + l->uid + 1;
    if (key[l->key] || uid[l->uid] || node[l->node] || !key_decode(&out->key, key, l->key))
        return false;
    out->uid = uid;
    out->claim.node = l->node ? node : NULL;
    out->lock = (const uint8_t *)node + l->node + 1;
    out->lock_len = l->lock;
    out->terms = out->lock + l->lock;
    out->terms_len = l->terms;
    out->content = out->terms + l->terms;
    out->content_len = l->content;
    return true;
}

bool state_record_decode(struct state_object *out, const void *bytes, size_t len)
{
    const uint8_t *at = bytes;
    if (len < FIXED_SIZE)
        return false;
    out->rv = wire_load_u64(at);
    memcpy(out->tx_id, at + 8, TX_ID_SIZE);
    memcpy(out->content_hash, at + 40, HASH_SIZE);
    memcpy(out->entry_hash, at + 72, HASH_SIZE);
    out->encoding = at[104];
    out->rv_offset = wire_load_u32(at + 105);
    out->claim.cpu_milli = (int64_t)wire_load_u64(at + 109);
    out->claim.memory_bytes = (int64_t)wire_load_u64(at + 117);
    out->claim.pods = (int64_t)wire_load_u64(at + 125);
    struct lengths l;
    at = u16_at(at + 133, &l.key);
    at = u16_at(at, &l.uid);
    at = u16_at(at, &l.node);
    at = u16_at(at, &l.lock);
    l.terms = wire_load_u32(at);
    l.content = wire_load_u32(at + 4);
    at += 8;
    if (len - FIXED_SIZE != l.key + l.uid + l.node + 3 + l.lock + l.terms + l.content)
        return false;
    return variable_decode(out, at, &l);
}

bool state_term_next(const struct state_object *object, size_t *pos, struct tx_index_term *term)
{
    const char *at = (const char *)object->terms + *pos;
    const char *end = (const char *)object->terms + object->terms_len;
    if (!object->terms_len || at >= end)
        return false;
    const char *name_end = memchr(at, 0, (size_t)(end - at));
    const char *value_end = name_end ? memchr(name_end + 1, 0, (size_t)(end - name_end - 1)) : NULL;
    if (!value_end)
        return false;
    *term = (struct tx_index_term){at, name_end + 1};
    *pos = (size_t)(value_end + 1 - (const char *)object->terms);
    return true;
}
