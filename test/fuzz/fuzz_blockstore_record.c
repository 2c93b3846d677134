/* What a record of the block log says, from any bytes: the first is its type. */
#include "blockstore/log_record.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    struct blocklog_record found = {.type = data[0], .bytes = data + 1, .len = size - 1};
    struct log_record record;
    struct err err;
    if (log_record_decode(&record, &found, &err) < 0)
        return 0;
    assert(record.bytes >= found.bytes && record.bytes + record.len == found.bytes + found.len);
    if (record.type == LOG_RECORD_REWIND || record.type == LOG_RECORD_BASE) {
        uint8_t again[LOG_HEIGHT_SIZE];
        log_height_encode(again, record.height, record.hash);
        assert(!memcmp(again, record.bytes, sizeof(again)));
    }
    struct block *block;
    bool is_block = record.type == LOG_RECORD_BLOCK || record.type == LOG_RECORD_TENTATIVE;
    if (is_block && !block_decode(&block, record.bytes, record.len, &err))
        block_free(block);
    return 0;
}
