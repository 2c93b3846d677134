/*
 * The joining side of api/join.h: asks a node of the cluster to be admitted and lays down under the data
 * directory what it answers. Everything is checked against the hash in the token before anything is said.
 */
#ifndef KATENA_NODE_JOIN_H
#define KATENA_NODE_JOIN_H

#include "base/err.h"
#include "node/node_record.h"

struct node_join_options {
    const char *data_dir;
    const char *servers; /* https://HOST:PORT, several with commas; all addresses of a name are tried */
    const char *token;
    const char *name;
    const char *const *addresses; /* HOST:PORT at which other nodes reach this one, NULL-terminated */
};

/* Fills record and saves it; afterwards the node's keys are there, but no chain. Asks again for some seconds
 * when nobody answers. Errors are for the user: what is wrong, and what to do. */
int node_join(struct node_record *record, const struct node_join_options *options, struct err *err);

/* Whether a data directory that is in use belongs to the cluster of this token: ERR_CONFLICT says if not. */
int node_join_check(const char *data_dir, const char *token, struct err *err);

#endif
