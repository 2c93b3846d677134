/* Update: a whole object, or its status, over the live one. */
#include "api/verbs_internal.h"

#include "api/verbs_rv.h"

static int check_valid(struct api_call *call, const json_t *object, const char *subresource)
{
    struct field_errors errors = {0};
    if (*subresource)
        validate_subresource(call->kind, subresource, object, call->live, &errors);
    else
        validate_object(call->kind, object, call->live, &errors);
    int rc = 0;
    if (errors.count > 0)
        rc = call_invalid(call, &errors, call->kind, call->request->name);
    field_errors_free(&errors);
    return rc;
}

/* An object that is being deleted goes when nothing holds it any more: no finalizers, no grace period. */
static bool deletion_due(const struct schema_kind *kind, const json_t *object)
{
    if (!json_at(object, "metadata", "deletionTimestamp"))
        return false;
    if (json_array_size(json_at(object, "metadata", "finalizers")) > 0 ||
        json_int_or(0, object, "metadata", "deletionGracePeriodSeconds") > 0)
        return false;
    return !kind_is(kind, "", "namespaces") || !json_array_size(json_at(object, "spec", "finalizers"));
}

static int answer_unchanged(struct api_call *call, const struct call_write *write)
{
    call->has_tx = true;
    call->wait_final = commit_wants_final(call->live);
    memcpy(call->tx_id, call->live_state.tx_id, TX_ID_SIZE);
    if (write->reply) {
        json_set_str(json_object_get(write->reply, "metadata"), "resourceVersion",
                     json_str_or_empty(call->live, "metadata", "resourceVersion"));
        call_reply_object(call, 200, write->reply);
        return 0;
    }
    struct buf text = BUF_INIT;
    object_write(&text, call->live, false, NULL);
    call_reply_text(call, 200, &text);
    return 0;
}

int call_update_to(struct api_call *call, json_t *object, const struct call_write *plan)
{
    struct call_write write = *plan;
    const char *part = !strcmp(write.subresource, "scale") ? "" : write.subresource;
    int rc = meta_prepare_update(call, object, part);
    if (!rc && !*part)
        rc = admission_update(call, object);
    if (!rc) {
        defaults_apply(call->kind, object);
        rc = *part ? 0 : admission_allocate(call, object);
    }
    if (!rc) {
        meta_update_generation(call->kind, part, object, call->live);
        rc = check_valid(call, object, part);
    }
    if (rc) {
        json_decref(write.reply);
        return rc;
    }
    meta_track(call, object, write.subresource);
    write.object = object;
    write.remove = deletion_due(call->kind, object);
    if (!write.remove && meta_same(object, call->live))
        return answer_unchanged(call, &write);
    return call_commit(call, &write);
}

int call_check_version(struct api_call *call, const json_t *object, bool *strict)
{
    uint64_t wanted = 0;
    *strict = false;
    const char *text = json_str_or_empty(object, "metadata", "resourceVersion");
    if (!*text)
        return 0;
    if (!rv_parse(text, &wanted))
        return call_invalid_field(call, call->request->name, "FieldValueInvalid", "metadata.resourceVersion",
                                  "Invalid value: \"%.64s\": must be an unsigned integer", text);
    if (!wanted)
        return 0;
    *strict = true;
    return wanted == call->live_state.rv ? 0 : call_conflict(call, call->request->name, NULL);
}

int verbs_update(struct api_call *call)
{
    json_auto_t *object = NULL;
    int rc = call_decode_object(call, call->kind, &object);
    if (!rc)
        rc = call_check_identity(call, object, false);
    if (!rc)
        rc = call_live(call);
    struct call_write write = {.verb = "update", .subresource = call->request->subresource, .status = 200};
    if (!rc)
        rc = call_check_version(call, object, &write.strict);
    return rc ? rc : call_update_to(call, object, &write);
}
