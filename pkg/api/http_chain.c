/*
 * GET /katena/v1/chain/SUBCOMMAND: the history of the cluster, as `katena chain` prints it.
 *
 * This very program is run once more to read the data beside us: it shares nothing with us but the files, so
 * a long verification costs the node no thread, and LMDB is never opened twice in one process. A thread
 * starts it and waits for its first output (or its end) while the connection is suspended; then its output is
 * relayed like a log. A command that fails before it prints anything is answered with a Status; one that
 * fails later breaks the answer off, so that no client takes it for whole. It is killed when the client goes
 * away.
 */
#include "api/http_internal.h"

#include "api/chain_args.h"
#include "base/log.h"
#include "base/mem.h"
#include "codec/json.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILDREN_MAX 4
#define QUERY_MAX 16
#define LOOK_MS 100 /* how soon a stop of the server is seen */
#define CHILD_NICE 10
/* An exit status from here on is an error code: CODE_STATUS - code (cmd/chain.c, --served). */
#define CODE_STATUS 64
#define USAGE_STATUS 2

/* Belongs to the request until it streams, then to the response. */
struct http_chain {
    struct http_stream stream;
    struct http_request *request;
    struct api_http *http;
    struct chain_args args;
    pid_t child; /* 0: none, or reaped */
    int output;  /* -1: none */
    int errors;
    bool streams;
    bool empty; /* it ended well without a word */
    int code;
};

/* ---- the child ---- */

static int spawn_child(struct http_chain *chain, int output, struct err *err)
{
    sigset_t none, defaults;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_t actions;
    sigemptyset(&none);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, chain->errors, STDERR_FILENO);
    posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
    pid_t child = 0;
    int rc = posix_spawn(&child, "/proc/self/exe", &actions, &attributes, chain->args.items, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    if (rc)
        return err_set(err, ERR_UNAVAILABLE, "cannot run katena chain: %s", strerror(rc));
    chain->child = child;
    setpriority(PRIO_PROCESS, (id_t)child, CHILD_NICE); /* a verification must not slow the node down */
    return 0;
}

static int start_child(struct http_chain *chain, struct err *err)
{
    int pipe_ends[2];
    chain->errors = memfd_create("katena-chain-errors", MFD_CLOEXEC);
    if (chain->errors < 0 || pipe2(pipe_ends, O_CLOEXEC) != 0)
        return err_set_errno(err, "run katena chain");
    chain->output = pipe_ends[0];
    int code = spawn_child(chain, pipe_ends[1], err);
    close(pipe_ends[1]);
    return code;
}

/* Its exit status, or -1 when it did not end by itself. It is ending or killed, so this does not wait long.
 */
