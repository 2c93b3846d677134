/*
 * Proofs that a transaction is in a chain, as JSON that can be checked anywhere without the chain:
 *
 *   {"katenaProof": 1, "chain": HEX,
 *    "transaction": {"id": HEX, "bytes": BASE64, "pruned": bool},
 *    "merkle": {"index": N, "count": N, "path": [HEX, ...]},
 *    "headers": [BASE64, ...]}
 *
 * The first header is that of the transaction's block; the ones behind it, where asked for, lead up to the
 * head, so that a checker who knows only a later block's hash can trust this one. "pruned" leaves the
 * contents and the intent out (the header commits to them by hash).
 */
#ifndef KATENA_LEDGER_PROOF_H
#define KATENA_LEDGER_PROOF_H

#include "base/buf.h"
#include "base/err.h"
#include "blockstore/blockstore.h"
#include "chain/block.h"

#include <stdbool.h>

struct proof_options {
    bool without_content; /* leave contents and intent out */
    bool to_head;         /* add the headers up to the head */
};

int proof_make(struct buf *out, struct blockstore *store, const uint8_t tx_id[TX_ID_SIZE],
               const struct proof_options *options, struct err *err);

/* What the checker knows by other means; NULL: nothing. */
struct proof_trust {
    const uint8_t *block_hash; /* HASH_SIZE bytes: of the proof's last header */
    const uint8_t *producer;   /* TX_KEY_SIZE bytes: of a validator */
};

struct proof_result {
    struct tx *tx; /* the caller frees it */
    uint8_t chain_id[TX_ID_SIZE];
    struct block_header header;
    struct block_header last; /* of the headers */
};

/* ERR_CORRUPT when the text is no proof or proves nothing, ERR_FORBIDDEN when it holds but not for what is
 * trusted. */
int proof_check(struct proof_result *out, const void *text, size_t len, const struct proof_trust *trust,
                struct err *err);

#endif
