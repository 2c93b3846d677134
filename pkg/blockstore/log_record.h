/*
 * What the records of the block log say (blocklog.h frames them). Integers are little-endian.
 *
 *   type  bytes
 *   1     block: one that is final at once
 *   2     u64 final | block: one that may be rewound
 *   3     u64 final | u64 height | hash 32: the chain ends with that block again
 *   4     u64 final | bytes: the consensus manager's record
 *   5     u64 final | transaction: an orphan that was saved from another store (set_aside.c)
 *   6     u64 final | u64 height | hash 32: the store was made of a snapshot of that block (import.c); the
 * first record of its log
 *
 * final is the height up to which blocks were final when the record was written. So all that a store knows
 * follows from its log.
 */
#ifndef KATENA_BLOCKSTORE_LOG_RECORD_H
#define KATENA_BLOCKSTORE_LOG_RECORD_H

#include "blockstore/blocklog.h"
#include "chain/block.h"

#include <stddef.h>
#include <stdint.h>

enum log_record_type {
    LOG_RECORD_BLOCK = 1,
    LOG_RECORD_TENTATIVE = 2,
    LOG_RECORD_REWIND = 3,
    LOG_RECORD_NOTE = 4, /* replaces the one before */
    LOG_RECORD_ORPHAN = 5,
    LOG_RECORD_BASE = 6,
};

#define LOG_NOTE_MAX (1u << 20)
#define LOG_FINAL_SIZE 8
#define LOG_HEIGHT_SIZE (8 + HASH_SIZE) /* behind final */

struct log_record {
    enum log_record_type type;
    uint64_t final;       /* of all but LOG_RECORD_BLOCK */
    const uint8_t *bytes; /* of the block, the note, or the transaction; borrowed */
    size_t len;
    uint64_t height; /* LOG_RECORD_REWIND, LOG_RECORD_BASE */
    uint8_t hash[HASH_SIZE];
};

/* ERR_CORRUPT when it is none. Blocks are not looked into. */
int log_record_decode(struct log_record *out, const struct blocklog_record *record, struct err *err);

/* The bytes of a record of type 3 or 6 behind final. */
void log_height_encode(uint8_t out[LOG_HEIGHT_SIZE], uint64_t height, const uint8_t hash[HASH_SIZE]);

#endif
