/*
 * What a node remembers of its place in the cluster, in <data-dir>/node.json (mode 0600): what it was told
 * when it joined, or decided at its first start, so that it needs no flag at the next; and where other nodes
 * were last seen, for the day on which its own chain cannot be read.
 */
#ifndef KATENA_NODE_RECORD_H
#define KATENA_NODE_RECORD_H

#include "base/buf.h"
#include "base/err.h"
#include "pki/join_token.h"
#include "validator/registry.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NODE_CIDR_MAX 64
#define NODE_SERVERS_MAX 1024

/* A change of this node's key under way: it leaves the cluster and joins again with a new key. */
struct node_rotation {
    char token[JOIN_TOKEN_MAX]; /* for joining again; "": no rotation */
    char servers[NODE_SERVERS_MAX];
    bool left; /* the old key is out of the cluster */
};

struct node_record {
    char name[REGISTRY_NAME_MAX];
    bool has_chain;
    uint8_t chain_id[TX_ID_SIZE];
    bool joined;                    /* the chain is one that another node began */
    bool removed;                   /* from the cluster, for good */
    bool outdated;                  /* what this node lacks is no longer kept by the others */
    char servers[NODE_SERVERS_MAX]; /* that it joined by */
    struct node_rotation rotation;
    char cluster_cidr[NODE_CIDR_MAX], service_cidr[NODE_CIDR_MAX];
    struct registry_validator *peers; /* of each: name, key, addresses; owned */
    size_t peer_count;
};

/* A data directory without a record gives an empty one. */
int node_record_load(struct node_record *out, const char *data_dir, struct err *err);
/* Durable; writes nothing when the file says this already. */
int node_record_save(const struct node_record *record, const char *data_dir, struct err *err);
void node_record_free(struct node_record *record);

/* The file's text, both ways. */
void node_record_encode(struct buf *out, const struct node_record *record);
int node_record_decode(struct node_record *out, const void *text, size_t len, struct err *err);

/* Takes the others out of a list of all. */
void node_record_set_peers(struct node_record *record, const struct registry_validator *all, size_t count,
                           const uint8_t own_key[TX_KEY_SIZE]);

#endif
