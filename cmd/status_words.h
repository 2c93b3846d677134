/* Transactions and objects, as the command line names them, and their state, as a node tells it. */
#ifndef KATENA_CMD_STATUS_WORDS_H
#define KATENA_CMD_STATUS_WORDS_H

#include "chain.h"
#include "remote.h"

/* The path that asks for what words name: a transaction's id, or KIND/NAME, KIND NAME. False with a message
 * on standard error when they name nothing. */
bool status_path(CURL *curl, struct buf *path, const struct chain_arguments *a);

/* Prints a TransactionStatus. */
void status_print(const json_t *status);

/* katena chain status TX|KIND/NAME, and what a node adds to katena chain status. Exit statuses. */
int chain_status_of(const struct remote_options *options, const struct chain_arguments *a);
int chain_status_live(const struct remote_options *options, const struct chain_arguments *a);

#endif
