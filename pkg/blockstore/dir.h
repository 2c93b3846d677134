/* Directories whose entries are durable. */
#ifndef KATENA_BLOCKSTORE_DIR_H
#define KATENA_BLOCKSTORE_DIR_H

#include "base/err.h"

/* Makes a directory (mode 0700) unless it is there; when made, it outlives a power failure. */
int dir_make(const char *path, struct err *err);

/* Makes the entry of a file or directory in its parent durable. */
int dir_sync_parent(const char *path, struct err *err);

#endif
