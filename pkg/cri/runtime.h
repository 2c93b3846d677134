/*
 * The container runtime as the kubelet sees it: the calls of the Container Runtime Interface (CRI,
 * runtime.v1) behind a table, so that a fake can stand in for it in tests. The real one speaks gRPC to
 * containerd (or any other CRI runtime) over a Unix socket.
 *
 * Messages are those of cri.proto. What goes in is borrowed; what comes out is the caller's: free strings
 * with free() and messages with cri_free(). On failure nothing is set.
 * Threads: any thread, concurrently; a call blocks until the runtime answers.
 * Errors: ERR_NOT_FOUND when the runtime knows no such thing, ERR_UNAVAILABLE when it cannot be reached,
 * ERR_TIMEOUT when it takes too long, ERR_EXISTS, else ERR_INTERNAL; the message is the runtime's own.
 */
#ifndef KATENA_CRI_RUNTIME_H
#define KATENA_CRI_RUNTIME_H

#include "base/buf.h"
#include "base/err.h"
#include "cri/cri.pb-c.h"

#include <stdbool.h>
#include <stdint.h>

struct cri_runtime;

struct cri_exec {
    const char *const *command; /* NULL-terminated; NULL for attach */
    bool tty;
    bool stdin_;
    bool stdout_;
    bool stderr_;
};

struct cri_ops {
    int (*version)(struct cri_runtime *rt, Cri__VersionResponse **out, struct err *err);
    int (*status)(struct cri_runtime *rt, Cri__StatusResponse **out, struct err *err);

    /* handler: which of the runtime's runtimes; NULL: the usual one. */
    int (*run_sandbox)(struct cri_runtime *rt, Cri__PodSandboxConfig *config, const char *handler, char **id,
                       struct err *err);
    int (*stop_sandbox)(struct cri_runtime *rt, const char *id, struct err *err);
    int (*remove_sandbox)(struct cri_runtime *rt, const char *id, struct err *err);
    int (*sandbox_status)(struct cri_runtime *rt, const char *id, Cri__PodSandboxStatusResponse **out,
                          struct err *err);
    int (*list_sandboxes)(struct cri_runtime *rt, Cri__ListPodSandboxResponse **out, struct err *err);

    int (*create_container)(struct cri_runtime *rt, const char *sandbox, Cri__ContainerConfig *config,
                            Cri__PodSandboxConfig *sandbox_config, char **id, struct err *err);
    int (*start_container)(struct cri_runtime *rt, const char *id, struct err *err);
    int (*stop_container)(struct cri_runtime *rt, const char *id, int64_t grace_s, struct err *err);
    int (*remove_container)(struct cri_runtime *rt, const char *id, struct err *err);
    int (*list_containers)(struct cri_runtime *rt, const char *sandbox, Cri__ListContainersResponse **out,
                           struct err *err); /* sandbox NULL: of all */
    int (*container_status)(struct cri_runtime *rt, const char *id, Cri__ContainerStatusResponse **out,
                            struct err *err);
    int (*reopen_log)(struct cri_runtime *rt, const char *id, struct err *err);

    /* timeout_s 0: as long as it takes. A timed-out command is ERR_TIMEOUT. */
    int (*exec_sync)(struct cri_runtime *rt, const char *id, const char *const *command, int64_t timeout_s,
                     Cri__ExecSyncResponse **out, struct err *err);
    int (*exec)(struct cri_runtime *rt, const char *id, const struct cri_exec *exec, char **url,
                struct err *err);
    int (*attach)(struct cri_runtime *rt, const char *id, const struct cri_exec *exec, char **url,
                  struct err *err);
    int (*port_forward)(struct cri_runtime *rt, const char *sandbox, const int *ports, size_t port_count,
                        char **url, struct err *err);

    int (*list_images)(struct cri_runtime *rt, Cri__ListImagesResponse **out, struct err *err);
    /* out->image is NULL when the image is not there. */
    int (*image_status)(struct cri_runtime *rt, const char *image, Cri__ImageStatusResponse **out,
                        struct err *err);
    int (*pull_image)(struct cri_runtime *rt, const char *image, struct err *err);
    int (*remove_image)(struct cri_runtime *rt, const char *image, struct err *err);
    int (*image_fs_info)(struct cri_runtime *rt, Cri__ImageFsInfoResponse **out, struct err *err);

    /* Blocks and calls fn with the id of each container whose process has ended, until fn returns false or
     * the connection is lost; fn is called with NULL once when the subscription stands, and at least every
     * second. ERR_METHOD when the runtime has no such events (then list the containers from time to time). */
    int (*watch_exits)(struct cri_runtime *rt, bool (*fn)(void *arg, const char *container_id), void *arg,
                       struct err *err);
};

/* The first member of every implementation. */
struct cri_runtime {
    const struct cri_ops *ops;
};

/* The runtime behind a Unix socket. No connection is made until the first call. */
struct cri_runtime *cri_connect(const char *socket_path);
void cri_disconnect(struct cri_runtime *rt);

/* Ends the calls in progress and all later ones with ERR_UNAVAILABLE. */
void cri_abort(struct cri_runtime *rt);

/* Frees a message of cri.proto; NULL is fine. */
#define cri_free(message)                                             \
    do {                                                              \
        if (message)                                                  \
            protobuf_c_message_free_unpacked(&(message)->base, NULL); \
    } while (0)

/* The value of a label or annotation; NULL when there is none. */
const char *cri_pair_get(Cri__Pair *const *pairs, size_t count, const char *key);

/* Tells the runtime the pods' address range (UpdateRuntimeConfig); containerd with a CNI file ignores it. */
int cri_update_pod_cidr(struct cri_runtime *rt, const char *pod_cidr, struct err *err);

#endif
