/* See route.h. */
#include "api/route.h"

#include "base/mem.h"

#include <string.h>

#define PARTS_MAX 16

struct parts {
    const char *items[PARTS_MAX];
    size_t count;
    bool too_many;
};

/* Cuts text at slashes, in place; an empty part (a double or trailing slash) makes no part. */
static void split(struct parts *parts, char *text)
{
    char *save = NULL;
    memset(parts, 0, sizeof(*parts));
    for (char *part = strtok_r(text, "/", &save); part; part = strtok_r(NULL, "/", &save)) {
        if (parts->count == PARTS_MAX) {
            parts->too_many = true;
            return;
        }
        parts->items[parts->count++] = part;
    }
}

static const char *part_at(const struct parts *parts, size_t i)
{
    return i < parts->count ? parts->items[i] : "";
}

/* The rest of a resource path, from its i-th part: [watch/] [namespaces/NS/] RESOURCE [/NAME [/SUBRESOURCE]].
 */
static void parse_resource(struct route *out, const struct parts *parts, size_t i)
{
    if (strcmp(part_at(parts, i), "watch") == 0) {
        out->watch = true;
        i++;
    }
    if (i >= parts->count) {
        out->what = out->watch ? ROUTE_NONE : ROUTE_GROUP_VERSION;
        return;
    }
    out->what = ROUTE_RESOURCE;
    /* A namespace's own subresources are not resources inside it. */
    if (strcmp(part_at(parts, i), "namespaces") == 0 && parts->count > i + 2 &&
        strcmp(part_at(parts, i + 2), "status") != 0 && strcmp(part_at(parts, i + 2), "finalize") != 0) {
        out->namespace = part_at(parts, i + 1);
        i += 2;
    }
    out->resource = part_at(parts, i);
    out->name = part_at(parts, i + 1);
    out->subresource = part_at(parts, i + 2);
    out->deep = parts->count > i + 3;
}

static void parse_openapi(struct route *out, const struct parts *parts)
{
    const char *form = part_at(parts, 1);
    if (strcmp(form, "v2") == 0 && parts->count == 2)
        out->what = ROUTE_OPENAPI_V2;
    else if (strcmp(form, "v3") == 0 && parts->count == 2)
        out->what = ROUTE_OPENAPI_V3_INDEX;
    else if (strcmp(form, "v3") == 0 && parts->count == 4 && strcmp(part_at(parts, 2), "api") == 0) {
        out->what = ROUTE_OPENAPI_V3;
        out->version = part_at(parts, 3);
    } else if (strcmp(form, "v3") == 0 && parts->count == 5 && strcmp(part_at(parts, 2), "apis") == 0) {
        out->what = ROUTE_OPENAPI_V3;
        out->group = part_at(parts, 3);
        out->version = part_at(parts, 4);
    }
}

/* /katena/v1/WHAT, and for some /katena/v1/WHAT/NAME. */
static void parse_katena(struct route *out, const struct parts *parts)
{
    static const struct {
        const char *word;
        enum route_what what;
        size_t parts_max;
    } known[] = {{"chain", ROUTE_CHAIN, 4},   {"ca", ROUTE_CA, 3},       {"join", ROUTE_JOIN, 3},
                 {"status", ROUTE_STATUS, 3}, {"nodes", ROUTE_NODES, 4}, {"tx", ROUTE_TX, 4}};
    for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
        if (parts->count >= 3 && parts->count <= known[i].parts_max && strcmp(part_at(parts, 1), "v1") == 0 &&
            strcmp(part_at(parts, 2), known[i].word) == 0) {
            out->what = known[i].what;
            out->name = part_at(parts, 3);
        }
}

static void parse_other(struct route *out, const struct parts *parts)
{
    static const struct {
        const char *first, *second;
        enum route_what what;
    } fixed[] = {
        {"version", "", ROUTE_VERSION},
        {"metrics", "", ROUTE_METRICS},
        {".well-known", "openid-configuration", ROUTE_OPENID},
    };
    const char *first = part_at(parts, 0);
    for (size_t i = 0; i < sizeof(fixed) / sizeof(*fixed); i++)
        if (parts->count <= 2 && strcmp(first, fixed[i].first) == 0 &&
            strcmp(part_at(parts, 1), fixed[i].second) == 0)
            out->what = fixed[i].what;
    if (strcmp(first, "openid") == 0 && parts->count == 3 && strcmp(part_at(parts, 1), "v1") == 0 &&
        strcmp(part_at(parts, 2), "jwks") == 0)
        out->what = ROUTE_JWKS;
    if (parts->count <= 2 &&
        (strcmp(first, "healthz") == 0 || strcmp(first, "livez") == 0 || strcmp(first, "readyz") == 0)) {
        out->what = ROUTE_HEALTH;
        out->check = part_at(parts, 1);
    }
    if (strcmp(first, "openapi") == 0)
        parse_openapi(out, parts);
    if (strcmp(first, "katena") == 0)
        parse_katena(out, parts);
}

void route_parse(struct route *out, const char *path)
{
    *out = (struct route){
        .what = ROUTE_NONE,
        .group = "",
        .version = "",
        .resource = "",
        .namespace = "",
        .name = "",
        .subresource = "",
        .check = "",
        .storage = mem_strdup(path),
    };
    struct parts parts;
    split(&parts, out->storage);
    if (parts.too_many)
        return;
    const char *first = part_at(&parts, 0);
    if (parts.count == 0) {
        out->what = ROUTE_INDEX;
    } else if (strcmp(first, "api") == 0) {
        out->version = part_at(&parts, 1);
        if (parts.count == 1)
            out->what = ROUTE_API_VERSIONS;
        else
            parse_resource(out, &parts, 2);
    } else if (strcmp(first, "apis") == 0) {
        out->group = part_at(&parts, 1);
        out->version = part_at(&parts, 2);
        if (parts.count == 1)
            out->what = ROUTE_GROUPS;
        else if (parts.count == 2)
            out->what = ROUTE_GROUP;
        else
            parse_resource(out, &parts, 3);
    } else {
        parse_other(out, &parts);
    }
}

void route_free(struct route *route)
{
    free(route->storage);
    route->storage = NULL;
}

bool route_verb(const struct route *route, const char *method, bool watching, enum api_verb *verb)
{
    bool named = *route->name;
    if (strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0)
        *verb = (watching && !*route->subresource) || route->watch ? API_WATCH : named ? API_GET : API_LIST;
    else if (strcmp(method, "POST") == 0)
        *verb = API_CREATE;
    else if (strcmp(method, "PUT") == 0)
        *verb = API_UPDATE;
    else if (strcmp(method, "PATCH") == 0)
        *verb = API_PATCH;
    else if (strcmp(method, "DELETE") == 0)
        *verb = named ? API_DELETE : API_DELETE_COLLECTION;
    else
        return false;
    return true;
}

const char *route_verb_name(enum api_verb verb)
{
    static const char *const names[] = {"get",    "list",  "watch",  "create",
                                        "update", "patch", "delete", "deletecollection"};
    return names[verb];
}

static bool contains(const char *const *list, const char *word)
{
    for (; list && *list; list++)
        if (strcmp(*list, word) == 0)
            return true;
    return false;
}

bool route_allows(const struct schema_kind *kind, const char *subresource, enum api_verb verb)
{
    const char *name = route_verb_name(verb);
    if (!*subresource)
        return contains(kind->verbs, name);
    for (size_t i = 0; i < kind->subresource_count; i++)
        if (strcmp(kind->subresources[i].name, subresource) == 0)
            return contains(kind->subresources[i].verbs, name);
    return false;
}
