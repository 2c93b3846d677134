/* See vdf.h. */
#include "vdf/vdf.h"

#include "base/mem.h"

#include <assert.h>
#include <gmp.h>
#include <sodium.h>
#include <string.h>

#define PRIME_SIZE 32 /* bytes of l: 256 bits, since who chooses the seed may also search for a weak l */
#define ROUNDS 24     /* Miller-Rabin bases: the first primes, so that every build gives the same answer */

/* RSA-2048 of the RSA factoring challenge. */
static const char modulus_digits[] = "25195908475657893494027183240048398571429282126204032027777137836043662"
                                     "0207075955562640185258807844069182906412495"
                                     "15082189298559149176184502808489120072844992687392807287776735971418347"
                                     "2702618963750149718246911650776133798590957"
                                     "00097330459748808428401797429100642458691817195118746121515172654632282"
                                     "2168699875491824224336372590851418654620435"
                                     "76798423387184774447920739934236584823824281198163815010674810451660377"
                                     "3060562016196762561338441436038339044149526"
                                     "34432190114657544454178424020924616515723350778707749817125772467962926"
                                     "3863563732899121548314381678998850404453640"
                                     "23527381951378636564391212010397122822120720357";

struct group {
    mpz_t n;
    mpz_t half; /* (n - 1) / 2: the largest canonical element */
};

struct vdf_work {
    struct group group;
    uint64_t difficulty;
    uint64_t squared; /* steps of the evaluation that are done */
    uint64_t divided; /* steps of the proof that are done */
    mpz_t x, y, pi;
    mpz_t prime, rest; /* of the long division of 2^T by the prime, bit by bit */
    uint8_t seed[VDF_SEED_SIZE];
};

static void group_init(struct group *g)
{
    int rc = mpz_init_set_str(g->n, modulus_digits, 10);
    assert(rc == 0);
    mpz_init(g->half);
    mpz_tdiv_q_2exp(g->half, g->n, 1);
}

static void group_clear(struct group *g)
{
    mpz_clears(g->n, g->half, NULL);
}

/* The representative of {v, n - v}. */
static void group_canonical(const struct group *g, mpz_t v)
{
    if (mpz_cmp(v, g->half) > 0)
        mpz_sub(v, g->n, v);
}

/* out = hash(label || a || b || c) of as many bytes as asked, by counted blocks of SHA-512. */
static void expand(uint8_t *out, size_t size, const char *label, const void *data, size_t len)
{
    for (uint32_t block = 0; size; block++) {
        uint8_t digest[crypto_hash_sha512_BYTES];
        uint8_t counter[4] = {(uint8_t)(block >> 24), (uint8_t)(block >> 16), (uint8_t)(block >> 8),
                              (uint8_t)block};
        crypto_hash_sha512_state state;
        crypto_hash_sha512_init(&state);
        crypto_hash_sha512_update(&state, (const uint8_t *)label, strlen(label) + 1);
        crypto_hash_sha512_update(&state, counter, sizeof(counter));
        crypto_hash_sha512_update(&state, data, len);
        crypto_hash_sha512_final(&state, digest);
        size_t n = size < sizeof(digest) ? size : sizeof(digest);
        memcpy(out, digest, n);
        out += n;
        size -= n;
    }
}

/* Hashes the seed to an element: 128 bits more than the modulus has, so that the remainder is uniform. */
static void group_from_seed(const struct group *g, mpz_t x, const uint8_t seed[VDF_SEED_SIZE])
{
    uint8_t wide[VDF_ELEMENT_SIZE + 16];
    expand(wide, sizeof(wide), "katena vdf element", seed, VDF_SEED_SIZE);
    mpz_import(x, sizeof(wide), 1, 1, 1, 0, wide);
    mpz_mod(x, x, g->n);
    group_canonical(g, x);
}

