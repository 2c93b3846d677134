/*
 * A set of files that is replaced as a whole, as Kubernetes lays it out: the files lie in a hidden directory
 * named by time, "..data" links to that directory, and each name links to "..data/name".
 */
#ifndef KATENA_KUBELET_VOLUME_PAYLOAD_H
#define KATENA_KUBELET_VOLUME_PAYLOAD_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct payload_file {
    char *path; /* relative; may have directories; owned */
    char *data; /* owned */
    size_t len;
    unsigned mode;
    int64_t user; /* -1: as is */
};

struct payload {
    struct payload_file *files;
    size_t count;
    int64_t group; /* fsGroup; -1: none */
};

/* Takes a copy of data. */
void payload_add(struct payload *payload, const char *path, const void *data, size_t len, unsigned mode,
                 int64_t user);
void payload_free(struct payload *payload);

/* False for a path that is absolute or leaves the volume. */
bool payload_path_valid(const char *path);

/* Makes dir show exactly the payload; does nothing when it does so already. */
int payload_write(const char *dir, const struct payload *payload, struct err *err);

#endif
