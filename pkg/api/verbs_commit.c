/*
 * From a decided write to its transaction and its answer.
 *
 * One write is one transaction with one output. The content in the chain carries the placeholder of the
 * resourceVersion; the answer is the same text with the digits that the block gave it.
 */
#include "api/pod_claim.h"
#include "api/verbs_internal.h"

#include "base/mem.h"
#include "codec/json_plain.h"

#include <stdio.h>

/* A longer intent is cut to its short facts: the chain is no place for a second copy of a large patch. */
#define INTENT_MAX (32 * 1024)

/* About what a server adds to an object: metadata with managedFields. */
#define TEXT_ADDED 640

static void write_name(struct buf *out, const char *name)
{
    buf_puts(out, out->len > 1 ? ",\"" : "\"");
    buf_puts(out, name);
    buf_puts(out, "\":");
}

/* Left out when the value is no text. */
static void write_fact(struct buf *out, const char *name, const char *value)
{
    size_t len = value ? strlen(value) : 0;
    if (value && json_plain_len(value, len, 1) == len) {
        write_name(out, name);
        buf_putc(out, '"');
        buf_append(out, value, len);
        buf_putc(out, '"');
        return;
    }
    json_auto_t *text = json_string(value);
    if (!text)
        return;
    write_name(out, name);
    object_write_value(out, text);
}

static const char *patch_type(const struct api_call *call)
{
    return call->request->verb == API_PATCH && call->request->content_type ? call->request->content_type : "";
}

/* What a replay after a chain switch needs to know: who changed which fields, from what. Contents that are
 * sealed leave no trace here. */
static void write_intent(struct api_call *call, const struct call_write *write, const char *uid, bool sealed,
                         struct buf *out)
{
    buf_putc(out, '{');
    write_fact(out, "verb", write->verb);
    write_fact(out, "fieldManager", call->manager);
    write_fact(out, "uid", uid);
    if (*patch_type(call))
        write_fact(out, "patchType", patch_type(call));
    size_t short_len = out->len;
    if (write->patch && !sealed) {
        buf_puts(out, ",\"patch\":");
        object_write_value(out, write->patch);
    }
    if (call->live && write->object && !sealed) {
        json_auto_t *base = meta_base(call->live, write->object);
        buf_puts(out, ",\"base\":");
        object_write_value(out, base);
    }
    if (out->len > INTENT_MAX)
        out->len = short_len;
    buf_putc(out, '}');
}

static size_t collect_terms(const struct schema_kind *kind, const json_t *object, struct tx_index_term *terms)
{
    size_t count = 0;
    size_t i;
    const json_t *owner;
    json_array_foreach(json_at(object, "metadata", "ownerReferences"), i, owner)
    {
        const char *uid = json_str_or_empty(owner, "uid");
        if (*uid && count < TX_INDEX_TERMS_MAX - 2)
            terms[count++] = (struct tx_index_term){"owner", uid};
    }
    const char *node = json_str_or_empty(object, "spec", "nodeName");
    if (kind_is(kind, "", "pods") && *node)
        terms[count++] = (struct tx_index_term){"node", node};
    const char *ip = json_str_or_empty(object, "spec", "clusterIP");
    if (kind_is(kind, "", "services") && *ip && strcmp(ip, "None") != 0)
        terms[count++] = (struct tx_index_term){"clusterIP", ip};
    return count;
}

/* Node ports as terms; texts must live as long as the terms. A port that two protocols share counts once. */
static size_t collect_ports(const struct schema_kind *kind, const json_t *object, struct tx_index_term *terms,
                            size_t count, char (*texts)[8])
{
    if (!kind_is(kind, "", "services"))
        return count;
    size_t first = count, i;
    const json_t *port;
    json_array_foreach(json_at(object, "spec", "ports"), i, port)
    {
        int64_t number = json_int_or(0, port, "nodePort");
        if (number <= 0 || number > 65535 || count == TX_INDEX_TERMS_MAX)
            continue;
        snprintf(texts[count], sizeof(texts[count]), "%d", (int)number);
        bool known = false;
        for (size_t k = first; k < count; k++)
            known |= !strcmp(terms[k].value, texts[count]);
        if (!known) {
            terms[count] = (struct tx_index_term){"nodePort", texts[count]};
            count++;
        }
    }
    return count;
}

static void add_indirect(struct tx *tx, const struct state_object *parent)
{
    struct tx_input input = {.kind = TX_INPUT_INDIRECT, .key = parent->key};
    memcpy(input.tx_id, parent->tx_id, TX_ID_SIZE);
    tx_add_input(tx, &input);
}

