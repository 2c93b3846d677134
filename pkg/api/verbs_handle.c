/* api_handle: authorizes a request and hands it to its verb. */
#include "api/verbs_internal.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/timefmt.h"

#include <assert.h>
#include <stdio.h>

static const char *const verb_names[] = {
    [API_GET] = "get",       [API_LIST] = "list",
    [API_WATCH] = "watch",   [API_CREATE] = "create",
    [API_UPDATE] = "update", [API_PATCH] = "patch",
    [API_DELETE] = "delete", [API_DELETE_COLLECTION] = "deletecollection",
};

/* A list of one object by field selector is authorized as a request for that name, as upstream does. */
static const char *selected_name(const struct api_request *request, char *out, size_t size)
{
    static const char prefix[] = "metadata.name=";
    const char *selector = request->field_selector;
    if (!selector || strncmp(selector, prefix, sizeof(prefix) - 1) != 0)
        return "";
    const char *name = selector + sizeof(prefix) - 1;
    name += *name == '=';
    if (strpbrk(name, ",=!"))
        return "";
    snprintf(out, size, "%s", name);
    return out;
}

static int authorize(struct api_call *call)
{
    const struct api_request *request = call->request;
    char selected[256];
    struct rbac_attributes attributes = {
        .verb = verb_names[request->verb],
        .group = call->kind->group,
        .resource = call->kind->plural,
        .subresource = request->subresource,
        .namespace = request->namespace,
        .name = request->name,
    };
    bool collection =
        request->verb == API_LIST || request->verb == API_WATCH || request->verb == API_DELETE_COLLECTION;
    if (collection && !*request->name)
        attributes.name = selected_name(request, selected, sizeof(selected));
    /* The namespace of a namespace is itself, so that a Role in it can grant access to it. */
    if (kind_is(call->kind, "", "namespaces"))
        attributes.namespace = request->name;
    return api_authorize(call->server, &request->user, &attributes, &call->err);
}

typedef int (*verb_fn)(struct api_call *call);

/* Subresources that are more than a part of their object. */
static const struct {
    const char *group, *resource, *subresource;
    enum api_verb verb;
    verb_fn fn;
} special[] = {
    {"", "pods", "binding", API_CREATE, verbs_binding},
    {"", "bindings", "", API_CREATE, verbs_binding},
    {"", "pods", "eviction", API_CREATE, verbs_eviction},
    {"", "namespaces", "finalize", API_UPDATE, verbs_namespace_finalize},
    {"", "serviceaccounts", "token", API_CREATE, verbs_token},
};

static verb_fn find_special(const struct api_call *call)
{
    for (size_t i = 0; i < sizeof(special) / sizeof(*special); i++)
        if (special[i].verb == call->request->verb &&
            kind_is(call->kind, special[i].group, special[i].resource) &&
            !strcmp(special[i].subresource, call->request->subresource))
            return special[i].fn;
    if (!strcmp(call->request->subresource, "scale"))
        return verbs_scale;
    if (call->kind->virtual_)
        return verbs_review;
    return NULL;
}

static int method_not_supported(struct api_call *call)
{
    char resource[256];
    kind_group_resource(resource, sizeof(resource), call->kind);
    return err_set(&call->err, ERR_METHOD, "%s is not supported on resources of kind \"%s\"",
                   verb_names[call->request->verb], resource);
}

static int dispatch(struct api_call *call)
{
    static const verb_fn verbs[] = {
        [API_GET] = verbs_get,       [API_LIST] = verbs_list,
        [API_WATCH] = verbs_watch,   [API_CREATE] = verbs_create,
        [API_UPDATE] = verbs_update, [API_PATCH] = verbs_patch,
        [API_DELETE] = verbs_delete, [API_DELETE_COLLECTION] = verbs_delete_collection,
    };
    int rc = authorize(call);
    if (rc)
        return rc;
    verb_fn fn = find_special(call);
    if (fn)
        return fn(call);
    const char *subresource = call->request->subresource;
    bool whole = !*subresource;
    bool in_place = call->request->verb == API_GET || call->request->verb == API_UPDATE ||
                    call->request->verb == API_PATCH;
    if (!whole && !(in_place && kind_has_subresource(call->kind, subresource)))
        return method_not_supported(call);
    return verbs[call->request->verb](call);
}

/* The field manager that a write is recorded under: the one that is named, or the program in the user agent
 * ("kubectl/v1.35.0 (…)"). A header may hold any bytes; what is no printable ASCII is left out. */
static void choose_manager(struct api_call *call)
{
    const struct api_request *request = call->request;
    bool named = request->field_manager && *request->field_manager;
    const char *from = named ? request->field_manager : request->user_agent ? request->user_agent : "";
    size_t len = 0;
    for (; *from && (named || *from != '/') && len < VERBS_MANAGER_MAX; from++)
        if (*from >= ' ' && *from <= '~')
            call->manager[len++] = *from;
    call->manager[len] = '\0';
    if (!len)
        snprintf(call->manager, sizeof(call->manager), "unknown");
}

void api_handle(struct api_server *server, struct api_request *request, api_done_fn done, void *arg)
{
    struct api_call *call = mem_alloc(sizeof(*call));
    *call = (struct api_call){.server = server,
                              .request = request,
                              .done = done,
                              .arg = arg,
                              .kind = request->kind,
                              .dry_run = request->dry_run,
                              .now_us = clock_wall_us()};
    choose_manager(call);
    int rc = dispatch(call);
    if (rc) {
        assert(rc < 0);
        if (!call->err.code)
            err_set(&call->err, rc, "%s", err_reason(rc));
        call_reply_error(call);
    }
}
