/*
 * The supervisor. A thread waits on a pidfd of containerd (a child, or one that an earlier katena started)
 * and starts it again when it ends. Pods are not touched by that: their shims are processes of their own, to
 * which a new containerd connects.
 */
#include "cri/containerd_internal.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "cri/image.h"
#include "cri/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_TIMEOUT_MS 30000
#define RESPAWN_PAUSE_MS 1000

struct containerd {
    struct containerd__paths paths;
    pid_t pid; /* of the supervisor thread once that runs */
    int stop_fd;
    pthread_t thread;
};

static int open_pidfd(pid_t pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

static void sleep_ms(int ms)
{
    poll(NULL, 0, ms);
}

pid_t containerd__running_pid(const struct containerd__paths *paths)
{
    char *text mem_auto = containerd__read_file(paths->pid);
    pid_t pid = text ? (pid_t)strtol(text, NULL, 10) : 0;
    if (pid <= 0)
        return 0;
    char proc[64];
    snprintf(proc, sizeof(proc), "/proc/%d/cmdline", (int)pid);
    char *command mem_auto = containerd__read_file(proc);
    /* containerd\0--config\0<path>: the path is the third of the words. */
    if (!command || !*command)
        return 0;
    const char *flag = command + strlen(command) + 1;
    return strcmp(flag, "--config") == 0 && strcmp(flag + 9, paths->config) == 0 ? pid : 0;
}

/* The part of the start that runs in the child: nothing but system calls. */
static void child_exec(const struct containerd__paths *paths, int log_fd, int null_fd)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    setsid();
    dup2(null_fd, 0);
    dup2(log_fd, 1);
    dup2(log_fd, 2);
    close_range(3, ~0u, 0);
    execlp("containerd", "containerd", "--config", paths->config, "--log-level", "warn", (char *)NULL);
    _exit(127);
}

