/*
 * Transactions: a change of one or more objects, as it stands in the chain.
 *
 * A transaction consumes or reads earlier outputs (inputs), makes new ones (outputs), and is signed by the
 * node that accepted it on behalf of an authenticated user. API semantics ran before it was made: an
 * output holds the final content. The intent beside it (verb, patch, field manager, base values) is what a
 * replay after a chain switch works from.
 *
 * Encoding is canonical (docs/chain-format.md): one transaction has one encoding. The header commits to the
 * body (contents and intent) by hash, so a body can be pruned; id = SHA-256 of the header.
 *
 * All memory of a struct tx belongs to its arena; strings given to the tx_add_* functions are copied.
 */
#ifndef KATENA_CHAIN_TX_H
#define KATENA_CHAIN_TX_H

#include "base/buf.h"
#include "base/err.h"
#include "chain/key.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TX_ID_SIZE 32
#define TX_KEY_SIZE 32 /* Ed25519 public key */
#define TX_SIGNATURE_SIZE 64
#define TX_OUTPUTS_MAX 256
#define TX_INPUTS_MAX 512
#define TX_CONTENT_MAX (3u << 20)
#define TX_INDEX_TERMS_MAX 32
#define TX_HEADER_MAX (1u << 20) /* encoded header; the witness has the same limit */
#define TX_BYTES_MAX (16u << 20) /* a whole encoding */
#define TX_USER_MAX 1024         /* a user's or a group's name */
#define TX_GROUPS_MAX 256
#define TX_VERB_MAX 32
#define TX_SUBRESOURCE_MAX 63
#define TX_UID_MAX 128
#define TX_TERM_NAME_MAX 32
#define TX_TERM_VALUE_MAX 256
#define TX_LOCK_MAX 1024
#define TX_UNLOCK_MAX 4096
#define TX_BATCH_MAX 1024 /* transactions that share a signature, see tx_batch.h */
/* What stands in an output's content where the resourceVersion will be: the digits that the position in the
 * chain gives are put there when an object is read, so content never depends on its position. */
#define TX_RV_PLACEHOLDER "0000000000000000000"
#define TX_RV_DIGITS 19

enum tx_input_kind {
    TX_INPUT_DIRECT = 1,   /* consumes the newest version of a resource that an output changes */
    TX_INPUT_INDIRECT = 2, /* reads a parent (or a node, for a binding), which has to be alive */
};

struct tx_input {
    enum tx_input_kind kind;
    struct resource_key key;
    uint8_t tx_id[TX_ID_SIZE]; /* the transaction that has key as an output */
    const uint8_t *unlock;     /* unlocking data for that output's locking script; may be empty */
    size_t unlock_len;
};

enum tx_output_op { TX_OUTPUT_PUT = 1, TX_OUTPUT_DELETE = 2 };
enum tx_content { TX_CONTENT_NONE = 0, TX_CONTENT_PLAIN = 1, TX_CONTENT_SEALED = 2 };

/* A term of a secondary index, e.g. ("owner", UID) or ("node", name). */
struct tx_index_term {
    const char *name;
    const char *value;
};

/* What a pod takes of a node; the sum per node is part of the state, so that "a binding fits the node" is a
 * rule that every node can check without reading JSON. For an output of kind nodes: what the node has. */
struct tx_claim {
    const char *node; /* NULL: no claim */
    int64_t cpu_milli;
    int64_t memory_bytes;
    int64_t pods;
};

struct tx_output {
    enum tx_output_op op;
    struct resource_key key;
    const char *uid; /* metadata.uid of the object */
    enum tx_content encoding;
    const uint8_t
        *content; /* canonical JSON, or sealed bytes of it; empty for a delete that changes nothing else */
    size_t content_len;
    uint32_t rv_offset;  /* where in the (opened) content the placeholder stands; 0: nowhere */
    const uint8_t *lock; /* locking script; empty: the default lock, RBAC */
    size_t lock_len;
    const struct tx_index_term *terms;
    size_t term_count;
    struct tx_claim claim;
    uint8_t content_hash[32]; /* hash_content of content; set by tx_encode and tx_decode */
};

