/* The calls of CRI as gRPC calls: each packs its request, names its method and its limit of time. */
#include "cri/runtime.h"

#include "base/mem.h"
#include "cri/grpc.h"

#include <curl/curl.h>
#include <pthread.h>

#define RUNTIME "/runtime.v1.RuntimeService/"
#define IMAGE "/runtime.v1.ImageService/"

/* A sandbox may have to wait for the network plugins; a pull for the network. */
#define TIMEOUT_MS (2 * 60 * 1000)
#define PULL_TIMEOUT_MS (30 * 60 * 1000)

struct client {
    struct cri_runtime runtime;
    struct grpc_channel *channel;
};

static struct grpc_channel *channel_of(struct cri_runtime *rt)
{
    return ((struct client *)rt)->channel;
}

#define CALL(rt, method, request, type, timeout_ms, out, err)                                   \
    grpc_call(channel_of(rt), method, &(request)->base, &cri__##type##__descriptor, timeout_ms, \
              (ProtobufCMessage **)(out), err)

static int call_empty(struct cri_runtime *rt, const char *method, const ProtobufCMessage *request,
                      int64_t timeout_ms, struct err *err)
{
    return grpc_call(channel_of(rt), method, request, NULL, timeout_ms, NULL, err);
}

static int rt_version(struct cri_runtime *rt, Cri__VersionResponse **out, struct err *err)
{
    Cri__VersionRequest request = CRI__VERSION_REQUEST__INIT;
    request.version = (char *)(uintptr_t) "0.1.0";
    return CALL(rt, RUNTIME "Version", &request, version_response, TIMEOUT_MS, out, err);
}

static int rt_status(struct cri_runtime *rt, Cri__StatusResponse **out, struct err *err)
{
    Cri__StatusRequest request = CRI__STATUS_REQUEST__INIT;
    return CALL(rt, RUNTIME "Status", &request, status_response, TIMEOUT_MS, out, err);
}

/* protobuf-c's fields are not const, but packing does not change them. */
static char *field(const char *text)
{
    return (char *)(uintptr_t)(text ? text : "");
}

static int rt_run_sandbox(struct cri_runtime *rt, Cri__PodSandboxConfig *config, const char *handler,
                          char **id, struct err *err)
{
    Cri__RunPodSandboxRequest request = CRI__RUN_POD_SANDBOX_REQUEST__INIT;
    Cri__RunPodSandboxResponse *response = NULL;
    request.config = config;
    request.runtime_handler = field(handler);
    int rc =
        CALL(rt, RUNTIME "RunPodSandbox", &request, run_pod_sandbox_response, 2 * TIMEOUT_MS, &response, err);
    if (rc == 0)
        *id = mem_strdup(response->pod_sandbox_id);
    cri_free(response);
    return rc;
}

static int rt_stop_sandbox(struct cri_runtime *rt, const char *id, struct err *err)
{
    Cri__PodSandboxRequest request = CRI__POD_SANDBOX_REQUEST__INIT;
    request.pod_sandbox_id = field(id);
    return call_empty(rt, RUNTIME "StopPodSandbox", &request.base, TIMEOUT_MS, err);
}

static int rt_remove_sandbox(struct cri_runtime *rt, const char *id, struct err *err)
{
    Cri__PodSandboxRequest request = CRI__POD_SANDBOX_REQUEST__INIT;
    request.pod_sandbox_id = field(id);
    return call_empty(rt, RUNTIME "RemovePodSandbox", &request.base, TIMEOUT_MS, err);
}

static int rt_sandbox_status(struct cri_runtime *rt, const char *id, Cri__PodSandboxStatusResponse **out,
                             struct err *err)
{
    Cri__PodSandboxRequest request = CRI__POD_SANDBOX_REQUEST__INIT;
    request.pod_sandbox_id = field(id);
    return CALL(rt, RUNTIME "PodSandboxStatus", &request, pod_sandbox_status_response, TIMEOUT_MS, out, err);
}

