/* Directories whose entries are durable. */
#ifndef KATENA_BLOCKSTORE_DIR_H
#define KATENA_BLOCKSTORE_DIR_H

#include "base/err.h"

#include <stddef.h>

/* Makes a directory (mode 0700) unless it is there; when made, it outlives a power failure. */
int dir_make(const char *path, struct err *err);

/* Makes a directory DIR.WORD-N beside DIR, with the lowest N that is free; its name goes to path. */
int dir_make_beside(const char *dir, const char *word, char *path, size_t path_size, struct err *err);

/* Puts each of two directories in the other's place, in one step, durably. */
int dir_exchange(const char *a, const char *b, struct err *err);

/* Makes the entry of a file or directory in its parent durable. */
int dir_sync_parent(const char *path, struct err *err);

/* Takes the lock of a directory, for as long as *lock_fd is open. ERR_CONFLICT names the process that has it.
 */
int dir_lock(int dir_fd, const char *path, int *lock_fd, struct err *err);

/* Removes a directory of files and directories, and all that is in it; there need not be one. */
int dir_remove(int parent_fd, const char *name, struct err *err);

#endif
