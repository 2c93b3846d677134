/* See proof.h. */
#include "ledger/proof.h"

#include "base/hex.h"
#include "base/mem.h"
#include "chain/merkle.h"
#include "chain/tx_batch.h"
#include "codec/json.h"

#include <sodium.h>
#include <string.h>

#define HEADERS_MAX 100000

static json_t *hex_json(const uint8_t *bytes, size_t len)
{
    mem_auto char *text = mem_alloc(2 * len + 1);
    hex_encode(text, bytes, len);
    return json_string(text);
}

static json_t *base64_json(const uint8_t *bytes, size_t len)
{
    size_t size = sodium_base64_encoded_len(len, sodium_base64_VARIANT_ORIGINAL);
    mem_auto char *text = mem_alloc(size);
    sodium_bin2base64(text, size, bytes, len, sodium_base64_VARIANT_ORIGINAL);
    return json_string(text);
}

static json_t *merkle_json(const struct block *block, uint32_t index)
{
    uint8_t(*leaves)[HASH_SIZE] = mem_calloc(block->header.tx_count, HASH_SIZE);
    for (uint32_t i = 0; i < block->header.tx_count; i++)
        tx_leaf_hash(block->txs[i], leaves[i]);
    struct merkle_proof proof;
    merkle_prove(&proof, (const uint8_t(*)[HASH_SIZE])leaves, block->header.tx_count, index);
    free(leaves);
    json_t *path = json_array();
    for (size_t i = 0; i < proof.node_count; i++)
        json_array_append_new(path, hex_json(proof.nodes[i], HASH_SIZE));
    return json_pack("{s:I, s:I, s:o}", "index", (json_int_t)proof.index, "count", (json_int_t)proof.count,
                     "path", path);
}

static void add_header(json_t *headers, const struct block_header *header)
{
    uint8_t bytes[BLOCK_HEADER_SIZE];
    block_header_encode(bytes, header);
    json_array_append_new(headers, base64_json(bytes, sizeof(bytes)));
}

static int add_headers_to_head(json_t *headers, struct blockstore *store, uint64_t height, struct err *err)
{
    struct blockstore_head head;
    int rc = blockstore_head(store, &head, err);
    if (!rc && head.header.height - height >= HEADERS_MAX)
        return err_set(err, ERR_TOO_LARGE, "the head is %llu blocks away: a proof takes at most %d",
                       (unsigned long long)(head.header.height - height), HEADERS_MAX);
    for (height++; !rc && height <= head.header.height; height++) {
        struct block_header header;
        rc = blockstore_header_at(store, height, &header, err);
        if (!rc)
            add_header(headers, &header);
    }
    return rc;
}

int proof_make(struct buf *out, struct blockstore *store, const uint8_t tx_id[TX_ID_SIZE],
               const struct proof_options *options, struct err *err)
{
    uint64_t height;
    uint32_t index;
    struct block *block = NULL;
    struct block_header genesis;
    int rc = blockstore_height_of_tx(store, tx_id, &height, &index, err);
    if (!rc)
        rc = blockstore_block_at(store, height, &block, err);
    if (!rc)
        rc = blockstore_header_at(store, 0, &genesis, err);
    if (rc) {
        block_free(block);
        return rc;
    }
    const struct tx *tx = block->txs[index];
    size_t len = options->without_content ? tx->prefix_len : tx->encoded_len;
    json_t *headers = json_array();
    add_header(headers, &block->header);
    if (options->to_head)
        rc = add_headers_to_head(headers, store, height, err);
    json_auto_t *proof =
        json_pack("{s:i, s:o, s:{s:o, s:o, s:b}, s:o, s:o}", "katenaProof", 1, "chain",
                  hex_json(genesis.hash, HASH_SIZE), "transaction", "id", hex_json(tx->id, TX_ID_SIZE),
                  "bytes", base64_json(tx->encoded, len), "pruned", options->without_content, "merkle",
                  merkle_json(block, index), "headers", headers);
    json_dump_buf(out, proof);
    block_free(block);
    return rc;
}

static int no_proof(struct err *err, const char *what)
{
    return err_set(err, ERR_CORRUPT, "the proof does not hold: %s", what);
}

/* Bytes of a base64 member; false when it is none. */
static bool base64_get(struct buf *out, const json_t *value)
{
    const char *text = json_string_value(value);
    if (!text)
        return false;
    size_t len = strlen(text), got;
    buf_clear(out);
    buf_reserve(out, len + 1);
    if (sodium_base642bin((unsigned char *)out->data, len + 1, text, len, NULL, &got, NULL,
                          sodium_base64_VARIANT_ORIGINAL) != 0)
        return false;
    out->len = got;
    return true;
}

static bool hash_get(uint8_t out[HASH_SIZE], const json_t *value)
{
    const char *text = json_string_value(value);
    return text && hex_decode(out, HASH_SIZE, text);
}

