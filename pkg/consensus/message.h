/*
 * What the consensus managers of different nodes say to each other: one struct and one canonical encoding.
 *
 *   u8 type | fields of that type, integers little-endian, see docs/consensus.md
 *
 * The peer manager carries the bytes and says from which authenticated peer they come. Decoding checks the
 * grammar; message_verify checks the signatures in it, which is what costs, on whatever thread has the time.
 * A message that decodes and verifies still proves nothing but who said it.
 */
#ifndef KATENA_CONSENSUS_MESSAGE_H
#define KATENA_CONSENSUS_MESSAGE_H

#include "base/buf.h"
#include "base/err.h"
#include "chain/block.h"
#include "chain/tx_batch.h"
#include "chain/vote.h"
#include "consensus/finality.h"

#include <stddef.h>
#include <stdint.h>

#define MESSAGE_LOCATOR_MAX 64
#define MESSAGE_HASHES_MAX 256
#define MESSAGE_VOTES_MAX 1024
#define MESSAGE_TXS_MAX 1024
#define MESSAGE_TEXT_MAX 1024

enum message_type {
    MESSAGE_STATUS = 1,     /* where I am: after connecting, and in the middle of a round */
    MESSAGE_TXS = 2,        /* transactions, for the producer's pending changes */
    MESSAGE_REJECT = 3,     /* your transaction did not hold at its place */
    MESSAGE_BLOCK = 4,      /* a block, new or asked for */
    MESSAGE_HAVE = 5,       /* this block, and all before it, are on my disk: acknowledges and announces */
    MESSAGE_VOTES = 6,      /* attestations and checkpoint votes */
    MESSAGE_PROOF = 7,      /* a proof of equivocation */
    MESSAGE_GET_CHAIN = 8,  /* send me your chain from the first of these hashes that you have on it */
    MESSAGE_GET_BLOCKS = 9, /* send me these blocks */
    MESSAGE_LACK = 10,      /* I do not have what you asked for: pruned or unknown */
    MESSAGE_TAKE = 11,      /* I am the producer of this slot: stop making blocks */
    MESSAGE_HANDOVER = 12,  /* I have stopped: this is my last block */
    MESSAGE_END = 13,       /* that was the answer to your GET_CHAIN; this is my head */
    MESSAGE_AGAIN = 14,     /* I passed these on, and am the producer now: hand them over again */
};

/* Only the fields of its type are set. */
struct message {
    enum message_type type;

    /* STATUS, HAVE, HANDOVER, END: the head; REJECT: the block to have before the submitter is told; LACK:
     * the newest final block's height, and of GET_BLOCKS the hash that was asked for, of GET_CHAIN the first
     * that is on the chain, be it without what follows (none is: the last) */
    uint64_t height;
    uint8_t hash[HASH_SIZE];
    struct checkpoint finalized, justified; /* STATUS */
    uint64_t finalized_height;              /* STATUS */

    struct tx **txs; /* TXS: owned, and what it points to */
    size_t tx_count;
    struct block *block; /* BLOCK: owned */

    uint8_t tx_id[TX_ID_SIZE]; /* REJECT */
    int code;                  /* REJECT: enum err_code */
    char *text;                /* REJECT: owned */

    struct vote *votes; /* VOTES: owned; PROOF: the two */
    size_t vote_count;

    struct block_header headers[2]; /* PROOF without votes: two blocks in one place */

    uint8_t (*hashes)[HASH_SIZE]; /* GET_CHAIN: newest first; GET_BLOCKS; AGAIN: ids: owned */
    size_t hash_count;

    uint64_t slot; /* TAKE, HANDOVER */

    bool verified; /* message_verify held */
};

void message_encode(struct buf *out, const struct message *message);

/* On failure there is nothing to free; ERR_INVALID says what is wrong. */
int message_decode(struct message *out, const void *bytes, size_t len, struct err *err);

/* Checks all signatures of transactions, of a block and its transactions, and of votes; marks them as
 * trusted. batches: signatures that need no check, to which those that were checked are added; NULL: none.
 * Any thread. ERR_FORBIDDEN: one does not hold. */
int message_verify(struct message *message, struct tx_batches *batches, struct err *err);

/* Frees what a message owns, not the struct itself. */
void message_free(struct message *message);

#endif
