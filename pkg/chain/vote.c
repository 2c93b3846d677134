#include "chain/vote.h"

#include "base/mem.h"
#include "chain/wire.h"

#include <assert.h>
#include <string.h>

#include <sodium.h>

#define VOTE_VERSION 1
#define SIGNER_SIZE (VOTE_KEY_SIZE + VOTE_SIGNATURE_SIZE)

static const char domain[] = "katena vote";

/* version, kind, round, number, chain, source, target, validator: a certificate shares all but the last. */
static void encode_signed(uint8_t out[VOTE_SIGNED_SIZE], const struct vote *vote)
{
    out[0] = VOTE_VERSION;
    out[1] = (uint8_t)vote->kind;
    wire_store_u64(out + 2, vote->round);
    wire_store_u64(out + 10, vote->number);
    memcpy(out + 18, vote->chain, HASH_SIZE);
    memcpy(out + 50, vote->source, HASH_SIZE);
    memcpy(out + 82, vote->target, HASH_SIZE);
    memcpy(out + 114, vote->validator, VOTE_KEY_SIZE);
}

#define STATEMENT_SIZE (VOTE_SIGNED_SIZE - VOTE_KEY_SIZE)

static void encode_message(uint8_t out[sizeof(domain) + VOTE_SIGNED_SIZE], const struct vote *vote)
{
    memcpy(out, domain, sizeof(domain));
    encode_signed(out + sizeof(domain), vote);
}

void vote_sign(struct vote *vote, const uint8_t secret_key[64])
{
    uint8_t message[sizeof(domain) + VOTE_SIGNED_SIZE];
    memcpy(vote->validator, secret_key + 32, VOTE_KEY_SIZE);
    encode_message(message, vote);
    crypto_sign_detached(vote->signature, NULL, message, sizeof(message), secret_key);
}

bool vote_verify(const struct vote *vote)
{
    uint8_t message[sizeof(domain) + VOTE_SIGNED_SIZE];
    encode_message(message, vote);
    return crypto_sign_verify_detached(vote->signature, message, sizeof(message), vote->validator) == 0;
}

void vote_encode(uint8_t out[VOTE_SIZE], const struct vote *vote)
{
    encode_signed(out, vote);
    memcpy(out + VOTE_SIGNED_SIZE, vote->signature, VOTE_SIGNATURE_SIZE);
}

/* What each kind leaves out is zero, so that there is one encoding of each statement. */
static bool is_canonical(const struct vote *vote)
{
    if (vote->kind == VOTE_CHECKPOINT)
        return vote->number < vote->round;
    return sodium_is_zero(vote->source, HASH_SIZE) && (vote->kind == VOTE_PROPOSAL || vote->number == 0);
}

static int decode_statement(struct vote *out, const uint8_t *bytes, struct err *err)
{
    if (bytes[0] != VOTE_VERSION)
        return err_set(err, ERR_CORRUPT, "a vote of unknown version %u", bytes[0]);
    if (bytes[1] < VOTE_PROPOSAL || bytes[1] > VOTE_CHECKPOINT)
        return err_set(err, ERR_CORRUPT, "a vote of unknown kind %u", bytes[1]);
    out->kind = bytes[1];
    out->round = wire_load_u64(bytes + 2);
    out->number = wire_load_u64(bytes + 10);
    memcpy(out->chain, bytes + 18, HASH_SIZE);
    memcpy(out->source, bytes + 50, HASH_SIZE);
    memcpy(out->target, bytes + 82, HASH_SIZE);
    if (!is_canonical(out))
        return err_set(err, ERR_CORRUPT, "a vote with fields that its kind does not have");
    return 0;
}

int vote_decode(struct vote *out, const uint8_t *bytes, size_t len, struct err *err)
{
    if (len != VOTE_SIZE)
        return err_set(err, ERR_CORRUPT, "a vote of %zu bytes instead of %d", len, VOTE_SIZE);
    int rc = decode_statement(out, bytes, err);
    if (rc)
        return rc;
    memcpy(out->validator, bytes + STATEMENT_SIZE, VOTE_KEY_SIZE);
    memcpy(out->signature, bytes + VOTE_SIGNED_SIZE, VOTE_SIGNATURE_SIZE);
    return 0;
}

static bool same_hash(const uint8_t a[HASH_SIZE], const uint8_t b[HASH_SIZE])
{
    return memcmp(a, b, HASH_SIZE) == 0;
}

static enum vote_conflict checkpoint_conflict(const struct vote *a, const struct vote *b)
{
    if (a->round == b->round) {
        bool same =
            a->number == b->number && same_hash(a->source, b->source) && same_hash(a->target, b->target);
        return same ? VOTE_CONFLICT_NONE : VOTE_CONFLICT_TWO_TARGETS;
    }
    const struct vote *outer = a->round > b->round ? a : b;
    const struct vote *inner = outer == a ? b : a;
    return outer->number < inner->number ? VOTE_CONFLICT_SURROUND : VOTE_CONFLICT_NONE;
}

enum vote_conflict vote_conflict(const struct vote *a, const struct vote *b)
{
    if (a->kind != b->kind || memcmp(a->validator, b->validator, VOTE_KEY_SIZE) != 0 ||
        !same_hash(a->chain, b->chain))
        return VOTE_CONFLICT_NONE;
    if (a->kind == VOTE_CHECKPOINT)
        return checkpoint_conflict(a, b);
    if (a->round != b->round || a->number != b->number || same_hash(a->target, b->target))
        return VOTE_CONFLICT_NONE;
    return a->kind == VOTE_PROPOSAL ? VOTE_CONFLICT_TWO_BLOCKS : VOTE_CONFLICT_TWO_HEADS;
}

