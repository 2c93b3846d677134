/* See join_admit.h. */
#include "api/join_admit.h"

#include "base/clock.h"
#include "base/hex.h"
#include "base/log.h"
#include "base/mem.h"
#include "client/kube.h"
#include "codec/json.h"
#include "pki/join_secret.h"

#include <stdio.h>
#include <string.h>

#define NEW_TOKEN "Make a new one with `katena token create`"
#define CLAIM_TRIES 8

static bool field_is(const json_t *secret, const char *name, const char *value)
{
    mem_auto char *text = join_secret_field(secret, name);
    return strcmp(text, value) == 0;
}

/* ---- the token ---- */

/* Whoever does not know the secret learns nothing but that the token does not hold. */
static int check_token(const json_t *secret, const struct join_token *token, struct err *err)
{
    mem_auto char *digest = join_secret_field(secret, JOIN_TOKEN_DIGEST);
    mem_auto char *until = NULL;
    if (!secret || strcmp(json_str_or_empty(secret, "type"), JOIN_TOKEN_SECRET_TYPE) != 0 ||
        !field_is(secret, JOIN_TOKEN_USAGE, "true") || !join_token_matches(token, digest))
        return err_set(
            err, ERR_UNAUTHORIZED,
            "this cluster does not know the token %s: it was deleted, or is another one. " NEW_TOKEN,
            token->id);
    if (join_secret_expired(secret, clock_wall_us(), &until))
        return err_set(err, ERR_UNAUTHORIZED, "the token %s expired at %s. " NEW_TOKEN, token->id, until);
    return 0;
}

/* A token for one node belongs to the first that comes: of two at once, the chain takes one update. */
static int claim_token(struct client *client, json_t *secret, const struct join_request *request,
                       struct err *err)
{
    char key[2 * TX_KEY_SIZE + 1];
    if (!field_is(secret, JOIN_TOKEN_SINGLE_USE, "true"))
        return 0;
    hex_encode(key, request->key, sizeof(request->key));
    mem_auto char *used_by = join_secret_field(secret, JOIN_TOKEN_USED_BY);
    if (strcmp(used_by, key) == 0)
        return 0;
    if (*used_by)
        return err_set(err, ERR_UNAUTHORIZED,
                       "the token %s was for one node, and another one has used it. " NEW_TOKEN,
                       request->token.id);
    join_secret_set_field(secret, JOIN_TOKEN_USED_BY, key);
    return client_update(client, &kube_secrets, NULL, secret, NULL, err);
}

static int use_token(struct client *client, const struct join_request *request, struct err *err)
{
    mem_auto char *name = mem_printf(JOIN_TOKEN_NAME_PREFIX "%s", request->token.id);
    for (int tries = 0;; tries++) {
        json_auto_t *secret = NULL;
        int code = client_get(client, &kube_secrets, JOIN_TOKEN_NAMESPACE, name, &secret, err);
        if (code && code != ERR_NOT_FOUND)
            return code;
        code = check_token(secret, &request->token, err);
        if (!code)
            code = claim_token(client, secret, request, err);
        if (code != ERR_CONFLICT || tries == CLAIM_TRIES)
            return code;
    }
}

/* ---- the node ---- */

static struct registry_validator *load_validators(struct api_server *server, size_t *count)
{
    struct registry_validator *list = NULL;
    const struct state_store_ops *ops = ledger_store_ops(server->ledger);
    struct state_snapshot *snapshot = ops->snapshot_begin(ledger_store(server->ledger));
    *count = registry_load(&list, ops, snapshot);
    ops->snapshot_end(snapshot);
    return list;
}

