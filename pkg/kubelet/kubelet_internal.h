/*
 * The shape of the kubelet, shared by its files.
 *
 * Threads: the runtime state in a pod (marked "task") belongs to the pod's task, which runs on one thread at
 * a time; what others touch is under pod->lock. The table of pods is under kubelet->lock. Order of locks:
 * kubelet->lock, then pod->lock. No call to the API or the runtime is made under a lock.
 */
#ifndef KATENA_KUBELET_INTERNAL_H
#define KATENA_KUBELET_INTERNAL_H

#include "client/client.h"
#include "client/event.h"
#include "cri/runtime.h"
#include "cri/sealed.h"
#include "kubelet/kubelet.h"
#include "kubelet/pod_plan.h"
#include "kubelet/pool.h"

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define LABEL_POD_NAME "io.kubernetes.pod.name"
#define LABEL_POD_NAMESPACE "io.kubernetes.pod.namespace"
#define LABEL_POD_UID "io.kubernetes.pod.uid"
#define LABEL_CONTAINER_NAME "io.kubernetes.container.name"
#define ANNOTATION_HASH "io.kubernetes.container.hash"
#define VANISH_US INT64_C(2000000) /* an object that vanished is looked for once more after so long */
#define ANNOTATION_RESTARTS "io.kubernetes.container.restartCount"

struct kubelet_pod;
struct kubelet_container;

/* One run of a container, as the runtime knows it. Wall-clock microseconds. */
struct kubelet_instance {
    char *id; /* NULL: none */
    enum pod_container_state state;
    uint32_t attempt;
    int exit_code;
    int64_t started_us;
    int64_t finished_us;
    char *reason;
    char *message;
    char *image;
    char *image_ref;
    char *hash; /* of the specification that it was made from */
};

enum probe_kind { PROBE_STARTUP, PROBE_LIVENESS, PROBE_READINESS, PROBE_KINDS };

/* A probe of a container; its task exists while the container is in the specification. */
struct kubelet_probe {
    struct task task;
    struct kubelet_container *container;
    enum probe_kind kind;
    bool present;
    /* under pod->lock: */
    bool active;      /* the container runs and the probe applies */
    uint32_t attempt; /* of the instance that is probed */
    int successes, failures;
    int64_t first_us; /* not before: the start of the instance plus initialDelaySeconds, monotonic */
};

struct kubelet_container {
    struct kubelet_pod *pod;
    char *name;
    enum pod_container_kind kind;
    size_t index; /* in spec.initContainers or spec.containers */
    /* task: */
    struct kubelet_instance now, last;
    int restarts;
    int crashes;
    char *wait_reason, *wait_message; /* why it does not run; NULL: the usual */
    int pull_failures;
    int64_t pull_failed_us; /* when the last one failed */
    int start_failures;     /* in a row */
    int64_t retry_us;
    bool backoff_reported;
    int refresh_tries;
    /* under pod->lock: */
    bool dirty; /* ask the runtime for its state */
    bool started, ready, unhealthy;
    bool killing;
    char *kill_id;      /* what kill_task stops */
    char *kill_message; /* for the event */
    int64_t kill_grace_s;
    struct task kill_task;
    struct kubelet_probe probes[PROBE_KINDS];
};

struct kubelet_pod {
    struct task task;
    struct kubelet *kubelet;
    struct kubelet_pod *next; /* in the table */
    char *uid, *name, *namespace;
    pthread_mutex_t lock;
    /* under lock: */
    json_t *object; /* the newest from the API; NULL: known only from the runtime */
    bool gone;      /* the API object is deleted */
    /* When to look whether the object, which was not deleted as pods are, is really gone; monotonic, 0: it is
     * there. While two parts of a cut cluster become one, an object may be away for a moment. */
    int64_t vanish_due_us;
    bool volumes_dirty; /* a config map or secret changed */
    bool sandbox_dirty;
    /* task: */
    struct kubelet_container *containers;
    size_t container_count;
    char *sandbox_id;
    _Atomic(enum pod_sandbox_state) sandbox; /* read by others too */
    uint32_t sandbox_attempt;
    int sandbox_failures;
    int64_t sandbox_retry_us;
    char *ip;
    bool volumes_ready;
    int volume_failures;
    int64_t volumes_due_us; /* when a token wants to be made anew; wall clock, 0: never */
    bool ended;
    bool removed;
    bool initialized;
    char *end_reason, *end_message; /* "DeadlineExceeded", … */
    int64_t start_us;
    uint8_t status_hash[32]; /* of the last status written, … */
    int64_t status_until_us; /* … which the watch will have shown by then; wall clock */
    int write_failures;
    struct kubelet_adopted *adopted; /* runs found in the runtime, until the object says what they are */
    size_t adopted_count;
};

