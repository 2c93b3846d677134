/*
 * Requests that reach into a running pod: log, exec, attach, portforward.
 *
 * They are authorized and their pod is read like any other; what the kubelet and the container runtime are
 * asked may take a while, so it is asked on a thread of its own while the connection is suspended. Failure
 * before the stream begins is an ordinary Status. For a pod of another node, that node's API is asked instead
 * of the kubelet (http_forward.h).
 */
#include "api/http_forward.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "codec/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COMMAND_MAX 1024
#define PORTS_MAX 64

enum job_kind { JOB_LOG, JOB_EXEC, JOB_ATTACH, JOB_PORT_FORWARD };

struct http_job {
    struct http_request *request;
    enum job_kind kind;
    json_t *pod;
    const struct api_kubelet_ops *ops;
    void *kubelet;
    const char *elsewhere; /* the node that the pod is on, when that is another; part of pod */
    struct http_forward *forward;
    const char *container; /* part of pod, or an argument */
    struct api_pod_log_options log;
    const char *command[COMMAND_MAX + 1];
    size_t command_count;
    int ports[PORTS_MAX];
    size_t port_count;
    struct http_upgrade upgrade;

    int code; /* of the work */
    int fd;
    char *url;
};

static const struct {
    const char *subresource;
    enum job_kind kind;
} job_kinds[] = {
    {"log", JOB_LOG}, {"exec", JOB_EXEC}, {"attach", JOB_ATTACH}, {"portforward", JOB_PORT_FORWARD}};
#define JOB_KINDS (sizeof(job_kinds) / sizeof(*job_kinds))

bool http_pod_handles(const struct http_request *request)
{
    if (!request->kind || strcmp(request->kind->plural, "pods") != 0 || *request->kind->group)
        return false;
    for (size_t i = 0; i < JOB_KINDS; i++)
        if (strcmp(request->route.subresource, job_kinds[i].subresource) == 0)
            return true;
    return false;
}

void http_pod_free(struct http_job *job)
{
    if (job->fd >= 0)
        close(job->fd);
    http_forward_free(job->forward);
    json_decref(job->pod);
    free(job->url);
    free(job);
}

/* ---- parameters ---- */

static bool argument_true(struct http_request *request, const char *name)
{
    const char *value = http_argument(request, name);
    return value && strcasecmp(value, "false") != 0 && strcmp(value, "0") != 0 && *value;
}

static int invalid_option(struct http_request *request, const char *what)
{
    return err_set(&request->err, ERR_INVALID, "PodLogOptions \"%s\" is invalid: %s", request->route.name,
                   what);
}

/* An integer of at least minimum; *out stays as it is when the argument is absent. */
static int integer_option(struct http_request *request, const char *name, int64_t minimum, const char *rule,
                          int64_t *out)
{
    const char *value = http_argument(request, name);
    if (!value)
        return 0;
    char *end;
    errno = 0;
    long long n = strtoll(value, &end, 10);
    if (end == value || *end || errno)
        return err_set(&request->err, ERR_BAD_REQUEST, "strconv.ParseInt: parsing \"%.200s\": invalid syntax",
                       value);
    if (n < minimum) {
        mem_auto char *text = mem_printf("%s: Invalid value: %lld: %s", name, n, rule);
        return invalid_option(request, text);
    }
    *out = n;
    return 0;
}

static int log_options(struct http_job *job)
{
    struct http_request *request = job->request;
    struct api_pod_log_options *log = &job->log;
    int64_t since_s = 0;
    *log = (struct api_pod_log_options){
        .follow = argument_true(request, "follow"),
        .previous = argument_true(request, "previous"),
        .timestamps = argument_true(request, "timestamps"),
        .tail_lines = -1,
        .limit_bytes = -1,
    };
    int code =
        integer_option(request, "tailLines", 0, "must be greater than or equal to 0", &log->tail_lines);
    if (!code)
        code = integer_option(request, "limitBytes", 1, "must be greater than 0", &log->limit_bytes);
    if (!code)
        code = integer_option(request, "sinceSeconds", 1, "must be greater than 0", &since_s);
    const char *since = http_argument(request, "sinceTime");
    if (!code && since && since_s)
        code = invalid_option(request,
                              ": Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified");
    if (!code && since && !timefmt_parse(since, &log->since_time_us))
        code = err_set(&request->err, ERR_BAD_REQUEST, "parsing time \"%.200s\": no RFC 3339 time", since);
    if (!code && since_s)
        log->since_time_us = clock_wall_us() - since_s * 1000000;
    return code;
}

static enum MHD_Result collect_command(void *cls, enum MHD_ValueKind kind, const char *name,
                                       const char *value)
{
    struct http_job *job = cls;
    (void)kind;
    if (strcmp(name, "command") == 0 && job->command_count <= COMMAND_MAX)
        job->command[job->command_count++] = value ? value : "";
    return MHD_YES;
}

