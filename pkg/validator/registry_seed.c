/* The seed of an epoch as an object of the chain. See registry.h. */
#include "validator/registry.h"

#include "base/hex.h"
#include "base/mem.h"
#include "chain/hash.h"
#include "chain/wire.h"
#include "codec/json.h"

#include <sodium.h>
#include <string.h>

static const struct resource_key seed_key = {REGISTRY_GROUP, REGISTRY_SEEDS, "", REGISTRY_SEED_NAME};

int registry_parse_seed(struct registry_seed *out, const void *content, size_t len, struct err *err)
{
    memset(out, 0, sizeof(*out));
    json_auto_t *object = json_parse(content, len, NULL);
    const char *seed = json_str(object, "seed"), *proof = json_str(object, "proof");
    int64_t epoch = json_int_or(0, object, "epoch");
    size_t proof_len = 0;
    if (!seed || !proof || epoch <= 0 || !hex_decode(out->seed, VDF_SEED_SIZE, seed) ||
        sodium_base642bin(out->proof, sizeof(out->proof), proof, strlen(proof), NULL, &proof_len, NULL,
                          sodium_base64_VARIANT_ORIGINAL) != 0 ||
        proof_len != sizeof(out->proof))
        return err_set(err, ERR_INVALID, "a seed has an epoch, a seed and a proof");
    out->epoch = (uint64_t)epoch;
    return 0;
}

bool registry_load_seed(struct registry_seed *out, const uint8_t chain_id[TX_ID_SIZE],
                        const struct state_store_ops *ops, struct state_snapshot *snapshot)
{
    struct state_object object;
    if (ops->get(snapshot, &seed_key, &object, NULL) == 0 &&
        registry_parse_seed(out, object.content, object.content_len, NULL) == 0) {
        memcpy(out->tx_id, object.tx_id, TX_ID_SIZE);
        return true;
    }
    memset(out, 0, sizeof(*out));
    memcpy(out->seed, chain_id, VDF_SEED_SIZE);
    return false;
}

void registry_seed_challenge(uint8_t out[VDF_SEED_SIZE], const uint8_t chain_id[TX_ID_SIZE], uint64_t epoch,
                             const uint8_t before[VDF_SEED_SIZE])
{
    static const char tag[] = "katena seed";
    buf_auto struct buf text = BUF_INIT;
    buf_append(&text, tag, sizeof(tag));
    buf_append(&text, chain_id, TX_ID_SIZE);
    wire_put_u64(&text, epoch);
    buf_append(&text, before, VDF_SEED_SIZE);
    hash_content(out, text.data, text.len);
}

void registry_seed_of_proof(uint8_t out[VDF_SEED_SIZE], const uint8_t proof[REGISTRY_SEED_PROOF_SIZE])
{
    struct vdf_proof vdf;
    memcpy(vdf.output, proof, VDF_ELEMENT_SIZE);
    memcpy(vdf.proof, proof + VDF_ELEMENT_SIZE, VDF_ELEMENT_SIZE);
    vdf_randomness(out, &vdf);
}

struct tx *registry_seed_tx(uint64_t epoch, const uint8_t proof[REGISTRY_SEED_PROOF_SIZE],
                            const struct registry_seed *before, bool has_before)
{
    static const char *const groups[] = {REGISTRY_USER_GROUP};
    uint8_t seed[VDF_SEED_SIZE];
    char seed_text[2 * VDF_SEED_SIZE + 1];
    char proof_text[sodium_base64_ENCODED_LEN(REGISTRY_SEED_PROOF_SIZE, sodium_base64_VARIANT_ORIGINAL)];
    registry_seed_of_proof(seed, proof);
    hex_encode(seed_text, seed, VDF_SEED_SIZE);
    sodium_bin2base64(proof_text, sizeof(proof_text), proof, REGISTRY_SEED_PROOF_SIZE,
                      sodium_base64_VARIANT_ORIGINAL);
    buf_auto struct buf content = BUF_INIT;
    buf_printf(&content, "{\"epoch\":%ju,\"proof\":\"%s\",\"seed\":\"%s\"}", (uintmax_t)epoch, proof_text,
               seed_text);
    struct tx *tx = tx_new();
    tx_set_user(tx, REGISTRY_USER, groups, 1);
    tx_set_verb(tx, has_before ? "update" : "create", "");
    struct tx_input input = {.kind = TX_INPUT_DIRECT, .key = seed_key};
    memcpy(input.tx_id, before->tx_id, TX_ID_SIZE);
    if (has_before)
        tx_add_input(tx, &input);
    tx_add_output(tx, &(struct tx_output){.op = TX_OUTPUT_PUT,
                                          .key = seed_key,
                                          .uid = "",
                                          .encoding = TX_CONTENT_PLAIN,
                                          .content = (const uint8_t *)content.data,
                                          .content_len = content.len});
    return tx;
}
