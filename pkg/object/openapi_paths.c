/* Paths and operations for OpenAPI; see openapi_internal.h. Clients look for the kind of an operation and for
 * its query parameters: kubectl asks so whether dryRun and fieldValidation are understood. */
#include "object/openapi_internal.h"

#include "base/mem.h"
#include "codec/json.h"
#include "object/registry.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define META "io.k8s.apimachinery.pkg.apis.meta.v1."

struct parameter {
    const char *name;
    const char *type;
    const char *description;
};

static const struct parameter write_parameters[] = {
    {"dryRun", "string", "All: check the request and answer it, but keep nothing."},
    {"fieldManager", "string", "The name under which the fields that change are owned."},
    {"fieldValidation", "string", "What to do about unknown and duplicate fields: Ignore, Warn or Strict."},
    {NULL, NULL, NULL},
};
static const struct parameter patch_parameters[] = {
    {"dryRun", "string", "All: check the request and answer it, but keep nothing."},
    {"fieldManager", "string", "The name under which the fields that change are owned; apply needs one."},
    {"fieldValidation", "string", "What to do about unknown and duplicate fields: Ignore, Warn or Strict."},
    {"force", "boolean", "Take fields over from other managers when applying."},
    {NULL, NULL, NULL},
};
static const struct parameter delete_parameters[] = {
    {"dryRun", "string", "All: check the request and answer it, but keep nothing."},
    {"gracePeriodSeconds", "integer", "How long the object may take to end; 0 deletes at once."},
    {"orphanDependents", "boolean", "The older way to say propagationPolicy Orphan."},
    {"propagationPolicy", "string", "What becomes of dependents: Orphan, Background or Foreground."},
    {NULL, NULL, NULL},
};
static const struct parameter list_parameters[] = {
    {"allowWatchBookmarks", "boolean", "Send BOOKMARK events, which carry just a resourceVersion."},
    {"continue", "string", "The token of the list before, for its next part."},
    {"fieldSelector", "string", "Only objects whose fields match."},
    {"labelSelector", "string", "Only objects whose labels match."},
    {"limit", "integer", "At most that many objects in one answer."},
    {"resourceVersion", "string", "The state to list, or the one behind which to watch."},
    {"resourceVersionMatch", "string", "How resourceVersion is meant: Exact or NotOlderThan."},
    {"sendInitialEvents", "boolean", "Begin a watch with what exists."},
    {"timeoutSeconds", "integer", "End the request after that time."},
    {"watch", "boolean", "Stream changes instead of listing."},
    {NULL, NULL, NULL},
};
static const struct parameter no_parameters[] = {{NULL, NULL, NULL}};

static const struct verb {
    const char *name;   /* of the API */
    const char *method; /* in OpenAPI */
    const char *action; /* x-kubernetes-action */
    const struct parameter *parameters;
    const char *body; /* message that is sent; "" the kind itself; NULL none */
} verbs[] = {
    {"get", "get", "get", no_parameters, NULL},
    {"list", "get", "list", list_parameters, NULL},
    {"create", "post", "post", write_parameters, ""},
    {"update", "put", "put", write_parameters, ""},
    {"patch", "patch", "patch", patch_parameters, META "Patch"},
    {"delete", "delete", "delete", delete_parameters, META "DeleteOptions"},
    {"deletecollection", "delete", "deletecollection", list_parameters, META "DeleteOptions"},
};

/* What an operation is about. */
struct target {
    const struct schema_kind *kind;
    const struct schema_subresource *subresource; /* NULL: the kind itself */
    bool all_namespaces;
    enum openapi__dialect dialect;
};

static const char *const media_types[] = {"application/json", "application/yaml",
                                          "application/vnd.kubernetes.protobuf", NULL};
static const char *const patch_types[] = {"application/json-patch+json", "application/merge-patch+json",
                                          "application/strategic-merge-patch+json",
                                          "application/apply-patch+yaml", NULL};
static const char *const any_type[] = {"*/*", NULL};

