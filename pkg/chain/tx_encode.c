/*
 * The canonical encoding of a transaction. docs/chain-format.md has the layout:
 *
 *   header length, witness length | header | witness | body
 *
 * id = SHA-256(header). The witness (signatures and unlocking data) lies outside of the header because it
 * is made over the id, and the body because it can be pruned: the header has its pieces' hashes.
 */
#include "chain/tx_internal.h"

#include "chain/hash.h"
#include "chain/merkle.h"
#include "chain/wire.h"

#include <string.h>

static const uint8_t zero_id[TX_ID_SIZE];

static void key_put(struct buf *out, const struct resource_key *key)
{
    key_encode(out, key);
    buf_putc(out, 0);
}

static void claim_put(struct buf *out, const struct tx_claim *claim)
{
    wire_put_u8(out, claim->node != NULL);
    if (!claim->node)
        return;
    wire_put_string(out, claim->node);
    wire_put_varint(out, (uint64_t)claim->cpu_milli);
    wire_put_varint(out, (uint64_t)claim->memory_bytes);
    wire_put_varint(out, (uint64_t)claim->pods);
}

void tx_output_encode(struct buf *out, const struct tx_output *output)
{
    wire_put_u8(out, output->op);
    wire_put_u8(out, output->encoding);
    key_put(out, &output->key);
    wire_put_string(out, output->uid);
    wire_put_varint(out, output->rv_offset);
    wire_put_varint(out, output->content_len);
    if (output->content_len)
        buf_append(out, output->content_hash, sizeof(output->content_hash));
    wire_put_bytes(out, output->lock, output->lock_len);
    wire_put_varint(out, output->term_count);
    for (size_t i = 0; i < output->term_count; i++) {
        wire_put_string(out, output->terms[i].name);
        wire_put_string(out, output->terms[i].value);
    }
    claim_put(out, &output->claim);
}

static uint8_t flags_of(const struct tx *tx)
{
    int flags = 0;
    if (tx->strict)
        flags |= TX_FLAG_STRICT;
    if (tx->has_user_signature)
        flags |= TX_FLAG_USER_KEY;
    if (memcmp(tx->original, zero_id, TX_ID_SIZE) != 0)
        flags |= TX_FLAG_ORIGINAL;
    return (uint8_t)flags;
}

static void who_put(struct buf *out, const struct tx *tx)
{
    wire_put_string(out, tx->user);
    wire_put_varint(out, tx->group_count);
    for (size_t i = 0; i < tx->group_count; i++)
        wire_put_string(out, tx->groups[i]);
    wire_put_string(out, tx->verb);
    wire_put_string(out, tx->subresource);
}

static void header_put(struct buf *out, const struct tx *tx)
{
    uint8_t flags = flags_of(tx);
    wire_put_u8(out, TX_VERSION);
    wire_put_u8(out, flags);
    buf_append(out, tx->chain_id, TX_ID_SIZE);
    wire_put_u64(out, (uint64_t)tx->time_us);
    buf_append(out, tx->nonce, sizeof(tx->nonce));
    buf_append(out, tx->node_key, TX_KEY_SIZE);
    if (flags & TX_FLAG_USER_KEY)
        buf_append(out, tx->user_key, TX_KEY_SIZE);
    if (flags & TX_FLAG_ORIGINAL)
        buf_append(out, tx->original, TX_ID_SIZE);
    who_put(out, tx);
    wire_put_varint(out, tx->input_count);
    for (size_t i = 0; i < tx->input_count; i++) {
        wire_put_u8(out, tx->inputs[i].kind);
        key_put(out, &tx->inputs[i].key);
        buf_append(out, tx->inputs[i].tx_id, TX_ID_SIZE);
    }
    wire_put_varint(out, tx->output_count);
    for (size_t i = 0; i < tx->output_count; i++)
        tx_output_encode(out, &tx->outputs[i]);
    wire_put_varint(out, tx->intent_len);
    if (tx->intent_len)
        buf_append(out, tx->private_->intent_hash, sizeof(tx->private_->intent_hash));
}

/* The outputs are const for callers; here their hashes are filled in, in the arena's own copy. */
static void contents_hash(struct tx *tx)
{
    struct tx_output *outputs = (struct tx_output *)tx->outputs;
    for (size_t i = 0; i < tx->output_count; i++)
        if (outputs[i].content_len)
            hash_content(outputs[i].content_hash, outputs[i].content, outputs[i].content_len);
        else
            memset(outputs[i].content_hash, 0, sizeof(outputs[i].content_hash));
    if (tx->intent_len)
        hash_content(tx->private_->intent_hash, tx->intent, tx->intent_len);
}

void tx_prepare(struct tx *tx, const uint8_t node_public[TX_KEY_SIZE])
{
    memcpy(tx->node_key, node_public, TX_KEY_SIZE);
    contents_hash(tx);
    buf_auto struct buf header = BUF_INIT;
    header_put(&header, tx);
    hash_sha256(tx->id, header.data, header.len);
}

