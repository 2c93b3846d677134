/* The rules of one transaction at its place. Each function is one rule; docs/chain-format.md numbers them. */
#include "validator/validator_internal.h"

#include "chain/script.h"
#include "chain/tx_batch.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <sodium.h>

#define NAME_MAX_TEXT (KEY_BYTES_MAX + 2)

/* "pods" or "deployments.apps", as Kubernetes' messages name a resource. */
static const char *resource_text(char out[NAME_MAX_TEXT], const struct resource_key *key)
{
    snprintf(out, NAME_MAX_TEXT, "%s%s%s", key->resource, *key->group ? "." : "", key->group);
    return out;
}

static int not_found(const struct resource_key *key, struct err *err)
{
    char text[NAME_MAX_TEXT];
    return err_set(err, ERR_NOT_FOUND, "%s \"%s\" not found", resource_text(text, key), key->name);
}

static int stale(const struct tx *tx, const struct resource_key *key, struct err *err)
{
    char text[NAME_MAX_TEXT];
    return err_set(
        err, tx->strict ? ERR_CONFLICT : ERR_STALE,
        "Operation cannot be fulfilled on %s \"%s\": the object has been modified; please apply your "
        "changes to the latest version and try again",
        resource_text(text, key), key->name);
}

static int check_origin(const struct validator *v, const struct tx *tx, struct err *err)
{
    if (memcmp(tx->chain_id, v->chain->id, TX_ID_SIZE) != 0)
        return err_set(err, ERR_FORBIDDEN, "the transaction belongs to another chain");
    if (!validator_is_registered(v->chain, tx->node_key))
        return err_set(err, ERR_FORBIDDEN, "the transaction is signed by no validator of this chain");
    return tx_verify_signatures(tx, NULL, err);
}

static const struct tx_input *input_find(const struct tx *tx, enum tx_input_kind kind,
                                         const struct resource_key *key)
{
    for (size_t i = 0; i < tx->input_count; i++)
        if (tx->inputs[i].kind == kind && key_compare(&tx->inputs[i].key, key) == 0)
            return &tx->inputs[i];
    return NULL;
}

/* An earlier output of the same transaction may be the parent. */
static bool made_before(const struct tx *tx, size_t index, const struct resource_key *key)
{
    for (size_t i = 0; i < index; i++)
        if (tx->outputs[i].op == TX_OUTPUT_PUT && key_compare(&tx->outputs[i].key, key) == 0)
            return true;
    return false;
}

/* Inputs and outputs belong together: no key twice, and each direct input is consumed by an output. Most
 * transactions have one output; for the others the square is bounded by the limits of tx.h. */
static int check_shape(const struct tx *tx, struct err *err)
{
    for (size_t i = 0; i < tx->output_count; i++)
        for (size_t k = 0; k < i; k++)
            if (key_compare(&tx->outputs[i].key, &tx->outputs[k].key) == 0)
                return err_set(err, ERR_INVALID, "two outputs of the transaction have one key");
    for (size_t i = 0; i < tx->input_count; i++) {
        const struct tx_input *input = &tx->inputs[i];
        bool used = input->kind == TX_INPUT_INDIRECT;
        for (size_t k = 0; k < tx->output_count && !used; k++)
            used = key_compare(&input->key, &tx->outputs[k].key) == 0;
        if (!used)
            return err_set(err, ERR_INVALID, "no output of the transaction has its direct input's key");
        for (size_t k = 0; k < i; k++)
            if (tx->inputs[k].kind == input->kind && key_compare(&input->key, &tx->inputs[k].key) == 0)
                return err_set(err, ERR_INVALID, "two inputs of the transaction have one key");
    }
    return 0;
}

static int check_locks(const struct tx *tx, struct err *err)
{
    for (size_t i = 0; i < tx->output_count; i++) {
        int rc = script_check(tx->outputs[i].lock, tx->outputs[i].lock_len, err);
        if (rc)
            return rc;
    }
    return 0;
}

/* An indirect input holds while what it names is alive. */
static int check_alive(struct validator *v, const struct resource_key *key, struct err *err)
{
    struct state_object object;
    int rc = state_view_get(v->view, key, &object, err);
    return rc == ERR_NOT_FOUND ? not_found(key, err) : rc;
}

static int check_indirect_inputs(struct validator *v, const struct tx *tx, struct err *err)
{
    for (size_t i = 0; i < tx->input_count; i++) {
        if (tx->inputs[i].kind != TX_INPUT_INDIRECT)
            continue;
        int rc = check_alive(v, &tx->inputs[i].key, err);
        if (rc)
            return rc;
    }
    return 0;
}

struct rbac_question {
    struct validator *v;
    const struct tx *tx;
    const struct resource_key *key;
    bool creates;
};

