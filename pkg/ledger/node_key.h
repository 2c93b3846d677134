/* The node's Ed25519 key: a file of 64 bytes (libsodium's secret key: seed and public key), mode 0600. */
#ifndef KATENA_LEDGER_NODE_KEY_H
#define KATENA_LEDGER_NODE_KEY_H

#include "base/err.h"

#include <stdint.h>

#define NODE_KEY_SIZE 64

/* Reads the key at path. ERR_NOT_FOUND when there is none, ERR_FORBIDDEN when others can read it. */
int node_key_load(uint8_t out[NODE_KEY_SIZE], const char *path, struct err *err);

/* Makes a new key and writes it durably; never over an existing one. */
int node_key_make(uint8_t out[NODE_KEY_SIZE], const char *path, struct err *err);

/* Writes a key durably; never over an existing one. */
int node_key_save(const uint8_t key[NODE_KEY_SIZE], const char *path, struct err *err);

#endif
