/* Keys of the LMDB databases, made on the stack: reading an object allocates nothing. */
#ifndef KATENA_BLOCKSTORE_LMDB_KEY_H
#define KATENA_BLOCKSTORE_LMDB_KEY_H

#include "chain/key.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define LMDB_KEY_MAX 511 /* LMDB's own limit for keys and sorted duplicates */

/* The key bytes of a resource key (chain/key.h), cut at the limit: an object's key is at most KEY_BYTES_MAX
 * long, so a longer one names nothing. */
static inline size_t lmdb_key_of(uint8_t out[LMDB_KEY_MAX], const struct resource_key *key)
{
    const char *parts[4] = {key->group, key->resource, key->namespace, key->name};
    size_t len = 0;
    for (int i = 0; i < 4; i++) {
        size_t n = strlen(parts[i]) + (i < 3);
        if (n > LMDB_KEY_MAX - len)
            n = LMDB_KEY_MAX - len;
        memcpy(out + len, parts[i], n);
        len += n;
    }
    return len;
}

/* name NUL value, cut at the limit; whoever reads compares the object's own terms. */
static inline size_t lmdb_term_key(uint8_t out[LMDB_KEY_MAX], const char *name, const char *value)
{
    size_t name_len = strnlen(name, 200), value_len = strnlen(value, LMDB_KEY_MAX - 201);
    memcpy(out, name, name_len);
    out[name_len] = 0;
    memcpy(out + name_len + 1, value, value_len);
    return name_len + 1 + value_len;
}

#endif