const char *vote_conflict_text(enum vote_conflict conflict)
{
    switch (conflict) {
    case VOTE_CONFLICT_TWO_BLOCKS:
        return "two blocks in one place";
    case VOTE_CONFLICT_TWO_HEADS:
        return "two heads in one round";
    case VOTE_CONFLICT_TWO_TARGETS:
        return "two checkpoint votes in one round";
    case VOTE_CONFLICT_SURROUND:
        return "a checkpoint vote around another";
    case VOTE_CONFLICT_NONE:
        break;
    }
    return "none";
}

void vote_proof_encode(uint8_t out[VOTE_PROOF_SIZE], const struct vote *a, const struct vote *b)
{
    assert(vote_conflict(a, b) != VOTE_CONFLICT_NONE);
    uint8_t first[VOTE_SIZE], second[VOTE_SIZE];
    vote_encode(first, a);
    vote_encode(second, b);
    bool ascending = memcmp(first, second, VOTE_SIZE) < 0;
    memcpy(out, ascending ? first : second, VOTE_SIZE);
    memcpy(out + VOTE_SIZE, ascending ? second : first, VOTE_SIZE);
}

int vote_proof_check(const uint8_t *bytes, size_t len, struct vote *a, struct vote *b,
                     enum vote_conflict *conflict, struct err *err)
{
    if (len != VOTE_PROOF_SIZE || memcmp(bytes, bytes + VOTE_SIZE, VOTE_SIZE) >= 0)
        return err_set(err, ERR_CORRUPT, "a proof of equivocation is two different votes in order");
    int rc = vote_decode(a, bytes, VOTE_SIZE, err);
    if (rc == 0)
        rc = vote_decode(b, bytes + VOTE_SIZE, VOTE_SIZE, err);
    if (rc)
        return rc;
    *conflict = vote_conflict(a, b);
    if (*conflict == VOTE_CONFLICT_NONE)
        return err_set(err, ERR_INVALID, "the two votes do not contradict each other");
    if (!vote_verify(a) || !vote_verify(b))
        return err_set(err, ERR_INVALID, "a vote in the proof has no valid signature");
    return 0;
}

static int compare_validators(const void *a, const void *b)
{
    const struct vote *const *left = a, *const *right = b;
    return memcmp((*left)->validator, (*right)->validator, VOTE_KEY_SIZE);
}

void vote_certificate_encode(struct buf *out, const struct vote *const *votes, size_t n)
{
    assert(n >= 1 && n <= VOTE_SIGNERS_MAX);
    mem_auto const struct vote **sorted = mem_dup(votes, n * sizeof(const struct vote *));
    qsort(sorted, n, sizeof(const struct vote *), compare_validators);
    uint8_t statement[VOTE_SIGNED_SIZE], other[VOTE_SIGNED_SIZE];
    encode_signed(statement, votes[0]);
    wire_put_u8(out, VOTE_CERTIFICATE_LIST);
    buf_append(out, statement, STATEMENT_SIZE);
    wire_put_u16(out, (uint16_t)n);
    for (size_t i = 0; i < n; i++) {
        encode_signed(other, sorted[i]);
        assert(memcmp(statement, other, STATEMENT_SIZE) == 0);
        assert(i == 0 || compare_validators(&sorted[i - 1], &sorted[i]) < 0);
        buf_append(out, sorted[i]->validator, VOTE_KEY_SIZE);
        buf_append(out, sorted[i]->signature, VOTE_SIGNATURE_SIZE);
    }
}

void vote_certificate_free(struct vote_certificate *certificate)
{
    free(certificate->votes);
    *certificate = (struct vote_certificate){0};
}

static int decode_signers(struct vote_certificate *out, const struct vote *statement, const uint8_t *at,
                          struct err *err)
{
    for (size_t i = 0; i < out->count; i++, at += SIGNER_SIZE) {
        struct vote *vote = &out->votes[i];
        *vote = *statement;
        memcpy(vote->validator, at, VOTE_KEY_SIZE);
        memcpy(vote->signature, at + VOTE_KEY_SIZE, VOTE_SIGNATURE_SIZE);
        if (i > 0 && memcmp(vote[-1].validator, vote->validator, VOTE_KEY_SIZE) >= 0)
            return err_set(err, ERR_CORRUPT, "the signers of a certificate are not in order");
        if (!vote_verify(vote))
            return err_set(err, ERR_INVALID, "signature %zu of a certificate is not valid", i);
    }
    return 0;
}

int vote_certificate_decode(struct vote_certificate *out, const uint8_t *bytes, size_t len, struct err *err)
{
    *out = (struct vote_certificate){0};
    struct wire_reader in = wire_reader(bytes, len);
    uint8_t format = wire_get_u8(&in);
    if (!in.bad && format != VOTE_CERTIFICATE_LIST)
        return err_set(err, ERR_CORRUPT, "a certificate of unknown format %u", format);
    const uint8_t *raw = wire_get_raw(&in, STATEMENT_SIZE);
    size_t count = wire_get_u16(&in);
    if (in.bad || count == 0 || count > VOTE_SIGNERS_MAX || wire_left(&in) != count * SIGNER_SIZE)
        return err_set(err, ERR_CORRUPT, "a certificate of a wrong length");
    struct vote statement = {0};
    int rc = decode_statement(&statement, raw, err);
    if (rc)
        return rc;
    out->count = count;
    out->votes = mem_calloc(count, sizeof(*out->votes));
    rc = decode_signers(out, &statement, in.next, err);
    if (rc)
        vote_certificate_free(out);
    return rc;
}
