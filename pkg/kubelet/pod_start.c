/* Making sandboxes and containers: image, environment, mounts, and the calls in their order. */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "client/kube.h"
#include "codec/json.h"
#include "cri/oci_runtime.h"
#include "kubelet/kubelet_internal.h"
#include "kubelet/pod_config.h"
#include "kubelet/pod_env.h"
#include "kubelet/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RETRY_MIN_US INT64_C(100000)
#define IMAGE_RETRY_MIN_US (10 * INT64_C(1000000))
#define IMAGE_RETRY_MAX_US (300 * INT64_C(1000000))

static struct pod_config_context config_context(struct kubelet_pod *pod, const json_t *object,
                                                const char *logs)
{
    return (struct pod_config_context){
        .pod = object, .log_directory = logs, .node_memory_bytes = pod->kubelet->memory_bytes};
}

static int64_t later(int failures, int64_t first_us, int64_t max_us)
{
    int64_t delay = first_us;
    for (int i = 1; i < failures && delay < max_us; i++)
        delay *= 2;
    return clock_wall_us() + (delay < max_us ? delay : max_us);
}

/* Reads the sandbox's state and address. */
int pod_sandbox_refresh(struct kubelet_pod *pod)
{
    struct kubelet *k = pod->kubelet;
    struct err err;
    Cri__PodSandboxStatusResponse *response = NULL;
    int rc = k->rt->ops->sandbox_status(k->rt, pod->sandbox_id, &response, &err);
    if (rc == ERR_NOT_FOUND) {
        pod->sandbox = POD_SANDBOX_NONE;
        return 0;
    }
    if (rc) {
        log_warn("kubelet", "sandbox of %s/%s: %s", pod->namespace, pod->name, err.message);
        return rc;
    }
    const Cri__PodSandboxStatus *status = response->status;
    bool ready = status && status->state == CRI__POD_SANDBOX_STATE__SANDBOX_READY;
    pod->sandbox = ready ? POD_SANDBOX_READY : POD_SANDBOX_NOT_READY;
    if (ready) {
        const char *ip = status->network && *status->network->ip ? status->network->ip : k->node_address;
        pthread_mutex_lock(&pod->lock);
        free(pod->ip);
        pod->ip = mem_strdup(ip);
        pthread_mutex_unlock(&pod->lock);
    }
    cri_free(response);
    return 0;
}

/* /etc/hosts of the pod's containers: its own name and what hostAliases adds. With the host's network it is
 * the host's own file. */
static int write_hosts(struct kubelet_pod *pod, const json_t *object, const char *dir, struct err *err)
{
    struct buf text buf_auto = BUF_INIT;
    char *path mem_auto = mem_printf("%s/etc-hosts", dir);
    const char *hostname = json_str(object, "spec", "hostname");
    if (!hostname)
        hostname = pod->name;
    const char *subdomain = json_str(object, "spec", "subdomain");
    buf_puts(
        &text,
        "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
        "fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n");
    if (subdomain && *subdomain)
        buf_printf(&text, "%s\t%s.%s.%s.svc.cluster.local\t%s\n", pod->ip ? pod->ip : "", hostname, subdomain,
                   pod->namespace, hostname);
    else
        buf_printf(&text, "%s\t%s\n", pod->ip ? pod->ip : "", hostname);
    size_t i, j;
    json_t *alias, *name;
    json_array_foreach(json_at(object, "spec", "hostAliases"), i, alias)
    {
        buf_puts(&text, json_str_or_empty(alias, "ip"));
        json_array_foreach(json_object_get(alias, "hostnames"), j, name)
            buf_printf(&text, "\t%s", json_string_value(name) ? json_string_value(name) : "");
        buf_putc(&text, '\n');
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, text.data, text.len) != (ssize_t)text.len || fchmod(fd, 0644) != 0)
        err_set_errno(err, "write %s", path);
    else
        err->code = 0;
    if (fd >= 0)
        close(fd);
    return err->code;
}

