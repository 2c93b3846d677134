/* katena server: runs a node until SIGINT or SIGTERM. */
#include "commands.h"
#include "server.h"

#include "base/err.h"
#include "base/log.h"
#include "base/timefmt.h"
#include "codec/json_memory.h"
#include "node/node.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TLS_SAN_MAX 32
#define PEER_ADDRESSES_MAX 8
#define TOKEN_TEXT_MAX 256
/* Of a node that was removed from its cluster: there is no use in starting it again. */
#define REMOVED_STATUS 3
#define RETENTION_MIN_US 1000000
#define GRACE_MIN_US 1000000

static const char usage[] =
    "Run a node: API server, scheduler, controllers, and a kubelet with its own containerd.\n\n"
    "Usage:\n  katena server [OPTION...]\n\n"
    "Options:\n"
    "  --data-dir DIR                      everything the node keeps (default " DEFAULT_DATA_DIR ")\n"
    "  --bind-address ADDRESS              where the API listens (default 0.0.0.0)\n"
    "  --https-listen-port PORT            port of the API (default 6443)\n"
    "  --advertise-address ADDRESS         the address that others reach this node by\n"
    "  --node-name NAME                    default: the host name\n"
    "  --tls-san NAME                      further name or address in the serving certificate; may be "
    "repeated\n"
    "  --cluster-cidr CIDR                 addresses of pods (default 10.42.0.0/16, or the cluster's)\n"
    "  --service-cidr CIDR                 addresses of services (default 10.43.0.0/16, or the cluster's)\n"
    "  --join https://HOST:PORT            become a node of the cluster that HOST is of; several with "
    "commas\n"
    "  --token TOKEN                       for --join: what `katena token create` prints last there;\n"
    "                                      or $KATENA_TOKEN\n"
    "  --token-file FILE                   the same, from a file\n"
    "  --peer-port PORT                    where other nodes connect to this one (default 6444)\n"
    "  --peer-address HOST[:PORT]          where they reach it, when that is another place; may be repeated\n"
    "  --retention DURATION                how long history is kept, such as 24h (the default) or 7d\n"
    "  --node-monitor-grace-period DURATION  how long a node may be out of reach before it counts as lost\n"
    "                                      (default 10s)\n"
    "  --byzantine                         first start only: nodes may lie, so finality takes more than two\n"
    "                                      thirds of them instead of more than half\n"
    "  --container-runtime-endpoint PATH   use this CRI socket instead of an own containerd\n"
    "  --control-plane-only                no kubelet and no service proxy; needs no root\n"
    "  --cluster-reset                     do not run: make this node, which is stopped, the only member of "
    "its\n"
    "                                      cluster, with all objects, where half of the nodes or more are "
    "lost\n"
    "                                      for good; the others are dropped and have to join anew\n"
    "  --cleanup                           do not run: end the pods of a stopped node and clean the host up\n"
    "  --debug                             log more\n";

enum {
    OPT_DATA_DIR = 256,
    OPT_BIND_ADDRESS,
    OPT_PORT,
    OPT_ADVERTISE_ADDRESS,
    OPT_NODE_NAME,
    OPT_TLS_SAN,
    OPT_CLUSTER_CIDR,
    OPT_SERVICE_CIDR,
    OPT_RUNTIME_ENDPOINT,
    OPT_CONTROL_PLANE_ONLY,
    OPT_JOIN,
    OPT_TOKEN,
    OPT_TOKEN_FILE,
    OPT_PEER_PORT,
    OPT_PEER_ADDRESS,
    OPT_RETENTION,
    OPT_GRACE,
    OPT_BYZANTINE,
    OPT_CLUSTER_RESET,
    OPT_CLEANUP,
    OPT_DEBUG,
    OPT_HELP,
};