struct tx {
    uint8_t chain_id[TX_ID_SIZE]; /* genesis hash: a transaction of another cluster is refused */
    int64_t time_us;              /* when the node accepted it, by that node's clock; informative */
    uint8_t nonce[16];
    const char *user;
    const char *const *groups;
    size_t group_count;
    const char *verb;             /* create, update, patch, apply, delete */
    const char *subresource;      /* "", "status", "scale", "binding", … */
    bool strict;                  /* the client gave a resourceVersion: never rebased */
    uint8_t original[TX_ID_SIZE]; /* of a rebased transaction; zeros otherwise */
    const struct tx_input *inputs;
    size_t input_count;
    const struct tx_output *outputs;
    size_t output_count;
    const uint8_t *intent; /* JSON; may be empty */
    size_t intent_len;
    uint8_t node_key[TX_KEY_SIZE];
    uint8_t node_signature[TX_SIGNATURE_SIZE];
    struct {
        uint32_t count; /* transactions that the node's signature is for; 0: not signed yet */
        uint32_t index;
        const uint8_t *nodes; /* the path to the root, see tx_batch.h */
    } batch;
    bool has_user_signature;
    uint8_t user_key[TX_KEY_SIZE];
    uint8_t user_signature[TX_SIGNATURE_SIZE];

    uint8_t id[TX_ID_SIZE]; /* set by tx_encode and tx_decode */
    const uint8_t *encoded; /* the whole encoding; set by tx_encode, changed by signing; set by tx_decode */
    size_t encoded_len;
    size_t prefix_len; /* header and witness: the part of encoded that stays when the body is pruned */
    bool pruned;       /* decoded from its prefix alone: contents and intent are absent */
    bool trusted;      /* signed by this process itself, or checked: its signature needs no check */
    struct tx_private *private_;
};

/* An empty transaction. Freed with tx_free, which takes NULL too. */
struct tx *tx_new(void);
void tx_free(struct tx *tx);

void tx_set_user(struct tx *tx, const char *user, const char *const *groups, size_t group_count);
void tx_set_verb(struct tx *tx, const char *verb, const char *subresource);
void tx_set_intent(struct tx *tx, const void *intent, size_t len);
void tx_add_input(struct tx *tx, const struct tx_input *input);
void tx_add_output(struct tx *tx, const struct tx_output *output);

/* Sets node_key and id, on which a user's signature and the signatures in unlocking data are made. Only
 * needed where there are such; everything but the witness has to be set before. */
void tx_prepare(struct tx *tx, const uint8_t node_public[TX_KEY_SIZE]);

/* Sets node_key, encodes, sets id: all but the node's signature, which follows (tx_batch.h). chain_id,
 * time_us and nonce have to be set before. */
int tx_encode(struct tx *tx, const uint8_t node_public[TX_KEY_SIZE], struct err *err);

/* tx_encode, and signs it alone. secret_key is libsodium's 64-byte Ed25519 secret key. */
int tx_sign(struct tx *tx, const uint8_t secret_key[64], struct err *err);

/* Decodes and checks the grammar (not signatures, not rules). The bytes are copied. */
int tx_decode(struct tx **out, const uint8_t *bytes, size_t len, struct err *err);

/* Decodes the first prefix_len bytes of an encoding: all but the contents and the intent, which are NULL with
 * their lengths and hashes kept. */
int tx_decode_pruned(struct tx **out, const uint8_t *bytes, size_t len, struct err *err);

/* The leaf of a block's Merkle tree: commits to the id and to the witness (signatures, unlocking data). */
void tx_leaf_hash(const struct tx *tx, uint8_t out[32]);

/* What a user signs, and a node that signs it alone: a tag and the id. */
#define TX_SIGNED_SIZE (16 + TX_ID_SIZE)
void tx_signed_bytes(const struct tx *tx, uint8_t out[TX_SIGNED_SIZE]);

/* The encoding of an output as the header has it: all but the content, for which its hash and length stand.
 */
void tx_output_encode(struct buf *out, const struct tx_output *output);

/* The same as a slice of an encoded or decoded transaction's encoding, and within it the index terms (name
 * NUL value NUL, one after the other). */
const uint8_t *tx_output_slice(const struct tx *tx, size_t index, size_t *len);
const uint8_t *tx_output_terms(const struct tx *tx, size_t index, size_t *len);

#endif
