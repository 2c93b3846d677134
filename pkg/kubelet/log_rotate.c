/*
 * Keeping logs in bounds: a log over 10 MiB gets its time appended to its name, the runtime opens a new one,
 * and of one container's logs the newest five stay.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "kubelet/kubelet_internal.h"

#include <dirent.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHECK_US (10 * INT64_C(1000000))
#define LOG_SIZE_MAX (10 * 1024 * 1024)
#define LOG_FILES_MAX 5

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* Removes the oldest rotated files; their names order by time. */
static void remove_old(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *dir mem_auto = mem_strndup(path, (size_t)(slash - path));
    struct dirent **entries = NULL;
    int count = scandir(dir, &entries, NULL, by_name), rotated = 0;
    char *prefix mem_auto = mem_printf("%s.", slash + 1);
    for (int pass = 0; pass < 2; pass++) {
        int keep_from = rotated - (LOG_FILES_MAX - 1), seen = 0;
        for (int i = 0; i < count; i++) {
            const char *name = entries[i]->d_name;
            if (strncmp(name, prefix, strlen(prefix)) != 0)
                continue;
            char *old mem_auto = mem_printf("%s/%s", dir, name);
            if (pass == 0)
                rotated++;
            else if (seen++ < keep_from)
                unlink(old);
        }
    }
    for (int i = 0; i < count; i++)
        free(entries[i]);
    free(entries);
}

static void rotate(struct kubelet *k, const char *path, const char *id)
{
    struct stat st;
    struct err err;
    if (stat(path, &st) != 0 || st.st_size < LOG_SIZE_MAX)
        return;
    char *old mem_auto = mem_printf("%s.%lld", path, (long long)(clock_wall_us() / 1000));
    if (rename(path, old) != 0)
        return;
    if (k->rt->ops->reopen_log(k->rt, id, &err)) {
        log_warn("kubelet", "reopen the log of container %s: %s", id, err.message);
        rename(old, path);
        return;
    }
    remove_old(path);
}

struct running_log {
    char *path;
    char *id;
};

static size_t list_running(struct kubelet *k, struct running_log **out)
{
    size_t count = 0;
    *out = NULL;
    pthread_mutex_lock(&k->lock);
    for (struct kubelet_pod *pod = k->pods; pod; pod = pod->next) {
        char *dir mem_auto = kubelet_pod_log_dir(pod);
        pthread_mutex_lock(&pod->lock);
        for (size_t i = 0; i < pod->container_count; i++) {
            const struct kubelet_container *c = &pod->containers[i];
            if (!c->now.id || c->now.state != POD_STATE_RUNNING)
                continue;
            *out = mem_reallocarray(*out, count + 1, sizeof(**out));
            (*out)[count++] = (struct running_log){mem_printf("%s/%s/%u.log", dir, c->name, c->now.attempt),
                                                   mem_strdup(c->now.id)};
        }
        pthread_mutex_unlock(&pod->lock);
    }
    pthread_mutex_unlock(&k->lock);
    return count;
}

int64_t kubelet_rotate_logs(struct task *task)
{
    struct kubelet *k = (struct kubelet *)((char *)task - offsetof(struct kubelet, rotate_task));
    struct running_log *logs;
    size_t count = list_running(k, &logs);
    for (size_t i = 0; i < count; i++) {
        rotate(k, logs[i].path, logs[i].id);
        free(logs[i].path);
        free(logs[i].id);
    }
    free(logs);
    return clock_mono_us() + CHECK_US;
}
