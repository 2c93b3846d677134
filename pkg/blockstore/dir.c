/* See dir.h. */
#include "blockstore/dir.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int dir_sync_parent(const char *path, struct err *err)
{
    mem_auto char *parent = mem_strdup(path);
    size_t len = strlen(parent);
    while (len > 1 && parent[len - 1] == '/')
        parent[--len] = '\0';
    char *slash = strrchr(parent, '/');
    if (slash)
        *slash = '\0';
    const char *name = !slash ? "." : *parent ? parent : "/";
    int fd = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = 0;
    if (fd < 0 || fsync(fd) < 0)
        rc = err_set_errno(err, "cannot make an entry of %s durable", name);
    if (fd >= 0)
        close(fd);
    return rc;
}

int dir_make(const char *path, struct err *err)
{
    if (mkdir(path, 0700) == 0)
        return dir_sync_parent(path, err);
    return errno == EEXIST ? 0 : err_set_errno(err, "cannot make %s", path);
}
