/* vdf: the function, its proofs, and what is no proof. */
#include "unit.h"

#include "base/hex.h"
#include "vdf/vdf.h"

#include <gmp.h>

static const uint8_t seed[VDF_SEED_SIZE] = "an epoch's seed, thirty-two long";

static struct vdf_proof evaluate(const uint8_t from[VDF_SEED_SIZE], uint64_t difficulty, uint64_t at_once)
{
    struct vdf_work *work = vdf_work_new(from, difficulty);
    while (!vdf_work_step(work, at_once))
        ;
    struct vdf_proof proof;
    vdf_work_result(work, &proof);
    vdf_work_free(work);
    return proof;
}

static void proofs_verify(void **state)
{
    (void)state;
    static const uint64_t difficulties[] = {1, 2, 3, 255, 256, 257, 1000, 5000};
    for (size_t i = 0; i < sizeof(difficulties) / sizeof(difficulties[0]); i++) {
        struct vdf_proof proof = evaluate(seed, difficulties[i], 100000);
        assert_true(vdf_verify(seed, difficulties[i], &proof));
        assert_false(vdf_verify(seed, difficulties[i] + 1, &proof));
    }
}

/* Computed by an independent program: no build may give anything else. */
static void known_answer(void **state)
{
    (void)state;
    struct vdf_proof proof = evaluate(seed, 1000, 10000);
    uint8_t randomness[VDF_SEED_SIZE];
    vdf_randomness(randomness, &proof);
    char text[2 * VDF_SEED_SIZE + 1];
    hex_encode(text, proof.output, 16);
    assert_string_equal(text, "0e209719b76ce2f8fd58910d27b5ae57");
    hex_encode(text, proof.proof, 16);
    assert_string_equal(text, "3b9639aa2b2216f68a2c0cc43f9dc9fb");
    hex_encode(text, randomness, sizeof(randomness));
    assert_string_equal(text, "f3342b05883147abf0950a7814a7532d49fe8e4290bcb5514e7b573e42720b73");
}

static void steps_of_any_size_give_the_same(void **state)
{
    (void)state;
    struct vdf_proof one = evaluate(seed, 700, 1);
    struct vdf_proof many = evaluate(seed, 700, 1 << 20);
    assert_memory_equal(&one, &many, sizeof(one));
}

static void other_seed_other_output(void **state)
{
    (void)state;
    uint8_t other[VDF_SEED_SIZE];
    memcpy(other, seed, sizeof(other));
    other[31] ^= 1;
    struct vdf_proof a = evaluate(seed, 300, 1000), b = evaluate(other, 300, 1000);
    assert_memory_not_equal(a.output, b.output, VDF_ELEMENT_SIZE);
    assert_false(vdf_verify(other, 300, &a));
    uint8_t x[VDF_SEED_SIZE], y[VDF_SEED_SIZE];
    vdf_randomness(x, &a);
    vdf_randomness(y, &b);
    assert_memory_not_equal(x, y, sizeof(x));
}

static void changed_proofs_are_refused(void **state)
{
    (void)state;
    struct vdf_proof right = evaluate(seed, 500, 10000);
    for (size_t i = 0; i < sizeof(right); i += 37) {
        struct vdf_proof wrong = right;
        ((uint8_t *)&wrong)[i] ^= 0x10;
        assert_false(vdf_verify(seed, 500, &wrong));
    }
    struct vdf_proof zeros;
    memset(&zeros, 0, sizeof(zeros));
    assert_false(vdf_verify(seed, 500, &zeros));
    memset(&zeros, 0xff, sizeof(zeros));
    assert_false(vdf_verify(seed, 500, &zeros));
    assert_false(vdf_verify(seed, 0, &right));
    assert_false(vdf_verify(seed, VDF_DIFFICULTY_MAX + 1, &right));
}

/* Only one of v and N - v is an encoding: otherwise a proof had two forms, and its hash two values. */
static void the_negated_output_is_refused(void **state)
{
    (void)state;
    struct vdf_proof proof = evaluate(seed, 100, 10000);
    mpz_t n, v;
    mpz_init_set_str(
        n,
        "25195908475657893494027183240048398571429282126204032027777137836043662020707595556264018525880"
        "78440691829064124951508218929855914917618450280848912007284499268739280728777673597141834727026"
        "18963750149718246911650776133798590957000973304597488084284017974291006424586918171951187461215"
        "15172654632282216869987549182422433637259085141865462043576798423387184774447920739934236584823"
        "82428119816381501067481045166037730605620161967625613384414360383390441495263443219011465754445"
        "41784240209246165157233507787077498171257724679629263863563732899121548314381678998850404453640"
        "23527381951378636564391212010397122822120720357",
        10);
    mpz_init(v);
    mpz_import(v, VDF_ELEMENT_SIZE, 1, 1, 1, 0, proof.output);
    mpz_sub(v, n, v);
    memset(proof.output, 0, sizeof(proof.output));
    size_t size = (mpz_sizeinbase(v, 2) + 7) / 8;
    mpz_export(proof.output + VDF_ELEMENT_SIZE - size, NULL, 1, 1, 1, 0, v);
    assert_false(vdf_verify(seed, 100, &proof));
    mpz_clears(n, v, NULL);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(proofs_verify),
    cmocka_unit_test(known_answer),
    cmocka_unit_test(steps_of_any_size_give_the_same),
    cmocka_unit_test(other_seed_other_output),
    cmocka_unit_test(changed_proofs_are_refused),
    cmocka_unit_test(the_negated_output_is_refused),
};

UNIT_MAIN(tests)
