/*
 * Making a node the only member of its cluster, where so many others are lost for good that nothing becomes
 * final any more: a new chain that begins with the state of the old one, less its validators and seeds. The
 * old one is kept beside it. See docs/decisions.md.
 *
 * One thread; the node must not run, and cannot be started between begin and free.
 */
#ifndef KATENA_LEDGER_RESET_H
#define KATENA_LEDGER_RESET_H

#include "base/err.h"
#include "chain/block.h"
#include "validator/registry.h"

#include <limits.h>
#include <stddef.h>
#include <stdint.h>

struct ledger_reset_report {
    struct registry_validator *dropped; /* members of the old chain but this node; owned */
    size_t dropped_count;
    struct block_header head;     /* of the old chain */
    uint8_t old_chain[HASH_SIZE]; /* id */
    uint8_t new_chain[HASH_SIZE];
    uint64_t objects;     /* that were carried over */
    uint64_t orphans;     /* changes of an abandoned branch that were not replayed yet: not carried over */
    char aside[PATH_MAX]; /* where the old chain is once that is finished */
};
void ledger_reset_report_free(struct ledger_reset_report *report);

struct ledger_reset;

/* Makes the new chain beside the old one in DATA_DIR/chain. ERR_NOT_FOUND: there is no chain; ERR_CONFLICT:
 * a node uses it; ERR_EXISTS: this node is the only member. */
int ledger_reset_begin(struct ledger_reset **out, struct ledger_reset_report *report, const char *data_dir,
                       struct err *err);

/* Puts the new chain in the place of the old one, in one step, durably. */
int ledger_reset_finish(struct ledger_reset *reset, struct err *err);

/* What was not finished leaves everything as it was. Takes NULL. */
void ledger_reset_free(struct ledger_reset *reset);

#endif