static bool has_verb(const char *const *list, const char *verb)
{
    for (; list && *list; list++)
        if (strcmp(*list, verb) == 0)
            return true;
    return false;
}

static json_t *make_parameter(const char *in, const struct parameter *p, enum openapi__dialect dialect)
{
    json_t *out = json_object();
    json_set_str(out, "description", p->description);
    json_set_str(out, "in", in);
    json_set_str(out, "name", p->name);
    if (strcmp(in, "path") == 0)
        json_object_set_new(out, "required", json_true());
    json_t *schema = dialect == OPENAPI__V3 ? json_object() : out;
    json_set_str(schema, "type", p->type);
    json_object_set_new(schema, "uniqueItems", json_true());
    if (dialect == OPENAPI__V3)
        json_object_set_new(out, "schema", schema);
    return out;
}

/* The content map of version 3: every media type with the same schema. */
static json_t *content(const char *const *types, const char *message)
{
    json_t *out = json_object();
    for (; *types; types++)
        json_object_set_new(out, *types, json_pack("{s:o}", "schema", openapi__ref(message, OPENAPI__V3)));
    return out;
}

static const struct schema_message *target_message(const struct target *target)
{
    const struct schema_subresource *sub = target->subresource;
    if (!sub)
        return target->kind->message;
    return registry_message_by_kind(sub->group ? sub->group : target->kind->group,
                                    sub->version ? sub->version : target->kind->version, sub->kind);
}

static void put_body(json_t *operation, json_t *parameters, const struct target *target,
                     const struct verb *verb)
{
    if (!verb->body)
        return;
    const char *message = verb->body[0] ? verb->body : target_message(target)->name;
    bool patch = strcmp(verb->name, "patch") == 0;
    if (target->dialect == OPENAPI__V3) {
        json_object_set_new(operation, "requestBody",
                            json_pack("{s:o}", "content", content(patch ? patch_types : any_type, message)));
        return;
    }
    json_t *body = json_pack("{s:s,s:s,s:o}", "in", "body", "name", "body", "schema",
                             openapi__ref(message, OPENAPI__V2));
    if (strcmp(verb->method, "delete") != 0)
        json_object_set_new(body, "required", json_true());
    json_array_append_new(parameters, body);
    json_object_set_new(operation, "consumes", openapi__strings(patch ? patch_types : any_type));
}

static const char *answer_message(const struct target *target, const struct verb *verb)
{
    if (strcmp(verb->name, "list") == 0)
        return target->kind->list_message->name;
    return strcmp(verb->method, "delete") == 0 ? META "Status" : target_message(target)->name;
}

static json_t *make_responses(const struct target *target, const struct verb *verb)
{
    const char *message = answer_message(target, verb);
    json_t *ok = json_pack("{s:s}", "description", "OK");
    if (target->dialect == OPENAPI__V3)
        json_object_set_new(ok, "content", content(media_types, message));
    else
        json_object_set_new(ok, "schema", openapi__ref(message, OPENAPI__V2));
    return json_pack("{s:o,s:{s:s}}", "200", ok, "401", "description", "Unauthorized");
}

static void put_capitalized(struct buf *out, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        buf_putc(out, i ? text[i] : (char)toupper((unsigned char)text[i]));
}

/* "patchAppsV1NamespacedDeploymentStatus" */
static char *operation_id(const struct target *target, const struct verb *verb)
{
    const struct schema_kind *kind = target->kind;
    struct buf out = BUF_INIT;
    buf_puts(&out, strcmp(verb->name, "get") == 0      ? "read"
                   : strcmp(verb->name, "update") == 0 ? "replace"
                                                       : verb->name);
    put_capitalized(&out, kind->group[0] ? kind->group : "core",
                    kind->group[0] ? strcspn(kind->group, ".") : 4);
    put_capitalized(&out, kind->version, strlen(kind->version));
    if (kind->namespaced && !target->all_namespaces)
        buf_puts(&out, "Namespaced");
    buf_puts(&out, kind->kind);
    if (target->subresource)
        put_capitalized(&out, target->subresource->name, strlen(target->subresource->name));
    if (target->all_namespaces)
        buf_puts(&out, "ForAllNamespaces");
    return buf_steal(&out);
}