static void element_write(uint8_t out[VDF_ELEMENT_SIZE], const mpz_t v)
{
    memset(out, 0, VDF_ELEMENT_SIZE);
    size_t size = (mpz_sizeinbase(v, 2) + 7) / 8;
    mpz_export(out + VDF_ELEMENT_SIZE - size, NULL, 1, 1, 1, 0, v);
}

static bool element_read(const struct group *g, mpz_t v, const uint8_t in[VDF_ELEMENT_SIZE])
{
    mpz_import(v, VDF_ELEMENT_SIZE, 1, 1, 1, 0, in);
    return mpz_sgn(v) > 0 && mpz_cmp(v, g->half) <= 0;
}

static const unsigned small_primes[] = {
    3,   5,   7,   11,  13,  17,  19,  23,  29,  31,  37,  41,  43,  47,  53,  59,  61,  67,  71,  73,
    79,  83,  89,  97,  101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167, 173, 179,
    181, 191, 193, 197, 199, 211, 223, 227, 229, 233, 239, 241, 251, 257, 263, 269, 271, 277, 281, 283};

/* One round of Miller-Rabin; n - 1 = d * 2^s. */
static bool passes_round(const mpz_t n, const mpz_t n_minus_1, const mpz_t d, mp_bitcnt_t s, unsigned base)
{
    mpz_t v;
    mpz_init_set_ui(v, base);
    mpz_powm(v, v, d, n);
    bool passes = !mpz_cmp_ui(v, 1) || !mpz_cmp(v, n_minus_1);
    for (mp_bitcnt_t i = 1; i < s && !passes; i++) {
        mpz_mul(v, v, v);
        mpz_mod(v, v, n);
        passes = !mpz_cmp(v, n_minus_1);
    }
    mpz_clear(v);
    return passes;
}

/* n is odd and much larger than the small primes. */
static bool is_prime(const mpz_t n)
{
    for (size_t i = 0; i < sizeof(small_primes) / sizeof(small_primes[0]); i++)
        if (!mpz_fdiv_ui(n, small_primes[i]))
            return false;
    mpz_t n_minus_1, d;
    mpz_init(n_minus_1);
    mpz_init(d);
    mpz_sub_ui(n_minus_1, n, 1);
    mp_bitcnt_t s = mpz_scan1(n_minus_1, 0);
    mpz_tdiv_q_2exp(d, n_minus_1, s);
    bool prime = passes_round(n, n_minus_1, d, s, 2);
    for (size_t i = 0; i < ROUNDS - 1 && prime; i++)
        prime = passes_round(n, n_minus_1, d, s, small_primes[i]);
    mpz_clears(n_minus_1, d, NULL);
    return prime;
}

/* The first prime of a sequence hashed from everything public: the seed stands for x. */
static void challenge(mpz_t prime, const uint8_t seed[VDF_SEED_SIZE], uint64_t difficulty,
                      const uint8_t output[VDF_ELEMENT_SIZE])
{
    uint8_t input[VDF_SEED_SIZE + 8 + VDF_ELEMENT_SIZE + 4];
    memcpy(input, seed, VDF_SEED_SIZE);
    for (int i = 0; i < 8; i++)
        input[VDF_SEED_SIZE + i] = (uint8_t)(difficulty >> (56 - 8 * i));
    memcpy(input + VDF_SEED_SIZE + 8, output, VDF_ELEMENT_SIZE);
    for (uint32_t attempt = 0;; attempt++) {
        for (int i = 0; i < 4; i++)
            input[sizeof(input) - 4 + (size_t)i] = (uint8_t)(attempt >> (24 - 8 * i));
        uint8_t candidate[PRIME_SIZE];
        expand(candidate, sizeof(candidate), "katena vdf prime", input, sizeof(input));
        candidate[0] |= 0x80;
        candidate[PRIME_SIZE - 1] |= 1;
        mpz_import(prime, sizeof(candidate), 1, 1, 1, 0, candidate);
        if (is_prime(prime))
            return;
    }
}

