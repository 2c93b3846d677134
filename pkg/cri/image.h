/*
 * Container images made from nothing: a docker-archive tar with one layer, as `docker save` writes it and
 * every runtime imports it. The node makes its sandbox image so, since there may be no registry.
 */
#ifndef KATENA_CRI_IMAGE_H
#define KATENA_CRI_IMAGE_H

#include "base/buf.h"
#include "base/err.h"

#include <stddef.h>

struct image_file {
    const char *path; /* relative: "bin/busybox"; directories are made */
    unsigned mode;
    const void *data; /* a symbolic link's target (with its length) when link is set */
    size_t len;
    int link;
};

struct image {
    const char *name; /* "katena.local/pause:1" */
    const struct image_file *files;
    size_t file_count;
    const char *const *entrypoint; /* NULL-terminated; NULL: none */
    const char *const *command;
    const char *const *env; /* "NAME=value" */
};

/* Appends the archive. The same image gives the same bytes. */
void image_archive(struct buf *out, const struct image *image);

/* The archive of the sandbox image. */
void image_pause_archive(struct buf *out, const char *name);

#endif
