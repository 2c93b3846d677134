/*
 * The rules of the validator set. See registry.h; docs/chain-format.md numbers them. All is judged against
 * the registry at the parent, since a block holds at most one change of it.
 */
#include "validator/validator_internal.h"

#include "chain/vote.h"

#include <string.h>

/* As finality.h has it, for the rules stand below the voting. */
static size_t quorum(size_t n, bool byzantine)
{
    return byzantine ? n * 2 / 3 + 1 : n / 2 + 1;
}

static bool acts(const struct registry_validator *validator)
{
    return validator->phase == REGISTRY_ACTING || validator->phase == REGISTRY_LEAVING;
}

static size_t acting_count(const struct validator_chain *chain)
{
    size_t count = 0;
    for (size_t i = 0; i < chain->registry_count; i++)
        count += acts(&chain->registry[i]);
    return count;
}

static int check_no_change(const struct validator_chain *chain, struct err *err)
{
    for (size_t i = 0; i < chain->registry_count; i++)
        if (chain->registry[i].phase != REGISTRY_ACTING)
            return err_set(err, ERR_CONFLICT,
                           "validator \"%s\" is %s: one change of the validators at a time",
                           chain->registry[i].name,
                           chain->registry[i].phase == REGISTRY_JOINING ? "joining" : "leaving");
    return 0;
}

/* Votes from the source to the round after it make the source final. */
static int check_statement(const struct validator_chain *chain, const struct vote *vote,
                           const struct registry_validator *changed, struct err *err)
{
    uint64_t height;
    int64_t time_us;
    if (vote->kind != VOTE_CHECKPOINT || memcmp(vote->chain, chain->id, HASH_SIZE) != 0 ||
        vote->round != vote->number + 1)
        return err_set(err, ERR_INVALID, "the certificate is not about a final block of this chain");
    if (!chain->find_block || !chain->find_block(chain->arg, vote->source, &height, &time_us) ||
        height + VALIDATOR_CERTIFICATE_DEPTH < chain->height)
        return err_set(err, ERR_INVALID, "the certificate's block is not on this chain, or too old");
    if (time_us < block_time_of_rv(changed->rv))
        return err_set(err, ERR_INVALID, "the certificate's block is older than the change");
    return 0;
}

static int check_votes(const struct validator_chain *chain, const struct vote_certificate *certificate,
                       const struct registry_validator *changed, struct err *err)
{
    int rc = check_statement(chain, &certificate->votes[0], changed, err);
    if (rc)
        return rc;
    size_t votes = 0;
    for (size_t i = 0; i < certificate->count; i++) {
        const struct registry_validator *signer =
            registry_find(chain->registry, chain->registry_count, certificate->votes[i].validator);
        votes += signer && acts(signer);
    }
    if (votes < quorum(acting_count(chain), chain->byzantine))
        return err_set(err, ERR_INVALID, "the certificate has too few signatures");
    return 0;
}

/* The change of a validator is over when the block that holds it is final. */
static int check_certificate(const struct validator_chain *chain, const struct tx *tx,
                             const struct registry_validator *changed, struct err *err)
{
    buf_auto struct buf bytes = BUF_INIT;
    if (!registry_certificate(tx, &bytes))
        return err_set(err, ERR_INVALID, "a certificate that the change is final is missing");
    struct vote_certificate certificate;
    struct err detail;
    if (vote_certificate_decode(&certificate, (const uint8_t *)bytes.data, bytes.len, &detail) != 0)
        return err_set(err, ERR_INVALID, "certificate: %s", detail.message);
    int rc = check_votes(chain, &certificate, changed, err);
    vote_certificate_free(&certificate);
    return rc;
}

