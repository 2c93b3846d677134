/*
 * The protobuf wire format as Kubernetes' API uses it: varints, fixed 64-bit values and length-delimited
 * bytes. The reader never looks past its end; every length is checked before it is used.
 */
#ifndef KATENA_OBJECT_PROTOBUF_WIRE_H
#define KATENA_OBJECT_PROTOBUF_WIRE_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pbwire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

struct pbwire_reader {
    const uint8_t *at;
    const uint8_t *end;
};

/* One field of a message: its number, and its value as the wire type says. */
struct pbwire_field {
    uint32_t number;
    enum pbwire_type type;
    uint64_t value;       /* WIRE_VARINT, WIRE_FIXED64, WIRE_FIXED32 */
    const uint8_t *bytes; /* WIRE_BYTES, borrowed */
    size_t len;
};

/* Takes the next field. Returns 1, 0 at the end, -1 when the bytes are no message. */
int protobuf_wire_next(struct pbwire_reader *reader, struct pbwire_field *field);

/* Takes a varint; false when there is none. */
bool protobuf_wire_varint(struct pbwire_reader *reader, uint64_t *value);

void protobuf_wire_put_varint(struct buf *out, uint64_t value);
void protobuf_wire_put_tag(struct buf *out, uint32_t number, enum pbwire_type type);
void protobuf_wire_put_bytes(struct buf *out, uint32_t number, const void *bytes, size_t len);
void protobuf_wire_put_int(struct buf *out, uint32_t number, int64_t value);
void protobuf_wire_put_double(struct buf *out, uint32_t number, double value);

/* A nested message whose length is not known before: open remembers the place, close puts the length there.
 */
size_t protobuf_wire_open(struct buf *out, uint32_t number);
void protobuf_wire_close(struct buf *out, size_t mark);

#endif
