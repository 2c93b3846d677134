/*
 * Slots, epochs, and who does what in a slot (paper 004, algorithm 2): a seed that everybody knows and the
 * number of the slot shuffle the validators. The first is the producer, the next ones the committee, the rest
 * validate. The same order says who takes over from a producer that is not there. Every node derives the same
 * roles without a message.
 *
 * The seed of an epoch is the randomness of a verified delay function (vdf.h, vdf_randomness). The shuffle is
 * Fisher and Yates' over the keystream of ChaCha20 with the key BLAKE2b-256("katena roles" || seed || slot);
 * a number below a bound is drawn by rejection, so that no order is likelier than another.
 *
 * Pure: the time comes as an argument. Validators are places 0 to n - 1 in the validator set.
 */
#ifndef KATENA_CONSENSUS_ROLES_H
#define KATENA_CONSENSUS_ROLES_H

#include <stdbool.h>
#include <stdint.h>

#define ROLES_SEED_SIZE 32
#define ROLES_COMMITTEE_MAX 256
#define ROLES_NO_PLACE UINT32_MAX

struct roles_settings {
    int64_t slot_us;        /* length of a slot; 1 s by default */
    uint32_t epoch_slots;   /* slots that share a seed; 32 by default */
    uint32_t committee_max; /* 1 to ROLES_COMMITTEE_MAX */
};

#define ROLES_SETTINGS_DEFAULT ((struct roles_settings){1000000, 32, ROLES_COMMITTEE_MAX})

enum role { ROLE_PRODUCER, ROLE_COMMITTEE, ROLE_VALIDATOR };

/* The slot of a time in microseconds since 1970 (never negative), where it starts, and its epoch. */
uint64_t roles_slot(const struct roles_settings *settings, int64_t now_us);
int64_t roles_slot_start_us(const struct roles_settings *settings, uint64_t slot);
uint64_t roles_epoch(const struct roles_settings *settings, uint64_t slot);

/* Writes the validators 0 to n - 1 into order, shuffled for the slot. */
void roles_order(uint32_t *order, uint32_t n, const uint8_t seed[ROLES_SEED_SIZE], uint64_t slot);

/* Where a validator stands in an order; ROLES_NO_PLACE when it is not in it. */
uint32_t roles_place(const uint32_t *order, uint32_t n, uint32_t validator);

/* The role that comes with a place. */
enum role roles_at(const struct roles_settings *settings, uint32_t place);

/* How many of those for which is_live answers true stand before a validator: 0 is the producer of those who
 * are left, 1 takes over from it, and so on. ROLES_NO_PLACE: the validator is not in the order. */
uint32_t roles_turn(const uint32_t *order, uint32_t n, uint32_t validator,
                    bool (*is_live)(void *arg, uint32_t validator), void *arg);

#endif
