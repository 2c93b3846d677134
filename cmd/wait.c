/* katena wait: until a change is in a durable block, or irreversible. */
#include "commands.h"
#include "status_words.h"

#include "base/clock.h"
#include "base/timefmt.h"
#include "codec/json.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "Wait until a change is irreversible: until no chain switch can undo it.\n\n"
    "Usage:\n"
    "  katena wait TX            a transaction: the header Katena-Tx of an answer, or katena chain log\n"
    "  katena wait KIND/NAME     the newest change of an object\n\n"
    "Options:\n"
    "  --for irreversible|included   what to wait for (default irreversible)\n"
    "  -n, --namespace NS            of the object (default default)\n"
    "  --timeout DURATION            how long to wait (default 30s)\n"
    "  --data-dir DIR                ask the node of this data directory; else\n"
    "  --kubeconfig FILE             the one of this kubeconfig, $KUBECONFIG or ~/.kube/config; without "
    "any,\n"
    "                                as --data-dir " DEFAULT_DATA_DIR "\n";

#define DEFAULT_TIMEOUT_US 30000000
#define LOOK_US 50000
#define ASK_TIMEOUT_S 60L

enum { OPT_FOR = 256, OPT_TIMEOUT, OPT_DATA_DIR, OPT_KUBECONFIG };

static const struct option long_options[] = {
    {"for", required_argument, NULL, OPT_FOR},
    {"namespace", required_argument, NULL, 'n'},
    {"timeout", required_argument, NULL, OPT_TIMEOUT},
    {"data-dir", required_argument, NULL, OPT_DATA_DIR},
    {"kubeconfig", required_argument, NULL, OPT_KUBECONFIG},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

struct arguments {
    struct remote_options remote;
    struct chain_arguments chain;
    int64_t timeout_us;
    bool included; /* is enough */
};

static bool reached(const struct arguments *a, const char *level)
{
    return !strcmp(level, "irreversible") || (a->included && !strcmp(level, "included"));
}

/* Asks so that the node answers when it is final; for an inclusion, which is a matter of milliseconds, it is
 * asked again and again. */
static int ask_until(struct remote *remote, const struct arguments *a, const char *path, json_t **status,
                     struct err *err)
{
    buf_auto struct buf url = BUF_INIT;
    int64_t until_us = clock_mono_us() + a->timeout_us;
    char timeout[32];
    buf_puts(&url, path);
    if (!a->included) {
        snprintf(timeout, sizeof(timeout), "%lldms", (long long)a->timeout_us / 1000);
        remote_add_parameter(remote->curl, &url, "wait", "irreversible");
        remote_add_parameter(remote->curl, &url, "timeout", timeout);
    }
    for (;;) {
        json_decref(*status);
        *status = NULL;
        int code = remote_ask(remote, "GET", buf_str(&url), NULL,
                              (long)(a->timeout_us / 1000000) + ASK_TIMEOUT_S, status, err);
        const char *level = json_str_or_empty(*status, "level");
        if (code || reached(a, level) || !strcmp(level, "rejected") || clock_mono_us() >= until_us)
            return code;
        usleep(LOOK_US);
    }
}

static int judge(const struct arguments *a, const json_t *status, struct err *err)
{
    const char *level = json_str_or_empty(status, "level");
    if (reached(a, level))
        return 0;
    if (!strcmp(level, "rejected"))
        return err_set(err, ERR_CONFLICT, "it was rejected: %s", json_str_or_empty(status, "reason"));
    if (!strcmp(level, "unknown"))
        return err_set(err, ERR_NOT_FOUND, "the node does not know this transaction");
    return err_set(
        err, ERR_TIMEOUT,
        "it is %s, and was not %s in time: not enough nodes have confirmed it yet. It may still become so; "
        "ask again with katena chain status",
        level, a->included ? "included" : "irreversible");
}

static int run(const struct arguments *a)
{
    struct remote remote;
    struct err err;
    buf_auto struct buf path = BUF_INIT;
    json_auto_t *status = NULL;
    if (remote_open_options(&remote, &a->remote, &err))
        return chain_fail(&err);
    bool named = status_path(remote.curl, &path, &a->chain);
    int code = named ? ask_until(&remote, a, buf_str(&path), &status, &err) : 0;
    remote_close(&remote);
    if (!named)
        return 2;
    if (!code && status)
        status_print(status);
    if (!code)
        code = judge(a, status, &err);
    return code ? chain_fail(&err) : 0;
}

/* Returns -1 to go on, else the exit status. */
static int parse_option(struct arguments *a, int option)
{
    switch (option) {
    case OPT_FOR:
        a->included = strcmp(optarg, "included") == 0;
        if (a->included || strcmp(optarg, "irreversible") == 0)
            return -1;
        fprintf(stderr, "katena: --for takes irreversible or included, not \"%s\"\n", optarg);
        return 2;
    case 'n':
        a->chain.namespace = optarg;
        return -1;
    case OPT_TIMEOUT:
        if (timefmt_duration(optarg, &a->timeout_us) && a->timeout_us <= 3600000000LL)
            return -1;
        fprintf(stderr, "katena: --timeout takes a duration of one hour at most, not \"%s\"\n", optarg);
        return 2;
    case OPT_DATA_DIR:
        a->remote.data_dir = optarg;
        return -1;
    case OPT_KUBECONFIG:
        a->remote.kubeconfig = optarg;
        return -1;
    case 'h':
        fputs(usage, stdout);
        return 0;
    default:
        fputs("Run 'katena wait --help' for usage.\n", stderr);
        return 2;
    }
}

int cmd_wait(int argc, char **argv)
{
    struct arguments a = {.timeout_us = DEFAULT_TIMEOUT_US};
    for (int c; (c = getopt_long(argc, argv, "hn:", long_options, NULL)) != -1;) {
        int status = parse_option(&a, c);
        if (status >= 0)
            return status;
    }
    if (optind == argc) {
        fputs(usage, stderr);
        return 2;
    }
    a.chain.words = argv + optind;
    a.chain.word_count = argc - optind;
    return run(&a);
}
