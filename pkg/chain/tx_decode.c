/* Decoding transactions: zero-copy within one private copy of the bytes. See tx.h and tx_encode.c. */
#include "chain/tx_internal.h"

#include "chain/hash.h"
#include "chain/merkle.h"
#include "chain/wire.h"

#include <assert.h>
#include <string.h>

#define INPUT_BYTES_MIN 37 /* kind, four NULs of a key, tx_id */
#define OUTPUT_BYTES_MIN 13

static const uint8_t zero_id[TX_ID_SIZE];

static struct resource_key key_get(struct wire_reader *in)
{
    const uint8_t *start = in->next;
    struct resource_key key;
    key.group = wire_get_string(in, KEY_BYTES_MAX);
    key.resource = wire_get_string(in, KEY_BYTES_MAX);
    key.namespace = wire_get_string(in, KEY_BYTES_MAX);
    key.name = wire_get_string(in, KEY_BYTES_MAX);
    if (!*key.resource || !*key.name || in->next - start > KEY_BYTES_MAX + 1)
        in->bad = true;
    return key;
}

/* A claim's quantity: below 2^53, so that sums over all pods of a node cannot overflow. */
static int64_t quantity_get(struct wire_reader *in)
{
    return (int64_t)wire_get_varint(in, (UINT64_C(1) << 53) - 1);
}

static struct tx_claim claim_get(struct wire_reader *in)
{
    struct tx_claim claim = {0};
    uint8_t present = wire_get_u8(in);
    if (present > 1)
        in->bad = true;
    if (present != 1)
        return claim;
    claim.node = wire_get_string(in, KEY_BYTES_MAX);
    if (!*claim.node)
        in->bad = true;
    claim.cpu_milli = quantity_get(in);
    claim.memory_bytes = quantity_get(in);
    claim.pods = quantity_get(in);
    return claim;
}

static void terms_get(struct wire_reader *in, struct arena *arena, struct tx_output *output,
                      struct tx_output_place *place)
{
    output->term_count = wire_get_varint(in, TX_INDEX_TERMS_MAX);
    struct tx_index_term *terms = arena_alloc(arena, (output->term_count + 1) * sizeof(*terms));
    place->terms = in->next;
    for (size_t i = 0; i < output->term_count; i++) {
        terms[i].name = wire_get_string(in, TX_TERM_NAME_MAX);
        terms[i].value = wire_get_string(in, TX_TERM_VALUE_MAX);
        if (!*terms[i].name || !*terms[i].value)
            in->bad = true;
    }
    place->terms_len = (size_t)(in->next - place->terms);
    output->terms = terms;
}

/* Which combinations of op, encoding and content have a meaning; the others would be second encodings. */
static bool output_is_sane(const struct tx_output *o)
{
    if (o->op != TX_OUTPUT_PUT && o->op != TX_OUTPUT_DELETE)
        return false;
    if ((unsigned)o->encoding > TX_CONTENT_SEALED ||
        (o->encoding == TX_CONTENT_NONE) != (o->content_len == 0))
        return false;
    if (o->op == TX_OUTPUT_PUT && o->encoding == TX_CONTENT_NONE)
        return false;
    if (o->op == TX_OUTPUT_DELETE && (o->claim.node || o->term_count || o->lock_len))
        return false;
    if (o->content_len == 0 && o->rv_offset)
        return false;
    return o->encoding != TX_CONTENT_PLAIN || o->rv_offset == 0 ||
           (size_t)o->rv_offset + TX_RV_DIGITS <= o->content_len;
}

static void output_get(struct wire_reader *in, struct arena *arena, struct tx_output *output,
                       struct tx_output_place *place)
{
    *output = (struct tx_output){0};
    place->slice = in->next;
    output->op = wire_get_u8(in);
    output->encoding = wire_get_u8(in);
    output->key = key_get(in);
    output->uid = wire_get_string(in, TX_UID_MAX);
    output->rv_offset = (uint32_t)wire_get_varint(in, TX_CONTENT_MAX);
    output->content_len = wire_get_varint(in, TX_CONTENT_MAX);
    if (output->content_len)
        wire_get_copy(in, output->content_hash, sizeof(output->content_hash));
    output->lock = wire_get_bytes(in, TX_LOCK_MAX, &output->lock_len);
    terms_get(in, arena, output, place);
    output->claim = claim_get(in);
    place->slice_len = (size_t)(in->next - place->slice);
    if (!output_is_sane(output))
        in->bad = true;
}

/* Reads an element count that the bytes left can hold, so that a lie costs no memory. */
static size_t count_get(struct wire_reader *in, size_t max, size_t element_bytes_min)
{
    size_t count = wire_get_varint(in, max);
    if (count > wire_left(in) / element_bytes_min)
        in->bad = true;
    return in->bad ? 0 : count;
}

