/* See volume.h. */
#include "kubelet/volume.h"

#include "base/buf.h"
#include "base/mem.h"
#include "client/kube.h"
#include "codec/json.h"
#include "kubelet/volume_source.h"
#include "object/quantity.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <linux/magic.h>
#include <unistd.h>

enum volume_kind { EMPTY_DIR, CONFIG_MAP, SECRET, PROJECTED, DOWNWARD, HOST_PATH, UNKNOWN };

static const struct {
    const char *member;
    const char *directory; /* as Kubernetes names them */
} kinds[] = {
    [EMPTY_DIR] = {"emptyDir", "kubernetes.io~empty-dir"},
    [CONFIG_MAP] = {"configMap", "kubernetes.io~configmap"},
    [SECRET] = {"secret", "kubernetes.io~secret"},
    [PROJECTED] = {"projected", "kubernetes.io~projected"},
    [DOWNWARD] = {"downwardAPI", "kubernetes.io~downward-api"},
    [HOST_PATH] = {"hostPath", NULL},
};

static enum volume_kind kind_of(const json_t *volume)
{
    for (int kind = 0; kind < UNKNOWN; kind++)
        if (json_object_get(volume, kinds[kind].member))
            return (enum volume_kind)kind;
    return UNKNOWN;
}

int volume_make_dirs(const char *path, unsigned mode, struct err *err)
{
    char *copy mem_auto = mem_strdup(path);
    for (char *p = copy + 1;; p++) {
        if (*p != '/' && *p != '\0')
            continue;
        char c = *p;
        *p = '\0';
        if (mkdir(copy, c ? 0755 : mode) == 0) {
            if (c == '\0' && chmod(copy, mode) != 0)
                return err_set_errno(err, "chmod %s", copy);
        } else if (errno != EEXIST) {
            return err_set_errno(err, "mkdir %s", copy);
        }
        *p = c;
        if (c == '\0')
            return 0;
    }
}

static bool is_tmpfs(const char *path)
{
    struct statfs fs;
    return statfs(path, &fs) == 0 && fs.f_type == TMPFS_MAGIC;
}

static int mount_tmpfs(const char *path, const char *options, struct err *err)
{
    if (is_tmpfs(path))
        return 0;
    if (mount("tmpfs", path, "tmpfs", 0, options) != 0)
        return err_set_errno(err, "mount tmpfs at %s", path);
    return 0;
}

static char *volume_path(const char *pod_dir, enum volume_kind kind, const json_t *volume)
{
    if (kind == HOST_PATH)
        return mem_strdup(json_str_or_empty(volume, "hostPath", "path"));
    return mem_printf("%s/volumes/%s/%s", pod_dir, kinds[kind].directory, json_str_or_empty(volume, "name"));
}

static int64_t fs_group(const json_t *pod)
{
    return json_int_or(-1, pod, "spec", "securityContext", "fsGroup");
}

static int setup_empty_dir(const struct volume_context *context, const json_t *volume, const char *path,
                           struct err *err)
{
    int64_t group = fs_group(context->fields->pod), limit = 0;
    int rc = volume_make_dirs(path, 0777, err);
    if (rc == 0 && strcmp(json_str_or_empty(volume, "emptyDir", "medium"), "Memory") == 0) {
        char options[64] = "mode=0777";
        const char *size = json_str(volume, "emptyDir", "sizeLimit");
        if (size && quantity_value(size, &limit) && limit > 0)
            snprintf(options, sizeof(options), "mode=0777,size=%lld", (long long)limit);
        rc = mount_tmpfs(path, options, err);
    }
    if (rc == 0 && group >= 0 && (chown(path, (uid_t)-1, (gid_t)group) != 0 || chmod(path, 02777) != 0))
        rc = err_set_errno(err, "set the group of %s", path);
    return rc;
}

/* Secrets, tokens and what is mixed with them stay in memory. */
static int setup_payload(const struct volume_context *context, enum volume_kind kind, const json_t *volume,
                         const char *path, struct err *err)
{
    struct payload payload = {.group = fs_group(context->fields->pod)};
    int rc = volume_make_dirs(path, 0755, err);
    if (rc == 0 && (kind == SECRET || kind == PROJECTED))
        rc = mount_tmpfs(path, "mode=0755,size=16m", err);
    if (rc == 0 && kind == PROJECTED) {
        char *tokens mem_auto = mem_printf("%s/tokens", context->pod_dir);
        rc = volume_make_dirs(tokens, 0700, err);
        if (rc == 0)
            rc = mount_tmpfs(tokens, "mode=0700,size=1m", err);
    }
    if (rc == 0)
        rc = volume_source_add(&payload, context, kinds[kind].member,
                               json_object_get(volume, kinds[kind].member), 0644, err);
    if (rc == 0)
        rc = payload_write(path, &payload, err);
    payload_free(&payload);
    return rc;
}