static size_t path_size(const struct tx *tx)
{
    return merkle_proof_nodes(tx->batch.index, tx->batch.count) * HASH_SIZE;
}

/* Of an unsigned transaction: as if it were alone. */
static void signature_put(struct buf *out, const struct tx *tx)
{
    uint32_t count = tx->batch.count ? tx->batch.count : 1;
    wire_put_varint(out, count);
    if (count > 1) {
        wire_put_varint(out, tx->batch.index);
        buf_append(out, tx->batch.nodes, path_size(tx));
    }
    buf_append(out, tx->node_signature, TX_SIGNATURE_SIZE);
}

static void witness_put(struct buf *out, const struct tx *tx)
{
    signature_put(out, tx);
    if (tx->has_user_signature)
        buf_append(out, tx->user_signature, TX_SIGNATURE_SIZE);
    for (size_t i = 0; i < tx->input_count; i++)
        wire_put_bytes(out, tx->inputs[i].unlock, tx->inputs[i].unlock_len);
}

static void body_put(struct buf *out, const struct tx *tx)
{
    for (size_t i = 0; i < tx->output_count; i++)
        buf_append(out, tx->outputs[i].content, tx->outputs[i].content_len);
    buf_append(out, tx->intent, tx->intent_len);
}

static size_t body_len(const struct tx *tx)
{
    size_t len = tx->intent_len;
    for (size_t i = 0; i < tx->output_count; i++)
        len += tx->outputs[i].content_len;
    return len;
}

/* Sizes that have to be refused before they are copied around; the parser checks everything else. */
static int sizes_check(const struct tx *tx, struct err *err)
{
    for (size_t i = 0; i < tx->output_count; i++)
        if (tx->outputs[i].content_len > TX_CONTENT_MAX)
            return err_set(err, ERR_TOO_LARGE, "the object is %zu bytes; the limit is %u",
                           tx->outputs[i].content_len, TX_CONTENT_MAX);
    if (body_len(tx) > TX_BYTES_MAX - 2 * TX_HEADER_MAX)
        return err_set(err, ERR_TOO_LARGE, "the transaction is too large");
    return 0;
}

void tx__encode(struct buf *out, const struct tx *tx)
{
    buf_reserve(out, 1024 + body_len(tx));
    wire_put_u64(out, 0);
    header_put(out, tx);
    size_t header_len = out->len - TX_PREFIX_FIXED;
    witness_put(out, tx);
    size_t witness_len = out->len - TX_PREFIX_FIXED - header_len;
    wire_store_u32((uint8_t *)out->data, (uint32_t)header_len);
    wire_store_u32((uint8_t *)out->data + 4, (uint32_t)witness_len);
    body_put(out, tx);
}

int tx_encode(struct tx *tx, const uint8_t node_public[TX_KEY_SIZE], struct err *err)
{
    int rc = sizes_check(tx, err);
    if (rc)
        return rc;
    memcpy(tx->node_key, node_public, TX_KEY_SIZE);
    memset(tx->node_signature, 0, TX_SIGNATURE_SIZE);
    memset(&tx->batch, 0, sizeof(tx->batch));
    contents_hash(tx);
    buf_auto struct buf out = BUF_INIT;
    tx__encode(&out, tx);
    tx->encoded = arena_dup(&tx->private_->arena, out.data, out.len);
    tx->encoded_len = out.len;
    /* Reading it back checks the limits of every field, so what is signed here can be decoded anywhere. */
    rc = tx__parse(tx, false, false, err);
    if (rc) {
        tx->encoded = NULL;
        if (err)
            err->code = ERR_INVALID;
        return ERR_INVALID;
    }
    tx->batch.count = 0;
    return 0;
}

/* What the fields point to stays where it is. */
void tx__seal(struct tx *tx)
{
    const uint8_t *encoded = tx->encoded;
    uint32_t header_len = wire_load_u32(encoded), witness_len = wire_load_u32(encoded + 4);
    size_t before = TX_PREFIX_FIXED + (size_t)header_len;
    size_t after = before + 1 + TX_SIGNATURE_SIZE; /* where the signature of one that is alone ends */
    buf_auto struct buf signature = BUF_INIT;
    signature_put(&signature, tx);
    size_t more = signature.len - (after - before);
    uint8_t *sealed = arena_alloc(&tx->private_->arena, tx->encoded_len + more);
    memcpy(sealed, encoded, before);
    memcpy(sealed + before, signature.data, signature.len);
    memcpy(sealed + before + signature.len, encoded + after, tx->encoded_len - after);
    wire_store_u32(sealed + 4, witness_len + (uint32_t)more);
    tx->encoded = sealed;
    tx->encoded_len += more;
    tx->prefix_len += more;
    tx->trusted = true;
}
