/*
 * Tokens with which a node joins a cluster:
 *
 *     K1<SHA-256 of the CA certificate, 64 hex digits>::<id>.<secret>
 *
 * The hash lets the joining node know the cluster before it says anything: it fetches the CA from whomever it
 * was pointed at, compares, and from then on speaks only to servers that this CA has signed for. The id names
 * a Secret of type bootstrap.kubernetes.io/token in kube-system (KEP-130's scheme), which keeps a hash of the
 * secret and not the secret, so that reading Secrets lets nobody join.
 *
 * Pure but for join_token_make, which takes random bytes.
 */
#ifndef KATENA_PKI_JOIN_TOKEN_H
#define KATENA_PKI_JOIN_TOKEN_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define JOIN_TOKEN_HASH_SIZE 32
#define JOIN_TOKEN_ID_LEN 6
#define JOIN_TOKEN_SECRET_LEN 32
#define JOIN_TOKEN_MAX 112 /* of the text, with its NUL */

#define JOIN_TOKEN_SECRET_TYPE "bootstrap.kubernetes.io/token"
#define JOIN_TOKEN_NAMESPACE "kube-system"
#define JOIN_TOKEN_NAME_PREFIX "bootstrap-token-"

/* What the Secret holds, beside Kubernetes' own fields (token-id, expiration, description). */
#define JOIN_TOKEN_DIGEST "token-secret-sha256"
#define JOIN_TOKEN_USAGE "usage-katena-join" /* "true" */
#define JOIN_TOKEN_SINGLE_USE "single-use"   /* "true": for one node */
#define JOIN_TOKEN_USED_BY "used-by"         /* of a single-use token: the node key that it admitted */

struct join_token {
    uint8_t ca_hash[JOIN_TOKEN_HASH_SIZE];
    char id[JOIN_TOKEN_ID_LEN + 1]; /* both of [a-z0-9] */
    char secret[JOIN_TOKEN_SECRET_LEN + 1];
};

/* Reads exactly one token; ERR_INVALID tells what is wrong with the text, without repeating it. */
int join_token_parse(struct join_token *out, const char *text, struct err *err);
void join_token_format(char out[JOIN_TOKEN_MAX], const struct join_token *token);

/* A new token for the cluster with this CA. */
void join_token_make(struct join_token *out, const uint8_t ca_hash[JOIN_TOKEN_HASH_SIZE]);

/* Whether text can be a token's id. */
bool join_token_id_valid(const char *text);

/* What the Secret keeps of the secret: 64 hex digits, bound to the id. */
void join_token_digest(char out[2 * JOIN_TOKEN_HASH_SIZE + 1], const struct join_token *token);

/* Whether token's secret is the one that digest was made of; takes the same time for every wrong one. */
bool join_token_matches(const struct join_token *token, const char *digest);

#endif
