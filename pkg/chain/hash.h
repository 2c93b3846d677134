/*
 * The hash functions of the chain, each behind one function so that an implementation can be exchanged.
 * SHA-256 makes ids (transactions, blocks, Merkle nodes); BLAKE2b-256, several times faster in software,
 * hashes contents and the state.
 */
#ifndef KATENA_CHAIN_HASH_H
#define KATENA_CHAIN_HASH_H

#include <stddef.h>
#include <stdint.h>

#define HASH_SIZE 32

void hash_sha256(uint8_t out[HASH_SIZE], const void *data, size_t len);

/* SHA-256 of a then b then c, without joining them first; the last parts may be NULL with length 0. */
void hash_sha256_parts(uint8_t out[HASH_SIZE], const void *a, size_t a_len, const void *b, size_t b_len,
                       const void *c, size_t c_len);

/* BLAKE2b-256 (as `b2sum -l 256` prints it): hash of an output's content and of an intent. */
void hash_content(uint8_t out[HASH_SIZE], const void *data, size_t len);

#endif
