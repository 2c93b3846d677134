/*
 * Fields that are not merged like others. Metadata that the server keeps is no part of a change; a status is
 * what somebody saw and will see again, so it never makes a conflict; addresses and ports that two servers
 * gave to two objects of one name differ without anybody having wanted it.
 */
#include "replay/replay_internal.h"

#include "codec/json.h"

#include <string.h>

struct rule {
    const char *group, *plural; /* plural NULL: any kind */
    const char *pattern;
    bool created; /* only where two objects were made under one name */
    enum replay_rule rule;
};

/* The first that fits counts. */
static const struct rule rules[] = {
    {"", NULL, "kind", false, REPLAY_KEPT},
    {"", NULL, "apiVersion", false, REPLAY_KEPT},
    {"", NULL, "metadata.name", false, REPLAY_KEPT},
    {"", NULL, "metadata.generateName", false, REPLAY_KEPT},
    {"", NULL, "metadata.namespace", false, REPLAY_KEPT},
    {"", NULL, "metadata.uid", false, REPLAY_KEPT},
    {"", NULL, "metadata.selfLink", false, REPLAY_KEPT},
    {"", NULL, "metadata.resourceVersion", false, REPLAY_KEPT},
    {"", NULL, "metadata.generation", false, REPLAY_KEPT},
    {"", NULL, "metadata.creationTimestamp", false, REPLAY_KEPT},
    {"", NULL, "metadata.managedFields", false, REPLAY_KEPT},
    {"", NULL, "metadata.deletionTimestamp", false, REPLAY_QUIET},
    {"", NULL, "metadata.deletionGracePeriodSeconds", false, REPLAY_QUIET},
    /* What kubectl and the Deployment controller note for themselves. */
    {"", NULL, "metadata.annotations.kubectl.kubernetes.io/last-applied-configuration", false, REPLAY_QUIET},
    {"", NULL, "metadata.annotations.deployment.kubernetes.io/revision", false, REPLAY_QUIET},
    {"", NULL, "metadata.annotations.deployment.kubernetes.io/desired-replicas", false, REPLAY_QUIET},
    {"", NULL, "metadata.annotations.deployment.kubernetes.io/max-replicas", false, REPLAY_QUIET},
    /* Several observers write the status of pods and nodes, each its own part. */
    {"", "pods", "status", true, REPLAY_KEPT},
    {"", "pods", "status", false, REPLAY_QUIET},
    {"", "nodes", "status", false, REPLAY_QUIET},
    {"", NULL, "status", false, REPLAY_WHOLE},
    {"", "services", "spec.clusterIP", true, REPLAY_KEPT},
    {"", "services", "spec.clusterIPs", true, REPLAY_KEPT},
    {"", "services", "spec.healthCheckNodePort", true, REPLAY_KEPT},
    {"", "services", "spec.ports[].nodePort", true, REPLAY_KEPT},
    {"", "pods", "spec.nodeName", true, REPLAY_KEPT},
    {"", "pods", "spec", true, REPLAY_FROZEN},
    /* A pod of which each side designed a half is what nobody wanted. */
    {"", NULL, "spec.template", true, REPLAY_FROZEN},
};

static bool fits(const struct rule *rule, const struct replay_walk *walk)
{
    if (rule->created && !walk->created)
        return false;
    if (rule->plural && (!walk->kind || strcmp(rule->plural, walk->kind->plural) != 0 ||
                         strcmp(rule->group, walk->kind->group) != 0))
        return false;
    return !strcmp(rule->pattern, buf_str(&walk->pattern));
}

static bool immutable(const struct replay_walk *walk)
{
    const char *const *path = walk->kind ? walk->kind->immutable : NULL;
    for (; path && *path; path++)
        if (!strcmp(*path, buf_str(&walk->pattern)))
            return true;
    return false;
}

enum replay_rule replay_rule_of(const struct replay_walk *walk)
{
    for (size_t i = 0; i < sizeof(rules) / sizeof(*rules); i++)
        if (fits(&rules[i], walk))
            return rules[i].rule;
    return walk->created && immutable(walk) ? REPLAY_FROZEN : REPLAY_FREE;
}

/* ---- what admission put into a pod ---- */

#define TOKEN_VOLUME "kube-api-access-"
#define TOKEN_PATH "/var/run/secrets/kubernetes.io/serviceaccount"

static void strip_items(json_t *list, const char *member, const char *prefix)
{
    for (size_t i = json_array_size(list); i-- > 0;)
        if (!strncmp(json_str_or_empty(json_array_get(list, i), member), prefix, strlen(prefix)))
            json_array_remove(list, i);
}

static void strip_mounts(json_t *containers)
{
    for (size_t i = 0; i < json_array_size(containers); i++)
        strip_items(json_object_get(json_array_get(containers, i), "volumeMounts"), "mountPath", TOKEN_PATH);
}

void replay_strip_given(const struct schema_kind *kind, json_t *orphan)
{
    if (!kind || *kind->group || strcmp(kind->plural, "pods") != 0)
        return;
    json_t *spec = json_object_get(orphan, "spec");
    strip_items(json_object_get(spec, "volumes"), "name", TOKEN_VOLUME);
    strip_mounts(json_object_get(spec, "containers"));
    strip_mounts(json_object_get(spec, "initContainers"));
}