struct vdf_work *vdf_work_new(const uint8_t seed[VDF_SEED_SIZE], uint64_t difficulty)
{
    assert(difficulty >= 1 && difficulty <= VDF_DIFFICULTY_MAX);
    struct vdf_work *work = mem_zalloc(sizeof(*work));
    group_init(&work->group);
    work->difficulty = difficulty;
    memcpy(work->seed, seed, VDF_SEED_SIZE);
    mpz_inits(work->x, work->y, work->pi, work->prime, work->rest, NULL);
    group_from_seed(&work->group, work->x, seed);
    mpz_set(work->y, work->x);
    return work;
}

void vdf_work_free(struct vdf_work *work)
{
    if (!work)
        return;
    mpz_clears(work->x, work->y, work->pi, work->prime, work->rest, NULL);
    group_clear(&work->group);
    free(work);
}

static void begin_proof(struct vdf_work *work)
{
    group_canonical(&work->group, work->y);
    uint8_t output[VDF_ELEMENT_SIZE];
    element_write(output, work->y);
    challenge(work->prime, work->seed, work->difficulty, output);
    mpz_set_ui(work->pi, 1);
    mpz_set_ui(work->rest, 1);
}

/* One bit of the quotient 2^T / l, from the highest: pi = pi^2 * x^bit. */
static void step_proof(struct vdf_work *work)
{
    mpz_mul_2exp(work->rest, work->rest, 1);
    mpz_mul(work->pi, work->pi, work->pi);
    if (mpz_cmp(work->rest, work->prime) >= 0) {
        mpz_sub(work->rest, work->rest, work->prime);
        mpz_mod(work->pi, work->pi, work->group.n);
        mpz_mul(work->pi, work->pi, work->x);
    }
    mpz_mod(work->pi, work->pi, work->group.n);
}

bool vdf_work_step(struct vdf_work *work, uint64_t steps)
{
    for (; steps && work->squared < work->difficulty; steps--, work->squared++) {
        mpz_mul(work->y, work->y, work->y);
        mpz_mod(work->y, work->y, work->group.n);
        if (work->squared + 1 == work->difficulty)
            begin_proof(work);
    }
    for (; steps && work->divided < work->difficulty; steps--) {
        step_proof(work);
        if (++work->divided == work->difficulty)
            group_canonical(&work->group, work->pi);
    }
    return work->divided == work->difficulty;
}

void vdf_work_result(const struct vdf_work *work, struct vdf_proof *out)
{
    assert(work->divided == work->difficulty);
    element_write(out->output, work->y);
    element_write(out->proof, work->pi);
}

bool vdf_verify(const uint8_t seed[VDF_SEED_SIZE], uint64_t difficulty, const struct vdf_proof *proof)
{
    if (difficulty < 1 || difficulty > VDF_DIFFICULTY_MAX)
        return false;
    struct group g;
    group_init(&g);
    mpz_t x, y, pi, prime, exponent, two;
    mpz_inits(x, y, pi, prime, exponent, two, NULL);
    bool valid = element_read(&g, y, proof->output) && element_read(&g, pi, proof->proof);
    if (valid) {
        group_from_seed(&g, x, seed);
        challenge(prime, seed, difficulty, proof->output);
        mpz_set_ui(two, 2);
        mpz_import(exponent, 1, 1, sizeof(difficulty), 0, 0, &difficulty);
        mpz_powm(exponent, two, exponent, prime);
        mpz_powm(pi, pi, prime, g.n);
        mpz_powm(x, x, exponent, g.n);
        mpz_mul(pi, pi, x);
        mpz_mod(pi, pi, g.n);
        group_canonical(&g, pi);
        valid = !mpz_cmp(pi, y);
    }
    mpz_clears(x, y, pi, prime, exponent, two, NULL);
    group_clear(&g);
    return valid;
}

void vdf_randomness(uint8_t out[VDF_SEED_SIZE], const struct vdf_proof *proof)
{
    expand(out, VDF_SEED_SIZE, "katena vdf randomness", proof->output, VDF_ELEMENT_SIZE);
}
