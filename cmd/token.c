/* katena token: makes, lists and deletes the tokens with which nodes join. */
#include "commands.h"
#include "remote.h"

#include "base/clock.h"
#include "base/hex.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "codec/json.h"
#include "pki/join_secret.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "Make, list and delete the tokens with which nodes join a cluster.\n\n"
    "Usage:\n"
    "  katena token create            prints a new token as its last line\n"
    "  katena token list\n"
    "  katena token delete ID\n\n"
    "Options:\n"
    "  --ttl DURATION         create: how long it is good, such as 1h (the default), 30m or 7d; 0: for ever\n"
    "  --single-use           create: for one node\n"
    "  --description TEXT     create: shown by list\n"
    "  --data-dir DIR         ask the node of this data directory; else\n"
    "  --kubeconfig FILE      the one of this kubeconfig, $KUBECONFIG or ~/.kube/config; without any, as\n"
    "                         --data-dir " DEFAULT_DATA_DIR "\n";

#define SECRETS_PATH "/api/v1/namespaces/" JOIN_TOKEN_NAMESPACE "/secrets"
#define TOKENS_PATH SECRETS_PATH "?fieldSelector=type%3D" JOIN_TOKEN_SECRET_TYPE
#define DEFAULT_TTL_US 3600000000LL
#define ASK_TIMEOUT_S 60L

enum { OPT_TTL = 256, OPT_SINGLE_USE, OPT_DESCRIPTION, OPT_DATA_DIR, OPT_KUBECONFIG };