int pod_create_sandbox(struct kubelet_pod *pod, const json_t *object)
{
    struct kubelet *k = pod->kubelet;
    struct err err = {0};
    char *logs mem_auto = kubelet_pod_log_dir(pod);
    char *dir mem_auto = kubelet_pod_dir(pod);
    struct pod_config_context context = config_context(pod, object, logs);
    if (pod->sandbox_id) {
        event_record(k->events, object, EVENT_NORMAL, "SandboxChanged",
                     "Pod sandbox changed, it will be killed and re-created.");
        k->rt->ops->stop_sandbox(k->rt, pod->sandbox_id, NULL);
        pod->sandbox_attempt++;
    }
    int rc = volume_make_dirs(logs, 0755, &err);
    if (rc == 0)
        rc = volume_make_dirs(dir, 0750, &err);
    char *id = NULL;
    if (rc == 0) {
        Cri__PodSandboxConfig *config = pod_config_sandbox(&context, pod->sandbox_attempt);
        bool sealed = k->seals && pod_config_any_takes_secrets(object);
        rc = k->rt->ops->run_sandbox(k->rt, config, sealed ? OCI_RUNTIME_HANDLER : NULL, &id, &err);
        cri_free(config);
    }
    if (rc) {
        event_record(k->events, object, EVENT_WARNING, "FailedCreatePodSandBox",
                     "Failed to create pod sandbox: %s", err.message);
        pod->sandbox_attempt++; /* the name of a failed one may be taken for a while */
        pod->sandbox_retry_us = later(++pod->sandbox_failures, RETRY_MIN_US * 5, IMAGE_RETRY_MIN_US * 3);
        return rc;
    }
    pthread_mutex_lock(&k->lock);
    free(pod->sandbox_id);
    pod->sandbox_id = id;
    pthread_mutex_unlock(&k->lock);
    pod->sandbox_failures = 0;
    rc = pod_sandbox_refresh(pod);
    if (rc == 0)
        rc = write_hosts(pod, object, dir, &err);
    return rc;
}

/* Sets why the container waits, tells it, and when to try again. */
static void start_failed(struct kubelet_container *c, const json_t *object, const char *reason,
                         const char *message, int64_t retry_us)
{
    bool again = c->wait_reason && strcmp(c->wait_reason, reason) == 0;
    container_set_wait(c, reason, message);
    c->retry_us = retry_us;
    if (!again || strcmp(reason, "ErrImagePull") == 0)
        container_event(c, object, EVENT_WARNING, "Failed", "Error: %s",
                        strcmp(reason, "ErrImagePull") == 0 ? reason : message);
}

static int pull_image(struct kubelet_container *c, const json_t *object, const char *image)
{
    struct kubelet *k = c->pod->kubelet;
    struct err err;
    container_event(c, object, EVENT_NORMAL, "Pulling", "Pulling image \"%s\"", image);
    int64_t start = clock_mono_us();
    int rc = k->rt->ops->pull_image(k->rt, image, &err);
    int64_t ms = (clock_mono_us() - start) / 1000;
    if (rc == 0) {
        container_event(c, object, EVENT_NORMAL, "Pulled", "Successfully pulled image \"%s\" in %lld.%03llds",
                        image, (long long)ms / 1000, (long long)ms % 1000);
        c->pull_failures = 0;
        return 0;
    }
    container_event(c, object, EVENT_WARNING, "Failed", "Failed to pull image \"%s\": %s", image,
                    err.message);
    c->pull_failed_us = clock_wall_us();
    start_failed(c, object, "ErrImagePull", err.message,
                 later(++c->pull_failures, IMAGE_RETRY_MIN_US, IMAGE_RETRY_MAX_US));
    return rc;
}

/* Applies imagePullPolicy; *status is the image that is there, the caller's. */
static int ensure_image(struct kubelet_container *c, const json_t *object, const json_t *spec,
                        Cri__ImageStatusResponse **status)
{
    struct kubelet *k = c->pod->kubelet;
    struct err err;
    char message[512];
    const char *image = json_str_or_empty(spec, "image");
    const char *policy = json_str_or_empty(spec, "imagePullPolicy");
    int rc = k->rt->ops->image_status(k->rt, image, status, &err);
    if (rc) {
        start_failed(c, object, "ImageInspectError", err.message,
                     later(1, IMAGE_RETRY_MIN_US, IMAGE_RETRY_MAX_US));
        return rc;
    }
    bool present = (*status)->image != NULL;
    if (present && strcmp(policy, "Always") != 0) {
        container_event(c, object, EVENT_NORMAL, "Pulled",
                        "Container image \"%s\" already present on machine and can be accessed by the pod",
                        image);
        return 0;
    }
    if (strcmp(policy, "Never") == 0) {
        snprintf(message, sizeof(message), "Container image \"%s\" is not present with pull policy of Never",
                 image);
        if (!c->wait_reason)
            container_event(c, object, EVENT_WARNING, "ErrImageNeverPull", "%s", message);
        start_failed(c, object, "ErrImageNeverPull", message,
                     later(1, IMAGE_RETRY_MIN_US, IMAGE_RETRY_MAX_US));
        return ERR_NOT_FOUND;
    }
    rc = pull_image(c, object, image);
    if (rc)
        return rc;
    cri_free(*status);
    *status = NULL;
    return k->rt->ops->image_status(k->rt, image, status, &err);
}