static void inputs_get(struct wire_reader *in, struct tx *tx)
{
    tx->input_count = count_get(in, TX_INPUTS_MAX, INPUT_BYTES_MIN);
    struct tx_input *inputs = arena_zalloc(&tx->private_->arena, (tx->input_count + 1) * sizeof(*inputs));
    for (size_t i = 0; i < tx->input_count; i++) {
        inputs[i].kind = wire_get_u8(in);
        if (inputs[i].kind != TX_INPUT_DIRECT && inputs[i].kind != TX_INPUT_INDIRECT)
            in->bad = true;
        inputs[i].key = key_get(in);
        wire_get_copy(in, inputs[i].tx_id, TX_ID_SIZE);
    }
    tx->inputs = inputs;
    tx->private_->input_cap = tx->input_count + 1;
}

static void outputs_get(struct wire_reader *in, struct tx *tx)
{
    struct tx_private *p = tx->private_;
    tx->output_count = count_get(in, TX_OUTPUTS_MAX, OUTPUT_BYTES_MIN);
    if (tx->output_count == 0)
        in->bad = true;
    struct tx_output *outputs = arena_zalloc(&p->arena, (tx->output_count + 1) * sizeof(*outputs));
    struct tx_output_place *places = arena_zalloc(&p->arena, (tx->output_count + 1) * sizeof(*places));
    for (size_t i = 0; i < tx->output_count && !in->bad; i++)
        output_get(in, &p->arena, &outputs[i], &places[i]);
    tx->outputs = outputs;
    p->output_cap = tx->output_count + 1;
    p->places = places;
}

static void who_get(struct wire_reader *in, struct tx *tx)
{
    tx->user = wire_get_string(in, TX_USER_MAX);
    tx->group_count = count_get(in, TX_GROUPS_MAX, 1);
    const char **groups = arena_zalloc(&tx->private_->arena, (tx->group_count + 1) * sizeof(*groups));
    for (size_t i = 0; i < tx->group_count; i++)
        groups[i] = wire_get_string(in, TX_USER_MAX);
    tx->groups = groups;
    tx->verb = wire_get_string(in, TX_VERB_MAX);
    tx->subresource = wire_get_string(in, TX_SUBRESOURCE_MAX);
    if (!*tx->user || !*tx->verb)
        in->bad = true;
}

static void flags_get(struct wire_reader *in, struct tx *tx, uint8_t flags)
{
    if (flags & ~TX_FLAGS_ALL)
        in->bad = true;
    tx->strict = flags & TX_FLAG_STRICT;
    tx->has_user_signature = flags & TX_FLAG_USER_KEY;
}

static bool header_get(struct wire_reader *in, struct tx *tx)
{
    if (wire_get_u8(in) != TX_VERSION)
        in->bad = true;
    uint8_t flags = wire_get_u8(in);
    flags_get(in, tx, flags);
    wire_get_copy(in, tx->chain_id, TX_ID_SIZE);
    uint64_t time_us = wire_get_u64(in);
    if (time_us > INT64_MAX)
        in->bad = true;
    tx->time_us = (int64_t)time_us;
    wire_get_copy(in, tx->nonce, sizeof(tx->nonce));
    wire_get_copy(in, tx->node_key, TX_KEY_SIZE);
    if (tx->has_user_signature)
        wire_get_copy(in, tx->user_key, TX_KEY_SIZE);
    memset(tx->original, 0, TX_ID_SIZE);
    if (flags & TX_FLAG_ORIGINAL) {
        wire_get_copy(in, tx->original, TX_ID_SIZE);
        if (memcmp(tx->original, zero_id, TX_ID_SIZE) == 0)
            in->bad = true;
    }
    who_get(in, tx);
    inputs_get(in, tx);
    outputs_get(in, tx);
    tx->intent_len = wire_get_varint(in, TX_CONTENT_MAX);
    if (tx->intent_len)
        wire_get_copy(in, tx->private_->intent_hash, sizeof(tx->private_->intent_hash));
    return wire_done(in);
}

static void signature_get(struct wire_reader *in, struct tx *tx)
{
    tx->batch.count = (uint32_t)wire_get_varint(in, TX_BATCH_MAX);
    tx->batch.index = 0;
    tx->batch.nodes = NULL;
    if (tx->batch.count > 1) {
        tx->batch.index = (uint32_t)wire_get_varint(in, tx->batch.count - 1);
        tx->batch.nodes = wire_get_raw(in, merkle_proof_nodes(tx->batch.index, tx->batch.count) * HASH_SIZE);
    } else if (tx->batch.count == 0) {
        in->bad = true;
    }
    wire_get_copy(in, tx->node_signature, TX_SIGNATURE_SIZE);
}

