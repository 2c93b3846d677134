/* vote: the encoding, contradictions, proofs of them, certificates. */
#include "unit.h"

#include "chain/vote.h"

#include <sodium.h>

static uint8_t public_keys[5][32], secret_keys[5][64];

static int setup(void **state)
{
    (void)state;
    for (uint8_t i = 0; i < 5; i++) {
        uint8_t seed[32] = {i};
        crypto_sign_seed_keypair(public_keys[i], secret_keys[i], seed);
    }
    return 0;
}

static struct vote checkpoint_vote(unsigned key, uint64_t from, uint64_t to, uint8_t target)
{
    struct vote vote = {.kind = VOTE_CHECKPOINT, .chain = {7}, .number = from, .round = to};
    vote.source[0] = 1;
    vote.target[0] = target;
    vote_sign(&vote, secret_keys[key]);
    return vote;
}

static struct vote simple_vote(enum vote_kind kind, unsigned key, uint64_t round, uint64_t number,
                               uint8_t target)
{
    struct vote vote = {.kind = kind, .chain = {7}, .number = number, .round = round};
    vote.target[0] = target;
    vote_sign(&vote, secret_keys[key]);
    return vote;
}

static void a_vote_survives_its_encoding(void **state)
{
    (void)state;
    struct vote vote = checkpoint_vote(0, 5, 9, 3), back;
    uint8_t bytes[VOTE_SIZE], again[VOTE_SIZE];
    struct err err = {0};
    vote_encode(bytes, &vote);
    assert_int_equal(vote_decode(&back, bytes, sizeof(bytes), &err), 0);
    assert_true(vote_verify(&back));
    vote_encode(again, &back);
    assert_memory_equal(bytes, again, sizeof(bytes));
}

