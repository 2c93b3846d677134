/* What the API asks of the kubelet: logs and streams of its pods. */
#include "api/server.h"
#include "base/mem.h"
#include "client/kube.h"
#include "codec/json.h"
#include "kubelet/kubelet_internal.h"
#include "kubelet/log_read.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

/* The id of a running container, or of any when running is false; the caller's. */
static char *find_container(struct kubelet *k, const json_t *pod_object, const char *name, bool previous,
                            uint32_t *attempt, enum pod_container_state *state)
{
    char *id = NULL;
    pthread_mutex_lock(&k->lock);
    struct kubelet_pod *pod = kubelet_pod_find(k, kube_uid(pod_object));
    struct kubelet_container *c = pod ? pod_container_find(pod, name) : NULL;
    if (c) {
        pthread_mutex_lock(&pod->lock);
        /* While the next run waits for its back-off, the newest has ended and still counts as the current
         * one. */
        const struct kubelet_instance *instance = previous ? &c->last : &c->now;
        if (instance->id) {
            id = mem_strdup(instance->id);
            *attempt = instance->attempt;
            *state = instance->state;
        }
        pthread_mutex_unlock(&pod->lock);
    }
    pthread_mutex_unlock(&k->lock);
    return id;
}

static char *find_sandbox(struct kubelet *k, const json_t *pod_object)
{
    pthread_mutex_lock(&k->lock);
    struct kubelet_pod *pod = kubelet_pod_find(k, kube_uid(pod_object));
    char *id =
        pod && pod->sandbox_id && pod->sandbox == POD_SANDBOX_READY ? mem_strdup(pod->sandbox_id) : NULL;
    pthread_mutex_unlock(&k->lock);
    return id;
}

static int running_container(struct kubelet *k, const json_t *pod, const char *name, char **id,
                             struct err *err)
{
    uint32_t attempt;
    enum pod_container_state state = POD_STATE_NONE;
    *id = find_container(k, pod, name, false, &attempt, &state);
    if (*id && state == POD_STATE_RUNNING)
        return 0;
    free(*id);
    *id = NULL;
    return err_set(err, ERR_INTERNAL, "unable to upgrade connection: container not found (\"%s\")", name);
}

struct log_job {
    struct kubelet *kubelet;
    json_t *pod;
    char *container, *id, *path;
    struct log_read_options options;
    int fd;
};

static bool still_running(void *arg)
{
    struct log_job *job = arg;
    uint32_t attempt;
    enum pod_container_state state = POD_STATE_NONE;
    if (job->kubelet->stopping)
        return false;
    char *id mem_auto = find_container(job->kubelet, job->pod, job->container, false, &attempt, &state);
    return id && strcmp(id, job->id) == 0 && state != POD_STATE_EXITED;
}

static void job_free(struct log_job *job)
{
    close(job->fd);
    json_decref(job->pod);
    free(job->container);
    free(job->id);
    free(job->path);
    free(job);
}

static void *log_thread(void *arg)
{
    struct log_job *job = arg;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    log_read(job->path, &job->options, job->fd);
    atomic_fetch_sub(&job->kubelet->log_readers, 1);
    job_free(job);
    return NULL;
}

static int start_log_thread(struct log_job *job, struct err *err)
{
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, 128 * 1024);
    atomic_fetch_add(&job->kubelet->log_readers, 1);
    int rc = pthread_create(&thread, &attributes, log_thread, job);
    pthread_attr_destroy(&attributes);
    if (rc == 0)
        return 0;
    atomic_fetch_sub(&job->kubelet->log_readers, 1);
    job_free(job);
    return err_set(err, ERR_INTERNAL, "cannot start a thread");
}

