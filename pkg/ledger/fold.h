/*
 * What subscribers have not been told yet, folded: for each object that changed, how they last saw it. While
 * blocks are exchanged for others the state goes back and forth; told is only the difference that is left.
 */
#ifndef KATENA_LEDGER_FOLD_H
#define KATENA_LEDGER_FOLD_H

#include "state/state_store.h"

struct fold;

struct fold *fold_new(void);
void fold_free(struct fold *fold); /* takes NULL */

/* A change, of a block or of a block undone, that subscribers are not told. */
void fold_note(struct fold *fold, const struct state_change *change);

size_t fold_bytes(const struct fold *fold);

/* Calls fn once with the changes that lead from what subscribers saw to a snapshot: deletions with the
 * resourceVersion told_rv, then the others ascending by resourceVersion. An object that is as it was is not
 * among them; one that is another object of the same name is deleted and added. */
typedef void (*fold_fn)(void *arg, const struct state_change *changes, size_t count);
int fold_difference(struct fold *fold, const struct state_store_ops *ops, struct state_snapshot *snapshot,
                    uint64_t told_rv, fold_fn fn, void *arg, struct err *err);

#endif