static enum MHD_Result collect_ports(void *cls, enum MHD_ValueKind kind, const char *name, const char *value)
{
    struct http_job *job = cls;
    (void)kind;
    for (const char *p = strcmp(name, "ports") == 0 && value ? value : ""; *p;) {
        char *end;
        long port = strtol(p, &end, 10);
        if (end == p || port < 1 || port > 65535 || (*end && *end != ',') || job->port_count == PORTS_MAX) {
            job->code = err_set(&job->request->err, ERR_BAD_REQUEST,
                                "query parameter \"ports\" is invalid: \"%.100s\"", value);
            return MHD_NO;
        }
        job->ports[job->port_count++] = (int)port;
        p = end + (*end == ',');
    }
    return MHD_YES;
}

static int stream_options(struct http_job *job)
{
    struct http_request *request = job->request;
    job->upgrade.in = argument_true(request, "stdin");
    job->upgrade.out = argument_true(request, "stdout");
    job->upgrade.tty = argument_true(request, "tty");
    /* A terminal has one output. */
    job->upgrade.error = argument_true(request, "stderr") && !job->upgrade.tty;
    if (job->kind == JOB_EXEC)
        MHD_get_connection_values(request->mhd, MHD_GET_ARGUMENT_KIND, collect_command, job);
    if (job->kind == JOB_PORT_FORWARD)
        MHD_get_connection_values(request->mhd, MHD_GET_ARGUMENT_KIND, collect_ports, job);
    if (job->code)
        return job->code;
    if (job->command_count > COMMAND_MAX)
        return err_set(&request->err, ERR_BAD_REQUEST, "the command has more than %d words", COMMAND_MAX);
    if (job->kind == JOB_EXEC && !job->command_count)
        return err_set(&request->err, ERR_BAD_REQUEST,
                       "you must specify at least one command for the container");
    if (job->kind != JOB_PORT_FORWARD && !job->upgrade.in && !job->upgrade.out && !job->upgrade.error)
        return err_set(&request->err, ERR_BAD_REQUEST,
                       "you must specify at least 1 of stdin, stdout, stderr");
    return http_upgrade_negotiate(request, job->kind == JOB_PORT_FORWARD, &job->upgrade);
}

/* ---- the pod ---- */

static int authorize(struct http_request *request)
{
    struct api_user user = api_identity_user(request->who);
    struct rbac_attributes attributes = {
        .verb = route_verb_name(request->verb),
        .group = "",
        .resource = "pods",
        .subresource = request->route.subresource,
        .namespace = request->route.namespace,
        .name = request->route.name,
    };
    int code = api_authorize(request->http->server, &user, &attributes, &request->err);
    if (code || request->verb != API_GET || strcmp(request->route.subresource, "log") == 0)
        return code;
    /* A WebSocket can only begin with GET; what it does is as much as POST does (KEP-4006). */
    attributes.verb = "create";
    return api_authorize(request->http->server, &user, &attributes, &request->err);
}

static const char *const container_lists[] = {"initContainers", "containers", "ephemeralContainers"};

static bool container_exists(const json_t *pod, const char *name)
{
    for (size_t l = 0; l < 3; l++) {
        size_t i;
        const json_t *container;
        json_array_foreach(json_at(pod, "spec", container_lists[l]), i, container)
        {
            if (strcmp(json_str_or_empty(container, "name"), name) == 0)
                return true;
        }
    }
    return false;
}

static int container_unnamed(struct http_request *request, const json_t *pod)
{
    buf_auto struct buf names = BUF_INIT;
    for (size_t l = 0; l < 3; l++) {
        size_t i;
        const json_t *container;
        json_array_foreach(json_at(pod, "spec", container_lists[l]), i, container)
        {
            buf_printf(&names, "%s%s", names.len ? " " : "", json_str_or_empty(container, "name"));
        }
    }
    return err_set(&request->err, ERR_BAD_REQUEST,
                   "a container name must be specified for pod %s, choose one of: [%s]", request->route.name,
                   buf_str(&names));
}

static int choose_container(struct http_job *job)
{
    struct http_request *request = job->request;
    const json_t *containers = json_at(job->pod, "spec", "containers");
    const char *name = http_argument(request, "container");
    if (name && *name) {
        if (!container_exists(job->pod, name))
            return err_set(&request->err, ERR_BAD_REQUEST, "container %s is not valid for pod %s", name,
                           request->route.name);
        job->container = name;
        return 0;
    }
    if (json_array_size(containers) != 1)
        return container_unnamed(request, job->pod);
    job->container = json_str_or_empty(json_array_get(containers, 0), "name");
    return 0;
}

