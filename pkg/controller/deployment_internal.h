/* Shared by the parts of deployment_plan.h. */
#ifndef KATENA_CONTROLLER_DEPLOYMENT_INTERNAL_H
#define KATENA_CONTROLLER_DEPLOYMENT_INTERNAL_H

#include "controller/deployment_plan.h"

#define ANNOTATION_REVISION "deployment.kubernetes.io/revision"
#define ANNOTATION_HISTORY "deployment.kubernetes.io/revision-history"
#define ANNOTATION_DESIRED "deployment.kubernetes.io/desired-replicas"
#define ANNOTATION_MAX "deployment.kubernetes.io/max-replicas"

int64_t deployment_replicas(const json_t *deployment);
int64_t deployment_max_surge(const json_t *deployment);
int64_t deployment_max_unavailable(const json_t *deployment);
bool deployment_has_deadline(const json_t *deployment);

int64_t set_replicas(const json_t *rs);  /* spec.replicas */
int64_t set_available(const json_t *rs); /* status.availableReplicas */
bool set_active(const json_t *rs);       /* spec.replicas > 0 */
/* Sets an annotation; true when it was another. */
bool set_annotate(json_t *rs, const char *name, const char *value);

/* Wants this size of a set, with the annotations that go with it. */
void deployment_resize(const json_t *deployment, struct deployment_set *set, int64_t replicas);
/* spec.replicas of the new set when it is made, or grows, in a rollout. */
int64_t deployment_new_size(const json_t *deployment, const struct deployment_plan *plan, int64_t current);
bool deployment_is_scaling(const json_t *deployment, const struct deployment_plan *plan);
void deployment_scale(const json_t *deployment, struct deployment_plan *plan);
bool deployment_roll_new(const json_t *deployment, struct deployment_plan *plan);
bool deployment_roll_old(const json_t *deployment, struct deployment_plan *plan);

/* The status after the plan; rollout: with the conditions of a rollout. Sets status and due_us. */
void deployment_status(const json_t *deployment, struct deployment_plan *plan, bool rollout, int64_t now_us);
bool deployment_complete(const json_t *deployment, const json_t *status);

#endif
