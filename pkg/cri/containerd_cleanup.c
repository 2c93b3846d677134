/* Removing from the host what the pods of a node left there. */
#include "cri/containerd_internal.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "cri/runtime.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <linux/sockios.h>
#include <unistd.h>

static void remove_pods(struct cri_runtime *rt)
{
    struct err err;
    Cri__ListPodSandboxResponse *list = NULL;
    if (rt->ops->list_sandboxes(rt, &list, &err))
        return;
    for (size_t i = 0; i < list->n_items; i++) {
        const char *id = list->items[i]->id;
        if (rt->ops->stop_sandbox(rt, id, &err) || rt->ops->remove_sandbox(rt, id, &err))
            log_warn("containerd", "cannot remove pod %s: %s", list->items[i]->metadata->name, err.message);
    }
    cri_free(list);
}

/* Whether the words of a process name our socket right after "-address", as a shim's do. */
static bool is_shim_of(const char *command, size_t len, const char *socket)
{
    const char *end = command + len;
    if (!strstr(command, "containerd-shim"))
        return false;
    for (const char *word = command; word < end; word += strlen(word) + 1)
        if (strcmp(word, "-address") == 0 && word + 9 < end && strcmp(word + 9, socket) == 0)
            return true;
    return false;
}

static bool process_is_shim(const char *pid, const char *socket)
{
    char path[300], command[4096];
    snprintf(path, sizeof(path), "/proc/%s/cmdline", pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    size_t len = fread(command, 1, sizeof(command) - 1, file);
    fclose(file);
    command[len] = '\0';
    return is_shim_of(command, len, socket);
}

static void kill_shims(const char *socket)
{
    DIR *proc = opendir("/proc");
    if (!proc)
        return;
    for (struct dirent *entry; (entry = readdir(proc));)
        if (isdigit((unsigned char)entry->d_name[0]) && process_is_shim(entry->d_name, socket))
            containerd__end_process((pid_t)strtol(entry->d_name, NULL, 10), 2000);
    closedir(proc);
}

/* Unmounts all below dir, the newest mounts first. */
static void unmount_below(const char *dir)
{
    char *text mem_auto = containerd__read_file("/proc/self/mountinfo");
    size_t prefix = strlen(dir);
    char **points = NULL;
    size_t count = 0;
    char *rest = NULL;
    for (char *line = text ? strtok_r(text, "\n", &rest) : NULL; line; line = strtok_r(NULL, "\n", &rest)) {
        char point[4096];
        if (sscanf(line, "%*s %*s %*s %*s %4095s", point) != 1)
            continue;
        if (strncmp(point, dir, prefix) != 0 || point[prefix] != '/')
            continue;
        points = mem_reallocarray(points, count + 1, sizeof(*points));
        points[count++] = mem_strdup(point);
    }
    while (count > 0) {
        umount2(points[--count], MNT_DETACH);
        free(points[count]);
    }
    free(points);
}

void containerd__remove_bridge(const char *name)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq request = {0};
    if (fd < 0 || strlen(name) >= sizeof(request.ifr_name)) {
        if (fd >= 0)
            close(fd);
        return;
    }
    snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
    if (ioctl(fd, SIOCGIFFLAGS, &request) == 0) {
        request.ifr_flags &= ~IFF_UP;
        ioctl(fd, SIOCSIFFLAGS, &request);
        if (ioctl(fd, SIOCBRDELBR, name) != 0)
            log_warn("containerd", "cannot remove the bridge %s", name);
    }
    close(fd);
}

static void remove_tree(const char *path)
{
    const char *const argv[] = {"rm", "-rf", "--one-file-system", path, NULL};
    containerd__run(argv, NULL);
}

/* A containerd to talk to: the running one, or one started for the cleanup. */
static pid_t ensure_running(const struct containerd__paths *paths)
{
    pid_t pid = containerd__running_pid(paths);
    struct err err;
    if (!pid && containerd__spawn(paths, &pid, &err))
        return 0;
    struct cri_runtime *rt = cri_connect(paths->socket);
    int64_t deadline = clock_mono_us() + 15 * INT64_C(1000000);
    for (int rc = -1; rc && clock_mono_us() < deadline;) {
        Cri__VersionResponse *version = NULL;
        rc = rt->ops->version(rt, &version, &err);
        cri_free(version);
        if (rc)
            poll(NULL, 0, 20);
        else
            remove_pods(rt);
    }
    cri_disconnect(rt);
    return pid;
}

int containerd_stop_all(const char *data_dir, struct err *err)
{
    (void)err;
    struct containerd__paths paths;
    containerd__paths_init(&paths, data_dir);
    if (access(paths.config, F_OK) == 0) {
        pid_t pid = ensure_running(&paths);
        if (pid)
            containerd__end_process(pid, 10000);
        kill_shims(paths.socket);
        unlink(paths.pid);
    }
    unmount_below(data_dir);
    char *bridge mem_auto = containerd__read_file(paths.bridge);
    if (bridge)
        containerd__remove_bridge(bridge);
    char *state mem_auto = mem_printf("%s/state", paths.dir);
    char *networks mem_auto = mem_printf("%s/cni/networks", data_dir);
    remove_tree(state);
    remove_tree(networks);
    if (paths.run)
        remove_tree(paths.run);
    containerd__paths_free(&paths);
    return 0;
}
