/*
 * What validators sign about blocks, proofs that one of them contradicted itself, and certificates.
 *
 *   proposal      "the number-th block that I made in this slot is target"; round is the slot
 *   attestation   "in this round my head is target"
 *   checkpoint    "from the justified checkpoint (number, source) to (round, target)"; number is a round
 *
 * A validator contradicts itself by two different statements of one kind in the same place: two blocks
 * (proposals with equal slot and number), two heads or two targets in one round, or by a checkpoint vote that
 * surrounds another: it starts earlier and ends later. An honest one never does, whatever the messages, the
 * clock or a crash do to it (finality.h), so the two signed statements prove guilt to anybody.
 *
 * A vote is encoded in VOTE_SIZE bytes (docs/consensus.md); the signature is Ed25519 over the bytes before it
 * behind a domain text, so that no other signature of a node's key can be taken for a vote.
 */
#ifndef KATENA_CHAIN_VOTE_H
#define KATENA_CHAIN_VOTE_H

#include "base/buf.h"
#include "base/err.h"
#include "chain/hash.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VOTE_KEY_SIZE 32
#define VOTE_SIGNATURE_SIZE 64
#define VOTE_SIGNED_SIZE (2 + 4 * 32 + 2 * 8)
#define VOTE_SIZE (VOTE_SIGNED_SIZE + VOTE_SIGNATURE_SIZE)
#define VOTE_PROOF_SIZE (2 * VOTE_SIZE)
#define VOTE_SIGNERS_MAX 4096 /* of a certificate */

enum vote_kind { VOTE_PROPOSAL = 1, VOTE_ATTESTATION = 2, VOTE_CHECKPOINT = 3 };

struct vote {
    enum vote_kind kind;
    uint8_t chain[HASH_SIZE]; /* the chain id: a vote is for one chain only */
    uint8_t validator[VOTE_KEY_SIZE];
    uint64_t round;
    uint64_t number;           /* round of the source; place of a block in its slot; 0 in an attestation */
    uint8_t source[HASH_SIZE]; /* zeros but in a checkpoint vote */
    uint8_t target[HASH_SIZE];
    uint8_t signature[VOTE_SIGNATURE_SIZE];
};

/* Signs with libsodium's 64-byte secret key, whose public half becomes the validator. */
void vote_sign(struct vote *vote, const uint8_t secret_key[64]);
bool vote_verify(const struct vote *vote);

void vote_encode(uint8_t out[VOTE_SIZE], const struct vote *vote);

/* Exactly VOTE_SIZE bytes of canonical form; does not look at the signature. */
int vote_decode(struct vote *out, const uint8_t *bytes, size_t len, struct err *err);

enum vote_conflict {
    VOTE_CONFLICT_NONE,
    VOTE_CONFLICT_TWO_BLOCKS,
    VOTE_CONFLICT_TWO_HEADS,
    VOTE_CONFLICT_TWO_TARGETS,
    VOTE_CONFLICT_SURROUND,
};

/* Whether two votes contradict each other; the order does not matter. Does not look at the signatures. */
enum vote_conflict vote_conflict(const struct vote *a, const struct vote *b);
const char *vote_conflict_text(enum vote_conflict conflict);

/* A proof of equivocation: the two votes one after the other, the one with the lower encoding first. */
void vote_proof_encode(uint8_t out[VOTE_PROOF_SIZE], const struct vote *a, const struct vote *b);

/* Decodes and checks a proof whole: grammar, both signatures, and that the two contradict each other. */
int vote_proof_check(const uint8_t *bytes, size_t len, struct vote *a, struct vote *b,
                     enum vote_conflict *conflict, struct err *err);

/* A certificate: one statement and those who signed it. Its first byte is the format, so that an aggregate of
 * BLS12-381 signatures can take the list's place; a format that is not known is refused. */
#define VOTE_CERTIFICATE_LIST 1

/* Of n votes that differ only in validator and signature, each validator once. */
void vote_certificate_encode(struct buf *out, const struct vote *const *votes, size_t n);

struct vote_certificate {
    struct vote *votes; /* ascending by validator; owned */
    size_t count;
};

void vote_certificate_free(struct vote_certificate *certificate);

/* Decodes, and verifies every signature. Whether the signers are validators and enough is for the caller, who
 * knows the set. On failure there is nothing to free. */
int vote_certificate_decode(struct vote_certificate *out, const uint8_t *bytes, size_t len, struct err *err);

#endif