/* Whatever bit is changed: not a vote any more, or not signed. */
static void each_bit_is_signed(void **state)
{
    (void)state;
    struct vote vote = checkpoint_vote(0, 5, 9, 3), back;
    uint8_t bytes[VOTE_SIZE];
    vote_encode(bytes, &vote);
    for (unsigned bit = 0; bit < 8 * VOTE_SIZE; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_false(vote_decode(&back, bytes, sizeof(bytes), NULL) == 0 && vote_verify(&back));
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

static void what_is_no_vote(void **state)
{
    (void)state;
    struct vote vote = checkpoint_vote(0, 5, 9, 3), back;
    struct err err = {0};
    uint8_t bytes[VOTE_SIZE];
    vote_encode(bytes, &vote);
    assert_int_equal(vote_decode(&back, bytes, VOTE_SIZE - 1, &err), ERR_CORRUPT);
    vote.number = 9; /* its source is not before its target */
    vote_encode(bytes, &vote);
    assert_int_equal(vote_decode(&back, bytes, VOTE_SIZE, &err), ERR_CORRUPT);
    vote = simple_vote(VOTE_ATTESTATION, 0, 4, 1, 2); /* an attestation has no number */
    vote_encode(bytes, &vote);
    assert_int_equal(vote_decode(&back, bytes, VOTE_SIZE, &err), ERR_CORRUPT);
    vote = simple_vote(VOTE_PROPOSAL, 0, 4, 1, 2);
    vote_encode(bytes, &vote);
    assert_int_equal(vote_decode(&back, bytes, VOTE_SIZE, &err), 0);
    bytes[60] = 1; /* nor a proposal a source */
    assert_int_equal(vote_decode(&back, bytes, VOTE_SIZE, &err), ERR_CORRUPT);
}

static enum vote_conflict conflict(struct vote a, struct vote b)
{
    assert_int_equal(vote_conflict(&a, &b), vote_conflict(&b, &a));
    return vote_conflict(&a, &b);
}

static void contradictions(void **state)
{
    (void)state;
    struct vote vote = checkpoint_vote(0, 5, 9, 3);
    assert_int_equal(conflict(vote, vote), VOTE_CONFLICT_NONE);
    assert_int_equal(conflict(vote, checkpoint_vote(0, 5, 9, 4)), VOTE_CONFLICT_TWO_TARGETS);
    assert_int_equal(conflict(vote, checkpoint_vote(0, 6, 9, 3)), VOTE_CONFLICT_TWO_TARGETS);
    assert_int_equal(conflict(vote, checkpoint_vote(0, 4, 10, 3)), VOTE_CONFLICT_SURROUND);
    assert_int_equal(conflict(vote, checkpoint_vote(0, 6, 8, 3)), VOTE_CONFLICT_SURROUND);
    assert_int_equal(conflict(vote, checkpoint_vote(0, 5, 10, 4)), VOTE_CONFLICT_NONE);
    assert_int_equal(conflict(vote, checkpoint_vote(0, 9, 10, 4)), VOTE_CONFLICT_NONE);
    assert_int_equal(conflict(vote, checkpoint_vote(1, 5, 9, 4)), VOTE_CONFLICT_NONE);
    struct vote head = simple_vote(VOTE_ATTESTATION, 0, 9, 0, 1);
    assert_int_equal(conflict(vote, head), VOTE_CONFLICT_NONE);
    assert_int_equal(conflict(head, simple_vote(VOTE_ATTESTATION, 0, 9, 0, 2)), VOTE_CONFLICT_TWO_HEADS);
    assert_int_equal(conflict(head, simple_vote(VOTE_ATTESTATION, 0, 10, 0, 2)), VOTE_CONFLICT_NONE);
    struct vote block = simple_vote(VOTE_PROPOSAL, 0, 9, 1, 1);
    assert_int_equal(conflict(block, simple_vote(VOTE_PROPOSAL, 0, 9, 1, 2)), VOTE_CONFLICT_TWO_BLOCKS);
    assert_int_equal(conflict(block, simple_vote(VOTE_PROPOSAL, 0, 9, 2, 2)), VOTE_CONFLICT_NONE);
    struct vote elsewhere = block;
    elsewhere.chain[0]++;
    elsewhere.target[0]++;
    assert_int_equal(conflict(block, elsewhere), VOTE_CONFLICT_NONE);
}

static void proofs(void **state)
{
    (void)state;
    struct vote a = checkpoint_vote(0, 5, 9, 3), b = checkpoint_vote(0, 5, 9, 4), x, y;
    uint8_t bytes[VOTE_PROOF_SIZE], mirrored[VOTE_PROOF_SIZE];
    enum vote_conflict found;
    struct err err = {0};
    vote_proof_encode(bytes, &a, &b);
    vote_proof_encode(mirrored, &b, &a);
    assert_memory_equal(bytes, mirrored, sizeof(bytes));
    assert_int_equal(vote_proof_check(bytes, sizeof(bytes), &x, &y, &found, &err), 0);
    assert_int_equal(found, VOTE_CONFLICT_TWO_TARGETS);
    memcpy(mirrored, bytes + VOTE_SIZE, VOTE_SIZE);
    memcpy(mirrored + VOTE_SIZE, bytes, VOTE_SIZE);
    assert_int_equal(vote_proof_check(mirrored, sizeof(bytes), &x, &y, &found, &err), ERR_CORRUPT);
    bytes[VOTE_PROOF_SIZE - 1] ^= 1;
    assert_int_equal(vote_proof_check(bytes, sizeof(bytes), &x, &y, &found, &err), ERR_INVALID);
    /* Two votes that may stand beside each other. */
    struct vote c = checkpoint_vote(0, 5, 10, 4);
    vote_encode(mirrored, &a);
    vote_encode(mirrored + VOTE_SIZE, &c);
    assert_int_equal(vote_proof_check(mirrored, sizeof(mirrored), &x, &y, &found, &err), ERR_INVALID);
}

static void certificates(void **state)
{
    (void)state;
    struct vote votes[5];
    const struct vote *pointers[5];
    for (unsigned i = 0; i < 5; i++) {
        votes[i] = checkpoint_vote(i, 5, 9, 3);
        pointers[i] = &votes[i];
    }
    buf_auto struct buf out = BUF_INIT;
    vote_certificate_encode(&out, pointers, 5);
    struct vote_certificate certificate;
    struct err err = {0};
    uint8_t *bytes = (uint8_t *)out.data;
    assert_int_equal(vote_certificate_decode(&certificate, bytes, out.len, &err), 0);
    assert_int_equal(certificate.count, 5);
    for (unsigned i = 0; i < 5; i++) {
        assert_true(vote_verify(&certificate.votes[i]));
        assert_true(i == 0 ||
                    memcmp(certificate.votes[i - 1].validator, certificate.votes[i].validator, 32) < 0);
    }
    vote_certificate_free(&certificate);
    assert_int_equal(vote_certificate_decode(&certificate, bytes, out.len - 1, &err), ERR_CORRUPT);
    bytes[out.len - 1] ^= 1;
    assert_int_equal(vote_certificate_decode(&certificate, bytes, out.len, &err), ERR_INVALID);
    bytes[out.len - 1] ^= 1;
    /* The same signer twice. */
    size_t signer = 32 + 64;
    memcpy(bytes + out.len - signer, bytes + out.len - 2 * signer, signer);
    assert_int_equal(vote_certificate_decode(&certificate, bytes, out.len, &err), ERR_CORRUPT);
    bytes[0] = 2; /* the place of aggregates */
    assert_int_equal(vote_certificate_decode(&certificate, bytes, out.len, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.message, "unknown format 2"));
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_vote_survives_its_encoding),
    cmocka_unit_test(each_bit_is_signed),
    cmocka_unit_test(what_is_no_vote),
    cmocka_unit_test(contradictions),
    cmocka_unit_test(proofs),
    cmocka_unit_test(certificates),
};

int main(int argc, char **argv)
{
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, setup, NULL);
}
