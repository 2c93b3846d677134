/* See log_record.h. */
#include "blockstore/log_record.h"

#include "blockstore/bytes.h"

#include <string.h>

static int malformed(const struct blocklog_record *record, struct err *err)
{
    return err_set(err, ERR_CORRUPT, "record %llu of the block log (type %u, %zu bytes) is malformed",
                   (unsigned long long)record->seq, record->type, record->len);
}

int log_record_decode(struct log_record *out, const struct blocklog_record *record, struct err *err)
{
    *out = (struct log_record){.type = record->type, .bytes = record->bytes, .len = record->len};
    if (record->type == LOG_RECORD_BLOCK)
        return 0;
    if (record->type < LOG_RECORD_BLOCK || record->type > LOG_RECORD_BASE || record->len < LOG_FINAL_SIZE)
        return malformed(record, err);
    out->final = bytes_get64(record->bytes);
    out->bytes += LOG_FINAL_SIZE;
    out->len -= LOG_FINAL_SIZE;
    if (record->type == LOG_RECORD_NOTE && out->len > LOG_NOTE_MAX)
        return malformed(record, err);
    if (record->type != LOG_RECORD_REWIND && record->type != LOG_RECORD_BASE)
        return 0;
    if (out->len != LOG_HEIGHT_SIZE)
        return malformed(record, err);
    out->height = bytes_get64(out->bytes);
    memcpy(out->hash, out->bytes + 8, HASH_SIZE);
    return out->height < out->final ? malformed(record, err) : 0;
}

void log_height_encode(uint8_t out[LOG_HEIGHT_SIZE], uint64_t height, const uint8_t hash[HASH_SIZE])
{
    bytes_put64(out, height);
    memcpy(out + 8, hash, HASH_SIZE);
}
