/* katena node: the nodes of a cluster, as one of them sees them. */
#include "commands.h"
#include "remote.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "codec/json.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "List and remove the nodes of a cluster, and renew their keys.\n\n"
    "Usage:\n"
    "  katena node list               who belongs to the cluster, who is there, how far each one is\n"
    "  katena node remove NAME        take a node out of the cluster, for good; waits until that acts\n"
    "  katena node rotate-keys        give the node that is asked a new key; waits until that acts\n\n"
    "Options:\n"
    "  -o, --output json|wide  list: everything, as JSON or as further columns\n"
    "  --timeout DURATION      remove, rotate-keys: how long to wait (default 60s)\n"
    "  --data-dir DIR          ask the node of this data directory; else\n"
    "  --kubeconfig FILE       the one of this kubeconfig, $KUBECONFIG or ~/.kube/config; without any, as\n"
    "                          --data-dir " DEFAULT_DATA_DIR "\n";

#define ASK_TIMEOUT_S 60L
#define DEFAULT_TIMEOUT_US 60000000
#define LOOK_US 200000
#define TELL_US 2000000

enum { OPT_TIMEOUT = 256, OPT_DATA_DIR, OPT_KUBECONFIG };

static const struct option long_options[] = {
    {"output", required_argument, NULL, 'o'},
    {"timeout", required_argument, NULL, OPT_TIMEOUT},
    {"data-dir", required_argument, NULL, OPT_DATA_DIR},
    {"kubeconfig", required_argument, NULL, OPT_KUBECONFIG},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

struct node_arguments {
    struct remote_options remote;
    const char *output; /* NULL: a table */
    int64_t timeout_us;
    const char *word; /* behind the subcommand; NULL: none */
};

/* ---- list ---- */

static void millis(char out[24], const json_t *node, const char *member, bool sign)
{
    const json_t *value = json_at(node, member);
    if (json_is_integer(value))
        snprintf(out, 24, sign ? "%+.1fms" : "%.1fms", (double)json_integer_value(value) / 1000);
    else
        snprintf(out, 24, "-");
}

/* What is to be known of a node at a glance. */
static const char *state_of(const json_t *node)
{
    if (json_bool_at(node, "equivocated"))
        return "lied";
    if (json_bool_at(node, "refused"))
        return "refused";
    if (json_bool_at(node, "self"))
        return "here";
    return json_bool_at(node, "live") ? "live" : "down";
}

static void print_node(const json_t *node, bool wide)
{
    char offset[24], trip[24], behind[24] = "-";
    const char *address = json_or_empty_(json_array_get(json_at(node, "addresses"), 0));
    if (!*address)
        address = json_str_or_empty(node, "address");
    millis(offset, node, "clockOffsetUs", true);
    millis(trip, node, "roundTripUs", false);
    if (json_bool_at(node, "live") || json_bool_at(node, "self"))
        snprintf(behind, sizeof(behind), "%lld", (long long)json_int_or(0, node, "behind"));
    printf("%-20s  %-8.8s  %-7s  %-7s  %8lld  %6s  %9s  %9s  %6lld  %s", json_str_or_empty(node, "name"),
           json_str_or_empty(node, "key"), json_str_or_empty(node, "phase"), state_of(node),
           (long long)json_int_or(0, node, "headHeight"), behind, offset, trip,
           (long long)json_int_or(0, node, "faults"), address);
    if (wide)
        printf("  %s  %s", json_bool_at(node, "producer") ? "producer" : "-",
               json_str_or_empty(node, "lastError"));
    putchar('\n');
}

static int list_nodes(struct remote *remote, const struct node_arguments *a, struct err *err)
{
    json_auto_t *answer = NULL;
    size_t i;
    const json_t *node;
    int code = remote_ask(remote, "GET", "/katena/v1/nodes", NULL, ASK_TIMEOUT_S, &answer, err);
    if (code)
        return code;
    if (a->output && strcmp(a->output, "json") == 0) {
        json_dumpf(answer, stdout, JSON_INDENT(2));
        putchar('\n');
        return 0;
    }
    bool wide = a->output && strcmp(a->output, "wide") == 0;
    printf("%-20s  %-8s  %-7s  %-7s  %8s  %6s  %9s  %9s  %6s  %s%s\n", "NAME", "KEY", "PHASE", "STATE",
           "HEAD", "BEHIND", "CLOCK", "ROUNDTRIP", "FAULTS", "ADDRESS", wide ? "  ROLE  LAST ERROR" : "");
    json_array_foreach(json_object_get(answer, "items"), i, node) print_node(node, wide);
    return 0;
}

/* ---- remove ---- */

static json_t *find_node(const json_t *answer, const char *name)
{
    size_t i;
    json_t *node;
    json_array_foreach(json_object_get(answer, "items"), i, node)
    {
        if (strcmp(json_str_or_empty(node, "name"), name) == 0)
            return node;
    }
    return NULL;
}

/* Which nodes a removal waits for, as far as one can tell: those that vote and are not there. */
static void tell_waiting(const json_t *answer, const char *name)
{
    size_t i, down = 0, voting = 0;
    const json_t *node;
    buf_auto struct buf names = BUF_INIT;
    json_array_foreach(json_object_get(answer, "items"), i, node)
    {
        if (!json_bool_at(node, "acting"))
            continue;
        voting++;
        if (json_bool_at(node, "live") || json_bool_at(node, "self"))
            continue;
        down++;
        buf_printf(&names, "%s%s", names.len ? ", " : "", json_str_or_empty(node, "name"));
    }
    fprintf(
        stderr,
        "%s is leaving: waiting until that is final, which more than half of the %zu voting nodes have to "
        "confirm%s%s%s\n",
        name, voting, down ? " (not there: " : "", buf_str(&names), down ? ")" : "");
}

/* A node that removes itself ends as soon as that acts: then it cannot be asked any more. */
static int wait_until_gone(struct remote *remote, const char *name, bool itself, int64_t timeout_us,
                           struct err *err)
{
    int64_t begin_us = clock_mono_us(), told_us = begin_us;
    for (;;) {
        json_auto_t *answer = NULL;
        int code = remote_ask(remote, "GET", "/katena/v1/nodes", NULL, ASK_TIMEOUT_S, &answer, err);
        if (code)
            return itself ? 0 : code;
        if (!find_node(answer, name))
            return 0;
        int64_t now_us = clock_mono_us();
        if (now_us - begin_us > timeout_us)
            return err_set(
                err, ERR_TIMEOUT,
                "\"%s\" is leaving, but not enough nodes have confirmed it yet. It goes on by itself as "
                "soon as they do; see katena node list",
                name);
        if (now_us - told_us > TELL_US) {
            tell_waiting(answer, name);
            told_us = now_us;
        }
        usleep(LOOK_US);
    }
}

/* The Node object goes as well, so that what ran there is run elsewhere at once. */
static int delete_object(struct remote *remote, const char *name, struct err *err)
{
    mem_auto char *path = mem_printf("/api/v1/nodes/%s", name);
    int code = remote_ask(remote, "DELETE", path, NULL, ASK_TIMEOUT_S, NULL, err);
    return code == ERR_NOT_FOUND ? 0 : code;
}

static int remove_node(struct remote *remote, const struct node_arguments *a, struct err *err)
{
    json_auto_t *status = NULL;
    if (!a->word)
        return err_set(err, ERR_INVALID, "name the node to remove, as katena node list shows it");
    mem_auto char *path = mem_printf("/katena/v1/nodes/%s", a->word);
    int code = remote_ask(remote, "GET", "/katena/v1/status", NULL, ASK_TIMEOUT_S, &status, err);
    if (!code)
        code = remote_ask(remote, "DELETE", path, NULL, ASK_TIMEOUT_S, NULL, err);
    if (code)
        return code;
    bool itself = strcmp(a->word, json_str_or_empty(status, "node")) == 0;
    if (itself)
        code = delete_object(remote, a->word, err);
    if (!code)
        code = wait_until_gone(remote, a->word, itself, a->timeout_us, err);
    if (!code && !itself)
        code = delete_object(remote, a->word, err);
    if (!code)
        printf("%s is removed from the cluster. Its data directory is of no more use: to make it a member "
               "again, "
               "remove that and join with a new token.\n",
               a->word);
    return code;
}

/* ---- rotate-keys ---- */

/* The node restarts itself meanwhile, so it may not answer for a moment. */
static int wait_for_key(struct remote *remote, const char *name, const char *old_key, int64_t timeout_us,
                        struct err *err)
{
    int64_t begin_us = clock_mono_us(), told_us = begin_us;
    for (;;) {
        json_auto_t *answer = NULL;
        const int asked = remote_ask(remote, "GET", "/katena/v1/nodes", NULL, ASK_TIMEOUT_S, &answer, err);
        const json_t *node = find_node(answer, name);
        const char *key = json_str_or_empty(node, "key");
        if (*key && strcmp(key, old_key) != 0 && !strcmp(json_str_or_empty(node, "phase"), "Acting")) {
            printf("%s has a new key: %s\n", name, key);
            return 0;
        }
        int64_t now_us = clock_mono_us();
        if (now_us - begin_us > timeout_us)
            return err_set(
                err, ERR_TIMEOUT,
                "\"%s\" is changing its key, but is not done yet: it goes on by itself as soon as enough "
                "nodes confirm it; see katena node list, and the log of that node",
                name);
        if (now_us - told_us > TELL_US) {
            told_us = now_us;
            if (!asked && node && !strcmp(key, old_key))
                tell_waiting(answer, name);
            else
                fprintf(stderr, "%s joins again with its new key\n", name);
        }
        usleep(LOOK_US);
    }
}

static int rotate_keys(struct remote *remote, const struct node_arguments *a, struct err *err)
{
    json_auto_t *status = NULL, *before = NULL;
    int code = remote_ask(remote, "GET", "/katena/v1/status", NULL, ASK_TIMEOUT_S, &status, err);
    if (!code)
        code = remote_ask(remote, "GET", "/katena/v1/nodes", NULL, ASK_TIMEOUT_S, &before, err);
    if (code)
        return code;
    const char *name = a->word ? a->word : json_str_or_empty(status, "node");
    const char *old_key = json_str_or_empty(find_node(before, name), "key");
    mem_auto char *path = mem_printf("/katena/v1/nodes/%s?action=rotate-keys", name);
    if (!*old_key)
        return err_set(err, ERR_NOT_FOUND, "the cluster has no node \"%s\"; see katena node list", name);
    code = remote_ask(remote, "POST", path, status, ASK_TIMEOUT_S, NULL, err);
    return code ? code : wait_for_key(remote, name, old_key, a->timeout_us, err);
}

/* ---- all of them ---- */

static const struct {
    const char *name;
    int (*run)(struct remote *remote, const struct node_arguments *a, struct err *err);
} subcommands[] = {{"list", list_nodes}, {"remove", remove_node}, {"rotate-keys", rotate_keys}};

/* Returns -1 to go on, else the exit status. */
static int parse_option(struct node_arguments *a, int option)
{
    switch (option) {
    case 'o':
        if (strcmp(optarg, "json") == 0 || strcmp(optarg, "wide") == 0) {
            a->output = optarg;
            return -1;
        }
        fprintf(stderr, "katena: -o takes json or wide, not \"%s\"\n", optarg);
        return 2;
    case OPT_TIMEOUT:
        if (timefmt_duration(optarg, &a->timeout_us))
            return -1;
        fprintf(stderr, "katena: --timeout takes a duration such as 60s or 5m, not \"%s\"\n", optarg);
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
        fputs("Run 'katena node --help' for usage.\n", stderr);
        return 2;
    }
}

static int run(size_t i, const struct node_arguments *a)
{
    struct remote remote;
    struct err err;
    int code = remote_open_options(&remote, &a->remote, &err);
    if (!code) {
        code = subcommands[i].run(&remote, a, &err);
        remote_close(&remote);
    }
    fflush(stdout);
    if (code)
        fprintf(stderr, "katena: %s\n", err.message);
    return code ? 1 : 0;
}

int cmd_node(int argc, char **argv)
{
    struct node_arguments a = {.timeout_us = DEFAULT_TIMEOUT_US};
    for (int c; (c = getopt_long(argc, argv, "ho:", long_options, NULL)) != -1;) {
        int status = parse_option(&a, c);
        if (status >= 0)
            return status;
    }
    if (optind == argc) {
        fputs(usage, stderr);
        return 2;
    }
    a.word = argv[optind + 1];
    for (size_t i = 0; i < sizeof(subcommands) / sizeof(*subcommands); i++)
        if (strcmp(argv[optind], subcommands[i].name) == 0)
            return run(i, &a);
    fprintf(stderr, "katena: unknown command \"node %s\"\nRun 'katena node --help' for usage.\n",
            argv[optind]);
    return 2;
}
