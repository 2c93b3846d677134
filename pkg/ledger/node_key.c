/* See node_key.h. */
#include "ledger/node_key.h"

#include "blockstore/dir.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int node_key_load(uint8_t out[NODE_KEY_SIZE], const char *path, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return err_set(err, ERR_NOT_FOUND, "there is no node key at %s", path);
    if (fd < 0)
        return err_set_errno(err, "cannot open the node key %s", path);
    struct stat st;
    int rc = 0;
    uint8_t seed[crypto_sign_SEEDBYTES], public_key[crypto_sign_PUBLICKEYBYTES], secret[NODE_KEY_SIZE];
    if (fstat(fd, &st) < 0)
        rc = err_set_errno(err, "cannot read the node key %s", path);
    else if (st.st_mode & 077)
        rc = err_set(err, ERR_FORBIDDEN, "the node key %s can be read by others: chmod 600 it", path);
    else if (st.st_size != NODE_KEY_SIZE || read(fd, out, NODE_KEY_SIZE) != NODE_KEY_SIZE)
        rc = err_set(err, ERR_CORRUPT, "the node key %s is damaged", path);
    close(fd);
    if (rc)
        return rc;
    memcpy(seed, out, sizeof(seed));
    crypto_sign_seed_keypair(public_key, secret, seed);
    if (memcmp(secret, out, NODE_KEY_SIZE) != 0)
        rc = err_set(err, ERR_CORRUPT, "the node key %s is damaged", path);
    sodium_memzero(secret, sizeof(secret));
    sodium_memzero(seed, sizeof(seed));
    return rc;
}

int node_key_make(uint8_t out[NODE_KEY_SIZE], const char *path, struct err *err)
{
    uint8_t public_key[crypto_sign_PUBLICKEYBYTES];
    crypto_sign_keypair(public_key, out);
    return node_key_save(out, path, err);
}

int node_key_save(const uint8_t key[NODE_KEY_SIZE], const char *path, struct err *err)
{
    char temporary[4096];
    snprintf(temporary, sizeof(temporary), "%s.tmp", path);
    unlink(temporary);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set_errno(err, "cannot make the node key %s", path);
    int rc = 0;
    if (write(fd, key, NODE_KEY_SIZE) != NODE_KEY_SIZE || fsync(fd) < 0 || link(temporary, path) < 0)
        rc = err_set_errno(err, "cannot make the node key %s", path);
    close(fd);
    unlink(temporary);
    return rc ? rc : dir_sync_parent(path, err);
}
