/* Any bytes as a block: what is accepted has a header of exactly these bytes, and orders without harm. */
#include "chain/block.h"
#include "chain/order.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct block *block;
    struct err err;
    if (block_decode(&block, data, size, &err)) {
        assert(!block && err.code == ERR_CORRUPT);
        return 0;
    }
    uint8_t header[BLOCK_HEADER_SIZE];
    block_header_encode(header, &block->header);
    assert(memcmp(header, data, sizeof(header)) == 0);
    uint8_t root[HASH_SIZE];
    block_tx_root(root, block->txs, block->header.tx_count);
    block_verify_signature(&block->header, &err);
    order_is_canonical(block->txs, block->header.tx_count);
    assert(block_head_rv(&block->header) >= block_rv(block->header.time_us, 0));
    block_free(block);
    return 0;
}
