/* katena chain log: the transactions, newest first, as a version-control log reads. */
#include "chain.h"

#include "base/timefmt.h"

#include <limits.h>
#include <string.h>

struct log_walk {
    const struct chain_arguments *arguments;
    struct chain_filter filter;
    bool filtered;
    long left;
};

static bool is_wanted(const struct log_walk *walk, const struct tx *tx)
{
    if (walk->arguments->user && strcmp(walk->arguments->user, tx->user) != 0)
        return false;
    if (!walk->filtered)
        return true;
    for (size_t i = 0; i < tx->output_count; i++)
        if (chain_filter_matches(&walk->filter, &tx->outputs[i].key))
            return true;
    return false;
}

/* What a transaction did to its first object, as a verb. */
static void print_change(struct buf *out, const struct tx *tx, size_t index)
{
    const struct tx_output *output = &tx->outputs[index];
    buf_puts(out, output->op == TX_OUTPUT_DELETE ? "delete" : tx->verb);
    buf_putc(out, ' ');
    chain_print_key(out, &output->key);
    if (*tx->subresource)
        buf_printf(out, " (%s)", tx->subresource);
}

static void print_oneline(const struct block *block, const struct tx *tx)
{
    buf_auto struct buf line = BUF_INIT;
    char when[TIMEFMT_MAX];
    timefmt_seconds(when, block->header.time_us / 1000000);
    if (tx->output_count)
        print_change(&line, tx, 0);
    if (tx->output_count > 1)
        buf_printf(&line, " and %zu more", tx->output_count - 1);
    printf("%s %s %s %s\n", chain_short_id(tx->id), when, tx->user, buf_str(&line));
}

static void print_whole(const struct block *block, const struct tx *tx, uint32_t first_output)
{
    char when[TIMEFMT_MAX];
    timefmt_micro(when, block->header.time_us);
    chain_print_hex(stdout, "transaction ", tx->id, TX_ID_SIZE);
    printf("User:   %s", tx->user);
    for (size_t i = 0; i < tx->group_count; i++)
        printf("%s%s", i ? ", " : " (", tx->groups[i]);
    printf("%s\n", tx->group_count ? ")" : "");
    printf("Node:   %s\n", chain_short_id(tx->node_key));
    printf("Date:   %s\n", when);
    printf("Block:  %llu\n\n", (unsigned long long)block->header.height);
    for (size_t i = 0; i < tx->output_count; i++) {
        buf_auto struct buf line = BUF_INIT;
        print_change(&line, tx, i);
        printf("    %s  resourceVersion %llu\n", buf_str(&line),
               (unsigned long long)block_rv(block->header.time_us, first_output + (uint32_t)i));
    }
    putchar('\n');
}

/* The transactions of a block, the last one first. */
static void log_block(struct log_walk *walk, const struct block *block)
{
    uint32_t first_output = block->header.output_count;
    for (uint32_t i = block->header.tx_count; i-- > 0 && walk->left;) {
        const struct tx *tx = block->txs[i];
        first_output -= (uint32_t)tx->output_count;
        if (!is_wanted(walk, tx))
            continue;
        walk->left--;
        if (walk->arguments->oneline)
            print_oneline(block, tx);
        else
            print_whole(block, tx, first_output);
    }
}

int chain_log(struct blockstore *store, const struct chain_arguments *a)
{
    struct log_walk walk = {.arguments = a, .left = a->limit > 0 ? a->limit : LONG_MAX};
    walk.filtered = a->word_count > 0;
    if (walk.filtered && !chain_filter_parse(&walk.filter, a, 0, false))
        return 2;
    struct blockstore_head head;
    struct err err;
    if (blockstore_head(store, &head, &err) < 0)
        return chain_fail(&err);
    for (uint64_t height = head.header.height; height > 0 && walk.left; height--) {
        struct block *block;
        int rc = blockstore_block_at(store, height, &block, &err);
        if (rc == ERR_GONE) {
            printf("(the contents of block %llu and older ones were pruned)\n", (unsigned long long)height);
            return 0;
        }
        if (rc < 0)
            return chain_fail(&err);
        log_block(&walk, block);
        block_free(block);
        if (ferror(stdout))
            return 1;
    }
    return 0;
}
