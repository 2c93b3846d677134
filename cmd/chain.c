/* katena chain: reads, verifies and proves the history of the cluster from a node's data directory. */
#include "chain.h"
#include "commands.h"
#include "remote.h"
#include "status_words.h"

#include "base/hex.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "object/registry.h"

#include <ctype.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "Read, verify and prove the history of a cluster: over its API, or in a node's data, running or "
    "stopped.\n\n"
    "Usage:\n"
    "  katena chain status                          height, head, sizes\n"
    "  katena chain status ID|KIND/NAME             whether a change is accepted, included, irreversible or\n"
    "                                               rejected, and why; asks a node\n"
    "  katena chain log [RESOURCE[/NAME]]           transactions, newest first\n"
    "  katena chain show ID|HEIGHT                  a transaction or a block, by the first digits of its id\n"
    "  katena chain blame RESOURCE NAME             which transaction last set each field of an object\n"
    "  katena chain verify                          check the whole chain again, from its first block\n"
    "  katena chain verify --proof FILE             check a proof, without any chain\n"
    "  katena chain prove ID                        prove that a transaction is in the chain\n"
    "  katena chain conflicts                       changes that lost against others when histories "
    "merged\n\n"
    "Resources are named as for kubectl: deploy/web, deployments.apps web, pods.\n\n"
    "Options:\n"
    "  --data-dir DIR         read a node's data here; else a node is asked by\n"
    "  --kubeconfig FILE      this kubeconfig, $KUBECONFIG or ~/.kube/config; without any, as\n"
    "                         --data-dir " DEFAULT_DATA_DIR "\n"
    "  -n, --namespace NS     of the object (default for blame: default; for log and conflicts: any)\n"
    "  -A, --all-namespaces   conflicts: in any namespace, which is the default\n"
    "  -n, --limit NUMBER     log: only so many (-n with digits alone is taken as this)\n"
    "  --oneline              log: a line for each\n"
    "  --user NAME            log: only this user's\n"
    "  -o json                conflicts: as JSON\n"
    "  -o, --output FILE      prove: write it there rather than to standard output\n"
    "  --without-content      prove: leave the objects' contents out\n"
    "  --to-head              prove: add the block headers up to the newest\n"
    "  --proof FILE           verify: the proof (- for standard input)\n"
    "  --head HASH            verify --proof: the last block has to be this one\n"
    "  --producer KEY         verify --proof: the blocks have to be signed by this validator\n";

enum {
    OPT_DATA_DIR = 256,
    OPT_KUBECONFIG,
    OPT_SERVED,
    OPT_NAMESPACE,
    OPT_LIMIT,
    OPT_ONELINE,
    OPT_JSON,
    OPT_USER,
    OPT_WITHOUT_CONTENT,
    OPT_TO_HEAD,
    OPT_PROOF,
    OPT_HEAD,
    OPT_PRODUCER,
};

