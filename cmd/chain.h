/* What the subcommands of katena chain share. */
#ifndef KATENA_CMD_CHAIN_H
#define KATENA_CMD_CHAIN_H

#include "base/buf.h"
#include "base/err.h"
#include "blockstore/blockstore.h"
#include "chain/block.h"

#include <stdbool.h>
#include <stdio.h>

struct chain_arguments {
    const char *data_dir;   /* NULL: not given */
    const char *kubeconfig; /* as --kubeconfig names it */
    const char *namespace;  /* NULL: not given */
    const char *user;
    const char *output;
    const char *proof;
    const char *head;
    const char *producer;
    long limit; /* 0: none */
    bool oneline;
    bool json;
    bool without_content;
    bool to_head;
    char **words; /* what is left: an id, a resource and a name */
    int word_count;
};

/* Each returns the exit status; an error is told by chain_fail. */
int chain_status(struct blockstore *store, const struct chain_arguments *a);
int chain_log(struct blockstore *store, const struct chain_arguments *a);
int chain_show(struct blockstore *store, const struct chain_arguments *a);
int chain_blame(struct blockstore *store, const struct chain_arguments *a);
int chain_verify_command(struct blockstore *store, const struct chain_arguments *a);
int chain_verify_proof(const struct chain_arguments *a);
int chain_prove(struct blockstore *store, const struct chain_arguments *a);
int chain_conflicts(struct blockstore *store, const struct chain_arguments *a);

/* Lets the node at paths' current context run a subcommand. */
int chain_remote(const char *subcommand, const char *paths, const struct chain_arguments *a);

/* Prints "katena: MESSAGE" and returns 1. */
int chain_fail(const struct err *err);

/* Which objects the words on the command line mean: "deploy/web", "deployments.apps web", "pods". */
struct chain_filter {
    char group[256];
    bool any_group;
    char resource[256];
    char name[256];      /* "": any */
    char namespace[256]; /* "": cluster-scoped, or any where that is not told */
    bool any_namespace;
    bool cluster_scoped;
};

/* False with a message on standard error when the words are none. need_name: a name has to be there. */
bool chain_filter_parse(struct chain_filter *out, const struct chain_arguments *a, int first_word,
                        bool need_name);
bool chain_filter_matches(const struct chain_filter *filter, const struct resource_key *key);

/* "deployments.apps default/web" */
void chain_print_key(struct buf *out, const struct resource_key *key);
/* The first digits of an id. */
#define CHAIN_SHORT_ID 12
const char *chain_short_id(const uint8_t *id);
void chain_print_hex(FILE *out, const char *label, const uint8_t *bytes, size_t len);

#endif
