/* Transactions: making one field by field. See tx.h. */
#include "chain/tx_internal.h"

#include "base/mem.h"
#include "chain/hash.h"

#include <assert.h>
#include <string.h>

/* 16 bytes with the NUL, so that no other signature of a node can be taken for one of a transaction. */
static const char sign_tag[16] = "katena tx v1   ";

struct tx *tx_new(void)
{
    struct tx *tx = mem_zalloc(sizeof(*tx));
    tx->private_ = mem_zalloc(sizeof(*tx->private_));
    tx->user = "";
    tx->verb = "";
    tx->subresource = "";
    return tx;
}

void tx_free(struct tx *tx)
{
    if (!tx)
        return;
    arena_free(&tx->private_->arena);
    free(tx->private_);
    free(tx);
}

void tx_set_user(struct tx *tx, const char *user, const char *const *groups, size_t group_count)
{
    struct arena *arena = &tx->private_->arena;
    tx->user = arena_strdup(arena, user);
    const char **copies = arena_alloc(arena, (group_count + 1) * sizeof(*copies));
    for (size_t i = 0; i < group_count; i++)
        copies[i] = arena_strdup(arena, groups[i]);
    copies[group_count] = NULL;
    tx->groups = copies;
    tx->group_count = group_count;
}

void tx_set_verb(struct tx *tx, const char *verb, const char *subresource)
{
    tx->verb = arena_strdup(&tx->private_->arena, verb);
    tx->subresource = arena_strdup(&tx->private_->arena, subresource);
}

void tx_set_intent(struct tx *tx, const void *intent, size_t len)
{
    tx->intent = arena_dup(&tx->private_->arena, intent, len);
    tx->intent_len = len;
}

static struct resource_key key_dup(struct arena *arena, const struct resource_key *key)
{
    return (struct resource_key){
        .group = arena_strdup(arena, key->group),
        .resource = arena_strdup(arena, key->resource),
        .namespace = arena_strdup(arena, key->namespace),
        .name = arena_strdup(arena, key->name),
    };
}

/* Room for one more element in an array of the arena; returns the array, moved when it was full. */
static void *array_grow(struct arena *arena, const void *array, size_t count, size_t *cap, size_t size)
{
    if (count < *cap)
        return (void *)array;
    *cap = *cap ? 2 * *cap : 2;
    void *grown = arena_alloc(arena, *cap * size);
    if (count)
        memcpy(grown, array, count * size);
    return grown;
}

void tx_add_input(struct tx *tx, const struct tx_input *input)
{
    struct tx_private *p = tx->private_;
    struct tx_input *inputs =
        array_grow(&p->arena, tx->inputs, tx->input_count, &p->input_cap, sizeof(*inputs));
    struct tx_input *copy = &inputs[tx->input_count++];
    *copy = *input;
    copy->key = key_dup(&p->arena, &input->key);
    copy->unlock = arena_dup(&p->arena, input->unlock, input->unlock_len);
    tx->inputs = inputs;
}

static const struct tx_index_term *terms_dup(struct arena *arena, const struct tx_index_term *terms,
                                             size_t count)
{
    struct tx_index_term *copies = arena_alloc(arena, (count ? count : 1) * sizeof(*copies));
    for (size_t i = 0; i < count; i++)
        copies[i] =
            (struct tx_index_term){arena_strdup(arena, terms[i].name), arena_strdup(arena, terms[i].value)};
    return copies;
}

void tx_add_output(struct tx *tx, const struct tx_output *output)
{
    struct tx_private *p = tx->private_;
    struct tx_output *outputs =
        array_grow(&p->arena, tx->outputs, tx->output_count, &p->output_cap, sizeof(*outputs));
    struct tx_output *copy = &outputs[tx->output_count++];
    *copy = *output;
    copy->key = key_dup(&p->arena, &output->key);
    copy->uid = arena_strdup(&p->arena, output->uid);
    copy->content = arena_dup(&p->arena, output->content, output->content_len);
    copy->lock = arena_dup(&p->arena, output->lock, output->lock_len);
    copy->terms = terms_dup(&p->arena, output->terms, output->term_count);
    if (output->claim.node)
        copy->claim.node = arena_strdup(&p->arena, output->claim.node);
    tx->outputs = outputs;
}

void tx_signed_bytes(const struct tx *tx, uint8_t out[TX_SIGNED_SIZE])
{
    memcpy(out, sign_tag, sizeof(sign_tag));
    memcpy(out + sizeof(sign_tag), tx->id, TX_ID_SIZE);
}

void tx_leaf_hash(const struct tx *tx, uint8_t out[32])
{
    static const uint8_t leaf_prefix = 0x00;
    const uint8_t *witness = tx->encoded + tx->prefix_len;
    size_t witness_len = 0;
    /* The witness ends where the prefix ends, and the fixed part in front says how long it is. */
    for (int i = 3; i >= 0; i--)
        witness_len = witness_len << 8 | tx->encoded[4 + i];
    hash_sha256_parts(out, &leaf_prefix, 1, tx->id, TX_ID_SIZE, witness - witness_len, witness_len);
}

const uint8_t *tx_output_slice(const struct tx *tx, size_t index, size_t *len)
{
    assert(tx->private_->places && index < tx->output_count);
    *len = tx->private_->places[index].slice_len;
    return tx->private_->places[index].slice;
}

const uint8_t *tx_output_terms(const struct tx *tx, size_t index, size_t *len)
{
    assert(tx->private_->places && index < tx->output_count);
    *len = tx->private_->places[index].terms_len;
    return tx->private_->places[index].terms;
}
