/* The rules of the seed. See registry.h; docs/chain-format.md numbers them. */
#include "validator/validator_internal.h"

#include <string.h>

/* The seed before, at this place of the block. */
static int load_before(struct validator *v, const struct tx_output *output, struct registry_seed *before,
                       struct err *err)
{
    struct state_object object;
    memset(before, 0, sizeof(*before));
    memcpy(before->seed, v->chain->id, VDF_SEED_SIZE);
    int rc = state_view_get(v->view, &output->key, &object, err);
    if (rc == ERR_NOT_FOUND)
        return 0;
    return rc ? rc : registry_parse_seed(before, object.content, object.content_len, err);
}

static int check_proof(const struct validator_chain *chain, const struct registry_seed *seed,
                       const struct registry_seed *before, struct err *err)
{
    uint8_t challenge[VDF_SEED_SIZE], given[VDF_SEED_SIZE];
    struct vdf_proof proof;
    registry_seed_challenge(challenge, chain->id, seed->epoch, before->seed);
    registry_seed_of_proof(given, seed->proof);
    memcpy(proof.output, seed->proof, VDF_ELEMENT_SIZE);
    memcpy(proof.proof, seed->proof + VDF_ELEMENT_SIZE, VDF_ELEMENT_SIZE);
    if (seed->epoch <= before->epoch)
        return err_set(err, ERR_CONFLICT, "the seed is of an older epoch than the one before");
    if (memcmp(given, seed->seed, VDF_SEED_SIZE) != 0 ||
        !vdf_verify(challenge, REGISTRY_SEED_DIFFICULTY, &proof))
        return err_set(err, ERR_INVALID, "the seed is not what the delay function gives");
    return 0;
}

int validator_check_seed(struct validator *v, const struct tx *tx, const struct tx_output *output,
                         struct err *err)
{
    struct registry_seed seed, before;
    if (tx->output_count != 1 || output->op != TX_OUTPUT_PUT || output->lock_len || output->claim.node ||
        output->encoding != TX_CONTENT_PLAIN || *output->key.namespace ||
        strcmp(output->key.name, REGISTRY_SEED_NAME) != 0)
        return err_set(err, ERR_INVALID, "there is one seed, which stands alone in its transaction");
    if (strcmp(tx->user, REGISTRY_USER) != 0)
        return err_set(err, ERR_FORBIDDEN, "the seed is changed by %s only", REGISTRY_USER);
    int rc = registry_parse_seed(&seed, output->content, output->content_len, err);
    if (!rc)
        rc = load_before(v, output, &before, err);
    return rc ? rc : check_proof(v->chain, &seed, &before, err);
}
