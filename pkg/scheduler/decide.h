/*
 * Where a pod goes. Pure: the same pod and model give the same answer.
 *
 *     decide.c     the filters in the order of Kubernetes' scheduler, and the words of a refusal
 *     affinity.c   selectors of nodes, and affinity and spreading among pods
 *     score.c      which of the nodes that fit is best
 */
#ifndef KATENA_SCHEDULER_DECIDE_H
#define KATENA_SCHEDULER_DECIDE_H

#include "scheduler/model.h"

struct sched_decision {
    const struct sched_node *node; /* of the model; NULL: none fits */
    char *message;                 /* then, why; the caller frees it */
};

void sched_decide(struct sched_decision *out, const struct sched_model *model, const json_t *pod);

/* Between the parts. A node selector term list {nodeSelectorTerms} and the map spec.nodeSelector. */
bool sched_node_selected(const struct sched_node *node, const json_t *pod);
bool sched_term_matches(const struct sched_node *node, const json_t *term);

/* What the other pods mean for a pod, computed once for all nodes. */
struct sched_topology;
struct sched_topology *sched_topology_new(const struct sched_model *model, const json_t *pod);
void sched_topology_free(struct sched_topology *t);
/* Why the node is refused by them; NULL: it is not. *resolvable: other pods going could change that. */
const char *sched_topology_refuses(const struct sched_topology *t, const struct sched_node *node,
                                   bool *resolvable);

/* The best of count nodes that all fit. */
const struct sched_node *sched_best(const struct sched_model *model, const json_t *pod,
                                    const struct sched_pod *facts, const struct sched_node *const *nodes,
                                    size_t count);

#endif