/* The pod, its container, and the kubelet or the node that runs it. */
static int find_target(struct http_job *job)
{
    struct http_request *request = job->request;
    struct api_server *server = request->http->server;
    buf_auto struct buf text = BUF_INIT;
    int code = api_read_object(server, request->kind, request->route.namespace, request->route.name, &text,
                               &request->err);
    if (code)
        return code;
    job->pod = json_parse(text.data, text.len, &request->err);
    if (!job->pod)
        return request->err.code;
    if (job->kind != JOB_PORT_FORWARD && (code = choose_container(job)) != 0)
        return code;
    const char *node = json_str_or_empty(job->pod, "spec", "nodeName");
    if (!*node)
        return job->kind == JOB_LOG ? 0
                                    : err_set(&request->err, ERR_BAD_REQUEST,
                                              "pod %s does not have a host assigned", request->route.name);
    if (strcmp(node, server->node_name) != 0) {
        job->elsewhere = node;
        return 0;
    }
    pthread_mutex_lock(&server->kubelet_lock);
    job->ops = server->kubelet_ops;
    job->kubelet = server->kubelet;
    pthread_mutex_unlock(&server->kubelet_lock);
    if (!job->ops)
        return err_set(&request->err, ERR_UNAVAILABLE, "the kubelet of node %s cannot be reached", node);
    return 0;
}

/* ---- the work ---- */

static int ask_kubelet(struct http_job *job)
{
    struct err *err = &job->request->err;
    const struct api_kubelet_ops *ops = job->ops;
    switch (job->kind) {
    case JOB_LOG:
        job->log.container = job->container;
        return ops->logs ? ops->logs(job->kubelet, job->pod, &job->log, &job->fd, err) : ERR_UNAVAILABLE;
    case JOB_EXEC:
        return ops->exec ? ops->exec(job->kubelet, job->pod, job->container, job->command, job->upgrade.in,
                                     job->upgrade.out, job->upgrade.error, job->upgrade.tty, &job->url, err)
                         : ERR_UNAVAILABLE;
    case JOB_ATTACH:
        return ops->attach
                   ? ops->attach(job->kubelet, job->pod, job->container, job->upgrade.in, job->upgrade.out,
                                 job->upgrade.error, job->upgrade.tty, &job->url, err)
                   : ERR_UNAVAILABLE;
    default:
        return ops->port_forward
                   ? ops->port_forward(job->kubelet, job->pod, job->ports, job->port_count, &job->url, err)
                   : ERR_UNAVAILABLE;
    }
}

static void *job_main(void *arg)
{
    struct http_job *job = arg;
    pthread_setname_np(pthread_self(), "http-job");
    if (job->forward)
        http_forward_ask(job->forward, job->request->http->server);
    else
        job->code = ask_kubelet(job);
    if (job->code && !job->request->err.code)
        err_set(&job->request->err, job->code, "the kubelet does not offer this");
    http_meet_done(job->request); /* from here on the job may be gone */
    return NULL;
}

static int start_job(struct http_job *job)
{
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    int rc = pthread_create(&thread, &attributes, job_main, job);
    pthread_attr_destroy(&attributes);
    return rc ? err_set(&job->request->err, ERR_UNAVAILABLE, "no thread for the stream: %s", strerror(rc))
              : 0;
}

static enum MHD_Result reply_nothing(struct http_request *request)
{
    struct buf empty = BUF_INIT;
    return http_reply(request, MHD_HTTP_OK, "text/plain", &empty);
}

enum MHD_Result http_pod_run(struct http_request *request)
{
    struct http_job *job = mem_zalloc(sizeof(*job));
    job->request = request;
    job->fd = -1;
    for (size_t i = 0; i < JOB_KINDS; i++)
        if (strcmp(request->route.subresource, job_kinds[i].subresource) == 0)
            job->kind = job_kinds[i].kind;
    request->job = job;
    int code = authorize(request);
    if (!code)
        code = find_target(job);
    if (!code)
        code = job->kind == JOB_LOG ? log_options(job) : stream_options(job);
    if (!code && job->elsewhere)
        code = http_forward_new(&job->forward, request, job->elsewhere, job->kind != JOB_LOG);
    else if (!code && !job->ops)
        return reply_nothing(request); /* no node has run it yet */
    if (!code)
        code = start_job(job);
    if (code)
        return http_reply_err(request);
    return http_meet_wait(request) ? http_pod_resume(request) : MHD_YES;
}

enum MHD_Result http_pod_resume(struct http_request *request)
{
    struct http_job *job = request->job;
    if (request->upgraded)
        return MHD_NO;
    if (job->code)
        return http_reply_err(request);
    if (job->forward)
        return http_forward_reply(request, job->forward);
    if (job->kind != JOB_LOG)
        return http_upgrade_reply(request, &job->upgrade, job->url);
    int fd = job->fd;
    job->fd = -1;
    return http_logs_reply(request, fd);
}
