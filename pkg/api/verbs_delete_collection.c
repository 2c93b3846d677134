/*
 * Delete of a collection, in rounds: each round is one transaction that deletes or marks as many objects as
 * fit, and the request is handled again until there is nothing left to do.
 */
#include "api/verbs_internal.h"

#include "object/selector.h"

#define ROUND_MAX 128              /* outputs of one transaction; below TX_OUTPUTS_MAX */
#define ROUND_BYTES_MAX (4u << 20) /* of their contents; below TX_BYTES_MAX with one more of any size */

struct round {
    struct selector *labels, *fields;
    struct delete_options options;
    struct call_write write;
    struct tx *tx;
    size_t count, bytes;
};

static int parse_selectors(struct api_call *call, struct round *round)
{
    const struct api_request *request = call->request;
    int rc = selector_parse_labels(&round->labels, request->label_selector ? request->label_selector : "",
                                   &call->err);
    if (!rc)
        rc = selector_parse_fields(&round->fields, request->field_selector ? request->field_selector : "",
                                   call->kind, &call->err);
    return rc;
}

static bool matches(const struct round *round, const json_t *object)
{
    return selector_matches_labels(round->labels, json_at(object, "metadata", "labels")) &&
           selector_matches_fields(round->fields, object);
}

/* Adds what deleting the object comes to, if anything. */
static int add_one(struct api_call *call, struct round *round, const struct state_object *state)
{
    call->live_state = *state;
    json_decref(call->live);
    call->live = object_parse(call->server, state, &call->err);
    if (!call->live)
        return call->err.code;
    call->has_live = true;
    if (!matches(round, call->live))
        return 0;
    enum delete_outcome outcome;
    json_auto_t *object = NULL;
    int rc = delete_decide(call, &round->options, &outcome, &object);
    if (rc || outcome == DELETE_NOTHING)
        return rc;
    round->write.remove = outcome == DELETE_NOW;
    round->write.object = outcome == DELETE_MARK ? object : NULL;
    if (!round->tx)
        round->tx = commit_begin(call, &round->write);
    rc = commit_add(call, &round->write, round->tx);
    round->count += !rc;
    round->bytes += round->write.object ? call->text.len : 0;
    return rc;
}

static int collect(struct api_call *call, struct round *round)
{
    const struct state_store_ops *ops = ledger_store_ops(call->server->ledger);
    const char *namespace = call->request->namespace;
    struct resource_key prefix = {call->kind->group, call->kind->plural, *namespace ? namespace : NULL, ""};
    buf_auto struct buf bytes = BUF_INIT;
    key_encode(&bytes, &prefix);
    struct state_iter *iter = ops->iter_begin(call_snapshot(call), bytes.data, bytes.len, NULL, 0);
    struct state_object state;
    int rc = 0;
    while (!rc && round->count < ROUND_MAX && round->bytes < ROUND_BYTES_MAX && ops->iter_next(iter, &state))
        rc = add_one(call, round, &state);
    ops->iter_end(iter);
    return rc;
}

static int finish(struct api_call *call, struct round *round)
{
    if (!round->count || call->dry_run) {
        tx_free(round->tx);
        struct buf text = BUF_INIT;
        api_status_text(&text, 200, NULL, NULL);
        call_reply_text(call, 200, &text);
        return 0;
    }
    call->more = true;
    return commit_end(call, round->tx);
}

int verbs_delete_collection(struct api_call *call)
{
    struct round round = {.write = {.verb = "deletecollection", .subresource = "", .status = 200}};
    int rc = delete_options_read(call, &round.options);
    json_t *body = round.options.body;
    if (!rc)
        rc = parse_selectors(call, &round);
    if (!rc)
        rc = collect(call, &round);
    selector_free(round.labels);
    selector_free(round.fields);
    if (rc)
        tx_free(round.tx);
    else
        rc = finish(call, &round);
    json_decref(body);
    return rc;
}
