/* See discovery.h. All of it is made from the registry's kinds. */
#include "api/discovery.h"

#include "base/mem.h"
#include "codec/json.h"
#include "object/registry.h"

#include <ctype.h>
#include <gnutls/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VERSIONS_MAX 16

struct discovery {
    struct discovery_document documents[2][2]; /* core or not; v2 or v2beta1 */
};

/* ---- versions of a group ---- */

/* Kubernetes' version priority: v2, v1, v1beta2, v1beta1, v1alpha1. Positive when a comes first. */
static int version_rank(const char *version)
{
    const char *p = version + (*version == 'v');
    int major = atoi(p);
    p += strspn(p, "0123456789");
    int stability = !*p ? 2 : strncmp(p, "beta", 4) == 0 ? 1 : 0;
    int minor = atoi(p + strcspn(p, "0123456789"));
    return stability * 1000000 + major * 1000 + minor;
}

static size_t versions_of(const char *group, const char *out[VERSIONS_MAX])
{
    size_t n = 0;
    for (size_t i = 0; i < registry_count(); i++) {
        const struct schema_kind *kind = registry_at(i);
        bool known = strcmp(kind->group, group) != 0;
        for (size_t k = 0; k < n; k++)
            known |= strcmp(out[k], kind->version) == 0;
        if (known || n == VERSIONS_MAX)
            continue;
        size_t at = n++;
        for (; at > 0 && version_rank(out[at - 1]) < version_rank(kind->version); at--)
            out[at] = out[at - 1];
        out[at] = kind->version;
    }
    return n;
}

/* The next group behind `group` in the registry's order; NULL: the first; "" is the core group. */
static const char *next_group(const char *group)
{
    for (size_t i = 0; i < registry_count(); i++) {
        const char *candidate = registry_at(i)->group;
        if (!group || strcmp(candidate, group) > 0)
            return candidate;
    }
    return NULL;
}

static json_t *strings_of(const char *const *list)
{
    json_t *out = json_array();
    for (; list && *list; list++)
        json_array_append_new(out, json_string(*list));
    return out;
}

static void set_strings(json_t *object, const char *name, const char *const *list)
{
    if (list && *list)
        json_object_set_new(object, name, strings_of(list));
}

/* ---- aggregated ---- */

static json_t *response_kind(const char *group, const char *version, const char *kind)
{
    json_t *out = json_object();
    json_set_str(out, "group", group);
    json_set_str(out, "version", version);
    json_set_str(out, "kind", kind);
    return out;
}

static json_t *aggregated_subresources(const struct schema_kind *kind)
{
    json_t *out = json_array();
    for (size_t i = 0; i < kind->subresource_count; i++) {
        const struct schema_subresource *sub = &kind->subresources[i];
        json_t *item = json_object();
        json_set_str(item, "subresource", sub->name);
        json_object_set_new(item, "responseKind",
                            response_kind(sub->group ? sub->group : kind->group,
                                          sub->version ? sub->version : kind->version,
                                          sub->kind ? sub->kind : kind->kind));
        json_object_set_new(item, "verbs", strings_of(sub->verbs));
        json_array_append_new(out, item);
    }
    return out;
}

static json_t *aggregated_resource(const struct schema_kind *kind)
{
    json_t *item = json_object();
    json_set_str(item, "resource", kind->plural);
    json_object_set_new(item, "responseKind", response_kind(kind->group, kind->version, kind->kind));
    json_set_str(item, "scope", kind->namespaced ? "Namespaced" : "Cluster");
    json_set_str(item, "singularResource", kind->singular);
    json_object_set_new(item, "verbs", strings_of(kind->verbs));
    set_strings(item, "shortNames", kind->short_names);
    set_strings(item, "categories", kind->categories);
    if (kind->subresource_count)
        json_object_set_new(item, "subresources", aggregated_subresources(kind));
    return item;
}

static json_t *aggregated_group(const char *group)
{
    const char *versions[VERSIONS_MAX];
    size_t n = versions_of(group, versions);
    json_t *metadata = json_object();
    if (*group)
        json_set_str(metadata, "name", group);
    json_object_set_new(metadata, "creationTimestamp", json_null());
    json_t *list = json_array();
    for (size_t v = 0; v < n; v++) {
        json_t *resources = json_array();
        for (size_t i = 0; i < registry_count(); i++) {
            const struct schema_kind *kind = registry_at(i);
            if (strcmp(kind->group, group) == 0 && strcmp(kind->version, versions[v]) == 0)
                json_array_append_new(resources, aggregated_resource(kind));
        }
        json_t *version = json_object();
        json_set_str(version, "version", versions[v]);
        json_object_set_new(version, "resources", resources);
        json_set_str(version, "freshness", "Current");
        json_array_append_new(list, version);
    }
    json_t *out = json_object();
    json_object_set_new(out, "metadata", metadata);
    json_object_set_new(out, "versions", list);
    return out;
}

static void make_aggregated(struct discovery_document *document, bool core, const char *api_version)
{
    json_t *items = json_array();
    for (const char *group = next_group(NULL); group; group = next_group(group))
        if (core == !*group)
            json_array_append_new(items, aggregated_group(group));
    json_auto_t *list = json_object();
    json_set_str(list, "kind", "APIGroupDiscoveryList");
    json_set_str(list, "apiVersion", api_version);
    json_object_set_new(list, "metadata", json_object());
    json_object_set_new(list, "items", items);
    json_dump_buf(&document->text, list);
    unsigned char digest[32] = {0};
    gnutls_hash_fast(GNUTLS_DIG_SHA256, document->text.data, document->text.len, digest);
    document->etag[0] = '"';
    for (size_t i = 0; i < sizeof(digest); i++)
        snprintf(document->etag + 1 + 2 * i, 3, "%02X", digest[i]);
    memcpy(document->etag + 65, "\"", 2);
}

