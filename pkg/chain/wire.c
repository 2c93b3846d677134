/* See wire.h. */
#include "chain/wire.h"

void wire_store_u32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

void wire_store_u64(uint8_t *at, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

uint32_t wire_load_u32(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

uint64_t wire_load_u64(const uint8_t *at)
{
    return (uint64_t)wire_load_u32(at) | (uint64_t)wire_load_u32(at + 4) << 32;
}

void wire_put_u8(struct buf *out, uint8_t value)
{
    buf_append(out, &value, 1);
}

void wire_put_u16(struct buf *out, uint16_t value)
{
    uint8_t bytes[2] = {(uint8_t)value, (uint8_t)(value >> 8)};
    buf_append(out, bytes, sizeof(bytes));
}

void wire_put_u32(struct buf *out, uint32_t value)
{
    uint8_t bytes[4];
    wire_store_u32(bytes, value);
    buf_append(out, bytes, sizeof(bytes));
}

void wire_put_u64(struct buf *out, uint64_t value)
{
    uint8_t bytes[8];
    wire_store_u64(bytes, value);
    buf_append(out, bytes, sizeof(bytes));
}

void wire_put_varint(struct buf *out, uint64_t value)
{
    uint8_t bytes[10];
    size_t n = 0;
    while (value >= 0x80) {
        bytes[n++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    bytes[n++] = (uint8_t)value;
    buf_append(out, bytes, n);
}

void wire_put_string(struct buf *out, const char *value)
{
    buf_append(out, value ? value : "", value ? strlen(value) + 1 : 1);
}

void wire_put_bytes(struct buf *out, const void *data, size_t len)
{
    wire_put_varint(out, len);
    buf_append(out, data, len);
}

const uint8_t *wire_get_raw(struct wire_reader *in, size_t len)
{
    if (len > wire_left(in)) {
        in->bad = true;
        return NULL;
    }
    const uint8_t *p = in->next;
    in->next += len;
    return len ? p : NULL;
}

uint8_t wire_get_u8(struct wire_reader *in)
{
    const uint8_t *p = wire_get_raw(in, 1);
    return p ? *p : 0;
}

uint16_t wire_get_u16(struct wire_reader *in)
{
    const uint8_t *p = wire_get_raw(in, 2);
    return p ? (uint16_t)(p[0] | p[1] << 8) : 0;
}

uint32_t wire_get_u32(struct wire_reader *in)
{
    const uint8_t *p = wire_get_raw(in, 4);
    return p ? wire_load_u32(p) : 0;
}

uint64_t wire_get_u64(struct wire_reader *in)
{
    const uint8_t *p = wire_get_raw(in, 8);
    return p ? wire_load_u64(p) : 0;
}

uint64_t wire_get_varint(struct wire_reader *in, uint64_t max)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte = wire_get_u8(in);
        if (in->bad)
            return 0;
        uint64_t bits = byte & 0x7f;
        /* The tenth byte has room for one bit only, and a last byte of zero would be a longer form. */
        if ((shift == 63 && bits > 1) || (shift && byte == 0))
            break;
        value |= bits << shift;
        if (byte & 0x80)
            continue;
        if (value > max)
            break;
        return value;
    }
    in->bad = true;
    return 0;
}

const char *wire_get_string(struct wire_reader *in, size_t len_max)
{
    size_t left = wire_left(in);
    const uint8_t *end = left ? memchr(in->next, 0, left < len_max + 1 ? left : len_max + 1) : NULL;
    if (!end) {
        in->bad = true;
        return "";
    }
    const char *s = (const char *)in->next;
    in->next = end + 1;
    return s;
}

const uint8_t *wire_get_bytes(struct wire_reader *in, size_t len_max, size_t *len)
{
    *len = wire_get_varint(in, len_max);
    const uint8_t *p = wire_get_raw(in, *len);
    if (in->bad)
        *len = 0;
    return p;
}

void wire_get_copy(struct wire_reader *in, void *out, size_t len)
{
    const uint8_t *p = wire_get_raw(in, len);
    if (p)
        memcpy(out, p, len);
    else
        memset(out, 0, len);
}