static bool rbac_ask(const struct rbac_question *q, const char *verb, const char *subresource)
{
    struct rbac_attributes attributes = {
        .user = q->tx->user,
        .groups = q->tx->groups,
        .group_count = q->tx->group_count,
        .verb = verb,
        .group = q->key->group,
        .resource = q->key->resource,
        .subresource = subresource,
        .namespace = q->key->namespace,
        .name = q->key->name,
    };
    /* As in the API, the name of what is being created is not known to the rules. */
    if (strcmp(verb, "create") == 0 && !*subresource)
        attributes.name = "";
    return rbac_allows(validator_policy(q->v), &attributes, NULL);
}

/* SCRIPT_RBAC: whether the user may do to this output what the transaction does. */
static bool rbac_permits(void *arg)
{
    const struct rbac_question *q = arg;
    const char *verb = strcmp(q->tx->verb, "apply") == 0 ? "patch" : q->tx->verb;
    if (!rbac_ask(q, verb, q->tx->subresource))
        return false;
    /* An update or patch of what is not there makes it, which takes the right to create, too. */
    bool is_create = strcmp(verb, "create") == 0 && !*q->tx->subresource;
    return !q->creates || is_create || rbac_ask(q, "create", "");
}

static int forbidden(const struct rbac_question *q, struct err *err)
{
    const struct tx *tx = q->tx;
    const struct resource_key *key = q->key;
    char scope[NAME_MAX_TEXT + 32];
    if (*key->namespace)
        snprintf(scope, sizeof(scope), "in the namespace \"%s\"", key->namespace);
    else
        snprintf(scope, sizeof(scope), "at the cluster scope");
    char text[NAME_MAX_TEXT];
    return err_set(err, ERR_FORBIDDEN,
                   "%s \"%s\" is forbidden: User \"%s\" cannot %s resource \"%s%s%s\" in API group \"%s\" %s",
                   resource_text(text, key), key->name, tx->user,
                   strcmp(tx->verb, "apply") == 0 ? "patch" : tx->verb, key->resource,
                   *tx->subresource ? "/" : "", tx->subresource, key->group, scope);
}

static int check_create(struct validator *v, const struct tx *tx, size_t index, struct err *err)
{
    const struct tx_output *output = &tx->outputs[index];
    if (output->op != TX_OUTPUT_PUT)
        return not_found(&output->key, err);
    struct resource_key parent;
    if (key_parent(&parent, &output->key) && !made_before(tx, index, &parent)) {
        if (!input_find(tx, TX_INPUT_INDIRECT, &parent))
            return err_set(err, ERR_INVALID,
                           "the transaction creates in namespace \"%s\" without an input of it", parent.name);
        int rc = check_alive(v, &parent, err);
        if (rc)
            return rc;
    }
    struct rbac_question question = {v, tx, &output->key, true};
    return rbac_permits(&question) ? 0 : forbidden(&question, err);
}

static int check_change(struct validator *v, const struct tx *tx, const struct tx_output *output,
                        const struct tx_input *input, const struct state_object *old, struct err *err)
{
    if (memcmp(input->tx_id, old->tx_id, TX_ID_SIZE) != 0)
        return stale(tx, &output->key, err);
    if (strcmp(tx->verb, "create") == 0 && !*tx->subresource)
        return err_set(err, ERR_INVALID, "a create cannot have a direct input");
    struct rbac_question question = {v, tx, &output->key, false};
    if (!old->lock_len)
        return rbac_permits(&question) && !input->unlock_len ? 0 : forbidden(&question, err);
    uint8_t message[TX_SIGNED_SIZE];
    tx_signed_bytes(tx, message);
    struct script_env env = {message, rbac_permits, &question};
    return script_run(old->lock, old->lock_len, input->unlock, input->unlock_len, &env, err);
}

static int already_exists(const struct tx_output *output, struct err *err)
{
    char text[NAME_MAX_TEXT];
    return err_set(err, ERR_EXISTS, "%s \"%s\" already exists", resource_text(text, &output->key),
                   output->key.name);
}

static bool is_node(const struct resource_key *key)
{
    return strcmp(key->resource, "nodes") == 0 && !*key->group;
}

/* Adds what earlier outputs of the same transaction claim on the node. What they replace is not subtracted: a
 * transaction that moves several claims on one node at once is judged by the larger sum. */
static void claims_before(const struct tx *tx, size_t index, struct tx_claim *sum)
{
    for (size_t i = 0; i < index; i++) {
        const struct tx_output *o = &tx->outputs[i];
        if (!o->claim.node || is_node(&o->key) || strcmp(o->claim.node, tx->outputs[index].claim.node) != 0)
            continue;
        sum->cpu_milli += o->claim.cpu_milli;
        sum->memory_bytes += o->claim.memory_bytes;
        sum->pods += o->claim.pods;
    }
}