static int setup_host_path(const json_t *volume, const char *path, struct err *err)
{
    const char *type = json_str_or_empty(volume, "hostPath", "type");
    struct stat st;
    if (strcmp(type, "DirectoryOrCreate") == 0)
        return volume_make_dirs(path, 0755, err);
    if (strcmp(type, "FileOrCreate") == 0) {
        int fd = open(path, O_RDONLY | O_CREAT | O_CLOEXEC, 0644);
        if (fd < 0)
            return err_set_errno(err, "create %s", path);
        close(fd);
        return 0;
    }
    if (*type == '\0')
        return 0; /* the runtime makes a directory when there is nothing */
    bool there = stat(path, &st) == 0;
    bool fits = there && ((strcmp(type, "Directory") == 0 && S_ISDIR(st.st_mode)) ||
                          (strcmp(type, "File") == 0 && S_ISREG(st.st_mode)) ||
                          (strcmp(type, "Socket") == 0 && S_ISSOCK(st.st_mode)) ||
                          (strcmp(type, "CharDevice") == 0 && S_ISCHR(st.st_mode)) ||
                          (strcmp(type, "BlockDevice") == 0 && S_ISBLK(st.st_mode)));
    return fits ? 0
                : err_set(err, ERR_INVALID, "hostPath type check failed: %s is not a %s", path,
                          strcmp(type, "CharDevice") == 0    ? "character device"
                          : strcmp(type, "BlockDevice") == 0 ? "block device"
                          : strcmp(type, "Directory") == 0   ? "directory"
                          : strcmp(type, "Socket") == 0      ? "socket file"
                                                             : "file");
}

static int setup_one(const struct volume_context *context, const json_t *volume, struct err *err)
{
    enum volume_kind kind = kind_of(volume);
    if (kind == UNKNOWN)
        return err_set(err, ERR_INVALID, "this kind of volume is not supported");
    char *path mem_auto = volume_path(context->pod_dir, kind, volume);
    if (kind == EMPTY_DIR)
        return setup_empty_dir(context, volume, path, err);
    if (kind == HOST_PATH)
        return setup_host_path(volume, path, err);
    return setup_payload(context, kind, volume, path, err);
}

int volume_setup_all(const struct volume_context *context, const char **failed, struct err *err)
{
    size_t i;
    json_t *volume;
    *context->due_us = 0;
    json_array_foreach(json_at(context->fields->pod, "spec", "volumes"), i, volume)
    {
        *failed = json_str_or_empty(volume, "name");
        int rc = setup_one(context, volume, err);
        if (rc)
            return rc;
    }
    return 0;
}

static void unmount_below(const char *dir)
{
    FILE *mounts = fopen("/proc/self/mountinfo", "re");
    size_t prefix = strlen(dir);
    char **points = NULL;
    size_t count = 0;
    char *line mem_auto = NULL;
    size_t cap = 0;
    while (mounts && getline(&line, &cap, mounts) >= 0) {
        char point[PATH_MAX];
        if (sscanf(line, "%*s %*s %*s %*s %4095s", point) == 1 && strncmp(point, dir, prefix) == 0 &&
            point[prefix] == '/') {
            points = mem_reallocarray(points, count + 1, sizeof(*points));
            points[count++] = mem_strdup(point);
        }
    }
    if (mounts)
        fclose(mounts);
    while (count > 0) {
        umount2(points[--count], MNT_DETACH | UMOUNT_NOFOLLOW);
        free(points[count]);
    }
    free(points);
}

