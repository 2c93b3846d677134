/*
 * The block factory: makes a block of pending transactions.
 *
 * It takes what fits into a block, brings it into the order of chain/order.h, checks each transaction at its
 * place with the validator, leaves out those that do not hold, and seals the rest. One thread.
 */
#ifndef KATENA_FACTORY_FACTORY_H
#define KATENA_FACTORY_FACTORY_H

#include "chain/block.h"
#include "pending/pending.h"
#include "validator/validator.h"

#define FACTORY_BYTES_MAX (8u << 20) /* of transactions in one block, unless a single one is larger */

/* What became of one transaction. */
struct factory_item {
    void *token;
    uint32_t from; /* as in struct pending_item */
    uint8_t tx_id[TX_ID_SIZE];
    struct tx *tx;         /* rejected: freed with the batch; included: NULL, it is the block's */
    int code;              /* 0: included; else why not */
    char *message;         /* of a rejection; owned */
    uint32_t first_output; /* of an included one: the index of its first output in the block */
};

struct factory_batch {
    struct factory_item *items;
    size_t count;
    struct block *block; /* NULL when nothing held; owned until the caller takes it */
};

/* When and where in its producer's slot a block is made. */
struct factory_place {
    int64_t time_us;
    uint64_t slot;
    uint32_t number;
};

/* Builds a block on parent out of pending. v is fresh, its view begun at the place's time. Afterwards
 * everything in the block is applied to v and its view. On an error (of the store) nothing is lost: what was
 * taken is back in pending, and the batch is empty. */
int factory_build(struct factory_batch *batch, struct pending *pending, struct validator *v,
                  struct state_view *view, const struct block_header *parent,
                  const struct factory_place *place, const uint8_t secret_key[64], struct err *err);

void factory_batch_free(struct factory_batch *batch);

#endif