/* The namespace that a new object lives in; its absence is found by admission, before. */
static int add_namespace(struct api_call *call, struct tx *tx, const struct resource_key *key)
{
    struct resource_key parent;
    if (!key_parent(&parent, key))
        return 0;
    struct state_object other;
    const struct state_object *state = &other;
    int rc = 0;
    if (call->parent && !strcmp(call->request->namespace, parent.name))
        state = call->parent;
    else
        rc = ledger_store_ops(call->server->ledger)->get(call_snapshot(call), &parent, &other, &call->err);
    if (rc == ERR_NOT_FOUND)
        return err_set(&call->err, ERR_NOT_FOUND, "namespaces \"%s\" not found", parent.name);
    if (!rc)
        add_indirect(tx, state);
    return rc;
}

/* A claim on a node that the live object does not hold already reads the node. Without a node there is
 * nothing to claim. */
static int add_claim(struct api_call *call, struct tx *tx, const json_t *object, struct tx_claim *claim)
{
    *claim = (struct tx_claim){0};
    if (kind_is(call->kind, "", "nodes")) {
        node_claim(object, claim);
        return 0;
    }
    if (!kind_is(call->kind, "", "pods") || !pod_claim(object, claim))
        return 0;
    const char *held = call->has_live ? call->live_state.claim.node : NULL;
    if (held && !strcmp(held, claim->node))
        return 0;
    struct resource_key key = {"", "nodes", "", claim->node};
    struct state_object node;
    int rc = ledger_store_ops(call->server->ledger)->get(call_snapshot(call), &key, &node, &call->err);
    if (rc == ERR_NOT_FOUND) {
        *claim = (struct tx_claim){0};
        return 0;
    }
    if (!rc)
        add_indirect(tx, &node);
    return rc;
}

static void add_direct(struct api_call *call, struct tx *tx)
{
    struct tx_input input = {.kind = TX_INPUT_DIRECT, .key = call->live_state.key};
    memcpy(input.tx_id, call->live_state.tx_id, TX_ID_SIZE);
    tx_add_input(tx, &input);
}

bool commit_wants_final(const json_t *object)
{
    return !strcmp(json_str_or_empty(object, "metadata", "annotations", "katena.io/commit"), "irreversible");
}

int commit_add(struct api_call *call, const struct call_write *write, struct tx *tx)
{
    const json_t *object = write->object;
    if (object) {
        buf_clear(&call->text);
        buf_reserve(&call->text, call->request->body_len + TEXT_ADDED);
        object_write(&call->text, object, true, &call->rv_offset);
        if (call->text.len > TX_CONTENT_MAX)
            return err_set(&call->err, ERR_TOO_LARGE, "Request entity too large: limit is %u",
                           TX_CONTENT_MAX);
    }
    const json_t *named = object ? object : call->live;
    call->wait_final |= commit_wants_final(named);
    struct resource_key key = {call->kind->group, call->kind->plural,
                               call->kind->namespaced ? json_str_or_empty(named, "metadata", "namespace")
                                                      : "",
                               json_str_or_empty(named, "metadata", "name")};
    const char *uid = json_str_or_empty(named, "metadata", "uid");
    bool sealed = object_sealed_kind(&key);
    struct tx_index_term terms[TX_INDEX_TERMS_MAX];
    char ports[TX_INDEX_TERMS_MAX][8];
    struct tx_output output = {
        .op = write->remove ? TX_OUTPUT_DELETE : TX_OUTPUT_PUT, .key = key, .uid = uid};
    buf_auto struct buf ciphertext = BUF_INIT;
    if (object) {
        output.encoding = sealed ? TX_CONTENT_SEALED : TX_CONTENT_PLAIN;
        output.rv_offset = call->rv_offset;
        if (sealed)
            object_seal(call->server, &key, call->text.data, call->text.len, &ciphertext);
        output.content = (const uint8_t *)(sealed ? ciphertext.data : call->text.data);
        output.content_len = sealed ? ciphertext.len : call->text.len;
        output.terms = terms;
        if (!write->remove)
            output.term_count =
                collect_ports(call->kind, object, terms, collect_terms(call->kind, object, terms), ports);
    }
    if (call->has_live) {
        output.lock = write->remove ? NULL : call->live_state.lock;
        output.lock_len = write->remove ? 0 : call->live_state.lock_len;
        add_direct(call, tx);
    }
    int rc = call->has_live ? 0 : add_namespace(call, tx, &key);
    if (!rc && object && !write->remove)
        rc = add_claim(call, tx, object, &output.claim);
    if (rc)
        return rc;
    tx_add_output(tx, &output);
    buf_auto struct buf intent = BUF_INIT;
    buf_reserve(&intent, 200);
    write_intent(call, write, uid, sealed, &intent);
    tx_set_intent(tx, intent.data, intent.len);
    return 0;
}

