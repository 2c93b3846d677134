/* A directory for one test, gone with all that is in it when the test ends. */
#ifndef KATENA_TEST_SCRATCH_H
#define KATENA_TEST_SCRATCH_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct scratch {
    char path[64];
};

static inline int scratch_remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static inline void scratch_make(struct scratch *scratch)
{
    snprintf(scratch->path, sizeof(scratch->path), "/tmp/katena-test-XXXXXX");
    if (!mkdtemp(scratch->path))
        abort();
}

/* The same in memory where the host has such a file system: for tests that open and sync thousands of times.
 */
static inline void scratch_make_in_memory(struct scratch *scratch)
{
    snprintf(scratch->path, sizeof(scratch->path), "/dev/shm/katena-test-XXXXXX");
    if (!mkdtemp(scratch->path))
        scratch_make(scratch);
}

static inline void scratch_remove(struct scratch *scratch)
{
    nftw(scratch->path, scratch_remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* path/name, in one of a few static buffers. */
static inline const char *scratch_file(const struct scratch *scratch, const char *name)
{
    static char paths[8][256];
    static unsigned turn;
    char *path = paths[turn++ % 8];
    snprintf(path, sizeof(paths[0]), "%s/%s", scratch->path, name);
    return path;
}

#endif
