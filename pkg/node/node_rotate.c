/*
 * A new key for a running node (katena node rotate-keys). The chain knows a node's key by its name and does
 * not change it, so the node leaves, under the rules for any change of the validators, and joins again under
 * its name. Its data, its pods and its other keys stay.
 */
#include "node/node_internal.h"

#include "api/server.h"
#include "base/clock.h"
#include "client/kube.h"
#include "codec/json.h"
#include "ledger/ledger.h"
#include "pki/join_secret.h"
#include "pki/pki.h"

#define TOKEN_TTL_S 3600 /* as long as the others may take to confirm that the node has left */

static int make_token(struct node *node, struct join_token *token, struct err *err)
{
    static const char *const administrators[] = {"system:masters"};
    uint8_t hash[PKI_HASH_SIZE];
    int code = pki_ca_hash(hash, pki_ca_cert(node->pki), err);
    if (code)
        return code;
    join_token_make(token, hash);
    json_auto_t *secret =
        join_secret_make(token, clock_wall_us() / 1000000 + TOKEN_TTL_S, true, "a new key for a node");
    struct client *client = api_local_client(node->api, "system:apiserver", administrators, 1);
    code = client_create(client, &kube_secrets, JOIN_TOKEN_NAMESPACE, secret, NULL, err);
    api_local_client_free(client);
    return code;
}

int node_rotate_key(void *arg, struct err *err)
{
    struct node *node = arg;
    struct join_token token;
    int code = make_token(node, &token, err);
    if (!code)
        code = node_peers_rotate(node->peers, &token, node->options.port, err);
    explicit_bzero(&token, sizeof(token));
    return code ? code : ledger_remove_validator(node->ledger, node->name, err);
}