struct discovery *discovery_new(void)
{
    struct discovery *discovery = mem_zalloc(sizeof(*discovery));
    for (int core = 0; core < 2; core++) {
        make_aggregated(&discovery->documents[core][0], core, "apidiscovery.k8s.io/v2");
        make_aggregated(&discovery->documents[core][1], core, "apidiscovery.k8s.io/v2beta1");
    }
    return discovery;
}

void discovery_free(struct discovery *discovery)
{
    if (!discovery)
        return;
    for (int core = 0; core < 2; core++)
        for (int form = 0; form < 2; form++)
            buf_free(&discovery->documents[core][form].text);
    free(discovery);
}

const struct discovery_document *discovery_aggregated(const struct discovery *discovery, bool core,
                                                      enum negotiate_as as)
{
    return &discovery->documents[core][as == NEGOTIATE_DISCOVERY_V2BETA1];
}

const char *discovery_content_type(enum negotiate_as as)
{
    return as == NEGOTIATE_DISCOVERY_V2BETA1
               ? "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"
               : "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
}

/* ---- the old forms ---- */

static json_t *typed(const char *kind)
{
    json_t *out = json_object();
    json_set_str(out, "kind", kind);
    json_set_str(out, "apiVersion", "v1");
    return out;
}

void discovery_versions(struct buf *out, const char *address)
{
    json_auto_t *versions = typed("APIVersions");
    const char *core[VERSIONS_MAX];
    size_t n = versions_of("", core);
    json_t *list = json_array_ensure(versions, "versions");
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, json_string(core[i]));
    json_t *entry = json_object();
    json_set_str(entry, "clientCIDR", "0.0.0.0/0");
    json_set_str(entry, "serverAddress", address);
    json_array_append_new(json_array_ensure(versions, "serverAddressByClientCIDRs"), entry);
    json_dump_buf(out, versions);
}

static json_t *group_version(const char *group, const char *version)
{
    json_t *out = json_object();
    mem_auto char *both = mem_printf("%s/%s", group, version);
    json_set_str(out, "groupVersion", both);
    json_set_str(out, "version", version);
    return out;
}

static void fill_group(json_t *out, const char *group)
{
    const char *versions[VERSIONS_MAX];
    size_t n = versions_of(group, versions);
    json_set_str(out, "name", group);
    json_t *list = json_array_ensure(out, "versions");
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, group_version(group, versions[i]));
    if (n > 0)
        json_object_set_new(out, "preferredVersion", group_version(group, versions[0]));
}

void discovery_groups(struct buf *out)
{
    json_auto_t *list = typed("APIGroupList");
    json_t *groups = json_array_ensure(list, "groups");
    for (const char *group = next_group(NULL); group; group = next_group(group)) {
        if (!*group)
            continue;
        json_t *item = json_object();
        fill_group(item, group);
        json_array_append_new(groups, item);
    }
    json_dump_buf(out, list);
}

bool discovery_group(struct buf *out, const char *group)
{
    const char *versions[VERSIONS_MAX];
    if (!*group || !versions_of(group, versions))
        return false;
    json_auto_t *object = typed("APIGroup");
    fill_group(object, group);
    json_dump_buf(out, object);
    return true;
}

static json_t *resource_item(const struct schema_kind *kind)
{
    json_t *item = json_object();
    json_set_str(item, "name", kind->plural);
    json_set_str(item, "singularName", kind->singular);
    json_object_set_new(item, "namespaced", json_boolean(kind->namespaced));
    json_set_str(item, "kind", kind->kind);
    json_object_set_new(item, "verbs", strings_of(kind->verbs));
    set_strings(item, "shortNames", kind->short_names);
    set_strings(item, "categories", kind->categories);
    return item;
}

static json_t *subresource_item(const struct schema_kind *kind, const struct schema_subresource *sub)
{
    mem_auto char *name = mem_printf("%s/%s", kind->plural, sub->name);
    json_t *item = json_object();
    json_set_str(item, "name", name);
    json_set_str(item, "singularName", "");
    json_object_set_new(item, "namespaced", json_boolean(kind->namespaced));
    if (sub->group && strcmp(sub->group, kind->group) != 0) {
        json_set_str(item, "group", sub->group);
        json_set_str(item, "version", sub->version ? sub->version : kind->version);
    }
    json_set_str(item, "kind", sub->kind ? sub->kind : kind->kind);
    json_object_set_new(item, "verbs", strings_of(sub->verbs));
    return item;
}

bool discovery_resources(struct buf *out, const char *group, const char *version)
{
    bool any = false;
    json_auto_t *list = typed("APIResourceList");
    mem_auto char *both = *group ? mem_printf("%s/%s", group, version) : mem_strdup(version);
    json_set_str(list, "groupVersion", both);
    json_t *resources = json_array_ensure(list, "resources");
    for (size_t i = 0; i < registry_count(); i++) {
        const struct schema_kind *kind = registry_at(i);
        if (strcmp(kind->group, group) != 0 || strcmp(kind->version, version) != 0)
            continue;
        any = true;
        json_array_append_new(resources, resource_item(kind));
        for (size_t k = 0; k < kind->subresource_count; k++)
            json_array_append_new(resources, subresource_item(kind, &kind->subresources[k]));
    }
    if (any)
        json_dump_buf(out, list);
    return any;
}