static int rt_list_sandboxes(struct cri_runtime *rt, Cri__ListPodSandboxResponse **out, struct err *err)
{
    Cri__ListPodSandboxRequest request = CRI__LIST_POD_SANDBOX_REQUEST__INIT;
    return CALL(rt, RUNTIME "ListPodSandbox", &request, list_pod_sandbox_response, TIMEOUT_MS, out, err);
}

static int rt_create_container(struct cri_runtime *rt, const char *sandbox, Cri__ContainerConfig *config,
                               Cri__PodSandboxConfig *sandbox_config, char **id, struct err *err)
{
    Cri__CreateContainerRequest request = CRI__CREATE_CONTAINER_REQUEST__INIT;
    Cri__CreateContainerResponse *response = NULL;
    request.pod_sandbox_id = field(sandbox);
    request.config = config;
    request.sandbox_config = sandbox_config;
    int rc =
        CALL(rt, RUNTIME "CreateContainer", &request, create_container_response, TIMEOUT_MS, &response, err);
    if (rc == 0)
        *id = mem_strdup(response->container_id);
    cri_free(response);
    return rc;
}

static int container_call(struct cri_runtime *rt, const char *method, const char *id, struct err *err)
{
    Cri__ContainerRequest request = CRI__CONTAINER_REQUEST__INIT;
    request.container_id = field(id);
    return call_empty(rt, method, &request.base, TIMEOUT_MS, err);
}

static int rt_start_container(struct cri_runtime *rt, const char *id, struct err *err)
{
    return container_call(rt, RUNTIME "StartContainer", id, err);
}

static int rt_stop_container(struct cri_runtime *rt, const char *id, int64_t grace_s, struct err *err)
{
    Cri__StopContainerRequest request = CRI__STOP_CONTAINER_REQUEST__INIT;
    request.container_id = field(id);
    request.timeout = grace_s;
    return call_empty(rt, RUNTIME "StopContainer", &request.base, TIMEOUT_MS + grace_s * 1000, err);
}

static int rt_remove_container(struct cri_runtime *rt, const char *id, struct err *err)
{
    return container_call(rt, RUNTIME "RemoveContainer", id, err);
}

static int rt_list_containers(struct cri_runtime *rt, const char *sandbox, Cri__ListContainersResponse **out,
                              struct err *err)
{
    Cri__ContainerFilter filter = CRI__CONTAINER_FILTER__INIT;
    Cri__ListContainersRequest request = CRI__LIST_CONTAINERS_REQUEST__INIT;
    filter.pod_sandbox_id = field(sandbox);
    request.filter = &filter;
    return CALL(rt, RUNTIME "ListContainers", &request, list_containers_response, TIMEOUT_MS, out, err);
}

static int rt_container_status(struct cri_runtime *rt, const char *id, Cri__ContainerStatusResponse **out,
                               struct err *err)
{
    Cri__ContainerRequest request = CRI__CONTAINER_REQUEST__INIT;
    request.container_id = field(id);
    return CALL(rt, RUNTIME "ContainerStatus", &request, container_status_response, TIMEOUT_MS, out, err);
}

static int rt_reopen_log(struct cri_runtime *rt, const char *id, struct err *err)
{
    return container_call(rt, RUNTIME "ReopenContainerLog", id, err);
}

static size_t command_length(const char *const *command)
{
    size_t n = 0;
    while (command && command[n])
        n++;
    return n;
}

static int rt_exec_sync(struct cri_runtime *rt, const char *id, const char *const *command, int64_t timeout_s,
                        Cri__ExecSyncResponse **out, struct err *err)
{
    Cri__ExecSyncRequest request = CRI__EXEC_SYNC_REQUEST__INIT;
    request.container_id = field(id);
    request.n_cmd = command_length(command);
    request.cmd = (char **)(uintptr_t)command;
    request.timeout = timeout_s;
    /* The runtime ends the command in time; the margin is for its answer. */
    int64_t limit_ms = timeout_s > 0 ? timeout_s * 1000 + 5000 : 0;
    return CALL(rt, RUNTIME "ExecSync", &request, exec_sync_response, limit_ms, out, err);
}