/* A claim that is new or larger than before has to fit into what its node has, beside all others there. */
static int check_claim(struct validator *v, const struct tx *tx, size_t index, const struct state_object *old,
                       struct err *err)
{
    const struct tx_output *output = &tx->outputs[index];
    const struct tx_claim *claim = &output->claim;
    if (output->op != TX_OUTPUT_PUT || !claim->node || is_node(&output->key))
        return 0;
    struct tx_claim had = {0};
    if (old && old->claim.node && strcmp(old->claim.node, claim->node) == 0)
        had = old->claim;
    if (had.node && claim->cpu_milli <= had.cpu_milli && claim->memory_bytes <= had.memory_bytes &&
        claim->pods <= had.pods)
        return 0;
    struct resource_key node_key = {"", "nodes", "", claim->node};
    struct state_object node;
    int rc = state_view_get(v->view, &node_key, &node, err);
    if (rc)
        return rc == ERR_NOT_FOUND ? not_found(&node_key, err) : rc;
    struct tx_claim sum;
    rc = state_view_claimed(v->view, claim->node, &sum, err);
    if (rc)
        return rc;
    claims_before(tx, index, &sum);
    const char *what = NULL;
    if (sum.cpu_milli - had.cpu_milli + claim->cpu_milli > node.claim.cpu_milli)
        what = "cpu";
    else if (sum.memory_bytes - had.memory_bytes + claim->memory_bytes > node.claim.memory_bytes)
        what = "memory";
    else if (sum.pods - had.pods + claim->pods > node.claim.pods)
        what = "pods";
    if (!what)
        return 0;
    return err_set(err, ERR_CONFLICT,
                   "Operation cannot be fulfilled on pods \"%s\": node \"%s\" has not enough %s",
                   output->key.name, claim->node, what);
}

static int check_output(struct validator *v, const struct tx *tx, size_t index, struct err *err)
{
    const struct tx_output *output = &tx->outputs[index];
    const struct tx_input *input = input_find(tx, TX_INPUT_DIRECT, &output->key);
    struct state_object old;
    int rc = state_view_get(v->view, &output->key, &old, err);
    if (rc && rc != ERR_NOT_FOUND)
        return rc;
    bool exists = rc == 0;
    if (exists && !input)
        return already_exists(output, err);
    if (!exists && input)
        return not_found(&output->key, err);
    rc = exists ? check_change(v, tx, output, input, &old, err) : check_create(v, tx, index, err);
    return rc ? rc : check_claim(v, tx, index, exists ? &old : NULL, err);
}

static bool is_in_chain(struct validator *v, const uint8_t id[TX_ID_SIZE])
{
    uint64_t height;
    if (bytemap_get(&v->applied, id, TX_ID_SIZE) != BYTEMAP_NONE)
        return true;
    return state_view_find_tx(v->view, id, &height) &&
           (!v->checks_block || height + VALIDATOR_REPEAT_DEPTH > v->chain->height);
}

static bool consumes(const struct tx *tx)
{
    for (size_t i = 0; i < tx->input_count; i++)
        if (tx->inputs[i].kind == TX_INPUT_DIRECT)
            return true;
    return false;
}

/* At most once, and that includes its rebased forms. How far back a node's index reaches is its own affair,
 * so the verdict on a block must not depend on it. While there is one validator nothing is ever rebased, and
 * a transaction that consumes something is stale the second time, so the store need not be asked. */
static int check_fresh(struct validator *v, const struct tx *tx, struct err *err)
{
    bool ask = v->chain->registry_count > 1 || !consumes(tx);
    if (ask && is_in_chain(v, tx->id))
        return err_set(err, ERR_INCLUDED, "the transaction is in the chain already");
    if (!sodium_is_zero(tx->original, TX_ID_SIZE) && is_in_chain(v, tx->original))
        return err_set(err, ERR_INCLUDED,
                       "what the transaction is a rebased form of is in the chain already");
    return 0;
}

int validator_check(struct validator *v, const struct tx *tx, struct err *err)
{
    if (tx->pruned)
        return err_set(err, ERR_INVALID, "the transaction's body is absent");
    int rc = check_origin(v, tx, err);
    if (!rc)
        rc = check_shape(tx, err);
    if (!rc)
        rc = check_locks(tx, err);
    if (!rc)
        rc = check_fresh(v, tx, err);
    if (!rc)
        rc = check_indirect_inputs(v, tx, err);
    for (size_t i = 0; i < tx->output_count && !rc; i++)
        rc = check_output(v, tx, i, err);
    if (!rc)
        rc = validator_check_registry(v, tx, err);
    return rc;
}
