/*
 * Locking scripts: who may consume an output. A tiny stack language without loops or jumps, so that each
 * script ends, after as many steps as it has bytes at most, and gives every node the same verdict.
 *
 * The unlocking data is a sequence of items (varint length, bytes) that are put on the stack, the last one on
 * top; then the lock's instructions run; the output is unlocked when exactly one item is left and it is true.
 * True is any non-empty item. An empty lock is the default: SCRIPT_RBAC alone, with no unlocking data.
 *
 *   instruction          stack before -> after
 *   SCRIPT_PUSH len ...  -> item            the next byte is the length of the bytes that follow it
 *   SCRIPT_SIGNED        sig key -> bool    Ed25519 over the transaction's signed bytes
 *   SCRIPT_MULTI m n ... sig*m -> bool      n keys of 32 bytes follow; signatures in the order of their keys
 *   SCRIPT_RBAC          -> bool            RBAC allows the transaction's user this change
 *   SCRIPT_SHA256        item -> hash
 *   SCRIPT_EQUAL         a b -> bool
 *   SCRIPT_AND, _OR      a b -> bool
 *   SCRIPT_NOT           a -> bool
 *   SCRIPT_SWAP          a b -> b a
 */
#ifndef KATENA_CHAIN_SCRIPT_H
#define KATENA_CHAIN_SCRIPT_H

#include "base/buf.h"
#include "base/err.h"
#include "chain/tx.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCRIPT_STACK_MAX 32
#define SCRIPT_SIGNATURES_MAX 16 /* verifications in one run; the limit on m and n too */

enum script_op {
    SCRIPT_PUSH = 0x01,
    SCRIPT_SIGNED = 0x10,
    SCRIPT_MULTI = 0x11,
    SCRIPT_RBAC = 0x12,
    SCRIPT_SHA256 = 0x20,
    SCRIPT_EQUAL = 0x21,
    SCRIPT_AND = 0x30,
    SCRIPT_OR = 0x31,
    SCRIPT_NOT = 0x32,
    SCRIPT_SWAP = 0x40,
};

/* What a script can see of its surroundings. */
struct script_env {
    const uint8_t *signed_bytes; /* tx_signed_bytes of the spending transaction */
    bool (*rbac)(void *arg);
    void *arg;
};

/* 0 when unlocked; ERR_FORBIDDEN when not, or when the script or the unlocking data are malformed. */
int script_run(const uint8_t *lock, size_t lock_len, const uint8_t *unlock, size_t unlock_len,
               const struct script_env *env, struct err *err);

/* Whether a lock is well-formed: checked when an output is made, so that none is locked by mistake for ever.
 */
int script_check(const uint8_t *lock, size_t lock_len, struct err *err);

/* Common locks and unlocking data, appended. */
void script_lock_key(struct buf *out, const uint8_t key[TX_KEY_SIZE]);
void script_lock_multi(struct buf *out, unsigned m, unsigned n, const uint8_t (*keys)[TX_KEY_SIZE]);
void script_lock_preimage(struct buf *out, const uint8_t hash[32]);
void script_unlock_item(struct buf *out, const void *item, size_t len);

#endif