static int check_non_root(const json_t *object, const json_t *spec, const Cri__Image *image, struct err *err)
{
    if (!pod_config_non_root(object, spec))
        return 0;
    int64_t user = pod_config_user(object, spec);
    if (user == 0)
        return err_set(err, ERR_INVALID, "container's runAsUser breaks non-root policy");
    if (user > 0 || (image && image->uid && image->uid->value != 0))
        return 0;
    if (image && image->username && *image->username)
        return err_set(
            err, ERR_INVALID,
            "container has runAsNonRoot and image has non-numeric user (%s), cannot verify user is non-root",
            image->username);
    return err_set(err, ERR_INVALID, "container has runAsNonRoot and image will run as root");
}

/* The file behind terminationMessagePath. */
static int add_termination_log(struct pod_mounts *mounts, const json_t *spec, const char *dir,
                               const char *name, uint32_t attempt, struct err *err)
{
    const char *target = json_str(spec, "terminationMessagePath");
    char *parent mem_auto = mem_printf("%s/containers/%s", dir, name);
    char *path mem_auto = mem_printf("%s/%u", parent, attempt);
    int rc = volume_make_dirs(parent, 0755, err);
    if (rc)
        return rc;
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0)
        return err_set_errno(err, "create %s", path);
    fchmod(fd, 0666);
    close(fd);
    pod_mounts_add(mounts, path, target && *target ? target : "/dev/termination-log", false);
    return 0;
}

static int gather_mounts(struct pod_mounts *mounts, struct kubelet_pod *pod, const json_t *object,
                         const json_t *spec, const json_t *env, uint32_t attempt, struct err *err)
{
    char *dir mem_auto = kubelet_pod_dir(pod);
    int rc = volume_mounts(mounts, object, spec, dir, env, err);
    bool own_hosts = false;
    for (size_t i = 0; i < mounts->count; i++)
        own_hosts = own_hosts || strcmp(mounts->items[i].container_path, "/etc/hosts") == 0;
    if (rc == 0 && !own_hosts && !json_bool_at(object, "spec", "hostNetwork")) {
        char *hosts mem_auto = mem_printf("%s/etc-hosts", dir);
        pod_mounts_add(mounts, hosts, "/etc/hosts", false);
    }
    return rc ? rc : add_termination_log(mounts, spec, dir, json_str_or_empty(spec, "name"), attempt, err);
}

static struct fields_context fields_of(struct kubelet_pod *pod, const json_t *object)
{
    return (struct fields_context){.pod = object,
                                   .pod_ip = pod->ip,
                                   .host_ip = pod->kubelet->node_address,
                                   .node_cpu_milli = pod->kubelet->cpus * INT64_C(1000),
                                   .node_memory_bytes = pod->kubelet->memory_bytes};
}

/* Makes the container's CRI configuration and creates it; *id is the caller's. */
static int create(struct kubelet_container *c, const json_t *object, const json_t *spec, uint32_t attempt,
                  int restarts, char **id, const char **reason, struct err *err)
{
    struct kubelet_pod *pod = c->pod;
    struct kubelet *k = pod->kubelet;
    json_auto_t *env = NULL;
    struct pod_mounts mounts = {0};
    struct fields_context fields = fields_of(pod, object);
    char *logs mem_auto = kubelet_pod_log_dir(pod);
    char *log_dir mem_auto = mem_printf("%s/%s", logs, c->name);
    char *log_path mem_auto = mem_printf("%s/%u.log", c->name, attempt);
    struct pod_config_context context = config_context(pod, object, logs);
    *reason = "CreateContainerConfigError";
    int rc = pod_env(&env, k->client, &fields, spec, err);
    if (rc == 0)
        rc = gather_mounts(&mounts, pod, object, spec, env, attempt, err);
    if (rc == 0)
        rc = volume_make_dirs(log_dir, 0755, err);
    if (rc == 0) {
        struct pod_config_container container = {.spec = spec,
                                                 .env = env,
                                                 .mounts = &mounts,
                                                 .attempt = attempt,
                                                 .restarts = restarts,
                                                 .log_path = log_path,
                                                 .seal_key = k->seals ? k->seal_key : NULL};
        Cri__ContainerConfig *config = pod_config_container(&context, &container);
        Cri__PodSandboxConfig *sandbox = pod_config_sandbox(&context, pod->sandbox_attempt);
        *reason = "CreateContainerError";
        rc = k->rt->ops->create_container(k->rt, pod->sandbox_id, config, sandbox, id, err);
        cri_free(config);
        cri_free(sandbox);
    }
    pod_mounts_free(&mounts);
    return rc;
}