static const struct option long_options[] = {
    {"ttl", required_argument, NULL, OPT_TTL},
    {"single-use", no_argument, NULL, OPT_SINGLE_USE},
    {"description", required_argument, NULL, OPT_DESCRIPTION},
    {"data-dir", required_argument, NULL, OPT_DATA_DIR},
    {"kubeconfig", required_argument, NULL, OPT_KUBECONFIG},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

struct arguments {
    struct remote_options remote;
    int64_t ttl_us;
    bool single_use;
    const char *description;
};

static bool is_expired(const json_t *secret)
{
    mem_auto char *until = NULL;
    return join_secret_expired(secret, clock_wall_us(), &until);
}

/* ---- create ---- */

/* Tokens whose time is over lie about until the next one is made: an idle cluster writes nothing. */
static void delete_expired(struct remote *remote)
{
    json_auto_t *list = NULL;
    struct err err;
    size_t i;
    const json_t *secret;
    if (remote_ask(remote, "GET", TOKENS_PATH, NULL, ASK_TIMEOUT_S, &list, &err))
        return;
    json_array_foreach(json_object_get(list, "items"), i, secret)
    {
        mem_auto char *path = mem_printf(SECRETS_PATH "/%s", json_str_or_empty(secret, "metadata", "name"));
        if (is_expired(secret))
            remote_ask(remote, "DELETE", path, NULL, ASK_TIMEOUT_S, NULL, &err);
    }
}

static void print_created(const struct join_token *token, const struct arguments *a, const char *expiration,
                          const char *server)
{
    char text[JOIN_TOKEN_MAX];
    join_token_format(text, token);
    printf("The token %s lets %s join %s%s. On the new node:\n\n", token->id,
           a->single_use ? "one node" : "nodes", *expiration ? "until " : "for ever", expiration);
    printf("  katena server --join %s --token TOKEN\n\nThe token:\n%s\n", server, text);
}

static int create_token(struct remote *remote, const struct arguments *a, const char *word, struct err *err)
{
    struct join_token token;
    uint8_t ca_hash[JOIN_TOKEN_HASH_SIZE];
    char expiration[TIMEFMT_MAX] = "";
    json_auto_t *status = NULL;
    (void)word;
    int code = remote_ask(remote, "GET", "/katena/v1/status", NULL, ASK_TIMEOUT_S, &status, err);
    if (code)
        return code;
    if (!hex_decode(ca_hash, sizeof(ca_hash), json_str_or_empty(status, "caHash")))
        return err_set(err, ERR_UNAVAILABLE, "%s does not tell the hash of its CA", remote->config.server);
    delete_expired(remote);
    join_token_make(&token, ca_hash);
    int64_t expires_s = a->ttl_us ? (clock_wall_us() + a->ttl_us) / 1000000 : 0;
    if (expires_s)
        timefmt_seconds(expiration, expires_s);
    json_auto_t *secret = join_secret_make(&token, expires_s, a->single_use, a->description);
    code = remote_ask(remote, "POST", SECRETS_PATH, secret, ASK_TIMEOUT_S, NULL, err);
    if (!code)
        print_created(&token, a, expiration, json_str_or_empty(status, "server"));
    return code;
}

/* ---- list, delete ---- */

static void print_token(const json_t *secret)
{
    mem_auto char *id = join_secret_field(secret, "token-id");
    mem_auto char *expiration = join_secret_field(secret, "expiration");
    mem_auto char *single = join_secret_field(secret, JOIN_TOKEN_SINGLE_USE);
    mem_auto char *used_by = join_secret_field(secret, JOIN_TOKEN_USED_BY);
    mem_auto char *description = join_secret_field(secret, "description");
    char age[TIMEFMT_MAX] = "never";
    int64_t until_us;
    if (*expiration && timefmt_parse(expiration, &until_us))
        timefmt_age(age, (until_us - clock_wall_us()) / 1000000);
    printf("%-8s  %-9s  %-9s  %-12.12s  %s\n", id, is_expired(secret) ? "expired" : age,
           *single ? "one node" : "any", *used_by ? used_by : "-", description);
}

static int list_tokens(struct remote *remote, const struct arguments *a, const char *word, struct err *err)
{
    json_auto_t *answer = NULL;
    size_t i;
    const json_t *secret;
    (void)a;
    (void)word;
    int code = remote_ask(remote, "GET", TOKENS_PATH, NULL, ASK_TIMEOUT_S, &answer, err);
    if (code)
        return code;
    printf("%-8s  %-9s  %-9s  %-12s  %s\n", "ID", "EXPIRES", "FOR", "USED BY KEY", "DESCRIPTION");
    json_array_foreach(json_object_get(answer, "items"), i, secret) print_token(secret);
    return 0;
}

static int delete_token(struct remote *remote, const struct arguments *a, const char *word, struct err *err)
{
    struct join_token token;
    (void)a;
    const char *id = word ? word : "";
    if (join_token_parse(&token, id, NULL) == 0)
        id = token.id;
    if (!join_token_id_valid(id))
        return err_set(err, ERR_INVALID, "name a token by its id, as `katena token list` shows it");
    mem_auto char *path = mem_printf(SECRETS_PATH "/" JOIN_TOKEN_NAME_PREFIX "%s", id);
    int code = remote_ask(remote, "DELETE", path, NULL, ASK_TIMEOUT_S, NULL, err);
    if (code == ERR_NOT_FOUND)
        return err_set(err, code, "there is no token %s; see katena token list", id);
    if (!code)
        printf("The token %s is deleted. Nodes that joined by it stay.\n", id);
    return code;
}

/* ---- all of them ---- */

static const struct {
    const char *name;
    int (*run)(struct remote *remote, const struct arguments *a, const char *word, struct err *err);
} subcommands[] = {{"create", create_token}, {"list", list_tokens}, {"delete", delete_token}};

/* Returns -1 to go on, else the exit status. */
static int parse_option(struct arguments *a, int option)
{
    switch (option) {
    case OPT_TTL:
        if (timefmt_duration(optarg, &a->ttl_us))
            return -1;
        fprintf(stderr, "katena: --ttl takes a duration such as 1h, 30m or 7d, not \"%s\"\n", optarg);
        return 2;
    case OPT_SINGLE_USE:
        a->single_use = true;
        return -1;
    case OPT_DESCRIPTION:
        a->description = optarg;
        return -1;
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
        fputs("Run 'katena token --help' for usage.\n", stderr);
        return 2;
    }
}

static int run(size_t i, const struct arguments *a, const char *word)
{
    struct remote remote;
    struct err err;
    int code = remote_open_options(&remote, &a->remote, &err);
    if (!code) {
        code = subcommands[i].run(&remote, a, word, &err);
        remote_close(&remote);
    }
    fflush(stdout);
    if (code)
        fprintf(stderr, "katena: %s\n", err.message);
    return code ? 1 : 0;
}

int cmd_token(int argc, char **argv)
{
    struct arguments a = {.ttl_us = DEFAULT_TTL_US};
    for (int c; (c = getopt_long(argc, argv, "h", long_options, NULL)) != -1;) {
        int status = parse_option(&a, c);
        if (status >= 0)
            return status;
    }
    if (optind == argc) {
        fputs(usage, stderr);
        return 2;
    }
    for (size_t i = 0; i < sizeof(subcommands) / sizeof(*subcommands); i++)
        if (strcmp(argv[optind], subcommands[i].name) == 0)
            return run(i, &a, argv[optind + 1]);
    fprintf(stderr, "katena: unknown command \"token %s\"\nRun 'katena token --help' for usage.\n",
            argv[optind]);
    return 2;
}
