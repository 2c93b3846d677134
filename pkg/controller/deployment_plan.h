/*
 * What a Deployment needs next, from the deployment and the ReplicaSets that it controls. Pure. The rules
 * and words are those of k8s.io/kubernetes/pkg/controller/deployment; the parts are
 *
 *     deployment_plan.c     which of the cases applies, and the new ReplicaSet
 *     deployment_scale.c    sizes: surge, unavailability, rolling, proportions
 *     deployment_status.c   counts and conditions
 */
#ifndef KATENA_CONTROLLER_DEPLOYMENT_PLAN_H
#define KATENA_CONTROLLER_DEPLOYMENT_PLAN_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A ReplicaSet of the deployment, as it shall be. */
struct deployment_set {
    json_t *rs;   /* a copy, changed in place; owned */
    int64_t from; /* its spec.replicas before */
    bool dirty;   /* to be written */
};

struct deployment_plan {
    struct deployment_set *sets; /* oldest first; a new one last */
    size_t count;
    int new_index;        /* of the one with the deployment's template; -1: none */
    bool create;          /* the new one does not exist yet */
    json_t *removals;     /* names of old sets beyond the history limit; owned */
    const char *revision; /* for the deployment's annotation; borrowed from the set; NULL: as it is */
    json_t *status;       /* that the deployment should have; owned */
    int64_t due_us;       /* when to look again though nothing changes; 0: never */
};

/* old_pods: a pod of an old set has not ended yet (asked of the Recreate strategy only). */
void deployment_plan(struct deployment_plan *out, const json_t *deployment, const json_t *sets, bool old_pods,
                     int64_t now_us);
void deployment_plan_free(struct deployment_plan *plan);

/* The deployment's status with the failure to make its new set in it; NULL: it has no deadline and so no such
 * condition. */
json_t *deployment_failed_status(const json_t *deployment, const char *set_name, const char *why,
                                 int64_t now_us);

/* Whether a set has the deployment's template, the added hash aside. */
bool deployment_template_equal(const json_t *deployment, const json_t *rs);
bool deployment_is_recreate(const json_t *deployment);
/* The hash that names a template: letters of Kubernetes' name alphabet. */
#define DEPLOYMENT_HASH_MAX 16
void deployment_hash(char out[DEPLOYMENT_HASH_MAX], const json_t *template, int64_t collisions);

#endif
