/* The envelope of Kubernetes' protobuf media type; see decode.h. */
#include "object/decode.h"

#include "object/protobuf_wire.h"

#include <stdio.h>
#include <string.h>

static const char magic[4] = {'k', '8', 's', 0};

/* runtime.Unknown and its TypeMeta. */
enum { UNKNOWN_TYPE_META = 1, UNKNOWN_RAW = 2, UNKNOWN_CONTENT_ENCODING = 3, UNKNOWN_CONTENT_TYPE = 4 };
enum { TYPE_META_API_VERSION = 1, TYPE_META_KIND = 2 };

static bool copy_text(char *out, size_t size, const struct pbwire_field *field)
{
    if (field->len >= size || memchr(field->bytes, 0, field->len))
        return false;
    memcpy(out, field->bytes, field->len);
    out[field->len] = '\0';
    return true;
}

static bool read_type_meta(const struct pbwire_field *meta, char *api_version, size_t api_version_size,
                           char *kind, size_t kind_size)
{
    struct pbwire_reader reader = {meta->bytes, meta->bytes + meta->len};
    struct pbwire_field field;
    int rc;
    while ((rc = protobuf_wire_next(&reader, &field)) > 0) {
        if (field.type != WIRE_BYTES)
            continue;
        if (field.number == TYPE_META_API_VERSION && !copy_text(api_version, api_version_size, &field))
            return false;
        if (field.number == TYPE_META_KIND && !copy_text(kind, kind_size, &field))
            return false;
    }
    return rc == 0;
}

int protobuf_open(const uint8_t *bytes, size_t len, char *api_version, size_t api_version_size, char *kind,
                  size_t kind_size, const uint8_t **raw, size_t *raw_len, struct err *err)
{
    if (len < sizeof(magic) || memcmp(bytes, magic, sizeof(magic)) != 0)
        return err_set(
            err, ERR_BAD_REQUEST,
            "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]");
    api_version[0] = kind[0] = '\0';
    *raw = bytes + len;
    *raw_len = 0;
    struct pbwire_reader reader = {bytes + sizeof(magic), bytes + len};
    struct pbwire_field field;
    int rc;
    while ((rc = protobuf_wire_next(&reader, &field)) > 0) {
        if (field.type != WIRE_BYTES)
            continue;
        if (field.number == UNKNOWN_TYPE_META &&
            !read_type_meta(&field, api_version, api_version_size, kind, kind_size))
            return err_set(err, ERR_BAD_REQUEST, "proto: Unknown: bad typeMeta");
        if (field.number == UNKNOWN_RAW) {
            *raw = field.bytes;
            *raw_len = field.len;
        }
    }
    return rc == 0 ? 0 : err_set(err, ERR_BAD_REQUEST, "unexpected EOF");
}

void protobuf_seal(struct buf *out, const char *api_version, const char *kind, const void *raw, size_t len)
{
    buf_append(out, magic, sizeof(magic));
    size_t meta = protobuf_wire_open(out, UNKNOWN_TYPE_META);
    protobuf_wire_put_bytes(out, TYPE_META_API_VERSION, api_version, strlen(api_version));
    protobuf_wire_put_bytes(out, TYPE_META_KIND, kind, strlen(kind));
    protobuf_wire_close(out, meta);
    protobuf_wire_put_bytes(out, UNKNOWN_RAW, raw, len);
    protobuf_wire_put_bytes(out, UNKNOWN_CONTENT_ENCODING, NULL, 0);
    protobuf_wire_put_bytes(out, UNKNOWN_CONTENT_TYPE, NULL, 0);
}

void protobuf_put_message(struct buf *out, unsigned number, const void *bytes, size_t len)
{
    protobuf_wire_put_bytes(out, number, bytes, len);
}
