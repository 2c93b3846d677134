/* katena server: runs a node until SIGINT or SIGTERM. */
#include "commands.h"

#include "base/err.h"
#include "base/log.h"
#include "node/node.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TLS_SAN_MAX 32

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
    "  --cluster-cidr CIDR                 addresses of pods (default 10.42.0.0/16)\n"
    "  --service-cidr CIDR                 addresses of services (default 10.43.0.0/16)\n"
    "  --container-runtime-endpoint PATH   use this CRI socket instead of an own containerd\n"
    "  --control-plane-only                no kubelet and no service proxy; needs no root\n"
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
    {"cleanup", no_argument, NULL, OPT_CLEANUP},
    {"debug", no_argument, NULL, OPT_DEBUG},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

struct arguments {
    struct node_options node;
    const char *tls_san[TLS_SAN_MAX + 1];
    size_t tls_san_count;
    bool cleanup;
};

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
    case OPT_PORT: {
        char *end;
        long port = strtol(optarg, &end, 10);
        if (*end || port < 1 || port > 65535) {
            fprintf(stderr, "katena: --https-listen-port takes a port from 1 to 65535, not \"%s\"\n", optarg);
            return 2;
        }
        node->port = (int)port;
        return -1;
    }
    case OPT_ADVERTISE_ADDRESS:
        node->advertise_address = optarg;
        return -1;
    case OPT_NODE_NAME:
        node->name = optarg;
        return -1;
    case OPT_TLS_SAN:
        if (arguments->tls_san_count == TLS_SAN_MAX) {
            fprintf(stderr, "katena: --tls-san may be given %d times\n", TLS_SAN_MAX);
            return 2;
        }
        arguments->tls_san[arguments->tls_san_count++] = optarg;
        return -1;
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
        int status = parse_option(arguments, c);
        if (status >= 0)
            return status;
    }
    if (optind < argc) {
        fprintf(stderr, "katena: unexpected argument \"%s\"\n", argv[optind]);
        return 2;
    }
    arguments->node.tls_san = arguments->tls_san;
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

static int run_until_signal(const struct node_options *options)
{
    sigset_t ending;
    block_signals(&ending);
    struct err err;
    struct node *node = NULL;
    if (node_start(&node, options, &err))
        return report(&err);
    log_info("server", "ready; export KUBECONFIG=%s", node_kubeconfig(node));
    int caught;
    sigwait(&ending, &caught);
    log_info("server", "%s: stopping", strsignal(caught));
    node_stop(node);
    return 0;
}

int cmd_server(int argc, char **argv)
{
    struct arguments arguments = {.node = {.data_dir = DEFAULT_DATA_DIR,
                                           .bind_address = "0.0.0.0",
                                           .port = 6443,
                                           .cluster_cidr = "10.42.0.0/16",
                                           .service_cidr = "10.43.0.0/16"}};
    int status = parse_arguments(&arguments, argc, argv);
    if (status >= 0)
        return status;
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
