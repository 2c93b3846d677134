/*
 * Blocks: a signed header and an ordered list of transactions (docs/chain-format.md).
 *
 * The header commits to the transactions by a Merkle root and to the state after the block by a digest
 * (lthash.h). A block's hash is the SHA-256 of its encoded header, signature included.
 * The first block (height 0, the genesis) has no transactions; its hash is the chain id, and its producer
 * is the first validator.
 */
#ifndef KATENA_CHAIN_BLOCK_H
#define KATENA_CHAIN_BLOCK_H

#include "base/err.h"
#include "chain/hash.h"
#include "chain/tx.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BLOCK_VERSION 2
#define BLOCK_OUTPUTS_MAX 1024      /* in all transactions of a block: the places that a time_us leaves */
#define BLOCK_BYTES_MAX (32u << 20) /* encoded */
#define BLOCK_HEADER_SIZE 256       /* every header is of this length */

/* In the genesis: finality takes more than two thirds of the validators, since up to a third may lie. */
#define BLOCK_BYZANTINE 1u
/* In the genesis: the chain begins with the state that another one had, less its validators and seeds. The
 * parent is the block of that chain. */
#define BLOCK_CARRIES 2u

struct block_header {
    uint32_t version;
    uint64_t height;
    uint8_t parent[HASH_SIZE]; /* hash of the parent; zeros in a genesis but with BLOCK_CARRIES */
    int64_t time_us;           /* microseconds since 1970, greater than the parent's */
    uint8_t producer[TX_KEY_SIZE];
    uint8_t tx_root[HASH_SIZE];
    uint8_t state_digest[HASH_SIZE]; /* of the state after this block */
    uint32_t tx_count;
    uint32_t output_count;
    uint64_t slot;   /* in which it was made; 0 in the genesis */
    uint32_t number; /* its place among what its producer made in the slot: two in one place prove a lie */
    uint32_t flags;  /* BLOCK_BYZANTINE, BLOCK_CARRIES; in the genesis only */
    uint8_t signature[TX_SIGNATURE_SIZE];

    uint8_t hash[HASH_SIZE]; /* not encoded; set by block_seal and the decoders */
};

struct block {
    struct block_header header;
    struct tx **txs; /* header.tx_count of them, in order; owned */
    const uint8_t *encoded;
    size_t encoded_len; /* set by block_seal and block_decode; owned */
    bool trusted;       /* the producer's signature was checked already */
};

/* The resourceVersion of the index-th output of a block made at time_us. */
static inline uint64_t block_rv(int64_t time_us, uint32_t index)
{
    return (uint64_t)time_us * BLOCK_OUTPUTS_MAX + index;
}

/* The resourceVersion of the whole block: that of its last output (of place 0 when it has none). */
uint64_t block_head_rv(const struct block_header *header);

/* The time of the block in which a resourceVersion lies. */
static inline int64_t block_time_of_rv(uint64_t rv)
{
    return (int64_t)(rv / BLOCK_OUTPUTS_MAX);
}

/* A block of the given transactions: takes the txs (the array too, by malloc). The caller fills
 * header.height, parent, time_us, slot, number and state_digest and then seals it. */
struct block *block_new(struct tx **txs, size_t tx_count);
void block_free(struct block *block); /* takes NULL */

/* Sets the remaining header fields, signs with libsodium's 64-byte secret key, encodes, sets the hash. */
void block_seal(struct block *block, const uint8_t secret_key[64]);

/* Decodes and checks the grammar (not signatures, not rules; the Merkle root neither). The bytes are copied.
 */
int block_decode(struct block **out, const uint8_t *bytes, size_t len, struct err *err);

/* Only the header: the first BLOCK_HEADER_SIZE bytes of a block's encoding. */
void block_header_encode(uint8_t out[BLOCK_HEADER_SIZE], const struct block_header *header);
int block_header_decode(struct block_header *out, const uint8_t *bytes, size_t len, struct err *err);

/* The producer's signature over the header without it. */
int block_verify_signature(const struct block_header *header, struct err *err);

/* The Merkle root of transactions in the given order; zeros for none. */
void block_tx_root(uint8_t out[HASH_SIZE], struct tx *const *txs, size_t tx_count);

/* Whether two headers prove that their producer made two blocks in one place. Does not look at the
 * signatures. */
bool block_headers_conflict(const struct block_header *a, const struct block_header *b);

/* The first block of a new chain. time_us and secret_key make its hash, the chain id, unique. */
struct block *block_genesis(int64_t time_us, const uint8_t secret_key[64]);

/* The same with flags. */
struct block *block_genesis_with(int64_t time_us, uint32_t flags, const uint8_t secret_key[64]);

/* The same with BLOCK_CARRIES: of a chain that begins with what is kept of the state after the block `from`
 * of another one; digest is that state's. Its time is now_us, or right after that of `from` where the clock
 * is behind. */
struct block *block_genesis_carrying(const struct block_header *from, const uint8_t digest[HASH_SIZE],
                                     int64_t now_us, uint32_t flags, const uint8_t secret_key[64]);

#endif
