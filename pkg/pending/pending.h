/*
 * Pending changes: the transactions that this node has accepted and that wait for a block. First in, first
 * out; limited in number and bytes; no transaction twice. One thread.
 */
#ifndef KATENA_PENDING_PENDING_H
#define KATENA_PENDING_PENDING_H

#include "base/err.h"
#include "chain/tx.h"

#include <stdbool.h>
#include <stddef.h>

#define PENDING_COUNT_MAX 16384
#define PENDING_BYTES_MAX (64u << 20)

struct pending;

struct pending_item {
    struct tx *tx;
    void *token;      /* the submitter's, untouched */
    uint32_t from;    /* 0: a submitter here; else which other node it came from: the caller's numbers */
    uint32_t sent_to; /* the node that it was handed to; 0: none */
    int64_t since_us; /* waits since then */
};

struct pending *pending_new(void);
void pending_free(struct pending *pending); /* with the transactions that wait */

/* Takes tx over on success. ERR_TOO_MANY when it is full, ERR_CONFLICT when the transaction waits already;
 * then tx stays the caller's. */
int pending_add(struct pending *pending, struct tx *tx, void *token, struct err *err);
int pending_add_item(struct pending *pending, const struct pending_item *item, struct err *err);

/* Takes the oldest transactions out, as many as fit: at most outputs_max outputs and bytes_max encoded bytes
 * in all, but at least one. Returns how many; *items is an array of them, the caller's to free, and so are
 * the transactions. */
size_t pending_take(struct pending *pending, size_t outputs_max, size_t bytes_max,
                    struct pending_item **items);

/* Puts items that were taken back in front, in their order, whatever the limits. */
void pending_put_back(struct pending *pending, const struct pending_item *items, size_t count);

/* Takes one transaction out, when it is there. */
bool pending_remove(struct pending *pending, const uint8_t tx_id[TX_ID_SIZE], struct pending_item *item);

/* What waits under an id, or NULL; and all of it, oldest first: *place starts at 0, NULL ends it. What is
 * pointed to may be changed but for its tx, and stays where it is until something is added or removed. */
struct pending_item *pending_find(struct pending *pending, const uint8_t tx_id[TX_ID_SIZE]);
struct pending_item *pending_next(struct pending *pending, size_t *place);

/* Takes out, and frees, all for which a function says so. */
void pending_drop(struct pending *pending, bool (*drops)(void *arg, const struct pending_item *item),
                  void *arg);

size_t pending_count(const struct pending *pending);
size_t pending_bytes(const struct pending *pending);

#endif
