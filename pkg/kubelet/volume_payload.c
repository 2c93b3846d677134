/* See volume_payload.h. */
#include "kubelet/volume_payload.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "kubelet/volume.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void payload_add(struct payload *payload, const char *path, const void *data, size_t len, unsigned mode,
                 int64_t user)
{
    payload->files = mem_reallocarray(payload->files, payload->count + 1, sizeof(*payload->files));
    payload->files[payload->count++] =
        (struct payload_file){mem_strdup(path), mem_dup(data, len ? len : 1), len, mode, user};
}

void payload_free(struct payload *payload)
{
    for (size_t i = 0; i < payload->count; i++) {
        free(payload->files[i].path);
        free(payload->files[i].data);
    }
    free(payload->files);
    payload->files = NULL;
    payload->count = 0;
}

bool payload_path_valid(const char *path)
{
    if (*path == '/' || *path == '\0')
        return false;
    for (const char *part = path; part; part = strchr(part, '/')) {
        part += *part == '/';
        if (strncmp(part, "..", 2) == 0 && (part[2] == '/' || part[2] == '\0' || part == path))
            return false;
    }
    return true;
}

static bool same_file(const char *path, const struct payload_file *file)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return false;
    bool same =
        fstat(fd, &st) == 0 && (size_t)st.st_size == file->len && (st.st_mode & 0777) == (file->mode & 0777);
    char *data mem_auto = mem_alloc(file->len + 1);
    same =
        same && read(fd, data, file->len) == (ssize_t)file->len && memcmp(data, file->data, file->len) == 0;
    close(fd);
    return same;
}

static size_t count_files(const char *dir)
{
    size_t count = 0;
    DIR *d = opendir(dir);
    for (struct dirent *entry; d && (entry = readdir(d));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        char *path mem_auto = mem_printf("%s/%s", dir, entry->d_name);
        count += entry->d_type == DT_DIR ? count_files(path) : 1;
    }
    if (d)
        closedir(d);
    return count;
}

static bool same_payload(const char *dir, const struct payload *payload)
{
    char *data mem_auto = mem_printf("%s/..data", dir);
    if (access(data, F_OK) != 0)
        return false;
    for (size_t i = 0; i < payload->count; i++) {
        char *path mem_auto = mem_printf("%s/%s", data, payload->files[i].path);
        if (!same_file(path, &payload->files[i]))
            return false;
    }
    char *real mem_auto = realpath(data, NULL);
    return real && count_files(real) == payload->count;
}

static int write_file(const char *dir, const struct payload_file *file, int64_t group, struct err *err)
{
    char *path mem_auto = mem_printf("%s/%s", dir, file->path);
    char *parent mem_auto = mem_strndup(path, (size_t)(strrchr(path, '/') - path));
    int rc = volume_make_dirs(parent, 0755, err);
    if (rc)
        return rc;
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_set_errno(err, "create %s", path);
    bool ok = write(fd, file->data, file->len) == (ssize_t)file->len && fchmod(fd, file->mode & 0777) == 0;
    if (ok && (group >= 0 || file->user >= 0))
        ok = fchown(fd, file->user >= 0 ? (uid_t)file->user : (uid_t)-1,
                    group >= 0 ? (gid_t)group : (gid_t)-1) == 0;
    rc = ok ? 0 : err_set_errno(err, "write %s", path);
    close(fd);
    return rc;
}

static void remove_tree(const char *path)
{
    DIR *d = opendir(path);
    for (struct dirent *entry; d && (entry = readdir(d));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        char *child mem_auto = mem_printf("%s/%s", path, entry->d_name);
        if (entry->d_type == DT_DIR)
            remove_tree(child);
        else
            unlink(child);
    }
    if (d)
        closedir(d);
    rmdir(path);
}

/* Links each first part of a name to "..data/part", and removes links of names that are gone. */
static int link_names(const char *dir, const struct payload *payload, struct err *err)
{
    for (size_t i = 0; i < payload->count; i++) {
        char *name mem_auto = mem_strndup(payload->files[i].path, strcspn(payload->files[i].path, "/"));
        char *path mem_auto = mem_printf("%s/%s", dir, name);
        char *target mem_auto = mem_printf("..data/%s", name);
        if (symlink(target, path) != 0 && errno != EEXIST)
            return err_set_errno(err, "link %s", path);
    }
    DIR *d = opendir(dir);
    for (struct dirent *entry; d && (entry = readdir(d));) {
        char *path mem_auto = mem_printf("%s/%s", dir, entry->d_name);
        if (strncmp(entry->d_name, "..", 2) != 0 && entry->d_type == DT_LNK && access(path, F_OK) != 0)
            unlink(path);
    }
    if (d)
        closedir(d);
    return 0;
}

int payload_write(const char *dir, const struct payload *payload, struct err *err)
{
    if (same_payload(dir, payload))
        return 0;
    char old[512] = "";
    char *data mem_auto = mem_printf("%s/..data", dir);
    char *next mem_auto = mem_printf("%s/..data_tmp", dir);
    char *name mem_auto = mem_printf("..%lld", (long long)clock_wall_us());
    char *version mem_auto = mem_printf("%s/%s", dir, name);
    ssize_t old_len = readlink(data, old, sizeof(old) - 1);
    old[old_len > 0 ? old_len : 0] = '\0';
    int rc = volume_make_dirs(version, 0755, err);
    for (size_t i = 0; rc == 0 && i < payload->count; i++)
        rc = write_file(version, &payload->files[i], payload->group, err);
    if (rc) {
        remove_tree(version);
        return rc;
    }
    unlink(next);
    if (symlink(name, next) != 0 || rename(next, data) != 0)
        return err_set_errno(err, "switch %s", data);
    if (*old && strcmp(old, name) != 0) {
        char *gone mem_auto = mem_printf("%s/%s", dir, old);
        remove_tree(gone);
    }
    return link_names(dir, payload, err);
}