static const struct option long_options[] = {
    {"data-dir", required_argument, NULL, OPT_DATA_DIR},
    {"bind-address", required_argument, NULL, OPT_BIND_ADDRESS},
    {"https-listen-port", required_argument, NULL, OPT_PORT},
    {"advertise-address", required_argument, NULL, OPT_ADVERTISE_ADDRESS},
    {"node-name", required_argument, NULL, OPT_NODE_NAME},
    {"tls-san", required_argument, NULL, OPT_TLS_SAN},
    {"cluster-cidr", required_argument, NULL, OPT_CLUSTER_CIDR},
    {"service-cidr", required_argument, NULL, OPT_SERVICE_CIDR},
    {"container-runtime-endpoint", required_argument, NULL, OPT_RUNTIME_ENDPOINT},
    {"control-plane-only", no_argument, NULL, OPT_CONTROL_PLANE_ONLY},
    {"join", required_argument, NULL, OPT_JOIN},
    {"token", required_argument, NULL, OPT_TOKEN},
    {"token-file", required_argument, NULL, OPT_TOKEN_FILE},
    {"peer-port", required_argument, NULL, OPT_PEER_PORT},
    {"peer-address", required_argument, NULL, OPT_PEER_ADDRESS},
    {"retention", required_argument, NULL, OPT_RETENTION},
    {"node-monitor-grace-period", required_argument, NULL, OPT_GRACE},
    {"byzantine", no_argument, NULL, OPT_BYZANTINE},
    {"cluster-reset", no_argument, NULL, OPT_CLUSTER_RESET},
    {"cleanup", no_argument, NULL, OPT_CLEANUP},
    {"debug", no_argument, NULL, OPT_DEBUG},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

struct arguments {
    struct node_options node;
    const char *tls_san[TLS_SAN_MAX + 1];
    size_t tls_san_count;
    const char *peer_addresses[PEER_ADDRESSES_MAX + 1];
    size_t peer_address_count;
    char token[TOKEN_TEXT_MAX];
    bool cleanup, cluster_reset;
};

static int parse_port(int *out, const char *name, const char *text)
{
    char *end;
    long port = strtol(text, &end, 10);
    if (*end || end == text || port < 1 || port > 65535) {
        fprintf(stderr, "katena: %s takes a port from 1 to 65535, not \"%s\"\n", name, text);
        return 2;
    }
    *out = (int)port;
    return -1;
}

/* Adds to a list of options that may be repeated. */
static int add_option(const char **list, size_t *count, size_t max, const char *name, const char *text)
{
    if (*count == max) {
        fprintf(stderr, "katena: %s may be given %zu times\n", name, max);
        return 2;
    }
    list[(*count)++] = text;
    return -1;
}

/* The first line of a file. */
static int read_token_file(struct arguments *arguments, const char *path)
{
    FILE *file = fopen(path, "re");
    bool read = file && fgets(arguments->token, sizeof(arguments->token), file);
    if (file)
        fclose(file);
    if (!read) {
        fprintf(stderr, "katena: cannot read a token from %s: %s\n", path,
                file ? "it is empty" : strerror(errno));
        return 1;
    }
    arguments->token[strcspn(arguments->token, "\r\n")] = '\0';
    arguments->node.token = arguments->token;
    return -1;
}

static int parse_retention(struct node_options *node, const char *text)
{
    if (timefmt_duration(text, &node->retention_us) && node->retention_us >= RETENTION_MIN_US)
        return -1;
    fprintf(stderr,
            "katena: --retention takes a duration of a second at least, such as 24h or 7d, not \"%s\"\n",
            text);
    return 2;
}

static int parse_grace(struct node_options *node, const char *text)
{
    if (timefmt_duration(text, &node->node_monitor_grace_us) && node->node_monitor_grace_us >= GRACE_MIN_US)
        return -1;
    fprintf(stderr,
            "katena: --node-monitor-grace-period takes a duration of a second at least, such as 40s, not "
            "\"%s\"\n",
            text);
    return 2;
}

/* What has to do with other nodes. Returns -1 to go on, else the exit status; -2 for none of these options.
 */
static int parse_network_option(struct arguments *arguments, int option)
{
    struct node_options *node = &arguments->node;
    switch (option) {
    case OPT_JOIN:
        node->join = optarg;
        return -1;
    case OPT_TOKEN:
        node->token = optarg;
        return -1;
    case OPT_TOKEN_FILE:
        return read_token_file(arguments, optarg);
    case OPT_PEER_PORT:
        return parse_port(&node->peer_port, "--peer-port", optarg);
    case OPT_PEER_ADDRESS:
        return add_option(arguments->peer_addresses, &arguments->peer_address_count, PEER_ADDRESSES_MAX,
                          "--peer-address", optarg);
    case OPT_RETENTION:
        return parse_retention(node, optarg);
    case OPT_GRACE:
        return parse_grace(node, optarg);
    case OPT_BYZANTINE:
        node->byzantine = true;
        return -1;
    default:
        return -2;
    }
}

/* Returns -1 to go on, else the exit status. */
static int parse_option(struct arguments *arguments, int option)
{
    struct node_options *node = &arguments->node;
    switch (option) {
    case OPT_DATA_DIR:
        node->data_dir = optarg;
        return -1;
    case OPT_BIND_ADDRESS:
        node->bind_address = optarg;
        return -1;
    case OPT_PORT:
        return parse_port(&node->port, "--https-listen-port", optarg);
    case OPT_ADVERTISE_ADDRESS:
        node->advertise_address = optarg;
        return -1;
    case OPT_NODE_NAME:
        node->name = optarg;
        return -1;
    case OPT_TLS_SAN:
        return add_option(arguments->tls_san, &arguments->tls_san_count, TLS_SAN_MAX, "--tls-san", optarg);
    case OPT_CLUSTER_CIDR:
        node->cluster_cidr = optarg;
        return -1;
    case OPT_SERVICE_CIDR:
        node->service_cidr = optarg;
        return -1;
    case OPT_RUNTIME_ENDPOINT:
        node->container_runtime_endpoint = optarg;
        return -1;
    case OPT_CONTROL_PLANE_ONLY:
        node->control_plane_only = true;
        return -1;
    case OPT_CLUSTER_RESET:
        arguments->cluster_reset = true;
        return -1;
    case OPT_CLEANUP:
        arguments->cleanup = true;
        return -1;
    case OPT_DEBUG:
        log_set_level(LOG_LEVEL_DEBUG);
        return -1;
    case OPT_HELP:
        fputs(usage, stdout);
        return 0;
    default:
        fputs("Run 'katena server --help' for usage.\n", stderr);
        return 2;
    }
}

static int parse_arguments(struct arguments *arguments, int argc, char **argv)
{
    for (int c; (c = getopt_long(argc, argv, "", long_options, NULL)) != -1;) {
        int status = parse_network_option(arguments, c);
        if (status == -2)
            status = parse_option(arguments, c);
        if (status >= 0)
            return status;
    }
    if (optind < argc) {
        fprintf(stderr, "katena: unexpected argument \"%s\"\n", argv[optind]);
        return 2;
    }
    if (arguments->cluster_reset && (arguments->cleanup || arguments->node.join)) {
        fprintf(stderr, "katena: --cluster-reset and --%s exclude each other\n",
                arguments->cleanup ? "cleanup" : "join");
        return 2;
    }
    arguments->node.tls_san = arguments->tls_san;
    arguments->node.peer_addresses = arguments->peer_addresses;
    const char *token = getenv("KATENA_TOKEN");
    if (arguments->node.join && !arguments->node.token && token && *token)
        arguments->node.token = token;
    return -1;
}

static int report(const struct err *err)
{
    fprintf(stderr, "katena: %s\n", err->message);
    return 1;
}

/* Blocks the signals that end a node in every thread, so that only sigwait sees them. */
static void block_signals(sigset_t *ending)
{
    sigemptyset(ending);
    sigaddset(ending, SIGINT);
    sigaddset(ending, SIGTERM);
    pthread_sigmask(SIG_BLOCK, ending, NULL);
    signal(SIGPIPE, SIG_IGN);
}

/* The node asks for its end in the same way as a user does. */
static void on_ended(void *arg)
{
    (void)arg;
    kill(getpid(), SIGTERM);
}

/* Runs a node to its end. */
static int run_once(const struct node_options *options, const sigset_t *ending, enum node_outcome *outcome)
{
    struct err err;
    struct node *node = NULL;
    const struct timespec at_once = {0};
    int caught;
    *outcome = NODE_RUNS;
    if (node_start(&node, options, &err)) {
        if (err.code == ERR_EXPIRED && sigtimedwait(ending, NULL, &at_once) > 0) { /* see on_ended */
            *outcome = NODE_AGAIN;
            return 0;
        }
        report(&err);
        return err.code == ERR_GONE ? REMOVED_STATUS : 1;
    }
    log_info("server", "ready; export KUBECONFIG=%s", node_kubeconfig(node));
    sigwait(ending, &caught);
    *outcome = node_outcome(node);
    if (*outcome == NODE_RUNS)
        log_info("server", "%s: stopping", strsignal(caught));
    node_stop(node);
    return *outcome == NODE_REMOVED ? REMOVED_STATUS : 0;
}

/* A node that has to fetch its chain anew is stopped and started; its pods do not notice. */
static int run_until_signal(struct node_options *options)
{
    sigset_t ending;
    enum node_outcome outcome;
    block_signals(&ending);
    options->ended = on_ended;
    int status;
    do
        status = run_once(options, &ending, &outcome);
    while (outcome == NODE_AGAIN);
    return status;
}

int cmd_server(int argc, char **argv)
{
    json_memory_start();
    struct arguments arguments = {
        .node = {.data_dir = DEFAULT_DATA_DIR, .bind_address = "0.0.0.0", .port = 6443}};
    int status = parse_arguments(&arguments, argc, argv);
    if (status >= 0)
        return status;
    if (arguments.cluster_reset)
        return server_cluster_reset(arguments.node.data_dir);
    if (arguments.cleanup) {
        struct err err;
        return node_cleanup(arguments.node.data_dir, &err) ? report(&err) : 0;
    }
    if (!arguments.node.control_plane_only && geteuid() != 0) {
        fputs("katena: running pods needs root. Run as root, or with --control-plane-only.\n", stderr);
        return 1;
    }
    return run_until_signal(&arguments.node);
}
