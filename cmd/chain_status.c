/* katena chain status: of the chain, and of one transaction or object in it. */
#include "status_words.h"

#include "base/mem.h"
#include "base/timefmt.h"
#include "codec/json.h"
#include "object/registry.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define ASK_TIMEOUT_S 60L

/* ---- in the data ---- */

int chain_status(struct blockstore *store, const struct chain_arguments *a)
{
    struct blockstore_head head;
    struct blockstore_stats stats;
    struct block_header genesis;
    struct err err;
    char made[TIMEFMT_MAX], newest[TIMEFMT_MAX];
    if (blockstore_head(store, &head, &err) < 0 || blockstore_stats(store, &stats, &err) < 0 ||
        blockstore_header_at(store, 0, &genesis, &err) < 0)
        return chain_fail(&err);
    timefmt_micro(made, genesis.time_us);
    timefmt_micro(newest, head.header.time_us);
    printf("data:            %s\n", a->data_dir);
    chain_print_hex(stdout, "chain:           ", genesis.hash, HASH_SIZE);
    printf("made:            %s\n", made);
    if (genesis.flags & BLOCK_CARRIES)
        chain_print_hex(stdout, "carried over:    ", genesis.parent, HASH_SIZE);
    printf("height:          %llu\n", (unsigned long long)head.header.height);
    printf("final:           %llu\n", (unsigned long long)stats.final_height);
    chain_print_hex(stdout, "head:            ", head.header.hash, HASH_SIZE);
    printf("head time:       %s\n", newest);
    printf("resourceVersion: %llu\n", (unsigned long long)block_head_rv(&head.header));
    chain_print_hex(stdout, "state:           ", head.header.state_digest, HASH_SIZE);
    chain_print_hex(stdout, "first validator: ", genesis.producer, TX_KEY_SIZE);
    printf("transactions:    %llu\n", (unsigned long long)stats.transactions);
    printf("objects:         %llu\n", (unsigned long long)stats.objects);
    if (stats.orphans)
        printf("orphans:         %llu\n", (unsigned long long)stats.orphans);
    printf("block log:       %llu KiB, contents from block %llu on\n",
           (unsigned long long)(stats.log_bytes >> 10), (unsigned long long)stats.oldest_body);
    printf("state store:     %llu KiB, checkpoint at block %llu\n",
           (unsigned long long)(stats.state_bytes >> 10), (unsigned long long)stats.checkpoint_height);
    return 0;
}

/* ---- of the running cluster ---- */

int chain_status_live(const struct remote_options *options, const struct chain_arguments *a)
{
    struct remote remote;
    struct err err;
    json_auto_t *value = NULL;
    (void)a;
    int code = remote_open_options(&remote, options, &err);
    if (!code) {
        code = remote_ask(&remote, "GET", "/katena/v1/status", NULL, ASK_TIMEOUT_S, &value, &err);
        remote_close(&remote);
    }
    if (code)
        return chain_fail(&err);
    long long validators = json_int_or(1, value, "validators"), live = json_int_or(1, value, "live");
    printf("asked:           %s\n", json_str_or_empty(value, "node"));
    printf("pending:         %lld\n", (long long)json_int_or(0, value, "pending"));
    if (validators > 1) {
        printf("orphans:         %lld\n", (long long)json_int_or(0, value, "orphans"));
        printf("validators:      %lld, of which %lld can be reached\n", validators, live);
    }
    if (json_int_or(0, value, "behind"))
        printf("behind:          up to block %lld\n", (long long)json_int_or(0, value, "behind"));
    if (json_bool_at(value, "switching"))
        puts("switching:       to another branch");
    return 0;
}

/* ---- of one transaction ---- */

static bool is_id(const char *word)
{
    return strlen(word) >= 4 && word[strspn(word, "0123456789abcdefABCDEF")] == '\0';
}

bool status_path(CURL *curl, struct buf *path, const struct chain_arguments *a)
{
    struct chain_filter filter;
    if (a->word_count == 1 && is_id(a->words[0])) {
        buf_printf(path, "/katena/v1/tx/%s", a->words[0]);
        return true;
    }
    if (!chain_filter_parse(&filter, a, 0, true))
        return false;
    const char *namespace = a->namespace ? a->namespace : "default";
    buf_puts(path, "/katena/v1/tx");
    remote_add_parameter(curl, path, "group", filter.group);
    remote_add_parameter(curl, path, "resource", filter.resource);
    if (!filter.cluster_scoped)
        remote_add_parameter(curl, path, "namespace", namespace);
    remote_add_parameter(curl, path, "name", filter.name);
    return true;
}

static void print_member(const json_t *status, const char *label, const char *member)
{
    const char *text = json_str(status, member);
    if (text)
        printf("%-17s%s\n", label, text);
}

void status_print(const json_t *status)
{
    static const struct {
        const char *level, *meaning;
    } meanings[] = {
        {"unknown", "this node has never heard of it, or its record is pruned"},
        {"accepted", "it waits for a block, or to be replayed after the chain was switched"},
        {"included", "it is in a durable block, but not final yet"},
        {"irreversible", "nothing can undo it"},
        {"rejected", "it did not hold"},
    };
    const char *level = json_str_or_empty(status, "level"), *meaning = "";
    for (size_t i = 0; i < sizeof(meanings) / sizeof(*meanings); i++)
        if (strcmp(level, meanings[i].level) == 0)
            meaning = meanings[i].meaning;
    print_member(status, "transaction:", "transaction");
    printf("%-17s%s: %s\n", "level:", level, meaning);
    print_member(status, "why:", "reason");
    if (json_at(status, "height"))
        printf("%-17s%lld\n", "height:", (long long)json_int_or(0, status, "height"));
    print_member(status, "block:", "block");
    print_member(status, "resourceVersion:", "resourceVersion");
    print_member(status, "replayed by:", "replayedBy");
}

int chain_status_of(const struct remote_options *options, const struct chain_arguments *a)
{
    struct remote remote;
    struct err err;
    buf_auto struct buf path = BUF_INIT;
    json_auto_t *status = NULL;
    int code = remote_open_options(&remote, options, &err);
    if (code)
        return chain_fail(&err);
    bool named = status_path(remote.curl, &path, a);
    if (named)
        code = remote_ask(&remote, "GET", buf_str(&path), NULL, ASK_TIMEOUT_S, &status, &err);
    remote_close(&remote);
    if (!named)
        return 2;
    if (code)
        return chain_fail(&err);
    status_print(status);
    return 0;
}