static int no_log(const json_t *pod, const char *container, bool previous, struct err *err)
{
    if (previous)
        return err_set(err, ERR_BAD_REQUEST, "previous terminated container \"%s\" in pod \"%s\" not found",
                       container, kube_name(pod));
    const char *reason = "ContainerCreating";
    static const char *const lists[] = {"containerStatuses", "initContainerStatuses"};
    for (size_t l = 0; l < 2; l++) {
        size_t i;
        json_t *status;
        json_array_foreach(json_at(pod, "status", lists[l]), i, status)
        {
            if (strcmp(json_str_or_empty(status, "name"), container) == 0 &&
                json_str(status, "state", "waiting", "reason"))
                reason = json_str(status, "state", "waiting", "reason");
        }
    }
    return err_set(err, ERR_BAD_REQUEST, "container \"%s\" in pod \"%s\" is waiting to start: %s", container,
                   kube_name(pod), reason);
}

static int api_logs(void *context, const json_t *pod, const struct api_pod_log_options *options, int *fd,
                    struct err *err)
{
    struct kubelet *k = context;
    uint32_t attempt = 0;
    enum pod_container_state state;
    int pipe_fds[2];
    char *id = find_container(k, pod, options->container, options->previous, &attempt, &state);
    if (!id && options->previous) /* the newest run has ended and there is no next yet */
        return no_log(pod, options->container, true, err);
    if (!id)
        return no_log(pod, options->container, false, err);
    if (pipe2(pipe_fds, O_CLOEXEC) != 0) {
        free(id);
        return err_set_errno(err, "pipe");
    }
    struct log_job *job = mem_zalloc(sizeof(*job));
    job->kubelet = k;
    job->pod = json_incref((json_t *)(uintptr_t)pod);
    job->container = mem_strdup(options->container);
    job->id = id;
    job->path = mem_printf("%s/pods-logs/%s_%s_%s/%s/%u.log", k->data_dir, kube_namespace(pod),
                           kube_name(pod), kube_uid(pod), options->container, attempt);
    job->options = (struct log_read_options){.timestamps = options->timestamps,
                                             .tail_lines = options->tail_lines,
                                             .limit_bytes = options->limit_bytes,
                                             .since_time_us = options->since_time_us,
                                             .follow = options->follow && !options->previous,
                                             .running = still_running,
                                             .arg = job,
                                             .stop = &k->stopping};
    job->fd = pipe_fds[1];
    fcntl(job->fd, F_SETFL, O_NONBLOCK);
    int rc = start_log_thread(job, err);
    if (rc)
        close(pipe_fds[0]);
    else
        *fd = pipe_fds[0];
    return rc;
}

static int api_exec(void *context, const json_t *pod, const char *container, const char *const *command,
                    bool stdin_, bool stdout_, bool stderr_, bool tty, char **url, struct err *err)
{
    struct kubelet *k = context;
    char *id mem_auto = NULL;
    struct cri_exec exec = {command, tty, stdin_, stdout_, stderr_ && !tty};
    int rc = running_container(k, pod, container, &id, err);
    return rc ? rc : k->rt->ops->exec(k->rt, id, &exec, url, err);
}

static int api_attach(void *context, const json_t *pod, const char *container, bool stdin_, bool stdout_,
                      bool stderr_, bool tty, char **url, struct err *err)
{
    struct kubelet *k = context;
    char *id mem_auto = NULL;
    struct cri_exec exec = {NULL, tty, stdin_, stdout_, stderr_ && !tty};
    int rc = running_container(k, pod, container, &id, err);
    return rc ? rc : k->rt->ops->attach(k->rt, id, &exec, url, err);
}

static int api_port_forward(void *context, const json_t *pod, const int *ports, size_t port_count, char **url,
                            struct err *err)
{
    struct kubelet *k = context;
    char *id mem_auto = find_sandbox(k, pod);
    if (!id)
        return err_set(err, ERR_INTERNAL, "unable to upgrade connection: pod does not exist");
    return k->rt->ops->port_forward(k->rt, id, ports, port_count, url, err);
}

const struct api_kubelet_ops *kubelet_api_ops(void)
{
    static const struct api_kubelet_ops ops = {
        .logs = api_logs, .exec = api_exec, .attach = api_attach, .port_forward = api_port_forward};
    return &ops;
}
