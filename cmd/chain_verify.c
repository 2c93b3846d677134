/* katena chain verify and prove. */
#include "chain.h"

#include "base/clock.h"
#include "base/hex.h"
#include "base/timefmt.h"
#include "ledger/chain_verify.h"
#include "ledger/proof.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROOF_MAX (64u << 20)

struct progress {
    int64_t shown_us;
    bool tty;
};

static void show_progress(void *arg, uint64_t height, uint64_t head)
{
    struct progress *progress = arg;
    int64_t now = clock_mono_us();
    if (!progress->tty || (now - progress->shown_us < 100000 && height != head))
        return;
    progress->shown_us = now;
    fprintf(stderr, "\rblock %llu of %llu (%llu %%)%s", (unsigned long long)height, (unsigned long long)head,
            (unsigned long long)(head ? height * 100 / head : 100), height == head ? "\n" : "");
}

int chain_verify_command(struct blockstore *store, const struct chain_arguments *a)
{
    (void)a;
    struct chain_verify_report report;
    struct progress progress = {.tty = isatty(STDERR_FILENO)};
    struct err err;
    int64_t start = clock_mono_us();
    if (chain_verify(store, show_progress, &progress, &report, &err) < 0) {
        fprintf(stderr, "%skatena: the chain does not hold: %s\n", progress.tty ? "\n" : "", err.message);
        return 1;
    }
    printf("%llu blocks and %llu transactions hold, checked in %.1f s.\n", (unsigned long long)report.blocks,
           (unsigned long long)report.transactions, (double)(clock_mono_us() - start) / 1e6);
    if (report.replayed_from == 0)
        puts("Signatures, order, Merkle roots, scripts, permissions, and the state hash of every block are "
             "right.");
    else if (report.snapshot)
        printf("The chain begins here with the state of block %llu: contents of %llu blocks behind it were "
               "checked, and older ones by their headers, as far as those are here.\n",
               (unsigned long long)report.snapshot, (unsigned long long)report.bodies);
    else if (report.carried)
        printf("The chain begins with the state that a cluster reset carried over: contents of %llu blocks "
               "since then were checked.\n",
               (unsigned long long)report.bodies);
    else
        printf("Older contents were pruned: contents of %llu blocks were checked, and the rest by their "
               "headers.\n",
               (unsigned long long)report.bodies);
    printf("The %llu objects of the state have the hash that block %llu names.\n",
           (unsigned long long)report.objects, (unsigned long long)report.head.height);
    chain_print_hex(stdout, "head: ", report.head.hash, HASH_SIZE);
    return 0;
}

static bool read_proof(struct buf *out, const char *path)
{
    FILE *file = !strcmp(path, "-") ? stdin : fopen(path, "rb");
    if (!file) {
        fprintf(stderr, "katena: cannot read %s: %s\n", path, strerror(errno));
        return false;
    }
    for (size_t n = 1; n && out->len < PROOF_MAX;) {
        buf_reserve(out, 65536);
        n = fread(out->data + out->len, 1, 65535, file);
        out->len += n;
    }
    if (file != stdin)
        fclose(file);
    return true;
}

static bool parse_hash(uint8_t out[HASH_SIZE], const char *text, const char *option)
{
    if (hex_decode(out, HASH_SIZE, text))
        return true;
    fprintf(stderr, "katena: %s takes 64 hexadecimal digits\n", option);
    return false;
}

static void print_proven(const struct proof_result *result, const struct chain_arguments *a)
{
    char when[TIMEFMT_MAX];
    timefmt_micro(when, result->header.time_us);
    puts("The proof holds.");
    chain_print_hex(stdout, "transaction: ", result->tx->id, TX_ID_SIZE);
    printf("by:          %s, %s\n", result->tx->user, result->tx->verb);
    for (size_t i = 0; i < result->tx->output_count; i++) {
        buf_auto struct buf key = BUF_INIT;
        chain_print_key(&key, &result->tx->outputs[i].key);
        printf("%s%s\n", i ? "             " : "objects:     ", buf_str(&key));
    }
    printf("block:       %llu of %s\n", (unsigned long long)result->header.height, when);
    chain_print_hex(stdout, "             ", result->header.hash, HASH_SIZE);
    chain_print_hex(stdout, "chain:       ", result->chain_id, TX_ID_SIZE);
    chain_print_hex(stdout, "signed by:   ", result->header.producer, TX_KEY_SIZE);
    if (!a->head && !a->producer)
        puts("Whether that key is the cluster's validator, or that block in its chain, is for you to know: "
             "--producer and --head check it.");
}

int chain_verify_proof(const struct chain_arguments *a)
{
    buf_auto struct buf text = BUF_INIT;
    uint8_t head[HASH_SIZE], producer[TX_KEY_SIZE];
    struct proof_trust trust = {0};
    struct proof_result result;
    struct err err;
    if (a->head && !parse_hash(head, a->head, "--head"))
        return 2;
    if (a->producer && !parse_hash(producer, a->producer, "--producer"))
        return 2;
    trust.block_hash = a->head ? head : NULL;
    trust.producer = a->producer ? producer : NULL;
    if (!read_proof(&text, a->proof))
        return 1;
    if (proof_check(&result, text.data, text.len, &trust, &err) < 0)
        return chain_fail(&err);
    print_proven(&result, a);
    tx_free(result.tx);
    return 0;
}

static int write_proof(const struct buf *proof, const char *path)
{
    FILE *file = path ? fopen(path, "wb") : stdout;
    bool written = file && fwrite(proof->data, 1, proof->len, file) == proof->len && fputc('\n', file) != EOF;
    if (file && path)
        written &= fclose(file) == 0;
    if (!written)
        fprintf(stderr, "katena: cannot write %s: %s\n", path ? path : "the proof", strerror(errno));
    return written ? 0 : 1;
}

int chain_prove(struct blockstore *store, const struct chain_arguments *a)
{
    if (a->word_count != 1) {
        fputs("katena: name one transaction: katena chain prove ID\n", stderr);
        return 2;
    }
    buf_auto struct buf proof = BUF_INIT;
    struct proof_options options = {a->without_content, a->to_head};
    struct err err;
    uint8_t id[HASH_SIZE];
    bool is_block;
    if (blockstore_find_id(store, a->words[0], id, &is_block, &err) < 0)
        return chain_fail(&err);
    if (is_block) {
        err_set(&err, ERR_BAD_REQUEST, "%s is a block, and a proof is of a transaction", a->words[0]);
        return chain_fail(&err);
    }
    if (proof_make(&proof, store, id, &options, &err) < 0)
        return chain_fail(&err);
    return write_proof(&proof, a->output);
}