static const struct option long_options[] = {
    {"data-dir", required_argument, NULL, OPT_DATA_DIR},
    {"kubeconfig", required_argument, NULL, OPT_KUBECONFIG},
    {"served", no_argument, NULL, OPT_SERVED}, /* for pkg/api/http_chain.c alone */
    {"namespace", required_argument, NULL, OPT_NAMESPACE},
    {"limit", required_argument, NULL, OPT_LIMIT},
    {"oneline", no_argument, NULL, OPT_ONELINE},
    {"json", no_argument, NULL, OPT_JSON}, /* -o json, as it is asked for over the API */
    {"all-namespaces", no_argument, NULL, 'A'},
    {"user", required_argument, NULL, OPT_USER},
    {"output", required_argument, NULL, 'o'},
    {"without-content", no_argument, NULL, OPT_WITHOUT_CONTENT},
    {"to-head", no_argument, NULL, OPT_TO_HEAD},
    {"proof", required_argument, NULL, OPT_PROOF},
    {"head", required_argument, NULL, OPT_HEAD},
    {"producer", required_argument, NULL, OPT_PRODUCER},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static bool is_number(const char *text)
{
    return *text && text[strspn(text, "0123456789")] == '\0';
}

/* Run by the API on behalf of a client: the exit status tells it the error's code. */
static bool served;
#define SERVED_STATUS 64

/* Returns -1 to go on, else the exit status. */
static int parse_option(struct chain_arguments *a, int option)
{
    switch (option) {
    case OPT_DATA_DIR:
        a->data_dir = optarg;
        return -1;
    case OPT_KUBECONFIG:
        a->kubeconfig = optarg;
        return -1;
    case OPT_SERVED:
        served = true;
        return -1;
    case 'n':
        if (is_number(optarg))
            a->limit = atol(optarg);
        else
            a->namespace = optarg;
        return -1;
    case OPT_NAMESPACE:
        a->namespace = optarg;
        return -1;
    case OPT_LIMIT:
        a->limit = atol(optarg);
        return -1;
    case OPT_ONELINE:
        a->oneline = true;
        return -1;
    case OPT_JSON:
        a->json = true;
        return -1;
    case 'A':
        a->namespace = NULL;
        return -1;
    case OPT_USER:
        a->user = optarg;
        return -1;
    case 'o':
        a->output = optarg;
        return -1;
    case OPT_WITHOUT_CONTENT:
        a->without_content = true;
        return -1;
    case OPT_TO_HEAD:
        a->to_head = true;
        return -1;
    case OPT_PROOF:
        a->proof = optarg;
        return -1;
    case OPT_HEAD:
        a->head = optarg;
        return -1;
    case OPT_PRODUCER:
        a->producer = optarg;
        return -1;
    case 'h':
        fputs(usage, stdout);
        return 0;
    default:
        fputs("Run 'katena chain --help' for usage.\n", stderr);
        return 2;
    }
}

int chain_fail(const struct err *err)
{
    fflush(stdout);
    fprintf(stderr, "katena: %s\n", err->message);
    return served ? SERVED_STATUS - err->code : 1;
}

const char *chain_short_id(const uint8_t *id)
{
    static char text[4][CHAIN_SHORT_ID + 1];
    static unsigned turn;
    char *out = text[turn++ % 4];
    hex_encode(out, id, CHAIN_SHORT_ID / 2);
    return out;
}

void chain_print_hex(FILE *out, const char *label, const uint8_t *bytes, size_t len)
{
    mem_auto char *text = mem_alloc(2 * len + 1);
    hex_encode(text, bytes, len);
    fprintf(out, "%s%s\n", label, text);
}

void chain_print_key(struct buf *out, const struct resource_key *key)
{
    buf_printf(out, "%s%s%s %s%s%s", key->resource, *key->group ? "." : "", key->group, key->namespace,
               *key->namespace ? "/" : "", key->name);
}

/* Whether a word names a kind: plural, singular, short name or kind, any case. */
static bool names_kind(const struct schema_kind *kind, const char *word)
{
    if (!strcasecmp(word, kind->plural) || !strcasecmp(word, kind->kind) ||
        (kind->singular && !strcasecmp(word, kind->singular)))
        return true;
    for (const char *const *s = kind->short_names; s && *s; s++)
        if (!strcasecmp(word, *s))
            return true;
    return false;
}

/* Fills group and resource from "deploy", "deployments.apps" or a resource that is not built in. */
static bool resolve_resource(struct chain_filter *filter, const char *word, bool *namespaced)
{
    char plain[256];
    snprintf(plain, sizeof(plain), "%s", word);
    char *dot = strchr(plain, '.');
    const char *group = dot ? dot + 1 : NULL;
    if (dot)
        *dot = '\0';
    for (size_t i = 0; i < registry_count(); i++) {
        const struct schema_kind *kind = registry_at(i);
        if (!names_kind(kind, plain) || (group && strcmp(group, kind->group) != 0))
            continue;
        snprintf(filter->group, sizeof(filter->group), "%s", kind->group);
        snprintf(filter->resource, sizeof(filter->resource), "%s", kind->plural);
        *namespaced = kind->namespaced;
        return true;
    }
    snprintf(filter->group, sizeof(filter->group), "%s", group ? group : "");
    snprintf(filter->resource, sizeof(filter->resource), "%s", plain);
    filter->any_group = !group;
    return *plain != '\0';
}

bool chain_filter_parse(struct chain_filter *out, const struct chain_arguments *a, int first_word,
                        bool need_name)
{
    *out = (struct chain_filter){.any_namespace = !a->namespace};
    char resource[256];
    snprintf(resource, sizeof(resource), "%s", a->word_count > first_word ? a->words[first_word] : "");
    char *slash = strchr(resource, '/');
    const char *name = slash ? slash + 1 : a->word_count > first_word + 1 ? a->words[first_word + 1] : "";
    if (slash)
        *slash = '\0';
    bool namespaced = true;
    if (!resolve_resource(out, resource, &namespaced) || (need_name && !*name)) {
        fputs("katena: name an object, such as deploy/web or deployments.apps web\n", stderr);
        return false;
    }
    snprintf(out->name, sizeof(out->name), "%s", name);
    out->cluster_scoped = !namespaced;
    if (!namespaced)
        out->any_namespace = false;
    else if (a->namespace)
        snprintf(out->namespace, sizeof(out->namespace), "%s", a->namespace);
    return true;
}

bool chain_filter_matches(const struct chain_filter *filter, const struct resource_key *key)
{
    return !strcmp(filter->resource, key->resource) &&
           (filter->any_group || !strcmp(filter->group, key->group)) &&
           (!*filter->name || !strcmp(filter->name, key->name)) &&
           (filter->any_namespace || !strcmp(filter->namespace, key->namespace));
}

static const struct {
    const char *name;
    int (*run)(struct blockstore *store, const struct chain_arguments *a);
} subcommands[] = {
    {"status", chain_status},
    {"log", chain_log},
    {"show", chain_show},
    {"blame", chain_blame},
    {"verify", chain_verify_command},
    {"prove", chain_prove},
    {"conflicts", chain_conflicts},
};

/* In the data at a->data_dir. */
static int run_here(size_t command, const struct chain_arguments *a)
{
    mem_auto char *dir = mem_printf("%s/chain", a->data_dir);
    struct blockstore_options options = {.dir = dir, .read_only = true};
    struct blockstore *store;
    struct err err;
    if (blockstore_open(&store, &options, &err) < 0) {
        chain_fail(&err);
        if (err.code == ERR_NOT_FOUND)
            fputs("Name the node's data with --data-dir, or point KUBECONFIG at the node.\n", stderr);
        return 1;
    }
    int status = subcommands[command].run(store, a);
    blockstore_close(store);
    if (fflush(stdout) != 0 && !status)
        status = 1;
    return status;
}

/* What is asked for by name is read here; else a kubeconfig tells whom to ask. */
static int run(size_t command, struct chain_arguments *a)
{
    const struct remote_options asked = {.data_dir = a->data_dir, .kubeconfig = a->kubeconfig};
    const bool status = !strcmp(subcommands[command].name, "status") && !served;
    if (status && a->word_count)
        return chain_status_of(&asked, a);
    mem_auto char *paths = a->data_dir ? NULL : remote_kubeconfig(a->kubeconfig);
    if (!paths && !a->data_dir)
        a->data_dir = DEFAULT_DATA_DIR;
    int code = paths ? chain_remote(subcommands[command].name, paths, a) : run_here(command, a);
    return status && paths && !code ? chain_status_live(&asked, a) : code;
}

int cmd_chain(int argc, char **argv)
{
    struct chain_arguments a = {0};
    for (int c; (c = getopt_long(argc, argv, "hn:o:A", long_options, NULL)) != -1;) {
        int status = parse_option(&a, c);
        if (status >= 0)
            return status;
    }
    if (optind == argc) {
        fputs(usage, stderr);
        return 2;
    }
    const char *name = argv[optind];
    a.words = argv + optind + 1;
    a.word_count = argc - optind - 1;
    log_set_level(LOG_LEVEL_WARN);
    if (!strcmp(name, "verify") && a.proof)
        return chain_verify_proof(&a);
    for (size_t i = 0; i < sizeof(subcommands) / sizeof(subcommands[0]); i++)
        if (!strcmp(name, subcommands[i].name))
            return run(i, &a);
    fprintf(stderr, "katena: unknown command \"chain %s\"\nRun 'katena chain --help' for usage.\n", name);
    return 2;
}
