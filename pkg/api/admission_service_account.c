/*
 * ServiceAccount: each pod runs as one, and finds its token, the cluster's CA and its namespace in a
 * projected volume (KEP-1205).
 */
#include "api/verbs_internal.h"

#include "base/rand.h"
#include "object/registry.h"

#include <stdio.h>

#define TOKEN_PATH "/var/run/secrets/kubernetes.io/serviceaccount"
#define TOKEN_SECONDS 3607
#define VOLUME_PREFIX "kube-api-access-"

/* The account may be NULL: "default" is made by a controller a moment after its namespace, and a pod need
 * not wait for that, since only its token does. */
static int find_account(struct api_call *call, const json_t *pod, const char *name, json_t **out)
{
    const struct schema_kind *accounts = registry_by_resource("", "v1", "serviceaccounts");
    struct state_object state;
    *out = NULL;
    int rc = call_find(call, accounts, call->request->namespace, name, &state);
    if (rc == ERR_NOT_FOUND && !strcmp(name, "default")) {
        err_clear(&call->err);
        return 0;
    }
    if (rc == ERR_NOT_FOUND)
        return call_forbidden(call, json_str_or_empty(pod, "metadata", "name"),
                              "error looking up service account %s/%s: serviceaccount \"%s\" not found",
                              call->request->namespace, name, name);
    if (rc)
        return rc;
    *out = object_parse(call->server, &state, &call->err);
    return *out ? 0 : call->err.code;
}

static bool wants_token(const json_t *pod, const json_t *account)
{
    const json_t *own = json_at(pod, "spec", "automountServiceAccountToken");
    if (!own)
        own = json_object_get(account, "automountServiceAccountToken");
    return !json_is_false(own);
}

static bool has_mount(const json_t *container)
{
    size_t i;
    const json_t *mount;
    json_array_foreach(json_object_get(container, "volumeMounts"), i,
                       mount) if (!strcmp(json_str_or_empty(mount, "mountPath"), TOKEN_PATH)) return true;
    return false;
}

/* Mounts the volume wherever nothing else stands in its place; true when it did at all. */
static bool mount_everywhere(json_t *spec, const char *list, const char *volume)
{
    bool mounted = false;
    size_t i;
    json_t *container;
    json_array_foreach(json_object_get(spec, list), i, container)
    {
        if (!json_is_object(container) || has_mount(container))
            continue;
        json_array_append_new(
            json_array_ensure(container, "volumeMounts"),
            json_pack("{s:s, s:b, s:s}", "name", volume, "readOnly", 1, "mountPath", TOKEN_PATH));
        mounted = true;
    }
    return mounted;
}

static json_t *token_volume(const char *name)
{
    json_t *token = json_pack("{s:{s:i, s:s}}", "serviceAccountToken", "expirationSeconds", TOKEN_SECONDS,
                              "path", "token");
    json_t *ca = json_pack("{s:{s:s, s:[{s:s, s:s}]}}", "configMap", "name", "kube-root-ca.crt", "items",
                           "key", "ca.crt", "path", "ca.crt");
    json_t *namespace =
        json_pack("{s:{s:[{s:s, s:{s:s, s:s}}]}}", "downwardAPI", "items", "path", "namespace", "fieldRef",
                  "apiVersion", "v1", "fieldPath", "metadata.namespace");
    return json_pack("{s:s, s:{s:[o, o, o], s:i}}", "name", name, "projected", "sources", token, ca,
                     namespace, "defaultMode", 0644);
}

/* A pod that was made with the volume of another (a copy of a running pod) keeps that one. */
static const char *existing_volume(const json_t *spec)
{
    size_t i;
    const json_t *volume;
    json_array_foreach(json_object_get(spec, "volumes"), i, volume)
    {
        const char *name = json_str_or_empty(volume, "name");
        if (!strncmp(name, VOLUME_PREFIX, sizeof(VOLUME_PREFIX) - 1))
            return name;
    }
    return NULL;
}

static void add_token(json_t *spec)
{
    char suffix[6], name[sizeof(VOLUME_PREFIX) + sizeof(suffix)];
    rand_suffix(suffix, sizeof(suffix) - 1);
    snprintf(name, sizeof(name), "%s%s", VOLUME_PREFIX, suffix);
    const char *existing = existing_volume(spec);
    const char *volume = existing ? existing : name;
    bool mounted = mount_everywhere(spec, "containers", volume);
    mounted |= mount_everywhere(spec, "initContainers", volume);
    if (mounted && !existing)
        json_array_append_new(json_array_ensure(spec, "volumes"), token_volume(name));
}

int admission_service_account(struct api_call *call, json_t *pod)
{
    if (json_at(pod, "metadata", "annotations", "kubernetes.io/config.mirror"))
        return 0;
    json_t *spec = json_object_ensure(pod, "spec");
    const char *name = json_str_or_empty(spec, "serviceAccountName");
    if (!*name)
        name = json_str_or_empty(spec, "serviceAccount");
    if (!*name)
        name = "default";
    char chosen[256];
    snprintf(chosen, sizeof(chosen), "%s", name);
    json_set_str(spec, "serviceAccountName", chosen);
    json_set_str(spec, "serviceAccount", chosen);
    json_auto_t *account = NULL;
    int rc = find_account(call, pod, chosen, &account);
    if (rc)
        return rc;
    if (wants_token(pod, account))
        add_token(spec);
    json_t *pull = json_object_get(account, "imagePullSecrets");
    if (json_array_size(pull) > 0 && !json_array_size(json_object_get(spec, "imagePullSecrets")))
        json_object_set_new(spec, "imagePullSecrets", json_deep_copy(pull));
    return 0;
}