static int reap_child(struct http_chain *chain)
{
    int status = 0;
    while (waitpid(chain->child, &status, 0) < 0 && errno == EINTR)
        ;
    chain->child = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* What a child that failed said, without its own prefix. */
static int child_error(struct http_chain *chain, int status, struct err *err)
{
    static const char prefix[] = "katena: ";
    char text[ERR_MESSAGE_MAX] = "";
    ssize_t n = pread(chain->errors, text, sizeof(text) - 1, 0);
    while (n > 0 && text[n - 1] == '\n')
        text[--n] = '\0';
    const char *message = strncmp(text, prefix, sizeof(prefix) - 1) == 0 ? text + sizeof(prefix) - 1 : text;
    int code = status == USAGE_STATUS ? ERR_BAD_REQUEST
               : status > CODE_STATUS ? CODE_STATUS - status
                                      : ERR_INTERNAL;
    return err_set(err, code, "%s", *message ? message : "katena chain was ended");
}

void http_chain_free(struct http_chain *chain)
{
    if (chain->streams)
        http_stream_close(&chain->stream);
    if (chain->child) {
        kill(chain->child, SIGKILL);
        reap_child(chain);
    }
    if (chain->output >= 0)
        close(chain->output);
    if (chain->errors >= 0)
        close(chain->errors);
    chain_args_free(&chain->args);
    atomic_fetch_sub(&chain->http->chain_children, 1);
    free(chain);
}

/* ---- until the first output ---- */

/* Returns when there is something to read, the child has ended, the client is gone or the server stops. */
static int await_output(struct http_chain *chain, struct err *err)
{
    struct pollfd fds[] = {{.fd = chain->output, .events = POLLIN},
                           {.fd = chain->request->connection->fd, .events = POLLRDHUP}};
    while (poll(fds, 2, LOOK_MS) >= 0 || errno == EINTR) {
        if (fds[0].revents & POLLIN)
            return 0;
        if (fds[0].revents)
            break;
        if (fds[1].revents)
            return err_set(err, ERR_TIMEOUT, "the client has gone");
        if (atomic_load(&chain->http->stopping))
            return err_set(err, ERR_UNAVAILABLE, "the server is shutting down");
    }
    int status = reap_child(chain);
    chain->empty = status == 0;
    return status == 0 ? 0 : child_error(chain, status, err);
}

static void *chain_main(void *arg)
{
    struct http_chain *chain = arg;
    struct err *err = &chain->request->err;
    pthread_setname_np(pthread_self(), "http-chain");
    chain->code = start_child(chain, err);
    if (!chain->code)
        chain->code = await_output(chain, err);
    http_meet_done(chain->request); /* from here on the chain may be gone */
    return NULL;
}

static int start_thread(struct http_chain *chain)
{
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    int rc = pthread_create(&thread, &attributes, chain_main, chain);
    pthread_attr_destroy(&attributes);
    return rc ? err_set(&chain->request->err, ERR_UNAVAILABLE, "no thread for the chain: %s", strerror(rc))
              : 0;
}

/* ---- the request ---- */

struct query_list {
    struct chain_query items[QUERY_MAX];
    size_t count; /* more than QUERY_MAX: the others were dropped */
};

static enum MHD_Result collect_query(void *cls, enum MHD_ValueKind kind, const char *name, const char *value)
{
    struct query_list *list = cls;
    (void)kind;
    if (list->count < QUERY_MAX)
        list->items[list->count] = (struct chain_query){name, value};
    list->count++;
    return MHD_YES;
}

static int make_args(struct http_request *request, struct chain_args *args)
{
    struct query_list list = {.count = 0};
    MHD_get_connection_values(request->mhd, MHD_GET_ARGUMENT_KIND, collect_query, &list);
    if (list.count > QUERY_MAX)
        return err_set(&request->err, ERR_BAD_REQUEST, "at most %d parameters are accepted", QUERY_MAX);
    return chain_args_make(args, request->route.name, request->http->server->data_dir, list.items, list.count,
                           &request->err);
}

static enum MHD_Result reply_index(struct http_request *request)
{
    json_auto_t *index = json_object();
    json_t *paths = json_array_ensure(index, "paths");
    for (const char *const *s = chain_args_subcommands; *s; s++)
        json_array_append_new(paths, json_sprintf(HTTP_CHAIN_PATH "/%s", *s));
    struct buf body = BUF_INIT;
    json_dump_buf(&body, index);
    return http_reply(request, MHD_HTTP_OK, "application/json", &body);
}

enum MHD_Result http_chain_run(struct http_request *request)
{
    struct api_http *http = request->http;
    struct chain_args args = {.count = 0};
    if (!*request->route.name)
        return reply_index(request);
    int code = make_args(request, &args);
    if (!code && atomic_fetch_add(&http->chain_children, 1) >= CHILDREN_MAX) {
        atomic_fetch_sub(&http->chain_children, 1);
        code = err_set(&request->err, ERR_TOO_MANY,
                       "the chain is being read by %d others, please try again later", CHILDREN_MAX);
    }
    if (code) {
        chain_args_free(&args);
        return http_reply_err(request);
    }
    struct http_chain *chain = mem_zalloc(sizeof(*chain));
    chain->request = request;
    chain->http = http;
    chain->args = args;
    chain->output = -1;
    chain->errors = -1;
    request->chain = chain;
    if (start_thread(chain))
        return http_reply_err(request);
    return http_meet_wait(request) ? http_chain_resume(request) : MHD_YES;
}

/* ---- the answer ---- */

static ssize_t read_output(void *cls, uint64_t position, char *out, size_t max)
{
    struct http_chain *chain = cls;
    struct err err;
    (void)position;
    http_stream_begin(&chain->stream);
    if (atomic_load(&chain->stream.ended))
        return MHD_CONTENT_READER_END_WITH_ERROR;
    ssize_t n;
    do
        n = read(chain->output, out, max);
    while (n < 0 && errno == EINTR);
    if (n > 0)
        return n;
    if (n < 0 && errno == EAGAIN) {
        http_stream_wait_source(&chain->stream, chain->output);
        return 0;
    }
    int status = reap_child(chain);
    if (status == 0)
        return MHD_CONTENT_READER_END_OF_STREAM;
    child_error(chain, status, &err);
    log_warn("http", "katena chain broke off: %s", err.message);
    return MHD_CONTENT_READER_END_WITH_ERROR;
}

static void stream_free(void *cls)
{
    http_chain_free(cls);
}

enum MHD_Result http_chain_resume(struct http_request *request)
{
    struct http_chain *chain = request->chain;
    if (chain->code)
        return http_reply_err(request);
    if (chain->empty) {
        struct buf nothing = BUF_INIT;
        return http_reply(request, MHD_HTTP_OK, HTTP_CHAIN_TYPE, &nothing);
    }
    fcntl(chain->output, F_SETFL, O_NONBLOCK);
    request->chain = NULL;
    chain->request = NULL;
    chain->streams = true;
    http_request_streams(request);
    http_stream_open(&chain->stream, request, 0);
    struct MHD_Response *stream =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, HTTP_BLOCK_SIZE, read_output, chain, stream_free);
    MHD_add_response_header(stream, "Content-Type", HTTP_CHAIN_TYPE);
    return http_queue(request, MHD_HTTP_OK, stream);
}