static int check_tx(struct proof_result *out, const json_t *proof, struct err *err)
{
    buf_auto struct buf bytes = BUF_INIT;
    uint8_t id[TX_ID_SIZE];
    if (!base64_get(&bytes, json_at(proof, "transaction", "bytes")) ||
        !hash_get(id, json_at(proof, "transaction", "id")))
        return no_proof(err, "it has no transaction");
    bool pruned = json_bool_at(proof, "transaction", "pruned");
    int rc = pruned ? tx_decode_pruned(&out->tx, (uint8_t *)bytes.data, bytes.len, err)
                    : tx_decode(&out->tx, (uint8_t *)bytes.data, bytes.len, err);
    if (!rc)
        rc = tx_verify_signatures(out->tx, NULL, err);
    if (rc < 0)
        return err_wrap(err, "the proof does not hold");
    if (memcmp(id, out->tx->id, TX_ID_SIZE) != 0)
        return no_proof(err, "its transaction has another id");
    return memcmp(out->tx->chain_id, out->chain_id, TX_ID_SIZE)
               ? no_proof(err, "its transaction is of another chain")
               : 0;
}

static int check_merkle(const struct proof_result *out, const json_t *proof, struct err *err)
{
    struct merkle_proof merkle = {0};
    const json_t *path = json_at(proof, "merkle", "path");
    merkle.index = (size_t)json_int_or(-1, proof, "merkle", "index");
    merkle.count = (size_t)json_int_or(0, proof, "merkle", "count");
    merkle.node_count = json_array_size(path);
    if (merkle.node_count > MERKLE_PROOF_MAX || merkle.count != out->header.tx_count ||
        merkle.index >= merkle.count)
        return no_proof(err, "its Merkle path does not fit its block");
    for (size_t i = 0; i < merkle.node_count; i++)
        if (!hash_get(merkle.nodes[i], json_array_get(path, i)))
            return no_proof(err, "its Merkle path is damaged");
    uint8_t leaf[HASH_SIZE];
    tx_leaf_hash(out->tx, leaf);
    if (!merkle_verify(&merkle, leaf, out->header.tx_root))
        return no_proof(err, "the transaction is not in its block");
    return 0;
}

static int check_headers(struct proof_result *out, const json_t *proof, const struct proof_trust *trust,
                         struct err *err)
{
    const json_t *headers = json_at(proof, "headers");
    size_t count = json_array_size(headers);
    if (!count || count > HEADERS_MAX)
        return no_proof(err, "it has no block header");
    buf_auto struct buf bytes = BUF_INIT;
    for (size_t i = 0; i < count; i++) {
        struct block_header header;
        if (!base64_get(&bytes, json_array_get(headers, i)) || bytes.len != BLOCK_HEADER_SIZE ||
            block_header_decode(&header, (uint8_t *)bytes.data, bytes.len, NULL) < 0 ||
            block_verify_signature(&header, NULL) < 0)
            return no_proof(err, "a block header is damaged");
        if (i &&
            (memcmp(header.parent, out->last.hash, HASH_SIZE) != 0 || header.height != out->last.height + 1))
            return no_proof(err, "its block headers do not follow each other");
        if (trust->producer && memcmp(header.producer, trust->producer, TX_KEY_SIZE) != 0)
            return err_set(err, ERR_FORBIDDEN,
                           "block %llu was produced by another key than the one that is trusted",
                           (unsigned long long)header.height);
        if (!i)
            out->header = header;
        out->last = header;
    }
    if (trust->block_hash && memcmp(out->last.hash, trust->block_hash, HASH_SIZE) != 0)
        return err_set(err, ERR_FORBIDDEN,
                       "the last block of the proof, %llu, is not the one that is trusted",
                       (unsigned long long)out->last.height);
    return 0;
}

int proof_check(struct proof_result *out, const void *text, size_t len, const struct proof_trust *trust,
                struct err *err)
{
    *out = (struct proof_result){0};
    if (sodium_init() < 0)
        return err_set(err, ERR_INTERNAL, "libsodium cannot be used on this machine");
    json_auto_t *proof = json_parse(text, len, err);
    if (!proof)
        return err_set(err, ERR_CORRUPT, "this is no proof: it is not JSON");
    if (json_int_or(0, proof, "katenaProof") != 1 || !hash_get(out->chain_id, json_at(proof, "chain")))
        return err_set(err, ERR_CORRUPT, "this is no proof of a version that this katena knows");
    int rc = check_headers(out, proof, trust, err);
    if (!rc)
        rc = check_tx(out, proof, err);
    if (!rc)
        rc = check_merkle(out, proof, err);
    if (rc < 0) {
        tx_free(out->tx);
        out->tx = NULL;
    }
    return rc;
}