/* The instance before the last is of no further use: `logs --previous` and lastState want only one. */
static void shift_instances(struct kubelet_container *c, char *id, uint32_t attempt)
{
    struct kubelet *k = c->pod->kubelet;
    char *old_id = NULL;
    uint32_t old_attempt = 0;
    pthread_mutex_lock(&c->pod->lock);
    if (c->now.id) {
        old_id = c->last.id ? mem_strdup(c->last.id) : NULL;
        old_attempt = c->last.attempt;
        instance_clear(&c->last);
        c->last = c->now;
        c->now = (struct kubelet_instance){0};
    }
    c->now.id = id;
    c->now.attempt = attempt;
    c->now.state = POD_STATE_CREATED;
    pthread_mutex_unlock(&c->pod->lock);
    if (!old_id)
        return;
    k->rt->ops->remove_container(k->rt, old_id, NULL);
    char *logs mem_auto = kubelet_pod_log_dir(c->pod);
    char *log mem_auto = mem_printf("%s/%s/%u.log", logs, c->name, old_attempt);
    unlink(log);
    free(old_id);
}

static void after_start(struct kubelet_container *c, const json_t *object, const json_t *spec)
{
    const json_t *hook = json_at(spec, "lifecycle", "postStart");
    struct err err;
    if (hook && hook_run(c->pod, c, spec, hook, c->now.id, 0, &err)) {
        container_event(c, object, EVENT_WARNING, "FailedPostStartHook", "PostStartHook failed");
        pod_kill_container(c->pod, object, c,
                           json_int_or(30, object, "spec", "terminationGracePeriodSeconds"),
                           "FailedPostStartHook");
    }
}

void pod_start_container(struct kubelet_pod *pod, const json_t *object, struct kubelet_container *c)
{
    struct kubelet *k = pod->kubelet;
    struct err err = {0};
    const json_t *spec = pod_container_spec(object, c);
    const char *reason = "CreateContainerConfigError";
    char *id = NULL;
    bool restart = c->now.id != NULL;
    uint32_t attempt = restart ? c->now.attempt + 1 : 0;
    Cri__ImageStatusResponse *image = NULL;
    int rc = ensure_image(c, object, spec, &image);
    if (rc) {
        cri_free(image);
        return;
    }
    rc = check_non_root(object, spec, image->image, &err);
    cri_free(image);
    if (rc == 0)
        rc = create(c, object, spec, attempt, c->restarts + restart, &id, &reason, &err);
    if (rc) {
        start_failed(c, object, reason, err.message,
                     later(++c->start_failures, IMAGE_RETRY_MIN_US / 10, IMAGE_RETRY_MIN_US));
        return;
    }
    if (restart) {
        c->restarts++;
        c->crashes++;
    }
    shift_instances(c, id, attempt);
    container_event(c, object, EVENT_NORMAL, "Created", "Container created");
    rc = k->rt->ops->start_container(k->rt, id, &err);
    container_set_wait(c, NULL, NULL);
    c->start_failures = 0;
    c->retry_us = 0;
    c->backoff_reported = false;
    if (rc)
        container_event(c, object, EVENT_WARNING, "Failed", "Error: %s", err.message);
    else
        container_event(c, object, EVENT_NORMAL, "Started", "Container started");
    instance_refresh(c);
    if (rc && c->now.state == POD_STATE_CREATED) {
        c->now.state = POD_STATE_EXITED; /* as good as ended: the restart policy decides */
        c->now.exit_code = 128;
        c->now.started_us = c->now.finished_us = clock_wall_us();
        c->now.reason = mem_strdup("StartError");
        c->now.message = mem_strdup(err.message);
    }
    if (c->now.state == POD_STATE_RUNNING)
        probe_container_started(c, spec);
    if (rc == 0)
        after_start(c, object, spec);
}