static int url_call(struct cri_runtime *rt, const char *method, const ProtobufCMessage *request, char **url,
                    struct err *err)
{
    Cri__UrlResponse *response = NULL;
    int rc = grpc_call(channel_of(rt), method, request, &cri__url_response__descriptor, TIMEOUT_MS,
                       (ProtobufCMessage **)&response, err);
    if (rc == 0)
        *url = mem_strdup(response->url);
    cri_free(response);
    return rc;
}

static int rt_exec(struct cri_runtime *rt, const char *id, const struct cri_exec *exec, char **url,
                   struct err *err)
{
    Cri__ExecRequest request = CRI__EXEC_REQUEST__INIT;
    request.container_id = field(id);
    request.n_cmd = command_length(exec->command);
    request.cmd = (char **)(uintptr_t)exec->command;
    request.tty = exec->tty;
    request.stdin = exec->stdin_;
    request.stdout = exec->stdout_;
    request.stderr = exec->stderr_;
    return url_call(rt, RUNTIME "Exec", &request.base, url, err);
}

static int rt_attach(struct cri_runtime *rt, const char *id, const struct cri_exec *exec, char **url,
                     struct err *err)
{
    Cri__AttachRequest request = CRI__ATTACH_REQUEST__INIT;
    request.container_id = field(id);
    request.tty = exec->tty;
    request.stdin = exec->stdin_;
    request.stdout = exec->stdout_;
    request.stderr = exec->stderr_;
    return url_call(rt, RUNTIME "Attach", &request.base, url, err);
}

static int rt_port_forward(struct cri_runtime *rt, const char *sandbox, const int *ports, size_t port_count,
                           char **url, struct err *err)
{
    Cri__PortForwardRequest request = CRI__PORT_FORWARD_REQUEST__INIT;
    int32_t *list mem_auto = mem_calloc(port_count + 1, sizeof(*list));
    for (size_t i = 0; i < port_count; i++)
        list[i] = ports[i];
    request.pod_sandbox_id = field(sandbox);
    request.n_port = port_count;
    request.port = list;
    return url_call(rt, RUNTIME "PortForward", &request.base, url, err);
}

static int rt_list_images(struct cri_runtime *rt, Cri__ListImagesResponse **out, struct err *err)
{
    Cri__ListImagesRequest request = CRI__LIST_IMAGES_REQUEST__INIT;
    return CALL(rt, IMAGE "ListImages", &request, list_images_response, TIMEOUT_MS, out, err);
}

static int rt_image_status(struct cri_runtime *rt, const char *image, Cri__ImageStatusResponse **out,
                           struct err *err)
{
    Cri__ImageSpec spec = CRI__IMAGE_SPEC__INIT;
    Cri__ImageRequest request = CRI__IMAGE_REQUEST__INIT;
    spec.image = field(image);
    request.image = &spec;
    return CALL(rt, IMAGE "ImageStatus", &request, image_status_response, TIMEOUT_MS, out, err);
}

static int image_call(struct cri_runtime *rt, const char *method, const char *image, int64_t timeout_ms,
                      struct err *err)
{
    Cri__ImageSpec spec = CRI__IMAGE_SPEC__INIT;
    Cri__ImageRequest request = CRI__IMAGE_REQUEST__INIT;
    spec.image = field(image);
    request.image = &spec;
    return call_empty(rt, method, &request.base, timeout_ms, err);
}

static int rt_pull_image(struct cri_runtime *rt, const char *image, struct err *err)
{
    return image_call(rt, IMAGE "PullImage", image, PULL_TIMEOUT_MS, err);
}

static int rt_remove_image(struct cri_runtime *rt, const char *image, struct err *err)
{
    return image_call(rt, IMAGE "RemoveImage", image, TIMEOUT_MS, err);
}

static int rt_image_fs_info(struct cri_runtime *rt, Cri__ImageFsInfoResponse **out, struct err *err)
{
    Cri__Empty request = CRI__EMPTY__INIT;
    return CALL(rt, IMAGE "ImageFsInfo", &request, image_fs_info_response, TIMEOUT_MS, out, err);
}

