/*
 * From the query of GET /katena/v1/chain/SUBCOMMAND to the arguments of `katena chain`, which answers it in a
 * process of its own (http_chain.c). Only what reads is let through, each value bound to its option or behind
 * "--", so nothing that a client sends can become an option or name a file. Pure.
 */
#ifndef KATENA_API_CHAIN_ARGS_H
#define KATENA_API_CHAIN_ARGS_H

#include "base/err.h"

#include <stddef.h>

#define CHAIN_ARGS_MAX 16
#define CHAIN_ARGS_VALUE_MAX 1024

struct chain_args {
    char *items[CHAIN_ARGS_MAX + 1]; /* owned; NULL-terminated, begins with the program's name */
    size_t count;
};

/* One parameter of the query; value may be NULL (no "=" behind the name). */
struct chain_query {
    const char *name;
    const char *value;
};

/* The subcommands that can be asked for, NULL-terminated. */
extern const char *const chain_args_subcommands[];

/* An unknown subcommand, an option that it does not take, or a malformed
 * value is ERR_BAD_REQUEST. Release *out with chain_args_free in any case. */
int chain_args_make(struct chain_args *out, const char *subcommand, const char *data_dir,
                    const struct chain_query *query, size_t count, struct err *err);
void chain_args_free(struct chain_args *args);

#endif
