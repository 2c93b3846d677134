/* Orphans that are in the chain already, in another form: who put it there may not have lived to tell what
 * was lost with it. */
#include "api/orphans_internal.h"

#include "blockstore/blockstore.h"

#include <string.h>

static bool in_chain(struct blockstore *store, const uint8_t id[TX_ID_SIZE])
{
    uint64_t height;
    uint32_t index;
    return !blockstore_height_of_tx(store, id, &height, &index, NULL);
}

/* The transaction that names this one as its original. */
static int read_rebased(struct blockstore *store, const uint8_t id[TX_ID_SIZE], struct orphan_past *out,
                        struct err *err)
{
    uint64_t height;
    uint32_t index;
    int rc = blockstore_height_of_rebased(store, id, &height, &index, err);
    if (rc)
        return rc;
    rc = blockstore_block_at(store, height, &out->block, err);
    if (rc == ERR_GONE ||
        rc == ERR_NOT_FOUND) /* pruned, or older than the snapshot that the store began with */
        return 0;
    if (rc)
        return rc;
    if (index < out->block->header.tx_count && !memcmp(out->block->txs[index]->original, id, TX_ID_SIZE)) {
        out->tx = out->block->txs[index];
        return 0;
    }
    orphan_past_close(out);
    return err_set(err, ERR_UNAVAILABLE, "the chain was switched meanwhile");
}

int orphan_past_find(struct api_server *server, const struct tx *tx, struct orphan_past *out, struct err *err)
{
    static const uint8_t none[TX_ID_SIZE];
    struct blockstore *store = ledger_store(server->ledger);
    bool rebased = memcmp(tx->original, none, TX_ID_SIZE) != 0;
    *out =
        (struct orphan_past){.as_is = in_chain(store, tx->id) || (rebased && in_chain(store, tx->original))};
    return out->as_is ? 0 : read_rebased(store, rebased ? tx->original : tx->id, out, err);
}

void orphan_past_close(struct orphan_past *past)
{
    block_free(past->block);
    *past = (struct orphan_past){0};
}

const struct tx_output *orphan_past_output(const struct orphan_past *past, const struct resource_key *key)
{
    for (size_t i = 0; past->tx && i < past->tx->output_count; i++)
        if (key_compare(&past->tx->outputs[i].key, key) == 0)
            return &past->tx->outputs[i];
    return NULL;
}

void orphan_past_learn(const struct orphan_past *past, const struct tx *tx, struct orphan_aliases *aliases)
{
    for (size_t i = 0; i < tx->output_count; i++) {
        const struct tx_output *made = orphan_past_output(past, &tx->outputs[i].key);
        if (made)
            orphan_alias_add(aliases, &made->key, tx->outputs[i].uid, made->uid);
    }
}
