/* Shared by the files of the containerd supervisor. */
#ifndef KATENA_CRI_CONTAINERD_INTERNAL_H
#define KATENA_CRI_CONTAINERD_INTERNAL_H

#include "cri/containerd.h"

#include <stdbool.h>
#include <sys/types.h>

struct containerd__paths {
    char *dir;    /* <data-dir>/containerd */
    char *config; /* <dir>/config.toml */
    char *pid;    /* <dir>/containerd.pid */
    char *log;    /* <dir>/containerd.log */
    char *bridge; /* <dir>/bridge: the name, for the cleanup */
    char *socket; /* <dir>/containerd.sock, or below /run when that is too long for a socket address */
    char *run;    /* the directory in /run made for the socket; NULL: none */
};

void containerd__paths_init(struct containerd__paths *paths, const char *data_dir);
void containerd__paths_free(struct containerd__paths *paths);

/* Writes config.toml and the CNI configuration; *changed says whether config.toml differs from before. */
int containerd__write_config(const struct containerd__paths *paths, const struct containerd_options *options,
                             bool *changed, struct err *err);

/* The process that was started with this node's configuration and still runs; 0: none. */
pid_t containerd__running_pid(const struct containerd__paths *paths);

/* Starts containerd in a session of its own, and writes its pid file. */
int containerd__spawn(const struct containerd__paths *paths, pid_t *pid, struct err *err);

/* Ends a process: SIGTERM, then SIGKILL when it has not ended after the grace. */
void containerd__end_process(pid_t pid, int grace_ms);

/* No bridge of that name is no error. */
void containerd__remove_bridge(const char *name);

/* Small files and processes. mode is that of the file; the directories are made. */
int containerd__write_file(const char *path, const char *text, int mode, struct err *err);
int containerd__make_dirs(const char *path, struct err *err);
char *containerd__read_file(const char *path); /* NULL when it cannot be read; the caller frees */
int containerd__run(const char *const *argv, struct err *err);

#endif
