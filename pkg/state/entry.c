/* See entry.h. */
#include "state/entry.h"

#include "chain/wire.h"

#include <sodium.h>
#include <string.h>

static const char entry_tag[16] = "katena entry v1";

void state_entry_hash(uint8_t out[HASH_SIZE], uint64_t rv, const uint8_t tx_id[TX_ID_SIZE],
                      const uint8_t *output, size_t output_len)
{
    uint8_t head[sizeof(entry_tag) + 8 + TX_ID_SIZE];
    memcpy(head, entry_tag, sizeof(entry_tag));
    wire_store_u64(head + sizeof(entry_tag), rv);
    memcpy(head + sizeof(entry_tag) + 8, tx_id, TX_ID_SIZE);
    crypto_generichash_state state;
    crypto_generichash_init(&state, NULL, 0, HASH_SIZE);
    crypto_generichash_update(&state, head, sizeof(head));
    crypto_generichash_update(&state, output, output_len);
    crypto_generichash_final(&state, out, HASH_SIZE);
}

void state_entry_rebuild(uint8_t out[HASH_SIZE], const struct state_object *object)
{
    struct tx_index_term terms[TX_INDEX_TERMS_MAX];
    struct tx_output output = {
        .op = TX_OUTPUT_PUT,
        .key = object->key,
        .uid = object->uid,
        .encoding = object->encoding,
        .content_len = object->content_len,
        .rv_offset = object->rv_offset,
        .lock = object->lock,
        .lock_len = object->lock_len,
        .terms = terms,
        .claim = object->claim,
    };
    for (size_t pos = 0; output.term_count < TX_INDEX_TERMS_MAX;)
        if (!state_term_next(object, &pos, &terms[output.term_count]))
            break;
        else
            output.term_count++;
    hash_content(output.content_hash, object->content, object->content_len);
    buf_auto struct buf encoding = BUF_INIT;
    tx_output_encode(&encoding, &output);
    state_entry_hash(out, object->rv, object->tx_id, (const uint8_t *)encoding.data, encoding.len);
}

void state_object_of_output(struct state_object *out, const struct tx *tx, size_t index, uint64_t rv)
{
    const struct tx_output *o = &tx->outputs[index];
    *out = (struct state_object){
        .key = o->key,
        .rv = rv,
        .uid = o->uid,
        .encoding = o->encoding,
        .content = o->content,
        .content_len = o->content_len,
        .rv_offset = o->rv_offset,
        .lock = o->lock,
        .lock_len = o->lock_len,
        .claim = o->claim,
    };
    memcpy(out->tx_id, tx->id, TX_ID_SIZE);
    memcpy(out->content_hash, o->content_hash, HASH_SIZE);
    out->terms = tx_output_terms(tx, index, &out->terms_len);
}