static json_t *make_operation(const struct target *target, const struct verb *verb)
{
    const struct schema_message *message = target_message(target);
    mem_auto char *id = operation_id(target, verb);
    json_t *out = json_object();
    json_t *parameters = json_array();
    json_set_str(out, "operationId", id);
    for (const struct parameter *p = verb->parameters; p->name; p++)
        json_array_append_new(parameters, make_parameter("query", p, target->dialect));
    put_body(out, parameters, target, verb);
    json_object_set_new(out, "parameters", parameters);
    if (target->dialect == OPENAPI__V2)
        json_object_set_new(out, "produces", openapi__strings(media_types));
    json_object_set_new(out, "responses", make_responses(target, verb));
    json_set_str(out, "x-kubernetes-action", verb->action);
    json_object_set_new(out, "x-kubernetes-group-version-kind",
                        openapi__gvk(message->group, message->version, message->kind));
    return out;
}

static json_t *path_parameters(const char *path, enum openapi__dialect dialect)
{
    static const struct parameter name = {"name", "string", "The name of the object."};
    static const struct parameter namespace = {"namespace", "string", "The namespace of the object."};
    static const struct parameter pretty = {"pretty", "string", "true: indent the answer."};
    json_t *out = json_array();
    if (strstr(path, "{name}"))
        json_array_append_new(out, make_parameter("path", &name, dialect));
    if (strstr(path, "{namespace}"))
        json_array_append_new(out, make_parameter("path", &namespace, dialect));
    json_array_append_new(out, make_parameter("query", &pretty, dialect));
    return out;
}

/* Visits one path with those of the wanted verbs that the target has; none: no path. */
static void visit_path(const struct target *target, const char *path, const char *const *wanted,
                       openapi__path_visitor *visit, void *arg)
{
    const char *const *have = target->subresource ? target->subresource->verbs : target->kind->verbs;
    json_auto_t *item = json_object();
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
        if (has_verb(wanted, verbs[i].name) && has_verb(have, verbs[i].name))
            json_object_set_new(item, verbs[i].method, make_operation(target, &verbs[i]));
    if (json_object_size(item) == 0)
        return;
    json_object_set_new(item, "parameters", path_parameters(path, target->dialect));
    visit(arg, path, item);
}

void openapi__paths(const struct schema_kind *kind, enum openapi__dialect dialect,
                    openapi__path_visitor *visit, void *arg)
{
    static const char *const list_only[] = {"list", NULL};
    static const char *const of_collection[] = {"list", "create", "deletecollection", NULL};
    static const char *const of_item[] = {"get", "update", "patch", "delete", NULL};
    static const char *const of_subresource[] = {"get", "create", "update", "patch", "delete", NULL};
    char api_version[128], base[192], path[256], sub_path[320];
    registry_api_version(api_version, sizeof(api_version), kind);
    snprintf(base, sizeof(base), "/%s/%s", kind->group[0] ? "apis" : "api", api_version);

    struct target target = {.kind = kind, .dialect = dialect};
    snprintf(path, sizeof(path), "%s%s/%s", base, kind->namespaced ? "/namespaces/{namespace}" : "",
             kind->plural);
    visit_path(&target, path, of_collection, visit, arg);
    snprintf(path + strlen(path), sizeof(path) - strlen(path), "/{name}");
    visit_path(&target, path, of_item, visit, arg);
    for (size_t i = 0; i < kind->subresource_count; i++) {
        target.subresource = &kind->subresources[i];
        snprintf(sub_path, sizeof(sub_path), "%s/%s", path, target.subresource->name);
        visit_path(&target, sub_path, of_subresource, visit, arg);
    }
    if (!kind->namespaced)
        return;
    target.subresource = NULL;
    target.all_namespaces = true;
    snprintf(path, sizeof(path), "%s/%s", base, kind->plural);
    visit_path(&target, path, list_only, visit, arg);
}
