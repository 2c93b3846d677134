/* An output of an orphan, with what it was built on. */
#include "api/orphans_internal.h"

#include "blockstore/blockstore.h"
#include "object/registry.h"

#include <string.h>

json_t *orphan_content(struct api_server *server, const struct tx_output *output)
{
    struct state_object state = {.key = output->key,
                                 .uid = output->uid,
                                 .encoding = output->encoding,
                                 .content = output->content,
                                 .content_len = output->content_len,
                                 .rv_offset = output->rv_offset};
    return output->content && output->content_len ? object_parse(server, &state, NULL) : NULL;
}

static const struct tx_input *direct_input(const struct tx *tx, const struct resource_key *key)
{
    for (size_t i = 0; i < tx->input_count; i++)
        if (tx->inputs[i].kind == TX_INPUT_DIRECT && key_compare(&tx->inputs[i].key, key) == 0)
            return &tx->inputs[i];
    return NULL;
}

/* The version that the input names: on the chain, on an abandoned branch, or among the orphans. */
static json_t *find_base(struct api_server *server, const struct tx_input *input)
{
    struct tx *tx;
    json_t *base = NULL;
    if (blockstore_tx(ledger_store(server->ledger), input->tx_id, &tx, NULL))
        return NULL;
    for (size_t i = 0; i < tx->output_count && !tx->pruned; i++)
        if (key_compare(&tx->outputs[i].key, &input->key) == 0)
            base = orphan_content(server, &tx->outputs[i]);
    tx_free(tx);
    return base;
}

/* Its body may be pruned by now: then the intent knows what was changed. */
static json_t *base_of_intent(const struct tx *tx, const json_t *orphan)
{
    json_auto_t *intent = json_loadb((const char *)tx->intent, tx->intent_len, 0, NULL);
    const json_t *old = json_object_get(intent, "base");
    return orphan && tx->output_count == 1 && json_is_object(old) ? replay_base(orphan, old) : NULL;
}

static bool is_deletion(const struct orphan_part *part)
{
    const struct tx *tx = part->tx;
    return !strcmp(tx->verb, "delete") || !strcmp(tx->verb, "deletecollection") ||
           !strcmp(tx->subresource, "eviction") || (part->output->op == TX_OUTPUT_DELETE && !part->orphan);
}

void orphan_part_open(struct api_server *server, struct orphan_part *part, const struct tx *tx, size_t index)
{
    const struct tx_output *output = &tx->outputs[index];
    *part = (struct orphan_part){
        .tx = tx,
        .output = output,
        .kind = registry_by_resource(output->key.group, NULL, output->key.resource),
    };
    if (!part->kind) {
        part->policy = ORPHAN_AS_IS;
        return;
    }
    const struct tx_input *input = direct_input(tx, &output->key);
    part->orphan = orphan_content(server, output);
    if (input)
        part->base = find_base(server, input);
    if (input && !part->base)
        part->base = base_of_intent(tx, part->orphan);
    part->verb = is_deletion(part) ? REPLAY_DELETE : input ? REPLAY_CHANGE : REPLAY_CREATE;
    /* Of a deletion the identity is enough. */
    if (part->verb == REPLAY_DELETE && !part->base && *output->uid)
        part->base = json_pack("{s:{s:s}}", "metadata", "uid", output->uid);
    if (part->verb == REPLAY_DELETE && output->op == TX_OUTPUT_DELETE) {
        json_decref(part->orphan);
        part->orphan = NULL;
    }
    part->policy = orphan_policy_of(part);
}

void orphan_part_close(struct orphan_part *part)
{
    json_decref(part->base);
    json_decref(part->orphan);
}
