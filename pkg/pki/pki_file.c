/* Small secret files: whole reads, atomic and durable writes. */
#include "pki/pki_internal.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX (1 << 20)

int pki_file_read(const char *dir, const char *name, struct buf *out, struct err *err)
{
    buf_clear(out);
    mem_auto char *path = mem_printf("%s/%s", dir, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno == ENOENT)
        return err_set(err, ERR_NOT_FOUND, "no file %s", path);
    if (fd < 0)
        return err_set_errno(err, "open %s", path);
    int code = 0;
    for (;;) {
        buf_reserve(out, 4096);
        ssize_t n = read(fd, out->data + out->len, 4096);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            code = err_set_errno(err, "read %s", path);
        if (n <= 0)
            break;
        out->len += (size_t)n;
        out->data[out->len] = '\0';
        if (out->len > FILE_MAX) {
            code = err_set(err, ERR_CORRUPT, "%s is larger than any file of this kind", path);
            break;
        }
    }
    close(fd);
    return code;
}

static int write_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, bytes, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        bytes += n;
        len -= (size_t)n;
    }
    return 0;
}

static int directory_sync(const char *dir, struct err *err)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_set_errno(err, "open %s", dir);
    int rc = fsync(fd);
    int saved = errno;
    close(fd);
    errno = saved;
    return rc ? err_set_errno(err, "sync %s", dir) : 0;
}

int pki_file_write(const char *dir, const char *name, const void *bytes, size_t len, struct err *err)
{
    mem_auto char *path = mem_printf("%s/%s", dir, name);
    mem_auto char *temporary = mem_printf("%s/.%s.XXXXXX", dir, name);
    int fd = mkostemp(temporary, O_CLOEXEC); /* mode 0600 */
    if (fd < 0)
        return err_set_errno(err, "create a file in %s", dir);
    if (fchmod(fd, 0600) != 0 || write_all(fd, bytes, len) != 0 || fdatasync(fd) != 0) {
        err_set_errno(err, "write %s", temporary);
        close(fd);
        unlink(temporary);
        return ERR_IO;
    }
    close(fd);
    if (rename(temporary, path) != 0) {
        err_set_errno(err, "rename to %s", path);
        unlink(temporary);
        return ERR_IO;
    }
    return directory_sync(dir, err);
}