static bool witness_get(struct wire_reader *in, struct tx *tx)
{
    signature_get(in, tx);
    if (tx->has_user_signature)
        wire_get_copy(in, tx->user_signature, TX_SIGNATURE_SIZE);
    struct tx_input *inputs = (struct tx_input *)tx->inputs;
    for (size_t i = 0; i < tx->input_count; i++)
        inputs[i].unlock = wire_get_bytes(in, TX_UNLOCK_MAX, &inputs[i].unlock_len);
    return wire_done(in);
}

static bool piece_matches(const uint8_t *piece, size_t len, const uint8_t hash[32])
{
    if (!len)
        return true;
    uint8_t actual[HASH_SIZE];
    hash_content(actual, piece, len);
    return memcmp(actual, hash, sizeof(actual)) == 0;
}

static int body_get(struct wire_reader *in, struct tx *tx, bool check, struct err *err)
{
    struct tx_output *outputs = (struct tx_output *)tx->outputs;
    for (size_t i = 0; i < tx->output_count; i++) {
        struct tx_output *o = &outputs[i];
        o->content = wire_get_raw(in, o->content_len);
        if (in->bad || (check && !piece_matches(o->content, o->content_len, o->content_hash)))
            return err_set(err, ERR_CORRUPT, "transaction: the content of output %zu is not what was signed",
                           i);
        if (o->encoding == TX_CONTENT_PLAIN && o->rv_offset &&
            memcmp(o->content + o->rv_offset, TX_RV_PLACEHOLDER, TX_RV_DIGITS) != 0)
            return err_set(err, ERR_CORRUPT,
                           "transaction: no resourceVersion's place at rv_offset of output %zu", i);
    }
    tx->intent = wire_get_raw(in, tx->intent_len);
    if (!wire_done(in) || (check && !piece_matches(tx->intent, tx->intent_len, tx->private_->intent_hash)))
        return err_set(err, ERR_CORRUPT, "transaction: the body is not what was signed");
    return 0;
}

/* No content or intent: what was pruned is absent, but its lengths and hashes stay known. */
static void body_absent(struct tx *tx)
{
    struct tx_output *outputs = (struct tx_output *)tx->outputs;
    for (size_t i = 0; i < tx->output_count; i++)
        outputs[i].content = NULL;
    tx->intent = NULL;
    tx->pruned = true;
}

int tx__parse(struct tx *tx, bool pruned, bool check_contents, struct err *err)
{
    struct wire_reader in = wire_reader(tx->encoded, tx->encoded_len);
    uint32_t header_len = wire_get_u32(&in);
    uint32_t witness_len = wire_get_u32(&in);
    if (in.bad || header_len > TX_HEADER_MAX || witness_len > TX_HEADER_MAX)
        return err_set(err, ERR_CORRUPT, "transaction: no valid prefix");
    const uint8_t *header = wire_get_raw(&in, header_len);
    const uint8_t *witness = wire_get_raw(&in, witness_len);
    if (!header || !witness)
        return err_set(err, ERR_CORRUPT, "transaction: cut off");
    struct wire_reader header_in = wire_reader(header, header_len);
    if (!header_get(&header_in, tx))
        return err_set(err, ERR_CORRUPT, "transaction: malformed header");
    struct wire_reader witness_in = wire_reader(witness, witness_len);
    if (!witness_get(&witness_in, tx))
        return err_set(err, ERR_CORRUPT, "transaction: malformed witness");
    tx->prefix_len = TX_PREFIX_FIXED + (size_t)header_len + witness_len;
    hash_sha256(tx->id, header, header_len);
    if (!pruned)
        return body_get(&in, tx, check_contents, err);
    body_absent(tx);
    return wire_done(&in) ? 0 : err_set(err, ERR_CORRUPT, "transaction: bytes after the witness");
}

static int decode(struct tx **out, const uint8_t *bytes, size_t len, bool pruned, struct err *err)
{
    *out = NULL;
    if (len > TX_BYTES_MAX)
        return err_set(err, ERR_CORRUPT, "transaction: %zu bytes are more than the limit", len);
    struct tx *tx = tx_new();
    tx->encoded = arena_dup(&tx->private_->arena, bytes, len);
    tx->encoded_len = len;
    int rc = tx__parse(tx, pruned, true, err);
    if (rc)
        tx_free(tx);
    else
        *out = tx;
    return rc;
}

int tx_decode(struct tx **out, const uint8_t *bytes, size_t len, struct err *err)
{
    return decode(out, bytes, len, false, err);
}

int tx_decode_pruned(struct tx **out, const uint8_t *bytes, size_t len, struct err *err)
{
    return decode(out, bytes, len, true, err);
}
