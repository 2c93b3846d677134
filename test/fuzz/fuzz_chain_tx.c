/* Any bytes as a transaction: what is accepted has exactly this encoding, and its prefix decodes, too. */
#include "chain/tx_batch.h"
#include "chain/tx_internal.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tx *tx;
    struct err err;
    if (tx_decode(&tx, data, size, &err)) {
        assert(!tx && err.code == ERR_CORRUPT);
        return 0;
    }
    buf_auto struct buf again = BUF_INIT;
    tx__encode(&again, tx);
    assert(again.len == size && memcmp(again.data, data, size) == 0);
    struct tx *pruned;
    int rc = tx_decode_pruned(&pruned, data, tx->prefix_len, &err);
    assert(rc == 0 && memcmp(pruned->id, tx->id, TX_ID_SIZE) == 0);
    uint8_t leaf[32], pruned_leaf[32];
    tx_leaf_hash(tx, leaf);
    tx_leaf_hash(pruned, pruned_leaf);
    assert(memcmp(leaf, pruned_leaf, sizeof(leaf)) == 0);
    (void)rc;
    tx_verify_signatures(tx, NULL, &err);
    tx_free(pruned);
    tx_free(tx);
    return 0;
}