static int check_new(const struct validator_chain *chain, const struct tx *tx,
                     const struct registry_validator *validator, struct err *err)
{
    if (chain->registry_count == 0) {
        if (memcmp(validator->key, chain->producer, TX_KEY_SIZE) != 0 ||
            memcmp(tx->node_key, chain->producer, TX_KEY_SIZE) != 0 || validator->phase != REGISTRY_ACTING)
            return err_set(err, ERR_INVALID, "the first validator is the producer of the genesis, acting");
        return 0;
    }
    if (validator->phase != REGISTRY_JOINING)
        return err_set(err, ERR_INVALID, "a new validator begins as Joining");
    if (chain->registry_count >= REGISTRY_MAX)
        return err_set(err, ERR_CONFLICT, "there are %d validators already", REGISTRY_MAX);
    if (registry_find(chain->registry, chain->registry_count, validator->key))
        return err_set(err, ERR_CONFLICT, "another validator has this key");
    return check_no_change(chain, err);
}

static int check_phase(const struct validator_chain *chain, const struct tx *tx,
                       const struct registry_validator *validator, const struct registry_validator *old,
                       struct err *err)
{
    if (memcmp(validator->key, old->key, TX_KEY_SIZE) != 0)
        return err_set(err, ERR_INVALID, "the key of a validator does not change");
    if (validator->phase == old->phase)
        return 0;
    if (old->phase == REGISTRY_JOINING && validator->phase == REGISTRY_ACTING)
        return check_certificate(chain, tx, old, err);
    if (old->phase == REGISTRY_ACTING && validator->phase == REGISTRY_LEAVING) {
        if (acting_count(chain) < 2)
            return err_set(err, ERR_INVALID, "the last validator cannot leave");
        return check_no_change(chain, err);
    }
    return err_set(err, ERR_INVALID, "a validator is Joining, then Acting, then Leaving");
}

static int check_removal(const struct validator_chain *chain, const struct tx *tx,
                         const struct registry_validator *old, struct err *err)
{
    if (old->phase == REGISTRY_ACTING)
        return err_set(err, ERR_INVALID, "a validator is Leaving before it is removed");
    return check_certificate(chain, tx, old, err);
}

static const struct registry_validator *find_name(const struct validator_chain *chain, const char *name)
{
    for (size_t i = 0; i < chain->registry_count; i++)
        if (strcmp(chain->registry[i].name, name) == 0)
            return &chain->registry[i];
    return NULL;
}

static int check_validator(struct validator *v, const struct tx *tx, const struct tx_output *output,
                           struct err *err)
{
    const struct registry_validator *old = find_name(v->chain, output->key.name);
    if (v->registry_changed)
        return err_set(err, ERR_CONFLICT, "a block holds one change of the validators");
    if (output->op == TX_OUTPUT_DELETE)
        return old ? check_removal(v->chain, tx, old, err)
                   : err_set(err, ERR_NOT_FOUND, "there is no validator \"%s\"", output->key.name);
    struct registry_validator validator;
    if (output->encoding != TX_CONTENT_PLAIN || *output->key.namespace)
        return err_set(err, ERR_INVALID, "validators are plain objects without a namespace");
    int rc = registry_parse(&validator, output->key.name, output->content, output->content_len, err);
    if (rc)
        return rc;
    return old ? check_phase(v->chain, tx, &validator, old, err) : check_new(v->chain, tx, &validator, err);
}

int validator_check_registry(struct validator *v, const struct tx *tx, struct err *err)
{
    const struct tx_output *output = NULL;
    for (size_t i = 0; i < tx->output_count; i++)
        if (registry_is_ruled(&tx->outputs[i].key))
            output = &tx->outputs[i];
    if (!output)
        return 0;
    if (!registry_is_key(&output->key))
        return validator_check_seed(v, tx, output, err);
    if (tx->output_count != 1 || output->lock_len || output->claim.node)
        return err_set(err, ERR_INVALID, "a change of a validator stands alone in its transaction");
    if (strcmp(tx->user, REGISTRY_USER) != 0)
        return err_set(err, ERR_FORBIDDEN, "validators are changed by %s only", REGISTRY_USER);
    return check_validator(v, tx, output, err);
}