struct tx *commit_begin(struct api_call *call, const struct call_write *write)
{
    struct tx *tx = tx_new();
    const struct api_user *user = &call->request->user;
    tx_set_user(tx, user->name, user->groups, user->group_count);
    tx_set_verb(tx, write->verb, write->subresource);
    tx->strict = write->strict;
    call->reply = write->reply;
    call->status = write->status;
    call->strict = write->strict;
    return tx;
}

/* A lost race is run again from the start, unless the client asked for exactly this version. */
static bool may_retry(const struct api_call *call, int code)
{
    if (call->request->tries >= VERBS_TRIES_MAX)
        return false;
    if (code == ERR_STALE)
        return !call->strict;
    if (code == ERR_EXISTS)
        return call->creating && (call->generated || call->request->verb == API_PATCH);
    return code == ERR_NOT_FOUND;
}

static void answer_rejected(struct api_call *call, const struct ledger_result *result)
{
    switch (result->code) {
    case ERR_STALE:
        call_conflict(call, call->name, NULL);
        break;
    case ERR_EXISTS:
        call_exists(call, call->name);
        break;
    case ERR_NOT_FOUND:
        call_not_found(call, call->kind, call->name);
        break;
    default:
        err_set(&call->err, result->code, "%s", result->message ? result->message : err_reason(result->code));
    }
    call_reply_error(call);
}

static void answer_included(struct api_call *call, uint64_t rv)
{
    if (call->reply) {
        char digits[TX_RV_DIGITS + 2];
        snprintf(digits, sizeof(digits), "%llu", (unsigned long long)rv);
        json_t *metadata = json_object_get(call->reply, "metadata");
        if (json_object_get(metadata, "name"))
            json_set_str(metadata, "resourceVersion", digits);
        json_t *reply = call->reply;
        call->reply = NULL;
        call_reply_object(call, call->status, reply);
        return;
    }
    if (call->rv_offset)
        object_splice(&call->text, call->rv_offset, rv);
    struct buf text = call->text;
    call->text = (struct buf)BUF_INIT;
    call_reply_text(call, call->status, &text);
}

static void on_done(void *arg, const struct ledger_result *result)
{
    struct api_call *call = arg;
    struct api_verbs *verbs = call->server->verbs;
    if (!result->code) {
        call->has_tx = true;
        call->height = result->height;
        memcpy(call->tx_id, result->tx_id, TX_ID_SIZE);
    }
    if (result->code ? may_retry(call, result->code) : call->more)
        call_reply_retry(call);
    else if (!result->code)
        answer_included(call, result->rv);
    else
        answer_rejected(call, result);
    pthread_mutex_lock(&verbs->lock);
    if (--verbs->calls == 0)
        pthread_cond_broadcast(&verbs->idle);
    pthread_mutex_unlock(&verbs->lock);
}

/* A dry run answers with what would have been written: at the live version, or at none. */
static int answer_dry_run(struct api_call *call, const struct call_write *write)
{
    if (write->reply) {
        call_reply_object(call, write->status, write->reply);
        return 0;
    }
    json_t *metadata = json_object_get(write->object, "metadata");
    if (metadata && call->live)
        json_object_set(metadata, "resourceVersion", json_at(call->live, "metadata", "resourceVersion"));
    call_reply_object(call, write->status, json_incref(write->object));
    return 0;
}

int commit_end(struct api_call *call, struct tx *tx)
{
    int rc = ledger_encode(call->server->ledger, tx, &call->err);
    if (rc) {
        tx_free(tx);
        return rc;
    }
    /* The snapshot must not be held while the block is made; what live_state points to ends with it. The live
     * object shares parts with the new one, which stays with this thread. */
    call_snapshot_end(call);
    json_decref(call->live);
    call->live = NULL;
    struct api_verbs *verbs = call->server->verbs;
    pthread_mutex_lock(&verbs->lock);
    verbs->calls++;
    pthread_mutex_unlock(&verbs->lock);
    if (call->request->may_block)
        ledger_submit_inline(call->server->ledger, tx, on_done, call);
    else
        ledger_submit(call->server->ledger, tx, on_done, call);
    return 0;
}

int call_commit(struct api_call *call, const struct call_write *write)
{
    const json_t *named = write->object ? write->object : call->live;
    call->creating = !call->has_live;
    if (!call->name)
        call->name = mem_strdup(json_str_or_empty(named, "metadata", "name"));
    if (call->dry_run)
        return answer_dry_run(call, write);
    struct tx *tx = commit_begin(call, write);
    int rc = commit_add(call, write, tx);
    if (rc) {
        tx_free(tx);
        return rc;
    }
    return commit_end(call, tx);
}