struct kubelet_adopted {
    char *name; /* of the container */
    int restarts;
    struct kubelet_instance instance;
};

struct kubelet {
    struct client *client;
    struct cri_runtime *rt;
    struct event_recorder *events;
    struct pool *pool;
    char *data_dir, *node_name, *node_address, *pod_cidr, *api_endpoint;
    bool seals; /* seal_key is set */
    uint8_t seal_key[SEALED_KEY_SIZE];
    pthread_mutex_t lock;
    struct kubelet_pod *pods;
    size_t pod_count;
    bool synced; /* all pods of the API have been seen once */
    struct client_watch *watch, *configmap_watch, *secret_watch, *node_watch;
    struct task rotate_task;
    struct task node_task; /* registers the node again */
    pthread_t pleg_thread;
    bool pleg_running;
    atomic_bool stopping;
    atomic_int log_readers;
    int64_t memory_bytes; /* of the host */
    int cpus;
};

/* kubelet.c: the table of pods */
struct kubelet_pod *kubelet_pod_find(struct kubelet *k, const char *uid); /* under k->lock */
struct kubelet_pod *kubelet_pod_add(struct kubelet *k, const char *uid, const char *namespace,
                                    const char *name);
void kubelet_pod_unlink(struct kubelet *k, struct kubelet_pod *pod);
void kubelet_watch_configs(struct kubelet *k);
json_t *kubelet_pod_object(struct kubelet_pod *pod); /* a new reference; NULL: none */

/* adopt.c: what runs already */
int kubelet_adopt(struct kubelet *k, struct err *err);
void kubelet_adopt_states(struct kubelet_pod *pod, const json_t *object);

/* pleg.c: what ends */
void *kubelet_pleg(void *kubelet);

/* pod_sync.c */
int64_t pod_sync(struct task *task);
void pod_release(struct task *task);
void pod_containers_init(struct kubelet_pod *pod, const json_t *object);
struct kubelet_container *pod_container_find(struct kubelet_pod *pod, const char *name);
const json_t *pod_container_spec(const json_t *object, const struct kubelet_container *c);

/* pod_start.c: sandboxes and containers */
int pod_create_sandbox(struct kubelet_pod *pod, const json_t *object);
void pod_start_container(struct kubelet_pod *pod, const json_t *object, struct kubelet_container *c);
int pod_sandbox_refresh(struct kubelet_pod *pod);

/* pod_kill.c */
void pod_kill_container(struct kubelet_pod *pod, const json_t *object, struct kubelet_container *c,
                        int64_t grace_s, const char *message);
int64_t pod_kill_task(struct task *task);
int pod_remove_all(struct kubelet_pod *pod, const json_t *object);

/* instance.c */
void instance_clear(struct kubelet_instance *instance);
int instance_refresh(struct kubelet_container *c);
void instance_from_status(struct kubelet_instance *out, const Cri__ContainerStatus *status);
void container_set_wait(struct kubelet_container *c, const char *reason, const char *message);

/* hook.c */
int hook_run(struct kubelet_pod *pod, const struct kubelet_container *c, const json_t *spec,
             const json_t *hook, const char *container_id, int64_t limit_s, struct err *err);

/* probe.c */
void probe_container_started(struct kubelet_container *c, const json_t *spec);
void probe_container_ended(struct kubelet_container *c);
int64_t probe_task(struct task *task);

/* node.c */
int kubelet_register_node(struct kubelet *k, struct err *err);
int64_t kubelet_node_task(struct task *task);
/* Watches the own Node object: whoever finds it not ready is told better. */
void kubelet_watch_node(struct kubelet *k);

/* log_rotate.c */
int64_t kubelet_rotate_logs(struct task *task);

/* Paths; the caller frees. */
char *kubelet_pod_dir(const struct kubelet_pod *pod);     /* <data-dir>/pods/<uid> */
char *kubelet_pod_log_dir(const struct kubelet_pod *pod); /* <data-dir>/pods-logs/<ns>_<name>_<uid> */

/* Events about a container: the field path says which. */
#define container_event(c, object, type, reason, ...)                                            \
    do {                                                                                         \
        char path_[320];                                                                         \
        snprintf(path_, sizeof(path_), "spec.%s{%s}",                                            \
                 (c)->kind == POD_CONTAINER_APP ? "containers" : "initContainers", (c)->name);   \
        event_record_field((c)->pod->kubelet->events, object, path_, type, reason, __VA_ARGS__); \
    } while (0)

#endif