struct exit_watch {
    bool (*fn)(void *arg, const char *container_id);
    void *arg;
};

/* containerd publishes /tasks/delete once the ended process of a container (or of an exec in it, which then
 * has an id of its own) has been reaped. */
static bool on_envelope(void *arg, const void *message, size_t len)
{
    struct exit_watch *watch = arg;
    if (!message)
        return watch->fn(watch->arg, NULL);
    Cri__Envelope *envelope = cri__envelope__unpack(NULL, len, message);
    bool go_on = true;
    if (envelope && envelope->event && strcmp(envelope->topic, "/tasks/delete") == 0) {
        Cri__TaskDelete *event =
            cri__task_delete__unpack(NULL, envelope->event->value.len, envelope->event->value.data);
        if (event && (event->id[0] == '\0' || strcmp(event->id, event->container_id) == 0))
            go_on = watch->fn(watch->arg, event->container_id);
        cri_free(event);
    }
    cri_free(envelope);
    return go_on;
}

static int rt_watch_exits(struct cri_runtime *rt, bool (*fn)(void *arg, const char *container_id), void *arg,
                          struct err *err)
{
    struct exit_watch watch = {fn, arg};
    char *filters[] = {field("topic==\"/tasks/delete\",namespace==\"k8s.io\"")};
    Cri__SubscribeRequest request = CRI__SUBSCRIBE_REQUEST__INIT;
    request.n_filters = 1;
    request.filters = filters;
    return grpc_stream(channel_of(rt), "/containerd.services.events.v1.Events/Subscribe", &request.base,
                       on_envelope, &watch, err);
}

int cri_update_pod_cidr(struct cri_runtime *rt, const char *pod_cidr, struct err *err)
{
    Cri__NetworkConfig network = CRI__NETWORK_CONFIG__INIT;
    Cri__RuntimeConfig config = CRI__RUNTIME_CONFIG__INIT;
    Cri__UpdateRuntimeConfigRequest request = CRI__UPDATE_RUNTIME_CONFIG_REQUEST__INIT;
    network.pod_cidr = field(pod_cidr);
    config.network_config = &network;
    request.runtime_config = &config;
    return call_empty(rt, RUNTIME "UpdateRuntimeConfig", &request.base, TIMEOUT_MS, err);
}

static const struct cri_ops client_ops = {
    .version = rt_version,
    .status = rt_status,
    .run_sandbox = rt_run_sandbox,
    .stop_sandbox = rt_stop_sandbox,
    .remove_sandbox = rt_remove_sandbox,
    .sandbox_status = rt_sandbox_status,
    .list_sandboxes = rt_list_sandboxes,
    .create_container = rt_create_container,
    .start_container = rt_start_container,
    .stop_container = rt_stop_container,
    .remove_container = rt_remove_container,
    .list_containers = rt_list_containers,
    .container_status = rt_container_status,
    .reopen_log = rt_reopen_log,
    .exec_sync = rt_exec_sync,
    .exec = rt_exec,
    .attach = rt_attach,
    .port_forward = rt_port_forward,
    .list_images = rt_list_images,
    .image_status = rt_image_status,
    .pull_image = rt_pull_image,
    .remove_image = rt_remove_image,
    .image_fs_info = rt_image_fs_info,
    .watch_exits = rt_watch_exits,
};

static void curl_init(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

struct cri_runtime *cri_connect(const char *socket_path)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, curl_init);
    struct client *client = mem_zalloc(sizeof(*client));
    client->runtime.ops = &client_ops;
    client->channel = grpc_open(socket_path);
    return &client->runtime;
}

void cri_disconnect(struct cri_runtime *rt)
{
    if (!rt)
        return;
    grpc_close(channel_of(rt));
    free(rt);
}

void cri_abort(struct cri_runtime *rt)
{
    grpc_abort(channel_of(rt));
}

const char *cri_pair_get(Cri__Pair *const *pairs, size_t count, const char *key)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(pairs[i]->key, key) == 0)
            return pairs[i]->value;
    return NULL;
}