/* Removes a tree without leaving its file system, whatever a container put there. */
static int remove_tree(int parent, const char *name, dev_t device)
{
    struct stat st;
    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
        return 0;
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -1;
    if (fstat(fd, &st) != 0 || st.st_dev != device) {
        close(fd);
        errno = EBUSY;
        return -1;
    }
    DIR *dir = fdopendir(fd);
    int rc = 0;
    for (struct dirent *entry; rc == 0 && (entry = readdir(dir));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            rc = remove_tree(fd, entry->d_name, device);
    closedir(dir);
    return rc ? rc : unlinkat(parent, name, AT_REMOVEDIR);
}

int volume_teardown_all(const char *pod_dir, struct err *err)
{
    struct stat st;
    unmount_below(pod_dir);
    if (lstat(pod_dir, &st) != 0)
        return 0;
    if (remove_tree(AT_FDCWD, pod_dir, st.st_dev) != 0)
        return err_set_errno(err, "remove %s", pod_dir);
    return 0;
}

static const json_t *volume_named(const json_t *pod, const char *name)
{
    size_t i;
    json_t *volume;
    json_array_foreach(json_at(pod, "spec", "volumes"), i, volume)
    {
        if (strcmp(json_str_or_empty(volume, "name"), name) == 0)
            return volume;
    }
    return NULL;
}

/* A path inside a volume: made when missing, and never outside by way of a link. *out is the caller's. */
static int resolve_sub_path(char **out, const char *root, const char *sub, struct err *err)
{
    if (!payload_path_valid(sub))
        return err_set(err, ERR_INVALID, "invalid subPath \"%s\"", sub);
    char *path mem_auto = mem_printf("%s/%s", root, sub);
    if (access(path, F_OK) != 0) {
        int rc = volume_make_dirs(path, 0777, err);
        if (rc)
            return rc;
    }
    char *real_root mem_auto = realpath(root, NULL);
    char *real mem_auto = realpath(path, NULL);
    size_t len = real_root ? strlen(real_root) : 0;
    if (!real || !real_root || strncmp(real, real_root, len) != 0 || (real[len] != '/' && real[len] != '\0'))
        return err_set(err, ERR_INVALID, "subPath \"%s\" leads out of the volume", sub);
    *out = mem_strdup(real);
    return 0;
}

static int add_mount(struct pod_mounts *mounts, const json_t *pod, const json_t *mount, const char *pod_dir,
                     const json_t *env, struct err *err)
{
    const char *name = json_str_or_empty(mount, "name");
    const json_t *volume = volume_named(pod, name);
    enum volume_kind kind = volume ? kind_of(volume) : UNKNOWN;
    if (kind == UNKNOWN)
        return err_set(err, ERR_INVALID, "volume \"%s\" is not there", name);
    char *path = volume_path(pod_dir, kind, volume);
    struct buf sub buf_auto = BUF_INIT;
    if (json_str(mount, "subPathExpr"))
        fields_expand(&sub, json_str(mount, "subPathExpr"), env);
    else
        buf_puts(&sub, json_str_or_empty(mount, "subPath"));
    if (sub.len > 0) {
        char *inner = NULL;
        int rc = resolve_sub_path(&inner, path, sub.data, err);
        free(path);
        if (rc)
            return rc;
        path = inner;
    }
    bool read_only = json_bool_at(mount, "readOnly") || (kind != EMPTY_DIR && kind != HOST_PATH);
    pod_mounts_add(mounts, path, json_str_or_empty(mount, "mountPath"), read_only);
    const char *propagation = json_str_or_empty(mount, "mountPropagation");
    if (strcmp(propagation, "HostToContainer") == 0)
        mounts->items[mounts->count - 1].propagation = CRI__MOUNT_PROPAGATION__PROPAGATION_HOST_TO_CONTAINER;
    else if (strcmp(propagation, "Bidirectional") == 0)
        mounts->items[mounts->count - 1].propagation = CRI__MOUNT_PROPAGATION__PROPAGATION_BIDIRECTIONAL;
    free(path);
    return 0;
}

int volume_mounts(struct pod_mounts *mounts, const json_t *pod, const json_t *container, const char *pod_dir,
                  const json_t *env, struct err *err)
{
    size_t i;
    json_t *mount;
    json_array_foreach(json_object_get(container, "volumeMounts"), i, mount)
    {
        int rc = add_mount(mounts, pod, mount, pod_dir, env, err);
        if (rc)
            return rc;
    }
    return 0;
}

static bool source_is(const json_t *holder, bool secret, const char *name)
{
    const json_t *source = json_object_get(holder, secret ? "secret" : "configMap");
    const char *of = source ? json_str(source, secret ? "secretName" : "name") : NULL;
    if (source && !of)
        of = json_str(source, "name");
    return of && strcmp(of, name) == 0;
}

bool volume_uses(const json_t *pod, bool secret, const char *name)
{
    size_t i, j;
    json_t *volume, *part;
    json_array_foreach(json_at(pod, "spec", "volumes"), i, volume)
    {
        if (source_is(volume, secret, name))
            return true;
        json_array_foreach(json_at(volume, "projected", "sources"), j, part)
        {
            if (source_is(part, secret, name))
                return true;
        }
    }
    return false;
}
