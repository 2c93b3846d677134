/*
 * A resource key: the path of one object in the hierarchy cluster -> (namespace ->) group/resource -> name.
 *
 * Its bytes, "group" NUL "resource" NUL "namespace" NUL "name", are what the chain, the state hash and the
 * store use, so objects of one kind lie side by side, and those of one namespace within them.
 */
#ifndef KATENA_CHAIN_KEY_H
#define KATENA_CHAIN_KEY_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KEY_BYTES_MAX 480 /* below LMDB's limit of 511, with room for an index prefix */

struct resource_key {
    const char *group;     /* "" for the core group */
    const char *resource;  /* plural: "pods" */
    const char *namespace; /* "" for a cluster-scoped object */
    const char *name;
};

/* Appends the key's bytes. With name "" they are the prefix of all objects in the namespace, with namespace
 * NULL the prefix of all objects of the kind. */
void key_encode(struct buf *out, const struct resource_key *key);

/* Splits key bytes in place: the strings of *key point into bytes, which must outlive it and be followed by
 * a NUL. Returns false when the bytes are no key. */
bool key_decode(struct resource_key *key, const char *bytes, size_t len);

/* Orders by the key's bytes. */
int key_compare(const struct resource_key *a, const struct resource_key *b);

/* The parent in the hierarchy: the namespace object of a namespaced key; returns false for a cluster-scoped
 * one, whose parent is the cluster itself. The strings are borrowed from key. */
bool key_parent(struct resource_key *parent, const struct resource_key *key);

#endif
