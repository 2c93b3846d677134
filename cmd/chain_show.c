/* katena chain show: one block, or one transaction with all that it carries. */
#include "chain.h"

#include "base/hex.h"
#include "base/timefmt.h"
#include "codec/json.h"

#include <stdlib.h>
#include <string.h>

static void show_block(const struct block *block)
{
    const struct block_header *header = &block->header;
    char when[TIMEFMT_MAX];
    timefmt_micro(when, header->time_us);
    printf("block %llu\n", (unsigned long long)header->height);
    chain_print_hex(stdout, "Hash:         ", header->hash, HASH_SIZE);
    chain_print_hex(stdout, "Parent:       ", header->parent, HASH_SIZE);
    printf("Date:         %s\n", when);
    chain_print_hex(stdout, "Producer:     ", header->producer, TX_KEY_SIZE);
    chain_print_hex(stdout, "Merkle root:  ", header->tx_root, HASH_SIZE);
    chain_print_hex(stdout, "State:        ", header->state_digest, HASH_SIZE);
    chain_print_hex(stdout, "Signature:    ", header->signature, TX_SIGNATURE_SIZE);
    printf("Transactions: %u, with %u changes, %zu bytes\n\n", header->tx_count, header->output_count,
           block->encoded_len);
    for (uint32_t i = 0; i < header->tx_count; i++) {
        const struct tx *tx = block->txs[i];
        buf_auto struct buf key = BUF_INIT;
        if (tx->output_count)
            chain_print_key(&key, &tx->outputs[0].key);
        printf("    %s %s %s %s\n", chain_short_id(tx->id), tx->user, tx->verb, buf_str(&key));
    }
}

/* JSON with indentation; anything else as it is. */
static void show_json(const uint8_t *text, size_t len)
{
    json_auto_t *value = json_parse(text, len, NULL);
    char *pretty = value ? json_dumps(value, JSON_INDENT(2) | JSON_ENCODE_ANY) : NULL;
    if (!pretty) {
        printf("      %.*s\n", (int)len, (const char *)text);
        return;
    }
    for (char *line = pretty; line;) {
        char *end = strchr(line, '\n');
        if (end)
            *end++ = '\0';
        printf("      %s\n", line);
        line = end;
    }
    free(pretty);
}

static void show_input(const struct tx_input *input)
{
    buf_auto struct buf key = BUF_INIT;
    chain_print_key(&key, &input->key);
    printf("  %-7s %s of %s%s\n", input->kind == TX_INPUT_DIRECT ? "change" : "read", buf_str(&key),
           chain_short_id(input->tx_id), input->unlock_len ? " (with unlocking data)" : "");
}

static void show_output(const struct tx_output *output, uint64_t rv)
{
    buf_auto struct buf key = BUF_INIT;
    chain_print_key(&key, &output->key);
    printf("  %-7s %s  resourceVersion %llu\n", output->op == TX_OUTPUT_DELETE ? "delete" : "put",
           buf_str(&key), (unsigned long long)rv);
    for (size_t i = 0; i < output->term_count; i++)
        printf("    index %s=%s\n", output->terms[i].name, output->terms[i].value);
    if (output->claim.node)
        printf("    %s of node %s: %lldm CPU, %lld bytes, %lld pods\n",
               !strcmp(output->key.resource, "nodes") ? "capacity" : "claim", output->claim.node,
               (long long)output->claim.cpu_milli, (long long)output->claim.memory_bytes,
               (long long)output->claim.pods);
    if (output->lock_len)
        printf("    locked by a script of %zu bytes\n", output->lock_len);
    if (output->encoding == TX_CONTENT_SEALED)
        printf("    %zu sealed bytes (a Secret: only the API server opens it)\n", output->content_len);
    else if (output->content_len)
        show_json(output->content, output->content_len);
}

static bool is_rebased(const struct tx *tx)
{
    static const uint8_t none[TX_ID_SIZE];
    return memcmp(tx->original, none, TX_ID_SIZE) != 0;
}

static void show_tx(const struct block *block, uint32_t index)
{
    const struct tx *tx = block->txs[index];
    char accepted[TIMEFMT_MAX], included[TIMEFMT_MAX];
    timefmt_micro(accepted, tx->time_us);
    timefmt_micro(included, block->header.time_us);
    chain_print_hex(stdout, "transaction ", tx->id, TX_ID_SIZE);
    printf("Block:     %llu, place %u\n", (unsigned long long)block->header.height, index);
    printf("Accepted:  %s\n", accepted);
    printf("Included:  %s\n", included);
    printf("User:      %s", tx->user);
    for (size_t i = 0; i < tx->group_count; i++)
        printf("%s%s", i ? ", " : " (", tx->groups[i]);
    printf("%s\nVerb:      %s%s%s%s\n", tx->group_count ? ")" : "", tx->verb, *tx->subresource ? " of " : "",
           tx->subresource, tx->strict ? " (at a given resourceVersion)" : "");
    chain_print_hex(stdout, "Node:      ", tx->node_key, TX_KEY_SIZE);
    chain_print_hex(stdout, "Signature: ", tx->node_signature, TX_SIGNATURE_SIZE);
    if (is_rebased(tx))
        chain_print_hex(stdout, "Replays:   ", tx->original, TX_ID_SIZE);
    if (tx->has_user_signature)
        chain_print_hex(stdout, "User key:  ", tx->user_key, TX_KEY_SIZE);
    puts("\nInputs:");
    for (size_t i = 0; i < tx->input_count; i++)
        show_input(&tx->inputs[i]);
    puts("Outputs:");
    uint32_t place = 0;
    for (uint32_t i = 0; i < index; i++)
        place += (uint32_t)block->txs[i]->output_count;
    for (size_t i = 0; i < tx->output_count; i++)
        show_output(&tx->outputs[i], block_rv(block->header.time_us, place + (uint32_t)i));
    if (tx->intent_len) {
        puts("Intent:");
        show_json(tx->intent, tx->intent_len);
    }
}

/* A word of few digits is a height, any other an id. */
static bool is_height(const char *word, uint64_t head, uint64_t *height)
{
    char *end;
    *height = strtoull(word, &end, 10);
    return *word && !*end && *height <= head;
}

int chain_show(struct blockstore *store, const struct chain_arguments *a)
{
    if (a->word_count != 1) {
        fputs("katena: name one transaction or block: katena chain show ID|HEIGHT\n", stderr);
        return 2;
    }
    struct blockstore_head head;
    struct block *block = NULL;
    struct err err;
    uint64_t height;
    uint32_t index = 0;
    bool is_block = true;
    int rc = blockstore_head(store, &head, &err);
    if (!rc && !is_height(a->words[0], head.header.height, &height)) {
        uint8_t id[HASH_SIZE];
        rc = blockstore_find_id(store, a->words[0], id, &is_block, &err);
        if (!rc)
            rc = is_block ? blockstore_height_of_hash(store, id, &height, &err)
                          : blockstore_height_of_tx(store, id, &height, &index, &err);
    }
    if (!rc)
        rc = blockstore_block_at(store, height, &block, &err);
    if (rc)
        return chain_fail(&err);
    if (is_block)
        show_block(block);
    else
        show_tx(block, index);
    block_free(block);
    return 0;
}
