/* Create: from a decoded object to a transaction without a direct input. */
#include "api/verbs_internal.h"

#include "base/mem.h"

static int check_valid(struct api_call *call, const json_t *object)
{
    struct field_errors errors = {0};
    validate_object(call->kind, object, NULL, &errors);
    int rc = 0;
    if (errors.count > 0)
        rc = call_invalid(call, &errors, call->kind, json_str_or_empty(object, "metadata", "name"));
    field_errors_free(&errors);
    return rc;
}

static int check_free(struct api_call *call, const char *name)
{
    struct state_object taken;
    int rc = call_find(call, call->kind, call->request->namespace, name, &taken);
    if (rc == ERR_NOT_FOUND) {
        err_clear(&call->err);
        return 0;
    }
    return rc ? rc : call_exists(call, name);
}

/* A client owns what it sent and its defaults, but not what the cluster adds: so this comes before admission.
 * Returns the entries, for the caller to put back when the object is prepared. */
static json_t *own_sent(struct api_call *call, json_t *object, const char *subresource)
{
    if (kind_is(call->kind, "", "secrets"))
        admission_secret(object);
    defaults_apply(call->kind, object);
    json_t *metadata = json_object_ensure(object, "metadata");
    if (!call->applied)
        json_object_del(metadata, "managedFields");
    meta_track(call, object, subresource);
    return json_incref(json_object_get(metadata, "managedFields"));
}

int call_create_from(struct api_call *call, json_t *object, const struct call_write *write)
{
    call->generated = !*json_str_or_empty(object, "metadata", "name");
    json_auto_t *owned = own_sent(call, object, write->subresource);
    int rc = admission_create(call, object);
    if (rc)
        return rc;
    defaults_apply(call->kind, object);
    rc = admission_allocate(call, object);
    if (!rc)
        rc = meta_prepare_create(call, object);
    if (rc)
        return rc;
    if (owned)
        json_object_set(json_object_get(object, "metadata"), "managedFields", owned);
    call->name = mem_strdup(json_str_or_empty(object, "metadata", "name"));
    rc = check_valid(call, object);
    if (!rc)
        rc = check_free(call, call->name);
    return rc ? rc : call_commit(call, write);
}

int verbs_create(struct api_call *call)
{
    json_auto_t *object = NULL;
    int rc = call_decode_object(call, call->kind, &object);
    if (!rc)
        rc = call_check_identity(call, object, true);
    if (rc)
        return rc;
    struct call_write write = {.verb = "create", .subresource = "", .object = object, .status = 201};
    return call_create_from(call, object, &write);
}
