/*
 * The primitives of the chain's encoding (docs/chain-format.md): fixed little-endian integers, shortest-form
 * variable integers, strings that end with a NUL, and runs of bytes. What a reader accepts is canonical:
 * there is one encoding for each value.
 */
#ifndef KATENA_CHAIN_WIRE_H
#define KATENA_CHAIN_WIRE_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void wire_put_u8(struct buf *out, uint8_t value);
void wire_put_u16(struct buf *out, uint16_t value);
void wire_put_u32(struct buf *out, uint32_t value);
void wire_put_u64(struct buf *out, uint64_t value);
void wire_put_varint(struct buf *out, uint64_t value);    /* 7 bits a byte, lowest first, at most 10 bytes */
void wire_put_string(struct buf *out, const char *value); /* with its NUL; NULL is written as "" */
void wire_put_bytes(struct buf *out, const void *data, size_t len); /* varint length, then the bytes */

/* Unaligned little-endian access to places in a fixed layout. */
void wire_store_u32(uint8_t *at, uint32_t value);
void wire_store_u64(uint8_t *at, uint64_t value);
uint32_t wire_load_u32(const uint8_t *at);
uint64_t wire_load_u64(const uint8_t *at);

/* A reader over borrowed bytes. After the first violation bad is set, nothing more is consumed, and the
 * functions return zeros, NULL or "": a caller reads a whole structure and looks at bad once. */
struct wire_reader {
    const uint8_t *next;
    const uint8_t *end;
    bool bad;
};

static inline struct wire_reader wire_reader(const void *data, size_t len)
{
    const uint8_t *bytes = data ? data : (const void *)""; /* no bytes at all are often a NULL */
    return (struct wire_reader){bytes, bytes + len, false};
}

uint8_t wire_get_u8(struct wire_reader *in);
uint16_t wire_get_u16(struct wire_reader *in);
uint32_t wire_get_u32(struct wire_reader *in);
uint64_t wire_get_u64(struct wire_reader *in);
uint64_t wire_get_varint(struct wire_reader *in, uint64_t max);      /* a value above max is a violation */
const char *wire_get_string(struct wire_reader *in, size_t len_max); /* points into the bytes; never NULL */
const uint8_t *wire_get_raw(struct wire_reader *in, size_t len);     /* NULL when bad or len is 0 */
const uint8_t *wire_get_bytes(struct wire_reader *in, size_t len_max, size_t *len);
void wire_get_copy(struct wire_reader *in, void *out, size_t len); /* zeros when bad */

static inline size_t wire_left(const struct wire_reader *in)
{
    return in->bad ? 0 : (size_t)(in->end - in->next);
}

/* Everything was consumed and nothing was wrong. */
static inline bool wire_done(const struct wire_reader *in)
{
    return !in->bad && in->next == in->end;
}

#endif
