/* Blocks: sealing, encoding and decoding. See block.h and docs/chain-format.md. */
#include "chain/block.h"

#include "base/mem.h"
#include "chain/lthash.h"
#include "chain/merkle.h"
#include "chain/wire.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

#define SIGNED_PART (BLOCK_HEADER_SIZE - TX_SIGNATURE_SIZE)
#define RESERVED_AT 172 /* zeros up to the signature */

static const char sign_tag[16] = "katena block v1";

uint64_t block_head_rv(const struct block_header *header)
{
    return block_rv(header->time_us, header->output_count ? header->output_count - 1 : 0);
}

void block_header_encode(uint8_t out[BLOCK_HEADER_SIZE], const struct block_header *header)
{
    memset(out, 0, BLOCK_HEADER_SIZE);
    wire_store_u32(out, header->version);
    wire_store_u64(out + 4, header->height);
    memcpy(out + 12, header->parent, HASH_SIZE);
    wire_store_u64(out + 44, (uint64_t)header->time_us);
    memcpy(out + 52, header->producer, TX_KEY_SIZE);
    memcpy(out + 84, header->tx_root, HASH_SIZE);
    memcpy(out + 116, header->state_digest, HASH_SIZE);
    wire_store_u32(out + 148, header->tx_count);
    wire_store_u32(out + 152, header->output_count);
    wire_store_u64(out + 156, header->slot);
    wire_store_u32(out + 164, header->number);
    wire_store_u32(out + 168, header->flags);
    memcpy(out + SIGNED_PART, header->signature, TX_SIGNATURE_SIZE);
}

/* The time limit leaves room for the places within the microsecond in a resourceVersion of 63 bits. */
static bool header_is_sane(const struct block_header *h, const uint8_t *bytes)
{
    for (size_t i = RESERVED_AT; i < SIGNED_PART; i++)
        if (bytes[i])
            return false;
    bool genesis_only = h->height == 0 ? h->slot == 0 && h->number == 0 : h->flags == 0;
    return genesis_only && (h->flags & ~(BLOCK_BYZANTINE | BLOCK_CARRIES)) == 0 &&
           h->version == BLOCK_VERSION && h->time_us > 0 && h->time_us < INT64_MAX / BLOCK_OUTPUTS_MAX &&
           h->output_count <= BLOCK_OUTPUTS_MAX && h->tx_count <= h->output_count;
}

int block_header_decode(struct block_header *out, const uint8_t *bytes, size_t len, struct err *err)
{
    if (len < BLOCK_HEADER_SIZE)
        return err_set(err, ERR_CORRUPT, "block header: cut off");
    out->version = wire_load_u32(bytes);
    out->height = wire_load_u64(bytes + 4);
    memcpy(out->parent, bytes + 12, HASH_SIZE);
    out->time_us = (int64_t)wire_load_u64(bytes + 44);
    memcpy(out->producer, bytes + 52, TX_KEY_SIZE);
    memcpy(out->tx_root, bytes + 84, HASH_SIZE);
    memcpy(out->state_digest, bytes + 116, HASH_SIZE);
    out->tx_count = wire_load_u32(bytes + 148);
    out->output_count = wire_load_u32(bytes + 152);
    out->slot = wire_load_u64(bytes + 156);
    out->number = wire_load_u32(bytes + 164);
    out->flags = wire_load_u32(bytes + 168);
    memcpy(out->signature, bytes + SIGNED_PART, TX_SIGNATURE_SIZE);
    if (!header_is_sane(out, bytes))
        return err_set(err, ERR_CORRUPT, "block header: malformed");
    hash_sha256(out->hash, bytes, BLOCK_HEADER_SIZE);
    return 0;
}

void block_tx_root(uint8_t out[HASH_SIZE], struct tx *const *txs, size_t tx_count)
{
    mem_auto uint8_t(*leaves)[HASH_SIZE] = mem_calloc(tx_count + 1, HASH_SIZE);
    for (size_t i = 0; i < tx_count; i++)
        tx_leaf_hash(txs[i], leaves[i]);
    merkle_root(out, leaves, tx_count);
}

struct block *block_new(struct tx **txs, size_t tx_count)
{
    assert(tx_count <= BLOCK_OUTPUTS_MAX);
    struct block *block = mem_zalloc(sizeof(*block));
    block->txs = txs;
    block->header.version = BLOCK_VERSION;
    block->header.tx_count = (uint32_t)tx_count;
    for (size_t i = 0; i < tx_count; i++)
        block->header.output_count += (uint32_t)txs[i]->output_count;
    assert(block->header.output_count <= BLOCK_OUTPUTS_MAX);
    return block;
}

void block_free(struct block *block)
{
    if (!block)
        return;
    for (size_t i = 0; block->txs && i < block->header.tx_count; i++)
        tx_free(block->txs[i]);
    free(block->txs);
    free((void *)block->encoded);
    free(block);
}

/* What a producer signs: a tag and the hash of the header without the signature. */
static void signed_bytes(uint8_t out[sizeof(sign_tag) + HASH_SIZE], const uint8_t header[BLOCK_HEADER_SIZE])
{
    memcpy(out, sign_tag, sizeof(sign_tag));
    hash_sha256(out + sizeof(sign_tag), header, SIGNED_PART);
}