int containerd__spawn(const struct containerd__paths *paths, pid_t *pid, struct err *err)
{
    int log_fd = open(paths->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (log_fd < 0 || null_fd < 0) {
        int rc = err_set_errno(err, "open %s", paths->log);
        if (log_fd >= 0)
            close(log_fd);
        if (null_fd >= 0)
            close(null_fd);
        return rc;
    }
    *pid = fork();
    if (*pid == 0)
        child_exec(paths, log_fd, null_fd);
    int error = errno;
    close(log_fd);
    close(null_fd);
    if (*pid < 0) {
        errno = error;
        return err_set_errno(err, "fork");
    }
    char text[32];
    snprintf(text, sizeof(text), "%d\n", (int)*pid);
    return containerd__write_file(paths->pid, text, 0644, err);
}

void containerd__end_process(pid_t pid, int grace_ms)
{
    int fd = open_pidfd(pid);
    if (fd < 0)
        return;
    struct pollfd ended = {.fd = fd, .events = POLLIN};
    kill(pid, SIGTERM);
    if (poll(&ended, 1, grace_ms) <= 0) {
        kill(pid, SIGKILL);
        poll(&ended, 1, 5000);
    }
    close(fd);
    waitpid(pid, NULL, WNOHANG);
}

/* Waits until the runtime answers Version and says that it is ready to run pods. */
static int wait_until_ready(const struct containerd__paths *paths, pid_t pid, struct err *err)
{
    int64_t deadline = clock_mono_us() + START_TIMEOUT_MS * INT64_C(1000);
    struct cri_runtime *rt = cri_connect(paths->socket);
    int rc;
    for (int pause_ms = 5;; pause_ms = pause_ms < 100 ? pause_ms * 2 : 100) {
        Cri__VersionResponse *version = NULL;
        rc = rt->ops->version(rt, &version, err);
        cri_free(version);
        if (rc == 0)
            break;
        if (waitpid(pid, NULL, WNOHANG) == pid) {
            rc = err_set(err, ERR_UNAVAILABLE, "containerd ended at its start, see %s", paths->log);
            break;
        }
        if (clock_mono_us() > deadline) {
            err_wrap(err, "containerd does not answer");
            break;
        }
        sleep_ms(pause_ms);
    }
    cri_disconnect(rt);
    return rc;
}

static int image_present(struct cri_runtime *rt, const char *name, bool *present, struct err *err)
{
    Cri__ImageStatusResponse *status = NULL;
    int rc = rt->ops->image_status(rt, name, &status, err);
    *present = rc == 0 && status->image;
    cri_free(status);
    return rc;
}

int containerd_import(const char *endpoint, const char *tar_path, struct err *err)
{
    const char *const argv[] = {"ctr",    "--address", endpoint, "--namespace", "k8s.io",
                                "images", "import",    tar_path, NULL};
    return containerd__run(argv, err);
}

static int write_archive(const char *path, struct err *err)
{
    struct buf archive buf_auto = BUF_INIT;
    image_pause_archive(&archive, CONTAINERD_PAUSE_IMAGE);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set_errno(err, "create %s", path);
    bool ok = write(fd, archive.data, archive.len) == (ssize_t)archive.len;
    int rc = ok ? 0 : err_set_errno(err, "write %s", path);
    close(fd);
    return rc;
}

/* The CRI plugin learns of an imported image by an event, shortly after the import. */
static int ensure_pause_image(const struct containerd__paths *paths, struct err *err)
{
    struct cri_runtime *rt = cri_connect(paths->socket);
    char *tar mem_auto = mem_printf("%s/pause.tar", paths->dir);
    bool present = false;
    int rc = image_present(rt, CONTAINERD_PAUSE_IMAGE, &present, err);
    if (rc == 0 && !present) {
        rc = write_archive(tar, err);
        if (rc == 0)
            rc = containerd_import(paths->socket, tar, err);
        unlink(tar);
        for (int i = 0; rc == 0 && !present; i++) {
            if (i > 0)
                sleep_ms(10);
            rc = image_present(rt, CONTAINERD_PAUSE_IMAGE, &present, err);
            if (rc == 0 && !present && i == 500)
                rc = err_set(err, ERR_TIMEOUT, "the sandbox image does not appear after its import");
        }
    }
    cri_disconnect(rt);
    return rc;
}

/* Waits for the end of containerd or of the supervision; true: containerd ended. */
static bool wait_for_end(struct containerd *c)
{
    int fd = open_pidfd(c->pid);
    struct pollfd fds[2] = {{.fd = c->stop_fd, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
    while (fd >= 0 && poll(fds, 2, -1) < 0 && errno == EINTR)
        ;
    if (fd >= 0)
        close(fd);
    return !fds[0].revents;
}

static void *supervise(void *arg)
{
    struct containerd *c = arg;
    while (wait_for_end(c)) {
        waitpid(c->pid, NULL, WNOHANG);
        log_warn("containerd", "process %d ended; starting it again", (int)c->pid);
        struct err err;
        struct pollfd stop = {.fd = c->stop_fd, .events = POLLIN};
        if (containerd__spawn(&c->paths, &c->pid, &err))
            log_error("containerd", "%s", err.message);
        if (poll(&stop, 1, RESPAWN_PAUSE_MS) > 0)
            break;
    }
    return NULL;
}

/* Takes over a running containerd, unless its configuration is no longer the one wanted. */
static int attach_or_spawn(struct containerd *c, bool config_changed, struct err *err)
{
    c->pid = containerd__running_pid(&c->paths);
    if (c->pid && config_changed) {
        log_info("containerd", "restarting for a changed configuration; containers go on");
        containerd__end_process(c->pid, 10000);
        c->pid = 0;
    }
    int rc = c->pid ? 0 : containerd__spawn(&c->paths, &c->pid, err);
    if (rc == 0)
        rc = wait_until_ready(&c->paths, c->pid, err);
    return rc ? rc : ensure_pause_image(&c->paths, err);
}

int containerd_start(struct containerd **out, const struct containerd_options *options, struct err *err)
{
    struct containerd *c = mem_zalloc(sizeof(*c));
    bool changed;
    containerd__paths_init(&c->paths, options->data_dir);
    int rc = containerd__write_config(&c->paths, options, &changed, err);
    if (rc == 0)
        rc = attach_or_spawn(c, changed, err);
    c->stop_fd = rc == 0 ? eventfd(0, EFD_CLOEXEC) : -1;
    if (rc == 0 && (c->stop_fd < 0 || pthread_create(&c->thread, NULL, supervise, c) != 0))
        rc = err_set(err, ERR_INTERNAL, "cannot supervise containerd");
    if (rc) {
        containerd__paths_free(&c->paths);
        free(c);
        return rc;
    }
    *out = c;
    return 0;
}

const char *containerd_endpoint(const struct containerd *c)
{
    return c->paths.socket;
}

void containerd_release(struct containerd *c)
{
    if (!c)
        return;
    eventfd_write(c->stop_fd, 1);
    pthread_join(c->thread, NULL);
    close(c->stop_fd);
    containerd__paths_free(&c->paths);
    free(c);
}
