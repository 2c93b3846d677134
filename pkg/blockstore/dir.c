/* See dir.h. */
#include "blockstore/dir.h"

#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define BESIDE_MAX 10000

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

int dir_make_beside(const char *dir, const char *word, char *path, size_t path_size, struct err *err)
{
    size_t len = strlen(dir);
    while (len > 1 && dir[len - 1] == '/')
        len--;
    for (int n = 1; n < BESIDE_MAX; n++) {
        if (snprintf(path, path_size, "%.*s.%s-%d", (int)len, dir, word, n) >= (int)path_size)
            return err_set(err, ERR_INVALID, "the path of %s is too long", dir);
        if (mkdir(path, 0700) == 0)
            return dir_sync_parent(path, err);
        if (errno != EEXIST)
            return err_set_errno(err, "cannot make %s", path);
    }
    return err_set(err, ERR_EXISTS, "there are too many directories like %s", path);
}

int dir_exchange(const char *a, const char *b, struct err *err)
{
    if (renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE) == 0)
        return dir_sync_parent(a, err);
    return err_set_errno(err, "cannot exchange %s and %s", a, b);
}

int dir_lock(int dir_fd, const char *path, int *lock_fd, struct err *err)
{
    *lock_fd = openat(dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (*lock_fd < 0)
        return err_set_errno(err, "cannot open %s/lock", path);
    char pid[24] = "";
    if (flock(*lock_fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK)
            return err_set_errno(err, "cannot lock %s", path);
        ssize_t n = pread(*lock_fd, pid, sizeof(pid) - 1, 0);
        pid[n > 0 ? n : 0] = '\0';
        pid[strcspn(pid, "\n")] = '\0';
        return err_set(err, ERR_CONFLICT,
                       "%s is in use by another katena (process %s): stop it, or choose another --data-dir",
                       path, *pid ? pid : "unknown");
    }
    int n = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
    if (ftruncate(*lock_fd, 0) < 0 || pwrite(*lock_fd, pid, (size_t)n, 0) != n)
        return err_set_errno(err, "cannot write %s/lock", path);
    return 0;
}

int dir_remove(int parent_fd, const char *name, struct err *err)
{
    int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : err_set_errno(err, "cannot open %s", name);
    DIR *dir = fdopendir(fd);
    int rc = 0;
    for (struct dirent *entry; dir && !rc && (entry = readdir(dir));) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        if (unlinkat(fd, entry->d_name, 0) == 0 || errno == ENOENT)
            continue;
        rc = errno == EISDIR || errno == EPERM ? dir_remove(fd, entry->d_name, err)
                                               : err_set_errno(err, "cannot remove %s", entry->d_name);
    }
    if (dir)
        closedir(dir);
    if (!rc && unlinkat(parent_fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
        rc = err_set_errno(err, "cannot remove %s", name);
    return rc;
}