static void header_sign(struct block_header *header, uint8_t bytes[BLOCK_HEADER_SIZE],
                        const uint8_t secret_key[64])
{
    memset(header->signature, 0, sizeof(header->signature));
    memcpy(header->producer, secret_key + 32, TX_KEY_SIZE);
    block_header_encode(bytes, header);
    uint8_t message[sizeof(sign_tag) + HASH_SIZE];
    signed_bytes(message, bytes);
    crypto_sign_detached(header->signature, NULL, message, sizeof(message), secret_key);
    memcpy(bytes + SIGNED_PART, header->signature, TX_SIGNATURE_SIZE);
    hash_sha256(header->hash, bytes, BLOCK_HEADER_SIZE);
}

void block_seal(struct block *block, const uint8_t secret_key[64])
{
    assert(!block->encoded);
    block_tx_root(block->header.tx_root, block->txs, block->header.tx_count);
    size_t len = BLOCK_HEADER_SIZE;
    for (size_t i = 0; i < block->header.tx_count; i++)
        len += 4 + block->txs[i]->encoded_len;
    uint8_t *bytes = mem_alloc(len);
    header_sign(&block->header, bytes, secret_key);
    uint8_t *at = bytes + BLOCK_HEADER_SIZE;
    for (size_t i = 0; i < block->header.tx_count; i++) {
        const struct tx *tx = block->txs[i];
        wire_store_u32(at, (uint32_t)tx->encoded_len);
        memcpy(at + 4, tx->encoded, tx->encoded_len);
        at += 4 + tx->encoded_len;
    }
    block->encoded = bytes;
    block->encoded_len = len;
}

static int txs_decode(struct block *block, struct wire_reader *in, struct err *err)
{
    uint32_t outputs = 0;
    uint32_t count = block->header.tx_count;
    block->txs = mem_calloc(count + 1, sizeof(struct tx *));
    for (uint32_t i = 0; i < count; i++) {
        uint32_t len = wire_get_u32(in);
        const uint8_t *bytes = wire_get_raw(in, len);
        if (!bytes)
            return err_set(err, ERR_CORRUPT, "block: cut off in transaction %u", i);
        int rc = tx_decode(&block->txs[i], bytes, len, err);
        if (rc)
            return rc;
        outputs += (uint32_t)block->txs[i]->output_count;
    }
    if (!wire_done(in) || outputs != block->header.output_count)
        return err_set(err, ERR_CORRUPT, "block: the header does not fit the transactions");
    return 0;
}

int block_decode(struct block **out, const uint8_t *bytes, size_t len, struct err *err)
{
    *out = NULL;
    struct block_header header;
    if (len > BLOCK_BYTES_MAX)
        return err_set(err, ERR_CORRUPT, "block: %zu bytes are more than the limit", len);
    int rc = block_header_decode(&header, bytes, len, err);
    if (rc)
        return rc;
    struct block *block = mem_zalloc(sizeof(*block));
    block->header = header;
    struct wire_reader in = wire_reader(bytes + BLOCK_HEADER_SIZE, len - BLOCK_HEADER_SIZE);
    rc = txs_decode(block, &in, err);
    if (rc) {
        block_free(block);
        return rc;
    }
    block->encoded = mem_dup(bytes, len);
    block->encoded_len = len;
    *out = block;
    return 0;
}

int block_verify_signature(const struct block_header *header, struct err *err)
{
    uint8_t bytes[BLOCK_HEADER_SIZE];
    block_header_encode(bytes, header);
    uint8_t message[sizeof(sign_tag) + HASH_SIZE];
    signed_bytes(message, bytes);
    if (crypto_sign_verify_detached(header->signature, message, sizeof(message), header->producer) != 0)
        return err_set(err, ERR_FORBIDDEN, "the signature of the block's producer is wrong");
    return 0;
}

bool block_headers_conflict(const struct block_header *a, const struct block_header *b)
{
    return a->height > 0 && b->height > 0 && a->slot == b->slot && a->number == b->number &&
           memcmp(a->producer, b->producer, TX_KEY_SIZE) == 0 && memcmp(a->hash, b->hash, HASH_SIZE) != 0;
}

struct block *block_genesis(int64_t time_us, const uint8_t secret_key[64])
{
    return block_genesis_with(time_us, 0, secret_key);
}

struct block *block_genesis_with(int64_t time_us, uint32_t flags, const uint8_t secret_key[64])
{
    struct lthash empty;
    lthash_init(&empty);
    struct block *block = block_new(NULL, 0);
    block->header.time_us = time_us;
    block->header.flags = flags;
    lthash_digest(block->header.state_digest, &empty);
    block_seal(block, secret_key);
    return block;
}

struct block *block_genesis_carrying(const struct block_header *from, const uint8_t digest[HASH_SIZE],
                                     int64_t now_us, uint32_t flags, const uint8_t secret_key[64])
{
    struct block *block = block_new(NULL, 0);
    struct block_header *header = &block->header;
    header->time_us = now_us > from->time_us ? now_us : from->time_us + 1;
    header->flags = flags | BLOCK_CARRIES;
    memcpy(header->parent, from->hash, HASH_SIZE);
    memcpy(header->state_digest, digest, HASH_SIZE);
    block_seal(block, secret_key);
    return block;
}
