/*
 * Joining, in what two nodes say to each other. The one that joins:
 *
 *     GET  /katena/v1/ca      the cluster's CA (PEM), from whomever: compared with the hash in the token
 *     GET  /katena/v1/join    {"version":1,"challenge":"64 hex digits"}: from here on over TLS by that CA
 *     POST /katena/v1/join    join_request: who it is, its token, and a signature by its node key
 *
 * and is answered with join_answer: everything that makes it a node of the cluster. The first two need no
 * authentication, the third is authenticated by the token in it. The signature covers the challenge, the
 * token's id, and all that is claimed, so that nobody registers a key that is not theirs.
 *
 * This file has the two messages and their JSON; it does no I/O. What the admitting node checks is in
 * join_admit.c, what the joining node does in pkg/node.
 */
#ifndef KATENA_API_JOIN_H
#define KATENA_API_JOIN_H

#include "base/buf.h"
#include "base/err.h"
#include "pki/join_token.h"
#include "pki/pki.h"
#include "validator/registry.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JOIN_VERSION 1 /* raised when an old node cannot join a new one, or the other way round */
#define JOIN_PATH "/katena/v1/join"
#define JOIN_CA_PATH "/katena/v1/ca"
#define JOIN_CHALLENGE_SIZE 32
#define JOIN_SIGNATURE_SIZE 64
#define JOIN_CIDR_MAX 64

struct join_request {
    int version;
    char program[64]; /* "katena/0.3.0", for messages */
    struct join_token token;
    char name[REGISTRY_NAME_MAX]; /* of the node */
    uint8_t key[TX_KEY_SIZE];     /* its public key */
    char addresses[REGISTRY_ADDRESSES_MAX][REGISTRY_ADDRESS_MAX];
    size_t address_count;
    uint8_t challenge[JOIN_CHALLENGE_SIZE];
    uint8_t signature[JOIN_SIGNATURE_SIZE];
};

void join_request_sign(struct join_request *request, const uint8_t secret_key[64]);
bool join_request_verify(const struct join_request *request);

void join_request_encode(struct buf *out, const struct join_request *request);
/* ERR_BAD_REQUEST for what is no request; ERR_INVALID for a field that cannot be. Wrong versions decode. */
int join_request_decode(struct join_request *out, const void *text, size_t len, struct err *err);

struct join_answer {
    int version;
    uint8_t chain_id[TX_ID_SIZE];
    struct pki_shared shared;
    char cluster_cidr[JOIN_CIDR_MAX], service_cidr[JOIN_CIDR_MAX];
    struct registry_validator *peers; /* of each: name, key, addresses; owned */
    size_t peer_count;
};

/* The text has the cluster's keys in it: wipe it. */
void join_answer_encode(struct buf *out, const struct join_answer *answer);
/* Release *out with join_answer_free only after success. */
int join_answer_decode(struct join_answer *out, const void *text, size_t len, struct err *err);
void join_answer_free(struct join_answer *answer);

/* The version that a challenge, or an Answer of another version, names; 0 for none. */
int join_challenge_decode(uint8_t challenge[JOIN_CHALLENGE_SIZE], const void *text, size_t len,
                          struct err *err);
void join_challenge_encode(struct buf *out, const uint8_t challenge[JOIN_CHALLENGE_SIZE]);

/* A challenge is the time and a keyed hash of it: every node of the cluster can check it and none keeps it.
 */
void join_challenge_make(uint8_t out[JOIN_CHALLENGE_SIZE], const uint8_t seal_key[PKI_SEAL_KEY_SIZE],
                         int64_t now_s);
bool join_challenge_holds(const uint8_t challenge[JOIN_CHALLENGE_SIZE],
                          const uint8_t seal_key[PKI_SEAL_KEY_SIZE], int64_t now_s);

/* HOST:PORT, [IPv6]:PORT; nothing that could be taken for anything else. */
bool join_address_valid(const char *text);

#endif
