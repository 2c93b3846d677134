/*
 * `katena server --cluster-reset`: what a stopped node does to become the only member of its cluster. The
 * chain's part is ledger/ledger_reset.h; this is the order of steps, in which a crash anywhere leaves a node
 * that can be started, before the reset or after it.
 */
#ifndef KATENA_NODE_RESET_H
#define KATENA_NODE_RESET_H

#include "base/err.h"
#include "ledger/ledger_reset.h"

struct node_reset_report {
    char name[REGISTRY_NAME_MAX]; /* of the node */
    struct ledger_reset_report chain;
};

/* Errors are for the user: what is wrong, and what to do; nothing was changed then. */
int node_reset(const char *data_dir, struct node_reset_report *report, struct err *err);
void node_reset_report_free(struct node_reset_report *report);

#endif
