/* The rules of a block on its parent. See validator.h and docs/chain-format.md. */
#include "validator/validator_internal.h"

#include "chain/order.h"

#include <string.h>

static int refuse(struct err *err, const struct block *block, const char *why)
{
    return err_set(err, ERR_CORRUPT, "block %llu: %s", (unsigned long long)block->header.height, why);
}

static int check_header(struct validator *v, const struct block_header *parent, const struct block *block,
                        struct err *err)
{
    const struct block_header *header = &block->header;
    if (header->height != parent->height + 1 || memcmp(header->parent, parent->hash, HASH_SIZE) != 0)
        return refuse(err, block, "it does not stand on its parent");
    if (header->time_us <= parent->time_us)
        return refuse(err, block, "its time is not later than its parent's");
    if (header->tx_count == 0)
        return refuse(err, block, "it has no transactions");
    if (!validator_is_registered(v->chain, header->producer))
        return refuse(err, block, "its producer is no validator");
    return block->trusted ? 0 : block_verify_signature(header, err);
}

static int check_content(const struct block *block, struct err *err)
{
    uint8_t root[HASH_SIZE];
    block_tx_root(root, block->txs, block->header.tx_count);
    if (memcmp(root, block->header.tx_root, HASH_SIZE) != 0)
        return refuse(err, block, "its Merkle root is another");
    if (!order_is_canonical(block->txs, block->header.tx_count))
        return refuse(err, block, "its transactions are not in order");
    return 0;
}

static int check_txs(struct validator *v, const struct block *block, struct err *err)
{
    for (uint32_t i = 0; i < block->header.tx_count; i++) {
        int rc = validator_check(v, block->txs[i], err);
        if (!rc)
            rc = validator_apply(v, block->txs[i], err);
        if (rc) {
            err_wrap(err, "block %llu: transaction %u", (unsigned long long)block->header.height, i);
            if (!validator_is_verdict(rc))
                return rc;
            if (err)
                err->code = ERR_CORRUPT;
            return ERR_CORRUPT;
        }
    }
    return 0;
}

int validator_check_block(struct validator *v, const struct block_header *parent, const struct block *block,
                          struct err *err)
{
    int rc = check_header(v, parent, block, err);
    if (!rc)
        rc = check_content(block, err);
    v->checks_block = true;
    if (!rc)
        rc = check_txs(v, block, err);
    v->checks_block = false;
    if (rc)
        return rc;
    uint8_t digest[HASH_SIZE];
    state_view_digest(v->view, digest);
    if (memcmp(digest, block->header.state_digest, HASH_SIZE) != 0)
        return refuse(err, block, "it does not lead to the state that its header names");
    return 0;
}
