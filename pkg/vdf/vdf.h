/*
 * A verifiable delay function: Wesolowski, "Efficient Verifiable Delay Functions" (EUROCRYPT 2019), in the
 * group of units modulo the RSA-2048 challenge number, whose factors nobody is known to have, modulo +-1.
 *
 *   evaluation   y = x^(2^T), T squarings one after the other; x is hashed from the seed
 *   proof        pi = x^floor(2^T / l), with the prime l hashed from all that is public
 *   check        pi^l * x^(2^T mod l) = y, two short exponentiations whatever T is
 *
 * It turns a seed into the next epoch's seed such that nobody knows the result before the delay has
 * passed, and everybody can check it at once (paper 004, section 3.4).
 *
 * Pure and deterministic: an evaluation advances by calls, so that its owner decides how much of a core it
 * takes. Elements are big-endian and the smaller one of v and N - v; any other encoding is refused.
 */
#ifndef KATENA_VDF_VDF_H
#define KATENA_VDF_VDF_H

#include <stdbool.h>
#include <stdint.h>

#define VDF_SEED_SIZE 32
#define VDF_ELEMENT_SIZE 256
#define VDF_DIFFICULTY_MAX (1ull << 40)

struct vdf_proof {
    uint8_t output[VDF_ELEMENT_SIZE]; /* y */
    uint8_t proof[VDF_ELEMENT_SIZE];  /* pi */
};

struct vdf_work;

/* Begins an evaluation of difficulty squarings (1 to VDF_DIFFICULTY_MAX). Freed with vdf_work_free. */
struct vdf_work *vdf_work_new(const uint8_t seed[VDF_SEED_SIZE], uint64_t difficulty);
void vdf_work_free(struct vdf_work *work);

/* Does at most steps steps, each about one squaring; the whole takes 2 * difficulty of them. True when it
 * is finished. */
bool vdf_work_step(struct vdf_work *work, uint64_t steps);

/* The result of a finished evaluation. */
void vdf_work_result(const struct vdf_work *work, struct vdf_proof *out);

/* Whether a proof is right for the seed and the difficulty. Takes under a millisecond; anything may be in
 * the proof. */
bool vdf_verify(const uint8_t seed[VDF_SEED_SIZE], uint64_t difficulty, const struct vdf_proof *proof);

/* The 32 bytes of randomness that a verified proof gives: a hash of its output, not of its proof. */
void vdf_randomness(uint8_t out[VDF_SEED_SIZE], const struct vdf_proof *proof);

#endif
