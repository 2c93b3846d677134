/*
 * What users said is merged and its losses are told. What the cluster's own components wrote follows from
 * what they saw, and they look again after a switch; so it comes back where it still holds, and otherwise
 * goes without a word. Some of it must not even come back: how the other nodes looked while they could not
 * be reached.
 */
#include "api/orphans_internal.h"

#include "client/kube.h"
#include "validator/registry.h"

#include <string.h>

#define CONTROLLERS "system:kube-controller-manager"
#define SCHEDULER "system:kube-scheduler"
#define NODE_PREFIX "system:node:"
#define API_SERVER "system:apiserver"

static bool user_is(const struct orphan_part *part, const char *user)
{
    return !strcmp(part->tx->user, user);
}

static bool changes(const struct orphan_part *part)
{
    return part->verb == REPLAY_CHANGE;
}

/* Heartbeats say nothing once they are late, and whoever holds a lease renews it or tries again. */
static bool is_heartbeat(const struct orphan_part *part)
{
    return kind_is(part->kind, "coordination.k8s.io", "leases") && part->verb != REPLAY_CREATE;
}

/* Kinds of which each object is made once, and says what was true then. */
static bool is_record(const struct orphan_part *part)
{
    return kind_is(part->kind, "", "events") || kind_is(part->kind, "events.k8s.io", "events") ||
           !strcmp(part->kind->group, REGISTRY_GROUP);
}

/* Pods that were evicted from nodes that could not be reached, or removed because nobody confirmed their end:
 * on the other side they may run well. */
static bool is_doubtful_deletion(const struct orphan_part *part)
{
    if (!kind_is(part->kind, "", "pods") || part->verb != REPLAY_DELETE)
        return false;
    const json_t *condition = kube_condition(part->orphan ? part->orphan : part->base, "DisruptionTarget");
    if (!strcmp(json_str_or_empty(condition, "reason"), "DeletionByTaintManager"))
        return true;
    return !part->orphan && *json_str_or_empty(part->base, "spec", "nodeName") &&
           !kube_pod_terminal(part->base);
}

static enum orphan_policy policy_of_controllers(const struct orphan_part *part)
{
    const struct schema_kind *kind = part->kind;
    bool of_pod_status = kind_is(kind, "", "pods") && !strcmp(part->tx->subresource, "status");
    bool derived = kind_is(kind, "", "nodes") || kind_is(kind, "", "endpoints") ||
                   kind_is(kind, "discovery.k8s.io", "endpointslices");
    if (is_doubtful_deletion(part) || (changes(part) && (derived || of_pod_status)))
        return ORPHAN_DROP;
    return ORPHAN_AS_IS;
}

enum orphan_policy orphan_policy_of(const struct orphan_part *part)
{
    const struct tx *tx = part->tx;
    if (is_heartbeat(part))
        return ORPHAN_DROP;
    if (is_record(part))
        return ORPHAN_AS_IS;
    if (!strcmp(tx->subresource, "binding"))
        return ORPHAN_BIND;
    if (user_is(part, SCHEDULER))
        return changes(part) ? ORPHAN_DROP : ORPHAN_AS_IS;
    if (user_is(part, CONTROLLERS))
        return policy_of_controllers(part);
    /* A node knows best how it and its pods are. */
    if (!strncmp(tx->user, NODE_PREFIX, strlen(NODE_PREFIX)) || !strcmp(tx->subresource, "status") ||
        user_is(part, API_SERVER))
        return ORPHAN_QUIET;
    if (user_is(part, REGISTRY_USER) || !strncmp(tx->user, "system:kube-", strlen("system:kube-")))
        return ORPHAN_AS_IS;
    return ORPHAN_MERGE;
}
