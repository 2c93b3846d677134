/* See protobuf_wire.h. */
#include "object/protobuf_wire.h"

#define NUMBER_MAX ((1u << 29) - 1)

bool protobuf_wire_varint(struct pbwire_reader *reader, uint64_t *value)
{
    uint64_t result = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (reader->at == reader->end)
            return false;
        uint8_t byte = *reader->at++;
        if (shift == 63 && byte > 1)
            return false;
        result |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            *value = result;
            return true;
        }
    }
    return false;
}

static bool read_fixed(struct pbwire_reader *reader, size_t size, uint64_t *value)
{
    if ((size_t)(reader->end - reader->at) < size)
        return false;
    *value = 0;
    for (size_t i = 0; i < size; i++)
        *value |= (uint64_t)reader->at[i] << (8 * i);
    reader->at += size;
    return true;
}

static bool read_bytes(struct pbwire_reader *reader, struct pbwire_field *field)
{
    uint64_t len;
    if (!protobuf_wire_varint(reader, &len) || len > (uint64_t)(reader->end - reader->at))
        return false;
    field->bytes = reader->at;
    field->len = (size_t)len;
    reader->at += len;
    return true;
}

int protobuf_wire_next(struct pbwire_reader *reader, struct pbwire_field *field)
{
    if (reader->at == reader->end)
        return 0;
    uint64_t tag;
    if (!protobuf_wire_varint(reader, &tag) || tag >> 3 == 0 || tag >> 3 > NUMBER_MAX)
        return -1;
    *field = (struct pbwire_field){.number = (uint32_t)(tag >> 3), .type = tag & 7};
    bool read = false;
    switch (field->type) {
    case WIRE_VARINT:
        read = protobuf_wire_varint(reader, &field->value);
        break;
    case WIRE_FIXED64:
        read = read_fixed(reader, 8, &field->value);
        break;
    case WIRE_FIXED32:
        read = read_fixed(reader, 4, &field->value);
        break;
    case WIRE_BYTES:
        read = read_bytes(reader, field);
        break;
    }
    return read ? 1 : -1;
}

void protobuf_wire_put_varint(struct buf *out, uint64_t value)
{
    char bytes[10];
    size_t len = 0;
    while (value >= 0x80) {
        bytes[len++] = (char)(value | 0x80);
        value >>= 7;
    }
    bytes[len++] = (char)value;
    buf_append(out, bytes, len);
}

void protobuf_wire_put_tag(struct buf *out, uint32_t number, enum pbwire_type type)
{
    protobuf_wire_put_varint(out, (uint64_t)number << 3 | type);
}

void protobuf_wire_put_bytes(struct buf *out, uint32_t number, const void *bytes, size_t len)
{
    protobuf_wire_put_tag(out, number, WIRE_BYTES);
    protobuf_wire_put_varint(out, len);
    if (len)
        buf_append(out, bytes, len);
}

void protobuf_wire_put_int(struct buf *out, uint32_t number, int64_t value)
{
    protobuf_wire_put_tag(out, number, WIRE_VARINT);
    protobuf_wire_put_varint(out, (uint64_t)value);
}

void protobuf_wire_put_double(struct buf *out, uint32_t number, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    protobuf_wire_put_tag(out, number, WIRE_FIXED64);
    for (size_t i = 0; i < 8; i++)
        buf_putc(out, (char)(bits >> (8 * i)));
}

size_t protobuf_wire_open(struct buf *out, uint32_t number)
{
    protobuf_wire_put_tag(out, number, WIRE_BYTES);
    buf_putc(out, 0);
    return out->len;
}

void protobuf_wire_close(struct buf *out, size_t mark)
{
    size_t len = out->len - mark;
    size_t more = 0;
    for (size_t rest = len; rest >= 0x80; rest >>= 7)
        more++;
    /* One byte was kept for the length; a longer one moves the message. */
    static const char room[10];
    if (more) {
        buf_append(out, room, more);
        memmove(out->data + mark + more, out->data + mark, len);
    }
    for (size_t i = 0; i <= more; i++, len >>= 7)
        out->data[mark - 1 + i] = (char)(i < more ? (len & 0x7f) | 0x80 : len);
}
