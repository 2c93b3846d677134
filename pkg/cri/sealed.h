/*
 * Texts of a container's configuration that must not reach the disk: variables that hold Secrets.
 *
 * CRI can hand a variable to a runtime only within the container's configuration, and a runtime keeps that in
 * its records. So the kubelet gives sealed texts, and an OCI runtime in front of runc opens them in memory
 * (oci_runtime.h):
 *
 *   katena-sealed: base64(nonce 24 | XChaCha20-Poly1305 of the text)
 *
 * under a key that is derived from the one that seals Secrets.
 */
#ifndef KATENA_CRI_SEALED_H
#define KATENA_CRI_SEALED_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SEALED_KEY_SIZE 32
#define SEALED_PREFIX "katena-sealed:"

/* Appends the sealed form of a text. */
void sealed_put(struct buf *out, const uint8_t key[SEALED_KEY_SIZE], const char *text, size_t len);

bool sealed_is(const char *text);

/* Appends what a sealed text holds. ERR_CORRUPT: it is none, or was made with another key. */
int sealed_open(struct buf *out, const uint8_t key[SEALED_KEY_SIZE], const char *text, struct err *err);

#endif
