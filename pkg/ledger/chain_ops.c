/* What the consensus manager reads of the blocks, by the block store. */
#include "ledger/ledger_internal.h"

#include "validator/validator.h"

#include <assert.h>

static_assert(BLOCKSTORE_SNAPSHOT_HEADERS >= VALIDATOR_CERTIFICATE_DEPTH &&
                  BLOCKSTORE_SNAPSHOT_REPEATS >= VALIDATOR_REPEAT_DEPTH,
              "who comes with a snapshot gives the same verdicts as all others");

static int head(void *store, struct block_header *header, struct lthash *hash, struct err *err)
{
    struct blockstore_head found;
    int rc = blockstore_head(store, &found, err);
    if (rc)
        return rc;
    *header = found.header;
    *hash = found.state_hash;
    return 0;
}

static int block_at(void *store, uint64_t height, struct block **out, struct err *err)
{
    return blockstore_block_at(store, height, out, err);
}

static int header_at(void *store, uint64_t height, struct block_header *out, struct err *err)
{
    return blockstore_header_at(store, height, out, err);
}

static int height_of(void *store, const uint8_t hash[HASH_SIZE], uint64_t *height, struct err *err)
{
    return blockstore_height_of_hash(store, hash, height, err);
}

/* A transaction that was rebased is where the one is that took its place. */
int ledger_place_of_tx(void *store, const uint8_t id[TX_ID_SIZE], uint64_t *height, uint32_t *index,
                       struct err *err)
{
    int rc = blockstore_height_of_tx(store, id, height, index, err);
    return rc == ERR_NOT_FOUND ? blockstore_height_of_rebased(store, id, height, index, err) : rc;
}

static int side_block(void *store, const uint8_t hash[HASH_SIZE], struct block **out, struct err *err)
{
    return blockstore_side_block(store, hash, out, err);
}

const struct consensus_chain_ops *ledger_chain_ops(void)
{
    static const struct consensus_chain_ops ops = {.head = head,
                                                   .block_at = block_at,
                                                   .header_at = header_at,
                                                   .height_of = height_of,
                                                   .place_of_tx = ledger_place_of_tx,
                                                   .side_block = side_block};
    return &ops;
}
