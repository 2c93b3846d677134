/* What the sources of transactions share. */
#ifndef KATENA_CHAIN_TX_INTERNAL_H
#define KATENA_CHAIN_TX_INTERNAL_H

#include "chain/arena.h"
#include "chain/tx.h"

#define TX_VERSION 2
#define TX_PREFIX_FIXED 8 /* the lengths of header and witness */

enum tx_flag { TX_FLAG_STRICT = 1, TX_FLAG_USER_KEY = 2, TX_FLAG_ORIGINAL = 4, TX_FLAGS_ALL = 7 };

/* Where an output's pieces lie in the encoding. */
struct tx_output_place {
    const uint8_t *slice;
    size_t slice_len;
    const uint8_t *terms;
    size_t terms_len;
};

struct tx_private {
    struct arena arena;
    size_t input_cap;
    size_t output_cap;
    uint8_t intent_hash[32];
    const struct tx_output_place *places; /* output_count of them, once encoded */
};

/* Encodes what the fields say. Content hashes have to be set. */
void tx__encode(struct buf *out, const struct tx *tx);

/* Puts the signature and the path into an encoding that was made without. */
void tx__seal(struct tx *tx);

/* Reads the encoding at tx->encoded (encoded_len bytes, in the arena) into tx, whose pointers then go into
 * it; checks the grammar, with whole also that the contents have the hashes that the header says. */
int tx__parse(struct tx *tx, bool pruned, bool check_contents, struct err *err);

#endif
