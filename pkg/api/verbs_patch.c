/* Patch: JSON patch, merge patch, strategic merge patch, and server-side apply. */
#include "api/verbs_internal.h"

#include "base/timefmt.h"
#include "object/apply.h"
#include "object/decode.h"
#include "object/patch.h"
#include "object/registry.h"

#include <stdio.h>

#define PATCH_JSON "application/json-patch+json"
#define PATCH_MERGE "application/merge-patch+json"
#define PATCH_STRATEGIC "application/strategic-merge-patch+json"
#define PATCH_APPLY "application/apply-patch+yaml"

int verbs_patch_apply(struct api_call *call, const struct schema_message *message, const json_t *object,
                      const json_t *patch, json_t **out)
{
    if (content_is(call, PATCH_JSON)) {
        int rc = patch_json(object, patch, out, &call->err);
        /* It is the patch that is invalid, not the object: upstream's details name nothing then. */
        call->nameless = rc == ERR_INVALID;
        return rc;
    }
    if (content_is(call, PATCH_MERGE))
        return patch_merge(object, patch, out, &call->err);
    if (content_is(call, PATCH_STRATEGIC))
        return patch_strategic(message, object, patch, out, &call->err);
    return err_set(
        &call->err, ERR_MEDIA_TYPE,
        "the body of the request was in an unknown format - accepted media types include: " PATCH_JSON
        ", " PATCH_MERGE ", " PATCH_STRATEGIC ", " PATCH_APPLY);
}

static int apply_refused(struct api_call *call, const json_t *config)
{
    if (!json_is_object(config))
        return err_set(&call->err, ERR_BAD_REQUEST,
                       "error decoding YAML: the apply configuration is no object");
    if (!*json_str_or_empty(config, "kind") || !*json_str_or_empty(config, "apiVersion"))
        return err_set(&call->err, ERR_BAD_REQUEST,
                       "couldn't get version/kind; the apply configuration must set apiVersion and kind");
    if (!call->request->field_manager || !*call->request->field_manager) {
        call_add_cause(call, "FieldValueRequired", "Required value: is required for apply patch",
                       "fieldManager");
        return err_set(
            &call->err, ERR_INVALID,
            "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for "
            "apply patch");
    }
    if (json_array_size(json_at(config, "metadata", "managedFields")) > 0)
        return err_set(&call->err, ERR_BAD_REQUEST, "metadata.managedFields must be nil");
    return 0;
}

/* Server-side apply makes what is not there; that needs the right to create too, as upstream asks. */
static int may_create(struct api_call *call)
{
    const struct rbac_attributes attributes = {.verb = "create",
                                               .group = call->kind->group,
                                               .resource = call->kind->plural,
                                               .subresource = "",
                                               .namespace = call->request->namespace,
                                               .name = call->request->name};
    return api_authorize(call->server, &call->request->user, &attributes, &call->err);
}

static int apply_merged(struct api_call *call, const json_t *config, json_t **out)
{
    char api_version[256], now[TIMEFMT_MAX];
    registry_api_version(api_version, sizeof(api_version), call->kind);
    timefmt_seconds(now, call->now_us / 1000000);
    struct apply_manager manager = {call->manager, api_version, call->request->subresource, now};
    json_auto_t *causes = NULL, *merged = NULL;
    int rc = apply_server_side(call->kind, call->live, config, &manager, call->request->force, &merged,
                               &causes, &call->err);
    if (rc && causes)
        call->causes = json_incref(causes);
    call->applied = true;
    /* What the manager gave up may have been all of a struct that is always there. */
    return rc ? rc : decode_json(call->kind->message, merged, out, NULL, &call->err);
}

static int patch_apply_config(struct api_call *call)
{
    json_auto_t *sent = NULL;
    int rc = call_decode_value(call, &sent);
    if (!rc)
        rc = apply_refused(call, sent);
    json_auto_t *config = NULL;
    if (!rc)
        rc = call_coerce(call, call->kind, sent, true, &config);
    if (rc)
        return rc;
    json_t *metadata = json_object_ensure(config, "metadata");
    if (!json_object_get(metadata, "name"))
        json_set_str(metadata, "name", call->request->name);
    rc = call_check_identity(call, config, false);
    if (rc)
        return rc;
    rc = call_live(call);
    if (rc && rc != ERR_NOT_FOUND)
        return rc;
    struct call_write write = {
        .verb = "apply", .subresource = call->request->subresource, .status = 200, .patch = config};
    if (!rc)
        rc = call_check_version(call, config, &write.strict);
    else if (!*call->request->subresource)
        rc = may_create(call);
    if (rc)
        return rc;
    json_object_del(metadata, "resourceVersion");
    json_auto_t *object = NULL;
    rc = apply_merged(call, config, &object);
    if (rc)
        return rc;
    if (call->live)
        return call_update_to(call, object, &write);
    write.object = object;
    write.status = 201;
    return call_create_from(call, object, &write);
}

int verbs_patch(struct api_call *call)
{
    if (content_is(call, PATCH_APPLY))
        return patch_apply_config(call);
    json_auto_t *patch = NULL, *patched = NULL, *object = NULL;
    int rc = call_decode_value(call, &patch);
    if (!rc)
        rc = call_live(call);
    if (!rc)
        rc = verbs_patch_apply(call, call->kind->message, call->live, patch, &patched);
    if (!rc)
        rc = call_coerce(call, call->kind, patched, false, &object);
    if (!rc)
        rc = call_check_identity(call, object, false);
    struct call_write write = {
        .verb = "patch", .subresource = call->request->subresource, .status = 200, .patch = patch};
    if (!rc)
        rc = call_check_version(call, object, &write.strict);
    if (rc)
        return rc;
    /* The patched object carries the live version; only a patch that names one is strict about it. */
    write.strict = json_at(patch, "metadata", "resourceVersion") != NULL;
    return call_update_to(call, object, &write);
}
