/* See tx_batch.h. */
#include "chain/tx_batch.h"

#include "base/mem.h"
#include "chain/merkle.h"
#include "chain/tx_internal.h"
#include "chain/wire.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

/* 16 bytes with the NUL, so that no signature of a node can be taken for one of another kind: an id cannot
 * pass for a root. */
static const char batch_tag[16] = "katena txs v1  ";

static bool is_alone(const struct tx *tx)
{
    return tx->batch.count == 1;
}

static void leaf_of(const struct tx *tx, uint8_t out[HASH_SIZE])
{
    merkle_leaf(out, tx->id, TX_ID_SIZE);
}

void tx_batch_of(struct tx_batch *out, const struct tx *tx)
{
    assert(tx->batch.count);
    memcpy(out->key, tx->node_key, TX_KEY_SIZE);
    memcpy(out->signature, tx->node_signature, TX_SIGNATURE_SIZE);
    if (is_alone(tx)) {
        memcpy(out->root, tx->id, TX_ID_SIZE);
        return;
    }
    struct merkle_proof path = {.index = tx->batch.index, .count = tx->batch.count};
    path.node_count = merkle_proof_nodes(path.index, path.count);
    memcpy(path.nodes, tx->batch.nodes, path.node_count * HASH_SIZE);
    uint8_t leaf[HASH_SIZE];
    leaf_of(tx, leaf);
    merkle_follow(out->root, &path, leaf);
}

/* What the node signs: a tag and the root. */
static void batch_bytes(const struct tx *tx, const uint8_t root[HASH_SIZE], uint8_t out[TX_SIGNED_SIZE])
{
    tx_signed_bytes(tx, out);
    if (is_alone(tx))
        return;
    memcpy(out, batch_tag, sizeof(batch_tag));
    memcpy(out + sizeof(batch_tag), root, HASH_SIZE);
}

/* ---- signing ---- */

static void sign(const struct tx *tx, const uint8_t root[HASH_SIZE], const uint8_t secret_key[64],
                 uint8_t signature[TX_SIGNATURE_SIZE])
{
    uint8_t message[TX_SIGNED_SIZE];
    batch_bytes(tx, root, message);
    crypto_sign_detached(signature, NULL, message, sizeof(message), secret_key);
}

static void check_signable(const struct tx *tx, const uint8_t secret_key[64])
{
    assert(tx->encoded && !tx->batch.count);
    assert(memcmp(tx->node_key, secret_key + 32, TX_KEY_SIZE) == 0);
}

static void sign_alone(struct tx *tx, const uint8_t secret_key[64])
{
    tx->batch.count = 1;
    sign(tx, tx->id, secret_key, tx->node_signature);
    tx__seal(tx);
}

static void sign_together(struct tx *const *txs, size_t count, const uint8_t secret_key[64])
{
    uint8_t(*leaves)[HASH_SIZE] = mem_calloc(count, HASH_SIZE);
    for (size_t i = 0; i < count; i++)
        leaf_of(txs[i], leaves[i]);
    struct merkle_tree *tree = merkle_tree_new(leaves, count);
    free(leaves);
    uint8_t signature[TX_SIGNATURE_SIZE];
    for (size_t i = 0; i < count; i++) {
        struct tx *tx = txs[i];
        struct merkle_proof path;
        merkle_tree_prove(&path, tree, i);
        tx->batch.count = (uint32_t)count;
        tx->batch.index = (uint32_t)i;
        tx->batch.nodes = arena_dup(&tx->private_->arena, path.nodes, path.node_count * HASH_SIZE);
        if (i == 0)
            sign(tx, merkle_tree_root(tree), secret_key, signature);
        memcpy(tx->node_signature, signature, sizeof(signature));
        tx__seal(tx);
    }
    merkle_tree_free(tree);
}

void tx_sign_batch(struct tx *const *txs, size_t count, const uint8_t secret_key[64])
{
    assert(count && count <= TX_BATCH_MAX);
    for (size_t i = 0; i < count; i++)
        check_signable(txs[i], secret_key);
    if (count == 1)
        sign_alone(txs[0], secret_key);
    else
        sign_together(txs, count, secret_key);
}

int tx_sign(struct tx *tx, const uint8_t secret_key[64], struct err *err)
{
    int rc = tx_encode(tx, secret_key + 32, err);
    if (!rc)
        tx_sign_batch(&tx, 1, secret_key);
    return rc;
}

/* ---- checking ---- */

static bool was_seen(const struct tx_batches *seen, const struct tx_batch *batch)
{
    size_t count = seen->count < TX_BATCHES_SEEN ? seen->count : TX_BATCHES_SEEN;
    for (size_t i = 0; i < count; i++)
        if (memcmp(&seen->seen[i], batch, sizeof(*batch)) == 0)
            return true;
    return false;
}

static int verify_batch(const struct tx *tx, const struct tx_batch *batch, struct err *err)
{
    uint8_t message[TX_SIGNED_SIZE];
    batch_bytes(tx, batch->root, message);
    if (crypto_sign_verify_detached(batch->signature, message, sizeof(message), batch->key) != 0)
        return err_set(err, ERR_FORBIDDEN, "the signature of the accepting node is wrong");
    return 0;
}

static int verify_node(const struct tx *tx, struct tx_batches *seen, struct err *err)
{
    struct tx_batch batch;
    tx_batch_of(&batch, tx);
    if (seen && was_seen(seen, &batch))
        return 0;
    bool known = seen && seen->known && seen->known(seen->arg, &batch);
    int rc = known ? 0 : verify_batch(tx, &batch, err);
    if (seen && !rc)
        seen->seen[seen->count++ % TX_BATCHES_SEEN] = batch;
    return rc;
}

int tx_verify_signatures(const struct tx *tx, struct tx_batches *seen, struct err *err)
{
    assert(tx->encoded);
    int rc = tx->trusted ? 0 : verify_node(tx, seen, err);
    if (rc || !tx->has_user_signature)
        return rc;
    uint8_t message[TX_SIGNED_SIZE];
    tx_signed_bytes(tx, message);
    if (crypto_sign_verify_detached(tx->user_signature, message, sizeof(message), tx->user_key) != 0)
        return err_set(err, ERR_FORBIDDEN, "the signature of the user is wrong");
    return 0;
}