static int check_name(const struct join_request *request, const struct registry_validator *list, size_t count,
                      struct err *err)
{
    for (size_t i = 0; i < count; i++) {
        bool same_name = strcmp(list[i].name, request->name) == 0;
        bool same_key = memcmp(list[i].key, request->key, TX_KEY_SIZE) == 0;
        if (same_name && !same_key)
            return err_set(
                err, ERR_EXISTS,
                "the cluster has a node \"%s\" already, with another key. Choose another name with "
                "--node-name, or, if that node is gone for good, remove it first: katena node "
                "remove %s",
                request->name, request->name);
        if (same_key && !same_name)
            return err_set(err, ERR_EXISTS,
                           "the cluster knows this node's key under the name \"%s\": start it with "
                           "--node-name %s",
                           list[i].name, list[i].name);
        if (same_name && list[i].phase == REGISTRY_LEAVING)
            return err_set(
                err, ERR_CONFLICT,
                "the node \"%s\" is being removed from the cluster: wait until it is gone, then join "
                "with a new data directory",
                request->name);
    }
    return 0;
}

static int register_node(struct api_server *server, const struct join_request *request, struct err *err)
{
    size_t count;
    mem_auto struct registry_validator *list = load_validators(server, &count);
    int code = check_name(request, list, count, err);
    if (code)
        return code;
    mem_auto struct registry_validator *new = mem_zalloc(sizeof(*new));
    new->phase = REGISTRY_JOINING;
    snprintf(new->name, sizeof(new->name), "%s", request->name);
    memcpy(new->key, request->key, sizeof(new->key));
    memcpy(new->addresses, request->addresses, sizeof(new->addresses));
    new->address_count = request->address_count;
    code = ledger_register_validator(server->ledger, new, err);
    if (code != ERR_CONFLICT)
        return code;
    mem_auto char *why = mem_strdup(err->message);
    return err_set(
        err, code,
        "%s. That one waits until enough of the voting nodes confirm it (katena node list shows who is "
        "down); then try again",
        why);
}

static int check_request(struct api_server *server, const struct join_request *request, struct err *err)
{
    uint8_t hash[PKI_HASH_SIZE];
    if (request->version != JOIN_VERSION)
        return err_set(err, ERR_CONFLICT,
                       "this node runs katena/" KATENA_VERSION
                       " and speaks version %d of joining; yours (%s) "
                       "speaks version %d. Use the same program on both",
                       JOIN_VERSION, *request->program ? request->program : "unnamed", request->version);
    int code = pki_ca_hash(hash, pki_ca_cert(server->pki), err);
    if (!code && memcmp(hash, request->token.ca_hash, sizeof(hash)) != 0)
        code = err_set(err, ERR_UNAUTHORIZED, "the token is another cluster's. " NEW_TOKEN " here");
    if (!code &&
        !join_challenge_holds(request->challenge, pki_seal_key(server->pki), clock_wall_us() / 1000000))
        code = err_set(err, ERR_UNAUTHORIZED,
                       "the challenge is too old, or another cluster's: set this machine's clock, try again");
    if (!code && !join_request_verify(request))
        code = err_set(err, ERR_UNAUTHORIZED, "the request is not signed by the node key that it names");
    return code;
}

static int fill_answer(struct api_server *server, struct join_answer *out, struct err *err)
{
    *out = (struct join_answer){.version = JOIN_VERSION};
    memcpy(out->chain_id, ledger_chain_id(server->ledger), sizeof(out->chain_id));
    snprintf(out->cluster_cidr, sizeof(out->cluster_cidr), "%s", server->cluster_cidr);
    snprintf(out->service_cidr, sizeof(out->service_cidr), "%s", server->service_cidr);
    out->peers = load_validators(server, &out->peer_count);
    int code = pki_shared_load(&out->shared, server->pki, err);
    if (code)
        join_answer_free(out);
    return code;
}

int join_admit(struct api_server *server, const struct join_request *request, struct join_answer *out,
               struct err *err)
{
    static const char *const administrators[] = {"system:masters"};
    int code = check_request(server, request, err);
    if (code)
        return code;
    struct client *client = api_local_client(server, "system:apiserver", administrators, 1);
    code = use_token(client, request, err);
    api_local_client_free(client);
    if (!code)
        code = register_node(server, request, err);
    if (!code)
        code = fill_answer(server, out, err);
    if (code)
        log_warn("join", "%s was refused: %s", *request->name ? request->name : "a node", err->message);
    else
        log_info("join", "%s has joined the cluster", request->name);
    return code;
}
